"""Whether a reward can be trusted: what it says over the states, along trajectories, and part by part.

Names load on first use; pictures need the extra `plot`.
"""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.audit.maps": ["MapComparison", "RewardMap", "compare_maps", "reward_map"],
        "rewardlab.audit.controls": ["Coin", "spurious_controls"],
        "rewardlab.audit.overoptimisation": ["Overoptimisation"],
        "rewardlab.audit.advice": ["Advice", "Facts", "choose"],
        "rewardlab.audit.weights": ["WeightSearch", "weight_search"],
        "rewardlab.audit.contributions": ["RewardParts", "reward_on"],
        "rewardlab.audit.smoothness": ["Smoothness", "lipschitz"],
    },
    rooms=["overoptimisation"],
)
