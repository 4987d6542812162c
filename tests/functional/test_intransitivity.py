from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.functional.intransitivity import diagnose_intransitivity, hodge_split, nash_strategy, rank_preferences

CIRCLE = torch.tensor([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])


def table(seed, count=5):
    scores = torch.randn(count, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return scores - scores.T


def transitive(count=5, seed=0):
    values = torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values[:, None] - values[None, :]


def test_a_circle_is_all_cyclic_and_differences_are_not_at_all():
    assert hodge_split(CIRCLE).share == pytest.approx(1.0)
    assert hodge_split(transitive()).share == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_parts_add_up_and_are_orthogonal(seed):
    scores = table(seed)
    weights = (torch.rand(5, 5, generator=torch.Generator().manual_seed(seed)) > 0.3).double()
    weights = torch.triu(weights, 1) + torch.triu(weights, 1).T
    split = hodge_split(scores, weights)
    seen = weights > 0
    assert torch.allclose((split.transitive + split.cyclic)[seen], scores[seen])
    assert abs(float((weights * split.transitive * split.cyclic).sum())) < 1e-8
    assert torch.allclose((weights * split.cyclic).sum(1), torch.zeros(5, dtype=torch.float64), atol=1e-8)


def test_the_share_by_brute_force_over_triangles():
    scores = table(3, 3)
    loop = float(scores[0, 1] + scores[1, 2] + scores[2, 0])  # on one triangle the cyclic part is a third of the loop
    assert hodge_split(scores).share == pytest.approx((loop**2 / 3) / float((scores**2).sum() / 2))


def test_a_chain_closes_no_cycle():
    weights = torch.tensor([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]])
    split = hodge_split(table(0, 3), weights)
    assert split.cycles == 0
    assert np.isnan(split.share)


def drawn(scores, repeats, seed):
    draw = np.random.default_rng(seed)
    first, second = (np.repeat(one, repeats) for one in np.triu_indices(len(scores), 1))
    chance = torch.sigmoid(scores[first, second]).numpy()
    return SimpleNamespace(first=first, second=second, label=(draw.random(len(first)) < chance).astype(float))


def test_the_diagnosis_tells_noise_from_cycles():
    noise = diagnose_intransitivity(drawn(transitive(6), 5, 0))
    circles = diagnose_intransitivity(drawn(3 * torch.block_diag(CIRCLE, CIRCLE), 20, 0))
    assert noise.needs_general_preferences is False
    assert noise.share == pytest.approx(noise.by_chance, abs=0.2)
    assert circles.needs_general_preferences is True
    assert circles.share > 0.8
    assert "cyclic (noise alone" in str(circles)


def test_the_diagnosis_of_a_table():
    found = diagnose_intransitivity(CIRCLE)
    assert (found.items, found.comparisons, found.cycles) == (3, 3, 1)
    assert found.needs_general_preferences is True


def test_comparisons_that_cannot_tell_say_so():
    found = diagnose_intransitivity(SimpleNamespace(first=[0, 2], second=[1, 3], label=[1.0, 0.0]))
    assert found.needs_general_preferences is None
    assert "close no cycle" in str(found)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9))
def test_nobody_is_preferred_to_the_nash_mixture(seed, count):
    scores = table(seed, count)
    strategy = nash_strategy(scores)
    assert strategy.sum().item() == pytest.approx(1.0)
    assert (strategy >= 0).all()
    assert (scores @ strategy).max().item() < 1e-8


def test_nash_by_hand():
    assert nash_strategy(CIRCLE).tolist() == pytest.approx([1 / 3] * 3)
    uneven = CIRCLE.clone()
    uneven[0, 1], uneven[1, 0] = 2.0, -2.0
    assert nash_strategy(uneven).tolist() == pytest.approx([1 / 4, 1 / 4, 1 / 2])
    assert nash_strategy(transitive(4, 2)).argmax() == transitive(4, 2).sum(1).argmax()
    assert nash_strategy(torch.zeros(3, 3)).sum().item() == pytest.approx(1.0)


def test_rules_agree_where_preferences_are_transitive_and_name_the_winner():
    scores = transitive(5, 4)
    best = int(scores.sum(1).argmax())
    for rule in ("mean_score", "wins", "nash"):
        ranking = rank_preferences(scores, rule)
        assert ranking.order[0] == ranking.condorcet == best
        assert ranking.note is None


def test_wins_count_ties_half():
    scores = torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 0]])
    assert rank_preferences(scores, "wins").values.tolist() == [1.5, 0.5, 1.0]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (torch.zeros(2, 3), "square table, got shape"),
        (torch.ones(2, 2), "must be antisymmetric.*log-odds or probabilities minus 0.5"),
        (torch.full((2, 2), float("nan")), "must be finite, got nan in row 0, column 0"),
    ],
)
def test_bad_tables_are_named(scores, message):
    with pytest.raises(ValueError, match=message):
        rank_preferences(scores)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="rule must be .*'borda'"):
        rank_preferences(CIRCLE, "borda")
    with pytest.raises(ValueError, match="weights must be symmetric"):
        hodge_split(CIRCLE, torch.triu(torch.ones(3, 3)))
    with pytest.raises(TypeError, match="expected an antisymmetric table or preferences"):
        diagnose_intransitivity(3)
    with pytest.raises(ValueError, match="no comparisons of two different items"):
        diagnose_intransitivity(SimpleNamespace(first=[0], second=[0], label=[1.0]))


def test_sure_orders_are_not_taken_for_cycles():
    """One side always wins: log-odds out of counted votes level off, which must not look like cycles."""
    found = [diagnose_intransitivity(drawn(6 * transitive(10, seed), 20, seed), samples=40) for seed in range(8)]
    assert sum(one.needs_general_preferences for one in found) <= 1
    assert np.mean([one.share - one.by_chance for one in found]) == pytest.approx(0.0, abs=0.03)
