"""A task as an order of policies: in tiers, as pairs, or as a set of acceptable policies; checked before it is used."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess
    from rewardlab.rewards.formal.objectives.base import Objective

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PolicyOrder:
    """Which of some stationary policies of a process should be better than which.

    Args:
        mdp: the environment; its rewards do not count.
        policies: float64[policy, S, A].
        strict: pairs (better, worse) by number, all that follow from one another included where the order is total.
        ties: pairs that are as good as each other.
        names: one for each policy.
    """

    mdp: MarkovDecisionProcess
    policies: Floats
    strict: tuple[tuple[int, int], ...]
    ties: tuple[tuple[int, int], ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        policies = np.stack([self.mdp.policy_table(policy) for policy in self.policies])
        object.__setattr__(self, "policies", policies)
        if not self.names:
            object.__setattr__(self, "names", tuple(f"policy {index}" for index in range(len(policies))))
        if len(self.names) != len(policies):
            raise ValueError(f"there are {len(policies)} policies and {len(self.names)} names")
        if not self.strict:
            raise ValueError("the order has no two policies of which one is better; a constant reward states it")
        for pair in (*self.strict, *self.ties):
            for index in pair:
                if not 0 <= index < len(policies):
                    raise ValueError(f"the order names policy {index}, and there are {len(policies)} (from 0)")
        self._check_cycles()

    @classmethod
    def tiers(
        cls, mdp: MarkovDecisionProcess, policies: Any, tiers: Sequence[Sequence[int]], **options: Any
    ) -> PolicyOrder:
        """A total order, from the worst tier to the best.

        Raises:
            ValueError: a policy is missing, or stands in two tiers.
        """
        table = np.stack([mdp.policy_table(policy) for policy in policies])
        listed = [index for tier in tiers for index in tier]
        missing = sorted(set(range(len(table))) - set(listed))
        if missing:
            raise ValueError(f"the tiers leave out policies {missing}; give every policy a tier, or pairs")
        twice = sorted({index for index in listed if listed.count(index) > 1})
        if twice:
            raise ValueError(f"policy {twice[0]} stands in two tiers")
        strict = [
            (better, worse) for low, high in itertools.pairwise(tiers) for better in high[:1] for worse in low[:1]
        ]
        ties = [(tier[0], other) for tier in tiers for other in tier[1:]]
        return cls(mdp, table, tuple(strict), tuple(ties), **options)

    @classmethod
    def pairs(
        cls,
        mdp: MarkovDecisionProcess,
        policies: Any,
        better: Iterable[tuple[int, int]],
        ties: Iterable[tuple[int, int]] = (),
        *,
        total: bool = False,
        **options: Any,
    ) -> PolicyOrder:
        """An order from pairs (better, worse) and ties.

        Args:
            mdp: the environment.
            policies: float[policy, S, A], or actions int[policy, S].
            better: pairs by number.
            ties: pairs by number.
            total: require that any two policies are ordered by what is given.
            options: `names`.

        Raises:
            ValueError: a cycle (it is named), or with `total` two policies that nothing orders.
        """
        order = cls(
            mdp, np.stack([mdp.policy_table(policy) for policy in policies]), tuple(better), tuple(ties), **options
        )
        if total:
            order._check_total()
        return order

    @classmethod
    def acceptable(
        cls, mdp: MarkovDecisionProcess, policies: Any, good: Iterable[int], *, equal: bool = True, **options: Any
    ) -> PolicyOrder:
        """A set of acceptable policies: each is better than every other policy.

        Args:
            mdp: the environment.
            policies: float[policy, S, A], or actions int[policy, S].
            good: numbers of the acceptable ones.
            equal: whether they must also tie among themselves.
            options: `names`.

        Source: Abel et al. 2021, "On the Expressivity of Markov Reward" (set of acceptable policies: equal and range).
        """
        table = np.stack([mdp.policy_table(policy) for policy in policies])
        chosen = sorted(set(good))
        rest = [index for index in range(len(table)) if index not in chosen]
        if not chosen or not rest:
            raise ValueError(f"some policies must be acceptable and some not, got {len(chosen)} of {len(table)}")
        firsts = chosen[:1] if equal else chosen
        strict = tuple((index, other) for index in firsts for other in rest)
        return cls(mdp, table, strict, tuple((chosen[0], other) for other in chosen[1:]) if equal else (), **options)

    @classmethod
    def of(cls, objective: Objective, mdp: MarkovDecisionProcess, policies: Any, **options: Any) -> PolicyOrder:
        """How an objective orders policies."""
        return cls.tiers(mdp, policies, objective.order(mdp, list(policies)), **options)

    def classes(self) -> list[int]:
        """For each policy the number of its class of ties."""
        parent = list(range(len(self.policies)))

        def root(index: int) -> int:
            while parent[index] != index:
                index = parent[index]
            return index

        for left, right in self.ties:
            parent[root(left)] = root(right)
        return [root(index) for index in range(len(self.policies))]

    def above(self) -> NDArray[np.bool_]:
        """bool[policy, policy]: what is better than what, as far as it follows."""
        owner = np.array(self.classes())
        beats = np.zeros((len(owner), len(owner)), dtype=bool)
        for better, worse in self.strict:
            beats[np.ix_(owner == owner[better], owner == owner[worse])] = True
        for middle in range(len(owner)):
            beats |= beats[:, middle : middle + 1] & beats[middle]
        return beats

    def _check_cycles(self) -> None:
        owner = self.classes()
        following: dict[int, list[tuple[int, int]]] = {}
        for better, worse in self.strict:
            following.setdefault(owner[better], []).append((better, worse))
        done: set[int] = set()

        def visit(node: int, path: list[tuple[int, int]]) -> None:
            for better, worse in following.get(node, ()):
                if owner[worse] in [owner[first] for first, _ in path] or owner[worse] == node:
                    steps = [*path, (better, worse)]
                    start = next(place for place, (first, _) in enumerate(steps) if owner[first] == owner[worse])
                    raise ValueError(
                        "the order has a cycle: "
                        + ", ".join(
                            f"{self.names[first]} is better than {self.names[second]}"
                            for first, second in steps[start:]
                        )
                        + (" (ties count as equal)" if self.ties else "")
                    )
                if owner[worse] not in done:
                    visit(owner[worse], [*path, (better, worse)])
            done.add(node)

        for node in list(following):
            if node not in done:
                visit(node, [])

    def _check_total(self) -> None:
        beats, owner = self.above(), self.classes()
        for left in range(len(owner)):
            for right in range(left):
                if owner[left] != owner[right] and not (beats[left, right] or beats[right, left]):
                    raise ValueError(
                        f"nothing orders {self.names[right]} and {self.names[left]}; give that pair or a tie"
                    )
