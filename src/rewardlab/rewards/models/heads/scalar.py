"""Heads that give one number."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from rewardlab.rewards.models.base import Context, Encoded, Head, Outputs


class ScalarHead(Head):
    """A linear map from features to one number.

    Args:
        width: of the features.
        bias: whether there is a constant; comparisons do not need one.
        seed: of the weights.
    """

    kind = "scalar"

    def __init__(self, width: int, *, bias: bool = False, seed: int = 0) -> None:
        super().__init__()
        self._options = {"width": width, "bias": bias, "seed": seed}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.linear = nn.Linear(width, 1, bias=bias)
            nn.init.normal_(self.linear.weight, std=(width + 1) ** -0.5)

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    def forward(self, encoded: Encoded) -> Outputs:
        """`value` float[trajectory]."""
        return {"value": self.linear(encoded.response).squeeze(-1)}

    def value(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """The number."""
        return outputs["value"]


class TwoLayerHead(Head):
    """Two linear maps with an activation between them.

    Args:
        width: of the features.
        hidden: of the layer between; None for the width.
        activation: between the two.
        seed: of the weights.
    """

    kind = "two_layer"

    def __init__(
        self,
        width: int,
        *,
        hidden: int | None = None,
        activation: Literal["silu", "relu", "gelu", "tanh"] = "silu",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._options = {"width": width, "hidden": hidden, "activation": activation, "seed": seed}
        activations = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Linear(width, hidden or width), activations[activation](), nn.Linear(hidden or width, 1)
            )

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    def forward(self, encoded: Encoded) -> Outputs:
        """`value` float[trajectory]."""
        return {"value": self.layers(encoded.response).squeeze(-1)}

    def value(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """The number."""
        return outputs["value"]
