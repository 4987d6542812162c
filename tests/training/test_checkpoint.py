from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.training.checkpoint import BrokenCheckpoint, Checkpoints, load_module_state, module_state

leaves = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8)
    | st.lists(st.integers(-5, 5), max_size=4).map(lambda row: np.array(row, dtype=np.int64))
    | st.lists(st.floats(width=32, allow_nan=False), max_size=4).map(torch.tensor)
)  # fmt: skip
states = st.dictionaries(
    st.text("ab.", max_size=3),
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.'", max_size=3), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


def same(left, right):
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, np.ndarray):
        return isinstance(right, np.ndarray) and left.dtype == right.dtype and np.array_equal(left, right)
    return left == right and type(left) is type(right)


@settings(max_examples=40, deadline=None)
@given(states)
def test_whatever_is_saved_comes_back(tmp_path_factory, state):
    checkpoints = Checkpoints(tmp_path_factory.mktemp("any"))
    checkpoints.save(1, {"part": state})
    assert same(checkpoints.load()["part"], state)


def test_numbers_that_json_has_not_and_shared_memory(tmp_path):
    one = torch.arange(6.0)
    state = {"a": {"nan": float("inf"), "x": one, "same": one, "half": one[:3], "transposed": one.view(2, 3).T}}
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, state)
    back = checkpoints.load(3)["a"]
    assert back["nan"] == float("inf")
    assert torch.equal(back["x"], one)
    assert torch.equal(back["same"], one)
    assert torch.equal(back["half"], one[:3])
    assert torch.equal(back["transposed"], one.view(2, 3).T)


def test_only_json_and_safetensors_are_written(tmp_path):
    path = Checkpoints(tmp_path).save(1, {"a": {"x": torch.ones(2)}, "b": {"y": 1}})
    assert sorted(file.name for file in path.iterdir()) == ["a.safetensors", "state.json"]


def test_the_newest_stay(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for number in (1, 2, 5, 9):
        checkpoints.save(number, {"n": {"value": number}})
    assert checkpoints.numbers() == [5, 9]
    assert checkpoints.load()["n"] == {"value": 9}
    assert checkpoints.load(5)["n"] == {"value": 5}


def test_a_number_may_be_replaced(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"n": {"value": 1}})
    checkpoints.save(1, {"n": {"value": 2}})
    assert checkpoints.numbers() == [1]
    assert checkpoints.load()["n"] == {"value": 2}


def test_what_never_changes_is_written_once(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    reference = {"w": torch.ones(1000)}
    for number in range(4):
        checkpoints.save(number, {"n": {"x": torch.zeros(1)}}, unchanging={"reference": reference} if number else None)
    files = {os.stat(checkpoints.path(number) / "reference.safetensors").st_ino for number in checkpoints.numbers()}
    assert len(files) == 1
    assert torch.equal(checkpoints.load()["reference"]["w"], reference["w"])


def test_halves_that_a_kill_leaves_are_cleared(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"n": {"value": 1}})
    (tmp_path / ".unfinished-00000002").mkdir()
    (tmp_path / ".unfinished-00000002" / "state.json").write_text("{")
    (tmp_path / ".removed-checkpoint-00000000").mkdir()
    os.rename(tmp_path / "checkpoint-00000001", tmp_path / ".replaced-00000001")  # killed between the two renames
    assert checkpoints.numbers() == []
    checkpoints.tidy()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-00000001"]
    assert checkpoints.load()["n"] == {"value": 1}


def test_what_cannot_be_read_is_named(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=3)
    with pytest.raises(FileNotFoundError, match="there is no checkpoint in"):
        checkpoints.load()
    for number in (1, 2, 3):
        checkpoints.save(number, {"a": {"x": torch.ones(100)}})
    (checkpoints.path(3) / "a.safetensors").write_bytes(b"short")
    with pytest.raises(
        BrokenCheckpoint, match=r"a\.safetensors' cannot be read .* remove the folder .*checkpoint-00000003"
    ):
        checkpoints.load()
    (checkpoints.path(2) / "state.json").write_text("{")
    with pytest.raises(BrokenCheckpoint, match=r"state\.json' cannot be read"):
        checkpoints.load(2)
    described = json.loads((checkpoints.path(1) / "state.json").read_text())
    (checkpoints.path(1) / "state.json").write_text(json.dumps({**described, "version": 99}))
    with pytest.raises(BrokenCheckpoint, match="has version 99, this release reads 1"):
        checkpoints.load(1)


def test_state_that_cannot_be_saved_is_named(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(TypeError, match="got a object at deep.0"):
        checkpoints.save(1, {"a": {"deep": [object()]}})
    with pytest.raises(TypeError, match="keys of a state must be strings"):
        checkpoints.save(1, {"a": {1: 2}})
    assert checkpoints.numbers() == []
    with pytest.raises(ValueError, match="keep must be at least 1"):
        Checkpoints(tmp_path, keep=0)


def test_module_state_holds_what_training_changes():
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))
    module[2].requires_grad_(False)
    state = module_state(module)
    assert "0.weight" in state
    assert "1.running_mean" in state
    assert "2.weight" not in state
    other = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))
    other[2].requires_grad_(False)
    with torch.no_grad():
        module[1].running_mean.fill_(7.0)
    load_module_state(other, {name: value.clone() for name, value in module_state(module).items()})
    assert torch.equal(other[0].weight, module[0].weight)
    assert float(other[1].running_mean[0]) == 7.0


def test_state_of_another_model_is_refused():
    small, large = torch.nn.Linear(2, 3), torch.nn.Linear(2, 4)
    with pytest.raises(ValueError, match=r"'bias' has shape \(3,\) in the checkpoint and \(4,\)|'weight' has shape"):
        load_module_state(large, module_state(small))
    with pytest.raises(ValueError, match="'bias' is only in the policy"):
        load_module_state(small, {"weight": torch.zeros(3, 2)})
