"""Broken programs, drawn from a seed: functions of some families in a few files, mistakes in some of their lines, and tests.

Every task is checked while it is made: the right program passes all tests, and each mistake fails a visible and a hidden
one.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from rewardlab.environments.base import Split
from rewardlab.environments.repair_shop.families import THEMES, Function, draw_function
from rewardlab.environments.repair_shop.interpreter import interpret
from rewardlab.environments.repair_shop.mutations import KINDS, Mutation, mutations

HeldOut = Literal["programs", "families"]
TEST_FAMILIES = ("jump", "label", "rank")
"""The families of test programs where whole families are held out."""
_MOST_DRAWS = 1_000
_PATIENCE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large programs are, and how much is tested.

    Args:
        files: how many.
        functions: in each file.
        bugs: broken functions in the whole program, with one mistake each.
        visible: visible tests for each function.
        hidden: hidden tests for each function.
        families: of the functions.
        kinds: of the mistakes.
    """

    files: int
    functions: int
    bugs: int
    visible: int
    hidden: int
    families: tuple[str, ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One broken program.

    Args:
        files: the broken files.
        bugs: for each mistake `file`, `function`, `line`, `kind`, `fixed` and `broken`.
        visible: tests that the agent sees.
        hidden: tests that decide.
        modules: the module of each function.
        logic: what its functions compute; no logic of one split is in the other.
    """

    files: dict[str, str]
    bugs: list[dict[str, Any]]
    visible: list[dict[str, Any]]
    hidden: list[dict[str, Any]]
    modules: dict[str, str]
    logic: list[str]


def split_of(logic: str) -> Split:
    """The split that a function belongs to, by what it computes: a quarter is held out."""
    return "test" if hashlib.sha256(logic.encode()).digest()[0] % 4 == 0 else "train"


def families_of(split: Split, held_out: HeldOut, families: Sequence[str]) -> tuple[str, ...]:
    """The families that a split draws from."""
    if held_out == "programs":
        return tuple(families)
    return tuple(name for name in families if (name in TEST_FAMILIES) == (split == "test"))


def draw_job(shape: Shape, split: Split, rng: random.Random) -> Job:
    """A broken program of a split."""
    count = shape.files * shape.functions
    broken = set(rng.sample(range(count), shape.bugs))
    themes = rng.sample(list(THEMES), shape.files)
    files: dict[str, str] = {}
    job = Job(files=files, bugs=[], visible=[], hidden=[], modules={}, logic=[])
    for number, theme in enumerate(themes):
        wrong = [number * shape.functions + place in broken for place in range(shape.functions)]
        families = _draw_families(shape, wrong, rng)
        text = ""
        for place in range(shape.functions):
            function, tests, mistake = _draw_function(families[place], theme, wrong[place], shape, split, rng)
            text += "\n\n" if text else ""
            source = function.source
            if mistake is not None:
                source = mistake.applied(source)
                job.bugs.append(_bug(mistake, f"{theme}.py", function, text.count("\n")))
            text += source
            job.modules[function.name] = theme
            job.logic.append(function.logic)
            job.visible.extend(tests[: shape.visible])
            job.hidden.extend(tests[shape.visible :])
        files[f"{theme}.py"] = text
    return job


def breakable(families: Sequence[str], kinds: Sequence[str]) -> tuple[str, ...]:
    """The families in which a mistake of these kinds can be made that tests find (`<=` for `<` often changes nothing)."""
    return tuple(name for name in families if set(KINDS) <= set(kinds) or any(_can_break(name, kind) for kind in kinds))


@cache
def _can_break(family: str, kind: str) -> bool:
    rng = random.Random(0)
    for _ in range(4):
        function = draw_function(family, "votes", rng)
        tests = _draw_tests(function, 10, rng)
        if tests is not None and any(
            one.kind == kind and _is_found(one.applied(function.source), tests, 5) for one in mutations(function.source)
        ):
            return True
    return False


def _draw_families(shape: Shape, wrong: Sequence[bool], rng: random.Random) -> list[str]:
    """A different family for each function of a file; those with a mistake get one that can have it."""
    left = list(shape.families)
    rng.shuffle(left)
    able = breakable(left, shape.kinds)
    drawn = {}
    for place in sorted(range(len(wrong)), key=lambda place: not wrong[place]):
        drawn[place] = next(name for name in left if name in able or not wrong[place])
        left.remove(drawn[place])
    return [drawn[place] for place in range(len(wrong))]


def _draw_function(
    family: str, theme: str, broken: bool, shape: Shape, split: Split, rng: random.Random
) -> tuple[Function, list[dict[str, Any]], Mutation | None]:
    """A function of the split, its tests, and a mistake that both visible and hidden tests find; None for a sound one."""
    for _ in range(_MOST_DRAWS):
        function = draw_function(family, theme, rng)
        if split_of(function.logic) != split:
            continue
        tests = _draw_tests(function, shape.visible + shape.hidden, rng)
        if tests is None:
            continue
        if not broken:
            return function, tests, None
        possible = [one for one in mutations(function.source) if one.kind in shape.kinds]
        rng.shuffle(possible)
        for mistake in possible:
            if _is_found(mistake.applied(function.source), tests, shape.visible):
                return function, tests, mistake
    raise RuntimeError(
        f"no {split} function of family {family!r} with a mistake of the kinds {', '.join(shape.kinds)} was found in "
        f"{_MOST_DRAWS} draws; allow more kinds, families or tests"
    )


def _draw_tests(function: Function, count: int, rng: random.Random) -> list[dict[str, Any]] | None:
    """So many tests with different arguments; None where the function has not enough of them."""
    drawn: dict[str, list[Any]] = {}
    for _ in range(20 * count):
        arguments = function.arguments(rng)
        drawn.setdefault(repr(arguments), arguments)
        if len(drawn) == count:
            break
    else:
        return None
    answers = interpret([function.source], [(function.name, arguments) for arguments in drawn.values()])
    for answer in answers:
        if answer.error:
            raise RuntimeError(f"the program of family {function.family!r} itself fails: {answer.error}")
    return [
        {"function": function.name, "arguments": arguments, "expected": answer.value}
        for arguments, answer in zip(drawn.values(), answers, strict=True)
    ]


def _is_found(source: str, tests: Sequence[dict[str, Any]], visible: int) -> bool:
    """Whether visible and hidden tests fail, none of them by running for ever (which would make every attempt slow)."""
    answers = interpret([source], [(test["function"], test["arguments"]) for test in tests], steps=_PATIENCE)
    if any(answer.error.startswith(("Timeout", "NotKnown")) for answer in answers):
        return False
    wrong = [
        bool(answer.error) or answer.value != test["expected"] for answer, test in zip(answers, tests, strict=True)
    ]
    return any(wrong[:visible]) and any(wrong[visible:])


def _bug(mistake: Mutation, path: str, function: Function, above: int) -> dict[str, Any]:
    return {
        "file": path,
        "function": function.name,
        "line": above + mistake.line,
        "kind": mistake.kind,
        "fixed": mistake.fixed,
        "broken": mistake.broken,
    }
