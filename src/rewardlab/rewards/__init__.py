"""What scores a trajectory: the reward contract, the algebra that combines rewards, verifiers, and specs.

Names load on first use, so that importing the room costs next to nothing.
"""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.rewards.base": ["Abstention", "Reward", "ScoringFailure", "Verdict", "Verifier"],
        "rewardlab.rewards.functions": ["FunctionReward", "reward"],
        "rewardlab.rewards.transitions": ["StatefulReward", "TransitionReward"],
        "rewardlab.rewards.recorded": ["EnvironmentReturn"],
        "rewardlab.rewards.table": ["TableReward"],
        "rewardlab.rewards.shaping": ["Kinesthetic", "kinesthetic", "kinesthetic_mean"],
        "rewardlab.rewards.formal.ltlf": ["LTLf"],
        "rewardlab.rewards.formal.machines": ["RewardMachine"],
        "rewardlab.rewards.intrinsic.reward": ["IntrinsicReward"],
        "rewardlab.rewards.return_difference": ["ReturnDifference"],
        "rewardlab.rewards.schedules": ["Linear"],
        "rewardlab.rewards.spec": [
            "REWARDS",
            "SpecError",
            "UnwritableReward",
            "from_spec",
            "load_reward",
            "register",
            "spec_hash",
            "to_spec",
        ],
        "rewardlab.rewards.algebra.mix": ["Component", "ComponentTable", "RewardMix", "TableLog"],
        "rewardlab.rewards.algebra.route": ["Route"],
        "rewardlab.rewards.algebra.squash": ["Squash"],
        "rewardlab.rewards.models.contributions": ["StepProgress"],
        "rewardlab.rewards.models.similarity": ["EmbeddingReward"],
        "rewardlab.rewards.verifiers.grounded_actions": ["GroundedActions"],
        "rewardlab.rewards.verifiers.group_length": ["GroupLength"],
        "rewardlab.rewards.algebra": [
            "Cache",
            "Cascade",
            "Clip",
            "Ensemble",
            "Gate",
            "Hybrid",
            "Normalise",
            "Product",
            "Scheduled",
            "Sum",
            "cascade",
            "ensemble",
            "hybrid",
        ],
    },
    rooms=["algebra", "formal", "intrinsic", "verifiers"],
)
