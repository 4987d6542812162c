from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch

from rewardlab.recipes.mamql import RECIPE, TwoGems, demonstrations, train
from rewardlab.recipes.mamql.arms import OFFLINE
from rewardlab.recipes.mamql.proof import Sizes, fresh_transitions, recovery, run, side_by_side
from rewardlab.recipes.mamql.scale import main, read_job


def test_the_rules_of_two_gems() -> None:
    world, generator = TwoGems(), torch.Generator().manual_seed(0)
    # agent 0 steps right onto its gem, agent 1 down onto agent 0's other cell, which is gem 1: its own
    state = torch.tensor([[0, 2, 1, 7], [0, 2, 7, 1], [0, 24, 12, 13]])
    actions = torch.tensor([[4, 2], [4, 2], [1, 4]])
    following, rewards = world.step(state, actions, generator)
    assert rewards.tolist() == [[1.0, 1.0], [-1.0, -1.0], [0.0, 0.0]]
    assert following[:, :2].tolist() == [[1, 7], [1, 7], [0, 24]]  # walls keep agents in
    assert following[2].tolist() == [0, 24, 12, 13]
    for row in following[:2].tolist():
        assert len(set(row)) == 4  # gems appear again on free cells
    apart = TwoGems(interaction=False)
    following, rewards = apart.step(state, actions, generator)
    assert rewards.tolist() == [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    assert following[1, 2:].tolist() == [7, 1]
    assert world.observe(state).shape == (2, 3, world.features)
    assert world.features == 64
    assert world.observe(state).sum(-1).eq(8).all()


def test_demonstrators_take_their_own_gems() -> None:
    log = demonstrations(TwoGems(), (100,), 0)
    assert 11.5 < float(log.rewards.sum()) / 100 < 13.5
    assert abs(float(demonstrations(TwoGems(), (100,), 0, random=True).rewards.sum()) / 100) < 1.0


def test_arms_of_a_replicate_begin_alike_and_do_not_touch_one_another() -> None:
    world = TwoGems()
    log = side_by_side(demonstrations(world, (2, 3), 0))
    alone = train(world, log, ("marginal",), updates=5, seed=3)
    together = train(world, log, ("marginal", *OFFLINE[1:]), updates=5, seed=3)
    for left, right in zip(alone.networks.parameters(), together.networks.parameters(), strict=True):
        assert torch.allclose(left, right[:4], atol=1e-5)
        assert not torch.allclose(right[:4], right[4:8], atol=1e-5)


def test_the_proof_runs_small_and_repeats() -> None:
    small = Sizes(replicates=1, updates=4, games=2)
    found = run(100, small)
    assert set(found) == {claim.name for claim in RECIPE.claims}
    assert found == run(100, small)


def test_the_marginal_critic_learns_and_the_released_baseline_does_not() -> None:
    log = side_by_side(demonstrations(TwoGems(), (1, 30), 100))
    critics = train(TwoGems(), log, ("marginal", "released"), updates=200, seed=100)
    returns = critics.returns(1, games=40, greedy=True)
    assert returns["marginal"] > returns["released"] + 5
    own, other = recovery(critics, fresh_transitions(TwoGems(), 500, 1))["marginal"][1:]
    assert own > other


def test_the_job_at_scale_runs_goes_on_and_refuses_typos(tmp_path: Path, capsys: Any) -> None:
    path = files("rewardlab.recipes") / "scale" / "mamql.yaml"
    main([str(path), "--check"])
    assert "runs/mamql/400/joint/4: 22000 updates on 400 demonstrated games" in capsys.readouterr().out
    small = tmp_path / "small.yaml"
    small.write_text(
        "control:\n  world: {size: 4, horizon: 8}\n  demonstrations: [3]\n  seeds: [1]\n  steps: 10\n  episodes: 2\n"
        "  method: {gamma: 0.9, hidden: [16], games: 2}\n"
        "  arms: {published: {value_term: policy}, offline: {value_term: expert}}\n"
    )
    main([str(small), "--output", str(tmp_path / "runs")])
    assert "published/1: " in capsys.readouterr().out
    returns = json.loads((tmp_path / "runs" / "3" / "offline" / "1" / "returns.json").read_text())
    assert set(returns) == {"greedy", "sampled"}
    main([str(small), "--output", str(tmp_path / "runs")])
    assert capsys.readouterr().out == ""
    small.write_text(small.read_text().replace("value_term: expert", "valueterm: expert"))
    with pytest.raises(ValueError, match=r"offline: unknown key 'valueterm'.*value_term"):
        read_job(small)
