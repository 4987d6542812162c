"""The arms of ToolRL's proof: rewards that differ in granularity, scale or change over time, all trained alike.

Every reward is the paper's format reward plus a correctness reward, built from the library's parts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from rewardlab.environments.single_turn import SingleTurn
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.rollout import rollout
from rewardlab.recipes.toolrl.world import MOST_TOKENS, World
from rewardlab.rewards.base import Reward
from rewardlab.rewards.schedules import Linear
from rewardlab.rewards.verifiers.tag_format import TagFormat
from rewardlab.rewards.verifiers.tool_calls import ToolCallMatch
from rewardlab.training.credit.baselines import Group
from rewardlab.training.evaluation import Evaluation
from rewardlab.training.loop import train
from rewardlab.training.objectives.policy_gradient import GRPO
from rewardlab.training.warm_start import WarmStart


def toolrl_reward() -> Reward:
    """The paper's reward: format in {0, 1} plus correctness in [-3, 3]."""
    return TagFormat() + ToolCallMatch.toolrl()


REWARDS: dict[str, Callable[[], Reward]] = {
    "original": toolrl_reward,
    "coarse": lambda: TagFormat() + ToolCallMatch.toolrl(granularity="coarse"),
    "strict": lambda: TagFormat() + ToolCallMatch.toolrl(granularity="strict"),
    "call": lambda: TagFormat() + ToolCallMatch.toolrl(granularity="call"),
    "equal_max": lambda: TagFormat() + ToolCallMatch.toolrl(scale=(-1.0, 1.0)),
    # correctness limits from 2 to 3, format limits from 2 to 1, along the training
    "dynamic": lambda: (
        TagFormat(scale=(-1.0, 1.0)).scheduled(Linear(2.0, 1.0))
        + ToolCallMatch.toolrl(scale=(-1.0, 1.0)).scheduled(Linear(2.0, 3.0))
    ),
    # graded against another query: as dense as the original, and telling nothing but the true exact matches
    "shuffled": lambda: (
        TagFormat()
        + ToolCallMatch.toolrl(reference_key="other").named("other")
        + ToolCallMatch.toolrl(granularity="coarse").named("exact")
    ),
}
"""The correctness rewards that are compared, each with the same format reward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a policy does on held-out queries.

    Args:
        exact: share of the greedy answers whose calls are all right.
        graded: mean of S / S_max of the greedy answers, in [0, 1].
        well_formed: share of the greedy answers that keep the format.
        sampled_exact: `exact` at temperature 1.
        value: share of the values that are right at temperature 1, in answers that can be read.
        idle_groups: share of the training groups without any difference; NaN without training by reward.
        curve: `exact` over the training, of greedy answers.
    """

    exact: float
    graded: float
    well_formed: float
    sampled_exact: float
    value: float
    idle_groups: float = float("nan")
    curve: list[float] = field(default_factory=list)


@dataclass(kw_only=True)
class Arms:
    """The arms of one seed in one regime; all start from the same policy.

    Args:
        world: queries and the starting policy.
        updates: GRPO steps, of 12 queries x 8 answers, each used twice.
        learning_rate: of GRPO, and of more supervised steps.
        every: steps between evaluations; 0 for only the last.
    """

    world: World
    updates: int = 60
    learning_rate: float = 3e-4
    every: int = 0

    def __post_init__(self) -> None:
        self.start = self.world.starting_policy()

    def untrained(self) -> Measured:
        """The starting policy."""
        return self.measure(self.start)

    def train(self, name: str) -> Measured:
        """GRPO with one of `REWARDS`."""
        policy = self._copy()
        result = train(
            policy,
            SingleTurn,
            REWARDS[name](),
            self.world.train_tasks,
            # rows stay whole: prompts are a few tokens, and the published figures are those of whole rows to the last bit
            objective=GRPO(learning_rate=self.learning_rate, epochs=2, entropy=False, share_prompts=False),
            credit=Group(epsilon=1e-6),
            steps=self.updates,
            tasks_per_step=12,
            group_size=8,
            sampling=Sampling(max_new_tokens=MOST_TOKENS),
            evaluation=None if not self.every else self._evaluation(),
            seed=self.world.seed,
            trackers=(),
        )
        idle = [row["groups/zero_variance"] for row in result.metrics]
        return self.measure(
            policy, idle_groups=float(np.mean(idle)), curve=[row["success"] for row in result.evaluations]
        )

    def imitate(self) -> Measured:
        """Supervised learning on the same demonstrations for as many gradient steps as GRPO takes."""
        policy = self._copy()
        count = len(self.world.demonstrated)
        more = WarmStart(
            demonstrations=self.world.demonstrations(),
            steps=2 * self.updates,
            batch_size=min(96, count),
            learning_rate=self.learning_rate,
        )
        for number in range(more.steps):
            more.step(policy, SingleTurn, number, self.world.seed)
        return self.measure(policy)

    def measure(
        self, policy: LanguageModelPolicy, *, idle_groups: float = float("nan"), curve: list[float] | None = None
    ) -> Measured:
        """Answers to the held-out queries: the greedy ones, and one sample each."""
        match, layout = ToolCallMatch.toolrl(scale=(0.0, 1.0)), TagFormat()
        found = {}
        for temperature in (0.0, 1.0):
            answers = rollout(
                policy,
                SingleTurn,
                self.world.test_tasks,
                sampling=Sampling(temperature=temperature, max_new_tokens=MOST_TOKENS),
                seed=self.world.seed,
            )
            found[temperature] = match(answers), layout(answers).mean()
        greedy, well_formed = found[0.0]
        sampled = found[1.0][0]
        return Measured(
            exact=greedy.parts["exact"].mean(),
            graded=greedy.mean(),
            well_formed=well_formed,
            sampled_exact=sampled.parts["exact"].mean(),
            value=sampled.parts["value"].mean(),
            idle_groups=idle_groups,
            curve=curve or [],
        )

    def _evaluation(self) -> Evaluation:
        return Evaluation(
            tasks=self.world.test_tasks,
            every=self.every,
            reward=ToolCallMatch.toolrl(granularity="coarse"),
            success_at=3.0,
        )

    def _copy(self) -> LanguageModelPolicy:
        return LanguageModelPolicy(copy.deepcopy(self.start.model), self.start.tokenizer, tool_syntax="none")
