"""What each way of stating an objective can express: the seventeen formalisms as data, witnesses that run, and decisions.

Names load on first use; linear programmes need SciPy.
"""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.rewards.formal.expressivity.decide": ["Verdict", "expressible", "suggest"],
        "rewardlab.rewards.formal.expressivity.formalisms": [
            "CONTAINED",
            "EQUIVALENT",
            "FORMALISMS",
            "SEPARATED",
            "Formalism",
            "contains",
            "formalism",
            "relation",
            "separations",
        ],
        "rewardlab.rewards.formal.expressivity.page": ["render"],
        "rewardlab.rewards.formal.expressivity.programme": ["Fit", "MarkovVerdict", "fit_order", "markov_expressible"],
        "rewardlab.rewards.formal.expressivity.tasks": ["PolicyOrder"],
        "rewardlab.rewards.formal.expressivity.witnesses": ["WITNESSES", "Finding", "check_witness"],
    },
)
