"""Tries a generated program before anything is trained with it: first its text, then runs on sample transitions.

Whatever is found is a `Problem` with its line. Errors forbid the program; warnings (a condition that never changes, a term
that is constant or outweighs all others) are for whoever reads the report, and for the next prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.programs.instrument import Instrumented, instrument
from rewardlab.learning.programs.problems import Problem
from rewardlab.learning.programs.program import RewardProgram
from rewardlab.learning.programs.running import MEMORY_MB, SECONDS, Job, Run, run_jobs
from rewardlab.learning.programs.static import check_source
from rewardlab.learning.programs.views import ViewSchema, schema_of, view_values
from rewardlab.sandbox import Isolation
from rewardlab.types import Trajectory

SLOW = 1e-3
"""Seconds for one state above which a program is called slow."""
DOMINANT = 0.95
SAME = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One summand of the reward on the sample: where it stands, its mean size, its share of all terms, its deviation."""

    text: str
    line: int | None
    size: float
    share: float
    deviation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition: where it stands, and in which share of its evaluations it held; NaN where it was never reached."""

    text: str
    line: int
    held: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a check found.

    Args:
        problems: errors and warnings, by line.
        states: how many transitions it was tried on; 0 where its text already ruled it out.
        isolated: whether it ran isolated; None where it did not run.
        seconds: inside the program for one state.
        mean, deviation: of the reward on the sample.
        terms, conditions: what its parts did on the sample.
        correlation: of the reward with success, over the sample; None where success was not given, or never differs.
    """

    problems: tuple[Problem, ...]
    states: int = 0
    isolated: bool | None = None
    seconds: float = float("nan")
    mean: float = float("nan")
    deviation: float = float("nan")
    terms: tuple[Term, ...] = ()
    conditions: tuple[Condition, ...] = ()
    correlation: float | None = None

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What forbids the program."""
        return tuple(problem for problem in self.problems if not problem.is_warning)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What should be looked at."""
        return tuple(problem for problem in self.problems if problem.is_warning)

    @property
    def passed(self) -> bool:
        """Whether the program may be trained with."""
        return not self.errors

    def __str__(self) -> str:
        lines = [f"{'passed' if self.passed else 'failed'} on {self.states} transitions"]
        if self.isolated is not None:
            lines[0] += ", isolated" if self.isolated else ", NOT isolated: limits alone stood around it"
        lines += [f"  {problem}" for problem in self.problems]
        if np.isfinite(self.mean):
            lines.append(f"  reward {self.mean:.4g} +- {self.deviation:.4g}, {self.seconds * 1e6:.1f} us a state")
        lines += [f"  term {100 * term.share:3.0f}%  {term.text[:90]}" for term in self.terms]
        if self.correlation is not None:
            lines.append(f"  correlation with success {self.correlation:+.2f}")
        return "\n".join(lines)


def check_program(
    program: RewardProgram,
    environment: Any,
    n: int = 200,
    *,
    view: type,
    success: Callable[[Any], Any] | None = None,
    seed: int = 0,
    seconds: float = SECONDS,
    memory_mb: int = MEMORY_MB,
    isolation: Isolation = "auto",
) -> Report:
    """Check a program.

    Args:
        program: what a model wrote.
        environment: where sample transitions come from: a Gymnasium environment (random actions), array trajectories, or a
            pair (observations after the actions, actions).
        n: how many transitions; a sequence of trajectories is thinned to as many.
        view: the adapter's class.
        success: says of observations[N, ...] which show success, for the correlation.
        seed: of the random actions.
        seconds, memory_mb, isolation: of the sandbox.

    Returns:
        A report; nothing is raised for anything that the program does.

    Raises:
        ValueError: `n` is not positive, or there are no transitions.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if program.failure is not None:
        return Report(problems=(Problem(kind="no code", message=program.failure),))
    schema = schema_of(view)
    problems = check_source(program.source, schema, program.form)
    if problems:
        return Report(problems=tuple(problems))
    observations, actions = sample_transitions(environment, n, seed=seed)
    noted = instrument(program.source)
    job = _job(program, schema, view, observations, actions, noted.source)
    run = run_jobs([job], seconds=seconds, memory_mb=memory_mb, isolation=isolation)[0]
    if run.values is None:
        assert run.problem is not None
        return Report(problems=(run.problem,), states=len(actions), isolated=run.isolated)
    reached = None if success is None else np.asarray(success(observations), dtype=np.float64).reshape(-1)
    return _report(run, noted, len(actions), reached)


def sample_transitions(environment: Any, n: int, *, seed: int = 0) -> tuple[Any, NDArray[Any]]:
    """Observations after some actions, and the actions.

    Args:
        environment: see `check_program`.
        n: how many at most.
        seed: of the random actions.

    Raises:
        ValueError: there are none.
        TypeError: the environment is none of the three.
    """
    if isinstance(environment, tuple) and len(environment) == 2:
        observations, actions = environment
        return _rows(observations, slice(0, n)), np.asarray(actions)[:n]
    if isinstance(environment, Sequence) and environment and isinstance(environment[0], Trajectory):
        observations = np.concatenate([np.asarray(one.observations)[1:] for one in environment])
        actions = np.concatenate([np.asarray(one.actions) for one in environment])
        chosen = np.unique(np.linspace(0, len(actions) - 1, min(n, len(actions))).astype(int))
        return observations[chosen], actions[chosen]
    if not (hasattr(environment, "reset") and hasattr(environment, "action_space")):
        raise TypeError(
            f"expected a Gymnasium environment, array trajectories, or (observations, actions), got "
            f"{type(environment).__name__}"
        )
    environment.action_space.seed(seed)
    environment.reset(seed=seed)
    seen, done = [], []
    for _ in range(n):
        action = environment.action_space.sample()
        observation, _, terminated, truncated, _ = environment.step(action)
        seen.append(observation)
        done.append(action)
        if terminated or truncated:
            environment.reset()
    if isinstance(seen[0], dict):
        return {name: np.stack([one[name] for one in seen]) for name in seen[0]}, np.stack(done)
    return np.stack(seen), np.stack(done)


def _rows(observations: Any, rows: slice) -> Any:
    if isinstance(observations, dict):
        return {name: np.asarray(column)[rows] for name, column in observations.items()}
    return np.asarray(observations)[rows]


def _job(
    program: RewardProgram, schema: ViewSchema, view: type, observations: Any, actions: NDArray[Any], studied: str
) -> Job:
    values = view_values(schema, view(observations), len(actions))
    return Job(
        source=program.source,
        schema=schema,
        form=program.form,
        values=values,
        action=actions,
        studied=studied,
    )


def _report(run: Run, noted: Instrumented, count: int, reached: NDArray[np.float64] | None) -> Report:
    assert run.values is not None
    assert run.study is not None
    values, problems = run.values, []
    scale = SAME * max(1.0, float(np.abs(values).max()))
    for name, kind, message in (
        ("again", "not repeatable", "a second call with the same state gave {1} instead of {0} in state {2}"),
        (
            "turned",
            "mixes states",
            "with the states in another order it gave {1} instead of {0} in state {2}; a reward must look at one state at a "
            "time, and keep nothing between calls",
        ),
    ):
        other = run.study[name]
        wrong = np.flatnonzero(~(np.abs(values - other) <= scale))
        if wrong.size:
            row = int(wrong[0])
            problems.append(Problem(kind=kind, message=message.format(values[row], other[row], row), state=row))  # type: ignore[arg-type]
            break
    columns = [(place.text, place.line, run.study["terms"].get(place.number)) for place in noted.terms]
    if run.parts:
        columns = [(name, None, column) for name, column in run.parts.items()]  # type: ignore[misc]
    terms = _terms([(text, line, np.zeros(count) if column is None else column) for text, line, column in columns])
    conditions = tuple(
        Condition(text=place.text, line=place.line, held=_share(run.study["conditions"].get(place.number)))
        for place in noted.conditions
    )
    problems += _lint(terms, conditions, values, count)
    seconds = run.seconds / count
    if seconds > SLOW:
        problems.append(Problem(kind="slow", message=f"{seconds * 1e3:.1f} ms for one state; expected less than 1"))
    correlation = None
    if reached is not None and reached.std() > 0 and values.std() > 0:
        correlation = float(np.corrcoef(values, reached)[0, 1])
    return Report(
        problems=tuple(problems),
        states=count,
        isolated=run.isolated,
        seconds=seconds,
        mean=float(values.mean()),
        deviation=float(values.std()),
        terms=terms,
        conditions=conditions,
        correlation=correlation,
    )


def _share(tally: tuple[float, float] | None) -> float:
    return float("nan") if tally is None or not tally[1] else tally[0] / tally[1]


def _terms(columns: list[tuple[str, int | None, NDArray[np.float64]]]) -> tuple[Term, ...]:
    sizes = [float(np.abs(np.nan_to_num(column)).mean()) for _, _, column in columns]
    whole = sum(sizes) or 1.0
    return tuple(
        Term(text=text, line=line, size=size, share=size / whole, deviation=float(np.std(column)))
        for (text, line, column), size in zip(columns, sizes, strict=True)
    )


def _lint(
    terms: tuple[Term, ...], conditions: tuple[Condition, ...], values: NDArray[np.float64], count: int
) -> list[Problem]:
    found = []
    if count > 1 and values.std() <= SAME:
        found.append(Problem(kind="constant", message=f"the reward is {values[0]:.4g} in all {count} states"))
    for condition in conditions:
        if condition.held in (0.0, 1.0):
            word = "always" if condition.held else "never"
            message = f"the condition `{condition.text}` {word} held on the sample; what hangs on it may be vacuous"
            found.append(Problem(kind="vacuous", message=message, line=condition.line))
    for term in terms:
        if count > 1 and term.deviation <= SAME:
            message = f"the term `{term.text}` is the same in all {count} states, so it teaches nothing there"
            found.append(Problem(kind="constant", message=message, line=term.line))
        elif len(terms) > 1 and term.share > DOMINANT:
            message = f"the term `{term.text}` is {100 * term.share:.0f}% of the reward; the others hardly count"
            found.append(Problem(kind="dominant", message=message, line=term.line))
    return sorted(found, key=lambda problem: problem.line or 0)
