"""Which questions to put to a user next, so that the answers say most about the user's latent vector."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid

from rewardlab.learning.data import PreferenceData
from rewardlab.learning.latent_users import Posterior, latent_of
from rewardlab.rewards.models.base import Context, rows_of
from rewardlab.rewards.models.model import RewardModel

LARGEST = 8
"""The most questions in a set: all answers to them are looked at, which are 2 to the power of this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """Sets of questions with what each is worth.

    Args:
        best: int64[size], rows of the candidates that make the best set.
        sets: int64[set, size], all that were looked at.
        scores: float64[set], in nats; for "random" just numbers.
    """

    best: NDArray[np.int64]
    sets: NDArray[np.int64]
    scores: NDArray[np.float64]


def next_query(
    model: RewardModel,
    candidates: PreferenceData,
    posterior: Posterior,
    *,
    method: Literal["mutual_info", "entropy", "random"] = "mutual_info",
    size: int = 1,
    sets: int = 64,
    samples: int = 64,
    seed: int = 0,
) -> Queries:
    """Choose comparisons to ask a user for.

    "mutual_info" is the information that the answers have about the user vector: the entropy of the Gaussian with the
    moments of all posteriors that the answers may lead to, minus the mean entropy of these posteriors, weighted by how
    likely the answers are (Poddar et al. 2024, section on active queries, with matching entropies). "entropy" is how unsure
    the answers are, which also asks what the user would answer by the toss of a coin.

    Args:
        model: with a latent head.
        candidates: comparisons whose labels are not read.
        posterior: what is known of the user, from `infer`.
        method: how sets are scored.
        size: questions in a set.
        sets: how many sets are looked at; all candidates, where size is 1.
        samples: user vectors for the probability of answers.
        seed: of sets and samples.

    Raises:
        ValueError: fewer candidates than questions, too many questions at once, or an unknown method.
    """
    if method not in ("mutual_info", "entropy", "random"):
        raise ValueError(f"method must be 'mutual_info', 'entropy' or 'random', got {method!r}")
    if not 1 <= size <= LARGEST:
        raise ValueError(f"size must be between 1 and {LARGEST}, got {size}: all answers to a set are looked at")
    if len(candidates) < size:
        raise ValueError(f"there are {len(candidates)} candidates, expected at least {size}")
    head, draw = latent_of(model), np.random.default_rng(seed)
    if size == 1:
        chosen = np.arange(len(candidates))[:, None]
    else:
        chosen = np.stack([np.sort(draw.choice(len(candidates), size, replace=False)) for _ in range(sets)])
    if method == "random":
        worth = draw.random(len(chosen))
        return Queries(best=chosen[worth.argmax()], sets=chosen, scores=worth)
    used = candidates.without_unused_items()
    outputs = model.outputs(used.items)
    features = outputs["features"]
    first, second = (torch.from_numpy(side).to(features.device) for side in (used.first, used.second))
    answers = torch.tensor(list(itertools.product((1.0, -1.0), repeat=size)), device=features.device)
    rows = torch.from_numpy(chosen).to(features.device)
    vectors = posterior.sample(samples, seed=seed)
    with torch.no_grad():
        one, other = rows_of(outputs, first), rows_of(outputs, second)
        logits = torch.stack([head.preference(one, other, Context(latent=z.expand(len(first), -1))) for z in vectors])
        # [vector, set, answers]: the log-probability of each answer to each set under each vector
        told = logsigmoid(logits[:, rows].unsqueeze(2) * answers).sum(-1)
        chance = torch.logsumexp(told, 0).sub(math.log(samples)).exp().double()  # [set, answers]
        if method == "entropy":
            scores = torch.special.entr(chance).sum(-1)
        else:
            scores = _information(head, posterior, features, first[rows], second[rows], answers, chance)
    worth = scores.cpu().numpy()
    return Queries(best=chosen[worth.argmax()], sets=chosen, scores=worth)


def _information(
    head: torch.nn.Module,
    posterior: Posterior,
    features: Tensor,
    first: Tensor,
    second: Tensor,
    answers: Tensor,
    chance: Tensor,
) -> Tensor:
    """Information of the answers to each set about the user vector, float64[set]."""
    count, size, ways = len(first), first.shape[1], len(answers)
    yes = (answers > 0)[None, :, :, None]
    sides = [features[side].unsqueeze(1).expand(count, ways, size, -1) for side in (first, second)]
    known = [side.to(features).expand(count * ways, -1, -1) for side in (posterior.chosen, posterior.rejected)]
    won = torch.where(yes, sides[0], sides[1]).reshape(count * ways, size, -1)
    lost = torch.where(yes, sides[1], sides[0]).reshape(count * ways, size, -1)
    mean, log_variance = head.infer(torch.cat([known[0], won], 1), torch.cat([known[1], lost], 1))  # type: ignore[operator]
    mean, log_variance = (one.double().view(count, ways, -1) for one in (mean, log_variance))
    weight = (chance / chance.sum(-1, keepdim=True)).unsqueeze(-1)
    centre = (weight * mean).sum(1, keepdim=True)
    between = torch.einsum("swi,swj->sij", weight * (mean - centre), mean - centre)
    within = torch.diag_embed((weight * log_variance.exp()).sum(1))
    each = (weight.squeeze(-1) * log_variance.sum(-1)).sum(-1)
    information: Tensor = 0.5 * (torch.linalg.slogdet(between + within).logabsdet - each)
    return information
