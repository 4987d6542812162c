"""A view of Gymnasium's Hopper-v5, for rewards of new behaviours: what the observation holds, by name.

The observation has no horizontal place, which the environment leaves out; speeds are there.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.programs.views import Scalar

Joints = Annotated[NDArray[np.float64], (3,)]


class Torso:
    """The upper body of the hopper."""

    def __init__(self, observation: NDArray[np.float64]) -> None:
        self._observation = observation

    @property
    def height(self) -> Scalar:
        """above the ground, in metres; 1.25 when it stands"""
        return self._observation[..., 0]

    @property
    def pitch(self) -> Scalar:
        """angle in radians; 0 upright, negative leaning forward"""
        return self._observation[..., 1]

    @property
    def forward_velocity(self) -> Scalar:
        """in metres per second"""
        return self._observation[..., 5]

    @property
    def upward_velocity(self) -> Scalar:
        """in metres per second"""
        return self._observation[..., 6]

    @property
    def pitch_velocity(self) -> Scalar:
        """in radians per second"""
        return self._observation[..., 7]


class Leg:
    """The leg: thigh, knee and foot."""

    def __init__(self, observation: NDArray[np.float64]) -> None:
        self._observation = observation

    @property
    def joint_angles(self) -> Joints:
        """of thigh, knee and foot, in radians"""
        return self._observation[..., 2:5]

    @property
    def joint_velocities(self) -> Joints:
        """of thigh, knee and foot, in radians per second"""
        return self._observation[..., 8:11]


class HopperView:
    """The environment: a hopper with one leg, which moves in a plane."""

    torso: Torso
    leg: Leg

    def __init__(self, observation: NDArray[np.float64]) -> None:
        self.torso = Torso(observation)
        self.leg = Leg(observation)


def forward(observation: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether it moves forward at 1 m/s or more, and upright: the measure that no program sees."""
    return (observation[..., 5] >= 1.0) & (observation[..., 0] > 0.7) & (np.abs(observation[..., 1]) < 0.2)
