"""Rewards that are designed: explicable ones for a world, ones that follow the learner, and ones that it designs itself."""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.learning.design.adaptation": ["AdaptiveDesigner", "adaptive", "invariant_only", "policy_table"],
        "rewardlab.learning.design.counting": ["CallableCount", "Count", "GridCount", "HashCount", "TabularCount"],
        "rewardlab.learning.design.designed": ["Certificate", "DesignedReward"],
        "rewardlab.learning.design.designer": ["Designer", "Episodes", "SideBySide"],
        "rewardlab.learning.design.neural": ["NeuralExploRS"],
        "rewardlab.learning.design.programme": ["Infeasible", "Leaves", "explicable"],
        "rewardlab.learning.design.rivals": ["LIRPG", "SORS", "FixedDesign", "PotentialDesign"],
        "rewardlab.learning.design.self_design": ["ExploRS", "explors"],
        "rewardlab.learning.design.tabular_learning": [
            "LearningCurve",
            "QLearning",
            "Reinforce",
            "Run",
            "return_within",
        ],
        "rewardlab.learning.design.wrapper": ["DesignedEnvironment", "model_probabilities"],
    },
)
