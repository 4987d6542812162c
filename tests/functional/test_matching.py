from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.functional import match_columns


@given(st.integers(2, 5), st.integers(0, 1000))
def test_no_other_order_correlates_more(columns, seed) -> None:
    one, two = np.random.default_rng(seed).normal(size=(2, 12, columns))
    alike = np.corrcoef(one.T, two.T)[:columns, columns:]
    found = sum(alike[place, match] for place, match in enumerate(match_columns(one, two)))
    best = max(
        sum(alike[place, match] for place, match in enumerate(order))
        for order in itertools.permutations(range(columns))
    )
    assert found == pytest.approx(best)


def test_shuffled_columns_are_put_back() -> None:
    reference = np.random.default_rng(0).normal(size=(50, 6))
    shuffled = 3 * reference[:, np.random.default_rng(1).permutation(6)] + 0.1
    np.testing.assert_allclose(shuffled[:, match_columns(reference, shuffled)], 3 * reference + 0.1)


def test_what_cannot_be_matched() -> None:
    table = np.random.default_rng(0).normal(size=(50, 15))
    with pytest.raises(ValueError, match=r"got shapes \(50, 5\) and \(50, 4\)"):
        match_columns(table[:, :5], table[:, :4])
    with pytest.raises(ValueError, match="at most 14 columns are matched.*got 15"):
        match_columns(table, table)
