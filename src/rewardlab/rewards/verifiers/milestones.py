"""Partial credit read out of a log: a little for each milestone whose line is found, once each.

A score that only says right or wrong tells nothing about how far a failing program came. `RegexMilestones` reads how far
from the lines that a log holds; `PartialCredit` puts that beside an outcome, on a scale on which no collection of milestones
is ever worth more than the worst honest result (Yang et al., arXiv 2509.01684, environment instrumentation).
"""

from __future__ import annotations

import math
import re as _re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import regex as re

from rewardlab.rewards.base import Abstention, Reward, ScoringFailure, Verdict, Verifier, attempt, scores_from_verdicts
from rewardlab.rewards.spec import register
from rewardlab.types import Scores, Status, Trajectory

BENCH_MILESTONES = {
    "read": r"^\[bench\] pipeline read",
    "loaded": r"^\[bench\] data loaded",
    "prepared": r"^\[bench\] features prepared",
    "trained": r"^\[bench\] model trained",
    "predicted": r"^\[bench\] predictions made",
}
"""What the model bench itself writes of a pipeline, in order."""

PROGRAM_MILESTONES = {
    "imported": r"^imports done$",
    "loaded": r"^data loaded$",
    "defined": r"^model defined$",
    "trained": r"^model trained$",
    "predicted": r"^predictions made$",
    "written": r"^submission written$",
}
"""What `rewardlab.environments.instrumentation` makes a program print."""

_COLOURS = _re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LONGEST_LINE, _MOST_LINES, _SECONDS = 2000, 20_000, 1.0


@register("regex_milestones")
@dataclass(frozen=True, kw_only=True)
class RegexMilestones(Verifier):
    """The sum of the milestones that a log shows.

    The log is text under `key` in the trajectory's info, matched line by line, without colour codes. Where the info has
    `milestone_tokens` (an instrumented environment writes them), only lines behind one of these tokens count: they cannot be
    guessed by whoever prints. Abstains where the info says that no milestones could be put in (`milestones_abstain`).

    Parts: one for each milestone, 1 where it was found.

    Args:
        milestones: name -> regular expression, searched in each line.
        value: what each is worth.
        values: what some are worth instead, by name.
        key: where in the info the log is.
        once: a milestone counts once, however often its line stands there; else each line counts.
    """

    milestones: dict[str, str] = field(default_factory=lambda: dict(BENCH_MILESTONES))
    value: float = 0.1
    values: dict[str, float] = field(default_factory=dict)
    key: str = "log"
    once: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.milestones:
            raise ValueError("option 'milestones' must name at least one milestone and its pattern")
        for name, pattern in self.milestones.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"option 'milestones': the pattern of {name!r} cannot be read: {error}") from error
        unknown = [name for name in self.values if name not in self.milestones]
        if unknown:
            raise ValueError(f"option 'values' names {unknown[0]!r}, which is none of the milestones")

    @property
    def most(self) -> float:
        """What all milestones together are worth, once each."""
        return sum(max(self.values.get(name, self.value), 0.0) for name in self.milestones)

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Look for every milestone."""
        if trajectory.info.get("milestones_abstain"):
            raise Abstention("no milestones could be put into what ran")
        log = trajectory.info.get(self.key)
        if not isinstance(log, str):
            raise ScoringFailure(f"the trajectory's info has no log under {self.key!r}; expected text")
        lines = _lines(log, trajectory.info.get("milestone_tokens"))
        counts = {name: self._count(pattern, lines) for name, pattern in self.milestones.items()}
        total = sum(count * self.values.get(name, self.value) for name, count in counts.items())
        return Verdict(total, parts={name: float(min(count, 1)) for name, count in counts.items()})

    def _count(self, pattern: str, lines: Sequence[str]) -> int:
        count = 0
        for line in lines:
            try:
                found = re.search(pattern, line, timeout=_SECONDS)
            except TimeoutError as error:
                raise ScoringFailure(f"the pattern {pattern!r} took too long on a line of the log") from error
            count += found is not None
            if found and self.once:
                break
        return count


def _lines(log: str, tokens: Any) -> list[str]:
    """The lines that count: all, or those behind a token, without it."""
    lines = [_COLOURS.sub("", line)[:_LONGEST_LINE] for line in log.splitlines()[:_MOST_LINES]]
    if not isinstance(tokens, (list, tuple)):
        return lines
    known = [token for token in tokens if isinstance(token, str) and token]
    return [line.partition(token)[2].strip() for line in lines for token in known if token in line]


@register("partial_credit")
@dataclass(frozen=True, kw_only=True)
class PartialCredit(Reward):
    """An outcome where there is one, and a penalty plus milestones where there is none.

    Whether there is one is what the environment says under `status` in the trajectory's info: `submitted` has one. `timeout`
    and `lost` are failed and not penalised, because they say nothing about what was tried, unless `failed_as` is
    "penalty"; anything else is a failure with a penalty.

    Parts: `outcome` (of the outcome reward), `milestones` (their sum), one for each milestone, and `valid`.

    Args:
        outcome: what a valid result is worth; its parts are not kept.
        milestones: how far a failing attempt came.
        fail: what complete failure is worth.
        worst: the least that a valid result can be worth. What failure and all milestones give together must be below it,
            so that collecting milestones never pays better than an honest result.
        add_to_valid: valid results get their milestones on top.
        failed_as: see above.
        required: a milestone without which `fail` is added even to a valid result (such as the one for training a model, so
            that rules written by hand are not worth it); None for none.
    """

    outcome: Reward
    milestones: RegexMilestones = field(default_factory=RegexMilestones)
    fail: float = -10.0
    worst: float = -1.0
    add_to_valid: bool = False
    failed_as: Literal["failed", "penalty"] = "failed"
    required: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.fail + self.milestones.most < self.worst:
            raise ValueError(
                f"option 'fail' must leave failures below every valid result: with all milestones they are worth "
                f"{self.fail:g} + {self.milestones.most:g}, but a valid result can be worth as little as {self.worst:g}; "
                "lower 'fail' or the milestones' values"
            )
        if self.required is not None and self.required not in self.milestones.milestones:
            known = ", ".join(self.milestones.milestones)
            raise ValueError(f"option 'required' must be one of the milestones {known}, got {self.required!r}")

    def children(self) -> dict[str, Reward]:
        """The outcome."""
        return {"outcome": self.outcome}

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        outcome = self.outcome(trajectories, progress=progress)
        found = self.milestones(trajectories, progress=progress)
        return scores_from_verdicts(
            [attempt(self._verdict, trajectories[index], outcome, found, index) for index in range(len(trajectories))]
        )

    def _verdict(self, trajectory: Trajectory, outcome: Scores, found: Scores, index: int) -> Verdict:
        status = trajectory.info.get("status", "no submission")
        if status in ("timeout", "lost") and self.failed_as == "failed":
            raise ScoringFailure(f"the attempt ended with {status!r}, which says nothing about what was tried")
        if found.status[index] == Status.FAILED:
            raise ScoringFailure(found.note(index) or "the milestones could not be read")
        known = bool(found.scored[index])
        collected = float(found.values[index]) if known else 0.0
        parts: dict[str, float | None] = {name: float(part.values[index]) for name, part in found.parts.items()}
        parts = {name: None if value is None or math.isnan(value) else value for name, value in parts.items()}
        parts |= {"outcome": None, "milestones": collected if known else None, "valid": float(status == "submitted")}
        if status != "submitted":
            return Verdict(self.fail + collected, str(status), parts)
        if not outcome.scored[index]:
            raise ScoringFailure(outcome.note(index) or "the outcome could not be scored")
        value = float(outcome.values[index])
        if value < self.worst:
            raise ScoringFailure(
                f"a valid result was worth {value:g}, below worst={self.worst:g}; give the outcome a scale"
            )
        parts["outcome"] = value
        if self.add_to_valid:
            value += collected
        if self.required is not None and known and not parts[self.required]:
            return Verdict(value + self.fail, f"milestone {self.required!r} is missing", parts)
        return Verdict(value, None, parts)


def phrases_in(code: str, phrases: Mapping[str, str] | Sequence[str]) -> int:
    """How many milestone phrases stand literally in code that an agent wrote: a sign that it tries to print them itself."""
    wanted = phrases.values() if isinstance(phrases, Mapping) else phrases
    return sum(phrase in code for phrase in wanted)
