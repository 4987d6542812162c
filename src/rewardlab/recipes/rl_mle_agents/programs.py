"""Programs that mostly crash: milestones and duration weights together, as tables.

A program has six slots: import, load, features, model, train, save. Four of them have one right option, without which the
program crashes there; features and model decide how good the result is, and the model how long it takes. The policy is a
table of logits for each type of task, slot and option, so that hundreds of updates take a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional.durations import completion_probability, completion_weights, duration_weights

Floats = NDArray[np.float64]
Credit = Literal["sparse", "milestones", "permuted"]
Weight = Literal["plain", "mean", "completion"]

SLOTS, OPTIONS, TYPES = 6, 6, 4
IMPORT, LOAD, FEATURES, MODEL, TRAIN, SAVE = range(SLOTS)
PLUMBING = (IMPORT, LOAD, TRAIN, SAVE)
FEATURE_QUALITY = np.array([0.0, 0.04, 0.08, 0.12, 0.16, 0.20])
MODEL_QUALITY = {
    "slow best": np.array([0.30, 0.35, 0.42, 0.50, 0.58, 0.66]),
    "fast best": np.array([0.66, 0.58, 0.50, 0.42, 0.35, 0.30]),
    "flat": np.full(6, 0.47),
}
"""By world, from the fastest model to the slowest."""
MODEL_SECONDS = np.array([1.5, 3.0, 6.0, 10.0, 16.0, 24.0])
MODEL_START = np.array([0.45, 0.25, 0.14, 0.08, 0.05, 0.03])
"""How often the starting policy chooses each model."""
NOISE, JITTER = 0.03, 0.2


@dataclass(frozen=True, kw_only=True)
class Programs:
    """The world, and how the policy learns in it.

    Args:
        world: which models are good; a key of `MODEL_QUALITY`.
        right: how often the starting policy gets a slot of the plumbing right.
        fail: reward of complete failure.
        milestone: reward of each slot that a failing program passed.
        actors, windows, window: how many act at once, how many updates, seconds of each; what is unfinished is dropped.
        step: of the gradient.
        split: normalise milestones of failing programs apart from the outcomes, so that the scale of failure does not hide
            how valid programs differ.
        copies: independent runs side by side.
    """

    world: str = "slow best"
    right: float = 0.25
    fail: float = -10.0
    milestone: float = 0.1
    actors: int = 16
    windows: int = 80
    window: float = 30.0
    step: float = 1.0
    split: bool = False
    copies: int = 4

    def score(self, credit: Credit, weight: Weight, seed: int) -> dict[str, float]:
        """Train every copy, and measure what is learned.

        Returns:
            `score` (mean true score of a program, invalid ones 0), `valid` (share of programs that run) and `slow` (share
            of the two slowest models among all).
        """
        runs = [self._learn(credit, weight, np.random.default_rng([seed, copy, 7])) for copy in range(self.copies)]
        return {name: float(np.mean([run[name] for run in runs])) for name in runs[0]}

    def _learn(self, credit: Credit, weight: Weight, draw: np.random.Generator) -> dict[str, float]:
        right = draw.integers(OPTIONS, size=(TYPES, SLOTS))
        quality = np.stack([draw.permutation(FEATURE_QUALITY) for _ in range(TYPES)])
        logits = self._start(right)
        most = int(np.ceil(self.window / 0.8)) + 1
        for _ in range(self.windows):
            policy = _softmax(logits)
            kinds = draw.integers(TYPES, size=(self.actors, most))
            chosen = _draw(policy[kinds], draw.random((self.actors, most, SLOTS)))
            passed = self._passed(kinds, chosen, right)
            taken = self._seconds(passed, chosen) * draw.uniform(1 - JITTER, 1 + JITTER, kinds.shape)
            ends = taken.cumsum(axis=1)
            starts = ends - taken
            done = ends <= self.window
            if not done.any():
                continue
            value = self._value(kinds, chosen, quality) + NOISE * draw.normal(size=kinds.shape)
            advantages = self._advantages(credit, passed[done], value[done], draw)
            left = self.window - starts
            advantages = advantages * _weights(weight, taken[done], left[starts < self.window])
            rows = np.eye(OPTIONS)[chosen[done]] - policy[kinds[done]]
            gradient = np.zeros_like(logits)
            np.add.at(gradient, kinds[done], advantages[:, None, None] * rows)
            logits += self.step * TYPES * gradient / done.sum()
        return self._measure(_softmax(logits), right, quality)

    def _start(self, right: NDArray[np.int64]) -> Floats:
        """float64[type, slot, option]: the logits of a policy that knows a little."""
        shares = np.full((TYPES, SLOTS, OPTIONS), 1 / OPTIONS)
        shares[:, MODEL] = MODEL_START
        for slot in PLUMBING:
            shares[:, slot] = (1 - self.right) / (OPTIONS - 1)
            shares[np.arange(TYPES), slot, right[:, slot]] = self.right
        return np.log(shares)

    def _passed(
        self, kinds: NDArray[np.int64], chosen: NDArray[np.int64], right: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """How many slots each program passes before it crashes; all of them where it is valid."""
        fine = chosen == right[kinds]
        fine[..., FEATURES] = fine[..., MODEL] = True
        whole = fine.all(axis=-1)
        passed: NDArray[np.int64] = np.where(whole, SLOTS, (~fine).argmax(axis=-1))
        return passed

    def _seconds(self, passed: NDArray[np.int64], chosen: NDArray[np.int64]) -> Floats:
        """Crashes in import and load are quick; whatever comes to the training takes as long as the model does."""
        return np.where(passed <= LOAD, np.minimum(1 + 0.25 * passed, 2.0), MODEL_SECONDS[chosen[..., MODEL]])

    def _value(self, kinds: NDArray[np.int64], chosen: NDArray[np.int64], quality: Floats) -> Floats:
        return quality[kinds, chosen[..., FEATURES]] + MODEL_QUALITY[self.world][chosen[..., MODEL]]

    def _advantages(
        self, credit: Credit, passed: NDArray[np.int64], value: Floats, draw: np.random.Generator
    ) -> Floats:
        valid = passed == SLOTS
        progress = np.where(valid, 0.0, self.milestone * passed)
        if credit == "sparse":
            progress = np.zeros(passed.size)
        elif credit == "permuted":  # as much credit as before, given to failing programs at random
            progress[~valid] = draw.permutation(progress[~valid])
        if not self.split:
            return _normal(np.where(valid, value, self.fail + progress))
        advantages = _normal(valid.astype(np.float64))
        advantages[valid] += _normal(value[valid])
        advantages[~valid] += _normal(progress[~valid])
        return advantages

    def _measure(self, policy: Floats, right: NDArray[np.int64], quality: Floats) -> dict[str, float]:
        """Exactly, as slots are chosen independently of each other."""
        kinds = np.arange(TYPES)
        valid = np.prod([policy[kinds, slot, right[:, slot]] for slot in PLUMBING], axis=0)
        value = (policy[:, FEATURES] * quality).sum(axis=-1) + policy[:, MODEL] @ MODEL_QUALITY[self.world]
        slow = policy[:, MODEL, -2:].sum(axis=-1)
        return {"score": float((valid * value).mean()), "valid": float(valid.mean()), "slow": float(slow.mean())}


def _weights(weight: Weight, taken: Floats, available: Floats) -> Floats:
    if weight == "mean":
        return duration_weights(taken)
    if weight == "completion":
        return completion_weights(completion_probability(taken, available))
    return np.ones(taken.size)


def _normal(values: Floats) -> Floats:
    if values.size == 0:
        return values
    return (values - values.mean()) / (values.std() + 1e-4)


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def _draw(policy: Floats, chance: Floats) -> NDArray[np.int64]:
    """int64[..., slot] from shares float64[..., slot, option]."""
    drawn: NDArray[np.int64] = (chance[..., None] > policy.cumsum(axis=-1)[..., :-1]).sum(axis=-1)
    return drawn
