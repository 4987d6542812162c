from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from rewardlab.environments import play
from rewardlab.environments.tool_desk import KINDS, ToolDesk, ToolDeskSuccess
from rewardlab.environments.tool_desk.questions import question_key, split_of
from rewardlab.types import Message, Task, Trajectory, call_message

LEVELS = ("small", "full")


def question(task: Task) -> str:
    assert task.prompt is not None
    return task.prompt[-1]["content"]


def normalised(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


@pytest.mark.parametrize("level", LEVELS)
def test_every_demonstration_succeeds_and_no_other_answer_does(level: str) -> None:
    desk = ToolDesk(level)
    tasks = desk.tasks("train", 500, seed=3)
    demonstrations = desk.demonstrations(tasks)
    scores = ToolDeskSuccess()(demonstrations)
    assert scores.values.tolist() == [1.0] * 500
    assert {name: part.mean() for name, part in scores.flat_parts()} == dict.fromkeys(
        ("correct", "finished", "calls_ok", "progress", "evidence"), 1.0
    )
    for demonstration, task in zip(demonstrations, tasks, strict=True):
        assert demonstration.terminated
        assert demonstration.info == {
            "success": True,
            "slip": False,
            "calls": task.metadata["calls"],
            "call_errors": 0,
        }
    corrupted = [
        with_answer(trajectory, corruption(trajectory.completion, index))
        for index, trajectory in enumerate(demonstrations)
    ]
    wrong = ToolDeskSuccess()(corrupted)
    assert wrong.values.tolist() == [0.0] * 500
    assert all(note is not None and "expected" in note for note in wrong.notes or [None])


def with_answer(trajectory: Trajectory, answer: str) -> Trajectory:
    actions = [*trajectory.actions[:-1], {"role": "assistant", "content": answer}]
    return Trajectory(observations=trajectory.observations, actions=actions, task=trajectory.task, terminated=True)


def corruption(answer: str, index: int) -> str:
    """Another answer of the same form: a changed digit, name or unit, or several answers at once."""
    if index % 4 == 0:
        return f"{answer} or 1234"
    if index % 4 == 1 and answer[-1].isalpha() and answer[0].isdigit():
        return answer + "x"
    if any(character.isdigit() for character in answer):
        return re.sub(r"\d", lambda found: str((int(found[0]) + 1) % 10), answer, count=1)
    return answer[:-1]


@pytest.mark.parametrize("level", LEVELS)
def test_train_and_test_never_overlap(level: str) -> None:
    desk = ToolDesk(level)
    train = [task for seed in range(3) for task in desk.tasks("train", 800, seed)]
    test = [task for seed in range(3) for task in desk.tasks("test", 300, seed)]
    assert not {normalised(question(task)) for task in train} & {normalised(question(task)) for task in test}

    def keys(tasks: list[Task]) -> set[str]:
        return {question_key(task.metadata["kind"], task.metadata["slots"]) for task in tasks}

    assert not keys(train) & keys(test)
    assert {split_of(key) for key in keys(test)} == {"test"}
    assert {task.metadata["kind"] for task in test} == {task.metadata["kind"] for task in train} == set(desk.kinds)
    assert not {task.id for task in train} & {task.id for task in test}


def test_questions_of_one_level_do_not_meet_the_other_split_of_the_other_level() -> None:
    small = {normalised(question(task)) for task in ToolDesk("small").tasks("train", 800)}
    assert not small & {normalised(question(task)) for task in ToolDesk("full").tasks("test", 800)}


@pytest.mark.parametrize("level", LEVELS)
def test_tasks_depend_on_the_seed_alone(level: str) -> None:
    desk = ToolDesk(level)
    tasks = desk.tasks("test", 30, seed=5)
    assert tasks == ToolDesk(level).tasks("test", 30, seed=5)
    assert tasks[:10] == desk.tasks("test", 10, seed=5)
    assert [question(task) for task in tasks] != [question(task) for task in desk.tasks("test", 30, seed=6)]
    assert len({task.id for task in [*tasks, *desk.tasks("test", 30, seed=6), *desk.tasks("train", 30, seed=5)]}) == 90
    assert desk.demonstrations(tasks) == desk.demonstrations(tasks)


def test_tasks_do_not_depend_on_the_hash_seed_of_the_process() -> None:
    script = "from rewardlab.environments.tool_desk import ToolDesk as D; print(D('full').tasks('test', 20, 1))"
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] != ""


@pytest.mark.parametrize("level", LEVELS)
def test_tasks_survive_json_and_can_be_played_again(level: str) -> None:
    for task in ToolDesk(level).tasks("train", len(KINDS)):
        stored = json.loads(json.dumps({"prompt": task.prompt, "reference": task.reference, "metadata": task.metadata}))
        again = Task(id=task.id, **stored)
        replies = iter(
            [
                *(call_message(call["name"], call["arguments"], identity="c") for call in again.reference["calls"]),
                {"role": "assistant", "content": again.reference["answer"]},
            ]
        )
        trajectory = play(ToolDesk(), again, lambda conversation, replies=replies: next(replies))
        assert trajectory.info["success"] is True


@pytest.mark.parametrize("level", LEVELS)
def test_questions_need_their_chain(level: str) -> None:
    """The right answer stands in no tool output but the last, and no question gives it away, but for coincidences."""
    demonstrations = ToolDesk(level).demonstrations(ToolDesk(level).tasks("train", 300))
    early = sum(
        any(
            message["content"] == trajectory.completion
            for message in trajectory.messages[:-3]
            if message["role"] == "tool"
        )
        for trajectory in demonstrations
    )
    given = sum(
        re.search(rf"\b{re.escape(trajectory.completion)}\b", question(trajectory.task)) is not None  # type: ignore[arg-type]
        for trajectory in demonstrations
    )
    assert early / 300 < 0.02
    assert given / 300 < 0.02
    answers = [trajectory.completion for trajectory in demonstrations]
    assert max(answers.count(answer) for answer in answers) / 300 < 0.05  # so that one guess cannot win much


def test_answers_worked_out_by_hand() -> None:
    """References come from the scripts; here they are checked against the tables, without scripts or tools."""
    checked = set()
    for task in ToolDesk("full").tasks("train", 140) + ToolDesk("small").tasks("test", 80):
        tables, slots = task.metadata["tables"], task.metadata["slots"]
        answer = task.reference["answer"]
        order = tables["orders"].get(slots.get("person"))
        buyers = [name for name, row in tables["orders"].items() if row["item"] == slots.get("item")]
        kind = task.metadata["kind"]
        if kind == "item_fact":
            assert answer == str(tables["items"][order["item"]][slots["column"]])
        elif kind == "buyer_fact":
            assert answer == str(tables["people"][buyers[0]][slots["column"]])
        elif kind == "total":
            assert int(answer) == tables["items"][slots["item"]]["price"] * slots["number"]
        elif kind == "item_total":
            assert int(answer) == tables["items"][order["item"]]["price"] * slots["number"]
        elif kind == "order_total":
            assert int(answer) == tables["items"][order["item"]]["price"] * order["count"]
        elif kind == "measured":
            assert_measure(answer, tables["items"][slots["item"]][slots["column"]], 1)
        elif kind == "item_measured":
            assert_measure(answer, tables["items"][order["item"]][slots["column"]], 1)
        elif kind == "order_measured":
            assert_measure(answer, tables["items"][order["item"]][slots["column"]], order["count"])
        elif kind == "distance":
            assert_measure(answer, tables["cities"][tables["people"][slots["person"]]["city"]]["distance"], 1)
        else:
            continue
        checked.add(kind)
    assert len(checked) == 9


def assert_measure(answer: str, quantity: str, count: int) -> None:
    in_base = {"g": 1.0, "oz": 28.349523125, "kg": 1000.0, "lb": 453.59237}
    in_base |= {"m": 1.0, "cm": 0.01, "mm": 0.001, "ft": 0.3048, "km": 1000.0, "mi": 1609.344}
    (value, unit), (number, to) = quantity.split(), answer.split()
    assert float(number) == pytest.approx(float(value) * count * in_base[unit] / in_base[to], abs=0.006)


def test_noise_makes_that_share_of_demonstrations_err() -> None:
    desk = ToolDesk(noise=0.4)
    tasks = desk.tasks("train", 400)
    demonstrations = desk.demonstrations(tasks)
    slipped = sum(trajectory.info["slip"] for trajectory in demonstrations)
    assert 120 < slipped < 200
    successes = sum(trajectory.info["success"] for trajectory in demonstrations)
    assert 400 - slipped <= successes <= 400 - slipped + 0.1 * slipped  # a slip now and then hits the right answer
    assert all(trajectory.info["call_errors"] == 0 for trajectory in demonstrations)
    assert ToolDeskSuccess()(demonstrations).values.sum() == successes
    assert demonstrations == desk.demonstrations(tasks)
    assert tasks == ToolDesk().tasks("train", 400)


def test_every_kind_of_slip_can_be_played() -> None:
    demonstrations = ToolDesk("full", noise=1.0).demonstrations(ToolDesk("full").tasks("train", 280))
    assert all(trajectory.info["slip"] for trajectory in demonstrations)
    assert any(len(trajectory) <= trajectory.task.metadata["calls"] for trajectory in demonstrations)  # stopped early
    assert any(
        len(trajectory) > trajectory.task.metadata["calls"] for trajectory in demonstrations
    )  # a call went wrong


def test_options_choose_kinds() -> None:
    assert set(ToolDesk("full").kinds) == set(KINDS)
    assert {KINDS[kind].calls for kind in ToolDesk("full").kinds} == {2, 3, 4, 5}
    assert {KINDS[kind].calls for kind in ToolDesk("small").kinds} == {2, 3}
    assert ToolDesk("small", calls=(5, 5)).kinds == ("order_measured",)
    assert ToolDesk("full", kinds=["due", "total"]).kinds == ("due", "total")
    desk = ToolDesk("small", kinds=["due"], size=3)
    tables = desk.tasks("train", 1)[0].metadata["tables"]
    assert len(tables["orders"]) == len(tables["people"]) == len(tables["items"]) == 3
    tools = {
        name for kind in ToolDesk("full").demonstrations(ToolDesk("full").tasks("train", 14)) for name in names(kind)
    }
    assert tools == {"look_up", "search", "calculate", "convert", "calendar"}


def names(trajectory: Trajectory) -> list[str]:
    return [call["function"]["name"] for call in trajectory.tool_calls]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"level": "huge"}, "level must be one of small, full, got 'huge'"),
        ({"kinds": ["totals"]}, "unknown kind 'totals' at level 'small'; did you mean 'total'"),
        ({"kinds": ["arrival"]}, "unknown kind 'arrival' at level 'small'"),
        ({"kinds": []}, "no kind needs from 2 to 3 calls"),
        ({"kinds": ["due"], "calls": (3, 5)}, r"no kind needs from 3 to 5 calls; the kinds and their calls: due \(2\)"),
        ({"calls": 3}, "calls must be two whole numbers"),
        ({"calls": (3,)}, "calls must be two whole numbers"),
        ({"calls": "25"}, "calls must be two whole numbers"),
        ({"size": 1}, "size must be a whole number from 2 to 20 at this level, got 1"),
        ({"size": 21}, "size must be a whole number from 2 to 20"),
        ({"noise": 1.5}, r"noise must be a share in \[0, 1\], got 1.5"),
        ({"noise": "much"}, "noise must be a share"),
        ({"max_calls": 0}, "max_calls must be"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ToolDesk(**options)


def test_bad_requests_are_refused() -> None:
    desk = ToolDesk()
    with pytest.raises(ValueError, match="split must be train or test, got 'dev'"):
        desk.tasks("dev", 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="count must not be negative"):
        desk.tasks("train", -1)
    foreign = Task(id="other", prompt=[{"role": "user", "content": "?"}])
    with pytest.raises(ValueError, match="'other' is not one of the tool desk"):
        desk.reset(foreign, seed=0)
    with pytest.raises(ValueError, match="'other' is not one of the tool desk"):
        desk.demonstrations([foreign])


def test_small_prompts_show_no_tools_and_full_ones_do() -> None:
    assert not ToolDesk("small").tools
    assert not ToolDesk("small").tasks("train", 1)[0].tools
    assert len(ToolDesk("full").tools) == len(ToolDesk("full").tasks("train", 1)[0].tools) == 5
    assert len(ToolDesk("small", show_tools=True).tools) == 5


def test_a_truncated_attempt_is_no_success() -> None:
    desk = ToolDesk(max_calls=1)
    task = desk.tasks("train", 1)[0]
    call = call_message("look_up", {"table": "orders", "row": "nobody", "column": "item"}, identity="c")
    trajectory = play(desk, task, lambda conversation: call)
    assert trajectory.truncated
    assert trajectory.info == {"success": False, "calls": 1, "call_errors": 1}
    assert ToolDeskSuccess()(trajectory).note(0) == "no answer was given"


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        (
            "look_up",
            {"table": "order", "row": "Ann", "column": "item"},
            "Error: there is no table 'order'; tables: orders",
        ),
        ("look_up", {"table": "orders", "row": "Nobody", "column": "item"}, "Error: orders has no row 'Nobody'"),
        (
            "look_up",
            {"table": "people", "row": None, "column": "name"},
            "Error: people has no column 'name'; columns: city, age",
        ),
        ("search", {"table": "people", "column": "name", "value": "x"}, "Error: people has no column 'name'"),
        ("search", {"table": "people", "column": "city", "value": "Atlantis"}, "no match"),
        ("calculate", {"expression": "2 kg"}, "Error: '2 kg' is not an arithmetic expression"),
        ("convert", {"value": 3, "unit": "stone", "to": "kg"}, "Error: unknown unit 'stone'; known: mm, cm"),
        ("convert", {"value": 3, "unit": "kg", "to": "m"}, "Error: kg is a mass and m is a length"),
        ("convert", {"value": 1e308, "unit": "km", "to": "mm"}, "Error: the value is larger than 1e+15"),
        ("convert", {"value": 90, "unit": "min", "to": "h"}, "1.5 h"),
        ("calendar", {"date": "31 Feb", "days": 1}, "Error: '31 Feb' is not a date; write it like 14 Mar"),
        ("calendar", {"date": "28 Feb", "days": 1}, "1 Mar (Mon)"),
        ("calendar", {"date": "1 Jan", "days": -1}, "31 Dec (Thu)"),
        ("calendar", {"date": "1 Jan", "days": 10**9}, "Error: days must be at most 3660 either way"),
        ("open", {"path": "/etc/passwd"}, "Error: there is no tool 'open'; the tools are look_up, search"),
    ],
)
def test_the_tools_answer_like_real_ones(name: str, arguments: dict[str, Any], answer: str) -> None:
    desk = ToolDesk()
    task = desk.tasks("train", 1)[0]
    if arguments.get("row", "") is None:
        arguments = {**arguments, "row": next(iter(task.metadata["tables"]["people"]))}
    desk.reset(task, seed=0)
    content = desk.step(call_message(name, arguments, identity="c")).observation[0]["content"]
    assert content.startswith(answer) if answer.startswith("Error") else content == answer


def test_search_finds_every_row() -> None:
    desk = ToolDesk()
    task = desk.tasks("train", 1)[0]
    for row in task.metadata["tables"]["people"].values():
        row["city"] = "Rome"
    found = desk.toolbox_for(task).call("search", {"table": "people", "column": "city", "value": " rome"})
    assert found.split(", ") == list(task.metadata["tables"]["people"])


@pytest.mark.parametrize("level", LEVELS)
def test_the_corpus_holds_every_word_that_can_occur(level: str) -> None:
    desk = ToolDesk(level)
    corpus = desk.corpus(seed=1, count=60)
    known = words_of(corpus)
    met = words_of([trajectory.messages for trajectory in desk.demonstrations(desk.tasks("test", 200, seed=9))])
    met = {word for word in met if not (word.isdigit() and int(word) >= 200)}
    assert met <= known
    assert desk.corpus(seed=1, count=60) == corpus
    test = {normalised(question(task)) for task in desk.tasks("test", 300)}
    assert not test & {normalised(str(message["content"])) for conversation in corpus for message in conversation}


def words_of(conversations: list[list[Message]]) -> set[str]:
    return set(re.findall(r"[A-Za-z]+|\d+", json.dumps(conversations)))
