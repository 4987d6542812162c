"""Preferences that go round in circles: how much of them does, and how to rank in spite of it.

A table of scores splits into a part that differences of values explain and a part that is only cycles (the Hodge split).
The two are orthogonal, so the share of the second says what a scalar reward must miss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Rule = Literal["mean_score", "wins", "nash"]
TIE = 1e-9
"""Differences of values up to this are ties."""


class HodgeSplit(NamedTuple):
    """A table of scores in two parts.

    Args:
        values: float64[item], the values whose differences come nearest to the scores; their mean is 0 in every part of the
            items that comparisons connect.
        transitive: float64[item, item], the differences of these values where there is a comparison.
        cyclic: float64[item, item], what is left: it adds up to 0 at every item.
        share: energy of the cyclic part over that of both, in [0, 1]; NaN where no cycle could be seen, or all is 0.
        cycles: how many independent cycles the comparisons have.
    """

    values: Tensor
    transitive: Tensor
    cyclic: Tensor
    share: float
    cycles: int


def hodge_split(scores: Tensor, weights: Tensor | None = None) -> HodgeSplit:
    """Split antisymmetric scores into differences of values and cycles, by weighted least squares.

    Source: Jiang et al. 2011, "Statistical ranking and combinatorial Hodge theory" (arXiv 0811.1067), section 4.

    Args:
        scores: float[item, item], antisymmetric: log-odds or scores of row against column.
        weights: float[item, item], symmetric and not negative, 0 where two items were not compared; None for all 1.

    Raises:
        ValueError: shapes are wrong, or the scores are not finite or not antisymmetric.
    """
    table = _antisymmetric(scores)
    count = len(table)
    weight = torch.ones_like(table) if weights is None else weights.detach().cpu().double().clone()
    if weight.shape != table.shape or not torch.equal(weight, weight.T) or bool((weight < 0).any()):
        raise ValueError(
            f"weights must be symmetric, not negative, and of shape {tuple(table.shape)}, got {tuple(weight.shape)}"
        )
    weight.fill_diagonal_(0.0)
    laplacian = torch.diag(weight.sum(1)) - weight
    values = torch.linalg.pinv(laplacian, hermitian=True) @ (weight * table).sum(1)
    seen = weight > 0
    transitive = torch.where(seen, values[:, None] - values[None, :], 0.0)
    cyclic = torch.where(seen, table - transitive, 0.0)
    parts = count - int(torch.linalg.matrix_rank(laplacian, hermitian=True))
    cycles = int(seen.sum()) // 2 - count + parts
    whole, round_about = float((weight * table**2).sum()), float((weight * cyclic**2).sum())
    share = min(1.0, round_about / whole) if cycles > 0 and whole > 0 else float("nan")
    return HodgeSplit(values, transitive, cyclic, share, cycles)


@dataclass(frozen=True, slots=True)
class Intransitivity:
    """What `diagnose_intransitivity` found.

    Args:
        share: of the energy that is cyclic, in [0, 1]; NaN where no cycle could be seen.
        by_chance: the share that noise alone gives on the same comparisons when preferences are transitive; NaN for a table
            of exact scores.
        p_value: how often noise alone gives as large a share; NaN for a table of exact scores.
        cycles: independent cycles among the comparisons.
        items: that were compared.
        comparisons: pairs of items that were compared at least once.
    """

    share: float
    by_chance: float
    p_value: float
    cycles: int
    items: int
    comparisons: int

    @property
    def needs_general_preferences(self) -> bool | None:
        """Whether there is more cyclic energy than chance explains; None where no cycle could be seen."""
        if np.isnan(self.share):
            return None
        return self.share > 0.05 if np.isnan(self.p_value) else self.p_value < 0.05

    def __str__(self) -> str:
        if np.isnan(self.share):
            return (
                f"{self.comparisons} compared pairs of {self.items} items close no cycle, so they cannot tell; compare more "
                "pairs of the same items"
            )
        chance = "" if np.isnan(self.by_chance) else f" (noise alone: {self.by_chance:.1%}, p = {self.p_value:.3f})"
        return f"{self.share:.1%} of the preferences' energy is cyclic{chance}, over {self.cycles} independent cycles"


def diagnose_intransitivity(comparisons: Any, *, samples: int = 200, seed: int = 0) -> Intransitivity:
    """How much of some preferences no scalar reward can express.

    Labels of repeated comparisons are added up (half a vote is added to both sides), their log-odds split, and compared with
    what labels drawn from the Bradley-Terry model of the same comparisons would give.

    Args:
        comparisons: an antisymmetric table of scores, float[item, item]; or anything with `first`, `second` (indices of
            items) and `label` (in [0, 1]), such as `PreferenceData`.
        samples: drawn for the comparison with chance.
        seed: of these draws.

    Raises:
        TypeError: it is neither.
        ValueError: there are no comparisons, or the table is not antisymmetric.
    """
    if isinstance(comparisons, (Tensor, np.ndarray, list)):
        split = hodge_split(torch.as_tensor(np.asarray(comparisons)))
        count = len(split.values)
        return Intransitivity(split.share, np.nan, np.nan, split.cycles, count, count * (count - 1) // 2)
    if not all(hasattr(comparisons, name) for name in ("first", "second", "label")):
        raise TypeError(
            f"expected an antisymmetric table or preferences with first, second and label, got {type(comparisons).__name__}"
        )
    first, second, label = (np.asarray(getattr(comparisons, name)) for name in ("first", "second", "label"))
    apart = first != second
    if not apart.any():
        raise ValueError("there are no comparisons of two different items, so there is nothing to diagnose")
    used, places = np.unique(np.concatenate([first[apart], second[apart]]), return_inverse=True)
    one, other = np.split(places, 2)
    wins, weights = _votes(one, other, label[apart], len(used))
    split = hodge_split(_log_odds(wins), weights)
    pairs = int((weights > 0).sum()) // 2
    if np.isnan(split.share):
        return Intransitivity(np.nan, np.nan, np.nan, split.cycles, len(used), pairs)
    draw = np.random.default_rng(seed)
    values = _bradley_terry_values(wins)  # the split's own values are too near together where one side always wins
    chance = 1.0 / (1.0 + np.exp(-(values[one] - values[other])))
    drawn = []
    for _ in range(samples):
        votes, _ = _votes(one, other, (draw.random(len(one)) < chance).astype(np.float64), len(used))
        drawn.append(hodge_split(_log_odds(votes), weights).share)
    p_value = (1 + sum(share >= split.share for share in drawn)) / (1 + samples)
    return Intransitivity(split.share, float(np.mean(drawn)), p_value, split.cycles, len(used), pairs)


@dataclass(frozen=True, slots=True)
class Ranking:
    """An order of responses.

    Args:
        order: int64[place], indices from best to worst; ties keep the order in which they were given.
        values: float64[item], what the rule ranks by.
        tied: bool[place], whether a place is as good as the one before it.
        condorcet: the response that beats every other, or None where there is none.
        rule: that was used.
    """

    order: NDArray[np.int64]
    values: NDArray[np.float64]
    tied: NDArray[np.bool_]
    condorcet: int | None
    rule: str

    @property
    def note(self) -> str | None:
        """What a reader of the order has to know: that no response beats all others; None where one does."""
        if self.condorcet is not None:
            return None
        return (
            "no response beats every other one (there is no Condorcet winner), so the first place is a choice of the rule "
            f"{self.rule!r}, not of the preferences"
        )


def rank_preferences(scores: Tensor | ArrayLike, rule: Rule = "mean_score") -> Ranking:
    """Order responses by their scores against one another.

    Args:
        scores: float[item, item], antisymmetric; positive where the row is preferred to the column.
        rule: "mean_score", the mean score against all (as the authors of the general preference model rank); "wins", how
            many others are beaten, ties counting half; or "nash", the weight in the optimal mixed strategy of the game whose
            pay is the score (nobody can be preferred to that mixture on average).

    Raises:
        ValueError: the scores are not finite or not antisymmetric, or the rule is unknown.
    """
    table = _antisymmetric(torch.as_tensor(scores)).numpy()
    beats = table > TIE
    if rule == "mean_score":
        values = table.mean(1)
    elif rule == "wins":
        values = beats.sum(1) + 0.5 * ((np.abs(table) <= TIE).sum(1) - 1)
    elif rule == "nash":
        values = nash_strategy(torch.from_numpy(table)).numpy()
    else:
        raise ValueError(f'rule must be "mean_score", "wins" or "nash", got {rule!r}')
    order = np.argsort(-values, kind="stable")
    tied = np.concatenate([[False], np.abs(np.diff(values[order])) <= TIE])
    winners = np.flatnonzero(beats.sum(1) == len(table) - 1)
    return Ranking(order, values.astype(np.float64), tied, int(winners[0]) if winners.size else None, rule)


def nash_strategy(scores: Tensor) -> Tensor:
    """The mixture of items that no item is preferred to on average, by the simplex method; float64[item], adds up to 1.

    The scores are raised until all are positive, which changes no strategy; the program is then `max sum y` subject to
    `B y <= 1`, whose start `y = 0` is feasible. Bland's rule keeps it from running in circles.

    Source: von Neumann 1928; the linear program is that of Dantzig 1951, "A proof of the equivalence of the programming
    problem and the game problem".

    Args:
        scores: float[item, item], antisymmetric.

    Raises:
        ValueError: the scores are not finite or not antisymmetric.
    """
    table = _antisymmetric(scores).numpy()
    count = len(table)
    scale = max(float(np.abs(table).max()), 1e-12)
    board = np.zeros((count + 1, 2 * count + 1))
    board[:count, :count] = table / scale + 2.0
    board[:count, count:-1] = np.eye(count)
    board[:count, -1] = 1.0
    board[-1, :count] = -1.0
    basis = list(range(count, 2 * count))
    while (entering := np.flatnonzero(board[-1, :-1] < -1e-12)).size:
        column = int(entering[0])
        rows = np.flatnonzero(board[:count, column] > 1e-12)
        ratios = board[rows, -1] / board[rows, column]
        best = rows[ratios <= ratios.min() + 1e-12]
        row = int(min(best, key=lambda place: basis[place]))
        board[row] /= board[row, column]
        for place in range(count + 1):
            if place != row:
                board[place] -= board[place, column] * board[row]
        basis[row] = column
    strategy = np.zeros(count)
    for row, column in enumerate(basis):
        if column < count:
            strategy[column] = max(0.0, board[row, -1])
    return torch.from_numpy(strategy / strategy.sum())


def _antisymmetric(scores: Tensor) -> Tensor:
    table = scores.detach().cpu().double()
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not len(table):
        raise ValueError(f"scores must be a square table, got shape {tuple(table.shape)}")
    if not bool(torch.isfinite(table).all()):
        row, column = (int(place) for place in (~torch.isfinite(table)).nonzero()[0])
        raise ValueError(f"scores must be finite, got {float(table[row, column])} in row {row}, column {column}")
    error = (table + table.T).abs()
    if float(error.max()) > 1e-6 * max(1.0, float(table.abs().max())):
        row, column = divmod(int(error.argmax()), len(table))
        raise ValueError(
            f"scores must be antisymmetric, but row {row}, column {column} has {float(table[row, column]):.4g} and the "
            f"other way round {float(table[column, row]):.4g}; give log-odds or probabilities minus 0.5"
        )
    return (table - table.T) / 2


def _votes(
    first: NDArray[np.int64], second: NDArray[np.int64], label: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], Tensor]:
    wins = np.zeros((count, count))
    np.add.at(wins, (first, second), label)
    np.add.at(wins, (second, first), 1.0 - label)
    return wins, torch.from_numpy(wins + wins.T)


def _bradley_terry_values(wins: NDArray[np.float64], ridge: float = 0.01, steps: int = 100) -> NDArray[np.float64]:
    """Values of items by penalised maximum likelihood, with Newton's method."""
    count = len(wins)
    votes = wins + wins.T
    values = np.zeros(count)
    for _ in range(steps):
        chance = 1.0 / (1.0 + np.exp(values[None, :] - values[:, None]))
        slope = (wins - votes * chance).sum(1) - ridge * values
        bend = votes * chance * (1.0 - chance)
        step = np.linalg.solve(np.diag(bend.sum(1) + ridge) - bend, slope)
        values = values + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))  # far off, Newton overshoots
        if np.abs(step).max() < 1e-8:
            break
    return values


def _log_odds(wins: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.where(wins + wins.T > 0, np.log((wins + 0.5) / (wins.T + 0.5)), 0.0))
