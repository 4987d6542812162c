"""Episodes of a Gymnasium environment for an alignment, with the rewards of every step beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rewardlab.learning.alignment.episodes import Act, EpisodeBatch
from rewardlab.policies.control import collect
from rewardlab.rewards.base import Reward
from rewardlab.rewards.online import score_steps
from rewardlab.types import Trajectory


class GymnasiumEpisodes:
    """Whole episodes of a vector of environments; one copy.

    Args:
        environment: a `gymnasium.vector` environment.
        primary: what counts in the end; the environment's own reward when None.
        auxiliary: the hints by name.
        horizon: an episode is cut off after so many steps; what lies beyond counts as nothing.
        seed: of the environments.
    """

    copies = 1

    def __init__(
        self, environment: Any, primary: Reward | None, auxiliary: Mapping[str, Reward], *, horizon: int, seed: int
    ) -> None:
        if horizon < 1:
            raise ValueError(f"horizon must be at least 1 step, got {horizon}")
        self.environment, self.primary, self.auxiliary = environment, primary, dict(auxiliary)
        self.horizon, self.seed = horizon, seed
        self._rounds = 0

    def collect(self, act: Act, episodes: int) -> EpisodeBatch:
        """So many whole episodes.

        Raises:
            ValueError: a reward failed on one of them; the message names it, the episode and the reason.
        """
        self._rounds += 1
        trajectories = collect(
            lambda seen: act(torch.from_numpy(np.asarray(seen))[None])[0].numpy(),
            self.environment,
            episodes=episodes,
            seed=self.seed + 1_000_003 * self._rounds,
        )
        rows = [self._rewards(name, reward, trajectories) for name, reward in self._named()]
        return self._pad(trajectories, rows)

    def _named(self) -> list[tuple[str, Reward | None]]:
        return [("primary", self.primary), *self.auxiliary.items()]

    def _rewards(self, name: str, reward: Reward | None, trajectories: list[Trajectory]) -> list[np.ndarray]:
        if reward is None:
            for index, trajectory in enumerate(trajectories):
                wrong = np.flatnonzero(~np.isfinite(trajectory.rewards))
                if wrong.size:
                    raise ValueError(
                        f"the environment's reward is {trajectory.rewards[wrong[0]]} at step {wrong[0]} of episode {index}; "
                        "give primary= a reward that says what is wanted there"
                    )
            return [trajectory.rewards for trajectory in trajectories]
        scores = score_steps(reward, trajectories)
        for index, steps in enumerate(scores.steps or [None] * len(trajectories)):
            if steps is None:
                raise ValueError(f"reward {name!r} has no value for episode {index}: {scores.note(index)}")
        assert scores.steps is not None
        return [steps for steps in scores.steps if steps is not None]

    def _pad(self, trajectories: list[Trajectory], rows: list[list[np.ndarray]]) -> EpisodeBatch:
        length = self.horizon

        def column(pieces: list[np.ndarray]) -> Tensor:
            first = np.asarray(pieces[0])
            table = np.zeros((1, len(pieces), length, *first.shape[1:]), dtype=first.dtype)
            for index, piece in enumerate(pieces):
                cut = np.asarray(piece)[:length]
                table[0, index, : len(cut)] = cut
            return torch.from_numpy(table)

        present = column([np.ones(len(one)) for one in trajectories]).float()
        return EpisodeBatch(
            column([np.asarray(one.observations)[:-1] for one in trajectories]),
            column([np.asarray(one.actions) for one in trajectories]),
            column(rows[0]).float(),
            torch.stack([column(row).float() for row in rows[1:]], dim=-1),
            present,
        )
