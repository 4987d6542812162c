"""Encoders of arrays: observations and actions of control tasks, or vectors that somebody else computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from rewardlab.rewards.models.base import Batch, Encoded, Encoder
from rewardlab.types import Trajectory

Pool = Literal["last", "mean", "sum"]
Inputs = Literal["observation", "observation_action"]


class MLPEncoder(Encoder):
    """A multilayer perceptron over the steps of an array trajectory, whose outputs are pooled.

    Args:
        inputs: numbers in one step's input.
        hidden: widths of the layers; none passes the (pooled) input through unchanged.
        reads: `observation`, what the policy saw last before each action (a trajectory of one observation is that vector);
            `observation_action`, that and the action.
        pool: how steps become one vector.
        activation: between layers.
        dropout: share of units that are switched off while training.
        seed: of the weights.
    """

    kind = "mlp"

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int] = (64, 64),
        *,
        reads: Inputs = "observation",
        pool: Pool = "mean",
        activation: Literal["tanh", "relu", "silu", "gelu"] = "tanh",
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._options = {
            "inputs": inputs,
            "hidden": list(hidden),
            "reads": reads,
            "pool": pool,
            "activation": activation,
            "dropout": dropout,
            "seed": seed,
        }
        self.inputs, self.reads, self.pool = inputs, reads, pool
        self.width = hidden[-1] if hidden else inputs
        self.frozen = not hidden
        activations = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}
        layers: list[nn.Module] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for size_in, size_out in zip([inputs, *hidden], hidden, strict=False):
                layers += [nn.Linear(size_in, size_out), activations[activation]()]
                if dropout:
                    layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*layers)

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    def prepare(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """One float32[step, inputs] array per trajectory."""
        return [step_inputs(one, self.reads, (self.inputs,), index) for index, one in enumerate(trajectories)]

    def length(self, prepared: Any) -> int:
        """Steps."""
        return len(prepared)

    def collate(self, prepared: Sequence[Any]) -> Batch:
        """`inputs` float32[trajectory, step, inputs] and `mask` bool[trajectory, step]."""
        return pad_steps(prepared)

    def forward(self, batch: Batch) -> Encoded:
        """Features of the trajectories, and of every step."""
        steps = self.layers(batch["inputs"])
        return Encoded(response=pooled(steps, batch["mask"], self.pool), steps=steps, step_mask=batch["mask"])


def step_inputs(trajectory: Trajectory, reads: Inputs, shape: tuple[int, ...], index: int) -> np.ndarray:
    """What an encoder reads of each step, float32[step, *shape].

    Raises:
        ValueError: the trajectory has no arrays, another shape, or numbers that are not finite.
    """
    observations, actions = trajectory.observations, trajectory.actions
    count = len(actions) or len(observations)
    try:
        steps = np.asarray([np.asarray(one, dtype=np.float32) for one in observations[:count]], dtype=np.float32)
        if reads == "observation_action":
            acted = np.asarray([np.asarray(one, dtype=np.float32).reshape(-1) for one in actions], dtype=np.float32)
            steps = np.concatenate([steps.reshape(len(steps), -1)[: len(acted)], acted], axis=1)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"trajectory {index} does not hold arrays of one shape: {error}; text needs a text encoder"
        ) from None
    if steps.shape[1:] != shape or not len(steps):
        raise ValueError(f"trajectory {index} has steps of shape {steps.shape[1:]}, the encoder expects {shape}")
    if not np.isfinite(steps).all():
        raise ValueError(f"trajectory {index} has inputs that are not finite")
    return steps


def pad_steps(prepared: Sequence[np.ndarray]) -> Batch:
    """Arrays of different length in one tensor with a mask."""
    longest = max(len(one) for one in prepared)
    inputs = np.zeros((len(prepared), longest, *prepared[0].shape[1:]), dtype=np.float32)
    mask = np.zeros((len(prepared), longest), dtype=np.bool_)
    for row, one in enumerate(prepared):
        inputs[row, : len(one)] = one
        mask[row, : len(one)] = True
    return {"inputs": torch.from_numpy(inputs), "mask": torch.from_numpy(mask)}


def pooled(steps: Tensor, mask: Tensor, pool: Pool) -> Tensor:
    """Features of trajectories from those of their steps, float[trajectory, width]."""
    if pool == "last":
        return steps[torch.arange(len(steps), device=steps.device), mask.sum(1) - 1]
    total = torch.where(mask.unsqueeze(-1), steps, 0.0).sum(1)
    return total if pool == "sum" else total / mask.sum(1, keepdim=True)
