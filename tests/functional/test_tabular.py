"""Values and occupancies against numbers worked out by hand and against long sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.functional.tabular import (
    action_values,
    evaluate_policy,
    limiting_matrix,
    occupancy,
    optimal_actions,
    policy_transitions,
    recurrent_classes,
    stationary_distribution,
    value_iteration,
)


def random_mdp(seed: int, states: int = 4, actions: int = 3):
    generator = np.random.default_rng(seed)
    transitions = generator.dirichlet(np.ones(states), size=(states, actions))
    policy = generator.dirichlet(np.ones(actions), size=states)
    return transitions, generator.normal(size=(states, actions)), policy, generator.dirichlet(np.ones(states))


def test_two_states_by_hand():
    # action 0 stays, action 1 changes; being in state 1 earns 1 a step
    transitions = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]]], dtype=float)
    rewards = np.array([[0, 0], [1, 1]], dtype=float)
    go_then_stay = np.array([[0, 1], [1, 0]], dtype=float)
    assert evaluate_policy(transitions, rewards, go_then_stay, 0.5) == pytest.approx([1.0, 2.0])
    values, actions = value_iteration(transitions, rewards, 0.5)
    assert values == pytest.approx([1.0, 2.0])
    assert actions == pytest.approx(np.array([[0.5, 1.0], [2.0, 1.5]]))
    assert optimal_actions(actions).tolist() == [[False, True], [True, False]]
    visits = occupancy(transitions, go_then_stay, np.array([1.0, 0.0]), 0.5)
    assert visits == pytest.approx(np.array([[0, 1.0], [1.0, 0]]))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 0.97))
def test_against_long_sums(seed, discount):
    transitions, rewards, policy, initial = random_mdp(seed)
    chain = policy_transitions(transitions, policy)
    assert chain.sum(-1) == pytest.approx(np.ones(4))
    law, visits, total = initial.copy(), np.zeros((4, 3)), 0.0
    for step in range(1500):
        visits += discount**step * law[:, None] * policy
        total += discount**step * (law[:, None] * policy * rewards).sum()
        law = law @ chain
    assert occupancy(transitions, policy, initial, discount) == pytest.approx(visits)
    assert visits.sum() == pytest.approx(1 / (1 - discount))
    assert initial @ evaluate_policy(transitions, rewards, policy, discount) == pytest.approx(total, abs=1e-8)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 2.0]))
def test_optimal_values_are_the_fixed_point_of_plain_backups(seed, temperature):
    transitions, rewards, _, _ = random_mdp(seed)
    values, backed = value_iteration(transitions, rewards, 0.9, temperature=temperature)
    plain = np.zeros(4)
    for _ in range(600):
        table = action_values(transitions, rewards, plain, 0.9)
        plain = temperature * np.log(np.exp(table / temperature).sum(-1)) if temperature else table.max(-1)
    assert values == pytest.approx(plain, abs=1e-8)
    assert backed == pytest.approx(action_values(transitions, rewards, plain, 0.9), abs=1e-8)


def test_no_policy_beats_the_optimal_values():
    transitions, rewards, _, _ = random_mdp(3, states=3, actions=2)
    every = np.array([[np.eye(2)[(number >> state) & 1] for state in range(3)] for number in range(8)])
    assert value_iteration(transitions, rewards, 0.999)[0] == pytest.approx(
        evaluate_policy(transitions, rewards, every, 0.999).max(0)
    )


def test_leading_axes_broadcast():
    transitions, rewards, policy, initial = random_mdp(0)
    many_rewards = np.stack([rewards, -rewards, 2 * rewards])
    many_policies = np.stack([policy, np.full_like(policy, 1 / 3)])[:, None]
    discounts = np.array([0.1, 0.5, 0.9])
    values = evaluate_policy(transitions, many_rewards, many_policies, discounts)
    assert values.shape == (2, 3, 4)
    assert values[1, 2] == pytest.approx(evaluate_policy(transitions, 2 * rewards, np.full_like(policy, 1 / 3), 0.9))
    assert value_iteration(transitions, many_rewards, discounts)[1].shape == (3, 4, 3)
    assert occupancy(transitions, many_policies, initial, discounts).shape == (2, 3, 4, 3)
    assert stationary_distribution(transitions, many_policies[:, 0], initial).shape == (2, 4)
    assert stationary_distribution(transitions, policy, np.eye(4)).shape == (4, 4)


def test_long_run_shares_of_periodic_and_multichain_processes():
    periodic = np.array([[0, 1], [1, 0]], dtype=float)
    assert limiting_matrix(periodic) == pytest.approx(np.full((2, 2), 0.5))
    two_ends = np.array([[0.5, 0.3, 0.2], [0, 1, 0], [0, 0, 1]])
    assert limiting_matrix(two_ends) == pytest.approx(np.array([[0, 0.6, 0.4], [0, 1, 0], [0, 0, 1]]))
    assert [states.tolist() for states in recurrent_classes(two_ends)] == [[1], [2]]
    transitions, _, policy, initial = random_mdp(5)
    law = stationary_distribution(transitions, policy, initial)
    assert law @ policy_transitions(transitions, policy) == pytest.approx(law)
    assert limiting_matrix(np.linalg.matrix_power(policy_transitions(transitions, policy), 3))[0] == pytest.approx(law)


def test_messages():
    transitions, rewards, policy, initial = random_mdp(0)
    with pytest.raises(ValueError, match=r"transitions must be \[\.\.\., S, A, S\], got shape \(4, 3\)"):
        evaluate_policy(rewards, rewards, policy, 0.9)
    with pytest.raises(
        ValueError, match=r"rewards must be \[\.\.\., 4, 3\] for 4 states and 3 actions, got shape \(3, 4\)"
    ):
        evaluate_policy(transitions, rewards.T, policy, 0.9)
    with pytest.raises(ValueError, match=r"discount must be in \[0, 1\), got 1\.0"):
        evaluate_policy(transitions, rewards, policy, 1.0)
    with pytest.raises(ValueError, match="temperature must be 0 or a positive number, got -1"):
        value_iteration(transitions, rewards, 0.9, temperature=-1)
    with pytest.raises(ValueError, match=r"initial must be \[\.\.\., 4\]"):
        occupancy(transitions, policy, initial[:2], 0.9)
