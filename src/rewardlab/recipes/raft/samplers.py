"""What RAFT needs of a policy: to sample several answers for each task, and to imitate some of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewardlab.environments.base import Environment
from rewardlab.environments.single_turn import SingleTurn
from rewardlab.policies.batching import collate, micro_batches, trajectory_tokens
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.logprobs import token_logprobs
from rewardlab.policies.rollout import Limits, rollout
from rewardlab.training.credit.base import Advantages
from rewardlab.training.objectives.learner import Schedule
from rewardlab.training.objectives.supervised import RAFT
from rewardlab.types import Task, Trajectory


@runtime_checkable
class Sampler(Protocol):
    """Anything that can be sampled from and fitted: a language model, an agent in an environment, a model of your own."""

    def sample(self, tasks: Sequence[Task], k: int, *, seed: int) -> list[Trajectory]:
        """Up to k attempts at each task; attempts at one occurrence of a task share `Trajectory.group`."""

    def fit(self, trajectories: Sequence[Trajectory], weights: Sequence[float], *, seed: int) -> dict[str, float]:
        """Imitate trajectories, each with its weight; return what was measured."""


@dataclass(kw_only=True)
class PolicySampler:
    """A `LanguageModelPolicy` as a sampler, in any environment: an answer may be one message or a long use of tools.

    Each stage begins with a fresh optimiser, as in the paper's repository, so the weights are all there is to save.

    Args:
        policy: what is sampled and trained.
        environment: a factory of environments; one answer to each prompt when not given.
        sampling: how tokens are drawn.
        limits: on turns, tokens and seconds.
        learning_rate: of AdamW.
        epochs: how often each kept trajectory is imitated in a stage.
        batch_size: trajectories in an optimiser step.
        schedule: of the learning rate within a stage: constant, linear or cosine, epoch by epoch.
        warmup: optimiser steps over which it rises in each stage.
        weight_decay: of AdamW.
        micro_batch_tokens: most padded tokens that go through the model at once.
    """

    policy: Any
    environment: Callable[[], Environment] = SingleTurn
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.85))
    limits: Limits | None = None
    learning_rate: float = 1e-5
    epochs: int = 1
    batch_size: int = 16
    schedule: Schedule = "constant"
    warmup: int = 0
    weight_decay: float = 0.0
    micro_batch_tokens: int = 16384

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.sampling.temperature > 0:
            raise ValueError("RAFT samples several answers and keeps the best; at temperature 0 they are all the same")
        self.begin_here()

    def begin_here(self) -> None:
        """Take the present weights as those that training began with, which divergence is measured from."""
        self._start = self._weights()

    def sample(self, tasks: Sequence[Task], k: int, *, seed: int) -> list[Trajectory]:
        """k attempts at each task with the present weights; those whose environment broke are left out."""
        trajectories = rollout(
            self.policy, self.environment, tasks, group_size=k, sampling=self.sampling, limits=self.limits, seed=seed
        )
        return [one for one in trajectories if "failed" not in one.info]

    def fit(self, trajectories: Sequence[Trajectory], weights: Sequence[float], *, seed: int) -> dict[str, float]:
        """Imitate by token cross-entropy on the tokens that the policy wrote."""
        objective = RAFT(
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            warmup=self.warmup,
            weight_decay=self.weight_decay,
            mini_batches=math.ceil(len(trajectories) / self.batch_size),
            micro_batch_tokens=self.micro_batch_tokens,
            entropy=False,
            seed=seed,
        )
        advantages = Advantages(
            values=[np.full(len(one), weight) for one, weight in zip(trajectories, weights, strict=True)],
            included=np.asarray(weights) > 0,
        )
        measured: dict[str, float] = {}
        for epoch in range(self.epochs):
            measured = objective.update(self.policy, trajectories, advantages, progress=epoch / self.epochs)
        return measured

    def encode(self, trajectory: Trajectory) -> Trajectory:
        """Write the tokens of a trajectory anew, after its text was cleaned."""
        trajectory.tokens = self.policy.encode_demonstration(trajectory)
        return trajectory

    def log_probabilities(self, trajectories: Sequence[Trajectory]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log-probability of each trajectory's written tokens, at temperature 1.

        Returns:
            Two float64[trajectory]: under the present weights, and under those that the sampler was made with.
        """
        present = self._measure(trajectories)
        kept = self._weights()
        self._restore(self._start)
        try:
            return present, self._measure(trajectories)
        finally:
            self._restore(kept)

    def save(self, path: Path) -> None:
        """Write the trained weights (adapters alone, with LoRA) to a safetensors file."""
        from safetensors.torch import save_file

        save_file({name: tensor.contiguous() for name, tensor in self._weights().items()}, path)

    def load(self, path: Path) -> None:
        """Take back what `save` wrote."""
        from safetensors.torch import load_file

        found = load_file(path)
        if set(found) != set(self._start):
            name = sorted(set(found) ^ set(self._start))[0]
            raise ValueError(f"the weights in {path} are those of another model: {name!r} is only in one of them")
        self._restore(found)

    def _measure(self, trajectories: Sequence[Trajectory]) -> NDArray[np.float64]:
        tokens = trajectory_tokens(trajectories)
        sums = np.zeros(len(tokens))
        with torch.no_grad():
            for part in micro_batches([len(row) for row in tokens], self.micro_batch_tokens):
                batch = collate([tokens[index] for index in part], device=self.policy.device)
                logprobs = token_logprobs(
                    self.policy.model, batch.ids, batch.attention_mask, positions_mask=batch.written
                )
                sums[part] = logprobs.sum(-1).double().cpu().numpy()
        return sums

    def _weights(self) -> dict[str, Tensor]:
        return {
            name: weight.detach().clone()
            for name, weight in self.policy.model.named_parameters()
            if weight.requires_grad
        }

    def _restore(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, weight in self.policy.model.named_parameters():
                if name in weights:
                    weight.copy_(weights[name])
