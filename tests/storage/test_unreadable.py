from __future__ import annotations

import gzip
import json
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewardlab.storage import (
    FORMATS,
    BadRow,
    Problems,
    TooManyProblems,
    UnknownFormat,
    read_trajectories,
    write_trajectories,
)
from rewardlab.types import Trajectory
from tests.storage.test_round_trip import chat

DATA = Path(__file__).parent / "data"


def write_rows(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# ---- what cannot be read --------------------------------------------------------------------------------------------


def record(**changes: object) -> dict:
    plain = {
        "schema": "rewardlab.trajectory/1",
        "task": None,
        "messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}],
        "action_positions": [1],
        "rewards": [1.0],
        "info": {},
    }
    return {**plain, **changes}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rewards": "1.0"}, "'rewards' must be a list of numbers"),
        ({"rewards": ["1.0"]}, "'rewards' must be a list of numbers"),
        ({"rewards": [True]}, "'rewards' must be a list of numbers"),
        ({"rewards": [1.0, 2.0]}, "rewards must have shape (1,)"),
        ({"rewards": [{"$float": "inf"}]}, "rewards must be finite"),
        ({"rewards": [10**400]}, "too large"),
        ({"action_positions": [5]}, "'action_positions' must rise and stay below 2"),
        ({"action_positions": [1, 1]}, "'action_positions' must rise"),
        ({"action_positions": None}, "'action_positions' is missing"),
        ({"action_positions": [0]}, "actions[0] must be an assistant message"),
        ({"messages": "hello"}, "'messages' must be a list, got 'hello'"),
        ({"messages": ["hello", "you"]}, "messages[0] must be a dict"),
        ({"messages": None}, "'observations' must be a list or an array"),
        ({"group": 7}, "'group' must be a string, got 7"),
        ({"terminated": "yes"}, "'terminated' must be true or false, got 'yes'"),
        ({"info": [1]}, "'info' must be an object, got [1]"),
        ({"task": "t"}, "'task' must be an object, got 't'"),
        ({"task": {"prompt": None}}, "task id must be a non-empty string, got None"),
        ({"task": {"id": "a", "prompt_length": 9}}, "'task.prompt_length' must be at most"),
        ({"task": {"id": "a", "tools": {}}}, "'tools' must be a list"),
        ({"tokens": {"ids": [1]}}, "'tokens' must hold ids, step and logprobs"),
        ({"tokens": {"ids": ["a"], "step": [0], "logprobs": [0.0]}}, "'tokens.ids' must be"),
        ({"tokens": {"ids": [1], "step": [3], "logprobs": [0.0]}}, "tokens name action 3"),
        ({"seconds": {"$array": {"dtype": "O", "shape": [1], "base64": ""}}}, "the dtype of $array must be"),
        ({"seconds": {"$array": {"dtype": "<f8", "shape": [10**9], "base64": ""}}}, "needs 8000000000 bytes, got 0"),
        ({"seconds": {"$array": {"dtype": "<f8", "shape": [-1], "base64": ""}}}, "must be a list of sizes"),
        ({"info": {"a": {"$array": {"dtype": "<f8", "shape": [1], "base64": "ä"}}}}, "not base64"),
        ({"info": {"a": {"$array": {"dtype": "<U0", "shape": [10**12], "base64": ""}}}}, "the dtype of $array must be"),
        ({"info": {"a": {"$array": {"dtype": "f4,f4", "shape": [0], "base64": ""}}}}, "the dtype of $array must be"),
        ({"info": {"a": {"$array": {"dtype": "<f8", "shape": [0, 10**30], "base64": ""}}}}, "dimension"),
        ({"info": {"a": {"$float": "one"}}}, '$float must be "nan"'),
        ({"schema": "rewardlab.trajectory/9"}, "a newer rewardlab may have written this file"),
    ],
)
def test_a_bad_row_is_set_aside_and_the_rest_is_read(changes: dict, reason: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "x.jsonl", record(), record(**changes), record())
    with pytest.warns(UserWarning, match="1 row was set aside"):
        assert len(list(read_trajectories(path))) == 2
    problems = Problems()
    assert len(list(read_trajectories(path, problems=problems))) == 2
    assert problems.count == 1
    assert problems.first[0].line == 2
    assert reason in problems.first[0].reason
    with pytest.raises(TooManyProblems, match=r"x\.jsonl:2: "):
        problems.raise_if()
    problems.raise_if(more_than=1)
    with pytest.raises(BadRow, match=r"x\.jsonl:2: "):
        list(read_trajectories(path, on_problem="raise"))


def test_lines_that_are_no_json(tmp_path: Path) -> None:
    good = json.dumps(record()).encode()
    lines = [b"\xef\xbb\xbf" + good, b"", b"{oops", b"\xff\xfe{}", good + b" x", b"[" * 100_000, b"17", good[:-30]]
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(lines))
    problems = Problems()
    assert len(list(read_trajectories(tmp_path / "x.jsonl", problems=problems))) == 1
    assert [problem.line for problem in problems] == [3, 4, 5, 6, 7, 8]
    reasons = [problem.reason for problem in problems]
    assert reasons[0].startswith("not JSON: ")
    assert reasons[1].startswith("not UTF-8: byte 0xff at position 0")
    assert "more text after the end" in reasons[2]
    assert "nested too deeply" in reasons[3]
    assert "expected a JSON object, got 17" in reasons[4]
    assert "probably killed" in reasons[5]


@pytest.mark.parametrize("cut", [5, 12, 60, 2000])
def test_a_gzip_file_that_was_cut_off(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    batch = [chat(index) for index in range(500)]
    write_trajectories(path, batch)
    path.write_bytes(path.read_bytes()[:-cut])
    problems = Problems()
    found = list(read_trajectories(path, problems=problems))
    assert found == batch[: len(found)]
    assert "cut off" in problems.kept[-1].reason
    assert problems.count <= 2  # the torn line, and the stream itself


def test_a_damaged_gzip_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    raw = gzip.compress("".join(json.dumps(record(group=str(index))) + "\n" for index in range(2000)).encode())
    path.write_bytes(raw[:3000] + b"\x00" * 50 + raw[3050:])
    problems = Problems()
    list(read_trajectories(path, problems=problems))
    assert problems.kept[-1].reason.startswith("the gzip stream is damaged")


def test_empty_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    with pytest.warns(UserWarning, match=r"empty\.jsonl: the file holds no rows"):
        assert list(read_trajectories(tmp_path / "empty.jsonl")) == []
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "trajectories.jsonl").touch()
    with pytest.raises(
        FileNotFoundError, match=r"nearest folder .*out', which holds 'trajectories\.jsonl': did you mean"
    ):
        read_trajectories(tmp_path / "out" / "trajectorys.jsonl")
    with pytest.raises(FileNotFoundError, match=r"did you mean .*out'"):
        read_trajectories(tmp_path / "ou" / "x" / "y.jsonl")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match="holds no file that ends in"):
        read_trajectories(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ('{"question": "a", "label": 1}\n', "the first object has the keys 'question', 'label'"),
        ('[\n {"a": 1}\n]\n', "line 1 is not JSON"),
        ('[{"prompt": "a"}]\n', "it is one JSON list, expected one object per line"),
        ("a,b\n1,2\n", "line 1 is not JSON"),
    ],
)
def test_an_unknown_format_says_what_it_saw(content: str, seen: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(content)
    with pytest.raises(UnknownFormat) as caught:
        read_trajectories(tmp_path / "x.jsonl")
    assert seen in str(caught.value)
    for name in FORMATS:
        assert f"  {name}: " in str(caught.value)


def test_an_unknown_file_in_a_folder_is_a_problem(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", {"metric": 1})
    write_trajectories(tmp_path / "b.jsonl", chat())
    problems = Problems()
    assert list(read_trajectories(tmp_path, problems=problems)) == [chat()]
    assert "the format of" in problems.first[0].reason


def test_a_parquet_file_without_its_footer(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_trajectories(path, chat())
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UnknownFormat, match="it has no footer"):
        read_trajectories(path)


def test_a_bad_cell_in_a_parquet_file(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "x.parquet"
    write_trajectories(path, [chat(0), chat(1), chat(2)])
    table = pyarrow.parquet.read_table(path)
    column = table.column("info").to_pylist()
    column[1] = "{oops"
    table = table.set_column(table.schema.get_field_index("info"), "info", pyarrow.array(column))
    pyarrow.parquet.write_table(table, path)
    problems = Problems()
    assert list(read_trajectories(path, problems=problems)) == [chat(0), chat(2)]
    assert problems.first[0].line == 2
    assert "the column 'info' does not hold JSON" in problems.first[0].reason


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown format 'verll'; did you mean 'verl'"):
        read_trajectories(tmp_path, format="verll")
    with pytest.raises(ValueError, match='on_problem must be "collect" or "raise"'):
        read_trajectories(tmp_path, on_problem="ignore")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got a int"):
        read_trajectories(3)  # type: ignore[arg-type]


def test_problems_are_counted_beyond_what_is_kept() -> None:
    problems = Problems()
    for line in range(1500):
        problems.add("x", line, "bad")
    assert (len(problems), len(problems.kept)) == (1500, 1000)
    assert str(problems).endswith("and 1495 more")


def test_the_rest_is_read_silently_when_nothing_is_wrong(tmp_path: Path) -> None:
    write_trajectories(tmp_path / "x.jsonl", chat())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(read_trajectories(tmp_path / "x.jsonl"))


FIELDS = """
messages prompt completion response request input output score step advantage choices message role content tools functions
tool_calls function_call type reward reward_components extra body responses_create_params name gts id summary instructions
metadata group schema task info rewards
"""
names = st.sampled_from(FIELDS.split())
words = st.sampled_from(["user", "assistant", "tool", "function", "message", "reasoning", "function_call", "x", ""])
rows = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("name", list(FORMATS))
@given(batch=st.lists(rows, min_size=1, max_size=3))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_row_breaks_a_reader(name: str, batch: list[object]) -> None:
    problems = Problems()
    for trajectory in read_trajectories(batch, format=name, problems=problems):
        assert isinstance(trajectory, Trajectory)
    for row in batch:
        if isinstance(row, dict):
            assert FORMATS[name].recognises(row) in (True, False)
