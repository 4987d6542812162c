"""What a label says: the vocabularies in which people write which of two responses is better.

The same digits mean different things in different files, so a vocabulary is taken from the values only where they leave one
reading; where they leave two, the reader asks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rewardlab.registry import nearest
from rewardlab.storage.problems import BadRow

Vocabulary = Mapping[Any, float]
"""A label as written -> the probability that the first response is better."""

_WORDS = {
    **dict.fromkeys(
        ("a", "first", "model_a", "response_a", "output_a", "answer_a", "assistant_a", "[[a]]", "a>b", "a>>b"), 1.0
    ),
    **dict.fromkeys(
        ("b", "second", "model_b", "response_b", "output_b", "answer_b", "assistant_b", "[[b]]", "b>a", "b>>a"), 0.0
    ),
    **dict.fromkeys(("a<b", "a<<b", "response_2", "output_2", "loss", "lose", "<"), 0.0),
    **dict.fromkeys(("b<a", "b<<a", "response_1", "output_1", "win", ">"), 1.0),
    **dict.fromkeys(
        ("tie", "same", "equal", "both", "neither", "draw", "c", "[[c]]", "a=b", "=", "tie (bothbad)", "both_bad"), 0.5
    ),
}

VOCABULARIES: dict[str, Vocabulary] = {
    "number": {1: 1.0, 2: 0.0, 0: 0.5},
    "index": {0: 1.0, 1: 0.0, 2: 0.5},
    "sign": {1: 1.0, -1: 0.0, 0: 0.5},
    "words": _WORDS,
    "probability": {},
}
"""The known vocabularies: `number` (1 or 2 is better, 0 a tie), `index` (0 or 1 is better, 2 a tie), `sign` (1, -1, 0),
`words` (A, B, tie and the like), and `probability` (of the first being better)."""


USUAL = 0.9
"""The share of the first labels that must be of one kind for the others to be taken for slips."""


def vocabulary(given: str | Mapping[Any, float] | None) -> str | Vocabulary | None:
    """A vocabulary as given by the caller, checked.

    Raises:
        ValueError: an unknown name, or a probability outside [0, 1].
    """
    if given is None:
        return None
    if isinstance(given, str):
        if given not in VOCABULARIES:
            raise ValueError(f"unknown vocabulary of labels {given!r}{nearest(given, VOCABULARIES)}")
        return given
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise ValueError(
                f"labels[{name!r}] is {value!r}; expected the probability in [0, 1] that the first is better (1, 0, or "
                "0.5 for a tie)"
            )
    return dict(given)


def guess(values: Sequence[Any]) -> str | None:
    """The one vocabulary that the values fit, or None where several do or none does.

    A few odd values (up to one in ten words among numbers, or unknown words among known ones) do not count: their rows are
    set aside later.

    Args:
        values: labels as they stand in the first rows; missing ones are passed over.
    """
    several = [one for value in values for one in (value if isinstance(value, (list, tuple)) else [value])]
    told = [_plain(value) for value in several if not _missing(value)]
    for usual in (
        [value for value in told if not isinstance(value, str)],
        [value for value in told if isinstance(value, str) and value in _WORDS],
    ):
        if len(usual) >= USUAL * len(told):
            told = usual
    seen = set(told)
    if not seen:
        return None
    if all(isinstance(value, bool) for value in seen):
        return "probability"
    if any(isinstance(value, str) for value in seen):
        return "words" if all(isinstance(value, str) and value in _WORDS for value in seen) else None
    if any(isinstance(value, bool) for value in seen):
        return None
    if -1 in seen:
        return "sign" if seen <= {-1, 0, 1} else None
    if any(value != int(value) for value in seen):
        return "probability" if all(0 <= value <= 1 for value in seen) else None
    if seen == {1, 2}:
        return "number"
    return None


def probability(value: Any, known: str | Vocabulary, where: str) -> float:
    """The probability that the first is better, from one label.

    Args:
        value: as written.
        known: the vocabulary, by name or in full.
        where: the column, for messages.

    Raises:
        BadRow: the value is missing, outside [0, 1], or not in the vocabulary.
    """
    if _missing(value):
        raise BadRow(f"{where} is missing")
    if known == "probability":
        if not isinstance(value, (bool, int, float)):
            raise BadRow(f"{where} must be a probability in [0, 1], got {value!r:.40}")
        if not 0.0 <= value <= 1.0:
            raise BadRow(f"{where} must be in [0, 1], got {value}; a margin belongs into the column strength")
        return float(value)
    table = VOCABULARIES[known] if isinstance(known, str) else known
    for form in (value, _plain(value), str(value)):
        if isinstance(form, (str, int, float, bool)) and form in table:
            return float(table[form])
    expected = ", ".join(map(repr, list(table)[:8]))
    raise BadRow(f"{where} is {value!r:.40}, which is none of the labels {expected}")


def number_or_none(value: Any, where: str) -> float | None:
    """A finite number, or None where nothing stands.

    Raises:
        BadRow: something else stands there.
    """
    if _missing(value):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise BadRow(f"{where} must be a number, got {value!r:.40}") from None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadRow(f"{where} must be a finite number, got {value!r:.40}")
    return float(value)


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _plain(value: Any) -> Any:
    """A label with digits as numbers, and words in small letters."""
    if isinstance(value, str):
        text = value.strip().lower()
        try:
            return int(text)
        except ValueError:
            return text
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (int, float)) else repr(value)
