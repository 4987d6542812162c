"""Sequences of nine tokens whose reward is a random network of their segments, their neighbours and the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rewardlab.recipes.tree_preferences.sampling import Segment
from rewardlab.rewards.models.base import Batch, Encoded, Encoder
from rewardlab.types import Task, Trajectory

Floats = NDArray[np.float64]
LENGTH = 9
"""Tokens of a response, in three segments."""


@dataclass(frozen=True, kw_only=True)
class World:
    """One seed's truth.

    Args:
        seed: of everything.
        vocabulary: different tokens.
        prompts: for training; `unseen` more are for testing alone.
        unseen: prompts that no training data have.
        features: numbers that describe a prompt.
        beta: of the Bradley-Terry labels; the true reward has deviation 1.
    """

    seed: int
    vocabulary: int = 8
    prompts: int = 40
    unseen: int = 20
    features: int = 4
    beta: float = 3.0

    @cached_property
    def tasks(self) -> list[Task]:
        """The training prompts first, then the unseen ones."""
        drawn = np.random.default_rng((self.seed, 1)).normal(size=(self.prompts + self.unseen, self.features))
        return [
            Task(id=f"prompt {place}", metadata={"features": row.tolist(), "number": place})
            for place, row in enumerate(drawn)
        ]

    @cached_property
    def _truth(self) -> dict[str, Floats]:
        generator = np.random.default_rng((self.seed, 0))
        embedded = generator.normal(size=(self.vocabulary, 4))
        sizes = {"segment": 3 * 4, "neighbours": 6 * 4, "prompted": 3 * 4 + self.features}
        nets: dict[str, Floats] = {"embedding": embedded}
        for name, size in sizes.items():
            nets[name] = generator.normal(size=(3, size, 16)) / np.sqrt(size)
            nets[f"{name}_out"] = generator.normal(size=(3, 16)) * (1.0 if name == "segment" else 0.5)
        return nets

    @cached_property
    def _scale(self) -> tuple[float, float]:
        generator = np.random.default_rng((self.seed, 2))
        features = np.array([task.metadata["features"] for task in self.tasks])
        tokens = generator.integers(self.vocabulary, size=(20_000, LENGTH))
        raw = self._raw(features[generator.integers(len(features), size=len(tokens))], tokens)
        return float(raw.mean()), float(raw.std())

    def _raw(self, features: Floats, tokens: NDArray[np.int64]) -> Floats:
        truth = self._truth
        segments = truth["embedding"][tokens].reshape(len(tokens), 3, -1)
        total = np.zeros(len(tokens))
        for place in range(3):
            reads = {
                "segment": segments[:, place],
                "prompted": np.concatenate([segments[:, place], features], axis=1),
                "neighbours": segments[:, place : place + 2].reshape(len(tokens), -1),
            }
            for name, read in reads.items():
                if place < 2 or name != "neighbours":
                    total += np.tanh(read @ truth[name][place]) @ truth[f"{name}_out"][place]
        return total

    def rewards(self, trajectories: Sequence[Trajectory]) -> Floats:
        """The true reward, with mean 0 and deviation 1; float64[trajectory]."""
        rows = np.array([np.asarray(one.observations[0], dtype=np.float64) for one in trajectories])
        mean, deviation = self._scale
        return (self._raw(rows[:, : self.features], rows[:, self.features :].astype(np.int64)) - mean) / deviation

    def judge(self, stream: int) -> _Judge:
        """An annotator with Bradley-Terry noise."""
        return _Judge(self, np.random.default_rng((self.seed, 3, stream)))

    def truth(self, first: Sequence[Trajectory], second: Sequence[Trajectory]) -> Floats:
        """An annotator without noise."""
        return (self.rewards(first) > self.rewards(second)).astype(np.float64)

    @property
    def writer(self) -> UniformWriter:
        """The policy, which draws tokens uniformly."""
        return UniformWriter(vocabulary=self.vocabulary)


@dataclass(frozen=True)
class _Judge:
    world: World
    generator: np.random.Generator

    def __call__(self, first: Sequence[Trajectory], second: Sequence[Trajectory]) -> Floats:
        log_odds = self.world.beta * (self.world.rewards(first) - self.world.rewards(second))
        return (self.generator.random(len(first)) < 1.0 / (1.0 + np.exp(-log_odds))).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class UniformWriter:
    """Draws every token uniformly; a response is the prompt's numbers and its tokens in one array.

    Args:
        vocabulary: different tokens.
    """

    vocabulary: int

    def open(self, task: Task) -> list[int]:
        """Nothing: the prompt is numbers."""
        return []

    def extend(self, contexts: Sequence[Sequence[int]], most: Sequence[int], seeds: Sequence[int]) -> list[Segment]:
        """As many tokens as are wanted; it never ends by itself."""
        drawn = [
            np.random.default_rng(seed).integers(self.vocabulary, size=count).tolist()
            for count, seed in zip(most, seeds, strict=True)
        ]
        chance = -float(np.log(self.vocabulary))
        return [Segment(ids=ids, logprobs=[chance] * len(ids), stopped=False) for ids in drawn]

    def decode(self, ids: Sequence[int]) -> str:
        """One letter for each token."""
        return "".join(chr(ord("a") + one) for one in ids)

    def trajectory(
        self, task: Task, opening: Sequence[int], ids: Sequence[int], logprobs: Sequence[float], stopped: bool
    ) -> Trajectory:
        """An array trajectory of one observation."""
        row = np.array([*task.metadata["features"], *ids], dtype=np.float32)
        return Trajectory(observations=row[None], actions=np.zeros((0,), dtype=np.float32), task=task)


class SequenceEncoder(Encoder):
    """Embedded tokens beside the numbers of the prompt, read by a GRU.

    Args:
        vocabulary: different tokens.
        features: numbers of a prompt.
        hidden: width of the GRU, and of the features.
        embedding: width of a token.
        seed: of the weights.
    """

    kind = "rewardlab.recipes.tree_preferences.world:SequenceEncoder"

    def __init__(self, vocabulary: int, features: int, *, hidden: int = 48, embedding: int = 16, seed: int = 0) -> None:
        super().__init__()
        self._options = {
            "vocabulary": vocabulary,
            "features": features,
            "hidden": hidden,
            "embedding": embedding,
            "seed": seed,
        }
        self.vocabulary, self.features, self.width = vocabulary, features, hidden
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(vocabulary, embedding)
            self.recurrent = nn.GRU(embedding + features, hidden, batch_first=True)

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    @classmethod
    def build(cls, options: Mapping[str, Any], directory: Any) -> SequenceEncoder:
        """The same encoder again."""
        return cls(**options)

    def prepare(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """One float32[number] array of each.

        Raises:
            ValueError: a trajectory of another shape, or with a token that is not in the vocabulary.
        """
        return [self._read(one, index) for index, one in enumerate(trajectories)]

    def _read(self, trajectory: Trajectory, index: int) -> NDArray[np.float32]:
        row = np.asarray(trajectory.observations[0], dtype=np.float32)
        tokens = row[self.features :] if row.ndim == 1 else row
        if row.ndim != 1 or not len(tokens) or tokens.min() < 0 or tokens.max() >= self.vocabulary:
            raise ValueError(
                f"trajectory {index} must hold {self.features} numbers and then tokens below {self.vocabulary}, got an "
                f"array of shape {row.shape}"
            )
        return row

    def collate(self, prepared: Sequence[Any]) -> Batch:
        """`rows` float32[trajectory, number]; all have as many tokens.

        Raises:
            ValueError: they have not.
        """
        if len({len(one) for one in prepared}) > 1:
            raise ValueError("this encoder reads sequences of one length")
        return {"rows": torch.from_numpy(np.stack(prepared))}

    def forward(self, batch: Batch) -> Encoded:
        """The state behind the last token."""
        told, tokens = batch["rows"][:, : self.features], batch["rows"][:, self.features :].long()
        read = torch.cat([self.embedding(tokens), told[:, None].expand(-1, tokens.shape[1], -1)], dim=-1)
        return Encoded(response=self.recurrent(read)[1][0])
