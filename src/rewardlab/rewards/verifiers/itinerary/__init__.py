"""Itineraries: read from what a model wrote, checked rule by rule, and compared with what the tools had answered.

`plan` holds the days of a trip, `reading` and `amounts` get them out of JSON and of loose text, `records` gathers what tools
answered, `rules` are the constraints of `ItineraryFeasible` (`feasible`), and `grounded` is the check of every detail.
"""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.rewards.verifiers.itinerary.feasible": ["ItineraryFeasible"],
        "rewardlab.rewards.verifiers.itinerary.grounded": ["Grounded"],
        "rewardlab.rewards.verifiers.itinerary.plan": ["Day", "Itinerary", "Leg", "Stop", "UnreadableItinerary"],
        "rewardlab.rewards.verifiers.itinerary.request": ["Request"],
        "rewardlab.rewards.verifiers.itinerary.rules": ["RULES", "Finding"],
    },
)
