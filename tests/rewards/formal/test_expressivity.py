"""What can be expressed: the tables, every witness, the programme against brute force, and what bad orders say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rewardlab as rl
from rewardlab.environments.tabular import MarkovDecisionProcess, deterministic_policies
from rewardlab.rewards.formal.expressivity import (
    FORMALISMS,
    SEPARATED,
    WITNESSES,
    PolicyOrder,
    check_witness,
    contains,
    expressible,
    markov_expressible,
    relation,
    separations,
    suggest,
)
from rewardlab.rewards.formal.expressivity.page import insert
from rewardlab.rewards.formal.expressivity.worlds import binary, process
from rewardlab.rewards.formal.objectives import Markov, OuterNonlinear

ROOT = Path(__file__).parents[3]
SHORT = [one.short for one in FORMALISMS]


def test_the_tables_decide_every_pair_and_agree_with_themselves():
    assert len(SHORT) == len(set(SHORT)) == 17
    for more in SHORT:
        for less in SHORT:
            assert relation(more, less) != "unknown", (more, less)
            assert not (contains(more, less) and separations(more, less)), (more, less)
    # what the paper's abstract says: each of five can state what none of the four others can
    five = ("RRL", "ONMR", "RM", "LTL", "LAR")
    assert all(relation(more, less) == "no" for more in five for less in five if more != less)
    assert relation("FPR", "TLO") == relation("TLO", "FPR") == "no"
    assert all(relation("PO", less) == "yes" for less in SHORT)
    assert relation("FTR", "IMORL") == relation("IMORL", "FTR") == "yes"
    with pytest.raises(ValueError, match="unknown formalism 'LTLX'; did you mean 'LTL'"):
        relation("LTLX", "MR")


@pytest.mark.parametrize("entry", SEPARATED, ids="-".join)
def test_every_separation_runs(entry):
    finding = check_witness(*entry)
    assert finding.shown, finding.text


def test_every_witness_is_used_and_says_what_it_is_for():
    assert {name for _, _, name in SEPARATED} == set(WITNESSES)
    with pytest.raises(ValueError, match="says nothing about RM; it does about MR"):
        check_witness("INMR", "RM", "enough_is_enough")
    with pytest.raises(ValueError, match="is a task of INMR, not of LTL"):
        check_witness("LTL", "MR", "enough_is_enough")


def test_an_argument_that_does_not_go_through_is_not_shown():
    """The same arguments fail where the task is expressible."""
    from rewardlab.rewards.formal.expressivity import witnesses

    world = process([[0, 0]], rewards=[[0.0, 1.0]])
    policies = np.stack([binary(share) for share in (0.0, 0.5, 1.0)])
    assert not witnesses._linear(world, Markov(), policies, "MR")[0]
    assert not witnesses._tie(world, OuterNonlinear(lambda mean: mean), policies, "ONMR")[0]
    assert not witnesses._jump(world, Markov(), policies, "RM")[0]
    assert not witnesses._same(world, Markov(), policies, "LAR")[0]


def test_the_page_is_what_the_tables_give():
    page = (ROOT / "docs/control/expressivity.md").read_text(encoding="utf-8")
    assert page == insert(page), (
        "run: python -m rewardlab.rewards.formal.expressivity.page docs/control/expressivity.md"
    )
    with pytest.raises(ValueError, match="the page must hold the lines"):
        insert("nothing")


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_orders_of_random_rewards_are_found_again(seed):
    generator = np.random.default_rng(seed)
    transitions = generator.dirichlet(np.ones(3), size=(3, 2))
    mdp = MarkovDecisionProcess(transitions, np.zeros((3, 2)), 0.8, generator.dirichlet(np.ones(3)))
    policies = deterministic_policies(mdp)
    truth = Markov(generator.normal(size=(3, 2)))
    order = PolicyOrder.of(truth, mdp, policies)
    verdict = markov_expressible(order)
    assert verdict.expressible
    assert Markov(verdict.rewards).order(mdp, list(policies)) == truth.order(mdp, list(policies))
    assert "a Markov reward orders these 8 policies" in verdict.explain()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_refusals_carry_a_certificate_that_anyone_can_check(seed):
    generator = np.random.default_rng(seed)
    transitions = generator.dirichlet(np.ones(2), size=(2, 2))
    mdp = MarkovDecisionProcess(transitions, np.zeros((2, 2)), 0.7, np.array([0.5, 0.5]))
    policies = deterministic_policies(mdp)
    order = PolicyOrder.acceptable(mdp, policies, [0, 3])  # both actions alike: an exclusive or
    verdict = markov_expressible(order, discount=0.7)
    assert not verdict.expressible
    assert verdict.residual < 1e-9
    visits = mdp.occupancy(policies)
    total = sum(weight * (visits[better] - visits[worse]) for better, worse, weight in verdict.certificate)
    assert np.abs(total).max() < 1e-8
    strict = [weight for better, worse, weight in verdict.certificate if (better, worse) in order.strict]
    assert min(strict) > 0
    assert sum(strict) == pytest.approx(1.0)
    assert "add up to 0, because their discounted visits do" in verdict.explain()


def test_several_discounts():
    """Sooner but less against later and more: which is better depends on the discount."""
    mdp = process([[1, 2], [3, 3], [4, 4], [3, 3], [4, 4]])
    mixed = np.stack([binary(share, 0, 0, 0, 0) for share in (0.0, 0.5, 1.0)])
    verdict = markov_expressible(PolicyOrder.tiers(mdp, mixed, [[0], [1], [2]]), discount=(0.0, 0.9))
    assert verdict.expressible
    assert verdict.discount == 0.0
    refused = markov_expressible(PolicyOrder.tiers(mdp, mixed, [[0, 2], [1]]), discount=(0.0, 0.5, 0.9))
    assert not refused.expressible
    assert list(refused.margins) == [0.0, 0.5, 0.9]
    with pytest.raises(ValueError, match=r"discounts must be in \[0, 1\)"):
        markov_expressible(PolicyOrder.tiers(mdp, mixed, [[0], [1, 2]]), discount=1.0)


def test_nothing_is_earned_after_the_end():
    """What a policy would do in a terminal state tells it from no other, and the reward found pays nothing there."""
    mdp = process([[1, 2], [1, 1], [2, 2]], terminal=np.array([False, True, True]))
    same = np.stack([binary(0.5, 0, 0), binary(0.5, 1, 1)])
    order = PolicyOrder.tiers(mdp, same, [[0], [1]])
    assert not markov_expressible(order).expressible
    assert expressible(order, "TLO").expressible is False
    found = markov_expressible(PolicyOrder.tiers(mdp, np.stack([binary(0, 0, 0), binary(1, 0, 0)]), [[0], [1]]))
    assert mdp.with_rewards(found.rewards).optimal_policy()[0] == pytest.approx([0.0, 1.0])


def one_state() -> MarkovDecisionProcess:
    return process([[0, 0]])


BINARY = np.stack([binary(share) for share in (0.0, 0.5, 1.0)])


def test_acceptable_sets():
    """Equal: they must tie among themselves; range: they need not."""
    mdp = one_state()
    assert not markov_expressible(PolicyOrder.acceptable(mdp, BINARY, [1, 2])).expressible
    assert markov_expressible(PolicyOrder.acceptable(mdp, BINARY, [1, 2], equal=False)).expressible
    with pytest.raises(ValueError, match="some policies must be acceptable and some not, got 3 of 3"):
        PolicyOrder.acceptable(mdp, BINARY, [0, 1, 2])


def test_what_can_state_a_task():
    order = PolicyOrder.tiers(one_state(), BINARY, [[0, 2], [1]], names=("never", "half", "always"))
    assert rl.expressible is expressible
    verdict = expressible(order, "MR")
    assert verdict.expressible is False
    assert "return of half" in verdict.reason
    assert [expressible(order, short).expressible for short in ("LAR", "RRL", "RM", "ONMR", "FPR")] == [
        False,
        True,
        True,
        True,
        True,
    ]
    assert expressible(order, "LTL").expressible is None
    least = [one.formalism for one in suggest(order)]
    assert set(least) == {"RM", "RRL", "ONMR"}
    plain = PolicyOrder.tiers(one_state(), BINARY, [[0], [1], [2]])
    assert {one.formalism for one in suggest(plain)} == {"MR", "LAR"}


def test_what_no_trajectory_shows():
    mdp = process([[0, 0], [0, 0]])
    policies = np.stack([binary(0, 0), binary(0, 1)])
    order = PolicyOrder.tiers(mdp, policies, [[0], [1]])
    for short in SHORT:
        assert expressible(order, short).expressible is (short in ("FPR", "PO")), short
    assert [one.formalism for one in suggest(order)] == ["FPR"]


def test_one_shot_tasks_are_decided_by_all_trajectories():
    mdp = process([[1, 2], [1, 1], [2, 2]], terminal=np.array([False, True, True]))
    policies = np.stack([binary(share, 0, 0) for share in (0.0, 0.5, 1.0)])
    order = PolicyOrder.tiers(mdp, policies, [[0, 2], [1]])
    assert expressible(order, "FTR").expressible is False
    assert expressible(order, "RM").expressible is False
    assert expressible(order, "RRL").expressible is True
    assert "probabilities of trajectories" in expressible(order, "INMR").reason


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: PolicyOrder.pairs(one_state(), BINARY, [(0, 1), (1, 2), (2, 0)], names=("low", "mid", "high")),
            "the order has a cycle: low is better than mid, mid is better than high, high is better than low",
        ),
        (
            lambda: PolicyOrder.pairs(one_state(), BINARY, [(0, 1), (2, 0)], [(1, 2)]),
            r"the order has a cycle: .*\(ties count as equal\)",
        ),
        (
            lambda: PolicyOrder.pairs(one_state(), BINARY, [(0, 0)]),
            "the order has a cycle: policy 0 is better than policy 0",
        ),
        (
            lambda: PolicyOrder.pairs(one_state(), BINARY, [(0, 1), (0, 2)], total=True),
            "nothing orders policy 1 and policy 2; give that pair or a tie",
        ),
        (lambda: PolicyOrder.tiers(one_state(), BINARY, [[0], [1]]), r"the tiers leave out policies \[2\]"),
        (lambda: PolicyOrder.tiers(one_state(), BINARY, [[0, 1], [1, 2]]), "policy 1 stands in two tiers"),
        (lambda: PolicyOrder.tiers(one_state(), BINARY, [[0, 1, 2]]), "no two policies of which one is better"),
        (lambda: PolicyOrder.pairs(one_state(), BINARY, [(7, 0)]), r"the order names policy 7, and there are 3"),
        (lambda: PolicyOrder.pairs(one_state(), BINARY, [(1, 0)], names=("a",)), "there are 3 policies and 1 names"),
        (lambda: PolicyOrder.tiers(one_state(), [np.ones((2, 2))], [[0]]), r"a policy must be \[\.\.\., 1, 2\]"),
        (lambda: expressible(PolicyOrder.tiers(one_state(), BINARY, [[0], [1, 2]]), "XX"), "unknown formalism 'XX'"),
        (
            lambda: expressible(PolicyOrder.tiers(one_state(), BINARY, [[0], [1, 2]]), "RM", steps=0),
            "steps must be at least 1",
        ),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_task_is_an_order():
    with pytest.raises(TypeError, match="a task is a PolicyOrder, got list; build one with"):
        expressible([1, 2], "MR")  # type: ignore[arg-type]


def test_total_orders_and_pairs_agree():
    mdp = one_state()
    pairs = PolicyOrder.pairs(mdp, BINARY, [(1, 0), (2, 1)], total=True)
    tiers = PolicyOrder.tiers(mdp, BINARY, [[0], [1], [2]])
    assert (pairs.above() == tiers.above()).all()
