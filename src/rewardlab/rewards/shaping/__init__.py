"""Rewards that lead: potentials, shape functions, the kinesthetic combination, team spirit, and what shaping can change.

Names load on first use, so that importing the package costs next to nothing.
"""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.rewards.shaping.action_potentials": ["ActionPotential", "TimePotential"],
        "rewardlab.rewards.shaping.combination": ["Kinesthetic", "kinesthetic", "kinesthetic_mean"],
        "rewardlab.rewards.shaping.optimum": ["OptimumCheck", "can_change_optimum"],
        "rewardlab.rewards.shaping.potentials": [
            "Potential",
            "StateFunction",
            "StateReward",
            "discount_from_half_life",
            "potential",
        ],
        "rewardlab.rewards.shaping.pressure": ["Pressure"],
        "rewardlab.rewards.shaping.teams": ["TeamSpirit", "shared_rewards", "team_spirit"],
    },
    rooms=["shape"],
)
