"""Auxiliary tasks that shape the first layers of a policy (Lucy-SKG): predict the reward's class, rebuild the observation.

Both are modules with a `loss` that takes the shared layers as a function, so that they stand beside any policy loss.
For Stable-Baselines3 `auxiliary_training` is a callback: after each rollout it takes some steps on the tasks with the
layers of the actor. The paper adds both losses to those of PPO on the same minibatches; here they come between
rollouts, which leaves Stable-Baselines3's own update as it is.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rewardlab.extras import require

Encode = Callable[[Tensor], Tensor]


class RewardPrediction(nn.Module):
    """Which class the reward of a step has (above a threshold, below its negative, between), from what was seen before it.

    The window holds the observations up to the one that the action was chosen from, and nothing from before the episode.

    Args:
        features: width of the shared layers.
        threshold: rewards up to this size are "none"; positive.
        length: observations in the window.
        hidden: width of the recurrent layer.

    Raises:
        ValueError: a number is not positive.
    """

    def __init__(self, features: int, *, threshold: float = 0.005, length: int = 20, hidden: int = 32) -> None:
        super().__init__()
        if not (threshold > 0 and length > 0):
            raise ValueError(f"threshold and length must be positive, got {threshold} and {length}")
        self.threshold, self.length = threshold, length
        self.recurrent = nn.LSTM(features, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 3)

    def classes(self, rewards: Tensor) -> Tensor:
        """int64[...]: 0 for none, 1 for reward, 2 for cost."""
        return (rewards > self.threshold).long() + 2 * (rewards < -self.threshold).long()

    def windows(self, features: Tensor, starts: Tensor) -> Tensor:
        """The last features up to each step, zeros before the start of its episode.

        Args:
            features: float[step, environment, width].
            starts: bool[step, environment], whether an episode begins with this step's observation.

        Returns:
            float[step, environment, length, width], oldest first.
        """
        steps = features.shape[0]
        episode = starts.long().cumsum(0)
        pieces = []
        for back in range(self.length - 1, -1, -1):
            if back >= steps:
                pieces.append(torch.zeros_like(features))
                continue
            moved = torch.cat([torch.zeros_like(features[:back]), features[: steps - back]])
            before = torch.cat([torch.full_like(episode[:back], -1), episode[: steps - back]])
            pieces.append(moved * (before == episode).unsqueeze(-1))
        return torch.stack(pieces, dim=2)

    def loss(self, encode: Encode, observations: Tensor, rewards: Tensor, starts: Tensor) -> Tensor | None:
        """Cross-entropy of the classes of the rewards.

        Args:
            encode: the shared layers, float[N, ...] -> float[N, features].
            observations: float[step, environment, ...] of one rollout, in order.
            rewards: float[step, environment], what the actions earned.
            starts: bool[step, environment], where episodes begin.

        Returns:
            A number; None, with a warning, where all rewards are of one class and there is nothing to tell apart.
        """
        if observations.shape[:2] != rewards.shape or starts.shape != rewards.shape:
            raise ValueError(
                f"observations, rewards and starts must share [step, environment], got {tuple(observations.shape[:2])}, "
                f"{tuple(rewards.shape)} and {tuple(starts.shape)}"
            )
        wanted = self.classes(rewards)
        if bool((wanted == wanted.flatten()[0]).all()):
            name = ("none", "reward", "cost")[int(wanted.flatten()[0])]
            warnings.warn(
                f"all {wanted.numel()} rewards are of the class {name!r}; reward prediction skips this rollout",
                stacklevel=2,
            )
            return None
        features = encode(observations.flatten(0, 1)).view(*rewards.shape, -1)
        found, _ = self.recurrent(self.windows(features, starts).flatten(0, 1))
        return nn.functional.cross_entropy(self.out(found[:, -1]), wanted.flatten())


class StateReconstruction(nn.Module):
    """The observation rebuilt from a narrow code of the shared layers; smooth L1 distance to normalised features.

    The paper's decoder ends in a ReLU, which cannot give negative features; here the last layer is linear.

    Args:
        features: width of the shared layers.
        observation: number of features of an observation, flattened.
        code: width of the code.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int, observation: int, *, code: int = 16) -> None:
        super().__init__()
        if not code > 0:
            raise ValueError(f"code must be positive, got {code}")
        widths = [features, 128, 32, code, 32, 128, observation]
        layers: list[nn.Module] = []
        for width, out in itertools.pairwise(widths):
            layers += [nn.Linear(width, out), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
        self.register_buffer("mean", torch.zeros(observation))
        self.register_buffer("deviation", torch.ones(observation))
        self.seen = False

    def loss(self, encode: Encode, observations: Tensor, rewards: Tensor, starts: Tensor) -> Tensor:
        """Smooth L1 distance; the first call takes mean and deviation of the features for good.

        Args:
            encode: the shared layers.
            observations: float[step, environment, ...].
            rewards: not looked at; there so that all tasks are called alike.
            starts: not looked at.
        """
        flat = observations.flatten(0, 1)
        wanted = flat.flatten(1)
        if not self.seen:
            self.mean.copy_(wanted.mean(0))
            self.deviation.copy_(wanted.std(0).clamp(min=1e-3))
            self.seen = True
        return nn.functional.smooth_l1_loss(self.layers(encode(flat)), (wanted - self.mean) / self.deviation)


def auxiliary_training(
    tasks: Sequence[RewardPrediction | StateReconstruction], *, epochs: int = 4, rate: float = 3e-4, limit: float = 0.5
) -> Any:
    """A callback for on-policy learners of Stable-Baselines3 (PPO, A2C) that trains tasks on each rollout.

    Args:
        tasks: their losses are added with weight 1.
        epochs: steps on each rollout.
        rate: learning rate of the tasks' own layers and of the shared ones.
        limit: largest norm of the gradient.

    Returns:
        What `model.learn(callback=...)` takes. Its `history` has the losses of each rollout.

    Raises:
        ValueError: there are no tasks.
    """
    if not tasks:
        raise ValueError("there are no tasks; give RewardPrediction(...), StateReconstruction(...), or both")
    base = require("stable_baselines3.common.callbacks", extra="control", why="auxiliary training").BaseCallback

    class AuxiliaryTraining(base):  # type: ignore[misc, valid-type]  # the class comes with the optional package
        def __init__(self) -> None:
            super().__init__()
            self.tasks = nn.ModuleList(tasks)
            self.history: list[dict[str, float]] = []

        def _on_training_start(self) -> None:
            policy = self.model.policy
            self.tasks.to(policy.device)
            self.shared = [*policy.pi_features_extractor.parameters(), *policy.mlp_extractor.policy_net.parameters()]
            self.optimiser = torch.optim.Adam([*self.shared, *self.tasks.parameters()], lr=rate)

        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            buffer, policy = self.model.rollout_buffer, self.model.policy
            device = policy.device
            observations = torch.as_tensor(buffer.observations, device=device).float()
            rewards = torch.as_tensor(buffer.rewards, device=device)
            starts = torch.as_tensor(buffer.episode_starts, device=device).bool()

            def encode(seen: Tensor) -> Tensor:
                features = policy.extract_features(seen, policy.pi_features_extractor)
                found: Tensor = policy.mlp_extractor.forward_actor(features)
                return found

            entry: dict[str, float] = {}
            for _ in range(epochs):
                losses = {type(task).__name__: task.loss(encode, observations, rewards, starts) for task in tasks}
                given = {name: loss for name, loss in losses.items() if loss is not None}
                if not given:
                    break
                self.optimiser.zero_grad()
                torch.stack(list(given.values())).sum().backward()
                nn.utils.clip_grad_norm_([*self.shared, *self.tasks.parameters()], limit)
                self.optimiser.step()
                entry = {name: float(loss.detach()) for name, loss in given.items()}
            policy.optimizer.zero_grad()  # what the tasks left in the shared layers is not for the policy's next step
            self.history.append(entry)

    return AuxiliaryTraining()
