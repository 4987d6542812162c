"""Credit that lets an implicit process reward learn first, or that goes down to single tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rewardlab.functional.segments import ragged, split
from rewardlab.learning.implicit import ImplicitProcessReward
from rewardlab.training.credit.base import Advantages, group_ids
from rewardlab.training.credit.mixtures import EpisodePlusStep
from rewardlab.training.credit.steps import Steps
from rewardlab.types import Scores, Trajectory


@dataclass(frozen=True, kw_only=True)
class ImplicitCredit:
    """`EpisodePlusStep` on step values of a reward that has learned from the batch already, or on values of tokens.

    Args:
        reward: made with `lag=False`, `granularity="token"`, or both.
        rule: how values become advantages.
    """

    reward: ImplicitProcessReward
    rule: EpisodePlusStep

    @property
    def needs_groups(self) -> bool:
        """As the rule says."""
        return self.rule.needs_groups

    def __call__(self, trajectories: Sequence[Trajectory], scores: Scores) -> Advantages:
        """Assign credit."""
        if not self.reward.lag:
            self.reward.learn(trajectories, scores)
            known = np.flatnonzero(scores.scored).tolist()
            rows: list[Any] = [None] * len(trajectories)
            for index, row in zip(
                known, self.reward.step_values([trajectories[place] for place in known]), strict=True
            ):
                rows[index] = row
            scores = replace(scores, steps=rows)
        advantages = self.rule(trajectories, scores)
        if self.reward.granularity == "token":
            self._refine(trajectories, scores, advantages)
        return advantages

    def _refine(self, trajectories: Sequence[Trajectory], scores: Scores, advantages: Advantages) -> None:
        """Advantages of tokens by the same rule, with tokens in the place of steps."""
        usable = np.flatnonzero(scores.scored)
        chosen = [trajectories[index] for index in usable.tolist()]
        rows = self.reward.token_values(chosen)
        steps = Steps(
            usable=usable,
            layout=ragged(np.array([row.size for row in rows], dtype=np.int64)),
            values=np.concatenate([np.zeros(0), *rows]),
            groups=group_ids(trajectories)[usable],
            outcomes=scores.values[usable],
            terminated=np.array([entry.terminated for entry in chosen], dtype=np.bool_),
        )
        values, _ = self.rule.of_steps(steps)
        tokens = [
            np.zeros(0 if entry.tokens is None else int((entry.tokens.step >= 0).sum())) for entry in trajectories
        ]
        for index, row in zip(usable.tolist(), split(values, steps.layout), strict=True):
            tokens[index] = row
        advantages.tokens = tokens
