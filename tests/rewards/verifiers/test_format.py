"""Format: blocks, patterns under a time limit, lengths; beyond the shipped fixtures."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.rewards.spec import from_spec, to_spec
from rewardlab.rewards.verifiers.format import Blocks, Format
from rewardlab.types import Status, Trajectory

PIECES = st.lists(
    st.sampled_from(["<a>", "</a>", "<b>", "</b>", "<c>", "x", " ", "\n", "<", ">", "</a", "<a "]), max_size=12
).map("".join)


def score(reward, answer: str):
    return reward(Trajectory.from_text("q", answer))


@given(text=PIECES)
@settings(max_examples=300, deadline=None)
def test_blocks_agree_with_a_plain_expression(text):
    inside = r"(?:(?!</?[ab]>).)*?\S(?:(?!</?[ab]>).)*?"
    expected = re.fullmatch(rf"\s*<a>{inside}</a>\s*<b>{inside}</b>\s*", text, re.DOTALL) is not None
    assert (Blocks(["a", "b"], outside=False, empty=False).problem(text) is None) == expected


@given(text=PIECES)
@settings(max_examples=200, deadline=None)
def test_repeated_blocks_agree_with_a_plain_expression(text):
    inside = r"(?:(?!</?[ab]>).)*"
    expected = re.fullmatch(rf"\s*(?:<a>{inside}</a>\s*)?(?:<b>{inside}</b>\s*)+", text, re.DOTALL) is not None
    assert (Blocks(["a?", "b+"], outside=False, empty=True).problem(text) is None) == expected


@given(text=st.text(max_size=200) | PIECES)
@settings(max_examples=60, deadline=None)
def test_any_text_gets_a_value_in_the_unit_interval(text):
    for reward in (Format(), Format(pattern="a.c", match="anywhere", max_length=5, tags=("a",), partial=True)):
        scores = score(reward, text)
        assert scores.status[0] == Status.SCORED
        assert 0.0 <= scores.values[0] <= 1.0
        assert score(reward, text).values[0] == scores.values[0]


def test_catastrophic_pattern_is_cut_off_and_fails():
    reward = Format(pattern=r"(a|aa)+", time_limit=0.05)
    scores = reward([Trajectory.from_text("q", "a" * 5_000 + "!"), Trajectory.from_text("q", "aa")])
    assert list(scores.status) == [Status.FAILED, Status.SCORED]
    assert "ran into the time limit on a text of 5001 characters" in scores.note(0)


@pytest.mark.parametrize(("pattern", "position"), [("(", 1), ("ab[c", 4), ("a{2,1}", 2)])
def test_pattern_that_does_not_compile_is_refused_with_its_position(pattern, position):
    with pytest.raises(ValueError, match=rf"Format: option 'pattern' does not compile: .* at position {position}, got"):
        Format(pattern=pattern)


def test_pattern_whole_or_anywhere():
    assert score(Format(pattern=r"\d+"), "a 12 b").values[0] == 0.0
    assert score(Format(pattern=r"\d+", match="anywhere"), "a 12 b").values[0] == 1.0


def test_parts_and_partial():
    scores = score(Format(tags=("a",), max_length=3, pattern="(?s).*", partial=True), "<a>x</a>")
    assert {name: part.values[0] for name, part in scores.parts.items()} == {"pattern": 1, "tags": 1, "max_length": 0}
    assert scores.values[0] == pytest.approx(2 / 3)
    assert score(Format(tags=("a",), max_length=3), "<a>x</a>").values[0] == 0.0


def test_prefill_opens_the_first_block():
    assert score(Format(prefill="<think>"), "a</think><answer>b</answer>").values[0] == 1.0
    assert score(Format(), "a</think><answer>b</answer>").values[0] == 0.0


def test_all_turns_give_a_value_per_step():
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "<a>x</a>"},
        {"role": "user", "content": "more"},
        {"role": "assistant", "content": "x"},
    ]
    scores = Format(tags=("a",), turns="all")(Trajectory.from_messages(messages))
    assert scores.values[0] == 0.5
    assert list(scores.steps[0]) == [1.0, 0.0]
    assert scores.note(0) == "step 1: no block, but text"
    assert Format(tags=("a",))(Trajectory.from_messages(messages)).values[0] == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tags": ("a b",)}, "option 'tags' must hold names"),
        ({"tags": ("a", "a?")}, "option 'tags' must hold different names"),
        ({"max_length": -1}, "option 'max_length' must not be negative, got -1"),
        ({"time_limit": 0}, "option 'time_limit' must be above 0, got 0"),
        ({"outside": "some"}, "option 'outside'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Format(**options)


@pytest.mark.parametrize("reward", [Format(), Format(pattern="a", tags=("x?", "y"), max_length=3)])
def test_spec_round_trip(reward):
    assert from_spec(to_spec(reward)) == reward
