"""Rewards that a language model writes: described, prompted, checked, run in the sandbox, and improved with feedback."""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.learning.programs.views": [
            "Flag",
            "Scalar",
            "ViewError",
            "abstraction",
            "check_view",
            "schema_of",
        ],
        "rewardlab.learning.programs.answers": ["NoRecordedAnswer", "RecordedAnswers", "extract_program"],
        "rewardlab.learning.programs.checking": ["Report", "check_program"],
        "rewardlab.learning.programs.comparing": ["Comparison", "compare_programs"],
        "rewardlab.learning.programs.problems": ["Problem"],
        "rewardlab.learning.programs.program": [
            "ProgramFailed",
            "ProgramReward",
            "RewardProgram",
            "transitions_of_many",
        ],
        "rewardlab.learning.programs.refining": ["feedback", "lineage", "refine"],
        "rewardlab.learning.programs.static": ["check_source"],
        "rewardlab.learning.programs.writer": ["LeakedExample", "RewardWriter"],
    },
)
