"""Two processes on the CPU (gloo) give the numbers that one gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rewardlab.training.processes import Processes

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("training processes")  # one worker, so that the fixture runs once
CASES = ("grpo", "constant", "reinforce_plus_plus", "recomputed", "alone")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    command = [sys.executable, "-m", "tests.training.forked", "pairs", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=280)
    return folder


def numbers(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize("case", CASES)
def test_updates_are_those_of_one_process(folder, case):
    one, first, second = (
        load_file(folder / f"{place}.safetensors") for place in (f"1/{case}-0", f"2/{case}-0", f"2/{case}-1")
    )
    assert len(one) >= 1
    for step, gradient in one.items():
        assert torch.equal(first[step], second[step])
        # the first steps are the same to rounding; later ones see weights that Adam has moved by its sign-like steps
        tolerance = 1e-6 if step == "step0" else 1e-4
        assert torch.allclose(first[step], gradient, rtol=1e-4, atol=tolerance), step
        assert float(gradient.norm()) > 0.01
    alone = numbers(folder / "1/numbers-0.json")[case]
    shared = [numbers(folder / f"2/numbers-{rank}.json")[case] for rank in (0, 1)]
    assert shared[0] == shared[1]
    for expected, got in zip(alone, shared[0], strict=True):
        assert got == pytest.approx(expected, rel=1e-4, abs=1e-5)
        assert expected["optimizer_steps"] >= 1


def test_a_whole_training_stays_together_and_resumes(folder):
    first, second = (load_file(folder / f"2/loop-{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    metrics = [json.loads(line) for line in (folder / "2/run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics] == [1, 2, 3, 4]
    for line in metrics:
        assert line["samples/scored"] == 3 * 3  # tasks of both processes, once each
        assert line["groups/count"] == 3
        assert line["update/ratio_max"] == pytest.approx(1.0, abs=1e-3)  # both acted with the weights that are updated
    evaluations = [json.loads(line) for line in (folder / "2/run/evaluations.jsonl").read_text().splitlines()]
    assert [line["step"] for line in evaluations] == [0, 2, 4]
    assert all(line["samples/scored"] == 5 for line in evaluations)


def test_accelerators_that_shard_the_model_are_refused():
    class Sharding:
        class distributed_type:  # noqa: N801
            value = "FSDP"

        mixed_precision = "no"

    with pytest.raises(ValueError, match="accelerate is set up for FSDP, which shards the model"):
        Processes(Sharding())
    Sharding.distributed_type.value, Sharding.mixed_precision = "NO", "fp16"
    with pytest.raises(ValueError, match="mixed precision fp16 is not supported"):
        Processes(Sharding())
