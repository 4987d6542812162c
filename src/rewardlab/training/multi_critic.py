"""Tabular learning with one critic for the reward and one for each indicator, under weights that are fixed or learned.

The actor is a softmax of the weighted sum of all critics, so weights may move without any critic having to learn anew,
as under a Lagrangian. Many runs go side by side as rows of arrays; each has weights, constraints and thresholds of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional.lagrangian import (
    Floats,
    multiplier_step,
    multipliers,
    signed_weights,
    start_multipliers,
    violations_of,
)

STUDENT_15 = 1.753
"""One-sided 95% quantile of Student's distribution with 15 degrees of freedom; with more of them it is on the safe side."""


class VectorWorld(Protocol):
    """N copies of a finite world with K indicators."""

    states: int
    actions: int

    def begin(self, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Start `count` copies; returns their states."""

    def step(
        self, actions: NDArray[np.int64], generator: np.random.Generator
    ) -> tuple[NDArray[np.int64], Floats, Floats, NDArray[np.bool_], NDArray[np.bool_]]:
        """Next states, rewards, indicators float[N, K] (NaN without meaning), terminated, truncated."""

    def restart(self, rows: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """Start the copies in `rows` again; returns their states."""


@dataclass(frozen=True, kw_only=True)
class Runs:
    """What R runs are to keep, and how.

    Args:
        thresholds: float64[R, K] of the rates.
        signs: int[K], -1 for upper bounds.
        active: bool[R, K], the constraints that take part.
        fixed: float64[R, 1 + K], signed weights of runs that learn none; NaN rows learn theirs.
        normalise: bool[R].
        bootstrap: bool[R], whether constraint `success` lends its weight to the reward.
        success: which constraint is the success indicator.
    """

    thresholds: Floats
    signs: NDArray[np.int64]
    active: NDArray[np.bool_]
    fixed: Floats
    normalise: NDArray[np.bool_]
    bootstrap: NDArray[np.bool_]
    success: int

    def __len__(self) -> int:
        return len(self.thresholds)

    def weights(self, logits: Floats) -> Floats:
        """float64[R, 1 + K], signed."""
        soft = multipliers(logits, active=self.active)
        hard = multipliers(logits, normalise=False, active=self.active)
        plain = np.where(self.normalise[:, None], soft, hard)
        lent = signed_weights(plain, self.signs, bootstrap=self.success)
        learned = np.where(self.bootstrap[:, None], lent, signed_weights(plain, self.signs))
        return np.where(np.isnan(self.fixed), learned, self.fixed)


@dataclass(frozen=True, kw_only=True)
class MultiCriticResult:
    """How R runs did over their last part.

    Args:
        rates: float64[R, E, K] in each of E environments; NaN where nothing was known.
        success: float64[R], share of trajectories that ended in success.
        returns: float64[R], mean return of the trajectories that ended.
        weights: float64[R, 1 + K] at the end.
        runs: what was to be kept.
        history: float64[update, R, 1 + K], weights after each update.
    """

    rates: Floats
    success: Floats
    returns: Floats
    weights: Floats
    runs: Runs
    history: Floats = field(default_factory=lambda: np.zeros((0, 0, 0)))

    @property
    def mean_rates(self) -> Floats:
        """float64[R, K]; NaN where nothing was known in any environment."""
        count = np.isfinite(self.rates).sum(1)
        return np.where(count > 0, np.nansum(self.rates, axis=1) / np.maximum(count, 1), np.nan)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """bool[R, K], whether the rate is not shown to break its threshold: by a one-sided 95% bound over environments."""
        count = np.isfinite(self.rates).sum(1)
        squares = np.nansum((self.rates - self.mean_rates[:, None]) ** 2, axis=1)
        error = np.sqrt(squares / np.maximum(count - 1, 1) / np.maximum(count, 1))
        over = violations_of(self.mean_rates, self.runs.thresholds, self.runs.signs)
        return (over <= STUDENT_15 * error) | ~self.runs.active

    def acceptable(self, success: float = 0.9) -> NDArray[np.bool_]:
        """bool[R], runs that keep every active upper bound and succeed often enough; standing still is never acceptable."""
        bounds = self.runs.signs < 0
        return self.kept[:, bounds].all(1) & (self.success >= success)


@dataclass(frozen=True, kw_only=True)
class MultiCritic:
    """Expected SARSA with a critic for each signal.

    Args:
        steps: of all environments together, each.
        environments: for each run.
        learning_rate: of the critics.
        temperature: of the softmax over the weighted sum of critics.
        exploration: share of uniform actions.
        discounts: of reward and indicators, 1 + K of them or one number.
        every: transitions of a run between updates of its multipliers, over which rates are taken.
        multiplier_rate: of the multipliers' Adam.
        last: share of the steps over which results are taken.
    """

    steps: int = 4000
    environments: int = 16
    learning_rate: float = 0.2
    temperature: float = 0.02
    exploration: float = 0.02
    discounts: float | tuple[float, ...] = 0.95
    every: int = 2000
    multiplier_rate: float = 0.03
    last: float = 0.2

    def learn(self, world: VectorWorld, runs: Runs, *, seed: int) -> MultiCriticResult:
        """Run all of them side by side.

        Args:
            world: is stepped with R * `environments` copies.
            runs: R of them.
            seed: of everything random.
        """
        draw = np.random.default_rng(seed)
        count, size, signals = len(runs), len(runs) * self.environments, 1 + len(runs.signs)
        table = np.zeros((count * world.states, signals, world.actions), dtype=np.float32)
        base = np.repeat(np.arange(count) * world.states, self.environments)
        discounts = np.broadcast_to(np.asarray(self.discounts, dtype=np.float32), (signals,))
        state = start_multipliers(len(runs.signs), (count,))
        weights = runs.weights(state.logits)
        of_row = np.repeat(weights, self.environments, axis=0).astype(np.float32)
        rows = base + world.begin(size, draw)
        policy = self._policy(table[rows], of_row)
        books = _Books(count, self.environments, runs)
        first_kept = int(self.steps * (1 - self.last))
        each = max(1, self.every // self.environments)
        history = []
        for step in range(self.steps):
            chosen = np.minimum(
                (policy.cumsum(1) < draw.random(size, dtype=np.float32)[:, None]).sum(1), world.actions - 1
            )
            following, rewards, indicators, terminated, truncated = world.step(chosen, draw)
            books.enter(rewards, indicators, terminated, truncated, late=step >= first_kept)
            later = base + following
            values = table[later]
            policy = self._policy(values, of_row)
            expected = np.matmul(values, policy[:, :, None])[:, :, 0]
            signal = np.column_stack([rewards, np.nan_to_num(indicators)]).astype(np.float32)
            target = signal + discounts * ~terminated[:, None] * expected
            known = table[rows, :, chosen]
            table[rows, :, chosen] = known + self.learning_rate * (target - known)
            rows = later
            ended = np.flatnonzero(terminated | truncated)
            if ended.size:
                rows[ended] = base[ended] + world.restart(ended, draw)
                policy[ended] = self._policy(table[rows[ended]], of_row[ended])
            if (step + 1) % each == 0:
                over = violations_of(books.window(), runs.thresholds, runs.signs)
                soft = multiplier_step(state, over, learning_rate=self.multiplier_rate, active=runs.active)
                hard = multiplier_step(
                    state, over, learning_rate=self.multiplier_rate, normalise=False, active=runs.active
                )
                picked = [np.where(runs.normalise[:, None], a, b) for a, b in zip(soft[:3], hard[:3], strict=True)]
                state = soft._replace(logits=picked[0], first=picked[1], second=picked[2])
                weights = runs.weights(state.logits)
                of_row = np.repeat(weights, self.environments, axis=0).astype(np.float32)
                history.append(weights)
        return MultiCriticResult(
            rates=books.rates(),
            success=books.success(),
            returns=books.returns(),
            weights=weights,
            runs=runs,
            history=np.array(history),
        )

    def _policy(self, values: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
        """Probabilities float32[N, A] from critics [N, 1 + K, A] and weights [N, 1 + K]."""
        logits = np.matmul(weights[:, None, :], values)[:, 0] / self.temperature
        found = np.exp(logits - logits.max(1, keepdims=True))
        found *= (1.0 - self.exploration) / found.sum(1, keepdims=True)
        found += self.exploration / found.shape[1]
        return found


class _Books:
    """What is counted: rates of the window, and rates, successes and returns of the last part."""

    def __init__(self, count: int, environments: int, runs: Runs) -> None:
        self.shape, self.success_place = (count, environments), runs.success
        size = len(runs.signs)
        self.recent, self.of = np.zeros((count, size)), np.zeros((count, size))
        self.late, self.late_of = np.zeros((count, environments, size)), np.zeros((count, environments, size))
        self.running = np.zeros(count * environments)
        self.ended, self.succeeded, self.earned = np.zeros(count), np.zeros(count), np.zeros(count)

    def enter(self, rewards: Any, indicators: Any, terminated: Any, truncated: Any, *, late: bool) -> None:
        known = np.isfinite(indicators).reshape(*self.shape, -1)
        shown = np.nan_to_num(indicators).reshape(*self.shape, -1)
        self.recent += shown.sum(1)
        self.of += known.sum(1)
        self.running += rewards
        ended = terminated | truncated
        if late:
            self.late += shown
            self.late_of += known
            self.ended += ended.reshape(self.shape).sum(1)
            self.succeeded += (shown[:, :, self.success_place] * ended.reshape(self.shape)).sum(1)
            self.earned += np.where(ended, self.running, 0.0).reshape(self.shape).sum(1)
        self.running[ended] = 0.0

    def window(self) -> Floats:
        """Rates since the last call, NaN where nothing was known."""
        found = np.where(self.of > 0, self.recent / np.maximum(self.of, 1), np.nan)
        self.recent, self.of = np.zeros_like(self.recent), np.zeros_like(self.of)
        return found

    def rates(self) -> Floats:
        return np.where(self.late_of > 0, self.late / np.maximum(self.late_of, 1), np.nan)

    def success(self) -> Floats:
        return self.succeeded / np.maximum(self.ended, 1)

    def returns(self) -> Floats:
        return self.earned / np.maximum(self.ended, 1)
