r"""Answer text into what it says: a number or expression, a list, a set or interval, a relation, a matrix, or words.

A small recursive-descent parser of our own for the plain and LaTeX notation of final answers. It evaluates nothing and
knows a fixed grammar only; whatever lies outside is `Unread`, which is no verdict: the symbolic path may still read it.
"""

from __future__ import annotations

import functools
import re
from fractions import Fraction

from rewardlab.rewards.verifiers.math.forms import Answer, Scalar, Unread, Words
from rewardlab.rewards.verifiers.math.lexing import (
    EDGES,
    MATH_WORDS,
    MAX_ANSWER,
    Hopeless,
    Unreadable,
    tokens,
    unwrapped,
    word_set,
    words_of,
)
from rewardlab.rewards.verifiers.math.parser import MAX_TOKENS, parse
from rewardlab.rewards.verifiers.math.plain_numbers import plain_number
from rewardlab.rewards.verifiers.math.units import Unit

_WORDS = re.compile(r"[A-Za-z][A-Za-z\s.,;:'’\"!?()-]*+")
_SENTENCE = re.compile(r"[A-Za-z0-9\s.,;:'’\"!?%$-]++")
_WORD = re.compile(r"[A-Za-z]{2,}")
_NAMED = re.compile(r"[A-Za-z][A-Za-z]+(?:[ ][A-Za-z]+)*+\s*+=(?!=)")
_ARROW = re.compile(r".*\\(?:Rightarrow|Longrightarrow|implies|therefore)(?![a-zA-Z])", re.DOTALL)
_CLOCK = re.compile(r"([0-9]{1,2}:[0-5][0-9](?::[0-5][0-9])?)\s?(?:([ap])\.?m\.?)?", re.IGNORECASE)
_BASED = re.compile(r"([0-9]{1,200})_\s?(?:\{\s?)?([0-9]{1,2})(?:\s?\})?")
_NUMBER_INSIDE = re.compile(r"(?<![\w.,/^])-?\$?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?![\w/^]|[.,][0-9])")
_SHORT_WORDS = word_set("yes no on off odd all any one two six ten red")


@functools.lru_cache(maxsize=4096)
def read(text: str) -> Answer:
    """What an answer says."""
    if len(text) > MAX_ANSWER:
        return Unread(f"it is longer than {MAX_ANSWER} characters", hopeless=True)
    text = unwrapped(text)
    if not text:
        return Unread("it is empty")
    plain = plain_number(text)
    if plain is not None:
        return plain
    text = text.replace("⇒", r"\Rightarrow ").replace("→", r"\to ")
    if "\\" in text and (arrow := _ARROW.search(text)):  # x + 3 = 10 \\Rightarrow x = 7
        return read(text[arrow.end() :])
    clock = _CLOCK.fullmatch(text)
    if clock:
        return Words(clock[1].lstrip("0") + (clock[2] or "").lower())
    based = _BASED.fullmatch(text)
    if based:  # 101_2: the base is compared like a unit
        digits = Fraction(int(based[1]))
        return Scalar(("num", digits), digits, unit=Unit(f"base {int(based[2])}"))
    named = _NAMED.match(text)
    if named and "\\" not in text[: named.end()]:  # "Total cost = 18"
        return read(text[named.end() :])
    if _WORDS.fullmatch(text) and _is_prose(text):
        return Words(words_of(text))
    try:
        found = tokens(text)
        if len(found) > MAX_TOKENS:
            raise Unreadable(f"more than {MAX_TOKENS} tokens")
        return parse(found)
    except (Unreadable, RecursionError) as error:
        words = _WORD.findall(text)
        if _SENTENCE.fullmatch(text) and (len(words) > 1 or (words and len(words[0]) > 3)):
            inside = _NUMBER_INSIDE.findall(text)
            value = plain_number(inside[0]) if len(inside) == 1 else None
            if value is not None:
                return Words(words_of(text), value)
            if not inside and not any(sign in text for sign in "=<>^"):
                return Words(words_of(text))
        return Unread(str(error), hopeless=isinstance(error, Hopeless))


def _is_prose(text: str) -> bool:
    words = [word.strip(EDGES).lower() for word in text.split()]
    if len(words) == 1 and words[0] in _SHORT_WORDS:
        return True
    if any(word in MATH_WORDS for word in words) and all(len(word) < 2 or word in MATH_WORDS for word in words):
        return False
    return any(len(word) > 3 and word not in MATH_WORDS for word in words) or (
        len(words) > 1 and sum(len(word) > 1 for word in words) > 1 and "," not in text
    )
