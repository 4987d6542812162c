from __future__ import annotations

import gzip
import json
import math
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
from rewardlab.types import Trajectory, call_arguments
from tests.storage.test_round_trip import chat

DATA = Path(__file__).parent / "data"


def write_rows(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# ---- what other tools leave on disk ---------------------------------------------------------------------------------


def test_trl_text() -> None:
    reader = read_trajectories(DATA / "trl_text" / "completions")
    found = list(reader)
    assert reader.format == "trl"
    assert [entry.completion for entry in found] == [" 5", " 6", " 3", ""]
    assert [entry.messages[0]["content"] for entry in found[1:3]] == ["2 + 3 =", "7 - 4 ="]
    assert found[0].group == found[1].group != found[2].group == found[3].group
    assert found[0].info["rewards"] == {"correct": 1.0, "short": 0.5}
    assert math.isnan(found[3].info["rewards"]["correct"])
    assert found[0].info["advantage"] == 0.7
    assert found[0].info["length"] == 2
    assert math.isnan(found[0].rewards[0]), "the weights are not in the file, so the sum is not known"


def test_trl_chat_with_tools() -> None:
    first, second = read_trajectories(DATA / "trl_chat" / "completions" / "completions_00010.parquet")
    assert [message["role"] for message in first.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert call_arguments(first.tool_calls[0]) == ("look_up", {"city": "Oslo"})
    assert call_arguments(second.tool_calls[0]) == ("convert", {"value": 3.5, "unit": "km"})
    assert "tool_calls" not in first.actions[1]
    assert list(first.rewards[1:]) == [1.0], "there is one reward, so it is the reward"
    assert first.task.prompt == first.messages[:2]


def test_verl() -> None:
    reader = read_trajectories(DATA / "verl")
    found = list(reader)
    assert reader.format == "verl"
    assert [entry.reference for entry in found] == ["5", None, "5", None]
    assert found[0].group == found[2].group != found[1].group
    assert found[0].rewards[0] == 1.0
    assert math.isnan(found[1].rewards[0]), "a NaN in the dump is no reward"
    assert found[0].info["rewards"] == {"score": 1.0, "acc": 1.0, "format": 1.0}
    assert found[1].completion == "Köln und\u2028Düsseldorf"
    assert found[0].info["pred"] == "5"


def test_nemo_gym() -> None:
    reader = read_trajectories(DATA / "nemo_gym.jsonl")
    found = list(reader)
    assert reader.format == "nemo_gym"
    assert len(found) == 6
    assert [entry.rewards[-1] for entry in found] == [1.0, 1.0, 1.0, 1.0, 2.0, 2.0]
    weather = found[0]
    assert [message["role"] for message in weather.messages][-3:] == ["assistant", "tool", "assistant"]
    assert call_arguments(weather.tool_calls[0]) == ("get_weather", {"city": "Paris"})
    several_turns = found[1]
    assert [message["role"] for message in several_turns.messages][-3:] == ["assistant", "user", "assistant"]
    thinking = found[4]
    assert call_arguments(thinking.tool_calls[0])[0] == thinking.task.tools[0]["function"]["name"]
    assert len(thinking) == len(found[5]) == 2, "a call and the reasoning before it are one action"
    assert found[0].completion == "The weather in Paris is sunny and 72 F."


def test_nemo_gym_as_the_server_writes_it(tmp_path: Path) -> None:
    items = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"type": "function_call_output", "call_id": "b", "output": "2"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "message", "role": "assistant", "content": "again"},
    ]
    row = {
        "responses_create_params": {"input": "go", "instructions": "be brief", "tools": [{"type": "web_search"}]},
        "response": {"output": items},
        "reward": 0.5,
        "reward_components": {"style": 1},
        "_ng_task_index": 3,
        "ground_truth": "2",
    }
    (found,) = read_trajectories(write_rows(tmp_path / "x.jsonl", row))
    assert [message["role"] for message in found.messages] == [
        "system", "user", "assistant", "tool", "tool", "assistant", "assistant",
    ]  # fmt: skip
    assert len(found.actions[0]["tool_calls"]) == 2
    assert found.actions[0]["reasoning_content"] == "Hm."
    assert [action["content"] for action in found.actions] == ["I look.", "No.", "again"]
    assert found.info["rewards"] == {"reward": 0.5, "style": 1.0}
    assert found.reference == "2"
    assert found.group == "//3"


def test_openai_fine_tuning_file(tmp_path: Path) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
        {"role": "assistant", "content": "done", "weight": 0},
    ]
    reader = read_trajectories(
        write_rows(tmp_path / "x.jsonl", {"messages": messages, "tools": [{"type": "function"}]})
    )
    (found,) = reader
    assert reader.format == "openai"
    assert found.messages == messages
    assert len(found) == 2
    assert found.task.prompt == messages[:2]
    assert found.task.tools == [{"type": "function"}]


def test_openai_older_function_calls(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"x": 1}'}},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "content": "done"},
    ]
    functions = [{"name": "f", "parameters": {}}]
    (found,) = read_trajectories(write_rows(tmp_path / "x.jsonl", {"messages": messages, "functions": functions}))
    assert call_arguments(found.tool_calls[0]) == ("f", {"x": 1})
    assert found.messages[2]["role"] == "tool"
    assert found.messages[2]["tool_call_id"] == found.tool_calls[0]["id"]
    assert found.task.tools == [{"type": "function", "function": functions[0]}]


def test_openai_request_with_several_choices(tmp_path: Path) -> None:
    response = {
        "model": "m",
        "choices": [
            {"message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"},
            {"message": {"content": "b"}, "finish_reason": "length"},
        ],
    }
    request = {"messages": [{"role": "user", "content": "u"}], "model": "m"}
    batch = {"custom_id": "7", "body": request, "response": {"body": response}}
    for row in ({"request": request, "response": response, "id": "7"}, batch):
        first, second = read_trajectories(write_rows(tmp_path / "x.jsonl", row))
        assert (first.completion, second.completion) == ("a", "b")
        assert first.group == second.group == "7"
        assert (first.terminated, second.truncated) == (True, True)
        assert second.info["model"] == "m"


def test_pairs_and_a_reference_from_elsewhere(tmp_path: Path) -> None:
    row = {"prompt": "1 + 1", "response": "2", "extra": {"answer": 2}, "reward": 1, "id": "q", "other": [1]}
    path = write_rows(tmp_path / "x.jsonl", row)
    (found,) = read_trajectories(path, reference="extra.answer")
    assert (found.reference, found.completion, found.task.id, found.rewards[0]) == (2, "2", "q", 1.0)
    assert found.info["other"] == [1]


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    for step in (10, 2, 1):
        write_rows(tmp_path / f"{step}.jsonl", {"input": "i", "output": str(step), "score": 0, "step": step})
    reader = read_trajectories(tmp_path)
    assert [entry.completion for entry in reader] == ["1", "2", "10"]
    assert reader.fraction == 1.0


def test_iterables_of_trajectories_and_rows() -> None:
    assert list(read_trajectories([chat(0), chat(1)])) == [chat(0), chat(1)]
    rows = ({"prompt": "a", "completion": str(index)} for index in range(3))
    assert [entry.completion for entry in read_trajectories(rows)] == ["0", "1", "2"]
    assert [len(batch) for batch in read_trajectories([chat(0)] * 5).batches(2)] == [2, 2, 1]


def test_progress_rises_to_one(tmp_path: Path) -> None:
    for ending in ("jsonl", "jsonl.gz", "parquet"):
        write_trajectories(tmp_path / f"x.{ending}", [chat(index) for index in range(3000)])
        reader = read_trajectories(tmp_path / f"x.{ending}")
        seen = [reader.fraction for _ in reader]
        assert seen == sorted(seen), ending
        assert seen[0] < 0.6 < seen[-1], ending
        assert reader.fraction == 1.0


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
