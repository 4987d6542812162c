"""Reading judgements from files, lists and data sets: the same rows wherever they come from."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import pytest

from tests.learning.reading_rows import asked, read, told

# ---- where rows come from -------------------------------------------------------------------------------------------------

ROWS = [{"prompt": f"q{n}", "chosen": "a", "rejected": "b", "user": "u"} for n in range(5)]


def test_the_same_rows_from_every_kind_of_file(tmp_path) -> None:
    datasets = pytest.importorskip("datasets")
    lines = "\n".join(map(json.dumps, ROWS))
    (tmp_path / "plain.jsonl").write_text(lines)
    (tmp_path / "list.json").write_text(json.dumps(ROWS))
    (tmp_path / "lines.json").write_text(lines)
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "part-2.jsonl").write_text(json.dumps(ROWS[-1]))
    (folder / "part-1.jsonl").write_text("\n".join(map(json.dumps, ROWS[:-1])))
    whole = datasets.Dataset.from_list(ROWS)
    whole.to_parquet(str(tmp_path / "rows.parquet"))
    wanted = told(read(ROWS))
    for source in ("plain.jsonl", "list.json", "lines.json", "packed.jsonl.gz", "folder", "rows.parquet"):
        data = read(tmp_path / source)
        assert told(data) == wanted, source
        assert data.annotators == ["u"] * 5
        assert [asked(data, row)[0]["content"] for row in range(5)] == [f"q{n}" for n in range(5)], source
    assert told(read(whole)) == wanted
    assert told(read(str(tmp_path / "plain.jsonl"), limit=2)) == wanted[:2]
    parts = datasets.DatasetDict({"train": whole, "test": whole.select([0])})
    assert told(read(parts, split="test")) == wanted[:1]
    with pytest.raises(ValueError, match="the splits 'train', 'test', and none was chosen; give split="):
        read(parts)
    with pytest.raises(ValueError, match="there is no 'dev'"):
        read(parts, split="dev")


def test_a_source_that_is_none_says_so(tmp_path, monkeypatch) -> None:
    (tmp_path / "pairs.jsonl").write_text(json.dumps(ROWS[0]))
    with pytest.raises(FileNotFoundError, match="did you mean .*pairs.jsonl"):
        read(tmp_path / "pair.jsonl")
    with pytest.raises(TypeError, match="expected a path, .* got a int"):
        read(3)
    with pytest.raises(
        ValueError, match="split='train' chooses a part of a data set, but .* is a path; leave split out"
    ):
        read(tmp_path / "pairs.jsonl", split="train")
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        read(ROWS, limit=0)
    with pytest.raises(ValueError, match='on_problem must be "collect" or "raise"'):
        read(ROWS, on_problem="ignore")


def test_a_name_of_the_hub_that_cannot_be_had_is_no_file_either(monkeypatch) -> None:
    datasets = pytest.importorskip("datasets")

    def refuse(*_, **__):
        raise ConnectionError("the hub cannot be reached")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(FileNotFoundError, match="no file 'owner/pairs', and no data set .*the hub cannot be reached"):
        read("owner/pairs")
    monkeypatch.setattr(datasets, "load_dataset", lambda name, part, split: {"train": datasets.Dataset.from_list(ROWS)})
    assert len(read("owner/pairs")) == 5


def test_neither_torch_nor_datasets_is_imported_for_a_file(tmp_path) -> None:
    (tmp_path / "pairs.jsonl").write_text(json.dumps(ROWS[0]))
    code = (
        "import sys, rewardlab as rl\nassert 'datasets' not in sys.modules\n"
        f"rl.read_preferences({str(tmp_path / 'pairs.jsonl')!r})\n"
        "print(sorted({'torch', 'datasets', 'pyarrow', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
