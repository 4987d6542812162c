"""The examples under every `--help`: a command on a line of its own, so that it can be copied, and under it what it does."""

from __future__ import annotations

Example = tuple[str, str]
"""A command line, and what it does."""


def epilog(examples: tuple[Example, ...]) -> str:
    """The end of a command's help, in rich's markup."""
    lines = [f"[cyan]{_plain(line)}[/]\n    {_plain(purpose)}" for line, purpose in examples]
    return "\n\n".join(["[bold]Examples[/]", *lines])


def _plain(text: str) -> str:
    """Text in which rich finds no markup."""
    return text.replace("[", "\\[")
