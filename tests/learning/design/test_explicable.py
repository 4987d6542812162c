from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.environments.tabular import MarkovDecisionProcess
from rewardlab.functional.tabular import action_values, evaluate_policy, optimal_actions, value_iteration
from rewardlab.learning.design import Infeasible, Leaves, explicable
from rewardlab.learning.design.invariance import invariance, within
from rewardlab.learning.design.programme import programme
from rewardlab.rewards import from_spec
from rewardlab.types import Trajectory
from tests.learning.design.worlds import corridor, random_world


def optimal(world: MarkovDecisionProcess, table: np.ndarray) -> np.ndarray:
    return optimal_actions(value_iteration(world.transitions, table, world.discount)[1], 1e-7)[~world.terminal]


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_constraints_are_differences_of_action_values(seed: int) -> None:
    world, generator = random_world(seed), np.random.default_rng(seed)
    table = generator.normal(size=world.rewards.shape)
    constraints = invariance(world)
    policy = constraints.policies[0]
    values = evaluate_policy(world.transitions, table, policy, world.discount)
    expected = values[:, None] - action_values(world.transitions, table, values, world.discount)
    assert np.allclose((constraints.differences[0] @ table.ravel()).reshape(table.shape), expected)
    slack = constraints.slacks(world.rewards)
    assert np.nanmin(slack) >= -1e-9  # the original reward is feasible
    assert np.isnan(slack[-1]).all()


def test_short_horizons_by_recursion() -> None:
    world = random_world(3)
    policy = invariance(world).policies[0]
    table = np.random.default_rng(0).normal(size=world.rewards.shape)
    ahead = np.zeros(len(table))
    for horizon in range(1, 5):
        q = table + world.discount * world.transitions @ ahead
        ahead = (policy * q).sum(1)
        found = (within(world.transitions, policy, world.discount, horizon) @ table.ravel()).reshape(table.shape)
        assert np.allclose(found, ahead[:, None] - q)


@given(seed=st.integers(0, 10_000), structure=st.sampled_from([None, "state"]))
@settings(max_examples=15, deadline=None)
def test_designs_keep_the_optimal_policies_and_are_no_less_informative(seed: int, structure: str | None) -> None:
    world = random_world(seed)
    bound = 50.0
    if structure == "state" and programme(world, structure="state").smallest_bound(np.ones(4, dtype=bool)) is None:
        with pytest.raises(Infeasible, match="whatever the bound"):  # one number for all actions need not be enough
            explicable(world, budget=10, structure=structure, maximum=bound)
        return
    try:
        reward = explicable(world, budget=2, structure=structure, maximum=bound)
    except Infeasible:
        if structure == "state":  # two states more may be too few
            return
        raise
    assert (optimal(world, reward.array) == optimal(world, world.rewards)).all()
    certificate = reward.certificate()
    assert certificate.holds
    assert np.abs(reward.array).max() <= bound + 1e-9
    assert set(np.flatnonzero(np.abs(reward.array).max(1))) <= set(reward.active)
    if structure is None:
        assert reward.informativeness() >= reward.original_informative - 1e-7
        more = explicable(world, budget=10, maximum=bound)
        assert more.informativeness() >= reward.informativeness() - 1e-7


def test_the_programme_finds_the_best_by_brute_force() -> None:
    """A grid over the two free entries of one state finds nothing better."""
    world = corridor(2)
    reward = explicable(world, budget=0, horizons=(1,), maximum=1.0)
    design = programme(world, horizons=(1,), maximum=1.0)
    best = -np.inf
    for left in np.linspace(-1, 1, 41):
        for right in np.linspace(-1, 1, 41):
            table = np.zeros((3, 2))
            table[1] = left, right
            if np.nanmin(design.constraints.slacks(table)) >= -1e-9:
                best = max(best, design.informativeness(table))
    assert reward.informativeness() == pytest.approx(best, abs=1e-6)


def test_penalty_buys_smaller_entries() -> None:
    world = corridor()
    plain, small = explicable(world, budget=2), explicable(world, budget=2, penalty=0.01)
    assert np.abs(small.array).sum() < np.abs(plain.array).sum()
    assert small.certificate().holds


def test_leaves_share_rewards_and_have_names() -> None:
    world = corridor()
    tree = Leaves.from_predicates({"at the end": np.arange(6) == 4, "first half": np.arange(6) < 3})
    assert tree.names == (
        "not at the end and not first half",
        "not at the end and first half",
        "at the end and not first half",
    )
    reward = explicable(world, structure=tree)
    assert (reward.array[0] == reward.array[2]).all()
    assert (reward.array[5] == 0).all()  # the end pays nothing, whatever its leaf
    assert (optimal(world, reward.array) == optimal(world, world.rewards)).all()
    with pytest.raises(ValueError, match="at least one predicate"):
        Leaves.from_predicates({})


def test_infeasible_designs_say_what_would_do() -> None:
    world = corridor()
    with pytest.raises(Infeasible, match=r"maximum=0.1 keeps .* smallest feasible maximum is 0\.\d+") as caught:
        explicable(world, budget=0, maximum=0.1)
    smallest = caught.value.smallest
    assert smallest is not None
    assert explicable(world, budget=0, maximum=smallest * 1.001).certificate().holds
    with pytest.raises(Infeasible):
        explicable(world, budget=0, maximum=smallest * 0.99)
    with pytest.raises(Infeasible, match="whatever the bound"):
        explicable(world, structure=np.where(np.arange(12).reshape(6, 2) == 0, 0, -1))  # only left in the first cell


def test_messages_about_the_target_and_the_options() -> None:
    world = corridor()
    with pytest.raises(ValueError, match="not optimal under the original reward: in state 3 .* action 1 is worth"):
        explicable(world, np.array([1, 1, 1, 0, 1, 0]))
    with pytest.raises(ValueError, match=r"target_policy must be int\[6\].*float64\[2\]"):
        explicable(world, np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="names action 2, expected 0 to 1"):
        explicable(world, np.array([1, 1, 1, 1, 2, 0]))
    with pytest.raises(ValueError, match="horizons is empty"):
        explicable(world, horizons=())
    with pytest.raises(ValueError, match="numbers of steps from 1 .* got 0"):
        explicable(world, horizons=(0, 4))
    with pytest.raises(ValueError, match="active leaves out state 4"):
        explicable(world, active=[0, 1])
    with pytest.raises(ValueError, match="active names state 9"):
        explicable(world, active=[4, 9])
    with pytest.raises(ValueError, match="budget must be a number of states from 0, got -1"):
        explicable(world, budget=-1)
    with pytest.raises(ValueError, match="maximum must be a positive number, got 0"):
        explicable(world, maximum=0.0)
    with pytest.raises(ValueError, match=r"structure must be int\[6\]"):
        explicable(world, structure=np.zeros(4, dtype=int))
    with pytest.raises(ValueError, match="zero everywhere"):
        explicable(world.with_rewards(np.zeros((6, 2))))
    everything = explicable(world, budget=50)
    assert everything.active == (0, 1, 2, 3, 4)


def test_notes_name_vacuous_constraints_and_states_that_are_never_reached() -> None:
    moves = np.zeros((4, 2, 4))
    moves[0, 0, 1] = moves[0, 1, 2] = moves[1, :, 2] = moves[2, :, 2] = moves[3, :, 0] = 1.0
    rewards = np.zeros((4, 2))
    rewards[1] = 1.0
    world = MarkovDecisionProcess(moves, rewards, 0.9, np.eye(4)[0], np.array([False, False, True, False]))
    text = str(explicable(world, budget=1).certificate())
    assert "all actions are optimal in states 1, 3" in text
    assert "never reached from the start: state 3" in text
    assert "deterministic policies are optimal" in text
    # the listed policies and the mixture constrain alike
    listed = [[0, a, 0, b] for a in (0, 1) for b in (0, 1)]
    mixed, each = invariance(world), invariance(world, listed)
    table = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.5, 0.5]])
    assert np.nanmin(mixed.slacks(table)) == pytest.approx(np.nanmin(each.slacks(table)))
    many = invariance(world, listed * 5)
    assert len(many.policies) == 1


def test_a_designed_reward_scores_is_written_and_drawn(tmp_path) -> None:
    reward = explicable(corridor(), budget=1)
    again = from_spec(reward.to_spec())
    assert np.array_equal(again.array, reward.array)
    assert again.certificate().smallest == pytest.approx(reward.certificate().smallest)
    walk = Trajectory(observations=np.arange(6), actions=np.ones(5, dtype=int), terminated=True)
    assert reward([walk]).values[0] == pytest.approx(reward.array[np.arange(5), 1].sum())
    assert reward.plot(tmp_path / "reward.png").stat().st_size > 1000
    assert "| state | 0 | 1 |" in reward.table()
    positions = Trajectory(observations=np.arange(6)[:, None] + 0.3, actions=np.ones(5, dtype=int), terminated=True)
    cells = reward.over(lambda seen: seen[:, 0].astype(int))
    assert cells([positions]).values[0] == reward([walk]).values[0]
    wrong = reward([Trajectory(observations=np.random.rand(6, 2), actions=np.ones(5, dtype=int))])
    assert "needs state numbers" in (wrong.notes or [""])[0]
