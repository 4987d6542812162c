"""Whether two answers say the same, decided without sympy: yes, no, or None where neither is certain.

The rules are those of a fair grader. Numbers are compared exactly; a decimal stands for the value it was rounded or cut
from; "50%" is 50 or 0.5; units count where both sides name a known one; "x = 5" answers "5"; order counts in tuples, not
in sets and bare lists.
"""

from __future__ import annotations

import functools
import math
import re
from fractions import Fraction
from typing import NamedTuple

from rewardlab.rewards.verifiers.math import regions, relations
from rewardlab.rewards.verifiers.math.algebra import canonical, same
from rewardlab.rewards.verifiers.math.evaluation import real_value
from rewardlab.rewards.verifiers.math.forms import Answer, Matrix, Relation, Scalar, Sequence, Union, Unread, Words
from rewardlab.rewards.verifiers.math.lexing import MAX_ANSWER, plain
from rewardlab.rewards.verifiers.math.plain_numbers import letter_unit
from rewardlab.rewards.verifiers.math.polynomials import TooHard, rational
from rewardlab.rewards.verifiers.math.reading import read
from rewardlab.rewards.verifiers.math.trees import Tree, number, symbols
from rewardlab.rewards.verifiers.math.units import DEGREE

FLOAT_NOISE = Fraction(1, 10**12)
"""Relative difference that the rounding of floats explains (17.999999999999996 is 18)."""
FLOAT_DIGITS = 15
"""Significant digits from which on a decimal may be a float as a program prints it."""


class Rules(NamedTuple):
    """How far two numbers may differ.

    Args:
        significant_digits: a decimal with at least so many digits stands for each value that it may be rounded or cut from.
        tolerance: relative difference that is accepted besides, for any two numbers.
    """

    significant_digits: int = 6
    tolerance: float = 0.0


@functools.lru_cache(maxsize=16384)
def compare(gold: str, answer: str, rules: Rules = Rules()) -> bool | None:  # immutable
    """Whether an answer equals the gold answer: yes, no, or None where only the symbolic path can say."""
    if gold == answer or gold.strip() == answer.strip():
        return True
    if max(len(gold), len(answer)) > MAX_ANSWER:
        return False
    if plain(gold) == plain(answer) != "":
        return True
    choice = _same_choice(gold, answer)
    if choice is not None:
        return choice
    return equal(read(gold), read(answer), rules)


def equal(gold: Answer, answer: Answer, rules: Rules) -> bool | None:
    """Compare two answers that have been read."""
    if isinstance(gold, Unread) or isinstance(answer, Unread):
        return _unread(gold, answer)
    if isinstance(gold, Relation) or isinstance(answer, Relation):
        return relations.related(gold, answer, rules)
    if isinstance(gold, Scalar) and isinstance(answer, Scalar):
        return _scalars(gold, answer, rules)
    if isinstance(gold, Words) or isinstance(answer, Words):
        return _words(gold, answer, rules)
    if isinstance(gold, Matrix) or isinstance(answer, Matrix):
        return _matrices(gold, answer, rules)
    if isinstance(gold, Union) or isinstance(answer, Union):
        return regions.unions(regions.region(gold) or gold, regions.region(answer) or answer, rules)
    return _sequences(gold, answer, rules)


def _all(results: list[bool | None]) -> bool | None:
    if False in results:
        return False
    return None if None in results else True


def _unread(gold: Answer, answer: Answer) -> bool | None:
    """An answer that nobody could read is wrong, and words differ from mathematics; anything else is open."""
    if isinstance(answer, Unread) and answer.hopeless:
        return False
    return False if isinstance(gold, Words) or isinstance(answer, Words) else None


# ---- numbers and expressions --------------------------------------------------------------------------------------------


def _scalars(gold: Scalar, answer: Scalar, rules: Rules) -> bool | None:
    if gold.value is not None and answer.value is not None and gold.value == answer.value and gold.unit == answer.unit:
        return True
    if gold.unit is not None and answer.unit is not None:
        if gold.unit.dimension != answer.unit.dimension:
            return False
        if gold.unit.worth != answer.unit.worth:
            return _values(_scaled(gold, gold.unit.worth), _scaled(answer, answer.unit.worth), rules)
    results = [_values(gold, answer, rules)]
    if gold.percent != answer.percent:  # 50% is 50, and 0.5
        hundredth = Fraction(1, 100)
        pair = (_scaled(gold, hundredth), answer) if gold.percent else (gold, _scaled(answer, hundredth))
        results.append(_values(*pair, rules))
    if (
        (gold.unit == DEGREE) != (answer.unit == DEGREE)
        and gold.unit != answer.unit
        and None in (gold.unit, answer.unit)
    ):
        pair = (_radians(gold), answer) if gold.unit == DEGREE else (gold, _radians(answer))
        results.append(_values(*pair, rules))
    if True in results:
        return True
    for one, other in ((gold, answer), (answer, gold)):  # "5m" against "5": the letter may be a unit
        measured = letter_unit(one)
        if measured is not None and other.value is not None:
            return numbers_equal(Scalar(number(measured), measured), other, rules)
    return None if None in results else False


def _values(gold: Scalar, answer: Scalar, rules: Rules) -> bool | None:
    if gold.value is not None and answer.value is not None:
        return numbers_equal(gold, answer, rules)
    known, constant = (gold, answer) if gold.value is not None else (answer, gold)
    if known.value is not None:
        exact = _rational_value(constant.tree)
        if exact is not None:
            return numbers_equal(gold, answer, rules, {id(constant): exact})
        if not symbols(constant.tree):
            close = _near_constant(known, constant.tree, gold is known, rules)
            if close is not None:
                return close
    elif rules.tolerance and not symbols(gold.tree) and not symbols(answer.tree):
        first, second = real_value(gold.tree), real_value(answer.tree)
        if first is not None and second is not None and abs(first - second) <= rules.tolerance * abs(first):
            return True
    return _same_names(gold.tree, answer.tree)


def _rational_value(tree: Tree) -> Fraction | None:
    try:
        return rational(canonical(tree))
    except (TooHard, RecursionError):
        return None


def numbers_equal(gold: Scalar, answer: Scalar, rules: Rules, exact: dict[int, Fraction] | None = None) -> bool:
    """Whether two rational numbers are the same, allowing for how decimals are written.

    Args:
        gold: a number.
        answer: another.
        rules: how far they may differ.
        exact: values, by id, of expressions that turned out to be rational.
    """
    values = exact or {}
    first, second = values.get(id(gold), gold.value), values.get(id(answer), answer.value)
    if first is None or second is None:
        raise ValueError("numbers_equal compares numbers, and one of the answers is none")
    if first == second:
        return True
    gap = abs(first - second)
    if rules.tolerance and gap <= Fraction(rules.tolerance) * abs(first):
        return True
    if gold.decimals is None and answer.decimals is None:
        return False
    if gap <= FLOAT_NOISE * max(abs(first), abs(second)) and (_is_float(gold) or _is_float(answer)):
        return True
    for one, other, short, full in ((gold, answer, first, second), (answer, gold, second, first)):
        if one.decimals is not None and one.digits >= rules.significant_digits:
            shorter = other.decimals is None or other.decimals > one.decimals
            if shorter and _stands_for(abs(short), abs(full), gap, Fraction(10) ** -one.decimals):
                return True
    return False


def _is_float(answer: Scalar) -> bool:
    """Whether a decimal has so many digits, the last no 0, that it looks like a float as a program prints it."""
    if answer.decimals is None or answer.value is None or answer.digits < FLOAT_DIGITS:
        return False
    return (answer.value * Fraction(10) ** (answer.decimals - 1)).denominator != 1


def _stands_for(short: Fraction | float, full: Fraction | float, gap: Fraction | float, unit: Fraction | float) -> bool:
    """Whether a decimal may be a value that was rounded, or cut, to its last place, which is worth `unit`."""
    return 2 * gap <= unit or (short < full and gap < unit)


def _near_constant(known: Scalar, tree: Tree, known_is_gold: bool, rules: Rules) -> bool | None:
    """A number against an irrational constant: a decimal may be its rounding; None where that is not clear."""
    value = real_value(tree)
    if value is None or known.value is None:
        return None
    try:
        written = float(known.value)
    except OverflowError:
        return None
    gap = abs(written - value)
    if rules.tolerance and gap <= rules.tolerance * abs(written if known_is_gold else value):
        return True
    if known.decimals is not None:
        if gap <= 1e-12 * abs(value) and _is_float(known):
            return True
        unit = 10.0**-known.decimals if abs(known.decimals) < 300 else 0.0
        enough = known.digits >= rules.significant_digits and unit > 1e-11 * abs(value)
        if enough and _stands_for(abs(written), abs(value), gap, unit):
            return True
    return False if gap > 1e-9 * max(abs(value), abs(written)) else None


def _same_names(gold: Tree, answer: Tree) -> bool | None:
    """Compare expressions, taking upper and lower case letters as one where each side uses only one of them."""
    result = same(gold, answer)
    if result is not True:
        ours, theirs = symbols(gold), symbols(answer)
        folded = {name.casefold() for name in ours}
        if (
            ours != theirs
            and folded == {name.casefold() for name in theirs}
            and len(ours) == len(theirs) == len(folded)
        ):
            return same(_folded(gold), _folded(answer))
    return result


def _folded(tree: Tree) -> Tree:
    kind = tree[0]
    if kind == "sym":
        return ("sym", tree[1].casefold())
    if kind in ("add", "mul"):
        return (kind, tuple(_folded(child) for child in tree[1]))
    if kind == "pow":
        return (kind, _folded(tree[1]), _folded(tree[2]))
    return (kind, tree[1], tuple(_folded(child) for child in tree[2])) if kind == "fn" else tree


def _scaled(answer: Scalar, factor: Fraction) -> Scalar:
    """A number times a factor; a decimal keeps its digits where the factor is a power of ten."""
    tree = ("mul", (number(factor), answer.tree))
    if answer.value is None:
        return Scalar(tree)
    value = answer.value * factor
    shift = round(math.log10(factor)) if factor > 0 else 0
    decimals = answer.decimals if answer.decimals is None else answer.decimals - shift
    return Scalar(number(value), value, decimals if Fraction(10) ** shift == factor else None, answer.digits)


def _radians(answer: Scalar) -> Scalar:
    return Scalar(("fn", "deg", (answer.tree,)))


# ---- words ------------------------------------------------------------------------------------------------------------


_CHOICE = re.compile(r"(?:\\(?:text|textbf|mathrm|mathbf|rm)\s*\{?)?\s*\(?\s*([A-Z])\s*(?:\)|\}|\.|:|$)")
_MARKED = re.compile(r"[(){}.:]")


def _same_choice(gold: str, answer: str) -> bool | None:
    r"""Compare letters of a multiple choice, such as "(C)", "C." and "\text{(C)}\ 12"; None where the gold is no letter."""
    letter = gold.strip().strip("$() .*")
    if letter.startswith("\\"):
        wrapped = _CHOICE.match(letter)
        letter = wrapped[1] if wrapped and wrapped.end() >= len(letter) - 2 else ""
    if len(letter) != 1 or not "A" <= letter <= "Z":
        return None
    other = answer.strip().strip("$*` ")
    if len(other) == 1 and other.isalpha():
        return other.upper() == letter
    chosen = _CHOICE.match(other)
    if chosen is None or not _MARKED.search(other):
        return None
    return chosen[1] == letter


def _words(gold: Answer, answer: Answer, rules: Rules) -> bool | None:
    if isinstance(gold, Words) and isinstance(answer, Words):
        return gold.text == answer.text
    words, other = (gold, answer) if isinstance(gold, Words) else (answer, gold)
    if isinstance(other, Sequence) and not other.opening and any(isinstance(item, Words) for item in other.items):
        return None
    assert isinstance(words, Words)
    if words.number is not None and isinstance(other, Scalar):  # "they have 5 left" answers 5
        return _scalars(other, words.number, rules) if words is answer else _scalars(words.number, other, rules)
    return None if len(words.text) <= 3 and words.text.isalpha() and len(words.text) > 1 else False


# ---- lists, sets, intervals, matrices -----------------------------------------------------------------------------------


def _sequences(gold: Answer, answer: Answer, rules: Rules) -> bool | None:
    if isinstance(gold, Scalar) or isinstance(answer, Scalar):  # {5} answers 5
        several = answer if isinstance(gold, Scalar) else gold
        if isinstance(several, Sequence) and len(several.items) == 1:
            one = several.items[0]
            return equal(gold, one, rules) if several is answer else equal(one, answer, rules)
        return False
    assert isinstance(gold, Sequence)
    assert isinstance(answer, Sequence)
    sets = (gold.opening == "{set") + (answer.opening == "{set")
    bare = (gold.opening == "") + (answer.opening == "")
    if sets == 2 or (sets and bare) or bare == 2:
        return unordered(gold.items, answer.items, rules, distinct=sets > 0)
    if sets:
        return False
    if not bare and len(gold.items) == 2 and (gold.opening, gold.closing) != (answer.opening, answer.closing):
        return False  # open and closed ends differ
    if len(gold.items) != len(answer.items):
        return False
    return _all([equal(one, other, rules) for one, other in zip(gold.items, answer.items, strict=True)])


def unordered(gold: list[Answer], answer: list[Answer], rules: Rules, *, distinct: bool) -> bool | None:
    """Compare two lists in which order does not count, nor repetition where only distinct items do."""
    if len(gold) * len(answer) > 400:
        return None
    if distinct:
        gold, answer = _distinct(gold, rules), _distinct(answer, rules)
    if len(gold) != len(answer):
        return False
    left = list(answer)
    undecided = False
    for one in gold:
        results = [equal(one, other, rules) for other in left]
        if True in results:
            left.pop(results.index(True))
        elif None in results:
            undecided = True
        else:
            return False
    return None if undecided else True


def _distinct(items: list[Answer], rules: Rules) -> list[Answer]:
    kept: list[Answer] = []
    for item in items:
        if not any(equal(item, other, rules) for other in kept):
            kept.append(item)
    return kept


def _matrices(gold: Answer, answer: Answer, rules: Rules) -> bool | None:
    if not (isinstance(gold, Matrix) and isinstance(answer, Matrix)):
        return False
    if [len(row) for row in gold.rows] != [len(row) for row in answer.rows]:
        return False
    pairs = [pair for rows in zip(gold.rows, answer.rows, strict=True) for pair in zip(*rows, strict=True)]
    return _all([equal(one, other, rules) for one, other in pairs])
