"""Small named worlds that recipes and examples share: grids drawn as text, four rooms, a chain with a distractor, a line
with a key. Every one is a `MarkovDecisionProcess`, so what is learned in it can be compared with the exact answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rewardlab.environments.tabular import MarkovDecisionProcess

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
MOVE_NAMES = ("up", "right", "down", "left")

FOUR_ROOMS = (
    "S..#...",
    "...#...",
    ".......",
    "#.###.#",
    "...#...",
    ".......",
    "...#..G",
)
"""Four rooms on 7 x 7 cells with a door between neighbours, as explicable reward design uses."""


def grid_cells(layout: Sequence[str]) -> NDArray[np.int64]:
    """Row and column of each state of a drawn grid: int64[S, 2]; walls are no states."""
    return np.array(
        [(row, column) for row, line in enumerate(layout) for column, mark in enumerate(line) if mark != "#"]
    )


def grid(
    layout: Sequence[str],
    *,
    slip: float = 0.0,
    step_reward: float = 0.0,
    rewards: Mapping[str, float] | None = None,
    terminal: str = "G",
    discount: float = 0.95,
) -> MarkovDecisionProcess:
    """A grid drawn as text: `#` wall, `.` free, `S` start (the first free cell when none is drawn), other marks as given.

    A move into a wall or over the edge stays. Actions are up, right, down, left.

    Args:
        layout: rows of equal length.
        slip: probability that the move is one of the three others, evenly.
        step_reward: earned at every step.
        rewards: mark -> what entering such a cell earns on top; `{"G": 1.0}` when not given.
        terminal: marks whose cells end the trajectory.
        discount: in [0, 1).

    Raises:
        ValueError: rows of unequal length, a slip outside [0, 1], or a mark that is not drawn.
    """
    lines = list(layout)
    if not lines or len({len(line) for line in lines}) != 1:
        raise ValueError(f"the rows of a grid must have equal lengths, got {[len(line) for line in lines]}")
    if not 0 <= slip <= 1:
        raise ValueError(f"slip must be in [0, 1], got {slip}")
    earned = {"G": 1.0} if rewards is None else dict(rewards)
    drawn = set("".join(lines))
    for mark in [*earned, *terminal]:
        if mark not in drawn:
            raise ValueError(f"the grid has no cell marked {mark!r}; its marks are {', '.join(sorted(drawn))}")
    cells = [tuple(cell) for cell in grid_cells(lines).tolist()]
    index = {cell: state for state, cell in enumerate(cells)}
    marks = [lines[row][column] for row, column in cells]
    ends = np.array([mark in terminal for mark in marks])
    transitions = np.zeros((len(cells), 4, len(cells)))
    for (row, column), state in index.items():
        for action, (down, right) in enumerate(MOVES):
            to = state if ends[state] else index.get((row + down, column + right), state)
            transitions[state, :, to] += slip / 3
            transitions[state, action, to] += 1 - slip - slip / 3
    on_entry = np.array([earned.get(mark, 0.0) for mark in marks])
    table = step_reward + transitions @ on_entry
    table[ends] = 0.0
    starts = np.array([mark == "S" for mark in marks], dtype=np.float64)
    if not starts.any():
        starts[np.flatnonzero(~ends)[0]] = 1.0
    return MarkovDecisionProcess(
        transitions,
        table,
        discount,
        starts / starts.sum(),
        ends,
        state_names=tuple(f"{row},{column}" for row, column in cells),
        action_names=MOVE_NAMES,
    )


def four_rooms(*, slip: float = 0.1, goal: float = 10.0, discount: float = 0.95) -> MarkovDecisionProcess:
    """Four rooms, start in one corner and goal in the other; `goal` is earned by entering it."""
    return grid(FOUR_ROOMS, slip=slip, rewards={"G": goal}, discount=discount)


def open_grid(
    size: int = 8, *, slip: float = 0.1, step_reward: float = -0.1, goal: float = 100.0, discount: float = 0.99
) -> MarkovDecisionProcess:
    """A square without walls from corner to corner, as behaviour alignment (BARFI) uses; state is `row * size + column`."""
    if size < 2:
        raise ValueError(f"size must be at least 2, got {size}")
    lines = [["."] * size for _ in range(size)]
    lines[0][0], lines[-1][-1] = "S", "G"
    return grid(
        ["".join(line) for line in lines], slip=slip, step_reward=step_reward, rewards={"G": goal}, discount=discount
    )


def centre_box(size: int = 8) -> NDArray[np.bool_]:
    """The two by two cells in the middle of `open_grid(size)`, where a misleading hint may lie: bool[S]."""
    low, high = size // 2 - 1, size // 2
    mask = np.zeros((size, size), dtype=bool)
    mask[low : high + 1, low : high + 1] = True
    return mask.ravel()


def chain(
    states: int = 62,
    *,
    start: int = 40,
    goal: int = 60,
    slip: float = 0.05,
    distractor: float = 0.01,
    distractor_at: int = 25,
    discount: float = 0.99,
) -> MarkovDecisionProcess:
    """A line with a far goal on one side and a small, near distractor on the other: left is action 0, right action 1.

    Going right in the goal earns 1 and stays there; going left in the distractor's state earns `distractor` and stays
    there, whichever way the move then went. With probability `slip` the direction is drawn at random from the two.
    Nothing ends; the paper cuts trajectories off after 40 steps, where the best return is 13.7.

    Source: Devidze et al. 2022, "Exploration-Guided Reward Shaping for Reinforcement Learning under Sparse Rewards",
    the Chain environment; the sizes are those of the published code.

    Args:
        states: how many.
        start: the first state.
        goal: where going right earns 1.
        slip: probability of a random direction.
        distractor: what the distractor earns; 0 leaves it out, and its state is like any other.
        distractor_at: where it stands.
        discount: in [0, 1).

    Raises:
        ValueError: a place outside the line.
    """
    for name, place in (("start", start), ("goal", goal), ("distractor_at", distractor_at)):
        if not 0 <= place < states:
            raise ValueError(f"{name} must be in 0 to {states - 1}, got {place}")
    if not 0 <= slip <= 1:
        raise ValueError(f"slip must be in [0, 1], got {slip}")
    places = np.arange(states)
    left, right = np.maximum(places - 1, 0), np.minimum(places + 1, states - 1)
    right[goal] = goal
    if distractor:
        left[distractor_at] = distractor_at
    moves = np.stack([np.eye(states)[left], np.eye(states)[right]], axis=1)
    rewards = np.zeros((states, 2))
    rewards[goal, 1] = 1.0
    if distractor:
        rewards[distractor_at, 0] = distractor
    mixed = (1 - slip / 2) * moves + slip / 2 * moves[:, ::-1]
    return MarkovDecisionProcess(mixed, rewards, discount, np.eye(states)[start], action_names=("left", "right"))


def line_key(
    cells: int = 10, *, slip: float = 0.05, goal: float = 10.0, key_at: int = 0, discount: float = 0.95
) -> MarkovDecisionProcess:
    """A line of cells with a key and a door: take the key, carry it to the last cell, and go right there.

    Actions are left, right and pick. State `cell + cells * has_key`; the last state is the end. Only going right in the
    last cell with the key ends the trajectory, and earns `goal`; it starts in any cell, without the key.

    Source: after the LineKey environment of Devidze et al. 2021, "Explicable Reward Design for Reinforcement Learning
    Agents".

    Args:
        cells: at least 2.
        slip: probability that another action of the three happens, evenly.
        goal: what the end earns.
        key_at: the cell of the key.
        discount: in [0, 1).
    """
    if cells < 2 or not 0 <= key_at < cells:
        raise ValueError(f"cells must be at least 2 and key_at one of them, got {cells} and {key_at}")
    if not 0 <= slip <= 1:
        raise ValueError(f"slip must be in [0, 1], got {slip}")
    end = 2 * cells
    sure = np.zeros((end + 1, 3), dtype=np.int64)
    for key in (0, 1):
        for cell in range(cells):
            state = cell + cells * key
            sure[state] = (
                max(cell - 1, 0) + cells * key,
                end if key and cell == cells - 1 else min(cell + 1, cells - 1) + cells * key,
                cell + cells if cell == key_at else state,
            )
    sure[end] = end
    single = np.eye(end + 1)[sure]
    other = (single.sum(1, keepdims=True) - single) / 2
    transitions = (1 - slip) * single + slip * other
    rewards = goal * transitions[:, :, end]
    rewards[end] = 0.0
    terminal = np.arange(end + 1) == end
    names = [f"cell {cell}{', key' if key else ''}" for key in (0, 1) for cell in range(cells)]
    initial = np.zeros(end + 1)
    initial[:cells] = 1 / cells
    return MarkovDecisionProcess(
        transitions, rewards, discount, initial, terminal, (*names, "end"), ("left", "right", "pick")
    )
