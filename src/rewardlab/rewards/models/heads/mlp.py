"""A head of any depth: the linear one, the two layers that BaseReward recommends, and deeper ones to compare them with."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rewardlab.rewards.models.base import Context, Encoded, Head, Outputs

Activation = Literal["none", "silu", "relu", "gelu", "tanh"]


class MLPHead(Head):
    """Linear maps with an activation between them, computed in float32 whatever the encoder computes in.

    Zhang et al. 2025, "BaseReward" (arXiv 2509.16127), compares one to five layers and finds two with SiLU best.

    Args:
        width: of the features.
        layers: how many linear maps; 1 is the linear head.
        hidden: of the layers between; None for the width.
        activation: between two maps.
        seed: of the weights.

    Raises:
        ValueError: no layer, or an unknown activation.
    """

    kind = "mlp"

    def __init__(
        self, width: int, *, layers: int = 2, hidden: int | None = None, activation: Activation = "silu", seed: int = 0
    ) -> None:
        super().__init__()
        known = {"none": nn.Identity, "tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}
        if layers < 1:
            raise ValueError(f"layers must be at least 1, got {layers}; 1 is the linear head")
        if activation not in known:
            raise ValueError(f"activation must be one of {', '.join(known)}, got {activation!r}")
        self._options = {
            "width": width,
            "layers": layers,
            "hidden": hidden,
            "activation": activation,
            "seed": seed,
        }
        sizes = [width, *[hidden or width] * (layers - 1), 1]
        stack: list[nn.Module] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for place, (size_in, size_out) in enumerate(itertools.pairwise(sizes)):
                last = place == layers - 1
                stack.append(nn.Linear(size_in, size_out, bias=not last))
                if not last:
                    stack.append(known[activation]())
            final = stack[-1]
            assert isinstance(final, nn.Linear)
            nn.init.normal_(final.weight, std=(sizes[-2] + 1) ** -0.5)
        self.layers = nn.Sequential(*stack)

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    def forward(self, encoded: Encoded) -> Outputs:
        """`value` float32[trajectory]; small differences of values would be lost in bfloat16."""
        with torch.autocast(encoded.response.device.type, enabled=False):
            return {"value": self.layers(encoded.response.float()).squeeze(-1)}

    def value(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """The number."""
        return outputs["value"]
