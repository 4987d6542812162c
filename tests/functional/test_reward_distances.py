from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.functional.reward_distances import (
    SampledEpic,
    epic,
    epic_canonical,
    minimal_canonical,
    pearson_distance,
    sampled_starc,
    starc,
    value_canonical,
)


def world(seed, states=4, actions=3):
    draw = np.random.default_rng(seed)
    transitions = draw.dirichlet(np.ones(states), size=(states, actions))
    return draw, transitions, draw.normal(size=(states, actions, states)), draw.normal(size=states)


def shaped(rewards, potential, discount):
    return rewards + discount * potential[None, None, :] - potential[:, None, None]


def test_the_canonical_form_by_hand():
    rewards = np.array([[[1.0, 3.0]], [[0.0, 2.0]]])  # two states, one action
    # means over the next state: 2 and 1; over everything: 1.5
    expected = rewards + 0.5 * np.array([2.0, 1.0])[None, None, :] - np.array([2.0, 1.0])[:, None, None] - 0.75
    assert np.allclose(epic_canonical(rewards, 0.5), expected)
    lopsided = epic_canonical(rewards, 0.5, states=np.array([1.0, 0.0]))  # S and S' are always the first state
    assert np.allclose(
        lopsided, rewards + 0.5 * np.array([1.0, 0.0])[None, None] - np.array([1.0, 0.0])[:, None, None] - 0.5
    )


def test_pearson_distances_by_hand():
    assert pearson_distance(np.array([0.0, 1.0]), np.array([3.0, 5.0])) == 0.0
    assert pearson_distance(np.array([0.0, 1.0]), np.array([5.0, 3.0])) == 1.0
    assert pearson_distance(np.array([1.0, -1.0, 1.0, -1.0]), np.array([1.0, 1.0, -1.0, -1.0])) == pytest.approx(
        0.5**0.5
    )
    assert np.isnan(pearson_distance(np.ones(3), np.arange(3.0)))
    with pytest.raises(ValueError, match="the same, non-empty shape"):
        pearson_distance(np.ones(3), np.ones(2))


def test_a_value_canonical_form_by_hand():
    transitions = np.zeros((2, 1, 2))
    transitions[:, 0, 1] = 1.0  # the first state leads to the second, which stays
    rewards = np.array([[1.0], [2.0]])
    values = np.array([1.0 + 0.5 * 4.0, 4.0])
    assert np.allclose(value_canonical(rewards, transitions, 0.5), rewards - values[:, None] + 0.5 * 4.0)
    # with one action there is nothing to choose, so every reward is trivial
    assert np.allclose(value_canonical(rewards, transitions, 0.5), 0.0)
    assert starc(rewards, np.array([[5.0], [-1.0]]), transitions, 0.5) == 0.0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 10), discount=st.sampled_from([0.0, 0.5, 0.95]))
def test_shaping_and_scale_change_no_distance(seed, scale, discount):
    _, transitions, rewards, potential = world(seed)
    other = world(seed + 5000)[2]
    same = scale * shaped(rewards, potential, discount)
    assert epic(rewards, same, discount) == pytest.approx(0.0, abs=1e-6)
    assert epic(same, other, discount) == pytest.approx(epic(rewards, other, discount), abs=1e-6)
    assert epic(rewards, -rewards, discount) == pytest.approx(1.0)
    for form in ("value", "minimal"):
        assert starc(rewards, same, transitions, discount, canonical=form) == pytest.approx(0.0, abs=1e-6)
        assert starc(rewards, -same, transitions, discount, canonical=form) == pytest.approx(2.0)
        # reward moved among next states, which no policy can tell
        expected = (rewards * transitions).sum(-1)
        assert starc(rewards, expected, transitions, discount, canonical=form) == pytest.approx(0.0, abs=1e-6)


def test_the_minimal_form_is_the_smallest_that_shaping_gives():
    draw, transitions, rewards, _ = world(3)
    least = np.linalg.norm(minimal_canonical(rewards, transitions, 0.9))
    for _ in range(50):
        other = (shaped(rewards, draw.normal(size=4), 0.9) * transitions).sum(-1)
        assert np.linalg.norm(other) >= least


def test_samples_approach_the_exact_distances():
    draw, transitions, first, _ = world(7)
    second = first + 0.7 * world(8)[2]
    states, actions, _ = first.shape
    count = 20_000
    seen, done = draw.integers(states, size=count), draw.integers(actions, size=count)
    apart = draw.integers(states, size=count)
    sample = SampledEpic(seen[:4000], done[:4000], apart[:4000], draws=256)
    queries = sample.queries()
    asked = [table[queries["observation"], queries["action"], queries["next_observation"]] for table in (first, second)]
    assert sample.distance(*asked, 0.9) == pytest.approx(epic(first, second, 0.9), abs=0.02)
    led = (draw.random(count)[:, None] > transitions[seen, done].cumsum(-1)).sum(-1)
    one_hot = np.eye(states)
    means = [(table * transitions).sum(-1)[seen, done] for table in (first, second)]
    expected = transitions[seen, done] @ one_hot
    found = sampled_starc(*means, one_hot[seen], expected, 0.9)
    assert found == pytest.approx(starc(first, second, transitions, 0.9), abs=0.05)
    assert sampled_starc(means[0], 3 * means[0] + 1.0, one_hot[seen], one_hot[led], 0.9) < 0.02


def test_bad_inputs_are_named():
    with pytest.raises(ValueError, match=r"rewards must be \[S, A, S\] or \[S, A\], got shape \(3,\)"):
        epic_canonical(np.ones(3), 0.9)
    with pytest.raises(ValueError, match="states must be 2 probabilities that sum to 1"):
        epic_canonical(np.ones((2, 1)), 0.9, states=np.ones(2))
    with pytest.raises(ValueError, match="canonical must be 'value' or 'minimal', got 'least'"):
        starc(np.ones((2, 1)), np.ones((2, 1)), np.ones((2, 1, 2)) / 2, 0.9, canonical="least")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected 9 values, one for each query"):
        SampledEpic(np.zeros(3), np.zeros(3), np.zeros(3), draws=1).canonical(np.zeros(3), 0.9)
