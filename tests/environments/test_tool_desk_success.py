from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.environments.tool_desk import ToolDesk, ToolDeskSuccess, answer_matches
from rewardlab.environments.tool_desk.answers import same_answer
from rewardlab.environments.tool_desk.dates import read_date
from rewardlab.rewards.spec import from_spec, to_spec
from rewardlab.types import Status, Task, Trajectory, call_message


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("81", "81"),
        ("81", " 81.0 "),
        ("81", "**81**."),
        ("81", "Answer: 81"),
        ("81", "4 * 3 is 12, no.\nAnswer: 81"),
        ("1361", "1,361"),
        ("3000 g", "3000 g"),
        ("3000 g", "3000g"),
        ("3000 g", "3000"),
        ("3000 g", "Answer: 3,000 g."),
        ("5643.83 oz", "5643.83 oz"),
        ("5643.83 oz", "5643.82"),
        ("Rome", "rome"),
        ("Rome", "`Rome`."),
        ("23 Mar", "23 Mar"),
        ("23 Mar", "March 23"),
        ("23 Mar", "23 March 2027"),
        ("23 Mar", "23 Mar (Tue)"),
    ],
)
def test_right_answers_however_dressed(expected: str, text: str) -> None:
    assert same_answer(expected, text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("81", ""),
        ("81", "82"),
        ("81", "81.004"),
        ("81", "8 1"),
        ("81", "81 or 82"),
        ("81", "81, 82"),
        ("78", "7,8"),
        ("81", "80 81 82"),
        ("81", "-81"),
        ("81", "8181"),
        ("81", "81 g"),
        ("81", "eighty-one"),
        ("81", "Answer: 81 Answer: 82"),
        ("81", "81\nAnswer:"),
        ("81", "9" * 5000),
        ("81", "answer:" * 20_000),
        ("3000 g", "3000 kg"),
        ("3000 g", "3 kg"),
        ("5643.83 oz", "5643.8 oz"),
        ("Rome", "Rome, Oslo"),
        ("Rome", "Ro"),
        ("Rome", "not Rome"),
        ("23 Mar", "24 Mar"),
        ("23 Mar", "23"),
        ("23 Mar", "23 Mar 2026"),
        ("23 Mar", "23 Mar or 24 Mar"),
        ("81", "\ud800\x00"),
    ],
)
def test_wrong_answers_and_hedges(expected: str, text: str) -> None:
    assert not same_answer(expected, text)


@given(st.text(max_size=60), st.sampled_from(["81", "3000 g", "5643.83 oz", "Rome", "23 Mar"]))
def test_any_text_gets_a_verdict_and_the_answer_itself_is_right(text: str, expected: str) -> None:
    assert same_answer(expected, text) in (True, False)
    assert same_answer(expected, expected)
    assert same_answer(expected, f"{text} Answer: {expected}")


def test_dates_that_are_none() -> None:
    assert [read_date(text) for text in ("", "31 Feb", "14", "Mar", "14 Foo", "0 Mar", "14 Mar 2026")] == [None] * 7


def task(**changes: Any) -> Task:
    made = ToolDesk(kinds=["total"]).tasks("train", 1)[0]
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def attempt_at(made: Task | None, *actions: Any) -> Trajectory:
    return Trajectory(
        observations=[[] for _ in range(len(actions) + 1)], actions=list(actions), task=made, terminated=True
    )


def test_fixture_full_and_zero() -> None:
    made = task()
    (demonstration,) = ToolDesk().demonstrations([made])
    blind = attempt_at(made, {"role": "assistant", "content": made.reference["answer"]})
    wrong = attempt_at(made, {"role": "assistant", "content": "no idea"})
    silent = attempt_at(made, {"role": "assistant", "content": ""})
    calling = attempt_at(made, call_message("calculate", {"expression": "1"}, identity="c"))
    scores = ToolDeskSuccess()([demonstration, blind, wrong, silent, calling])
    assert scores.values.tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert scores.parts["finished"].values.tolist() == [1.0, 1.0, 1.0, 0.0, 0.0]
    assert scores.parts["progress"].values.tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert scores.parts["calls_ok"].abstained.tolist() == [False, True, True, True, True]
    assert ToolDeskSuccess(require_evidence=True)([demonstration, blind]).values.tolist() == [1.0, 0.0]


def test_text_beside_a_call_is_no_answer() -> None:
    made = task()
    message = {**call_message("calculate", {"expression": "1"}, identity="c"), "content": made.reference["answer"]}
    assert ToolDeskSuccess()(attempt_at(made, message)).values.tolist() == [0.0]


def test_fixture_hostile() -> None:
    """Naming every candidate, errors dressed as output, and calls that are none earn nothing and break nothing."""
    made = task()
    every = " ".join(map(str, range(200)))
    strange = {
        "role": "assistant",
        "content": "",
        "tool_calls": [None, 3, {"function": {"name": "x", "arguments": "{"}}],
    }
    scores = ToolDeskSuccess()(
        [attempt_at(made, {"role": "assistant", "content": every}), attempt_at(made, strange, strange)]
    )
    assert scores.values.tolist() == [0.0, 0.0]
    assert scores.failed.tolist() == [False, False]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (None, "the trajectory has no task"),
        (task(reference=None), 'has no reference["answer"], expected the right answer as a string'),
        (task(reference={"answer": 3}), 'has no reference["answer"]'),
        (task(reference="81"), 'has no reference["answer"]'),
    ],
)
def test_fixture_malformed(made: Task | None, reason: str) -> None:
    scores = ToolDeskSuccess()(attempt_at(made, {"role": "assistant", "content": "81"}))
    assert scores.status.tolist() == [Status.FAILED]
    assert reason in (scores.note(0) or "")


def test_a_reference_without_calls_has_no_progress() -> None:
    scores = ToolDeskSuccess()(attempt_at(task(reference={"answer": "81"}), {"role": "assistant", "content": "81"}))
    assert scores.values.tolist() == [1.0]
    assert scores.parts["progress"].abstained.tolist() == [True]


def test_answer_matches_reads_the_reference() -> None:
    made = task()
    assert answer_matches(made, made.reference["answer"])
    with pytest.raises(ValueError, match="make tasks with ToolDesk"):
        answer_matches(Task(id="x"), "81")


def test_spec_round_trip() -> None:
    reward = ToolDeskSuccess(require_evidence=True)
    assert to_spec(reward) == {"type": "tool_desk_success", "require_evidence": True}
    assert from_spec(to_spec(reward)) == reward
    assert reward.deterministic
    assert not reward.needs_environment
