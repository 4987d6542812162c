"""The benchmark of implicit process rewards on stored trajectories: its tokens, and that it finds a step planted in them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rewardlab.types import Task, Trajectory

ROOM = str(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture(scope="module")
def script() -> Any:
    sys.path.insert(0, ROOM)
    try:
        import step_implicit
    finally:
        sys.path.remove(ROOM)
    return step_implicit


def talk(said: list[str], task: str) -> Trajectory:
    messages = []
    for text in said:
        messages += [{"role": "user", "content": "go on"}, {"role": "assistant", "content": text}]
    return Trajectory.from_messages(messages, task=Task(id=task))


def test_words_begin_with_the_call_and_hold_no_numbers(script: Any) -> None:
    call = {"type": "function", "function": {"name": "find_user", "arguments": '{"code": "A12"}'}}
    assert script.words({"role": "assistant", "content": "One 7?", "tool_calls": [call]}) == [
        "find_user", "code", "a", "0", "one", "0", "?",
    ]  # fmt: skip


def test_tokens_are_bounded_and_name_their_steps(script: Any) -> None:
    long = talk([f"{'word ' * 50}"] * 60, "a")
    vocabulary = script.Vocabulary([long])
    tokens = vocabulary.encode(long)
    assert set(tokens.step.tolist()) == {-1, *range(script.STEPS)}
    assert np.bincount(tokens.step[tokens.step >= 0]).max() == script.SAID + 1
    assert len(tokens) <= 24 * script.STEPS
    end = vocabulary.places["<end>"]
    assert (tokens.ids == end).sum() == script.STEPS


def test_words_of_other_trajectories_are_unknown(script: Any) -> None:
    vocabulary = script.Vocabulary([talk(["yes yes yes rare"], "a")])
    other = talk(["yes never"], "b")
    assert vocabulary.encode(other).ids[-3:].tolist() == [vocabulary.places["yes"], 1, vocabulary.places["<end>"]]
    assert vocabulary.unknown([other]) == 0.5


def test_pairs_come_from_tasks_with_both_outcomes(script: Any) -> None:
    one, two, three = talk(["x"], "a"), talk(["y"], "a"), talk(["z"], "b")
    assert script.with_both([(one, True), (two, False), (three, True)]) == [one, two]


def test_chance_is_of_the_sum_or_the_mean(script: Any) -> None:
    row = np.array([np.log(3.0), np.log(3.0)])
    assert script.chance_of(row, "sum") == pytest.approx(0.9)
    assert script.chance_of(row, "mean") == pytest.approx(0.75)


def test_an_agent_is_judged_by_its_other_tasks(script: Any) -> None:
    made = [talk(["x"], f"task {number}") for number in range(10)]
    for number, one in enumerate(made):
        assert one.task is not None
        one.task.metadata["agent"] = "a" if number % 2 else "b"
    outcomes = np.arange(10) % 2 * 1.0  # agent a succeeds always, b never
    found = script.agent_means(made, outcomes)[0.25]
    assert found[1::2].min() > 0.8
    assert found[::2].max() < 0.2
    turned = script.agent_means(made, np.where(np.arange(10) == 3, 0.0, outcomes))[0.25]
    assert turned[3] == pytest.approx(found[3])  # its own outcome says nothing of it


def test_a_planted_mistake_gets_the_lowest_reward(script: Any) -> None:
    chance = np.random.default_rng(0)
    made, outcomes, planted = [], [], []
    for number in range(104):
        said, place = ["look at the list now"] * 5, int(chance.integers(5))
        wrong = number % 2
        said[place] = "delete all of it" if wrong else "keep all of it"
        made.append(talk(said, f"task {number // 4}"))
        outcomes.append(1.0 - wrong)
        planted.append(place)
    fitted = script.Fitted(made[:80], np.array(outcomes[:80]), 0)
    for rows in fitted.step_rewards(made[80:]).values():
        sums = np.array([row.sum() for row in rows])
        right = np.array(outcomes[80:]) > 0.5
        assert sums[right].min() > sums[~right].max()
        assert all(
            row.argmin() == place for row, place, good in zip(rows, planted[80:], right, strict=True) if not good
        )
