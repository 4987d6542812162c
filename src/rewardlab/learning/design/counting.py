"""Counts of visited states for exploration bonuses: by number, by hash, or by an abstraction of the user's.

Continuous observations never repeat, so that counting them as they stand would pay the same bonus for ever; hence they need
a hash or an abstraction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Count(ABC):
    """Sorts observations into cells that are counted."""

    size: int
    """How many cells there are."""

    @abstractmethod
    def index(self, observation: NDArray[Any]) -> NDArray[np.int64]:
        """The cell of each observation: int[N] from [N, ...]."""


@dataclass(frozen=True)
class TabularCount(Count):
    """One cell for each state number.

    Args:
        size: number of states.
    """

    size: int

    def index(self, observation: NDArray[Any]) -> NDArray[np.int64]:  # noqa: D102 - documented on Count
        if observation.dtype.kind not in "iu" or observation.ndim != 1:
            raise ValueError(
                f"TabularCount counts state numbers, int[N], and got {observation.dtype}{list(observation.shape)}; "
                "continuous observations never repeat: give count=HashCount(...) or "
                "count=CallableCount(function, size) with an abstraction"
            )
        return observation


@dataclass(frozen=True)
class HashCount(Count):
    """Cells by the signs of random projections (SimHash), for observations of any shape.

    Args:
        features: how many numbers an observation has.
        bits: number of projections; there are 2**bits cells.
        seed: of the projections.
        centre: float[feature], subtracted first; signs of vectors that all point one way would all be the same.
        scale: float[feature], divided by.
    """

    features: int
    bits: int = 12
    seed: int = 0
    centre: NDArray[np.float64] | float = 0.0
    scale: NDArray[np.float64] | float = 1.0
    _projections: NDArray[np.float64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 20:
            raise ValueError(f"HashCount: bits must lie in [1, 20] (there are 2**bits cells), got {self.bits}")
        drawn = np.random.default_rng(self.seed).normal(size=(self.features, self.bits))
        object.__setattr__(self, "_projections", drawn)

    @property
    def size(self) -> int:  # type: ignore[override]  # noqa: D102
        return int(2**self.bits)

    def index(self, observation: NDArray[Any]) -> NDArray[np.int64]:  # noqa: D102
        flat = np.asarray(observation, dtype=np.float64).reshape(len(observation), -1)
        if flat.shape[1] != self.features:
            raise ValueError(f"HashCount was made for {self.features} features, got observations with {flat.shape[1]}")
        signs = ((flat - self.centre) / self.scale) @ self._projections > 0
        return np.asarray(signs @ (1 << np.arange(self.bits)), dtype=np.int64)


@dataclass(frozen=True)
class CallableCount(Count):
    """Cells by a function of the user's, such as ten chunks of a position times one flag.

    Args:
        function: [N, ...] -> int[N] with values in [0, size).
        size: number of cells.
    """

    function: Callable[[NDArray[Any]], Any]
    size: int

    def index(self, observation: NDArray[Any]) -> NDArray[np.int64]:  # noqa: D102
        cells = np.asarray(self.function(observation))
        if cells.shape != (len(observation),) or cells.dtype.kind not in "iu":
            raise ValueError(
                f"the abstraction must return int[{len(observation)}], one cell for each observation, "
                f"got {cells.dtype}{list(cells.shape)}"
            )
        if cells.size and not (cells.min() >= 0 and cells.max() < self.size):
            raise ValueError(
                f"the abstraction returned cells from {cells.min()} to {cells.max()}, expected [0, {self.size})"
            )
        return cells.astype(np.int64)


@dataclass(frozen=True)
class GridCount(Count):
    """Cells of a regular grid, for observations of a few numbers, where hashes are coarse; what lies outside counts at the
    edge.

    Args:
        low: float[feature].
        high: float[feature].
        cells: int[feature], how many along each.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    cells: tuple[int, ...]

    def __post_init__(self) -> None:
        if not len(self.low) == len(self.high) == len(self.cells) or min(self.cells, default=0) < 1:
            raise ValueError(f"GridCount needs low, high and cells (from 1) for each feature, got {self}")
        if self.size > 2**20:
            raise ValueError(
                f"GridCount would have {self.size} cells, at most {2**20}; use HashCount for many features"
            )

    @property
    def size(self) -> int:  # type: ignore[override]  # noqa: D102
        return int(np.prod(np.array(self.cells, dtype=np.float64)))

    def index(self, observation: NDArray[Any]) -> NDArray[np.int64]:  # noqa: D102
        flat = np.asarray(observation, dtype=np.float64).reshape(len(observation), -1)
        if flat.shape[1] != len(self.cells):
            raise ValueError(
                f"GridCount was made for {len(self.cells)} features, got observations with {flat.shape[1]}"
            )
        low, cells = np.array(self.low), np.array(self.cells)
        places = np.floor((flat - low) / (np.array(self.high) - low) * cells)
        return np.asarray(
            np.ravel_multi_index(tuple(np.clip(places, 0, cells - 1).astype(int).T), self.cells), np.int64
        )
