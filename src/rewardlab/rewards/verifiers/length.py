"""Rewards for how long an answer is: the soft overlong punishment of DAPO, and the cosine length reward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rewardlab.rewards.base import Reward, ScoringFailure, Verdict, Verifier, attempt, scores_from_verdicts
from rewardlab.rewards.spec import register
from rewardlab.rewards.verifiers.words import count_words
from rewardlab.types import Scores, Status, Trajectory, message_text

Unit = Literal["tokens", "words", "characters"]


def measure(trajectory: Trajectory, unit: Unit, turns: Literal["all", "last"] = "all") -> int:
    """How much the policy wrote.

    Args:
        trajectory: what happened.
        unit: `tokens` counts the tokens that the policy wrote, by `Trajectory.tokens`; `words` and `characters` count
            the text of its messages, without tool calls.
        turns: all of its messages, or the last.

    Raises:
        ScoringFailure: tokens are asked for, and the trajectory has none.
    """
    if unit == "tokens":
        if trajectory.tokens is None:
            raise ScoringFailure(
                "the trajectory has no tokens; expected Trajectory.tokens, or set unit to words or characters"
            )
        step = trajectory.tokens.step
        return int((step >= 0).sum() if turns == "all" else (step == len(trajectory) - 1).sum())
    texts = [trajectory.completion] if turns == "last" else [message_text(action) for action in trajectory.actions]
    return sum(map(count_words if unit == "words" else len, texts))


@register("length_penalty")
@dataclass(frozen=True, kw_only=True)
class LengthPenalty(Verifier):
    """A penalty in [-1, 0] for answers near a limit: 0 up to `maximum - buffer`, then linear down to -1 at `maximum`
    and beyond.

    The soft overlong punishment of Yu et al. 2025, "DAPO: an open-source LLM reinforcement learning system at scale"
    (equation 13), whose values for maximum and buffer are the defaults. Add it to a reward for being right, times a
    weight of your own.

    Args:
        maximum: the length from which the penalty is -1.
        buffer: how far before that it begins; 0 makes it a step just beyond the maximum.
        unit: `tokens` (needs `Trajectory.tokens`), `words` or `characters`.
        turns: whether all messages of the policy count, or only its last.
    """

    maximum: int = 20_480
    buffer: int = 4_096
    unit: Unit = "tokens"
    turns: Literal["all", "last"] = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.maximum < 1:
            raise ValueError(f"LengthPenalty: option 'maximum' must be at least 1, got {self.maximum}")
        if not 0 <= self.buffer <= self.maximum:
            raise ValueError(
                f"LengthPenalty: option 'buffer' must be between 0 and maximum ({self.maximum}), got {self.buffer}; "
                "it is the stretch before the maximum on which the penalty grows"
            )

    def verify(self, trajectory: Trajectory) -> Verdict | float:
        """Measure one trajectory and weigh its length."""
        length = measure(trajectory, self.unit, self.turns)
        free = self.maximum - self.buffer
        if length <= free:
            return 0.0
        if length >= self.maximum:
            return -1.0
        return (free - length) / self.buffer


@register("cosine_length")
@dataclass(frozen=True, kw_only=True)
class CosineLength(Reward):
    """A reward that moves with length along half a cosine: short right answers are worth most, and short wrong ones
    least.

    The cosine reward of Yeo et al. 2025, "Demystifying long chain-of-thought reasoning in LLMs" (section 4.2), with
    their values as defaults: from `right_short` at length 0 to `right_long` at `maximum` where the answer is right,
    from `wrong_short` to `wrong_long` where it is wrong, and `over` beyond the maximum. Part: `right`.

    Args:
        right: the reward that says whether an answer is right, where it reaches `threshold`; without one every answer
            counts as right.
        threshold: see `right`.
        maximum: the length at which the curve ends.
        unit: `tokens` (needs `Trajectory.tokens`), `words` or `characters`.
        turns: whether all messages of the policy count, or only its last.
        right_short: value of a right answer of length 0.
        right_long: value of a right answer of the maximal length.
        wrong_short: value of a wrong answer of length 0.
        wrong_long: value of a wrong answer of the maximal length.
        over: value of any answer longer than the maximum.
    """

    right: Reward | None = None
    threshold: float = 1.0
    maximum: int = 14_336
    unit: Unit = "tokens"
    turns: Literal["all", "last"] = "all"
    right_short: float = 2.0
    right_long: float = 1.0
    wrong_short: float = -10.0
    wrong_long: float = 0.0
    over: float = -10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.maximum < 1:
            raise ValueError(f"CosineLength: option 'maximum' must be at least 1, got {self.maximum}")
        for option in ("right_short", "right_long", "wrong_short", "wrong_long", "over"):
            if not math.isfinite(getattr(self, option)):
                raise ValueError(f"CosineLength: option {option!r} must be finite, got {getattr(self, option)}")

    def children(self) -> dict[str, Reward]:
        """The reward that says whether an answer is right."""
        return {} if self.right is None else {"right": self.right}

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        right = None if self.right is None else self.right(trajectories, progress=progress)
        outcomes: list[Verdict | float | tuple[Status, str] | None] = []
        for index, trajectory in enumerate(trajectories):
            if right is not None and right.status[index] != Status.SCORED:
                outcomes.append(
                    (Status(right.status[index]), right.note(index) or "the reward for being right has no value")
                )
                continue
            is_right = right is None or bool(right.values[index] >= self.threshold)
            outcomes.append(attempt(lambda one, is_right=is_right: self._value(one, is_right), trajectory))
        scores = scores_from_verdicts(outcomes)
        if right is not None:
            scores.parts["right"] = right
        return scores

    def _value(self, trajectory: Trajectory, is_right: bool) -> float:
        length = measure(trajectory, self.unit, self.turns)
        if length > self.maximum:
            return self.over
        short, long = (self.right_short, self.right_long) if is_right else (self.wrong_short, self.wrong_long)
        return float(long + 0.5 * (short - long) * (1 + np.cos(math.pi * length / self.maximum)))
