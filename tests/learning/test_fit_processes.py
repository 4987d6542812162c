"""A fit that is killed ends with the bits of one that was not; two processes on the CPU (gloo) give the numbers of one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("fits in processes")  # one worker, so that the fixture runs once


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fits")
    subprocess.run([sys.executable, "-m", "tests.learning.forked", str(folder)], cwd=ROOT, check=True, timeout=280)
    return folder


@pytest.mark.parametrize("kind", ["random", "calls"])
def test_killed_and_resumed_gives_the_same_bits(folder: Path, kind: str) -> None:
    deaths = json.loads((folder / "kills.json").read_text())[kind]
    assert deaths, "the fit was never killed, so this test says nothing"
    unbroken, resumed = folder / "unbroken", folder / kind
    names = sorted(str(path.relative_to(unbroken)) for path in unbroken.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(resumed)) for path in resumed.rglob("*") if path.is_file())
    for name in ("metrics.jsonl", "evaluations.jsonl", *(name for name in names if name.startswith("model/"))):
        assert (unbroken / name).read_bytes() == (resumed / name).read_bytes(), f"{name} differs, killed at {deaths}"
    assert len((resumed / "metrics.jsonl").read_text().splitlines()) == 40


def numbers(folder: Path, count: int, rank: int) -> Any:
    return json.loads((folder / str(count) / f"numbers-{rank}.json").read_text())


@pytest.mark.parametrize("case", ["arrays", "text", "many", "latent"])
def test_two_processes_fit_the_same_model(folder: Path, case: str) -> None:
    one, first, second = (
        load_file(folder / f"{place}.safetensors") for place in (f"1/{case}-0", f"2/{case}-0", f"2/{case}-1")
    )
    for name, weight in one.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], weight, rtol=1e-4, atol=1e-5)


def test_two_processes_tell_the_same_numbers(folder: Path) -> None:
    alone, first, second = numbers(folder, 1, 0), numbers(folder, 2, 0), numbers(folder, 2, 1)
    assert first == second
    for case in ("arrays", "text", "latent", "evaluations", "latent evaluations"):
        assert len(alone[case]) > 1
        for expected, got in zip(alone[case], first[case], strict=True):
            assert got == pytest.approx(expected, rel=1e-4, abs=1e-6)
