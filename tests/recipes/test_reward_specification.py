from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import rewardlab as rl
from rewardlab.recipes.reward_specification import RECIPE, Arena, constraints, imitate_chain, study
from rewardlab.recipes.reward_specification.arena import BATTERY, RECHARGE, SIDE
from rewardlab.training.control import train_control
from rewardlab.training.multi_critic import MultiCritic, Runs

SCALE = Path(rl.__file__).parent / "recipes/scale/reward-specification-thesis.yaml"


def test_the_arena_does_what_its_description_says():
    world, draw = Arena(), np.random.default_rng(0)
    states = world.begin(400, draw)
    assert set((states // (BATTERY + 1)).tolist()) == {0, 1, SIDE, SIDE + 1}
    assert set((states % (BATTERY + 1)).tolist()) == {3}
    after, reward, shown, terminated, _ = world.step(np.full(400, 2), draw)  # down, without looking
    moved = (after // (BATTERY + 1)) != (states // (BATTERY + 1))
    assert 0.9 < moved.mean() < 0.99
    assert reward == pytest.approx(0.1 * moved)
    assert shown[:, 1].all()
    assert np.isnan(shown[:, 3]).all()
    assert not terminated.any()
    charged, *_ = world.step(np.full(400, RECHARGE), draw)
    assert set((charged % (BATTERY + 1)).tolist()) <= {4, 5}
    for _ in range(57):
        *_, truncated = world.step(np.full(400, 4), draw)
        assert not truncated.any()
    *_, shown, terminated, truncated = world.step(np.full(400, 4), draw)
    assert (truncated | terminated).all()
    assert (shown[truncated, 3] == 0).all()


def test_its_constraints_are_indicators_of_its_states():
    lava, looking, empty, arrived = constraints()
    middle, corner = (3 * SIDE + 3) * (BATTERY + 1), (SIDE * SIDE - 1) * (BATTERY + 1) + 2
    walk = rl.Trajectory(observations=np.array([0, middle, middle + 1, corner]), actions=np.array([0, 4, 8]))
    assert [rule.shown([walk])[0].tolist() for rule in (lava, looking, empty, arrived)] == [
        [1.0, 1.0, 0.0],
        [1.0, 0.0, 1.0],
        [1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0],
    ]


def test_a_small_study_has_every_arm_and_repeats():
    first, again = (study(100, copies=1, sampled={1: 2, 2: 2, 3: 2}, steps=130) for _ in range(2))
    assert len(first.names) == 9 + 6 + 2
    assert np.array_equal(first.result.weights, again.result.weights)
    normalised = first.result.history[:, first.rows("no bootstrap", 3)]
    assert np.abs(normalised).sum(-1) == pytest.approx(1.0)
    fixed = first.rows("fixed", 2)
    assert (first.result.weights[fixed, 0] == 1.0).all()
    assert (first.result.weights[fixed, 3:] == 0.0).all()
    lent = first.result.weights[first.rows("lagrangian", 2)]
    assert (lent[:, 0] >= lent[:, 4]).all()


class Bandit:
    """Arm 1 pays 1 and shows the behaviour; nothing else happens."""

    states, actions = 1, 2

    def begin(self, count, generator):
        return np.zeros(count, dtype=np.int64)

    def restart(self, rows, generator):
        return np.zeros(len(rows), dtype=np.int64)

    def step(self, actions, generator):
        shown = np.column_stack([actions == 1, np.full(len(actions), np.nan)]).astype(float)
        ended = np.ones(len(actions), dtype=bool)
        return np.zeros(len(actions), dtype=np.int64), actions.astype(float), shown, ended, np.zeros_like(ended)


def test_every_critic_learns_and_nan_indicators_teach_nothing():
    runs = Runs(
        thresholds=np.full((2, 2), 0.3),
        signs=np.array([-1, 1]),
        active=np.array([[True, False], [False, False]]),
        fixed=np.full((2, 3), np.nan),
        normalise=np.array([True, True]),
        bootstrap=np.array([False, False]),
        success=1,
    )
    learner = MultiCritic(steps=3000, every=160, temperature=0.1, multiplier_rate=0.02, last=0.5)
    found = learner.learn(Bandit(), runs, seed=0)
    assert found.mean_rates[0, 0] == pytest.approx(0.3, abs=0.04)  # the policy mixes at the threshold
    assert found.mean_rates[1, 0] > 0.95  # without constraints it takes what pays
    assert found.weights[0, 0] == pytest.approx(0.5, abs=0.1)
    assert found.weights[1].tolist() == [1.0, 0.0, 0.0]
    assert found.success.tolist() == [0.0, 0.0]
    assert not found.acceptable().any()  # whatever it kept, nothing succeeded


def test_asaf_leaves_every_generator_for_the_demonstrator():
    found = imitate_chain(101, window=5, rounds=8)
    assert found["asaf"].max() < 0.06
    assert found["cloning"].max() < 0.01


def test_a_stable_baselines_learner_is_paid_by_weights_that_are_learned():
    """The weights that PPO's reward is made of move while it trains, and what was learned is in the reward afterwards."""
    pushes = rl.Constraint(lambda action: (action == 1).astype(float), at_most=0.2, name="pushes")
    reward = rl.Lagrangian(
        rl.reward(lambda action: 0.1 * (action == 1), per="transition", name="busy"),
        (pushes,),
        every=256,
        learning_rate=0.3,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train_control("CartPole-v1", reward, learner="ppo", options={"n_steps": 128}, steps=2048, seed=0)
    report = reward.report()
    assert len(report.history) >= 4
    (line,) = report.lines
    assert 0.0 < report.history[0]["rates"]["pushes"] < 1.0
    assert line.weight < -0.5  # at the start half of all actions push
    assert report.reward_weight == pytest.approx(1.0 + line.weight)
    assert report.reward_size == pytest.approx(
        0.1 * np.mean([entry["rates"]["pushes"] for entry in report.history]), abs=0.01
    )


def test_the_file_at_scale_is_a_reward_with_constraints():
    reward = rl.load_reward(SCALE)
    assert isinstance(reward, rl.Lagrangian)
    assert reward.bootstrap == "fast once"
    assert [rule.per for rule in reward.constraints] == ["step", "step", "episode"]


def test_the_claims_are_stated():
    assert [claim.name for claim in RECIPE.claims if claim.gated] == [
        "grid-falls",
        "one-run",
        "beside-grid",
        "bootstrap",
        "nothing-active",
        "asaf",
    ]
