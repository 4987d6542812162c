"""RAFT's claims: it goes past the best of k of the policy it started from, larger k helps, and so does ranking by prompt.

All arms start from one supervised policy and sample 12 x 512 answers. Where the paper compares with PPO, the comparison here
is GRPO at three weights of the divergence, reported as a frontier of reward against KL with no required winner: with an exact
reward a tuned policy gradient may well reach more.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rewardlab.environments.single_turn import SingleTurn
from rewardlab.functional.selection import distinct_ngrams
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.rollout import rollout
from rewardlab.recipes.proof import Claim, Outcome, Recipe
from rewardlab.recipes.raft.samplers import PolicySampler
from rewardlab.recipes.raft.stages import RaftStages
from rewardlab.recipes.raft.world import JUNK, LENGTH, World, blind_reward, no_junk, target_reward
from rewardlab.training.loop import train
from rewardlab.training.objectives.policy_gradient import GRPO
from rewardlab.types import Trajectory

STAGES, SAMPLES = 12, 512
SAMPLING = Sampling(temperature=1.0, max_new_tokens=LENGTH + 1)
LEARNING_RATES = {"raft": 1e-3, "grpo": 1e-3}
"""The best of {3e-4, 1e-3, 3e-3} for each method on seeds 100 to 102."""


@dataclass(kw_only=True)
class Measured:
    """What a policy does on held-out prompts."""

    reward: float
    best_of_8: float
    kl: float
    distinct: float
    junk: float
    curve: Sequence[float] = ()


@dataclass(kw_only=True)
class Arms:
    """The arms of one seed.

    Args:
        world: prompts and the supervised policy.
        stages: stages, or steps, of each arm.
        samples: answers in each.
        learning_rates: by method.
    """

    world: World
    stages: int = STAGES
    samples: int = SAMPLES
    learning_rates: Mapping[str, float] = None  # type: ignore[assignment]  # the module's when not given
    start_steps: int = 250

    def __post_init__(self) -> None:
        self.learning_rates = self.learning_rates or LEARNING_RATES
        self.start = self.world.supervised_policy(steps=self.start_steps)

    def supervised(self) -> Measured:
        """No training."""
        return self.measure(self._sampler())

    def raft(
        self,
        k: int,
        select: Any = "local",
        reward: Any = target_reward,
        filters: Sequence[Callable[[Trajectory], bool]] = (),
    ) -> Measured:
        """RAFT with so many answers to each prompt."""
        sampler = self._sampler()
        stages = RaftStages(
            sampler=sampler, reward=reward, k=k, batch=self.samples // k, select=select, filters=filters,
            seed=self.world.seed,
        )  # fmt: skip
        reports = stages.run(self.world.train, self.stages)
        return self.measure(sampler, [report.reward for report in reports])

    def grpo(self, kl_coefficient: float) -> Measured:
        """GRPO on as many samples, in groups of 8."""
        sampler = self._sampler()
        objective = GRPO(
            learning_rate=self.learning_rates["grpo"], kl_coefficient=kl_coefficient, epochs=1, mini_batches=8
        )
        result = train(
            sampler.policy, SingleTurn, target_reward, self.world.train, objective=objective, steps=self.stages,
            tasks_per_step=self.samples // 8, group_size=8, sampling=SAMPLING, seed=self.world.seed, trackers=(),
        )  # fmt: skip
        return self.measure(sampler, [row["reward/mean"] for row in result.metrics])

    def measure(self, sampler: PolicySampler, curve: Sequence[float] = ()) -> Measured:
        """8 answers to each held-out prompt, scored by the true reward."""
        samples = rollout(
            sampler.policy, SingleTurn, self.world.test, group_size=8, sampling=SAMPLING, seed=self.world.seed
        )
        values = target_reward(samples).values.reshape(-1, 8)
        present, start = sampler.log_probabilities(samples)
        texts = [one.completion[:LENGTH] for one in samples]
        return Measured(
            reward=float(values.mean()),
            best_of_8=float(values.max(1).mean()),
            kl=float((present - start).mean()),
            # within an answer: over a pool, the number of possible bigrams would set the level
            distinct=float(np.mean([distinct_ngrams([text], 2) for text in texts if len(text) > 1])),
            junk=float(np.mean([text.count(JUNK) / max(1, len(text)) for text in texts])),
            curve=[*curve, float(values.mean())],
        )

    def _sampler(self) -> PolicySampler:
        policy = LanguageModelPolicy(copy.deepcopy(self.start.model), self.start.tokenizer, tool_syntax="none")
        return PolicySampler(
            policy=policy, sampling=SAMPLING, learning_rate=self.learning_rates["raft"], epochs=4, batch_size=16
        )
