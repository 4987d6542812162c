"""`rewardlab fit` on small data: what it prints and writes, and what it says of wrong input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rewardlab.learning import PreferenceData, member_values
from rewardlab.learning.sample import sample_preferences
from rewardlab.rewards.models.model import RewardModel

CONFIG = """\
output: runs/first
threads: 1
data: {sample: 60, held_out: 0.25}
encoder: {type: tiny, hidden: 16, layers: 1, heads: 2, vocabulary_size: 400}
fit: {steps: 4, batch_size: 8}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def test_a_fit_prints_accuracy_and_writes_its_folder(run: Any, here: Path) -> None:
    done = run("fit", "config.yaml", "--quiet")
    assert done.status == 0, done.err
    assert "before" in done.out
    assert "accuracy" in done.out
    folder = here / "runs" / "first"
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 4
    assert (folder / "plots" / "curves.png").is_file()
    outcome = json.loads((folder / "outcome.json").read_text())
    assert outcome["held_out"]["after"]["measures"]["accuracy"]["rows"] > 5
    model = RewardModel.load(folder / "model")
    assert model.digest == outcome["digest"]
    assert np.isfinite(model(sample_preferences(10).items).values).all()
    again = run("fit", folder / "config.yaml", "--json").json  # the file in the folder gives the same fit
    assert again["digest"] == outcome["digest"]
    refused = run("fit", "config.yaml", "--no-resume")
    assert refused.status == 2
    assert "holds a fit already" in refused.err


def test_an_ensemble_and_a_file(run: Any, here: Path) -> None:
    rows = rows_of(sample_preferences(40))
    (here / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["data.sample=null", "data.file=pairs.jsonl", "members=3", "fit.steps=2", "--json"]
    done = run("fit", "config.yaml", *options)
    assert done.status == 0, done.err
    model = RewardModel.load(done.json["model"])
    assert member_values(model, sample_preferences(5).items).shape == (10, 3)


def test_users_of_the_data_are_those_of_the_head(run: Any, here: Path) -> None:
    rows = [{**row, "annotator": f"person {place % 3}"} for place, row in enumerate(rows_of(sample_preferences(60)))]
    (here / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["data.sample=null", "data.file=pairs.jsonl", "head={type: ideal_point}", "fit.steps=2", "--json"]
    done = run("fit", "config.yaml", *options)
    assert done.status == 0, done.err
    assert RewardModel.load(done.json["model"]).network.head.options()["users"] == [f"person {one}" for one in range(3)]


def test_wrong_input_is_one_line(run: Any, here: Path) -> None:
    wrong = run("fit", "config.yaml", "fit.step=3")
    assert wrong.status == 2
    assert "has no key 'step' under 'fit'; did you mean 'steps'?" in wrong.err
    assert run("fit", "nowhere.yaml").status == 2
    kinds = run("fit", "config.yaml", "loss=regression")
    assert kinds.status == 2
    assert "the loss reads ratings, but the data are preferences" in kinds.err
    assert run("fit", "config.yaml", "--check").out.strip() == "config.yaml is fine"
    assert not (here / "runs").exists()


def test_a_loss_that_is_no_number_ends_with_its_rows(run: Any, here: Path) -> None:
    stopped = run("fit", "config.yaml", "fit.learning_rate=1e38", "fit.schedule=constant", "fit.warmup=0", "--quiet")
    assert stopped.status == 1
    assert "stopped: step 2 of 4" in stopped.err
    assert "of the training data" in stopped.err


def rows_of(data: PreferenceData) -> list[dict[str, str]]:
    """Comparisons as lines of a file."""
    rows = []
    for first, second, label in zip(data.first, data.second, data.label, strict=True):
        chosen, rejected = (first, second) if label else (second, first)
        prompt, texts = str(data.items[chosen].messages[0]["content"]), {}
        for name, item in (("chosen", chosen), ("rejected", rejected)):
            texts[name] = data.items[item].completion
        rows.append({"prompt": prompt, **texts})
    return rows
