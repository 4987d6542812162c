"""YAML read so that an error can name the line: every key keeps the line that it stands on, and a doubled key is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rewardlab.registry import KeyPath


class _Loader(yaml.SafeLoader):
    """Safe loading in which `1e-3` is a number, as everybody who writes it means (YAML 1.1 takes it for text)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*)(?:\.[\d_]*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


class YAMLError(ValueError):
    """A file that is not YAML, or that says one thing twice; the message names file and line."""


@dataclass(slots=True)
class YAMLFile:
    """The content of a YAML file and the line of each of its keys.

    Args:
        data: the content, plain values only.
        lines: key path -> line, counted from 1.
        name: the file's name, for messages.
    """

    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)
    name: str = "<text>"

    def where(self, path: KeyPath) -> str:
        """`file:line` of a key path, or of the nearest enclosing key that has one."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return f"{self.name}:{self.lines[path[:length]]}"
        return self.name


def read_yaml(path: str | Path) -> YAMLFile:
    """Read a YAML file.

    Raises:
        FileNotFoundError: there is no such file.
        YAMLError: it is not valid YAML, or a key stands twice.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    return parse_yaml(file.read_text(encoding="utf-8"), name=str(path))


def parse_yaml(text: str, *, name: str = "<text>") -> YAMLFile:
    """Parse YAML text; `name` stands in messages for the file."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}:{mark.line + 1}" if mark is not None else name
        raise YAMLError(f"{place}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
    result = YAMLFile(data=None, name=name)
    if node is None:
        return result
    _record(node, (), result)
    result.data = load_yaml(text)
    return result


def load_yaml(text: str) -> Any:
    """The content of YAML text, plain values only.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    return yaml.load(text, Loader=_Loader)


def _record(node: yaml.Node, path: KeyPath, result: YAMLFile, inside: tuple[int, ...] = ()) -> None:
    if id(node) in inside:
        raise YAMLError(f"{result.name}:{node.start_mark.line + 1}: an alias here refers to what it stands in")
    inside = (*inside, id(node))
    result.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            line = key_node.start_mark.line + 1
            if key in seen:
                raise YAMLError(
                    f"{result.name}:{line}: the key {key!r} stands here again; it is already on line {seen[key]}"
                )
            seen[key] = line
            result.lines[(*path, key)] = line
            _record(value_node, (*path, key), result, inside)
    elif isinstance(node, yaml.SequenceNode):
        for position, entry in enumerate(node.value):
            _record(entry, (*path, position), result, inside)
