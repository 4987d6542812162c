"""A mixture of Bradley-Terry models: several linear rewards, and a router that says how likely each of them is at work.

What is mixed are probabilities, not rewards: a comparison is won with `sum_k f_k(prompt) sigmoid(r_k(a) - r_k(b))`, which no
single reward can express when people disagree. The scalar `value` is `sum_k f_k r_k`, the expected reward, which
reinforcement learning needs; it may order a pair otherwise than the mixture does, and `win_rate` is the alternative.
The router can be adapted to named contexts, and what is asked without one is then answered as before.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid

from rewardlab.rewards.models.base import Context, Encoded, Head, Outputs

CLOSED = -1e4  # a log-weight whose exponential is zero, and whose product with zero is still zero


class Router(nn.Module):
    """Logits over the heads from a prompt's features: one hidden layer, or a linear map where `hidden` is 0.

    A named context adds its own number to the logit of every head, so that few comparisons are enough to learn it.
    """

    def __init__(self, width: int, hidden: int, heads: int, contexts: int = 0) -> None:
        super().__init__()
        self.first = nn.Linear(width, hidden or heads)
        self.second = nn.Linear(hidden, heads) if hidden else None
        self.context = nn.Linear(contexts, heads, bias=False) if contexts else None

    def forward(self, prompt: Tensor, context: Tensor | None = None) -> Tensor:
        """Logits float[row, head] for prompts float[row, width] and contexts one-hot float[row, context]."""
        logits: Tensor = self.first(prompt)
        if self.second is not None:
            logits = self.second(torch.relu(logits))
        if self.context is not None and context is not None:
            logits = logits + self.context(context)
        return logits


class MixtureHead(Head):
    """Several linear rewards with a router (MiCRo, Shen et al. 2025, equation of the mixture likelihood).

    Args:
        width: of the features.
        heads: how many rewards.
        router: `prompt`, the weights depend on the prompt's features; `static`, they are the same for all prompts.
        prompt_width: of the prompt's features; None for `width`.
        router_hidden: units of the router's hidden layer; 0 for a linear router.
        prior_scale: of a random linear reward that is added to every head and never trained, as in the shared-base ensemble;
            0 for none.
        users: names of the contexts that the router was adapted to; `adapt` fills it in.
        context_in_prompt: the adapted router serves every prompt, because the context is part of the prompt itself.
        reweighted: how many labelled pairs fixed the weights for all prompts; `reweight` fills it in.
        seed: of the weights.

    Raises:
        ValueError: fewer than one head, or an unknown router.
    """

    kind = "mixture"

    def __init__(
        self,
        width: int,
        *,
        heads: int = 10,
        router: Literal["prompt", "static"] = "prompt",
        prompt_width: int | None = None,
        router_hidden: int = 128,
        prior_scale: float = 0.0,
        users: Sequence[str] = (),
        context_in_prompt: bool = False,
        reweighted: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if heads < 1:
            raise ValueError(f"a mixture needs at least one head, got heads={heads}")
        if router not in ("prompt", "static"):
            raise ValueError(f"router must be 'prompt' or 'static', got {router!r}")
        self._options: dict[str, Any] = {
            "width": width,
            "heads": heads,
            "router": router,
            "prompt_width": prompt_width,
            "router_hidden": router_hidden,
            "prior_scale": prior_scale,
            "users": list(users),
            "context_in_prompt": context_in_prompt,
            "reweighted": reweighted,
            "seed": seed,
        }
        self.heads, self.router_kind = heads, router
        self.needs_prompt = router == "prompt"  # type: ignore[misc]  # static weights read none
        self.users, self.context_in_prompt, self.reweighted = list(users), context_in_prompt, reweighted
        prompts = prompt_width or width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.linear = nn.Linear(width, heads, bias=False)
            nn.init.normal_(self.linear.weight, std=(width + 1) ** -0.5)
            self.register_buffer("prior", torch.randn(heads, width) * prior_scale / math.sqrt(width))
            if router == "prompt":
                self.router: Router | None = Router(prompts, router_hidden, heads)
            else:
                self.router = None
                self.logits = nn.Parameter(torch.zeros(heads))
            self.adapted: Router | None = None
            if users or context_in_prompt:
                self.adapted = Router(prompts, router_hidden, heads, len(users))
        self.register_buffer("mask", torch.zeros(heads, dtype=torch.bool))
        self.register_buffer("fixed", torch.zeros(heads))

    prior: Tensor
    mask: Tensor
    fixed: Tensor

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**self._options, "users": list(self.users)}

    def user_index(self, name: str) -> int:
        """The place of a context; -1, with a warning, for one that the router was not adapted to."""
        if name not in self.users:
            known = ", ".join(map(repr, self.users)) or "none"
            warnings.warn(
                f"the router was not adapted to the context {name!r} (known: {known}), so its weights without a context "
                "are used; adapt(model, pairs) learns a context from annotated pairs",
                stacklevel=2,
            )
            return -1
        return self.users.index(name)

    # ---- outputs --------------------------------------------------------------------------------------------------------

    def forward(self, encoded: Encoded) -> Outputs:
        """`heads` float[trajectory, head], and the prompt's features where the router reads them."""
        outputs = {"heads": self.linear(encoded.response) + encoded.response @ self.prior.T}
        if self.router is not None or self.adapted is not None:
            if encoded.prompt is None:
                raise ValueError(
                    "router='prompt' needs features of the prompt, and this encoder gives none; use an encoder that does "
                    "(text, or prompt_response for vectors), or router='static'"
                )
            outputs["prompt"] = encoded.prompt
        return outputs

    def log_weights(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """Logarithm of every head's weight, float[row, head]; rows without a known context get the first-stage weights."""
        rows = outputs["heads"]
        if self.reweighted:
            logits = self.fixed.expand_as(rows)
        elif self.router is None:
            logits = self.logits.expand_as(rows)
        else:
            logits = self.router(outputs["prompt"])
        if self.adapted is not None and not self.reweighted:
            users = None if context is None else context.users
            if users is not None and self.users:
                known = users >= 0
                one_hot = nn.functional.one_hot(users.clamp(min=0), len(self.users)).to(rows.dtype)
                adapted = self.adapted(outputs["prompt"], one_hot)
                logits = torch.where(known.unsqueeze(-1), adapted, logits)
            elif self.context_in_prompt:
                logits = self.adapted(outputs["prompt"])
        return log_softmax(logits.masked_fill(self.mask, CLOSED), dim=-1)

    def pair_log_weights(self, first: Outputs, second: Outputs, context: Context | None = None) -> Tensor:
        """Log-weights of pairs, float[row, head]: those of their prompt, averaged where the two have different ones."""
        one = self.log_weights(first, context)
        if (
            "prompt" not in first
            or first["prompt"] is second["prompt"]
            or torch.equal(first["prompt"], second["prompt"])
        ):
            return one
        return torch.logaddexp(one, self.log_weights(second, context)) - math.log(2)

    def preference(self, first: Outputs, second: Outputs, context: Context | None = None) -> Tensor:
        """Log-odds of the mixture's probability that the first is preferred, float[row]."""
        weights = self.pair_log_weights(first, second, context)
        margin = first["heads"] - second["heads"]
        return torch.logsumexp(weights + logsigmoid(margin), -1) - torch.logsumexp(weights + logsigmoid(-margin), -1)

    def value(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """The expected reward `sum_k f_k r_k`, float[row]."""
        return (self.log_weights(outputs, context).exp() * outputs["heads"]).sum(-1)

    def win_rate(self, outputs: Outputs, against: Outputs, context: Context | None = None) -> Tensor:
        """Mean probability of being preferred to reference responses, float[row] in [0, 1].

        Args:
            outputs: of the responses.
            against: of the reference responses, which every response is compared with.
            context: one entry per response.
        """
        margin = outputs["heads"].unsqueeze(1) - against["heads"].unsqueeze(0)
        weights = self.log_weights(outputs, context).exp().unsqueeze(1)
        return (weights * torch.sigmoid(margin)).sum(-1).mean(1)

    def parts(self, outputs: Outputs) -> dict[str, Tensor]:
        """The single rewards, `head_0` and so on."""
        return {f"head_{place}": outputs["heads"][:, place] for place in range(self.heads)}

    # ---- audit ----------------------------------------------------------------------------------------------------------

    def mask_heads(self, heads: Sequence[int]) -> None:
        """Take some heads out of the mixture; the weights of the others are scaled up. An empty list brings all back.

        Raises:
            ValueError: there is no such head, or none would be left.
        """
        wrong = [head for head in heads if not 0 <= head < self.heads]
        if wrong:
            raise ValueError(f"there is no head {wrong[0]}; this mixture has the heads 0 to {self.heads - 1}")
        if len(set(heads)) == self.heads:
            raise ValueError(f"masking all {self.heads} heads leaves nothing to score with; keep at least one")
        self.mask.zero_()
        self.mask[list(heads)] = True
