"""The proof harness: a claim is a paired comparison of a method with its paper's own baseline, over seeds.

A claim holds when the whole 95% bootstrap interval of the mean paired difference lies above its margin, does not hold when
the whole interval lies below, and is undecided otherwise. Gated claims decide the exit status; reported ones are printed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["holds", "does not hold", "undecided"]
RESAMPLES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one seed gave for one claim.

    Args:
        method: the metric of the method.
        baseline: the metric of what it is compared with, on the same data and with the same budget.
    """

    method: float
    baseline: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One statement that the seeds decide.

    Args:
        name: short, unique within the recipe.
        statement: the claim in words, with the names of method and baseline.
        margin: what the difference `method - baseline` must exceed; negative for "not much worse".
        gated: whether it decides the exit status.
        unit: what the metric is, for the table.
    """

    name: str
    statement: str
    margin: float = 0.0
    gated: bool = True
    unit: str = ""


Proof = Callable[[int], Mapping[str, Outcome]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A published system with its claims.

    Args:
        title: name of the work.
        source: where it was published.
        claims: what is checked.
        proof: function of a seed that returns an `Outcome` for each claim, by name.
        minutes: about how long one seed takes on one core.
    """

    title: str
    source: str
    claims: tuple[Claim, ...]
    proof: Proof
    minutes: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimResult:
    """A claim with its numbers: one entry for each seed."""

    claim: Claim
    method: NDArray[np.float64]
    baseline: NDArray[np.float64]

    @property
    def differences(self) -> NDArray[np.float64]:
        """float64[seed], method minus baseline."""
        return self.method - self.baseline

    @property
    def mean(self) -> float:
        """Mean paired difference."""
        return float(self.differences.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95% percentile bootstrap interval of the mean paired difference."""
        return bootstrap_interval(self.differences)

    @property
    def verdict(self) -> Verdict:
        """What the interval says about the margin."""
        low, high = self.interval
        if low > self.claim.margin:
            return "holds"
        return "does not hold" if high < self.claim.margin else "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofResult:
    """What `prove` found out about one recipe."""

    name: str
    recipe: Recipe
    seeds: tuple[int, ...]
    claims: tuple[ClaimResult, ...]
    seconds: float = field(default=0.0)

    @property
    def holds(self) -> bool:
        """Whether every gated claim holds."""
        return all(result.verdict == "holds" for result in self.claims if result.claim.gated)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values, the numbers of each seed included."""
        return {
            "recipe": self.name,
            "title": self.recipe.title,
            "source": self.recipe.source,
            "seeds": list(self.seeds),
            "holds": self.holds,
            "seconds": round(self.seconds, 1),
            "claims": [
                {
                    "name": result.claim.name,
                    "statement": result.claim.statement,
                    "gated": result.claim.gated,
                    "margin": result.claim.margin,
                    "verdict": result.verdict,
                    "difference": result.mean,
                    "interval": list(result.interval),
                    "method": result.method.tolist(),
                    "baseline": result.baseline.tolist(),
                }
                for result in self.claims
            ],
        }

    def table(self) -> Any:
        """A rich table of the claims."""
        from rich.table import Table

        verdict = "[green]holds[/]" if self.holds else "[red]does not hold[/]"
        grid = Table(
            title=f"{self.recipe.title}: {verdict} ({len(self.seeds)} seeds from {self.seeds[0]})", title_justify="left"
        )
        for column in ("claim", "method", "baseline", "difference [95%]", "margin", "verdict"):
            grid.add_column(column, overflow="fold")
        for result in self.claims:
            low, high = result.interval
            kind = "" if result.claim.gated else " (reported)"
            grid.add_row(
                result.claim.statement,
                f"{result.method.mean():.3f}",
                f"{result.baseline.mean():.3f}",
                f"{result.mean:+.3f} [{low:+.3f}, {high:+.3f}]",
                f"> {result.claim.margin:g}",
                result.verdict + kind,
            )
        return grid


def prove(
    recipe: Recipe,
    *,
    name: str,
    seeds: int = 5,
    first_seed: int = 0,
    workers: int = 1,
    progress_bar: bool = True,
) -> ProofResult:
    """Run the proof of a recipe on fresh seeds.

    Args:
        recipe: what is proved.
        name: its name, for the report.
        seeds: how many, at least 2.
        first_seed: the first; the others follow it.
        workers: how many seeds run at once, each in a process of its own.
        progress_bar: whether a bar shows the seeds.

    Raises:
        ValueError: fewer than two seeds, or the proof returned other claims than the recipe states, or a metric that is not
            a finite number.
    """
    if seeds < 2:
        raise ValueError(f"a proof needs at least 2 seeds for an interval, got {seeds}")
    numbers = range(first_seed, first_seed + seeds)
    started = time.monotonic()
    outcomes: dict[int, Mapping[str, Outcome]] = {}
    for seed, outcome in _track(_run(recipe.proof, numbers, workers), name, seeds, progress_bar):
        _check(recipe, name, seed, outcome)
        outcomes[seed] = outcome
    return ProofResult(
        name=name,
        recipe=recipe,
        seeds=tuple(numbers),
        claims=tuple(
            ClaimResult(
                claim=claim,
                method=np.array([outcomes[seed][claim.name].method for seed in numbers]),
                baseline=np.array([outcomes[seed][claim.name].baseline for seed in numbers]),
            )
            for claim in recipe.claims
        ),
        seconds=time.monotonic() - started,
    )


def bootstrap_interval(
    differences: NDArray[np.float64], *, level: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean (Efron 1979); the resampling has a fixed seed, so that it repeats.

    Args:
        differences: float64[seed].
        level: coverage.
        resamples: how many samples are drawn.
    """
    draws = np.random.default_rng(0).integers(0, differences.size, size=(resamples, differences.size))
    means = differences[draws].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def table(results: Sequence[ProofResult]) -> str:
    """The table of proofs as Markdown."""
    lines = [
        "| recipe | claim | method | baseline | difference [95%] | margin | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        for claim in result.claims:
            low, high = claim.interval
            kind = "gated" if claim.claim.gated else "reported"
            versus = f"{claim.method.mean():.3f} | {claim.baseline.mean():.3f}"
            lines.append(
                f"| {result.name} | {claim.claim.statement} ({kind}) | {versus} "
                f"| {claim.mean:+.3f} [{low:+.3f}, {high:+.3f}] | > {claim.claim.margin:g} | {claim.verdict} |"
            )
    seeds = ", ".join(f"{result.name}: {result.seeds[0]} to {result.seeds[-1]}" for result in results)
    return "\n".join([*lines, "", f"Seeds: {seeds}.", ""])


def _check(recipe: Recipe, name: str, seed: int, outcome: Mapping[str, Outcome]) -> None:
    stated = {claim.name for claim in recipe.claims}
    if set(outcome) != stated:
        raise ValueError(
            f"the proof of {name} returned the claims {sorted(outcome)}, but the recipe states {sorted(stated)}"
        )
    for claim, entry in outcome.items():
        if not (np.isfinite(entry.method) and np.isfinite(entry.baseline)):
            raise ValueError(
                f"the proof of {name} gave {entry} for claim {claim!r} at seed {seed}, expected finite numbers"
            )


def _run(proof: Proof, seeds: Sequence[int], workers: int) -> Iterator[tuple[int, Mapping[str, Outcome]]]:
    if workers == 1:
        for seed in seeds:
            yield seed, proof(seed)
        return
    with ProcessPoolExecutor(max_workers=workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(proof, seed): seed for seed in seeds}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _track(outcomes: Iterator[Any], name: str, total: int, progress_bar: bool) -> Iterator[Any]:
    if not progress_bar:
        yield from outcomes
        return
    from rich.progress import track

    yield from track(outcomes, description=f"proving {name}", total=total)
