"""Arrays inside dicts, lists and tuples, treated as one value: Dict observations, and the state of stateful rewards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def tree_map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The same structure with `function` applied to each leaf (and to the leaves of `others` at the same place).

    Args:
        function: takes one leaf of each tree. None is a structure without leaves.
        tree: dicts, lists, tuples (named ones too) of leaves.
        others: trees of the same structure.
    """
    if tree is None:
        return None
    if isinstance(tree, Mapping):
        return {key: tree_map(function, value, *(other[key] for other in others)) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(tree_map(function, *entries) for entries in zip(tree, *others, strict=True)))
    if isinstance(tree, (list, tuple)):
        return type(tree)(tree_map(function, *entries) for entries in zip(tree, *others, strict=True))
    return function(tree, *others)


def tree_leaves(tree: Any) -> list[Any]:
    """Every leaf, in the order of the structure."""
    leaves: list[Any] = []
    tree_map(leaves.append, tree)
    return leaves


def tree_paths(tree: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Every leaf with the keys that lead to it, joined by dots; the path of a bare leaf is empty."""
    if tree is None:
        return []
    if isinstance(tree, Mapping):
        entries = [(str(key), value) for key, value in tree.items()]
    elif isinstance(tree, (list, tuple)):
        entries = [(str(place), value) for place, value in enumerate(tree)]
    else:
        return [(prefix, tree)]
    return [pair for key, value in entries for pair in tree_paths(value, f"{prefix}.{key}" if prefix else key)]
