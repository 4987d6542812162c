"""Constraints on which words, letters and characters stand in a text, on its letter case, and on its script and language."""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import Annotated, Any

import regex
from pydantic import AfterValidator, Field

from rewardlab.rewards.verifiers.instructions.languages import LANGUAGES, language_of
from rewardlab.rewards.verifiers.instructions.registry import Relation, compare, constraint
from rewardlab.rewards.verifiers.words import words

Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[list[Text], Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


@functools.lru_cache(maxsize=4096)
def keyword_pattern(keyword: str, whole_words: bool) -> Any:
    """A pattern that finds a keyword, letter case ignored. White space in it matches any white space.

    A word boundary is asked for only where the keyword's edge is a letter or digit of a script that writes spaces.
    """
    body = r"\s+".join(regex.escape(part) for part in keyword.split())
    if whole_words:
        spaced = r"[\w--[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]]"
        edge = regex.compile(spaced, regex.V1)
        stripped = keyword.strip()
        body = (
            (rf"(?<!{spaced})" if edge.match(stripped[0]) else "")
            + body
            + (rf"(?!{spaced})" if edge.match(stripped[-1]) else "")
        )
    return regex.compile(body, regex.V1 | regex.IGNORECASE)


def _has_body(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank")
    return text


Keyword = Annotated[str, AfterValidator(_has_body)]
Keywords = Annotated[list[Keyword], Field(min_length=1)]


def _find(keyword: str, text: str, whole_words: bool) -> bool:
    return keyword_pattern(keyword, whole_words).search(text) is not None


@constraint("include")
def include(text: str, *, keywords: Keywords, whole_words: bool = False) -> bool:
    """Every keyword stands in the text; as a part of a longer word too, unless `whole_words`."""
    return all(_find(keyword, text, whole_words) for keyword in keywords)


@constraint("exclude")
def exclude(text: str, *, keywords: Keywords, whole_words: bool = True) -> bool:
    """No keyword stands in the text; inside a longer word it may, unless `whole_words` is false."""
    return not any(_find(keyword, text, whole_words) for keyword in keywords)


@constraint("keyword_frequency")
def keyword_frequency(
    text: str, *, keyword: Keyword, number: Count, relation: Relation = "at least", whole_words: bool = False
) -> bool:
    """How often a keyword stands in the text."""
    return compare(sum(1 for _ in keyword_pattern(keyword, whole_words).finditer(text)), relation, number)


@constraint("keyword_position")
def keyword_position(text: str, *, keyword: Keyword, sentence: int, word: int) -> bool:
    """A keyword is a certain word of a certain sentence, both counted from 1."""
    from rewardlab.rewards.verifiers.words import sentences

    pieces = sentences(text)
    if not 1 <= sentence <= len(pieces):
        return False
    found = words(pieces[sentence - 1])
    return 1 <= word <= len(found) and found[word - 1].casefold() == keyword.strip().casefold()


@constraint("letter_frequency")
def letter_frequency(text: str, *, letter: Text, number: Count, relation: Relation = "at least") -> bool:
    """How often a letter (or any character) stands in the text, letter case ignored."""
    return compare(text.lower().count(letter.strip().lower() or letter), relation, number)


@constraint("no_characters")
def no_characters(text: str, *, characters: Text) -> bool:
    """None of these characters stands in the text."""
    return not any(character in text for character in characters)


@constraint("no_commas")
def no_commas(text: str) -> bool:
    """The text has no comma, of any script."""
    return not any(comma in text for comma in ",，、،﹐﹑､߸")


@constraint("all_uppercase")
def all_uppercase(text: str) -> bool:
    """The text has letters, and none of them is in lower case."""
    return text.isupper()


@constraint("all_lowercase")
def all_lowercase(text: str) -> bool:
    """The text has letters, and none of them is in upper case."""
    return text.islower()


@constraint("capital_words")
def capital_words(text: str, *, number: Count, relation: Relation = "at least") -> bool:
    """How many words are written in capitals only (a lone capital letter counts)."""
    return compare(sum(1 for word in words(text) if word.isupper()), relation, number)


@constraint("lowercase_words")
def lowercase_words(text: str, *, number: Count, relation: Relation = "at most") -> bool:
    """How many words are written in lower case only."""
    return compare(sum(1 for word in words(text) if word.islower()), relation, number)


@constraint("no_alphabet_neighbours")
def no_alphabet_neighbours(text: str) -> bool:
    """No two words in a row begin with neighbouring letters of the alphabet (such as b and c)."""
    first = [ord(word[0].casefold()[0]) for word in words(text)]
    return all(right - left != 1 for left, right in pairwise(first))


@constraint("starts_with")
def starts_with(text: str, *, phrase: Keyword) -> bool:
    """The text begins with a phrase, letter case ignored."""
    return text.strip().casefold().startswith(phrase.strip().casefold())


@constraint("ends_with")
def ends_with(text: str, *, phrase: Keyword) -> bool:
    """The text ends with a phrase, letter case and closing quotation marks ignored."""
    return text.strip().strip("\"'”’»").rstrip().casefold().endswith(phrase.strip().strip("\"'”’»").casefold())


@constraint("palindrome")
def has_palindrome(text: str, *, letters: Annotated[int, Field(ge=2)] = 3) -> bool:
    """The text has a word of at least so many letters that reads the same backwards."""
    found = (word.casefold() for word in words(text))
    return any(len(word) >= letters and word == word[::-1] and word.isalpha() and len(set(word)) > 1 for word in found)


@functools.lru_cache(maxsize=256)
def _property(kind: str, name: str) -> Any:
    try:
        return regex.compile(rf"\p{{{kind}={name}}}")
    except regex.error:
        raise ValueError(f"there is no Unicode {kind.lower()} {name!r}") from None


def _is_script(name: str) -> str:
    _property("Script", name)
    return name


def _is_block(name: str) -> str:
    _property("Block", name)
    return name


@constraint("script")
def script(text: str, *, script: Annotated[str, AfterValidator(_is_script)], share: Share = 0.9) -> bool:
    """At least this share of the letters belongs to a Unicode script (`Latin`, `Cyrillic`, `Han`, `Arabic`, ...)."""
    return _share(text, "Script", script) >= share


@constraint("no_script")
def no_script(text: str, *, script: Annotated[str, AfterValidator(_is_script)]) -> bool:
    """No letter belongs to a Unicode script."""
    return _property("Script", script).search(text) is None


@constraint("block")
def block(text: str, *, block: Annotated[str, AfterValidator(_is_block)], share: Share = 0.9) -> bool:
    """At least this share of the letters belongs to a Unicode block (`Basic_Latin`, `Hiragana`, ...)."""
    return _share(text, "Block", block) >= share


@constraint("ascii")
def ascii_only(text: str) -> bool:
    """Every character is ASCII."""
    return text.isascii()


def _is_language(code: str) -> str:
    code = code.strip().lower()
    if code not in LANGUAGES:
        from rewardlab.registry import nearest

        raise ValueError(f"is no language that is known here{nearest(code, iter(LANGUAGES))}")
    return code


@constraint("language")
def language(text: str, *, language: Annotated[str, AfterValidator(_is_language)]) -> bool:
    """The text is written in a language, given by its ISO 639-1 code; see `languages`. A text without letters is in none."""
    return language_of(text, likely=language) == language


_LETTERS = regex.compile(r"\p{L}")


def _share(text: str, kind: str, name: str) -> float:
    letters = _LETTERS.findall(text)
    wanted = _property(kind, name)
    return len(wanted.findall("".join(letters))) / len(letters) if letters else 0.0
