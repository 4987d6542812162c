from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rewardlab.learning import as_trajectory
from rewardlab.rewards import from_spec
from rewardlab.rewards.models.against import PreferenceAgainst, opponent, score_matrix
from rewardlab.rewards.models.model import RewardModel
from rewardlab.rewards.spec import UnwritableReward
from rewardlab.types import Status, Task, Trajectory

HEAD = {"type": "general_preference", "dim": 4, "tau": 0.5}


@pytest.fixture
def model():
    return RewardModel.make({"type": "mlp", "inputs": 3, "hidden": [8]}, HEAD)


def vectors(count=4, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)


def items(count=4, group=None, seed=0):
    return [replace(as_trajectory(row), group=group) for row in vectors(count, seed)]


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


@pytest.mark.parametrize(
    ("measure", "mean"),
    [
        ("probability", lambda odds: sigmoid(odds).mean(1)),
        ("log_odds", lambda odds: odds.mean(1)),
        ("wins", lambda odds: (odds > 0).mean(1)),
    ],
)
def test_the_mean_over_responses_by_brute_force(model, measure, mean):
    rivals = vectors(3, seed=1)
    reward = PreferenceAgainst(model=model, responses=tuple(tuple(map(float, row)) for row in rivals), measure=measure)
    odds = np.stack([model.log_odds(items(), [as_trajectory(row)] * 4) for row in rivals], 1)
    assert reward(items()).values == pytest.approx(mean(odds), abs=1e-6)


def test_scores_within_a_group_add_up_to_nothing(model):
    reward = PreferenceAgainst(model=model, opponents="group", measure="log_odds")
    batch = [*items(4, "a"), *items(3, "b", seed=2)]
    values = reward(batch).values
    assert values[:4].sum() == pytest.approx(0.0, abs=1e-6)
    assert values[:4] == pytest.approx(score_matrix(model, items(4)).mean(1), abs=1e-6)
    assert reward.group_wise
    chances = PreferenceAgainst(model=model, opponents="group")(batch).values
    assert chances[:4].mean() == pytest.approx(0.5, abs=1e-6)


def test_who_is_alone_in_a_group_abstains(model):
    scores = PreferenceAgainst(model=model, opponents="group")(items(1, "a"))
    assert scores.status[0] == Status.ABSTAINED
    assert "alone in its group" in scores.notes[0]


def test_the_table_is_antisymmetric(model):
    table = score_matrix(model, items(5))
    assert np.array_equal(table, -table.T)


def test_a_spec_names_the_saved_model_and_its_opponents(model, tmp_path):
    saved = model.save(tmp_path / "model")
    reward = PreferenceAgainst(model=saved, responses=((0.0, 0.0, 1.0), (1.0, 0.0, 0.0)), measure="wins")
    again = from_spec(reward.to_spec())
    assert again == reward
    assert np.array_equal(again(items()).values, reward(items()).values)
    assert again.spec_hash == reward.spec_hash is not None


def test_a_model_in_memory_cannot_be_written(model):
    reward = PreferenceAgainst(model=model, opponents="group")
    with pytest.raises(UnwritableReward, match="write it with model.save"):
        reward.to_spec()
    assert reward(items(2, "a")).reward_hash is None


def test_it_goes_into_the_algebra(model):
    reward = PreferenceAgainst(model=model, responses=((0.0, 0.0, 1.0),))
    assert (2 * reward + 1)(items()).values == pytest.approx(2 * reward(items()).values + 1)


def test_items_that_cannot_be_read_fail_alone(model):
    bad = as_trajectory(np.zeros(7))
    scores = PreferenceAgainst(model=model, responses=((0.0, 0.0, 1.0),))([*items(2), bad])
    assert list(scores.status) == [Status.SCORED, Status.SCORED, Status.FAILED]
    assert "expects (3,)" in scores.notes[2]


def test_a_task_without_opponents_fails_and_says_what_is_missing(model):
    task = Task(id="t", metadata={"references": [[0.0, 0.0, 1.0]]})
    good, bad = (replace(one, task=told) for one, told in zip(items(2), (task, Task(id="u")), strict=True))
    scores = PreferenceAgainst(model=model, opponents="task")([good, bad])
    assert list(scores.status) == [Status.SCORED, Status.FAILED]
    assert "no responses to compare with: its metadata has no 'references'" in scores.notes[1]


def test_a_text_answers_what_the_last_action_answered():
    talk = Trajectory.from_messages(
        [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "two"},
            {"role": "assistant", "content": "b"},
        ]
    )
    rival = opponent(talk, "c")
    assert [message["content"] for message in rival.messages] == ["one", "a", "two", "c"]
    assert len(rival) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "must name at least one response to compare with"),
        ({"opponents": "group", "responses": ("a",)}, "only read with opponents=\"responses\", got 'group'"),
        ({"opponents": "everybody"}, "option 'opponents' must be"),
        ({"responses": ("a",), "measure": "elo"}, "option 'measure' must be"),
        ({"responses": ("a",), "model": "model"}, "must be"),
    ],
)
def test_bad_options_are_named(model, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        PreferenceAgainst(**{"model": model, **options})


def test_a_scalar_model_can_be_compared_as_well():
    plain = RewardModel.make({"type": "mlp", "inputs": 3, "hidden": [8]})
    rival = as_trajectory(np.ones(3))
    reward = PreferenceAgainst(model=plain, responses=((1.0, 1.0, 1.0),), measure="log_odds")
    assert reward(items()).values == pytest.approx(plain(items()).values - plain([rival]).values, abs=1e-6)
