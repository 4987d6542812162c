"""What was said of what happened: preferences between two attempts, and the scores that a reward gives to many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Status(IntEnum):
    """What became of one sample: it got a value, the reward had nothing to say about it, or scoring it broke."""

    SCORED = 0
    ABSTAINED = 1
    FAILED = 2


@dataclass(slots=True, kw_only=True)
class Preference:
    """One comparison of two attempts.

    Args:
        chosen: the better one; a trajectory, or text or an array that becomes one.
        rejected: the worse one.
        label: probability in [0, 1] that `chosen` is better; 0.5 is a tie, and values between are soft votes.
        annotator: who compared them, or None.
        strength: how much better, on the annotator's own scale (used as a margin), or None.
        weight: non-negative weight of this comparison in a loss.
    """

    chosen: Any
    rejected: Any
    label: float = 1.0
    annotator: str | None = None
    strength: float | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.label <= 1.0:
            raise ValueError(f"label must be in [0, 1], got {self.label}; use strength= for margins")
        if not (np.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"weight must be finite and not negative, got {self.weight}")
        if self.strength is not None and not np.isfinite(self.strength):
            raise ValueError(f"strength must be finite or None, got {self.strength}")


@dataclass(slots=True, kw_only=True, eq=False)
class Scores:
    """What a reward says about N trajectories. A value stands only where the status is SCORED; elsewhere it is NaN.

    Args:
        values: float64[sample].
        status: int8[sample] of `Status`.
        notes: a reason or a critique for each sample, or None where nobody wrote one.
        steps: for each sample float64[action] or None; None where the reward gives no per-step values.
        parts: the scores that were combined into these, by name.
        confidence: float64[sample] in [0, 1], or None.
        reward_hash: content hash of the spec that gave these scores, or None.
    """

    values: NDArray[np.float64]
    status: NDArray[np.int8] = None  # type: ignore[assignment]  # derived from the values when not given
    notes: list[str | None] | None = None
    steps: list[NDArray[np.float64] | None] | None = None
    parts: dict[str, Scores] = field(default_factory=dict)
    confidence: NDArray[np.float64] | None = None
    reward_hash: str | None = None

    def __post_init__(self) -> None:
        self.values = np.asarray(self.values, dtype=np.float64)
        if self.values.ndim != 1:
            raise ValueError(f"values must be one-dimensional, one per sample, got shape {self.values.shape}")
        count = self.values.size
        finite = np.isfinite(self.values)
        if self.status is None:
            self.status = np.where(finite, np.int8(Status.SCORED), np.int8(Status.FAILED))
            if not finite.all():
                notes = list(self.notes) if self.notes is not None else [None] * count
                for index in np.flatnonzero(~finite):
                    notes[index] = (
                        notes[index] or f"the reward returned {self.values[index]}, which is not a finite number"
                    )
                self.notes = notes
        else:
            self.status = np.asarray(self.status, dtype=np.int8)
            if self.status.shape != (count,):
                raise ValueError(f"status must have {count} entries, one per sample, got shape {self.status.shape}")
            wrong = np.flatnonzero((self.status == Status.SCORED) & ~finite)
            if wrong.size:
                raise ValueError(f"sample {wrong[0]} is marked scored but its value is {self.values[wrong[0]]}")
        if finite.all() and not self.status.any():
            pass  # the common case: everything scored, nothing to blank out
        else:
            self.values = np.where(self.status == Status.SCORED, self.values, np.nan)
        for name, column in (("notes", self.notes), ("steps", self.steps), ("confidence", self.confidence)):
            if column is not None and len(column) != count:
                raise ValueError(f"{name} must have {count} entries, one per sample, got {len(column)}")
        for name, part in self.parts.items():
            if len(part) != count:
                raise ValueError(f"part {name!r} has {len(part)} samples, expected {count}")

    def __len__(self) -> int:
        return int(self.values.size)

    def __repr__(self) -> str:
        tally = ", ".join(f"{count} {name}" for name, count in self.counts().items() if count)
        parts = f", parts: {', '.join(name for name, _ in self.flat_parts())}" if self.parts else ""
        return f"Scores(mean {self.mean():.4g}; {tally or 'empty'}{parts})"

    @property
    def scored(self) -> NDArray[np.bool_]:
        """bool[sample]: where a value stands."""
        return self.status == Status.SCORED

    @property
    def failed(self) -> NDArray[np.bool_]:
        """bool[sample]: where scoring broke."""
        return self.status == Status.FAILED

    @property
    def abstained(self) -> NDArray[np.bool_]:
        """bool[sample]: where the reward had nothing to say."""
        return self.status == Status.ABSTAINED

    def counts(self) -> dict[str, int]:
        """How many samples were scored, abstained and failed."""
        tally = np.bincount(self.status, minlength=3)
        return {state.name.lower(): int(tally[state]) for state in Status}

    def mean(self) -> float:
        """Mean value of the scored samples; NaN when there are none."""
        scored = self.values[self.scored]
        return float(scored.mean()) if scored.size else float("nan")

    def note(self, index: int) -> str | None:
        """The note of one sample, or None."""
        return None if self.notes is None else self.notes[index]

    def flat_parts(self, prefix: str = "") -> Iterator[tuple[str, Scores]]:
        """Every part at every depth with its dotted name, such as `tools.name`."""
        for name, part in self.parts.items():
            yield prefix + name, part
            yield from part.flat_parts(f"{prefix}{name}.")

    def select(self, indices: ArrayLike) -> Scores:
        """The scores of some samples, in the given order, with all their parts."""
        chosen = np.asarray(indices)
        if chosen.dtype == np.bool_:
            chosen = np.flatnonzero(chosen)
        return replace(
            self,
            values=self.values[chosen],
            status=self.status[chosen],
            notes=None if self.notes is None else [self.notes[index] for index in chosen],
            steps=None if self.steps is None else [self.steps[index] for index in chosen],
            parts={name: part.select(chosen) for name, part in self.parts.items()},
            confidence=None if self.confidence is None else self.confidence[chosen],
        )

    @classmethod
    def blank(cls, count: int, status: Status = Status.ABSTAINED, note: str | None = None) -> Scores:
        """Scores of `count` samples that all abstained or failed for the same reason."""
        if status == Status.SCORED:
            raise ValueError("blank scores hold no values, so they cannot be SCORED")
        return cls(
            values=np.full(count, np.nan),
            status=np.full(count, status, dtype=np.int8),
            notes=None if note is None else [note] * count,
        )

    @classmethod
    def concatenate(cls, pieces: Sequence[Scores]) -> Scores:
        """Join scores of several batches; parts are the union of the names, abstained where a batch did not have one."""
        if not pieces:
            return cls(values=np.empty(0))
        if len(pieces) == 1:
            return pieces[0]
        names = dict.fromkeys(name for piece in pieces for name in piece.parts)
        confidence = None
        if any(piece.confidence is not None for piece in pieces):
            confidence = np.concatenate(
                [np.full(len(piece), np.nan) if piece.confidence is None else piece.confidence for piece in pieces]
            )
        hashes = {piece.reward_hash for piece in pieces}
        return cls(
            values=np.concatenate([piece.values for piece in pieces]),
            status=np.concatenate([piece.status for piece in pieces]),
            notes=_join([(piece.notes, len(piece)) for piece in pieces]),
            steps=_join([(piece.steps, len(piece)) for piece in pieces]),
            parts={
                name: cls.concatenate([piece.parts.get(name) or cls.blank(len(piece)) for piece in pieces])
                for name in names
            },
            confidence=confidence,
            reward_hash=hashes.pop() if len(hashes) == 1 else None,
        )

    @classmethod
    def scatter(cls, pieces: Sequence[tuple[NDArray[np.intp], Scores]], count: int) -> Scores:
        """Put scores of disjoint subsets back in their places; samples in no subset abstained."""
        covered = np.concatenate([indices for indices, _ in pieces]) if pieces else np.empty(0, dtype=np.intp)
        missing = np.setdiff1d(np.arange(count), covered)
        joined = [scores for _, scores in pieces]
        if missing.size:
            joined = [*joined, cls.blank(missing.size)]
            covered = np.concatenate([covered, missing])
        return cls.concatenate(joined).select(np.argsort(covered, kind="stable"))


def _join(columns: Sequence[tuple[list[Any] | None, int]]) -> list[Any] | None:
    if all(column is None for column, _ in columns):
        return None
    return [entry for column, count in columns for entry in (column if column is not None else [None] * count)]
