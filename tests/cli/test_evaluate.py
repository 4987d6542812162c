"""`rewardlab evaluate` and `rewardlab compare` on files, with a model that was fitted and saved."""

from __future__ import annotations

import json

import numpy as np
import pytest

ROWS = [
    {"prompt": f"q{n}", "chosen": "x" * (5 + n % 3), "rejected": "y" * (4 + 3 * (n % 2)), "subset": "ab"[n % 2]}
    for n in range(12)
]
STEPS = [
    {"prompt": "p", "steps": ["a", "bb", "c"], "labels": [True, False, None]},
    {"prompt": "r", "steps": ["a", "b"], "labels": [True, True]},
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps(row) for row in ROWS]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "bad.jsonl").write_text("\n".join([lines[0], "{", *lines[1:]]) + "\n")
    (tmp_path / "steps.jsonl").write_text("\n".join(map(json.dumps, STEPS)) + "\n")
    (tmp_path / "rewards.py").write_text(
        "from dataclasses import dataclass\n\nfrom rewardlab.rewards.base import Verdict, Verifier\n\n\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Short(Verifier):\n"
        "    def verify(self, trajectory):\n"
        "        steps = [1.0 / len(action['content']) for action in trajectory.actions]\n"
        "        return Verdict(min(steps), steps=steps)\n"
    )
    return tmp_path


def test_a_baseline_on_comparisons_needs_no_model(run, here) -> None:
    found = run("evaluate", "response_length", "pairs.jsonl", "--by", "subset", "--by", "length", "--json").json
    right = [0.5 + 0.5 * np.sign(len(row["chosen"]) - len(row["rejected"])) for row in ROWS]
    assert found["measures"]["accuracy"]["value"] == pytest.approx(np.mean(right))
    assert found["by"]["subset"]["a"]["accuracy"]["rows"] == 6
    shown = run("evaluate", "response_length", "pairs.jsonl")
    assert shown.status == 0
    assert "response_length on pairs.jsonl" in shown.out
    assert "12 rows, 12 decided" in shown.out


def test_a_fitted_model_is_evaluated_and_compared(run, here) -> None:
    import rewardlab as rl
    from rewardlab.learning.data import PreferenceData
    from rewardlab.rewards.models.model import RewardModel

    generator = np.random.default_rng(100)
    first, second = generator.normal(size=(2, 200, 3))
    data = PreferenceData.from_arrays(first, second, (first[:, 0] > second[:, 0]).astype(float))
    fitted = rl.fit(
        RewardModel.make({"type": "mlp", "inputs": 3, "hidden": [8]}), data, steps=60, learning_rate=0.02
    ).model
    fitted.save(here / "model")
    shown = run("evaluate", "model", "pairs.jsonl")  # an array model on texts: nothing can be said
    assert shown.status == 1
    assert "does not hold arrays" in shown.out
    assert rl.evaluate(here / "model", data).main.value > 0.9
    done = run("compare", "-m", "long=response_length", "-m", "model", "-d", "pairs.jsonl", "-o", "t.md", "-o", "t.csv")
    assert done.status == 0
    assert "12 of 12 rows undecided" in (here / "t.md").read_text()
    assert (here / "t.csv").read_text().splitlines()[2].startswith("pairs.jsonl,model,accuracy,,")


def test_step_labels_with_a_threshold_from_elsewhere(run, here) -> None:
    found = run("evaluate", "rewards.py:Short", "steps.jsonl", "--tune-on", "steps.jsonl", "--json").json
    assert found["threshold"] == pytest.approx(0.75)
    assert found["measures"]["first-error F1"]["value"] == 1.0
    assert run("evaluate", "rewards.py:Short", "steps.jsonl", "--threshold", "0.4", "--json").json["threshold"] == 0.4
    both = run("evaluate", "rewards.py:Short", "steps.jsonl", "--threshold", "0.4", "--tune-on", "steps.jsonl")
    assert both.status == 2
    assert "--tune-on must be step labels" in run(
        "evaluate", "rewards.py:Short", "steps.jsonl", "--tune-on", "pairs.jsonl"
    ).err.replace("\n", " ").replace("│", "").replace("  ", " ")


def test_pictures_columns_and_strictness(run, here) -> None:
    done = run("evaluate", "response_length", "bad.jsonl", "--plots", "plots", "--svg", "--strict")
    assert done.status == 1
    assert "1 rows of the source could not be read" in done.out
    assert {path.name for path in (here / "plots").iterdir()} == {"measures.svg", "margins.svg"}
    rows = [{"q": "a", "good": "xxx", "poor": "y"}]
    (here / "own.jsonl").write_text(json.dumps(rows[0]) + "\n")
    named = ("--column", "prompt=q", "--column", "chosen=good", "--column", "rejected=poor")
    assert run("evaluate", "response_length", "own.jsonl", *named, "--json").json["counts"]["rows"] == 1
    assert run("evaluate", "response_length", "own.jsonl", "--column", "prompt").status == 2
    unclear = run("evaluate", "response_length", "own.jsonl")
    assert unclear.status == 2
    assert "no layout that is known" in unclear.err


def test_wrong_input_names_what_is_wrong(run, here) -> None:
    missing = run("evaluate", "response_length", "nowhere.jsonl")
    assert (missing.status, "nowhere.jsonl" in missing.err) == (2, True)
    assert "response_length" in run("evaluate", "response_lenght", "pairs.jsonl").err
    assert "subset" in run("evaluate", "response_length", "pairs.jsonl", "--by", "subsets").err
    (here / "empty").mkdir()
    nothing = run("evaluate", "empty", "pairs.jsonl")
    assert nothing.status == 2
    assert "no reward model" in nothing.err
    assert run("compare", "-m", "response_length", "-d", "pairs.jsonl", "-o", "t.txt").status == 2
    twice = run("compare", "-m", "response_length", "-m", "response_length", "-d", "pairs.jsonl")
    assert twice.status == 2
    assert run("compare", "-m", "response_length", "-d", "pairs.jsonl", "--baseline", "x").status == 2


def test_a_comparison_is_printed_as_json(run, here) -> None:
    (here / "back.yaml").write_text("{type: response_length, sign: -1}\n")
    found = run(
        "compare", "-m", "response_length", "-m", "short=back.yaml", "-d", "p=pairs.jsonl", "--plots", "d", "--json"
    ).json
    assert [row["reward"] for row in found["table"]] == ["response_length", "short"]
    assert found["table"][0]["value"] + found["table"][1]["value"] == pytest.approx(1.0)
    assert found["table"][1]["baseline"] == "response_length"
    assert (here / "d" / "comparison.png").exists()
