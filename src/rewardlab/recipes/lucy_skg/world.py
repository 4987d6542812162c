"""Kick: a car as a point pushes a ball into a goal, many copies at once, in fifteen lines of physics.

The field is [-1, 1] squared. Every row of `[copies, environments]` is a world of its own; copies with one seed start their
episodes from the same positions, so that the arms of a seed meet the same starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CAR, CAR_SPEED, BALL, BALL_SPEED = (0, 1), (2, 3), (4, 5), (6, 7)
"""Columns of an observation; then follow ball - car and goal - ball."""
WIDTH = 12
GOAL = (1.0, 0.0)
ACTIONS = 9
HORIZON = 80
RADIUS = 0.08
STARTS = 512
"""Starts drawn for each environment; then they come again."""

_ANGLES = np.arange(8) * np.pi / 4
_DIRECTIONS = np.concatenate([np.zeros((1, 2)), np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)])


@dataclass
class Kick:
    """Worlds side by side.

    Args:
        seeds: one for each copy.
        environments: worlds of each copy.
        task: "goal" ends with the ball in the goal, "touch" when the car touches the ball.
        horizon: steps after which a limit ends an episode.
    """

    seeds: Sequence[int]
    environments: int = 32
    task: Literal["goal", "touch"] = "goal"
    horizon: int = HORIZON
    observation: Floats = field(init=False)
    """float64[copies, environments, 12], what the policies see now."""

    def __post_init__(self) -> None:
        drawn = {seed: _starts(seed, self.environments) for seed in dict.fromkeys(self.seeds)}
        self._starts = np.stack([drawn[seed] for seed in self.seeds])
        rows = (len(self.seeds), self.environments)
        self._episode = np.zeros(rows, dtype=np.int64)
        self._age = np.zeros(rows, dtype=np.int64)
        self._car, self._speed = np.zeros((*rows, 2)), np.zeros((*rows, 2))
        self._ball, self._roll = np.zeros((*rows, 2)), np.zeros((*rows, 2))
        self._begin(np.ones(rows, dtype=bool))
        self.observation = self._see()

    def step(self, actions: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]:
        """Move all worlds on; what ended begins again, and `observation` is that of the new episode.

        Args:
            actions: int64[copies, environments], 0 for none, 1 to 8 for a direction.

        Returns:
            The observations that the actions led to, float64[copies, environments, 12], and bool[copies, environments] each
            for "the task ended it" and "the limit ended it".
        """
        self._speed = 0.9 * self._speed + 0.1 * _DIRECTIONS[actions]
        touched = np.zeros(actions.shape, dtype=bool)
        scored = np.zeros(actions.shape, dtype=bool)
        for _ in range(2):
            self._car += 0.05 * self._speed
            self._ball += 0.05 * self._roll
            touched |= self._push()
            scored |= (self._ball[..., 0] > 0.98) & (np.abs(self._ball[..., 1]) < 0.25)
            for place, velocity in ((self._car, self._speed), (self._ball, self._roll)):
                outside = np.abs(place) > 1.0
                velocity[outside] *= -0.5
                np.clip(place, -1.0, 1.0, out=place)
        self._roll *= 0.97
        self._age += 1
        terminated = scored if self.task == "goal" else touched
        truncated = (self._age >= self.horizon) & ~terminated
        after = self._see()
        self._begin(terminated | truncated)
        self.observation = self._see()
        return after, terminated, truncated

    def _push(self) -> NDArray[np.bool_]:
        gap = self._ball - self._car
        length = np.linalg.norm(gap, axis=-1)
        touching = length < 2 * RADIUS
        if touching.any():
            normal = gap[touching] / np.maximum(length[touching], 1e-9)[:, None]
            closing = ((self._speed[touching] - self._roll[touching]) * normal).sum(-1)
            self._roll[touching] += 1.6 * np.maximum(closing, 0.0)[:, None] * normal
            self._ball[touching] = self._car[touching] + 2 * RADIUS * normal
        return touching

    def _begin(self, mask: NDArray[np.bool_]) -> None:
        copy, environment = np.nonzero(mask)
        start = self._starts[copy, environment, self._episode[copy, environment] % STARTS]
        self._car[mask], self._ball[mask] = start[:, :2], start[:, 2:]
        self._speed[mask] = 0.0
        self._roll[mask] = 0.0
        self._age[mask] = 0
        self._episode[mask] += 1

    def _see(self) -> Floats:
        gap, way = self._ball - self._car, np.asarray(GOAL) - self._ball
        return np.concatenate([self._car, self._speed, self._ball, self._roll, gap, way], axis=-1)


def _starts(seed: int, environments: int) -> Floats:
    """float64[environment, start, 4]: car within .8, ball within .6."""
    drawn = np.random.default_rng((seed, 1)).uniform(-1.0, 1.0, size=(environments, STARTS, 4))
    return drawn * np.array([0.8, 0.8, 0.6, 0.6])
