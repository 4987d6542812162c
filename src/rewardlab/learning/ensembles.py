"""Ensembles: several reward models of one architecture, fitted in one batched pass, whose disagreement is their confidence.

What the members share is computed once. Each is trained as it would be alone: its own loss, its own limit on the gradient.
Only what is drawn differs: the weights that it starts from and, where that is asked for, the rows that it sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewardlab.learning.data import as_trajectory
from rewardlab.learning.fit_weights import Weights, limit_norm
from rewardlab.learning.fitting import Fit, fit_defaults
from rewardlab.learning.inputs import is_frozen
from rewardlab.learning.losses import Loss
from rewardlab.learning.rows import PairRows, StepRows
from rewardlab.learning.tables import Data
from rewardlab.policies.sharding import total_norm
from rewardlab.rewards.models.base import Encoder, Head, Outputs
from rewardlab.rewards.models.encoders.ensemble import EnsembleEncoder
from rewardlab.rewards.models.heads.ensemble import EnsembleHead
from rewardlab.rewards.models.model import RewardModel
from rewardlab.rewards.models.network import Network


def fit_ensemble(
    make: Callable[[int], RewardModel],
    data: Data,
    members: int = 10,
    *,
    share_encoder: bool | None = None,
    bootstrap: bool = False,
    seed: int = 0,
    **options: Any,
) -> RewardModel:
    """Fit several models of one architecture at once.

    Args:
        make: a new, unfitted model for a number, which is the seed of its weights: `seed * members` and those after it.
        data: judgements, as `fit` takes them.
        members: how many.
        share_encoder: whether all heads read one encoder, that of the first model; None where it is frozen. Otherwise every
            member has its own, which encoders of images do not allow; of texts, members with adapters share their base.
        bootstrap: whether each member sees the rows as often as a draw with replacement gives them, some of them never.
        seed: of the order of rows, which all members share, and of the draws.
        options: of `fit`.

    Returns:
        A reward model like any other: its scores are the mean of the members', its confidence their agreement.

    Raises:
        ValueError: fewer than 2 members, models that are not alike, or that all start from the same weights.
        TypeError: an option that `fit` does not have.
        FitStopped: as `fit`.
    """
    first = seed * members
    model = join(
        [make(first + number) for number in range(members)], share_encoder=share_encoder, distinct=not bootstrap
    )
    return (
        EnsembleFit(**fit_defaults({"model": model, "data": data, "seed": seed, **options}), bootstrap=bootstrap)
        .run()
        .model
    )


def join(models: Sequence[RewardModel], *, share_encoder: bool | None = None, distinct: bool = False) -> RewardModel:
    """One ensemble of models that exist, fitted or not; the first of them is taken over.

    Args:
        models: of one architecture.
        share_encoder: see `fit_ensemble`.
        distinct: whether models that all have the same weights are refused.

    Raises:
        ValueError: fewer than 2, models that are not alike, or with the same weights.
    """
    if len(models) < 2:
        raise ValueError(f"an ensemble needs at least 2 members, got {len(models)}: one member cannot disagree")
    networks = [model.network for model in models]
    shared = is_frozen(networks[0].encoder) if share_encoder is None else share_encoder
    if distinct and _same_weights(networks, shared):
        raise ValueError(
            "all members start from the same weights, so that they would never disagree; let make(number) use the number as "
            "the seed of what is trained, or draw rows with bootstrap=True"
        )
    heads = [network.head for network in networks]
    encoder = networks[0].encoder if shared else _joined([network.encoder for network in networks])
    network = Network(encoder, EnsembleHead.of(heads, width=encoder.width, shared=shared))
    return RewardModel.around(network.to(networks[0].device), **_fields(models[0]))


def member_values(model: RewardModel, items: Sequence[Any]) -> NDArray[np.float64]:
    """What every member of an ensemble says of items, before any scaling: differences of two items are log-odds.

    Args:
        model: an ensemble, from `fit_ensemble` or loaded.
        items: trajectories, or what becomes one (texts, messages, arrays).

    Returns:
        float64[item, member].

    Raises:
        TypeError: the model is no ensemble.
        NoScalarValue: its members only compare.
    """
    head = model.network.head
    if not isinstance(head, EnsembleHead):
        raise TypeError(f"member_values needs an ensemble, got a model with a {head.kind} head; fit_ensemble makes one")
    if not len(items):
        return np.zeros((0, head.members))
    outputs = model.outputs([as_trajectory(item) for item in items])
    with torch.no_grad():
        values = head.member_values(outputs, model.context(len(items)))
    return np.asarray(values.double().cpu().numpy())


@dataclass(frozen=True, kw_only=True)
class MemberLosses(Loss):
    """The loss of every member by itself.

    Args:
        base: the loss.
    """

    base: Loss

    def __post_init__(self) -> None:
        if self.base.needs_views:
            raise ValueError(
                f"a {type(self.base).__name__} compares features of two passes, which heads of an ensemble share; fit the "
                "models one by one"
            )

    @property
    def reads(self) -> Any:  # type: ignore[override]
        """What the base reads."""
        return self.base.reads

    def __call__(self, head: Head, outputs: Outputs, rows: Any) -> Tensor:
        """float[row, member]."""
        assert isinstance(head, EnsembleHead)
        if head.plain and isinstance(rows, PairRows):  # members as so many rows more: no `vmap`, which takes its time
            flat = {name: column.flatten(0, 1) for name, column in outputs.items()}
            return self.base(head.member, flat, _repeated(rows, head.members)).view(len(rows), head.members)
        looks = isinstance(rows, StepRows)  # its losses look at which steps there are, which `vmap` does not allow
        each: Tensor = head.each(lambda member, own: self.base(member, own, rows), outputs, loop=looks)
        return each.transpose(0, 1)


class MemberWeights(Weights):
    """Weights of an ensemble: the gradient of each member is limited by itself, as if it were fitted alone."""

    def gradient_norm(self, limit: float | None) -> Tensor:
        """Limit the gradients of every member, and return the largest of their norms."""
        self.summed_gradients()
        gradients = {name: weight.grad for name, weight in self.parameters.items() if weight.grad is not None}
        own = [gradient for name, gradient in gradients.items() if ".stacked." in name]
        common = [gradient for name, gradient in gradients.items() if ".stacked." not in name]
        parts = [torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in own]
        norms = torch.linalg.vector_norm(torch.stack(parts), dim=0)
        largest = norms.max()
        if limit is not None and not bool(largest <= limit):  # so also where it is no number
            factors = (limit / (norms + 1e-6)).clamp(max=1.0)
            for gradient in own:
                gradient.mul_(factors.view(-1, *[1] * (gradient.dim() - 1)))
        if common:
            norm = total_norm(common) if self.processes.shards else torch.nn.utils.get_total_norm(common)
            largest = torch.maximum(largest, norm)
            limit_norm(common, norm, limit)
        return largest


@dataclass(kw_only=True)
class EnsembleFit(Fit):
    """A fit whose head is an `EnsembleHead`.

    Args:
        bootstrap: see `fit_ensemble`.
    """

    bootstrap: bool = False

    weights_class = MemberWeights

    def __post_init__(self) -> None:
        super().__post_init__()
        head = self.network.head
        assert isinstance(head, EnsembleHead)
        if self.bootstrap:
            count = len(self.table)
            draws = [np.random.default_rng([self.seed % 2**64, member, 1]) for member in range(head.members)]
            often = np.stack([draw.multinomial(count, np.full(count, 1 / count)) for draw in draws], axis=1)
            times = torch.from_numpy(often).to(self.network.device, torch.float32)
            weight = self.table.weight
            self.table.weight = times if weight is None else times * weight[:, None]

    def make_loss(self, kind: str) -> Loss:
        """The loss of every member."""
        return MemberLosses(base=super().make_loss(kind))


def _repeated(rows: PairRows, members: int) -> PairRows:
    """Comparisons in outputs whose rows are those of each member in turn, `row * members + member`."""
    numbers = torch.arange(members, device=rows.first.device)
    return PairRows(
        first=(rows.first[:, None] * members + numbers).flatten(),
        second=(rows.second[:, None] * members + numbers).flatten(),
        label=rows.label.repeat_interleave(members),
        strength=None if rows.strength is None else rows.strength.repeat_interleave(members),
    )


def _joined(encoders: list[Encoder]) -> EnsembleEncoder:
    if encoders[0].kind == "text":
        from rewardlab.rewards.models.encoders.text_ensemble import TextEnsembleEncoder

        return TextEnsembleEncoder.of(encoders)
    return EnsembleEncoder.of(encoders)


def _same_weights(networks: Sequence[Network], shared: bool) -> bool:
    def trained(network: Network) -> list[Tensor]:
        return [*network.head.parameters(), *(() if shared else network.encoder.parameters())]

    first = trained(networks[0])
    return all(
        one.shape == other.shape and torch.equal(one, other)
        for network in networks[1:]
        for one, other in zip(first, trained(network), strict=False)
    )


def _fields(model: RewardModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in ("user", "batch_length", "device")}
