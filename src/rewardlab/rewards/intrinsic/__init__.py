"""Intrinsic rewards from labels of captions that come while the policy trains (ONI)."""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.rewards.intrinsic.captions": ["InfoCaption", "ObservationCaption", "mask_numbers"],
        "rewardlab.rewards.intrinsic.episode_counts": ["EpisodeCounts"],
        "rewardlab.rewards.intrinsic.reward": ["IntrinsicReward", "intrinsic_value"],
        "rewardlab.rewards.intrinsic.word_models": [
            "RetrievalModel",
            "WordClassifier",
            "WordRanker",
            "hashed_words",
            "pair_loss",
        ],
    },
)
