"""The fixture harness itself, and the fixtures that every text verifier ships."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rewardlab.rewards import base
from rewardlab.rewards.verifiers import fixtures as harness
from rewardlab.rewards.verifiers.exact import ExactMatch
from rewardlab.rewards.verifiers.fixtures import Fixture, check_fixtures, read_fixtures, shipped_fixtures
from rewardlab.types import Trajectory

SHIPPED = sorted(path.stem for path in (Path(harness.__file__).parent / "shipped").glob("*.yaml"))


def sample(answer: str, reference: object = "Paris") -> Trajectory:
    return Trajectory.from_text("Capital of France?", answer, reference=reference)


ALL_KINDS = [
    Fixture("full", sample("Paris"), 1.0),
    Fixture("zero", sample("Rome"), 0.0),
    Fixture("malformed", sample("Paris", None), "failed"),
    Fixture("hostile", sample("Paris or Rome"), 0.0),
]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_fixtures_hold(name):
    sets = shipped_fixtures(name)
    assert sets
    for entry in sets:
        report = check_fixtures(entry.reward, entry.fixtures)
        report.assert_ok()
        assert report.checked == len(entry.fixtures) >= 4


def test_every_text_verifier_ships_fixtures():
    expected = {"exact_match", "f1_match", "choice", "parses_as_json", "matches_schema", "json_match", "format"}
    assert expected | {"instructions", "repetition", "length_penalty", "cosine_length"} <= set(SHIPPED)


def test_all_hold():
    report = check_fixtures(ExactMatch(), ALL_KINDS)
    assert report.ok
    assert str(report) == "exact_match: 4 fixtures, all hold"
    report.assert_ok()


def test_wrong_value_is_reported_with_name_expected_and_got():
    wrong = Fixture("full", sample("Rome"), 1.0, name="the answer of a pupil")
    report = check_fixtures(ExactMatch(), [*ALL_KINDS, wrong])
    (problem,) = report.problems
    assert (problem.name, problem.kind, problem.check) == ("the answer of a pupil", "full", "score")
    assert problem.expected == "1"
    assert problem.got.startswith("0 (answer 'Rome', expected 'Paris'")
    with pytest.raises(AssertionError, match="the answer of a pupil"):
        report.assert_ok()


@pytest.mark.parametrize(
    ("expected", "answer", "reference", "got"),
    [
        ("failed", "Paris", "Paris", "1"),
        (0.0, "Paris", None, "failed"),
        ((0.2, 0.8), "Paris", "Paris", "1"),
        ("abstained", "Paris", None, "failed"),
    ],
)
def test_wrong_outcome_is_reported(expected, answer, reference, got):
    report = check_fixtures(ExactMatch(), [Fixture("zero", sample(answer, reference), expected)], kinds=())
    assert [problem.got.split(" (")[0] for problem in report.problems] == [got]


def test_missing_kind_is_reported():
    report = check_fixtures(ExactMatch(), ALL_KINDS[:3])
    assert [(problem.check, problem.kind) for problem in report.problems] == [("kinds", "hostile")]
    assert check_fixtures(ExactMatch(), ALL_KINDS[:3], kinds=("full",)).ok


def test_no_fixtures():
    assert len(check_fixtures(ExactMatch(), []).problems) == 4
    assert check_fixtures(ExactMatch(), [], kinds=()).ok


CALLS = {"count": 0}


@dataclass(frozen=True, kw_only=True)
class Forgetful(base.Verifier):
    """Gives another score at every call, though it says that it is deterministic."""

    def verify(self, trajectory):
        CALLS["count"] += 1
        return float(CALLS["count"])


@dataclass(frozen=True, kw_only=True)
class Remembers(base.Verifier):
    """Keeps what it has seen: alone it gives 1, in a batch less."""

    seen: list[str] = field(default_factory=list)

    def verify(self, trajectory):
        object.__setattr__(self, "seen", [*self.seen, trajectory.completion])
        return 1.0 / len(self.seen)


@dataclass(frozen=True, kw_only=True)
class Meddles(base.Verifier):
    """Changes the trajectory that it scores."""

    def verify(self, trajectory):
        trajectory.actions[0]["content"] += "!"
        return 1.0


def test_non_deterministic_reward_is_reported():
    report = check_fixtures(Forgetful(), [Fixture("full", sample("a"), (0.0, 1e9))], kinds=())
    assert "fresh instance" in {problem.check for problem in report.problems}


def test_state_between_samples_is_reported():
    two = [Fixture("full", sample("a"), (0.0, 1.0)), Fixture("full", sample("b"), (0.0, 1.0))]
    report = check_fixtures(Remembers(), two, kinds=())
    assert [(problem.name, problem.check) for problem in report.problems] == [("full 2", "alone and in a batch")]


def test_changed_trajectory_is_reported():
    report = check_fixtures(Meddles(), [Fixture("full", sample("a"), 1.0)], kinds=())
    assert [problem.check for problem in report.problems] == ["trajectory unchanged"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("best", sample("a"), 1.0), "kind of a fixture must be one of full, zero"),
        (("full", sample("a"), "fail"), "'failed' or 'abstained', got 'fail'"),
        (("full", sample("a"), float("nan")), "must be a finite number"),
        (("full", sample("a"), (0.0, 1.0, 2.0)), "must be a finite number, a range"),
    ],
)
def test_bad_fixture_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Fixture(*arguments)


def test_text_in_place_of_a_trajectory_is_refused():
    with pytest.raises(TypeError, match="must be a Trajectory, got str; build one with Trajectory.from_text"):
        Fixture("full", "Paris", 1.0)


def test_fixture_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "- reward: {type: exact_match, where: last_line}\n"
        "  fixtures:\n"
        "    - {kind: full, completion: {before: 'x', repeat: ' y', times: 3, after: \"\\nParis\"}, reference: Paris, expected: 1}\n"
        "    - kind: zero\n"
        "      messages: [{role: user, content: Capital}, {role: assistant, content: Rome}]\n"
        "      reference: Paris\n"
        "      expected: 0\n"
    )
    (entry,) = read_fixtures(file)
    assert entry.reward == ExactMatch(where="last_line")
    assert entry.fixtures[0].trajectory.completion == "x y y y\nParis"
    assert check_fixtures(entry.reward, entry.fixtures, kinds=("full", "zero")).ok


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reward: exact_match", "expected a list of entries"),
        ("- {reward: exact_match}", "entry 0: expected the keys 'reward' and 'fixtures'"),
        (
            "- {reward: exact_match, fixtures: [{kind: full, expected: 1}]}",
            "fixture 0: needs 'kind', 'expected' and one of",
        ),
        (
            "- {reward: exact_match, fixtures: [{kind: full, expected: 1, completion: a, answer: b}]}",
            "got the keys .*answer",
        ),
        ("- {reward: exact_match, fixtures: [3]}", "expected a mapping, got 3"),
        ("- {reward: exakt_match, fixtures: []}", "did you mean 'exact_match'"),
    ],
)
def test_bad_fixture_file_is_refused(tmp_path, text, message):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_fixtures(file)


def test_unknown_shipped_name():
    with pytest.raises(ValueError, match="no fixtures are shipped for 'exact'; there are some for .*exact_match"):
        shipped_fixtures("exact")
