"""A reward for actions that the environment could carry out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rewardlab.rewards.base import ScoringFailure, Verdict, Verifier
from rewardlab.rewards.spec import register
from rewardlab.types import Trajectory, message_text

NOTHING = ("Nothing happens", "Nothing happened", "Error:", "Error Input", "is not a valid action")
"""How environments say that an action could not be carried out."""


@register("grounded_actions")
@dataclass(frozen=True, kw_only=True)
class GroundedActions(Verifier):
    """Pays every action that the environment could carry out; `Scores.steps` has what each earned, the value is the sum.

    Source: Wang et al. 2025, "SPA-RL" (arXiv 2505.20732). As there, the last action is always paid, since nothing comes
    after it that could say otherwise. Harmless actions that are repeated farm this reward: `per_step_scale="1/T"` bounds
    what a trajectory can earn.

    Args:
        phrases: an action is not grounded if what came back holds one of these; capitals count.
        info_key: instead of phrases, a list in `Trajectory.info` that says for each action whether it was carried out.
        test: instead of both, a function of a trajectory that gives a truth value for each action.
        weight: what a grounded action earns.
        per_step_scale: "1", or "1/T" so that a trajectory earns at most `weight`.
    """

    phrases: Sequence[str] = NOTHING
    info_key: str | None = None
    test: Callable[[Trajectory], Sequence[bool]] | None = None
    weight: float = 0.5
    per_step_scale: Literal["1", "1/T"] = "1"

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Which actions were carried out."""
        grounded = self._grounded(trajectory)
        count = len(trajectory)
        if len(grounded) != count:
            task = "" if trajectory.task is None else f" of task {trajectory.task.id!r}"
            raise ScoringFailure(f"{len(grounded)} truth values for {count} actions{task}; give one for each")
        scale = self.weight / count if self.per_step_scale == "1/T" else self.weight
        steps = scale * np.asarray(grounded, dtype=np.float64)
        share = float(np.mean(grounded))
        return Verdict(float(steps.sum()), steps=steps.tolist(), parts={"rate": share})

    def _grounded(self, trajectory: Trajectory) -> list[bool]:
        if self.test is not None:
            return [bool(one) for one in self.test(trajectory)]
        if self.info_key is not None:
            found = trajectory.info.get(self.info_key)
            if not isinstance(found, Sequence) or isinstance(found, str):
                raise ScoringFailure(f"info[{self.info_key!r}] must be a list with a truth value for each action")
            return [bool(one) for one in found]
        if not trajectory.is_chat:
            raise ScoringFailure("phrases are looked for in messages; for arrays give info_key or test")
        said = [" ".join(map(message_text, arrived)) for arrived in trajectory.observations[1:]]
        return [
            step == len(trajectory) - 1 or not any(phrase in text for phrase in self.phrases)
            for step, text in enumerate(said)
        ]
