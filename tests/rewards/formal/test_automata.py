"""Compiled formulas against the definition of the logic, on all traces up to length 6."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.rewards.formal.automata import Automaton, compile_formula, holds, normal_form
from rewardlab.rewards.formal.syntax import (
    FALSE,
    TRUE,
    Formula,
    FormulaError,
    Proposition,
    Temporal,
    conjunction,
    disjunction,
    negation,
    parse_formula,
)


def every_trace(names: tuple[str, ...], longest: int = 6) -> list[dict[str, np.ndarray]]:
    """All traces of each length: proposition -> bool[trace, step]."""
    found = []
    for length in range(1, longest + 1):
        codes = np.stack(np.meshgrid(*[np.arange(1 << len(names))] * length, indexing="ij"), -1).reshape(-1, length)
        found.append({name: (codes >> bit & 1).astype(bool) for bit, name in enumerate(names)})
    return found


TRACES = {names: every_trace(names) for names in (("a", "b"),)}
THREE = every_trace(("a", "b", "c"))


def agree(formula: Formula, names: tuple[str, ...], traces: list[dict[str, np.ndarray]]) -> None:
    automaton, normal = compile_formula(formula, names), normal_form(formula)
    for trace in traces:
        wanted = holds(formula, trace)
        assert np.array_equal(automaton.accepts(trace), wanted), str(formula)
        assert np.array_equal(holds(normal, trace), wanted), str(formula)


def formulas(names: tuple[str, ...]) -> st.SearchStrategy[Formula]:
    def grow(inner: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
        pair = st.lists(inner, min_size=2, max_size=3)
        return st.one_of(
            inner.map(negation),
            pair.map(conjunction),
            pair.map(disjunction),
            st.builds(lambda sign, one: Temporal(sign, (one,)), st.sampled_from(["X", "WX", "F", "G"]), inner),
            st.builds(
                lambda sign, one, two: Temporal(sign, (one, two)), st.sampled_from(["U", "R", "W"]), inner, inner
            ),
        )

    leaves = st.one_of(st.sampled_from([Proposition(name) for name in names]), st.sampled_from([TRUE, FALSE]))
    return st.recursive(leaves, grow, max_leaves=7)


@given(formulas(("a", "b")))
@settings(max_examples=100)
def test_random_formulas_over_two_propositions_agree_with_the_definition_on_all_traces(formula: Formula) -> None:
    agree(formula, ("a", "b"), TRACES["a", "b"])
    assert parse_formula(str(formula)) == formula


@given(formulas(("a", "b", "c")))
@settings(max_examples=8)
def test_random_formulas_over_three_propositions_agree_with_the_definition_on_all_traces(formula: Formula) -> None:
    agree(formula, ("a", "b", "c"), THREE)


@pytest.mark.parametrize(
    "text",
    [
        "F a & G !b", "a U b", "a R b", "a W b", "!(a W b)", "!(a U (b W a))", "G (a -> X b)", "G (a -> WX b)", "F G a", "G F a",
        "X X a", "WX WX a", "!X !a", "(a <-> X b) U (b & WX a)", "F (a & X F b)", "G (a -> F b) & F !X true", "true U a", "false R a",
    ],
)  # fmt: skip
def test_formulas_of_each_operator_agree_with_the_definition_on_all_traces(text: str) -> None:
    agree(parse_formula(text), ("a", "b"), TRACES["a", "b"])


@pytest.mark.parametrize(
    ("text", "trace", "expected"),
    [
        ("X a", [{"a"}], False),
        ("WX a", [{"a"}], True),
        ("X a", [set(), {"a"}], True),
        ("G a", [{"a"}, {"a"}], True),
        ("F a", [set(), set()], False),
        ("a U b", [{"a"}, {"a"}], False),
        ("a W b", [{"a"}, {"a"}], True),
        ("a R b", [{"b"}, {"a", "b"}, set()], True),
        ("a R b", [{"b"}, {"a"}], False),
        ("G F a", [{"a"}, set()], False),
        ("F G a", [set(), {"a"}], True),
    ],
)
def test_the_definition_itself_on_traces_worked_out_by_hand(text: str, trace: list[set[str]], expected: bool) -> None:
    assert bool(holds(text, trace)) is expected
    assert bool(compile_formula(text).accepts(trace)) is expected


@given(formulas(("a", "b")))
@settings(max_examples=25)
def test_automata_are_the_smallest_and_what_is_decided_stays(formula: Formula) -> None:
    automaton = compile_formula(formula, ("a", "b"))
    count = len(automaton.accepting)
    words = list(itertools.product(range(4), repeat=min(count, 3)))
    for state, kind in enumerate(automaton.decided):
        seen = set()
        for word in words:
            now = state
            for code in word:
                now = automaton.transitions[now, code]
                seen.add(bool(automaton.accepting[now]))
        assert kind == -1 or seen == {bool(kind)}
    # no two states but the initial one agree on every continuation
    apart = automaton.accepting[:, None] != automaton.accepting[None, :]
    for _ in range(count):
        apart |= apart[automaton.transitions[:, None], automaton.transitions[None, :]].any(-1)
    assert (apart | np.eye(count, dtype=bool)).all()


def test_sizes_and_what_is_settled() -> None:
    reach = compile_formula("F a")
    assert reach.transitions.tolist() == [[0, 1], [1, 1]]
    assert reach.decided.tolist() == [-1, 1]
    assert compile_formula("G a").decided.tolist() == [-1, 0]
    assert compile_formula("G F a").decided.tolist() == [-1, -1]
    assert compile_formula("F (a & X F b)").distance.tolist() == [2, 1, 0]
    assert compile_formula("a | !a").decided.tolist() == [1]
    assert compile_formula("a & F false", ["a"]).decided.tolist() == [0]
    assert isinstance(reach, Automaton)


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("F goal & G", 10, "expected a proposition, '!', '\\(' or a temporal operator, got the end of the formula"),
        ("F goal &| G lava", 8, "or a temporal operator, got '|'"),
        ("goal U", 6, "got the end of the formula"),
        ("U goal", 0, "got 'U'"),
        ("F (goal & G !lava", 17, "expected '\\)' for the '\\(' at 2"),
        ("F gaol", 2, "unknown proposition 'gaol'; did you mean 'goal'"),
        ("goal lava", 5, "expected an operator or the end, got 'lava'"),
        ("F goal; G lava", 6, "';' is no part of a formula"),
    ],
)
def test_a_syntax_error_shows_position_and_what_was_expected(text: str, position: int, message: str) -> None:
    with pytest.raises(FormulaError, match=message) as caught:
        parse_formula(text, ["goal", "lava"])
    assert caught.value.position == position
    assert f"at position {position}\n  {text}\n  {' ' * position}^" in str(caught.value)


def test_what_is_too_large_says_so() -> None:
    with pytest.raises(ValueError, match="13 propositions, and up to 12 can be compiled; split it"):
        compile_formula(" & ".join(f"F p{number}" for number in range(13)))
    with pytest.raises(FormulaError, match="more than 60 levels of nesting"):
        parse_formula("(" * 300 + "a" + ")" * 300)
    with pytest.raises(ValueError, match="at least one step"):
        holds("F a", [])
