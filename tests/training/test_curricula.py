from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.training.curricula import CURRICULA, Curriculum, Fixed, Shuffled
from rewardlab.types import Task


def tasks(count):
    return [Task(id=str(index)) for index in range(count)]


def ids(curriculum, steps):
    return [[task.id for task in curriculum.sample()] for _ in range(steps)]


def test_fixed_walks_in_order_and_begins_again():
    assert ids(Fixed(tasks=tasks(5), count=2), 4) == [["0", "1"], ["2", "3"], ["4", "0"], ["1", "2"]]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 99))
def test_shuffled_repeats_nothing_within_an_epoch(total, count, seed):
    curriculum = Shuffled(tasks=tasks(total), count=count, seed=seed)
    flat = [one for step in ids(curriculum, 2 * total) for one in step]
    for epoch in range(len(flat) // total):
        assert sorted(flat[epoch * total : (epoch + 1) * total]) == sorted(str(index) for index in range(total))
    assert curriculum.epoch == len(flat) // total


def test_shuffled_orders_differ_between_epochs_and_seeds():
    first = Shuffled(tasks=tasks(20), count=20, seed=1)
    assert first.sample() != first.sample()
    assert ids(Shuffled(tasks=tasks(20), count=20, seed=1), 1) != ids(Shuffled(tasks=tasks(20), count=20, seed=2), 1)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([Fixed, Shuffled]), st.integers(1, 9), st.integers(1, 5), st.integers(0, 12))
def test_a_restored_curriculum_goes_on_where_it_was(kind, total, count, before):
    whole = kind(tasks=tasks(total), count=count)
    ids(whole, before)
    resumed = kind(tasks=tasks(total), count=count)
    resumed.load_state_dict(whole.state_dict())
    assert ids(resumed, 5) == ids(whole, 5)


def test_registry():
    for name in CURRICULA:
        assert isinstance(CURRICULA.resolve(name)(tasks=tasks(3)), Curriculum)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="tasks is empty; give at least one Task"):
        Fixed(tasks=[])
    with pytest.raises(ValueError, match=r"tasks\[1\] has the id 'a', as an earlier one has"):
        Shuffled(tasks=[Task(id="a"), Task(id="a")])
    with pytest.raises(TypeError, match=r"tasks\[0\] must be a Task, got str"):
        Fixed(tasks=["what is 2 + 2?"])
    with pytest.raises(ValueError, match="count must be at least 1"):
        Fixed(tasks=tasks(2), count=0)
