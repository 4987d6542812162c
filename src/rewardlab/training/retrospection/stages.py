"""How the writer is trained: imitate what helped, learn a reward from the ratings, optimise it; one by one or in a row."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rewardlab.environments.single_turn import SingleTurn
from rewardlab.learning.correctness import CorrectnessLoss
from rewardlab.learning.data import PreferenceData, RatingData
from rewardlab.learning.fitting import fit
from rewardlab.policies.rollout import Limits
from rewardlab.rewards.base import Reward, Verdict, scores_from_verdicts
from rewardlab.rewards.models.model import RewardModel
from rewardlab.training.loop import Training, train
from rewardlab.training.retrospection.attempts import Retrospective, failure_name
from rewardlab.training.retrospection.ratings import Rating, Ratings
from rewardlab.training.warm_start import WarmStart
from rewardlab.types import Scores, Status, Task, Trajectory

Stage = Literal["sft", "reward", "ppo"]


@dataclass(frozen=True, kw_only=True)
class RetryReward(Reward):
    """True return differences while the writer trains: each reflection is given to the actor, which tries the
    failure again.

    Args:
        retrospective: knows actor, environment and return.
        failures: name of the writer's task -> the failed attempt (`reflection_tasks` makes both).
        seed: of the actor's attempts.
    """

    retrospective: Any
    failures: Mapping[str, Any]
    seed: int = 0

    @property
    def deterministic(self) -> bool:
        """The environment answers anew."""
        return False

    @property
    def needs_environment(self) -> bool:
        """It acts."""
        return True

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        by_failure: dict[str, list[int]] = {}
        for index, one in enumerate(trajectories):
            by_failure.setdefault(one.task.id if one.task is not None else "", []).append(index)
        outcomes: list[Any] = [(Status.FAILED, "the failure that this reflects on is not known")] * len(trajectories)
        for name, places in by_failure.items():
            failure = self.failures.get(name)
            if failure is None:
                continue
            texts = [trajectories[place].completion for place in places]
            retries = self.retrospective.retry(failure, texts, seed=self.seed)
            for place, retry in zip(places, retries, strict=True):
                after, before = retry.info["return"], failure.info["return"]
                outcomes[place] = (
                    (Status.FAILED, retry.info.get("failed", "the retry has no return"))
                    if after is None
                    else Verdict(after - before, parts={"after": after, "before": before})
                )
        return scores_from_verdicts(outcomes)


def reflection_tasks(
    retrospective: Retrospective, attempts: Sequence[Trajectory]
) -> tuple[list[Task], dict[str, Trajectory]]:
    """The writer's tasks for all failed attempts, and the attempts by the names of these tasks."""
    failures = [
        one for one in attempts if one.info.get("return") is not None and one.info["return"] < retrospective.success_at
    ]
    tasks = [retrospective.reflection_task(one, str(place)) for place, one in enumerate(failures)]
    return tasks, {failure_name(one, str(place)): one for place, one in enumerate(failures)}


@dataclass(kw_only=True)
class RetroformerTrainer:
    """The three stages over rated reflections.

    Args:
        writer: the policy that is trained, in place.
        ratings: of reflections; what the frozen writer wrote, usually.
        stages: which ones `run` does, in this order.
        reward: what the last stage optimises: a reward model fitted to whether single reflections helped
            (`pointwise`) or to which of two on the same failure helped more (`pairwise`), or true differences by new
            attempts (`environment`).
        model: the reward model of `pointwise` and `pairwise`, fitted in place.
        retry: of `environment`: a `RetryReward`; its failures' tasks are then trained on.
        tasks: what the last stage trains on; those of the ratings when not given.
        positive: which ratings helped; the paper's repository has `lambda rating: rating > 0.25`.
        balance: whether the pointwise stage draws as many that did not help as helped.
        baseline: taken off the reward model's value.
        steps: stage -> updates.
        learning_rates: stage -> learning rate.
        batch_size: of the first two stages.
        objective: of the last stage.
        options: further ones of the last stage's trainer (`tasks_per_step`, `group_size`, `sampling`, ...).
        output: a folder; each stage keeps its own run below it, and a finished or broken one is gone on with.
        seed: of everything.
    """

    writer: Any
    ratings: Ratings
    stages: Sequence[Stage] = ("sft", "reward", "ppo")
    reward: Literal["pointwise", "pairwise", "environment"] = "pointwise"
    model: RewardModel | None = None
    retry: RetryReward | None = None
    tasks: Sequence[Task] | None = None
    positive: Callable[[float], bool] = lambda rating: rating > 0.0
    balance: bool = True
    baseline: float = 0.0
    steps: Mapping[str, int] = field(default_factory=lambda: {"sft": 200, "reward": 500, "ppo": 150})
    learning_rates: Mapping[str, float] = field(default_factory=lambda: {"sft": 3e-4, "reward": 1e-3, "ppo": 5e-4})
    batch_size: int = 32
    objective: Any = field(default_factory=lambda: {"type": "ppo", "kl_coefficient": 0.05})
    options: Mapping[str, Any] = field(default_factory=dict)
    output: str | Path | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for stage in self.stages:
            if stage not in ("sft", "reward", "ppo"):
                raise ValueError(f"stages must be of sft, reward and ppo, got {stage!r}")
        if self.reward not in ("pointwise", "pairwise", "environment"):
            raise ValueError(f"reward must be one of pointwise, pairwise and environment, got {self.reward!r}")
        if self.reward == "environment" and self.retry is None:
            raise ValueError('reward="environment" needs retry=RetryReward(...), which tries failures again')
        if self.reward != "environment" and self.model is None and {"reward", "ppo"} & set(self.stages):
            raise ValueError(
                f'reward="{self.reward}" needs model=RewardModel.make(...), which is fitted to the ratings'
            )

    def run(self) -> dict[str, Any]:
        """All stages; what each gave, by its name."""
        do: dict[str, Callable[[], Any]] = {"sft": self.sft, "reward": self.fit_reward, "ppo": self.ppo}
        wanted = [stage for stage in self.stages if not (stage == "reward" and self.reward == "environment")]
        return {stage: do[stage]() for stage in wanted}

    def sft(self) -> Training:
        """Imitate the reflections that helped."""
        helped = [row for row in self.ratings.rows if self.positive(row.value)]
        if not helped:
            values = np.array([row.value for row in self.ratings.rows])
            raise ValueError(
                f"no rating is positive, so there is nothing to imitate: {values.size} ratings, {(values == 0).sum()} of "
                f"them 0 and {(values < 0).sum()} below; collect more, or lower the bar with positive="
            )
        start = WarmStart(
            demonstrations=[row.trajectory() for row in helped],
            steps=self.steps["sft"],
            batch_size=min(self.batch_size, len(helped)),
            learning_rate=self.learning_rates["sft"],
        )
        return train(
            self.writer, SingleTurn, _nothing, [row.task() for row in helped[:1]], warm_start=start, steps=0,
            output=self._folder("sft"), seed=self.seed, trackers=(),
        )  # fmt: skip

    def fit_reward(self) -> Any:
        """Fit the reward model to the ratings."""
        assert self.model is not None  # checked when made
        data = pointwise(self.ratings.rows, self.positive, balance=self.balance, seed=self.seed)
        if self.reward == "pairwise":
            data = pairwise(self.ratings.rows)  # type: ignore[assignment]  # the other kind of judgements
        options: dict[str, Any] = {} if self.reward == "pairwise" else {"loss": CorrectnessLoss(), "normalise": False}
        return fit(
            self.model, data, steps=self.steps["reward"], batch_size=self.batch_size,
            learning_rate=self.learning_rates["reward"], seed=self.seed, output=self._folder("reward"), **options,
        )  # fmt: skip

    def ppo(self) -> Training:
        """Optimise the reward with policy gradient."""
        tasks = self.tasks
        if self.reward == "environment":
            assert self.retry is not None  # checked when made
            reward: Any = self.retry
            if tasks is None:
                failures = self.retry.failures.items()
                tasks = [replace(self.retry.retrospective.reflection_task(one), id=name) for name, one in failures]
        else:
            assert self.model is not None  # checked when made
            if not any(row.value for row in self.ratings.rows):
                raise ValueError(
                    f"all {len(self.ratings.rows)} ratings are 0, so a reward fitted to them has nothing to say"
                )
            reward = self.model - self.baseline if self.baseline else self.model
            if tasks is None:
                tasks = list({row.failure: row.task() for row in self.ratings.rows}.values())
        objective = self.objective
        if isinstance(objective, Mapping):
            objective = {"learning_rate": self.learning_rates["ppo"], **objective}
        return train(
            self.writer, SingleTurn, reward, tasks, steps=self.steps["ppo"], objective=objective,
            output=self._folder("ppo"), seed=self.seed, **{"limits": Limits(turns=1), "trackers": (), **self.options},
        )  # fmt: skip

    def _folder(self, stage: str) -> Path | None:
        return None if self.output is None else Path(self.output) / stage


def pointwise(
    rows: Sequence[Rating], positive: Callable[[float], bool], *, balance: bool = True, seed: int = 0
) -> RatingData:
    """Single reflections with 1 where they helped, else 0.

    Raises:
        ValueError: only one of the two occurs.
    """
    helped = [row for row in rows if positive(row.value)]
    others = [row for row in rows if not positive(row.value)]
    if not helped or not others:
        raise ValueError(
            f"{len(helped)} reflections helped and {len(others)} did not; a reward of single reflections needs both"
        )
    if balance and len(others) > len(helped):
        others = random.Random(f"retrospection/{seed}").sample(others, len(helped))
    chosen = [*helped, *others]
    return RatingData(
        items=[row.trajectory() for row in chosen],
        item=np.arange(len(chosen)),
        value=np.array([1.0] * len(helped) + [0.0] * len(others)),
    )


def pairwise(rows: Sequence[Rating]) -> PreferenceData:
    """All pairs of reflections on the same failure with different ratings.

    Raises:
        ValueError: there is none.
    """
    by_failure: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        by_failure.setdefault(row.failure, []).append(place)
    pairs = [
        (better, worse)
        for places in by_failure.values()
        for better in places
        for worse in places
        if rows[better].value > rows[worse].value
    ]
    if not pairs:
        raise ValueError(
            f"no failure has two reflections with different ratings among {len(rows)} ratings of {len(by_failure)} "
            'failures; write several reflections on each failure, or use reward="pointwise"'
        )
    first, second = np.array(pairs).T
    return PreferenceData(
        items=[row.trajectory() for row in rows], first=first, second=second, label=np.ones(len(pairs))
    )


def _nothing(trajectories: Sequence[Trajectory], *, progress: float | None = None) -> Scores:
    """The reward of a training without steps."""
    return Scores.blank(len(trajectories))
