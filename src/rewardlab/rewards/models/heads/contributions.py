"""A head that gives every step a contribution, so that the contributions of a trajectory add up to its outcome."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from rewardlab.rewards.models.base import Context, Encoded, Head, Outputs

Target = Literal["outcome", "difference"]


class ContributionHead(Head):
    """One number for every step, which add up to the value of the whole.

    Source: Wang et al. 2025, "SPA-RL: Reinforcing LLM Agents via Stepwise Progress Attribution" (arXiv 2505.20732), for
    `target="outcome"`; Arjona-Medina et al. 2019, "RUDDER: Return Decomposition for Delayed Rewards" (arXiv 1806.07857), for
    `target="difference"`.

    Args:
        width: of the features.
        target: "outcome": the head says the contribution itself; "difference": it predicts the outcome from what has
            happened so far, and a step's contribution is by how much it changed the prediction. The first step's holds the
            whole prediction after it.
        nonneg: whether contributions cannot be negative.
        vocabulary: rows of an `unembedding` through which features become logits over tokens, before one number is made of
            them; 0 for none.
        seed: of the weights.

    Raises:
        ValueError: `nonneg` with differences, which are negative wherever a prediction falls.
    """

    kind = "rewardlab.rewards.models.heads.contributions:ContributionHead"
    needs_steps = True
    unembedding: Tensor

    def __init__(
        self, width: int, *, target: Target = "outcome", nonneg: bool = False, vocabulary: int = 0, seed: int = 0
    ) -> None:
        super().__init__()
        if target not in ("outcome", "difference"):
            raise ValueError(f'target must be "outcome" or "difference", got {target!r}')
        if nonneg and target == "difference":
            raise ValueError(
                "nonneg=True does not go with target='difference': a prediction that falls is a negative step"
            )
        self._options = {"width": width, "target": target, "nonneg": nonneg, "vocabulary": vocabulary, "seed": seed}
        self.target, self.nonneg = target, nonneg
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.last = nn.Linear(vocabulary or width, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.register_buffer("unembedding", torch.zeros(vocabulary, width))

    def start_at(self, contribution: float, outcome: float) -> None:
        """Set the bias so that a fresh head gives every step the mean contribution (or predicts the mean outcome)."""
        value = contribution if self.target == "outcome" else outcome
        if self.nonneg:
            value = float(torch.log(torch.expm1(torch.tensor(max(value, 1e-4)))))
        nn.init.constant_(self.last.bias, value)

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    def forward(self, encoded: Encoded) -> Outputs:
        """`steps` float[trajectory, step], the contributions, `mask` bool[trajectory, step], where they stand, and `raw`.

        Raises:
            ValueError: the encoder gave no features of steps.
        """
        if encoded.steps is None or encoded.step_mask is None:
            raise ValueError(
                "contributions need features of the steps, and the encoder gave none; use an encoder of steps"
            )
        features, mask = encoded.steps, encoded.step_mask
        if self._options["vocabulary"]:
            features = features.to(self.unembedding.dtype) @ self.unembedding.T
        raw = torch.where(mask, self.last(features).squeeze(-1), 0.0)
        steps = raw
        if self.nonneg:
            steps = nn.functional.softplus(raw)
        elif self.target == "difference":
            steps = torch.cat([raw[:, :1], raw[:, 1:] - raw[:, :-1]], dim=1)
        return {"steps": torch.where(mask, steps, 0.0), "mask": mask, "raw": raw}

    def value(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """The sum of the contributions; NaN for a trajectory without steps."""
        return torch.where(outputs["mask"].any(1), outputs["steps"].sum(1), torch.nan)

    def step_values(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """The contributions, and where they stand."""
        return outputs["steps"], outputs["mask"]
