"""Supervised steps on demonstrations before reinforcement learning begins, so that there is something to reinforce."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rewardlab.training.credit.base import Advantages
from rewardlab.types import Trajectory


@dataclass(kw_only=True)
class WarmStart:
    """What is imitated, and for how long.

    Args:
        demonstrations: chat trajectories; those without tokens are rendered by `policy.encode_demonstration`.
        steps: supervised steps.
        batch_size: demonstrations in each.
        learning_rate: of the default objective.
        objective: a supervised objective; None for `Supervised` with a cosine schedule
            whose first twelfth is a warm-up.

    Raises:
        ValueError: there are no demonstrations, or a number is below 1.
    """

    demonstrations: Sequence[Trajectory]
    steps: int = 100
    batch_size: int = 16
    learning_rate: float = 1e-3
    objective: Any = None
    _encoded: list[Trajectory] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.demonstrations) == 0:
            raise ValueError("the warm start has no demonstrations; give some, or train without warm_start")
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} of a warm start must be at least 1, got {getattr(self, name)}")
        if self.objective is None:
            from rewardlab.training.objectives.supervised import Supervised

            self.objective = Supervised(
                learning_rate=self.learning_rate, schedule="cosine", warmup=self.steps // 12, entropy=False
            )

    def step(self, policy: Any, environment: Callable[[], Any], number: int, seed: int) -> dict[str, float]:
        """Take one supervised step: each demonstration once per epoch, in an order that `seed` gives.

        Args:
            policy: what is trained.
            environment: a factory; says which tools the policy is shown.
            number: of the step, from 0.
            seed: of the order.
        """
        demonstrations = self._with_tokens(policy, environment)
        total = len(demonstrations)
        places = [divmod(at, total) for at in range(number * self.batch_size, (number + 1) * self.batch_size)]
        orders = {
            epoch: np.random.default_rng([seed, epoch]).permutation(total) for epoch in {one[0] for one in places}
        }
        chosen = [demonstrations[orders[epoch][place]] for epoch, place in places]
        advantages = Advantages(
            values=[np.ones(len(trajectory)) for trajectory in chosen], included=np.ones(len(chosen), dtype=np.bool_)
        )
        measured: dict[str, float] = self.objective.update(policy, chosen, advantages, progress=number / self.steps)
        return measured

    def _with_tokens(self, policy: Any, environment: Callable[[], Any]) -> list[Trajectory]:
        if self._encoded is None:
            self._encoded = list(self.demonstrations)
            bare = [index for index, one in enumerate(self._encoded) if one.tokens is None]
            tools = _tools(environment) if bare else ()
            for index in bare:
                one = self._encoded[index]
                shown = tools or (one.task.tools if one.task is not None else ())
                self._encoded[index] = replace(one, tokens=policy.encode_demonstration(one, shown))
        return self._encoded


def _tools(environment: Callable[[], Any]) -> Sequence[Any]:
    """The tools that rollouts show: the environment's own, or none for those of each task."""
    made = environment()
    try:
        return list(getattr(made, "tools", ()))
    finally:
        if hasattr(made, "close"):
            made.close()
