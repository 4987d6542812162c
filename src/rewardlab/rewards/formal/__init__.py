"""Rewards that are stated formally: reward machines, and temporal logic on finite traces.

Names load on first use.
"""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.rewards.formal.automata": ["Automaton", "compile_formula", "holds"],
        "rewardlab.rewards.formal.best_probability": ["best_long_run_probability", "best_trace_probability"],
        "rewardlab.rewards.formal.constraint_report": ["ConstraintReport"],
        "rewardlab.rewards.formal.constraints": ["Constraint", "Lagrangian"],
        "rewardlab.rewards.formal.edges": ["Edge"],
        "rewardlab.rewards.formal.labels": [
            "ChatEvents",
            "FunctionLabels",
            "InfoLabels",
            "Labels",
            "RewardLabels",
            "StateLabels",
        ],
        "rewardlab.rewards.formal.ltlf": ["LTLf", "formula_machine"],
        "rewardlab.rewards.formal.machine_text": ["MachineBuilder"],
        "rewardlab.rewards.formal.machines": ["RewardMachine"],
        "rewardlab.rewards.formal.probabilities": ["TraceProbability", "long_run_probability", "trace_probability"],
        "rewardlab.rewards.formal.syntax": ["Formula", "FormulaError", "parse_formula", "parse_guard"],
    },
    rooms=["expressivity", "objectives"],
)
