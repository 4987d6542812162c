"""Does the user vector carry anything? A latent reward whose prior is too strong forgets its users without any error.

`diagnose` looks at it from four sides: which numbers of the vector change with the user, how far posteriors are from the
prior, what happens when a user's answers are turned round, and how accuracy grows with the number of answers.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from rewardlab.learning.data import PreferenceData
from rewardlab.learning.latent_users import held_out_hits, infer_users, latent_of, stacked_posteriors, user_sets
from rewardlab.rewards.models.model import RewardModel

ACTIVE = 0.01
"""A number of the vector is active when the variance of its posterior mean over users exceeds this (Burda et al. 2016)."""

SWAP = 0.02
"""Turning all answers round must cost more accuracy than this, else the vector says nothing that the reward uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What `diagnose` found.

    Args:
        users: who had enough comparisons.
        active: share of the vector's numbers that change with the user.
        kl: mean divergence of posteriors from the prior, in nats.
        accuracy: share of held-out comparisons that are predicted from the users' answers.
        swapped: the same with all answers turned round.
        unknown: the same from no answers, which is what a stranger gets.
        by_length: number of answers -> accuracy.
        problems: what is wrong, with the option to change; empty where nothing is.
    """

    users: int
    active: float
    kl: float
    accuracy: float
    swapped: float
    unknown: float
    by_length: dict[int, float]
    problems: tuple[str, ...]

    def __str__(self) -> str:
        lengths = ", ".join(f"{length}: {value:.3f}" for length, value in self.by_length.items())
        lines = [
            f"users {self.users}   active units {self.active:.2f}   kl {self.kl:.3f} nats",
            f"accuracy {self.accuracy:.3f}   answers turned round {self.swapped:.3f}   no answers {self.unknown:.3f}",
            f"by number of answers: {lengths}",
        ]
        return "\n".join([*lines, *self.problems])


def diagnose(
    model: RewardModel,
    data: PreferenceData,
    *,
    context: int = 8,
    lengths: Sequence[int] = (1, 2, 4, 8),
    seed: int = 0,
) -> Diagnosis:
    """Look at how much a latent reward knows of users whom it was not fitted to; warns of a collapse.

    Of every user some comparisons are read, and all others are predicted. A comparison that a user gave twice counts once.

    Args:
        model: with a latent head.
        data: comparisons of users (best of other users than those of the fit) as annotators.
        context: comparisons that are read.
        lengths: numbers of comparisons for the curve; those above `context` are left out.
        seed: of the choice.

    Raises:
        ValueError: nobody has more than `context` comparisons.
    """
    head = latent_of(model)
    if context < 1:
        raise ValueError(f"context must be at least 1, got {context}")
    single = _once(data)
    sets = {name: rows for name, rows in user_sets(single).items() if len(rows) > context}
    if not sets:
        raise ValueError(
            f"nobody has more than {context} different comparisons, of which {context} are read and others predicted; use a "
            "smaller context="
        )
    draw = np.random.default_rng(seed)
    mixed = {name: draw.permutation(rows) for name, rows in sets.items()}

    def some(start: int, stop: int | None) -> PreferenceData:
        return single.select(np.concatenate([rows[start:stop] for rows in mixed.values()]).astype(np.int64))

    targets, read = some(context, None), some(0, context)
    accuracy = float(held_out_hits(model, read, targets).mean())
    swapped = float(held_out_hits(model, read, targets, swapped=True).mean())
    unknown = float(held_out_hits(model, some(0, 0), targets).mean())
    fixed = head.comparisons is not None
    curve = {
        length: float(held_out_hits(model, some(0, length), targets).mean())
        for length in sorted(set(lengths))
        if 0 < length <= context and (not fixed or length == head.comparisons)
    }
    mean, log_variance = stacked_posteriors(infer_users(model, read))
    with torch.no_grad():
        kl = float(head.kl(mean, log_variance).sum(-1).mean())
    spread = mean.var(0, correction=0).double().cpu().numpy()
    active = float((spread > ACTIVE).mean())
    problems = _problems(active, accuracy - swapped)
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    return Diagnosis(
        users=len(sets),
        active=active,
        kl=kl,
        accuracy=accuracy,
        swapped=swapped,
        unknown=unknown,
        by_length=curve,
        problems=problems,
    )


def _problems(active: float, cost: float) -> tuple[str, ...]:
    found = []
    if active == 0:
        found.append(
            "posterior collapse: no number of the user vector changes with the user; lower beta, or use anneal= of "
            "fit_latent"
        )
    if cost < SWAP:
        found.append(
            f"the users' answers do not matter: turned round they cost {cost:.3f} of accuracy; lower beta, read longer "
            "contexts, or look whether these users differ at all"
        )
    return tuple(found)


def _once(data: PreferenceData) -> PreferenceData:
    """The same comparisons, each once for every user."""
    rows: list[int] = []
    seen: set[tuple[str | None, frozenset[int]]] = set()
    names: Sequence[str | None] = data.annotators or [None] * len(data)
    for row, who in enumerate(names):
        key = (who, frozenset((int(data.first[row]), int(data.second[row]))))
        if key not in seen:
            seen.add(key)
            rows.append(row)
    chosen: NDArray[np.int64] = np.asarray(rows, np.int64)
    return replace(data.select(chosen))
