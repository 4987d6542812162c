"""A direction among several objectives as a goal: the reward counts inside a cone around it. Pure numpy, any batch.

Weights over objectives slide to the ends of a front that is dented; a cone asks for one part of it, whatever its shape. The
source is goal-conditioned GFlowNets (Roy et al. 2023, arXiv 2306.04620), section 3.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def direction_cosine(values: Floats, direction: Floats) -> Floats:
    """Cosine of the angle between vectors of objectives and a direction.

    Args:
        values: float64[..., D], none negative and not all 0.
        direction: float64[D] or [..., D], likewise.

    Returns:
        float64[...].

    Raises:
        ValueError: a vector has a negative entry, or is 0 and has no direction.
    """
    for what, vectors in (("values", np.asarray(values)), ("direction", np.asarray(direction))):
        if (vectors < 0).any():
            raise ValueError(
                f"{what} hold {vectors.min():g}; directions need objectives that are not negative: shift each one, such as "
                "values - values.min(0)"
            )
        if (np.linalg.norm(vectors, axis=-1) == 0).any():
            raise ValueError(f"{what} hold a vector of zeros, which has no direction")
    sizes = np.linalg.norm(values, axis=-1) * np.linalg.norm(direction, axis=-1)
    return np.asarray(np.clip((values * direction).sum(-1) / sizes, 0.0, 1.0))


def focus_exponent(cosine: float = 0.98, limit: float = 0.2) -> float:
    """The exponent that makes the factor `limit` at the edge of the cone."""
    if not (0.0 < cosine < 1.0 and 0.0 < limit < 1.0):
        raise ValueError(f"cosine and limit must be in (0, 1), got {cosine} and {limit}")
    return math.log(limit) / math.log(cosine)


def focus_factor(values: Floats, direction: Floats, *, cosine: float = 0.98, limit: float = 0.2) -> Floats:
    """What a reward is multiplied by: 1 along the direction, `limit` at the edge of the cone, 0 outside.

    Args:
        values: float64[..., D], objectives of each candidate.
        direction: float64[D].
        cosine: of the cone's half angle; smaller is wider.
        limit: factor at the edge.
    """
    angle = direction_cosine(values, direction)
    inside = angle >= cosine - 1e-12
    return np.where(inside, angle ** focus_exponent(cosine, limit), 0.0)


def positive_directions(count: int, size: int, generator: np.random.Generator) -> Floats:
    """Directions drawn uniformly from the part of the sphere without negative entries; float64[count, size]."""
    drawn = np.abs(generator.standard_normal((count, size)))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))
