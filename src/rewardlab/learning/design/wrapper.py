"""A designer inside any Gymnasium environment with discrete actions: it shapes steps and redesigns between episodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, cast

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.design.designer import Designer, Episodes, Floats

Probabilities = Callable[[NDArray[Any]], Any]
"""Observations [N, ...] -> probabilities of the learner's actions, float[N, action]."""


class DesignedEnvironment(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose reward a designer shapes; the original one stays in `info["environment_reward"]`.

    After every `designer.every` episodes the designer sees the last `window` of them with the original rewards and with what
    the learner's policy was. An episode that a limit ended counts like any other.

    Args:
        environment: has discrete actions.
        designer: with one copy.
        policy: the learner's probabilities; may be set later (`.policy`), because learners are mostly built around the
            environment. Uniform until then. See `model_probabilities`.
        window: how many past episodes the designer sees.
    """

    def __init__(
        self,
        environment: gymnasium.Env[Any, Any],
        designer: Designer,
        policy: Probabilities | None = None,
        *,
        window: int | None = None,
    ) -> None:
        super().__init__(environment)
        space = environment.action_space
        if not isinstance(space, gymnasium.spaces.Discrete):
            raise ValueError(
                f"a designed reward phi(s, a) needs discrete actions, got {space}; bin the actions with a wrapper first"
            )
        if space.start != 0:
            raise ValueError(f"actions must start at 0, got {space}")
        if designer.copies != 1:
            raise ValueError(f"one environment needs a designer with one copy, got {designer.copies}")
        seen = environment.observation_space
        if isinstance(seen, (gymnasium.spaces.Dict, gymnasium.spaces.Tuple)):
            raise ValueError(
                f"a designer sees state numbers or arrays, got the observation space {seen}; put "
                "gymnasium.wrappers.FlattenObservation around the environment first"
            )
        known = (("actions", space.n), ("states", seen.n if isinstance(seen, gymnasium.spaces.Discrete) else None))
        for what, count in known:
            given = getattr(designer, what, None)
            if None not in (given, count) and given != count:
                raise ValueError(f"the designer is for {given} {what}, and the environment has {count}")
        self.designer, self.policy = designer, policy
        self.on_episode: Callable[[list[float]], Any] | None = None
        """Called with the original rewards of each episode when it has ended."""
        self.window = window or max(10, designer.every)
        self._actions = int(space.n)
        self._episodes: deque[tuple[list[Any], list[int], list[float], NDArray[Any]]] = deque(maxlen=self.window)
        self._steps: tuple[list[Any], list[int], list[float]] = ([], [], [])
        self._count = 0

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Start an episode; steps of one that was left off are dropped."""
        self._observation, info = self.env.reset(**options)
        self._steps = ([], [], [])
        return self._observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step, with the designed reward."""
        following, reward, terminated, truncated, info = self.env.step(action)
        shaped = self.designer.shape(
            np.asarray(self._observation)[None],
            np.array([int(action)]),
            np.asarray(following)[None],
            np.array([terminated]),
            np.array([float(reward)]),
        )
        if not np.isfinite(shaped[0]):
            raise ValueError(
                f"step {len(self._steps[0])}: the designed reward is {shaped[0]} from the original {float(reward)}; "
                "expected finite numbers"
            )
        observations, actions, rewards = self._steps
        observations.append(self._observation)
        actions.append(int(action))
        rewards.append(float(reward))
        self._observation = following
        if terminated or truncated:
            self._finish()
        return following, float(shaped[0]), bool(terminated), bool(truncated), {**info, "environment_reward": reward}

    def _finish(self) -> None:
        observations, actions, rewards = self._steps
        self._episodes.append((observations, actions, rewards, self._probabilities(np.stack(observations))))
        self._steps = ([], [], [])
        self._count += 1
        if self.on_episode is not None:
            self.on_episode(rewards)
        if self.designer.every and self._count % self.designer.every == 0:
            self.designer.update(self.recent(), self._table())

    def recent(self) -> Episodes:
        """The last episodes, padded."""
        longest = max(len(episode[1]) for episode in self._episodes)

        def column(index: int) -> NDArray[Any]:
            pieces = [np.asarray(episode[index]) for episode in self._episodes]
            padded = np.zeros((len(pieces), longest, 1, *pieces[0].shape[1:]), dtype=pieces[0].dtype)
            for row, piece in zip(padded, pieces, strict=True):
                row[: len(piece), 0] = piece
            return padded

        lengths = np.array([len(episode[1]) for episode in self._episodes])
        return Episodes(
            observations=column(0),
            actions=column(1),
            rewards=column(2),
            probabilities=column(3),
            present=(np.arange(longest) < lengths[:, None])[..., None],
        )

    def _probabilities(self, observations: NDArray[Any]) -> Floats:
        if self.policy is None:
            return np.full((len(observations), self._actions), 1.0 / self._actions)
        found = np.asarray(self.policy(observations), dtype=np.float64)
        if found.shape != (len(observations), self._actions) or not np.allclose(found.sum(-1), 1.0, atol=1e-3):
            raise ValueError(
                f"the policy must give probabilities float[{len(observations)}, {self._actions}] whose rows sum to 1, "
                f"got the shape {list(found.shape)}"
            )
        return found

    def _table(self) -> Floats | None:
        """The whole policy, where the observations are state numbers."""
        space = self.env.observation_space
        if not isinstance(space, gymnasium.spaces.Discrete):
            return None
        return self._probabilities(np.arange(int(space.n)))[None]


def model_probabilities(model: Any) -> Probabilities:
    """The action probabilities of a Stable-Baselines3 model: a policy gradient's (PPO, A2C) or epsilon-greedy values (DQN).

    Args:
        model: with discrete actions.
    """
    import torch

    def policy(observations: NDArray[Any]) -> Floats:
        inputs, _ = model.policy.obs_to_tensor(observations)
        with torch.no_grad():
            if hasattr(model, "q_net"):
                best = model.q_net(inputs).argmax(-1)
                count = int(model.action_space.n)
                greedy = torch.nn.functional.one_hot(best, count).double()
                mixed = greedy * (1 - model.exploration_rate) + model.exploration_rate / count
                return cast("Floats", mixed.cpu().numpy())
            return cast("Floats", model.policy.get_distribution(inputs).distribution.probs.double().cpu().numpy())

    return policy
