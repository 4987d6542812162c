"""A reward as the `reward_funcs` of a TRL trainer.

TRL adds up whatever its reward functions return. So there is exactly one function, the total, and the parts go into TRL's
log through the callbacks that it hands to reward functions: as metrics named like those of a function of its own
(`rewards/<part>/mean`), and as columns of the table of completions. Weights and gates stay ours, the reward is scored once
per batch, and a total of None is a row that TRL masks; parts returned as functions of weight 0 would turn it into 0.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from rewardlab.integrations.trl.batches import Batch, Columns, trainer_of
from rewardlab.integrations.trl.logs import PartLog
from rewardlab.rewards.base import Reward
from rewardlab.types import Scores, Status


def reward_functions(
    reward: Reward,
    *,
    reference_column: str | None = None,
    decode_reference: Callable[[Any], Any] | None = None,
    group_column: str | None = None,
    group_size: int | None = None,
    parts: bool | Sequence[str] = True,
    total_name: str = "reward",
    observe: bool = True,
) -> list[RewardFunction]:
    """What TRL's `GRPOTrainer` and `RLOOTrainer` take as `reward_funcs`.

        trainer = GRPOTrainer(model, reward_funcs=rl.integrations.trl.reward_functions(reward), train_dataset=dataset)

    Args:
        reward: what scores; sums, gates, schedules and rewards of whole groups work as they do elsewhere.
        reference_column: the column of the dataset that holds the ground truth; None looks for one called `reference`,
            `solution`, `answer` or `ground_truth`. All other columns become `Task.metadata`.
        decode_reference: called with each entry of that column (`json.loads` where it holds JSON text, say).
        group_column: a column that is equal for completions of one group; None takes TRL's own group size.
        group_size: how many neighbouring rows are a group; None asks the trainer (`num_generations`), and where that cannot
            be reached takes rows with the same prompt.
        parts: whether every part is logged under its dotted name, or the names of those that are.
        total_name: what TRL calls the total.
        observe: let rewards that learn from what they score (a running normalisation) do so in training batches.

    Returns:
        A list with one callable, named `total_name`. It is a coroutine function where the reward waits for others (async
        functions, judges, sandboxes), so that TRL runs it beside other coroutine functions of the user's.

    Raises:
        TypeError: `reward` is not a reward.
        ValueError: options do not fit together.
    """
    if not isinstance(reward, Reward):
        raise TypeError(
            f"reward must be a rewardlab reward, got {type(reward).__name__}; "
            "decorate a function with @rl.reward, and pass TRL's own reward functions to the trainer beside these"
        )
    if group_column is not None and group_size is not None:
        raise ValueError(
            f"group_column={group_column!r} and group_size={group_size} both say what a group is; give one of them"
        )
    if group_size is not None and group_size < 1:
        raise ValueError(f"group_size must be at least 1, got {group_size}")
    if not total_name:
        raise ValueError("total_name must not be empty; it is the name of the column in TRL's log")
    kind = AsyncRewardFunction if reward.overlaps else RewardFunction
    columns = Columns(
        reference=reference_column, decode_reference=decode_reference, group=group_column, group_size=group_size
    )
    return [kind(reward, columns=columns, parts=parts, total_name=total_name, observe=observe)]


class RewardFunction:
    """One reward, called the way TRL calls reward functions. Made by `reward_functions`.

    Args:
        reward: what scores.
        columns: where the reference stands, and what a group is.
        parts: whether parts are logged, or the names of those that are.
        total_name: the name under which TRL logs the total.
        observe: whether the reward learns from training batches.
    """

    def __init__(
        self, reward: Reward, *, columns: Columns, parts: bool | Sequence[str], total_name: str, observe: bool
    ) -> None:
        self.reward = reward
        self.columns = columns
        self.observe = observe
        self.__name__ = total_name  # TRL names its columns after it
        self._log = PartLog(total_name, parts)

    def __repr__(self) -> str:
        return f"RewardFunction({self.reward.label!r}, as {self.__name__!r})"

    def __call__(self, **given: Any) -> list[float | None]:
        """Score one batch of TRL's.

        Args:
            given: what TRL passes by keyword: `prompts`, `completions`, `completion_ids`, the columns of the dataset,
                `trainer_state`, `log_extra`, `log_metric` and `environments`.

        Returns:
            A value for each completion; None where scoring failed or the reward abstained, which TRL masks.

        Raises:
            ValueError: the batch does not fit the options (a column that is not there, a group spread over processes).
        """
        scores = self.score(**given)
        return [
            float(value) if status == Status.SCORED else None
            for value, status in zip(scores.values, scores.status, strict=True)
        ]

    def score(self, **given: Any) -> Scores:
        """Score one batch of TRL's and log the parts; the `Scores` behind what `__call__` returns."""
        trainer = trainer_of(given.get("log_metric"))
        batch = Batch.read(given, self.columns, trainer, group_wise=self.reward.group_wise)
        pieces = []
        if batch.whole.size:
            trajectories = [trajectory for trajectory in batch.trajectories if trajectory is not None]
            scores = self.reward(trajectories, progress=progress_of(given.get("trainer_state")))
            if self.observe and _training(trainer):
                self.reward.observe(trajectories, scores)
            pieces.append((batch.whole, scores))
        if batch.broken.size:
            failed = Scores.blank(batch.broken.size, Status.FAILED)
            failed.notes = [batch.problems[index] for index in batch.broken]
            pieces.append((batch.broken, failed))
        scores = Scores.scatter(pieces, len(batch))
        self._log(scores, given.get("log_metric"), given.get("log_extra"), trainer)
        return scores


class AsyncRewardFunction(RewardFunction):
    """A `RewardFunction` that TRL awaits beside its other coroutine functions."""

    async def __call__(self, **given: Any) -> list[float | None]:  # type: ignore[override]  # TRL awaits it
        """Score one batch of TRL's in a thread; see `RewardFunction`."""
        return await asyncio.to_thread(super().__call__, **given)


def progress_of(state: Any) -> float | None:
    """Share of training done, from TRL's `trainer_state`; None where it is not known."""
    steps = getattr(state, "max_steps", 0) or 0
    return min(1.0, max(0.0, state.global_step / steps)) if steps > 0 else None


def _training(trainer: Any) -> bool:
    """Whether this is a training batch; True where the trainer cannot be reached."""
    return bool(getattr(getattr(trainer, "model", None), "training", True))
