r"""The exact algebra against mpmath with 60 digits: what it calls equal is equal, what it calls different differs."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rewardlab.rewards.verifiers.math.algebra import same
from rewardlab.rewards.verifiers.math.evaluation import evaluate, real_value
from rewardlab.rewards.verifiers.math.forms import Scalar
from rewardlab.rewards.verifiers.math.polynomials import TooHard
from rewardlab.rewards.verifiers.math.reading import read
from rewardlab.rewards.verifiers.math.trees import number

Point = dict[str, mpmath.mpf]
Term = tuple[str, Callable[[Point], mpmath.mpc]]

LEAVES = [
    *((str(value), lambda point, value=value: mpmath.mpc(value)) for value in range(1, 7)),
    ("x", lambda point: mpmath.mpc(point["x"])),
    ("y", lambda point: mpmath.mpc(point["y"])),
    (r"\pi ", lambda point: mpmath.mpc(mpmath.pi)),
    ("e", lambda point: mpmath.mpc(mpmath.e)),
]


def one(term: Term) -> st.SearchStrategy[Term]:
    text, value = term
    return st.sampled_from(
        [
            (rf"\sqrt{{{text}}}", lambda point: mpmath.sqrt(value(point))),
            (rf"\sin({text})", lambda point: mpmath.sin(value(point))),
            (rf"\ln({text})", lambda point: mpmath.log(value(point))),
            (f"({text})^{{2}}", lambda point: value(point) ** 2),
            (f"({text})^{{-1}}", lambda point: value(point) ** -1),
            (f"(-{text})", lambda point: -value(point)),
            (f"2^{{{text}}}", lambda point: mpmath.power(2, value(point))),
        ]
    )


def two(pair: tuple[Term, Term]) -> st.SearchStrategy[Term]:
    (left, one), (right, other) = pair
    return st.sampled_from(
        [
            (f"({left}+{right})", lambda point: one(point) + other(point)),
            (f"({right}+{left})", lambda point: one(point) + other(point)),
            (f"({left}-{right})", lambda point: one(point) - other(point)),
            (rf"{left} \cdot {right}", lambda point: one(point) * other(point)),
            (rf"\frac{{{left}}}{{{right}}}", lambda point: one(point) / other(point)),
        ]
    )


terms = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(inner.flatmap(one), st.tuples(inner, inner).flatmap(two)),
    max_leaves=5,
)


def at(term: Term) -> list[mpmath.mpc]:
    points = (
        {"x": mpmath.mpf("0.7312"), "y": mpmath.mpf("1.377")},
        {"x": mpmath.mpf("1.912"), "y": mpmath.mpf("0.413")},
    )
    with mpmath.workdps(60):
        try:
            values = [term[1](point) for point in points]
        except (ZeroDivisionError, ValueError, OverflowError):
            values = [mpmath.mpc("nan")]
        assume(all(mpmath.isfinite(value) and abs(value) < 1e20 for value in values))
        return values


def check(left: Term, right: Term) -> bool | None:
    one, other = read(left[0]), read(right[0])
    assert isinstance(one, Scalar)
    assert isinstance(other, Scalar)
    result = same(one.tree, other.tree)
    with mpmath.workdps(60):
        gap = max(abs(a - b) / max(1, abs(a)) for a, b in zip(at(left), at(right), strict=True))
        if result is True:
            assert gap < mpmath.mpf(10) ** -40
        if result is False:
            assert gap > 0
    return result


@given(terms, terms)
def test_two_expressions(left, right):
    check(left, right)
    assert check(left, left) is True


@given(terms, terms, terms)
def test_laws_of_arithmetic_are_seen(a, b, c):
    (x, f), (y, g), (z, h) = a, b, c
    at(a), at(b), at(c)
    distributed = (f"({x})({y}) + ({x})({z})", lambda point: f(point) * g(point) + f(point) * h(point))
    assert check((f"({x})(({z})+({y}))", lambda point: f(point) * (g(point) + h(point))), distributed) in (True, None)
    shifted = (f"({x})(({z})+({y}))+1", lambda point: f(point) * (g(point) + h(point)) + 1)
    assert check(shifted, distributed) is not True


@given(terms)
def test_error_bounds_hold(term):
    answer = read(term[0])
    assert isinstance(answer, Scalar)
    assume("x" not in term[0] and "y" not in term[0])
    exact = at(term)[0]
    try:
        value, bound = evaluate(answer.tree)
    except TooHard:
        return
    assert abs(mpmath.mpc(value) - exact) <= 10 * bound + 1e-300


def test_infinite_and_missing_values():
    tower = read("9^{9^{9^{9}}}").tree
    assert evaluate(tower) == (float("inf"), 0.0)
    assert real_value(tower) is None
    assert same(tower, number(5)) is False
    assert same(tower, read("9^{9^{9^{8}}}").tree) is None
    for text in (r"\ln(0)", r"\frac{1}{0}", "0^{-1}", r"\sqrt[3]{-8}", "g(2)"):
        with pytest.raises(TooHard):
            evaluate(read(text).tree)
