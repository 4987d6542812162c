"""Encoders of arrays: observations and actions of control tasks, images of them, or vectors that somebody else computed.

Steps are padded on the right, and no feature of a step depends on what is behind it but by pooling over real steps.
"""

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


class StepEncoder(Encoder):
    """What encoders of arrays share: a prepared trajectory is an array with a row for each step."""

    _options: dict[str, Any]

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    def length(self, prepared: Any) -> int:
        """Steps."""
        return len(prepared)

    def collate(self, prepared: Sequence[Any]) -> Batch:
        """`inputs` float32[trajectory, step, ...] and `mask` bool[trajectory, step]."""
        return pad_steps(prepared)


class MLPEncoder(StepEncoder):
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

    def prepare(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """One float32[step, inputs] array per trajectory."""
        return [step_inputs(one, self.reads, (self.inputs,), index) for index, one in enumerate(trajectories)]

    def forward(self, batch: Batch) -> Encoded:
        """Features of the trajectories, and of every step."""
        steps = self.layers(batch["inputs"])
        return Encoded(response=pooled(steps, batch["mask"], self.pool), steps=steps, step_mask=batch["mask"])


class CNNEncoder(StepEncoder):
    """Convolutions over the images of a trajectory, one image a step, whose features are pooled.

    Args:
        shape: of one image: `(height, width)`, or three numbers with the channels where `layout` says.
        channels: of the convolutions; each has 3 by 3 kernels and halves height and width.
        hidden: width of the features.
        layout: whether the channels of an image stand `first` or `last`.
        scale: what pixels are divided by, 255 for bytes.
        pool: how steps become one vector.
        seed: of the weights.

    Raises:
        ValueError: the shape has not two or three numbers.
    """

    kind = "cnn"

    def __init__(
        self,
        shape: Sequence[int],
        channels: Sequence[int] = (16, 32),
        *,
        hidden: int = 64,
        layout: Literal["first", "last"] = "last",
        scale: float = 1.0,
        pool: Pool = "mean",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if len(shape) not in (2, 3):
            raise ValueError(f"shape must be (height, width) or have a third number for channels, got {tuple(shape)}")
        if scale <= 0:
            raise ValueError(f"scale must be positive, got {scale}; 255 for bytes")
        self._options = {
            "shape": list(shape),
            "channels": list(channels),
            "hidden": hidden,
            "layout": layout,
            "scale": scale,
            "pool": pool,
            "seed": seed,
        }
        self.shape, self.layout, self.scale, self.pool, self.width = tuple(shape), layout, scale, pool, hidden
        planes, height, width = 1, *shape[:2]
        if len(shape) == 3:
            planes, height, width = shape if layout == "first" else (shape[2], shape[0], shape[1])
        layers: list[nn.Module] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for size in channels:
                layers += [nn.Conv2d(planes, size, 3, stride=2, padding=1), nn.ReLU()]
                planes, height, width = size, (height + 1) // 2, (width + 1) // 2
            layers += [nn.Flatten(), nn.Linear(planes * height * width, hidden), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def prepare(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """One float32[step, *shape] array per trajectory."""
        return [step_inputs(one, "observation", self.shape, index) for index, one in enumerate(trajectories)]

    def forward(self, batch: Batch) -> Encoded:
        """Features of the trajectories, and of every step."""
        mask = batch["mask"]
        images = batch["inputs"][mask] / self.scale
        if images.ndim == 3:
            images = images.unsqueeze(1)
        elif self.layout == "last":
            images = images.permute(0, 3, 1, 2)
        found = self.layers(images)
        steps = found.new_zeros((*mask.shape, self.width)).masked_scatter(mask.unsqueeze(-1), found)
        return Encoded(response=pooled(steps, mask, self.pool), steps=steps, step_mask=mask)


class SequenceEncoder(StepEncoder):
    """A recurrent network or a small transformer over the steps of an array trajectory.

    Features of a step depend on the steps up to it and on none behind, so values of steps can be read while a trajectory is
    still going on.

    Args:
        inputs: numbers in one step's input.
        hidden: width of the features.
        layers: how many of them.
        cell: `gru` or `transformer`.
        heads: of the transformer's attention; `hidden` must be a multiple.
        reads: `observation_action`, what the policy saw before each action and the action; or `observation` alone.
        pool: how steps become one vector.
        dropout: share of units that are switched off while training.
        seed: of the weights.

    Raises:
        ValueError: the cell is neither, or the width does not fit the heads.
    """

    kind = "sequence"

    def __init__(
        self,
        inputs: int,
        hidden: int = 64,
        *,
        layers: int = 1,
        cell: Literal["gru", "transformer"] = "gru",
        heads: int = 4,
        reads: Inputs = "observation_action",
        pool: Pool = "last",
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if cell not in ("gru", "transformer"):
            raise ValueError(f"cell must be gru or transformer, got {cell!r}")
        if cell == "transformer" and (hidden % heads or hidden % 2):
            raise ValueError(f"hidden must be even and a multiple of the heads ({heads}), got {hidden}")
        self._options = {
            "inputs": inputs,
            "hidden": hidden,
            "layers": layers,
            "cell": cell,
            "heads": heads,
            "reads": reads,
            "pool": pool,
            "dropout": dropout,
            "seed": seed,
        }
        self.inputs, self.reads, self.pool, self.cell, self.width = inputs, reads, pool, cell, hidden
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.enter = nn.Linear(inputs, hidden)
            self.core: nn.Module
            if cell == "gru":
                self.core = nn.GRU(hidden, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
            else:
                block = nn.TransformerEncoderLayer(
                    hidden, heads, 4 * hidden, dropout, activation="gelu", batch_first=True, norm_first=True
                )
                self.core = nn.TransformerEncoder(block, layers, nn.LayerNorm(hidden), enable_nested_tensor=False)

    def prepare(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """One float32[step, inputs] array per trajectory."""
        return [step_inputs(one, self.reads, (self.inputs,), index) for index, one in enumerate(trajectories)]

    def forward(self, batch: Batch) -> Encoded:
        """Features of the trajectories, and of every step."""
        entered = self.enter(batch["inputs"])
        if self.cell == "gru":
            steps = self.core(entered)[0]
        else:
            count = entered.shape[1]
            ahead = torch.ones(count, count, dtype=torch.bool, device=entered.device).triu(1)
            steps = self.core(entered + waves(count, self.width).to(entered), mask=ahead)
        return Encoded(response=pooled(steps, batch["mask"], self.pool), steps=steps, step_mask=batch["mask"])


def waves(count: int, width: int) -> Tensor:
    """Sines and cosines that tell positions apart, float32[position, width] (Vaswani et al. 2017, section 3.5)."""
    places = torch.arange(count, dtype=torch.float32).unsqueeze(1)
    rates = 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    return torch.stack([torch.sin(places * rates), torch.cos(places * rates)], dim=-1).reshape(count, width)


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
