"""Twenty broken programs with their corrections, and twenty correct ones: what the checker must tell apart.

Each correction is the recorded second answer of a model that was shown the error. This tests the checker and the loop around
it, not a language model.
"""

from __future__ import annotations

from dataclasses import dataclass

from rewardlab.learning.programs.problems import Kind

_HEAD = "import numpy as np\n\n\ndef compute_dense_reward(self, action) -> np.ndarray:\n"
_REACH = "    d = np.linalg.norm(self.cubeA.position - self.robot.ee_position, axis=1)\n"
_GOAL = "    g = np.linalg.norm(self.cubeA.position - self.goal_position, axis=1)\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A program with one mistake: its kind, the line where it shows, and the corrected program."""

    kind: Kind
    line: int
    source: str
    fixed: str


def _pair(kind: Kind, line: int, wrong: str, right: str, *, head: str = _HEAD) -> Broken:
    return Broken(kind=kind, line=line, source=head + wrong, fixed=_HEAD + right)


_PLAIN = _REACH + "    return -d\n"
BROKEN = (
    # used as something that it is not
    _pair(
        "wrong use",
        5,
        "    d = np.linalg.norm(self.cubeA.position() - self.robot.ee_position, axis=1)\n    return -d\n",
        _PLAIN,
    ),
    _pair(
        "wrong use",
        5,
        "    held = np.where(self.robot.check_grasp, 1.0, 0.0)\n    return held\n",
        "    held = np.where(self.robot.check_grasp(self.cubeA), 1.0, 0.0)\n    return held\n",
    ),
    _pair(
        "wrong use",
        6,
        _REACH + "    return -d + self.robot.check_grasp()\n",
        _REACH + "    return -d + self.robot.check_grasp(self.cubeA)\n",
    ),
    _pair(
        "wrong use", 5, "    d = np.linalg.norm(self.cubeA - self.robot.ee_position, axis=1)\n    return -d\n", _PLAIN
    ),
    _pair(
        "wrong use",
        6,
        _REACH + '    return np.where(self.robot.check_grasp("cubeA"), 1.0, -d)\n',
        _REACH + "    return np.where(self.robot.check_grasp(self.cubeA), 1.0, -d)\n",
    ),
    # not there
    _pair(
        "unknown attribute",
        5,
        "    d = np.linalg.norm(self.cube.position - self.robot.ee_position, axis=1)\n    return -d\n",
        _PLAIN,
    ),
    _pair(
        "unknown attribute",
        5,
        "    d = np.linalg.norm(self.cubeA.pose - self.robot.ee_position, axis=1)\n    return -d\n",
        _PLAIN,
    ),
    _pair(
        "unknown attribute",
        6,
        _GOAL + "    return np.where(self.robot.is_grasping(self.cubeA), 1.0, 0.0) - g\n",
        _GOAL + "    return np.where(self.robot.check_grasp(self.cubeA), 1.0, 0.0) - g\n",
    ),
    _pair(
        "unknown attribute",
        5,
        "    g = np.linalg.norm(self.cubeA.position - self.goal_position.position, axis=1)\n    return -g\n",
        _GOAL + "    return -g\n",
    ),
    _pair(
        "unknown attribute",
        6,
        "    robot = self.robot\n    return 1.0 - robot.openness\n",
        "    robot = self.robot\n    return 1.0 - robot.gripper_openness\n",
    ),
    # not Python, or of the wrong shape
    _pair(
        "syntax",
        5,
        "    d = np.linalg.norm(self.cubeA.position - self.robot.ee_position, axis=1\n    return -d\n",
        _PLAIN,
    ),
    _pair(
        "syntax",
        6,
        _REACH + "    if d < 0.1\n        return d\n",
        _REACH + "    return np.where(d < 0.1, d, 0.0)\n",
    ),
    _pair(
        "shape",
        6,
        _REACH + "    if d < 0.12:\n        return -d\n    return -2.0 * d\n",
        _REACH + "    return np.where(d < 0.12, -d, -2.0 * d)\n",
    ),
    _pair(
        "shape",
        6,
        _REACH + "    return self.cubeA.position * d\n",
        _REACH + "    return self.cubeA.position[:, 0] * d\n",
    ),
    _pair(
        "shape",
        6,
        _REACH + "    return -d - action @ np.ones(2)\n",
        _REACH + "    return -d - action @ np.ones(3)\n",
    ),
    # forgotten imports
    _pair("missing import", 2, _PLAIN, _PLAIN, head="def compute_dense_reward(self, action):\n"),
    _pair("missing import", 6, _REACH + "    return -d * math.pi\n", _REACH + "    return -d * np.pi\n"),
    _pair(
        "missing import",
        6,
        _REACH + "    return -norm(action, axis=1) - d\n",
        _REACH + "    return -np.linalg.norm(action, axis=1) - d\n",
    ),
    _pair(
        "missing import",
        6,
        _REACH + "    return scipy.special.expit(-d)\n",
        _REACH + "    return 1.0 / (1.0 + np.exp(d))\n",
    ),
    _pair(
        "missing import",
        6,
        _REACH + "    return torch.exp(-d)\n",
        _REACH + "    return np.exp(-d)\n",
    ),
)

_BODIES = (
    _PLAIN,
    _REACH + "    return 1.0 - np.tanh(5.0 * d)\n",
    _REACH + _GOAL + "    return -0.3 * d - 0.5 * g\n",
    _REACH + _GOAL + "    held = self.robot.check_grasp(self.cubeA)\n    return np.where(held, 2.0 - g, -d)\n",
    _REACH + _GOAL + "    return self.robot.check_grasp(self.cubeA) * (1.0 - g) - d\n",
    _REACH + "    reward = -d\n    reward = reward - 0.01 * np.sum(action**2, axis=1)\n    return reward\n",
    "    robot, cube = self.robot, self.cubeA\n    d = cube.position - robot.ee_position\n    return -(d**2).sum(axis=1)\n",
    _REACH + "    near = d < 0.12\n    return np.where(near, 1.0 - self.robot.gripper_openness, -d)\n",
    _GOAL + "    return np.exp(-3.0 * g) + np.clip(1.0 - self.robot.speed / 0.113, 0.0, 1.0)\n",
    "    def distance(a, b):\n        return np.sqrt(((a - b) ** 2).sum(axis=1))\n\n"
    "    return -distance(self.cubeA.position, self.goal_position)\n",
    _REACH + "    total = np.zeros(len(action))\n    total -= d\n    return total\n",
    _REACH + "    total = np.zeros_like(d)\n    total[d < 0.2] += 1.0\n    return total - d\n",
    _REACH + "    weights = {'reach': 1.0}\n    return {'reach': -weights['reach'] * d, 'slow': -self.robot.speed}\n",
    _REACH + "    stages = [1.0 / (1.0 + scale * d) for scale in (1.0, 5.0, 10.0)]\n    return sum(stages)\n",
    _REACH + _GOAL + "    return -np.maximum(d, g)\n",
    _REACH + "    reward: np.ndarray = -d\n    return reward.clip(-1.0, 0.0)\n",
    "    offset = self.cubeA.position - self.robot.ee_position\n    return -np.abs(offset).sum(axis=1)\n",
    "    place = self.cubeA.position.copy()\n    place -= self.goal_position\n    return -np.hypot(*place.T)\n",
    _GOAL + "    done = np.logical_and(g < 0.1, self.robot.speed < 0.04)\n    return done.astype(float) - g\n",
    "    held = self.robot.check_grasp(obj=self.cubeA)\n    return np.where(held, 1.0, 0.0) - self.robot.speed\n",
)
CORRECT = tuple(_HEAD + body for body in _BODIES)
"""Programs in which nothing is wrong: none may be refused."""

VACUOUS = (
    _HEAD
    + """    # how far the cube is from the goal, as an angle seen from the corner of the table
    cube, goal = self.cubeA.position + 10.0, self.goal_position + 10.0
    cosine = np.sum(cube * goal, axis=1) / (np.linalg.norm(cube, axis=1) * np.linalg.norm(goal, axis=1))
    reached = 1.0 - cosine < 0.01
    reward = -np.linalg.norm(self.cubeA.position - self.robot.ee_position, axis=1)
    reward = reward + np.where(reached, 100.0, 0.0)
    return reward
"""
)
"""After a published example: the cosine distance of two *places* is small whenever they are nearly parallel seen from the
origin, so that the bonus is paid nearly always. The program runs, and its largest term teaches nothing."""
