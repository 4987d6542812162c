from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rewardlab as rl
from rewardlab.types import call_arguments, check_message, group_indices, message_text


def chat(*roles: str) -> list[dict]:
    return [{"role": role, "content": f"{role} {index}"} for index, role in enumerate(roles)]


def test_a_conversation_comes_apart_into_steps_and_back() -> None:
    messages = chat("system", "user", "assistant", "tool", "tool", "assistant")
    trajectory = rl.Trajectory.from_messages(messages)
    assert [len(arrived) for arrived in trajectory.observations] == [2, 2, 0]
    assert trajectory.messages == messages
    assert trajectory.completion == "assistant 5"
    assert len(trajectory) == 2


def test_an_example_in_the_prompt_is_not_taken_for_an_action() -> None:
    messages = chat("user", "assistant", "user", "assistant")
    task = rl.Task(id="t", prompt=messages[:3])
    trajectory = rl.Trajectory.from_messages(messages, task=task)
    assert len(trajectory) == 1
    assert trajectory.completion == "assistant 3"
    assert trajectory.messages == messages


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: rl.Task(id=""), "non-empty string"),
        (lambda: rl.Task(id=3), "str\\(index\\)"),  # type: ignore[arg-type]
        (lambda: rl.Task(id="t", prompt="hello"), "list of chat messages"),  # type: ignore[arg-type]
        (lambda: rl.Task(id="t", prompt=[{"role": "robot", "content": ""}]), "role 'robot', expected one of system"),
        (lambda: rl.Trajectory(observations=np.zeros((3, 2)), actions=np.zeros((3, 1))), "needs 4 observations, got 3"),
        (lambda: rl.Trajectory(observations=[[], []], actions=chat("user")), "must be an assistant message"),
        (lambda: rl.Trajectory(observations=np.zeros(2), actions=np.zeros(1), rewards=[1, 2]), "shape \\(1,\\)"),
        (lambda: rl.Trajectory(observations=np.zeros(2), actions=np.zeros(1), rewards=[np.inf]), "got inf"),
        (lambda: rl.Trajectory(observations=np.zeros(2), actions=np.zeros(1), group=3), "group must be a string"),  # type: ignore[arg-type]
        (lambda: rl.Tokens(ids=[1, 2], step=[0], logprobs=[0.0]), "lengths 2, 1 and 1"),  # type: ignore[arg-type]
        (lambda: rl.Tokens(ids=[1, 2], step=[1, 0], logprobs=[0, 0]), "must not decrease"),  # type: ignore[arg-type]
        (lambda: rl.Tokens(ids=[1], step=[-2], logprobs=[0]), "got -2"),  # type: ignore[arg-type]
        (lambda: rl.Tokens(ids=[1], step=[0], logprobs=[np.nan]), "got nan at token 0"),  # type: ignore[arg-type]
        (
            lambda: rl.Preference(chosen="a", rejected="b", label=1.3),
            "label must be in \\[0, 1\\], got 1.3; use strength",
        ),
        (lambda: rl.Preference(chosen="a", rejected="b", weight=-1), "got -1"),
        (lambda: rl.Scores(values=[1.0], status=[0, 0]), "1 entries"),  # type: ignore[arg-type]
        (lambda: rl.Scores(values=[np.nan], status=[0]), "marked scored but its value is nan"),  # type: ignore[arg-type]
    ],
)
def test_bad_values_are_named_with_what_was_expected(build: object, expected: str) -> None:
    with pytest.raises((ValueError, TypeError), match=expected):
        build()  # type: ignore[operator]


def test_tokens_may_not_name_an_action_that_is_not_there() -> None:
    tokens = rl.Tokens(ids=[5, 6], step=[0, 1], logprobs=[-0.1, -0.2])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tokens name action 1, but the trajectory has only 1 actions"):
        rl.Trajectory(observations=[[], []], actions=chat("assistant"), tokens=tokens)


def test_numbers_that_are_not_finite_become_failures_with_a_reason() -> None:
    scores = rl.Scores(values=[1.0, np.nan, np.inf])  # type: ignore[arg-type]
    assert scores.counts() == {"scored": 1, "abstained": 0, "failed": 2}
    assert scores.mean() == 1.0
    assert scores.note(2) == "the reward returned inf, which is not a finite number"
    assert np.isnan(scores.values[1:]).all()


def test_joining_batches_takes_the_union_of_their_parts() -> None:
    first = rl.Scores(values=[1.0], parts={"a": rl.Scores(values=[2.0])})  # type: ignore[arg-type]
    second = rl.Scores(values=[3.0, 4.0], parts={"b": rl.Scores(values=[5.0, 6.0])})  # type: ignore[arg-type]
    joined = rl.Scores.concatenate([first, second])
    assert joined.values.tolist() == [1, 3, 4]
    assert joined.parts["a"].status.tolist() == [rl.Status.SCORED, rl.Status.ABSTAINED, rl.Status.ABSTAINED]
    assert joined.parts["b"].values[1:].tolist() == [5, 6]


@given(st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=30), st.randoms())
def test_scattered_pieces_come_back_in_place(states: list[int], random: object) -> None:
    values = np.where(np.array(states) == 0, np.arange(len(states), dtype=float), np.nan)
    whole = rl.Scores(values=values, status=np.array(states), notes=[str(index) for index in range(len(states))])
    order = list(range(len(states)))
    random.shuffle(order)  # type: ignore[attr-defined]
    cut = len(order) // 2
    pieces = [
        (np.array(part, dtype=np.intp), whole.select(np.array(part, dtype=np.intp)))
        for part in (order[:cut], order[cut:])
    ]
    back = rl.Scores.scatter([piece for piece in pieces if len(piece[0])], len(states))
    assert np.array_equal(back.values, whole.values, equal_nan=True)
    assert back.status.tolist() == states
    assert back.notes == whole.notes


def test_samples_without_a_group_stand_alone() -> None:
    trajectories = [rl.Trajectory.from_text("q", "a", group=group) for group in ("x", None, "x", None)]
    assert [indices.tolist() for indices in group_indices(trajectories)] == [[0, 2], [1], [3]]


def test_text_and_calls_of_messages() -> None:
    assert message_text({"role": "user", "content": None}) == ""
    assert message_text({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}) == "a"
    assert call_arguments({"function": {"name": "add", "arguments": '{"x": 1}'}}) == ("add", {"x": 1})
    with pytest.raises(ValueError, match="arguments of tool call 'add' are not JSON"):
        call_arguments({"function": {"name": "add", "arguments": "{x: 1"}})
    with pytest.raises(ValueError, match="has no name"):
        call_arguments({"function": {}})
    with pytest.raises(ValueError, match="content of type int"):
        check_message({"role": "user", "content": 3}, where="here")


def test_equality_looks_into_arrays() -> None:
    def build(last: float) -> rl.Trajectory:
        return rl.Trajectory(observations=np.array([[0.0], [last]]), actions=np.zeros((1, 1)), info={"x": float("nan")})

    assert build(1.0) == build(1.0)
    assert build(1.0) != build(2.0)


def test_tasks_compare_by_content_even_where_it_holds_arrays_or_nan() -> None:
    def task(last: float) -> rl.Task:
        return rl.Task(id="t", reference={"x": np.array([1.0, last])}, metadata={"y": float("nan")})

    assert task(2.0) == task(2.0)
    assert task(2.0) != task(3.0)
