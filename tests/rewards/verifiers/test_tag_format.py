"""The layout of a turn in tags, and the length of its thought."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.rewards.schedules import Linear
from rewardlab.rewards.spec import from_spec, to_spec
from rewardlab.rewards.verifiers.tag_format import TagFormat, ThinkingLength
from rewardlab.types import Task, Trajectory

CALL = [{"name": "f", "parameters": {}}]
BOTH = {"tool_calls": CALL, "response": "Let me look."}
THINK = "<think> hm </think>"
CALL_BLOCK = '<tool_call>\n{"name": "f", "parameters": {}}\n</tool_call>'
ANSWER_BLOCK = "<response> hello </response>"


def turn(text: str, reference: Any = None, **message: Any) -> Trajectory:
    action = {"role": "assistant", "content": text, **message}
    return Trajectory(observations=[[], []], actions=[action], task=Task(id="t", reference=reference))


@pytest.mark.parametrize(
    ("reference", "text", "kept"),
    [
        ([], f"{THINK}\n{ANSWER_BLOCK}", True),
        (CALL, f"{THINK}\n{CALL_BLOCK}", True),
        (BOTH, f"{THINK}\n{CALL_BLOCK}\n{ANSWER_BLOCK}", True),
        (f"{THINK}", THINK, True),
        (CALL, f"  {THINK}\n{CALL_BLOCK}\n\n", True),  # white space at the ends is free
        (CALL, f"<think>two\nlines</think>\n{CALL_BLOCK}", True),
        (CALL, f"{THINK}\n{ANSWER_BLOCK}", False),
        ([], f"{THINK}\n{CALL_BLOCK}", False),
        (CALL, CALL_BLOCK, False),
        (CALL, f"{THINK}{CALL_BLOCK}", False),  # no new line between
        (CALL, f"{THINK}\n\n{CALL_BLOCK}", False),
        (CALL, f"{THINK}\n{CALL_BLOCK.replace(chr(10), '')}", False),  # tags not alone on their lines
        (CALL, f"before {THINK}\n{CALL_BLOCK}", False),
        (CALL, f"{THINK}\n{CALL_BLOCK} after", False),
        (CALL, f"{THINK}\nbetween\n{CALL_BLOCK}", False),
        (CALL, f"{THINK}\n{CALL_BLOCK}\n{CALL_BLOCK}", False),
        (CALL, f"<think> the tag <tool_call> </think>\n{CALL_BLOCK}", False),
        (BOTH, f"{THINK}\n{ANSWER_BLOCK}\n{CALL_BLOCK}", False),
        (CALL, "", False),
        (f"{THINK}\n{CALL_BLOCK}", f"{THINK}\n{CALL_BLOCK}", True),
        (f"<think> <response> </think>\n{CALL_BLOCK}", f"{THINK}\n{CALL_BLOCK}", True),  # a quoted tag demands nothing
    ],
)
def test_the_template_that_the_reference_demands(reference: Any, text: str, kept: bool) -> None:
    scores = TagFormat()(turn(text, reference))
    assert scores.scored.all()
    assert scores.values[0] == kept
    assert (scores.note(0) is None) == kept


@pytest.mark.parametrize(
    ("text", "kept", "part"),
    [
        (f"{THINK}\n{CALL_BLOCK}", 1, "call"),
        (f"{THINK}\n{ANSWER_BLOCK}", 1, "answer"),
        (f"{THINK}\n{CALL_BLOCK}\n{ANSWER_BLOCK}", 1, "both"),
        (THINK, 0, "neither"),
        (f"{THINK}\n{ANSWER_BLOCK}\n{CALL_BLOCK}", 0, "both"),
        ("plain", 0, "neither"),
    ],
)
def test_any_template(text: str, kept: int, part: str) -> None:
    scores = TagFormat(demand="any")(turn(text))
    assert scores.values[0] == kept
    assert list(scores.parts) == [part]


def test_parts_give_the_share_for_each_template() -> None:
    scores = TagFormat()([turn(f"{THINK}\n{CALL_BLOCK}", CALL), turn("x", CALL), turn(f"{THINK}\n{ANSWER_BLOCK}", [])])
    assert scores.parts["call"].mean() == 0.5
    assert scores.parts["answer"].mean() == 1


def test_options() -> None:
    reward = TagFormat(think=False, call="call", answer="answer", scale=(-1, 1))
    assert reward(turn("<call>\n1\n</call>", CALL)).values[0] == 1
    assert reward(turn("<answer>\n1\n</answer>", CALL)).values[0] == -1
    assert from_spec(to_spec(reward)) == reward
    with pytest.raises(ValueError, match="'call' must be a tag name"):
        TagFormat(call="<call>")
    with pytest.raises(ValueError, match="must differ"):
        TagFormat(call="response")
    with pytest.raises(ValueError, match="must differ"):
        TagFormat(call="think")


def test_what_cannot_be_checked_fails() -> None:
    no_reference = TagFormat()(turn("x"))
    assert no_reference.failed.all()
    assert 'demand="any"' in (no_reference.note(0) or "")
    parsed = TagFormat()(turn("", CALL, tool_calls=[{"function": {"name": "f", "arguments": "{}"}}]))
    assert parsed.failed.all()
    assert "layout cannot be seen" in (parsed.note(0) or "")
    assert TagFormat()(turn("x", 42)).failed.all()
    empty = Trajectory(observations=[[]], actions=[], task=Task(id="t", reference=CALL))
    for reward in (TagFormat(), ThinkingLength()):
        assert "is empty" in (reward(empty).note(0) or "")


@given(st.text() | st.lists(st.sampled_from([THINK, "\n", CALL_BLOCK, ANSWER_BLOCK, "<think>", "x"])).map("".join))
def test_any_text_is_scored(text: str) -> None:
    for demand in ("reference", "any"):
        scores = TagFormat(demand=demand)(turn(text, CALL))
        assert scores.values[0] in (0.0, 1.0)


def test_hostile_tags_take_no_time() -> None:
    for text in ("<think>" * 100_000, "<think></think>\n<tool_call>\n" * 30_000, "<think>" + "\n</tool_call>" * 50_000):
        assert TagFormat()(turn(text, CALL)).values[0] == 0


# ---- thinking length ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>" + "word " * 256 + "</think>", 0.5),
        ("<think>" + "word " * 512 + "</think> answer", 1.0),
        ("<think>" + "word " * 5000 + "</think>", 1.0),
        ("<think>" + "word " * 100 + "</think>", 0.2),  # 0.195 rounded
        ("<think></think>", 0.0),
        ("no thought", 0.0),
        ("<think>never closed", 0.0),
        ("closed only </think>", 0.0),
    ],
)
def test_words_over_the_target(text: str, expected: float) -> None:
    assert ThinkingLength()(turn(text)).values[0] == expected


def test_the_target_can_move_with_progress() -> None:
    reward = ThinkingLength(schedule=Linear(start=384, end=640))
    sample = turn("<think>" + "word " * 320 + "</think>")
    assert reward(sample, progress=0.0).values[0] == 0.83
    assert reward(sample, progress=0.5).values[0] == 0.62
    assert reward(sample, progress=1.0).values[0] == 0.5
    assert from_spec(to_spec(reward)) == reward
    with pytest.raises(ValueError, match="needs the progress"):
        reward(sample)


def test_a_target_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1 word"):
        ThinkingLength(target=0)
    with pytest.raises(ValueError, match="target of 0"):
        ThinkingLength(schedule=Linear(start=0, end=1))(turn("x"), progress=0.0)


def test_words_part() -> None:
    assert ThinkingLength()(turn("<think> three little words </think>")).parts["words"].values[0] == 3
