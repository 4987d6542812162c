"""How long actions took, as an environment that keeps a clock of its own says.

A rollout measures the wall time of each turn, in which generation and waiting are included. An environment that knows better
(because only its own work counts, or because its clock is simulated) writes a list with one number for each action so far
under `seconds` in `Step.info`, and under `cut_off` which of them a limit ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.types import Trajectory


def action_seconds(trajectory: Trajectory) -> NDArray[np.float64] | None:
    """float64[action]: what the environment reports, else `trajectory.seconds`, else None."""
    told = trajectory.info.get("seconds")
    if isinstance(told, (list, tuple)) and len(told) == len(trajectory):
        return np.asarray(told, dtype=np.float64)
    return trajectory.seconds


def cut_off(trajectory: Trajectory) -> NDArray[np.bool_]:
    """bool[action]: which actions a limit ended, so that they would have taken longer than their seconds say."""
    told = trajectory.info.get("cut_off")
    if isinstance(told, (list, tuple)) and len(told) == len(trajectory):
        return np.asarray(told, dtype=np.bool_)
    return np.zeros(len(trajectory), dtype=np.bool_)


def timed(rollout: Callable[..., list[Trajectory]]) -> Callable[..., list[Trajectory]]:
    """A rollout whose trajectories have the environment's own seconds in `Trajectory.seconds`.

    Args:
        rollout: such as `rewardlab.policies.rollout`; give the result to `Trainer(rollout=...)`.
    """

    def timed_rollout(policy: Any, environment: Any, tasks: Sequence[Any], **options: Any) -> list[Trajectory]:
        trajectories = rollout(policy, environment, tasks, **options)
        for trajectory in trajectories:
            trajectory.seconds = action_seconds(trajectory)
        return trajectories

    return timed_rollout
