"""Rewards that decide which reward counts: a gate, a cascade of checks, and a hybrid of a rule and a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.algebra.combine import check_parts, join_confidence, join_notes, score_children, unique_names
from rewardlab.rewards.base import Reward
from rewardlab.rewards.spec import register
from rewardlab.types import Scores, Status, Trajectory


@register("gate")
@dataclass(frozen=True, kw_only=True)
class Gate(Reward):
    """A reward that counts only where another one holds. Both are scored for every sample, so that both can be logged.

    Where the gate failed or abstained, so does the whole: nobody knows whether it holds.

    Args:
        reward: what counts where the gate is open.
        gate: what opens it.
        threshold: lowest value of the gate that opens it.
        otherwise: the value where it is shut.
    """

    reward: Reward
    gate: Reward
    threshold: float = 1.0
    otherwise: float = 0.0

    def children(self) -> dict[str, Reward]:  # noqa: D102 - documented on Reward
        names = unique_names([self.gate, self.reward])
        return dict(zip(names, (self.gate, self.reward), strict=True))

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        parts = score_children(self.children(), trajectories, progress)
        gate, inner = parts.values()
        with np.errstate(invalid="ignore"):
            is_open = gate.values >= self.threshold
        shut = gate.scored & ~is_open
        values = np.where(is_open, inner.values, np.where(shut, self.otherwise, np.nan))
        status = np.where(is_open, inner.status, np.where(shut, np.int8(Status.SCORED), gate.status)).astype(np.int8)
        steps = None
        if inner.steps is not None:
            steps = [entry if opened else None for entry, opened in zip(inner.steps, is_open, strict=True)]
        return Scores(
            values=values,
            status=status,
            notes=join_notes(parts, status),
            steps=steps,
            parts=parts,
            confidence=join_confidence([gate, inner]),
        )


@register("cascade")
@dataclass(frozen=True, kw_only=True)
class Cascade(Reward):
    """Checks from cheap to dear: each is asked only about the samples that passed all before it.

    A sample that stops gets the value of the check that it did not pass; one that passes all gets the last value, or the
    mean or product of all. Where a check abstains, the next one decides; where it fails, the sample is failed.

    Args:
        checks: the rewards by name, in order.
        threshold: lowest value that passes; one number, or one for each check.
        combine: what a sample that passed every check gets: the "last" value, the "mean" or the "product".
    """

    checks: dict[str, Reward]
    threshold: float | tuple[float, ...] = 1.0
    combine: Literal["last", "mean", "product"] = "last"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parts(self, self.checks)
        if isinstance(self.threshold, tuple) and len(self.threshold) != len(self.checks):
            raise ValueError(
                f"Cascade: option 'threshold' has {len(self.threshold)} entries for {len(self.checks)} checks; give one "
                "number, or one for each check"
            )

    def children(self) -> dict[str, Reward]:  # noqa: D102
        return dict(self.checks)

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        count = len(trajectories)
        thresholds = self.threshold if isinstance(self.threshold, tuple) else (self.threshold,) * len(self.checks)
        values = np.full(count, np.nan)
        status = np.full(count, Status.ABSTAINED, dtype=np.int8)
        total, product, scored_checks = np.zeros(count), np.ones(count), np.zeros(count)
        alive = np.arange(count)
        parts: dict[str, Scores] = {}
        steps: list[NDArray[np.float64] | None] = [None] * count
        for (name, check), threshold in zip(self.checks.items(), thresholds, strict=True):
            if not alive.size:
                parts[name] = Scores.blank(count, note="an earlier check was not passed")
                continue
            # a check that compares the members of a group must see those that stopped, too
            asked = np.arange(count) if check.group_wise else alive
            fresh = score_children({name: check}, [trajectories[index] for index in asked.tolist()], progress)[name]
            scores = Scores.scatter([(asked, fresh)], count)
            parts[name] = scores
            here = scores.status[alive]
            spoke = alive[here == Status.SCORED]
            values[spoke] = scores.values[spoke]
            status[spoke] = Status.SCORED
            total[spoke] += scores.values[spoke]
            product[spoke] *= scores.values[spoke]
            scored_checks[spoke] += 1
            broken = alive[here == Status.FAILED]
            status[broken], values[broken] = Status.FAILED, np.nan
            for index in spoke:
                if scores.steps is not None and scores.steps[index] is not None:
                    steps[index] = scores.steps[index]
            passed = (here == Status.ABSTAINED) | ((here == Status.SCORED) & (scores.values[alive] >= threshold))
            alive = alive[passed]
        finished = alive[status[alive] == Status.SCORED]
        if self.combine == "mean":
            values[finished] = total[finished] / scored_checks[finished]
        elif self.combine == "product":
            values[finished] = product[finished]
        return Scores(
            values=values,
            status=status,
            notes=join_notes(parts, status),
            steps=steps if any(entry is not None for entry in steps) else None,
            parts=parts,
        )


@register("hybrid")
@dataclass(frozen=True, kw_only=True)
class Hybrid(Reward):
    """The first reward where it is sure, the second elsewhere. The second is asked only about those samples.

    Args:
        first: asked about everything; a sample that it scored without a confidence counts as sure.
        second: asked where the first abstained, failed, or was less confident than the threshold.
        confidence: lowest confidence of the first that is believed, in [0, 1].
    """

    first: Reward
    second: Reward
    confidence: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"Hybrid: option 'confidence' must be in [0, 1], got {self.confidence}")

    def children(self) -> dict[str, Reward]:  # noqa: D102
        names = unique_names([self.first, self.second])
        return dict(zip(names, (self.first, self.second), strict=True))

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        count = len(trajectories)
        (first_name, first), (second_name, second) = self.children().items()
        rule = score_children({first_name: first}, trajectories, progress)[first_name]
        certainty = np.ones(count) if rule.confidence is None else np.nan_to_num(rule.confidence, nan=1.0)
        sure = rule.scored & (certainty >= self.confidence)
        unsure = np.flatnonzero(~sure)
        model = Scores.blank(count, note=f"{first_name} was sure")
        if unsure.size:
            asked = np.arange(count) if second.group_wise else unsure
            fresh = score_children({second_name: second}, [trajectories[index] for index in asked.tolist()], progress)[
                second_name
            ]
            model = Scores.scatter([(asked, fresh)], count)
        parts = {first_name: rule, second_name: model}
        status = np.where(sure, rule.status, model.status).astype(np.int8)
        steps = None
        if rule.steps is not None or model.steps is not None:
            blank: list[NDArray[np.float64] | None] = [None] * count
            steps = [
                mine if certain else theirs
                for certain, mine, theirs in zip(sure, rule.steps or blank, model.steps or blank, strict=True)
            ]
        confidence = None
        if rule.confidence is not None or model.confidence is not None:
            theirs_confidence = np.full(count, np.nan) if model.confidence is None else model.confidence
            confidence = np.where(sure, certainty, theirs_confidence)
        return Scores(
            values=np.where(sure, rule.values, model.values),
            status=status,
            notes=join_notes(parts, status),
            steps=steps,
            parts=parts,
            confidence=confidence,
        )


def cascade(*checks: Reward, threshold: float | tuple[float, ...] = 1.0, combine: str = "last") -> Cascade:
    """Checks from cheap to dear; see `Cascade`."""
    return Cascade(
        checks=dict(zip(unique_names(checks), checks, strict=True)),
        threshold=threshold,
        combine=combine,  # type: ignore[arg-type]  # checked by the class
    )


def hybrid(first: Reward, second: Reward, *, confidence: float = 0.5) -> Hybrid:
    """The first reward where it is sure, the second elsewhere; see `Hybrid`."""
    return Hybrid(first=first, second=second, confidence=confidence)
