"""The arms of the comparison: one reward model, fitted to comparisons of different shape."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rewardlab.learning.data import PreferenceData
from rewardlab.learning.fitting import fit
from rewardlab.recipes.tree_preferences.data import preference_data
from rewardlab.recipes.tree_preferences.sampling import PrefixTreeSampler, chain_pairs, tree_pairs
from rewardlab.recipes.tree_preferences.trees import LeafPair, Tree
from rewardlab.recipes.tree_preferences.world import LENGTH, SequenceEncoder, World
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Task, Trajectory


@dataclass(frozen=True, kw_only=True)
class Arms:
    """What one seed trains and tests.

    Args:
        world: the truth.
        epochs: of every fit.
        tests: comparisons in each test.
    """

    world: World
    epochs: float = 10.0
    tests: int = 2000

    # ---- data -----------------------------------------------------------------------------------------------------------

    def chain(self, count: int, *, stream: int = 1) -> list[LeafPair]:
        """Comparisons of independent responses."""
        return chain_pairs(self.world.writer, self._trained, count, budget=LENGTH, seed=self._seed(stream))

    def small_trees(self, count: int, *, stream: int = 2) -> list[LeafPair]:
        """Trees of eight leaves, each in one of four comparisons."""
        trees = self._trees(self._in_turn(-(-count // 4)), depth=3, branching=2, stream=stream)
        return tree_pairs(trees, 4, disjoint=True, seed=self._seed(stream))[:count]

    def big_trees(self, count: int, *, branching: int, stream: int = 3) -> list[LeafPair]:
        """One tree for each prompt, and all comparisons inside it."""
        each = -(-count // len(self._trained))
        trees = self._trees(self._trained, depth=3, branching=branching, stream=stream + branching)
        return tree_pairs(trees, each, beyond="repeat", seed=self._seed(stream))[:count]

    @staticmethod
    def generated(pairs: list[LeafPair]) -> int:
        """Tokens that were drawn for some comparisons."""
        return sum({pair.tree_id: pair.tree.generated for pair in pairs}.values())

    # ---- models -----------------------------------------------------------------------------------------------------------

    def fitted(self, pairs: list[LeafPair], *, stream: int) -> RewardModel:
        """A reward model fitted to labelled comparisons."""
        world = self.world
        data = preference_data(pairs, world.judge(stream))
        encoder = SequenceEncoder(world.vocabulary, world.features, seed=world.seed)
        model = RewardModel.make(encoder, {"type": "scalar", "seed": world.seed})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the fitter remarks on comparisons that occur twice, which big trees have
            return fit(
                model, data, epochs=self.epochs, batch_size=32, learning_rate=3e-3, weight_decay=1e-2, seed=world.seed
            ).model

    def accuracy(self, model: RewardModel, test: PreferenceData) -> float:
        """Share of the comparisons that a model orders as the truth does."""
        values = model(test.items).values
        return float(((values[test.first] > values[test.second]) == (test.label > 0.5)).mean())

    @cached_property
    def independent(self) -> PreferenceData:
        """Independent responses to the training prompts."""
        return preference_data(self.chain(self.tests, stream=11), self.world.truth)

    @cached_property
    def shared_prefix(self) -> PreferenceData:
        """Responses to the training prompts with a common beginning."""
        trees = self._trees(self._in_turn(max(1, self.tests // 4)), depth=3, branching=2, stream=12)
        pairs = [pair for pair in tree_pairs(trees, 28, beyond="cap", seed=1) if pair.lca_depth]
        return preference_data(pairs[: self.tests], self.world.truth)

    @cached_property
    def unseen(self) -> PreferenceData:
        """Independent responses to prompts that nothing was trained on."""
        tasks = self.world.tasks[self.world.prompts :]
        pairs = chain_pairs(self.world.writer, tasks, self.tests, budget=LENGTH, seed=self._seed(13))
        return preference_data(pairs, self.world.truth)

    def best_of(self, model: RewardModel, count: int = 16) -> float:
        """Mean true reward of the response that a model likes best of so many, over training prompts."""
        responses = self._responses(count)
        values = model(responses).values.reshape(-1, count)
        true = self.world.rewards(responses).reshape(-1, count)
        return float(true[np.arange(len(true)), values.argmax(1)].mean())

    def _responses(self, count: int) -> list[Trajectory]:
        trees = self._trees(self._in_turn(5 * len(self._trained)), depth=1, branching=count, stream=14)
        return [tree.trajectories[leaf] for tree in trees for leaf in tree.leaves]

    @property
    def _trained(self) -> list[Task]:
        return self.world.tasks[: self.world.prompts]

    def _in_turn(self, count: int) -> list[Task]:
        return [self._trained[place % len(self._trained)] for place in range(count)]

    def _trees(self, tasks: list[Task], *, depth: int, branching: int, stream: int) -> list[Tree]:
        sampler = PrefixTreeSampler(
            policy=self.world.writer, depth=depth, branching=branching, budget=LENGTH, seed=self._seed(stream)
        )
        return sampler.sample_many(tasks)

    def _seed(self, stream: int) -> int:
        return 1000 * self.world.seed + stream
