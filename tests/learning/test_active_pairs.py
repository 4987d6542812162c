"""Which pairs are labelled next, on a reward model; the classifier as a reward; simulated labels; principal heads; prompts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from rewardlab.learning.active_pairs import choose, select
from rewardlab.learning.classifier_reward import fit_classifier, prompts_tell, responses
from rewardlab.learning.data import PreferenceData
from rewardlab.learning.simulated import noisy_labels, pairs_by_rank
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory


def pool(count: int = 60, seed: int = 0) -> PreferenceData:
    """Pairs that differ in the first of three features alone, but for every tenth."""
    draw = np.random.default_rng(seed)
    one, other = np.zeros((2, count, 3))
    one[:, 0], other[:, 0] = draw.standard_normal((2, count))
    one[::10, 1:] = draw.standard_normal((len(one[::10]), 2))
    return PreferenceData.from_arrays(one, other, np.full(count, 0.5))


def test_d_optimal_takes_what_is_rare_and_the_others_do_not_look() -> None:
    data, model = pool(), RewardModel.make({"type": "mlp", "inputs": 3, "hidden": [], "seed": 0})
    found = select(data, model, 6)
    assert (found.rows % 10 == 0).sum() >= 3  # of six, where one in ten is rare
    assert (np.diff(found.worth) <= 1e-12).all()
    assert len(found.pairs) == 6
    same = select(data, model, 6, labelled=found.pairs)
    assert same.worth[0] <= found.worth[0]
    odds = np.abs(model.log_odds([data.items[row] for row in data.first], [data.items[row] for row in data.second]))
    assert select(data, model, 1, "gap").rows[0] == odds.argmax()
    assert select(data, model, 1, "entropy").rows[0] == odds.argmin()
    assert select(data, model, 60, "random", seed=1).rows.tolist() != list(range(60))
    assert sorted(select(data, model, 60, "random").rows) == list(range(60))


def test_entropy_of_a_coin_is_log_two() -> None:
    rows, worth = choose(np.zeros((3, 1)), [2.0, 0.0, -800.0], 3, "entropy")
    assert rows.tolist() == [1, 0, 2]
    assert worth[[0, 2]] == pytest.approx([np.log(2), 0.0])


def test_a_pool_that_cannot_serve_is_refused() -> None:
    data, model = pool(10), RewardModel.make({"type": "mlp", "inputs": 3, "hidden": [4], "seed": 0})
    with pytest.raises(ValueError, match="budget must be between 1 and the 10 pairs of the pool, got 11"):
        select(data, model, 11, "random")
    with pytest.raises(ValueError, match="rule must be one of d-optimal, entropy, gap, random, got 'best'"):
        select(data, model, 1, "best")  # type: ignore[arg-type]


def comparisons(count: int = 400) -> PreferenceData:
    draw = np.random.default_rng(0)
    one, other = draw.standard_normal((2, count, 4))
    gaps = (one - other) @ np.array([2.0, -1.0, 0.0, 0.0])
    return PreferenceData.from_arrays(one, other, noisy_labels(gaps, quality=3.0, seed=1))


@pytest.mark.parametrize("estimator", [LogisticRegression(), RandomForestClassifier(40, random_state=0)])
def test_any_classifier_orders_responses(estimator) -> None:
    reward = fit_classifier(comparisons(), estimator)
    better = [Trajectory(observations=np.array([[1.0, -1, 0, 0]], np.float32), actions=np.zeros(0, np.float32))]
    worse = [Trajectory(observations=np.array([[-1.0, 1, 0, 0]], np.float32), actions=np.zeros(0, np.float32))]
    values = reward(better + worse).values
    assert values[0] > 0 > values[1]
    assert reward.deterministic
    assert not reward.flagged


def test_a_response_may_be_preferred_here_and_not_there_and_ties_say_nothing() -> None:
    items = [np.eye(3)[place] for place in range(3)]
    data = PreferenceData(items=comparisons(3).items[:3], first=[0, 1, 0], second=[1, 2, 2], label=[1.0, 1.0, 0.5])
    found = {tuple(map(float, row)) for row in zip(*responses(data), strict=True)}
    assert found == {(0, 1, 1), (1, 0, 1), (1, 1, 1), (2, 0, 1)}
    assert len(items) == 3
    soft = PreferenceData(items=data.items, first=[0], second=[1], label=[0.75])
    rows = {tuple(map(float, row)) for row in zip(*responses(soft), strict=True)}
    assert rows == {(0, 1, 0.75), (0, 0, 0.25), (1, 1, 0.25), (1, 0, 0.75)}


def test_prompts_that_tell_the_label_are_flagged() -> None:
    draw = np.random.default_rng(0)
    prompts = draw.integers(10, size=(2, 300))
    gaps = 4.0 * (prompts[0] - prompts[1]) / 3 + draw.standard_normal(300)
    labels = np.concatenate([gaps > 0, gaps < 0]).astype(float)
    assert prompts_tell(labels, [str(one) for one in prompts.reshape(-1)]) > 0.7
    fair = np.concatenate([np.ones(300), np.zeros(300)])
    assert prompts_tell(fair, [str(one) for one in np.concatenate([prompts[0]] * 2)]) <= 0.5
    assert np.isnan(prompts_tell([1.0, 0.0], ["a", "b"]))


def test_a_classifier_that_cannot_learn_is_refused() -> None:
    data = comparisons(10)
    with pytest.raises(TypeError, match="estimator must have fit"):
        fit_classifier(data, object())
    with pytest.raises(ValueError, match="all responses have one label"):
        fit_classifier(PreferenceData(items=data.items, first=[0], second=[1], label=[0.5]), LogisticRegression())
    with pytest.raises(ValueError, match="there are no comparisons"):
        fit_classifier(data.select([]), LogisticRegression())
    with pytest.raises(ValueError, match=r"embed must return float\[20, feature\]"):
        fit_classifier(data, LogisticRegression(), lambda items: np.zeros(3))
    chats = PreferenceData(
        items=[Trajectory.from_text("q", "a"), Trajectory.from_text("q", "b")], first=[0], second=[1], label=[1.0]
    )
    with pytest.raises(ValueError, match="these are chats; give embed"):
        fit_classifier(chats, LogisticRegression())


def test_labels_are_as_noisy_as_they_are_asked_to_be() -> None:
    gaps = np.full(20_000, 1.0)
    assert noisy_labels(gaps, quality=1.0).mean() == pytest.approx(1 / (1 + np.exp(-1)), abs=0.01)
    assert noisy_labels(gaps, quality=np.inf).all()
    assert noisy_labels(gaps, quality=np.inf, flips=0.25).mean() == pytest.approx(0.75, abs=0.01)
    assert noisy_labels(np.zeros(20_000), quality=np.inf).mean() == pytest.approx(0.5, abs=0.01)
    with pytest.raises(ValueError, match="quality must not be negative, got -1"):
        noisy_labels(gaps, quality=-1)
    with pytest.raises(ValueError, match=r"flips must be in \[0, 1\], got 2"):
        noisy_labels(gaps, quality=1, flips=2)


def test_near_pairs_are_near_and_far_ones_far() -> None:
    rewards = np.random.default_rng(0).permutation(100).astype(float)  # so that a reward is its rank
    for kind, low, high in (("near", 1, 10), ("far", 50, 99), ("any", 1, 99)):
        pairs = pairs_by_rank(rewards, 500, distance=kind)
        gaps = np.abs(rewards[pairs[:, 0]] - rewards[pairs[:, 1]])
        assert gaps.min() >= low
        assert gaps.max() <= high
        assert 0.4 < (rewards[pairs[:, 0]] > rewards[pairs[:, 1]]).mean() < 0.6
    with pytest.raises(ValueError, match="distance must be 'near', 'far' or 'any', got 'close'"):
        pairs_by_rank(rewards, 1, distance="close")
    with pytest.raises(ValueError, match="at least 4"):
        pairs_by_rank([1.0], 1)
