"""A small view for tests: one number, one vector, a method, and attributes that the description does not list."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.programs import Flag, Scalar

Vector = Annotated[NDArray[np.float64], (2,)]


class Pose:
    """A place and where it looks."""

    place: Annotated[NDArray[np.float64], (2,), "in metres"]

    def __init__(self, place: NDArray[np.float64]) -> None:
        self.place = place
        self._secret = 1.0


class Cube:
    """A cube."""

    def __init__(self, place: NDArray[np.float64]) -> None:
        self._place = place

    @property
    def pose(self) -> Pose:
        """where it is"""
        return Pose(self._place)


class Arm:
    """An arm."""

    def __init__(self, height: NDArray[np.float64]) -> None:
        self._height = height

    @property
    def height(self) -> Scalar:
        """above the table"""
        return self._height

    def touches(self, obj: Cube) -> Flag:
        """whether it touches the object"""
        return obj.pose.place[..., 0] < 0.5


class View:
    """A table."""

    arm: Arm
    cube: Cube

    def __init__(self, observation: NDArray[np.float64]) -> None:
        self.arm = Arm(observation[..., 0])
        self.cube = Cube(observation[..., 1:3])


def states(count: int = 64) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Observations and actions."""
    draw = np.random.default_rng(0)
    return draw.uniform(0, 1, size=(count, 3)), draw.uniform(-1, 1, size=(count, 2))


def program(body: str, head: str = "import numpy as np\n") -> str:
    """A scalar program with this body."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    return f"{head}\n\ndef compute_dense_reward(self, action) -> float:\n{lines}"
