"""Learned rewards: an encoder that reads trajectories, a head that scores them, saved and loaded whole."""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.rewards.models.adversarial": ["AdversarialReward"],
        "rewardlab.rewards.models.distilled": ["DistilledReward"],
        "rewardlab.rewards.models.preconditioned": ["Preconditioned", "precondition"],
        "rewardlab.rewards.models.transition_inputs": ["EncodedTransitions", "TransitionBatch", "Transitions"],
        "rewardlab.rewards.models.base": [
            "ENCODERS",
            "HEADS",
            "Context",
            "Encoded",
            "Encoder",
            "Head",
            "NoScalarValue",
            "Outputs",
        ],
        "rewardlab.rewards.models.model": ["RewardModel"],
        "rewardlab.rewards.models.network": ["Network"],
    },
    rooms=["encoders", "heads"],
)
