"""The assignment behind optimal matching, beside brute force."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.rewards.verifiers.tool_matching import best_assignment


def total(scores: list[list[float]], chosen: list[int]) -> float:
    return sum(line[column] for line, column in zip(scores, chosen, strict=True) if column >= 0)


def brute_force(scores: list[list[float]]) -> float:
    rows, columns = len(scores), len(scores[0])
    if rows <= columns:
        return max(
            sum(scores[row][column] for row, column in enumerate(c))
            for c in itertools.permutations(range(columns), rows)
        )
    return brute_force([list(line) for line in zip(*scores, strict=True)])


@given(
    st.integers(1, 5).flatmap(
        lambda columns: st.lists(st.lists(st.floats(0, 10), min_size=columns, max_size=columns), min_size=1, max_size=5)
    )
)
def test_equals_brute_force(scores: list[list[float]]) -> None:
    chosen = best_assignment(scores)
    taken = [column for column in chosen if column >= 0]
    assert len(set(taken)) == len(taken) == min(len(scores), len(scores[0]))
    assert total(scores, chosen) == pytest.approx(brute_force(scores))


def test_example_by_hand() -> None:
    assert best_assignment([[7, 5], [6, 1]]) == [1, 0]
    assert best_assignment([[1], [3], [2]]) == [-1, 0, -1]
    assert best_assignment([]) == []
