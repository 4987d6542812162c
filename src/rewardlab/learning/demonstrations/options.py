"""Options of the agent, apart from it, so that looking at them needs no Stable-Baselines3."""

from __future__ import annotations

from dataclasses import dataclass

from rewardlab.learning.demonstrations.base import positive


@dataclass(frozen=True, kw_only=True)
class PPOOptions:
    """Options of the agent; their meaning is that of Stable-Baselines3's `PPO`.

    Args:
        environments: how many run side by side.
        rollout: steps of each of them between two updates.
        batch_size: transitions in a gradient step.
        epochs: passes over a rollout.
        learning_rate: of Adam; falls linearly to a tenth where `decay`.
        decay: whether it falls.
        discount, gae_lambda: of the advantages.
        clip: of the ratio of probabilities.
        entropy: weight of the entropy bonus.
        hidden: widths of the hidden layers of policy and values.
        normalise: whether rewards are divided by the running deviation of their discounted sums.
    """

    environments: int = 16
    rollout: int = 64
    batch_size: int = 256
    epochs: int = 8
    learning_rate: float = 1e-3
    decay: bool = True
    discount: float = 0.98
    gae_lambda: float = 0.95
    clip: float = 0.2
    entropy: float = 0.0
    hidden: tuple[int, ...] = (64, 64)
    normalise: bool = True

    def __post_init__(self) -> None:
        positive(
            "PPOOptions",
            environments=self.environments,
            rollout=self.rollout,
            batch_size=self.batch_size,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            discount=self.discount,
        )
