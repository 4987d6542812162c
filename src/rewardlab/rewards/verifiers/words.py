"""Words and sentences of a text in any language.

Scripts that write no spaces between words (Chinese, Japanese, Thai, ...) count one word per character, so that
lengths, overlaps and repetitions mean something in them without a dictionary. Korean writes spaces and is split at
them.
"""

from __future__ import annotations

import re
import unicodedata

import regex

SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
"""Scripts without spaces between words, as the inside of a character class of the `regex` package."""

_NUMBER = r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+\.[0-9]+"  # 1,000 and 3.14; "1,2,3" is three numbers
_ASCII_WORD = re.compile(rf"-(?<![A-Za-z0-9]-)(?:{_NUMBER}|[0-9]+)|{_NUMBER}|[A-Za-z0-9]+(?:'[A-Za-z]+)*")
_WORD = regex.compile(
    rf"[-−](?<![\p{{L}}\p{{N}}][-−])(?:{_NUMBER}|[0-9]+)|{_NUMBER}"
    rf"|[{SPACELESS}]\p{{M}}*|[[\p{{L}}\p{{N}}\p{{M}}]--[{SPACELESS}]]+(?:['’]\p{{L}}+)*",
    regex.V1,
)

# A run of marks is entered at its first one only; else a long run would be read again from each of its places.
_SENTENCE_END = regex.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]*_]*+(?=\s|$|\p{Han}|\p{Hiragana}|\p{Katakana})|[。！？｡।؟۔]++[”’」』）]*+"
)
_ABBREVIATIONS = frozenset(
    re.findall(
        r"\S+",
        """mr mrs ms dr prof st sr jr vs etc e.g i.e cf al fig no nos vol pp ca approx inc ltd co corp dept gen rep sen
        rev hon jan feb mar apr jun jul aug sep sept oct nov dec bzw z.b usw""",
    )
)
_HAS_LETTER = regex.compile(r"\p{L}")


def words(text: str) -> list[str]:
    """Split a text into words: runs of letters and digits, numbers with their sign, point and separators, and single
    characters in scripts without spaces. Punctuation is dropped; letter case stays.
    """
    return _ASCII_WORD.findall(text) if text.isascii() else _WORD.findall(text)


def count_words(text: str) -> int:
    """How many words `words` finds."""
    return len(words(text))


def sentences(text: str) -> list[str]:
    """Split a text into sentences at `. ! ?` and their sisters in other scripts.

    A full stop after an abbreviation, an initial or a list number, and one inside a number, ends nothing. Line breaks
    end nothing either: a heading or a list item without a full stop belongs to what follows. A piece without a letter
    is no sentence.
    """
    pieces: list[str] = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if text[end.start()] == "." and _ends_nothing(text, end.start()):
            continue
        pieces.append(text[start : end.end()])
        start = end.end()
    pieces.append(text[start:])
    return [piece.strip() for piece in pieces if _HAS_LETTER.search(piece)]


def _ends_nothing(text: str, stop: int) -> bool:
    """Whether the full stop at `stop` belongs to the word before it."""
    begin = stop
    while begin > 0 and stop - begin < 8 and (text[begin - 1].isalnum() or text[begin - 1] == "."):
        begin -= 1
    word = text[begin:stop]
    if word.isdigit():  # "1." at the start of a line is a list number; "in 1999." ends a sentence
        before = text[max(0, begin - 12) : begin]
        return (begin < 12 or "\n" in before) and not before.rpartition("\n")[2].strip(" \t*_#>-")
    if len(word) == 1 and word.isupper() and word != "I":
        return True  # an initial
    return word.casefold() in _ABBREVIATIONS


def fold(text: str) -> str:
    """Bring a text to one form for comparison: composed characters, full-width ASCII to plain, case folded.

    Compatibility forms (NFKC) are not folded: that would make `x²` and `x2` the same.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).translate(_FULL_WIDTH)
    return text.casefold()


_FULL_WIDTH = {0xFF01 + offset: 0x21 + offset for offset in range(94)} | {0x3000: 0x20, 0x00A0: 0x20}
