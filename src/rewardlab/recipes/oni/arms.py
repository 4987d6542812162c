"""Where the value of a message comes from: nowhere, from the truth, or from labels that come while the policy trains.

Each arm keeps a row of values, one for each message of the world; the learner looks them up. The queue, the clock and the
models of the on-line arms are the library's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.annotation import OnlineAnnotator, VirtualClock
from rewardlab.recipes.oni.dungeon import ACTIONS, Dungeons, World
from rewardlab.rewards.intrinsic.word_models import (
    RetrievalModel,
    WordClassifier,
    WordRanker,
    draw_pairs,
    hashed_words,
)

Kind = Literal[
    "extrinsic", "count", "random", "oracle", "retrieval", "classifier", "ranker", "table", "offline_classifier"
]
WORDS = 8192
LABELS, EVERY = 20, 200
"""Labels in a delivery, and vector steps between two."""
RANDOM_STEPS = 500
"""Vector steps of the random policy whose messages the off-line arms have labels of."""


@dataclass(frozen=True)
class Arm:
    """One way to value messages.

    Args:
        kind: where values come from.
        goal: what the judge likes: key and stairs, or traps.
        order: of the annotator's queue.
        exponent: of the count in the trajectory.
        noise: share of messages whose label is wrong.
    """

    kind: Kind
    goal: Literal["forward", "traps"] = "forward"
    order: Literal["lifo", "fifo"] = "lifo"
    exponent: float = 3.0
    noise: float = 0.0


class Teacher:
    """The values of one run.

    Args:
        arm: where they come from.
        world: whose messages.
        environments: how many steps of single environments a vector step is.
        steps: vector steps of the run, from which the budget of labels follows.
        known: messages that a random policy met, for the off-line arms.
        seed: of what is drawn.
    """

    def __init__(
        self, arm: Arm, world: World, environments: int, steps: int, known: NDArray[np.int64], seed: int
    ) -> None:
        self.arm, self.world, self.environments = arm, world, environments
        self.random = np.random.default_rng([seed, 17])
        self.truth = world.helpful if arm.goal == "forward" else world.harmful
        if arm.noise:
            self.truth = self.truth ^ (self.random.random(world.messages) < arm.noise)
        self.values = np.zeros(world.messages)
        self.annotator: OnlineAnnotator | None = None
        self.model: Any = None
        if arm.kind == "count":
            self.values[1:] = 1.0
        elif arm.kind == "random":
            self.values[1:] = self.random.random(world.messages - 1) < 0.3
        elif arm.kind == "oracle":
            self.values[:] = self.truth
        elif arm.kind in ("table", "offline_classifier"):
            budget = steps // EVERY * LABELS
            chosen = known if len(known) <= budget else self.random.choice(known, size=budget, replace=False)
            if arm.kind == "table":
                self.values[chosen] = self.truth[chosen]
            else:
                self.model = WordClassifier(WORDS, seed=seed)
                for part in range(0, len(chosen), LABELS):
                    some = chosen[part : part + LABELS]
                    self.model.learn({world.texts[one]: float(self.truth[one]) for one in some})
                self._renew()
        elif arm.kind != "extrinsic":
            model = {"retrieval": RetrievalModel, "classifier": WordClassifier, "ranker": WordRanker}[arm.kind]
            self.model = model() if arm.kind == "retrieval" else model(WORDS, seed=seed)
            clock = VirtualClock(delay=EVERY * environments, every=EVERY * environments)
            self.annotator = OnlineAnnotator(self.judge(), policy=arm.order, batch=LABELS, run=clock)

    def judge(self) -> Callable[[Sequence[Any]], list[float | None]]:
        """The scripted annotator: right about every message, but for the noise."""
        number = _numbers(self.world)

        def one(text: str) -> float:
            return float(self.truth[number[text]])

        def judge(items: Sequence[Any]) -> list[float | None]:
            if self.arm.kind == "ranker":
                return [0.5 + 0.5 * (one(first) - one(second)) for first, second in items]
            return [one(text) for text in items]

        return judge

    def hear(self, messages: NDArray[np.int64], steps: int) -> None:
        """A batch of the run, before the policy learns from it.

        Args:
            messages: int[step, environment], 0 for none.
            steps: vector steps that have passed.
        """
        if self.annotator is None:
            return
        flat = messages.reshape(-1)
        numbers, last = np.unique(flat[::-1], return_index=True)
        fresh = [int(one) for one in numbers[np.argsort(-last)] if one]  # the newest at the end
        texts = [self.world.texts[one] for one in fresh]
        if self.arm.kind == "ranker":
            if self.annotator.queued < 2 * LABELS:
                self.annotator.submit(draw_pairs(texts, self.random))
        else:
            known = self.annotator.labels
            self.annotator.submit([text for text in texts if text not in known])
        self.annotator.advance(steps * self.environments)
        labels = self.annotator.poll()
        if labels:
            self.model.learn(labels)
        if self.arm.kind == "ranker" and self.model.targets:
            self.model.meet(self.model.scores(_features(self.world))[flat[flat > 0]])
            self._renew()
        elif labels and self.arm.kind == "retrieval":
            number = _numbers(self.world)
            for text, label in labels.items():
                self.values[number[str(text)]] = label
        elif labels:
            self._renew()

    def _renew(self) -> None:
        self.values = np.nan_to_num(self.model.of(_features(self.world)))
        self.values[0] = 0.0


def random_messages(world: World, seeds: Sequence[int], environments: int, seed: int) -> list[NDArray[np.int64]]:
    """The different messages that a random policy meets in each run's dungeon."""
    dungeons = Dungeons(world, seeds, environments)
    generator = np.random.default_rng([seed, 23])
    met = np.zeros((len(seeds), world.messages), dtype=np.bool_)
    shape = (len(seeds), environments)
    for _ in range(RANDOM_STEPS):
        drawn = generator.integers(world.adjectives**2, size=shape)
        messages, won, late = dungeons.step(generator.integers(ACTIONS, size=shape), drawn)
        met[dungeons.rows, messages] = True
        dungeons.restart(won | late)
    met[:, 0] = False
    return [np.flatnonzero(row) for row in met]


@lru_cache(maxsize=4)
def _features(world: World) -> NDArray[np.int64]:
    return hashed_words(world.texts, WORDS)


@lru_cache(maxsize=4)
def _numbers(world: World) -> dict[str, int]:
    return {text: number for number, text in enumerate(world.texts)}
