from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.policies.engines.base import Sampling
from rewardlab.recipes.pieces import piece_policy
from rewardlab.recipes.tree_preferences import (
    RECIPE,
    Arms,
    PrefixTreeSampler,
    Segment,
    Tree,
    World,
    chain_pairs,
    preference_data,
    resistances,
    simulated_distance,
    topology_report,
)
from rewardlab.recipes.tree_preferences.proof import proof
from rewardlab.recipes.tree_preferences.sampling import segment_end
from rewardlab.recipes.tree_preferences.topology import components
from rewardlab.recipes.tree_preferences.world import SequenceEncoder
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Task, Trajectory


@dataclass
class Script:
    """Writes letters of given texts, one text for each continuation that is asked for; `$` ends a response."""

    texts: Sequence[str]
    asked: list[list[int]] = field(default_factory=list)

    def open(self, task: Task) -> list[int]:
        return [0]

    def extend(self, contexts: Sequence[Sequence[int]], most: Sequence[int], seeds: Sequence[int]) -> list[Segment]:
        found = []
        for context, count in zip(contexts, most, strict=True):
            text = self.texts[len(self.asked) % len(self.texts)]
            self.asked.append(list(context))
            ids = [ord(letter) for letter in text[:count]]
            stopped = "$" in text[:count]
            ids = ids[: text.index("$") + 1] if stopped else ids
            found.append(Segment(ids=ids, logprobs=[-1.0] * len(ids), stopped=stopped))
        return found

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids)).replace("$", "")

    def trajectory(self, task: Task, opening: Any, ids: Any, logprobs: Any, stopped: bool) -> Trajectory:
        return Trajectory.from_text("q", self.decode(ids), task=task, terminated=stopped, truncated=not stopped)


def sampled(**options: Any) -> Tree:
    world = World(seed=1)
    return PrefixTreeSampler(policy=world.writer, budget=9, **options).sample(world.tasks[0])


def test_leaves_share_their_beginnings_and_tokens_are_counted_once() -> None:
    tree = sampled(depth=2, branching=3)
    assert len(tree.leaves) == 9
    assert tree.generated == 3 * 4 + 9 * 5  # a third of the leaves shares each first segment of 9 // 2 tokens
    assert all(len(tree.ids(leaf)) == 9 for leaf in tree.leaves)
    np.testing.assert_allclose(tree.logprobs, 9 * -np.log(8))
    assert len({tree.ids(leaf)[:4] for leaf in tree.leaves}) == 3
    again = sampled(depth=2, branching=3)
    assert [tree.ids(leaf) for leaf in tree.leaves] == [again.ids(leaf) for leaf in again.leaves]
    assert sampled(depth=1, branching=2).generated == 18  # the chain


def test_a_response_that_ends_early_is_a_leaf_and_nothing_follows_it() -> None:
    writer = Script(["ab$", "cdef", "gh$", "ij$"])
    tree = PrefixTreeSampler(policy=writer, depth=2, branching=2, budget=8).sample("q")
    assert [(tree.nodes[leaf].depth, tree.text(leaf)) for leaf in tree.leaves] == [
        (1, "ab"),
        (2, "cdefgh"),
        (2, "cdefij"),
    ]
    assert writer.asked[2] == [0, *map(ord, "cdef")]  # the prefix goes on as tokens
    assert [tree.trajectories[leaf].terminated for leaf in tree.leaves] == [True, True, True]
    cut = PrefixTreeSampler(policy=Script(["abcd", "efgh"]), depth=1, branching=2, budget=3).sample("q")
    assert [one.truncated for one in cut.trajectories.values()] == [True, True]


def test_segments_of_sentences_and_steps() -> None:
    writer = Script(["x"])
    assert segment_end(writer, list(map(ord, "It is 3.14. Then")), "sentence") == len("It is 3.14.")
    assert segment_end(writer, list(map(ord, "It is 3.14")), "sentence") is None
    assert segment_end(writer, list(map(ord, 'He said "no!" twice')), "sentence") == len('He said "no!"')
    assert segment_end(writer, list(map(ord, "\n1. add\n2. ")), "step") == len("\n1. add\n")
    tree = PrefixTreeSampler(
        policy=Script(["One. Two", "Six. Ten", " end$", " fin$", " end$", " fin$"]),
        depth=2,
        branching=2,
        segment="sentence",
        budget=40,
    ).sample("q")
    assert [tree.text(leaf) for leaf in tree.leaves] == ["One. end", "One. fin", "Six. end", "Six. fin"]
    assert tree.generated == 2 * 8 + 4 * 5  # what was thrown away behind the full stop was drawn all the same


def test_pairs_know_where_they_part() -> None:
    tree = sampled(depth=3, branching=2)
    pairs = tree.pairs(28)
    assert len({(pair.first, pair.second) for pair in pairs}) == 28
    for pair in pairs:
        one, other = tree.ids(pair.first), tree.ids(pair.second)
        assert one[: pair.divergence_index] == other[: pair.divergence_index]
        assert one[pair.divergence_index] != other[pair.divergence_index]
        assert pair.divergence_index >= 3 * pair.lca_depth
        assert pair.shared + pair.suffixes[0] == tree.text(pair.first)
        assert pair.trajectories[1] is tree.trajectories[pair.second]
    counts = np.bincount([pair.lca_depth for pair in pairs])
    assert counts.tolist() == [16, 8, 4]
    assert {pair.lca_depth for pair in tree.pairs(4, "sibling")} == {2}
    assert np.bincount([pair.lca_depth for pair in tree.pairs(9, "lca")]).tolist() == [3, 3, 3]
    disjoint = tree.pairs(4, disjoint=True, beyond="cap")
    assert len({leaf for pair in disjoint for leaf in (pair.first, pair.second)}) == 2 * len(disjoint)
    assert len(tree.pairs(99, beyond="cap")) == 28
    assert len(tree.pairs(99, beyond="repeat")) == 99


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"branching": 1}, "branching must be at least 2, got 1: one continuation gives no pairs"),
        ({"segment": "word"}, "segment must be 'tokens', 'sentence' or 'step', got 'word'"),
        ({"depth": 12}, "at least one token for each of 12 segments, got 9"),
    ],
)
def test_trees_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sampled(**options)


def test_pairs_that_cannot_be() -> None:
    tree = sampled(depth=1, branching=2)
    with pytest.raises(
        ValueError, match=r"has 1 pairs of different leaves, 2 were asked for.*beyond='cap' or 'repeat'"
    ):
        tree.pairs(2)
    with pytest.raises(ValueError, match="n must be at least 1"):
        tree.pairs(0)
    with pytest.raises(ValueError, match="strategy must be"):
        tree.pairs(1, "deep")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="beyond must be"):
        tree.pairs(1, beyond="more")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="node 0 of tree .* is not a leaf"):
        tree.pair(0, 1)
    with pytest.raises(ValueError, match="cannot be compared with itself"):
        tree.pair(1, 1)
    with pytest.raises(TypeError, match="policy must be a LanguageModelPolicy or a Writer, got str"):
        PrefixTreeSampler(policy="gpt").sample("q")
    with pytest.raises(ValueError, match="needs prompts and at least one pair"):
        chain_pairs(World(seed=0).writer, [], 3)


def test_equal_responses_are_left_out_and_warned_about() -> None:
    tree = PrefixTreeSampler(policy=Script(["a$", "a$", "b$"]), depth=1, branching=3, budget=4).sample("q")
    with pytest.warns(UserWarning, match="1 of 3 pairs of leaves .* are equal.*higher temperature"):
        assert len(tree.pairs(9, beyond="cap")) == 2
    with pytest.raises(ValueError, match="no two leaves that differ: 2 leaves, 1 pairs of equal ones"):
        PrefixTreeSampler(policy=Script(["a$"]), depth=1, branching=2, budget=4).sample("q").pairs(1)


def test_a_language_model_grows_trees_on_its_own_tokens() -> None:
    policy = piece_policy(["a", "b", "c", "d"], hidden=16, layers=1, heads=2, context=32)
    sampler = PrefixTreeSampler(
        policy=policy, depth=2, branching=2, budget=8, sampling=Sampling(temperature=2.0), seed=3
    )
    trees = sampler.sample_many(["a b", "a b"])
    assert [tree.id for tree in trees] == [f"{trees[0].task.id}/0", f"{trees[0].task.id}/1"]
    assert trees[0].ids(trees[0].leaves[0]) != trees[1].ids(trees[1].leaves[0])
    for leaf, trajectory in trees[0].trajectories.items():
        assert trajectory.tokens is not None
        written = trajectory.tokens.ids[trajectory.tokens.step == 0]
        assert tuple(written) == trees[0].ids(leaf)
        assert trajectory.completion == trees[0].text(leaf)
    other = piece_policy(["a", "b", "c", "d"], hidden=16, layers=1, heads=2, context=32, seed=1)
    policy.model.load_state_dict(other.model.state_dict())  # weights that have changed are read again
    trained, fresh = (
        PrefixTreeSampler(policy=one, depth=2, branching=2, budget=8, seed=3).sample("a b") for one in (policy, other)
    )
    assert [trained.ids(leaf) for leaf in trained.leaves] == [fresh.ids(leaf) for leaf in fresh.leaves]
    np.testing.assert_allclose(trained.logprobs, fresh.logprobs)
    pairs = chain_pairs(policy, ["a", "b"], 3, budget=6, seed=1)
    assert [pair.lca_depth for pair in pairs] == [0, 0, 0]
    assert len({pair.tree_id for pair in pairs}) == 3


# ---- topology -------------------------------------------------------------------------------------------------------------


def test_resistances_by_hand() -> None:
    """In series they add; in parallel their inverses do; without a path they are infinite."""
    assert resistances(4, [(0, 1), (1, 2)], [2.0, 3.0], [0, 2, 0, 1], [2, 0, 3, 1]).tolist() == [
        5.0,
        5.0,
        math.inf,
        0.0,
    ]
    np.testing.assert_allclose(resistances(2, [(0, 1), (0, 1)], [2.0, 2.0], [0], [1]), [1.0])
    assert components(4, [(0, 1), (1, 2)]).tolist() in ([0, 0, 0, 1], [1, 1, 1, 0])
    with pytest.raises(ValueError, match="variance above 0"):
        resistances(2, [(0, 1)], [0.0], [0], [1])
    with pytest.raises(ValueError, match="names node 2, there are 2 nodes"):
        resistances(2, [(0, 2)], [1.0], [0], [1])


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_resistances_match_the_pseudo_inverse_and_no_comparison_raises_them(seed: int) -> None:
    generator = np.random.default_rng(seed)
    chain = [(node, node + 1) for node in range(5)]
    edges = [*chain, *map(tuple, generator.integers(0, 6, size=(3, 2)).tolist())]
    edges = [edge for edge in edges if edge[0] != edge[1]]
    variances = generator.uniform(0.1, 3, len(edges))
    first, second = np.array([(a, b) for a in range(6) for b in range(6)]).T
    found = resistances(6, edges, variances, first, second)
    laplacian = np.zeros((6, 6))
    for (a, b), variance in zip(edges, variances, strict=True):
        step = np.eye(6)[a] - np.eye(6)[b]
        laplacian += np.outer(step, step) / variance
    inverse = np.linalg.pinv(laplacian)
    by_hand = inverse[first, first] + inverse[second, second] - 2 * inverse[first, second]
    np.testing.assert_allclose(found, by_hand, atol=1e-9)
    np.testing.assert_allclose(found.reshape(6, 6), found.reshape(6, 6).T)
    assert (found[first != second] > 0).all()
    one, other = generator.permutation(6)[:2]
    more = resistances(6, [*edges, (one, other)], [*variances, 1.0], first, second)
    assert (more <= found + 1e-9).all()  # Rayleigh


def test_reports_tell_small_trees_from_few_big_ones() -> None:
    arms = Arms(world=World(seed=1, prompts=8), tests=20)
    small, big = arms.small_trees(40), arms.big_trees(80, branching=2)
    good, bad = topology_report(small, beta=3.0), topology_report(big, data=preference_data(big, arms.world.judge(0)))
    assert good.responses_per_comparison == 2
    assert good.flags() == []
    assert 0 < good.shared_saving < 0.5
    assert 0.7 < bad.responses_per_comparison <= 64 / 80
    assert "draw more and smaller trees" in bad.flags()[0]
    assert bad.components == 8
    assert sum(bad.lca_histogram.values()) == 80
    assert "comparisons of" in str(bad)
    tokens = topology_report(small, lambda items: np.array([one.observations[0] for one in items]))
    assert tokens.joined > good.joined
    assert np.isfinite(tokens.inference_distance)
    with pytest.raises(ValueError, match="embed gave"):
        topology_report(small, lambda items: np.zeros(3))
    with pytest.raises(ValueError, match="no pairs to report on"):
        topology_report([])
    with pytest.raises(ValueError, match="beta must be positive"):
        topology_report(small, beta=0)


@pytest.mark.parametrize("kind", ["chain", "tree"])
def test_more_comparisons_lower_the_distance(kind: str) -> None:
    options = {"branching": 3, "depth": 4, "queries": 100}
    found = [simulated_distance(kind, count, **options) for count in (20, 80, 320)]  # type: ignore[arg-type]
    assert found[0] > found[1] > found[2] > 0
    with pytest.raises(ValueError, match="kind must be 'chain' or 'tree'"):
        simulated_distance("ring", 3)


# ---- the proof ------------------------------------------------------------------------------------------------------------


def test_the_arms_have_the_same_number_of_comparisons_and_other_costs() -> None:
    arms = Arms(world=World(seed=4), tests=40)
    chain, small, big = arms.chain(80), arms.small_trees(80), arms.big_trees(80, branching=3)
    assert len(chain) == len(small) == len(big) == 80
    assert arms.generated(small) / arms.generated(chain) == pytest.approx(42 / 72)
    assert len({pair.tree_id for pair in small}) == 20
    assert len({pair.tree_id for pair in big}) == 40
    rewards = arms.world.rewards(arms.independent.items)
    assert rewards.mean() == pytest.approx(0, abs=0.5)
    assert rewards.std() == pytest.approx(1, abs=0.3)
    assert all(row["lca_depth"] > 0 for row in arms.shared_prefix.metadata or [])
    assert not set(arms.unseen.prompts()) & set(arms.independent.prompts())


def test_the_proof_returns_every_claim() -> None:
    outcomes = proof(100, comparisons=80, epochs=1.0, tests=24)
    assert set(outcomes) == {claim.name for claim in RECIPE.claims}
    assert all(math.isfinite(entry.method) and math.isfinite(entry.baseline) for entry in outcomes.values())


def test_the_encoder_survives_disk(tmp_path: Any) -> None:
    model = RewardModel.make(SequenceEncoder(8, 4, hidden=6), "scalar")
    items = [tree.trajectories[leaf] for tree in [sampled(depth=1, branching=3)] for leaf in tree.leaves]
    before = model(items).values
    model.save(tmp_path / "model")
    assert np.array_equal(RewardModel.load(tmp_path / "model")(items).values, before)
    wrong = Trajectory(observations=np.full((1, 6), 9.0, np.float32), actions=np.zeros((0,), np.float32))
    with pytest.raises(ValueError, match="trajectory 0 must hold 4 numbers and then tokens below 8"):
        model.network.encoder.prepare([wrong])
