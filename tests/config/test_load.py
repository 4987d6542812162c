"""Every wrong thing in a configuration is named with its file and line (or the override), its key, and the nearest valid key."""

from __future__ import annotations

from pathlib import Path

import pytest

from rewardlab.config import load_config, parse_override
from rewardlab.registry import SpecError
from rewardlab.yaml_file import YAMLError

GOOD = """\
# line 1
seed: 0
policy: {type: tiny, hidden: 32}
environment: {type: tool_desk, level: small}
tasks: {train: 40, test: 6}
reward:
  type: sum
  weights: {success: 1.0}
  parts:
    success: tool_desk_success
warm_start: {demonstrations: 20, steps: 4}
training:
  steps: 3
  group_size: 4
  objective: {type: grpo, learning_rate: 1e-3}
  credit: group
sampling: {temperature: 1.0}
limits: {turns: 4}
evaluation: {every: 2, reward: tool_desk_success}
keep: {trackers: [tensorboard]}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_a_good_file_is_read_and_comes_back_as_plain_values(tmp_path) -> None:
    config = load_config(written(tmp_path, GOOD))
    assert config.training.objective == {"type": "grpo", "learning_rate": 0.001}
    again = load_config(written(tmp_path, __import__("yaml").safe_dump(config.plain())))
    assert again.plain() == config.plain()
    assert "device" not in config.plain()


# what is replaced, by what, the line that the message begins with, and what else it says
WRONG = {
    "unknown section": ("seed: 0", "sead: 0", 2, "has no key 'sead'; did you mean 'seed'?"),
    "key of another section": (
        "seed: 0",
        "group_size: 4",
        2,
        "no key 'group_size'; did you mean 'training.group_size'?",
    ),
    "unknown nested key": ("train: 40", "trian: 40", 5, "has no key 'trian' under 'tasks'; did you mean 'train'?"),
    "key far from all": ("seed: 0", "zzz: 0", 2, "has no key 'zzz'; known: device, environment"),
    "text for a number": ("steps: 3", "steps: many", 13, "'training.steps' must be a whole number, got 'many'"),
    "fraction for a whole number": ("steps: 3", "steps: 2.5", 13, "'training.steps' must be a whole number, got 2.5"),
    "too small": ("group_size: 4", "group_size: 0", 14, "'training.group_size' must be at least 1, got 0"),
    "mapping for text": ("seed: 0", "output: {a: 1}", 2, "'output' must be a string, got {'a': 1}"),
    "list for a spec": (
        "policy: {type: tiny, hidden: 32}",
        "policy: [tiny]",
        3,
        "'policy' must be a mapping of keys or a",
    ),
    "text for a section": ("tasks: {train: 40, test: 6}", "tasks: 40", 5, "'tasks' must be a mapping of keys, got 40"),
    "unknown tracker": (
        "[tensorboard]",
        "[tensorbord]",
        20,
        "'keep.trackers.0' must be one of tensorboard, wandb, trackio",
    ),
    "text for a list": (
        "[tensorboard]",
        "tensorboard",
        20,
        "'keep.trackers' must be a list, such as [a, b], got 'tensor",
    ),
    "unknown reward": (
        "success: tool_desk_success\nwarm",
        "success: tool_desk_sucess\nwarm",
        10,
        "unknown reward 'tool_desk_sucess'; did you mean 'tool_desk_success'?",
    ),
    "unknown option of a reward": ("weights:", "wieghts:", 8, "no option 'wieghts'; did you mean 'weights'?"),
    "reward without a type": ("type: sum", "constant: 1", 6, "needs the key 'type'"),
    "unknown reward of the evaluation": ("reward: tool_desk_success}", "reward: nope}", 19, "unknown reward 'nope'"),
    "unknown policy": ("type: tiny", "type: tinny", 3, "unknown policy 'tinny'; did you mean 'tiny'?"),
    "unknown option of a policy": (
        "hidden: 32",
        "hiden: 32",
        3,
        "policy 'tiny' has no option 'hiden'; did you mean 'hidden'?",
    ),
    "wrong option of a policy": (
        "hidden: 32",
        "tools: all",
        3,
        "'tools' must be one of signatures, json, hidden, got 'all'",
    ),
    "unknown environment": ("type: tool_desk,", "type: tooldesk,", 4, "did you mean 'tool_desk'?"),
    "unknown option of an environment": ("level: small", "levle: small", 4, "no option 'levle'; did you mean 'level'?"),
    "unknown objective": ("type: grpo", "type: grpp", 15, "unknown objective 'grpp'; did you mean 'grpo'?"),
    "unknown option of an objective": ("learning_rate: 1e-3", "learning_rat: 1", 15, "did you mean 'learning_rate'?"),
    "wrong option of an objective": ("learning_rate: 1e-3", "learning_rate: fast", 15, "must be a number, got 'fast'"),
    "unknown credit": ("credit: group", "credit: groups", 16, "unknown credit 'groups'; did you mean 'group'?"),
    "unknown sampling": (
        "temperature: 1.0",
        "temprature: 1",
        17,
        "has no key 'temprature'; did you mean 'temperature'?",
    ),
    "greedy training": ("temperature: 1.0", "temperature: 0", 17, "must be above 0 while training"),
    "sampling out of range": ("temperature: 1.0", "top_p: 7", 17, "top_p must be in (0, 1], got 7"),
    "unknown limit": ("turns: 4", "turn: 4", 18, "has no key 'turn'; did you mean 'turns'?"),
    "limit out of range": ("turns: 4", "turns: 0", 18, "Limits.turns must be positive, got 0"),
    "groups of one": ("group_size: 4", "group_size: 1", 14, "credit 'group' compares attempts at the same task"),
    "too few tasks": ("train: 40", "train: 10", 11, "warm_start.demonstrations is 20, but there are only 10 training"),
    "no file of tasks": ("train: 40", "file: nowhere.jsonl", 5, "there is no file 'nowhere.jsonl'"),
    "true for a number": ("seed: 0", "seed: true", 2, "'seed' must be a whole number, got True"),
    "true for a fraction": ("every: 2", "success_at: yes", 19, "'evaluation.success_at' must be a number, got True"),
    "a number as a key": ("seed: 0", "1: 0", 2, "the configuration has the key 1, which is no text"),
    "a list of an option": ("level: small", "kinds: 3", 4, "'kinds' must be a list, such as [a, b], got 3"),
    "no file of a reward": ("reward: tool_desk_success}", "reward: gone.yaml}", 19, "there is no file 'gone.yaml'"),
    "missing key": (
        "environment: {type: tool_desk, level: small}\n",
        "",
        2,
        "the configuration needs the key 'environment'",
    ),
}


@pytest.mark.parametrize(("old", "new", "line", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_thing_is_named_with_its_line(tmp_path, old, new, line, message) -> None:
    assert GOOD.count(old) == 1
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(SpecError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_credit_that_goes_with_the_objective_needs_groups_too(tmp_path) -> None:
    text = GOOD.replace("  credit: group\n", "").replace("group_size: 4", "group_size: 1")
    with pytest.raises(SpecError, match=r"credit 'group' compares .* training\.credit: batch"):
        load_config(written(tmp_path, text))
    assert load_config(written(tmp_path, text), ["training.credit=batch"]).training.credit == "batch"


def test_a_doubled_key_is_refused(tmp_path) -> None:
    path = written(tmp_path, GOOD + "seed: 1\n")
    with pytest.raises(YAMLError, match=r"config.yaml:21: the key 'seed' stands here again; it is already on line 2"):
        load_config(path)


@pytest.mark.parametrize(("text", "got"), [("", "nothing"), ("- a\n", r"\['a'\]"), ("just text", "'just text'")])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text, got) -> None:
    with pytest.raises(SpecError, match=f"config.yaml: a configuration must be a mapping of keys.* got {got}"):
        load_config(written(tmp_path, text))


def test_a_file_that_is_no_yaml_is_refused_with_the_line(tmp_path) -> None:
    with pytest.raises(YAMLError, match=r"config.yaml:3: not valid YAML"):
        load_config(written(tmp_path, "seed: 0\npolicy: {type: tiny\ntasks: }\n"))


def test_an_alias_inside_of_itself_is_refused(tmp_path) -> None:
    with pytest.raises(YAMLError, match=r"config\.yaml:1: an alias here refers to what it stands in"):
        load_config(written(tmp_path, "seed: &again [*again]\n"))


def test_a_folder_is_refused(tmp_path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder; give the YAML file in it"):
        load_config(tmp_path)


def test_a_missing_file_is_named_with_the_nearest_one(tmp_path) -> None:
    written(tmp_path, GOOD)
    with pytest.raises(FileNotFoundError, match=r"confg\.yaml.*did you mean .*config\.yaml"):
        load_config(tmp_path / "confg.yaml")


# ---- overrides --------------------------------------------------------------------------------------------------------


def test_overrides_change_numbers_names_and_whole_sections(tmp_path) -> None:
    path = written(tmp_path, GOOD)
    config = load_config(
        path,
        [
            "training.steps=7",
            "environment.level=full",
            "evaluation.success_at=.5",
            "tasks={train: 30}",
            "training.credit.scale=none",
        ],
    )
    assert (config.training.steps, config.environment["level"], config.evaluation.success_at) == (7, "full", 0.5)
    assert (config.tasks.train, config.tasks.test) == (30, 128)
    assert config.training.credit == {"type": "group", "scale": "none"}  # a bare name takes options
    assert load_config(path, ["warm_start=null"]).warm_start is None
    assert load_config(path, ["training.steps=1", "training.steps=2"]).training.steps == 2


OVERRIDES = {
    "a typo": (
        "training.stepz=3",
        "override 'training.stepz=3': the configuration has no key 'stepz' under 'training'",
    ),
    "a typo deep inside": (
        "training.objective.clip_hihg=1",
        "override 'training.objective.clip_hihg=1': objective 'grpo' has no",
    ),
    "no value": ("training.steps", "'training.steps' is not an override; write key=value"),
    "no key": ("=3", "'=3' is not an override"),
    "an empty step": ("training..steps=3", "is not an override"),
    "below a number": (
        "seed.value=3",
        "override 'seed.value=3': 'seed' is 0, which has no keys below it; give seed=...",
    ),
    "below text": ("output.name=x", "has no keys below it"),
    "no YAML": ("training.steps={", "the value of 'training.steps={' is not YAML"),
    "wrong type": (
        "training.steps=abc",
        "override 'training.steps=abc': the configuration: 'training.steps' must be a whole",
    ),
    "too small": ("training.group_size=1", "override 'training.group_size=1': credit 'group' compares"),
}


@pytest.mark.parametrize(("text", "message"), OVERRIDES.values(), ids=OVERRIDES)
def test_a_wrong_override_is_named(tmp_path, text, message) -> None:
    path = written(tmp_path, GOOD.replace("seed: 0", "seed: 0\noutput: runs/x"))
    with pytest.raises(SpecError) as caught:
        load_config(path, ["tasks.test=7", text])
    assert message in str(caught.value)
    assert str(path) not in str(caught.value)


def test_an_error_in_the_file_is_not_blamed_on_an_override(tmp_path) -> None:
    path = written(tmp_path, GOOD.replace("type: sum", "type: summ"))
    with pytest.raises(SpecError) as caught:
        load_config(path, ["reward.weights.success=2"])
    assert str(caught.value).startswith(f"{path}:7: unknown reward 'summ'")


def test_an_override_is_a_key_path_and_a_value() -> None:
    assert parse_override("a.b=1e-3") == (("a", "b"), 0.001)
    assert parse_override("name=Qwen/Qwen3-0.6B") == (("name",), "Qwen/Qwen3-0.6B")
    assert parse_override("a=b=c") == (("a",), "b=c")
    assert parse_override("a=") == (("a",), None)


def test_a_policy_without_weights_can_only_be_evaluated(tmp_path) -> None:
    path = written(tmp_path, GOOD.replace("{type: tiny, hidden: 32}", "{type: endpoint, model: m}"))
    with pytest.raises(SpecError, match=r"config.yaml:3: policy 'endpoint' has no weights here.* training\.steps: 0"):
        load_config(path)
    assert load_config(path, ["training.steps=0", "warm_start=null"]).policy == {"type": "endpoint", "model": "m"}
