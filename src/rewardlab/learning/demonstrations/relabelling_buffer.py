"""A replay buffer of Stable-Baselines3 whose rewards are computed when a batch is drawn, by a reward as it is then.

A reward that learns along makes stored rewards stale, and an off-policy learner reads most steps long after they were made.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require
from rewardlab.rewards.models.transition_inputs import TransitionBatch
from rewardlab.rewards.transitions import TransitionReward

require("stable_baselines3", extra="control", why="a replay buffer for Stable-Baselines3")

from gymnasium import spaces  # noqa: E402 - after the check that says which extra brings it
from stable_baselines3.common.buffers import NStepReplayBuffer  # noqa: E402
from stable_baselines3.common.type_aliases import ReplayBufferSamples  # noqa: E402


class RelabellingReplayBuffer(NStepReplayBuffer):
    """For `replay_buffer_class=RelabellingReplayBuffer, replay_buffer_kwargs={"reward": reward}` of TD3, SAC, DDPG or DQN.

    What the environment paid stays in `environment_rewards`. Ends by a time limit bootstrap; after a true end nothing
    follows, unless the reward knows absorbing states: then the value of staying there for ever is added.

    Args:
        reward: of transitions; asked anew for every batch.
        n_steps: rewards that are added up before the value is asked; the learner's own `n_steps` stays 1.
        gamma: the learner's discount.
        arguments: those of Stable-Baselines3's `ReplayBuffer`.
    """

    def __init__(
        self, *arguments: Any, reward: TransitionReward, n_steps: int = 1, gamma: float = 0.99, **options: Any
    ) -> None:
        super().__init__(*arguments, n_steps=n_steps, gamma=gamma, **options)
        if not hasattr(reward, "transition"):
            raise TypeError(
                f"a replay buffer needs a reward with `transition`, got {getattr(reward, 'label', reward)!r}; write a "
                "TransitionReward"
            )
        if n_steps < 1:
            raise ValueError(f"n_steps must be at least 1, got {n_steps}")
        if not isinstance(self.observation_space, (spaces.Box, spaces.Discrete)):
            raise TypeError(
                f"the observation space is a {type(self.observation_space).__name__}; flatten it with "
                "gymnasium.wrappers.FlattenObservation"
            )
        self.reward = reward
        self.environment_rewards = np.zeros_like(self.rewards)

    def add(self, *columns: Any) -> None:
        """Store a step; see `ReplayBuffer.add`."""
        place = self.pos
        super().add(*columns)
        self.environment_rewards[place] = self.rewards[place]

    def transitions(self, places: NDArray[np.intp], environments: NDArray[np.intp]) -> TransitionBatch:
        """Stored transitions, with observations and actions as the environment has them.

        Args:
            places: int[N], in time.
            environments: int[N].
        """
        action = self.actions[places, environments]
        if isinstance(self.action_space, spaces.Box):  # off-policy learners store actions in [-1, 1]
            low, high = self.action_space.low.reshape(-1), self.action_space.high.reshape(-1)
            action = (low + 0.5 * (action + 1.0) * (high - low)).reshape(-1, *self.action_space.shape)
        elif isinstance(self.action_space, spaces.Discrete):
            action = action[:, 0]
        seen, following = self.observations[places, environments], self.next_observations[places, environments]
        if isinstance(self.observation_space, spaces.Discrete):
            seen, following = seen[:, 0], following[:, 0]
        ended = (self.dones * (1 - self.timeouts))[places, environments] > 0
        return TransitionBatch(observation=seen, action=action, next_observation=following, terminated=ended)

    def draw(self, count: int, draw: np.random.Generator) -> TransitionBatch:
        """Transitions drawn with replacement.

        Raises:
            ValueError: the buffer is empty.
        """
        if not self.size():
            raise ValueError("the replay buffer is empty; collect steps first")
        return self.transitions(draw.integers(self.size(), size=count), draw.integers(self.n_envs, size=count))

    def _get_samples(self, batch_inds: NDArray[Any], env: Any = None) -> ReplayBufferSamples:
        places = np.unique((np.asarray(batch_inds)[:, None] + np.arange(self.n_steps)) % self.buffer_size)
        places = places[places < self.size()]
        times, environments = np.repeat(places, self.n_envs), np.tile(np.arange(self.n_envs), len(places))
        batch = self.transitions(times, environments)
        values = self.reward.transition(
            observation=batch.observation,
            action=batch.action,
            next_observation=batch.next_observation,
            terminated=batch.terminated,
        )
        if getattr(self.reward, "absorbing", False) and batch.terminated.any():
            forever = self.gamma / (1.0 - self.gamma) * self.reward.absorbing_value  # type: ignore[attr-defined]
            values = values + np.where(batch.terminated, forever, 0.0)
        self.rewards[times, environments] = values
        return super()._get_samples(batch_inds, env)
