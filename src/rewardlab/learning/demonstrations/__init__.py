"""Rewards and policies learned from demonstrations; every method is a `fit(demonstrations, environment, steps=, seed=)`.

`IMITATION` holds the methods by name; `imitate` finds and runs one.
"""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.learning.demonstrations.adversarial": ["AIRL", "GAIL"],
        "rewardlab.learning.demonstrations.asaf": ["ASAF", "LogRatio"],
        "rewardlab.learning.demonstrations.base": ["DemonstrationFit", "Imitation"],
        "rewardlab.learning.demonstrations.cloning": ["BehaviourCloning"],
        "rewardlab.learning.demonstrations.front": ["IMITATION", "imitate"],
        "rewardlab.learning.demonstrations.networks": ["NetworkPolicy"],
        "rewardlab.learning.demonstrations.off_policy": ["OffPolicyGAIL"],
        "rewardlab.learning.demonstrations.options": ["PPOOptions"],
        "rewardlab.learning.demonstrations.density": ["DensityReward"],
        "rewardlab.learning.demonstrations.entropy": ["MaximumCausalEntropy"],
        "rewardlab.learning.demonstrations.fragments": ["SyntheticAnnotator"],
        "rewardlab.learning.demonstrations.preferences": ["ControlPreferences"],
        "rewardlab.learning.demonstrations.rewards": ["NetworkReward"],
        "rewardlab.learning.demonstrations.tables": ["TablePolicy", "TableReward"],
        "rewardlab.learning.demonstrations.worlds": ["mean_return", "trajectory_returns"],
    },
)
