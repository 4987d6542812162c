"""What runs in the sandbox beside a generated program: reads states, calls the program, writes its values.

This file is sent along as text and imports NumPy alone. States arrive as raw arrays on standard input, all at once; rewards
leave the same way, so that one round trip serves any number of states. Nothing here is trusted by the side that reads it.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import sys
import time
import traceback
from typing import Any, NoReturn

import numpy as np

RESULT = os.dup(1)
PROGRAM = "reward_program.py"


class UnknownAttribute(AttributeError):
    """The program asked for something that is not listed."""


class WrongUse(TypeError):
    """The program used something listed as what it is not."""


class ChangesEnvironment(TypeError):
    """The program tried to change what it looks at."""


class Problem(Exception):
    """The program returned something that is no reward; `state` is the row at fault."""

    def __init__(self, kind: str, message: str, state: int | None = None) -> None:
        super().__init__(message)
        self.kind, self.state = kind, state


class States:
    """The values of all objects, and which state is looked at."""

    def __init__(self, columns: dict[str, Any], scalar: bool) -> None:
        self.row = 0
        self.scalar = scalar
        self.columns = columns
        self.rows: dict[str, Any] = {}
        for name, array in columns.items():
            array.setflags(write=False)
            if scalar:  # plain numbers are much faster than arrays of no dimension
                self.rows[name] = array.tolist() if array.ndim == 1 else list(array)

    def value(self, name: str) -> Any:
        """The value in the state that is looked at, or in all of them."""
        return self.rows[name][self.row] if self.scalar else self.columns[name]

    def order(self, rows: Any) -> States:
        """The same states in another order."""
        return States({name: np.ascontiguousarray(array[rows]) for name, array in self.columns.items()}, self.scalar)


class Thing:
    """An object of the view, as the program sees it: what is listed, and nothing else."""

    __slots__ = ("_part", "_path", "_states", "_things")

    def __init__(self, path: str, part: dict[str, Any], states: States, things: dict[str, Thing]) -> None:
        for name, value in (("_path", path), ("_part", part), ("_states", states), ("_things", things)):
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        part, path = self._part, f"{self._path}.{name}" if self._path else name
        if name in part["methods"]:
            return lambda *given, **named: self._ask(name, path, given, named)
        if name in part["objects"]:
            return self._things[path]
        if name in part["names"]:
            return self._states.value(path)
        raise UnknownAttribute(f"a {part['class']} has no attribute {name!r}; it has {', '.join(part['names'])}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise ChangesEnvironment(f"a reward must not change the environment: it assigns {name!r}")

    def __delattr__(self, name: str) -> None:
        raise ChangesEnvironment(f"a reward must not change the environment: it deletes {name!r}")

    def _ask(self, name: str, path: str, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        wanted: dict[str, str] = self._part["methods"][name]
        rest = [key for key in wanted if key not in list(wanted)[: len(given)]]
        if len(given) + len(named) != len(wanted) or set(named) != set(rest):
            raise WrongUse(f"{name} takes ({', '.join(f'{key}: {kind}' for key, kind in wanted.items())})")
        chosen = [*given, *(named[key] for key in rest)]
        for thing, kind in zip(chosen, wanted.values(), strict=True):
            if not isinstance(thing, Thing) or kind not in thing._part["bases"]:
                raise WrongUse(f"{name} wants a {kind} of the environment, got a {type(thing).__name__}")
        return self._states.value(f"{path}({', '.join(thing._path for thing in chosen)})")


def world(schema: dict[str, Any], states: States) -> Thing:
    """The root object."""
    things: dict[str, Thing] = {}
    for path, part in schema.items():
        things[path] = Thing(path, part, states, things)
    return things[""]


class Seen:
    """What happened in an instrumented program: how often each condition held, and what each term gave in each state."""

    def __init__(self, states: States, count: int) -> None:
        self.states, self.count = states, count
        self.conditions: dict[int, list[float]] = {}
        self.terms: dict[int, Any] = {}

    def condition(self, number: int, value: Any) -> Any:
        """Note a condition and give it back."""
        flags = np.asarray(value, dtype=bool)
        tally = self.conditions.setdefault(number, [0.0, 0.0])
        tally[0] += float(flags.sum())
        tally[1] += flags.size
        return value

    def term(self, number: int, value: Any) -> Any:
        """Note a term and give it back."""
        column = self.terms.setdefault(number, np.zeros(self.count))
        try:
            if self.states.scalar:
                column[self.states.row] += float(value)
            else:
                column += np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):  # it is no number; what the program returns will show it
            pass
        return value


def load(name: str, file: str, hooks: dict[str, Any]) -> Any:
    """The program as a module."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.__dict__.update(hooks)
    spec.loader.exec_module(module)
    return module


def run(function: Any, root: Thing, states: States, count: int) -> tuple[Any, dict[str, Any]]:
    """Rewards of all states, and its named parts where the program returns a dict."""
    values = np.empty(count)
    parts: dict[str, Any] = {}
    if not states.scalar:
        found = function(root, states.columns["action"])
        if isinstance(found, dict):
            for key, part in found.items():
                parts[str(key)] = whole(part, count, f"the part {key!r}")
            if not parts:
                raise Problem("value", "returned an empty dict; expected one number for each state, or named parts")
            return sum(parts.values()), parts
        return whole(found, count, "the reward"), parts
    actions = states.rows["action"]
    for row in range(count):
        states.row = row
        found = function(root, actions[row])
        if isinstance(found, dict) and found:
            for key, part in found.items():
                parts.setdefault(str(key), np.zeros(count))[row] = number(part, row)
            values[row] = sum(number(part, row) for part in found.values())
        else:
            values[row] = found if type(found) is float else number(found, row)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size and not HEADER["lenient"]:
        raise Problem("value", f"returned {values[bad[0]]} in state {bad[0]}; expected a finite number", int(bad[0]))
    return values, parts


def number(found: Any, row: int) -> float:
    """One number, or say what stands there."""
    if isinstance(found, (int, float, np.integer, np.floating)) and not isinstance(found, bool):
        return float(found)
    if isinstance(found, np.ndarray) and found.ndim == 0 and found.dtype.kind in "fiu":
        return float(found)
    what = f"an array of shape {found.shape}" if isinstance(found, np.ndarray) else f"{found!r:.60}"
    raise Problem("shape", f"returned {what} ({type(found).__name__}) in state {row}; expected one finite number", row)


def whole(found: Any, count: int, what: str) -> Any:
    """One number for each state, or say what stands there."""
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu" or found.shape != (count,):
        shape = (
            f"an array of {found.dtype} of shape {found.shape}" if isinstance(found, np.ndarray) else f"{found!r:.60}"
        )
        raise Problem("shape", f"returned {shape} as {what}; expected one number for each state, float[{count}]")
    values = found.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size and not HEADER["lenient"]:
        raise Problem("value", f"returned {values[bad[0]]} in state {bad[0]}; expected a finite number", int(bad[0]))
    return values


def code(array: Any) -> str:
    """An array as text."""
    return base64.b64encode(np.ascontiguousarray(array, dtype=np.float64).tobytes()).decode("ascii")


def answer(found: dict[str, Any]) -> NoReturn:
    """Write the result and end."""
    with os.fdopen(RESULT, "wb") as file:
        file.write(json.dumps(found).encode("ascii"))
    os._exit(0)


def blame(error: BaseException) -> dict[str, Any]:
    """An error as plain values, with the last line of the program that it passed."""
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.endswith(PROGRAM):
            line = frame.lineno
    kind = error.kind if isinstance(error, Problem) else type(error).__name__
    return {"error": kind, "message": str(error)[:500], "line": line, "state": getattr(error, "state", None)}


def main() -> None:
    """Serve one job."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the program prints is not part of the answer
    np.seterr(all="ignore")
    content = sys.stdin.buffer.read()
    start = int.from_bytes(content[:8], "little")
    HEADER.update(json.loads(content[8 : 8 + start]))
    place, columns, count = 8 + start, {}, HEADER["count"]
    for column in HEADER["columns"]:
        size = int(np.prod(column["shape"], dtype=np.int64))
        array = np.frombuffer(content, dtype=column["dtype"], count=size, offset=place).reshape(column["shape"])
        columns[column["name"]] = array.copy()
        place += array.nbytes
    states = States(columns, HEADER["form"] == "scalar")
    row: dict[str, States] = {"states": states}
    try:
        function = getattr(load("reward_program", PROGRAM, {}), HEADER["function"])
        before = time.perf_counter()
        values, parts = run(function, world(HEADER["schema"], states), states, count)
        found: dict[str, Any] = {"seconds": time.perf_counter() - before, "values": code(values)}
        found["parts"] = {key: code(part) for key, part in parts.items()}
        if HEADER["study"]:
            again, _ = run(function, world(HEADER["schema"], states), states, count)
            found["again"] = code(again)
            turned = states.order(np.arange(count)[::-1])
            row["states"] = turned
            backwards, _ = run(function, world(HEADER["schema"], turned), turned, count)
            found["turned"] = code(np.asarray(backwards)[::-1])
            row["states"] = states
            seen = Seen(states, count)
            hooks = {"_note_condition": seen.condition, "_note_term": seen.term}
            studied = getattr(load("studied_program", "studied_program.py", hooks), HEADER["function"])
            run(studied, world(HEADER["schema"], states), states, count)
            found["conditions"] = seen.conditions
            found["terms"] = {key: code(column) for key, column in seen.terms.items()}
    except BaseException as error:  # noqa: BLE001  # whatever foreign code raises is its result
        found = blame(error)
        if found["state"] is None and states.scalar and not isinstance(error, (SyntaxError, ImportError)):
            found["state"] = row["states"].row
    answer(found)


HEADER: dict[str, Any] = {}
if __name__ == "__main__":
    main()
