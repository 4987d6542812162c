"""Behaviour alignment: hints blended with the reward that counts, with weights that are learned (BARFI).

Names load on first use.
"""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.learning.alignment.bilevel": ["AlignmentOptions", "Bilevel", "discounted_returns"],
        "rewardlab.learning.alignment.episodes": ["EpisodeBatch", "EpisodeBuffer", "TableEpisodes"],
        "rewardlab.learning.alignment.front": ["align"],
        "rewardlab.learning.alignment.modules": ["Blend", "CategoricalPolicy", "GaussianPolicy", "Policy", "Reading"],
        "rewardlab.learning.alignment.result": ["AlignedPolicy", "AlignedReward", "Alignment", "LearnedWeight"],
    },
)
