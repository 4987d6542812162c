"""Fixtures: small samples with a known score that a verifier ships, and the check that it still gives these scores.

Four kinds keep a verifier honest: answers that earn everything, answers that earn nothing, answers that are broken,
and answers written to fool or to hang it. Each is scored by fresh copies of the reward, alone and in a batch, so that
state kept between samples, dependence on order, and changes to the trajectory come to light as well as wrong scores.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from rewardlab.rewards.base import Reward
from rewardlab.types import Scores, Status, Task, Tokens, Trajectory

Kind = Literal["full", "zero", "malformed", "hostile"]
Expected = float | tuple[float, float] | Literal["failed", "abstained"]


@dataclass(frozen=True)
class Fixture:
    """One sample and the score that it must get.

    Args:
        kind: `full` (the best score), `zero` (nothing earned), `malformed` (a broken answer or a missing reference),
            `hostile` (written to fool or to hang the verifier).
        trajectory: the sample.
        expected: its value, a range `(low, high)` of values, or `failed` or `abstained`.
        name: what a report calls it; numbered by kind when not given.
    """

    kind: Kind
    trajectory: Trajectory
    expected: Expected
    name: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind of a fixture must be one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        if not isinstance(self.trajectory, Trajectory):
            raise TypeError(
                f"trajectory of a fixture must be a Trajectory, got {type(self.trajectory).__name__}; "
                "build one with Trajectory.from_text(prompt, answer, reference=...)"
            )
        numbers = self.expected if isinstance(self.expected, tuple) else (self.expected,)
        if isinstance(self.expected, str):
            if self.expected not in ("failed", "abstained"):
                raise ValueError(f"expected must be a number, a range, 'failed' or 'abstained', got {self.expected!r}")
        elif len(numbers) > 2 or not all(
            isinstance(number, (int, float)) and math.isfinite(number) for number in numbers
        ):
            raise ValueError(
                f"expected must be a finite number, a range, 'failed' or 'abstained', got {self.expected!r}"
            )


@dataclass(frozen=True)
class FixtureProblem:
    """What one check of one fixture found.

    Args:
        name: the fixture.
        kind: its kind.
        check: `score`, `fresh instance`, `alone and in a batch`, `trajectory unchanged` or `kinds`.
        expected: what it should have been, in words.
        got: what it was.
    """

    name: str
    kind: str
    check: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}), {self.check}: expected {self.expected}, got {self.got}"


@dataclass(frozen=True)
class FixtureReport:
    """What `check_fixtures` found.

    Args:
        reward: label of the reward.
        checked: how many fixtures were scored.
        problems: every check that did not hold; empty where all is well.
    """

    reward: str
    checked: int
    problems: list[FixtureProblem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every check held."""
        return not self.problems

    def __str__(self) -> str:
        head = f"{self.reward}: {self.checked} fixtures, " + (
            f"{len(self.problems)} problems" if self.problems else "all hold"
        )
        return "\n".join([head, *(f"  {problem}" for problem in self.problems)])

    def assert_ok(self) -> None:
        """Raise an AssertionError that lists the problems, if there are any (for use in tests)."""
        if self.problems:
            raise AssertionError(str(self))


def check_fixtures(
    reward: Reward, fixtures: Sequence[Fixture], *, kinds: Sequence[Kind] = ("full", "zero", "malformed", "hostile")
) -> FixtureReport:
    """Score fixtures and compare with what they expect.

    Args:
        reward: the reward; it is copied for every check, and the copies must agree with it.
        fixtures: samples with their expected scores.
        kinds: the kinds of which at least one fixture must be there.

    Returns:
        A report that names each fixture with a problem, what was expected and what came out.
    """
    named = _named(fixtures)
    problems = [
        FixtureProblem("(all)", kind, "kinds", "at least one fixture of this kind", "none")
        for kind in kinds
        if not any(fixture.kind == kind for fixture in fixtures)
    ]
    batch = _fresh(reward)([copy.deepcopy(fixture.trajectory) for fixture in fixtures]) if fixtures else None
    for index, (name, fixture) in enumerate(named):

        def problem(check: str, expected: str, got: str, *, name: str = name, kind: str = fixture.kind) -> None:
            problems.append(FixtureProblem(name, kind, check, expected, got))

        trajectory = copy.deepcopy(fixture.trajectory)
        first = _fresh(reward)([trajectory])
        if not _meets(first, 0, fixture.expected):
            problem("score", _expected_text(fixture.expected), _outcome(first, 0))
        if trajectory != fixture.trajectory:
            problem("trajectory unchanged", "the trajectory as it was", "a changed one")
        if reward.deterministic:
            second = _fresh(reward)([copy.deepcopy(fixture.trajectory)])
            if not _same(first, 0, second, 0):
                problem("fresh instance", _outcome(first, 0), _outcome(second, 0))
            if not reward.group_wise and batch is not None and not _same(first, 0, batch, index):
                problem("alone and in a batch", _outcome(first, 0), _outcome(batch, index))
    return FixtureReport(reward.label, len(fixtures), problems)


def _named(fixtures: Sequence[Fixture]) -> list[tuple[str, Fixture]]:
    counts: dict[str, int] = {}
    named = []
    for fixture in fixtures:
        counts[fixture.kind] = counts.get(fixture.kind, 0) + 1
        named.append((fixture.name or f"{fixture.kind} {counts[fixture.kind]}", fixture))
    return named


def _fresh(reward: Reward) -> Reward:
    """A copy that shares nothing with the reward that scoring could have left on it."""
    return dataclasses.replace(reward)


def _meets(scores: Scores, index: int, expected: Expected) -> bool:
    if isinstance(expected, str):
        return Status(scores.status[index]).name.lower() == expected
    if scores.status[index] != Status.SCORED:
        return False
    low, high = expected if isinstance(expected, tuple) else (expected, expected)
    return low - 1e-9 <= scores.values[index] <= high + 1e-9


def _same(left: Scores, left_index: int, right: Scores, right_index: int) -> bool:
    return bool(
        left.status[left_index] == right.status[right_index]
        and np.array_equal(left.values[left_index], right.values[right_index], equal_nan=True)
    )


def _expected_text(expected: Expected) -> str:
    if isinstance(expected, tuple):
        return f"a value from {expected[0]:g} to {expected[1]:g}"
    return expected if isinstance(expected, str) else f"{expected:g}"


def _outcome(scores: Scores, index: int) -> str:
    status = Status(scores.status[index])
    text = f"{scores.values[index]:g}" if status == Status.SCORED else status.name.lower()
    note = scores.note(index)
    return f"{text} ({note[:200]})" if note else text


@dataclass(frozen=True)
class FixtureSet:
    """A reward and its fixtures, as one entry of a fixture file has them."""

    reward: Reward
    fixtures: list[Fixture]


def read_fixtures(path: str | Path) -> list[FixtureSet]:
    """Read a YAML file of fixtures: a list of entries with `reward` (a spec) and `fixtures`.

    A fixture has `kind`, `expected` (a number, a pair, `failed` or `abstained`), `completion` or `messages`, and may
    have `name`, `reference`, `tokens` (how many tokens the policy wrote) and `info` (what the environment reported). A text
    may be built: `{repeat: "(", times: 1000, before: "", after: ""}`.

    Raises:
        ValueError: an entry has an unknown or missing key; the message says which file and entry.
    """
    from rewardlab.rewards.spec import from_spec
    from rewardlab.yaml_file import read_yaml

    data = read_yaml(path).data
    if not isinstance(data, list):
        raise ValueError(f"{path}: expected a list of entries with 'reward' and 'fixtures', got {type(data).__name__}")
    sets = []
    for place, entry in enumerate(data):
        where = f"{path}, entry {place}"
        if not isinstance(entry, Mapping) or set(entry) != {"reward", "fixtures"}:
            raise ValueError(f"{where}: expected the keys 'reward' and 'fixtures', got {entry!r:.80}")
        fixtures = [_read(row, f"{where}, fixture {number}") for number, row in enumerate(entry["fixtures"])]
        sets.append(FixtureSet(from_spec(entry["reward"]), fixtures))
    return sets


_KEYS = {"kind", "name", "expected", "completion", "messages", "reference", "tokens", "info"}


def _read(row: Any, where: str) -> Fixture:
    if not isinstance(row, Mapping):
        raise ValueError(f"{where}: expected a mapping, got {row!r:.80}")
    unknown = set(row) - _KEYS
    if unknown or not {"kind", "expected"} <= set(row) or ("completion" in row) == ("messages" in row):
        raise ValueError(
            f"{where}: needs 'kind', 'expected' and one of 'completion' and 'messages', and may have 'name', "
            f"'reference', 'tokens' and 'info'; got the keys {', '.join(map(str, row))}"
        )
    tokens = None
    if "tokens" in row:
        count = row["tokens"]
        tokens = Tokens(
            ids=np.arange(count), step=np.zeros(count, dtype=np.int32), logprobs=np.zeros(count, dtype=np.float32)
        )
    if "messages" in row:
        task = Task(id="fixture", reference=row.get("reference"))
        trajectory = Trajectory.from_messages(row["messages"], task=task, tokens=tokens)
    else:
        text = _text(row["completion"])
        trajectory = Trajectory.from_text("(fixture)", text, reference=row.get("reference"), tokens=tokens)
    trajectory.info.update(row.get("info") or {})
    expected = row["expected"]
    if isinstance(expected, list):
        expected = tuple(map(float, expected))
    elif not isinstance(expected, str):
        expected = float(expected)
    return Fixture(row["kind"], trajectory, expected, name=str(row.get("name", "")))


def _text(source: Any) -> str:
    if isinstance(source, Mapping):
        return (
            str(source.get("before", "")) + str(source["repeat"]) * int(source["times"]) + str(source.get("after", ""))
        )
    return str(source)


def shipped_fixtures(name: str) -> list[FixtureSet]:
    """The fixtures that rewardlab ships for one of its own verifiers.

    Args:
        name: its short name, such as `exact_match`.

    Raises:
        ValueError: none are shipped under this name.
    """
    folder = Path(__file__).parent / "shipped"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(entry.stem for entry in folder.glob("*.yaml")))
        raise ValueError(f"no fixtures are shipped for {name!r}; there are some for {known}")
    return read_fixtures(path)
