"""Credit rules in plain Python, written to be read beside the formulas: the oracle of the tests, and the benchmark's rival.

Trajectories are lists of numbers, one list for each; nothing is shared with the library.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

Rows = Sequence[Sequence[float]]


def returns_to_go(
    rewards: Rows, discount: float = 1.0, tails: Sequence[float] | None = None, terminated: Sequence[bool] | None = None
) -> list[list[float]]:
    """Discounted sums from each step on; a tail follows where a trajectory was cut off and not where it ended."""
    result = []
    for index, row in enumerate(rewards):
        following = 0.0
        if tails is not None and terminated is not None and not terminated[index]:
            following = tails[index]
        returns = [0.0] * len(row)
        for step in range(len(row) - 1, -1, -1):
            following = row[step] + discount * following
            returns[step] = following
        result.append(returns)
    return result


def outcome_advantages(outcomes: Sequence[float], groups: Sequence[Hashable], scale: str = "none") -> list[float]:
    """Outcome minus the mean of its group, divided by the group's deviation if asked for."""
    members: dict[Hashable, list[float]] = {}
    for outcome, group in zip(outcomes, groups, strict=True):
        members.setdefault(group, []).append(outcome)
    return [_relative(outcome, members[group], scale) for outcome, group in zip(outcomes, groups, strict=True)]


def turn_advantages(returns: Rows, groups: Sequence[Hashable], absent: str = "all_steps") -> list[list[float]]:
    """Return minus the mean return of the other members of the group at the same turn."""
    cells: dict[tuple[Hashable, int], list[float]] = {}
    totals: dict[Hashable, list[float]] = {}
    for row, group in zip(returns, groups, strict=True):
        for turn, value in enumerate(row):
            cells.setdefault((group, turn), []).append(value)
        total = totals.setdefault(group, [0.0, 0.0])
        total[0] += sum(row)
        total[1] += len(row)
    sums = {cell: sum(values) for cell, values in cells.items()}
    result = []
    for row, group in zip(returns, groups, strict=True):
        own, (whole, count) = sum(row), totals[group]
        advantages = []
        for turn, value in enumerate(row):
            others = len(cells[group, turn]) - 1
            if others:
                baseline = (sums[group, turn] - value) / others
            elif absent == "all_steps" and count > len(row):
                baseline = (whole - own) / (count - len(row))
            else:
                baseline = 0.0
            advantages.append(value - baseline)
        result.append(advantages)
    return result


def turn_index_advantages(rewards: Rows, groups: Sequence[Hashable], scale: str = "std") -> list[list[float]]:
    """Rewards normalised turn by turn inside their group, then summed from each step on."""
    cells: dict[tuple[Hashable, int], list[float]] = {}
    for row, group in zip(rewards, groups, strict=True):
        for turn, value in enumerate(row):
            cells.setdefault((group, turn), []).append(value)
    normalised = [
        [_relative(value, cells[group, turn], scale) for turn, value in enumerate(row)]
        for row, group in zip(rewards, groups, strict=True)
    ]
    return returns_to_go(normalised)


def anchor_advantages(
    returns: Rows, states: Sequence[Sequence[Hashable]], groups: Sequence[Hashable], scale: str = "none"
) -> list[list[float]]:
    """Return minus the mean return of all steps of the group that were taken in the same state."""
    cells: dict[tuple[Hashable, Hashable], list[float]] = {}
    for row, own, group in zip(returns, states, groups, strict=True):
        for value, state in zip(row, own, strict=True):
            cells.setdefault((group, state), []).append(value)
    statistics = {cell: _moments(values) for cell, values in cells.items()}
    result = []
    for row, own, group in zip(returns, states, groups, strict=True):
        advantages = []
        for value, state in zip(row, own, strict=True):
            mean, deviation, count = statistics[group, state]
            advantage = 0.0 if count == 1 or deviation <= 1e-12 else value - mean
            advantages.append(advantage / (deviation + 1e-4) if scale == "std" else advantage)
        result.append(advantages)
    return result


def redistribute(outcomes: Sequence[float], contributions: Rows, how: str) -> list[list[float]]:
    """The outcome of each trajectory over its steps, so that they add up to it."""
    result = []
    for outcome, row in zip(outcomes, contributions, strict=True):
        if not row:
            result.append([])
        elif how == "residual_last":
            result.append([*row[:-1], row[-1] + outcome - sum(row)])
        elif how == "rescale":
            missing = (outcome - sum(row)) / len(row)
            result.append([value + missing for value in row])
        else:
            weights = [max(value, 0.0) for value in row] if how == "proportional" else []
            total = sum(weights)
            result.append(
                [outcome * weight / total for weight in weights] if total else [outcome / len(row)] * len(row)
            )
    return result


def potential_terms(potentials: Rows, terminated: Sequence[bool], discount: float = 1.0) -> list[list[float]]:
    """Discounted next potential minus the present one, with 0 after a termination."""
    result = []
    for row, ended in zip(potentials, terminated, strict=True):
        known = [*row[:-1], 0.0 if ended else row[-1]]
        result.append([discount * known[step + 1] - row[step] for step in range(len(row) - 1)])
    return result


def step_log_ratios(
    log_ratios: Rows, token_steps: Sequence[Sequence[int]], lengths: Sequence[int]
) -> list[list[float]]:
    """The log-ratios of the tokens of each step, summed."""
    result = []
    for ratios, steps, length in zip(log_ratios, token_steps, lengths, strict=True):
        sums = [0.0] * length
        for ratio, step in zip(ratios, steps, strict=True):
            if step >= 0:
                sums[step] += ratio
        result.append(sums)
    return result


def spread_to_tokens(advantages: Rows, token_steps: Sequence[Sequence[int]]) -> list[list[float]]:
    """The advantage of its step for every token, 0 where nobody wrote it."""
    return [
        [row[step] if step >= 0 else 0.0 for step in steps] for row, steps in zip(advantages, token_steps, strict=True)
    ]


def _moments(values: Sequence[float]) -> tuple[float, float, int]:
    mean = sum(values) / len(values)
    squares = sum((value - mean) ** 2 for value in values)
    return mean, math.sqrt(squares / max(len(values) - 1, 1)), len(values)


def _relative(value: float, members: Sequence[float], scale: str) -> float:
    mean, deviation, count = _moments(members)
    if count == 1 or deviation <= 1e-12:
        return 0.0
    return (value - mean) / (deviation + 1e-4) if scale == "std" else value - mean
