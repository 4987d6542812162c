from __future__ import annotations

import numpy as np
import pytest
from tests.learning.demonstrations.worlds_for_tests import balancing, swinging

from rewardlab.learning.demonstrations import (
    ControlPreferences,
    DemonstrationFit,
    DensityReward,
    PPOOptions,
    SyntheticAnnotator,
    mean_return,
)
from rewardlab.learning.demonstrations.fragments import Pool
from rewardlab.types import Trajectory


@pytest.mark.parametrize("reads", ["s", "sa", "ss"])
def test_demonstrated_transitions_are_worth_more_than_foreign_ones(tmp_path, reads):
    found = DensityReward(reads=reads, train=False, points=300).fit(swinging(4), "Pendulum-v1")
    like, unlike = swinging(1, seed=90)[0], swinging(1, seed=91)[0]
    unlike.observations[:, 2] += 6.0
    assert found.reward(like).values[0] > found.reward(unlike).values[0]
    assert found.policy is None
    loaded = DemonstrationFit.load(found.save(tmp_path))
    assert np.allclose(loaded.reward(like).values, found.reward(like).values)


def test_an_agent_learns_from_a_density():
    found = DensityReward(points=300).fit(balancing(4), "CartPole-v1", steps=3_000, seed=1)
    assert mean_return(found.policy, "CartPole-v1", episodes=10, seed=7) > 30  # a random policy gets 22
    assert found.steps == found.history[-1]["step"] >= 3_000


def test_density_options_are_named():
    with pytest.raises(ValueError, match="'bandwidth' must be a positive number, got 0"):
        DensityReward(bandwidth=0)
    with pytest.raises(ValueError, match="'reads' must be 's', 'sa' or 'ss', got 'as'"):
        DensityReward(reads="as")  # type: ignore[arg-type]


def test_comparisons_teach_a_reward_like_the_true_one(tmp_path):
    ours = ControlPreferences(
        comparisons=120, rounds=2, fragment=20, updates=40, annotator=SyntheticAnnotator(rationality=np.inf)
    )
    found = ours.fit([], "Pendulum-v1", steps=1_024, seed=1)
    judged = swinging(8, seed=60)
    learned = np.concatenate(found.reward(judged).steps)
    true = np.concatenate([one.rewards for one in judged])
    assert np.corrcoef(learned, true)[0, 1] > 0.6
    assert [line["comparisons"] for line in found.history][-1] == 120
    loaded = DemonstrationFit.load(found.save(tmp_path))
    assert np.allclose(loaded.reward(judged).values, found.reward(judged).values)
    again = ours.fit([], "Pendulum-v1", steps=1_024, seed=1)
    assert again.history == found.history


def test_an_annotator_of_ones_own_sees_pairs_of_fragments():
    seen = []

    def annotator(pairs, generator):
        seen.extend(pairs)
        return [float(first.observations[:, 1].mean() > second.observations[:, 1].mean()) for first, second in pairs]

    ControlPreferences(comparisons=30, rounds=2, fragment=10, annotator=annotator, updates=2).fit(
        balancing(1), "CartPole-v1", steps=1_200
    )
    assert len(seen) == 30
    assert all(isinstance(one, Trajectory) and 1 <= len(one) <= 10 for pair in seen for one in pair)
    short = [one for pair in seen for one in pair if len(one) < 10]
    assert (
        sum(one.terminated for one in short) > len(short) / 2
    )  # only ends, and rollouts that cut near a start, shorten one

    with pytest.raises(ValueError, match=r"the annotator must return 30 probabilities in \[0, 1\].*got \[2.0"):
        ControlPreferences(comparisons=30, initial_share=1.0, annotator=lambda pairs, _: [2.0] * len(pairs)).fit(
            [], "CartPole-v1", steps=1_024
        )


def test_comparisons_are_all_asked_and_most_of_them_early():
    due = ControlPreferences(comparisons=500, rounds=10)._schedule(40)
    assert sum(due) == 500
    assert due[0] == 100
    later = [number for number in due[1:] if number]
    assert len(later) == 9
    assert later == sorted(later, reverse=True)
    assert sum(ControlPreferences(comparisons=7, rounds=10)._schedule(1)) == 7


def test_fragments_stay_within_their_trajectory():
    last = np.array([3, 3, 3, 3, 9, 9, 9, 9, 9, 9])
    column = np.arange(10.0)[:, None]
    ended = np.isin(np.arange(10), [3])
    pool = Pool(column, column, column + 1, ended, np.ones(10), last)
    rows, inside = pool.draw(200, 3, np.random.default_rng(0))
    for row, here in zip(rows, inside, strict=True):
        assert len(set(last[row[here]])) == 1
        assert here.sum() == 3 or ended[row[here][-1]]


def test_a_synthetic_annotator_knows_ties_and_errs_as_told():
    draw = np.random.default_rng(0)

    def fragment(total):
        return Trajectory(observations=np.zeros((2, 1)), actions=np.zeros(1), rewards=np.array([total]))

    pairs = [(fragment(1.0), fragment(0.0)), (fragment(0.0), fragment(0.0)), (fragment(0.0), fragment(2.0))]
    assert SyntheticAnnotator(rationality=np.inf)(pairs, draw).tolist() == [1.0, 0.5, 0.0]
    drawn = np.mean([SyntheticAnnotator()(pairs, draw) for _ in range(2000)], axis=0)
    assert np.allclose(drawn, [1 / (1 + np.exp(-1)), 0.5, 1 / (1 + np.exp(2))], atol=0.05)
    with pytest.raises(ValueError, match="'rationality' must be positive, got 0"):
        SyntheticAnnotator(rationality=0)


def test_options_of_comparisons_are_named():
    with pytest.raises(ValueError, match="'comparisons' must be a positive number, got 0"):
        ControlPreferences(comparisons=0)
    with pytest.raises(ValueError, match=r"'initial_share' must be in \(0, 1\], got 2"):
        ControlPreferences(initial_share=2.0, ppo=PPOOptions())
