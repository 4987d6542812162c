"""Objectives as objects: each orders the stationary policies of a finite process, and gives the reward where it is one.

Names load on first use; linear programmes need SciPy, and nothing else here does.
"""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.rewards.formal.objectives.base": ["NotAReward", "Objective"],
        "rewardlab.rewards.formal.objectives.law": ["ReturnLaw", "TooManyReturns", "return_law", "sampled_law"],
        "rewardlab.rewards.formal.objectives.logic": ["MachineReturn", "TemporalLogic"],
        "rewardlab.rewards.formal.objectives.programmes": ["CMDP", "ConstrainedSolution", "InfeasibleConstraints"],
        "rewardlab.rewards.formal.objectives.returns": [
            "CVaR",
            "Entropic",
            "InnerNonlinear",
            "MeanVariance",
            "OuterNonlinear",
            "Satisficing",
            "TrajectoryFunction",
        ],
        "rewardlab.rewards.formal.objectives.rewards": [
            "AverageReward",
            "ExponentialUtility",
            "SatisficingReward",
            "ScalarisedReward",
            "TailReward",
            "TransitionTable",
            "UtilityReward",
        ],
        "rewardlab.rewards.formal.objectives.sums": ["Episodic", "LimitAverage", "Markov", "Regularised"],
        "rewardlab.rewards.formal.objectives.vectors": [
            "InnerMultiObjective",
            "Lexicographic",
            "OccupancyFunction",
            "OuterMultiObjective",
            "PolicyFunction",
        ],
    },
)
