"""What a latent reward knows of its users: read off comparisons, kept under names, and used for rewards and predictions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from rewardlab.learning.data import PreferenceData
from rewardlab.learning.inputs import evaluating
from rewardlab.rewards.models.base import Context, Outputs, rows_of
from rewardlab.rewards.models.heads.latent import LatentHead
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """What is believed of one user.

    Args:
        mean, log_variance: float[latent].
        comparisons: how many it was read off; 0 for the prior.
        chosen, rejected: float[comparison, width], features of the two sides of each.
    """

    mean: Tensor
    log_variance: Tensor
    comparisons: int
    chosen: Tensor
    rejected: Tensor

    @property
    def std(self) -> Tensor:
        """float[latent]."""
        return (self.log_variance / 2).exp()

    def sample(self, count: int, *, seed: int = 0) -> Tensor:
        """User vectors drawn from it, float[count, latent]."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(count, len(self.mean), generator=generator).to(self.mean)
        return self.mean + self.std * noise


def infer(model: RewardModel, comparisons: PreferenceData | None) -> Posterior:
    """Read a user off a few comparisons, all of them by the same user, in any number.

    Args:
        model: with a latent head.
        comparisons: with labels 0 or 1; None or empty gives the prior, with a warning.
    """
    head = latent_of(model)
    if comparisons is None or not len(comparisons):
        warnings.warn("there are no comparisons of this user, so the posterior is the prior", stacklevel=2)
        none = head.prior_mean.new_zeros(0, int(head.options()["width"]))
        return Posterior(
            mean=head.prior_mean.detach().clone(),
            log_variance=head.prior_log_variance.detach().clone(),
            comparisons=0,
            chosen=none,
            rejected=none,
        )
    return next(iter(infer_users(model, replace(comparisons, annotators=["user"] * len(comparisons))).values()))


def infer_users(model: RewardModel, comparisons: PreferenceData) -> dict[str, Posterior]:
    """Read every user off the comparisons that name them as annotator, all at once.

    Raises:
        ValueError: a comparison names nobody, or a label is neither 0 nor 1.
    """
    head = latent_of(model)
    used = comparisons.without_unused_items()
    sets = user_sets(used)
    features = model.outputs(used.items)["features"]
    table, counts = padded_sets(list(sets.values()), features.device)
    winner, loser = winner_and_loser(used, features.device)
    mask = torch.arange(table.shape[1], device=table.device) < counts.unsqueeze(1)
    with torch.no_grad(), evaluating(head):
        chosen, rejected = features[winner[table]], features[loser[table]]
        mean, log_variance = head.infer(chosen, rejected, mask)
    return {
        name: Posterior(
            mean=mean[place],
            log_variance=log_variance[place],
            comparisons=len(rows),
            chosen=chosen[place, : len(rows)],
            rejected=rejected[place, : len(rows)],
        )
        for place, (name, rows) in enumerate(sets.items())
    }


def remember_users(model: RewardModel, comparisons: PreferenceData) -> RewardModel:
    """Keep what some comparisons say of their users, so that `user=` of the model asks for their judgement.

    Args:
        model: with a latent head; it is changed.
        comparisons: with the users as annotators. A user who is known already is replaced.

    Returns:
        The model, no longer the one that was saved.
    """
    head = latent_of(model)
    for name, posterior in infer_users(model, comparisons).items():
        head.remember(name, posterior.mean, posterior.log_variance)
    return RewardModel.around(
        model.network, name=model.name, user=model.user, batch_length=model.batch_length, device=model.device
    )


# ---- rewards for a user -------------------------------------------------------------------------------------------------


def latent_reward(
    model: RewardModel, trajectories: Sequence[Trajectory], who: Posterior | Tensor
) -> NDArray[np.float64]:
    """Raw values for one user vector, float64[trajectory]. Those of different vectors must not be compared or averaged.

    Args:
        model: with a latent head.
        trajectories: at least one.
        who: a posterior, of which the mean is taken; or a vector float[latent]; or vectors float[vector, latent], for whose
            mean value, with a warning.
    """
    head = latent_of(model)
    vectors = _vectors(head, who)
    if len(vectors) > 1:
        warnings.warn(
            "values for different user vectors are on different scales, so their mean follows whoever has the largest; use "
            "scaled_reward",
            stacklevel=2,
        )
    outputs = model.outputs(trajectories)
    return _values(head, outputs, vectors).mean(0).double().cpu().numpy()


def scaled_reward(
    model: RewardModel, trajectories: Sequence[Trajectory], who: Posterior | Tensor, reference: Sequence[Trajectory]
) -> NDArray[np.float64]:
    """The probability of being preferred to a reference, averaged over references, float64[trajectory] in [0, 1].

    This is on one scale for all users, whatever the factor of their values, so it may be averaged over them
    (Poddar et al. 2024, section on the scale of rewards).

    Args:
        model: with a latent head.
        trajectories: at least one.
        who: a posterior (its mean), a vector, or vectors whose probabilities are averaged.
        reference: trajectories to compare with; a few hundred of the kind that is scored.
    """
    if not reference:
        raise ValueError("scaled_reward needs at least one reference trajectory to compare with")
    head = latent_of(model)
    vectors = _vectors(head, who)
    ours = _values(head, model.outputs(trajectories), vectors)
    theirs = _values(head, model.outputs(reference), vectors)
    chance = torch.sigmoid(ours.unsqueeze(-1) - theirs.unsqueeze(1)).mean((0, 2))
    return chance.double().cpu().numpy()


def held_out_hits(
    model: RewardModel, context: PreferenceData, targets: PreferenceData, *, swapped: bool = False
) -> NDArray[np.float64]:
    """Which comparisons are ordered as their users did, when those users are read off others: 1, 0, or 0.5 for a draw.

    Args:
        model: with a latent head.
        context: comparisons to read the users off. A user who has none here is predicted by the prior.
        targets: comparisons to predict, over the same list of items.
        swapped: turn all context labels round, which must spoil the prediction if the user vector carries anything.

    Raises:
        ValueError: a comparison that is predicted also stands in its user's context (leakage).
    """
    _check_leak(context, targets)
    head = latent_of(model)
    asked = replace(context, label=1.0 - context.label) if swapped else context
    known = infer_users(model, asked) if len(asked) else {}
    check_labels(targets)
    used = targets.without_unused_items()
    outputs = model.outputs(used.items)
    device = outputs["features"].device
    names = [known.get(str(who)) for who in used.annotators or [None] * len(used)]
    vectors = torch.stack([head.prior_mean if one is None else one.mean for one in names]).to(device)
    winner, loser = winner_and_loser(used, device)
    with torch.no_grad():
        logits = head.preference(rows_of(outputs, winner), rows_of(outputs, loser), Context(latent=vectors))
    return np.asarray(((torch.sign(logits) + 1) / 2).double().cpu().numpy())


# ---- shared with other modules about latent users ----------------------------------------------------------------------


def latent_of(model: RewardModel) -> LatentHead:
    """The latent head of a model.

    Raises:
        TypeError: it has another head.
    """
    head = model.network.head
    if not isinstance(head, LatentHead):
        raise TypeError(f"this needs a model with a latent head, got one with a {type(head).kind} head")
    return head


def user_sets(data: PreferenceData) -> dict[str, list[int]]:
    """The rows of each user, in the order in which users come.

    Raises:
        ValueError: a row names nobody, or has a label other than 0 and 1.
    """
    check_labels(data)
    found: dict[str, list[int]] = {}
    for row, who in enumerate(data.annotators or [None] * len(data)):
        if who is None:
            raise ValueError(
                f"comparison {row} names no user; put the user (or the set it belongs to) into annotators, or select the "
                "rows that have one"
            )
        found.setdefault(who, []).append(row)
    return found


def check_labels(data: PreferenceData) -> None:
    """Refuse labels other than 0 and 1."""
    wrong = np.flatnonzero((data.label != 0) & (data.label != 1))
    if wrong.size:
        raise ValueError(
            f"labels must be 0 or 1 to be read as answers, got {data.label[wrong[0]]} in row {wrong[0]}; leave ties and "
            "soft labels out with data.select((data.label == 0) | (data.label == 1))"
        )


def _check_leak(context: PreferenceData, targets: PreferenceData) -> None:
    def keys(data: PreferenceData) -> list[tuple[str | None, frozenset[int]]]:
        who: Sequence[Any] = data.annotators or [None] * len(data)
        return [
            (name, frozenset((id(data.items[one]), id(data.items[other]))))
            for name, one, other in zip(who, data.first, data.second, strict=True)
        ]

    known = set(keys(context))
    leaks = [row for row, key in enumerate(keys(targets)) if key in known]
    if leaks:
        who = None if targets.annotators is None else targets.annotators[leaks[0]]
        raise ValueError(
            f"leakage: {len(leaks)} of {len(targets)} predicted comparisons also stand in their user's context (first: row "
            f"{leaks[0]} of user {who!r}); give contexts and targets that do not overlap"
        )


def _vectors(head: LatentHead, who: Posterior | Tensor) -> Tensor:
    told = who.mean if isinstance(who, Posterior) else torch.as_tensor(who, dtype=head.prior_mean.dtype)
    told = told.reshape(1, -1) if told.ndim == 1 else told
    if told.ndim != 2 or told.shape[1] != head.latent or not len(told):
        raise ValueError(f"expected user vectors of {head.latent} numbers, got shape {tuple(told.shape)}")
    return told.to(head.prior_mean.device)


@torch.no_grad()
def _values(head: LatentHead, outputs: Outputs, vectors: Tensor) -> Tensor:
    """float[vector, trajectory]."""
    count = len(outputs["features"])
    return torch.stack([head.value(outputs, Context(latent=one.expand(count, -1))) for one in vectors])


def padded_sets(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """int64[set, comparison] padded with the row 0, and how many stand in each."""
    counts = torch.tensor([len(one) for one in rows])
    longest = int(counts.max())
    table = torch.stack([pad(torch.tensor(one), (0, longest - len(one))) for one in rows])
    return table.to(device), counts.to(device)


def winner_and_loser(data: PreferenceData, device: torch.device) -> tuple[Tensor, Tensor]:
    """The preferred and the other item of every comparison."""
    first = data.label > 0.5
    return tuple(  # type: ignore[return-value]
        torch.from_numpy(np.where(first, one, other)).to(device)
        for one, other in ((data.first, data.second), (data.second, data.first))
    )


def stacked_posteriors(posteriors: Mapping[str, Posterior]) -> tuple[Tensor, Tensor]:
    """Means and log-variances of several users, float[user, latent] each."""
    many = list(posteriors.values())
    return torch.stack([one.mean for one in many]), torch.stack([one.log_variance for one in many])
