"""The evidence that stored trajectories give on whether a potential explains a shaping term; see `can_change_optimum`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.base import Reward
from rewardlab.rewards.shaping.optimum import OptimumCheck
from rewardlab.types import Trajectory

Floats = NDArray[np.float64]


def by_evidence(
    shaping: Any,
    trajectories: Sequence[Trajectory],
    discount: float,
    features: Callable[[Any], Any] | None,
    tolerance: float,
) -> OptimumCheck:
    """Fit `discount * phi(next) - phi(now)` to the shaping of stored transitions.

    Without features phi has a number for each state, and equal observations are one state. Where no state comes twice, every
    shaping has such a phi, and the verdict is "unknown"; so it is with features, where a fit on one half of the trajectories
    that holds on the other makes a potential likely and proves nothing about what was not seen. Observations are taken for
    the whole state.
    """
    usable = [one for one in trajectories if len(one)]
    steps = _steps(shaping, usable)
    rows, now, later, ended, given, at = _transitions(usable, steps)
    size = max(float(np.abs(given).max(initial=0.0)), 1e-300)
    if features is not None:
        return _with_features(features, rows, now, later, ended, given, at, discount, size, tolerance)
    states, number = np.unique(rows.reshape(len(rows), -1), axis=0, return_inverse=True)
    number = number.reshape(-1)
    system = np.zeros((len(given), len(states)))
    index = np.arange(len(given))
    np.add.at(system, (index, number[later]), np.where(ended, 0.0, discount))
    np.add.at(system, (index, number[now]), -1.0)
    found, _, rank, _ = np.linalg.lstsq(system, given, rcond=None)
    left = given - system @ found
    residual = float(np.abs(left).max(initial=0.0))
    spare = len(given) - int(rank)
    if residual > tolerance * size:
        worst = int(np.argmax(np.abs(left)))
        return OptimumCheck(
            verdict="could",
            reason=(
                f"no potential of the {len(states)} states seen gives this shaping: it leaves {left[worst]:+.4g} at step "
                f"{at[worst][1]} of trajectory {at[worst][0]}; unless that averages out over random next states, some task "
                "reward has another best policy with it"
            ),
            residual=residual,
            potential=found,
            witness={"trajectory": at[worst][0], "step": at[worst][1], "unexplained": float(left[worst])},
        )
    if not spare:
        return OptimumCheck(
            verdict="unknown",
            reason=(
                f"the {len(given)} transitions close no circle, so that any shaping whatever has a potential here; give "
                "features=, or trajectories in which states come back"
            ),
            residual=residual,
            potential=found,
        )
    return OptimumCheck(
        verdict="unknown",
        reason=(
            f"a potential explains all {len(given)} transitions seen, {spare} of which it could have failed; transitions "
            "that were not seen may still differ"
        ),
        residual=residual,
        potential=found,
        witness={"checked": spare},
    )


def _with_features(
    features: Callable[[Any], Any],
    rows: Floats,
    now: NDArray[np.intp],
    later: NDArray[np.intp],
    ended: NDArray[np.bool_],
    given: Floats,
    at: list[tuple[int, int]],
    discount: float,
    size: float,
    tolerance: float,
) -> OptimumCheck:
    table = np.asarray(features(rows), dtype=np.float64)
    if table.ndim != 2 or len(table) != len(rows):
        raise ValueError(
            f"features must return float[{len(rows)}, K] for {len(rows)} observations, got shape {table.shape}"
        )
    system = discount * np.where(ended[:, None], 0.0, table[later]) - table[now]
    half = np.array([trajectory % 2 == 0 for trajectory, _ in at])
    if half.all():
        raise ValueError("features are fitted on half of the trajectories and tested on the others; give at least two")
    weights, *_ = np.linalg.lstsq(system[half], given[half], rcond=None)
    left = given[~half] - system[~half] @ weights
    share = float((left**2).sum() / max(float((given[~half] ** 2).sum()), 1e-300))
    residual = float(np.abs(left).max(initial=0.0))
    witness = {"unexplained_share": share, "weights": weights}
    if residual <= tolerance * size:
        reason = (
            "a potential of the features explains the trajectories it was not fitted to; what was not seen may differ"
        )
    else:
        reason = (
            f"potentials of these features leave {share:.1%} of the squared shaping unexplained on other trajectories; a "
            "potential of something else is not excluded"
        )
    return OptimumCheck(verdict="unknown", reason=reason, residual=residual, witness=witness)


def _steps(shaping: Any, trajectories: Sequence[Trajectory]) -> list[Floats]:
    if isinstance(shaping, Reward):
        from rewardlab.rewards.online import score_steps

        scores = score_steps(shaping, trajectories)
        failed = np.flatnonzero(~scores.scored)
        if failed.size:
            raise ValueError(f"the shaping of trajectory {failed[0]} failed: {scores.note(int(failed[0]))}")
        return [np.asarray(one) for one in scores.steps or []]
    steps = [np.asarray(one, dtype=np.float64) for one in shaping]
    lengths = [len(one) for one in trajectories]
    if [one.shape for one in steps] != [(length,) for length in lengths]:
        raise ValueError(f"shaping must be a value for each step of {len(lengths)} trajectories of {lengths} steps")
    return steps


def _transitions(trajectories: Sequence[Trajectory], steps: Sequence[Floats]) -> tuple[Any, ...]:
    seen, now, later, ended, at = [], [], [], [], []
    start = 0
    for index, one in enumerate(trajectories):
        if isinstance(one.observations, Mapping):
            observations = np.concatenate(
                [np.asarray(part, dtype=np.float64).reshape(len(one) + 1, -1) for part in one.observations.values()],
                axis=1,
            )
        else:
            observations = np.asarray(one.observations, dtype=np.float64)
        seen.append(observations)
        length = len(one)
        now.append(start + np.arange(length))
        later.append(start + 1 + np.arange(length))
        last = np.zeros(length, dtype=bool)
        last[-1] = one.terminated
        ended.append(last)
        at += [(index, step) for step in range(length)]
        start += length + 1
    join = np.concatenate
    return join(seen), join(now), join(later), join(ended), join(list(steps)), at
