"""`rewardlab prove` with toy recipes: by name through an entry point, and by file."""

from __future__ import annotations

import pytest

TOY = """
from rewardlab.recipes.proof import Claim, Outcome, Recipe


def proof(seed: int) -> dict[str, Outcome]:
    return {
        "better": Outcome(method=1.0 + 0.01 * seed, baseline=0.5),
        "also": Outcome(method=0.1, baseline=0.2 + 0.01 * seed),
    }


def lost(seed: int) -> dict[str, Outcome]:
    return {"better": Outcome(method=0.1, baseline=0.5)}


def stop(seed: int) -> dict[str, Outcome]:
    raise KeyboardInterrupt


BETTER = Claim(name="better", statement="the method is better", margin=0.1)
ALSO = Claim(name="also", statement="it is better elsewhere, too", gated=False)
HOLDS = Recipe(title="A toy", source="nowhere", claims=(BETTER, ALSO), proof=proof)
LOST = Recipe(title="A toy that fails", source="nowhere", claims=(BETTER,), proof=lost)
STOP = Recipe(title="A toy that stops", source="nowhere", claims=(BETTER,), proof=stop)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.py").write_text(TOY)
    return tmp_path


def test_a_claim_that_holds_ends_with_status_0_whatever_the_reported_ones_do(run, here) -> None:
    done = run("prove", "toy.py:HOLDS", "--seeds", "3", "--first-seed", "10", "--json")
    assert done.status == 0
    (found,) = done.json
    assert found["seeds"] == [10, 11, 12]
    assert [claim["verdict"] for claim in found["claims"]] == ["holds", "does not hold"]
    assert found["claims"][0]["method"] == pytest.approx([1.10, 1.11, 1.12])
    shown = run("prove", "toy.py:HOLDS", "--quiet")
    assert "A toy: holds (5 seeds from 0)" in shown.out


def test_a_claim_that_does_not_hold_ends_with_status_1(run, here) -> None:
    done = run("prove", "toy.py:HOLDS", "toy.py:LOST", "--seeds", "2", "-q", "-o", "tables/proofs.md")
    assert done.status == 1
    assert "A toy that fails: does not hold" in done.out
    table = (here / "tables" / "proofs.md").read_text()
    assert "| toy.py:LOST | the method is better (gated) | 0.100 | 0.500 | -0.400" in table
    assert "it is better elsewhere, too (reported)" in table


def test_a_recipe_of_another_package_is_named_by_its_entry_point(run, here, monkeypatch) -> None:
    package = here / "toy_package-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-package\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[rewardlab.recipes]\ntoy = toy:HOLDS\n")
    monkeypatch.syspath_prepend(here)
    assert run("prove", "toy", "--seeds", "2", "--json").json[0]["recipe"] == "toy"
    assert "toy" in {row["name"] for row in run("list", "recipes", "--json").json["recipes"]}


def test_wrong_input_is_found_before_the_first_seed(run, here) -> None:
    for arguments, message in (
        ([], "name a recipe"),
        (["--all", "toy.py:HOLDS"], "not both"),
        (["toy.py:STOP", "toy.py:LOTS"], "did you mean 'LOST'?"),
        (["toy.py:BETTER"], "is a Claim, expected a rewardlab.recipes.proof.Recipe"),
        (["rafft"], "did you mean 'raft'?"),
        (["toy.py:HOLDS", "--seeds", "1"], "seeds"),
    ):
        done = run("prove", *arguments)
        assert done.status == 2
        assert message in " ".join(done.err.split())


def test_an_interrupted_proof_ends_with_130(run, here) -> None:
    assert run("prove", "toy.py:STOP", "-q").status == 130
