"""RL for machine-learning engineering agents (Yang et al., arXiv 2509.01684): milestones, duration weights, and the proof.

The parts stand in the library: `AsyncLoop`, `DurationAware`, `PartialCredit`, `Instrumented` and `SelfImprove`.
`mle_trainer` puts them together on the model bench. `choices` and `programs` are the tables of the proof.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rewardlab.lazy import lazy_names

if TYPE_CHECKING:
    from rewardlab.recipes.rl_mle_agents.bench import (
        TERSE_BENCH,
        bench_choices,
        bench_drafts,
        bench_policy,
        bench_run,
        mle_reward,
        mle_trainer,
    )
    from rewardlab.recipes.rl_mle_agents.choices import WORLDS, Choices
    from rewardlab.recipes.rl_mle_agents.programs import Programs
    from rewardlab.recipes.rl_mle_agents.proof import BENCH, RECIPE

__getattr__, __dir__, _ = lazy_names(
    __name__,
    {
        "rewardlab.recipes.rl_mle_agents.bench": [
            "TERSE_BENCH",
            "bench_choices",
            "bench_drafts",
            "bench_policy",
            "bench_run",
            "mle_reward",
            "mle_trainer",
        ],
        "rewardlab.recipes.rl_mle_agents.choices": ["WORLDS", "Choices"],
        "rewardlab.recipes.rl_mle_agents.programs": ["Programs"],
        "rewardlab.recipes.rl_mle_agents.proof": ["BENCH", "RECIPE"],
    },
)

__all__ = [
    "BENCH",
    "RECIPE",
    "TERSE_BENCH",
    "WORLDS",
    "Choices",
    "Programs",
    "bench_choices",
    "bench_drafts",
    "bench_policy",
    "bench_run",
    "mle_reward",
    "mle_trainer",
]
