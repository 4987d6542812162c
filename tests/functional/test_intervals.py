"""Intervals of a share: worked out by hand, against the equation that defines them, and without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.functional import share_interval


def test_the_interval_of_a_share_is_wilsons() -> None:
    # worked out by hand for 1 of 4: centre (0.25 + z2 / 8) / (1 + z2 / 4), z2 = 3.841459
    low, high = share_interval(0.25, 4)
    assert (low, high) == pytest.approx((0.045587, 0.699358), abs=1e-6)
    assert share_interval(0.0, 10)[0] == 0.0
    assert share_interval(1.0, 10)[1] == pytest.approx(1.0)


@given(successes=st.integers(0, 10_000), failures=st.integers(0, 10_000))
def test_each_end_is_as_far_from_the_share_as_its_own_error_allows(successes: int, failures: int) -> None:
    count = successes + failures
    if not count:
        assert share_interval(0.0, 0) == (0.0, 1.0)
        return
    share = successes / count
    low, high = share_interval(share, count)
    assert 0.0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1.0
    for end in (low, high):  # what defines the interval: (share - end)^2 = z^2 end (1 - end) / count
        assert (share - end) ** 2 == pytest.approx(3.841458820694124 * end * (1 - end) / count, abs=1e-12)
    opposite = share_interval(failures / count, count)
    assert (1 - high, 1 - low) == pytest.approx(opposite, abs=1e-12)


def test_nothing_tried_says_nothing() -> None:
    assert share_interval(0.5, 0) == (0.0, 1.0)
    assert share_interval(float("nan"), 3) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("share", "count", "message"),
    [(25.0, 4, "share must be in"), (-0.1, 4, "share must be in"), (0.5, -1, "count must not be negative, got -1")],
)
def test_what_is_no_share_is_refused(share: float, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        share_interval(share, count)


def test_intervals_load_without_torch_and_the_rest_says_what_is_missing() -> None:
    code = """
import sys
sys.modules["torch"] = None
from rewardlab.functional import share_interval
import rewardlab.functional as functional
from rewardlab.extras import MissingExtra
for name in ("kl_estimate", "group_relative"):
    try:
        getattr(functional, name)
    except MissingExtra as error:
        assert 'pip install "rewardlab[torch]"' in str(error)
    else:
        raise AssertionError(name)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
