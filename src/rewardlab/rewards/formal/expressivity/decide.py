"""Which formalisms can order given policies as asked, where that can be decided, and the least that can.

On finitely many policies most formalisms reduce to one linear programme each. A "no" holds for every larger set of policies
too; a "yes" is for the given ones. Where neither can be shown, the verdict is None and says what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional import tabular
from rewardlab.rewards.formal.expressivity.formalisms import FORMALISMS, contains, formalism
from rewardlab.rewards.formal.expressivity.programme import Fit, fit_order, markov_expressible, visit_features
from rewardlab.rewards.formal.expressivity.tasks import PolicyOrder

Floats = NDArray[np.float64]
SAME = 1e-9
PREFIXES = 20_000


@dataclass(frozen=True)
class Verdict:
    """Whether a formalism can state a task.

    Args:
        formalism: its short name.
        expressible: True, False, or None where this cannot be decided.
        reason: in words.
        evidence: the reward, the weights or the certificate, or None.
    """

    formalism: str
    expressible: bool | None
    reason: str
    evidence: Any = None


def expressible(task: PolicyOrder, formalism_name: str, *, discount: float | None = None, steps: int = 4) -> Verdict:
    """Decide whether a formalism can order the policies of a task as asked.

    Args:
        task: policies of a finite process and their order; see `PolicyOrder`.
        formalism_name: short name of one of the seventeen, such as "MR", "RM" or "GOMORL".
        discount: for the formalisms that have one; that of the process for None.
        steps: how far trajectories are followed for "RM", "FTR", "INMR" and "IMORL".

    Returns:
        The verdict, for these policies and this discount.

    Raises:
        TypeError: the task is no `PolicyOrder`.
        ValueError: the formalism is unknown.
    """
    if not isinstance(task, PolicyOrder):
        raise TypeError(
            f"a task is a PolicyOrder, got {type(task).__name__}; build one with PolicyOrder.tiers(mdp, policies, tiers), "
            ".pairs(...), .acceptable(...) or .of(objective, mdp, policies)"
        )
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    short = formalism(formalism_name).short
    share = task.mdp.discount if discount is None else discount
    if short == "MR":
        verdict = markov_expressible(task, discount=share)
        return Verdict(short, verdict.expressible, verdict.explain(), verdict)
    if short == "LAR":
        chain = tabular.stationary_distribution(task.mdp.transitions, task.policies, task.mdp.initial)
        long_run = chain[..., None] * task.policies * ~task.mdp.terminal[:, None]
        return _linear(short, long_run.reshape(len(chain), -1), task, "long-run visits")
    if short == "RRL":
        return _linear(short, _regularised_features(task, share), task, "visits to states and action distributions")
    if short in ("RM", "FTR", "INMR", "IMORL"):
        return _by_trajectories(short, task, steps)
    if short == "LTL":
        return _logic(task, share)
    features = task.policies if short in ("FPR", "PO") else visit_features(task, share)
    what = (
        "they are one policy"
        if short in ("FPR", "PO")
        else "no trajectory tells them apart (their discounted visits agree)"
    )
    return _distinct(short, features.reshape(len(features), -1), task, what)


def suggest(task: PolicyOrder, *, discount: float | None = None, steps: int = 4) -> list[Verdict]:
    """The least formalisms that can state a task: each can, and none that it contains is known to.

    Args:
        task: policies and their order.
        discount: as for `expressible`.
        steps: as for `expressible`.
    """
    verdicts = {one.short: expressible(task, one.short, discount=discount, steps=steps) for one in FORMALISMS}
    able = [short for short, verdict in verdicts.items() if verdict.expressible]
    least: list[Verdict] = []
    for short in able:
        below = [other for other in able if contains(short, other) and not contains(other, short)]
        earlier = [other for other in least if contains(short, other.formalism)]
        if not below and not earlier:  # of equivalent ones the first
            least.append(verdicts[short])
    return least


def _linear(short: str, features: Floats, task: PolicyOrder, what: str) -> Verdict:
    fit = fit_order(features, task)
    if fit.possible:
        return Verdict(short, True, f"weights of {what} order the policies, by a margin of {fit.margin:.3g}", fit)
    if not fit.impossible:
        return Verdict(short, None, f"the widest margin is {fit.margin:.1e}, too small to tell from rounding", fit)
    return Verdict(short, False, _cancel(fit, task, what), fit)


def _cancel(fit: Fit, task: PolicyOrder, what: str) -> str:
    pairs = ", ".join(
        f"{weight:+.3g} x ({task.names[better]} over {task.names[worse]})" for better, worse, weight in fit.certificate
    )
    return f"the values are linear in {what}, and those of {pairs} cancel"


def _regularised_features(task: PolicyOrder, share: float) -> Floats:
    """Visits to state and action, and to each distribution over actions: a regulariser is any function of the latter."""
    visits = visit_features(task, share)
    rows = np.round(task.policies, 12).reshape(-1, task.mdp.actions)
    _, number = np.unique(rows, axis=0, return_inverse=True)
    number = number.reshape(task.policies.shape[:2])
    shapes = np.zeros((len(visits), int(number.max()) + 1))
    np.add.at(shapes, (np.arange(len(visits))[:, None], number), visits.sum(-1))
    return np.column_stack([visits.reshape(len(visits), -1), shapes])


def _distinct(short: str, features: Floats, task: PolicyOrder, what: str) -> Verdict:
    for better, worse in np.argwhere(task.above()).tolist():
        if np.abs(features[better] - features[worse]).max() <= SAME:
            reason = f"{task.names[better]} should be better than {task.names[worse]}, and {what}"
            return Verdict(short, False, reason, (better, worse))
    return Verdict(short, True, "every two policies that differ in rank differ in what it sees", None)


def _by_trajectories(short: str, task: PolicyOrder, steps: int) -> Verdict:
    """Linear in the probabilities of trajectories; exact where every trajectory is over after these steps."""
    law, over = prefix_law(task, steps)
    fit = fit_order(law, task)
    if fit.possible:
        return Verdict(short, True, f"weights of the first {steps} steps order the policies, by {fit.margin:.3g}", fit)
    visits = visit_features(task, task.mdp.discount).reshape(len(law), -1)
    same = _distinct(short, visits, task, "no trajectory tells them apart")
    if same.expressible is False:
        return same
    if over and fit.impossible:
        return Verdict(short, False, _cancel(fit, task, "the probabilities of trajectories"), fit)
    reason = f"the first {steps} steps of trajectories do not suffice, and they go on; raise steps="
    return Verdict(short, None, reason, fit)


def prefix_law(task: PolicyOrder, steps: int) -> tuple[Floats, bool]:
    """Probability of each beginning of a trajectory under each policy, float64[policy, beginning], and whether all are over.

    Raises:
        ValueError: there are too many beginnings.
    """
    mdp = task.mdp
    still = mdp.terminal | _idle(mdp.transitions)
    going = [(int(state), np.full(len(task.policies), mdp.initial[state])) for state in np.flatnonzero(mdp.initial)]
    over: list[Floats] = []
    for _ in range(steps):
        longer = []
        for state, mass in going:
            if still[state]:
                over.append(mass)
                continue
            for action, following in np.argwhere(mdp.transitions[state] > 0).tolist():
                more = mass * task.policies[:, state, action] * mdp.transitions[state, action, following]
                if more.any():
                    longer.append((following, more))
        if len(longer) > PREFIXES:
            raise ValueError(f"there are more than {PREFIXES} beginnings of {steps} steps; lower steps=")
        going = longer
    columns = [*over, *(mass for _, mass in going)]
    return np.stack(columns, 1), all(still[state] for state, _ in going)


def _idle(transitions: Floats) -> NDArray[np.bool_]:
    """States with one action in effect that lead to themselves: nothing that is decided there shows."""
    count, actions = transitions.shape[:2]
    return (transitions[np.arange(count), :, np.arange(count)] == 1).all(1) & (actions == 1)


def _logic(task: PolicyOrder, share: float) -> Verdict:
    same = _distinct(
        "LTL", visit_features(task, share).reshape(len(task.policies), -1), task, "no trajectory tells them apart"
    )
    if same.expressible is False:
        return same
    sure = (task.mdp.transitions.max(-1) == 1).all() and task.mdp.initial.max() == 1
    certain = np.flatnonzero((task.policies.max(-1) == 1).all(-1)) if sure else np.zeros(0, dtype=int)
    beats = task.above()
    for middle in certain:
        above, below = certain[beats[certain, middle]], certain[beats[middle, certain]]
        if len(above) and len(below):
            names = [task.names[index] for index in (above[0], middle, below[0])]
            reason = (
                f"each of {', '.join(names)} makes one trajectory for sure, so a formula has probability 0 or 1 there, "
                "which are two ranks, and three are asked for"
            )
            return Verdict("LTL", False, reason, (int(above[0]), int(middle), int(below[0])))
    return Verdict(
        "LTL", None, "whether some formula does is not decided here; try one with TemporalLogic(...).order", None
    )
