"""`rewardlab data` on real files."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"q{n}", "a": "long answer", "b": "short", "label": 1 + n % 2} for n in range(8)]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pairs = [{"prompt": "q", "chosen": "long answer", "rejected": "short"}] * 2
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)) + "\n{\n")
    return tmp_path


def test_the_table_tells_what_stands_in_a_file_and_what_could_not_be_read(run, here) -> None:
    done = run("data", "pairs.jsonl")
    assert done.status == 0
    assert "1 (line 2 repeats line 1)" in done.out
    assert "the longer one wins" in done.out
    assert "1 row could not be read:" in done.out
    assert "pairs.jsonl:3: not JSON" in done.out
    assert run("data", "pairs.jsonl", "--strict").status == 1


def test_columns_and_labels_are_named_and_json_is_printed(run, here) -> None:
    unclear = run("data", "own.jsonl")
    assert unclear.status == 2
    assert "no layout that is known; say what they are" in unclear.err
    named = ("--column", "first=a", "--column", "second=b", "--column", "label=label", "--labels", "number")
    told = run("data", "own.jsonl", *named, "--json").json
    assert told["counts"] == {"for the first": 4, "for the second": 4, "ties": 0}
    assert run("data", "own.jsonl", *named, "--limit", 3, "--json").json["rows"] == 3
    assert run("data", "own.jsonl", "--column", "first").status == 2
    assert run("data", "nothing.jsonl").status == 2


def test_pictures_go_to_a_folder(run, here) -> None:
    pytest.importorskip("matplotlib")
    done = run("data", "pairs.jsonl", "--plots", "plots", "--svg")
    assert sorted(path.name for path in (here / "plots").iterdir()) == ["labels.svg", "length.svg"]
    assert "plots/length.svg" in done.err
