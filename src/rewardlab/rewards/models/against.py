"""A reward out of a comparison: how often, on average, a response is preferred to its opponents.

A model that only compares has no value for one response alone. Against fixed responses, against those that stand with the
task, or against the rest of its group, it has one, and then it goes into the algebra and the loop as any other reward.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rewardlab.learning.data import as_trajectory
from rewardlab.rewards.base import EMPTY_TRAJECTORY, Reward, ScoringFailure, Verdict, scores_from_verdicts
from rewardlab.rewards.models.model import RewardModel
from rewardlab.rewards.spec import UnwritableReward, register
from rewardlab.types import Scores, Status, Trajectory, group_indices

Opponents = Literal["responses", "task", "group"]
Measure = Literal["probability", "log_odds", "wins"]


@register("preference_against")
@dataclass(frozen=True, kw_only=True)
class PreferenceAgainst(Reward):
    """The mean over opponents of how much a model prefers a response to them.

    Args:
        model: that compares; it is written into a spec by the directory where it is saved.
        opponents: "responses", those given here; "task", those that stand with the task; or "group", all members of the
            trajectory's group, itself included as an even comparison (so that mean scores of a group add up to 0).
        responses: texts, which answer what the trajectory answers, or vectors for models that read arrays.
        key: where a task's metadata has its opponents, one text or several; without it the task's reference is one.
        measure: "probability" of being preferred, in [0, 1]; "log_odds"; or "wins", the share of opponents that lose, ties
            counting half.

    Raises:
        ValueError: there are responses where they are not asked for, or none where they are.
    """

    model: RewardModel
    opponents: Opponents = "responses"
    responses: tuple[str | tuple[float, ...], ...] = ()
    key: str = "references"
    measure: Measure = "probability"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.opponents == "responses" and not self.responses:
            raise ValueError(
                "PreferenceAgainst: option 'responses' must name at least one response to compare with; or choose "
                'opponents="task" or opponents="group"'
            )
        if self.opponents != "responses" and self.responses:
            raise ValueError(
                f"PreferenceAgainst: option 'responses' is only read with opponents=\"responses\", got {self.opponents!r}"
            )

    @property
    def deterministic(self) -> bool:
        """Scores do not change while the weights do not."""
        return True

    @property
    def group_wise(self) -> bool:
        """Whether the opponents are the other members of the group."""
        return self.opponents == "group"

    def to_spec(self) -> dict[str, Any]:
        """The spec, which names the model's directory.

        Raises:
            UnwritableReward: the model has not been saved.
        """
        self.model.to_spec()
        return super().to_spec()

    @functools.cached_property
    def spec_hash(self) -> str | None:
        """Content hash of the spec; None where the model has not been saved."""
        try:
            self.to_spec()
        except UnwritableReward:
            return None
        return Reward.spec_hash.func(self)  # type: ignore[attr-defined]

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        outcomes: list[Any] = [None] * len(trajectories)
        items: list[Trajectory] = []
        places: dict[int, int] = {}
        for index, one in enumerate(trajectories):
            try:
                self.model.network.encoder.prepare([one])
            except ValueError as error:
                outcomes[index] = EMPTY_TRAJECTORY if one.is_chat and not len(one) else (Status.FAILED, str(error))
            else:
                places[index] = len(items)
                items.append(one)
        rivals = self._rivals(trajectories, items, places, outcomes)
        if rivals:
            log_odds = self._log_odds(
                items,
                [places[index] for index in rivals for _ in rivals[index]],
                [o for r in rivals.values() for o in r],
            )
            start = 0
            for index, opponents in rivals.items():
                outcomes[index] = self._verdict(log_odds[start : start + len(opponents)])
                start += len(opponents)
        return scores_from_verdicts(outcomes)

    def _rivals(
        self, trajectories: Sequence[Trajectory], items: list[Trajectory], places: dict[int, int], outcomes: list[Any]
    ) -> dict[int, list[int]]:
        """The opponents of every trajectory that can be read, as places in `items`, which they are added to."""
        found: dict[int, list[int]] = {}
        if self.opponents == "group":
            for members in group_indices(trajectories):
                known = [int(index) for index in members if int(index) in places]
                for index in known:
                    if len(known) > 1:
                        found[index] = [places[other] for other in known]
                    else:
                        outcomes[index] = (
                            Status.ABSTAINED,
                            "it is alone in its group, so there is nobody to compare with",
                        )
            return found
        made: dict[str, int] = {}
        for index in places:
            try:
                responses = self._responses(trajectories[index])
            except ScoringFailure as reason:
                outcomes[index] = (Status.FAILED, str(reason))
                continue
            found[index] = []
            for response in responses:
                rival = opponent(trajectories[index], response)
                key = str(rival.messages) if rival.is_chat else str(list(response))
                if key not in made:
                    made[key] = len(items)
                    items.append(rival)
                found[index].append(made[key])
        return found

    def _responses(self, trajectory: Trajectory) -> Sequence[Any]:
        if self.opponents == "responses":
            return self.responses
        task = trajectory.task
        told = None if task is None else task.metadata.get(self.key, task.reference)
        responses = [told] if isinstance(told, str) else told
        if not isinstance(responses, (list, tuple)) or not responses:
            raise ScoringFailure(
                f"the task has no responses to compare with: its metadata has no {self.key!r}, and its reference is "
                f"{told!r:.60}; expected a text or a list of them"
            )
        return responses

    def _log_odds(self, items: list[Trajectory], first: list[int], second: list[int]) -> np.ndarray:
        import torch

        from rewardlab.rewards.models.base import rows_of

        outputs, network = self.model.outputs(items), self.model.network
        left, right = (torch.tensor(rows, device=network.device) for rows in (first, second))
        with torch.no_grad():
            logits = network.head.preference(
                rows_of(outputs, left), rows_of(outputs, right), self.model.context(len(first))
            )
        return np.asarray(logits.double().cpu().numpy())

    def _verdict(self, log_odds: np.ndarray) -> Verdict:
        if self.measure == "log_odds":
            return Verdict(float(log_odds.mean()))
        if self.measure == "wins":
            return Verdict(float((log_odds > 0).mean() + 0.5 * (log_odds == 0).mean()))
        return Verdict(float((0.5 * (1.0 + np.tanh(0.5 * log_odds))).mean()))


def opponent(trajectory: Trajectory, response: Any) -> Trajectory:
    """A response as a trajectory that answers what the last action of another one answers; an array stands for itself.

    Raises:
        ScoringFailure: the trajectory is a chat without an action.
    """
    if not isinstance(response, str):
        return as_trajectory(np.asarray(response, dtype=np.float32))
    if not trajectory.is_chat or not len(trajectory):
        raise ScoringFailure("a text can only be compared with the answer of a chat; give vectors for arrays")
    before = list(trajectory.observations[0])
    for action, arrived in zip(trajectory.actions[:-1], trajectory.observations[1:-1], strict=True):
        before += [action, *arrived]
    return Trajectory(
        observations=[before, []],
        actions=[{"role": "assistant", "content": response}],
        terminated=True,
        task=trajectory.task,
    )


def score_matrix(model: RewardModel, trajectories: Sequence[Trajectory]) -> np.ndarray:
    """Log-odds of each trajectory against each, float64[trajectory, trajectory]; one pass through the encoder for each.

    Args:
        model: any learned reward. A head with its own table of scores (general preferences) gives exact antisymmetry, and so
            does one with values.
        trajectories: at least one; mostly answers to one prompt.
    """
    import torch

    from rewardlab.rewards.models.base import rows_of

    outputs, network = model.outputs(trajectories), model.network
    count = len(trajectories)
    rows = torch.arange(count, device=network.device)
    left, right = rows.repeat_interleave(count), rows.repeat(count)
    with torch.no_grad():
        table = network.head.preference(rows_of(outputs, left), rows_of(outputs, right), model.context(count * count))
    return np.asarray(table.double().reshape(count, count).cpu().numpy())
