"""Credit by a learned value head: generalised advantage estimation over the actions or the tokens of a trajectory.

Over actions, a state is what stands before an action's first token. Over tokens, it is what stands before each token; tokens
that the policy did not write are jumped over, so that a long tool answer changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from rewardlab.functional.returns import generalised_advantage_estimation
from rewardlab.training.credit.base import Advantages, Column, Source, step_values
from rewardlab.types import Scores, Tokens, Trajectory


@dataclass(kw_only=True)
class GAE:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438); goes with PPO, which trains the value head.

    The policy gets a value head where it has none. A trajectory that a limit ended counts the value of the state behind
    it as its future; one that the environment ended has none. Advantages are as they come: the objective normalises them.

    Args:
        level: over actions ("step") or over tokens ("token"), where the reward of an action sits on its last token.
        source: where the rewards of steps come from: the score on the last action ("outcome"), `Scores.steps` ("scores"), or
            the environment's own ("environment").
        discount: of each step, or of each token.
        smoothing: lambda: 1 trusts what happened, 0 the value head.
        bootstrap: whether a limit leaves the future open; False counts it as an end like any other, for tasks whose limit is
            part of the task.
        hidden: width of the layer of a fresh value head; 0 for a linear one.
        seed: of a fresh value head.

    Raises:
        ValueError: an option is out of its range.
    """

    level: Literal["step", "token"] = "step"
    source: Source = "outcome"
    discount: float = 1.0
    smoothing: float = 0.95
    bootstrap: bool = True
    hidden: int = 128
    seed: int = 0

    policy: Any = field(default=None, init=False, repr=False)
    """Whose value head is asked; set by `bind`."""

    needs_groups: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name, allowed in (("level", ("step", "token")), ("source", get_args(Source))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        for name in ("discount", "smoothing"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        if self.hidden < 0:
            raise ValueError(f"hidden must be 0 for a linear head, or its width, got {self.hidden}")

    def bind(self, policy: Any) -> None:
        """Take the policy whose value head is asked, and give it one where it has none.

        Raises:
            TypeError: the policy cannot have a value head.
        """
        if not hasattr(policy, "add_value_head"):
            raise TypeError(
                f"credit gae asks a value head, which a {type(policy).__name__} cannot have; use a LanguageModelPolicy, or "
                "credit that needs none, such as return_to_go"
            )
        if policy.value_head is None:
            policy.add_value_head(hidden=self.hidden, seed=self.seed)
        self.policy = policy

    def __call__(self, trajectories: Sequence[Trajectory], scores: Scores) -> Advantages:
        """Assign credit.

        Raises:
            RuntimeError: nobody has called `bind`.
            ValueError: a scored trajectory has no tokens, or its step values do not fit.
        """
        from rewardlab.policies.reading import state_values

        if self.policy is None:
            raise RuntimeError("credit gae has no policy whose value head it could ask; call gae.bind(policy) first")
        rewards = step_values(trajectories, scores, self.source)
        included = scores.scored.copy()
        chosen = [index for index in np.flatnonzero(included).tolist() if _written(index, trajectories[index]).size]
        open_ended = [self.bootstrap and _cut_off(trajectories[index]) for index in chosen]
        values = state_values(self.policy, [trajectories[index] for index in chosen], after=open_ended)
        decisions = [
            _Decisions.of(trajectories[index], rewards[index], found.before, self.level)
            for index, found in zip(chosen, values, strict=True)
        ]
        estimated = self._estimate(decisions, [found.after for found in values], open_ended)
        rows: dict[str, Column] = {
            name: [np.zeros(len(one)) for one in trajectories] for name in ("values", "targets", "said")
        }
        tokens: Column = [
            np.zeros(0 if one.tokens is None else int((one.tokens.step >= 0).sum())) for one in trajectories
        ]
        if self.level == "token":
            rows["targets"], rows["said"] = ([row.copy() for row in tokens] for _ in range(2))
        for index, decision, advantages in zip(chosen, decisions, estimated, strict=True):
            targets = advantages + decision.values
            if self.level == "token":
                tokens[index], rows["targets"][index], rows["said"][index] = advantages, targets, decision.values
            owner = decision.owner(len(trajectories[index]))
            sums, counts = (np.bincount(decision.steps, weights, owner.size) for weights in (advantages, None))
            rows["values"][index] = (sums / np.maximum(counts, 1))[owner]
            if self.level == "step":
                for name, column in (("targets", targets), ("said", decision.values)):
                    rows[name][index] = column[np.searchsorted(decision.steps, owner)]
        return Advantages(
            values=rows["values"],
            included=included,
            statistics=_statistics(decisions, estimated, open_ended),
            tokens=tokens if self.level == "token" else None,
            targets=rows["targets"],
            baselines=rows["said"],
            decay=self.discount * self.smoothing,
        )

    def _estimate(
        self, decisions: list[_Decisions], after: Sequence[float], open_ended: Sequence[bool]
    ) -> list[NDArray[np.float64]]:
        """The advantages of each trajectory's decisions, all at once."""
        if not decisions:
            return []
        shape = (len(decisions), max(one.values.size for one in decisions))
        rewards, values, next_values = (np.zeros(shape) for _ in range(3))
        terminated, ended = (np.ones(shape, dtype=bool) for _ in range(2))
        for row, (decision, behind, goes_on) in enumerate(zip(decisions, after, open_ended, strict=True)):
            count = decision.values.size
            rewards[row, :count], values[row, :count] = decision.rewards, decision.values
            next_values[row, :count] = np.append(decision.values[1:], behind)
            terminated[row, : count - 1] = ended[row, : count - 1] = False
            terminated[row, count - 1] = not goes_on
        columns = [torch.from_numpy(column) for column in (rewards, values, next_values, terminated, ended)]
        found = generalised_advantage_estimation(*columns, discount=self.discount, smoothing=self.smoothing).numpy()
        return [found[row, : decision.values.size] for row, decision in enumerate(decisions)]


@dataclass(slots=True)
class _Decisions:
    """What a trajectory's advantages are estimated over: its actions that have tokens, or these tokens.

    Args:
        steps: int[decision], the action of each.
        rewards: float64[decision].
        values: float64[decision], of the state before each.
    """

    steps: NDArray[np.int64]
    rewards: NDArray[np.float64]
    values: NDArray[np.float64]

    @classmethod
    def of(
        cls, trajectory: Trajectory, rewards: NDArray[np.float64], before: NDArray[np.float64], level: str
    ) -> _Decisions:
        tokens = trajectory.tokens
        assert isinstance(tokens, Tokens)  # checked by `_written`
        step = tokens.step[tokens.step >= 0].astype(np.int64)
        first = np.flatnonzero(np.diff(step, prepend=-1))
        last = np.append(first[1:], step.size) - 1
        # the reward of an action without tokens belongs to the one before it, or to the first
        acting = np.searchsorted(step[first], np.arange(len(trajectory)), side="right") - 1
        sums = np.bincount(acting.clip(min=0), weights=rewards, minlength=first.size).astype(np.float64)
        if level == "step":
            return cls(step[first], sums, before[first])
        placed = np.zeros(step.size)
        placed[last] = sums
        return cls(step, placed, before)

    def owner(self, length: int) -> NDArray[np.int64]:
        """int[action]: the action whose advantage each has: its own, or where it has no tokens, that of the one before."""
        with_tokens = np.unique(self.steps)
        found = with_tokens[(np.searchsorted(with_tokens, np.arange(length), side="right") - 1).clip(min=0)]
        return np.asarray(found, dtype=np.int64)


def _cut_off(trajectory: Trajectory) -> bool:
    return trajectory.truncated and not trajectory.terminated


def _written(index: int, trajectory: Trajectory) -> NDArray[np.intp]:
    if trajectory.tokens is None:
        raise ValueError(
            f"trajectory {index} has no tokens, so its states have no values; trajectories must come from a language-model "
            "policy's rollout, or get tokens from policy.encode_demonstration(trajectory)"
        )
    return np.flatnonzero(trajectory.tokens.step >= 0)


def _statistics(
    decisions: list[_Decisions], advantages: list[NDArray[np.float64]], open_ended: Sequence[bool]
) -> dict[str, float]:
    if not decisions:
        return {}
    said, errors = np.concatenate([one.values for one in decisions]), np.concatenate(advantages)
    spread = float(np.var(said + errors))
    return {
        "value_mean": float(said.mean()),
        "explained_variance": 1.0 - float(np.var(errors)) / spread if spread > 0 else float("nan"),
        "bootstrapped": float(np.mean(open_ended)),
    }
