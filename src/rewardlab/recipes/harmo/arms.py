"""The paper's reward as a composition (`harmo_reward`), and the arms of its proof, which differ in components alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.environments.single_turn import SingleTurn
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.recipes.harmo.world import DOT, SAMPLING, World, digit_of
from rewardlab.recipes.table_policy import copied
from rewardlab.rewards.algebra.mix import Component, RewardMix
from rewardlab.rewards.algebra.route import Route
from rewardlab.rewards.algebra.squash import Squash
from rewardlab.rewards.base import Reward
from rewardlab.rewards.functions import reward
from rewardlab.rewards.models.model import RewardModel
from rewardlab.rewards.models.similarity import EmbeddingReward
from rewardlab.rewards.verifiers.format import Format
from rewardlab.rewards.verifiers.group_length import GroupLength
from rewardlab.rewards.verifiers.json_schema import ParsesAsJSON
from rewardlab.rewards.verifiers.tag_format import TagFormat
from rewardlab.training.credit.baselines import Group
from rewardlab.training.loop import train
from rewardlab.training.objectives.policy_gradient import GRPO

Schema = Literal["tags", "regex", "json", "tool_call"]


def format_reward(schema: Schema = "tags", **options: Any) -> Reward:
    """The verifier of a layout, 1 where it is kept; an answer that is well formed and empty scores 0.

    Args:
        schema: "tags" is `Format` (thought and answer unless `tags` says otherwise), "regex" is `Format(pattern=...)`,
            "json" is `ParsesAsJSON`, "tool_call" is `TagFormat`.
        options: of that verifier.

    Raises:
        ValueError: an unknown schema, or "regex" without a pattern.
    """
    if schema == "tags":
        return Format(**{"tags": ("think", "answer"), **options})
    if schema == "regex":
        if not options.get("pattern"):
            raise ValueError('format_reward("regex") needs a pattern, such as pattern=r"(?s).*Answer: \\\\S+"')
        return Format(**options)
    if schema == "json":
        return ParsesAsJSON(**options)
    if schema == "tool_call":
        return TagFormat(**{"demand": "any", **options})
    raise ValueError(f"schema must be tags, regex, json or tool_call, got {schema!r}")


def harmo_reward(
    accuracy: Reward,
    *,
    length: Reward | None = None,
    layout: Reward | None = None,
    weights: dict[str, float] | None = None,
    format_size: float = 0.5,
) -> RewardMix:
    """The paper's reward: hybrid accuracy, length and format, added up.

    Args:
        accuracy: in [0, 1]; mostly a `Route` of a rule and a model.
        length: a penalty such as `GroupLength`, or None.
        layout: in {0, 1}, such as `format_reward()`, or None.
        weights: of `accuracy`, `length` and `format`, 1 where not given.
        format_size: what a kept format is worth; at most half of the accuracy's range keeps it from deciding.
    """
    weights = weights or {}
    given = {
        "accuracy": (accuracy, 1.0, (0.0, 1.0)),
        "length": (length, 1.0, None),
        "format": (layout, format_size, None),
    }
    unknown = sorted(set(weights) - set(given))
    if unknown:
        raise ValueError(f"weights names {unknown[0]!r}, expected accuracy, length or format")
    return RewardMix(
        parts={
            name: Component(reward=one, weight=weights.get(name, 1.0), scale=scale, clip=clip, name=name)
            for name, (one, scale, clip) in given.items()
            if one is not None
        }
    )


def group_advantage(rewards: ArrayLike, *, std: bool = False, epsilon: float = 1e-4) -> NDArray[np.float64]:
    """Advantages of groups of equal size: rewards minus their group's mean, divided by its deviation only when asked.

    Args:
        rewards: float[group, member]; NaN where a member has no reward. For groups of different size, use credit
            `Group(scale="none")`.
        std: whether to divide by the group's standard deviation, which gives easy and hard groups the same norm.
        epsilon: added to the standard deviation.

    Returns:
        float64[group, member]; 0 for a group of one, for equal rewards and for members without a reward.
    """
    import torch

    from rewardlab.functional.advantages import group_relative

    values = np.asarray(rewards, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"rewards must be float[group, member], got shape {values.shape}")
    known = np.isfinite(values)
    found = group_relative(
        torch.from_numpy(np.where(known, values, 0.0).reshape(-1)),
        torch.arange(values.shape[0]).repeat_interleave(values.shape[1]),
        torch.from_numpy(known.reshape(-1)),
        scale="std" if std else "none",
        epsilon=epsilon,
        ddof=0,
        single="zero",
    )
    return np.where(known, found.advantages.numpy().reshape(values.shape), 0.0)


LAYOUT = format_reward("tags", tags=("answer",), outside="anything")
"""The layout of the proof: an answer between tags."""


@reward
def right(completion: str, reference: str, metadata: dict[str, Any]) -> float:
    """1 where a verifiable question is answered rightly; a rule can say nothing of the open ones, and gives them 0."""
    return float(metadata["task_type"] == "verifiable" and digit_of(completion) == int(reference))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a policy does, over several samples of each question.

    Args:
        verifiable: share of the verifiable questions that are right as they reach the reader.
        quality: mean quality of what reaches the reader, of open questions.
        layout: share of the answers in tags.
        length: mean number of dots.
        curve: mean reward of each step.
    """

    verifiable: float
    quality: float
    layout: float
    length: float
    curve: list[float] = field(default_factory=list)


@dataclass(kw_only=True)
class Arms:
    """The arms of one seed.

    Args:
        world: questions, judges and the start.
        updates: steps of GRPO.
        learning_rate: of GRPO.
        divergence: price of leaving the start, which lets a question be tried again that the policy got wrong early on.
        brevity: how much the biased judges dislike a dot.
        samples: of each question, when a policy is measured.
        start_steps: supervised steps of the start.
        comparisons: that a reward model is fitted to.
        fit_steps: of that fit.
    """

    world: World
    updates: int = 160
    learning_rate: float = 0.1
    divergence: float = 0.01
    brevity: float = 0.6
    samples: int = 16
    start_steps: int = 60
    comparisons: int = 6000
    fit_steps: int = 600

    @cached_property
    def start(self) -> LanguageModelPolicy:
        """The policy that all arms begin with."""
        return self.world.starting_policy(steps=self.start_steps)

    @cached_property
    def biased(self) -> RewardModel:
        """The reward model of judges that like short answers."""
        return self.world.reward_model(self.brevity, comparisons=self.comparisons, steps=self.fit_steps)

    @cached_property
    def unbiased(self) -> RewardModel:
        """The reward model of judges that do not mind."""
        return self.world.reward_model(0.0, comparisons=self.comparisons, steps=self.fit_steps)

    @property
    def surrogate(self) -> EmbeddingReward:
        """The comparison of embeddings."""
        return EmbeddingReward(encoder=self.world.embed, least_words=0)

    def reward(self, name: str, *parts: str) -> RewardMix:
        """The reward of an arm: what decides (`biased`, `unbiased`, `rule`, `hybrid biased`, ...), and its components."""
        model: Reward
        hybrid, _, which = name.rpartition(" ")
        if which == "rule":
            accuracy: Reward = right
        else:
            model = self.surrogate if which == "surrogate" else Squash(reward=getattr(self, which))
            accuracy = Route(then=right, otherwise=model) if hybrid else model
        return harmo_reward(
            accuracy,
            length=GroupLength(right=right) if "length" in parts else None,
            layout=LAYOUT if "format" in parts else None,
        )

    def train(self, name: str, *parts: str) -> Measured:
        """GRPO without the deviation, from the common start."""
        policy = copied(self.start)
        result = train(
            policy,
            SingleTurn,
            self.reward(name, *parts),
            self.world.tasks,
            objective=GRPO(learning_rate=self.learning_rate, kl_coefficient=self.divergence, entropy=False),
            credit=Group(scale="none"),
            steps=self.updates,
            tasks_per_step=20,
            group_size=8,
            sampling=SAMPLING,
            rollout=self.world.rollout,
            seed=self.world.seed,
            trackers=(),
        )
        return self.measure(policy, [row["reward/mean"] for row in result.metrics])

    def measure(self, policy: LanguageModelPolicy, curve: list[float] | None = None) -> Measured:
        """What a policy does, sampled."""
        world = self.world
        answers = world.rollout(
            policy, SingleTurn, world.tasks, group_size=self.samples, sampling=SAMPLING, seed=world.seed
        )
        checked = [one for one in answers if one.task is not None and one.task.metadata["task_type"] == "verifiable"]
        judged = [one for one in answers if one.task is not None and one.task.metadata["task_type"] == "open"]
        return Measured(
            verifiable=float(right(checked).values.mean()),
            quality=float(np.mean([world.quality(one.task, one.completion) for one in judged if one.task is not None])),
            layout=float(LAYOUT(answers).values.mean()),
            length=float(np.mean([one.completion.count(DOT) for one in answers])),
            curve=curve or [],
        )
