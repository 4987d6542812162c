"""Gymnasium's Pendulum for many copies at once, and real demonstrations of it.

The trajectories of an expert come from another library's data set (see NOTICE.txt beside this file). They are sub-sampled as
in the paper, every twentieth step from a random start, which is what makes imitation hard: a few points far apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from rewardlab.types import Trajectory

Floats = NDArray[np.float64]

LENGTH, LIMIT, SPEED = 200, 2.0, 8.0
STEP, GRAVITY = 0.05, 10.0


class Pendulums:
    """Copies of Pendulum-v1 that step together; nothing ever terminates, and all are cut after 200 steps.

    Args:
        states: float64[copy, 2], angle and angular speed at the start.
    """

    def __init__(self, states: Floats) -> None:
        self.states = np.array(states, dtype=np.float64)

    @property
    def observations(self) -> Floats:
        """float64[copy, 3]: cosine, sine, and the speed over 8."""
        angle, speed = self.states.T
        return np.stack([np.cos(angle), np.sin(angle), speed / SPEED], axis=1)

    def step(self, actions: Floats) -> Floats:
        """Act, and get the rewards of Pendulum-v1.

        Args:
            actions: float64[copy], torque over 2, in [-1, 1].

        Returns:
            float64[copy].
        """
        angle, speed = self.states.T
        torque = np.clip(LIMIT * actions, -LIMIT, LIMIT)
        wrapped = (angle + np.pi) % (2 * np.pi) - np.pi
        rewards = -(wrapped**2 + 0.1 * speed**2 + 0.001 * torque**2)
        speed = np.clip(speed + (1.5 * GRAVITY * np.sin(angle) + 3.0 * torque) * STEP, -SPEED, SPEED)
        self.states = np.stack([angle + speed * STEP, speed], axis=1)
        return rewards


def starts(count: int, draw: np.random.Generator) -> Floats:
    """Angles anywhere, speeds in [-1, 1]; float64[count, 2]."""
    return np.stack([draw.uniform(-np.pi, np.pi, count), draw.uniform(-1, 1, count)], axis=1)


def expert_columns() -> tuple[Floats, Floats, Floats]:
    """Observations [24, 200, 3] (speed in rad/s), actions [24, 200, 1] (torque) and rewards [24, 200] of the expert."""
    with files(__package__).joinpath("pendulum_expert.npz").open("rb") as file, np.load(file) as data:
        seen, done, paid = (data[name].astype(np.float64) for name in ("observations", "actions", "rewards"))
    return seen, done, paid


def expert_trajectories() -> list[Trajectory]:
    """The expert as trajectories. What followed the last step was not recorded, so each has 199 steps."""
    return [
        Trajectory(observations=seen, actions=done[:-1], rewards=paid[:-1], truncated=True)
        for seen, done, paid in zip(*expert_columns(), strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """Points (observation, action) of the expert, in the scale of `Pendulums`.

    Args:
        points: float32[point, 4], what is learned from.
        held_out: float32[point, 4], from other trajectories.
        expert_return: mean return of the expert's trajectories.
    """

    points: NDArray[np.float32]
    held_out: NDArray[np.float32]
    expert_return: float

    @classmethod
    def sample(cls, seed: int, *, trajectories: int = 4, subsample: int = 20, held_out: int = 20) -> Demonstrations:
        """Some trajectories, every n-th step from a random start; held-out points likewise from the others.

        Args:
            seed: of the choice.
            trajectories: how many are learned from.
            subsample: every so many steps are kept.
            held_out: how many other trajectories are held out.
        """
        draw = np.random.default_rng([seed, 11])
        seen, done, paid = expert_columns()
        rows = np.concatenate([seen / [1.0, 1.0, SPEED], done / LIMIT], axis=2).astype(np.float32)
        order = draw.permutation(len(rows))
        offsets = draw.integers(0, subsample, len(rows))
        thin = [rows[number, offsets[number] :: subsample] for number in order]
        return cls(
            points=np.concatenate(thin[:trajectories]),
            held_out=np.concatenate(thin[trajectories : trajectories + held_out]),
            expert_return=float(paid.sum(1).mean()),
        )
