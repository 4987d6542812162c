"""Controlled comparisons of choices: one axis at a time against a base, paired by seed, and the same for sources of data.

"Which of my sources hurts?" is the question of which source to leave out; both directions are a study with one axis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.data import PreferenceData

Floats = NDArray[np.float64]
Measures = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class AblationRow:
    """One choice against the base.

    Args:
        axis, choice: what was changed, and to what; both "base" for the base itself.
        values: of each measure float64[seed].
        base: the base's, on the same seeds.
    """

    axis: str
    choice: str
    values: dict[str, Floats]
    base: dict[str, Floats]

    def differences(self, measure: str) -> Floats:
        """float64[seed], choice minus base."""
        return np.asarray(self.values[measure] - self.base[measure])

    def interval(self, measure: str, level: float = 0.95) -> tuple[float, float]:
        """Bootstrap interval of the mean paired difference."""
        found = self.differences(measure)
        draws = np.random.default_rng(0).integers(0, found.size, size=(10_000, found.size))
        low, high = np.quantile(found[draws].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class AblationTable:
    """What a study found.

    Args:
        rows: the base first, then every choice.
        seeds: that were run.
    """

    rows: list[AblationRow]
    seeds: tuple[int, ...]

    def row(self, axis: str, choice: str) -> AblationRow:
        """One choice.

        Raises:
            KeyError: it was not tried.
        """
        for row in self.rows:
            if (row.axis, row.choice) == (axis, choice):
                return row
        tried = ", ".join(f"{row.axis}={row.choice}" for row in self.rows)
        raise KeyError(f"{axis}={choice} was not tried; these were: {tried}")

    def ranked(self, measure: str) -> list[AblationRow]:
        """The choices, the best first; the base is left out."""
        return sorted(self.rows[1:], key=lambda row: -float(row.values[measure].mean()))

    def markdown(self, measure: str | None = None) -> str:
        """A table: mean, and mean difference from the base with its interval.

        Args:
            measure: which; the first where there are several.
        """
        name = measure or next(iter(self.rows[0].values))
        lines = [f"| axis | choice | {name} | difference [95%] |", "|---|---|---|---|"]
        for row in self.rows:
            told = ""
            if row.axis != "base":
                low, high = row.interval(name)
                told = f"{row.differences(name).mean():+.3f} [{low:+.3f}, {high:+.3f}]"
            lines.append(f"| {row.axis} | {row.choice} | {row.values[name].mean():.3f} | {told} |")
        return "\n".join([*lines, "", f"Seeds: {', '.join(map(str, self.seeds))}.", ""])


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A study: a base, and on each axis some other choices.

    Args:
        axes: by name of the axis its choices by name, the base's first. What a choice is, is the runner's business.
        run: gets one choice for each axis, by axis, and a seed; gives measures by name. Equal seeds must mean equal data.

    Raises:
        ValueError: no axis, or an axis without an alternative.
    """

    axes: Mapping[str, Mapping[str, Any]]
    run: Callable[[dict[str, Any], int], Measures]

    def __post_init__(self) -> None:
        if not self.axes:
            raise ValueError("a study needs at least one axis")
        for name, choices in self.axes.items():
            if len(choices) < 2:
                raise ValueError(
                    f"axis {name!r} has {len(choices)} choices; it needs the base's and at least one other"
                )

    def study(self, seeds: int | Sequence[int] = 5) -> AblationTable:
        """Run the base and every single change, with each seed.

        Args:
            seeds: how many (from 0), or which.

        Raises:
            ValueError: fewer than two seeds, other measures than before, or a measure that is no number.
        """
        numbers = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
        if len(numbers) < 2:
            raise ValueError(f"a study needs at least 2 seeds for an interval, got {len(numbers)}")
        base = {axis: next(iter(choices.values())) for axis, choices in self.axes.items()}
        plain = self._measure("base", "base", base, numbers)
        rows = [AblationRow(axis="base", choice="base", values=plain, base=plain)]
        for axis, choices in self.axes.items():
            for name, choice in list(choices.items())[1:]:
                values = self._measure(axis, name, {**base, axis: choice}, numbers)
                if set(values) != set(plain):
                    raise ValueError(f"{axis}={name} gave the measures {sorted(values)}, the base {sorted(plain)}")
                rows.append(AblationRow(axis=axis, choice=name, values=values, base=plain))
        return AblationTable(rows=rows, seeds=numbers)

    def _measure(self, axis: str, name: str, setting: dict[str, Any], seeds: Sequence[int]) -> dict[str, Floats]:
        found = [dict(self.run(dict(setting), seed)) for seed in seeds]
        for seed, one in zip(seeds, found, strict=True):
            for measure, value in one.items():
                if not np.isfinite(value):
                    raise ValueError(
                        f"{axis}={name} with seed {seed} gave {measure}={value}, expected a finite number; mend that run, a "
                        "study never leaves one out"
                    )
        return {measure: np.array([one[measure] for one in found]) for measure in found[0]}


def source_audit(
    sources: Mapping[str, PreferenceData],
    run: Callable[[PreferenceData, int], Measures],
    *,
    direction: Literal["leave_one_in", "leave_one_out"] = "leave_one_out",
    base: str | None = None,
    seeds: int | Sequence[int] = 5,
) -> AblationTable:
    """Which source of data helps, and which hurts.

    Args:
        sources: comparisons by name.
        run: fits a model to comparisons with a seed, and measures it.
        direction: "leave_one_in" adds each source by itself to the base; "leave_one_out" takes each away from all of them,
            so that a source whose row is *above* the base hurts.
        base: the source that every run has, needed for "leave_one_in"; never left out.
        seeds: see `Ablation.study`.

    Raises:
        ValueError: fewer sources than a comparison needs, or a base that is none of them.
    """
    if direction not in ("leave_one_in", "leave_one_out"):
        raise ValueError(f"direction must be 'leave_one_in' or 'leave_one_out', got {direction!r}")
    if base is not None and base not in sources:
        raise ValueError(f"base {base!r} is none of the sources, which are {', '.join(sources)}")
    if base is None and direction == "leave_one_in":
        raise ValueError("leave_one_in adds to a base; name one of the sources as base")
    others = [name for name in sources if name != base]
    if len(others) < (1 if direction == "leave_one_in" else 2):
        raise ValueError(f"there are {len(sources)} sources, too few to audit; each run needs one that differs")
    if direction == "leave_one_in":
        choices = {"none": [str(base)], **{name: [str(base), name] for name in others}}
    else:
        choices = {"none": list(sources), **{name: [one for one in sources if one != name] for name in others}}

    def measured(setting: dict[str, Any], seed: int) -> Measures:
        return run(joined([sources[name] for name in setting["source"]]), seed)

    return Ablation(axes={"source": choices}, run=measured).study(seeds)


def joined(pieces: Sequence[PreferenceData]) -> PreferenceData:
    """Several sets of comparisons one behind the other; what only some of them have is filled up.

    Raises:
        ValueError: there are none.
    """
    if not pieces:
        raise ValueError("there are no comparisons to join")
    offsets = np.cumsum([0, *[len(piece.items) for piece in pieces]])

    def filled(name: str, empty: float) -> Floats | None:
        if all(getattr(piece, name) is None for piece in pieces):
            return None
        columns = [getattr(piece, name) for piece in pieces]
        return np.concatenate(
            [
                np.full(len(piece), empty) if column is None else column
                for piece, column in zip(pieces, columns, strict=True)
            ]
        )

    annotators: list[str | None] = [who for piece in pieces for who in piece.annotators or [None] * len(piece)]
    return PreferenceData(
        items=[item for piece in pieces for item in piece.items],
        first=np.concatenate([piece.first + offset for piece, offset in zip(pieces, offsets, strict=False)]),
        second=np.concatenate([piece.second + offset for piece, offset in zip(pieces, offsets, strict=False)]),
        label=np.concatenate([piece.label for piece in pieces]),
        strength=filled("strength", np.nan),
        weight=filled("weight", 1.0),
        annotators=annotators if any(who is not None for who in annotators) else None,
        metadata=[row for piece in pieces for row in piece.metadata or [{}] * len(piece)],
    )
