"""RAFT's claims: it goes past the best of k of the policy it started from, larger k helps, and so does ranking by prompt.

All arms start from one supervised policy and sample 12 x 512 answers. Where the paper compares with PPO, here
is GRPO at three weights of the divergence, reported as a frontier of reward against KL with no required winner: with an
exact reward a tuned policy gradient may well reach more.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

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

STAGES, SAMPLES, START_STEPS = 12, 512, 120
SAMPLING = Sampling(temperature=1.0, max_new_tokens=LENGTH + 1)
LEARNING_RATES = {"k=8 local": 1e-3, "k=2 local": 3e-3, "k=8 global": 1e-3, "grpo": 3e-3}
"""The best of {3e-4, 1e-3, 3e-3} for each arm on the tuning seed 100."""

KL_WEIGHTS = (0.0, 0.1, 0.5)
JUNK_RATE = 0.2
"""How often the corpus of the exploit's replica has junk in the place of a token."""


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
        learning_rates: by arm.
        start_steps: supervised steps of the starting policy.
    """

    world: World
    stages: int = STAGES
    samples: int = SAMPLES
    learning_rates: Mapping[str, float] = None  # type: ignore[assignment]  # the module's when not given
    start_steps: int = START_STEPS

    def __post_init__(self) -> None:
        self.learning_rates = self.learning_rates or LEARNING_RATES
        self.start = self.world.supervised_policy(steps=self.start_steps)

    def supervised(self) -> Measured:
        """No training."""
        return self.measure(self._sampler(0.0))

    def raft(
        self,
        k: int,
        select: Literal["local", "global"] = "local",
        reward: Any = target_reward,
        filters: Sequence[Callable[[Trajectory], bool]] = (),
    ) -> Measured:
        """RAFT with so many answers to each prompt."""
        sampler = self._sampler(self.learning_rates[f"k={k} {select}"])
        stages = RaftStages(
            sampler=sampler, reward=reward, k=k, batch=self.samples // k, select=select, filters=filters,
            measure_kl=False, seed=self.world.seed,
        )  # fmt: skip
        reports = stages.run(self.world.train, self.stages)
        return self.measure(sampler, [report.reward for report in reports])

    def grpo(self, kl_coefficient: float) -> Measured:
        """GRPO on as many samples, in groups of 8."""
        rate = self.learning_rates["grpo"]
        sampler = self._sampler(rate)
        objective = GRPO(learning_rate=rate, kl_coefficient=kl_coefficient, epochs=1, mini_batches=8)
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

    def _sampler(self, learning_rate: float) -> PolicySampler:
        policy = LanguageModelPolicy(copy.deepcopy(self.start.model), self.start.tokenizer, tool_syntax="none")
        return PolicySampler(policy=policy, sampling=SAMPLING, learning_rate=learning_rate, epochs=4, batch_size=16)


CLAIMS = (
    Claim(
        name="past_start",
        statement="RAFT k=8 reaches 2 more than the supervised policy",
        margin=2.0,
        unit="mean reward on held-out prompts",
    ),
    Claim(
        name="past_best_of_8",
        statement="RAFT k=8 reaches 0.5 more than the best of 8 of the supervised policy",
        margin=0.5,
        unit="mean reward on held-out prompts",
    ),
    Claim(name="k", statement="k=8 reaches more than k=2 on as many samples", unit="mean reward on held-out prompts"),
    Claim(
        name="local",
        statement="ranking by prompt reaches more than ranking over the pool",
        unit="mean reward on held-out prompts",
    ),
    Claim(
        name="steady",
        statement="the mean reward rises in at least 10 of 12 stages",
        margin=-0.5,
        gated=False,
        unit="stages",
    ),
)

FRONTIER_CLAIMS = (
    *(
        Claim(
            name=f"grpo_kl_{weight:g}",
            statement=f"RAFT k=8 against GRPO with KL weight {weight:g}: reward",
            gated=False,
            unit="mean reward on held-out prompts",
        )
        for weight in KL_WEIGHTS
    ),
    *(
        Claim(
            name=f"grpo_kl_{weight:g}_divergence",
            statement=f"RAFT k=8 against GRPO with KL weight {weight:g}: KL to the start",
            gated=False,
            unit="nats per answer",
        )
        for weight in KL_WEIGHTS
    ),
    Claim(
        name="hacked",
        statement="a reward blind to junk makes junk more common than at the start",
        gated=False,
        unit="share of junk",
    ),
    Claim(
        name="filtered_junk",
        statement="without a filter there is more junk than with it",
        gated=False,
        unit="share of junk",
    ),
    Claim(
        name="filtered_reward",
        statement="true reward is no lower with the filter than without",
        gated=False,
        unit="mean true reward",
    ),
    Claim(
        name="filtered_diversity",
        statement="answers are more varied with the filter than without",
        gated=False,
        unit="different bigrams of an answer",
    ),
)


def proof(
    seed: int, *, stages: int = STAGES, samples: int = SAMPLES, start_steps: int = START_STEPS
) -> dict[str, Outcome]:
    """The gated arms of one seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    arms = Arms(world=World(seed=seed), stages=stages, samples=samples, start_steps=start_steps)
    start, raft = arms.supervised(), arms.raft(8)
    rises = int((np.diff(raft.curve) >= 0).sum())
    return {
        "past_start": Outcome(method=raft.reward, baseline=start.reward),
        "past_best_of_8": Outcome(method=raft.reward, baseline=start.best_of_8),
        "k": Outcome(method=raft.reward, baseline=arms.raft(2).reward),
        "local": Outcome(method=raft.reward, baseline=arms.raft(8, "global").reward),
        "steady": Outcome(method=12 * rises / stages, baseline=10),
    }


def frontier(
    seed: int, *, stages: int = STAGES, samples: int = SAMPLES, start_steps: int = START_STEPS
) -> dict[str, Outcome]:
    """The reported arms of one seed: GRPO at three weights of the divergence, and the replica of the exploit."""
    torch.set_num_threads(1)
    arms = Arms(world=World(seed=seed), stages=stages, samples=samples, start_steps=start_steps)
    raft = arms.raft(8)
    outcomes = {}
    for weight in KL_WEIGHTS:
        grpo = arms.grpo(weight)
        outcomes[f"grpo_kl_{weight:g}"] = Outcome(method=raft.reward, baseline=grpo.reward)
        outcomes[f"grpo_kl_{weight:g}_divergence"] = Outcome(method=raft.kl, baseline=grpo.kl)
    tempted = Arms(world=World(seed=seed, junk=JUNK_RATE), stages=stages, samples=samples, start_steps=start_steps)
    hacked = tempted.raft(8, reward=blind_reward)
    filtered = tempted.raft(8, reward=blind_reward, filters=[no_junk])
    return {
        **outcomes,
        "hacked": Outcome(method=hacked.junk, baseline=tempted.supervised().junk),
        "filtered_junk": Outcome(method=hacked.junk, baseline=filtered.junk),
        "filtered_reward": Outcome(method=filtered.reward, baseline=hacked.reward),
        "filtered_diversity": Outcome(method=filtered.distinct, baseline=hacked.distinct),
    }


_SOURCE = (
    "Dong et al. 2023, RAFT: Reward rAnked FineTuning for Generative Foundation Model Alignment (arXiv 2304.06767)"
)

RECIPE = Recipe(title="RAFT", source=_SOURCE, claims=CLAIMS, proof=proof, minutes=1.0)
"""Imitation of the best of each group, beside the best of k of the policy it started from."""

FRONTIER = Recipe(
    title="RAFT beside GRPO, and a hacked reward", source=_SOURCE, claims=FRONTIER_CLAIMS, proof=frontier, minutes=1.0
)
"""What is reported and gates nothing: `rewardlab prove rewardlab.recipes.raft:FRONTIER`."""
