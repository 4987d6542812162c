"""What a set of comparisons tells about responses that were not compared: the graph behind it, and its resistance.

Responses are nodes. A comparison is an edge with the variance of one judgement; two similar responses are joined by an edge
whose variance is their dissimilarity (the inductive bias of the model). The uncertainty about the difference of two rewards,
inferred along all paths, is the effective resistance between the nodes when variances are resistances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.learning.data import PreferenceData
from rewardlab.recipes.tree_preferences.data import cycle_rate, preference_data
from rewardlab.recipes.tree_preferences.trees import LeafPair
from rewardlab.types import Trajectory

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Embed = Callable[[Sequence[Trajectory]], ArrayLike]


def resistances(nodes: int, edges: ArrayLike, variances: ArrayLike, first: ArrayLike, second: ArrayLike) -> Floats:
    """Effective resistance between nodes of a graph, through the pseudo-inverse of its Laplacian.

    It is symmetric, positive between different nodes, and adding an edge never raises it (Rayleigh).

    Args:
        nodes: how many there are.
        edges: int64[edge, 2], the ends of each; several edges between two nodes count as parallel.
        variances: float64[edge], positive.
        first, second: int64[query], between which nodes.

    Returns:
        float64[query]; infinite where no path leads.

    Raises:
        ValueError: a node that is not there, or a variance that is not positive.
    """
    ends, variance = np.asarray(edges, np.int64).reshape(-1, 2), np.asarray(variances, np.float64)
    one, other = np.asarray(first, np.int64), np.asarray(second, np.int64)
    for name, column in (("an edge", ends), ("first", one), ("second", other)):
        if column.size and (column.min() < 0 or column.max() >= nodes):
            raise ValueError(f"{name} names node {int(column.max())}, there are {nodes} nodes")
    if len(variance) != len(ends) or not (variance > 0).all() or not np.isfinite(variance).all():
        raise ValueError("every edge needs a finite variance above 0; leave out edges that say nothing")
    part = components(nodes, ends)
    found = np.full(len(one), np.inf)
    for number in np.unique(part[one[part[one] == part[other]]]):
        members = np.flatnonzero(part == number)
        place = np.full(nodes, -1)
        place[members] = np.arange(len(members))
        inside = part[ends[:, 0]] == number
        laplacian = np.zeros((len(members), len(members)))
        (left, right), conductance = place[ends[inside]].T, 1.0 / variance[inside]
        np.add.at(laplacian, (left, left), conductance)
        np.add.at(laplacian, (right, right), conductance)
        np.add.at(laplacian, (left, right), -conductance)
        np.add.at(laplacian, (right, left), -conductance)
        # one node is the ground: the rest of the Laplacian of a connected graph can be inverted
        inverse = np.zeros_like(laplacian)
        if len(members) > 1:
            inverse[1:, 1:] = np.linalg.inv(laplacian[1:, 1:])
        asked = np.flatnonzero((part[one] == number) & (part[other] == number))
        a, b = place[one[asked]], place[other[asked]]
        found[asked] = np.maximum(inverse[a, a] + inverse[b, b] - inverse[a, b] - inverse[b, a], 0.0)
    return found


def components(nodes: int, edges: ArrayLike) -> Rows:
    """Number of the connected part that each node belongs to; int64[node]."""
    parent = np.arange(nodes)

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for one, other in np.asarray(edges, np.int64).reshape(-1, 2):
        parent[root(int(one))] = root(int(other))
    return np.unique([root(node) for node in range(nodes)], return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class TopologyReport:
    """The shape of a set of comparisons.

    Args:
        responses: how many different ones were compared.
        comparisons: how many comparisons.
        components: parts that no comparison joins.
        lca_histogram: comparisons by depth of the last common segment.
        shared_saving: share of the text that an annotator need not read twice, because both responses begin with it.
        inference_distance: mean variance of the difference of two responses' rewards, over pairs that a path joins.
        joined: share of the pairs of responses that a path joins.
        duplicates: share of the comparisons that repeat another one.
        cycles: share of the trees whose labels run in a circle; NaN where no tree has three leaves compared, or without
            labels.
    """

    responses: int
    comparisons: int
    components: int
    lca_histogram: dict[int, int]
    shared_saving: float
    inference_distance: float
    joined: float
    duplicates: float
    cycles: float

    @property
    def responses_per_comparison(self) -> float:
        """2 where no response is compared twice; below 1 responses are used up."""
        return self.responses / self.comparisons

    def flags(self) -> list[str]:
        """What speaks against the set, in words."""
        found = []
        if self.responses_per_comparison < 1:
            found.append(
                f"{self.responses_per_comparison:.2f} responses per comparison: few responses are compared over and over, "
                "which costs diversity; draw more and smaller trees"
            )
        if self.duplicates > 0:
            found.append(f"{self.duplicates:.1%} of the comparisons repeat another one")
        if self.cycles > 0:
            found.append(f"the labels of {self.cycles:.1%} of the trees run in a circle")
        return found

    def __str__(self) -> str:
        lines = [
            f"{self.comparisons} comparisons of {self.responses} responses "
            f"({self.responses_per_comparison:.2f} per comparison) in {self.components} parts",
            f"depth of the last common segment: {self.lca_histogram}",
            f"shared text that is read once: {self.shared_saving:.1%}",
            f"mean inference distance: {self.inference_distance:.3g} ({self.joined:.1%} of the pairs are joined)",
        ]
        return "\n".join([*lines, *self.flags()])


def topology_report(
    pairs: Sequence[LeafPair],
    embed: Embed | None = None,
    *,
    data: PreferenceData | None = None,
    beta: float = 1.0,
    neighbours: int = 5,
    queries: int = 2000,
    seed: int = 0,
) -> TopologyReport:
    """Describe the graph of a set of comparisons.

    Args:
        pairs: what is compared.
        embed: vectors of responses; each is joined to its nearest neighbours, with their squared distance as variance (in
            units of the mean one). None joins leaves of one tree, by the share of their tokens that differ.
        data: the same comparisons with labels, for the rate of circles.
        beta: how sharp judgements are: one has the variance of a logistic difference, `pi^2 / (3 beta^2)`.
        neighbours: see `embed`.
        queries: over how many pairs of responses the inference distance is averaged.
        seed: which they are.

    Raises:
        ValueError: no pairs, or vectors of another number.
    """
    if not pairs:
        raise ValueError("there are no pairs to report on")
    if beta <= 0:
        raise ValueError(f"beta must be positive, got {beta}")
    graph = preference_data(pairs, lambda first, second: np.ones(len(first)))
    nodes = len(graph.items)
    compared = np.stack([graph.first, graph.second], axis=1)
    similar, dissimilarity = _similarities(pairs, graph) if embed is None else _nearest(graph, embed, neighbours)
    edges = np.concatenate([compared, similar])
    variances = np.concatenate([np.full(len(compared), np.pi**2 / (3 * beta**2)), dissimilarity])
    drawn = np.random.default_rng(seed).integers(0, nodes, size=(2, queries))
    drawn = drawn[:, drawn[0] != drawn[1]]
    distance = resistances(nodes, edges, variances, *drawn)
    joined = np.isfinite(distance)
    depths, counts = np.unique([pair.lca_depth for pair in pairs], return_counts=True)
    seen = {tuple(sorted(edge)) for edge in compared.tolist()}
    whole = [(len(pair.shared), sum(map(len, pair.suffixes))) for pair in pairs]
    shared, behind = (sum(column) for column in zip(*whole, strict=True))
    return TopologyReport(
        responses=nodes,
        comparisons=len(pairs),
        components=len(np.unique(components(nodes, compared))),
        lca_histogram=dict(zip(depths.tolist(), counts.tolist(), strict=True)),
        shared_saving=shared / max(1, 2 * shared + behind),
        inference_distance=float(distance[joined].mean()) if joined.any() else float("inf"),
        joined=float(joined.mean()) if joined.size else 0.0,
        duplicates=1.0 - len(seen) / len(pairs),
        cycles=float("nan") if data is None else cycle_rate(data),
    )


def _similarities(pairs: Sequence[LeafPair], graph: PreferenceData) -> tuple[Rows, Floats]:
    """Edges between compared leaves of one tree, with the share of their tokens that differ as variance."""
    places: dict[str, dict[int, int]] = {}
    trees = {pair.tree_id: pair.tree for pair in pairs}
    for row, pair in enumerate(pairs):
        found = places.setdefault(pair.tree_id, {})
        found[pair.first], found[pair.second] = int(graph.first[row]), int(graph.second[row])
    edges, variances = [], []
    for name, found in places.items():
        leaves = sorted(found)
        for number, first in enumerate(leaves):
            for second in leaves[number + 1 :]:
                shared = sum(len(trees[name].nodes[one].text) for one in trees[name].common(first, second))
                if shared:
                    longest = max(len(trees[name].text(first)), len(trees[name].text(second)))
                    edges.append((found[first], found[second]))
                    variances.append(max(1.0 - shared / longest, 1e-6))
    return np.asarray(edges, np.int64).reshape(-1, 2), np.asarray(variances, np.float64)


def _nearest(graph: PreferenceData, embed: Embed, neighbours: int) -> tuple[Rows, Floats]:
    vectors = np.asarray(embed(graph.items), np.float64)
    if vectors.ndim != 2 or len(vectors) != len(graph.items):
        raise ValueError(f"embed gave {vectors.shape} for {len(graph.items)} responses, expected one vector for each")
    square = (vectors**2).sum(1)
    distance = np.maximum(square[:, None] + square[None] - 2 * vectors @ vectors.T, 0.0)
    np.fill_diagonal(distance, np.inf)
    count = min(neighbours, len(vectors) - 1)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :count]
    edges = np.unique(np.sort(np.stack([np.repeat(np.arange(len(vectors)), count), nearest.reshape(-1)], 1), 1), axis=0)
    mean = float(distance[np.isfinite(distance)].mean())
    return edges, np.maximum(distance[edges[:, 0], edges[:, 1]] / max(mean, 1e-12), 1e-6)


def simulated_distance(
    kind: str,
    comparisons: int,
    *,
    branching: int = 4,
    depth: int = 5,
    diversity: float = 0.5,
    variance: float = 1.0,
    queries: int = 500,
    seed: int = 0,
) -> float:
    """Mean inference distance between random responses of an idealised world, for comparisons by chain or by tree.

    Responses are the leaves of a complete tree, whose edges at depth d have the variance `branching ** (-diversity * d)`. A
    chain compares leaves at random; a tree of 8 leaves (three binary branchings, then straight down) gives four comparisons
    of disjoint leaves.

    Args:
        kind: "chain" or "tree".
        comparisons: how many.
        branching, depth: of the complete tree.
        diversity: small for very different contexts.
        variance: of one comparison.
        queries: over how many pairs of leaves the mean is taken.
        seed: of comparisons and queries.

    Raises:
        ValueError: another kind.
    """
    if kind not in ("chain", "tree"):
        raise ValueError(f"kind must be 'chain' or 'tree', got {kind!r}")
    generator = np.random.default_rng(seed)
    starts = np.cumsum([0, *[branching**level for level in range(depth + 1)]])
    edges, variances = [], []
    for level in range(1, depth + 1):
        for number in range(branching**level):
            edges.append((starts[level - 1] + number // branching, starts[level] + number))
            variances.append(branching ** (-diversity * level))
    count = branching**depth
    if kind == "chain":
        drawn = generator.integers(0, count, size=(comparisons, 2))
        compared = [(int(one), int(other)) for one, other in drawn if one != other]
    else:
        compared = []
        while len(compared) < comparisons:
            compared += _small_tree(generator, branching, depth)
        compared = compared[:comparisons]
    edges += [(starts[depth] + one, starts[depth] + other) for one, other in compared]
    variances += [variance] * len(compared)
    asked = generator.integers(0, count, size=(2, queries))
    asked = asked[:, asked[0] != asked[1]] + starts[depth]
    return float(resistances(int(starts[-1]), edges, variances, *asked).mean())


def _small_tree(generator: np.random.Generator, branching: int, depth: int) -> list[tuple[int, int]]:
    leaves = [0]
    for level in range(depth):
        width = 2 if level < 3 else 1
        leaves = [
            leaf * branching + int(child) for leaf in leaves for child in generator.permutation(branching)[:width]
        ]
    order = generator.permutation(len(leaves))
    return [(leaves[order[place]], leaves[order[place + 1]]) for place in range(0, len(leaves) - 1, 2)]
