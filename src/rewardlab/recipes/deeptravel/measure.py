"""What the proof measures of trips, with a counter of its own for made-up names, so that no reward checks itself."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rewardlab.rewards.verifiers.itinerary import Grounded, Itinerary, ItineraryFeasible, UnreadableItinerary
from rewardlab.types import Scores, Trajectory, message_text

_KINDS = ("leg", "visit", "meal", "lodging")


def made_up(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """The hallucination rate: the share of written names and numbers that no tool answer holds as a quoted text.

    Args:
        trajectories: finished trips; an answer that is no itinerary has no names.

    Returns:
        The share over `all` names, and by kind (`leg`, `visit`, `meal`, `lodging`); NaN where none was written.
    """
    found: dict[str, list[bool]] = {kind: [] for kind in _KINDS}
    for trajectory in trajectories:
        answers = " ".join(message_text(message) for message in trajectory.messages if message.get("role") == "tool")
        said = set(re.findall(r'"((?:[^"\\]|\\.)*)"', answers))
        try:
            itinerary = Itinerary.parse(trajectory.completion)
        except UnreadableItinerary:
            continue
        for _, entity in itinerary.entities():
            name = getattr(entity, "identity", None) or getattr(entity, "name", None)
            if name is not None:
                kind = getattr(entity, "kind", "leg")
                found[kind].append(name not in said and json.dumps(name)[1:-1] not in said)
    flat = [one for held in found.values() for one in held]
    return {
        "all": float(np.mean(flat)) if flat else float("nan"),
        **{kind: float(np.mean(held)) if held else float("nan") for kind, held in found.items()},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How a policy does on held-out trips.

    Args:
        passes: share of trips that are feasible and grounded.
        feasible: share that are feasible (likewise `grounded`).
        made_up: share of the written names that no tool had answered.
        by_days: `passes` of the trips of each length.
        idle: share of training groups whose attempts all got one score; NaN without training.
        asked: share of the turn checks that the cascade asked for in training; NaN without one.
        replay: what the buffer did (see `FailureReplay.report`), where there was one.
    """

    passes: float
    feasible: float
    grounded: float
    made_up: float
    by_days: dict[int, float]
    idle: float = float("nan")
    asked: float = float("nan")
    replay: dict[str, float] | None = None


def measure(trajectories: Sequence[Trajectory]) -> Measured:
    """Both stages on every trip, whatever it was trained on."""
    feasible, grounded = ItineraryFeasible()(trajectories).values, Grounded()(trajectories).values
    passes = feasible * grounded
    days = np.array([one.task.metadata["days"] for one in trajectories if one.task is not None])
    return Measured(
        passes=float(passes.mean()),
        feasible=float(feasible.mean()),
        grounded=float(grounded.mean()),
        made_up=made_up(trajectories)["all"],
        by_days={int(length): float(passes[days == length].mean()) for length in np.unique(days)},
    )


def stage_counts(scores: Scores) -> dict[str, dict[str, float]]:
    """What each stage of a cascade was asked and let through.

    Args:
        scores: what a `cascade` returned.

    Returns:
        For each stage: `asked` (samples that it scored or failed on), `passed` (scored at the sample's threshold of 1),
        `failed`, and `saved`, the share of all samples that it was not asked about.
    """
    return {
        name: {
            "asked": float((part.scored | part.failed).sum()),
            "passed": float((part.values[part.scored] >= 1.0).sum()),
            "failed": float(part.failed.sum()),
            "saved": float(part.abstained.mean()) if len(part) else 0.0,
        }
        for name, part in scores.parts.items()
    }
