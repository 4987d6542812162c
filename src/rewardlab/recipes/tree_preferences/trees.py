"""Responses that share their beginnings, as a tree of segments, and comparisons between its leaves.

Qiu et al. 2024, "Reward Generalization in RLHF: A Topological Perspective" (arXiv 2402.10184). A tree has one prompt; a leaf
is a whole response. Two responses that were drawn independently are a tree of depth 1, so a chain is the same data with
another shape. Prefixes are kept as token ids: text that is tokenised again need not have the same beginning.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.types import Task, Trajectory, message_text

Strategy = Literal["uniform", "lca", "sibling"]
Beyond = Literal["error", "cap", "repeat"]

DUPLICATES_WARNED = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One segment of a tree.

    Args:
        parent: its place in the tree's list of nodes; -1 for the prompt, which is the first node.
        depth: segments between the prompt and its end; 0 for the prompt.
        ids: its tokens; empty for a tree of messages.
        logprobs: of these tokens.
        text: its text.
        ended: whether the response ends with it.
        written: whether the policy wrote it, and not a user or an environment.
    """

    parent: int
    depth: int
    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    text: str = ""
    ended: bool = False
    written: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class LeafPair:
    """Two responses of one tree that are to be compared.

    Args:
        tree: which they belong to.
        first, second: the leaves, as places in the tree's list of nodes.
        lca_depth: depth of their last common segment; 0 where they share the prompt alone.
        divergence_index: tokens that both begin with (characters, for a tree of messages).
    """

    tree: Tree
    first: int
    second: int
    lca_depth: int
    divergence_index: int

    @property
    def tree_id(self) -> str:
        """Name of the tree."""
        return self.tree.id

    @property
    def trajectories(self) -> tuple[Trajectory, Trajectory]:
        """Both responses whole, prompt included, as a reward model reads them."""
        return self.tree.trajectories[self.first], self.tree.trajectories[self.second]

    @property
    def shared(self) -> str:
        """The text that both responses begin with: an annotator who reads the suffixes alone has to be shown it too."""
        common = self.tree.common(self.first, self.second)
        return "".join(self.tree.nodes[place].text for place in common)

    @property
    def suffixes(self) -> tuple[str, str]:
        """The texts behind `shared`."""
        common = len(self.tree.common(self.first, self.second))
        first, second = (
            "".join(self.tree.nodes[place].text for place in self.tree.path(leaf)[common:])
            for leaf in (self.first, self.second)
        )
        return first, second


@dataclass(frozen=True, kw_only=True, eq=False)
class Tree:
    """A prompt and responses to it that share beginnings.

    Args:
        id: unique among trees that are used together.
        task: the prompt.
        nodes: the prompt first, every parent before its children.
        trajectories: of every leaf, by its place among the nodes.
        generated: tokens that were drawn to make it, those that were cut off and thrown away included.
    """

    id: str
    task: Task
    nodes: Sequence[Node]
    trajectories: dict[int, Trajectory] = field(default_factory=dict)
    generated: int = 0

    @cached_property
    def leaves(self) -> list[int]:
        """Places of the leaves."""
        return sorted(self.trajectories)

    @property
    def logprobs(self) -> NDArray[np.float64]:
        """float64[leaf], log-probability of each response, in the order of `leaves`."""
        return np.array([sum(sum(self.nodes[place].logprobs) for place in self.path(leaf)) for leaf in self.leaves])

    def path(self, node: int) -> list[int]:
        """The segments from the prompt (left out) to a node."""
        places: list[int] = []
        while node > 0:
            places.append(node)
            node = self.nodes[node].parent
        return places[::-1]

    def ids(self, leaf: int) -> tuple[int, ...]:
        """The tokens of a response."""
        return tuple(one for place in self.path(leaf) for one in self.nodes[place].ids)

    def text(self, leaf: int) -> str:
        """The text of a response."""
        return "".join(self.nodes[place].text for place in self.path(leaf))

    def common(self, first: int, second: int) -> list[int]:
        """The segments that two nodes share."""
        shared = []
        for one, other in zip(self.path(first), self.path(second), strict=False):
            if one != other:
                break
            shared.append(one)
        return shared

    def pair(self, first: int, second: int) -> LeafPair:
        """The comparison of two leaves.

        Raises:
            ValueError: a node that is no leaf, the same leaf twice, or leaves that part where somebody else than the policy
                wrote, so that they answer different prompts.
        """
        for leaf in (first, second):
            if leaf not in self.trajectories:
                raise ValueError(f"node {leaf} of tree {self.id!r} is not a leaf; the leaves are {self.leaves}")
        if first == second:
            raise ValueError(f"leaf {first} of tree {self.id!r} cannot be compared with itself")
        shared = len(self.common(first, second))
        if not all(self.nodes[self.path(leaf)[shared]].written for leaf in (first, second)):
            raise ValueError(
                f"leaves {first} and {second} of tree {self.id!r} part where the policy did not write: they answer "
                "different prompts and cannot be compared"
            )
        return LeafPair(self, first, second, shared, self._divergence(first, second))

    def pairs(
        self,
        n: int,
        strategy: Strategy = "uniform",
        *,
        disjoint: bool = False,
        beyond: Beyond = "error",
        seed: int = 0,
    ) -> list[LeafPair]:
        """Comparisons between leaves.

        Args:
            n: how many.
            strategy: "uniform" over all pairs of leaves; "lca", as many of each depth of the last common segment as there
                are; "sibling", pairs that part as late as they can.
            disjoint: no leaf stands in two comparisons. Many small trees with disjoint leaves keep the diversity of
                independent responses, and one big tree whose leaves are compared over and over does not.
            beyond: what to do where there are fewer pairs than `n`: refuse, give all there are, or give some again.
            seed: of the choice.

        Raises:
            ValueError: an unknown option, no two leaves that differ, or too few pairs.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        if strategy not in ("uniform", "lca", "sibling"):
            raise ValueError(f"strategy must be 'uniform', 'lca' or 'sibling', got {strategy!r}")
        if beyond not in ("error", "cap", "repeat"):
            raise ValueError(f"beyond must be 'error', 'cap' or 'repeat', got {beyond!r}")
        generator = np.random.default_rng((seed, *self.id.encode()))
        every = self._distinct()
        order = [every[place] for place in generator.permutation(len(every))]
        if strategy == "lca":
            order = _by_depth_in_turn(order)
        elif strategy == "sibling":
            order.sort(key=lambda pair: -pair.lca_depth)
        chosen = _disjoint(order) if disjoint else order
        if len(chosen) < n and beyond == "error":
            raise ValueError(
                f"tree {self.id!r} has {len(chosen)} {'disjoint ' if disjoint else ''}pairs of different leaves, {n} were "
                "asked for; sample a larger tree, ask for fewer, or say what to do with beyond='cap' or 'repeat'"
            )
        if len(chosen) < n and beyond == "repeat":
            chosen = [chosen[place % len(chosen)] for place in range(n)]
        return chosen[:n]

    def _distinct(self) -> list[LeafPair]:
        """Every pair of leaves that differ and answer the same prompt."""
        found, equal = [], 0
        for place, first in enumerate(self.leaves):
            for second in self.leaves[place + 1 :]:
                shared = len(self.common(first, second))
                if not all(self.nodes[self.path(leaf)[shared]].written for leaf in (first, second)):
                    continue
                if self._same(first, second):
                    equal += 1
                else:
                    found.append(LeafPair(self, first, second, shared, self._divergence(first, second)))
        if not found:
            raise ValueError(
                f"tree {self.id!r} has no two leaves that differ: {len(self.leaves)} leaves, {equal} pairs of equal ones; "
                "use branching 2 or more, and sample at a higher temperature"
            )
        if equal > DUPLICATES_WARNED * (equal + len(found)):
            warnings.warn(
                f"{equal} of {equal + len(found)} pairs of leaves of tree {self.id!r} are equal and were left out; sample "
                "at a higher temperature",
                stacklevel=3,
            )
        return found

    def _same(self, first: int, second: int) -> bool:
        if self.nodes[first].ids or self.nodes[second].ids:
            return self.ids(first) == self.ids(second)
        return self.text(first) == self.text(second)

    def _divergence(self, first: int, second: int) -> int:
        one: Sequence[object]
        other: Sequence[object]
        if self.nodes[first].ids or self.nodes[second].ids:
            one, other = self.ids(first), self.ids(second)
        else:
            one, other = self.text(first), self.text(second)
        for place, (left, right) in enumerate(zip(one, other, strict=False)):
            if left != right:
                return place
        return min(len(one), len(other))


def _by_depth_in_turn(pairs: Sequence[LeafPair]) -> list[LeafPair]:
    by_depth: dict[int, list[LeafPair]] = {}
    for pair in pairs:
        by_depth.setdefault(pair.lca_depth, []).append(pair)
    queues = [by_depth[depth][::-1] for depth in sorted(by_depth)]
    taken = []
    while any(queues):
        taken += [queue.pop() for queue in queues if queue]
    return taken


def _disjoint(pairs: Sequence[LeafPair]) -> list[LeafPair]:
    used: set[int] = set()
    kept = []
    for pair in pairs:
        if pair.first not in used and pair.second not in used:
            used |= {pair.first, pair.second}
            kept.append(pair)
    return kept


def last_text(trajectory: Trajectory) -> str:
    """The text of the last answer."""
    return message_text(trajectory.actions[-1])
