"""A reward as a surface over two numbers of the observation, and two such surfaces compared.

Looking at a reward over the states before training costs a second, and shows what hours of training would: where it
pays for the wrong thing, where two terms quarrel, and which way is uphill from where an agent starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.base import Reward
from rewardlab.rewards.shaping.by_transition import state_values, transition_values
from rewardlab.rewards.shaping.potentials import Potential

Floats = NDArray[np.float64]
Column = int | tuple[str, int]
"""A column of a flat observation, or key and column of a Dict observation."""


@dataclass(frozen=True, kw_only=True)
class RewardMap:
    """A reward over two numbers of the observation.

    Args:
        name: of the reward.
        values: float64[y, x].
        x: float64[x], values of the first number.
        y: float64[y], values of the second.
        labels: what the two are called.
        parts: float64[y, x] of each part, by dotted name.
        marks: points to draw, by name.
    """

    name: str
    values: Floats
    x: Floats
    y: Floats
    labels: tuple[str, str]
    parts: dict[str, Floats] = field(default_factory=dict)
    marks: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def negative_share(self) -> float:
        """Share of the area where the reward is below 0."""
        return float((self.values < 0).mean())

    @property
    def quarrel(self) -> NDArray[np.bool_]:
        """bool[y, x], where of the innermost parts one is below 0 and another above.

        There a kinesthetic combination falls as the good part improves, and a sum hides the bad one.
        """
        inner = [part for name, part in self.parts.items() if not any(one.startswith(f"{name}.") for one in self.parts)]
        if not inner:
            return np.zeros(self.values.shape, dtype=bool)
        stacked = np.stack(inner)
        return np.asarray((stacked < 0).any(axis=0) & (stacked > 0).any(axis=0), dtype=bool)

    @property
    def best(self) -> tuple[float, float]:
        """Where the reward is highest."""
        row, column = np.unravel_index(np.nanargmax(self.values), self.values.shape)
        return float(self.x[column]), float(self.y[row])

    def part(self, name: str) -> RewardMap:
        """The map of one part.

        Raises:
            KeyError: there is no such part.
        """
        if name not in self.parts:
            raise KeyError(f"{self.name} has no part {name!r}; its parts are {', '.join(self.parts) or 'none'}")
        below = {one[len(name) + 1 :]: part for one, part in self.parts.items() if one.startswith(f"{name}.")}
        return RewardMap(
            name=name, values=self.parts[name], x=self.x, y=self.y, labels=self.labels, parts=below, marks=self.marks
        )

    def figure(self, *, quarrel: bool = True) -> Any:
        """A matplotlib figure: colours with contours, the line where the reward is 0, and hatching where parts quarrel."""
        from rewardlab.audit.drawing import draw_maps

        return draw_maps([self], quarrel=quarrel)

    def save(self, path: str | Path) -> Path:
        """Write the picture (`.png`, `.svg`, `.pdf`) or the numbers (`.npz`)."""
        place = Path(path)
        if place.suffix == ".npz":
            parts: dict[str, Any] = {f"parts/{name}": part for name, part in self.parts.items()}
            np.savez_compressed(place, values=self.values, x=self.x, y=self.y, labels=np.array(self.labels), **parts)
            return place
        from rewardlab.audit.drawing import write

        return write(self.figure(), place)


@dataclass(frozen=True, kw_only=True)
class MapComparison:
    """Two rewards over the same states.

    Args:
        first: one of them.
        second: the other.
        sign_disagreement: share of the area where one pays and the other costs.
        correlation: of the values.
        rank_correlation: of their ranks, which no bending of the scale changes.
        uphill_disagreement: share of the area where the two rise in directions more than a right angle apart.
    """

    first: RewardMap
    second: RewardMap
    sign_disagreement: float
    correlation: float
    rank_correlation: float
    uphill_disagreement: float

    def figure(self) -> Any:
        """A matplotlib figure: the two maps, and where their signs differ."""
        from rewardlab.audit.drawing import draw_comparison

        return draw_comparison(self)

    def save(self, path: str | Path) -> Path:
        """Write the picture."""
        from rewardlab.audit.drawing import write

        return write(self.figure(), Path(path))


def reward_map(
    reward: Reward,
    over: tuple[Column, Column],
    *,
    fixed: Any,
    bounds: Sequence[Sequence[float]] = ((-1.0, 1.0), (-1.0, 1.0)),
    points: int = 81,
    labels: tuple[str, str] | None = None,
    derive: Callable[[Any], Any] | None = None,
    following: Callable[[Any], Any] | None = None,
    action: Any = None,
    marks: Mapping[str, tuple[float, float]] | None = None,
) -> RewardMap:
    """What a reward says over two numbers of the observation, the others held fixed.

    A potential is drawn itself, and not what moving in it earns. Any other reward is asked for the transition that stays
    where it is, unless `following` says where it leads.

    Args:
        reward: a transition reward, or what the algebra makes of some.
        over: the two columns, for x and y.
        fixed: one observation [...] (or a dict of such), which holds everything else.
        bounds: lowest and highest of the two.
        points: along each of them.
        labels: what the two are called; their columns where not given.
        derive: brings up to date what follows from the two, such as a difference of positions: observations [N, ...] in, the
            same out.
        following: observations [N, ...] -> the next observations.
        action: one action, for rewards that look at it.
        marks: points to draw, by name.

    Raises:
        ValueError: a column that the observation does not have, empty bounds, or too few points.
        TypeError: the reward is not one of single transitions.
    """
    if points < 2:
        raise ValueError(f"points must be at least 2, got {points}")
    if len(over) != 2 or over[0] == over[1]:
        raise ValueError(f"over must name two different columns, got {over}")
    for low, high in bounds:
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"bounds must be pairs (lowest, highest), got {(low, high)}")
    x, y = (np.linspace(low, high, points) for low, high in bounds)
    across, up = (grid.reshape(-1) for grid in np.meshgrid(x, y))
    rows = _spread(fixed, len(across))
    for column, numbers in zip(over, (across, up), strict=True):
        _put(rows, column, numbers)
    if derive is not None:
        rows = derive(rows)
    parts: dict[str, Floats] = {}
    if isinstance(reward, Potential):
        values = state_values(reward.phi, rows, parts=parts)
    elif action is None and following is None:
        values = state_values(reward, rows, parts=parts)
    else:
        later = rows if following is None else following(rows)
        actions = None if action is None else np.repeat(np.asarray(action)[None], len(across), axis=0)
        values = transition_values(reward, observation=rows, action=actions, next_observation=later, parts=parts)
    return RewardMap(
        name=reward.label,
        values=values.reshape(points, points),
        x=x,
        y=y,
        labels=labels or (_column_name(over[0]), _column_name(over[1])),
        parts={name: part.reshape(points, points) for name, part in parts.items()},
        marks=dict(marks or {}),
    )


def compare_maps(first: RewardMap, second: RewardMap) -> MapComparison:
    """Where two rewards agree over the same states.

    Raises:
        ValueError: the maps are over other numbers.
    """
    if first.values.shape != second.values.shape or not (
        np.array_equal(first.x, second.x) and np.array_equal(first.y, second.y)
    ):
        raise ValueError(
            f"the maps are not over the same numbers: {first.labels} in [{first.x[0]:g}, {first.x[-1]:g}] with shape "
            f"{first.values.shape}, and {second.labels} in [{second.x[0]:g}, {second.x[-1]:g}] with {second.values.shape}"
        )
    one, other = first.values.reshape(-1), second.values.reshape(-1)
    slopes = [np.asarray(np.gradient(entry.values, entry.y, entry.x)) for entry in (first, second)]
    return MapComparison(
        first=first,
        second=second,
        sign_disagreement=float((np.sign(one) * np.sign(other) < 0).mean()),
        correlation=_correlation(one, other),
        rank_correlation=_correlation(_ranks(one), _ranks(other)),
        uphill_disagreement=float(((slopes[0] * slopes[1]).sum(axis=0) < 0).mean()),
    )


def _spread(fixed: Any, count: int) -> Any:
    if isinstance(fixed, Mapping):
        return {key: _spread(value, count) for key, value in fixed.items()}
    one = np.asarray(fixed, dtype=np.float64)
    return np.repeat(one[None], count, axis=0)


def _put(rows: Any, column: Column, numbers: Floats) -> None:
    if isinstance(rows, Mapping):
        if not isinstance(column, tuple) or column[0] not in rows:
            raise ValueError(f"over names {column!r}; observations are dicts, so name (key, column), keys {list(rows)}")
        target, place = rows[column[0]], column[1]
    else:
        if isinstance(column, tuple):
            raise ValueError(f"over names {column!r}, but the observation is one array; name its column")
        target, place = rows, column
    if target.ndim != 2 or not -target.shape[1] <= place < target.shape[1]:
        raise ValueError(f"over names column {place}, but the fixed observation has shape {target.shape[1:]}")
    target[:, place] = numbers


def _column_name(column: Column) -> str:
    return f"{column[0]}[{column[1]}]" if isinstance(column, tuple) else f"observation[{column}]"


def _ranks(values: Floats) -> Floats:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middles: Floats = np.cumsum(counts) - (counts + 1) / 2.0
    return middles[place.reshape(-1)]


def _correlation(one: Floats, other: Floats) -> float:
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum() / size) if size > 0 else float("nan")
