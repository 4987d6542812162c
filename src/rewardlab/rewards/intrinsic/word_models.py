"""What labels of captions teach: a table, a classifier of words, a ranker of words. All learn a little at each delivery.

The classifier and the ranker are linear in hashed words and learn with AdaGrad, so that the words of a place that was just
reached, seen in a few captions only, still move quickly.

Source: the three reward models of Zheng et al. 2025 (ONI, arXiv 2410.23022); theirs read characters, as `characters.py`.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
_WORD = re.compile(r"\w+")
STEPS, SMALL, BATCH = 32, 25_000, 256
"""Steps at each delivery while there are fewer labels than SMALL (1 afterwards), and labels in one step."""


def hashed_words(captions: Sequence[str], size: int) -> Indices:
    """The different words of each caption as numbers.

    Args:
        captions: N of them.
        size: numbers go from 0 to size - 1.

    Returns:
        int64[N, most words], filled up with `size`.
    """
    rows = [sorted({zlib.crc32(word.encode()) % size for word in _WORD.findall(one.lower())}) for one in captions]
    table = np.full((len(rows), max(map(len, rows), default=0)), size, dtype=np.int64)
    for row, words in enumerate(rows):
        table[row, : len(words)] = words
    return table


def pair_loss(first: Floats, second: Floats, target: Floats) -> Floats:
    """Bradley-Terry loss with soft targets: cross-entropy of the scores' softmax, given how sure it is the first.

    Args:
        first, second: float[pair], scores.
        target: float[pair]; 1 for the first, 0 for the second, .5 for a tie.

    Returns:
        float64[pair].
    """
    margin = np.asarray(first, dtype=np.float64) - second
    return np.asarray(target * np.logaddexp(0.0, -margin) + (1.0 - target) * np.logaddexp(0.0, margin))


class RetrievalModel:
    """The label of the very same caption, and nothing else. Learns nothing, generalises nothing."""

    pairs: ClassVar[bool] = False

    def __init__(self) -> None:
        self.table: dict[str, float] = {}

    def clear(self) -> None:
        """Forget all labels."""
        self.table = {}

    def remember(self, labels: Mapping[Any, float]) -> None:
        """Keep labels."""
        self.table.update(labels)

    def learn(self, labels: Mapping[Any, float]) -> None:
        """Keep new labels."""
        self.table.update(labels)

    def values(self, captions: Sequence[str]) -> Floats:
        """float64[N]; NaN where a caption has no label."""
        return np.array([self.table.get(caption, np.nan) for caption in captions], dtype=np.float64)

    def agreement(self, labels: Mapping[Any, float]) -> float:
        """NaN: a table says nothing of what it has not seen."""
        return float("nan")

    def state_dict(self) -> dict[str, Any]:
        """Nothing beside the labels."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to take back."""


class _Words:
    """Weights of hashed words under AdaGrad; the last weight belongs to the filling, and stays 0."""

    def __init__(self, size: int, rate: float, seed: int) -> None:
        if size < 2:
            raise ValueError(f"size must be at least 2 hashed words, got {size}")
        self.size, self.rate = size, rate
        self.weights = np.zeros(size + 1)
        self.squares = np.full(size + 1, 1e-8)
        self.random = np.random.default_rng(seed)
        self.targets: list[float] = []

    def scores(self, features: Indices) -> Floats:
        """float64[N], the summed weights of the words in each row."""
        return np.asarray(self.weights[features].sum(axis=-1))

    def descend(self, features: Indices, slopes: Floats) -> None:
        """One step against the gradient, whose parts are `slopes` (float[N]) at each row; its length is cut at 10."""
        repeated = np.repeat(slopes / len(slopes), features.shape[1])
        gradient: Floats = np.bincount(features.reshape(-1), weights=repeated, minlength=self.size + 1).astype(
            np.float64
        )
        gradient[self.size] = 0.0
        gradient = gradient * min(1.0, 10.0 / max(float(np.linalg.norm(gradient)), 1e-12))
        self.squares += gradient**2
        self.weights -= self.rate * gradient / np.sqrt(self.squares)

    def _steps(self) -> list[Indices]:
        count = len(self.targets)
        steps = STEPS if count < SMALL else 1
        return [self.random.integers(count, size=min(BATCH, count)) for _ in range(steps)]

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser and the state of the draws."""
        return {
            "weights": self.weights.copy(),
            "squares": self.squares.copy(),
            "random": json.dumps(self.random.bit_generator.state),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave.

        Raises:
            ValueError: the state is that of another number of words.
        """
        weights = np.asarray(state["weights"], dtype=np.float64)
        if weights.shape != self.weights.shape:
            raise ValueError(
                f"the state has {len(weights) - 1} hashed words, this model {self.size}; make it with words="
            )
        self.weights, self.squares = weights.copy(), np.array(state["squares"], dtype=np.float64)
        self.random.bit_generator.state = json.loads(state["random"])


class WordClassifier(_Words):
    """Logistic regression on hashed words: 1 where a caption helps with a probability above the threshold, else 0.

    Args:
        size: number of hashed words.
        threshold: of the probability; higher is sparser.
        rate: of AdaGrad.
        seed: of the draws.
    """

    pairs: ClassVar[bool] = False

    def __init__(self, size: int = 8192, threshold: float = 0.5, rate: float = 0.3, seed: int = 0) -> None:
        super().__init__(size, rate, seed)
        self.threshold = threshold
        self.bias, self.bias_squares = 0.0, 1e-8
        self.clear()

    def clear(self) -> None:
        """Empty the data set; the weights stay."""
        self.targets, self._features = [], np.zeros((0, 0), dtype=np.int64)

    def remember(self, labels: Mapping[Any, float]) -> None:
        """Put labels into the data set, without learning."""
        self._features = _stack([self._features, hashed_words(list(labels), self.size)], self.size)
        self.targets += list(labels.values())

    def learn(self, labels: Mapping[Any, float]) -> None:
        """Take new labels in, and go some steps on all that there are."""
        self.remember(labels)
        targets = np.array(self.targets)
        for chosen in self._steps():
            features = self._features[chosen]
            slopes = self.probabilities(features) - targets[chosen]
            self.descend(features, slopes)
            self.bias_squares += float(slopes.mean()) ** 2
            self.bias -= self.rate * float(slopes.mean()) / self.bias_squares**0.5

    def probabilities(self, features: Indices) -> Floats:
        """float64[N], how likely captions with these words help."""
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(self.scores(features) + self.bias, -500, 500))))

    def values(self, captions: Sequence[str]) -> Floats:
        """float64[N], 1 or 0; NaN before the first label."""
        return self.of(hashed_words(captions, self.size))

    def of(self, features: Indices) -> Floats:
        """The same of hashed words."""
        if not self.targets:
            return np.full(len(features), np.nan)
        return (self.probabilities(features) > self.threshold).astype(np.float64)

    def agreement(self, labels: Mapping[Any, float]) -> float:
        """Share of labels that the model would have given; NaN before the first."""
        if not self.targets:
            return float("nan")
        given = np.array(list(labels.values())) > 0.5
        return float(np.mean((self.probabilities(hashed_words(list(labels), self.size)) > 0.5) == given))

    def state_dict(self) -> dict[str, Any]:
        """Also the bias."""
        return {**super().state_dict(), "bias": self.bias, "bias_squares": self.bias_squares}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state)
        self.bias, self.bias_squares = float(state["bias"]), float(state["bias_squares"])


class WordRanker(_Words):
    """Bradley-Terry scores of hashed words, brought to mean 0 and deviation 1 over what the policy meets; low ones give 0.

    Args:
        size: number of hashed words.
        threshold: normalised scores up to this give 0.
        rate: of AdaGrad.
        seed: of the draws.
    """

    pairs: ClassVar[bool] = True

    def __init__(self, size: int = 8192, threshold: float = 0.5, rate: float = 0.1, seed: int = 0) -> None:
        super().__init__(size, rate, seed)
        self.threshold = threshold
        self.count, self.mean, self.spread = 0, 0.0, 0.0
        self.clear()

    def clear(self) -> None:
        """Empty the data set; the weights stay."""
        self.targets, self._first = [], np.zeros((0, 0), dtype=np.int64)
        self._second = self._first

    def remember(self, labels: Mapping[Any, float]) -> None:
        """Put labelled pairs into the data set, without learning."""
        first, second = zip(*labels, strict=True)
        self._first = _stack([self._first, hashed_words(first, self.size)], self.size)
        self._second = _stack([self._second, hashed_words(second, self.size)], self.size)
        self.targets += list(labels.values())

    def learn(self, labels: Mapping[Any, float]) -> None:
        """Take new labels in, and go some steps on all that there are."""
        self.remember(labels)
        targets = np.array(self.targets)
        for chosen in self._steps():
            first, second = self._first[chosen], self._second[chosen]
            margin = np.clip(self.scores(first) - self.scores(second), -500, 500)
            slopes = 1.0 / (1.0 + np.exp(-margin)) - targets[chosen]
            both = _stack([first, second], self.size)
            self.descend(both, np.concatenate([slopes, -slopes]) * 2.0)  # a mean over pairs, not over their halves

    def meet(self, scores: Floats) -> None:
        """Take scores of what the policy met into the running mean and deviation."""
        if not len(scores):
            return
        count, mean = len(scores), float(scores.mean())
        whole, apart = self.count + count, mean - self.mean
        self.spread += float(((scores - mean) ** 2).sum()) + apart**2 * self.count * count / whole
        self.mean += apart * count / whole
        self.count = whole

    def normalised(self, scores: Floats) -> Floats:
        """float64[N]; 0 everywhere where no two scores ever differed."""
        deviation = (self.spread / self.count) ** 0.5 if self.count else 0.0
        if deviation <= 1e-12:
            return np.zeros(len(scores))
        return np.asarray((scores - self.mean) / deviation)

    def values(self, captions: Sequence[str]) -> Floats:
        """float64[N]: normalised scores above the threshold, else 0; NaN before the first label."""
        return self.of(hashed_words(captions, self.size))

    def of(self, features: Indices) -> Floats:
        """The same of hashed words."""
        if not self.targets:
            return np.full(len(features), np.nan)
        scores = self.normalised(self.scores(features))
        return scores * (scores > self.threshold)

    def agreement(self, labels: Mapping[Any, float]) -> float:
        """Share of decided pairs that the model would have decided so; NaN without any."""
        decided = {pair: label for pair, label in labels.items() if label != 0.5}
        if not self.targets or not decided:
            return float("nan")
        first, second = (hashed_words(one, self.size) for one in zip(*decided, strict=True))
        return float(np.mean((self.scores(first) > self.scores(second)) == (np.array(list(decided.values())) > 0.5)))

    def state_dict(self) -> dict[str, Any]:
        """Also the running moments."""
        return {**super().state_dict(), "count": self.count, "mean": self.mean, "spread": self.spread}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state)
        self.count, self.mean, self.spread = int(state["count"]), float(state["mean"]), float(state["spread"])


def draw_pairs(captions: Iterable[str], random: np.random.Generator, count: int = 10) -> list[tuple[str, str]]:
    """Pairs of different captions, drawn evenly from the different ones."""
    distinct = list(dict.fromkeys(caption for caption in captions if caption))
    if len(distinct) < 2:
        return []
    first = random.integers(len(distinct), size=count)
    second = (first + random.integers(1, len(distinct), size=count)) % len(distinct)
    return list(dict.fromkeys((distinct[one], distinct[two]) for one, two in zip(first, second, strict=True)))


def _stack(tables: Sequence[Indices], filling: int) -> Indices:
    """Tables of words one below the other, filled up to one width."""
    width = max(table.shape[1] for table in tables)
    return np.concatenate(
        [np.pad(table, ((0, 0), (0, width - table.shape[1])), constant_values=filling) for table in tables]
    )
