"""BARFI: the world's hints, the arms, and the job at scale."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from rewardlab.environments.tabular_worlds import centre_box, open_grid
from rewardlab.recipes.barfi import ARMS, OPTIONS, RECIPE, GridArms, helpful_hint, misleading_hint
from rewardlab.recipes.barfi.proof import outcomes
from rewardlab.recipes.barfi.scale import main, read_job


def test_one_hint_pays_for_the_middle_and_the_other_for_nearness() -> None:
    world = open_grid(8)
    bad, good = misleading_hint(world), helpful_hint(world)
    middle = np.flatnonzero(centre_box(8))
    assert middle.tolist() == [27, 28, 35, 36]
    assert bad[27, 1] == pytest.approx(
        50 * (0.9 + 2 * 0.1 / 3 - 0.1 / 3)
    )  # right and down stay inside, up and left leave
    assert bad[0].max() == 0
    assert (bad[world.terminal] == 0).all()
    assert good[0, 0] == pytest.approx(-4.0, abs=0.1)
    assert good[62, 1] > good[62, 3]  # towards the goal is better
    # with the hint, staying in the middle beats the goal; with the other one, the best policy is still to go there
    for hint, reaches in ((bad, False), (good, True)):
        policy = world.with_rewards(world.rewards + hint).optimal_policy()
        (trajectory,) = world.sample(policy, 1, steps=50, seed=0)
        assert trajectory.terminated is reaches


def test_the_arms_of_a_seed_differ_in_the_blend_alone() -> None:
    few = replace(OPTIONS, episodes=30, warm_up=9, warm_up_steps=5, inner_steps=2)
    arms = GridArms(seed=100, copies=2, size=4, horizon=12, options=few)
    found = arms.run()
    assert set(found) == {*ARMS, "weight", "naive_misleading", "naive_helpful"}
    assert all(values.shape == (2,) and np.isfinite(values).all() for values in found.values())
    again = arms.run()
    assert all(np.array_equal(found[name], again[name]) for name in found)
    claims = outcomes(arms)
    assert set(claims) == {claim.name for claim in RECIPE.claims}
    assert any(claim.gated for claim in RECIPE.claims)


def test_the_job_at_scale_builds_its_hints_and_a_small_one_runs(tmp_path: Path, capsys) -> None:
    path = files("rewardlab.recipes") / "scale" / "barfi.yaml"
    main([str(path), "--check"])
    assert len(capsys.readouterr().out.splitlines()) == 2 * 2 * 8
    small = tmp_path / "small.yaml"
    small.write_text(
        "control: {seeds: [0], options: {episodes: 6, warm_up: 3, warm_up_steps: 1, inner_steps: 1}, environments: "
        "[{id: CartPole-v1, horizon: 20, hidden: [8], hints: {near: {type: distance, point: [0], target: {at: [0.0]}}}}]}"
    )
    main([str(small), "--output", str(tmp_path / "runs")])
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert (tmp_path / "runs/CartPole-v1/frozen/0/alignment.safetensors").is_file()
    main([str(small), "--output", str(tmp_path / "runs")])
    assert capsys.readouterr().out == ""  # nothing is left to run


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 0", "has no mapping under 'control'"),
        ("control: {seed: [0]}", "unknown key 'seed'.*did you mean 'seeds'"),
        ("control: {seeds: [0]}", "'environments' is missing or empty"),
        ("control: {seeds: [0], arms: [alligned], environments: [{id: x}]}", "unknown arm 'alligned'"),
    ],
)
def test_a_wrong_job_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_job(path)
