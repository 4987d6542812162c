r"""Where the final answer stands: boxes, marks, formulas and numbers, in clean, broken and hostile completions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.rewards.verifiers.math import extract_answer
from rewardlab.rewards.verifiers.math.extraction import last_boxed, last_marked, last_number

AUTO = [
    (r"so \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
    (r"$\boxed{5}$ hours and $\boxed{20}$ minutes", "20"),
    (r"$\boxed{1}$ and $\boxed{2}$", "1, 2"),
    (r"\boxed{1}, \boxed{2} or \boxed{3}", "1, 2, 3"),
    (r"\boxed{a \{b\} {c}} and then", r"a \{b\} {c}"),
    (r"\boxed{\boxed{5}}", "5"),
    (r"\fbox{7}", "7"),
    (r"\boxed 5", "5"),
    (r"\boxed{3}. Then the answer is 4.", "3"),
    (r"It is \boxed{4} \boxed{", "4"),
    (r"\boxed{} so the answer must be 6", "6"),
    ("2 + 2\n#### 4", "4"),
    ("x\nA: 18", "18"),
    ("A: 18", "18"),
    ("A: 1\nB: 2", "1"),
    ("The answer is 18.", "18"),
    ("the answer is 18 because 3*6 = 18", "18"),
    ("The answer is 3.5. That is all.", "3.5"),
    ("The answer is $5 and not $6.", "$5 and not $6"),
    (r"The final answer is $\frac{1}{2}$. I hope it is correct.", r"\frac{1}{2}"),
    ("The answer is: therefore $x=1$ or $x=2$.", "x=1, x=2"),
    (r"The answer is\n\n\[x=3\]".replace("\\n", "\n"), "x=3"),
    ("**Answer:** 42", "42"),
    ("Final answer: **42**", "42"),
    (r"Answer: \(\sqrt{2}\)", r"\sqrt{2}"),
    ("The answer to the riddle is forty-two", "forty-two"),
    ("Answer: 3\nAnswer: 4", "4"),
    ("answer: ", "answer:"),
    ("So he pays $18 in total.", "$18"),
    ("10-12", "10-12"),
    ("it lies between 10 and then 10-12", "12"),
    ("we lose -12", "-12"),
    ("cost: 1,234.50.", "1,234.50"),
    ("that makes 3/4 of it", "3/4"),
    ("the share is 12.5%", "12.5%"),
    ("so we get $x = 5$.", "x = 5"),
    ("since $x = 5$, there are 7 of them", "7"),
    (r"\frac{1}{2}", r"\frac{1}{2}"),
    ("blue", "blue"),
    ("x = 5", "x = 5"),
    ("It is 18", "18"),
    ("<think>1 or \\boxed{2}</think> the result is 7 apples", "7"),
    ("<think>1 or \\boxed{2}</think>", "2"),
    (r"I say 3. <answer>\frac{1}{2}</answer> Or 9.", r"\frac{1}{2}"),
    ("", None),
    ("   \n", None),
    ("I really do not know what to say about any of this at all", None),
]


@pytest.mark.parametrize(("text", "expected"), AUTO)
def test_auto(text, expected):
    assert extract_answer(text) == expected


def test_each_way_looks_in_its_own_place_only():
    text = "The answer is 5. Also \\boxed{6}, and 7."
    assert extract_answer(text, "boxed") == "6"
    assert extract_answer(text, "marked") == "5"
    assert extract_answer(text, "last_number") == "7"
    assert extract_answer(text, "whole") == text
    assert (
        extract_answer("nothing", "boxed")
        is extract_answer("nothing", "marked")
        is extract_answer("none", "last_number")
        is None
    )


def test_unknown_way_is_refused_by_name():
    with pytest.raises(ValueError, match="extract must be auto, boxed, marked, last_number or whole, got 'last'"):
        extract_answer("5", "last")


@given(st.text(), st.sampled_from(["auto", "boxed", "marked", "last_number", "whole"]))
def test_any_text_gives_an_answer_or_none(text, way):
    answer = extract_answer(text, way)
    assert answer is None or (isinstance(answer, str) and answer)


@given(st.text(alphabet="\\boxedfrac{}$ ().,:=*#A1290\nanswer is", max_size=60))
def test_marks_in_any_order(text):
    for found in (extract_answer(text), last_boxed(text), last_marked(text), last_number(text)):
        assert found is None or isinstance(found, str)


@given(
    st.integers(-(10**9), 10**9), st.sampled_from(["\\boxed{%s}", "#### %s", "The answer is %s.", "A: %s", "we get %s"])
)
def test_a_number_is_found_in_every_wrapping(value, wrapping):
    text = "First 3 then 4.\n" + wrapping % value
    assert extract_answer(text) == str(value)


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" * 30_000,
        "A:" * 100_000,
        "answer" * 30_000,
        "answer is " * 20_000,
        "The answer is" + " " * 199_000 + "5",
        "$" * 200_000,
        "$1" * 100_000,
        "\\(" * 100_000,
        "1," * 100_000,
        "-" * 200_000,
        "9" * 200_000,
        "<answer>" * 20_000 + "</answer>",
        "<think>" * 20_000,
        "İ" * 50_000 + "answer: 5",
    ],
)
def test_long_hostile_texts_return(text):
    answer = extract_answer(text)
    assert answer is None or len(answer) <= len(text)
