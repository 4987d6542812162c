"""Optimal design of comparisons: which pairs say most about a linear reward, by the determinant of the Fisher information.

Plain numbers, without torch. A comparison with a difference of features x and a probability p that the first is preferred
adds `p (1 - p) x x^T` to the information. The logarithm of its determinant grows by `log(1 + p (1 - p) x^T A^-1 x)`, so a
greedy choice needs no determinant, and one vector product for every candidate and step.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def log_det_gains(inverse: ArrayLike, differences: ArrayLike, probabilities: ArrayLike) -> Floats:
    """By how much each comparison raises the log-determinant of the information, alone.

    Source: the matrix determinant lemma; Fedorov 1972, "Theory of Optimal Experiments".

    Args:
        inverse: float[feature, feature], of the information so far, the prior included.
        differences: float[row, feature], features of the first minus those of the second.
        probabilities: float[row] in [0, 1], that the first is preferred.

    Returns:
        float64[row], in nats.

    Raises:
        ValueError: shapes differ, a number is not finite, or a probability lies outside [0, 1].
    """
    rows, chances = _checked(differences, probabilities)
    matrix = np.asarray(inverse, np.float64)
    if matrix.shape != (rows.shape[1],) * 2:
        raise ValueError(
            f"inverse must have shape {(rows.shape[1],) * 2}, one row for each feature, got {matrix.shape}"
        )
    return np.log1p(chances * (1.0 - chances) * np.einsum("ri,ij,rj->r", rows, matrix, rows).clip(min=0.0))


def d_optimal(
    differences: ArrayLike,
    probabilities: ArrayLike,
    budget: int,
    *,
    ridge: float = 1.0,
    known: ArrayLike | None = None,
) -> tuple[NDArray[np.int64], Floats]:
    """Choose comparisons one after the other, each for the largest gain of the log-determinant of the information.

    No row is taken twice; of equal gains the first row is taken. Two rows with the same difference may both be taken, but
    the second gains less, so that duplicates are left for last. A difference of 0 gains nothing.

    Args:
        differences: float[row, feature].
        probabilities: float[row] in [0, 1], that the first is preferred, from the reward of the moment.
        budget: how many to choose.
        ridge: information of the prior in every direction; positive, as few rows have a singular information.
        known: float[feature, feature], information of the comparisons that are labelled already; None for none.

    Returns:
        int64[budget], rows in the order in which they were chosen, and float64[budget], what each gained in nats.

    Raises:
        ValueError: the budget is not between 1 and the number of rows, the ridge is not positive, or as `log_det_gains`.
    """
    rows, chances = _checked(differences, probabilities)
    check_budget(budget, len(rows))
    if not 0.0 < ridge < np.inf:
        raise ValueError(f"ridge must be positive, got {ridge}: without it few labels have a singular information")
    width = rows.shape[1]
    information = ridge * np.eye(width)
    if known is not None:
        given = np.asarray(known, np.float64)
        if given.shape != (width, width):
            raise ValueError(f"known must have shape {(width, width)}, one row for each feature, got {given.shape}")
        information = information + given
    inverse = np.linalg.inv(information)
    weight = chances * (1.0 - chances)
    spread = np.einsum("ri,ij,rj->r", rows, inverse, rows)
    chosen, gains, free = [], [], np.ones(len(rows), np.bool_)
    for _ in range(budget):
        gain = np.where(free, np.log1p(weight * spread.clip(min=0.0)), -np.inf)
        best = int(gain.argmax())
        free[best] = False
        chosen.append(best)
        gains.append(float(gain[best]))
        # the inverse after one more row (Sherman and Morrison 1950), and with it the spread of every candidate
        towards = inverse @ rows[best]
        scale = weight[best] / (1.0 + weight[best] * float(rows[best] @ towards))
        inverse = inverse - scale * np.outer(towards, towards)
        spread = spread - scale * (rows @ towards) ** 2
    return np.array(chosen, np.int64), np.array(gains)


def check_budget(budget: int, rows: int) -> None:
    """Refuse a budget that a pool cannot serve.

    Raises:
        ValueError: it is not between 1 and the number of rows.
    """
    if not 1 <= budget <= rows:
        raise ValueError(f"budget must be between 1 and the {rows} pairs of the pool, got {budget}")


def _checked(differences: ArrayLike, probabilities: ArrayLike) -> tuple[Floats, Floats]:
    rows, chances = np.asarray(differences, np.float64), np.asarray(probabilities, np.float64)
    if rows.ndim != 2:
        raise ValueError(f"differences must have shape [row, feature], got {rows.shape}")
    if chances.shape != (len(rows),):
        raise ValueError(f"probabilities must have shape {(len(rows),)}, one for each row, got {chances.shape}")
    if not np.isfinite(rows).all():
        place = int(np.flatnonzero(~np.isfinite(rows).all(1))[0])
        raise ValueError(f"differences must be finite, and row {place} is not; leave that pair out")
    if not ((chances >= 0) & (chances <= 1)).all():
        raise ValueError(f"probabilities must be in [0, 1], got {chances[~((chances >= 0) & (chances <= 1))][0]}")
    return rows, chances
