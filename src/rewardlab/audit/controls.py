"""Rewards that should teach nothing: what a run with the true reward has to be compared with.

Part of what training with a verifiable reward gains is format, and some models gain even from coins. A gain that a control
shows as well is not the reward's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rewardlab.rewards.base import Reward
from rewardlab.rewards.spec import register
from rewardlab.types import Scores, Status, Trajectory


@register("coin")
@dataclass(frozen=True, kw_only=True)
class Coin(Reward):
    """1 with some probability, whatever the answer: a coin that is thrown for each text, and always falls the same for it.

    Args:
        probability: of 1, in [0, 1].
        seed: another seed, another coin.
    """

    probability: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"Coin: option 'probability' must be in [0, 1], got {self.probability}")

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        values = np.array([float(self._thrown(one) < self.probability) for one in trajectories])
        return Scores(values=values, status=np.full(len(trajectories), Status.SCORED, np.int8))

    def _thrown(self, trajectory: Trajectory) -> float:
        if trajectory.is_chat:
            text = repr([(message.get("role"), message.get("content")) for message in trajectory.messages])
        else:
            text = hashlib.sha256(np.ascontiguousarray(trajectory.actions).tobytes()).hexdigest()
        content = hashlib.sha256(f"{self.seed}/{trajectory.group}/{text}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(content[:8], "big") / 2.0**64


def spurious_controls(
    reward: Reward, *, format: Reward | None = None, highest: float = 1.0, seed: int = 0
) -> dict[str, Reward]:
    """The control arms of a run with a verifiable reward, by name; train once with each, on the same tasks and budget.

    Source: Shao et al. 2025, "Spurious Rewards: Rethinking Training Signals in RLVR" (arXiv 2506.10947).

    Args:
        reward: the true one, from 0 to `highest`.
        format: says whether the layout is kept, such as `rl.TagFormat()`; None leaves that arm out.
        highest: value of a right answer.
        seed: of the coin.

    Returns:
        "true" is the reward itself; "coin" half of all answers, by chance; "incorrect" pays what the true one does not;
        "format" the layout alone.
    """
    arms = {"true": reward, "coin": highest * Coin(seed=seed), "incorrect": highest - reward}
    if format is not None:
        arms["format"] = format
    return arms
