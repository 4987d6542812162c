from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rewardlab.recipes.tree_preferences import (
    LeafPair,
    PrefixTreeSampler,
    World,
    check_no_leak,
    check_prompts,
    cycle_rate,
    preference_data,
    split_by_tree,
    tree_pairs,
    trees_from_logs,
)

# ---- data -----------------------------------------------------------------------------------------------------------------


def labelled(trees: int = 6, each: int = 4) -> tuple[list[LeafPair], World]:
    world = World(seed=2)
    sampler = PrefixTreeSampler(policy=world.writer, depth=2, branching=2, budget=9, seed=5)
    return tree_pairs(sampler.sample_many(world.tasks[:trees]), each), world


def test_labelled_pairs_keep_their_tree_and_each_leaf_stands_once() -> None:
    pairs, world = labelled()
    data = preference_data(pairs, world.truth)
    assert len(data) == 24
    assert len(data.items) <= 24
    assert data.metadata is not None
    assert set(data.metadata[0]) == {"tree_id", "lca_depth", "divergence_index"}
    values = world.rewards(data.items)
    assert np.array_equal(values[data.first] > values[data.second], data.label == 1)
    check_prompts(data)
    train, test = split_by_tree(data, 0.5, seed=1)
    assert len(train) + len(test) == 24
    check_no_leak(train, test)
    with pytest.raises(ValueError, match=r"1 trees have leaves in training and test.*use split_by_tree"):
        check_no_leak(data.select([0]), data.select([1]))
    with pytest.raises(ValueError, match="one part would be empty"):
        split_by_tree(data.select([0]), 0.5)
    with pytest.raises(ValueError, match="share must lie between 0 and 1"):
        split_by_tree(data, 1.5)
    with pytest.raises(ValueError, match="the judge gave labels of shape"):
        preference_data(pairs, lambda first, second: np.ones(3))
    with pytest.raises(ValueError, match="no pairs to label"):
        preference_data([], world.truth)
    mixed = preference_data(pairs, world.truth)
    mixed.second[0] = mixed.first[-1]
    with pytest.raises(ValueError, match="row 0 compares responses to different prompts"):
        check_prompts(mixed)
    mixed.metadata = None
    with pytest.raises(ValueError, match="row 0 has no tree_id"):
        split_by_tree(mixed)


def test_circles_are_counted_and_kept() -> None:
    pairs, world = labelled(2, 6)
    data = preference_data(pairs, world.truth)
    assert cycle_rate(data) == 0
    tree = np.array([pair.tree_id for pair in pairs])
    rows = np.flatnonzero(tree == tree[0])
    leaves = sorted({int(one) for one in data.first[rows]} | {int(one) for one in data.second[rows]})[:3]
    wanted = {(leaves[0], leaves[1]): 1, (leaves[1], leaves[2]): 1, (leaves[0], leaves[2]): 0}
    for row in rows:
        pair = (int(data.first[row]), int(data.second[row]))
        if tuple(sorted(pair)) in wanted:
            better_first = wanted[min(pair), max(pair)]
            data.label[row] = better_first if pair[0] < pair[1] else 1 - better_first
    assert cycle_rate(data) == 0.5
    assert math.isnan(cycle_rate(data.select(rows[:1])))


def message(name: str, parent: str | None, role: str) -> dict[str, Any]:
    return {"id": name, "parent": parent, "role": role, "content": f"text of {name}"}


def test_branched_chats_become_trees() -> None:
    log = [
        message("q", None, "user"),
        message("a1", "q", "assistant"),
        message("a2", "q", "assistant"),
        message("u1", "a1", "user"),
        message("u2", "a1", "user"),  # an edited question
        message("b1", "u1", "assistant"),
        message("b2", "u2", "assistant"),
        message("b3", "u2", "assistant"),
        message("p", None, "user"),
        message("c", "p", "assistant"),
        message("late", "a2", "user"),  # never answered
    ]
    trees = {tree.id: tree for tree in trees_from_logs(log[::-1])}
    assert set(trees) == {"q", "p"}
    tree = trees["q"]
    texts = {tree.trajectories[leaf].completion for leaf in tree.leaves}
    assert texts == {"text of a2", "text of b1", "text of b2", "text of b3"}
    found = {tuple(sorted(one.completion[-2:] for one in pair.trajectories)) for pair in tree.pairs(99, beyond="cap")}
    assert found == {
        ("a2", "b1"),
        ("a2", "b2"),
        ("a2", "b3"),
        ("b2", "b3"),
    }  # b1 answers another question than b2 and b3
    place = {tree.trajectories[leaf].completion: leaf for leaf in tree.leaves}
    with pytest.raises(ValueError, match="they answer different prompts"):
        tree.pair(place["text of b1"], place["text of b2"])


@pytest.mark.parametrize(
    ("log", "message_"),
    [
        ([{"id": "a", "role": "user", "content": "x"}], "message 0 has no 'parent'"),
        ([message("a", None, "user"), message("a", None, "user")], "two messages have the id 'a'"),
        ([message("a", "b", "user")], "message 'a' answers 'b', which is not there"),
        ([message("a", "b", "user"), message("b", "a", "user")], "2 messages hang together in a circle"),
    ],
)
def test_logs_that_are_none(log: list[dict[str, Any]], message_: str) -> None:
    with pytest.raises(ValueError, match=message_):
        trees_from_logs(log)
