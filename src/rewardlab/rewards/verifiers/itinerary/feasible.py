"""Whether an itinerary is a trip that can be made: rule by rule, from its own text and from what tools had answered."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from rewardlab.registry import UnknownName
from rewardlab.rewards.base import Verdict, Verifier
from rewardlab.rewards.spec import register
from rewardlab.rewards.verifiers.itinerary.plan import Itinerary, UnreadableItinerary
from rewardlab.rewards.verifiers.itinerary.records import read_answers
from rewardlab.rewards.verifiers.itinerary.request import Request, read_request
from rewardlab.rewards.verifiers.itinerary.rules import RULES, Rule
from rewardlab.rewards.verifiers.itinerary.trip import Trip
from rewardlab.types import Trajectory


@register("itinerary_feasible")
@dataclass(frozen=True, kw_only=True)
class ItineraryFeasible(Verifier):
    """1 where the itinerary of the last message breaks no rule, else 0; the trajectory stage of DeepTravel.

    The task's reference is a `Request`. An answer that is no itinerary scores 0, as that is the agent's doing; a reference
    that is no request makes the sample failed. A request that cannot be met (`possible: false`) is answered rightly by
    `{"impossible": "why"}`, and by nothing else.

    Each rule is a part: 1 where it holds, 0 where it is broken, abstained where it does not apply; `readable` is another.
    The note lists what is wrong, with day and field. The value stands on the last step, and the steps before it have 0.

    Args:
        rules: names in `RULES`, or `module:function`; all of them when not given.
        graded: score the share of the rules that hold, instead of all or nothing.
    """

    rules: tuple[str, ...] | None = None
    graded: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rules is not None and not self.rules:
            raise ValueError("ItineraryFeasible: option 'rules' is empty; leave it out for all of them")
        self._functions  # noqa: B018  # so that an unknown name is refused at once

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Read the itinerary and apply the rules."""
        request = read_request(trajectory)
        before = [0.0] * (len(trajectory.actions) - 1)
        try:
            itinerary = Itinerary.parse(trajectory.completion)
        except UnreadableItinerary as error:
            return Verdict(0.0, str(error), {"readable": 0.0}, steps=[*before, 0.0])
        if itinerary.refusal is not None or not request.possible:
            right = itinerary.refusal is not None and not request.possible
            note = None if right else _refused(request)
            return Verdict(
                float(right), note, {"readable": 1.0, "possible": float(right)}, steps=[*before, float(right)]
            )
        trip = Trip(itinerary, request, read_answers(trajectory))
        parts: dict[str, float | None] = {"readable": 1.0}
        notes: list[str] = []
        for name, rule in self._functions.items():
            findings = rule(trip)
            parts[name] = None if findings is None else float(not findings)
            notes += [f"{name}: {finding}" for finding in findings or ()]
        applied = [parts[name] or 0.0 for name in self._functions if parts[name] is not None]
        share = sum(applied) / len(applied) if applied else 1.0
        value = share if self.graded else float(not notes)
        return Verdict(value, "; ".join(notes)[:2_000] or None, parts, steps=[*before, value])

    @functools.cached_property
    def _functions(self) -> dict[str, Rule]:
        try:
            return {name: RULES.resolve(name) for name in (self.rules or tuple(RULES))}
        except UnknownName as error:
            raise ValueError(f"ItineraryFeasible: option 'rules': {error}") from None


def _refused(request: Request) -> str:
    if request.possible:
        return "the answer says that no trip is possible, but one is"
    return 'no trip meets the request; the right answer is {"impossible": "why"}'
