"""Labels that come while a policy trains: an annotator with a queue that nobody waits for, and judges behind an endpoint."""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.learning.annotation.annotator": ["AnnotatorDead", "OnlineAnnotator"],
        "rewardlab.learning.annotation.clock": ["VirtualClock"],
        "rewardlab.learning.annotation.endpoint_judge": ["EndpointJudge"],
        "rewardlab.learning.annotation.waiting": ["WaitingItems"],
    },
)
