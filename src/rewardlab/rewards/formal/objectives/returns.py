"""Objectives of one return that is not averaged plainly: utilities of the return, risk measures, whole trajectories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rewardlab.rewards.formal.objectives.base import Floats, Objective, expected_return, magnitude, scalar
from rewardlab.rewards.formal.objectives.law import ReturnLaw, return_law, sampled_law
from rewardlab.rewards.formal.objectives.sums import Markov
from rewardlab.types import Trajectory

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess
    from rewardlab.rewards.base import Reward


@dataclass(frozen=True, eq=False, kw_only=True)
class ReturnObjective(Objective):
    """What objectives of the law of one return share.

    Args:
        rewards: float[S], [S, A] or [S, A, S]; those of the process for None.
        discount: in [0, 1]; that of the process for None. 1 where rewards cease.
        samples: estimate the law from so many trajectories; None computes it exactly.
        seed: of the sampling.
    """

    rewards: Any = None
    discount: float | None = None
    samples: int | None = None
    seed: int = 0

    def law(self, mdp: MarkovDecisionProcess, policy: Floats) -> ReturnLaw:
        """The law of the return of a policy."""
        share = mdp.discount if self.discount is None else self.discount
        if self.samples is None:
            return return_law(mdp, policy, [self.rewards], share)
        return sampled_law(mdp, policy, [self.rewards], share, samples=self.samples, seed=self.seed)

    def _trajectory_options(self, mdp: MarkovDecisionProcess, options: dict[str, Any]) -> dict[str, Any]:
        share = mdp.discount if self.discount is None else self.discount
        return {"reward": Markov(self.rewards).to_reward(mdp, **options), "discount": share}


@dataclass(frozen=True, eq=False)
class InnerNonlinear(ReturnObjective):
    """The expected utility of the return, `E f(G)`: risk attitudes, satisficing per trajectory.

    Args:
        function: of a return, to a number.
    """

    function: Callable[[float], float]
    formalism: ClassVar[str] = "INMR"

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """Expected utility.

        Raises:
            ValueError: the function is not defined at a return; the return is named.
        """
        law = self.law(mdp, policy)
        values = [
            scalar(self.function(float(value)), f"the return {value:g}", "the utility") for value in law.returns[:, 0]
        ]
        return float(law.probabilities @ values)

    def to_reward(self, mdp: MarkovDecisionProcess, **options: Any) -> Reward:
        """The utility of a trajectory's return."""
        from rewardlab.rewards.formal.objectives.rewards import UtilityReward

        return UtilityReward(function=self.function, **self._trajectory_options(mdp, options))


@dataclass(frozen=True, eq=False)
class Satisficing(ReturnObjective):
    """Enough is enough: `E min(G, enough)`, or `min(E G, enough)` where the mean is what must suffice.

    Args:
        enough: the return beyond which nothing is gained.
        inner: whether each trajectory must have enough, and not their mean.
    """

    enough: float
    inner: bool = True
    formalism: ClassVar[str] = "INMR"

    def __post_init__(self) -> None:
        if not np.isfinite(self.enough):
            raise ValueError(f"enough must be finite, got {self.enough}")
        if not self.inner:
            object.__setattr__(self, "formalism", "ONMR")

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """Expected return up to what is enough."""
        if not self.inner:
            return min(expected_return(mdp, policy, self.rewards, self.discount), self.enough)
        law = self.law(mdp, policy)
        return float(law.probabilities @ np.minimum(law.returns[:, 0], self.enough))

    def to_reward(self, mdp: MarkovDecisionProcess, **options: Any) -> Reward:
        """`min(G, enough)` of a trajectory; there is none where the mean must suffice."""
        from rewardlab.rewards.formal.objectives.rewards import SatisficingReward

        if not self.inner:
            return super().to_reward(mdp)
        return SatisficingReward(enough=self.enough, **self._trajectory_options(mdp, options))


@dataclass(frozen=True, eq=False)
class Entropic(ReturnObjective):
    """Entropic risk, `-1/aversion * log E exp(-aversion G)`: averse to risk above 0, seeking it below.

    Source: Howard and Matheson 1972, "Risk-Sensitive Markov Decision Processes".

    Args:
        aversion: not 0.
    """

    aversion: float
    formalism: ClassVar[str] = "INMR"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.aversion) and self.aversion != 0):
            raise ValueError(f"aversion must be finite and not 0, got {self.aversion}; without one, use Markov")

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """Certainty equivalent of the return."""
        law = self.law(mdp, policy)
        exponents = -self.aversion * law.returns[:, 0]
        top = exponents.max()
        return float(-(top + np.log(law.probabilities @ np.exp(exponents - top))) / self.aversion)

    def to_reward(self, mdp: MarkovDecisionProcess, **options: Any) -> Reward:
        """The exponential utility of a trajectory's return, whose expectation orders policies alike."""
        from rewardlab.rewards.formal.objectives.rewards import ExponentialUtility

        return ExponentialUtility(aversion=self.aversion, **self._trajectory_options(mdp, options))


@dataclass(frozen=True, eq=False)
class CVaR(ReturnObjective):
    """Mean of the worst share of returns. It depends on the law as a whole, and is no expected utility.

    Source: Rockafellar and Uryasev 2000, "Optimization of Conditional Value-at-Risk".

    Args:
        level: the share, strictly between 0 and 1.
    """

    level: float
    formalism: ClassVar[str] = "FTLR"

    def __post_init__(self) -> None:
        if not 0.0 < self.level < 1.0:
            raise ValueError(
                f"level of CVaR must be strictly between 0 and 1, got {self.level}; 1 is the mean (use Markov), and 0 the "
                "worst case, which no share of returns estimates"
            )

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """Mean of the worst `level` of the returns; an atom at the border counts in part."""
        returns, probabilities = self._sorted(mdp, policy)
        used = np.diff(np.minimum(np.cumsum(probabilities), self.level), prepend=0.0)
        return float(returns @ used / self.level)

    def threshold(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """The value at risk: the return below which the worst share lies."""
        returns, probabilities = self._sorted(mdp, policy)
        at = int(np.searchsorted(np.cumsum(probabilities), self.level - 1e-12))
        return float(returns[min(at, len(returns) - 1)])

    def to_reward(self, mdp: MarkovDecisionProcess, *, threshold: float | None = None, **options: Any) -> Reward:
        """What a trajectory gives to the mean of the tail, as `threshold - max(threshold - G, 0) / level`.

        Args:
            mdp: the process.
            threshold: a fixed value at risk; None takes that of the batch which is scored.
            options: of the table reward.
        """
        from rewardlab.rewards.formal.objectives.rewards import TailReward

        return TailReward(level=self.level, threshold=threshold, **self._trajectory_options(mdp, options))

    def _sorted(self, mdp: MarkovDecisionProcess, policy: Floats) -> tuple[Floats, Floats]:
        law = self.law(mdp, policy)
        order = np.argsort(law.returns[:, 0], kind="stable")
        return law.returns[order, 0], law.probabilities[order]


@dataclass(frozen=True, eq=False)
class MeanVariance(ReturnObjective):
    """`E G - weight * Var G`. Not monotone (a sure loss of what could be gained may look better) and *no* expected utility.

    Source: Mannor and Tsitsiklis 2011, "Mean-Variance Optimization in Markov Decision Processes".

    Args:
        weight: at least 0.
    """

    weight: float
    formalism: ClassVar[str] = "FTLR"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"weight must be at least 0, got {self.weight}")

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """Mean less weighted variance."""
        law = self.law(mdp, policy)
        mean = law.probabilities @ law.returns[:, 0]
        return float(mean - self.weight * (law.probabilities @ (law.returns[:, 0] - mean) ** 2))


@dataclass(frozen=True, eq=False)
class OuterNonlinear(Objective):
    """A function of the expected return, `f(E G)`, such as being as near to a target as can be.

    Args:
        function: of the expected return, to a number.
        rewards: float[S], [S, A] or [S, A, S]; those of the process for None.
        discount: in [0, 1); that of the process for None.
    """

    function: Callable[[float], float]
    rewards: Any = None
    discount: float | None = None
    formalism: ClassVar[str] = "ONMR"

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """The function of the expected return."""
        mean = expected_return(mdp, policy, self.rewards, self.discount)
        return scalar(self.function(mean), f"the expected return {mean:g}", "the function")

    def scale(self, mdp: MarkovDecisionProcess) -> float:  # noqa: D102 - documented on Objective
        return min(1.0, magnitude(mdp, self.rewards, self.discount))


@dataclass(frozen=True, eq=False)
class TrajectoryFunction(Objective):
    """The expectation of any function of a whole trajectory, exact for short ones and sampled for long ones.

    Args:
        function: of a `Trajectory` with states and actions as whole numbers, to a number.
        steps: limit on the length.
        samples: None goes through every trajectory of that length.
        seed: of the sampling.
    """

    function: Callable[[Trajectory], float]
    steps: int
    samples: int | None = None
    seed: int = 0
    formalism: ClassVar[str] = "FTR"
    most: ClassVar[int] = 200_000

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """Expectation under the policy.

        Raises:
            ValueError: the function gave no finite number (the trajectory is named), or there are too many trajectories.
        """
        if self.samples is not None:
            sampled = mdp.sample(policy, self.samples, steps=self.steps, seed=self.seed)
            return float(np.mean([self._value(trajectory) for trajectory in sampled]))
        return float(
            sum(share * self._value(trajectory) for share, trajectory in self._all(mdp, mdp.policy_table(policy)))
        )

    def to_reward(self, mdp: MarkovDecisionProcess, **options: Any) -> Reward:
        """The function as a reward of trajectories."""
        from rewardlab.rewards.functions import FunctionReward

        function = self.function

        def whole(trajectory: Trajectory) -> float:
            return function(trajectory)

        return FunctionReward(function=whole, name=getattr(function, "__name__", None), **options)

    def _value(self, trajectory: Trajectory) -> float:
        where = f"the trajectory of states {np.asarray(trajectory.observations).tolist()}"
        where += f" and actions {np.asarray(trajectory.actions).tolist()}"
        return scalar(self.function(trajectory), where, "the function")

    def _all(self, mdp: MarkovDecisionProcess, policy: Floats) -> list[tuple[float, Trajectory]]:
        """Every trajectory with its probability."""
        going: list[tuple[float, list[int], list[int]]] = [
            (float(mdp.initial[state]), [int(state)], []) for state in np.flatnonzero(mdp.initial)
        ]
        ended: list[tuple[float, list[int], list[int]]] = []
        for _ in range(self.steps):
            longer: list[tuple[float, list[int], list[int]]] = []
            for share, states, actions in going:
                joint = policy[states[-1], :, None] * mdp.transitions[states[-1]]
                for action, following in np.argwhere(joint > 0).tolist():
                    one = (share * float(joint[action, following]), [*states, following], [*actions, action])
                    (ended if mdp.terminal[following] else longer).append(one)
            if len(longer) + len(ended) > self.most:
                raise ValueError(f"there are more than {self.most} trajectories of {self.steps} steps; give samples=")
            going = longer
        return [(one[0], self._trajectory(mdp, one[1], one[2], False)) for one in going] + [
            (one[0], self._trajectory(mdp, one[1], one[2], True)) for one in ended
        ]

    @staticmethod
    def _trajectory(mdp: MarkovDecisionProcess, states: list[int], actions: list[int], ended: bool) -> Trajectory:
        return Trajectory(
            observations=np.array(states),
            actions=np.array(actions),
            rewards=mdp.rewards[states[:-1], actions],
            terminated=ended,
            truncated=not ended,
        )
