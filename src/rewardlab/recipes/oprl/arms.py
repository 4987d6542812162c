"""The arms of OPRL's proof: one policy update for all, with advantages that differ in what they know of single steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rewardlab.functional.discrimination import area_under_curve
from rewardlab.learning.implicit_pairs import implicit_pair_loss, preference_pairs
from rewardlab.recipes.oprl.world import Attempts, Corridor, logprobs_of
from rewardlab.training.credit.mixtures import EpisodePlusStep

Arm = Literal["rloo", "oprl", "shuffled", "oracle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the proof fixes for all arms, and for the reward's model.

    Args:
        rate: the policy's learning rate.
        epochs: passes over each batch.
        clip: of the ratio.
        beta: scale of the implicit reward.
        model_rate: learning rate of the reward's model.
        model_steps: its updates for each batch: one on the new attempts, the others on some of the last `replay`.
        replay: batches that are kept.
        weight: of the steps' advantages.
        updates: of the policy.
    """

    rate: float = 0.1
    epochs: int = 2
    clip: float = 0.2
    beta: float = 1.0
    model_rate: float = 0.3
    model_steps: int = 8
    replay: int = 16
    weight: float = 0.5
    updates: int = 20


@dataclass(slots=True, kw_only=True)
class Run:
    """What one arm gave.

    Args:
        success: at the start, half-way and at the end.
        localisation: for each update, how well step rewards tell right decisive steps from wrong ones (AUROC), in attempts
            that were not wholly right, before the model learns from them; NaN for arms without a model.
        confidence: the same of the policy's own log-probabilities.
        accuracy: share of the new pairs that the model orders right before it learns from them.
    """

    success: list[float] = field(default_factory=list)
    localisation: list[float] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)


def run(corridor: Corridor, arm: Arm, settings: Settings) -> Run:
    """Train one arm in all worlds; the arms of a seed meet the same draws as long as they do the same."""
    generator = torch.Generator().manual_seed(corridor.seed * 7919 + 1)
    tests = torch.Generator().manual_seed(corridor.seed * 7919 + 2)
    policy = corridor.start().requires_grad_()
    model = policy.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([policy], lr=settings.rate)
    teacher = torch.optim.Adam([model], lr=settings.model_rate)
    rule = EpisodePlusStep(
        episode="leave_one_out",
        scale="std",
        step_scale="std",
        step_weight=settings.weight if arm != "rloo" else 0.0,
    )
    kept: list[tuple[Attempts, Tensor]] = []
    draw = np.random.default_rng([corridor.seed, 1])
    result = Run(success=[corridor.success(policy.detach(), tests)])
    for update in range(settings.updates):
        tried = corridor.attempt(policy.detach(), generator)
        rewards = torch.zeros_like(tried.logprobs)
        if arm == "oracle":
            rewards = (tried.right & tried.decisive).float()
        elif arm != "rloo":
            before = implicit(model, tried, settings.beta).detach()
            outcomes = tried.outcomes if arm == "oprl" else shuffled(tried.outcomes, draw)
            measure(result, tried, before)
            kept = [*kept, (tried, outcomes)][-settings.replay :]
            batches = [kept[-1], *(kept[index] for index in draw.integers(len(kept), size=settings.model_steps - 1))]
            for batch, target in batches:
                loss = world_loss(implicit(model, batch, settings.beta).sum(-1), target)
                teacher.zero_grad()
                loss.backward()
                teacher.step()
            rewards = implicit(model, tried, settings.beta).detach()
        values, _ = rule.of_steps(corridor.as_steps(tried, rewards))
        advantages = torch.from_numpy(values).float().reshape(tried.logprobs.shape)
        for _ in range(settings.epochs):
            ratio = (logprobs_of(policy, tried.symbols, tried.actions) - tried.logprobs).exp()
            clipped = ratio.clamp(1 - settings.clip, 1 + settings.clip)
            loss = -torch.minimum(ratio * advantages, clipped * advantages).mean((1, 2, 3)).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if update + 1 in (settings.updates // 2, settings.updates):
            result.success.append(corridor.success(policy.detach(), tests))
    return result


def implicit(model: Tensor, tried: Attempts, beta: float) -> Tensor:
    """The implicit reward of every step: beta times the log-ratio to the policy that acted."""
    return beta * (logprobs_of(model, tried.symbols, tried.actions) - tried.logprobs)


def world_loss(values: Tensor, outcomes: Tensor) -> Tensor:
    """The pair loss of each world, added up: worlds do not meet."""
    flat, groups = outcomes.reshape(-1).numpy(), np.arange(outcomes.numel()) // outcomes.shape[-1]
    better, worse = preference_pairs(flat, groups)
    per_world = outcomes[0].numel()
    counts = np.bincount(better // per_world, minlength=outcomes.shape[0])
    weights = torch.from_numpy(1.0 / np.maximum(counts, 1)[better // per_world]).float()
    return implicit_pair_loss(values.reshape(-1), better, worse, weights)


def measure(result: Run, tried: Attempts, rewards: Tensor) -> None:
    """Note how well rewards, and the policy's own confidence, find the wrong steps, and how they order new pairs."""
    failed = ~tried.right.all(-1)
    chosen = tried.decisive & failed[..., None]
    result.localisation.append(area_under_curve(rewards[chosen].numpy(), tried.right[chosen].numpy()))
    result.confidence.append(area_under_curve(tried.logprobs[chosen].numpy(), tried.right[chosen].numpy()))
    sums = rewards.sum(-1).reshape(-1).numpy()
    flat = tried.outcomes.reshape(-1).numpy()
    better, worse = preference_pairs(flat, np.arange(flat.size) // tried.outcomes.shape[-1])
    gaps = sums[better] - sums[worse]
    result.accuracy.append(float(((gaps > 0) + 0.5 * (gaps == 0)).mean()) if gaps.size else 0.5)


def shuffled(outcomes: Tensor, draw: np.random.Generator) -> Tensor:
    """Outcomes dealt out anew inside each group: the control, from which there is nothing to learn."""
    order = torch.from_numpy(draw.random(tuple(outcomes.shape)).argsort(-1))
    return outcomes.gather(-1, order)
