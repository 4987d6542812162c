"""Demonstrations for control: arrays in an npz file, Minari data sets, and this library's own files.

What most npz files leave out is the observation after the last action. Nothing is made up for it: by default the last action
is left out too (it stands in `info["unfinished"]`, with its reward), so that every transition is one that was seen. How the
trajectory ended is then not known, and it is marked truncated.
"""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.storage.problems import BadRow
from rewardlab.storage.read import read_trajectories
from rewardlab.types import Trajectory

End = Literal["drop", "repeat"]
COLUMNS = {
    "observations": ("obs", "observations"),
    "actions": ("actions", "acts"),
    "rewards": ("rewards", "rews"),
    "trajectory": ("traj_id", "episode", "trajectory"),
}
"""What a column may be called in an npz file."""


def read_demonstrations(
    source: str | Path, *, action_space: Any = None, end: End = "drop", download: bool = False
) -> list[Trajectory]:
    """Read demonstrations as array trajectories.

    Args:
        source: an `.npz` file with `obs`, `actions`, `rewards` (or none) and `traj_id` laid end to end, or with
            `traj[n, T, k]` whose last column is the action; a JSON Lines or Parquet file of trajectories; the folder of a
            Minari data set, or its id, such as `mujoco/halfcheetah/expert-v0`.
        action_space: of the environment they are for. Where it is discrete, a column of whole numbers becomes int64[T].
        end: what is done about the last observation, which npz files do not hold: "drop" leaves the last action out;
            "repeat" keeps it, with the observation before it in the place of the one after it (`info["end"]` says so), for
            methods that read pairs of observation and action alone.
        download: whether a Minari data set that is not there is fetched.

    Returns:
        One trajectory for each, in the order of the file.

    Raises:
        ValueError: something is missing in the file, or its columns do not fit together.
        FileNotFoundError: there is no such file, folder or data set.
    """
    if end not in ("drop", "repeat"):
        raise ValueError(f"end must be 'drop' or 'repeat', got {end!r}")
    path = Path(source)
    if path.suffix == ".npz":
        trajectories = _read_npz(path, end)
    elif path.is_file():
        trajectories = list(read_trajectories(path))
    else:
        from rewardlab.storage.minari import from_minari

        trajectories = from_minari(source, download=download)
    if action_space is not None and type(action_space).__name__ == "Discrete":
        for trajectory in trajectories:
            trajectory.actions = whole_actions(trajectory.actions)
    return trajectories


def whole_actions(actions: NDArray[Any]) -> NDArray[Any]:
    """Actions as int64[T] where they are whole numbers in one column; anything else comes back as it is."""
    column = actions[:, 0] if actions.ndim == 2 and actions.shape[1] == 1 else actions
    if column.ndim != 1 or column.dtype.kind not in "fiub":
        return actions
    if column.dtype.kind == "f" and not (np.isfinite(column).all() and (column == np.round(column)).all()):
        return actions
    return column.astype(np.int64)


def _read_npz(path: Path, end: End) -> list[Trajectory]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}; the path is relative to the folder that you are in")
    try:
        with np.load(path, allow_pickle=False) as stored:
            columns = {name: stored[name] for name in stored.files}
    except (ValueError, zipfile.BadZipFile, OSError) as error:
        raise BadRow(
            f"{path} cannot be read as arrays ({error}); expected an npz file of plain numbers. Arrays of objects hold "
            "pickles, which may run code, and are not read: save each column as an array of its own"
        ) from error
    if "traj" in columns:
        return _from_block(columns["traj"], path, end)
    found: dict[str, NDArray[Any]] = {}
    for what, names in COLUMNS.items():
        name = next((name for name in names if name in columns), None)
        if name is not None:
            found[what] = columns[name]
        elif what != "rewards":
            raise BadRow(
                f"{path} has no {what}: expected an array called {' or '.join(map(repr, names))}, got "
                f"{', '.join(columns) or 'nothing'}"
            )
    _check_columns(found, path)
    marks = found["trajectory"]
    starts = np.concatenate([[0], np.flatnonzero(marks[1:] != marks[:-1]) + 1, [len(marks)]])
    if len(np.unique(marks)) != len(starts) - 1:
        raise BadRow(
            f"{path}: the rows of one trajectory do not stand together; sort them by 'traj_id', in order of time"
        )
    rewards = found.get("rewards", np.full(len(marks), np.nan))
    return [
        _trajectory(found["observations"][a:b], found["actions"][a:b], rewards[a:b], end, str(marks[a]))
        for a, b in itertools.pairwise(starts.tolist())
        if b - a > (end == "drop")  # of a single row nothing is left
    ]


def _check_columns(found: Mapping[str, NDArray[Any]], path: Path) -> None:
    lengths = {what: len(column) for what, column in found.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{count} {what}" for what, count in lengths.items())
        raise BadRow(f"{path}: every column needs one row for each step, got {told}")
    for what, column in found.items():
        if column.dtype.kind not in "fiub":
            raise BadRow(f"{path}: {what} must be numbers, got dtype {column.dtype}")
    if not len(found["actions"]):
        raise BadRow(f"{path} holds no steps")


def _from_block(block: NDArray[Any], path: Path, end: End) -> list[Trajectory]:
    """Trajectories of one length in one array; the last column is the action."""
    if block.ndim != 3 or block.shape[2] < 2:
        raise BadRow(f"{path}: 'traj' must have shape [trajectory, step, observation and action], got {block.shape}")
    if len(block) and block.shape[1] <= (end == "drop"):
        raise BadRow(f"{path}: 'traj' holds trajectories of {block.shape[1]} steps, of which nothing is left")
    silent = np.full(block.shape[1], np.nan)
    return [
        _trajectory(one[:, :-1], whole_actions(one[:, -1]), silent, end, str(number))
        for number, one in enumerate(block)
    ]


def _trajectory(
    observations: NDArray[Any], actions: NDArray[Any], rewards: NDArray[Any], end: End, name: str
) -> Trajectory:
    info: dict[str, Any] = {"demonstration": name}
    if end == "repeat":
        info["end"] = "repeated"
        observations = np.concatenate([observations, observations[-1:]])
    else:
        info["unfinished"] = {"action": actions[-1].tolist(), "reward": float(rewards[-1])}
        actions, rewards = actions[:-1], rewards[:-1]
    return Trajectory(observations=observations, actions=actions, rewards=rewards, truncated=True, info=info)
