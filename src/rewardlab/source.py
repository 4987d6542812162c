"""What a name says about itself, read from its source: nothing is imported, so that nothing need be installed."""

from __future__ import annotations

import ast
import importlib.util
import itertools
from pathlib import Path


def defines(place: str) -> bool:
    """Whether `module:attribute` (or a dotted `module:Class.method`) stands in the source, without running it."""
    module_name, _, attribute = place.partition(":")
    file = source_of(module_name)
    if file is None:
        return False
    tree = ast.parse(file.read_text(encoding="utf-8"))
    node: ast.AST = tree
    for step in attribute.split(".") if attribute else []:
        found = _find(node, step)
        if found is None:
            moved = _imported_from(tree, step, module_name, is_package=file.name == "__init__.py")
            if moved is not None:
                return defines(moved)
            return node is tree and "." not in attribute and _assigned(tree, step)
        node = found
    return True


def summary_of(place: str) -> str:
    """First sentence of what `module:attribute` says about itself, read from its source without running it.

    A class or function has a docstring; a value is described by the string under it, or by its module. Empty where there is
    no source to read.
    """
    module_name, _, attribute = place.partition(":")
    if module_name.endswith(".py"):
        file: Path | None = Path(module_name)
    else:
        file = source_of(module_name)
    if file is None or not file.is_file():
        return "(its module is not installed)"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    node: ast.AST = tree
    for step in attribute.split(".") if attribute else []:
        found = _find(node, step)
        if found is None:
            moved = _imported_from(tree, step, module_name, is_package=file.name == "__init__.py")
            return _first(_under(tree, step) or ast.get_docstring(tree)) if moved is None else summary_of(moved)
        node = found
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        return _first(ast.get_docstring(node))
    return ""


def source_of(module_name: str) -> Path | None:
    """The file of a module, found without importing anything (`find_spec` would import the packages above it)."""
    root, *rest = module_name.split(".")
    specification = importlib.util.find_spec(root)
    if specification is None:
        return None
    if not rest:
        return None if specification.origin is None else Path(specification.origin)
    for folder in specification.submodule_search_locations or ():
        inside = Path(folder, *rest)
        for candidate in (inside / "__init__.py", inside.with_name(f"{inside.name}.py")):
            if candidate.is_file():
                return candidate
    return None


def _assigned(tree: ast.Module, name: str) -> bool:
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return True
    return False


def _first(text: str | None) -> str:
    return " ".join((text or "").partition("\n\n")[0].split())


def _find(node: ast.AST, name: str) -> ast.AST | None:
    for child in getattr(node, "body", []):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and child.name == name:
            return child
    return None


def _under(tree: ast.Module, name: str) -> str | None:
    """The string that stands under an assignment to a name."""
    for statement, following in itertools.pairwise(tree.body):
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if not any(isinstance(target, ast.Name) and target.id == name for target in targets):
            continue
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            return str(following.value.value)
    return None


def _imported_from(tree: ast.Module, name: str, module_name: str, *, is_package: bool) -> str | None:
    """The `module:attribute` that a module takes a name from, whether it imports it now or only for type checkers."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        for entry in node.names:
            if (entry.asname or entry.name) == name:
                package = module_name.split(".") if is_package else module_name.split(".")[:-1]
                above = package[: len(package) - node.level + 1] if node.level else []
                return f"{'.'.join([*above, *([node.module] if node.module else [])])}:{entry.name}"
    return None
