"""Reads a generated program without running it: its shape, what it imports, and what it asks of the view.

This finds honest mistakes early and names their lines. It is no wall: what a program can do is limited by the sandbox.
"""

from __future__ import annotations

import ast
import builtins
import difflib
from typing import Any

from rewardlab.learning.programs.allowed import (
    ARGUMENTS,
    ARRAY_NAMES,
    BUILTINS,
    DENIED,
    FUNCTION,
    NUMBER_NAMES,
    PACKAGES,
    USUAL,
)
from rewardlab.learning.programs.problems import Kind, Problem
from rewardlab.learning.programs.views import Form, Leaf, Method, ViewSchema

_Found = tuple[str, Any]
"""("object", class name), ("leaf", Leaf), ("method", Method) or ("other", None)."""


def check_source(source: str, schema: ViewSchema | None = None, form: Form = "scalar") -> list[Problem]:
    """All that can be said about a program from its text.

    Args:
        source: the program.
        schema: of the view; None leaves attributes unchecked.
        form: what the program was asked for.

    Returns:
        Problems in the order of their lines; empty for a program that may be tried.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return [Problem(kind="syntax", message=f"this is not Python: {error.msg}", line=error.lineno)]
    except (ValueError, RecursionError, MemoryError) as error:
        return [Problem(kind="syntax", message=f"this cannot be parsed: {error}")]
    walk = _Walk(schema, form)
    walk.top(tree)
    if not walk.problems or all(one.kind != "signature" for one in walk.problems):
        walk.visit(tree)
        walk.undefined(tree)
    return sorted(dict.fromkeys(walk.problems), key=lambda one: one.line or 0)


def attribute_names(source: str) -> set[str]:
    """Every attribute that a program names, whatever of: only these have to be worked out for it."""
    return {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}


class _Walk(ast.NodeVisitor):
    def __init__(self, schema: ViewSchema | None, form: Form) -> None:
        self.schema, self.form = schema, form
        self.problems: list[Problem] = []
        self.known: dict[str, _Found] = {}

    def say(self, kind: Kind, node: ast.AST, message: str) -> None:
        self.problems.append(Problem(kind=kind, message=message, line=getattr(node, "lineno", None)))

    # ---- the shape of the program -----------------------------------------------------------------------------------

    def top(self, tree: ast.Module) -> None:
        functions = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                self.say(
                    "signature", node, f"expected one function {FUNCTION}(self, action), got the class {node.name}"
                )
            elif not isinstance(
                node, (ast.FunctionDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
            ) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
                self.say("signature", node, "only imports, constants and one function may stand at the top")
        if len(functions) != 1:
            found = ", ".join(node.name for node in functions) or "none"
            self.say(
                "signature",
                functions[1] if len(functions) > 1 else tree,
                f"expected exactly one function, {FUNCTION}(self, action), got {found}; put helpers inside of it",
            )
            return
        function = functions[0]
        given = function.args
        names = tuple(argument.arg for argument in [*given.posonlyargs, *given.args])
        plain = not (given.vararg or given.kwarg or given.kwonlyargs or given.defaults)
        if function.name != FUNCTION:
            self.say("signature", function, f"the function is called {function.name}, expected {FUNCTION}")
        elif names != ARGUMENTS or not plain or isinstance(function, ast.AsyncFunctionDef):
            self.say("signature", function, f"expected def {FUNCTION}(self, action), got ({', '.join(names)})")
        elif function.decorator_list:
            self.say("signature", function, "the function must not be decorated")
        elif any(isinstance(node, (ast.Yield, ast.YieldFrom, ast.Await)) for node in ast.walk(function)):
            self.say("signature", function, "the function must return its reward, not yield it")
        if self.schema is not None:
            self.known["self"] = ("object", self.schema.root)

    # ---- what it names ----------------------------------------------------------------------------------------------

    def visit_Import(self, node: ast.Import) -> None:
        for entry in node.names:
            self._package(node, entry.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._package(node, node.module or "." * node.level)
        for entry in node.names:
            if entry.name == "*" or entry.name in DENIED or entry.name.startswith("_"):
                self.say("forbidden", node, f"a reward may not import {entry.name!r} from {node.module}")

    def _package(self, node: ast.AST, name: str) -> None:
        steps = name.split(".")
        if steps[0] not in PACKAGES:
            self.say("forbidden", node, f"a reward may import {', '.join(PACKAGES)}, and not {name!r}")
        elif any(step in DENIED or step.startswith("_") for step in steps):
            self.say("forbidden", node, f"a reward may not import {name!r}: it reads files or draws random numbers")

    def visit_Global(self, node: ast.Global) -> None:
        self.say(
            "changes", node, "global keeps state between calls, which would mix environments that run side by side"
        )

    def visit_Name(self, node: ast.Name) -> None:
        if node.id.startswith("__"):
            self.say("forbidden", node, f"a reward may not use {node.id}")

    def undefined(self, tree: ast.Module) -> None:
        """Names that nothing defines: a forgotten import, or a built-in that rewards do not get."""
        defined = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        for node in ast.walk(tree):
            if isinstance(node, ast.arg):
                defined.add(node.arg)
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                defined.add(node.name)
            elif isinstance(node, ast.alias):
                defined.add((node.asname or node.name).split(".")[0])
            elif isinstance(node, ast.ExceptHandler) and node.name:
                defined.add(node.name)
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)):
                continue
            if node.id in defined or node.id in BUILTINS or node.id.startswith("__"):
                continue
            if hasattr(builtins, node.id):
                self.say("forbidden", node, f"a reward may not use {node.id}")
            else:
                fix = f"; add `{USUAL[node.id]}`" if node.id in USUAL else "; import or define it"
                self.say("missing import", node, f"the name {node.id!r} is not defined{fix}")

    # ---- what it asks of the view -----------------------------------------------------------------------------------

    def visit_Assign(self, node: ast.Assign) -> None:
        found = self.see(node.value)
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for one, value in zip(target.elts, node.value.elts, strict=False):
                    self.visit_Assign(ast.copy_location(ast.Assign(targets=[one], value=value), node))
            elif isinstance(target, ast.Name):
                self.known[target.id] = found if found[0] in ("object", "leaf") else ("other", None)
            else:
                self.store(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.known[node.target.id] = self.see(node.value) if node.value is not None else ("other", None)
        else:
            self.store(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.number(node.value)
        if isinstance(node.target, ast.Name):
            found = self.known.get(node.target.id, ("other", None))
            if found[0] == "leaf" and (found[1].shape or self.form == "vectorised"):
                self.say(
                    "changes", node, f"this changes an array of the environment in place; write {node.target.id} = ..."
                )
            self.known[node.target.id] = ("other", None)
        else:
            self.store(node.target)

    def store(self, target: ast.expr) -> None:
        if isinstance(target, (ast.Tuple, ast.List)):
            for entry in target.elts:
                self.store(entry)
        elif isinstance(target, ast.Attribute):
            self.say("changes", target, f"a reward must not change the environment: it assigns {ast.unparse(target)}")
        elif isinstance(target, ast.Subscript):
            if self.see(target.value)[0] == "leaf":
                self.say(
                    "changes", target, f"a reward must not change the environment: it writes {ast.unparse(target)}"
                )
        elif isinstance(target, ast.Name):
            self.known[target.id] = ("other", None)

    def visit_Delete(self, node: ast.Delete) -> None:
        self.say("forbidden", node, "a reward may not use del")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_If(self, node: ast.If) -> None:
        self.number(node.test)
        for statement in [*node.body, *node.orelse]:
            self.visit(statement)

    def visit_Expr(self, node: ast.Expr) -> None:
        self.see(node.value)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            self.number(node.value)

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.expr):
            self.see(node)
        else:
            super().generic_visit(node)

    def number(self, node: ast.expr) -> _Found:
        """Look at an expression that stands where a number belongs."""
        found = self.see(node)
        text = ast.unparse(node)
        if found[0] == "object" and self.schema is not None:
            names = ", ".join(self.schema.parts[found[1]].names)
            self.say("wrong use", node, f"{text} is a {found[1]}, not a number; use one of its attributes: {names}")
        elif found[0] == "method":
            self.say("wrong use", node, f"{text} is a method; call it: {text}({', '.join(found[1].parameters)})")
        return found

    def see(self, node: ast.expr) -> _Found:
        """What an expression is, as far as the view is concerned; looks at all that it holds on the way."""
        if isinstance(node, ast.Name):
            self.visit_Name(node)
            return self.known.get(node.id, ("other", None))
        if isinstance(node, ast.Attribute):
            return self.attribute(node)
        if isinstance(node, ast.Call):
            return self.call(node)
        if isinstance(node, ast.Subscript):
            found = self.number(node.value)
            if found[0] == "leaf" and not found[1].shape and self.form == "scalar":
                self.say("wrong use", node, f"{ast.unparse(node.value)} is one number, and has no entries")
            self.see(node.slice)
            return ("other", None)
        if isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            for child in ast.iter_child_nodes(node):
                self.visit(child)
            return ("other", None)
        holds = isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.Dict))  # of numbers, or of objects
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                _ = self.see(child) if holds else self.number(child)
        return ("other", None)

    def attribute(self, node: ast.Attribute) -> _Found:
        found = self.see(node.value)
        text = ast.unparse(node.value)
        if node.attr.startswith("_") or node.attr in DENIED:
            self.say("forbidden", node, f"a reward may not use .{node.attr}")
            return ("other", None)
        if found[0] == "object" and self.schema is not None:
            part = self.schema.parts[found[1]]
            if node.attr in part.methods:
                return ("method", part.methods[node.attr])
            if node.attr in part.attributes:
                kind = part.attributes[node.attr]
                return ("object", kind) if isinstance(kind, str) else ("leaf", kind)
            close = difflib.get_close_matches(node.attr, part.names, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            self.say(
                "unknown attribute",
                node,
                f"{text} is a {part.name}, which has no attribute {node.attr!r}; {hint}It has {', '.join(part.names)}",
            )
        elif found[0] == "leaf":
            leaf: Leaf = found[1]
            array = bool(leaf.shape) or self.form == "vectorised"
            if node.attr not in (ARRAY_NAMES if array else NUMBER_NAMES):
                self.say(
                    "unknown attribute",
                    node,
                    f"{text} is {leaf.describe(self.form)}, which has no attribute {node.attr!r}",
                )
        elif found[0] == "method":
            self.say("wrong use", node, f"{text} is a method; call it before asking for {node.attr!r}")
        return ("other", None)

    def call(self, node: ast.Call) -> _Found:
        found = self.see(node.func)
        text = ast.unparse(node.func)
        if found[0] == "method":
            self.arguments(node, text, found[1])
            return ("leaf", found[1].leaf)
        if found[0] in ("leaf", "object"):
            what = found[1].describe(self.form) if found[0] == "leaf" else f"a {found[1]}"
            self.say("wrong use", node, f"{text} is {what}, not a function; leave the parentheses out")
        helper = isinstance(node.func, ast.Name) and node.func.id not in BUILTINS  # it may take objects
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            inner = argument.value if isinstance(argument, ast.Starred) else argument
            _ = self.see(inner) if helper else self.number(inner)
        return ("other", None)

    def arguments(self, node: ast.Call, text: str, method: Method) -> None:
        wanted = method.parameters
        given: list[ast.expr] = list(node.args)
        names = [keyword.arg for keyword in node.keywords]
        expected = f"{text} takes ({', '.join(f'{key}: {value}' for key, value in wanted.items())})"
        if any(name not in wanted for name in names) or len(given) + len(names) != len(wanted):
            self.say("wrong use", node, f"{expected}, got ({', '.join(map(ast.unparse, [*given, *node.keywords]))})")
            return
        pairs = [*zip(given, wanted.values(), strict=False)]
        pairs += [(keyword.value, wanted[keyword.arg]) for keyword in node.keywords if keyword.arg is not None]
        for argument, kind in pairs:
            found = self.see(argument)
            fits = found[0] == "object" and self.schema is not None and self.schema.fits(found[1], kind)
            if not fits and (found[0] != "other" or isinstance(argument, ast.Constant)):
                self.say("wrong use", node, f"{expected}, got {ast.unparse(argument)}, which is no {kind}")
