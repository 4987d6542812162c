"""Programs in the sandbox: values, shapes, limits, and what a check says of a program that runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rewardlab as rl
from rewardlab.learning.programs import ProgramFailed, Report, Scalar, transitions_of_many
from rewardlab.rewards.spec import from_spec
from rewardlab.types import Status, Trajectory
from tests.learning.programs.adapter import View, program, states

SCALAR = program(
    "reward = -self.arm.height\nif self.arm.touches(self.cube):\n    reward += self.cube.pose.place[1]\nreturn reward"
)
VECTORISED = program(
    "return -self.arm.height + np.where(self.arm.touches(self.cube), self.cube.pose.place[:, 1], 0.0)"
)  # fmt: skip


def check(source: str, form: str = "scalar", **options: Any) -> Report:
    return rl.RewardProgram(source=source, form=form).check(states(), view=View, **options)


def test_scalar_and_vectorised_programs_give_the_same() -> None:
    observations, actions = states(200)
    scalar = rl.RewardProgram(source=SCALAR).as_reward(View)
    vectorised = rl.RewardProgram(source=VECTORISED, form="vectorised").as_reward(View)
    ended = np.zeros(200, dtype=bool)
    expected = -observations[:, 0] + np.where(observations[:, 1] < 0.5, observations[:, 2], 0.0)
    for reward in (scalar, vectorised):
        found = reward.transition(observations, actions, observations, ended)
        np.testing.assert_allclose(found, expected, atol=1e-9)
    together = transitions_of_many([scalar, vectorised], [observations] * 2, [actions] * 2)
    np.testing.assert_allclose(together[0], together[1], atol=1e-9)


def test_trajectories_are_scored_and_failures_are_never_zero() -> None:
    observations, actions = states(4)
    trajectory = Trajectory(observations=observations, actions=actions[:3], terminated=True)
    scores = rl.RewardProgram(source=SCALAR).as_reward(View)([trajectory])
    assert scores.status[0] == Status.SCORED
    broken = rl.RewardProgram(source=program("return 1.0 / (self.arm.height * 0.0)")).as_reward(View)
    scores = broken([trajectory])
    assert scores.status[0] == Status.FAILED
    assert np.isnan(scores.values[0])
    assert scores.notes is not None
    assert "line 5: ZeroDivisionError: float division by zero" in str(scores.notes[0])
    rows = rl.RewardProgram(source=program("return float(np.log(self.arm.height - 2.0))")).as_reward(View)
    assert "nan at step 0" in str(rows([trajectory]).notes)


@pytest.mark.parametrize(
    ("body", "form", "kind", "line", "words"),
    [
        ("while True:\n    pass", "scalar", "time", None, "no answer for 64 states within 0.5 s"),
        ("block = np.ones(10**10)\nreturn 0.0", "scalar", "memory", 5, "more than 256 MB"),
        ("text = 'x' * 10**10\nreturn 0.0", "scalar", "memory", 5, "more than 256 MB"),
        ("return None", "scalar", "shape", None, "returned None (NoneType) in state 0; expected one finite number"),
        ("return True", "scalar", "shape", None, "returned True (bool) in state 0"),
        ("return np.zeros(1)", "scalar", "shape", None, "returned an array of shape (1,) (ndarray) in state 0"),
        ("return (1.0, {})", "scalar", "shape", None, "returned (1.0, {}) (tuple) in state 0"),
        ("return float('nan')", "scalar", "value", None, "returned nan in state 0; expected a finite number"),
        ("return float('inf')", "scalar", "value", None, "returned inf in state 0"),
        ("return 1.0", "vectorised", "shape", None, "returned 1.0 as the reward; expected one number for each state, float[64]"),
        ("return self.cube.pose.place", "vectorised", "shape", None, "of shape (64, 2) as the reward"),
        ("if self.arm.height > 0.5:\n    return 1.0\nreturn 0.0", "vectorised", "shape", 5, "truth value of an array"),
        ("place = [self.cube.pose.place][0]\nplace[0] = 1.0\nreturn 0.0", "scalar", "changes", 6, "must not change the environment"),
        ("return [self.arm][0].speed", "scalar", "unknown attribute", 5, "a Arm has no attribute 'speed'; it has height, touches"),
        ("return [self.arm][0].touches(1.0)", "scalar", "wrong use", 5, "touches wants a Cube of the environment, got a float"),
        ("return self.arm.height - self.arm.height.mean()", "vectorised", None, None, ""),
        ("order = np.arange(len(action))\nreturn self.arm.height * order", "vectorised", "mixes states", None, "must look at one state"),
    ],
)  # fmt: skip
def test_what_goes_wrong_in_a_run_is_named(
    body: str, form: str, kind: str | None, line: int | None, words: str
) -> None:
    report = check(
        program(body), form, seconds=0.5 if kind == "time" else 5.0, memory_mb=256 if kind == "memory" else 512
    )
    if kind is None:
        assert report.passed
        return
    problem = report.errors[0]
    assert (problem.kind, problem.line if line else None) == (kind, line), report
    assert words in problem.message


def test_state_between_calls_is_found() -> None:
    source = program("calls.append(1)\nreturn float(len(calls))", "calls = []\n")
    assert check(source).errors[0].kind == "not repeatable"
    assert "a second call with the same state gave" in check(source).errors[0].message


def test_a_value_that_is_not_finite_names_its_copy() -> None:
    row = int(np.argmin(states()[0][:, 0]))
    limit = float(np.sort(states()[0][:, 0])[:2].mean())
    problem = check(program(f"return float('nan') if self.arm.height < {limit!r} else 0.0")).errors[0]
    assert (problem.kind, problem.state) == ("value", row)


def test_files_and_processes_are_out_of_reach_even_when_the_text_is_not_checked() -> None:
    """The static check refuses these; here they run, and the sandbox is what stands in the way."""
    from rewardlab.learning.programs.running import Job, run_jobs
    from rewardlab.learning.programs.views import schema_of

    _, actions = states(2)
    reads = "    return float(len(open('/etc/passwd').read()))\n"
    source = f"def compute_dense_reward(self, action):\n{reads}"
    job = Job(source=source, schema=schema_of(View), form="scalar", values={}, action=actions)
    run = run_jobs([job])[0]
    if run.isolated:
        assert run.values is None
        assert run.problem is not None
        assert (run.problem.kind, run.problem.line) == ("forbidden", 2)
    forged = "import os\ndef compute_dense_reward(self, action):\n    os.write(1, b'{}')\n    os._exit(0)\n"
    run = run_jobs([Job(source=forged, schema=schema_of(View), form="scalar", values={}, action=actions)])[0]
    assert run.values is None


def test_a_report_shows_terms_conditions_and_success() -> None:
    report = check(SCALAR, success=lambda seen: seen[:, 0] < 0.5)
    assert report.passed
    assert report.states == 64
    assert report.isolated is not None
    assert [term.text for term in report.terms] == ["-self.arm.height", "self.cube.pose.place[1]"]
    assert sum(term.share for term in report.terms) == pytest.approx(1.0)
    assert 0.3 < report.conditions[0].held < 0.7
    assert report.correlation is not None
    assert report.correlation > 0.3
    assert "correlation with success" in str(report)
    named = check(program("return {'low': -self.arm.height, 'near': 1.0 - self.cube.pose.place[0]}"))
    assert [term.text for term in named.terms] == ["low", "near"]


def test_vacuous_constant_and_dominant_terms_are_warnings() -> None:
    report = check(
        program("reward = -self.arm.height\nif self.arm.height < 2.0:\n    reward += 100.0 + self.cube.pose.place[0]\nreturn reward")
    )  # fmt: skip
    assert report.passed
    assert "the condition `self.arm.height < 2.0` always held" in str(report)
    assert {problem.kind for problem in report.warnings} >= {"vacuous"}
    assert check(program("return 3.0")).warnings[0].kind == "constant"
    heavy = check(program("return -self.arm.height + 1000.0 * self.cube.pose.place[0]"))
    assert any(problem.kind == "dominant" for problem in heavy.warnings)


def test_isolation_is_reported() -> None:
    report = check(SCALAR, isolation="subprocess")
    assert report.isolated is False
    assert "NOT isolated" in str(report)


def test_programs_are_kept_as_text(tmp_path: Path) -> None:
    made = rl.RewardProgram(
        source=SCALAR, instruction="lower the arm", model="m", prompt="p", rounds=(("a", "b", "c"),)
    )
    made.save(tmp_path / "one.json")
    assert rl.RewardProgram.load(tmp_path / "one.json") == made
    made.save(tmp_path / "one.py")
    assert rl.RewardProgram.load(tmp_path / "one.py").hash == made.hash
    content = json.loads((tmp_path / "one.json").read_text())
    (tmp_path / "two.json").write_text(json.dumps({**content, "source": "changed"}))
    with pytest.raises(ValueError, match="its text was changed"):
        rl.RewardProgram.load(tmp_path / "two.json")
    with pytest.raises(ProgramFailed, match="there is no program: no code block"):
        rl.RewardProgram(source="", failure="no code block").as_reward(View)
    with pytest.raises(ProgramFailed, match="a reward may not use open"):
        rl.RewardProgram(source=program("return open('x')")).as_reward(View)


def test_a_program_is_written_to_a_spec_and_read_back() -> None:
    reward = rl.RewardProgram(source=SCALAR).as_reward("tests.learning.programs.adapter:View", seconds=3.0)
    spec = reward.to_spec()
    assert spec["type"] == "reward_program"
    again = from_spec(spec)
    observations, actions = states(3)
    ended = np.zeros(3, dtype=bool)
    np.testing.assert_array_equal(
        again.transition(observations, actions, observations, ended),  # type: ignore[attr-defined]
        reward.transition(observations, actions, observations, ended),
    )


def test_a_gymnasium_environment_gives_the_sample() -> None:
    gymnasium = pytest.importorskip("gymnasium")

    class Cart:
        """A pole on a cart."""

        def __init__(self, observation: Any) -> None:
            self._observation = observation

        @property
        def angle(self) -> Scalar:
            """of the pole, in radians"""
            return self._observation[..., 2]

    made = rl.RewardProgram(source=program("return float(np.cos(self.angle))"))
    report = made.check(gymnasium.make("CartPole-v1"), 100, view=Cart)
    assert report.passed
    assert report.states == 100
    assert report.mean == pytest.approx(1.0, abs=0.05)
    with pytest.raises(TypeError, match="expected a Gymnasium environment, array trajectories, or"):
        made.check(3, view=Cart)


def test_all_programs_are_compared_and_failures_are_shown() -> None:
    from rewardlab.learning.programs import compare_programs

    observations, actions = states(8)
    ended = np.zeros(8, dtype=bool)

    def train(reward: Any, seed: int) -> float:
        return float(reward.transition(observations, actions, observations, ended).mean()) + seed

    good = rl.RewardProgram(source=program("return 1.0"))
    raises = rl.RewardProgram(source=program("return [][0]"))
    missing = rl.RewardProgram(source="", failure="no code block")
    found = compare_programs(
        [good, raises, missing], train, view=View, beside={"expert": good.as_reward(View)}, seeds=[0, 1]
    )
    assert found.mean == found.worst == 1.5
    assert set(found.failures) == {raises.hash, "failed 2"}
    assert "IndexError" in found.table()
    assert "3 programs, 2 failed" in found.table()
    with pytest.raises(ValueError, match="the same program stands there twice"):
        compare_programs([good, good], train, view=View)


def test_a_program_is_the_reward_of_a_real_environment() -> None:
    gymnasium = pytest.importorskip("gymnasium")
    from rewardlab.environments.control import RewardWrapper

    class Cart:
        """A pole on a cart."""

        def __init__(self, observation: Any) -> None:
            self._observation = observation

        @property
        def angle(self) -> Scalar:
            """of the pole, in radians"""
            return self._observation[..., 2]

    reward = rl.RewardProgram(source=program("return float(np.cos(self.angle))")).as_reward(Cart)
    environment = RewardWrapper(gymnasium.make("CartPole-v1"), reward)
    environment.reset(seed=0)
    for _ in range(3):
        observation, value, *_, info = environment.step(0)
        assert value == pytest.approx(np.cos(observation[2]))
        assert info["environment_reward"] == 1.0
