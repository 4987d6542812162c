"""What Agent-RLVR does with its attempts: imitate some successes, then prefer successes to failures, on the bare task."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rewardlab.environments.single_turn import SingleTurn
from rewardlab.training.credit.baselines import Group
from rewardlab.training.guidance import PairSet, weights_hash
from rewardlab.training.guidance.pairs import Source
from rewardlab.training.objectives.learner import Schedule
from rewardlab.training.objectives.policy_gradient import GRPO
from rewardlab.training.objectives.preference import DPO
from rewardlab.training.objectives.rows import Piece
from rewardlab.training.objectives.supervised import Supervised
from rewardlab.training.preferences import train_on_preferences
from rewardlab.training.warm_start import WarmStart
from rewardlab.types import Scores, Trajectory, group_indices


@dataclass(frozen=True, slots=True, kw_only=True)
class Imitation:
    """Supervised fine-tuning on successes; the paper's values, except the batch, which it does not give.

    Args:
        fraction: of the successes.
        source: which successes: "unguided" as in the paper, "guided" or "both".
        epochs: passes over them.
        steps: optimiser steps in place of `epochs`.
        batch_size: successes in each step.
        learning_rate: at its highest.
        schedule: of the learning rate.
    """

    fraction: float = 0.2
    source: Source = "unguided"
    epochs: int = 5
    steps: int | None = None
    batch_size: int = 16
    learning_rate: float = 1e-5
    schedule: Schedule = "cosine"

    def __post_init__(self) -> None:
        if not 0.0 < self.fraction <= 1.0:
            raise ValueError(f"fraction must be in (0, 1], got {self.fraction}")


@dataclass(kw_only=True)
class DPOWithLikelihood(DPO):
    """DPO that also raises the likelihood of the chosen attempt, which plain DPO may lower together with the rejected one's.

    Args:
        nll: weight of the negative log-likelihood of the chosen attempt, per token.

    The other options are those of `DPO`.
    """

    nll: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nll < 0:
            raise ValueError(f"nll must not be negative, got {self.nll}")

    def token_losses(self, logprobs: Tensor, piece: Piece) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of each pair, with the likelihood of its chosen side, on both of its rows."""
        losses, ratio, clipped = super().token_losses(logprobs, piece)
        chosen, mask = logprobs[0::2], piece.mask[0::2]
        likelihood = torch.where(mask, chosen, 0.0).sum(-1) / mask.sum(-1).clamp(min=1)
        weighted = piece.weight[0::2] * likelihood
        return losses - self.nll * weighted.repeat_interleave(2)[:, None], ratio, clipped


@dataclass(kw_only=True)
class Paired:
    """How pairs are learned from.

    Args:
        objective: a `DPO`; the paper gives its learning rate and not its beta.
        epochs: passes over the pairs.
        steps: optimiser steps in place of `epochs`.
        batch_size: pairs in each step.
    """

    objective: DPO = field(default_factory=lambda: DPO(learning_rate=1e-6, entropy=False))
    epochs: int = 1
    steps: int | None = None
    batch_size: int = 16


@dataclass(kw_only=True)
class Grouped:
    """A group-relative objective on the attempts, guided ones among them, in place of pairs.

    A guided attempt's ratio is taken to the probability that it had with its hint, and clipped by the objective.

    Args:
        objective: GRPO or another policy-gradient objective.
        credit: the baseline of groups.
        steps: updates.
        groups: groups in each.
    """

    objective: Any = field(default_factory=lambda: GRPO(learning_rate=1e-6, entropy=False))
    credit: Any = field(default_factory=Group)
    steps: int = 100
    groups: int = 8


def imitate(policy: Any, trajectories: Sequence[Trajectory], options: Imitation, *, seed: int = 0) -> dict[str, float]:
    """Imitate a share of some successes; the weights change in place.

    Raises:
        ValueError: there is no success to imitate.
    """
    usable = [
        one
        for one in trajectories
        if options.source == "both" or bool(one.info.get("guided")) == (options.source == "guided")
    ]
    if not usable:
        raise ValueError(
            f"there are no {options.source} successes to imitate; take more samples, easier tasks or another source"
        )
    order = np.random.default_rng([seed, 1]).permutation(len(usable))
    chosen = [usable[index] for index in order[: max(1, round(options.fraction * len(usable)))]]
    steps = options.steps or options.epochs * math.ceil(len(chosen) / options.batch_size)
    objective = Supervised(
        learning_rate=options.learning_rate, schedule=options.schedule, warmup=steps // 20, entropy=False
    )
    start = WarmStart(demonstrations=chosen, steps=steps, batch_size=options.batch_size, objective=objective)
    measured: dict[str, float] = {}
    for number in range(steps):
        measured = start.step(policy, SingleTurn, number, seed)
    return {"imitated": float(len(chosen)), "steps": float(steps), "loss": measured["loss"]}


def prefer(policy: Any, pairs: PairSet, options: Paired, *, seed: int = 0) -> dict[str, float]:
    """Learn from pairs, with the policy as it comes as the reference; the weights change in place.

    Returns:
        What the objective measured in the last step (`loss`, `accuracy`, `margin`, ...), `pairs`, `steps`, and `length_gap`:
        mean written tokens of the chosen less those of the rejected, since longer attempts are preferred without
        `length_normalise`.

    Raises:
        ValueError: there are no pairs, or the policy's weights are not those that the pairs name as their reference.
    """
    if len(pairs) == 0:
        raise ValueError("there are no pairs to learn from; take more samples or guidance")
    if pairs.policy_hash is not None and weights_hash(policy) != pairs.policy_hash:
        raise ValueError(
            f"the pairs name {pairs.policy_hash} as their reference, but the policy's weights are {weights_hash(policy)}; "
            "load the checkpoint that was fine-tuned in the same run, or build the pairs again"
        )
    steps = options.steps or options.epochs * math.ceil(len(pairs) / options.batch_size)
    result = train_on_preferences(
        policy,
        pairs.preferences,
        objective=copy.deepcopy(options.objective),  # each round begins with a fresh optimiser and its own reference
        epochs=math.ceil(steps * options.batch_size / len(pairs)) + 1,
        batch_size=options.batch_size,
        seed=seed,
        callbacks=[lambda metrics: metrics["step"] >= steps],
    )
    gap = float(np.mean([_written(one.chosen) - _written(one.rejected) for one in pairs.preferences]))
    return {**result.metrics[-1], "pairs": float(len(pairs)), "steps": float(steps), "length_gap": gap}


def regroup(
    policy: Any, trajectories: Sequence[Trajectory], scores: Scores, options: Grouped, *, seed: int = 0
) -> dict[str, float]:
    """Update by a group objective on attempts that are there; the weights change in place."""
    groups = group_indices(trajectories)
    measured: dict[str, float] = {}
    for number in range(options.steps):
        drawn = np.random.default_rng([seed, 3, number]).choice(
            len(groups), min(options.groups, len(groups)), replace=False
        )
        places = np.concatenate([groups[index] for index in drawn])
        batch, found = [trajectories[index] for index in places], scores.select(places)
        measured = options.objective.update(
            policy, batch, options.credit(batch, found), progress=number / options.steps
        )
    return {**measured, "steps": float(options.steps)}


def _written(trajectory: Trajectory) -> int:
    return 0 if trajectory.tokens is None else int((trajectory.tokens.step >= 0).sum())
