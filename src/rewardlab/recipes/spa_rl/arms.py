"""The arms of the proof: one exploration of a corridor, one pass of PPO over it, and step rewards of different origin.

All arms use the same attempts, the same update and the same advantage: the reward to go minus its mean over the attempts at
the same step. Only the step rewards differ, so that nothing but credit is compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewardlab.functional.discrimination import area_under_curve
from rewardlab.learning.progress import ProgressEstimator, ProgressReport
from rewardlab.recipes.spa_rl.encoder import PairEncoder
from rewardlab.recipes.spa_rl.world import ACTIONS, SYMBOLS, Corridor
from rewardlab.rewards.models.encoders.arrays import SequenceEncoder
from rewardlab.rewards.verifiers.grounded_actions import GroundedActions
from rewardlab.training.credit.returns import ReturnToGo
from rewardlab.types import Scores, Status

Steps = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a policy does: the chance that an attempt succeeds, and that an action is possible."""

    success: float
    valid: float


@dataclass(kw_only=True)
class Arms:
    """One corridor, explored once.

    Args:
        corridor: the world.
        attempts: how many were explored.
        learning_rate, epochs, batch_size, clip: of the pass of PPO.
        estimator_epochs, estimator_rate, decay: of the estimators.
        grounding: what valid actions earn, over the length.
    """

    corridor: Corridor
    attempts: int = 256
    learning_rate: float = 1.6
    epochs: int = 4
    batch_size: int = 64
    clip: float = 0.2
    estimator_epochs: int = 60
    estimator_rate: float = 0.02
    decay: float = 0.5
    grounding: float = 0.05
    found: dict[str, Steps] = field(default_factory=dict, init=False)
    reports: dict[str, ProgressReport] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.start = self.corridor.start()
        self.played = self.corridor.play(self.start, self.attempts)
        self.trajectories = self.played.trajectories()

    # ---- step rewards -------------------------------------------------------------------------------------------------

    def steps(self, name: str) -> Steps:
        """Step rewards of an arm, float64[attempt, step].

        Args:
            name: `final`, `uniform`, `grounding`, `spa`, `contributions` (spa without grounding), `history` (contributions
                of an estimator that reads the whole history), `shuffled` (of one that learned other attempts' outcomes),
                `oracle`, or what the authors' code does beside the paper: `leave_one_out` (the final reward minus the mean
                of the others at every step) and `early` (contributions times the steps that follow).
        """
        played, length = self.played, self.corridor.length
        if name == "final":
            rewards = np.zeros(played.right.shape)
            rewards[:, -1] = played.outcomes
            return rewards
        if name == "uniform":
            return np.repeat(played.outcomes[:, None] / length, length, axis=1)
        if name == "oracle":
            return played.right / np.maximum(played.critical.sum(1), 1)[:, None]
        if name == "grounding":
            paid = GroundedActions(info_key="valid", weight=self.grounding, per_step_scale="1/T")(self.trajectories)
            assert paid.steps is not None
            return np.stack([row for row in paid.steps if row is not None])
        if name == "spa":
            return self.steps("contributions") + self.steps("grounding")
        if name == "final_grounding":
            return self.steps("final") + self.steps("grounding")
        if name == "leave_one_out":
            others = (played.outcomes.sum() - played.outcomes) / max(1, self.attempts - 1)
            return np.repeat((played.outcomes - others)[:, None], length, axis=1)
        if name == "early":
            return self.steps("contributions") * np.arange(length - 1, -1, -1)
        if name not in self.found:
            self.found[name] = self._estimated(name)
        return self.found[name]

    def _estimated(self, name: str) -> Steps:
        outcomes = self.played.outcomes
        if name == "shuffled":
            outcomes = np.random.default_rng([self.corridor.seed, 4]).permutation(outcomes)
        estimator = self.estimator("history" if name == "history" else "step")
        self.reports[name] = estimator.fit(self.trajectories, outcomes)
        return np.stack(estimator.contributions(self.trajectories))

    def estimator(self, context: str) -> ProgressEstimator:
        """A fresh progress estimator of this world."""
        if context == "history":
            encoder = SequenceEncoder(SYMBOLS + ACTIONS, 64, seed=self.corridor.seed)
            return ProgressEstimator(encoder, context="history", epochs=60, seed=self.corridor.seed)
        return ProgressEstimator(
            PairEncoder(SYMBOLS, ACTIONS),
            context="history",  # the encoder reads each step by itself, so nothing has to be cut into pieces
            epochs=self.estimator_epochs,
            learning_rate=self.estimator_rate,
            weight_decay=self.decay,
            seed=self.corridor.seed,
        )

    def separation(self, name: str) -> float:
        """The chance that a critical step done right got more than one done wrong (area under the curve)."""
        steps, right = self.steps(name)[self.played.critical], self.played.right[self.played.critical]
        return area_under_curve(steps, right)

    # ---- one pass of PPO ----------------------------------------------------------------------------------------------

    def train(self, name: str, *, discount: float = 1.0) -> Measured:
        """One pass of PPO over the exploration, with the step rewards of an arm."""
        steps = self.steps(name)
        count = len(steps)
        scores = Scores(values=steps.sum(1), status=np.full(count, Status.SCORED, dtype=np.int8), steps=list(steps))
        credit = ReturnToGo(discount=discount, baseline="position", scale="std")
        advantages = torch.as_tensor(np.stack(credit(self.trajectories, scores).values), dtype=torch.float32)
        return self.measure(self._descend(advantages))

    def measure(self, scores: Tensor) -> Measured:
        """What a policy does, exactly."""
        return Measured(self.corridor.success(scores), self.corridor.valid_rate(scores))

    def _descend(self, advantages: Tensor) -> Tensor:
        symbols, actions = torch.as_tensor(self.played.symbols), torch.as_tensor(self.played.actions)
        old = torch.log_softmax(self.start, -1)[symbols, actions]
        scores = self.start.clone().requires_grad_(True)
        optimizer = torch.optim.Adam([scores], lr=self.learning_rate)
        chance = np.random.default_rng([self.corridor.seed, 5])
        for _ in range(self.epochs):
            order = torch.as_tensor(chance.permutation(self.attempts))
            for batch in order.split(self.batch_size):
                ratio = (torch.log_softmax(scores, -1)[symbols[batch], actions[batch]] - old[batch]).exp()
                gain = advantages[batch]
                clipped = ratio.clamp(1 - self.clip, 1 + self.clip) * gain
                loss = -torch.minimum(ratio * gain, clipped).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return scores.detach()
