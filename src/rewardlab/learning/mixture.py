"""What is particular about fitting and judging mixtures of rewards: their likelihood, how heads are used, how many to take.

The likelihood needs no labels of sub-populations. Attribute labels, where somebody has them, only enter the report.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid

from rewardlab.learning.data import PreferenceData
from rewardlab.learning.fitting import FitResult, fit
from rewardlab.learning.hedge import head_losses, labels_of, mixture_of, pair_outputs
from rewardlab.learning.losses import Kind, Loss
from rewardlab.learning.rows import PairRows
from rewardlab.rewards.models.base import Encoder, Head, Outputs, rows_of
from rewardlab.rewards.models.heads.mixture import MixtureHead
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory

ALIKE = 0.99
"""Heads that correlate more than this are one head; a router that gives one head more than this has collapsed."""


@dataclass(frozen=True, kw_only=True)
class MixtureLikelihood(Loss):
    """Negative log-likelihood of a mixture of Bradley-Terry models, with the penalties of MiCRo (Shen et al. 2025).

    Args:
        entropy: of the penalty on the negative entropy of every prompt's weights, which draws all of them towards uniform.
        batch_entropy: of the same on the weights' mean over a batch, which only asks that all heads are used somewhere.
        orthogonality: of the mean absolute product of different heads' weight vectors.
        unit_norm: of the squared distance of every head's norm from 1.
        mixed: `probabilities`, the method of the paper; `rewards`, Bradley-Terry on the weighted sum of rewards, which is
            another model under a similar name.

    Raises:
        ValueError: an unknown `mixed`.
    """

    reads: ClassVar[Kind] = "preferences"

    entropy: float = 0.5
    batch_entropy: float = 0.0
    orthogonality: float = 0.0
    unit_norm: float = 0.0
    mixed: Literal["probabilities", "rewards"] = "probabilities"

    def __post_init__(self) -> None:
        if self.mixed not in ("probabilities", "rewards"):
            raise ValueError(f"mixed must be 'probabilities' or 'rewards', got {self.mixed!r}")

    def __call__(self, head: Head, outputs: Outputs, rows: PairRows) -> Tensor:
        """One loss per comparison, float[row].

        Raises:
            TypeError: the head is no mixture.
        """
        mixture = _mixture(head)
        first, second = rows_of(outputs, rows.first), rows_of(outputs, rows.second)
        weights = mixture.pair_log_weights(first, second, rows.context)
        margin = first["heads"] - second["heads"]
        if self.mixed == "rewards":
            mean = (weights.exp() * margin).sum(-1)
            won, lost = logsigmoid(mean), logsigmoid(-mean)
        else:
            won = torch.logsumexp(weights + logsigmoid(margin), -1)
            lost = torch.logsumexp(weights + logsigmoid(-margin), -1)
        loss = -(rows.label * won + (1 - rows.label) * lost)
        if self.entropy:
            loss = loss + self.entropy * (weights.exp() * weights).sum(-1)
        if self.batch_entropy:
            mean_weights = weights.exp().mean(0)
            loss = loss - self.batch_entropy * torch.special.entr(mean_weights.clamp(min=1e-12)).sum()
        vectors = mixture.linear.weight
        if self.orthogonality and mixture.heads > 1:
            products = vectors @ vectors.T
            apart = ~torch.eye(mixture.heads, dtype=torch.bool, device=products.device)
            loss = loss + self.orthogonality * products[apart].abs().mean()
        if self.unit_norm:
            loss = loss + self.unit_norm * (vectors.norm(dim=-1) - 1).square().mean()
        return loss


@dataclass(frozen=True, kw_only=True)
class PerHeadLikelihood(Loss):
    """Sum of the Bradley-Terry losses of all heads, each by itself: how a shared-base ensemble is fitted."""

    reads: ClassVar[Kind] = "preferences"

    def __call__(self, head: Head, outputs: Outputs, rows: PairRows) -> Tensor:
        """One loss per comparison, float[row]; the router gets no gradient."""
        _mixture(head)
        return head_losses(rows_of(outputs, rows.first), rows_of(outputs, rows.second), rows.label).sum(-1)


def fit_mixture(
    encoder: Encoder | Mapping[str, Any],
    pairs: PreferenceData,
    *,
    heads: int = 10,
    router: Literal["prompt", "static"] = "prompt",
    entropy: float = 0.5,
    head: Mapping[str, Any] | None = None,
    loss: Mapping[str, Any] | None = None,
    **options: Any,
) -> FitResult:
    """Fit a mixture to comparisons of which nobody has to say who judged (MiCRo, stage one); `fit` with its usual parts.

    Args:
        encoder: an encoder, or its spec; it has to give features of prompts where the router reads them.
        pairs: comparisons; annotators are not read.
        heads, router: of `MixtureHead`.
        entropy: of `MixtureLikelihood`.
        head: any other option of `MixtureHead`.
        loss: any other option of `MixtureLikelihood`.
        options: of `rewardlab.fit`.
    """
    named = {who for who in pairs.annotators or () if who is not None}
    if heads > 1 and len(named) == 1 and None not in (pairs.annotators or ()):
        warnings.warn(
            f"all {len(pairs)} comparisons come from a single annotator, {next(iter(named))!r}, so {heads} heads may only "
            "tell moods of one person apart; use heads=1, or comparisons of several annotators",
            stacklevel=2,
        )
    model = RewardModel.make(encoder, {"type": "mixture", "heads": heads, "router": router, **(head or {})})
    return fit(model, pairs, loss=MixtureLikelihood(entropy=entropy, **(loss or {})), **options)


def mixture_probability(
    model: RewardModel, first: Sequence[Trajectory], second: Sequence[Trajectory]
) -> NDArray[np.float64]:
    """The probability that each of `first` is preferred to the one of `second` in its place; float64[pair].

    `user=` of the model names the context; one that the router does not know gets the first-stage weights, with a warning.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"first and second must pair up, got {len(first)} and {len(second)}")
    outputs = model.outputs([*first, *second])
    rows = torch.arange(len(first), device=model.network.device)
    sides = rows_of(outputs, rows), rows_of(outputs, rows + len(first))
    with torch.no_grad():
        logits = mixture_of(model).preference(*sides, model.context(len(first)))
    return np.asarray(torch.sigmoid(logits.double()).cpu().numpy())


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadReport:
    """What the heads of a mixture do on some comparisons.

    Args:
        attributes: the labels, in order.
        accuracy: float64[head, attribute], share of comparisons that the head alone orders as they are labelled.
        usage: float64[head], mean weight.
        correlation: float64[head, head], of the heads' reward differences.
        problems: what has collapsed, with the option to change; empty where nothing has.
    """

    attributes: tuple[str, ...]
    accuracy: NDArray[np.float64]
    usage: NDArray[np.float64]
    correlation: NDArray[np.float64]
    problems: tuple[str, ...]

    @property
    def best(self) -> NDArray[np.int64]:
        """int64[attribute], the head that fits each attribute best on these comparisons."""
        return self.accuracy.argmax(0)

    @property
    def best_accuracy(self) -> float:
        """Mean over attributes of the best head's accuracy: chosen on the same labels, so an upper limit for a router."""
        return float(self.accuracy.max(0).mean())

    @property
    def dead(self) -> tuple[int, ...]:
        """Heads with less than a tenth of an equal share of the weight."""
        return tuple(int(head) for head in np.flatnonzero(self.usage < 0.1 / len(self.usage)))

    def __str__(self) -> str:
        names = [name[:12].rjust(12) for name in self.attributes]
        lines = ["head  usage " + " ".join(names)]
        for head, row in enumerate(self.accuracy):
            lines.append(f"{head:4d}  {self.usage[head]:.3f} " + " ".join(f"{value:12.3f}" for value in row))
        return "\n".join([*lines, *self.problems])


def head_report(model: RewardModel, pairs: PreferenceData, attributes: Sequence[str] | None = None) -> HeadReport:
    """The table of heads against attributes, with how much each head is used; warns of what has collapsed.

    Args:
        model: with a mixture head.
        pairs: labelled comparisons.
        attributes: of each comparison; None for `pairs.annotators`, and "all" where nobody is named.

    Raises:
        ValueError: there are no comparisons, or not one attribute for each.
    """
    head = mixture_of(model)
    if not len(pairs):
        raise ValueError("there are no comparisons to report on")
    names = (
        list(attributes)
        if attributes is not None
        else [one or "all" for one in pairs.annotators or ["all"] * len(pairs)]
    )
    if len(names) != len(pairs):
        raise ValueError(f"there must be one attribute per comparison, got {len(names)} for {len(pairs)}")
    first, second = pair_outputs(model.outputs(pairs.items), pairs)
    with torch.no_grad():
        margin = (first["heads"] - second["heads"]).double().cpu().numpy()
        weights = head.pair_log_weights(first, second).exp().double().cpu().numpy()
    right = (margin > 0) == (pairs.label > 0.5)[:, None]
    kinds = tuple(sorted(set(names)))
    accuracy = np.stack([right[np.asarray(names) == kind].mean(0) for kind in kinds], axis=1)
    spread = margin.std(0)
    safe = np.where(spread > 0, spread, 1.0)
    centred = (margin - margin.mean(0)) / safe
    correlation = centred.T @ centred / len(margin)
    problems = _collapses(correlation, weights) if head.heads > 1 else ()
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    return HeadReport(
        attributes=kinds, accuracy=accuracy, usage=weights.mean(0), correlation=correlation, problems=problems
    )


def _collapses(correlation: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[str, ...]:
    problems = []
    apart = correlation[~np.eye(len(correlation), dtype=bool)]
    if apart.min() > ALIKE:
        problems.append(
            f"all heads give the same reward (smallest correlation {apart.min():.3f}): the population may be of one mind; "
            "else use a larger learning rate, more data, or orthogonality= of MixtureLikelihood"
        )
    if weights.min(0).max() > ALIKE:
        problems.append(
            f"the router gives head {int(weights.min(0).argmax())} more than {ALIKE} of the weight on every prompt; "
            "raise entropy= or batch_entropy= of MixtureLikelihood"
        )
    return tuple(problems)


def mixture_nll(model: RewardModel, pairs: PreferenceData) -> float:
    """Mean negative log-likelihood of labelled comparisons in nats, without context."""
    first, second = pair_outputs(model.outputs(pairs.items), pairs)
    with torch.no_grad():
        logits = model.network.head.preference(first, second)
        label = labels_of(pairs, logits)
        return float(-(label * logsigmoid(logits) + (1 - label) * logsigmoid(-logits)).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadCount:
    """How many heads held-out comparisons ask for.

    Args:
        best: the smallest number whose held-out loss is within one standard error of the lowest.
        losses: number of heads -> held-out negative log-likelihood.
        models: number of heads -> the fitted model.
    """

    best: int
    losses: dict[int, float]
    models: dict[int, RewardModel]


def select_k(make: Callable[[int], RewardModel], held_out: PreferenceData, candidates: Sequence[int]) -> HeadCount:
    """Fit mixtures of several sizes and choose one on comparisons that none of them saw.

    Args:
        make: returns a fitted mixture with so many heads.
        held_out: comparisons that `make` does not see.
        candidates: numbers of heads.

    Raises:
        ValueError: no candidates, or no comparisons.
    """
    if not candidates or not len(held_out):
        raise ValueError("select_k needs at least one candidate and one held-out comparison")
    models = {count: make(count) for count in sorted(set(candidates))}
    losses, errors = {}, {}
    for count, model in models.items():
        first, second = pair_outputs(model.outputs(held_out.items), held_out)
        with torch.no_grad():
            logits = model.network.head.preference(first, second).double()
        label = labels_of(held_out, logits)
        each = -(label * logsigmoid(logits) + (1 - label) * logsigmoid(-logits))
        losses[count], errors[count] = float(each.mean()), float(each.std(correction=0)) / len(each) ** 0.5
    lowest = min(losses, key=lambda count: losses[count])
    best = min(count for count in losses if losses[count] <= losses[lowest] + errors[lowest])
    return HeadCount(best=best, losses=losses, models=models)


def _mixture(head: Head) -> MixtureHead:
    if not isinstance(head, MixtureHead):
        raise TypeError(f"this loss is for mixture heads, got a {type(head).kind} head; use bradley_terry")
    return head
