"""Logistic regression with a ridge penalty: the baseline of one person's own comparisons, without any shared features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def ridge_logistic(inputs: Floats, label: Floats, ridge: float, *, iterations: int = 30) -> Floats:
    """Weights that minimise the sum of logistic losses plus `ridge / 2` times their square, by Newton's method.

    Args:
        inputs: float64[row, feature]; for comparisons, features of the first minus those of the second.
        label: float64[row] in [0, 1].
        ridge: above 0.
        iterations: of Newton's method.

    Returns:
        float64[feature].
    """
    weights = np.zeros(inputs.shape[1])
    for _ in range(iterations):
        chance = 1.0 / (1.0 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slope = inputs.T @ (chance - label) + ridge * weights
        bend = (inputs * (chance * (1.0 - chance))[:, None]).T @ inputs + ridge * np.eye(len(weights))
        weights = weights - np.linalg.solve(bend, slope)
    return weights
