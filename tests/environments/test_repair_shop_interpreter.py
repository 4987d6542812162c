"""The shop's interpreter: the same answers as Python where it knows the program, and an end to everything."""

from __future__ import annotations

import copy
import random

import pytest

from rewardlab.environments.repair_shop.families import FAMILIES, draw_function
from rewardlab.environments.repair_shop.interpreter import interpret
from rewardlab.environments.repair_shop.mutations import KINDS, mutations


@pytest.mark.parametrize("family", FAMILIES)
def test_it_answers_as_python_does_for_right_and_broken_programs(family):
    rng = random.Random(family)
    function = draw_function(family, "prices", rng)
    calls = [(function.name, function.arguments(rng)) for _ in range(10)]
    for source in (function.source, *(one.applied(function.source) for one in mutations(function.source))):
        answers = interpret([source], calls, steps=2000)
        if any(answer.error.startswith("Timeout") for answer in answers):
            continue
        names: dict = {}
        exec(source, names)  # noqa: S102  # our own programs, to compare with
        for (name, arguments), answer in zip(calls, answers, strict=True):
            try:
                expected, error = names[name](*copy.deepcopy(arguments)), ""
            except (ArithmeticError, LookupError, TypeError) as raised:
                expected, error = None, type(raised).__name__
            assert (answer.value, answer.error.partition(":")[0]) == (expected, error), source


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return [x * x for x in range(4) if x != 2]", [0, 1, 9]),
        ("return sum(x for x in [1, 2])", 3),
        ("a, b = 1, 2\n    return {'a': a, 'b': [b][0]}", {"a": 1, "b": 2}),
        ("x = [3, 1, 2]\n    x.sort()\n    x[0] += 5\n    return x[::-1]", [3, 2, 6]),
        ("return 'no' if not 1 < 2 < 3 or None is 1 else 'A-b'.lower().split('-')", ["a", "b"]),
        ("n = 0\n    while True:\n        n += 1\n        if n < 3:\n            continue\n        break\n    return n", 3),
        ("return helper(2) + HIGH", 14),
        ("return (1, 2) == (1, 2)", True),
        ("pass", None),
    ],
)  # fmt: skip
def test_what_it_knows(body, expected):
    source = f"HIGH = 10\ndef helper(x):\n    return x * 2\ndef f():\n    {body}\n"
    answer = interpret([source], [("f", [])])[0]
    assert (answer.value, answer.error) == (expected, "")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("while True:\n        pass", "Timeout"),
        ("return f()", "RecursionError"),
        ("return 'a' * 10 ** 9", "NotKnown"),
        ("return 'a' * 1000000000", "Timeout"),
        ("x = 3\n    for i in range(200):\n        x *= x\n    return x", "Timeout"),
        ("return sum(range(1000000000))", "Timeout"),
        ("return list(range(1000000000))", "Timeout"),
        ("x = [1]\n    for i in x:\n        x.append(i)\n    return x", "Timeout"),
        ("x = []\n    for i in range(60):\n        x = [x, x]\n    return x", "Timeout"),
        ("x = []\n    x.append(x)\n    return x == [x]", "Timeout"),
        ("import os", "NotKnown"),
        ("return ().__class__", "NotKnown"),
        ("return open('x')", "NameError"),
        ("return eval('1')", "NameError"),
        ("return 1 / 0", "ZeroDivisionError"),
        ("return [1][5]", "IndexError"),
        ("return 1 + 'a'", "TypeError"),
        ("return g", "NameError"),
        ("a, b = [1]", "ValueError"),
        ("return (lambda: 1)()", "NotKnown"),
        ("return '%s' % 3", "NotKnown"),
        ("return helper(1)", "TypeError"),
        ("return " + "(" * 300 + ")" * 300, "SyntaxError"),
        ("return 1 +", "SyntaxError"),
        ("break", "SyntaxError"),
        ("continue", "SyntaxError"),
        ("pass\nreturn 3", "SyntaxError"),
        ("yield 1", "NotKnown"),
        ("global x\n    x = 1", "NotKnown"),
        ("x: int = 3", "NotKnown"),
        ("f.x = 3", "NotKnown"),
        ("return [*range(3)]", "NotKnown"),
        ("return range(3)[9]", "IndexError"),
        ("return {}[[1]]", "TypeError"),
        ("return " + "-" * 20000 + "1", ""),
    ],
)
def test_everything_ends_with_an_error_that_says_why(body, error):
    answer = interpret([f"def helper(a, b):\n    return a\ndef f():\n    {body}\n"], [("f", [])])[0]
    assert answer.error
    assert answer.error.startswith(error)
    assert answer.value is None


def test_a_file_that_cannot_be_read_fails_every_call():
    answers = interpret(["def f(:\n", "def g():\n    return 1\n"], [("f", []), ("g", [])])
    assert all(answer.error.startswith("SyntaxError") for answer in answers)
    assert interpret(["def f(x=1):\n    return x\n"], [("f", [])])[0].error.startswith("NotKnown")
    assert interpret(["def f():\n    return 1\n"], [("f", [1])])[0].error.startswith("TypeError")


def test_arguments_are_not_shared_between_calls():
    given = [[1]]
    answers = interpret(["def f(x):\n    x.append(2)\n    return x\n"], [("f", given), ("f", given)])
    assert [answer.value for answer in answers] == [[1, 2], [1, 2]]
    assert given == [[1]]


def test_every_kind_of_mistake_occurs_and_changes_one_line():
    rng = random.Random(0)
    found = set()
    for family in FAMILIES:
        source = draw_function(family, "votes", rng).source
        for one in mutations(source):
            found.add(one.kind)
            changed = [
                number
                for number, (old, new) in enumerate(
                    zip(source.split("\n"), one.applied(source).split("\n"), strict=True), 1
                )
                if old != new
            ]
            assert changed == [one.line]
    assert found == set(KINDS)
