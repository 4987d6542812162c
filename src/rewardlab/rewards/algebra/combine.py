"""Sums and products of rewards, and what every combination shares: scoring the children, and joining their outcomes.

Outcomes join by one rule. A part that failed makes the whole fail, since a number would hide what is missing. A part that
abstained has nothing to say about that sample and is left out; where every part abstained, so does the whole. A part of
weight 0 is measured and logged, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.base import Reward
from rewardlab.rewards.spec import register
from rewardlab.types import Scores, Status, Trajectory


def score_children(
    children: Mapping[str, Reward], trajectories: Sequence[Trajectory], progress: float | None
) -> dict[str, Scores]:
    """Score with every child. Those that wait outside the interpreter run beside the others, each in a thread of its own.

    Raises:
        ValueError: a child returned another number of scores than it got trajectories.
    """
    waiting = [name for name, child in children.items() if child.overlaps]
    if waiting and len(children) > 1:
        with ThreadPoolExecutor(max_workers=len(waiting), thread_name_prefix="rewardlab-part") as pool:
            futures = {name: pool.submit(children[name]._score, trajectories, progress) for name in waiting}
            here = {
                name: child._score(trajectories, progress) for name, child in children.items() if name not in futures
            }
            results = {name: futures[name].result() if name in futures else here[name] for name in children}
    else:
        results = {name: child._score(trajectories, progress) for name, child in children.items()}
    for name, scores in results.items():
        if len(scores) != len(trajectories):
            raise ValueError(f"part {name!r} returned {len(scores)} scores for {len(trajectories)} trajectories")
    return results


def join_notes(
    parts: Mapping[str, Scores], status: NDArray[np.int8], extra: Mapping[int, str] | None = None
) -> list[str | None] | None:
    """Notes of a combination: for each sample that failed, which part failed and why."""
    failed = np.flatnonzero(status == Status.FAILED)
    if not failed.size and not extra:
        return None
    notes: list[str | None] = [None] * len(status)
    for index in failed.tolist():
        reasons = [
            f"{name}: {part.note(index) or 'failed'}"
            for name, part in parts.items()
            if part.status[index] == Status.FAILED
        ]
        notes[index] = "; ".join(reasons) or None
    for index, text in (extra or {}).items():
        notes[index] = text if notes[index] is None else f"{notes[index]}; {text}"
    return notes


def join_confidence(parts: Sequence[Scores]) -> NDArray[np.float64] | None:
    """Confidence of a combination: that of its least confident part; NaN where no part has one."""
    given = [part.confidence for part in parts if part.confidence is not None]
    if not given:
        return None
    lowest: NDArray[np.float64] = np.fmin.reduce(np.stack(given))
    return lowest


def unique_names(rewards: Sequence[Reward]) -> list[str]:
    """A name for each reward: its label, with a number behind it where two would have the same."""
    names: list[str] = []
    for reward in rewards:
        label = reward.label.replace(".", "_")
        name, number = label, 1
        while name in names:
            number += 1
            name = f"{label}_{number}"
        names.append(name)
    return names


def check_parts(owner: Reward, parts: Mapping[str, Any], least: int = 1) -> None:
    """Raise a ValueError for parts that cannot be combined: too few of them, or names that would not stay unique."""
    if len(parts) < least:
        raise ValueError(f"{type(owner).__name__}: option 'parts' needs at least {least} rewards, got {len(parts)}")
    for name in parts:
        if not name or "." in name:
            raise ValueError(
                f"{type(owner).__name__}: option 'parts' has the name {name!r}; a part's name must not be empty or hold a "
                "dot, which joins the names of parts inside parts"
            )


@register("sum")
@dataclass(frozen=True, kw_only=True)
class Sum(Reward):
    """Weighted sum of named parts, plus a constant.

    Args:
        parts: the rewards by name.
        weights: weight of each part, 1 where not given; a part of weight 0 is logged only.
        bias: constant added to every scored sample.
        abstained: what an abstaining part means for the sum: "skip" leaves it out, "renormalise" also scales the rest up to
            the full weight, "abstain" makes the whole abstain.
    """

    parts: dict[str, Reward]
    weights: dict[str, float] = field(default_factory=dict)
    bias: float = 0.0
    abstained: Literal["skip", "renormalise", "abstain"] = "skip"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parts(self, self.parts)
        for name, weight in self.weights.items():
            if name not in self.parts:
                raise ValueError(
                    f"Sum: option 'weights' names the part {name!r}, which is not there; parts: {', '.join(self.parts)}"
                )
            if not np.isfinite(weight):
                raise ValueError(
                    f"Sum: option 'weights' gives part {name!r} the weight {weight}, expected a finite number"
                )
        if not np.isfinite(self.bias):
            raise ValueError(f"Sum: option 'bias' must be finite, got {self.bias}")

    def children(self) -> dict[str, Reward]:  # noqa: D102 - documented on Reward
        return dict(self.parts)

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        parts = score_children(self.parts, trajectories, progress)
        return self.combine(parts, len(trajectories))

    def combine(self, parts: dict[str, Scores], count: int) -> Scores:
        """Add up scores that the parts gave already.

        Args:
            parts: scores by part name, each with `count` samples.
            count: number of samples.
        """
        deciding = {name: scores for name, scores in parts.items() if self.weights.get(name, 1.0) != 0.0}
        weights = np.array([self.weights.get(name, 1.0) for name in deciding])
        if all(not scores.status.any() for scores in deciding.values()):  # nothing failed or abstained anywhere
            values = np.full(count, self.bias)
            with np.errstate(over="ignore", invalid="ignore"):  # `overflow` below marks what left the floats
                for weight, scores in zip(weights, deciding.values(), strict=True):
                    values += weight * scores.values
            status = np.zeros(count, dtype=np.int8)
        else:
            states = np.stack([scores.status for scores in deciding.values()])
            scored = states == Status.SCORED
            columns = np.where(scored, np.stack([scores.values for scores in deciding.values()]), 0.0)
            values = weights @ columns
            if self.abstained == "renormalise":
                present = np.abs(weights) @ scored
                total = np.abs(weights).sum()
                values = np.divide(values * total, present, out=np.full(count, np.nan), where=present > 0)
            values = values + self.bias
            silent = (states == Status.ABSTAINED).any(axis=0) if self.abstained == "abstain" else ~scored.any(axis=0)
            status = np.where(silent, np.int8(Status.ABSTAINED), np.int8(Status.SCORED))
            status[(states == Status.FAILED).any(axis=0)] = Status.FAILED
        extra = overflow(values, status)
        return Scores(
            values=np.where(status == Status.SCORED, values, np.nan) if status.any() else values,
            status=status,
            notes=join_notes(deciding, status, extra),
            steps=self._steps(deciding, count),
            parts=parts,
            confidence=join_confidence(list(deciding.values())),
        )

    def _steps(self, parts: Mapping[str, Scores], count: int) -> list[NDArray[np.float64] | None] | None:
        """Per-step values add up too, over the parts that have them."""
        giving = [(self.weights.get(name, 1.0), part.steps) for name, part in parts.items() if part.steps is not None]
        if not giving:
            return None
        total: list[NDArray[np.float64] | None] = [None] * count
        for weight, steps in giving:
            for index, values in enumerate(steps):
                if values is not None:
                    so_far = total[index]
                    total[index] = weight * values if so_far is None else so_far + weight * values
        return total


@register("product")
@dataclass(frozen=True, kw_only=True)
class Product(Reward):
    """Product of named parts; one that abstains is left out, one that fails makes the whole fail.

    Args:
        parts: the rewards by name.
    """

    parts: dict[str, Reward]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parts(self, self.parts)

    def children(self) -> dict[str, Reward]:  # noqa: D102
        return dict(self.parts)

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        parts = score_children(self.parts, trajectories, progress)
        states = np.stack([scores.status for scores in parts.values()])
        scored = states == Status.SCORED
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.where(scored, np.stack([scores.values for scores in parts.values()]), 1.0).prod(axis=0)
        status = np.where(scored.any(axis=0), np.int8(Status.SCORED), np.int8(Status.ABSTAINED))
        status[(states == Status.FAILED).any(axis=0)] = Status.FAILED
        extra = overflow(values, status)
        return Scores(
            values=np.where(status == Status.SCORED, values, np.nan),
            status=status,
            notes=join_notes(parts, status, extra),
            parts=parts,
            confidence=join_confidence(list(parts.values())),
        )


def overflow(values: NDArray[np.float64], status: NDArray[np.int8]) -> dict[int, str]:
    """Mark samples failed (in place) whose combined value left the range of floats, and return a note for each."""
    wrong = np.flatnonzero((status == Status.SCORED) & ~np.isfinite(values))
    status[wrong] = Status.FAILED
    return {int(index): f"the combined value is {values[index]}, which is not a finite number" for index in wrong}


def add(left: Reward, right: Reward | float) -> Reward:
    """`left + right`; sums without a name of their own are laid flat, so that their parts stand side by side."""
    if isinstance(right, (int, float)):
        base = left if _is_plain_sum(left) else Sum(parts={left.label.replace(".", "_"): left})
        assert isinstance(base, Sum)
        return replace(base, bias=base.bias + right)
    if not isinstance(right, Reward):
        raise TypeError(
            f"a reward can be added to a reward or a number, got {type(right).__name__}; "
            "make a function a reward with @rewardlab.reward"
        )
    terms: list[tuple[str, Reward, float]] = []
    bias = 0.0
    for side in (left, right):
        if _is_plain_sum(side):
            assert isinstance(side, Sum)
            bias += side.bias
            terms += [(name, part, side.weights.get(name, 1.0)) for name, part in side.parts.items()]
        else:
            terms.append((side.label, side, 1.0))
    names = unique_names([part.named(name) for name, part, _ in terms])
    return Sum(
        parts={name: part for name, (_, part, _) in zip(names, terms, strict=True)},
        weights={name: weight for name, (_, _, weight) in zip(names, terms, strict=True) if weight != 1.0},
        bias=bias,
    )


def multiply(left: Reward, right: Reward | float) -> Reward:
    """`left * right`: a weight where the right side is a number, a product where it is a reward."""
    if isinstance(right, Reward):
        sides = [left, right]
        names = unique_names(sides)
        return Product(parts=dict(zip(names, sides, strict=True)))
    if not isinstance(right, (int, float)):
        raise TypeError(f"a reward can be multiplied by a number or a reward, got {type(right).__name__}")
    if _is_plain_sum(left):
        assert isinstance(left, Sum)
        weights = {name: left.weights.get(name, 1.0) * right for name in left.parts}
        return replace(left, weights=weights, bias=left.bias * right)
    name = left.label.replace(".", "_")
    return Sum(parts={name: left}, weights={name: float(right)})


def _is_plain_sum(reward: Reward) -> bool:
    return isinstance(reward, Sum) and reward.name is None and reward.abstained == "skip"
