"""Objectives of automata: the probability that a formula of temporal logic holds, and the return of a reward machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rewardlab.functional import tabular
from rewardlab.rewards.formal.objectives.base import Floats, NotAReward, Objective, check_discount

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess
    from rewardlab.rewards.base import Reward


@dataclass(frozen=True, eq=False)
class TemporalLogic(Objective):
    """The probability that a formula holds, exactly, on endless words or on traces that end.

    Args:
        formula: its text.
        labels: which propositions hold on a transition, as for `RewardMachine`.
        finite: whether a trajectory is a trace that ends in a terminal state; else the word goes on for ever, and the
            formula must be of the kind that `long_run_probability` reads.
    """

    formula: str
    labels: Any
    finite: bool = False
    formalism: ClassVar[str] = "LTL"

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """Probability from the first state."""
        from rewardlab.rewards.formal.probabilities import long_run_probability, trace_probability

        policy = mdp.policy_table(policy)
        if self.finite:
            return trace_probability(mdp, policy, self.formula, self.labels).satisfied
        return long_run_probability(mdp, policy, self.formula, self.labels)

    def scale(self, mdp: MarkovDecisionProcess) -> float:  # noqa: D102 - documented on Objective
        return 1.0

    def to_reward(self, mdp: MarkovDecisionProcess, **options: Any) -> Reward:
        """1 for a trajectory that satisfies the formula; for endless words there is no trajectory to look at."""
        if not self.finite:
            raise NotAReward(
                "whether an endless word satisfies a formula shows on no stored trajectory; use finite=True"
            )
        from rewardlab.rewards.formal.ltlf import LTLf

        return LTLf(self.formula, labels=self.labels, **options)


@dataclass(frozen=True, eq=False)
class MachineReturn(Objective):
    """The expected discounted sum of what a reward machine pays, for policies that do not see the machine.

    Args:
        machine: a `RewardMachine` with a labelling.
        discount: in [0, 1); that of the process for None.
    """

    machine: Any
    discount: float | None = None
    formalism: ClassVar[str] = "RM"

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """Expected return, on the product of process and machine."""
        product = self.machine.product(mdp)
        lifted = np.repeat(mdp.policy_table(policy), len(self.machine.states), axis=0)
        share = check_discount(mdp, self.discount)
        values = tabular.evaluate_policy(product.transitions, product.rewards, lifted, share)
        return float(product.initial @ values)

    def to_reward(self, mdp: MarkovDecisionProcess, **options: Any) -> Reward:
        """The machine itself."""
        reward: Reward = self.machine
        return reward
