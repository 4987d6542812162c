"""The rewards that are compared: sparse, unshaped, expert, the form that was released, and every recorded program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.programs.program import ProgramReward, RewardProgram, transitions_of_many
from rewardlab.recipes.text2reward.world import PickPlaceView, success

Array = NDArray[np.float64]
Plain = Callable[[Array, Array], Array]


def _distances(observation: Array) -> tuple[Array, Array]:
    """Gripper to cube, and cube to goal: float[N] each."""
    reach = np.linalg.norm(observation[..., 2:4] - observation[..., 0:2], axis=-1)
    return reach, np.linalg.norm(observation[..., 4:6] - observation[..., 2:4], axis=-1)


def sparse(observation: Array, action: Array) -> Array:
    """1 at success."""
    return success(observation).astype(np.float64)


def unshaped(observation: Array, action: Array) -> Array:
    """Minus the distance of the cube to the goal: what a reward of one form and without stages gives."""
    return -_distances(observation)[1]


def expert(observation: Array, action: Array) -> Array:
    """The expert's stages: 5 at success, else reaching, holding and carrying, each at most 1; a fifth of it all."""
    reach, goal = _distances(observation)
    held = observation[..., 7] > 0.5
    staged = (1.0 - np.tanh(5.0 * reach)) + held + held * (1.0 - np.tanh(5.0 * goal))
    return np.where(success(observation), 5.0, staged) / 5.0


def released(observation: Array, action: Array) -> Array:
    """The form of the released zero-shot program: both distances, the grasp, and a price for actions."""
    reach, goal = _distances(observation)
    held = np.where(observation[..., 7] > 0.5, 1.0, -1.0)
    return -0.3 * reach - 0.5 * goal + 0.2 * held - 0.01 * np.square(action).sum(axis=-1)


WRITTEN_BY_HAND: dict[str, Plain] = {"sparse": sparse, "unshaped": unshaped, "expert": expert, "released": released}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """Rewards by name, in order; the programs run in the sandbox, one call each for a whole rollout."""

    plain: dict[str, Plain]
    programs: dict[str, ProgramReward]

    @property
    def names(self) -> list[str]:
        """All of them, those written by hand first."""
        return [*self.plain, *self.programs]

    def __call__(self, observations: Array, actions: Array) -> list[Array]:
        """Rewards of observations[arm, state, 13] after actions[arm, state, 3]: float[state] for each arm."""
        count = len(self.plain)
        found = [function(observations[place], actions[place]) for place, function in enumerate(self.plain.values())]
        if self.programs:
            rewards = list(self.programs.values())
            found += transitions_of_many(rewards, list(observations[count:]), list(actions[count:]))
        return found


def make_arms(programs: dict[str, RewardProgram], plain: dict[str, Plain] | None = None) -> Arms:
    """Arms of rewards written by hand (all four when not given) and of programs.

    Raises:
        ProgramFailed: one of the programs cannot be used.
    """
    rewards = {name: program.as_reward(PickPlaceView) for name, program in programs.items()}
    return Arms(plain=WRITTEN_BY_HAND if plain is None else plain, programs=rewards)
