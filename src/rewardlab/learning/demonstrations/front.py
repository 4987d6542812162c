"""Every method by name, and one function that runs any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rewardlab.learning.demonstrations.base import DemonstrationFit, Imitation
from rewardlab.learning.demonstrations.worlds import Environment, Progress
from rewardlab.registry import Registry
from rewardlab.types import Trajectory

IMITATION = Registry(
    "imitation method",
    {
        "airl": "rewardlab.learning.demonstrations.adversarial:AIRL",
        "asaf": "rewardlab.learning.demonstrations.asaf:ASAF",
        "behaviour_cloning": "rewardlab.learning.demonstrations.cloning:BehaviourCloning",
        "density": "rewardlab.learning.demonstrations.density:DensityReward",
        "gail": "rewardlab.learning.demonstrations.adversarial:GAIL",
        "maximum_causal_entropy": "rewardlab.learning.demonstrations.entropy:MaximumCausalEntropy",
        "preferences": "rewardlab.learning.demonstrations.preferences:ControlPreferences",
        "off_policy_gail": "rewardlab.learning.demonstrations.off_policy:OffPolicyGAIL",
    },
    group="rewardlab.imitation",
)


def imitate(
    demonstrations: Sequence[Trajectory],
    environment: Environment,
    *,
    method: Mapping[str, Any] | str = "gail",
    steps: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> DemonstrationFit:
    """Learn from demonstrations by a method's name.

    Args:
        demonstrations: array trajectories.
        environment: a Gymnasium id, an environment, a vector of them, or a function that makes one.
        method: a name of `IMITATION`, or a spec with options such as `{"type": "gail", "learning_rate": 1e-3}`.
        steps: of the environment, at most; None for the method's own default.
        seed: of everything random.
        progress: called with each line of the history.

    Raises:
        SpecError: an unknown method or option; the nearest is named.
    """
    target, options = IMITATION.target(method)
    fitter: Imitation = target(**options)
    return fitter.fit(demonstrations, environment, steps=steps, seed=seed, progress=progress)
