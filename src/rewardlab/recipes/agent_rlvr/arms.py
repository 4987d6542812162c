"""The arms of Agent-RLVR's proof: equal attempts and equal steps, with and without guidance."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rewardlab.environments.single_turn import SingleTurn
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.engines.sampling import derive_seed
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.recipes.agent_rlvr.learning import DPOWithLikelihood, Imitation, Paired, imitate, prefer
from rewardlab.recipes.agent_rlvr.system import AgentRLVR, Attempts
from rewardlab.recipes.agent_rlvr.world import DECISIONS, HOW, Measured, World, measure
from rewardlab.rewards.verifiers.exact import ExactMatch
from rewardlab.training.guidance import PairSet, build_pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Attempts and steps; the same for every arm.

    Args:
        samples: in a sweep over the training tasks.
        sft_steps, sft_rate: imitation of a fifth of the unguided successes, before DPO.
        imitation_rate: of the arms that only imitate, which take all successes and the steps of both stages.
        dpo_steps, dpo_rate, beta, batch: of DPO.
        nll: weight of the likelihood of the chosen one in DPO.
    """

    samples: int = 16
    sft_steps: int = 100
    sft_rate: float = 3e-4
    imitation_rate: float = 1e-3
    dpo_steps: int = 150
    dpo_rate: float = 2e-4
    beta: float = 0.1
    batch: int = 32
    nll: float = 1.0


@dataclass(kw_only=True)
class Arms:
    """The arms of one seed; all start from the same base model and, with DPO, from the same imitation.

    Args:
        world: tasks, teacher and base model.
        budget: attempts and steps.
    """

    world: World
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        self.base = self.world.base_policy()
        self.system = AgentRLVR(
            policy=self.base,
            environment=SingleTurn,
            verifier=ExactMatch(),
            teacher=self.world.teacher(),
            samples=self.budget.samples,
            first_greedy=False,
            sampling=Sampling(temperature=1.0, max_new_tokens=DECISIONS + 1),
            guidance={"how": HOW, "leak_check": None},
            per_positive=1,
            seed=self.world.seed,
        )
        self.first = self.system.attempt(self.world.train_tasks, seed=derive_seed(self.world.seed, 1))
        self.start = copy.deepcopy(self.base)
        self.imitation = imitate(
            self.start,
            self.first.successes(),
            Imitation(
                fraction=0.2,
                steps=self.budget.sft_steps,
                batch_size=self.budget.batch,
                learning_rate=self.budget.sft_rate,
            ),
            seed=self.world.seed,
        )

    # ---- attempts ---------------------------------------------------------------------------------------------------

    def second(self) -> Attempts:
        """Another unguided sweep."""
        return self.system.attempt(self.world.train_tasks, seed=derive_seed(self.world.seed, 2))

    def guided(self, **options: Any) -> Attempts:
        """One guided retry of every failure."""
        return self.system.retry(self.first, seed=self.world.seed, **options)

    def shuffled(self) -> Attempts:
        """One retry of every failure with the hints of another task."""
        return self.system.retry(self.first, teacher=self.world.teacher(shuffled=True), seed=self.world.seed)

    # ---- learning ---------------------------------------------------------------------------------------------------

    def pairs(self, more: Attempts) -> PairSet:
        """One failure for each success of the first sweep and more."""
        attempts = self.first.plus(more)
        return build_pairs(attempts.trajectories, attempts.scores, per_positive=1, seed=self.world.seed)

    def prefer(self, more: Attempts, *, nll: float | None = None, most: int | None = None) -> Measured:
        """DPO on the first sweep and more, from the imitation.

        Args:
            more: the second sweep.
            nll: weight of the likelihood in place of the budget's.
            most: pairs that are used, drawn at random; None for all.
        """
        policy = copy.deepcopy(self.start)
        pairs = self.pairs(more)
        if most is not None and len(pairs) > most:
            order = np.random.default_rng([self.world.seed, 3]).permutation(len(pairs))
            pairs = pairs.subset(order[:most].tolist())
        objective = DPOWithLikelihood(
            beta=self.budget.beta,
            nll=self.budget.nll if nll is None else nll,
            learning_rate=self.budget.dpo_rate,
            entropy=False,
        )
        options = Paired(objective=objective, steps=self.budget.dpo_steps, batch_size=self.budget.batch)
        prefer(policy, pairs, options, seed=self.world.seed)
        return self.measure(policy)

    def imitate(self, more: Attempts) -> Measured:
        """Imitation alone of all successes among some attempts, with the steps of both stages."""
        policy = copy.deepcopy(self.base)
        budget = self.budget
        options = Imitation(
            fraction=1.0,
            source="both",
            steps=budget.sft_steps + budget.dpo_steps,
            batch_size=budget.batch,
            learning_rate=budget.imitation_rate,
        )
        imitate(policy, more.successes(), options, seed=self.world.seed)
        return self.measure(policy)

    def measure(self, policy: LanguageModelPolicy) -> Measured:
        """On held-out combinations."""
        return measure(policy, self.world.test_tasks)
