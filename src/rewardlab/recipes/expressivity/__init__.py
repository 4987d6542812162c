"""On the expressivity of objective-specification formalisms (Subramani et al. 2024): what no Markov reward states, found by
a linear programme, and what its failure costs an agent; with its proof.
"""

from __future__ import annotations

from rewardlab.recipes.expressivity.patrol import (
    best_memoryless,
    fit_rewards,
    patrol,
    patrol_machine,
    q_learning,
    shares,
)
from rewardlab.recipes.expressivity.proof import RECIPE
from rewardlab.recipes.expressivity.tasks import DISCOUNTS, controls, tasks

__all__ = [
    "DISCOUNTS",
    "RECIPE",
    "best_memoryless",
    "controls",
    "fit_rewards",
    "patrol",
    "patrol_machine",
    "q_learning",
    "shares",
    "tasks",
]
