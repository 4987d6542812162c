"""How a reward is learned: data of preferences, ratings and step labels, losses, one fitter, and evaluation."""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.learning.data": ["PreferenceData", "RankingData", "RatingData", "StepLabelData", "as_trajectory"],
    },
)
