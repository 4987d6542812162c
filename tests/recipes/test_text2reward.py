"""The recipe's world by hand, its recording, and the plumbing of its proof."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

import rewardlab as rl
from rewardlab.learning.programs import check_view
from rewardlab.recipes.text2reward import (
    FEEDBACK,
    INSTRUCTION,
    RECIPE,
    PickPlace,
    PickPlaceView,
    programs,
    sample_states,
    success,
    writer,
    zero_shot,
)
from rewardlab.recipes.text2reward.arms import expert, make_arms, released
from rewardlab.recipes.text2reward.fixtures import BROKEN, CORRECT, VACUOUS
from rewardlab.recipes.text2reward.learner import Learner, Settings
from rewardlab.recipes.text2reward.proof import study_checker


def state(reach: float, goal: float, *, held: bool = False, speed: float = 0.1) -> NDArray[np.float64]:
    """One observation with these distances."""
    gripper, cube, target = np.zeros(2), np.array([reach, 0.0]), np.array([reach + goal, 0.0])
    return np.concatenate([gripper, cube, target, [0.0, held, speed], cube - gripper, target - cube])[None]


def test_rewards_by_hand() -> None:
    """The numbers of the published forms."""
    still = np.zeros((1, 3))
    assert expert(state(0.0, 0.5), still)[0] * 5 == pytest.approx(1.0)
    assert expert(state(0.2, 0.5), still)[0] * 5 == pytest.approx(0.238406, abs=1e-6)
    assert expert(state(0.0, 0.1001, held=True), still)[0] * 5 == pytest.approx(3 - math.tanh(0.5005))
    assert expert(state(0.0, 0.05, held=True, speed=0.0), still)[0] == 1.0
    assert released(state(0.2, 0.4), np.ones((1, 3)))[0] == pytest.approx(-0.49)


def test_the_world_by_hand() -> None:
    world = PickPlace(1, 0)
    world.gripper, world.cube, world.goal = np.zeros((1, 2)), np.array([[0.1, 0.0]]), np.array([[0.3, 0.0]])
    close = np.array([[0.0, 0.0, -1.0]])
    assert not world.step(close)[0, 7]  # half open is not closed
    assert world.step(close)[0, 7]
    for _ in range(3):
        seen = world.step(np.array([[1.0, 0.0, -1.0]]))
    np.testing.assert_allclose(seen[0, 2:4], [0.34, 0.0])  # a held cube moves with the gripper
    assert not success(seen)[0]  # it is there, but the gripper moves
    assert success(world.step(np.array([[0.0, 0.0, -1.0]])))[0]
    assert not world.step(np.array([[1.0, 0.0, 1.0]]))[0, 7]
    assert world.cube[0, 0] == pytest.approx(0.34)
    check_view(PickPlaceView, PickPlace(7, 0).observe(), 7)
    arms = PickPlace(3, 0, arms=2).observe()
    np.testing.assert_array_equal(arms[:3], arms[3:])


def test_the_recording_is_whole_and_answers_the_prompts_of_today() -> None:
    found = programs()
    assert len(found) == 12 + 4 + 3 + 3
    assert not any(program.failed for program in found.values())
    assert {program.prompt_hash for program in zero_shot()} == {"1165952dd11c6fa1"}
    assert zero_shot()[0].hash == "8f3acc1eea0df6b3"
    assert found["revised0"].parent == zero_shot()[0].hash
    assert found["few0"].prompt.count("Task: ") == 1
    assert INSTRUCTION not in writer(shots=1).examples


def test_the_checker_tells_broken_programs_from_correct_ones() -> None:
    assert len(BROKEN) == len(CORRECT) == 20
    assert study_checker(100) == (1.0, 0.0, 1.0)


def test_the_term_of_the_published_example_is_called_vacuous() -> None:
    report = rl.RewardProgram(source=VACUOUS, form="vectorised").check(sample_states(100), view=PickPlaceView)
    assert report.passed
    assert {problem.kind for problem in report.warnings} == {"vacuous", "constant"}
    assert all(problem.line == 10 for problem in report.warnings)
    assert max(report.terms, key=lambda term: term.share).text == "np.where(reached, 100.0, 0.0)"


def test_every_recorded_program_passes_the_check() -> None:
    states = sample_states(100)
    for name, program in programs().items():
        report = program.check(states, view=PickPlaceView)
        assert report.passed, (name, str(report))


def test_the_learner_begins_alike_and_changes_with_its_rewards() -> None:
    chosen = {name: program for name, program in programs().items() if name in ("zero0", "zero1")}
    arms = make_arms(chosen, plain={"expert": expert})
    learner = Learner(3, 100, Settings(steps=3200, epochs=1))
    first = [weight.detach().clone() for weight in learner.actor.parameters()]
    assert all((weight[0] == weight[2]).all() for weight in first)
    curve = learner.train(arms, points=1)
    assert curve.steps == [0, 3200]
    assert curve.success.shape == (2, 3)
    after = list(learner.actor.parameters())
    assert any((weight[0] != weight[2]).any() for weight in after)
    again = Learner(3, 100, Settings(steps=3200, epochs=1))
    again.train(arms, points=1)
    assert all((one == other).all() for one, other in zip(after, again.actor.parameters(), strict=True))


def test_revised_programs_pay_for_letting_go() -> None:
    """Held at the goal, then let go of: every revised program pays more for the second, and every control less or the same."""
    held = np.concatenate([np.zeros(2), [0.05, 0.0], [0.05, 0.05], [0.0, 1.0, 0.0], [0.05, 0.0], [0.0, 0.05]])
    loose = held.copy()
    loose[6:8] = [1.0, 0.0]
    states, still = np.stack([held, loose]), np.zeros((2, 3))
    for name, program in programs().items():
        if name.startswith(("revised", "control")):
            paid = program.as_reward(PickPlaceView).transition(states, still, states, np.zeros(2, dtype=bool))
            assert (paid[1] > paid[0] + 1.0) == name.startswith("revised"), name


def test_claims_are_stated_once() -> None:
    names = [claim.name for claim in RECIPE.claims]
    assert len(set(names)) == len(names)
    assert sum(claim.gated for claim in RECIPE.claims) == 8


def test_the_study_of_feedback_returns_its_claims() -> None:
    outcomes = FEEDBACK.proof(100, settings=Settings(steps=3200, epochs=1))  # type: ignore[call-arg]
    assert set(outcomes) == {claim.name for claim in FEEDBACK.claims} == {"wish", "wish_control", "wish_success"}
