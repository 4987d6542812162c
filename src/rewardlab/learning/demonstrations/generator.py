"""The agent of adversarial imitation and preference comparisons: PPO of Stable-Baselines3, rewarded after each rollout.

Gathering is ours: environments are stepped as one Gymnasium vector, and the learned reward is asked once for a whole rollout
instead of at every step. The policy, its optimiser and the update are those of Stable-Baselines3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rewardlab.extras import require
from rewardlab.learning.demonstrations.base import Run
from rewardlab.learning.demonstrations.networks import NetworkPolicy, layers_from, layers_stored, standardisation
from rewardlab.learning.demonstrations.options import PPOOptions
from rewardlab.learning.demonstrations.spaces import SpaceCode
from rewardlab.learning.demonstrations.worlds import Environment, next_step_reset, vector_of

require("stable_baselines3", extra="control", why="An agent that learns in an environment")

import gymnasium  # noqa: E402 - comes with the extra that was just asked for
from stable_baselines3 import PPO  # noqa: E402
from stable_baselines3.common.buffers import RolloutBuffer  # noqa: E402
from stable_baselines3.common.logger import Logger  # noqa: E402
from stable_baselines3.common.type_aliases import RolloutBufferSamples  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv  # noqa: E402


@dataclass(slots=True)
class Rollout:
    """What the agent just did; arrays are [step, environment, ...].

    Args:
        observation, action, next_observation: as the environment has them.
        terminated, truncated: bool.
        valid: False where a vector only reset its environment, which is no transition.
        logprob: of the action as it was drawn.
        reward: the environment's own.
        returns: of the trajectories that ended in it.
    """

    observation: NDArray[Any]
    action: NDArray[Any]
    next_observation: NDArray[Any]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    logprob: NDArray[np.float32]
    reward: NDArray[np.float64]
    returns: list[float]

    def transitions(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[np.bool_], NDArray[np.float32]]:
        """Observation, action, next observation, terminated and logprob of the valid transitions, [N, ...]."""
        keep = self.valid
        return (
            self.observation[keep],
            self.action[keep],
            self.next_observation[keep],
            self.terminated[keep],
            self.logprob[keep],
        )


class _Agent(PPO):
    """PPO whose rollout buffer is filled from outside."""

    def _setup_model(self) -> None:
        super()._setup_model()
        self.set_logger(Logger(folder=None, output_formats=[]))


class _Buffer(RolloutBuffer):
    """A rollout that is there as tensors, and of which only valid rows are learned from."""

    rows: RolloutBufferSamples
    valid_rows: NDArray[np.intp]
    generator: np.random.Generator

    def get(self, batch_size: int | None = None) -> Iterator[RolloutBufferSamples]:  # type: ignore[override]
        """Valid rows in a random order."""
        order = torch.from_numpy(self.generator.permutation(self.valid_rows))
        size = batch_size or len(order)
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            if len(batch) > 1:  # a batch of one has no deviation by which advantages could be divided
                yield RolloutBufferSamples(*(None if column is None else column[batch] for column in self.rows))


class _Spaces(gymnasium.Env[Any, Any]):
    """An environment that only has spaces, for the constructor of the agent."""

    def __init__(self, observation: gymnasium.Space[Any], action: gymnasium.Space[Any]) -> None:
        self.observation_space, self.action_space = observation, action

    def reset(self, **_: Any) -> Any:
        return self.observation_space.sample(), {}


class Generator:
    """An agent that acts in an environment and learns from rewards that are handed to it.

    Args:
        environment: where it acts.
        options: of PPO and of gathering.
        observation, action: the codes of the spaces.
        mean, spread: by which observations are standardised.
        steps: of the whole training, over which the learning rate falls.
        seed: of weights, actions, batches and environments.
    """

    def __init__(
        self,
        environment: Environment,
        options: PPOOptions,
        observation: SpaceCode,
        action: SpaceCode,
        mean: NDArray[np.float32],
        spread: NDArray[np.float32],
        *,
        steps: int,
        seed: int,
    ) -> None:
        self.options, self.seed = options, seed
        self.observation_code, self.action_code = observation, action
        self.mean, self.spread = mean, spread
        self.vector, self.own = vector_of(environment, options.environments)
        self.count = int(self.vector.num_envs)
        self.next_step = next_step_reset(self.vector)
        self.total, self.done = steps, 0
        features = gymnasium.spaces.Box(-np.inf, np.inf, (observation.width,), np.float32)
        acts: gymnasium.Space[Any] = (
            gymnasium.spaces.Discrete(action.count)
            if action.kind == "discrete"
            else gymnasium.spaces.Box(-1.0, 1.0, (action.width,), np.float32)
        )
        self.agent = _Agent(
            "MlpPolicy",
            DummyVecEnv([lambda: _Spaces(features, acts)]),
            learning_rate=(lambda left: options.learning_rate * (0.1 + 0.9 * left))
            if options.decay
            else options.learning_rate,
            n_steps=2,
            batch_size=2,
            n_epochs=options.epochs,
            gamma=options.discount,
            gae_lambda=options.gae_lambda,
            clip_range=options.clip,
            ent_coef=options.entropy,
            policy_kwargs={
                "net_arch": list(options.hidden),
                "optimizer_kwargs": {"fused": True},
            },
            seed=seed % 2**32,
            device="cpu",
        )
        self.agent.batch_size = options.batch_size  # the rollouts are not those of the constructor's two steps
        self.buffer = _Buffer(2, features, acts, device="cpu", n_envs=1)
        self.buffer.generator = np.random.default_rng([seed % 2**64, 1])
        self.agent.rollout_buffer = self.buffer
        self.states, _ = self.vector.reset(seed=seed % 2**31)
        self.between = np.zeros(self.count, dtype=bool)
        self.running = np.zeros(self.count)
        self.scale = RunningDeviation(self.count, options.discount)

    def close(self) -> None:
        """Close the environments, where they were made here."""
        if self.own:
            self.vector.close()

    def features(self, observations: NDArray[Any]) -> Tensor:
        """Standardised observations."""
        return torch.from_numpy((self.observation_code.encode(observations) - self.mean) / self.spread)

    @torch.no_grad()
    def gather(self, length: int | None = None) -> Rollout:
        """Act for a rollout; no more steps are made than are left of the training's.

        Raises:
            FloatingPointError: the environment gave an observation that is not finite; step and environment are named.
        """
        options, policy = self.options, self.agent.policy
        left = -(-(self.total - self.done) // self.count)
        length = min(length or options.rollout, max(1, left))
        policy.set_training_mode(False)
        frames: list[tuple[Any, ...]] = []
        kept: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        returns: list[float] = []
        for _ in range(length):
            features = self.features(self.states)
            drawn, values, logprobs = policy(features)
            action = self.action_code.decode(drawn.numpy())
            following, rewards, terminated, truncated, info = self.vector.step(action)
            ended = terminated | truncated
            valid = ~self.between
            seen = self._final(following, ended, info)
            self._check(seen)
            self.running += np.where(valid, rewards, 0.0)
            for index in np.flatnonzero(ended & valid):
                returns.append(float(self.running[index]))
                self.running[index] = 0.0
            frames.append((self.states, action, seen, terminated & valid, truncated & valid, valid, rewards))
            kept.append((features, drawn, values.flatten(), logprobs))
            self.states = following
            self.between = ended & valid if self.next_step else np.zeros(self.count, dtype=bool)
            self.done += int(valid.sum())
        columns = [np.stack(column) for column in zip(*frames, strict=True)]
        self.kept = [torch.stack(column) for column in zip(*kept, strict=True)]
        logprob = self.kept[3].numpy()
        return Rollout(
            observation=columns[0],
            action=columns[1],
            next_observation=columns[2],
            terminated=columns[3],
            truncated=columns[4],
            valid=columns[5],
            logprob=logprob,
            reward=columns[6].astype(np.float64),
            returns=returns,
        )

    def _final(self, following: NDArray[Any], ended: NDArray[np.bool_], info: dict[str, Any]) -> NDArray[Any]:
        """What was seen at the end of a trajectory, where the vector has already begun the next one."""
        if self.next_step or not ended.any() or "final_obs" not in info:
            return following
        seen = np.array(following)
        for index in np.flatnonzero(ended):
            seen[index] = info["final_obs"][index]
        return seen

    def _check(self, observations: NDArray[Any]) -> None:
        if observations.dtype.kind == "f" and not np.isfinite(observations).all():
            index = int(np.flatnonzero(~np.isfinite(observations.reshape(self.count, -1)).all(1))[0])
            raise FloatingPointError(
                f"environment {index} gave the observation {observations[index].tolist()} after {self.done} steps of the "
                "training; the simulator broke down: limit its actions or its time step"
            )

    def learn(self, rollout: Rollout, rewards: NDArray[np.float64]) -> None:
        """Update the policy on the rollout that `gather` gave last.

        Args:
            rollout: that rollout.
            rewards: [step, environment], of every transition; what stands at those that are not valid is not read.
        """
        options = self.options
        rewards = np.where(rollout.valid, rewards, 0.0)
        ended = rollout.terminated | rollout.truncated
        if options.normalise:
            rewards = self.scale(rewards, ended, rollout.valid)
        features, drawn, values, logprobs = self.kept
        with torch.no_grad():
            following = self.agent.policy.predict_values(
                self.features(rollout.next_observation.reshape(-1, *rollout.next_observation.shape[2:]))
            )
        bootstrap = following.numpy().reshape(rewards.shape) * ~rollout.terminated
        delta = rewards + options.discount * bootstrap - values.numpy()
        advantages, following_advantage = np.zeros_like(delta), np.zeros(self.count)
        decay = options.discount * options.gae_lambda
        for step in reversed(range(len(delta))):
            following_advantage = delta[step] + decay * ~ended[step] * following_advantage
            advantages[step] = following_advantage
        gained = torch.from_numpy(advantages.astype(np.float32))
        buffer = self.buffer
        actions = drawn.reshape(-1, 1) if drawn.dim() == 2 else drawn.flatten(0, 1)
        columns = (features.flatten(0, 1), actions, values.flatten(), logprobs.flatten(), gained.flatten())
        buffer.rows = RolloutBufferSamples(*columns, (gained + values).flatten())
        buffer.valid_rows = np.flatnonzero(rollout.valid)
        buffer.values, buffer.returns = values.numpy(), (gained + values).numpy()
        self.agent._current_progress_remaining = max(0.0, 1.0 - self.done / self.total)
        self.agent.train()

    @torch.no_grad()
    def logprob(self, observations: NDArray[Any], actions: NDArray[Any]) -> Tensor:
        """Log-probability of actions under the policy as it now is, of scaled ones for boxes."""
        encoded = torch.from_numpy(self.action_code.encode(actions))
        given = encoded.argmax(1) if self.action_code.kind == "discrete" else encoded
        return self.agent.policy.evaluate_actions(self.features(observations), given)[1]

    def policy(self) -> NetworkPolicy:
        """A copy of the policy as it now is, apart from Stable-Baselines3."""
        trained: Any = self.agent.policy
        stack = nn.Sequential(*trained.mlp_extractor.policy_net, trained.action_net)
        log_std = None if self.action_code.kind == "discrete" else trained.log_std.detach().numpy().copy()
        return NetworkPolicy(
            layers=layers_from(layers_stored(stack), "tanh"),
            observation=self.observation_code,
            action=self.action_code,
            mean=self.mean,
            spread=self.spread,
            log_std=log_std,
            seed=self.seed,
        )


class RunningDeviation:
    """Divides rewards by the deviation of their discounted sums over all rollouts so far.

    Source: Engstrom et al. 2020, "Implementation Matters in Deep Policy Gradients" (arXiv 2005.12729), section 3.
    """

    def __init__(self, count: int, discount: float) -> None:
        self.discount, self.sums = discount, np.zeros(count)
        self.number, self.mean, self.squares = 0, 0.0, 0.0

    def __call__(
        self, rewards: NDArray[np.float64], ended: NDArray[np.bool_], valid: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Take up a rollout, [step, environment], and scale it."""
        found = np.empty_like(rewards)
        for step in range(len(rewards)):
            self.sums = self.discount * self.sums + rewards[step]
            found[step] = self.sums
            self.sums = np.where(ended[step] | ~valid[step], 0.0, self.sums)
        fresh = found[valid]
        total = self.number + len(fresh)
        shift = float(fresh.mean()) - self.mean
        self.squares += float(((fresh - fresh.mean()) ** 2).sum()) + shift**2 * self.number * len(fresh) / total
        self.mean += shift * len(fresh) / total
        self.number = total
        deviation = float(np.sqrt(self.squares / total))
        return np.clip(rewards / max(deviation, 1e-6), -20.0, 20.0)


RewardFunction = Callable[..., NDArray[np.float64]]


def reward_rollout(reward: RewardFunction, rollout: Rollout) -> NDArray[np.float64]:
    """Ask a transition reward once for a whole rollout.

    Returns:
        float64[step, environment]; 0 where there is no transition.
    """
    found = np.zeros(rollout.valid.shape)
    observation, action, following, terminated, _ = rollout.transitions()
    found[rollout.valid] = reward(
        observation=observation, action=action, next_observation=following, terminated=terminated
    )
    return found


def train_on(reward: Any, run: Run, options: PPOOptions, *, lift: float = 0.0) -> NetworkPolicy:
    """Train an agent on a reward that stays as it is, plus a constant; the demonstrations standardise observations."""
    mean, spread = standardisation(run.observation.encode(run.columns.observation), run.observation)
    generator = Generator(
        run.environment, options, run.observation, run.action, mean, spread, steps=run.steps, seed=run.seed
    )
    try:
        while generator.done < run.steps:
            rollout = generator.gather()
            paid = reward_rollout(reward.transition, rollout)
            generator.learn(rollout, paid + lift)
            returns = {"return": float(np.mean(rollout.returns))} if rollout.returns else {}
            run.note(step=generator.done, reward=float(paid[rollout.valid].mean()), **returns)
        run.done = generator.done
        return generator.policy()
    finally:
        generator.close()
