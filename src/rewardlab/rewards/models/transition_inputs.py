"""Transitions as rows of numbers: what learned rewards of control tasks read, with the constants that bring them to a scale.

The constants are options of the reward, so that they are saved with it: a reward that was learned on actions in [-2, 2] and
is asked about actions in [-1, 1] would be wrong without a word.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.transitions import TransitionReward
from rewardlab.types import Trajectory

Inputs = Literal["sa", "ss", "sas", "s"]
Rows = NDArray[np.float32]


class Transitions(Protocol):
    """N transitions in columns; a batch may also hold `log_probability` (float[N]) and `absorbing` (bool[N])."""

    @property
    def observation(self) -> Any:
        """[N, ...] what the policy saw."""

    @property
    def action(self) -> Any:
        """[N, ...] what it did."""

    @property
    def next_observation(self) -> Any:
        """[N, ...] what it saw then."""

    @property
    def terminated(self) -> Any:
        """bool[N], whether the environment ended the trajectory there."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TransitionBatch:
    """Transitions in columns.

    Args:
        observation, action, next_observation: [N, ...] as the environment has them.
        terminated: bool[N]; a time limit does not count.
        log_probability: float[N], of the action under the agent's policy; only AIRL reads it.
        absorbing: bool[N], transitions from the absorbing state to itself, whose other columns are not read; None for none.
    """

    observation: NDArray[Any]
    action: NDArray[Any]
    next_observation: NDArray[Any]
    terminated: NDArray[np.bool_]
    log_probability: NDArray[np.floating[Any]] | None = None
    absorbing: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        for name in ("action", "next_observation", "terminated", "log_probability", "absorbing"):
            column = getattr(self, name)
            if column is None or isinstance(column, dict) or isinstance(self.observation, dict):
                continue  # dictionaries are refused by what reads them
            if len(column) != len(self.observation):
                raise ValueError(f"a batch of {len(self.observation)} observations has {len(column)} of {name}")

    def __len__(self) -> int:
        return len(self.observation)

    def take(self, rows: Any) -> TransitionBatch:
        """Some transitions, by index, slice or mask."""
        chosen: dict[str, Any] = {
            name: None if (column := getattr(self, name)) is None else column[rows] for name in self.__slots__
        }
        return TransitionBatch(**chosen)

    @classmethod
    def from_trajectories(cls, trajectories: Sequence[Trajectory], *, absorbing: bool = False) -> TransitionBatch:
        """All transitions of array trajectories, one after the other.

        Args:
            trajectories: at least one with an action.
            absorbing: whether a transition from the absorbing state to itself follows each termination.

        Raises:
            TypeError: something else than array trajectories.
            ValueError: no transitions, or an observation or action that is not finite (trajectory and step are named).
        """
        pieces: list[tuple[Any, ...]] = []
        for number, one in enumerate([trajectories] if isinstance(trajectories, Trajectory) else trajectories):
            if not isinstance(one, Trajectory) or one.is_chat or isinstance(one.observations, dict):
                kind = "a chat" if isinstance(one, Trajectory) and one.is_chat else f"a {type(one).__name__}"
                raise TypeError(
                    f"trajectory {number} is {kind}; expected a Trajectory with arrays of observations and actions "
                    "(flatten dictionaries to vectors, encode images)"
                )
            seen, done = np.asarray(one.observations), np.asarray(one.actions)
            for name, column in (("observation", seen), ("action", done)):
                good = np.isfinite(column.reshape(len(column), -1)).all(1) if column.dtype.kind == "f" else None
                if good is not None and not good.all():
                    raise ValueError(
                        f"trajectory {number} has an {name} that is not finite at step {int(np.flatnonzero(~good)[0])}; "
                        "leave the trajectory out, or cut it before"
                    )
            if not len(done):
                continue
            ended = np.zeros(len(done), dtype=bool)
            ended[-1] = one.terminated
            pieces.append((seen[:-1], done, seen[1:], ended, np.zeros(len(done), dtype=bool)))
            if absorbing and one.terminated:
                last = (seen[-1:], done[-1:], seen[-1:], np.zeros(1, dtype=bool), np.ones(1, dtype=bool))
                pieces.append(last)
        if not pieces:
            raise ValueError("there are no transitions: no trajectory has an action")
        columns = [np.concatenate(column) for column in zip(*pieces, strict=True)]
        return cls(
            observation=columns[0],
            action=columns[1],
            next_observation=columns[2],
            terminated=columns[3],
            absorbing=columns[4] if absorbing else None,
        )


@dataclass(frozen=True, kw_only=True)
class EncodedTransitions(TransitionReward):
    """A reward that reads transitions as rows of numbers. Subclasses say what they make of the rows.

    Args:
        observation_width: numbers in an observation, or values of a discrete one (which becomes one-hot).
        action_width: the same of actions.
        discrete_observations: whether observations are integers from `observation_start` on.
        discrete_actions: whether actions are integers from `action_start` on.
        observation_shift, observation_scale: `(observation - shift) / scale` is read; None for as it stands.
        action_shift, action_scale: the same of actions; `for_spaces` brings bounded ones to [-1, 1].
        inputs: what is read: state and action ("sa"), both states ("ss"), all ("sas"), or the state alone ("s").
        absorbing: whether states have one number more, 1 in the state that follows a termination, so that ends are worth
            something of their own.
        clip: scaled observations are limited to [-clip, clip]; None for no limit.
    """

    observation_width: int
    action_width: int
    discrete_observations: bool = False
    discrete_actions: bool = False
    observation_start: int = 0
    action_start: int = 0
    observation_shift: tuple[float, ...] | None = None
    observation_scale: tuple[float, ...] | None = None
    action_shift: tuple[float, ...] | None = None
    action_scale: tuple[float, ...] | None = None
    inputs: Inputs = "sa"
    absorbing: bool = False
    clip: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for what in ("observation", "action"):
            width = getattr(self, f"{what}_width")
            if width < 1:
                raise ValueError(f"{type(self).__name__}: option '{what}_width' must be at least 1, got {width}")
            for part in ("shift", "scale"):
                constants = getattr(self, f"{what}_{part}")
                if constants is not None and len(constants) != width:
                    raise ValueError(
                        f"{type(self).__name__}: option '{what}_{part}' must have {width} numbers, got {len(constants)}"
                    )
                if constants is not None and not np.isfinite(constants).all():
                    raise ValueError(f"{type(self).__name__}: option '{what}_{part}' must be finite, got {constants}")
            scale = getattr(self, f"{what}_scale")
            if scale is not None and min(scale) <= 0:
                raise ValueError(f"{type(self).__name__}: option '{what}_scale' must be positive, got {scale}")

    @classmethod
    def for_spaces(cls, observation_space: Any, action_space: Any, **options: Any) -> Self:
        """A reward for an environment's spaces; bounded numbers are brought to [-1, 1].

        Args:
            observation_space, action_space: of Gymnasium; boxes of vectors, or discrete.
            options: any other field.

        Raises:
            TypeError: a dictionary, a tuple, an image or another space; the message says what to do.
        """
        found = {**_of_space(observation_space, "observation"), **_of_space(action_space, "action"), **options}
        return cls(**found)

    def scaled_to(self, demonstrations: Sequence[Trajectory], *, least: float = 1e-3) -> Self:
        """The same reward with observations standardised by demonstrations; constant numbers keep the scale 1.

        Args:
            demonstrations: array trajectories.
            least: a standard deviation below this share of the number's size counts as none.
        """
        seen = self._observations(TransitionBatch.from_trajectories(demonstrations).observation)
        if self.discrete_observations:
            return self
        shift, scale = seen.mean(0), seen.std(0)
        flat = scale <= least * np.maximum(np.abs(shift), least)
        return self._with(
            observation_shift=tuple(shift.tolist()), observation_scale=tuple(np.where(flat, 1.0, scale).tolist())
        )

    def _with(self, **changes: Any) -> Self:
        from dataclasses import replace

        return replace(self, **changes)

    # ---- rows -----------------------------------------------------------------------------------------------------------

    @property
    def state_width(self) -> int:
        """How many numbers stand for a state."""
        return self.observation_width + int(self.absorbing)

    @property
    def row_width(self) -> int:
        """How many numbers stand for a transition."""
        return {
            "sa": self.state_width + self.action_width,
            "ss": 2 * self.state_width,
            "sas": 2 * self.state_width + self.action_width,
            "s": self.state_width,
        }[self.inputs]

    def rows(self, batch: Transitions) -> Rows:
        """Transitions as float32[N, row_width]: state, action, next state, as far as `inputs` names them.

        Raises:
            ValueError: observations or actions of another space, or numbers that are not finite.
        """
        return np.concatenate([self.part(letter, batch) for letter in self._letters()], axis=1)

    def _letters(self) -> tuple[str, ...]:
        return {"sa": ("s", "a"), "ss": ("s", "n"), "sas": ("s", "a", "n"), "s": ("s",)}[self.inputs]

    def part(self, letter: str, batch: Transitions) -> Rows:
        """One part of the rows: the state ("s"), the action ("a") or the next state ("n"); float32[N, width]."""
        absorbing = getattr(batch, "absorbing", None)
        if letter == "a":
            rows = self._scaled(self._read(batch.action, "action"), "action")
            return rows if absorbing is None else np.where(np.asarray(absorbing)[:, None], np.float32(0.0), rows)
        column = batch.observation if letter == "s" else batch.next_observation
        rows = self._scaled(self._observations(column), "observation")
        if self.clip is not None:
            rows = np.clip(rows, -self.clip, self.clip)
        if not self.absorbing:
            return rows
        gone = np.zeros(len(rows), dtype=bool) if absorbing is None else np.asarray(absorbing, dtype=bool)
        if letter == "n":
            gone = gone | np.asarray(batch.terminated, dtype=bool)
        return np.concatenate([np.where(gone[:, None], np.float32(0.0), rows), gone[:, None]], axis=1).astype(
            np.float32
        )

    def _observations(self, column: Any) -> NDArray[Any]:
        return self._read(column, "observation")

    def _read(self, column: Any, what: Literal["observation", "action"]) -> NDArray[Any]:
        """A column as one row of numbers for each transition, in the environment's own scale."""
        if isinstance(column, dict):
            raise ValueError(
                f"{self.label} got a dictionary of {what}s ({', '.join(map(str, column))}); flatten them to one vector, "
                "with gymnasium.wrappers.FlattenObservation for an environment"
            )
        array = np.asarray(column)
        width = getattr(self, f"{what}_width")
        if getattr(self, f"discrete_{what}s"):
            start = getattr(self, f"{what}_start")
            flat = array.reshape(-1)
            if array.dtype.kind not in "iub" and not (array.dtype.kind == "f" and (flat == np.round(flat)).all()):
                raise ValueError(
                    f"{self.label} takes {what}s that are integers from {start} to {start + width - 1}, got "
                    f"{array.dtype} such as {flat[:1].tolist()}; these belong to another environment"
                )
            if flat.size != len(array):
                raise ValueError(f"{self.label} takes one integer for each {what}, got shape {array.shape}")
            places = flat.astype(np.int64) - start
            if flat.size and (places.min() < 0 or places.max() >= width):
                wrong = flat[(places < 0) | (places >= width)][0]
                raise ValueError(
                    f"{self.label} takes {what}s from {start} to {start + width - 1}, got {wrong}; these belong to another "
                    "environment"
                )
            return np.eye(width, dtype=np.float32)[places]
        if array.dtype.kind not in "iubf":
            raise ValueError(f"{self.label} takes {what}s that are numbers, got {array.dtype}")
        rows = array.reshape(len(array), math.prod(array.shape[1:]))
        if rows.shape[1] != width:
            raise ValueError(
                f"{self.label} takes {what}s of {width} numbers, got shape {array.shape[1:]}; these belong to another "
                "environment"
            )
        if rows.dtype.kind == "f" and not np.isfinite(rows).all():
            wrong = int(np.flatnonzero(~np.isfinite(rows).all(1))[0])
            raise ValueError(f"{self.label} got the {what} {rows[wrong].tolist()} at row {wrong}, which is not finite")
        return rows

    def _scaled(self, rows: NDArray[Any], what: str) -> Rows:
        shift, scale = getattr(self, f"{what}_shift"), getattr(self, f"{what}_scale")
        if shift is not None:
            rows = rows - np.asarray(shift)
        if scale is not None:
            rows = rows / np.asarray(scale)
        return rows.astype(np.float32, copy=False)


def _of_space(space: Any, what: str) -> dict[str, Any]:
    """Width and constants of a Gymnasium space, told by its class so that Gymnasium need not be there."""
    kind = type(space).__name__
    if kind == "Discrete":
        return {f"{what}_width": int(space.n), f"{what}_start": int(space.start), f"discrete_{what}s": True}
    if kind in ("Dict", "Tuple"):
        raise TypeError(
            f"the {what} space is a {kind}; a discriminator reads vectors: wrap the environment with "
            "gymnasium.wrappers.FlattenObservation, and flatten the demonstrations likewise"
        )
    if kind != "Box":
        raise TypeError(f"the {what} space is a {kind}; a discriminator reads a Box of vectors or a Discrete space")
    if len(space.shape) > 1 and (space.dtype == np.uint8 or len(space.shape) > 2):
        raise TypeError(
            f"the {what} space is an image, a Box of shape {space.shape}; put an encoder before it and give its output to "
            "the reward: the gradient penalty is then on what the encoder puts out"
        )
    low, high = (np.ravel(bound).astype(np.float64) for bound in (space.low, space.high))
    bounded = np.isfinite(low) & np.isfinite(high) & (high > low) & (high - low < 1e6)
    shift = np.where(bounded, (np.where(bounded, low, 0.0) + np.where(bounded, high, 0.0)) / 2, 0.0)
    scale = np.where(bounded, (np.where(bounded, high, 1.0) - np.where(bounded, low, -1.0)) / 2, 1.0)
    return {
        f"{what}_width": int(low.size),
        f"{what}_shift": tuple(shift.tolist()),
        f"{what}_scale": tuple(scale.tolist()),
    }
