"""Constraints on how much there is: words, sentences, paragraphs, lines, characters, letters, and parts of these."""

from __future__ import annotations

import re
import string
from typing import Annotated, Literal

import regex
from pydantic import Field

from rewardlab.rewards.verifiers.instructions.registry import Relation, compare, constraint
from rewardlab.rewards.verifiers.words import SPACELESS, sentences, words

Count = Annotated[int, Field(ge=0)]
Position = Annotated[int, Field(ge=1)]

_DIVIDER = re.compile(r"\s?(?<!\*)\*\*\*(?!\*)\s?|\s?(?<!\*)\* \* \*(?!\*)\s?")
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n\s*")
_LETTER = regex.compile(r"\p{L}")
_PLAIN_WORD = regex.compile(rf"[{SPACELESS}]\p{{M}}*|[[\p{{L}}\p{{N}}\p{{M}}_]--[{SPACELESS}]]+", regex.V1)


@constraint("words")
def count_words(text: str, *, number: Count, relation: Relation = "at least") -> bool:
    """The number of words: runs of letters, digits and underscores, and single characters in scripts without spaces."""
    found = re.findall(r"\w+", text) if text.isascii() else _PLAIN_WORD.findall(text)
    return compare(len(found), relation, number)


@constraint("sentences")
def count_sentences(text: str, *, number: Count, relation: Relation = "at least") -> bool:
    """The number of sentences, in any script."""
    return compare(len(sentences(text)), relation, number)


@constraint("characters")
def count_characters(text: str, *, number: Count, relation: Relation = "at most") -> bool:
    """The number of characters, spaces included."""
    return compare(len(text), relation, number)


@constraint("letters")
def count_letters(text: str, *, number: Count, relation: Relation = "at least") -> bool:
    """The number of letters, in any script."""
    return compare(len(_LETTER.findall(text)), relation, number)


@constraint("lines")
def count_lines(text: str, *, number: Count, relation: Relation = "exactly") -> bool:
    """The number of lines that are not blank."""
    return compare(sum(1 for line in text.splitlines() if line.strip()), relation, number)


@constraint("line_length")
def line_length(text: str, *, maximum: Count) -> bool:
    """Every line has at most so many characters."""
    return all(len(line) <= maximum for line in text.splitlines())


def split_paragraphs(text: str, divider: Literal["***", "blank line"]) -> list[str] | None:
    """The paragraphs of a text; None where one between two dividers is empty."""
    pieces = _DIVIDER.split(text) if divider == "***" else _BLANK_LINE.split(text.strip())
    if any(not piece.strip() for piece in pieces[1:-1]):
        return None
    return [piece.strip() for piece in pieces if piece.strip()]


@constraint("paragraphs")
def count_paragraphs(
    text: str, *, number: Count, relation: Relation = "exactly", divider: Literal["***", "blank line"] = "blank line"
) -> bool:
    """The number of paragraphs, between blank lines or `***` dividers. No paragraph between two dividers may be empty."""
    pieces = split_paragraphs(text, divider)
    return pieces is not None and compare(len(pieces), relation, number)


@constraint("paragraph_first_word")
def paragraph_first_word(text: str, *, paragraph: Position, word: str, number: Count | None = None) -> bool:
    """A paragraph (counted from 1, between blank lines) starts with a word; also the number of paragraphs, where given."""
    pieces = split_paragraphs(text, "blank line") or []
    if (number is not None and len(pieces) != number) or len(pieces) < paragraph:
        return False
    return _begins(pieces[paragraph - 1], word)


@constraint("first_word")
def starts_with_word(text: str, *, word: str, each: Literal["text", "sentence", "line", "paragraph"] = "text") -> bool:
    """The first word of the text, or of every sentence, line or paragraph."""
    return all(_begins(piece, word) for piece in _pieces(text, each))


@constraint("last_word")
def ends_with_word(text: str, *, word: str, each: Literal["text", "sentence", "line", "paragraph"] = "text") -> bool:
    """The last word, before punctuation, of the text, or of every sentence, line or paragraph."""
    return all(_ends(piece, word) for piece in _pieces(text, each))


@constraint("unique_words")
def only_unique_words(text: str, *, least_share: Annotated[float, Field(ge=0, le=1)] = 1.0) -> bool:
    """No word stands twice (or: at least this share of the words is different), letter case ignored."""
    found = [word.casefold() for word in words(text)]
    return bool(found) and len(set(found)) >= least_share * len(found)


_SPACES = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
_AROUND = _SPACES + string.punctuation + "“”‘’«»„…–—·¡¿。！？、，：；《》〈〉「」『』【】（）"
# A word goes on over a hyphen or an apostrophe ("relationship-driven") and ends at a dash; without spaces it has no edge.
_GOES_ON = regex.compile(rf"[-'’]?[[\p{{L}}\p{{N}}]--[{SPACELESS}]]", regex.V1)
_CAME_FROM = regex.compile(rf"[[\p{{L}}\p{{N}}]--[{SPACELESS}]][-'’]?$", regex.V1)


def _begins(text: str, word: str) -> bool:
    """Whether a text begins with a word, whatever marks stand before it; letter case is ignored."""
    body, wanted = text.lstrip(_AROUND)[: 4 * len(word) + 8].casefold(), word.strip().casefold()
    return bool(wanted) and body.startswith(wanted) and not _GOES_ON.match(body, len(wanted))


def _ends(text: str, word: str) -> bool:
    """Whether a text ends with a word, whatever marks stand behind it; letter case is ignored."""
    body, wanted = text.rstrip(_AROUND)[-4 * len(word) - 8 :].casefold(), word.strip().casefold()
    return bool(wanted) and body.endswith(wanted) and not _CAME_FROM.search(body[-len(wanted) - 2 : -len(wanted)])


def _pieces(text: str, each: str) -> list[str]:
    if each == "sentence":
        return sentences(text) or [text]
    if each == "line":
        return [line for line in text.splitlines() if line.strip()]
    if each == "paragraph":
        return split_paragraphs(text, "blank line") or [text]
    return [text]
