"""The plain way to meet constraints: try weights, train with each, and see what share of the runs came out acceptable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from rewardlab.functional.intervals import share_interval
from rewardlab.rewards.base import Reward
from rewardlab.rewards.formal.constraints import Constraint
from rewardlab.types import Trajectory

Learn = Callable[[Reward, int], Sequence[Trajectory]]
"""Trains a policy on a reward, with a seed, and returns trajectories of what came of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightTrial:
    """One run: its weights, the rate of each constraint, and whether all are met."""

    weights: dict[str, float]
    rates: dict[str, float]
    acceptable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSearch:
    """Every run that was made.

    Args:
        trials: in the order in which they ran.
        size: how many combinations the grid has.
    """

    trials: tuple[WeightTrial, ...]
    size: int

    @property
    def share(self) -> float:
        """Share of acceptable runs: how likely a guess at the weights is to do."""
        return float(np.mean([trial.acceptable for trial in self.trials]))

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95% interval."""
        return share_interval(self.share, len(self.trials))

    def table(self) -> str:
        """The runs as Markdown, the acceptable ones first, and the share below."""
        names, rules = list(self.trials[0].weights), list(self.trials[0].rates)
        lines = [f"| {' | '.join([*names, *rules, 'acceptable'])} |", "|---" * (len(names) + len(rules) + 1) + "|"]
        for trial in sorted(self.trials, key=lambda one: not one.acceptable):
            cells = [f"{value:g}" for value in trial.weights.values()]
            cells += [f"{value:.3f}" for value in trial.rates.values()]
            lines.append(f"| {' | '.join([*cells, 'yes' if trial.acceptable else 'no'])} |")
        low, high = self.interval
        done = f"{len(self.trials)} of {self.size} combinations"
        return "\n".join([*lines, "", f"{self.share:.2f} [{low:.2f}, {high:.2f}] of the runs are acceptable ({done})."])


def weight_search(
    terms: Mapping[str, Reward],
    grid: Mapping[str, Sequence[float]],
    constraints: Sequence[Constraint],
    learn: Learn,
    *,
    budget: int | None = None,
    seed: int = 0,
) -> WeightSearch:
    """Train with every combination of weights, or with a sample of them.

    Args:
        terms: rewards by name; those that the grid does not name weigh 1.
        grid: weights to try, by the name of a term.
        constraints: what makes a run acceptable. Let success be one of them (`at_least=`): a policy that never moves
            breaks few upper bounds.
        learn: trains on a reward and returns trajectories of the policy that came of it.
        budget: runs at most, drawn without replacement; None for the whole grid.
        seed: of the sample; run number n is trained with seed + n.

    Raises:
        ValueError: the grid names no term, or there is nothing to try.
    """
    unknown = [name for name in grid if name not in terms]
    if unknown or not grid:
        raise ValueError(f"the grid names {unknown or 'nothing'}, which is no term; they are {', '.join(terms)}")
    if not constraints:
        raise ValueError("without constraints every run is acceptable; give at least one, such as one on success")
    every = list(product(*grid.values()))
    if not every:
        raise ValueError("the grid has no combination: every term needs at least one weight")
    if budget is not None and budget < 1:
        raise ValueError(f"budget must be at least 1 run, got {budget}")
    chosen = list(range(len(every)))
    if budget is not None and budget < len(every):
        chosen = sorted(np.random.default_rng(seed).choice(len(every), size=budget, replace=False).tolist())
    trials = []
    for number, place in enumerate(chosen):
        weights = dict(zip(grid, every[place], strict=True))
        parts = [weights.get(name, 1.0) * term.named(name) for name, term in terms.items()]
        trajectories = learn(sum(parts[1:], start=parts[0]), seed + number)
        rates = {}
        for rule in constraints:
            times, of = rule.count(rule.shown(trajectories))
            rates[rule.label] = times / of if of else float("nan")
        met = [rule.sign * (rates[rule.label] - rule.threshold) >= 0 for rule in constraints]
        trials.append(WeightTrial(weights=weights, rates=rates, acceptable=all(met)))
    return WeightSearch(trials=tuple(trials), size=len(every))
