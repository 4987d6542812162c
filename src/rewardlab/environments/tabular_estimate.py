"""A finite decision process counted out of trajectories; see `MarkovDecisionProcess.estimate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.types import Trajectory


def estimate_tables(
    trajectories: Sequence[Trajectory],
    *,
    states: int | None,
    actions: int | None,
    prior: float,
    unvisited: str,
) -> dict[str, Any]:
    """Transitions, rewards, initial law and terminal states from counts; arguments as `MarkovDecisionProcess.estimate`."""
    if not (np.isfinite(prior) and prior >= 0):
        raise ValueError(f"prior must be 0 or a positive pseudo-count, got {prior}")
    if unvisited not in ("error", "stay"):
        raise ValueError(f'unvisited must be "error" or "stay", got {unvisited!r}')
    usable = [(index, trajectory) for index, trajectory in enumerate(trajectories) if len(trajectory)]
    if not usable:
        raise ValueError("there is nothing to count: no trajectory has an action")
    seen = [_whole(trajectory.observations, f"observations of trajectory {index}") for index, trajectory in usable]
    done = [_whole(trajectory.actions, f"actions of trajectory {index}") for index, trajectory in usable]
    for index, trajectory in usable:
        wrong = np.flatnonzero(~np.isfinite(trajectory.rewards))
        if wrong.size:
            raise ValueError(
                f"trajectory {index} has no finite reward at step {wrong[0]} ({trajectory.rewards[wrong[0]]}); leave it "
                "out, or score it with a reward first"
            )
    count = _size("states", states, max(int(column.max()) for column in seen) + 1)
    choices = _size("actions", actions, max(int(column.max()) for column in done) + 1)
    now = np.concatenate([column[:-1] for column in seen])
    act = np.concatenate(done)
    following = np.concatenate([column[1:] for column in seen])
    earned = np.concatenate([trajectory.rewards for _, trajectory in usable])
    tally = np.zeros((count, choices, count))
    np.add.at(tally, (now, act, following), 1.0)
    sums = np.zeros((count, choices))
    np.add.at(sums, (now, act), earned)
    terminal = np.zeros(count, dtype=bool)
    for (index, trajectory), column in zip(usable, seen, strict=True):
        if trajectory.terminated:
            last = int(column[-1])
            if tally[last].any():
                raise ValueError(
                    f"trajectory {index} ended in state {last}, and another went on from there: no table of states can say "
                    "both; add to the observation what tells them apart, or mark the end by a state of its own"
                )
            terminal[last] = True
    visits = tally.sum(-1)
    missing = np.argwhere((visits == 0) & ~terminal[:, None])
    if missing.size and unvisited == "error" and prior == 0:
        raise ValueError(
            f"{len(missing)} pairs of state and action never occurred, the first is state {missing[0][0]}, action "
            f'{missing[0][1]}; collect more, or give prior= or unvisited="stay"'
        )
    tally += prior
    total = tally.sum(-1, keepdims=True)
    stay = np.broadcast_to(np.eye(count)[:, None, :], tally.shape)
    transitions = np.where(total > 0, tally / np.where(total > 0, total, 1.0), stay)
    transitions[terminal] = stay[terminal]
    first = np.bincount([int(column[0]) for column in seen], minlength=count)
    rewards = np.where(visits > 0, sums / np.maximum(visits, 1.0), 0.0)
    return {"transitions": transitions, "rewards": rewards, "initial": first / first.sum(), "terminal": terminal}


def _whole(column: Any, what: str) -> NDArray[np.int64]:
    array = np.asarray(column)
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array.size and array.min() < 0):
        raise ValueError(
            f"{what} must be whole numbers from 0, one for each step, got {array.dtype}{list(array.shape)}; map continuous "
            "observations to cells first"
        )
    return array.astype(np.int64)


def _size(name: str, given: int | None, needed: int) -> int:
    if given is not None and given < needed:
        raise ValueError(f"{name}={given} is too few: the trajectories name {name[:-1]} {needed - 1}")
    return needed if given is None else given
