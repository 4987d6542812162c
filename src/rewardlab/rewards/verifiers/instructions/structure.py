"""Constraints on the form of a text: lists, sections, titles, emphasis, quotation, JSON, repeated prompts.

Every pattern runs in time linear in the text: its repeats cannot take over one another's characters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from rewardlab.parsing.json_values import UnreadableJSON
from rewardlab.rewards.verifiers.instructions.registry import Relation, compare, constraint
from rewardlab.rewards.verifiers.json_text import read_json
from rewardlab.rewards.verifiers.words import words

Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]

_BULLET = re.compile(r"^[ \t]*(?:[*+][ \t]+|-(?!-)[ \t]*)(?![*_-]+[ \t]*$)[^\s]", re.MULTILINE)
_NUMBERED = re.compile(r"^[ \t]*\d{1,4}[.)][ \t]+\S", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6}[ \t]+\S", re.MULTILINE)
_HIGHLIGHT = re.compile(r"(?<!\*)(\*{1,3})(?![\s*])[^\n*]+(?<!\s)\1(?!\*)")
_PLACEHOLDER = re.compile(r"\[([^\[\]\n]*)\]")


@constraint("bullets")
def bullets(text: str, *, number: Count, relation: Relation = "exactly") -> bool:
    """The number of markdown bullet points (lines that begin with `*`, `-` or `+`)."""
    return compare(sum(1 for _ in _BULLET.finditer(text)), relation, number)


@constraint("numbered_list")
def numbered_list(text: str, *, number: Count, relation: Relation = "exactly") -> bool:
    """The number of list items `1.` or `1)`."""
    return compare(sum(1 for _ in _NUMBERED.finditer(text)), relation, number)


@constraint("headings")
def headings(text: str, *, number: Count, relation: Relation = "at least") -> bool:
    """The number of markdown headings `# ...`."""
    return compare(sum(1 for _ in _HEADING.finditer(text)), relation, number)


@constraint("sections")
def sections(text: str, *, number: Count, marker: Text = "Section", relation: Relation = "at least") -> bool:
    """The number of sections, each begun by a marker and a number ("Section 1")."""
    found = re.findall(rf"(?<!\w){re.escape(marker.strip())}\s?\d", text)
    return compare(len(found), relation, number)


@constraint("title")
def title(text: str) -> bool:
    """The text has a title in double angular brackets, on one line: `<<title>>`."""
    for line in text.splitlines():
        start = line.find("<<")
        end = line.rfind(">>")
        if start >= 0 and end > start and line[start:end].strip("<> \t"):
            return True
    return False


@constraint("highlights")
def highlights(text: str, *, number: Count, relation: Relation = "at least") -> bool:
    """The number of parts set off in markdown: `*part*` or `**part**`."""
    return compare(sum(1 for _ in _HIGHLIGHT.finditer(text)), relation, number)


@constraint("placeholders")
def placeholders(text: str, *, number: Count, relation: Relation = "at least") -> bool:
    """The number of placeholders in square brackets, such as `[address]`."""
    found = sum(1 for inside in _PLACEHOLDER.findall(text) if inside.strip())
    return compare(found, relation, number)


@constraint("postscript")
def postscript(text: str, *, marker: Text = "P.S.") -> bool:
    """A line begins with a postscript marker, and something follows it. Spaces between the letters may differ."""
    letters = [re.escape(letter) + "[.]?" for letter in marker if letter.isalpha()]
    if not letters:
        return marker in text
    pattern = r"[ \t]?".join(letters)
    return (
        re.search(rf"^[ \t*_>\"(-]{{0,8}}{pattern}[*_:,-]*[ \t]*[^\W_]", text, re.IGNORECASE | re.MULTILINE) is not None
    )


@constraint("json_only")
def json_only(text: str) -> bool:
    """The whole text is JSON, bare or as one fenced block."""
    body = text.strip()
    if body.startswith("```"):
        first, _, rest = body.partition("\n")
        if first[3:].strip().lower() not in ("", "json") or not rest.endswith("```"):
            return False
        body = rest[:-3]
    try:
        read_json(body)
    except UnreadableJSON:
        return False
    return True


@constraint("quotation")
def quotation(text: str) -> bool:
    """The whole text stands in double quotation marks."""
    body = text.strip()
    return len(body) > 1 and body[0] in '"“„«' and body[-1] in '"”“»'


@constraint("responses")
def responses(text: str, *, number: Annotated[int, Field(ge=1)] = 2, separator: Text = "******") -> bool:
    """The text holds so many different responses between separators."""
    found = _between(text, separator)
    return found is not None and len(found) == number and len(set(found)) == number


@constraint("repeat_prompt")
def repeat_prompt(text: str, *, prompt: Text) -> bool:
    """The text begins with the prompt, word for word; letter case and outer spaces are ignored."""
    return text.strip().casefold().startswith(prompt.strip().casefold())


@constraint("copy")
def copy(text: str, *, prompt: Text, number: Annotated[int, Field(ge=1)] = 1, separator: Text = "******") -> bool:
    """The text is the prompt, so many times, between separators, and nothing else."""
    pieces = text.split(separator)
    return len(pieces) == number and all(piece.strip().casefold() == prompt.strip().casefold() for piece in pieces)


@constraint("one_of")
def one_of(text: str, *, phrases: Annotated[list[Text], Field(min_length=1)]) -> bool:
    """One of these phrases stands in the text as it is."""
    return any(phrase in text for phrase in phrases)


@constraint("wrapped_words")
def wrapped_words(
    text: str, *, opening: Text = "[", closing: Text = "]", size: Annotated[int, Field(ge=1)] = 1
) -> bool:
    """Every word (or every `size` words in a row) stands in brackets; a shorter rest at the end may stand without."""
    pieces = text.split()
    groups: Sequence[list[str]] = [pieces[place : place + size] for place in range(0, len(pieces) - size + 1, size)]
    return bool(groups) and all(group[0].startswith(opening) and group[-1].endswith(closing) for group in groups)


@constraint("same_ends")
def same_ends(text: str) -> bool:
    """The text begins and ends with the same word, and has at least two."""
    found = words(text)
    return len(found) > 1 and found[0].casefold() == found[-1].casefold()


def _between(text: str, separator: str) -> list[str] | None:
    """What stands between separators; None where one of the inner pieces is blank."""
    pieces = [piece.strip() for piece in text.split(separator)]
    if any(not piece for piece in pieces[1:-1]):
        return None
    return [piece for piece in pieces if piece]
