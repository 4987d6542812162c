from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewardlab.storage import Problems, TrajectoryWriter, Unwritable, read_trajectories, write_trajectories
from rewardlab.storage.encoding import decode, encode, to_json
from rewardlab.types import Task, Tokens, Trajectory
from tests.storage.strategies import trajectories, values

LENIENT = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def exact(value: object) -> object:
    """A value in which types count: 1, 1.0 and True differ, and so do dtypes, signs of zero and orders of keys."""
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, dict):
        return ("dict", [(exact(key), exact(inner)) for key, inner in value.items()])
    if isinstance(value, (list, tuple)):
        return ("list", [exact(inner) for inner in value])
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else value.hex())
    return (type(value).__name__, value)


def exact_trajectory(trajectory: Trajectory) -> object:
    task, tokens = trajectory.task, trajectory.tokens
    columns = [trajectory.observations, trajectory.actions, trajectory.rewards.tolist(), trajectory.info]
    columns += [trajectory.terminated, trajectory.truncated, trajectory.group]
    columns += [None if trajectory.seconds is None else trajectory.seconds.tolist()]
    columns += [None if task is None else [task.id, task.prompt, task.reference, task.tools, task.metadata]]
    columns += [None if tokens is None else [tokens.ids, tokens.step, tokens.logprobs]]
    return exact(columns)


def refuse_constants(name: str) -> None:
    raise AssertionError(f"a bare {name} stands in the file")


@given(values)
@LENIENT
def test_any_value_survives_strict_json(value: object) -> None:
    text = to_json(encode(value))
    assert "\n" not in text
    assert len(text.splitlines()) <= 1
    text.encode("utf-8")  # no lone surrogate is left
    assert exact(decode(json.loads(text, parse_constant=refuse_constants))) == exact(value)


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "parquet"])
@given(batch=st.lists(trajectories(), max_size=4))
@LENIENT
def test_trajectories_survive_every_format(ending: str, batch: list[Trajectory], tmp_path: Path) -> None:
    path = tmp_path / f"trajectories.{ending}"
    assert write_trajectories(path, batch) == len(batch)
    problems = Problems()
    found = list(read_trajectories(path, problems=problems))
    assert [exact_trajectory(entry) for entry in found] == [exact_trajectory(entry) for entry in batch]
    assert problems.count == (0 if batch else 1), str(problems)


@given(batch=st.lists(trajectories(), min_size=1, max_size=3))
@LENIENT
def test_lines_are_strict_json_with_a_schema(batch: list[Trajectory], tmp_path: Path) -> None:
    path = tmp_path / "trajectories.jsonl"
    write_trajectories(path, batch)
    lines = path.read_bytes().decode("utf-8").splitlines()
    assert len(lines) == len(batch)
    for line in lines:
        assert json.loads(line, parse_constant=refuse_constants)["schema"] == "rewardlab.trajectory/1"


def chat(index: int = 0) -> Trajectory:
    prompt = [{"role": "user", "content": f"question {index} " + "word " * 20}]
    task = Task(id=f"task{index}", prompt=prompt, reference=index)
    return Trajectory.from_messages(
        [*prompt, {"role": "assistant", "content": f"answer {index}"}], task=task, rewards=[0.5]
    )


def test_the_prompt_is_stored_once(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    write_trajectories(path, chat())
    record = json.loads(path.read_text())
    assert record["task"]["prompt_length"] == 1
    assert path.read_text().count("question 0") == 1
    assert next(read_trajectories(path)).task == chat().task


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0, False), ("a", "a ")])
def test_a_prompt_that_only_compares_equal_is_stored_in_full(one: object, other: object, tmp_path: Path) -> None:
    task = Task(id="a", prompt=[{"role": "user", "content": "x", "seed": one}])
    trajectory = Trajectory(
        observations=[[{"role": "user", "content": "x", "seed": other}], []],
        actions=[{"role": "assistant", "content": "y"}],
        task=task,
    )
    write_trajectories(tmp_path / "x.jsonl", trajectory)
    found = next(read_trajectories(tmp_path / "x.jsonl"))
    assert exact(found.task.prompt) == exact(task.prompt)
    assert exact(found.observations) == exact(trajectory.observations)


def test_tuples_become_lists_and_numpy_scalars_numbers(tmp_path: Path) -> None:
    trajectory = chat()
    trajectory.info = {"pair": (1, (2, "x")), "number": np.float32(0.5), "count": np.int64(3), "flag": np.bool_(True)}
    write_trajectories(tmp_path / "x.jsonl", trajectory)
    found = next(read_trajectories(tmp_path / "x.jsonl")).info
    assert exact(found) == exact({"pair": [1, [2, "x"]], "number": 0.5, "count": 3, "flag": True})


@pytest.mark.parametrize(
    ("value", "place", "what"),
    [
        ({"a": [0, {"image": b"\x89PNG"}]}, "info.a[1].image", "bytes cannot be written"),
        ({"a": {1: bytearray(2)}}, "info.a[1]", "bytes cannot be written"),
        ({"a": object()}, "info.a", "a builtins.object cannot be written"),
        ({"a": {1, 2}}, "info.a", "a builtins.set cannot be written"),
        ({"a": np.array([None])}, "info.a", "dtype object cannot be written"),
        ({"a": {(1, 2): 3}}, "info.a", "a key of type tuple cannot be written"),
        ({"a": 10**5000}, "info.a", "too long to be read back"),
    ],
)
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_what_cannot_be_written_is_named_and_leaves_the_old_file(
    value: dict, place: str, what: str, ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"x.{ending}"
    write_trajectories(path, chat())
    bad = chat(1)
    bad.info = value
    with pytest.raises(Unwritable) as caught:
        write_trajectories(path, [chat(), bad])
    message = str(caught.value)
    assert f"trajectory 1 cannot be written to {str(path.parent)!r}"[:-1] in message.replace(f".{ending}", "")
    assert place in message
    assert what in message
    assert list(read_trajectories(path)) == [chat()]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_value_that_holds_itself_is_refused(tmp_path: Path) -> None:
    trajectory = chat()
    trajectory.info["me"] = trajectory.info
    with pytest.raises(Unwritable, match=r"info\.me\.me.*nested too deeply, or holds itself"):
        write_trajectories(tmp_path / "x.jsonl", trajectory)


def test_array_in_a_line_can_be_read_with_numpy_alone(tmp_path: Path) -> None:
    import base64

    observations = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    write_trajectories(
        tmp_path / "x.jsonl", Trajectory(observations=observations, actions=np.array([3], dtype=np.uint8))
    )
    stored = json.loads((tmp_path / "x.jsonl").read_text())["observations"]["$array"]
    again = np.frombuffer(base64.b64decode(stored["base64"]), stored["dtype"]).reshape(stored["shape"])
    assert np.array_equal(again, observations)


def test_parquet_columns_can_be_queried(tmp_path: Path) -> None:
    import pyarrow.parquet

    with_tokens = chat(1)
    with_tokens.tokens = Tokens(ids=[5, 6], step=[-1, 0], logprobs=[0.0, -0.5])
    write_trajectories(tmp_path / "x.parquet", [chat(0), with_tokens])
    table = pyarrow.parquet.read_table(tmp_path / "x.parquet").to_pydict()
    assert table["task_id"] == ["task0", "task1"]
    assert table["reward"] == [0.5, 0.5]
    assert table["steps"] == [1, 1]
    assert table["token_ids"] == [None, [5, 6]]
    assert [json.loads(text)[-1]["content"] for text in table["messages"]] == ["answer 0", "answer 1"]
    assert table["reference"] == ["0", "1"]


def test_parquet_is_written_and_read_in_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet

    monkeypatch.setattr("rewardlab.storage.parquet.ROW_GROUP_ROWS", 7)
    batch = [chat(index) for index in range(30)]
    write_trajectories(tmp_path / "x.parquet", iter(batch))
    assert pyarrow.parquet.ParquetFile(tmp_path / "x.parquet").num_row_groups == 5
    assert list(read_trajectories(tmp_path / "x.parquet", batch_size=4)) == batch


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
def test_appending_goes_on_where_the_file_ends(ending: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"x.{ending}"
    for index in range(3):
        with TrajectoryWriter(path, append=True) as writer:
            writer.write(chat(index))
        assert writer.count == 1
    assert list(read_trajectories(path)) == [chat(0), chat(1), chat(2)]


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
def test_what_was_flushed_can_be_read_while_the_file_is_open(ending: str, tmp_path: Path) -> None:
    writer = TrajectoryWriter(tmp_path / f"x.{ending}")
    writer.write(chat(0))
    writer.write(chat(1))
    writer.flush()
    problems = Problems()
    assert list(read_trajectories(writer.path, problems=problems)) == [chat(0), chat(1)]
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="is closed"):
        writer.write(chat(2))


def test_a_torn_line_is_mended_before_appending(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write_trajectories(path, [chat(0), chat(1)])
    whole = path.read_bytes()
    for cut in (1, 2, 40, len(whole) // 2 - 3):
        path.write_bytes(whole[:-cut])
        if cut == 1:  # only the line break is missing: nothing is lost
            writer = TrajectoryWriter(path, append=True)
        else:
            with pytest.warns(UserWarning, match="was torn"):
                writer = TrajectoryWriter(path, append=True)
        with writer:
            writer.write(chat(2))
        assert list(read_trajectories(path)) == ([chat(0), chat(1)] if cut == 1 else [chat(0)]) + [chat(2)]


def test_a_damaged_gzip_is_not_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    write_trajectories(path, [chat(index) for index in range(50)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"the end of .* is damaged"):
        TrajectoryWriter(path, append=True)


def test_equal_contents_give_equal_gzip_files(tmp_path: Path) -> None:
    write_trajectories(tmp_path / "a.jsonl.gz", chat())
    write_trajectories(tmp_path / "b.jsonl.gz", chat())
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot tell the format of .*x\.csv.*expected a name that ends in \.jsonl"):
        write_trajectories(tmp_path / "x.csv", [])
    with pytest.raises(ValueError, match="cannot be appended to"):
        TrajectoryWriter(tmp_path / "x.parquet", append=True)
    with pytest.raises(TypeError, match="expected a Trajectory, got a dict as number 0"):
        write_trajectories(tmp_path / "x.jsonl", [{"messages": []}])  # type: ignore[list-item]
    (tmp_path / "y.jsonl").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        TrajectoryWriter(tmp_path / "y.jsonl")


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    monkeypatch.setattr("rewardlab.storage.parquet.ROW_GROUP_ROWS", 100)
    write_trajectories(tmp_path / "warm.parquet", [chat()])  # imports and caches are not what is measured
    for ending in ("jsonl", "jsonl.gz", "parquet"):
        path = tmp_path / f"x.{ending}"
        peaks = []
        for count in (300, 1200):
            tracemalloc.start()
            write_trajectories(path, (chat(index) for index in range(count)))
            assert sum(1 for _ in read_trajectories(path)) == count
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < 1.5 * peaks[0] + 50_000, (ending, peaks)
