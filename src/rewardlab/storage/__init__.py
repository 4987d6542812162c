"""Trajectories and tasks on disk: JSON Lines and Parquet without loss, and readers for the files of other tools."""

from __future__ import annotations

from rewardlab.storage.encoding import Unwritable
from rewardlab.storage.problems import BadLine, BadRow, Problems, TooManyProblems
from rewardlab.storage.read import FORMATS, TrajectoryReader, UnknownFormat, read_trajectories
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
    "read_tasks",
    "read_trajectories",
    "write_tasks",
    "write_trajectories",
]
