"""Minari data sets: read as trajectories, and written from them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rewardlab.extras import require
from rewardlab.rewards.transitions import STEP_INFO
from rewardlab.storage.spaces import check_spaces
from rewardlab.types import Trajectory
from rewardlab.types.trees import tree_map


def from_minari(source: Any, *, download: bool = False) -> list[Trajectory]:
    """Read a Minari data set.

    Args:
        source: its id (such as `mujoco/halfcheetah/expert-v0`), its folder, or a `minari.MinariDataset`.
        download: whether a data set that is not there is fetched.

    Returns:
        One trajectory for each episode; what the simulator said at each step stands in `info["steps"]`.

    Raises:
        FileNotFoundError: it is not there, and `download` is off.
        TypeError: its observations are a Tuple, or its actions not an array.
    """
    minari = require("minari", extra="control", why="reading a Minari data set")
    if isinstance(source, minari.MinariDataset):
        dataset = source
    else:
        folder = next((place for place in (Path(source) / "data", Path(source)) if _is_dataset(place)), None)
        try:
            dataset = minari.MinariDataset(folder) if folder else minari.load_dataset(str(source), download=download)
        except (FileNotFoundError, ValueError) as error:
            raise FileNotFoundError(
                f"{str(source)!r} is neither a file, nor the folder of a Minari data set, nor the id of one that is here "
                f"({error}); read_demonstrations(..., download=True) fetches it"
            ) from error
    return [_trajectory(episode) for episode in dataset.iterate_episodes()]


def to_minari(
    trajectories: Sequence[Trajectory],
    dataset_id: str,
    *,
    environment: Any = None,
    observation_space: Any = None,
    action_space: Any = None,
    root: str | Path | None = None,
    **metadata: Any,
) -> Any:
    """Write trajectories as a Minari data set.

    Args:
        trajectories: array trajectories of one environment; each must have ended or been cut off.
        dataset_id: such as `cartpole/mine-v0`.
        environment: the environment or its id; or give both spaces.
        observation_space: of the environment.
        action_space: of the environment.
        root: folder of data sets; Minari's own (`MINARI_DATASETS_PATH`) by default.
        metadata: `author`, `algorithm_name`, `description` and what else `minari.create_dataset_from_buffers` takes.

    Returns:
        The `minari.MinariDataset`.

    Raises:
        ValueError: no trajectories, no spaces, or trajectories that are not of these spaces (with the first that is not).
    """
    minari = require("minari", extra="control", why="writing a Minari data set")
    from minari.data_collector.episode_buffer import EpisodeBuffer

    if not trajectories:
        raise ValueError("a Minari data set needs at least one trajectory")
    if environment is not None and (observation_space is None or action_space is None):
        observation_space, action_space = _spaces(environment)
    if observation_space is None or action_space is None:
        raise ValueError("give environment=, or both observation_space= and action_space=")
    check_spaces(trajectories, observation_space, action_space)
    buffers = []
    for number, one in enumerate(trajectories):
        last = np.arange(len(one)) == len(one) - 1
        told = one.info.get(STEP_INFO) or {}
        # Minari keeps a row for the reset, too, which says nothing here
        infos = {name: np.concatenate([np.zeros_like(column[:1]), column]) for name, column in told.items()}
        buffers.append(
            EpisodeBuffer(
                id=number,
                observations=one.observations if isinstance(one.observations, dict) else np.asarray(one.observations),
                actions=np.asarray(one.actions),
                rewards=one.rewards.tolist(),
                terminations=(last & one.terminated).tolist(),
                truncations=(last & (one.truncated or not one.terminated)).tolist(),
                infos=infos or None,
            )
        )
    with _datasets_in(root):
        return minari.create_dataset_from_buffers(
            dataset_id,
            buffers,
            env=environment,
            observation_space=observation_space,
            action_space=action_space,
            jpeg_encoding=False,  # a picture that was changed is another observation
            **metadata,
        )


def _trajectory(episode: Any) -> Trajectory:
    count = len(episode.rewards)
    if isinstance(episode.observations, tuple):
        raise TypeError(
            f"episode {episode.id} has Tuple observations, whose parts have no names; expected an array or a Dict: "
            "write the data set again from an environment whose observations are a Dict"
        )
    if not isinstance(episode.actions, np.ndarray):
        raise TypeError(
            f"episode {episode.id} has {type(episode.actions).__name__} actions; expected an array: flatten the actions"
        )
    info: dict[str, Any] = {"demonstration": str(episode.id)}
    told = _flat_info(episode.infos or {}, count)
    if told:
        info[STEP_INFO] = told
    return Trajectory(
        observations=tree_map(np.asarray, episode.observations),
        actions=episode.actions,
        rewards=np.asarray(episode.rewards, dtype=np.float64),
        terminated=bool(count and episode.terminations[-1]),
        truncated=bool(count and episode.truncations[-1]),
        info=info,
    )


def _flat_info(infos: Mapping[str, Any], count: int, prefix: str = "") -> dict[str, Any]:
    """Infos as arrays with one row for each step; names inside names are joined by dots."""
    flat: dict[str, Any] = {}
    for name, column in infos.items():
        if isinstance(column, Mapping):
            flat.update(_flat_info(column, count, f"{prefix}{name}."))
        elif isinstance(column, np.ndarray) and len(column) in (count, count + 1):
            flat[prefix + name] = column[len(column) - count :]  # the first row is that of the reset
    return flat


def _spaces(environment: Any) -> tuple[Any, Any]:
    if not isinstance(environment, str):
        return environment.observation_space, environment.action_space
    gymnasium = require("gymnasium", extra="gym", why="reading the spaces of an environment")
    made = gymnasium.make(environment)
    made.close()
    return made.observation_space, made.action_space


def _is_dataset(folder: Path) -> bool:
    return (folder / "metadata.json").is_file()


@contextmanager
def _datasets_in(root: str | Path | None) -> Iterator[None]:
    """Minari takes the folder of data sets from the environment variable alone."""
    name, before = "MINARI_DATASETS_PATH", os.environ.get("MINARI_DATASETS_PATH")
    if root is not None:
        os.environ[name] = str(root)
    try:
        yield
    finally:
        if root is not None:
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before
