from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

import rewardlab
from rewardlab import functional
from rewardlab.recipes.lipschitz_gail import (
    ABLATIONS,
    RECIPE,
    Arm,
    Budget,
    Demonstrations,
    Imitation,
    Pendulums,
    expert_trajectories,
    scale,
)
from rewardlab.recipes.lipschitz_gail.networks import RatedAdam, StackedDiscriminators
from rewardlab.recipes.lipschitz_gail.world import expert_columns
from rewardlab.rewards.models.discriminator import perceptron

SMALL = Budget(steps=80, random_steps=70, batch=16, hidden=(8, 8), evaluations=2, fitted=3)


def test_the_world_is_gymnasiums_pendulum() -> None:
    environment = gymnasium.make("Pendulum-v1").unwrapped
    environment.reset(seed=0)
    worlds = Pendulums(np.array([environment.state, environment.state]))  # type: ignore[attr-defined]
    draw = np.random.default_rng(0)
    for _ in range(50):
        action = draw.uniform(-1.2, 1.2)
        seen, paid, *_ = environment.step(np.array([2 * action]))
        own = worlds.step(np.array([action, action]))
        assert own == pytest.approx([float(paid)] * 2, abs=1e-4)
        assert worlds.observations[1] == pytest.approx(seen / [1, 1, 8], abs=1e-4)


def test_the_demonstrations_are_of_this_world() -> None:
    """One step of the simulator leads from each recorded observation to the next."""
    seen, done, paid = expert_columns()
    assert seen.shape == (24, 200, 3)
    states = np.stack([np.arctan2(seen[..., 1], seen[..., 0]), seen[..., 2]], axis=-1)
    worlds = Pendulums(states[:, :-1].reshape(-1, 2))
    rewards = worlds.step(done[:, :-1].ravel() / 2)
    assert rewards == pytest.approx(paid[:, :-1].ravel(), abs=1e-3)
    # an older version of the world limited the speed after moving, which differs at the limit alone
    wrong = np.abs(worlds.observations * [1, 1, 8] - seen[:, 1:].reshape(-1, 3)).max(1)
    assert np.quantile(wrong, 0.99) < 1e-5
    assert wrong.max() < 0.05
    assert len(expert_trajectories()[0]) == 199


def test_demonstrations_are_few_and_repeat() -> None:
    one, again, other = Demonstrations.sample(3), Demonstrations.sample(3), Demonstrations.sample(4)
    assert one.points.shape == (40, 4)
    assert one.held_out.shape == (200, 4)
    assert (one.points == again.points).all()
    assert (one.points != other.points).any()
    assert np.abs(one.points).max() <= 1.0
    assert not {tuple(row) for row in one.points.tolist()} & {tuple(row) for row in one.held_out.tolist()}


def test_stacked_discriminators_are_what_single_ones_are() -> None:
    stacked = StackedDiscriminators(4, (8, 8), [5, 6], [False, False])
    rows = torch.randn(2, 7, 4)
    for place, seed in enumerate((5, 6)):
        torch.manual_seed(seed)
        alone = perceptron(4, (8, 8))
        assert torch.allclose(stacked(rows)[place], alone(rows[place])[:, 0], atol=1e-6)
    chosen = torch.tensor([1])
    assert torch.allclose(stacked(rows[chosen], chosen)[0], stacked(rows)[1])
    norms = functional.gradient_norms(stacked, rows)
    assert norms.shape == (2, 7)


def test_a_spectral_norm_limits_its_own_arm_alone() -> None:
    stacked = StackedDiscriminators(4, (8, 8), [5, 5], [False, True])
    with torch.no_grad():
        for matrix in stacked.matrices:
            matrix.mul_(10.0)
    rows = torch.randn(1, 7, 4).expand(2, -1, -1)
    for _ in range(30):
        norms = functional.gradient_norms(stacked, rows)
    head = float(stacked.matrices[-1][1].detach().norm())
    assert norms[1].max() <= head * 1.01
    assert norms[0].max() > 10 * norms[1].max()


def test_rated_adam_is_adam_with_a_rate_for_each_copy() -> None:
    weight = torch.randn(2, 3)
    own, theirs = weight.clone(), [weight[place].clone().requires_grad_(True) for place in range(2)]
    rated = RatedAdam([own], [1e-2, 1e-3])
    adams = [torch.optim.Adam([one], lr=rate) for one, rate in zip(theirs, (1e-2, 1e-3), strict=True)]
    for _ in range(5):
        gradient = torch.randn(2, 3)
        rated.step([gradient])
        for place, adam in enumerate(adams):
            theirs[place].grad = gradient[place]
            adam.step()
    assert torch.allclose(own, torch.stack([one.detach() for one in theirs]), atol=1e-6)


def test_arms_are_paired_and_do_not_touch_each_other() -> None:
    penalty, none = Arm(name="a", penalty="wgan"), Arm(name="b")
    together, alone = Imitation([penalty, none], 7, SMALL), Imitation([none], 7, SMALL)
    both, one = together.run(), alone.run()
    assert both[1].returns == pytest.approx(one[0].returns, rel=1e-3)
    assert torch.equal(together.rows[0, :70], together.rows[1, :70])  # the random steps
    assert torch.allclose(together.rows[1], alone.rows[0], atol=1e-3)
    again = Imitation([penalty, none], 7, SMALL).run()
    assert again == both


@pytest.mark.parametrize("recipe", [RECIPE, ABLATIONS], ids=["gated", "reported"])
def test_the_proof_returns_every_claim(recipe: Any) -> None:
    outcomes = recipe.proof(100, budget=SMALL)
    assert set(outcomes) == {claim.name for claim in recipe.claims}
    assert all(math.isfinite(entry.method) and math.isfinite(entry.baseline) for entry in outcomes.values())


SCALE = Path(rewardlab.__file__).parent / "recipes" / "scale" / "lipschitz-gail.yaml"


def test_the_scale_file_says_what_would_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scale.main([str(SCALE), "--check"])
    assert "Hopper-v5/wgan/0: 1000000 steps on 4 demonstrations of mujoco/hopper/expert-v0" in capsys.readouterr().out
    wrong = tmp_path / "job.yaml"
    wrong.write_text(SCALE.read_text().replace("n_steps", "n_step"))
    with pytest.raises(ValueError, match=r"arm 'wgan': unknown option 'n_step'; did you mean 'n_steps'"):
        scale.read_job(wrong)
    wrong.write_text(SCALE.read_text().replace("seeds:", "seed:"))
    with pytest.raises(ValueError, match="unknown key 'seed'; did you mean 'seeds'"):
        scale.read_job(wrong)


def test_a_job_of_the_scale_file_runs_on_a_small_world(tmp_path: Path) -> None:
    data = tmp_path / "demonstrations.npz"
    seen, done, paid = (column[:2, :30] for column in expert_columns())
    np.savez(
        data,
        obs=seen.reshape(-1, 3),
        actions=done.reshape(-1, 1),
        rewards=paid.ravel(),
        traj_id=np.repeat([0, 1], 30),
    )
    world = scale.World(id="Pendulum-v1", data=str(data))
    job = scale.Job(
        environments=(world,),
        seeds=(0,),
        steps=30,
        demonstrations=2,
        options={"learning_starts": 20, "hidden": [8], "reward_hidden": [8], "subsample": 5},
        arms={"wgan": {}},
    )
    fit = scale.train(world, "wgan", 0, job, tmp_path / "run")
    assert fit.steps == 30
    assert (tmp_path / "run" / "fit.json").exists()
