"""How the clerk learns: by imitation of demonstrations, and by GRPO on choices in the place of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from rewardlab.environments.base import Environment
from rewardlab.functional.policy_losses import clipped_surrogate
from rewardlab.recipes.deeptravel.clerk import MOST_FEATURES, MOST_OPTIONS, Clerk, replayed
from rewardlab.training.credit.base import Advantages
from rewardlab.types import Trajectory


@dataclass(frozen=True, slots=True)
class _Choices:
    """Choices of many trajectories as tensors.

    Args:
        features: int64[choice, option, feature].
        options: bool[choice, option]; which options there are.
        chosen: int64[choice].
        old: float64[choice], log-probability when it was made.
        weight: float64[choice]; 1 / the number of choices of its trajectory, so that each trajectory counts once.
    """

    features: Tensor
    options: Tensor
    chosen: Tensor
    old: Tensor
    weight: Tensor

    def logprobs(self, weights: Tensor) -> Tensor:
        """float64[choice], of what was chosen."""
        known = torch.cat([weights.new_zeros(1), weights[1:]])  # the first stands for no feature, and is never learned
        logits = known[self.features].sum(-1).masked_fill(~self.options, -torch.inf)
        return torch.log_softmax(logits, -1).gather(1, self.chosen[:, None])[:, 0]


def _stack(trajectories: Sequence[Trajectory]) -> _Choices:
    rows = [row for one in trajectories for row in one.info["choices"]]
    features = np.zeros((len(rows), MOST_OPTIONS, MOST_FEATURES), dtype=np.int64)
    options = np.zeros((len(rows), MOST_OPTIONS), dtype=bool)
    for place, row in enumerate(rows):
        features[place, : len(row)] = row
        options[place, : len(row)] = True
    tokens = [one.tokens for one in trajectories if one.tokens is not None]
    return _Choices(
        features=torch.from_numpy(features),
        options=torch.from_numpy(options),
        chosen=torch.from_numpy(np.concatenate([one.ids for one in tokens])),
        old=torch.from_numpy(np.concatenate([one.logprobs for one in tokens]).astype(np.float64)),
        weight=torch.from_numpy(np.concatenate([np.full(len(one), 1 / len(one)) for one in tokens])),
    )


@dataclass(kw_only=True)
class ClerkGRPO:
    """GRPO for a `Clerk`: the same clipped surrogate as for tokens, over choices.

    Args:
        learning_rate: of Adam.
        epochs: passes over each batch.
        clip: how far the ratio is followed.
    """

    learning_rate: float = 0.05
    epochs: int = 2
    clip: float = 0.2
    _optimiser: torch.optim.Optimizer | None = field(default=None, init=False, repr=False)

    default_credit: ClassVar[str] = "group"

    def update(
        self,
        policy: Clerk,
        trajectories: Sequence[Trajectory],
        advantages: Advantages,
        *,
        progress: float | None = None,
    ) -> dict[str, float]:
        """One batch."""
        kept = [index for index in range(len(trajectories)) if advantages.included[index]]
        if not kept:
            return {}
        chosen = [trajectories[index] for index in kept]
        batch = _stack(chosen)
        values = [
            advantages.values[index][one.tokens.step]
            for index, one in zip(kept, chosen, strict=True)
            if one.tokens is not None
        ]
        credit = torch.from_numpy(np.concatenate(values))[:, None]
        weights = _parameter(policy)
        if self._optimiser is None:
            self._optimiser = torch.optim.Adam([weights], lr=self.learning_rate)
        weights = self._optimiser.param_groups[0]["params"][0]
        clipped = 0.0
        for _ in range(self.epochs):
            surrogate = clipped_surrogate(
                (batch.logprobs(weights) - batch.old)[:, None], credit, clip_low=self.clip, clip_high=self.clip
            )
            loss = (surrogate.losses[:, 0] * batch.weight).sum() / len(chosen)
            self._optimiser.zero_grad()
            loss.backward()
            self._optimiser.step()
            clipped = float(surrogate.clipped.double().mean())
        return {"clipped": clipped}


def imitate(
    clerk: Clerk,
    demonstrations: Sequence[Trajectory],
    environment: Callable[[], Environment],
    *,
    steps: int,
    batch_size: int = 64,
    learning_rate: float = 0.05,
    seed: int = 0,
) -> None:
    """Supervised learning on the choices of demonstrations; only what the agent wrote is learned, never a tool's answer."""
    world = environment()
    made = [replayed(clerk, one, world) for one in demonstrations]
    weights = _parameter(clerk)
    optimiser = torch.optim.Adam([weights], lr=learning_rate)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        batch = _stack([made[int(place)] for place in rng.choice(len(made), batch_size)])
        loss = -(batch.logprobs(weights) * batch.weight).sum() / batch_size
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def _parameter(clerk: Clerk) -> Any:
    """The clerk's weights as a leaf that shares their memory, so that what the optimiser does to it happens to the clerk."""
    return torch.from_numpy(clerk.weights).requires_grad_()
