from __future__ import annotations

import ast
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.environments.tool_desk.arithmetic import LARGEST, LONGEST, ArithmeticRefusal, evaluate, written

numbers = st.integers(0, 99).map(str) | st.floats(0, 99, allow_nan=False).map(lambda value: f"{value:.2f}")
expressions = st.recursive(
    numbers,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%", " + ", " * "]), inner).map("".join)
        | inner.map(lambda text: f"({text})")
        | inner.map(lambda text: f"-{text}")
        | st.tuples(numbers, st.integers(0, 4)).map(lambda pair: f"{pair[0]}**{pair[1]}")
    ),
    max_leaves=8,
)


def python_says(expression: str) -> float | None:
    """Python's own value of generated arithmetic (digits, operators and brackets alone), None where there is none."""
    assert set(expression) <= set("0123456789.+-*/%() ")
    try:
        return eval(compile(ast.parse(expression, mode="eval"), "", "eval"), {"__builtins__": {}})  # noqa: S307
    except (ZeroDivisionError, OverflowError):
        return None


def value_or_refusal(expression: str) -> float | str:
    try:
        return evaluate(expression)
    except ArithmeticRefusal as refusal:
        return str(refusal)


@given(expressions)
def test_agrees_with_python(expression: str) -> None:
    expected, found = python_says(expression), value_or_refusal(expression)
    if isinstance(found, str):
        assert any(reason in found for reason in ("division by zero", "larger than", "characters"))
        assert expected is None or "division" not in found
    else:
        assert found == expected
        assert type(found) is type(expected)
        assert abs(found) <= LARGEST


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("x + 1", "'x' is not a number"),
        ("abs(3)", "only numbers"),
        ("__import__('os').system('ls')", "only numbers"),
        ("(1).__class__", "only numbers"),
        ("[1][0]", "only numbers"),
        ("1 if 2 else 3", "only numbers"),
        ("lambda: 1", "only numbers"),
        ("1 < 2", "only numbers"),
        ("not 1", "only numbers"),
        ("~1", "only numbers"),
        ("(x := 3)", "only numbers"),
        ("True", "True is not a number"),
        ("'3'", "'3' is not a number"),
        ("3j", "3j is not a number"),
        ("2 ^ 3", "a power is written"),
        ("1 << 9", "operator is not known"),
        ("3 kg * 4", "is not an arithmetic expression"),
        ("1 +", "is not an arithmetic expression"),
        ("3; 4", "is not an arithmetic expression"),
        ("x = 3", "is not an arithmetic expression"),
        ("1\x00", "is not an arithmetic expression"),
        ("(" * 150, "is not an arithmetic expression"),
        ("1" * (LONGEST + 1), "characters"),
        ("9" * 30, "larger than"),
        ("1e400", "larger than"),
        ("9**9**9", "larger than"),
        ("9**9**9**9", "larger than"),
        ("2**-1**99 * 10**15 * 10**15", "larger than"),
        ("10**15 * 10", "larger than"),
        ("1.5 ** 1e9", "larger than"),
        ("0 ** -1", "division by zero"),
        ("1 / 0", "division by zero"),
        ("1 % 0.0", "division by zero"),
        ("(-8) ** 0.5", "no such root"),
    ],
)
def test_refuses(expression: str, reason: str) -> None:
    with pytest.raises(ArithmeticRefusal, match=reason.replace("(", r"\(")):
        evaluate(expression)


@given(st.text(max_size=40))
def test_any_text_gives_a_bounded_number_or_a_refusal(text: str) -> None:
    try:
        value = evaluate(text)
    except ArithmeticRefusal:
        return
    assert math.isfinite(value)
    assert abs(value) <= LARGEST


def test_large_exponents_of_small_numbers_are_quick() -> None:
    assert evaluate("1 ** 999999999999999") == 1
    assert evaluate("(-1) ** 999999999999999") == -1
    assert evaluate("0 ** 999999999999999") == 0
    assert evaluate("2 ** -999999") == 0.0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (36, "36"),
        (36.0, "36"),
        (1360.777, "1360.78"),
        (0.5, "0.5"),
        (-2.0, "-2"),
        (0.001, "0"),
        (10**15, "1" + "0" * 15),
    ],
)
def test_numbers_are_written_short(value: float, text: str) -> None:
    assert written(value) == text
