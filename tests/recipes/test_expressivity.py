from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import rewardlab
from rewardlab.recipes.expressivity import (
    DISCOUNTS,
    RECIPE,
    best_memoryless,
    controls,
    fit_rewards,
    patrol,
    patrol_machine,
    q_learning,
    tasks,
)
from rewardlab.recipes.expressivity.patrol import boltzmann
from rewardlab.recipes.expressivity.proof import constrained, lava_world, logic_errors, proof
from rewardlab.recipes.expressivity.tasks import control_order
from rewardlab.rewards.formal.expressivity import expressible, markov_expressible
from rewardlab.rewards.formal.objectives import MachineReturn, Markov

SCALE = Path(rewardlab.__file__).parent / "recipes/scale/expressivity.yaml"


def test_the_five_tasks_are_refused_and_the_controls_are_not():
    asked = tasks(100)
    assert len(asked) == 5
    for name, task in asked.items():
        refusal = markov_expressible(task, discount=(0.05, 0.999))
        assert refusal.expressible is False, name
        assert refusal.residual < 1e-9
    for name, (world, policies, rewards) in controls(100).items():
        verdict = markov_expressible(control_order(world, policies, rewards, 0.9), discount=0.9)
        assert verdict.expressible, name
        found = Markov(verdict.rewards, 0.9).order(world, list(policies))
        assert found == Markov(rewards, 0.9).order(world, list(policies))
    assert len(DISCOUNTS) == 9


def test_the_tasks_are_stated_by_others():
    found = tasks(101)
    for name, short in (
        ("regularised: entropy", "RRL"),
        ("outer non-linear: near 5", "ONMR"),
        ("limit average: time at the goal", "LAR"),
        ("reward machine: alternate", "RM"),
        ("inner non-linear: 2 is enough", "FTR"),
    ):
        assert expressible(found[name], short, steps=5).expressible, name


def test_patrol_by_hand():
    world, machine = patrol(), patrol_machine()
    product = machine.product(world)
    # the best policy walks with the machine; the best that sees the cell alone is paid once, at the right end, and waits there
    walk = np.zeros((world.states, 2, 2))
    walk[:, 0, 1] = walk[:, 1, 0] = 1.0
    assert product.expected_return(walk.reshape(-1, 2)) == pytest.approx(product.initial @ product.solve()[0])
    right = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    assert MachineReturn(machine).evaluate(world, np.stack([1 - right, right], 1)) == pytest.approx(
        best_memoryless(grid=3)
    )
    assert best_memoryless(grid=3) < 0.5 * float(product.initial @ product.solve()[0])


def test_q_learning_on_a_gymnasium_environment_finds_the_best_policy():
    world = patrol().with_rewards(np.eye(5)[4][:, None] * np.ones(2))
    table = q_learning(world.to_gymnasium(max_steps=20), steps=2000, seed=0, discount=world.discount)
    assert world.expected_return(boltzmann(table, 0.0)) == pytest.approx(world.initial @ world.solve()[0], rel=1e-6)
    soft = boltzmann(table, 1.0)
    assert soft.sum(-1) == pytest.approx(np.ones(5))


def test_fitted_rewards_give_back_a_reward_that_there_is():
    world = patrol()
    generator = np.random.default_rng(0)
    policies = generator.dirichlet(np.ones(2), size=(30, 5))
    truth = generator.normal(size=(5, 2))
    values = world.with_rewards(truth).expected_return(policies)
    fitted = fit_rewards(world, policies, values)
    for name in ("pairs", "values"):
        returns = world.with_rewards(fitted[name]).expected_return(policies)
        assert np.corrcoef(returns, values)[0, 1] > 0.98, name


def test_exact_answers_and_sampled_ones():
    world, labels = lava_world()
    assert world.terminal.sum() == len(labels["goal"]) + len(labels["lava"])
    assert logic_errors(102, policies=2, trajectories=500) < 4.5
    distance, excess = constrained(102, rounds=300)
    assert distance < 0.05
    assert excess < 0.05


def test_the_proof_returns_every_claim():
    outcomes = proof(100, steps=200, rounds=20)
    assert set(outcomes) == {claim.name for claim in RECIPE.claims}
    assert all(math.isfinite(entry.method) and math.isfinite(entry.baseline) for entry in outcomes.values())


def test_the_reward_at_scale_loads_and_follows_its_machine():
    reward = rewardlab.rewards.load_reward(SCALE)
    states, paid = reward.follow([{"first_corner"}, set(), {"second_corner"}, {"lava"}])
    assert paid == [1.0, 0.0, 1.0, -1.0]
    assert states[-1] == "burnt"
