"""A counterexample that runs for every separation: a world, an objective that one formalism states, and what rules the
other out.

Four arguments are used, and each is computed, not quoted. *Linear*: values of the other formalism are linear in something
that every policy has (visits, long-run visits, probabilities of trajectories), and a linear programme finds policies for
which it cancels. *Tie*: for whatever reward the other formalism takes, two policies with the same expected return are built
that the objective does not tie. *Jump*: the objective ties a sequence of policies and leaps at its limit, where every value
of the other formalism is continuous. *Ranks* and *same*: a sure trajectory has probability 0 or 1, and equal laws tie.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional import tabular
from rewardlab.rewards.formal.expressivity import worlds
from rewardlab.rewards.formal.expressivity.decide import expressible
from rewardlab.rewards.formal.expressivity.formalisms import SEPARATED
from rewardlab.rewards.formal.expressivity.tasks import PolicyOrder

if TYPE_CHECKING:
    from rewardlab.rewards.formal.objectives.base import Objective

Floats = NDArray[np.float64]
DISCOUNTS = (0.05, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99, 0.995, 0.999)
"""At which linear arguments about discounted visits are made."""


@dataclass(frozen=True)
class Finding:
    """What a witness showed.

    Args:
        more: the formalism that states the task.
        less: the one that cannot.
        shown: whether the argument went through.
        argument: linear, tie, jump, ranks or same.
        text: what was found, with numbers.
    """

    more: str
    less: str
    shown: bool
    argument: str
    text: str


@dataclass(frozen=True, eq=False)
class Witness:
    """A task that separates formalisms.

    Args:
        sentence: the task in words.
        build: gives the world, the objective, and the policies float64[policy, S, A] that matter.
        arguments: formalism that cannot state it -> which argument shows that.
    """

    sentence: str
    build: Callable[[], tuple[Any, Objective, Floats]]
    arguments: dict[str, str]


def check_witness(more: str, less: str, name: str) -> Finding:
    """Run the argument that one formalism states the task of a witness and the other cannot.

    Args:
        more: short name of the first.
        less: short name of the second.
        name: of the witness.

    Raises:
        ValueError: the witness says nothing about the second, or its objective is not of the first.
    """
    witness = WITNESSES[name]
    if less not in witness.arguments:
        raise ValueError(f"the witness {name} says nothing about {less}; it does about {', '.join(witness.arguments)}")
    mdp, objective, policies = witness.build()
    if objective.formalism != more:
        raise ValueError(f"the witness {name} is a task of {objective.formalism}, not of {more}")
    argument = witness.arguments[less]
    shown, text = _ARGUMENTS[argument](mdp, objective, policies, less)
    return Finding(more, less, shown, argument, text)


def check_all() -> list[Finding]:
    """Every separation, run."""
    return [check_witness(*entry) for entry in SEPARATED]


# ---- the arguments ----------------------------------------------------------------------------------------------------


def _linear(mdp: Any, objective: Objective, policies: Floats, less: str) -> tuple[bool, str]:
    order = PolicyOrder.of(objective, mdp, policies)
    discounts = DISCOUNTS if less in ("MR", "RRL") else (None,)
    verdicts = [expressible(order, less, discount=one, steps=3) for one in discounts]
    shown = all(verdict.expressible is False for verdict in verdicts)
    where = (
        f" at each of {len(discounts)} discounts from {discounts[0]} to {discounts[-1]}" if len(discounts) > 1 else ""
    )
    return shown, f"no weights order {len(policies)} policies{where}: {verdicts[-1].reason}"


def _same(mdp: Any, objective: Objective, policies: Floats, less: str) -> tuple[bool, str]:
    order = PolicyOrder.of(objective, mdp, policies)
    verdict = expressible(order, less)
    return verdict.expressible is False, verdict.reason


def _tie(mdp: Any, objective: Objective, policies: Floats, less: str) -> tuple[bool, str]:
    """For many rewards: two policies whose expected returns agree, and which the objective ranks."""
    generator = np.random.default_rng(0)
    shape = (mdp.states, mdp.actions)
    count, widest = 0, 0.0
    worth = [objective.evaluate(mdp, policy) for policy in policies]
    for discount in (0.3, 0.9):
        visits = tabular.occupancy(mdp.transitions, policies, mdp.initial, discount)
        single = np.eye(shape[0] * shape[1]).reshape(-1, *shape)
        for rewards in [*single, *generator.normal(size=(20, *shape)), np.zeros(shape)]:
            pair = _tied_pair(mdp, objective, visits, policies, worth, rewards)
            if pair is None:
                return False, f"no tie was found for the rewards {rewards.tolist()} at discount {discount}"
            first, second = pair
            returns = [
                float((tabular.occupancy(mdp.transitions, one, mdp.initial, discount) * rewards).sum()) for one in pair
            ]
            if abs(returns[0] - returns[1]) > 1e-8 / (1 - discount) or objective.compare(mdp, first, second) == 0:
                return False, f"the pair for {rewards.tolist()} does not hold"
            widest = max(widest, abs(returns[0] - returns[1]))
            count += 1
    return True, (
        f"for each of {count} rewards, at two discounts, two policies with the same expected return (to {widest:.0e}) were "
        "built that the objective ranks"
    )


def _tied_pair(
    mdp: Any, objective: Objective, visits: Floats, policies: Floats, worth: list[Any], rewards: Floats
) -> tuple[Floats, Floats] | None:
    returns = (visits * rewards).sum((1, 2))
    scale = max(float(np.abs(returns).max()), 1e-12)
    for middle in range(len(policies)):
        for low in range(len(policies)):
            for high in range(low):
                if middle in (low, high):
                    continue
                width = returns[high] - returns[low]
                if abs(width) <= 1e-9 * scale:
                    share = 0.5 if abs(returns[middle] - returns[low]) <= 1e-9 * scale else None
                else:
                    share = (returns[middle] - returns[low]) / width
                if share is None or not 0.0 <= share <= 1.0:
                    continue
                mixed = (1 - share) * visits[low] + share * visits[high]
                total = mixed.sum(-1, keepdims=True)
                even = np.full_like(mixed, 1 / mdp.actions)
                policy = np.where(total > 1e-12, mixed / np.where(total > 1e-12, total, 1.0), even)
                if objective._compare_values(mdp, objective.evaluate(mdp, policy), worth[middle], 1e-4) != 0:
                    return policy, policies[middle]
    return None


def _jump(mdp: Any, objective: Objective, policies: Floats, less: str) -> tuple[bool, str]:
    """The last policy is the limit of the others, which tie; the objective ranks it apart."""
    limit, others = policies[-1], policies[:-1]
    distance = np.abs(others - limit).max((1, 2))
    ties = all(objective.compare(mdp, others[0], one) == 0 for one in others)
    leaps = objective.compare(mdp, limit, others[0]) != 0
    inside = bool(((limit > 0) == (others[0] > 0)).all())
    near = bool((np.diff(distance) < 0).all() and distance[-1] < 1e-3)
    # what is continuous: discounted sums everywhere; probabilities of formulas and long-run averages within one support
    shown = ties and leaps and near and (less == "RM" or inside)
    gap = _gap_of_machines(mdp, others[-1], limit) if less == "RM" else 0.0
    text = (
        f"{len(others)} policies that come as near as {distance[-1]:.0e} to another tie with one another and not with it, "
        + (
            "and discounted sums are continuous"
            if less == "RM"
            else "and values are continuous where no probability becomes 0"
        )
        + (f" (20 random machines pay the last two {gap:.0e} apart at most)" if less == "RM" else "")
    )
    return shown and gap < 0.05, text


def _gap_of_machines(mdp: Any, first: Floats, second: Floats) -> float:
    """The widest gap between two policies among random machines with three states, which pay 0 to 1 - discount a step."""
    generator = np.random.default_rng(0)
    states, actions, memory, discount = mdp.states, mdp.actions, 3, 0.9
    gaps = []
    for _ in range(20):
        following = generator.integers(0, memory, size=(memory, states, actions))
        joint = np.zeros((states, memory, actions, states, memory))
        for u in range(memory):
            for s in range(states):
                for a in range(actions):
                    joint[s, u, a, :, following[u, s, a]] = mdp.transitions[s, a]
        joint = joint.reshape(states * memory, actions, states * memory)
        rewards = generator.random((states * memory, actions)) * (1 - discount)
        start = np.kron(mdp.initial, np.eye(memory)[0])
        values = [
            start @ tabular.evaluate_policy(joint, rewards, np.repeat(policy, memory, axis=0), discount)
            for policy in (first, second)
        ]
        gaps.append(abs(values[0] - values[1]))
    return float(max(gaps))


def _uncountable(mdp: Any, objective: Objective, policies: Floats, less: str) -> tuple[bool, str]:
    """Pairs of policies in a row, each strictly above the last: as many disjoint gaps as there are real numbers."""
    chain = all(objective.compare(mdp, policies[i + 1], policies[i]) == 1 for i in range(len(policies) - 1))
    return chain, (
        f"{len(policies) // 2} values of the first return each hold a strict pair, in {len(policies)} ranks; there is such "
        "a pair for every real value of it, a number for each policy would need a gap for each, and gaps hold different "
        "rationals, of which there are too few (Debreu 1954)"
    )


_ARGUMENTS: dict[str, Callable[[Any, Any, Floats, str], tuple[bool, str]]] = {
    "linear": _linear,
    "tie": _tie,
    "jump": _jump,
    "ranks": _same,
    "same": _same,
    "gaps": _uncountable,
}

WITNESSES: dict[str, Witness] = {
    "alternate": Witness(
        "On a loop of two states, do something else than the time before.",
        worlds.alternate,
        {"MR": "linear", "LAR": "linear", "RRL": "linear", "ONMR": "tie"},
    ),
    "first_two_differ": Witness(
        "The first two actions shall differ (what comes later does not count).",
        worlds.first_two_differ,
        {"RRL": "linear", "ONMR": "tie"},
    ),
    "eventually_reach": Witness(
        "Reach the goal some day: every policy with any chance of a move is as good as the fastest.",
        worlds.eventually_reach,
        {"RM": "jump"},
    ),
    "first_action": Witness(
        "The first action shall be the right one; the rest of time is alike.", worlds.first_action, {"LAR": "same"}
    ),
    "share_of_time_reached": Witness(
        "The long-run share of time at the goal: how late it is reached does not count.",
        worlds.share_of_time_reached,
        {"RM": "jump"},
    ),
    "three_averages": Witness(
        "Three sure behaviours with three long-run averages.", worlds.three_averages, {"LTL": "ranks"}
    ),
    "balance": Witness(
        "Two states, each left with a probability of its own: the long-run share of time in one.",
        worlds.balance,
        {"RRL": "linear", "ONMR": "tie"},
    ),
    "three_returns": Witness("Three sure behaviours with three returns.", worlds.three_returns, {"LTL": "ranks"}),
    "soon": Witness("Sooner is better, though both end up in the same place.", worlds.soon, {"LAR": "same"}),
    "exactly_even": Witness(
        "Act exactly at random; every other behaviour is as bad as the next (F is 0 for even chances and 1 elsewhere).",
        worlds.exactly_even,
        {"RM": "jump", "LTL": "jump", "LAR": "jump"},
    ),
    "most_random_of_three": Witness(
        "Of three actions, be as random as can be (entropy).", worlds.most_random_of_three, {"ONMR": "tie"}
    ),
    "one_shot_mixture": Witness("One decision: be as random as can be.", worlds.one_shot_mixture, {"FTR": "linear"}),
    "on_target": Witness(
        "An expected return of exactly the target; every other one is as bad as the next.",
        worlds.on_target,
        {"RM": "jump", "LTL": "jump", "LAR": "jump"},
    ),
    "target_of_two": Witness(
        "Two decisions in worlds drawn by lot: an expected return as near as can be to what one of them alone gives.",
        worlds.target_of_two,
        {"RRL": "linear"},
    ),
    "one_shot_target": Witness(
        "One decision: an expected return as near one half as can be.", worlds.one_shot_target, {"FTR": "linear"}
    ),
    "enough_is_enough": Witness(
        "Two gambles in a row: at least 2 in all, and more is no better (satisficing).",
        worlds.enough_is_enough,
        {"MR": "linear"},
    ),
    "constrained": Witness(
        "As much reward as a limit on the cost allows: only a mixed policy is best.",
        worlds.constrained,
        {"MR": "linear"},
    ),
    "unreached_state": Witness(
        "What would be done in a state that is never reached.", worlds.unreached_state, {"TLO": "same"}
    ),
    "priorities": Witness(
        "One return first, and another where the first ties (lexicographic).", worlds.priorities, {"FPR": "gaps"}
    ),
}
