"""How good a reward is on judgements that it was not fitted on: measures with intervals, strata, calibration, agreement.

`evaluate` takes any reward and any kind of judgements; `compare` sets several rewards side by side on several data sets.
Nothing here needs torch unless the reward does.
"""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.learning.evaluation.baselines": ["ResponseLength"],
        "rewardlab.learning.evaluation.comparison": ["Comparison", "Difference", "compare"],
        "rewardlab.learning.evaluation.evaluating": ["evaluate"],
        "rewardlab.learning.evaluation.plots": ["save_plots"],
        "rewardlab.learning.evaluation.result": ["Agreement", "Calibration", "Evaluation"],
        "rewardlab.learning.evaluation.sources": ["data_from", "model_from"],
        "rewardlab.learning.evaluation.statistics": ["Estimate"],
        "rewardlab.learning.evaluation.steps": ["best_threshold"],
    },
)
