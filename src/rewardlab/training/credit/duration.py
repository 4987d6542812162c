"""Credit that knows how long actions take: advantages weighted by duration, and rewards that pay for time.

`DurationAware` multiplies the advantages of any other rule by a weight for each action, after the baseline and after any
normalisation; targets of a value head, divergences and entropy keep weight 1. Which weight is right depends on what becomes
of unfinished work; `rewardlab.functional.durations` says why. Its default is the simplest unbiased one where it is dropped.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rewardlab.environments.timing import action_seconds, cut_off
from rewardlab.functional.durations import (
    check_seconds,
    completion_weights,
    cutoff_weights,
    duration_weights,
    effective_sample_size,
)
from rewardlab.training.credit.base import Advantages, broadcast, check_scores, group_ids
from rewardlab.training.seats import build_seat
from rewardlab.types import Scores, Trajectory

Weight = Literal["cutoff", "completion", "mean", "clip"]
Recentre = Literal["none", "batch", "group"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The score itself for every action, without any baseline: plain REINFORCE."""

    needs_groups: bool = field(default=False, init=False, repr=False)

    def __call__(self, trajectories: Sequence[Trajectory], scores: Scores) -> Advantages:
        """Assign credit."""
        check_scores(trajectories, scores)
        values = np.where(scores.scored, scores.values, 0.0)
        return Advantages(values=broadcast(trajectories, values, scores.scored), included=scores.scored.copy())


@dataclass(kw_only=True)
class DurationAware:
    """The advantages of another rule, weighted by how long actions took (Yang et al., arXiv 2509.01684).

    What an action took is what the environment says it took (`info["seconds"]`), else `Trajectory.seconds`. For "cutoff" and
    "completion", trajectories must come from `rewardlab.training.AsyncLoop`, which knows the windows.

    Args:
        base: the rule whose advantages are weighted: a name of `CREDITS`, a mapping, or an object; "outcome" is the score
            without a baseline.
        weight: "cutoff" is 1 for attempts that were started when the longest could still be finished and 0 for the others,
            the simplest unbiased rule where unfinished work is dropped; "completion" is 1 / P(finished), unbiased as well,
            and uses all attempts; "mean" is duration over mean duration, the paper's; "clip" the same with a limit. All are
            brought to mean 1.
        clip: the largest weight of "clip", and the largest 1 / P of "completion".
        floor: shorter actions count as this many seconds.
        overhead: seconds that are added to each action.
        longest: for "cutoff", the longest that an attempt can take; the longest of the batch when not given, which is too
            short where the longest never finish.
        censored: actions that a limit ended count as long as the limit ("limit"), or their trajectories are left out
            ("drop").
        recentre: subtract the weighted mean of the advantages first, over the "batch" or the "group", so that weighting
            does not push towards slow actions by itself. The paper does not ("none").
    """

    base: Any = "batch"
    weight: Weight = "cutoff"
    clip: float = 10.0
    floor: float = 0.0
    overhead: float = 0.0
    longest: float | None = None
    censored: Literal["limit", "drop"] = "limit"
    recentre: Recentre = "none"

    def __post_init__(self) -> None:
        for name, known in (("weight", Weight), ("censored", Literal["limit", "drop"]), ("recentre", Recentre)):
            if getattr(self, name) not in get_args(known):
                raise ValueError(f"{name} must be one of {', '.join(get_args(known))}, got {getattr(self, name)!r}")
        if not self.clip >= 1:
            raise ValueError(f"clip must be at least 1, got {self.clip}")
        for name in ("floor", "overhead"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be a number of seconds of at least 0, got {getattr(self, name)}")
        if self.longest is not None and not self.longest > 0:
            raise ValueError(f"longest must be a positive number of seconds, got {self.longest}")
        self._rule = _rule(self.base)
        self._warned = False

    @property
    def needs_groups(self) -> bool:
        """Whether the base compares trajectories of one task."""
        return bool(getattr(self._rule, "needs_groups", False)) or self.recentre == "group"

    def bind(self, policy: Any) -> None:
        """Pass the policy on to the base, where it wants it."""
        if hasattr(self._rule, "bind"):
            self._rule.bind(policy)

    def observe(self, trajectories: Sequence[Trajectory], scores: Scores) -> None:
        """Pass on what was seen to the base, where it learns."""
        if hasattr(self._rule, "observe"):
            self._rule.observe(trajectories, scores)

    def state_dict(self) -> dict[str, Any]:
        """What the base has learned, for checkpoints."""
        return dict(self._rule.state_dict()) if hasattr(self._rule, "state_dict") else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Give the base back what it had learned."""
        if hasattr(self._rule, "load_state_dict"):
            self._rule.load_state_dict(state)

    def __call__(self, trajectories: Sequence[Trajectory], scores: Scores) -> Advantages:
        """Assign credit.

        Raises:
            ValueError: a trajectory that would be weighted has no seconds, or wrong ones; the message names it.
        """
        advantages: Advantages = self._rule(trajectories, scores)
        included = advantages.included.copy()
        stopped = [cut_off(trajectory) for trajectory in trajectories]
        if self.censored == "drop":
            included &= ~np.array([rows.any() for rows in stopped], dtype=np.bool_)
        used: list[int] = np.flatnonzero(included).tolist()
        if not used:
            return replace(advantages, included=included)
        seconds = [self._seconds(trajectories[index], index) for index in used]
        self._warn_where_nothing_is_lost(trajectories[used[0]])
        weights = self._weights([trajectories[index] for index in used], used, seconds)
        values, tokens = list(advantages.values), None if advantages.tokens is None else list(advantages.tokens)
        shifts = self._shifts(advantages, used, weights, group_ids(trajectories))
        weighted: list[Floats] = []
        for place, index in enumerate(used):
            values[index] = (advantages.values[index] - shifts[place]) * weights[place]
            weighted.append(values[index])
            if tokens is not None:
                step = _steps_of_tokens(trajectories[index], index)
                tokens[index] = (tokens[index] - shifts[place]) * weights[place][step]
        statistics = dict(advantages.statistics) | _measured(seconds, weights, weighted)
        statistics["cut_off"] = float(np.concatenate([stopped[index] for index in used]).mean())
        return replace(advantages, values=values, tokens=tokens, included=included, statistics=statistics)

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _seconds(self, trajectory: Trajectory, index: int) -> Floats:
        taken = action_seconds(trajectory)
        if taken is None:
            raise ValueError(
                f"trajectory {index} has no seconds, so that its actions cannot be weighted; rollouts fill "
                "Trajectory.seconds, and environments may report their own under info['seconds']"
            )
        try:
            return np.maximum(check_seconds(taken) + self.overhead, self.floor)
        except ValueError as error:
            raise ValueError(f"trajectory {index}: {error}") from error

    def _weights(self, used: list[Trajectory], places: list[int], seconds: list[Floats]) -> list[Floats]:
        """float64[action] for each used trajectory."""
        if self.weight in ("mean", "clip"):
            flat = duration_weights(np.concatenate(seconds), clip=self.clip if self.weight == "clip" else None)
            return list(np.split(flat, np.cumsum([row.size for row in seconds])[:-1]))
        windows = [_window(trajectory, index, self.weight) for trajectory, index in zip(used, places, strict=True)]
        if self.weight == "completion":
            whole = completion_weights([max(one["completion"], 1e-9) for one in windows], clip=self.clip)
        else:
            longest = max(row.sum() for row in seconds) if self.longest is None else self.longest
            whole = cutoff_weights([one["available"] for one in windows], longest)
            if not whole.any():
                self._warn(
                    f"no attempt was started {longest:.3g} seconds before the end of its window, so that nothing is learned "
                    "from this batch; make windows longer than the longest attempt, or use weight='completion'"
                )
        return [np.full(row.size, weight) for row, weight in zip(seconds, whole, strict=True)]

    def _shifts(self, advantages: Advantages, used: list[int], weights: list[Floats], groups: Any) -> Floats:
        """What is subtracted from the advantages of each used trajectory."""
        shifts = np.zeros(len(used))
        if self.recentre == "none":
            return shifts
        keys = groups[used] if self.recentre == "group" else np.zeros(len(used), dtype=np.int64)
        total = np.array([float((advantages.values[i] * w).sum()) for i, w in zip(used, weights, strict=True)])
        mass = np.array([float(row.sum()) for row in weights])
        for key in np.unique(keys):
            members = keys == key
            shifts[members] = total[members].sum() / max(mass[members].sum(), 1e-12)
        return shifts

    def _warn_where_nothing_is_lost(self, trajectory: Trajectory) -> None:
        window = trajectory.info.get("window")
        if self.weight not in ("mean", "clip") or not isinstance(window, dict):
            return
        if window.get("unfinished") == "carry" and window.get("max_staleness") is None:
            self._warn(
                f"DurationAware(weight={self.weight!r}) has no bias to correct where unfinished attempts are carried on and "
                "none is too stale: finished ones are distributed as the policy chose them, and weights make slow actions "
                "count more. Leave the weights out, or drop what is unfinished"
            )

    def _warn(self, message: str) -> None:
        """Say it once, and not with every batch."""
        if not self._warned:
            self._warned = True
            warnings.warn(message, stacklevel=4)


@dataclass(kw_only=True)
class RewardRate:
    """Scores that pay for time: `score - rate * seconds`, with a running estimate of the reward of a second.

    An alternative to weights from the average-reward setting (a later public continuation of the same work): the best action
    is the one that earns most per second, where weights look for the one that earns most.

    Args:
        base: the rule that turns the scores into advantages: a name of `CREDITS`, a mapping, or an object.
        rate: reward of a second at first.
        momentum: how much of the estimate is kept at each step; 1 keeps `rate` as it is.
        charge_failures: seconds that an attempt without a submission is charged at least, so that failing fast does not
            pay; those with `info["status"]` other than "submitted" are meant. None charges what they took.
    """

    base: Any = "batch"
    rate: float = 0.0
    momentum: float = 0.9
    charge_failures: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {self.momentum}")
        for name in ("rate", "charge_failures"):
            value = getattr(self, name)
            if value is not None and not np.isfinite(value):
                raise ValueError(f"{name} must be finite, got {value}")
        self._rule = _rule(self.base)

    @property
    def needs_groups(self) -> bool:
        """Whether the base compares trajectories of one task."""
        return bool(getattr(self._rule, "needs_groups", False))

    def __call__(self, trajectories: Sequence[Trajectory], scores: Scores) -> Advantages:
        """Assign credit."""
        check_scores(trajectories, scores)
        paid = scores.values - self.rate * self._taken(trajectories, scores)
        given: Advantages = self._rule(
            trajectories, replace(scores, values=np.where(scores.scored, paid, scores.values))
        )
        given.statistics["reward_rate"] = self.rate
        return given

    def observe(self, trajectories: Sequence[Trajectory], scores: Scores) -> None:
        """Bring the rate up to date."""
        taken = self._taken(trajectories, scores)[scores.scored].sum()
        if taken > 0:
            now = float(scores.values[scores.scored].sum() / taken)
            self.rate = self.momentum * self.rate + (1 - self.momentum) * now

    def state_dict(self) -> dict[str, Any]:
        """The rate, for checkpoints."""
        return {"rate": self.rate}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.rate = float(state["rate"])

    def _taken(self, trajectories: Sequence[Trajectory], scores: Scores) -> Floats:
        taken = np.zeros(len(trajectories))
        for index in np.flatnonzero(scores.scored).tolist():
            seconds = action_seconds(trajectories[index])
            if seconds is None:
                raise ValueError(f"trajectory {index} has no seconds, so that its time cannot be paid for")
            taken[index] = check_seconds(seconds).sum()
            if self.charge_failures is not None and trajectories[index].info.get("status", "submitted") != "submitted":
                taken[index] = max(taken[index], self.charge_failures)
        return taken


def _rule(base: Any) -> Any:
    from rewardlab.training.credit import CREDITS

    rule = Outcome() if base == "outcome" else build_seat(base, CREDITS)
    if not callable(rule):
        raise ValueError(f'base must be "outcome", the name or spec of a credit rule, or a rule, got {base!r}')
    return rule


def _window(trajectory: Trajectory, index: int, weight: str) -> Mapping[str, Any]:
    window = trajectory.info.get("window")
    if not isinstance(window, Mapping) or not {"available", "completion"} <= window.keys():
        raise ValueError(
            f"trajectory {index} does not say in which window it was made (info['window']), which weight={weight!r} needs; "
            "use rollout=AsyncLoop(...), or weight='mean'"
        )
    return window


def _steps_of_tokens(trajectory: Trajectory, index: int) -> NDArray[np.int32]:
    if trajectory.tokens is None:
        raise ValueError(f"trajectory {index} has advantages of tokens, but no tokens")
    return trajectory.tokens.step[trajectory.tokens.step >= 0]


def _measured(seconds: list[Floats], weights: list[Floats], weighted: list[Floats]) -> dict[str, float]:
    """What is worth a look: how long actions took, what the weights leave of the batch, and who moves the policy."""
    taken, given, moved = np.concatenate(seconds), np.concatenate(weights), np.abs(np.concatenate(weighted))
    slow = taken >= np.quantile(taken, 0.75)
    return {
        "seconds_median": float(np.median(taken)),
        "seconds_90": float(np.quantile(taken, 0.9)),
        "weight_max": float(given.max()),
        "effective_share": effective_sample_size(given) / given.size,
        "slow_quarter_share": float(moved[slow].sum() / moved.sum()) if moved.sum() else float("nan"),
        "weighted_mean": float(np.concatenate(weighted).mean()),
    }
