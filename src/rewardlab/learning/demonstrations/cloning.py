"""Behaviour cloning: the demonstrator's actions as labels of its observations.

All transitions stand in memory as tensors and a batch is one index, because with networks this small a loader that collates
single rows takes longer than the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from rewardlab.learning.demonstrations.base import Imitation, Run, positive
from rewardlab.learning.demonstrations.networks import NetworkPolicy, log_density, mlp, standardisation

LOG_STD_RANGE = (-5.0, 1.0)
"""Narrower Gaussians make the likelihood of a deterministic demonstrator grow without end."""


@dataclass(frozen=True, kw_only=True)
class BehaviourCloning(Imitation):
    """Maximum likelihood of the demonstrated actions, with an entropy bonus, stopped on held-out trajectories.

    `steps` of `fit` is the most updates; it acts in no environment.

    Source: Bain and Sammut 1995; the entropy bonus is Ho and Ermon 2016's regulariser, section 4.

    Args:
        hidden: widths of the hidden layers.
        batch_size: transitions in an update.
        learning_rate: of Adam, which falls to a tenth.
        entropy: weight of the policy's entropy in the loss.
        l2: weight of half the squared weights in the loss.
        held_out: share of the *trajectories* by which it is stopped; 0 for none. Of a single trajectory the end is held out.
        patience: evaluations (each every 100 updates) without a better one, after which it ends.
        activation: "tanh" or "relu".
    """

    hidden: tuple[int, ...] = (64, 64)
    batch_size: int = 256
    learning_rate: float = 3e-3
    entropy: float = 1e-3
    l2: float = 0.0
    held_out: float = 0.1
    patience: int = 5
    activation: str = "tanh"

    short_name: ClassVar[str] = "behaviour_cloning"
    default_steps: ClassVar[int] = 2_000
    evaluate_every: ClassVar[int] = 100

    def __post_init__(self) -> None:
        positive(
            type(self).__name__, batch_size=self.batch_size, learning_rate=self.learning_rate, patience=self.patience
        )
        if not 0 <= self.held_out < 1:
            raise ValueError(f"BehaviourCloning: option 'held_out' is a share in [0, 1), got {self.held_out}")

    def _fit(self, run: Run) -> dict[str, Any]:
        columns, action_code = run.columns, run.action
        rows = run.observation.encode(columns.observation)
        mean, spread = standardisation(rows, run.observation)
        features = torch.from_numpy((rows - mean) / spread)
        actions = torch.from_numpy(action_code.encode(columns.action))
        training, held = (torch.from_numpy(part) for part in self._split(run))
        layers = mlp(
            (features.shape[1], *self.hidden, action_code.width),
            activation=self.activation,
            seed=run.seed,
            last_gain=0.1,
        )
        log_std = None if action_code.kind == "discrete" else nn.Parameter(torch.full((action_code.width,), -0.5))
        weights = [*layers.parameters(), *([] if log_std is None else [log_std])]
        optimiser = torch.optim.Adam(weights, lr=self.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda done: 1.0 - 0.9 * min(1.0, done / run.steps))
        generator = torch.Generator().manual_seed(run.seed % 2**63)
        size = min(self.batch_size, len(training))
        order, place = training[torch.randperm(len(training), generator=generator)], 0
        best, best_weights, since = float("inf"), [entry.detach().clone() for entry in weights], 0
        for update in range(1, run.steps + 1):
            if place + size > len(order):
                order, place = training[torch.randperm(len(training), generator=generator)], 0
            batch = order[place : place + size]
            place += size
            outputs = layers(features[batch])
            loss = -log_density(outputs, actions[batch], _limited(log_std)).mean()
            if self.entropy:
                loss = loss - self.entropy * _entropy(outputs, _limited(log_std))
            if self.l2:
                loss = loss + 0.5 * self.l2 * sum((entry**2).sum() for entry in weights)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            if update % self.evaluate_every == 0 or update == run.steps:
                with torch.no_grad():
                    found = layers(features[held])
                    missed = float(-log_density(found, actions[held], _limited(log_std)).mean())
                run.note(
                    step=update,
                    loss=float(loss.detach()),
                    held_out_loss=missed,
                    **self._agreement(found, actions[held]),
                )
                run.done = update
                if missed < best:
                    best, since = missed, 0
                    best_weights = [entry.detach().clone() for entry in weights]
                else:
                    since += 1
                if self.held_out and since >= self.patience:
                    break
        if self.held_out:
            with torch.no_grad():
                for entry, kept in zip(weights, best_weights, strict=True):
                    entry.copy_(kept)
        limited = _limited(log_std)
        policy = NetworkPolicy(
            layers=layers.requires_grad_(False),
            observation=run.observation,
            action=action_code,
            mean=mean,
            spread=spread,
            log_std=None if limited is None else limited.detach().numpy(),
            activation=self.activation,
            seed=run.seed,
        )
        return {"policy": policy}

    def _split(self, run: Run) -> tuple[Any, Any]:
        """Rows to learn from, and held-out rows (all of them, where nothing is held out)."""
        trajectory = run.columns.trajectory
        count = int(trajectory[-1]) + 1
        everything = np.arange(len(trajectory))
        if not self.held_out:
            return everything, everything
        if count == 1:
            cut = max(1, int(len(everything) * (1 - self.held_out)))
            return everything[:cut], everything[min(cut, len(everything) - 1) :]
        order = np.random.default_rng(run.seed).permutation(count)
        held = np.isin(trajectory, order[: max(1, round(self.held_out * count))])
        return everything[~held], everything[held]

    @staticmethod
    def _agreement(outputs: Tensor, action: Tensor) -> dict[str, float]:
        if outputs.shape[1] == action.shape[1] and bool(((action == 0) | (action == 1)).all()):
            return {"held_out_accuracy": float((outputs.argmax(1) == action.argmax(1)).double().mean())}
        return {"held_out_error": float((outputs - action).abs().mean())}


def _limited(log_std: Tensor | None) -> Tensor | None:
    return None if log_std is None else log_std.clamp(*LOG_STD_RANGE)


def _entropy(outputs: Tensor, log_std: Tensor | None) -> Tensor:
    if log_std is not None:
        return log_std.sum()
    logprobs = torch.log_softmax(outputs, 1)
    return -(logprobs.exp() * logprobs).sum(1).mean()
