"""Trajectories and tasks on disk: JSON Lines and Parquet without loss, readers for the files of other tools, demonstrations.

Minari data sets are in `rewardlab.storage.minari` (`from_minari`, `to_minari`).
"""

from __future__ import annotations

from rewardlab.storage.demonstrations import read_demonstrations
from rewardlab.storage.encoding import Unwritable
from rewardlab.storage.problems import BadLine, BadRow, Problems, TooManyProblems
from rewardlab.storage.read import FORMATS, TrajectoryReader, UnknownFormat, read_trajectories
from rewardlab.storage.spaces import check_spaces
from rewardlab.storage.tasks import read_tasks, write_tasks
from rewardlab.storage.write import TrajectoryWriter, write_trajectories

__all__ = [
    "BadLine",
    "BadRow",
    "FORMATS",
    "Problems",
    "TooManyProblems",
    "TrajectoryReader",
    "TrajectoryWriter",
    "UnknownFormat",
    "Unwritable",
    "check_spaces",
    "read_demonstrations",
    "read_tasks",
    "read_trajectories",
    "write_tasks",
    "write_trajectories",
]
