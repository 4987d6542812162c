"""A miniature of the Arena task of direct behaviour specification: reach a corner, look at a marker, mind lava and battery.

A grid of 7 x 7 cells with a battery from 0 to 5. Moves while looking at the marker fail more often than others, lava lies
on the straight way, and an empty battery stands still until it is recharged. Many copies are stepped as arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.formal.constraints import Constraint
from rewardlab.rewards.functions import reward

Floats = NDArray[np.float64]
SIDE, BATTERY, HORIZON = 7, 5, 60
MOVES = np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])
RECHARGE = 8
INDICATORS = ("lava", "not looking", "empty", "success")


@dataclass(kw_only=True)
class Arena:
    """N copies of the arena. Actions: 0-3 move, 4-7 move while looking, 8 recharges.

    Args:
        fails: probability that a move fails, without looking and while looking.
        drain: probability that a move takes one unit of battery.
        horizon: steps after which a trajectory is cut.
    """

    fails: tuple[float, float] = (0.05, 0.4)
    drain: float = 0.35
    horizon: int = HORIZON
    states: int = field(default=SIDE * SIDE * (BATTERY + 1), init=False)
    actions: int = field(default=9, init=False)

    def begin(self, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Start `count` copies in the corner of 2 x 2 cells, with battery 3."""
        self._place = np.zeros((count, 2), dtype=np.int64)
        self._battery, self._time = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        return self.restart(np.arange(count), generator)

    def restart(self, rows: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """Start some copies again; returns their states."""
        self._place[rows] = generator.integers(0, 2, size=(len(rows), 2))
        self._battery[rows], self._time[rows] = 3, 0
        return self._index()[rows]

    def step(
        self, actions: NDArray[np.int64], generator: np.random.Generator
    ) -> tuple[NDArray[np.int64], Floats, Floats, NDArray[np.bool_], NDArray[np.bool_]]:
        """Next states, rewards, indicators, terminated, truncated; see `VectorWorld`."""
        chance, used = generator.random((2, len(actions)))
        charging, looking = actions == RECHARGE, (actions >= 4) & (actions < RECHARGE)
        can = ~charging & (self._battery > 0)
        goes = can & (chance >= np.where(looking, self.fails[1], self.fails[0]))
        before = self._place
        self._place = np.clip(before + np.where(goes[:, None], MOVES[actions % 4], 0), 0, SIDE - 1)
        self._battery = np.minimum(self._battery - (can & (used < self.drain)) + 2 * charging, BATTERY)
        self._time += 1
        terminated = (self._place == SIDE - 1).all(1)
        truncated = ~terminated & (self._time >= self.horizon)
        progress = (self._place - before).sum(1)
        shown = np.column_stack(
            [
                ((self._place >= 2) & (self._place <= 4)).all(1),
                ~looking,
                self._battery == 0,
                np.where(terminated, 1.0, np.where(truncated, 0.0, np.nan)),
            ]
        )
        return self._index(), (0.1 * progress + terminated).astype(np.float64), shown, terminated, truncated

    def _index(self) -> NDArray[np.int64]:
        return (self._place[:, 0] * SIDE + self._place[:, 1]) * (BATTERY + 1) + self._battery


@reward
def _lava(next_observation: NDArray[np.int64]) -> Floats:
    cell = next_observation // (BATTERY + 1)
    row, column = cell // SIDE, cell % SIDE
    return ((row >= 2) & (row <= 4) & (column >= 2) & (column <= 4)).astype(float)


@reward(per="transition")
def _not_looking(action: NDArray[np.int64]) -> Floats:
    return 1.0 - ((action >= 4) & (action < RECHARGE)).astype(float)


@reward
def _empty(next_observation: NDArray[np.int64]) -> Floats:
    return (next_observation % (BATTERY + 1) == 0).astype(float)


@reward
def _arrived(next_observation: NDArray[np.int64]) -> Floats:
    return (next_observation // (BATTERY + 1) == SIDE * SIDE - 1).astype(float)


def constraints() -> tuple[Constraint, ...]:
    """The constraints of the arena over its states, as anyone would write them; success counts by trajectory."""
    return (
        Constraint(_lava, at_most=0.01, name="lava"),
        Constraint(_not_looking, at_most=0.25, name="not looking"),
        Constraint(_empty, at_most=0.02, name="empty"),
        Constraint(_arrived, at_least=0.95, per="episode", name="success"),
    )
