"""rewardlab: the reward layer for reinforcement-learning agents.

    import rewardlab as rl

Every public name loads on first use; importing the package never imports torch.
"""

from rewardlab.lazy import lazy_names

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.types": ["Message", "Preference", "Scores", "Status", "Task", "Tokens", "Trajectory"],
        "rewardlab.rewards.base": ["Abstention", "Reward", "ScoringFailure", "Verdict", "Verifier"],
        "rewardlab.rewards.functions": ["reward"],
        "rewardlab.rewards.transitions": ["StatefulReward", "TransitionReward"],
        "rewardlab.rewards.recorded": ["EnvironmentReturn"],
        "rewardlab.rewards.shaping": ["Kinesthetic", "kinesthetic", "potential"],
        "rewardlab.rewards.schedules": ["Linear"],
        "rewardlab.rewards.spec": ["from_spec", "load_reward", "register", "to_spec"],
        "rewardlab.rewards.models.adversarial": ["AdversarialReward"],
        "rewardlab.rewards.models.distilled": ["DistilledReward"],
        "rewardlab.rewards.models.model": ["RewardModel"],
        "rewardlab.rewards.models.preconditioned": ["precondition"],
        "rewardlab.rewards.models.self_certainty": ["SelfCertainty"],
        "rewardlab.rewards.algebra": ["cascade", "ensemble", "hybrid"],
        "rewardlab.rewards.verifiers.actions": ["HierarchicalAction"],
        "rewardlab.rewards.verifiers.json_answer": ["JSONFormat"],
        "rewardlab.rewards.verifiers.similarity": ["rouge_l"],
        "rewardlab.rewards.verifiers.math": ["MathAnswer"],
        "rewardlab.rewards.verifiers.code": ["CodeTests"],
        "rewardlab.rewards.verifiers.tool_calls": ["ToolCallMatch"],
        "rewardlab.rewards.verifiers.tag_format": ["TagFormat", "ThinkingLength"],
        "rewardlab.rewards.verifiers.itinerary": ["Grounded", "Itinerary", "ItineraryFeasible"],
        "rewardlab.rewards.verifiers.json_schema": ["JSONMatch", "MatchesSchema", "ParsesAsJSON"],
        "rewardlab.rewards.verifiers.format": ["Format"],
        "rewardlab.rewards.verifiers.exact": ["Choice", "ExactMatch", "F1Match"],
        "rewardlab.rewards.verifiers.instructions": ["Instructions"],
        "rewardlab.rewards.verifiers.repetition": ["Repetition"],
        "rewardlab.rewards.verifiers.length": ["CosineLength", "LengthPenalty"],
        "rewardlab.environments.base": ["Environment"],
        "rewardlab.environments.cached_tools": ["CachedTools"],
        "rewardlab.environments.tools": ["tool"],
        "rewardlab.environments.tool_desk": ["ToolDesk"],
        "rewardlab.environments.travel_desk": ["TravelDesk"],
        "rewardlab.policies.language_model": ["LanguageModelPolicy"],
        "rewardlab.policies.rollout": ["rollout"],
        "rewardlab.storage": ["read_trajectories", "write_trajectories"],
        "rewardlab.scoring": ["score"],
        "rewardlab.rescoring": ["rescore"],
        "rewardlab.training.loop": ["train"],
        "rewardlab.training.replay": ["FailureReplay"],
        "rewardlab.learning.ensembles": ["fit_ensemble"],
        "rewardlab.learning.fitting": ["fit"],
        "rewardlab.learning.implicit": ["ImplicitProcessReward"],
        "rewardlab.learning.evaluation": ["evaluate"],
        "rewardlab.learning.programs.program": ["RewardProgram"],
        "rewardlab.learning.programs.views": ["abstraction"],
        "rewardlab.learning.programs.writer": ["RewardWriter"],
        "rewardlab.learning.reading": ["read_preferences", "read_step_labels"],
        "rewardlab.learning.report": ["report_preferences"],
    },
    rooms=[
        "audit",
        "config",
        "environments",
        "functional",
        "integrations",
        "parsing",
        "policies",
        "recipes",
        "rewards",
        "sandbox",
        "storage",
        "training",
    ],
)
