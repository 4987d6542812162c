from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import rewardlab as rl
from rewardlab.recipes.oprl import RECIPE, Corridor, Settings, oprl, proof, run
from rewardlab.recipes.oprl.arms import shuffled, world_loss
from rewardlab.training.credit import EpisodePlusStep


@rl.reward
def outcome(completion: str) -> float:
    """Anything."""
    return float(len(completion))


def test_the_proof_returns_every_claim() -> None:
    outcomes = proof(100, worlds=2, updates=2)
    assert set(outcomes) == {claim.name for claim in RECIPE.claims}
    assert all(math.isfinite(entry.method) and math.isfinite(entry.baseline) for entry in outcomes.values())


def test_runs_repeat_and_begin_alike() -> None:
    corridor, settings = Corridor(seed=3, worlds=2), Settings(updates=2)
    first, again = run(corridor, "oprl", settings), run(Corridor(seed=3, worlds=2), "oprl", settings)
    assert first == again
    other = run(corridor, "rloo", settings)
    assert other.success[0] == first.success[0]
    assert first.accuracy[0] == 0.5  # the model is the policy still


def test_outcomes_are_shares_of_the_decisive_steps() -> None:
    corridor = Corridor(seed=1, worlds=2)
    perfect = torch.nn.functional.one_hot(corridor.right.clamp(min=0), corridor.actions).float() * 50
    tried = corridor.attempt(perfect, torch.Generator().manual_seed(0))
    assert (tried.outcomes == 1).all()
    assert corridor.success(perfect, torch.Generator().manual_seed(0), tasks=8) == 1.0
    assert (corridor.right.reshape(2, 2, 10) >= 0).sum(-1).eq(8).all()
    start = corridor.attempt(corridor.start(), torch.Generator().manual_seed(0))
    by_hand = (start.right & start.decisive).sum(-1) / start.decisive.sum(-1)
    assert torch.allclose(start.outcomes, by_hand.double())
    assert (corridor.success(corridor.start(), torch.Generator().manual_seed(0))) < 0.1


def test_a_world_that_learned_from_others_would_be_seen() -> None:
    """The loss of two worlds is the sum of theirs, so that no world's gradient depends on another's attempts."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 3, 4, generator=generator)
    outcomes = torch.rand(2, 3, 4, generator=generator, dtype=torch.float64)
    apart = sum(world_loss(values[place : place + 1], outcomes[place : place + 1]) for place in range(2))
    assert float(world_loss(values, outcomes)) == pytest.approx(float(apart), rel=1e-5)
    mixed = shuffled(outcomes, np.random.default_rng(0))
    assert torch.equal(mixed.sort(-1).values, outcomes.sort(-1).values)


def test_the_two_seats() -> None:
    seats = oprl(outcome)
    assert seats["reward"].outcome is outcome
    assert seats["credit"] == EpisodePlusStep(episode="leave_one_out", step_weight=1.0)
    grpo = oprl(outcome, episode="group", weight=0.5, beta=0.3, lag=False)
    assert grpo["credit"].rule == EpisodePlusStep(episode="group", step_weight=0.5, scale="std", step_scale="std")
    assert grpo["credit"].reward is grpo["reward"]
    assert grpo["reward"].beta == 0.3
