from __future__ import annotations

import json
import math
from pathlib import Path

from rewardlab.storage import (
    read_trajectories,
    write_trajectories,
)
from rewardlab.types import call_arguments
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
