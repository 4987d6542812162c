"""Tasks on disk: what is written is read back, and a bad line is named with its number and reason."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.storage import BadRow, Problems, Unwritable, read_tasks, write_tasks
from rewardlab.types import Task

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
PROMPTS = st.none() | st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user"]), "content": st.text()}), max_size=3
)


@given(
    st.lists(
        st.builds(
            Task,
            id=st.text(min_size=1),
            prompt=PROMPTS,
            reference=VALUES,
            tools=st.lists(st.dictionaries(st.text(), VALUES, max_size=2), max_size=2),
            metadata=st.dictionaries(st.text(), VALUES, max_size=2),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda task: task.id,
    )
)
def test_what_is_written_is_read_back(tmp_path_factory, tasks) -> None:
    path = tmp_path_factory.mktemp("tasks") / "tasks.jsonl"
    assert write_tasks(path, tasks) == len(tasks)
    assert read_tasks(path) == tasks


def test_a_prompt_that_is_text_becomes_a_message_of_the_user(tmp_path) -> None:
    path = tmp_path / "tasks.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"id": "a", "prompt": "2 + 2?", "reference": 4}\n'))
    assert read_tasks(path) == [Task(id="a", prompt=[{"role": "user", "content": "2 + 2?"}], reference=4)]


BAD = {
    "not JSON": ('{"id": "b", ', "not JSON"),
    "no object": ("[1]", "a task must be an object with the key 'id', got [1]"),
    "no id": ('{"prompt": "x"}', "the field 'id' is missing; the line has 'prompt'"),
    "empty id": ('{"id": ""}', "non-empty string"),
    "number as id": ('{"id": 7}', "'id' must be a string, got 7"),
    "null as id": ('{"id": null}', "'id' must be a string, got None"),
    "doubled id": ('{"id": "a"}', "the id 'a' stands here again; it is already at"),
    "prompt is a number": ('{"id": "b", "prompt": 7}', "'prompt' must be a string or a list of chat messages, got 7"),
    "message without a role": ('{"id": "b", "prompt": [{"content": "x"}]}', "prompt[0]"),
    "tools are no list": ('{"id": "b", "tools": {}}', "'tools' must be a list of tool descriptions, got {}"),
    "a typo": ('{"id": "b", "refrence": 4}', "no field 'refrence'; did you mean 'reference'?"),
}


@pytest.mark.parametrize(("line", "reason"), BAD.values(), ids=BAD)
def test_a_bad_line_is_set_aside_with_its_number_and_reason(tmp_path, line, reason) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text(f'{{"id": "a"}}\n\n{line}\n{{"id": "z"}}\n')
    problems = Problems()
    assert [task.id for task in read_tasks(path, problems=problems)] == ["a", "z"]
    assert problems.count == 1
    assert str(problems.kept[0]).startswith(f"{path}:3: ")
    assert reason in problems.kept[0].reason
    with pytest.warns(UserWarning, match="1 row was set aside"):
        read_tasks(path)
    with pytest.raises(BadRow) as caught:
        read_tasks(path, on_problem="raise")
    assert str(caught.value).startswith(f"{path}:3: ")
    assert reason in str(caught.value)


def test_a_file_without_tasks_is_refused(tmp_path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text("")
    with pytest.raises(ValueError, match="holds no task; it is empty"):
        read_tasks(path)
    path.write_text('{"name": "a"}\n')
    with pytest.raises(ValueError, match=r"holds no task: 1 row was set aside: .*:1: a task has no field 'name'"):
        read_tasks(path)
    with pytest.raises(FileNotFoundError, match=r"did you mean .*tasks\.jsonl"):
        read_tasks(tmp_path / "task.jsonl")


def test_what_cannot_be_written_is_named_and_nothing_is_left_behind(tmp_path) -> None:
    path = tmp_path / "tasks.jsonl"
    with pytest.raises(Unwritable, match="reference of task 'b'"):
        write_tasks(path, [Task(id="a"), Task(id="b", reference=object())])
    with pytest.raises(TypeError, match="expected a Task, got a dict as number 1"):
        write_tasks(path, [Task(id="a"), {"id": "b"}])
    with pytest.raises(ValueError, match=r"ends in \.jsonl"):
        write_tasks(tmp_path / "tasks.parquet", [Task(id="a")])
    assert list(tmp_path.iterdir()) == []
    write_tasks(path, [Task(id="a", metadata={"level": 1})])
    assert json.loads(path.read_text()) == {"id": "a", "metadata": {"level": 1}}
