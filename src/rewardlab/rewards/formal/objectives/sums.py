"""Objectives that are one number, linear in what happens or nearly so: Markov rewards, limit average, discount-free
episodes, regularised rewards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from rewardlab.functional import tabular
from rewardlab.rewards.formal.objectives.base import (
    Floats,
    NotAReward,
    Objective,
    check_discount,
    expected_return,
    expected_table,
    magnitude,
    reward_table,
    scalar,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rewardlab.environments.tabular import MarkovDecisionProcess
    from rewardlab.rewards.base import Reward
    from rewardlab.types import Trajectory


@dataclass(frozen=True, eq=False)
class Markov(Objective):
    """The expected discounted sum of a reward of transitions.

    Args:
        rewards: float[S], [S, A] or [S, A, S]; those of the process for None.
        discount: in [0, 1); that of the process for None.
    """

    rewards: Any = None
    discount: float | None = None
    formalism: ClassVar[str] = "MR"

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """Expected discounted return."""
        return expected_return(mdp, policy, self.rewards, self.discount)

    def scale(self, mdp: MarkovDecisionProcess) -> float:  # noqa: D102 - documented on Objective
        return magnitude(mdp, self.rewards, self.discount)

    def solve(self, mdp: MarkovDecisionProcess) -> Floats:
        """An optimal policy float64[S, A]."""
        table = expected_table(mdp, self.rewards)
        return mdp.with_rewards(table, discount=check_discount(mdp, self.discount)).optimal_policy()

    def to_reward(self, mdp: MarkovDecisionProcess, **options: Any) -> Reward:
        """The table as a reward of transitions, for state numbers or with `discretise=`.

        A table over next states too is kept as one, so that utilities of its return are right; options are then not taken.
        """
        table = reward_table(mdp, self.rewards)
        if (table != table[:, :, :1]).any():
            from rewardlab.rewards.formal.objectives.rewards import TransitionTable

            rows = tuple(tuple(map(tuple, row)) for row in table.tolist())
            return TransitionTable(values=rows, **options)
        from rewardlab.rewards.table import TableReward

        return TableReward(values=tuple(map(tuple, expected_table(mdp, self.rewards).tolist())), **options)


@dataclass(frozen=True, eq=False)
class LimitAverage(Objective):
    """The long-run average of a reward: no discount, and what happens at first does not matter.

    On a finite process the limit exists for every stationary policy. Where the chain has several recurrent classes it
    depends on the start (`per_start`); where it is periodic it is the average over the period.

    Args:
        rewards: float[S], [S, A] or [S, A, S]; those of the process for None.
    """

    rewards: Any = None
    formalism: ClassVar[str] = "LAR"

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """Average reward from the law of the first state."""
        return float(mdp.initial @ self.per_start(mdp, policy))

    def scale(self, mdp: MarkovDecisionProcess) -> float:  # noqa: D102 - documented on Objective
        return float(np.abs(expected_table(mdp, self.rewards)).max())

    def per_start(self, mdp: MarkovDecisionProcess, policy: Floats) -> Floats:
        """Average reward from each start state: float64[S]; different numbers show a multichain process."""
        return self.differential(mdp, policy)[0]

    def differential(self, mdp: MarkovDecisionProcess, policy: Floats) -> tuple[Floats, Floats]:
        """Average reward and differential values from each state, float64[S] both: the target of R-learning.

        The values are what is earned above the average before the start is forgotten, `sum_t E[r_t - average]`.

        Source: Puterman 1994, appendix A and section 8.2 (the deviation matrix); Schwartz 1993 (R-learning).
        """
        policy = mdp.policy_table(policy)
        chain = tabular.policy_transitions(mdp.transitions, policy)
        earned = (policy * expected_table(mdp, self.rewards)).sum(-1)
        limit = tabular.limiting_matrix(chain)
        average = limit @ earned
        values: Floats = np.linalg.solve(np.eye(mdp.states) - chain + limit, earned - average)
        return average, values - limit @ values

    def estimate(self, trajectories: Sequence[Trajectory], *, skip: int = 0) -> float:
        """The average in sampled trajectories.

        Args:
            trajectories: with rewards.
            skip: steps at the beginning of each that are left out.
        """
        rewards = np.concatenate([trajectory.rewards[skip:] for trajectory in trajectories] or [np.zeros(0)])
        if not rewards.size or not np.isfinite(rewards).all():
            raise ValueError(f"a limit average needs finite rewards after the first {skip} steps, got {rewards[:5]}")
        return float(rewards.mean())

    def to_reward(self, mdp: MarkovDecisionProcess, **options: Any) -> Reward:
        """The mean over the steps of a trajectory; it comes near the limit as trajectories grow."""
        from rewardlab.rewards.formal.objectives.rewards import AverageReward

        return AverageReward(reward=Markov(self.rewards).to_reward(mdp, **options))


@dataclass(frozen=True, eq=False)
class Episodic(Objective):
    """The expected sum without a discount, for tasks that end.

    Args:
        rewards: float[S], [S, A] or [S, A, S]; those of the process for None.
    """

    rewards: Any = None
    formalism: ClassVar[str] = "FTR"

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """Expected sum until the end.

        Raises:
            ValueError: the policy may never end; a state that it then keeps to is named.
        """
        policy = mdp.policy_table(policy)
        chain = tabular.policy_transitions(mdp.transitions, policy)
        reached = mdp.initial > 0
        for _ in range(mdp.states):
            reached |= (reached.astype(float) @ chain) > tabular.POSITIVE
        for states in tabular.recurrent_classes(chain):
            if reached[states[0]] and not mdp.terminal[states].all():
                raise ValueError(
                    f"the policy may never end: it keeps to states {states.tolist()}, from which no terminal state is "
                    "reached. A sum without a discount needs policies that end; use Markov with a discount, or LimitAverage"
                )
        live = np.flatnonzero(reached & ~mdp.terminal)
        earned = (policy * expected_table(mdp, self.rewards)).sum(-1)
        sums = np.linalg.solve(np.eye(len(live)) - chain[np.ix_(live, live)], earned[live])
        return float(mdp.initial[live] @ sums)

    def to_reward(self, mdp: MarkovDecisionProcess, **options: Any) -> Reward:
        """The table as a reward of transitions: a trajectory's score is its plain sum."""
        return Markov(self.rewards).to_reward(mdp, **options)


@dataclass(frozen=True, eq=False)
class Regularised(Objective):
    """The expected discounted sum of `reward - strength * F[policy in this state]`.

    Args:
        strength: at least 0.
        kind: "entropy" rewards it (F is minus the entropy); "kl" keeps near a prior policy; "function" takes any F.
        prior: float64[S, A], for "kl".
        function: of the chances float64[A] of the actions in a state, to a number; for "function".
        rewards: float[S], [S, A] or [S, A, S]; those of the process for None.
        discount: in [0, 1); that of the process for None.

    Source: Ziebart 2010 (maximum entropy); Geist et al. 2019, "A Theory of Regularized Markov Decision Processes".
    """

    strength: float
    kind: Literal["entropy", "kl", "function"] = "entropy"
    prior: Any = None
    function: Callable[[Floats], float] | None = None
    rewards: Any = None
    discount: float | None = None
    formalism: ClassVar[str] = "RRL"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.strength) and self.strength >= 0):
            raise ValueError(f"strength must be at least 0, got {self.strength}")
        if self.kind not in ("entropy", "kl", "function"):
            raise ValueError(f'kind must be "entropy", "kl" or "function", got {self.kind!r}')
        if (self.kind == "function") != (self.function is not None):
            raise ValueError('a function is needed for kind="function", and for nothing else')
        if (self.kind == "kl") != (self.prior is not None):
            raise ValueError('a prior policy is needed for kind="kl", and for nothing else')

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """Expected discounted sum of reward and bonus; minus infinity where the prior forbids what the policy does."""
        policy = mdp.policy_table(policy)
        share = check_discount(mdp, self.discount)
        visits = tabular.occupancy(mdp.transitions, policy, mdp.initial, share) * ~mdp.terminal[:, None]
        table = expected_table(mdp, self.rewards)
        if self.function is not None:
            penalty = np.array([scalar(self.function(row), f"the chances {row.tolist()}", "F") for row in policy])
            return float((visits * (table - self.strength * penalty[:, None])).sum())
        seen = visits > 0
        forbidden = seen & (self._prior(mdp) == 0)
        if forbidden.any():
            return -np.inf
        logs = np.where(
            seen, np.log(np.where(seen, policy / np.where(self._prior(mdp) > 0, self._prior(mdp), 1), 1)), 0
        )
        return float((visits * (table - self.strength * logs)).sum())

    def solve(self, mdp: MarkovDecisionProcess) -> Floats:
        """The optimal policy float64[S, A], by soft value iteration; needs a strength above 0."""
        if not self.strength:
            return Markov(self.rewards, self.discount).solve(mdp)
        if self.function is not None:
            raise ValueError('kind="function" has no known solution; use "entropy" or "kl"')
        prior = self._prior(mdp)
        table = expected_table(mdp, self.rewards) + self.strength * np.log(np.maximum(prior, 1e-300))
        if self.kind == "entropy":  # what is over has no entropy to earn
            table = table - self.strength * np.log(mdp.actions) * mdp.terminal[:, None]
        share = check_discount(mdp, self.discount)
        _, actions = tabular.value_iteration(mdp.transitions, table, share, temperature=self.strength)
        weights = np.exp((actions - actions.max(-1, keepdims=True)) / self.strength)
        policy: Floats = weights / weights.sum(-1, keepdims=True)
        return policy

    def to_reward(self, mdp: MarkovDecisionProcess, **options: Any) -> Reward:
        """Refused: the bonus depends on the policy."""
        raise NotAReward(
            "what a regularised objective pays for an action depends on the policy's own probability, so it is no reward of "
            "transitions; give the learner the entropy coefficient, or the strength of the divergence to the prior"
        )

    def _prior(self, mdp: MarkovDecisionProcess) -> Floats:
        if self.prior is None:
            return np.ones((mdp.states, mdp.actions))
        return mdp.policy_table(self.prior)
