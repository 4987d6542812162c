"""A head that compares without values: each response becomes a vector, and two vectors are compared by a turn.

Preferences may then go round in a circle, which no scalar reward can express. K responses need K passes through the encoder,
and swapping two responses gives exactly the negative score. There is no value of one response alone: `value` raises, and
`PreferenceAgainst` makes a reward of the comparison with reference responses.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rewardlab.functional.general_preference import skew_symmetric_score
from rewardlab.rewards.models.base import Context, Encoded, Head, NoScalarValue, Outputs

if TYPE_CHECKING:
    from rewardlab.functional.intransitivity import Ranking, Rule

SMALLEST = 1e-6
"""Vectors shorter than this cannot be brought to length 1."""


class GeneralPreferenceHead(Head):
    """Scores of pairs: `s(i, j) = sum over blocks of gate (v_i0 v_j1 - v_i1 v_j0)`, with log-odds `s / tau`.

    Source: Zhang et al. 2024, "Beyond Bradley-Terry Models: A General Preference Model" (arXiv 2410.02197); the gate, the
    lengths and the learned temperature are in the authors' program. The gate is a softmax times the number of blocks, so
    that an even gate is the same as none.

    Args:
        width: of the features.
        dim: of the vectors, two for each block.
        normalise: whether vectors are brought to length 1. Scores then lie in [-1, 1], so that sure comparisons need a small
            `tau`, and purely transitive preferences cost some accuracy.
        gate: whether the prompt says how much each block counts; the encoder must give features of prompts.
        tau: temperature, positive.
        learn_tau: whether the temperature is fitted, starting from `tau`.
        seed: of the weights.

    Raises:
        ValueError: `dim` is odd or below 2, or `tau` is not positive.
    """

    kind = "general_preference"

    log_tau: Tensor
    form: Tensor

    def __init__(
        self,
        width: int,
        *,
        dim: int = 2,
        normalise: bool = False,
        gate: bool = False,
        tau: float = 1.0,
        learn_tau: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(dim, int) or dim < 2 or dim % 2:
            raise ValueError(
                f"dim must be even and at least 2, because each block takes two numbers; got {dim}, "
                f"use {max(2, int(dim) + int(dim) % 2)}"
            )
        if not 0 < tau < math.inf:
            raise ValueError(f"tau must be positive and finite, got {tau}; 1 is the usual temperature, 0.1 a sharp one")
        self._options = {
            "width": width,
            "dim": dim,
            "normalise": normalise,
            "gate": gate,
            "tau": tau,
            "learn_tau": learn_tau,
            "seed": seed,
        }
        self.dim, self.blocks, self.normalise, self.gated = dim, dim // 2, normalise, gate
        self.needs_prompt = gate  # type: ignore[misc]  # only the gate reads prompts
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.linear = nn.Linear(width, dim, bias=False)
            nn.init.normal_(self.linear.weight, std=(width + 1) ** -0.5)
            self.gate = nn.Linear(width, self.blocks, bias=False) if gate else None
        start = torch.tensor(math.log(tau))
        if learn_tau:
            self.log_tau = nn.Parameter(start)
        else:
            self.register_buffer("log_tau", start)
        # what changes scores without changing the shape of any weight is kept beside the weights, so that it cannot get lost
        self.register_buffer("form", torch.tensor([normalise, gate, learn_tau, round(tau * 1e9)], dtype=torch.int64))

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    @property
    def tau(self) -> float:
        """The temperature as it is now."""
        return float(self.log_tau.detach().exp())

    def forward(self, encoded: Encoded) -> Outputs:
        """`vector` float[trajectory, dim], and with a gate `gate` float[trajectory, block].

        Raises:
            ValueError: there is a gate, but the encoder gives no features of prompts.
        """
        vector = self.linear(encoded.response)
        if self.normalise:
            length = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
            short = int((length < SMALLEST).sum())
            if short:
                warnings.warn(
                    f"{short} of {len(length)} vectors have length 0 and cannot be brought to length 1, so they tie with "
                    "everything; use normalise=False, or look at the features of these responses",
                    stacklevel=2,
                )
            vector = vector / length.clamp(min=SMALLEST)
        if self.gate is None:
            return {"vector": vector}
        if encoded.prompt is None:
            raise ValueError(
                "gate=True reads the features of prompts, but this encoder gives none; use gate=False, or an encoder that "
                "encodes prompts (a text encoder)"
            )
        return {"vector": vector, "gate": self.gate(encoded.prompt).softmax(-1) * self.blocks}

    def value(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """Refuse: one response alone has no value here.

        Raises:
            NoScalarValue: always.
        """
        raise NoScalarValue(
            "a general_preference head compares two responses and gives no value to one alone; "
            "PreferenceAgainst(model=..., responses=[...]) scores against reference responses, and log_odds compares pairs"
        )

    def score(self, first: Outputs, second: Outputs) -> Tensor:
        """Score of first against second, row by row; float[row], before the temperature.

        Rows of different prompts are compared with the mean of their gates.
        """
        scales = (first["gate"] + second["gate"]) / 2 if "gate" in first else None
        return skew_symmetric_score(first["vector"], second["vector"], scales)

    def preference(self, first: Outputs, second: Outputs, context: Context | None = None) -> Tensor:
        """Log-odds that the first of two is preferred, `score / tau`; float[row]."""
        return self.score(first, second) / self.log_tau.exp()

    def probability(self, first: Outputs, second: Outputs) -> Tensor:
        """Probability that the first of two is preferred, float[row]."""
        return torch.sigmoid(self.preference(first, second))

    def score_matrix(self, outputs: Outputs) -> Tensor:
        """Scores of each response against each, float[row, row]: antisymmetric without any error of rounding."""
        vector = outputs["vector"]
        left, right = vector[:, 0::2], vector[:, 1::2]
        if "gate" in outputs:
            gate = outputs["gate"] / 2
            half = (gate * left) @ right.T + left @ (gate * right).T
        else:
            half = left @ right.T
        return half - half.T

    def rank(self, outputs: Outputs, rule: Rule = "mean_score") -> Ranking:
        """Order responses to one prompt; see `rewardlab.functional.rank_preferences` for the rules."""
        from rewardlab.functional.intransitivity import rank_preferences

        return rank_preferences(self.score_matrix(outputs), rule)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any, **options: Any) -> None:
        errors = arguments[-1]
        told = state_dict.get(f"{prefix}form")
        if told is None:
            errors.append(
                "the weights do not say normalise, gate and tau, without which their scores mean nothing; make the head "
                "with the options that it was trained with and copy linear.weight (and gate.weight) into it"
            )
        elif not torch.equal(told.cpu(), self.form.cpu()):
            names = ("normalise", "gate", "learn_tau")
            was = {name: bool(one) for name, one in zip(names, told.tolist(), strict=False)} | {
                "tau": told[3].item() / 1e9
            }
            errors.append(
                f"the weights were saved with {was}, but this head was made with "
                f"{ {name: self._options[name] for name in was} }; scores would change, so put the saved options back"
            )
        super()._load_from_state_dict(state_dict, prefix, *arguments, **options)
