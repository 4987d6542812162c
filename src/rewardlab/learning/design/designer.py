"""What every designer of rewards is: it shapes transitions while an agent learns, and may redesign between episodes.

Everything leads with *copies*, independent learners that run side by side, each with a designer of its own, so that the arms
and seeds of an experiment are one array. One learner is one copy.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Episodes:
    """The last episodes of each learner, padded to one length.

    Args:
        observations: [episode, time, copy, ...], what the learner saw; state numbers in a tabular world.
        actions: int[episode, time, copy].
        rewards: float[episode, time, copy], the *original* rewards; a designer that learns from what it designed itself
            would only confirm it.
        probabilities: float[episode, time, copy, action], what the learner's policy was when it acted.
        present: bool[episode, time, copy], False after the end of an episode.
    """

    observations: NDArray[Any]
    actions: NDArray[np.int64]
    rewards: Floats
    probabilities: Floats
    present: NDArray[np.bool_]

    def returns(self, discount: float) -> Floats:
        """Discounted sums of the original rewards from each step on: float[episode, time, copy].

        An episode that a limit of time ended counts like any other: what was not reached counts as zero.
        """
        return discounted_sums(np.where(self.present, self.rewards, 0.0), discount)


@functools.lru_cache(maxsize=16)
def _discounts(length: int, discount: float) -> Floats:
    gaps = np.arange(length)[None, :] - np.arange(length)[:, None]
    return np.where(gaps >= 0, discount ** np.maximum(gaps, 0).astype(np.float64), 0.0)


def discounted_sums(rewards: Floats, discount: float) -> Floats:
    """`sum_k discount**k * rewards[t + k]` along the second axis from the right.

    Args:
        rewards: float[..., time, copy].
        discount: in [0, 1].
    """
    return np.asarray(_discounts(rewards.shape[-2], discount) @ rewards)


class Designer(ABC):
    """Shapes the rewards of `copies` learners, and redesigns them every so many episodes.

    `shape` is called at each step, `update` after every `every` episodes. What a designer knows is in `arrays`, so that all
    of them are saved alike.
    """

    copies: int = 1
    every: int = 5
    """Episodes between two calls of `update`; 0 where nothing is redesigned."""
    arrays: ClassVar[tuple[str, ...]] = ()
    """The attributes that hold what was learned."""

    @abstractmethod
    def shape(
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
        reward: Floats,
    ) -> Floats:
        """The rewards that the learners get for one transition each.

        Args:
            observation: [copy, ...], what each learner saw.
            action: [copy], what it did.
            next_observation: [copy, ...], what it saw then.
            terminated: bool[copy], whether the environment ended the episode.
            reward: float[copy], what the environment gave.
        """

    def update(self, episodes: Episodes, policy: Floats | None = None) -> None:  # noqa: B027 - some never change
        """Redesign, having seen the last episodes.

        Args:
            episodes: the last ones of each learner.
            policy: float[copy, state, action], the policies as they are now, where the world is tabular.
        """

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """What was learned so far."""
        return {name: np.array(getattr(self, name)) for name in self.arrays}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `state_dict` gave.

        Raises:
            ValueError: the state is that of another designer.
        """
        if set(state) != set(self.arrays):
            raise ValueError(f"{type(self).__name__} keeps {sorted(self.arrays)}, got {sorted(state)}")
        for name, value in state.items():
            if np.shape(value) != np.shape(getattr(self, name)):
                raise ValueError(
                    f"{type(self).__name__}.{name} has the shape {np.shape(getattr(self, name))}, got {np.shape(value)}"
                )
            setattr(self, name, np.array(value))

    def save(self, path: str | Path) -> None:
        """Write what was learned to an npz file."""
        np.savez(Path(path), allow_pickle=False, **self.state_dict())

    def load(self, path: str | Path) -> None:
        """Read what `save` wrote."""
        with np.load(Path(path), allow_pickle=False) as stored:
            self.load_state_dict({name: stored[name] for name in stored.files})


def scatter(copies: int, states: int, actions: int, index: tuple[NDArray[Any], ...], values: Floats) -> Floats:
    """Sums of values by copy, state and action: float[copy, state, action].

    Args:
        copies: how many copies there are.
        states: how many states there are.
        actions: how many actions there are.
        index: states and actions, int[..., copy] each.
        values: float[..., copy], what is added up.
    """
    state, action = index
    flat = (np.arange(copies) * states + state) * actions + action
    sums = np.bincount(flat.ravel(), weights=np.ascontiguousarray(values).ravel(), minlength=copies * states * actions)
    return np.asarray(sums.reshape(copies, states, actions), dtype=np.float64)


def check_discount(discount: float, *, below_one: bool = False) -> None:
    """A discount must lie in [0, 1], and below 1 where sums without an end are taken."""
    if not 0.0 <= discount <= 1.0 or (below_one and discount >= 1.0):
        raise ValueError(f"discount must lie in [0, 1{')' if below_one else ']'}, got {discount}")


class SideBySide(Designer):
    """Several designers in one array of copies, so that their learners share one loop; all redesign equally often.

    Args:
        designers: by name, in the order of their copies.
    """

    def __init__(self, designers: Mapping[str, Designer]) -> None:
        rhythms = {name: designer.every for name, designer in designers.items()}
        if len(set(rhythms.values())) != 1:
            raise ValueError(f"designers side by side must redesign equally often, got {rhythms or 'none'}")
        self.designers = dict(designers)
        self.every = next(iter(rhythms.values()))
        bounds = np.cumsum([0, *(designer.copies for designer in designers.values())])
        self.copies = int(bounds[-1])
        self.parts = {
            name: slice(int(low), int(high)) for name, low, high in zip(designers, bounds[:-1], bounds[1:], strict=True)
        }
        """Which copies belong to each."""

    def shape(  # noqa: D102 - documented on Designer
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
        reward: Floats,
    ) -> Floats:
        shaped = np.empty(self.copies)
        for name, part in self.parts.items():
            shaped[part] = self.designers[name].shape(
                observation[part], action[part], next_observation[part], terminated[part], reward[part]
            )
        return shaped

    def update(self, episodes: Episodes, policy: Floats | None = None) -> None:  # noqa: D102
        for name, part in self.parts.items():
            own = Episodes(
                observations=episodes.observations[:, :, part],
                actions=episodes.actions[:, :, part],
                rewards=episodes.rewards[:, :, part],
                probabilities=episodes.probabilities[:, :, part],
                present=episodes.present[:, :, part],
            )
            self.designers[name].update(own, None if policy is None else policy[part])

    def state_dict(self) -> dict[str, NDArray[Any]]:  # noqa: D102
        return {
            f"{name}/{key}": value
            for name, designer in self.designers.items()
            for key, value in designer.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:  # noqa: D102
        for name, designer in self.designers.items():
            start = f"{name}/"
            designer.load_state_dict({key[len(start) :]: v for key, v in state.items() if key.startswith(start)})
