"""Whether trajectories can be of an environment: observations and actions held against its spaces, faults named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.types import Trajectory

SLACK = 1e-5
"""How far outside its bounds a value may be, relative to their size: files are often rounded to single precision."""


def check_spaces(trajectories: Sequence[Trajectory], observation_space: Any, action_space: Any) -> None:
    """Refuse trajectories that cannot be of an environment.

    Args:
        trajectories: array trajectories.
        observation_space: a Gymnasium space of one environment; None is not checked.
        action_space: likewise.

    Raises:
        TypeError: a kind of value that the space cannot hold: continuous actions for a discrete space, say.
        ValueError: the right kind with another shape, or out of bounds, or NaN; trajectory, step and value are named.
    """
    for number, trajectory in enumerate(trajectories):
        where = f"trajectory {number}"
        if trajectory.is_chat:
            raise TypeError(f"{where} is a chat; demonstrations for control hold arrays")
        if observation_space is not None:
            _check(trajectory.observations, observation_space, f"{where}: observation", "observation_space")
        if action_space is not None:
            _check(trajectory.actions, action_space, f"{where}: action", "action_space")


def _check(values: Any, space: Any, where: str, name: str) -> None:
    kind = type(space).__name__
    if kind == "Dict":
        if not isinstance(values, Mapping):
            raise TypeError(
                f"{where}s are one array, and the environment's {name} is a Dict of {', '.join(space.keys())}; expected a "
                "dict of arrays with these keys"
            )
        missing, more = sorted(set(space.keys()) - set(values)), sorted(set(values) - set(space.keys()))
        if missing or more:
            raise ValueError(
                f"{where}s have the keys {', '.join(values)}, and the environment's {name} has {', '.join(space.keys())}"
            )
        for key, inner in space.items():
            _check(values[key], inner, f"{where} {key!r}", f"{name}[{key!r}]")
        return
    if isinstance(values, Mapping):
        raise TypeError(
            f"{where}s are a dict of {', '.join(values)}, and the environment's {name} is {_told(space)}; take the key that "
            "it means, or flatten them as gymnasium.wrappers.FlattenObservation does"
        )
    column = np.asarray(values)
    if kind == "Discrete":
        _check_discrete(column, space, where, name)
    elif kind == "Box":
        _check_box(column, space, where, name)
    elif kind in ("MultiDiscrete", "MultiBinary"):
        _check_shape(column, tuple(space.shape), space, where, name)
        if column.dtype.kind not in "iub":
            raise TypeError(
                f"{where}s are {column.dtype}, and the environment's {name} is {_told(space)}: whole numbers"
            )
    else:
        raise TypeError(
            f"the environment's {name} is {_told(space)}; expected Box, Discrete, MultiDiscrete, MultiBinary or a Dict of "
            "those (a Tuple has no names: make it a Dict)"
        )


def _check_discrete(column: NDArray[Any], space: Any, where: str, name: str) -> None:
    single = column.ndim == 1 or (column.ndim == 2 and column.shape[1] == 1)
    if column.dtype.kind == "f":
        broken = np.flatnonzero(~(column == np.round(column)).reshape(len(column), -1).all(axis=1))
        if broken.size or not single:
            example = column[broken[0] if broken.size else 0]
            raise TypeError(
                f"{where}s are continuous ({_shown(example)} at step {broken[0] if broken.size else 0}), and the "
                f"environment's {name} is {_told(space)}: they are from another environment, or need a discretiser"
            )
    if not single:
        raise ValueError(
            f"{where}s have shape {column.shape[1:]}, and {_told(space)} needs one whole number for each step"
        )
    if column.ndim == 2 or column.dtype.kind == "f":
        raise TypeError(
            f"{where}s are whole numbers in a column of {column.dtype}, shape {column.shape}, and the environment's {name} "
            f"is {_told(space)}; read them with read_demonstrations(..., action_space=environment.action_space), which "
            "makes them int64[T]"
        )
    low, high = int(space.start), int(space.start + space.n - 1)
    outside = np.flatnonzero((column < low) | (column > high))
    if outside.size:
        raise ValueError(
            f"{where} {int(column[outside[0]])} at step {outside[0]} is not in {_told(space)}, which holds {low} to {high}"
        )


def _check_box(column: NDArray[Any], space: Any, where: str, name: str) -> None:
    shape = tuple(space.shape)
    if column.dtype.kind in "iub" and column.ndim == 1 and shape not in ((), (1,)):
        raise TypeError(
            f"{where}s are single whole numbers (discrete), and the environment's {name} is {_told(space)} (continuous): "
            "they are from another environment"
        )
    _check_shape(column, shape, space, where, name)
    flat = column.reshape(len(column), -1).astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(flat).all(axis=1))
    if wrong.size:
        bad = flat[wrong[0]][~np.isfinite(flat[wrong[0]])][0]
        raise ValueError(f"{where} at step {wrong[0]} holds {bad}: the simulator or the recording went wrong there")
    low, high = np.ravel(space.low).astype(np.float64), np.ravel(space.high).astype(np.float64)
    room = SLACK * (
        1.0 + np.maximum(np.where(np.isfinite(low), abs(low), 0), np.where(np.isfinite(high), abs(high), 0))
    )
    outside = np.argwhere((flat < low - room) | (flat > high + room))
    if outside.size:
        step, place = outside[0].tolist()
        scaled = ""
        if len(shape) >= 2 and flat.max() <= 1.0 and high.max() > 1:
            scaled = "; pictures in [0, 1] are multiplied by 255"
        raise ValueError(
            f"{where} at step {step} has {flat[step, place]:g} at place {place}, outside the bounds [{low[place]:g}, "
            f"{high[place]:g}] of the environment's {name}: clip or scale them as the environment was{scaled}"
        )
    if len(shape) == 3 and space.dtype == np.uint8 and column.dtype.kind == "f" and flat.max() <= 1.0:
        raise TypeError(
            f"{where}s are pictures of {column.dtype} in [0, 1], and the environment's {name} holds uint8 in [0, 255]: "
            "multiply by 255 and cast"
        )


def _check_shape(column: NDArray[Any], shape: tuple[int, ...], space: Any, where: str, name: str) -> None:
    mine = tuple(column.shape[1:])
    if mine == shape:
        return
    hint = "they are from another environment, or another wrapper stood around it"
    if len(mine) == len(shape) == 3 and sorted(mine) == sorted(shape):
        hint = "the same picture with its axes in another order: transpose them (channels first or last)"
    elif len(mine) == 3 or len(shape) == 3:
        hint = "one is a picture and the other is not, or of another size"
    elif np.prod(mine, dtype=int) == np.prod(shape, dtype=int):
        hint = f"the same numbers in another shape: reshape(-1, {', '.join(map(str, shape))})"
    raise ValueError(
        f"{where}s have shape {mine}, and the environment's {name} is {_told(space)} of shape {shape}: {hint}"
    )


def _told(space: Any) -> str:
    text = str(space).replace("\n", " ")
    return text if len(text) <= 60 else f"a {type(space).__name__}"


def _shown(value: Any) -> str:
    return np.array2string(np.asarray(value), precision=3, threshold=6)
