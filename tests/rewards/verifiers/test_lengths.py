"""Length and repetition penalties, and the words that they count."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.rewards.spec import from_spec, to_spec
from rewardlab.rewards.verifiers.exact import ExactMatch
from rewardlab.rewards.verifiers.length import CosineLength, LengthPenalty, measure
from rewardlab.rewards.verifiers.repetition import Repetition
from rewardlab.rewards.verifiers.words import count_words, fold, sentences, words
from rewardlab.types import Status, Tokens, Trajectory


def sample(answer: str, reference: object = None, **columns: object) -> Trajectory:
    return Trajectory.from_text("q", answer, reference=reference, **columns)


def two_turns() -> Trajectory:
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "one two"},
        {"role": "user", "content": "more"},
        {"role": "assistant", "content": "three"},
    ]
    step = np.array([-1, 0, 0, -1, 1, -1])
    return Trajectory.from_messages(messages, tokens=Tokens(ids=np.arange(6), step=step, logprobs=np.zeros(6)))


def test_measures():
    trajectory = two_turns()
    assert [measure(trajectory, unit) for unit in ("tokens", "words", "characters")] == [3, 3, 12]
    assert [measure(trajectory, unit, "last") for unit in ("tokens", "words", "characters")] == [1, 1, 5]


@given(length=st.integers(0, 40), maximum=st.integers(1, 30), data=st.data())
@settings(max_examples=200, deadline=None)
def test_length_penalty_is_the_equation(length, maximum, data):
    buffer = data.draw(st.integers(0, maximum))
    value = LengthPenalty(unit="characters", maximum=maximum, buffer=buffer)(sample("a" * length)).values[0]
    if length <= maximum - buffer:
        expected = 0.0
    elif length <= maximum:
        expected = ((maximum - buffer) - length) / buffer
    else:
        expected = -1.0
    assert value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"maximum": 0}, "option 'maximum' must be at least 1"),
        ({"maximum": 4, "buffer": 5}, "option 'buffer' must be between"),
    ],
)
def test_bad_length_options(options, message):
    with pytest.raises(ValueError, match=message):
        LengthPenalty(**options)


def test_tokens_absent_fails():
    for reward in (LengthPenalty(), CosineLength()):
        scores = reward(sample("a"))
        assert scores.status[0] == Status.FAILED
        assert "the trajectory has no tokens" in scores.note(0)


@given(length=st.integers(0, 60), right=st.booleans())
@settings(max_examples=100, deadline=None)
def test_cosine_length_is_the_equation(length, right):
    reward = CosineLength(right=ExactMatch(where="last_line"), unit="characters", maximum=50)
    answer = "a" * length
    short, long = (2.0, 1.0) if right else (-10.0, 0.0)
    scores = reward(sample(answer, answer if right and length else "b"))
    if not length:
        short, long = -10.0, 0.0  # an empty answer has no last line, and is wrong
    expected = long + 0.5 * (short - long) * (1 + math.cos(math.pi * length / 50)) if length <= 50 else -10.0
    assert scores.values[0] == pytest.approx(expected)


def test_cosine_length_keeps_failures_and_parts():
    reward = CosineLength(right=ExactMatch(), unit="words", maximum=9)
    scores = reward([sample("a", "a"), sample("a"), sample("b", "a")])
    assert list(scores.status) == [Status.SCORED, Status.FAILED, Status.SCORED]
    assert "no reference" in scores.note(1)
    assert list(scores.parts["right"].values[[0, 2]]) == [1.0, 0.0]
    assert scores.values[0] > 1.9
    assert scores.values[2] < -9
    assert from_spec(to_spec(reward)) == reward
    assert CosineLength(unit="words")(sample("")).values[0] == pytest.approx(2.0)
    with pytest.raises(ValueError, match="option 'over' must be finite"):
        CosineLength(over=math.inf)


@given(text=st.text(max_size=200), size=st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_repetition_is_the_equation(text, size):
    found = words(fold(text))
    grams = [tuple(found[start : start + size]) for start in range(len(found) - size + 1)]
    expected = -2.0 * (1 - len(set(grams)) / len(grams)) if grams else 0.0
    scores = Repetition(size=size, worst=-2.0)(sample(text))
    assert scores.values[0] == pytest.approx(expected)
    assert -2.0 <= scores.values[0] <= 0.0


@pytest.mark.parametrize(
    ("options", "name"), [({"size": 0}, "size"), ({"worst": 1.0}, "worst"), ({"worst": math.nan}, "worst")]
)
def test_bad_repetition_options(options, name):
    with pytest.raises(ValueError, match=f"option '{name}' must be at"):
        Repetition(**options)


@pytest.mark.parametrize("reward", [Repetition(size=4), LengthPenalty(unit="words", maximum=9, buffer=1)])
def test_spec_round_trip(reward):
    assert from_spec(to_spec(reward)) == reward


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I don't know.", ["I", "don't", "know"]),
        ("1,000.5 and -5 in 2010-2012", ["1,000.5", "and", "-5", "in", "2010", "2012"]),
        ("1,2,3", ["1", "2", "3"]),
        ("北京 is 北", ["北", "京", "is", "北"]),
        ("naïve café", ["naïve", "café"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("*** ... !", []),
    ],
)
def test_words(text, found):
    assert words(text) == found
    assert count_words(text) == len(found)


@given(text=st.text(alphabet="ab1 .,-'!x", max_size=60))
@settings(max_examples=200, deadline=None)
def test_the_two_word_patterns_agree(text):
    assert words(text) == words(text + " 北")[:-1]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Dr. Smith came. He left!", 2),
        ("It was 3.14, i.e. more than J. R. said.", 1),
        ("1. One item.\n2. Another item.", 2),
        ('He said "Stop!" Then he went.', 2),
        ("你好。你好吗？好！", 3),
        ("No end", 1),
        ("... !!! ???", 0),
        ("", 0),
        ("Wait... what?!", 2),
    ],
)
def test_sentences(text, count):
    assert len(sentences(text)) == count


def test_fold_keeps_what_means_something_else():
    assert fold("ＡＢ") == "ab"
    assert fold("e\u0301") == "\u00e9"
    assert fold("x\u00b2") != fold("x2")
