from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from rewardlab.training.auxiliary import RewardPrediction, StateReconstruction, auxiliary_training


def test_windows_never_cross_the_start_of_an_episode() -> None:
    task = RewardPrediction(1, length=3)
    features = torch.arange(1.0, 6.0).view(5, 1, 1)
    starts = torch.tensor([[True], [False], [True], [False], [False]])
    found = task.windows(features, starts)[:, 0, :, 0]
    assert found.tolist() == [[0, 0, 1], [0, 1, 2], [0, 0, 3], [0, 3, 4], [3, 4, 5]]
    assert RewardPrediction(1, length=9).windows(features, starts)[4, 0, :, 0].tolist() == [0] * 6 + [3, 4, 5]


def test_classes_of_rewards() -> None:
    assert RewardPrediction(1).classes(torch.tensor([0.0, 0.005, 0.1, -0.1])).tolist() == [0, 0, 1, 2]


def test_both_tasks_are_learned_through_the_shared_layers() -> None:
    torch.manual_seed(0)
    seen = torch.randn(40, 4, 3)
    rewards = torch.sign(seen[..., 0])
    starts = torch.zeros(40, 4, dtype=torch.bool)
    shared = nn.Sequential(nn.Linear(3, 16), nn.Tanh())
    prediction, rebuilding = RewardPrediction(16, length=2), StateReconstruction(16, 3, code=8)
    optimiser = torch.optim.Adam([*shared.parameters(), *prediction.parameters(), *rebuilding.parameters()], lr=1e-2)
    losses = []
    for _ in range(60):
        told = prediction.loss(shared, seen, rewards, starts)
        assert told is not None
        rebuilt = rebuilding.loss(shared, 100 * seen, rewards, starts)  # of another scale: it is normalised
        optimiser.zero_grad()
        (told + rebuilt).backward()
        optimiser.step()
        losses.append((told.item(), rebuilt.item()))
    assert losses[-1][0] < 0.5 * losses[0][0]
    assert losses[-1][1] < losses[0][1] < 1.0


def test_one_class_alone_is_skipped_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="all 6 rewards are of the class 'none'; reward prediction skips"):
        lone = RewardPrediction(3).loss(lambda seen: seen, torch.zeros(3, 2, 3), torch.zeros(3, 2), torch.zeros(3, 2))
    assert lone is None


def test_messages() -> None:
    with pytest.raises(ValueError, match="threshold and length must be positive, got 0 and 20"):
        RewardPrediction(1, threshold=0)
    with pytest.raises(ValueError, match="there are no tasks"):
        auxiliary_training([])
    with pytest.raises(ValueError, match=r"must share \[step, environment\], got \(2, 1\), \(3, 1\) and \(3, 1\)"):
        RewardPrediction(1).loss(lambda seen: seen, torch.zeros(2, 1, 1), torch.zeros(3, 1), torch.zeros(3, 1))


def test_a_real_learner_takes_the_callback() -> None:
    from stable_baselines3 import PPO

    model = PPO(
        "MlpPolicy", "Pendulum-v1", n_steps=32, batch_size=32, n_epochs=1, seed=0, policy_kwargs={"net_arch": [16]}
    )
    tasks: list[Any] = [RewardPrediction(16, threshold=3.0, length=4), StateReconstruction(16, 3, code=2)]
    callback = auxiliary_training(tasks, epochs=3, rate=1e-2)
    before = next(model.policy.mlp_extractor.parameters()).detach().clone()
    model.learn(96, callback=callback)
    assert len(callback.history) == 3
    assert "StateReconstruction" in callback.history[0]
    assert not torch.equal(before, next(model.policy.mlp_extractor.parameters()))
