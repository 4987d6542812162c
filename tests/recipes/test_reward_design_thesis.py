from __future__ import annotations

import json
import math
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rewardlab.learning.design import DesignedEnvironment, FixedDesign, adaptive, explicable
from rewardlab.recipes.reward_design_thesis import (
    ABLATIONS,
    RECIPE,
    ChainArms,
    LineKeyArms,
    RoomArms,
    distractor_chain,
    line_key_leaves,
)
from rewardlab.recipes.reward_design_thesis.scale import main, read_job


def test_the_chain_is_that_of_the_published_code() -> None:
    world = distractor_chain()
    assert world.transitions[40, 1, 41] == pytest.approx(0.975)  # slips draw the move anew, of both
    assert world.transitions[60, 1, 60] == pytest.approx(0.975)
    assert world.transitions[0, 0, 61] == pytest.approx(0.975)
    assert np.argwhere(world.rewards).tolist() == [[25, 0], [60, 1]]
    assert ChainArms(seed=0).optimum == pytest.approx(13.7, abs=0.05)


def test_parts_of_the_chain_share_their_random_numbers() -> None:
    arms = ChainArms(seed=100, copies=2, episodes=4)
    first, again = arms.parts(), ChainArms(seed=100, copies=2, episodes=4).parts()
    assert {name: values.shape for name, values in first.items()} == dict.fromkeys(first, (2,))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    # until something was paid, only the bonus makes a difference
    assert np.array_equal(first["original"], first["self"])
    assert not np.array_equal(first["original"], first["bonus"])


def test_the_designed_reward_of_the_rooms_keeps_the_optimal_policies_and_random_ones_do_not() -> None:
    arms = RoomArms(seed=100, copies=3, budget=1)
    assert arms.keeps(arms.designed.array)
    assert arms.designed.certificate().holds
    assert len(arms.designed.active) == 3  # the goal has two neighbours, and one more was added
    assert [arms.keeps(table) for table in arms.random] == [False] * 3
    assert (np.abs(arms.random).max(axis=2) > 0).sum(axis=1).tolist() == [3, 3, 3]


def test_the_line_has_five_leaves() -> None:
    arms = LineKeyArms(seed=100)
    assert len(line_key_leaves(arms.world).names) == 5
    reward = explicable(arms.world, structure=arms.leaves, maximum=10.0)
    assert len({tuple(row) for row in reward.array[:-1]}) <= 5
    assert reward.certificate().holds


@pytest.mark.parametrize("recipe", [RECIPE, ABLATIONS], ids=["gated", "reported"])
def test_the_proof_returns_every_claim(recipe: Any) -> None:
    options = {"room_episodes": 4, "line_episodes": 10, "budget": 0} if recipe is RECIPE else {"line_episodes": 10}
    outcomes = recipe.proof(100, episodes=10, **options)
    assert set(outcomes) == {claim.name for claim in recipe.claims}
    assert all(math.isfinite(entry.method) and math.isfinite(entry.baseline) for entry in outcomes.values())


def test_the_job_at_scale_runs_goes_on_and_refuses_typos(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("stable_baselines3")
    path = files("rewardlab.recipes") / "scale" / "reward-design-thesis.yaml"
    main([str(path), "--check"])
    assert len(capsys.readouterr().out.splitlines()) == 2 * 4 * 5
    small = tmp_path / "small.yaml"
    text = (
        "control: {seeds: [0], steps: 128, arms: [explors], designer: {hidden: 8, every: 1}, "
        "environments: [{id: CartPole-v1, learner: {type: ppo, n_steps: 64}, count: {bits: 4}}]}"
    )
    small.write_text(text)
    main([str(small), "--output", str(tmp_path / "runs")])
    folder = tmp_path / "runs" / "CartPole-v1" / "explors" / "0"
    written = json.loads((folder / "returns.json").read_text())
    assert written["steps"][-1] <= 128
    assert all(value >= 1 for value in written["returns"])
    assert (folder / "model.zip").exists()
    capsys.readouterr()
    main([str(small), "--output", str(tmp_path / "runs")])
    assert capsys.readouterr().out == ""  # what is there is not run again
    small.write_text(text.replace("steps", "stepz"))
    with pytest.raises(ValueError, match="unknown key 'stepz'; did you mean 'steps'"):
        read_job(small)
    small.write_text(text.replace("[explors]", "[explorers]"))
    with pytest.raises(ValueError, match="unknown arm 'explorers'; did you mean 'explors'"):
        read_job(small)


def test_designs_for_an_environment_of_gymnasium_end_to_end() -> None:
    """Frozen lake: its tables are read, a reward is designed on them and is given while an agent acts."""
    gymnasium = pytest.importorskip("gymnasium")
    from rewardlab.environments.tabular import MarkovDecisionProcess

    environment = gymnasium.make("FrozenLake-v1", is_slippery=False)
    world = MarkovDecisionProcess.from_gymnasium(environment, discount=0.95)
    reward = explicable(world, budget=3)
    assert reward.certificate().holds
    for designer in (FixedDesign(reward.array), adaptive(world, every=1)):
        designed = DesignedEnvironment(environment, designer)
        state, _ = designed.reset(seed=0)
        done, paid, expected = False, [], []
        while not done:
            action = int(world.optimal_policy()[state].argmax())
            if isinstance(designer, FixedDesign):
                expected.append(reward.array[state, action])
            state, given, terminated, truncated, info = designed.step(action)
            paid.append(given)
            done = terminated or truncated
        assert info["environment_reward"] == 1.0
        if isinstance(designer, FixedDesign):
            assert paid == expected
        else:
            assert not np.array_equal(designer.tables[0], world.rewards)
