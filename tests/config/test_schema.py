"""The JSON Schemas are valid, take every configuration and spec that we ship, and refuse typos."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from rewardlab.config import control_schema, fit_schema, reward_schema, train_schema
from rewardlab.yaml_file import load_yaml, read_yaml

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "src" / "rewardlab"
CONFIGURATIONS = [
    *(path for path in (ROOT / "examples").glob("*.yaml") if "tasks" in read_yaml(path).data),
    PACKAGE / "templates" / "agent" / "config.yaml",
    *(
        path
        for path in sorted({*PACKAGE.glob("recipes/**/*scale*.yaml"), *PACKAGE.glob("recipes/scale/*.yaml")})
        if "control" not in read_yaml(path).data  # jobs in Gymnasium environments have readers of their own
    ),
]
CONTROLS = [path for path in (ROOT / "examples").glob("*.yaml") if "learner" in read_yaml(path).data]
FITS = [path for path in (ROOT / "examples").glob("*.yaml") if "encoder" in read_yaml(path).data]
REWARDS = [PACKAGE / "templates" / "score" / "reward.yaml"]


@pytest.fixture(scope="module")
def train() -> jsonschema.Draft202012Validator:
    schema = train_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture(scope="module")
def fits() -> jsonschema.Draft202012Validator:
    schema = fit_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture(scope="module")
def reward() -> jsonschema.Draft202012Validator:
    schema = reward_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", CONTROLS, ids=lambda path: path.name)
def test_every_shipped_training_in_an_environment_is_valid(path) -> None:
    schema = control_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    content = read_yaml(path).data
    assert [error.message[:500] for error in validator.iter_errors(content)] == []
    assert list(validator.iter_errors({**content, "reward": {"type": "potential", "phy": "distance"}}))


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_shipped_configuration_is_valid(train, path) -> None:
    assert [error.message[:500] for error in train.iter_errors(read_yaml(path).data)] == []


@pytest.mark.parametrize("path", REWARDS, ids=lambda path: path.name)
def test_every_shipped_spec_is_valid(reward, path) -> None:
    assert [error.message[:500] for error in reward.iter_errors(read_yaml(path).data)] == []


def test_the_example_is_among_what_is_checked() -> None:
    assert ROOT / "examples" / "tool_agent.yaml" in CONFIGURATIONS


@pytest.mark.parametrize(
    "text",
    [
        "{reward: exact_match}",  # no environment
        "{environment: tool_desk, reward: exact_match, sead: 1}",
        "{environment: tool_desk, reward: exact_match, training: {stepz: 1}}",
        "{environment: tool_desk, reward: exact_match, training: {steps: many}}",
        "{environment: {type: tool_desk, levle: small}, reward: exact_match}",
        "{environment: tool_desk, reward: {type: sum, wieghts: {a: 1}, parts: {a: exact_match}}}",
        "{environment: tool_desk, reward: {type: sum, parts: {a: {type: exact_match, nope: 1}}}}",
        "{environment: tool_desk, reward: exact_match, policy: {type: tiny, hiden: 1}}",
        "{environment: tool_desk, reward: exact_match, training: {objective: {type: grpo, lr: 1}}}",
        "{environment: tool_desk, reward: exact_match, sampling: {temprature: 1}}",
        "{environment: tool_desk, reward: exact_match, keep: {trackers: [tensorbord]}}",
    ],
)
def test_a_typo_is_refused(train, text) -> None:
    assert not train.is_valid(load_yaml(text))


def test_rewards_of_ones_own_are_taken(train) -> None:
    assert train.is_valid(load_yaml("{environment: tool_desk, reward: {type: 'rewards.py:brief', turns: 4}}"))
    assert train.is_valid(load_yaml("{environment: tool_desk, reward: {type: sum, parts: {a: 'pack.age:thing'}}}"))
    assert train.is_valid(load_yaml("{environment: 'my_world.py:World', reward: reward.yaml}"))


def test_keys_are_described_for_the_editor(train) -> None:
    schema = train.schema
    assert schema["properties"]["seed"]["description"] == "Every random choice comes from it."
    grpo = next(
        entry
        for entry in schema["$defs"]["objective"]["anyOf"]
        if entry.get("properties", {}).get("type") == {"const": "grpo"}
    )
    assert "description" in grpo["properties"]["learning_rate"]


@pytest.mark.parametrize("path", FITS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_shipped_fit_is_valid_and_its_typos_are_not(fits, path) -> None:
    data = read_yaml(path).data
    assert [error.message[:500] for error in fits.iter_errors(data)] == []
    for wrong in ({"haed": "scalar"}, {"encoder": {"type": "tiny", "hiden": 8}}, {"fit": {"epochs": 0}}):
        assert not fits.is_valid({**data, **wrong})
