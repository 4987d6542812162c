"""What the loop asks of its seats, in plain functions: building them from names, seeding them, scoring a batch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rewardlab.registry import Registry
from rewardlab.types import Scores, Status, Trajectory


def score_batch(reward: Any, trajectories: Sequence[Trajectory], progress: float | None = None) -> Scores:
    """Score trajectories; those whose environment failed (`info["failed"]`) are failed, and the reward never sees them.

    Raises:
        TypeError: the reward returned something other than `Scores`.
        ValueError: it returned the wrong number of them.
    """
    broken = [index for index, trajectory in enumerate(trajectories) if "failed" in trajectory.info]
    whole = [index for index, trajectory in enumerate(trajectories) if "failed" not in trajectory.info]
    pieces = []
    if whole:
        scores = reward([trajectories[index] for index in whole], progress=progress)
        if not isinstance(scores, Scores):
            raise TypeError(
                f"the reward returned a {type(scores).__name__}, expected Scores; decorate a plain function with @rl.reward"
            )
        if len(scores) != len(whole):
            raise ValueError(
                f"the reward returned {len(scores)} scores for {len(whole)} trajectories; return one for each"
            )
        if not broken:
            return scores
        pieces.append((np.asarray(whole, dtype=np.intp), scores))
    if broken:
        failed = Scores(
            values=np.full(len(broken), np.nan),
            status=np.full(len(broken), Status.FAILED, dtype=np.int8),
            notes=[f"the environment failed: {trajectories[index].info['failed']}" for index in broken],
        )
        pieces.append((np.asarray(broken, dtype=np.intp), failed))
    return Scores.scatter(pieces, len(trajectories))


def build_seat(
    seat: Any, registry: Registry, given: Mapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
) -> Any:
    """A seat from its name or its spec; an object passes as it is.

    Args:
        seat: a name, a mapping with `type` and options, or the object itself.
        registry: where names are looked up.
        given: arguments that do not come from the spec.
        defaults: arguments that the spec may override, used where the seat takes them.
    """
    if not isinstance(seat, (str, Mapping)):
        return seat
    target, options = registry.target(seat, given=tuple(given or ()))
    accepted = inspect.signature(target).parameters
    fitting = {name: value for name, value in (defaults or {}).items() if name in accepted}
    return target(**{**fitting, **options, **(given or {})})


def derived_seed(seed: int, what: str, number: int) -> int:
    """A seed for one part of a training, that depends on nothing that happened before."""
    words = [seed % 2**64, *what.encode(), number]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


def greedy(sampling: Any) -> Any:
    """The same sampling at temperature 0."""
    if sampling is None:
        from rewardlab.policies.engines.base import Sampling

        sampling = Sampling()
    return replace(sampling, temperature=0.0)
