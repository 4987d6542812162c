"""A head with one number for each of several named objectives, and weights that say how much each counts.

The weights may be the same for all, or come from the prompt: help with a program is judged by other things than a story.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rewardlab.rewards.models.base import Context, Encoded, Head, Outputs


class MultiObjectiveHead(Head):
    """Values of several objectives, weighted into one reward.

    Source: Wang et al. 2024, "Interpretable Preferences via Multi-Objective Reward Modeling and Mixture-of-Experts" (arXiv
    2406.12845): a linear map to the objectives, and a network over the prompt with a softmax that weights them.

    Args:
        width: of the features.
        objectives: their names, as the aspects of ratings name them.
        gate: where weights come from: "prompt" (a network with one hidden layer and a softmax over the prompt's features),
            "learned" (one softmax for all prompts), or "fixed".
        weights: of the objectives; with "fixed" they stand as they are, with "learned" they must be positive, add up to
            1, and are the start; None for equal ones.
        hidden: width of the gate's layer.
        temperature: of the softmax.
        seed: of the weights.

    Raises:
        ValueError: names are missing or double, or weights or the temperature are out of range.
    """

    kind = "multi_objective"

    logits: Tensor
    fixed: Tensor

    def __init__(
        self,
        width: int,
        objectives: Sequence[str],
        *,
        gate: Literal["prompt", "learned", "fixed"] = "prompt",
        weights: Sequence[float] | None = None,
        hidden: int = 64,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        names = [objectives] if isinstance(objectives, str) else list(objectives)
        if not names or len(set(names)) != len(names) or not all(isinstance(name, str) and name for name in names):
            raise ValueError(f"objectives must be different names, at least one, got {names}")
        if gate not in ("prompt", "learned", "fixed"):
            raise ValueError(f'gate must be "prompt", "learned" or "fixed", got {gate!r}')
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature must be positive and finite, got {temperature}")
        if weights is not None and gate == "prompt":
            raise ValueError(
                'weights were given, but gate="prompt" reads them from the prompt; use "fixed" or "learned"'
            )
        told = list(weights) if weights is not None else [1.0 / len(names)] * len(names)
        if len(told) != len(names) or not all(math.isfinite(one) for one in told):
            raise ValueError(f"weights must be one finite number for each of {len(names)} objectives, got {told}")
        if gate == "learned" and not (min(told) > 0 and math.isclose(sum(told), 1.0, abs_tol=1e-6)):
            raise ValueError(f'with gate="learned" weights must be positive and add up to 1, got {told}')
        self._options = {
            "width": width,
            "objectives": names,
            "gate": gate,
            "weights": None if weights is None else told,
            "hidden": hidden,
            "temperature": temperature,
            "seed": seed,
        }
        self.objectives, self.temperature = names, temperature
        self.needs_prompt = gate == "prompt"  # type: ignore[misc]  # only the gate reads prompts
        self.gate = gate
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.linear = nn.Linear(width, len(names))
            nn.init.normal_(self.linear.weight, std=(width + 1) ** -0.5)
            nn.init.zeros_(self.linear.bias)
            if gate == "prompt":
                last = nn.Linear(hidden, len(names))
                nn.init.zeros_(last.weight)  # every prompt starts with equal weights
                nn.init.zeros_(last.bias)
                self.network = nn.Sequential(nn.Linear(width, hidden), nn.SiLU(), last)
        if gate == "learned":
            self.logits = nn.Parameter(torch.tensor(told).log() * temperature)
        elif gate == "fixed":
            self.register_buffer("fixed", torch.tensor(told))

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    def forward(self, encoded: Encoded) -> Outputs:
        """`objectives` float[trajectory, objective] and `weights` float[trajectory, objective].

        Raises:
            ValueError: weights come from the prompt, but the encoder gives no features of prompts.
        """
        values = self.linear(encoded.response)
        if self.gate == "prompt":
            if encoded.prompt is None:
                raise ValueError(
                    'gate="prompt" reads the features of prompts, but this encoder gives none; use gate="learned", or an '
                    "encoder that encodes prompts (a text encoder)"
                )
            weights = (self.network(encoded.prompt) / self.temperature).softmax(-1)
        elif self.gate == "learned":
            weights = (self.logits / self.temperature).softmax(-1).expand_as(values)
        else:
            weights = self.fixed.to(values.dtype).expand_as(values)
        return {"objectives": values, "weights": weights}

    def value(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """The weighted sum of the objectives."""
        return (outputs["weights"] * outputs["objectives"]).sum(-1)

    def parts(self, outputs: Outputs) -> dict[str, Tensor]:
        """The value of every objective, before its weight, by name."""
        return {name: outputs["objectives"][:, place] for place, name in enumerate(self.objectives)}

    def gates(self, outputs: Outputs) -> dict[str, Tensor]:
        """The weight of every objective, by name; float[row] each."""
        return {name: outputs["weights"][:, place] for place, name in enumerate(self.objectives)}
