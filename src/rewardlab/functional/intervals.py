"""How far a measured share can be off: intervals around a proportion of successes. Plain numbers, without torch."""

from __future__ import annotations

import math

_Z = 1.959963984540054  # the standard normal lies within this of 0 with probability 0.95


def share_interval(share: float, count: int) -> tuple[float, float]:
    """95% interval of a share of independent successes (Wilson score interval, without correction for continuity).

    It stays inside [0, 1] and has a width where all tries went one way, where the usual `share +- 1.96 errors` has none.

    Source: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".

    Args:
        share: successes over tries, in [0, 1].
        count: tries; with none, or where the share is not finite, the interval is all of [0, 1].

    Returns:
        Its lower and its upper end, each in [0, 1].

    Raises:
        ValueError: the share is not in [0, 1], or the count is negative.
    """
    if count < 0:
        raise ValueError(f"count must not be negative, got {count}")
    if not count or not math.isfinite(share):
        return 0.0, 1.0
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share must be in [0, 1], got {share}; divide the successes by the tries")
    centre = (share + _Z * _Z / (2 * count)) / (1 + _Z * _Z / count)
    half = _Z / (1 + _Z * _Z / count) * math.sqrt(share * (1 - share) / count + _Z * _Z / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)
