"""A process reward model from labels of single steps: `process` head, process loss, first-error F1; with its proof.

Everything a user needs is in the library: `rl.read_step_labels`, `rl.fit`, `rl.evaluate`. This recipe adds the baseline that
only looks at where a step stands, and a world in which process and outcome supervision can be told apart.
"""

from __future__ import annotations

from rewardlab.recipes.step_labels.arms import Arms, Measured
from rewardlab.recipes.step_labels.baselines import StepPrior
from rewardlab.recipes.step_labels.proof import RECIPE
from rewardlab.recipes.step_labels.world import World, labelled, outcomes, people

__all__ = ["RECIPE", "Arms", "Measured", "StepPrior", "World", "labelled", "outcomes", "people"]
