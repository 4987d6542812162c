"""Hedge: which of several rewards fits a stated context, learned from a few comparisons while the rewards stay as they are.

Every comparison gives a target for the weights: the present weights times `exp(-loss / tau)`. With `tau = 1` that is the
responsibility of expectation maximisation; a small tau trusts single comparisons more, and so their errors too.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rewardlab.learning.data import PreferenceData
from rewardlab.rewards.models.base import Context, Outputs, rows_of
from rewardlab.rewards.models.heads.mixture import MixtureHead, Router
from rewardlab.rewards.models.model import RewardModel
from rewardlab.rewards.models.network import Network

if TYPE_CHECKING:
    from numpy.typing import NDArray


def hedge_targets(log_weights: Tensor, losses: Tensor, tau: float) -> Tensor:
    """Weights that minimise `sum_k w_k loss_k + tau KL(w || weights)` (Freund and Schapire 1997; MiCRo, stage two).

    Args:
        log_weights: float[row, choice], logarithm of the present weights.
        losses: float[row, choice].
        tau: how much the weights resist; positive.

    Returns:
        float[row, choice], `weights * exp(-losses / tau)`, each row summing to 1.

    Raises:
        ValueError: tau is not positive.
    """
    if not tau > 0:
        raise ValueError(
            f"tau must be positive, got {tau}; 1 gives expectation maximisation, less trusts each pair more"
        )
    return torch.softmax(log_weights - losses / tau, dim=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """A model whose router knows contexts.

    Args:
        model: the new model; the one that was given has not changed.
        contexts: names of the contexts, as `user=` of the model takes them; empty where they stand in the prompts.
        losses: float[step], cross-entropy of the targets at every step.
    """

    model: RewardModel
    contexts: tuple[str, ...]
    losses: tuple[float, ...]


def adapt(
    model: RewardModel,
    pairs: PreferenceData,
    *,
    tau: float = 0.3,
    steps: int = 200,
    learning_rate: float = 0.03,
    weight_decay: float = 0.0,
    context_in_prompt: bool = False,
    train: Literal["context", "router"] | None = None,
) -> Adapted:
    """Teach the router of a mixture which head fits which context; the heads stay as they are (MiCRo, stage two).

    A context is the name in `pairs.annotators`. Rows without one, and contexts that are not known when the model is used,
    get the first-stage weights, to the bit.

    Args:
        model: with a mixture head whose router reads prompts.
        pairs: comparisons, annotated with their contexts; about ten to fifty for each.
        tau: see `hedge_targets`.
        steps: of gradient descent on the cross-entropy of the targets, each over all pairs.
        learning_rate, weight_decay: of AdamW.
        context_in_prompt: the context is written in the prompts, and `annotators` is not needed; the adapted router then
            serves every prompt.
        train: "context", one number for each context and head, added to the logits of the first stage, which few comparisons
            suffice for; or "router", all of the router, as in the paper, where the context is part of the prompt. None for
            the one that fits `context_in_prompt`.

    Raises:
        ValueError: no pairs, no contexts, tau not positive, or a head of another kind.
    """
    head = mixture_of(model)
    what = train or ("router" if context_in_prompt else "context")
    if what not in ("context", "router"):
        raise ValueError(f"train must be 'context' or 'router', got {train!r}")
    if what == "context" and context_in_prompt:
        raise ValueError("contexts that stand in the prompts have no numbers of their own; use train='router'")
    if head.router is None:
        raise ValueError(
            "router='static' reads no prompt, so there is nothing to adapt; use router='prompt', or reweight"
        )
    if not len(pairs):
        raise ValueError("there are no pairs to adapt to; give about ten annotated pairs for each context")
    if not tau > 0:
        raise ValueError(
            f"tau must be positive, got {tau}; 1 gives expectation maximisation, less trusts each pair more"
        )
    who = pairs.annotators or [None] * len(pairs)
    names = () if context_in_prompt else tuple(sorted({name for name in who if name is not None}))
    if not names and not context_in_prompt:
        raise ValueError(
            "no pair names its context; put it into `annotators`, or pass context_in_prompt=True where the prompts state it"
        )
    new = MixtureHead(**{**head.options(), "users": list(names), "context_in_prompt": context_in_prompt})
    weights = {name: value for name, value in head.state_dict().items() if not name.startswith("adapted.")}
    new.load_state_dict(weights, strict=False)
    new.adapted = _copy_router(head.router, len(names))
    new.to(model.network.device)
    rows = [row for row, name in enumerate(who) if context_in_prompt or name is not None]
    used = pairs.select(rows)
    users = None if context_in_prompt else torch.tensor([names.index(who[row]) for row in rows])
    outputs = model.outputs(used.items)
    first, second = pair_outputs(outputs, used)
    losses = head_losses(first, second, labels_of(used, first["heads"]))
    context = None if users is None else Context(users=users.to(losses.device))
    history = []
    fitted = (
        new.adapted.parameters()
        if new.adapted.context is None or what == "router"
        else new.adapted.context.parameters()
    )
    optimiser = torch.optim.AdamW(list(fitted), lr=learning_rate, weight_decay=weight_decay)
    with torch.enable_grad():
        for _ in range(steps):
            now = new.pair_log_weights(first, second, context)
            targets = hedge_targets(now.detach(), losses, tau)
            loss = -(targets * now).sum(-1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            history.append(loss.item())
    made = rebuilt(model, new, {"adapted": {"pairs": len(used), "contexts": list(names), "tau": tau, "steps": steps}})
    return Adapted(model=made, contexts=names, losses=tuple(history))


def reweight(model: RewardModel, pairs: PreferenceData, *, temperature: float = 1.0) -> RewardModel:
    """Fix the weights for all prompts by how well each head fits labelled pairs (HyRe, Lee et al. 2024).

    Those pairs are usually taken from a test set: results of the new model are then *not* comparable with results of
    models that saw no test labels. It is therefore a call of its own, and the model is marked: `head.reweighted` holds the
    number of pairs, and `network.about["reweighted"]` too.

    Args:
        model: with a mixture head.
        pairs: labelled comparisons.
        temperature: the weights are a softmax of each head's summed log-likelihood over this.

    Raises:
        ValueError: no pairs, or a temperature that is not positive.
    """
    head = mixture_of(model)
    if not len(pairs):
        raise ValueError("there are no pairs to weigh the heads by; give about sixteen labelled pairs")
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    first, second = pair_outputs(model.outputs(pairs.items), pairs)
    total = -head_losses(first, second, labels_of(pairs, first["heads"])).sum(0) / temperature
    new = MixtureHead(**{**head.options(), "reweighted": len(pairs)})
    new.load_state_dict(head.state_dict())
    new.fixed = torch.log_softmax(total, -1).detach()
    new.to(model.network.device)
    warnings.warn(
        f"the weights were fixed by the labels of {len(pairs)} pairs; do not compare the result with models that saw none",
        stacklevel=2,
    )
    return rebuilt(model, new, {"reweighted": len(pairs)})


# ---- shared with other modules about mixtures ----------------------------------------------------------------------


def mixture_of(model: RewardModel) -> MixtureHead:
    """The mixture head of a model.

    Raises:
        ValueError: the model has another head.
    """
    head = model.network.head
    if not isinstance(head, MixtureHead):
        raise ValueError(f"expected a model with a mixture head, got a {type(head).kind} head")
    return head


def pair_outputs(outputs: Outputs, pairs: PreferenceData) -> tuple[Outputs, Outputs]:
    """Outputs of the first and of the second of every pair, from the outputs of its items."""
    device = next(iter(outputs.values())).device
    return tuple(rows_of(outputs, torch.from_numpy(one).to(device)) for one in (pairs.first, pairs.second))  # type: ignore[return-value]


def labels_of(pairs: PreferenceData, like: Tensor) -> Tensor:
    """Labels as a tensor of the kind and on the device of another."""
    label: NDArray = pairs.label
    return torch.from_numpy(label).to(like)


def head_losses(first: Outputs, second: Outputs, label: Tensor) -> Tensor:
    """Negative log-likelihood of every pair under every head alone, float[row, head]."""
    margin = first["heads"] - second["heads"]
    chance = label.unsqueeze(-1)
    return -(chance * logsigmoid(margin) + (1 - chance) * logsigmoid(-margin))


def rebuilt(model: RewardModel, head: MixtureHead, about: dict[str, object]) -> RewardModel:
    """A model with the same encoder and another head; what was done to it is added to what is known of it."""
    old = model.network
    network = Network(copy.deepcopy(old.encoder), head, about={**old.about, **about}).to(old.device)
    network.shift.copy_(old.shift)
    network.scale.copy_(old.scale)
    return RewardModel.around(network.eval(), batch_length=model.batch_length, device=model.device)


def _copy_router(router: Router, contexts: int) -> Router:
    """The same router with room for contexts, whose weights are zero, so that it begins with the first-stage weights."""
    hidden = router.first.out_features
    width = router.first.in_features
    heads = router.second.out_features if router.second is not None else hidden
    new = Router(width, hidden if router.second is not None else 0, heads, contexts)
    new.load_state_dict(router.state_dict(), strict=False)
    if new.context is not None:
        torch.nn.init.zeros_(new.context.weight)
    return new
