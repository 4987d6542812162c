from __future__ import annotations

import numpy as np
import pytest

from rewardlab.functional.lagrangian import (
    Multipliers,
    multiplier_gradient,
    multiplier_step,
    multipliers,
    rate_interval,
    signed_weights,
    start_multipliers,
    violations_of,
)


def test_the_gradient_at_equal_logits_is_that_of_the_softmax():
    logits = np.full(3, 0.02)
    gradient = multiplier_gradient(logits, np.array([0.2, -0.1]))
    assert gradient == pytest.approx([-0.011111, 0.055556, -0.044444], abs=1e-6)
    near = [
        (multipliers(logits + shift) @ [0.0, 0.2, -0.1] - multipliers(logits - shift) @ [0.0, 0.2, -0.1]) / 2e-6
        for shift in 1e-6 * np.eye(3)
    ]
    assert gradient == pytest.approx(near, abs=1e-8)


def test_runs_are_independent_and_inactive_constraints_weigh_nothing():
    state = start_multipliers(2, (3,))
    active = np.array([[True, True], [True, False], [False, False]])
    violations = np.array([[0.2, -0.1]] * 3)
    together = multiplier_step(state, violations, learning_rate=0.1, active=active)
    for run in range(3):
        alone = multiplier_step(start_multipliers(2), violations[run], learning_rate=0.1, active=active[run])
        assert together.logits[run] == pytest.approx(alone.logits)
    weights = multipliers(together.logits, active=active)
    assert weights.sum(-1) == pytest.approx(1.0)
    assert weights[2] == pytest.approx([1.0, 0.0, 0.0])
    assert multipliers(together.logits, active=active, normalise=False)[1, 2] == 0.0


def test_an_unknown_rate_keeps_its_logit_and_moments():
    state = multiplier_step(start_multipliers(2), np.array([0.2, 0.3]), learning_rate=0.1)
    after = multiplier_step(state, np.array([0.2, np.nan]), learning_rate=0.1)
    assert after.logits[2] == state.logits[2]
    assert after.first[2] == state.first[2]
    assert after.logits[1] > state.logits[1]


def test_bootstrap_lends_its_weight_to_the_reward():
    weights = np.array([[0.1, 0.3, 0.6], [0.7, 0.2, 0.1]])
    signed = signed_weights(weights, np.array([-1, 1]), bootstrap=1)
    assert signed == pytest.approx(np.array([[0.6, -0.3, 0.6], [0.7, -0.2, 0.1]]))


@pytest.mark.parametrize(("normalise", "expected"), [(False, 1.0), (True, 0.5)])
def test_a_bandit_settles_at_the_threshold(normalise: bool, expected: float):
    """Arm 1 pays 1 and costs 1, so the policy is indifferent where the multiplier is as large as the reward's weight."""
    state, rates, weights = start_multipliers(1), [], []
    for _ in range(4000):
        w = signed_weights(multipliers(state.logits, normalise=normalise), np.array([-1]))
        rate = 1.0 / (1.0 + np.exp(-(w[0] + w[1]) / 0.1))
        rates.append(rate)
        weights.append(-w[1])
        state = multiplier_step(
            state,
            violations_of(np.array([rate]), np.array([0.3]), np.array([-1])),
            learning_rate=0.01,
            normalise=normalise,
        )
    assert np.mean(rates[-1000:]) == pytest.approx(0.3, abs=0.03)
    assert np.mean(weights[-1000:]) == pytest.approx(expected, abs=0.1)


def test_an_unnormalised_multiplier_stays_at_zero_and_can_rise_again():
    state = Multipliers(np.zeros(2), np.zeros(2), np.zeros(2), 0)
    down = multiplier_step(state, np.array([-0.5]), learning_rate=0.1, normalise=False)
    assert down.logits[1] == 0.0
    up = down
    for _ in range(40):
        up = multiplier_step(up, np.array([0.5]), learning_rate=0.1, normalise=False)
    assert up.logits[1] > 0.5


def test_intervals_need_windows_and_widen_with_their_spread():
    assert rate_interval(np.array([0.1, np.nan, 0.1])) == (0.0, 1.0)
    low, high = rate_interval(np.array([0.1, 0.2, 0.1, 0.2]))
    assert 0.0 <= low < 0.15 < high < 0.3


def test_the_shape_of_violations_is_checked():
    with pytest.raises(ValueError, match=r"violations have shape \(3,\), expected \(2,\): one for each constraint"):
        multiplier_gradient(np.zeros(3), np.zeros(3))
