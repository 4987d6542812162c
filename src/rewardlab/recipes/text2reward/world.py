"""Flat pick-and-place: a gripper, a cube and a goal in a square, stepped as many copies at once, and its view for rewards.

A held cube moves with the gripper. Success is a cube at the goal and a gripper at rest; it does not end an attempt.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.programs.views import Flag, Scalar

HORIZON = 50
STEP, FINGER = 0.08, 0.5
CLOSED, REACH = 0.3, 0.12
AT_GOAL, AT_REST = 0.1, 0.04
LET_GO = 0.6
Vector = Annotated[NDArray[np.float64], (2,)]


class PickPlace:
    """Copies of the world.

    Args:
        copies: how many layouts.
        seed: of the layouts.
        arms: how often each layout stands there, one block of `copies` after the other, so that arms see the same ones.
    """

    observation_size, action_size = 13, 3

    def __init__(self, copies: int, seed: int, *, arms: int = 1) -> None:
        self.layouts, self.arms, self.copies = copies, arms, copies * arms
        self.generator = np.random.default_rng(seed)
        self.reset()

    def reset(self) -> NDArray[np.float64]:
        """New layouts for all copies; float[copies, 13]."""
        places = self.generator.uniform(-0.5, 0.5, size=(3, self.layouts, 2))
        self.gripper, self.cube, self.goal = np.tile(places, (1, self.arms, 1))
        self.openness = np.ones(self.copies)
        self.holding = np.zeros(self.copies, dtype=bool)
        self.speed = np.zeros(self.copies)
        return self.observe()

    def observe(self) -> NDArray[np.float64]:
        """Gripper, cube, goal, openness, holding, speed, and the two vectors between them."""
        single = np.stack([self.openness, self.holding, self.speed], axis=1)
        return np.concatenate(
            [self.gripper, self.cube, self.goal, single, self.cube - self.gripper, self.goal - self.cube], axis=1
        )

    def step(self, action: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move the gripper (two entries, times .08) and the fingers (one entry, times .5); actions are clipped."""
        action = np.clip(action, -1.0, 1.0)
        before = self.gripper
        self.gripper = np.clip(before + STEP * action[:, :2], -0.6, 0.6)
        moved = self.gripper - before
        self.speed = np.linalg.norm(moved, axis=1)
        self.openness = np.clip(self.openness + FINGER * action[:, 2], 0.0, 1.0)
        closed = self.openness < CLOSED
        self.cube = self.cube + np.where((self.holding & closed)[:, None], moved, 0.0)
        near = np.linalg.norm(self.cube - self.gripper, axis=1) < REACH
        self.holding = closed & (self.holding | near)
        return self.observe()


class RigidObject:
    """An object on the table."""

    def __init__(self, position: NDArray[np.float64]) -> None:
        self._position = position

    @property
    def position(self) -> Vector:
        """place of its centre on the table, in metres"""
        return self._position


class Robot:
    """A gripper that slides over the table."""

    def __init__(self, observation: NDArray[np.float64]) -> None:
        self._observation = observation

    @property
    def ee_position(self) -> Vector:
        """place of the gripper on the table, in metres"""
        return self._observation[..., 0:2]

    @property
    def gripper_openness(self) -> Scalar:
        """0 is closed, 1 is open"""
        return self._observation[..., 6]

    @property
    def speed(self) -> Scalar:
        """how far the gripper moved in the last step, in metres (at most 0.113)"""
        return self._observation[..., 8]

    def check_grasp(self, obj: RigidObject) -> Flag:
        """whether the closed gripper holds the object"""
        return self._observation[..., 7] > 0.5


class PickPlaceView:
    """The environment: the table is the square [-0.5, 0.5] x [-0.5, 0.5]."""

    robot: Robot
    cubeA: RigidObject  # noqa: N815  # the name that the paper uses

    def __init__(self, observation: NDArray[np.float64]) -> None:
        self.robot = Robot(observation)
        self.cubeA = RigidObject(observation[..., 2:4])
        self._goal = observation[..., 4:6]

    @property
    def goal_position(self) -> Vector:
        """place on the table where the cube should be, in metres"""
        return self._goal


INSTRUCTION = (
    "Pick up cube A and bring it to the goal position: success is a cube within 0.1 m of the goal while the gripper moves "
    "less than 0.04 m in a step."
)
ROBOT = "a gripper with two fingers that slides over a flat table; a held object moves with it"
ACTIONS = (
    "Box(-1, 1, (3,)). Entries 0 and 1 move the gripper along the two axes of the table, by 0.08 m at 1. Entry 2 opens (1) "
    "or closes (-1) the fingers, by half of their range in a step. The gripper starts open; an object within 0.12 m of the "
    "gripper is held once the openness is below 0.3, and until it is above that again."
)


def success(observation: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The world's own flag: the cube within .1 of the goal, and the gripper moving less than .04."""
    return (np.linalg.norm(observation[..., 4:6] - observation[..., 2:4], axis=-1) < AT_GOAL) & (
        observation[..., 8] < AT_REST
    )


def wish(observation: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The hidden wish: the cube lies at the goal and has been let go of."""
    at_goal = np.linalg.norm(observation[..., 4:6] - observation[..., 2:4], axis=-1) < AT_GOAL
    return at_goal & (observation[..., 6] > LET_GO)
