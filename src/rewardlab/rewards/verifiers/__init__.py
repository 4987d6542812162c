"""Rewards checked against ground truth: maths, code, tool calls, JSON, formats, text and instructions.

Names load on first use.
"""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.rewards.verifiers.action_reports": ["ActionReport", "action_report"],
        "rewardlab.rewards.verifiers.actions": ["HierarchicalAction"],
        "rewardlab.rewards.verifiers.agreement": ["Agreement", "verifier_agreement"],
        "rewardlab.rewards.verifiers.code": ["CodeTests"],
        "rewardlab.rewards.verifiers.exact": ["Choice", "ExactMatch", "F1Match"],
        "rewardlab.rewards.verifiers.fixtures": [
            "Fixture",
            "FixtureReport",
            "check_fixtures",
            "read_fixtures",
            "shipped_fixtures",
        ],
        "rewardlab.rewards.verifiers.format": ["Format"],
        "rewardlab.rewards.verifiers.grounded_actions": ["GroundedActions"],
        "rewardlab.rewards.verifiers.instructions": ["Instructions"],
        "rewardlab.rewards.verifiers.itinerary": ["Grounded", "Itinerary", "ItineraryFeasible"],
        "rewardlab.rewards.verifiers.json_answer": ["JSONFormat"],
        "rewardlab.rewards.verifiers.json_schema": ["JSONMatch", "MatchesSchema", "ParsesAsJSON"],
        "rewardlab.rewards.verifiers.length": ["CosineLength", "LengthPenalty"],
        "rewardlab.rewards.verifiers.math": ["MathAnswer", "answers_equal", "extract_answer"],
        "rewardlab.rewards.verifiers.milestones": ["PartialCredit", "RegexMilestones"],
        "rewardlab.rewards.verifiers.repetition": ["Repetition"],
        "rewardlab.rewards.verifiers.similarity": ["rouge_l"],
        "rewardlab.rewards.verifiers.tag_format": ["TagFormat", "ThinkingLength"],
        "rewardlab.rewards.verifiers.tool_calls": ["ToolCallMatch"],
    },
)
