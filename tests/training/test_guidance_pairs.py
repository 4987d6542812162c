"""Pairs of guided and unguided attempts."""

from __future__ import annotations

import numpy as np
import pytest

from rewardlab.environments.repair_shop import RepairShop, RepairShopPassed
from rewardlab.recipes.pieces import piece_policy
from rewardlab.training.guidance import Twice, build_pairs, check_apart, sound_tasks, weights_hash, with_prompt
from rewardlab.types import Scores, Task, Tokens, Trajectory


def attempts(*rows: tuple[str, str, float, dict]):
    """Trajectories and scores from task, answer, value and info."""
    made = []
    for name, answer, _, info in rows:
        task = Task(id=name, prompt=[{"role": "user", "content": name}])
        made.append(Trajectory.from_text(name, answer, task=task, info=info))
    return made, Scores(values=np.array([row[2] for row in rows]))


HINTED = {"guided": True, "hint_parts": ["plan"]}
ROWS = [
    ("one", "a", 1.0, {}),
    ("one", "b", 0.0, {}),
    ("one", "c", 0.0, {}),
    ("two", "a", 0.0, {}),
    ("two", "b", 0.0, {}),
    ("two", "c", 0.0, {}),
    ("two", "d", 1.0, HINTED),
]


def answers(pairs):
    return [(one.chosen.completion, one.rejected.completion) for one in pairs.preferences]


def test_the_pairs_of_two_tasks():
    pairs = build_pairs(*attempts(*ROWS))
    assert answers(pairs)[:2] == [("a", "b"), ("a", "c")]
    assert len(pairs) == 3
    assert pairs.guided == 1
    assert pairs.provenance[2].guided
    assert pairs.provenance[2].parts == ("plan",)
    assert answers(pairs)[2][0] == "d"
    assert answers(pairs)[2][1] in "abc"
    assert pairs.preferences[2].annotator == "guided"
    assert pairs.counts["tasks"] == 2


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"source": "guided"}, 1),
        ({"source": "unguided"}, 2),
        ({"per_positive": 1}, 2),
        ({"per_positive": 3}, 5),
        ({"max_per_task": 1}, 2),
    ],
)
def test_options_choose_pairs(options, count):
    pairs = build_pairs(*attempts(*ROWS), **options)
    assert len(pairs) == count
    assert answers(pairs) == answers(build_pairs(*attempts(*ROWS), **options))


def test_guided_failures_are_negatives_only_where_asked():
    rows = [*ROWS, ("two", "e", 0.0, HINTED)]
    assert {one for _, one in answers(build_pairs(*attempts(*rows), per_positive=9))} == {"a", "b", "c"}
    assert "e" in {one for _, one in answers(build_pairs(*attempts(*rows), per_positive=9, negatives="any"))}


def test_what_gives_no_pair_is_counted():
    rows = [
        ("solved", "a", 1.0, {}),
        ("unsolved", "a", 0.0, {}),
        ("same", "a", 1.0, {}),
        ("same", "a", 0.0, {}),
        ("flaky", "a", float("nan"), {}),
        ("flaky", "b", 1.0, {}),
    ]
    pairs = build_pairs(*attempts(*rows))
    assert len(pairs) == 0
    assert pairs.counts["same"] == 1
    assert pairs.counts["unscored"] == 1
    assert pairs.counts["unsolved"] == 1
    assert pairs.counts["all_solved"] == 3


def test_wrong_options_and_missing_tasks_are_named():
    made, scores = attempts(*ROWS)
    with pytest.raises(ValueError, match="guided, unguided, both"):
        build_pairs(made, scores, source="none")
    with pytest.raises(ValueError, match="per_positive"):
        build_pairs(made, scores, per_positive=0)
    with pytest.raises(ValueError, match="scores for"):
        build_pairs(made[:2], scores)
    made[0].task = None
    with pytest.raises(ValueError, match="neither a task nor a group"):
        build_pairs(made, scores)


def test_a_flaky_verifier_fails_the_attempts_that_it_cannot_decide():
    values = iter([[1.0, 0.0, 1.0, float("nan")], [1.0, 1.0, 1.0, float("nan")]])

    def flaky(trajectories, *, progress=None):
        return Scores(values=np.array(next(values)))

    scores = Twice(flaky)([], progress=0.0)
    assert scores.scored.tolist() == [True, False, True, False]
    assert "first 0, then 1" in scores.note(1)

    def steady(trajectories, *, progress=None):
        return Scores(values=np.array([1.0, 0.5]))

    assert Twice(steady)([]).values.tolist() == [1.0, 0.5]


def test_tasks_whose_reference_fails_are_set_aside():
    shop = RepairShop(runner="interpreter")
    tasks = shop.tasks("train", 4)
    tasks[2].reference["hidden"][0]["expected"] = "nothing gives this"
    sound, broken = sound_tasks(shop.demonstrations, RepairShopPassed(runner="interpreter"), tasks)
    assert sound == [tasks[0], tasks[1], tasks[3]]
    assert broken == [tasks[2]]


def test_train_and_test_stay_apart():
    train = [Task(id="a", prompt=[{"role": "user", "content": "x"}])]
    check_apart(train, [Task(id="b", prompt=[{"role": "user", "content": "y"}])])
    with pytest.raises(ValueError, match="training and in test"):
        check_apart(train, [Task(id="a", prompt=[{"role": "user", "content": "z"}])])
    with pytest.raises(ValueError, match="training and in test"):
        check_apart(train, [Task(id="c", prompt=[{"role": "user", "content": "x"}])])


def test_a_hash_tells_weights_apart():
    one, other = (piece_policy(["a"], hidden=8, layers=1, heads=2, seed=seed) for seed in (0, 1))
    assert weights_hash(one) == weights_hash(one) != weights_hash(other)


def test_another_prompt_leaves_what_was_written():
    tokens = Tokens(
        ids=np.array([1, 2, 3, 4, 5]), step=np.array([-1, -1, 0, -1, 1]), logprobs=np.array([0, 0, -1.0, 0, -2.0])
    )
    moved = with_prompt(tokens, [9])
    assert moved.ids.tolist() == [9, 3, 4, 5]
    assert moved.step.tolist() == [-1, 0, -1, 1]
    assert moved.logprobs.tolist() == [0, -1, 0, -2]
