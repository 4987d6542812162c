"""Demonstrations that a few lines of control produce, so that the tests here need no data."""

from __future__ import annotations

import gymnasium
import numpy as np

from rewardlab.types import Trajectory


def balancing(count: int, *, seed: int = 0, length: int = 200) -> list[Trajectory]:
    """A linear controller that balances CartPole for as long as it is asked to."""
    environment = gymnasium.make("CartPole-v1", max_episode_steps=length)
    found = []
    for number in range(count):
        seen = [environment.reset(seed=seed + number)[0]]
        done: list[int] = []
        ended = False
        while not ended:
            action = int(seen[-1] @ np.array([0.1, 0.5, 3.0, 1.0]) > 0)
            observation, _, terminated, truncated, _ = environment.step(action)
            seen.append(observation)
            done.append(action)
            ended = terminated or truncated
        found.append(Trajectory(observations=np.stack(seen), actions=np.array(done), rewards=np.ones(len(done))))
        found[-1].terminated, found[-1].truncated = terminated, truncated
    return found


def swinging(count: int, *, seed: int = 0, length: int = 60) -> list[Trajectory]:
    """Pendulum under a controller that brakes: good enough to have something to imitate."""
    environment = gymnasium.make("Pendulum-v1", max_episode_steps=length)
    found = []
    for number in range(count):
        seen = [environment.reset(seed=seed + number)[0]]
        done, rewards = [], []
        for _ in range(length):
            action = np.clip(np.array([-2.0 * seen[-1][1] - 0.5 * seen[-1][2]], dtype=np.float32), -2, 2)
            observation, reward, _, _, _ = environment.step(action)
            seen.append(observation)
            done.append(action)
            rewards.append(float(reward))
        found.append(
            Trajectory(observations=np.stack(seen), actions=np.stack(done), rewards=np.array(rewards), truncated=True)
        )
    return found
