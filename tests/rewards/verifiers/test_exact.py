"""Exact match, multiple choice and token F1, beyond the shipped fixtures."""

from __future__ import annotations

import string
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.rewards.spec import from_spec, to_spec
from rewardlab.rewards.verifiers.answers import find_answer, last_box, last_tag
from rewardlab.rewards.verifiers.exact import Choice, ExactMatch, F1Match, normalise
from rewardlab.types import Status, Trajectory

TEXT = st.text(max_size=200)
ALL = [
    ExactMatch(),
    ExactMatch(where="boxed"),
    ExactMatch(where="tag"),
    ExactMatch(where="after"),
    ExactMatch(where="last_line", steps=()),
    ExactMatch(steps=("case", "punctuation", "articles", "whitespace")),
    F1Match(),
    Choice(),
]


def score(reward, answer: str, reference: object = None):
    return reward(Trajectory.from_text("q", answer, reference=reference))


@given(answer=TEXT, reference=TEXT)
@settings(max_examples=80, deadline=None)
def test_any_text_gets_a_value_in_the_unit_interval_and_always_the_same(answer, reference):
    for reward in ALL:
        scores = score(reward, answer, "B" if isinstance(reward, Choice) else reference)
        assert scores.status[0] == Status.SCORED
        assert 0.0 <= scores.values[0] <= 1.0
        assert score(reward, answer, "B" if isinstance(reward, Choice) else reference).values[0] == scores.values[0]


@given(text=TEXT)
@settings(max_examples=100, deadline=None)
def test_the_reference_itself_is_right(text):
    assert score(ExactMatch(), text, text).values[0] == 1.0
    assert score(ExactMatch(), f"  {text.upper()} ", text.upper()).values[0] == 1.0
    assert score(F1Match(), text, text).values[0] == 1.0


@given(text=TEXT)
@settings(max_examples=100, deadline=None)
def test_normalisation_ends(text):
    once = normalise(text)
    assert normalise(once) == once


@given(left=st.lists(st.sampled_from("abcd"), min_size=1), right=st.lists(st.sampled_from("abcd"), min_size=1))
@settings(max_examples=100, deadline=None)
def test_f1_by_hand(left, right):
    common = sum((Counter(left) & Counter(right)).values())
    precision, recall = common / len(left), common / len(right)
    expected = 2 * precision * recall / (precision + recall) if common else 0.0
    scores = score(F1Match(ignore=()), " ".join(left), " ".join(right))
    assert scores.values[0] == pytest.approx(expected)
    assert scores.parts["precision"].values[0] == pytest.approx(precision if common else 0.0)
    assert scores.parts["recall"].values[0] == pytest.approx(recall if common else 0.0)


@pytest.mark.parametrize("letter", "ABCDEFGHIJ")
@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "({})",
        "{}.",
        "**{}**",
        "The answer is {}.",
        "The answer is ({}).",
        "Therefore, the correct option is **{}**.",
        "Answer: {}",
        "ANSWER: {}",
        "answer is \\boxed{{{}}}",
        "$\\boxed{{\\textbf{{({})}}}}$",
        "<answer> {} </answer>",
        "First B, then D.\n\nFinal answer: {}",
        "I would choose option {}.",
        "Option {} is correct.",
        "{}) because it says so",
        "Because of that,\n({})",
        "答案：{}",
        "故选{}。",
        "La respuesta: {}",
    ],
)
def test_choice_forms(letter, form):
    assert Choice().chosen(form.format(letter)) == letter


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Paris",
        "The answer is a good one.",
        "The answer is A or B.",
        "Answer: A, B",
        "Answer: A and C",
        "Answer: A/B",
        "Answer: (A) (B)",
        "Answer: A, or maybe B",
        "\\boxed{A or B}",
        "<answer>A, B</answer>",
        "A B C D",
        "A, B",
        "A) one\nB) two",
        "I think that this is hard",
        "A good plan",
        "We could take (A) or (B)",
    ],
)
def test_no_single_choice(text):
    assert Choice().chosen(text) is None


def test_choice_letters():
    assert Choice(letters="AB").chosen("Answer: C") is None
    assert score(Choice(), "Answer: C", ["B", "C"]).values[0] == 1.0
    for wrong in ("abc", "A B", "", "AA", "A1"):
        with pytest.raises(ValueError, match="different upper-case letters"):
            Choice(letters=wrong)


@pytest.mark.parametrize(
    ("answer", "reference", "steps", "value"),
    [
        ("The U.S.", "U.S", ("case", "edges", "articles", "edges", "whitespace"), 1.0),
        ("a-b", "a b", ("punctuation", "whitespace"), 1.0),
        ("1.5", "15", ("punctuation", "whitespace"), 0.0),
        ("-5", "5", ("punctuation", "whitespace"), 0.0),
        ("Paris", "paris", (), 0.0),
        ("Paris", "Paris", (), 1.0),
    ],
)
def test_steps(answer, reference, steps, value):
    assert score(ExactMatch(steps=steps), answer, reference).values[0] == value


@pytest.mark.parametrize(
    ("text", "where", "answer"),
    [
        ("a\nb\n\n", "last_line", "b"),
        ("\n", "last_line", None),
        ("x \\boxed{1} \\boxed{2", "boxed", None),
        ("\\boxed{\\}}", "boxed", "\\}"),
        ("<answer>a</answer> <answer>b</answer>", "tag", "b"),
        ("</answer><answer>", "tag", None),
        ("Answer: a\nANSWER: **b**", "after", "b"),
        ("none", "after", None),
    ],
)
def test_where_the_answer_stands(text, where, answer):
    assert find_answer(text, where) == answer


@given(text=TEXT, inside=st.text(alphabet=string.ascii_letters, max_size=9))
@settings(max_examples=50, deadline=None)
def test_last_box_and_tag_win(text, inside):
    assert last_box(f"{text}\\boxed{{{inside}}}") == inside
    assert last_tag(f"{text}<answer>{inside}</answer>", "answer") == inside


@pytest.mark.parametrize("reward", [ExactMatch(), F1Match(), Choice()])
def test_missing_reference_fails_and_says_what_was_expected(reward):
    scores = score(reward, "A")
    assert scores.status[0] == Status.FAILED
    assert "the task has no reference; expected" in scores.note(0)


@pytest.mark.parametrize("reward", ALL)
def test_spec_round_trip(reward):
    assert from_spec(to_spec(reward)) == reward


def test_wrong_option():
    with pytest.raises(ValueError, match="option 'where'"):
        ExactMatch(where="middle")
