"""The seventeen ways of stating an objective, which are equivalent, and which contain which, as data.

X is at least as expressive as Y where every order of stationary policies that Y can induce in an environment, X can induce
there too, in every environment. `relation` follows from three tables: equivalences, direct containments, and separations,
each of which has a witness that runs (`rewardlab.rewards.formal.expressivity.witnesses`).

Environments are finite, policies stationary, and the horizon endless; with policies that remember, the picture changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from rewardlab.registry import nearest

Relation = Literal["yes", "no", "unknown"]


@dataclass(frozen=True, slots=True)
class Formalism:
    """One way of stating an objective.

    Args:
        short: its short name.
        name: its name.
        stated_by: what one has to give.
        value: what a policy is worth, or how two compare.
        here: the classes of this library that state it.
    """

    short: str
    name: str
    stated_by: str
    value: str
    here: str


FORMALISMS: tuple[Formalism, ...] = (
    Formalism("MR", "Markov rewards", "R, γ", "E G", "`Markov`, any transition reward"),
    Formalism("LAR", "limit average", "R", "lim 1/N E Σ R", "`LimitAverage`"),
    Formalism("LTL", "linear temporal logic", "labels, φ", "Pr(ξ ⊨ φ)", "`LTLf` on finite traces, `ReachProbability`"),
    Formalism("RM", "reward machine", "machine, γ", "E G of the machine's rewards", "`RewardMachine`, `MachineReturn`"),
    Formalism("INMR", "inner non-linear", "R, f, γ", "E f(G)", "`InnerNonlinear`, `Satisficing`, `Entropic`"),
    Formalism("IMORL", "inner multi-objective", "R₁…R_k, f, γ", "E f(G₁, …, G_k)", "`InnerMultiObjective`"),
    Formalism("FTR", "functions of trajectories", "f", "E f(ξ)", "`TrajectoryFunction`, `Episodic`, any reward"),
    Formalism("RRL", "regularised", "R, α, F, γ", "E Σ γᵗ (R − α F[π(·|s)])", "`Regularised`"),
    Formalism("ONMR", "outer non-linear", "R, f, γ", "f(E G)", "`OuterNonlinear`, `Satisficing(inner=False)`"),
    Formalism("OMORL", "outer multi-objective", "R₁…R_k, f, γ", "f(E G₁, …, E G_k)", "`OuterMultiObjective`"),
    Formalism("FOMR", "functions of occupancies", "f", "f(m_π)", "`OccupancyFunction`"),
    Formalism("FTLR", "functions of trajectory lotteries", "f", "f(L_π)", "`CVaR`, `MeanVariance`"),
    Formalism("FPR", "functions of policies", "f", "f(π)", "`PolicyFunction`"),
    Formalism(
        "GOMORL",
        "generalised outer multi-objective",
        "R₁…R_k, preorder",
        "order of (E G₁, …, E G_k)",
        "`CMDP`, `Lexicographic`",
    ),
    Formalism("OMO", "occupancy orders", "preorder", "order of m_π", "a subclass of `Objective`"),
    Formalism("TLO", "trajectory lottery orders", "preorder", "order of L_π", "a subclass of `Objective`"),
    Formalism("PO", "policy orders", "preorder", "any order of policies", "a subclass of `Objective`"),
)
"""In the order of Subramani et al. 2024, "On the Expressivity of Objective-Specification Formalisms in Reinforcement
Learning" (ICLR 2024, arXiv 2310.11840)."""

EQUIVALENT: tuple[tuple[str, ...], ...] = (
    ("INMR", "IMORL", "FTR"),
    ("OMORL", "FOMR", "FTLR"),
    ("GOMORL", "OMO", "TLO"),
)
"""Formalisms that can state the same tasks."""

CONTAINED: tuple[tuple[str, str], ...] = (
    ("MR", "RM"),
    ("MR", "RRL"),
    ("MR", "ONMR"),
    ("MR", "INMR"),
    ("RM", "FTR"),
    ("LTL", "FTR"),
    ("LAR", "FTR"),
    ("FTR", "FTLR"),
    ("RRL", "FTLR"),
    ("ONMR", "FTLR"),
    ("FTLR", "FPR"),
    ("FTLR", "TLO"),
    ("FPR", "PO"),
    ("TLO", "PO"),
)
"""Pairs (less, more): the second can state whatever the first can."""

SEPARATED: tuple[tuple[str, str, str], ...] = (
    ("RM", "MR", "alternate"),
    ("RM", "LAR", "alternate"),
    ("RM", "RRL", "alternate"),
    ("RM", "ONMR", "alternate"),
    ("LTL", "RRL", "first_two_differ"),
    ("LTL", "ONMR", "first_two_differ"),
    ("LTL", "RM", "eventually_reach"),
    ("LTL", "LAR", "first_action"),
    ("LAR", "RM", "share_of_time_reached"),
    ("LAR", "LTL", "three_averages"),
    ("LAR", "RRL", "balance"),
    ("LAR", "ONMR", "balance"),
    ("MR", "LTL", "three_returns"),
    ("MR", "LAR", "soon"),
    ("RRL", "RM", "exactly_even"),
    ("RRL", "LTL", "exactly_even"),
    ("RRL", "LAR", "exactly_even"),
    ("RRL", "ONMR", "most_random_of_three"),
    ("RRL", "FTR", "one_shot_mixture"),
    ("ONMR", "RM", "on_target"),
    ("ONMR", "LTL", "on_target"),
    ("ONMR", "LAR", "on_target"),
    ("ONMR", "RRL", "target_of_two"),
    ("ONMR", "FTR", "one_shot_target"),
    ("INMR", "MR", "enough_is_enough"),
    ("GOMORL", "MR", "constrained"),
    ("FPR", "TLO", "unreached_state"),
    ("GOMORL", "FPR", "priorities"),
)
"""Triples (X, Y, witness): X can state the task of the witness, and Y cannot."""


def formalism(short: str) -> Formalism:
    """A formalism by its short name.

    Raises:
        ValueError: there is none of that name; the nearest one is given.
    """
    by_name = {one.short: one for one in FORMALISMS}
    if short not in by_name:
        raise ValueError(f"unknown formalism {short!r}{nearest(short, by_name)}; they are {', '.join(by_name)}")
    return by_name[short]


@cache
def _closure() -> frozenset[tuple[str, str]]:
    """Every pair (less, more) that follows from equivalences and containments."""
    pairs = {(one.short, one.short) for one in FORMALISMS} | set(CONTAINED)
    pairs |= {(left, right) for group in EQUIVALENT for left in group for right in group}
    while True:
        further = {(a, d) for a, b in pairs for c, d in pairs if b == c} | pairs
        if further == pairs:
            return frozenset(pairs)
        pairs = further


def contains(more: str, less: str) -> bool:
    """Whether it follows from the tables that the first can state whatever the second can."""
    formalism(more), formalism(less)
    return (less, more) in _closure()


def separations(more: str, less: str) -> list[tuple[str, str, str]]:
    """Entries of `SEPARATED` from which it follows that `more` cannot state everything that `less` can."""
    return [entry for entry in SEPARATED if contains(less, entry[0]) and contains(entry[1], more)]


def relation(more: str, less: str) -> Relation:
    """Whether the first formalism is at least as expressive as the second.

    Returns:
        "yes", "no" (a witness shows it), or "unknown".
    """
    if contains(more, less):
        return "yes"
    return "no" if separations(more, less) else "unknown"
