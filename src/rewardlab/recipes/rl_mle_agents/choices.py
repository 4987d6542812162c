"""Which of a few actions to take, where each takes time of its own: the duration weight alone, as a table.

A softmax policy over a few actions acts for many actors at once, in windows; learning is REINFORCE on what is finished,
weighted by the rules of `rewardlab.functional.durations`. Several copies of everything run side by side, and a seed's number
is their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional.durations import completion_probability, completion_weights, duration_weights

Floats = NDArray[np.float64]
Arm = Literal["plain", "mean", "cutoff", "completion"]
Baseline = Literal["none", "mean", "weighted"]

SECONDS = (1.0, 3.0, 10.0, 30.0)
START = (1.0, 0.5, 0.0, 0.0)
WORLDS: dict[str, tuple[float, ...]] = {
    "slow best": (0.5, 0.6, 0.75, 0.9),
    "small gap": (0.5, 0.52, 0.55, 0.6),
    "fast best": (0.9, 0.75, 0.6, 0.5),
    "flat": (0.6, 0.6, 0.6, 0.6),
}
"""Mean reward of each action where it does not fail, from the fastest action to the slowest."""
FAILS, NOISE, JITTER = 0.2, 0.1, 0.2


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Some actions, and how they are tried.

    Args:
        rewards: of each action where it does not fail.
        seconds: of each, times 0.8 to 1.2.
        start: logits at first.
        fails: how often an action gives 0.
        noise: deviation of the reward.
        actors: how many act at once.
        windows: how many updates.
        window: seconds of each.
        restarts: actors begin anew with each window, and what is unfinished is lost; else they carry on.
        step: of the gradient.
        copies: independent runs side by side.
    """

    rewards: Sequence[float]
    seconds: Sequence[float] = SECONDS
    start: Sequence[float] = START
    fails: float = FAILS
    noise: float = NOISE
    actors: int = 16
    windows: int = 150
    window: float = 60.0
    restarts: bool = True
    step: float = 0.5
    copies: int = 8

    def learn(self, arm: Arm, baseline: Baseline, seed: int) -> Floats:
        """Train, and give the policy that comes out, on average over the copies: float64[copy, action]."""
        draw = np.random.default_rng([seed, 11])
        mean = np.asarray(self.rewards, dtype=np.float64)
        lengths = np.asarray(self.seconds, dtype=np.float64)
        logits = np.tile(np.asarray(self.start, dtype=np.float64), (self.copies, 1))
        offset = np.zeros((self.copies, self.actors))  # seconds of a carried action that are still to be done
        carried = np.full((self.copies, self.actors), -1)
        most = int(np.ceil(self.window / (lengths.min() * (1 - JITTER)))) + 1
        longest = lengths.max() * (1 + JITTER)
        for _ in range(self.windows):
            policy = _softmax(logits)
            shape = (self.copies, self.actors, most)
            chosen = _draw(policy, draw.random(shape))
            taken = lengths[chosen] * draw.uniform(1 - JITTER, 1 + JITTER, shape)
            if not self.restarts:
                going = carried >= 0
                chosen[..., 0] = np.where(going, carried, chosen[..., 0])
                remaining = np.where(going, offset, taken[..., 0])
                spent = np.concatenate([remaining[..., None], taken[..., 1:]], axis=-1)
            else:
                spent = taken
            ends = spent.cumsum(axis=-1)
            starts = ends - spent
            finished = ends <= self.window
            begun = starts < self.window
            reward = np.where(draw.random(shape) < self.fails, 0.0, mean[chosen] + self.noise * draw.normal(size=shape))
            for copy in range(self.copies):
                done = finished[copy]
                if not done.any():
                    continue
                action, value, length = chosen[copy][done], reward[copy][done], lengths[chosen[copy][done]]
                left = self.window - starts[copy]
                weights = self._weights(arm, taken[copy][done], left[done], left[begun[copy]], longest)
                if not weights.any():
                    continue
                value = value - _level(baseline, value, length)
                rows = np.eye(mean.size)[action] - policy[copy]
                logits[copy] += self.step * (weights * value) @ rows / action.size
            if not self.restarts:
                last = (begun & ~finished).argmax(axis=-1)
                some = (begun & ~finished).any(axis=-1)
                rows_, columns = np.indices((self.copies, self.actors))
                carried = np.where(some, chosen[rows_, columns, last], -1)
                offset = np.where(some, ends[rows_, columns, last] - self.window, 0.0)
        return _softmax(logits)

    def value(self, arm: Arm, baseline: Baseline, seed: int) -> float:
        """Expected reward of what is learned, as a share of the best action's."""
        mean = np.asarray(self.rewards, dtype=np.float64)
        return float((self.learn(arm, baseline, seed) @ mean / mean.max()).mean())

    def _weights(self, arm: Arm, taken: Floats, left: Floats, available: Floats, longest: float) -> Floats:
        """Weights of finished actions, with mean 1 where any is kept."""
        if arm == "mean":
            return duration_weights(taken)
        if arm == "cutoff":
            kept = (left >= longest).astype(np.float64)
            return kept / kept.mean() if kept.any() else kept
        if arm == "completion":
            return completion_weights(completion_probability(taken, available))
        return np.ones(taken.size)


def _level(baseline: Baseline, value: Floats, length: Floats) -> float:
    if baseline == "mean":
        return float(value.mean())
    return float((value * length).sum() / length.sum()) if baseline == "weighted" else 0.0


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def _draw(policy: Floats, chance: Floats) -> NDArray[np.int64]:
    """Actions int64[copy, actor, place] from policies float64[copy, action] and uniform numbers."""
    bounds = policy.cumsum(axis=-1)[:, None, None, :-1]
    drawn: NDArray[np.int64] = (chance[..., None] > bounds).sum(axis=-1)
    return drawn
