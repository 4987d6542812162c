from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.training.curricula import CURRICULA
from rewardlab.training.replay import FailureReplay
from rewardlab.training.seats import build_seat
from rewardlab.types import Scores, Status, Task, Trajectory


def tasks(count, **metadata):
    return [
        Task(id=str(index), metadata={key: value[index] for key, value in metadata.items()}) for index in range(count)
    ]


def attempts(task, values, group=None):
    text = [{"role": "user", "content": "?"}]
    made = [
        Trajectory(observations=[text, []], actions=[{"role": "assistant", "content": str(value)}], task=task)
        for value in values
    ]
    for one in made:
        one.group = group or f"{task.id}/0"
    return made


def observe(replay, *groups):
    trajectories, values = [], []
    for task, scored in groups:
        trajectories += attempts(task, scored)
        values += scored
    replay.observe(trajectories, Scores(values=np.array(values, dtype=float)))


def test_a_task_of_zeros_enters_once_and_leaves_when_it_is_solved():
    replay = FailureReplay(tasks=tasks(4), count=2, every=2, share=0.5)
    first = replay.sample()
    observe(replay, (first[0], [0.0] * 8), (first[1], [0.0] * 7 + [1.0]))
    observe(replay, (first[0], [0.0] * 8))
    assert replay.size == 1
    assert replay.report()["entered"] == 1
    second = replay.sample()  # a step in which the buffer is drawn from
    assert second[0].id == first[0].id
    assert second[1].id not in {task.id for task in first}
    observe(replay, (second[0], [0.0] * 7 + [1.0]))
    assert replay.size == 0
    report = replay.report()
    assert (report["rescued"], report["given_up"], report["replayed"]) == (1, 0, 1 / 4)
    assert report["zero_variance"] == 2 / 4


def test_a_task_is_given_up_after_eight_tries_and_does_not_come_back():
    replay = FailureReplay(tasks=tasks(1), count=1, every=1)
    task = replay.sample()[0]
    for _ in range(8):
        observe(replay, (task, [0.0, 0.0]))
        assert replay.size == 1
    observe(replay, (task, [0.0, 0.0]))  # the first was the entering, so this is the eighth try
    assert replay.size == 0
    assert replay.report()["given_up"] == 1
    observe(replay, (task, [0.0, 0.0]))
    assert replay.size == 0
    endless = FailureReplay(tasks=tasks(1), count=1, max_tries=None)
    for _ in range(30):
        observe(endless, (endless.sample()[0], [0.0]))
    assert endless.size == 1


def test_most_failed_and_mostly_solved():
    replay = FailureReplay(tasks=tasks(2), enter="most_failed", leave="mostly_solved")
    one, other = replay.tasks
    observe(replay, (one, [0.0, 0.0, 0.0, 1.0]), (other, [0.0, 1.0]))
    assert [entry["task"] for entry in replay.state_dict()["buffer"]] == ["0"]
    observe(replay, (one, [0.0, 0.0, 1.0]))
    assert replay.size == 1
    observe(replay, (one, [0.0, 1.0]))
    assert replay.size == 0


def test_attempts_that_could_not_be_scored_say_nothing():
    replay = FailureReplay(tasks=tasks(1))
    broken = Scores(values=np.full(2, np.nan), status=np.full(2, Status.FAILED, dtype=np.int8))
    replay.observe(attempts(replay.tasks[0], [0, 0]), broken)
    assert replay.size == 0
    assert replay.report()["zero_variance"] == 0
    mixed = Scores(values=np.array([np.nan, 0.0]), status=np.array([Status.FAILED, Status.SCORED], dtype=np.int8))
    replay.observe(attempts(replay.tasks[0], [0, 0]), mixed)
    assert replay.size == 1
    for status in (Status.FAILED, Status.ABSTAINED):  # nor do they count as tries
        replay.observe(attempts(replay.tasks[0], [0]), Scores.blank(1, status=status))
    assert replay.state_dict()["buffer"][0]["tries"] == 0


def test_an_empty_buffer_gives_an_ordinary_batch():
    plain = FailureReplay(tasks=tasks(6), count=3, every=1, share=1.0, seed=4)
    shuffled = build_seat("shuffled", CURRICULA, {"tasks": tasks(6), "count": 3}, {"seed": 4})
    for _ in range(5):
        assert [task.id for task in plain.sample()] == [task.id for task in shuffled.sample()]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 6),
    st.integers(1, 4),
    st.floats(0.1, 1.0),
    st.sampled_from(["random", "oldest", "most_tried"]),
    st.randoms(use_true_random=False),
)
def test_any_course_of_events_resumes_exactly_and_keeps_its_promises(total, count, every, share, order, chance):
    def make():
        return FailureReplay(
            tasks=tasks(total), count=count, every=every, share=share, order=order, capacity=3, max_tries=2, seed=1
        )

    whole, resumed, fresh_before = make(), make(), 0
    for _ in range(12):
        batch, again = whole.sample(), resumed.sample()
        assert [task.id for task in batch] == [task.id for task in again]
        assert len(batch) == count
        assert whole.drawn - fresh_before >= count - max(1, round(share * count))
        fresh_before = whole.drawn
        outcome = [(task, [float(chance.random() < 0.3) for _ in range(2)]) for task in batch]
        observe(whole, *outcome)
        observe(resumed, *outcome)
        assert whole.size <= 3
        state = json.loads(json.dumps(resumed.state_dict()))
        resumed = make()
        resumed.load_state_dict(state)
        assert resumed.report() == whole.report()


def test_capacity_drops_the_oldest_and_a_family_has_its_cap():
    replay = FailureReplay(tasks=tasks(4), capacity=2, order="oldest", every=1, count=2, share=1.0)
    for task in replay.tasks[:3]:
        observe(replay, (task, [0.0]))
    assert [task.id for task in replay.sample()] == ["1", "2"]
    assert replay.report()["evicted"] == 1
    capped = FailureReplay(tasks=tasks(4, days=[3, 3, 3, 1]), family="days", per_family=2)
    for task in capped.tasks:
        observe(capped, (task, [0.0]))
    assert [entry["task"] for entry in capped.state_dict()["buffer"]] == ["0", "1", "3"]


def test_kept_attempts_are_given_back_in_the_place_of_a_rollout():
    replay = FailureReplay(tasks=tasks(3), count=2, every=2, store="trajectory", enter="most_failed")
    rolled = []

    def rollout(policy, environment, asked, **options):
        rolled.append([task.id for task in asked])
        return [one for task in asked for one in attempts(task, [0.0, 0.0, 1.0])]

    rolling = replay.rolling(rollout)
    batch = replay.sample()
    trajectories = rolling(None, None, batch, group_size=3)
    replay.observe(trajectories, Scores(values=np.array([0.0, 0.0, 1.0] * 2)))
    assert replay.size == 2
    state = json.loads(json.dumps(replay.state_dict()))
    replay.load_state_dict(state)
    second = replay.sample()
    again = rolling(None, None, second, group_size=3)
    assert rolled[1] == [second[1].id]
    assert [one.completion for one in again[:3]] == ["0.0", "0.0", "1.0"]
    assert {one.group for one in again[:3]} == {f"{second[0].id}/replay/0"}
    assert again[0].task.id == second[0].id


def test_bad_input_is_named():
    for options, words in (
        ({"every": 0}, "every must be at least 1, got 0"),
        ({"share": 0.0}, r"share must be in \(0, 1\], got 0.0; use curriculum 'shuffled'"),
        ({"enter": "failed"}, "enter must be one of all_failed, most_failed, got 'failed'"),
        ({"store": "tokens"}, "store must be one of query, trajectory, got 'tokens'"),
        ({"family": "days"}, "family and per_family go together"),
    ):
        with pytest.raises(ValueError, match=words):
            FailureReplay(tasks=tasks(2), **options)
    unwrapped = FailureReplay(tasks=tasks(2), every=1, store="trajectory")
    observe(unwrapped, (unwrapped.tasks[0], [0.0]))
    with pytest.raises(RuntimeError, match="pass rollout=replay.rolling"):
        unwrapped.sample()
    other = FailureReplay(tasks=[Task(id="x")])
    with pytest.raises(ValueError, match="the stored buffer holds task '0', which is not among the 1 tasks"):
        other.load_state_dict(unwrapped.state_dict())


def test_configurations_name_it():
    spec = {"type": "failure_replay", "every": 2, "share": 1.0, "max_tries": 4}
    replay = build_seat(spec, CURRICULA, {"tasks": tasks(3), "count": 2}, {"seed": 7})
    assert isinstance(replay, FailureReplay)
    assert (replay.seed, replay.every, replay.max_tries) == (7, 2, 4)
