from __future__ import annotations

import pytest
import torch

from rewardlab.functional.team_losses import (
    action_distance,
    coach_reg_loss,
    expand_mask,
    mask_divergence,
    team_reg_loss,
)


def test_distances_are_divergences_or_squares():
    logits = torch.tensor([[0.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    assert action_distance(logits, logits + 3.0, discrete=True).item() == pytest.approx(0.0, abs=1e-12)
    real, predicted = torch.tensor([[0.8, 0.2]]).log(), torch.tensor([[0.5, 0.5]]).log()
    assert action_distance(predicted, real, discrete=True).item() == pytest.approx(0.192745, abs=1e-5)
    assert action_distance(torch.zeros(2, 3), torch.ones(2, 3), discrete=False).item() == 3.0
    with pytest.raises(ValueError, match="action spaces differ need a head of their own"):
        action_distance(torch.zeros(1, 2), torch.zeros(1, 3), discrete=True)


def test_each_weight_reaches_its_own_side():
    predictions = torch.zeros(1, 2, requires_grad=True)
    actions = [torch.zeros(1, 2), torch.tensor([[1.0, -1.0]], requires_grad=True)]
    team_reg_loss([[None, predictions], [None, None]], actions, predict=1.0, be_predictable=0.0).backward()
    assert predictions.grad is not None
    assert actions[1].grad is None
    team_reg_loss([[None, predictions.detach()], [None, None]], actions, predict=0.0, be_predictable=1.0).backward()
    assert actions[1].grad is not None
    alone = team_reg_loss([[None]], actions[:1], predict=1.0, be_predictable=1.0)
    unweighted = team_reg_loss([[None, predictions], [None, None]], actions, predict=0.0, be_predictable=0.0)
    assert alone.item() == unweighted.item() == 0.0
    assert not unweighted.requires_grad  # nothing is added to the base learner, not even a gradient of 0


def test_being_a_little_predictable_settles_a_matching_game_sooner():
    """Two agents earn 1 when they choose the same of four actions, and see nothing: exact policy gradients, step by step."""

    def steps(be_predictable: float, seed: int) -> int:
        generator = torch.Generator().manual_seed(seed)
        policy = (0.01 * torch.randn(2, 4, generator=generator)).requires_grad_()
        guess = torch.zeros(2, 4, requires_grad=True)
        optimiser = torch.optim.Adam([policy, guess], lr=0.05)
        for step in range(400):
            chances = policy.softmax(1)
            match = (chances[0] * chances[1]).sum()
            if match > 0.9:
                return step
            rows = [[None, guess[:1]], [guess[1:], None]]
            loss = -match + team_reg_loss(rows, [policy[:1], policy[1:]], predict=1.0, be_predictable=be_predictable)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return 400

    alone, little, much = (sum(steps(weight, seed) for seed in range(12)) / 12 for weight in (0.0, 0.1, 1.0))
    assert little < alone < much  # being predictable helps to settle, until it is all that counts


def test_agents_that_see_the_same_come_to_the_coachs_masks():
    generator = torch.Generator().manual_seed(0)
    seen = torch.randn(64, 3, generator=generator)
    coach = 2.0 * seen @ torch.randn(3, 4, generator=generator)
    weights = torch.zeros(2, 3, 4, requires_grad=True)
    optimiser = torch.optim.Adam([weights], lr=0.1)
    for _ in range(150):
        loss = coach_reg_loss(coach, [seen @ one for one in weights], follow=1.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    one, other = (seen @ entry for entry in weights.detach())
    assert mask_divergence(one, [other]).item() < 0.01
    assert mask_divergence(coach, [one, other]).item() < 0.01


def test_a_mask_switches_groups_of_hidden_units():
    assert expand_mask(torch.tensor([[0.0, 1.0]]), 6).tolist() == [[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]]
    with pytest.raises(ValueError, match="4 masks do not divide 30 hidden units; use 32 units"):
        expand_mask(torch.eye(4), 30)


def test_each_weight_of_the_coach_reaches_its_own_side():
    coach = torch.zeros(1, 2, requires_grad=True)
    agent = torch.tensor([[1.0, 0.0]], requires_grad=True)
    value = torch.ones(3, requires_grad=True)
    coach_reg_loss(coach, [agent], value, follow=0.0, play_coached=2.0, be_followed=1.0).backward()
    assert coach.grad.abs().sum().item() > 0
    assert agent.grad is None or agent.grad.abs().sum().item() == 0
    assert value.grad.sum().item() == pytest.approx(-2.0)
    with pytest.raises(ValueError, match="play_coached needs coached_value="):
        coach_reg_loss(coach, [agent], follow=1.0, play_coached=1.0)
