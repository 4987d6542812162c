"""Two processes that share the encoder's weights out (FSDP2, on the CPU) give the numbers of one that has them all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rewardlab.policies.sharding import any_sharded, gathered, own, shared_out, together, total_norm, whole
from rewardlab.rewards.models.model import RewardModel
from rewardlab.training.processes import Processes
from tests.learning.sharded import CASES, said
from tests.learning.test_fit_text import pairs

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("sharded fits")  # one worker, so that the fixture runs once


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharded")
    subprocess.run([sys.executable, "-m", "tests.learning.sharded", str(folder)], cwd=ROOT, check=True, timeout=280)
    return folder


def numbers(folder: Path, count: int, rank: int) -> Any:
    return json.loads((folder / str(count) / f"numbers-{rank}.json").read_text())


@pytest.mark.parametrize("case", CASES)
def test_fits_are_those_of_one_process(folder: Path, case: str) -> None:
    alone, first, second = (numbers(folder, *place)[case] for place in ((1, 0), (2, 0), (2, 1)))
    assert first["metrics"] == second["metrics"]
    assert first["values"] == second["values"]
    assert alone["share"] == 1.0
    assert 0.3 < first["share"] < 0.7  # of the weights, each process has about a half
    assert first["share"] + second["share"] == pytest.approx(1.0)
    assert len(first["metrics"]) == len(alone["metrics"])
    for expected, got in zip(alone["metrics"], first["metrics"], strict=True):
        assert got == pytest.approx(expected, rel=1e-4, abs=1e-6)
    torch.testing.assert_close(torch.tensor(first["values"]), torch.tensor(alone["values"]), rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("case", ["adapters", "frozen", "recomputed"])
def test_saved_models_are_whole(folder: Path, case: str) -> None:
    loaded = RewardModel.load(folder / "2" / case)
    assert not any_sharded(loaded.network)
    torch.testing.assert_close(
        torch.tensor(said(loaded, case)), torch.tensor(numbers(folder, 2, 0)[case]["values"]), rtol=1e-5, atol=1e-6
    )


def test_a_fit_that_was_interrupted_goes_on(folder: Path) -> None:
    alone, first, second = (numbers(folder, *place)["run"] for place in ((1, 0), (2, 0), (2, 1)))
    assert first == second == pytest.approx(alone, rel=1e-4, abs=1e-5)
    for count in (1, 2):
        metrics = [json.loads(line) for line in (folder / str(count) / "run/metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in metrics] == [1, 2, 3, 4]
    loaded = RewardModel.load(folder / "2/run/model")
    assert loaded(pairs(3).items).values.tolist() == pytest.approx(first, rel=1e-5, abs=1e-6)


def test_weights_that_stand_twice_are_one_where_they_are_whole(folder: Path) -> None:
    complete, same, plain, back = numbers(folder, 2, 0)["tied"]
    assert complete
    assert same
    assert plain
    assert back  # and in parts again afterwards
    assert numbers(folder, 2, 1)["tied"][0] is False


def test_weights_that_are_not_in_parts_are_left_as_they_are() -> None:
    layer = nn.Linear(3, 2)
    assert not any_sharded(layer)
    for function in (whole, own):
        assert function(layer.weight) is layer.weight
    assert shared_out(layer.weight, layer.bias) is layer.weight
    assert together(layer.weight, layer.bias) is layer.weight
    assert gathered({"a": {"b": layer.weight}}, keep=False)["a"]["b"] is layer.weight
    expected = torch.cat([layer.weight.flatten(), layer.bias]).norm()
    torch.testing.assert_close(total_norm([layer.weight, layer.bias]), expected)


class Told:
    """An accelerator that was set up for FSDP."""

    class distributed_type:  # noqa: N801
        value = "FSDP"

    class state:  # noqa: N801
        class fsdp_plugin:  # noqa: N801
            fsdp_version = 1

    mixed_precision = "no"


def test_the_first_version_of_fsdp_is_refused() -> None:
    with pytest.raises(ValueError, match="version 1 of FSDP, which hides the weights; use version 2"):
        Processes(Told(), may_shard=True)  # type: ignore[arg-type]


def test_other_ways_to_shard_are_refused_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Told.distributed_type, "value", "DEEPSPEED")
    with pytest.raises(ValueError, match="set up for DEEPSPEED, which shards the model.*or FSDP2"):
        Processes(Told(), may_shard=True)  # type: ignore[arg-type]
