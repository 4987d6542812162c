"""Heads that give a distribution of rewards instead of one number: quantiles, a mean with its variance, or atoms.

Their value is the mean; how far the distribution spreads is their confidence. A wide spread means either that people
disagree or that little is known, and these heads cannot tell which.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from rewardlab.rewards.models.base import Context, Encoded, Head, Outputs


def _log_odds(win: Tensor, lose: Tensor) -> Tensor:
    """Log-odds of two shares that sum to 1, finite also where one of them is 0."""
    tiny = torch.finfo(win.dtype).tiny
    return torch.log(win.clamp(min=tiny)) - torch.log(lose.clamp(min=tiny))


class QuantileHead(Head):
    """Quantiles of the reward at equally spaced levels, which never cross (each is the one below plus something positive).

    Two trajectories are compared by drawing one quantile of each: the probability is the mean of `sigmoid(a_i - b_j)`.

    Args:
        width: of the features.
        quantiles: how many; their levels are (i + 1/2) / quantiles.
        seed: of the weights.

    Raises:
        ValueError: fewer than two quantiles.
    """

    kind = "quantile"

    def __init__(self, width: int, *, quantiles: int = 9, seed: int = 0) -> None:
        super().__init__()
        if quantiles < 2:
            raise ValueError(f"a distribution needs at least two quantiles, got quantiles={quantiles}")
        self._options = {"width": width, "quantiles": quantiles, "seed": seed}
        self.levels = [(place + 0.5) / quantiles for place in range(quantiles)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.linear = nn.Linear(width, quantiles)
            nn.init.normal_(self.linear.weight, std=(width + 1) ** -0.5)

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    def forward(self, encoded: Encoded) -> Outputs:
        """`quantiles` float[trajectory, quantile], rising."""
        raw = self.linear(encoded.response)
        steps = torch.cat([torch.zeros_like(raw[:, :1]), softplus(raw[:, 1:])], dim=-1).cumsum(-1)
        return {"quantiles": raw[:, :1] + steps - steps.mean(-1, keepdim=True)}

    def value(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """The mean of the quantiles."""
        return outputs["quantiles"].mean(-1)

    def preference(self, first: Outputs, second: Outputs, context: Context | None = None) -> Tensor:
        """Log-odds that a draw of the first is preferred to a draw of the second."""
        margin = first["quantiles"].unsqueeze(-1) - second["quantiles"].unsqueeze(-2)
        return _log_odds(torch.sigmoid(margin).mean((-1, -2)), torch.sigmoid(-margin).mean((-1, -2)))

    def spread(self, outputs: Outputs) -> Tensor:
        """The distance between the outer quantiles, float[row]."""
        return outputs["quantiles"][:, -1] - outputs["quantiles"][:, 0]

    def confidence(self, outputs: Outputs) -> Tensor:
        """1 / (1 + spread)."""
        return 1 / (1 + self.spread(outputs))


class MeanVarianceHead(Head):
    """A Gaussian reward (Siththaranjan et al. 2024, distributional preference learning).

    The probability of a preference is a sigmoid averaged over the Gaussian difference, in the approximation
    `sigmoid(mean / sqrt(1 + pi variance / 8))` (MacKay 1992).

    Args:
        width: of the features.
        hidden: of a layer before the two numbers; 0 for none.
        log_variance: lower and upper limit, which keep the variance from overflowing.
        seed: of the weights.

    Raises:
        ValueError: the limits are not in order.
    """

    kind = "mean_variance"

    def __init__(
        self, width: int, *, hidden: int = 0, log_variance: tuple[float, float] = (-8.0, 6.0), seed: int = 0
    ) -> None:
        super().__init__()
        low, high = log_variance
        if not low < high:
            raise ValueError(f"log_variance must be a lower and a higher limit, got {low} and {high}")
        self._options = {"width": width, "hidden": hidden, "log_variance": [low, high], "seed": seed}
        self.limits = (float(low), float(high))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            last = nn.Linear(hidden or width, 2)
            nn.init.normal_(last.weight, std=((hidden or width) + 1) ** -0.5)
            nn.init.zeros_(last.bias)
            self.layers = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), last) if hidden else nn.Sequential(last)

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    def forward(self, encoded: Encoded) -> Outputs:
        """`mean` and `log_variance`, float[trajectory] each."""
        mean, log_variance = self.layers(encoded.response).unbind(-1)
        return {"mean": mean, "log_variance": log_variance.clamp(*self.limits)}

    def value(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """The mean."""
        return outputs["mean"]

    def preference(self, first: Outputs, second: Outputs, context: Context | None = None) -> Tensor:
        """Log-odds that a draw of the first is preferred to a draw of the second."""
        variance = first["log_variance"].exp() + second["log_variance"].exp()
        return (first["mean"] - second["mean"]) / torch.sqrt(1 + math.pi / 8 * variance)

    def confidence(self, outputs: Outputs) -> Tensor:
        """1 / (1 + standard deviation)."""
        return 1 / (1 + (outputs["log_variance"] / 2).exp())


class CategoricalHead(Head):
    """Probabilities of equally spaced atoms between two rewards (Siththaranjan et al. 2024, the categorical kind).

    The first is preferred with the probability that its draw is the higher one, ties counting half.

    Args:
        width: of the features.
        atoms: how many.
        low, high: the rewards of the first and of the last atom.
        seed: of the weights.

    Raises:
        ValueError: fewer than two atoms, or `low` is not below `high`.
    """

    kind = "categorical"

    def __init__(self, width: int, *, atoms: int = 10, low: float = 0.0, high: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        if atoms < 2 or not low < high:
            raise ValueError(f"expected at least two atoms from low to high, got atoms={atoms}, low={low}, high={high}")
        self._options = {"width": width, "atoms": atoms, "low": low, "high": high, "seed": seed}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.linear = nn.Linear(width, atoms)
            nn.init.normal_(self.linear.weight, std=(width + 1) ** -0.5)
        self.register_buffer("support", torch.linspace(low, high, atoms), persistent=False)

    support: Tensor

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    def forward(self, encoded: Encoded) -> Outputs:
        """`probabilities` float[trajectory, atom]."""
        return {"probabilities": torch.softmax(self.linear(encoded.response), dim=-1)}

    def value(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """The mean."""
        return outputs["probabilities"] @ self.support

    def preference(self, first: Outputs, second: Outputs, context: Context | None = None) -> Tensor:
        """Log-odds that a draw of the first is higher than a draw of the second."""
        one, other = first["probabilities"], second["probabilities"]
        below = other.cumsum(-1) - other / 2  # the share of the second below an atom, half of the atom itself
        win = (one * below).sum(-1)
        lose = (other * (one.cumsum(-1) - one / 2)).sum(-1)
        return _log_odds(win, lose)

    def entropy(self, outputs: Outputs) -> Tensor:
        """Entropy of the atoms in nats, float[row]; a bonus for it keeps a fit from putting all on one atom."""
        return torch.special.entr(outputs["probabilities"]).sum(-1)

    def confidence(self, outputs: Outputs) -> Tensor:
        """One minus the entropy, as a share of the largest possible."""
        return (1 - self.entropy(outputs) / math.log(len(self.support))).clamp(0, 1)
