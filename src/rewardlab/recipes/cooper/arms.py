"""Cooper as a reward for the loop, and the arms of its proof: rewarded by the rule, a fixed model, or one that learns."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from rewardlab.environments.single_turn import SingleTurn
from rewardlab.learning.co_training import CoTrained
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.rollout import rollout
from rewardlab.recipes.cooper.verify import VerifyRM
from rewardlab.recipes.cooper.world import SAMPLING, World, correct, rule, rule_reward, well_formed
from rewardlab.recipes.table_policy import copied
from rewardlab.rewards.base import Reward
from rewardlab.training.loop import train
from rewardlab.training.objectives.policy_gradient import GRPO


def cooper_reward(
    model: VerifyRM,
    rule: Reward,
    *,
    corruptor: Any = "template",
    rm_lr: float = 1e-5,
    rm_every: int = 1,
    **options: Any,
) -> CoTrained:
    """Cooper as a reward for the loop: `train(policy, environment, cooper_reward(...), tasks)`.

    The loop asks it for rewards, updates the policy, and then lets it learn from the same answers.

    Args:
        model: the reward model, which is trained in place.
        rule: the verifier whose acceptance is trusted.
        corruptor: what makes wrong answers; see `CoTrained`.
        rm_lr: learning rate of the model.
        rm_every: steps between its updates.
        options: of `CoTrained`; `precision` or `audit` is needed.
    """
    return CoTrained(model=model.model, rule=rule, corruptor=corruptor, learning_rate=rm_lr, every=rm_every, **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What became of an arm.

    Args:
        accuracy: true share of right answers, over several samples of each question.
        readable: the same, of questions whose format the rule can read (in the free world, of answers in such a format).
        unreadable: the same, of the others; NaN where there are none.
        reward: mean training reward of the last tenth of the steps.
        before, after: accuracy of the model on pairs whose styles say nothing; NaN without a model.
        valid: mean share of questions that gave a pair; NaN where no model learns.
    """

    accuracy: float
    readable: float
    unreadable: float
    reward: float
    before: float = field(default=float("nan"))
    after: float = field(default=float("nan"))
    valid: float = field(default=float("nan"))


@dataclass(kw_only=True)
class Arms:
    """The arms of one seed.

    Args:
        world: questions and answers.
        updates: steps of GRPO.
        learning_rate: of GRPO.
        rm_lr: of the reward model, beside the policy.
        passes: updates of the reward model in a step.
        samples: of each question, when a policy is measured.
        rows: labelled answers that the reward model is fitted to.
        fit_steps: of that fit.
        start_steps: supervised steps of the start.
    """

    world: World
    updates: int = 240
    learning_rate: float = 0.04
    rm_lr: float = 3e-2
    passes: int = 4
    samples: int = 8
    rows: int = 800
    fit_steps: int = 400
    start_steps: int = 150

    @cached_property
    def start(self) -> LanguageModelPolicy:
        """The policy that all arms begin with."""
        return self.world.starting_policy(steps=self.start_steps)

    def model(self) -> VerifyRM:
        """The reward model as it was fitted; a fresh one each time, since Cooper trains it."""
        return self.world.verify_rm(rows=self.rows, steps=self.fit_steps)

    def by_rule(self) -> Measured:
        """Rewarded by the rule alone."""
        return self._train(rule_reward, None)

    def by_model(self, *, more_steps: int = 0) -> Measured:
        """Rewarded by the fixed model, which may be fitted for longer on the same labelled answers first."""
        model = self.model()
        before = self.pair_accuracy(model)
        if more_steps:
            data = self.world.labelled(self.rows)
            model.fit(
                data,
                steps=more_steps,
                batch_size=128,
                learning_rate=self.rm_lr,
                schedule="constant",
                seed=self.world.seed,
            )
        return self._train(model.reward(), model, before)

    def cooper(self) -> Measured:
        """Rewarded by the model that is trained beside the policy."""
        model = self.model()
        before = self.pair_accuracy(model)
        reward = cooper_reward(
            model, rule, corruptor="number", rm_lr=self.rm_lr, passes=self.passes, precision=1.0, seed=self.world.seed
        )
        return self._train(reward, model, before)

    def pair_accuracy(self, model: VerifyRM, count: int = 1000) -> float:
        """How often the model prefers the right answer of a pair whose styles say nothing; a tie counts half."""
        pairs = self.world.uniform_pairs(count)
        values = model.model([one for pair in pairs for one in pair]).values
        gaps = values[0::2] - values[1::2]
        return float(((gaps > 0) + 0.5 * (gaps == 0)).mean())

    def _train(self, reward: Reward, model: VerifyRM | None, before: float = float("nan")) -> Measured:
        policy = copied(self.start)
        result = train(
            policy,
            SingleTurn,
            reward.gated_by(well_formed),
            self.world.tasks,
            objective=GRPO(learning_rate=self.learning_rate, kl_coefficient=0.001, entropy=False),
            steps=self.updates,
            tasks_per_step=16,
            group_size=8,
            sampling=SAMPLING,
            seed=self.world.seed,
            trackers=(),
        )
        late = result.metrics[-max(1, self.updates // 10) :]
        return self.measure(
            policy,
            reward=float(np.mean([row["reward/mean"] for row in late])),
            before=before,
            after=float("nan") if model is None else self.pair_accuracy(model),
            valid=float(np.mean([line["valid"] for line in reward.history]))
            if isinstance(reward, CoTrained)
            else float("nan"),
        )

    def measure(self, policy: LanguageModelPolicy, **found: float) -> Measured:
        """The true accuracy of a policy."""
        answers = rollout(
            policy,
            SingleTurn,
            self.world.tasks,
            group_size=self.samples,
            sampling=SAMPLING,
            seed=self.world.seed,
        )
        right = correct(answers).values
        readable = rule(answers).scored
        return Measured(
            accuracy=float(right.mean()),
            readable=float(right[readable].mean()) if readable.any() else float("nan"),
            unreadable=float(right[~readable].mean()) if (~readable).any() else float("nan"),
            **{"reward": float("nan"), **found},
        )
