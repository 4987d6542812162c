"""How alike two short texts are, in [0, 1], by rules that need no model: ROUGE-L, likeness of characters, equality."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Literal

from rewardlab.rewards.verifiers.words import fold, words

Similarity = Literal["rouge_l", "characters", "equal"]
"""`rouge_l`: see `rouge_l`. `characters`: share of the longer text in matching runs of characters. `equal`: 1 or 0."""

MOST_WORDS = 512
"""Words of a text that ROUGE-L compares; it is quadratic in them, and what follows is left unread."""


def rouge_l(first: str, second: str) -> float:
    """ROUGE-L as F1 (Lin 2004, with beta 1): the longest common subsequence of words against both lengths.

    Words are those of `rewardlab.rewards.verifiers.words` (runs of letters and digits, numbers with their point, single
    characters in scripts without spaces) in folded letter case, so punctuation counts for nothing. Only the first
    512 are compared. Two texts without words give 1, one without words 0.

    Args:
        first: a text.
        second: another one; the order does not matter.
    """
    left, right = words(fold(first))[:MOST_WORDS], words(fold(second))[:MOST_WORDS]
    if not left or not right:
        return float(not left and not right)
    common = _common(left, right)
    return 2 * common / (len(left) + len(right))


def _common(left: list[str], right: list[str]) -> int:
    """Length of the longest common subsequence."""
    if left == right:
        return len(left)
    before = [0] * (len(right) + 1)
    for word in left:
        row = [0]
        for place, other in enumerate(right):
            row.append(before[place] + 1 if word == other else max(before[place + 1], row[place]))
        before = row
    return before[-1]


def _characters(first: str, second: str) -> float:
    """Characters in matching runs over the length of the longer text, of the first 512 of each."""
    left, right = fold(first)[:MOST_WORDS], fold(second)[:MOST_WORDS]
    if not left or not right:
        return float(left == right)
    matched = sum(
        block.size for block in difflib.SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    )
    return matched / max(len(left), len(right))


def _equal(first: str, second: str) -> float:
    return float(fold(first).split() == fold(second).split())


SIMILARITIES: dict[str, Callable[[str, str], float]] = {
    "rouge_l": rouge_l,
    "characters": _characters,
    "equal": _equal,
}
"""The functions behind `Similarity`."""
