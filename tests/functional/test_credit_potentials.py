"""Potential-based terms on enumerated MDPs: every policy keeps its rank, and the best one stays the best."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.functional import potential_terms, returns_to_go

STATES, ACTIONS, HORIZON = 3, 2, 3


def paths(policy, step, end):
    """Every path of a deterministic policy: (probability, states, actions, whether the world ended it)."""
    found = [(1.0, (0,), (), False)]
    for _ in range(HORIZON):
        longer = []
        for probability, states, actions, over in found:
            if over:
                longer.append((probability, states, actions, over))
                continue
            action = policy[states[-1]]
            for state in range(STATES):
                share = probability * step[states[-1], action, state]
                if share > 0:
                    longer.append((share, (*states, state), (*actions, action), bool(end[state])))
        found = longer
    return found


def value(policy, step, end, reward, potential, discount, truncate):
    """Expected discounted return, with shaping where there is a potential, from the functions under test.

    A path that the horizon cuts off either ends there as a termination does, or is truncated with the true (unshaped: 0,
    shaped: minus the potential) value of what follows bootstrapped.
    """
    found = paths(policy, step, end)
    lengths = np.array([len(actions) for _, _, actions, _ in found])
    over = np.array([ended or not truncate for _, _, _, ended in found])
    rewards = np.concatenate([reward[list(states[:-1]), list(actions)] for _, states, actions, _ in found])
    tails = np.zeros(len(found))
    if potential is not None:
        points = np.concatenate([potential[list(states)] for _, states, _, _ in found])
        rewards = rewards + potential_terms(points, lengths, over, discount=discount)
        tails = np.array([-potential[states[-1]] for _, states, _, _ in found])
    returns = returns_to_go(rewards, lengths, discount=discount, tails=tails, terminated=over)
    starts = np.cumsum(lengths) - lengths
    return sum(path[0] * returns[start] for path, start in zip(found, starts, strict=True))


@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.9, 1.0]), st.booleans())
@settings(max_examples=25)
def test_shaping_moves_all_policies_by_the_same_amount(seed, discount, truncate):
    draw = np.random.default_rng(seed)
    step = draw.dirichlet(np.ones(STATES), size=(STATES, ACTIONS))
    end = np.array([False, False, draw.random() < 0.5])
    reward, potential = draw.normal(size=(STATES, ACTIONS)), draw.normal(size=STATES) * 5
    policies = list(itertools.product(range(ACTIONS), repeat=STATES))
    plain = np.array([value(policy, step, end, reward, None, discount, truncate) for policy in policies])
    shaped = np.array([value(policy, step, end, reward, potential, discount, truncate) for policy in policies])
    np.testing.assert_allclose(shaped, plain - potential[0], atol=1e-9)
    # policies that differ only in states that they never reach are equal up to rounding
    assert plain[shaped.argmax()] > plain.max() - 1e-9


def test_a_bonus_that_is_no_potential_can_change_the_best_policy():
    """The guarantee is not one of any shaping: paying for a state itself makes staying there the best."""
    step = np.zeros((3, 2, 3))
    step[:, 0, 1], step[:, 1, 2] = 1, 1  # action 0 leads to the state with the bonus, action 1 to the end, which pays
    end, reward = np.array([False, False, True]), np.array([[0.0, 1.0]] * 3)
    bonus = np.array([0.0, 1.0, 0.0])
    policies = list(itertools.product(range(2), repeat=3))
    plain = [value(policy, step, end, reward, None, 1.0, False) for policy in policies]
    paid = [value(policy, step, end, reward + bonus[:, None], None, 1.0, False) for policy in policies]
    shaped = [value(policy, step, end, reward, bonus, 1.0, False) for policy in policies]
    assert plain[int(np.argmax(paid))] < max(plain)
    assert plain[int(np.argmax(shaped))] == max(plain)
