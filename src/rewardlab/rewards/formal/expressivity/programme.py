"""One linear programme decides whether numbers that are linear in features can order some policies; where they cannot, its
dual says why.

With features that are discounted visits this is the test for a Markov reward (Abel et al. 2021); with long-run visits, for a
limit average; with the probabilities of trajectories, for any function of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require
from rewardlab.functional import tabular
from rewardlab.rewards.formal.expressivity.tasks import PolicyOrder

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess

Floats = NDArray[np.float64]
MARGIN = 1e-6
"""A margin up to this, with weights in [-1, 1] and features that sum to 1, counts as none."""
ROUNDING = 1e-9
"""What may be left where features cancel."""


@dataclass(frozen=True)
class Fit:
    """What the programme found.

    Args:
        margin: the largest gap between strictly ordered policies that weights in [-1, 1] can make.
        weights: float64[feature], those weights.
        certificate: (better, worse, weight) of strict pairs and ties whose feature differences cancel; weights of strict
            pairs are positive and sum to 1. Empty where the order can be made.
        residual: what is left where they cancel, summed over features; at most `MARGIN` in an honest certificate.
    """

    margin: float
    weights: Floats
    certificate: tuple[tuple[int, int, float], ...]
    residual: float

    @property
    def possible(self) -> bool:
        """Whether the order can be made."""
        return self.margin > MARGIN

    @property
    def impossible(self) -> bool:
        """Whether the certificate cancels up to rounding; between the two a margin is too small to tell."""
        return self.margin <= MARGIN and self.residual <= ROUNDING


def fit_order(features: Floats, order: PolicyOrder) -> Fit:
    """Find weights whose sums over features order policies as asked, by as wide a margin as can be.

    Source: Abel et al. 2021, "On the Expressivity of Markov Reward", algorithm 1 (linear programme); Farkas' lemma.

    Args:
        features: float64[policy, feature].
        order: strict pairs and ties.
    """
    optimize = require("scipy.optimize", extra="control", why="the test for a Markov reward")
    strict = np.array([features[better] - features[worse] for better, worse in order.strict])
    ties = np.array([features[left] - features[right] for left, right in order.ties]).reshape(-1, features.shape[1])
    count = features.shape[1]
    result = optimize.linprog(
        np.r_[np.zeros(count), -1.0],
        A_ub=np.column_stack([-strict, np.ones(len(strict))]),
        b_ub=np.zeros(len(strict)),
        A_eq=np.column_stack([ties, np.zeros(len(ties))]) if len(ties) else None,
        b_eq=np.zeros(len(ties)) if len(ties) else None,
        bounds=[(-1.0, 1.0)] * count + [(0.0, 1.0)],
        method="highs",
    )
    if result.status != 0:
        raise ArithmeticError(f"the linear programme did not finish: {result.message}")
    margin = float(result.x[-1])
    if margin > MARGIN:
        return Fit(margin, result.x[:-1], (), 0.0)
    # weights of the pairs that cancel: what the dual of the programme holds, brought to a sum of 1
    weights = np.maximum(-result.ineqlin.marginals, 0.0)
    equal = result.eqlin.marginals if len(ties) else np.zeros(0)
    total = weights.sum()
    if total <= 0:
        raise ArithmeticError("the linear programme gave no certificate")
    weights, equal = weights / total, equal / total
    residual = min(
        float(np.abs(weights @ strict + sign * (equal @ ties if len(ties) else 0.0)).sum()) for sign in (1.0, -1.0)
    )
    sign = 1.0 if np.abs(weights @ strict + (equal @ ties if len(ties) else 0.0)).sum() <= residual else -1.0
    certificate = [(*pair, float(weight)) for pair, weight in zip(order.strict, weights, strict=True) if weight > 1e-9]
    certificate += [
        (*pair, float(sign * weight)) for pair, weight in zip(order.ties, equal, strict=True) if abs(weight) > 1e-9
    ]
    return Fit(margin, result.x[:-1], tuple(certificate), residual)


@dataclass(frozen=True)
class MarkovVerdict:
    """Whether an order of policies has a Markov reward.

    Args:
        expressible: whether there is one, on this set of policies and at this discount.
        discount: the discount; the first at which there is one, where several were tried.
        rewards: float64[S, A], the reward found, or None.
        residual: what is left of the certificate's visits where they cancel; rounding.
        margin: the smallest gap that it makes between strictly ordered policies, for rewards within [-1, 1] and returns
            times (1 - discount).
        certificate: (better, worse, weight): pairs whose discounted visits cancel, or empty.
        margins: discount -> margin, for every discount that was tried.
        order: what was asked.
    """

    expressible: bool
    discount: float
    rewards: Floats | None
    margin: float
    residual: float
    certificate: tuple[tuple[int, int, float], ...]
    margins: dict[float, float]
    order: PolicyOrder

    def explain(self) -> str:
        """In words: the reward, or the policies that rule every reward out."""
        tried = ", ".join(f"{discount:g}" for discount in self.margins)
        if self.expressible:
            return f"a Markov reward orders these {len(self.order.policies)} policies at discount {self.discount:g}"
        names, strict = self.order.names, set(self.order.strict)
        lines = [
            f"no Markov reward orders these {len(self.order.policies)} policies at discount {tried}. Whatever the reward,"
        ]
        for better, worse, weight in self.certificate:
            what = "should be above 0" if (better, worse) in strict else "should be 0"
            lines.append(f"  {weight:+.3g} x (return of {names[better]} - return of {names[worse]}), which {what},")
        lines.append(f"add up to 0, because their discounted visits do (at discount {self.discount:g}).")
        return "\n".join(lines)


def markov_expressible(order: PolicyOrder, *, discount: float | Sequence[float] | None = None) -> MarkovVerdict:
    """Decide whether a reward of transitions orders policies as asked, and return it or the reason why none does.

    The answer holds for the given policies and discounts. That there is none for these policies rules out one for any larger
    set, at that discount; that there is one says nothing of policies that were not given.

    Args:
        order: the policies and their order, or a set of acceptable ones.
        discount: in [0, 1), or several to try; that of the process for None.

    Source: Abel et al. 2021, "On the Expressivity of Markov Reward" (NeurIPS 2021).
    """
    mdp = order.mdp
    tried = [mdp.discount] if discount is None else [discount] if isinstance(discount, (int, float)) else list(discount)
    if not tried or not all(0 <= one < 1 for one in tried):
        raise ValueError(f"discounts must be in [0, 1), at least one, got {discount}")
    margins: dict[float, float] = {}
    fit = None
    for share in tried:
        fit = fit_order(visit_features(order, share).reshape(len(order.policies), -1), order)
        margins[share] = fit.margin
        if fit.possible:
            rewards = fit.weights.reshape(mdp.states, mdp.actions) * ~mdp.terminal[:, None]
            _confirm(mdp, order, rewards, share)
            return MarkovVerdict(True, share, rewards, fit.margin, 0.0, (), margins, order)
    assert fit is not None
    if not fit.impossible:
        raise ArithmeticError(
            f"the widest margin at discount {tried[-1]:g} is {fit.margin:.1e}, too small to tell from rounding; leave out "
            "policies that are nearly the same, or take a smaller discount"
        )
    return MarkovVerdict(False, tried[-1], None, fit.margin, fit.residual, fit.certificate, margins, order)


def visit_features(order: PolicyOrder, discount: float) -> Floats:
    """Discounted visits float64[policy, S, A] times (1 - discount); 0 in terminal states, where nothing can be earned."""
    mdp = order.mdp
    visits = tabular.occupancy(mdp.transitions, order.policies, mdp.initial, discount)
    features: Floats = (1 - discount) * visits * ~mdp.terminal[:, None]
    return features


def _confirm(mdp: MarkovDecisionProcess, order: PolicyOrder, rewards: Floats, discount: float) -> None:
    """Evaluate the policies under the reward that was found, by another route than the one that found it."""
    values = tabular.evaluate_policy(mdp.transitions, rewards, order.policies, discount) @ mdp.initial * (1 - discount)
    for better, worse in order.strict:
        if values[better] - values[worse] <= MARGIN / 2:
            raise ArithmeticError(f"the reward found does not put {order.names[better]} above {order.names[worse]}")
    for left, right in order.ties:
        if abs(values[left] - values[right]) > MARGIN / 2:
            raise ArithmeticError(f"the reward found does not tie {order.names[left]} and {order.names[right]}")
