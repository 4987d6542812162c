"""Instrumentation by rules: where a program imports, loads, trains, predicts and writes stands in its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from rewardlab.environments.instrumentation.check import only_prints

PHRASES = {
    "imported": "imports done",
    "loaded": "data loaded",
    "defined": "model defined",
    "trained": "model trained",
    "predicted": "predictions made",
    "written": "submission written",
}
"""What is printed behind the token, by milestone."""

_LOADS = {"read_csv", "loadtxt", "genfromtxt", "reader", "DictReader", "read_table", "read_parquet", "load"}
_TRAINS = {"fit", "fit_predict", "fit_transform", "train", "partial_fit"}
_PREDICTS = {"predict", "predict_proba", "fit_predict", "decision_function", "kneighbors"}
_WRITES = {"to_csv", "savetxt", "writelines", "writerows", "writerow", "write", "save"}
_MODELS = ("Classifier", "Regressor", "Regression", "SVC", "SVR", "NB", "Ridge", "Lasso", "Pipeline", "make_pipeline")


@dataclass(frozen=True, kw_only=True)
class ASTInstrumentor:
    """Puts a print behind the first statement of each kind, at its own indentation; no model is asked.

    Statements inside functions count as well: their line is printed when the function runs. A statement that shares its line
    with others is left alone.

    Args:
        phrases: milestone -> what is printed; a milestone that is left out is not looked for.
    """

    phrases: tuple[tuple[str, str], ...] = tuple(PHRASES.items())

    def __call__(self, code: str, token: str) -> str | None:
        """The code with prints, or None where it cannot be read or nothing was found."""
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        lines = code.splitlines()
        places: dict[int, list[tuple[int, str]]] = {}
        statements = list(_statements(tree))
        for name, phrase in self.phrases:
            found = [node for node in statements if _is(name, node) and _alone(node, lines)]
            if not found:
                continue
            node = _last_import(found) if name == "imported" else min(found, key=lambda one: one.lineno)
            assert node.end_lineno is not None
            places.setdefault(node.end_lineno, []).append((node.col_offset, phrase))
        if not places:
            return None
        written: list[str] = []
        for number, line in enumerate(lines, start=1):
            written.append(line)
            for indent, phrase in places.get(number, ()):
                written.append(f'{" " * indent}print("{token} {phrase}", flush=True)')
        rewritten = "\n".join(written) + "\n"
        return rewritten if only_prints(code, rewritten, token) else None


def _statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """Simple statements, wherever they stand."""
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                for statement in block:
                    if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.Expr, ast.Import, ast.ImportFrom)):
                        yield statement


def _is(name: str, node: ast.stmt) -> bool:
    if name == "imported":
        imports = isinstance(node, (ast.Import, ast.ImportFrom))
        return imports and getattr(node, "module", None) != "__future__"
    called = [_called(inner) for inner in ast.walk(node) if isinstance(inner, ast.Call)]
    if name == "defined":
        return isinstance(node, (ast.Assign, ast.AnnAssign)) and any(call.endswith(_MODELS) for call in called)
    known = {"loaded": _LOADS, "trained": _TRAINS, "predicted": _PREDICTS, "written": _WRITES}[name]
    return any(call in known for call in called)


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _alone(node: ast.stmt, lines: list[str]) -> bool:
    """Whether a line can be put behind a statement: nothing else stands on its first and last lines."""
    assert node.end_lineno is not None
    before = lines[node.lineno - 1].encode()[: node.col_offset]
    after = lines[node.end_lineno - 1].encode()[node.end_col_offset :].strip()
    return not before.strip() and b"\t" not in before and (not after or after.startswith(b"#"))


def _last_import(found: list[ast.stmt]) -> ast.stmt:
    """The last import at the outermost indentation."""
    outermost = min(node.col_offset for node in found)
    return max((node for node in found if node.col_offset == outermost), key=lambda node: node.lineno)
