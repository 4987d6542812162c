"""Lists of the ideas that a survey or a thesis names: the part of the library that delivers each, the test that shows it.

Nothing is ticked by hand: an item is there when every part that it names stands in the source; without parts it is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rewardlab.source import defines


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One idea.

    Args:
        section: the heading under which the source has it.
        text: the idea, in a few words.
        parts: what delivers it, each `module:attribute`; none where it is missing.
        tests: what shows it, each `tests/file.py::test_name`.
        note: what a reader must know: how far it goes, or why it is missing.
    """

    section: str
    text: str
    parts: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    note: str = ""

    @property
    def there(self) -> bool:
        """Whether the library has it."""
        return bool(self.parts) and all(defines(part) for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checklist:
    """The ideas of one published work.

    Args:
        title: name of the work.
        source: where it was published.
        items: in the order of the work.
    """

    title: str
    source: str
    items: tuple[Item, ...]

    def sections(self) -> Iterator[tuple[str, list[Item]]]:
        """The items under each heading, in order."""
        for section in dict.fromkeys(item.section for item in self.items):
            yield section, [item for item in self.items if item.section == section]

    @property
    def missing(self) -> list[Item]:
        """What is not there yet."""
        return [item for item in self.items if not item.there]

    def to_markdown(self) -> str:
        """The checklist as a section of a page: a table under each heading, and how many items are missing."""
        there = len(self.items) - len(self.missing)
        lines = [f"## {self.title}", "", f"{self.source}. {there} of {len(self.items)} items are there."]
        for section, items in self.sections():
            lines += ["", f"### {section}", "", "| | item | part | shown by |", "|---|---|---|---|"]
            lines += [_row(item) for item in items]
        return "\n".join(lines) + "\n"


def _row(item: Item) -> str:
    text = f"{item.text}. {item.note}" if item.note else item.text
    if not item.there:
        return f"| missing | {text} | | |"
    parts = ", ".join(f"`{part.partition(':')[2] or part}`" for part in item.parts)
    tests = ", ".join(f"`{test.partition('::')[0].removeprefix('tests/')}`" for test in dict.fromkeys(item.tests))
    return f"| there | {text} | {parts} | {tests} |"
