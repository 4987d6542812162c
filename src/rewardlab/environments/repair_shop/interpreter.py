"""A small part of Python, walked node by node: no code is handed to Python itself, and every step is counted.

It serves two ends. Tasks are made with it (what the right program answers, and that the broken one answers otherwise),
so that making a thousand tasks starts no process; and it can run an agent's tests where very many attempts are wanted.
It knows functions, loops, conditions, arithmetic, lists, dicts, strings and a few builtins; for anything else (imports,
classes, `try`) it says that it does not know it, and the test fails.
"""

from __future__ import annotations

import ast
import copy
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

MOST_STEPS = 20_000
MOST_DEPTH = 20
_LONGEST = 2_000
_LARGEST_BITS = 512

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_BUILTINS: dict[str, Callable[..., Any]] = {
    "abs": abs, "bool": bool, "dict": dict, "enumerate": enumerate, "int": int, "len": len, "list": list, "max": max,
    "min": min, "range": range, "reversed": reversed, "round": round, "set": set, "sorted": sorted, "str": str, "sum": sum,
    "tuple": tuple, "zip": zip,
}  # fmt: skip
_METHODS: dict[type, frozenset[str]] = {
    list: frozenset({"append", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"}),
    dict: frozenset({"copy", "get", "items", "keys", "pop", "values"}),
    str: frozenset({"count", "endswith", "find", "isdigit", "join", "lower", "replace", "split", "startswith", "strip"}),
    set: frozenset({"add", "copy", "discard", "remove"}),
    tuple: frozenset({"count", "index"}),
}  # fmt: skip
_RAISED = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, NameError, RecursionError)


class NotKnown(Exception):
    """The program uses Python that this interpreter does not know."""


class OutOfSteps(Exception):
    """The program did not end within its steps, or made something too large."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call gave: a value, or the type and text of an error."""

    value: Any = None
    error: str = ""


def load_error(source: str) -> str:
    """Why a file cannot be read as Python; empty where it can."""
    try:
        _check_places(ast.parse(source).body, function=False, loop=False)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"{type(error).__name__}: {getattr(error, 'msg', error)}"
    return ""


def interpret(
    sources: Sequence[str], calls: Sequence[tuple[str, Sequence[Any]]], *, steps: int = MOST_STEPS
) -> list[Answer]:
    """Call functions of a program.

    Args:
        sources: the files of the program; later ones replace functions of the same name.
        calls: name of the function and its arguments, plain JSON values.
        steps: nodes that each call may walk.

    Returns:
        One answer for each call. Where a file cannot be read, every call has that error.
    """
    program = _Program()
    for source in sources:
        trouble = load_error(source)
        if not trouble:
            try:
                program.load(ast.parse(source), steps)
            except (NotKnown, OutOfSteps, *_RAISED) as error:
                trouble = _described(error)
        if trouble:
            return [Answer(error=trouble)] * len(calls)
    return [program.answer(name, arguments, steps) for name, arguments in calls]


def _check_places(statements: Sequence[ast.stmt], *, function: bool, loop: bool) -> None:
    """Raise where `return`, `break` or `continue` stands where Python does not allow it; its parser does not look."""
    for node in statements:
        if isinstance(node, ast.Return) and not function:
            raise SyntaxError("'return' outside function")
        if isinstance(node, (ast.Break, ast.Continue)) and not loop:
            raise SyntaxError(f"{type(node).__name__.lower()!r} outside loop")
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        turning = isinstance(node, (ast.For, ast.While))
        for name in ("body", "orelse", "finalbody"):
            found = getattr(node, name, [])
            if isinstance(found, list):
                deeper = turning if name == "body" and turning else loop and not inside
                _check_places(found, function=(function or inside), loop=deeper)


class _Return(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


@dataclass(slots=True)
class _Program:
    names: dict[str, Any] = field(default_factory=dict)
    left: int = 0
    depth: int = 0

    def load(self, module: ast.Module, steps: int) -> None:
        """Run the body of a file: functions and constants."""
        self.left = steps
        for statement in module.body:
            if isinstance(statement, ast.FunctionDef):
                self.names[statement.name] = _checked_function(statement)
            else:
                self.run(statement, self.names)

    def answer(self, name: str, arguments: Sequence[Any], steps: int) -> Answer:
        self.left, self.depth = steps, 0
        try:
            function = self.names.get(name)
            if not isinstance(function, ast.FunctionDef):
                raise NameError(f"name {name!r} is not defined")
            value = self.call(function, copy.deepcopy(list(arguments)))
            self.weigh([value])
            return Answer(value)
        except (NotKnown, OutOfSteps, *_RAISED) as error:
            return Answer(error=_described(error))

    def call(self, function: ast.FunctionDef, arguments: list[Any]) -> Any:
        names = [argument.arg for argument in function.args.args]
        if len(arguments) != len(names):
            raise TypeError(f"{function.name}() takes {len(names)} arguments but {len(arguments)} were given")
        if self.depth >= MOST_DEPTH:
            raise RecursionError("maximum recursion depth exceeded")
        self.depth += 1
        try:
            self.block(function.body, dict(zip(names, arguments, strict=True)))
        except _Return as returned:
            return returned.value
        finally:
            self.depth -= 1
        return None

    # ---- statements -------------------------------------------------------------------------------------------------

    def block(self, statements: Sequence[ast.stmt], local: dict[str, Any]) -> None:
        for statement in statements:
            self.run(statement, local)

    def run(self, node: ast.stmt, local: dict[str, Any]) -> None:
        self.count()
        match node:
            case ast.Assign():
                value = self.value(node.value, local)
                for target in node.targets:
                    self.assign(target, value, local)
            case ast.AugAssign():
                load = _as_load(node.target)
                self.assign(node.target, self.binary(node.op, self.value(load, local), node.value, local), local)
            case ast.Expr():
                self.value(node.value, local)
            case ast.Return():
                raise _Return(None if node.value is None else self.value(node.value, local))
            case ast.If():
                self.block(node.body if self.value(node.test, local) else node.orelse, local)
            case ast.For(orelse=[]):
                for item in self.items(self.value(node.iter, local)):
                    self.assign(node.target, item, local)
                    if not self.turn(node.body, local):
                        break
            case ast.While(orelse=[]):
                while self.value(node.test, local) and self.turn(node.body, local):
                    pass
            case ast.Break():
                raise _Break
            case ast.Continue():
                raise _Continue
            case ast.Pass():
                pass
            case _:
                raise NotKnown(f"{type(node).__name__} in line {node.lineno}")

    def turn(self, body: Sequence[ast.stmt], local: dict[str, Any]) -> bool:
        """One turn of a loop; False where it was left."""
        try:
            self.block(body, local)
        except _Break:
            return False
        except _Continue:
            pass
        return True

    def assign(self, target: ast.expr, value: Any, local: dict[str, Any]) -> None:
        match target:
            case ast.Name():
                local[target.id] = value
            case ast.Tuple() | ast.List():
                values = list(islice(self.items(value), len(target.elts) + 1))
                if len(values) != len(target.elts):
                    raise ValueError(f"expected {len(target.elts)} values to unpack")
                for one, part in zip(target.elts, values, strict=True):
                    self.assign(one, part, local)
            case ast.Subscript():
                self.value(target.value, local)[self.index(target.slice, local)] = value
            case _:
                raise NotKnown(f"assignment to {type(target).__name__} in line {target.lineno}")

    # ---- expressions ------------------------------------------------------------------------------------------------

    def value(self, node: ast.expr, local: dict[str, Any]) -> Any:
        self.count()
        match node:
            case ast.Constant(value=bool() | int() | str() | float() | None):
                return _bounded(node.value)
            case ast.Name():
                for names in (local, self.names, _BUILTINS):
                    if node.id in names:
                        return names[node.id]
                raise NameError(f"name {node.id!r} is not defined")
            case ast.BinOp():
                return self.binary(node.op, self.value(node.left, local), node.right, local)
            case ast.UnaryOp() if type(node.op) in _UNARY:
                return _UNARY[type(node.op)](self.value(node.operand, local))
            case ast.BoolOp():
                wanted = isinstance(node.op, ast.Or)
                for part in node.values:
                    value = self.value(part, local)
                    if bool(value) is wanted:
                        break
                return value
            case ast.Compare():
                left = self.value(node.left, local)
                for compared, part in zip(node.ops, node.comparators, strict=True):
                    right = self.value(part, local)
                    self.weigh([left, right])
                    outcome = _COMPARE[type(compared)](left, right)
                    if not outcome:
                        break
                    left = right
                return outcome
            case ast.IfExp():
                return self.value(node.body if self.value(node.test, local) else node.orelse, local)
            case ast.List():
                return [self.value(one, local) for one in node.elts]
            case ast.Tuple():
                return tuple(self.value(one, local) for one in node.elts)
            case ast.Dict() if all(key is not None for key in node.keys):
                pairs = zip(node.keys, node.values, strict=True)
                return {self.value(key, local): self.value(one, local) for key, one in pairs if key is not None}
            case ast.Subscript():
                return self.value(node.value, local)[self.index(node.slice, local)]
            case ast.ListComp(generators=[ast.comprehension(is_async=0) as part]):
                return list(self.comprehended(node.elt, part, local))
            case ast.GeneratorExp(generators=[ast.comprehension(is_async=0) as part]):
                return list(self.comprehended(node.elt, part, local))
            case ast.Call(keywords=[]):
                return self.called(node, local)
            case _:
                raise NotKnown(f"{type(node).__name__} in line {node.lineno}")

    def binary(self, kind: ast.operator, left: Any, right_node: ast.expr, local: dict[str, Any]) -> Any:
        right = self.value(right_node, local)
        if type(kind) not in _BINARY or (isinstance(kind, ast.Mod) and isinstance(left, str)):
            raise NotKnown(f"{type(kind).__name__} in line {right_node.lineno}")
        for one, other in ((left, right), (right, left)):
            if isinstance(kind, ast.Mult) and isinstance(one, (str, list, tuple)) and isinstance(other, int):
                self.count(len(one) * max(other, 0))
        return _bounded(_BINARY[type(kind)](left, right))

    def index(self, node: ast.expr, local: dict[str, Any]) -> Any:
        if not isinstance(node, ast.Slice):
            return self.value(node, local)
        return slice(
            *(None if part is None else self.value(part, local) for part in (node.lower, node.upper, node.step))
        )

    def comprehended(self, element: ast.expr, part: ast.comprehension, local: dict[str, Any]) -> Iterator[Any]:
        inner = dict(local)
        for item in self.items(self.value(part.iter, local)):
            self.assign(part.target, item, inner)
            if all(self.value(test, inner) for test in part.ifs):
                yield self.value(element, inner)

    def called(self, node: ast.Call, local: dict[str, Any]) -> Any:
        if isinstance(node.func, ast.Attribute):
            owner = self.value(node.func.value, local)
            if node.func.attr not in _METHODS.get(type(owner), ()):
                raise NotKnown(f"method {node.func.attr!r:.40} in line {node.lineno}")
            function = getattr(owner, node.func.attr)
        else:
            function = self.value(node.func, local)
        arguments = [self.value(one, local) for one in node.args]
        if isinstance(function, ast.FunctionDef):
            return self.call(function, arguments)
        if not callable(function):
            raise TypeError(f"{type(function).__name__!r} object is not callable")
        self.weigh([getattr(function, "__self__", None), *arguments])
        return _bounded(function(*arguments))

    # ---- limits -----------------------------------------------------------------------------------------------------

    def items(self, value: Any) -> Iterator[Any]:
        for item in value:
            self.count()
            yield item

    def weigh(self, values: list[Any]) -> None:
        """Count every element at every depth, before anything walks a value that may hold itself many times over."""
        while values:
            value = values.pop()
            if isinstance(value, range):
                self.count(len(value))
            elif isinstance(value, (list, tuple, set, dict)):
                self.count(len(value))
                values += value
                if isinstance(value, dict):
                    values += value.values()

    def count(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left < 0:
            raise OutOfSteps("it did not end")


def _bounded(value: Any) -> Any:
    """The value, unless it grew too large."""
    if isinstance(value, int) and value.bit_length() > _LARGEST_BITS:
        raise OutOfSteps("a number grew too large")
    if isinstance(value, (str, list, tuple, dict, set)) and len(value) > _LONGEST:
        raise OutOfSteps("a value grew too long")
    return value


def _checked_function(node: ast.FunctionDef) -> ast.FunctionDef:
    given = node.args
    if given.posonlyargs or given.kwonlyargs or given.vararg or given.kwarg or given.defaults or node.decorator_list:
        raise NotKnown(f"parameters of {node.name!r:.40} other than plain ones, or a decorator")
    return node


def _as_load(target: ast.expr) -> ast.expr:
    if not isinstance(target, (ast.Name, ast.Subscript)):
        raise NotKnown(f"assignment to {type(target).__name__} in line {target.lineno}")
    return target


def _described(error: BaseException) -> str:
    name = {"NotKnown": "NotKnown", "OutOfSteps": "Timeout"}.get(type(error).__name__, type(error).__name__)
    return f"{name}: {error}"[:200]
