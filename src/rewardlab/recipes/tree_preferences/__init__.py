"""Comparisons from prefix trees (Qiu et al. 2024): sampler, choice of pairs, what their graph tells, and the proof.

`PrefixTreeSampler` and `chain_pairs` draw responses, `preference_data` labels pairs, `topology_report` describes them; the
reward model and its fit stay what they are.
"""

from __future__ import annotations

from rewardlab.recipes.tree_preferences.arms import Arms
from rewardlab.recipes.tree_preferences.data import (
    check_no_leak,
    check_prompts,
    cycle_rate,
    preference_data,
    split_by_tree,
    trees_from_logs,
)
from rewardlab.recipes.tree_preferences.proof import RECIPE
from rewardlab.recipes.tree_preferences.sampling import (
    LanguageModelWriter,
    PrefixTreeSampler,
    Segment,
    Writer,
    chain_pairs,
    tree_pairs,
)
from rewardlab.recipes.tree_preferences.topology import (
    TopologyReport,
    resistances,
    simulated_distance,
    topology_report,
)
from rewardlab.recipes.tree_preferences.trees import LeafPair, Node, Tree
from rewardlab.recipes.tree_preferences.turns import TurnTreeSampler
from rewardlab.recipes.tree_preferences.world import World

__all__ = [
    "RECIPE",
    "Arms",
    "LanguageModelWriter",
    "LeafPair",
    "Node",
    "PrefixTreeSampler",
    "Segment",
    "TopologyReport",
    "Tree",
    "TurnTreeSampler",
    "World",
    "Writer",
    "chain_pairs",
    "check_no_leak",
    "check_prompts",
    "cycle_rate",
    "preference_data",
    "resistances",
    "simulated_distance",
    "split_by_tree",
    "topology_report",
    "tree_pairs",
    "trees_from_logs",
]
