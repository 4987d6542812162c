"""Observations and actions as rows of numbers: what every method here learns on.

Flat boxes and discrete spaces are enough for vector-state control. A dictionary, a tuple or an image needs an encoder of
its own, so it is refused here, with the wrapper that flattens it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.types import Trajectory


@dataclass(frozen=True, slots=True)
class SpaceCode:
    """How the values of one space are written as rows of numbers.

    Args:
        kind: "box" values are flattened (bounded ones brought to [-1, 1] where `scaled`), "discrete" ones are one-hot.
        what: "observation" or "action", for messages.
        shape: of one value.
        low, high: bounds of a box, flattened; infinite where it has none.
        start: the smallest value of a discrete space.
        count: how many values a discrete space has.
        scaled: whether bounded boxes are brought to [-1, 1].
    """

    kind: Literal["box", "discrete"]
    what: str
    shape: tuple[int, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    start: int = 0
    count: int = 0
    scaled: bool = False

    @classmethod
    def of(cls, space: Any, what: str) -> SpaceCode:
        """The code of a Gymnasium space.

        Raises:
            TypeError: the space is neither a flat box nor discrete; the message says how to flatten it.
        """
        kind = type(space).__name__
        if kind == "Discrete":
            return cls("discrete", what, start=int(space.start), count=int(space.n))
        if kind == "Box" and len(space.shape) <= 1:
            low, high = np.ravel(space.low).astype(float), np.ravel(space.high).astype(float)
            bounded = bool(np.isfinite(low).all() and np.isfinite(high).all())
            return cls("box", what, tuple(space.shape), tuple(low), tuple(high), scaled=bounded and what == "action")
        if kind == "Box":
            raise TypeError(
                f"the {what} space is a box of shape {space.shape} (an image?); learning from demonstrations takes flat "
                "vectors: wrap the environment with gymnasium.wrappers.FlattenObservation, or put an encoder before it"
            )
        if kind in ("Dict", "Tuple"):
            raise TypeError(
                f"the {what} space is a {kind}; learning from demonstrations takes flat boxes and discrete spaces: wrap "
                "the environment with gymnasium.wrappers.FlattenObservation, and flatten the demonstrations likewise"
            )
        raise TypeError(f"the {what} space is a {kind}; expected a flat Box or a Discrete space")

    @property
    def width(self) -> int:
        """How many numbers stand for one value."""
        return self.count if self.kind == "discrete" else max(1, int(np.prod(self.shape, dtype=int)))

    def check(self, values: NDArray[Any], where: str) -> None:
        """Refuse values that cannot be of this space; `where` says whose they are."""
        if self.kind == "discrete":
            whole = values.dtype.kind in "iub" or (
                values.dtype.kind == "f" and np.isfinite(values).all() and bool((values == np.round(values)).all())
            )
            flat = values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)
            if not (whole and flat):
                raise ValueError(
                    f"{where} has {self.what}s of shape {values.shape[1:]} and type {values.dtype}, and the environment's "
                    f"{self.what} space is Discrete({self.count}); continuous {self.what}s belong to another environment"
                )
            inside = (values >= self.start) & (values < self.start + self.count)
            if not inside.all():
                wrong = int(np.flatnonzero(~inside.reshape(len(values), -1).all(1))[0])
                raise ValueError(
                    f"{where} has the {self.what} {values.ravel()[wrong]} at step {wrong}, outside "
                    f"{self.start}..{self.start + self.count - 1} of the environment's Discrete({self.count})"
                )
            return
        if values.shape[1:] != self.shape:
            hint = (
                "discrete actions belong to another environment"
                if values.dtype.kind in "iu" and values.ndim == 1 and self.what == "action"
                else "these demonstrations belong to another environment"
            )
            raise ValueError(
                f"{where} has {self.what}s of shape {values.shape[1:]} and type {values.dtype}, and the environment's "
                f"{self.what} space is a Box of shape {self.shape}; {hint}"
            )
        wrong = ~np.isfinite(values.reshape(len(values), -1)).all(1)
        if wrong.any():
            raise ValueError(
                f"{where} has {self.what} {values[wrong][0].tolist()} at step {int(np.flatnonzero(wrong)[0])}, which is not "
                "finite; leave that trajectory out, or cut it before this step"
            )

    def encode(self, values: Any) -> NDArray[np.float32]:
        """Values [N, ...] as float32[N, width]; nothing is checked."""
        array = np.asarray(values)
        if self.kind == "discrete":
            return np.eye(self.count, dtype=np.float32)[array.reshape(-1).astype(np.int64) - self.start]
        rows = array.reshape(len(array), -1).astype(np.float32)
        if not self.scaled:
            return rows
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        scaled: NDArray[np.float32] = (rows - low) / (high - low) * np.float32(2.0) - np.float32(1.0)
        return scaled

    def decode(self, rows: NDArray[Any]) -> NDArray[Any]:
        """What `encode` did, undone: rows for boxes (clipped to the bounds), indices for discrete spaces."""
        if self.kind == "discrete":
            return rows.astype(np.int64) + self.start
        if self.scaled:
            low, high = np.asarray(self.low), np.asarray(self.high)
            rows = low + (np.clip(rows, -1.0, 1.0) + 1.0) * 0.5 * (high - low)
        return np.clip(rows, self.low, self.high).astype(np.float32).reshape(-1, *self.shape)

    def describe(self) -> dict[str, Any]:
        """As plain values, from which `from_description` builds it again."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_description(cls, values: dict[str, Any]) -> SpaceCode:
        """What `describe` gave, read back from JSON."""
        found: dict[str, Any] = {
            name: tuple(entry) if isinstance(entry, list) else entry for name, entry in values.items()
        }
        return cls(**found)


@dataclass(frozen=True, slots=True)
class Columns:
    """All transitions of some demonstrations.

    Args:
        observation, action, next_observation: [N, ...] as the environment has them.
        terminated: bool[N].
        trajectory: int[N], which trajectory each is from.
    """

    observation: NDArray[Any]
    action: NDArray[Any]
    next_observation: NDArray[Any]
    terminated: NDArray[np.bool_]
    trajectory: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.terminated)


def columns_of(demonstrations: Sequence[Trajectory], observation: SpaceCode, action: SpaceCode) -> Columns:
    """Check demonstrations against an environment's spaces, and put their transitions side by side.

    Raises:
        ValueError: there are none, or one is empty, a chat, of another space, or holds NaN; trajectory and step are named.
    """
    if isinstance(demonstrations, Trajectory):
        raise TypeError("demonstrations must be a list of trajectories, got a single Trajectory; write [trajectory]")
    if not len(demonstrations):
        raise ValueError("there are no demonstrations; give at least one trajectory with at least one action")
    pieces: list[tuple[Any, ...]] = []
    for number, one in enumerate(demonstrations):
        where = f"demonstration {number}"
        if not isinstance(one, Trajectory):
            raise TypeError(f"{where} is a {type(one).__name__}, expected a Trajectory; see read_demonstrations")
        if not len(one.actions):
            raise ValueError(f"{where} has no actions; leave it out")
        if one.is_chat:
            raise TypeError(f"{where} is a chat, expected arrays of observations and actions")
        if isinstance(one.observations, dict):
            raise TypeError(f"{where} has a dictionary of observations; flatten them to one vector for each step")
        seen, done = np.asarray(one.observations), np.asarray(one.actions)
        observation.check(seen, where)
        action.check(done, where)
        ended = np.zeros(len(done), dtype=bool)
        ended[-1] = one.terminated
        pieces.append((seen[:-1], done, seen[1:], ended, np.full(len(done), number)))
    return Columns(*(np.concatenate(column) for column in zip(*pieces, strict=True)))
