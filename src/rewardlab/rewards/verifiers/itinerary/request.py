"""What was asked for: the reference of a travel task, checked once for each sample."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rewardlab.rewards.base import ScoringFailure
from rewardlab.types import Trajectory


class Request(BaseModel):
    """The constraints of a trip, as `Task.reference` holds them. What is None or empty was not asked for.

    Args:
        days: how long the trip is.
        origin: where it begins.
        destinations: cities that it must visit.
        start: date of the first day.
        returns: whether it must end where it began.
        party: how many travel.
        budget: the most that it may cost.
        transfer: minutes between a journey and what comes before or after it.
        timed: whether every visit must have its hours, so that leaving them out is no way round the rules on times.
        visits_per_day: fewest visits on each day.
        same_lodging: whether the nights in a city are spent in one lodging.
        kinds: kinds of places of which one must be visited (as tools write them in `kind`).
        rating: lowest rating of a lodging.
        modes: how to travel ("train"); other ways are refused. Empty for any.
        possible: False where no trip can be planned, and the right answer is to say so.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    days: int = Field(ge=1, le=100)
    origin: str | None = None
    destinations: tuple[str, ...] = ()
    start: date | None = None
    returns: bool = True
    party: int = Field(1, ge=1)
    budget: float | None = None
    transfer: int = Field(0, ge=0)
    timed: bool = False
    visits_per_day: int = 0
    same_lodging: bool = False
    kinds: tuple[str, ...] = ()
    rating: float | None = None
    modes: tuple[str, ...] = ()
    possible: bool = True


_EXPECTED = 'a mapping with "days" at least, as rewardlab.rewards.verifiers.itinerary.Request describes'


def read_request(trajectory: Trajectory) -> Request:
    """The request of a trajectory's task.

    Raises:
        ScoringFailure: the task has no such reference.
    """
    reference: Any = trajectory.reference
    if isinstance(reference, Request):
        return reference
    if not isinstance(reference, dict):
        raise ScoringFailure(f"the task's reference is {reference!r:.60}, expected {_EXPECTED}")
    try:
        return Request(**reference)
    except (ValidationError, TypeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        where = ".".join(map(str, first["loc"])) or "(whole)"
        raise ScoringFailure(f"the task's reference cannot be read: {where}: {first['msg']}") from error
