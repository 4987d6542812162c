"""The repair shop: tasks, tools, hostile actions, demonstrations and the reward."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.environments import ENVIRONMENTS
from rewardlab.environments.base import TaskSource, play
from rewardlab.environments.repair_shop import KINDS, RepairShop, RepairShopPassed
from rewardlab.environments.repair_shop.tasks import TEST_FAMILIES, split_of
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.rollout import Limits, rollout
from rewardlab.rewards import from_spec, to_spec
from rewardlab.types import Message, call_message, message_text

QUICK = RepairShopPassed(runner="interpreter")
LOOP = "    while True:\n        pass"


def scripted(*messages):
    """An agent that says these messages, whatever it hears."""
    waiting = iter(messages)
    return lambda conversation: next(waiting)


def say(text: str) -> Message:
    return {"role": "assistant", "content": text}


def attempt(*calls, task=None, runner="interpreter", **options):
    """A trajectory that makes some calls and ends."""
    shop = RepairShop(runner=runner, **options)
    task = task or shop.tasks("train", 1)[0]
    return play(shop, task, scripted(*(call_message(*call) for call in calls), say("done")))


def edit(task, text, *, first=None, last=None, path=None):
    """The call that puts a text in place of the broken line."""
    bug = task.reference["bugs"][0]
    first = first or bug["line"]
    return "edit", {"path": path or bug["file"], "first": first, "last": last or first, "text": text}


def outputs(trajectory) -> list[str]:
    return [message_text(one) for one in trajectory.messages if one["role"] == "tool"]


def test_it_is_an_environment_by_name_and_brings_its_tasks():
    shop = ENVIRONMENTS.resolve("repair_shop")()
    assert isinstance(shop, TaskSource)
    assert shop.blocking


@pytest.mark.parametrize("level", ["small", "full"])
def test_tasks_repeat_grow_and_are_broken_until_they_are_repaired(level):
    shop = RepairShop(level, runner="interpreter")
    tasks = shop.tasks("train", 12, seed=3)
    assert tasks == RepairShop(level, runner="interpreter").tasks("train", 12, seed=3)
    assert tasks[:5] == shop.tasks("train", 5, seed=3)
    assert tasks != shop.tasks("train", 12, seed=4)
    untouched = [play(shop, task, scripted(say("I do not know."))) for task in tasks]
    assert QUICK(untouched).values.max() == 0.0
    repaired = shop.demonstrations(tasks)
    scores = QUICK(repaired)
    assert scores.values.min() == 1.0
    assert scores.parts["located"].values.min() == 1.0
    assert all(one.terminated and one.info["call_errors"] == 0 for one in repaired)
    json.dumps([task.metadata for task in tasks])


@settings(max_examples=4, deadline=None)
@given(
    seeds=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), held_out=st.sampled_from(["programs", "families"])
)
def test_no_function_of_one_split_computes_what_one_of_the_other_does(seeds, held_out):
    shop = RepairShop("full", held_out=held_out, runner="interpreter", bugs=2)
    logic = {
        split: {one for task in shop.tasks(split, 6, seed=seed) for one in task.metadata["logic"]}
        for split, seed in zip(("train", "test"), seeds, strict=True)
    }
    assert not logic["train"] & logic["test"]
    assert all(split_of(one) == split for split, found in logic.items() for one in found)
    if held_out == "families":
        families = {split: {one.split("/")[0] for one in found} for split, found in logic.items()}
        assert families["test"] <= set(TEST_FAMILIES)
        assert not families["train"] & set(TEST_FAMILIES)


def test_the_sandbox_and_the_interpreter_agree():
    shop = RepairShop(runner="interpreter")
    tasks = shop.tasks("train", 20, seed=1) + shop.tasks("test", 10, seed=1)
    batch = shop.demonstrations(tasks[:10])
    batch += [play(shop, task, scripted(say("no"))) for task in tasks[10:20]]
    wrong = ["        return", "    total = [", "        if 1 / 0:\n            pass", "    return undefined"]
    for number, task in enumerate(tasks[20:]):
        text = wrong[number % len(wrong)]
        batch.append(play(shop, task, scripted(call_message(*edit(task, text)), say("done"))))
    quick, real = QUICK(batch), RepairShopPassed()(batch)
    assert real.counts()["failed"] == 0
    for name in ("hidden", "visible", "located"):
        assert quick.parts[name].values.tolist() == real.parts[name].values.tolist(), name


def test_the_tools_answer_and_the_sandbox_says_what_fails():
    shop = RepairShop("full", runner="sandbox")
    task = shop.tasks("train", 1)[0]
    bug = task.reference["bugs"][0]
    trajectory = attempt(
        ("list_files", {}),
        ("search", {"text": f"def {bug['function']}"}),
        ("read_file", {"path": bug["file"], "first": bug["line"], "last": bug["line"]}),
        ("run_tests", {}),
        edit(task, bug["fixed"]),
        ("run_tests", {}),
        task=task,
        runner="sandbox",
        level="full",
    )
    listed, found, read, before, edited, after = outputs(trajectory)
    assert "tests.py" in listed
    assert bug["file"] in listed
    assert found.startswith(f"{bug['file']}:")
    assert read == f"{bug['line']}: {bug['broken']}"
    assert "tests passed" in before
    assert f"{bug['function']}(" in before
    assert "expected" in before
    assert bug["fixed"] in edited
    assert after == "24 of 24 tests passed"
    assert trajectory.info["files"].keys() == {bug["file"]}
    assert trajectory.info["test_runs"] == 2


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (("read_file", {"path": "/etc/passwd"}), "there is no file"),
        (("read_file", {"path": "../../secrets.py"}), "there is no file"),
        (("edit", {"path": "../other.py", "first": 1, "last": 1, "text": "x"}), "there is no file"),
        (("edit", {"path": "tests.py", "first": 1, "last": 1, "text": ""}), "cannot be changed"),
        (("delete_file", {"path": "tests.py"}), "there is no tool"),
        (("search", {"text": ""}), "nothing to look for"),
        (("run_tests", {"only": "none"}), "unknown parameter"),
    ],
)
def test_hostile_calls_are_answered(call, answer):
    trajectory = attempt(call)
    assert outputs(trajectory)[0].startswith("Error: ")
    assert answer in outputs(trajectory)[0]
    assert trajectory.terminated
    assert not trajectory.info["files"]
    assert QUICK([trajectory]).values[0] == 0.0
    assert trajectory.info["tampered"] == (call[0] == "edit" and call[1]["path"] == "tests.py")


def test_huge_edits_are_refused_and_files_stay_small():
    task = RepairShop().tasks("train", 1)[0]
    text = "\n".join("    pass" for _ in range(390))
    trajectory = attempt(
        edit(task, "x" * 5000), edit(task, text), edit(task, text), edit(task, "", first=900), task=task
    )
    said = outputs(trajectory)
    assert "at most 4000" in said[0]
    assert not said[1].startswith("Error")
    assert "more than 400 lines" in said[2]
    assert "are not in" in said[3]


@pytest.mark.parametrize("runner", ["sandbox", "interpreter"])
def test_an_infinite_loop_fails_the_tests_and_nothing_else(runner):
    task = RepairShop().tasks("train", 1)[0]
    lines = len(next(iter(task.metadata["files"].values())).splitlines())
    trajectory = attempt(
        edit(task, LOOP, first=3, last=lines), ("run_tests", {}), task=task, runner=runner, seconds=0.3
    )
    assert "imeout" in outputs(trajectory)[1]
    assert "0 of 3" in outputs(trajectory)[1]
    scores = RepairShopPassed(runner=runner, seconds=0.3)([trajectory])
    assert scores.values[0] == 0.0
    assert "imeout" in (scores.note(0) or "")


def test_programs_that_attack_their_tests_gain_nothing():
    task = RepairShop().tasks("train", 1)[0]
    name = task.reference["bugs"][0]["function"]
    attacks = [
        "import os\nos._exit(0)",
        "import builtins\nbuiltins.repr = lambda value: ''",
        f"class Same:\n    def __eq__(self, other):\n        return True\ndef {name}(*given):\n    return Same()",
        "import sys\nsys.exit(0)",
        "open('tests.py', 'w').write('')",
    ]
    lines = len(next(iter(task.metadata["files"].values())).splitlines())
    batch = [attempt(edit(task, text, first=1, last=lines), task=task) for text in attacks]
    assert RepairShopPassed()(batch).values.tolist() == [0.0] * len(attacks)
    assert QUICK(batch).values.tolist() == [0.0] * len(attacks)


def test_an_attempt_that_never_ends_is_truncated_and_judged_by_what_it_left():
    shop = RepairShop(runner="interpreter", max_calls=3)
    task = shop.tasks("train", 1)[0]
    repair = call_message(*edit(task, task.reference["bugs"][0]["fixed"]))
    trajectory = play(shop, task, scripted(*[repair] * 4))
    assert trajectory.truncated
    assert QUICK([trajectory]).values[0] == 1.0
    empty = play(shop, task, scripted(*[say("")] * 4))
    assert empty.truncated
    assert QUICK([empty]).values[0] == 0.0


def test_shares_gains_and_honesty():
    task = RepairShop().tasks("train", 1)[0]
    repaired = attempt(edit(task, task.reference["bugs"][0]["fixed"]), task=task)
    tampered = attempt(edit(task, "", path="tests.py"), edit(task, task.reference["bugs"][0]["fixed"]), task=task)
    untouched = attempt(task=task)
    batch = [repaired, tampered, untouched]
    partial = RepairShopPassed(runner="interpreter", partial=True)(batch).values
    gain = RepairShopPassed(runner="interpreter", partial=True, gain=True)(batch).values
    assert partial[:2].tolist() == [1.0, 1.0]
    assert 0.0 <= partial[2] < 1.0
    assert gain.tolist() == [1.0, 1.0, 0.0]
    assert RepairShopPassed(runner="interpreter", honest=True)(batch).values.tolist() == [1.0, 0.0, 0.0]
    assert QUICK(batch).parts["honest"].values.tolist() == [1.0, 0.0, 1.0]


def test_a_foreign_trajectory_fails_and_the_rest_is_scored():
    task = RepairShop().tasks("train", 1)[0]
    good, foreign = attempt(edit(task, task.reference["bugs"][0]["fixed"]), task=task), attempt(task=task)
    foreign.info["files"] = {"elsewhere.py": "x = 1\n"}
    scores = QUICK([foreign, good])
    assert scores.counts() == {"scored": 1, "abstained": 0, "failed": 1}
    assert "elsewhere.py" in (scores.note(0) or "")


def test_mistakes_go_where_they_can_be_made():
    shop = RepairShop("full", mutations=["connective", "update"], runner="interpreter")
    tasks = shop.tasks("train", 6) + shop.tasks("test", 3)
    kinds = {bug["kind"] for task in tasks for bug in task.reference["bugs"]}
    assert kinds <= {"connective", "update"}
    assert QUICK(shop.demonstrations(tasks)).values.min() == 1.0


def test_several_bugs_and_chosen_kinds():
    shop = RepairShop("full", bugs=3, mutations=["number"], families=["total", "count", "weigh"], runner="interpreter")
    task = shop.tasks("test", 1)[0]
    assert [bug["kind"] for bug in task.reference["bugs"]] == ["number"] * 3
    assert len({bug["function"] for bug in task.reference["bugs"]}) == 3
    half = play(shop, task, scripted(call_message(*edit(task, task.reference["bugs"][0]["fixed"])), say("done")))
    assert QUICK([half]).values[0] == 0.0
    assert QUICK(shop.demonstrations([task])).values[0] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "huge"}, "small, full"),
        ({"bugs": 2}, "at most the number of functions"),
        ({"files": 0}, "files must be a whole number"),
        ({"families": ["totals"]}, "total"),
        ({"mutations": []}, "at least one mutation"),
        ({"runner": "eval"}, "sandbox or interpreter"),
        ({"held_out": "none"}, "programs, families"),
        ({"held_out": "families", "families": ["total"]}, "test tasks have only none"),
        ({"families": ["find"], "mutations": ["connective"]}, "allow more kinds or families"),
    ],
)
def test_wrong_options_say_what_is_possible(options, message):
    with pytest.raises(ValueError, match=message):
        RepairShop(**options)


def test_the_reward_has_a_spec_and_checks_its_options():
    reward = from_spec({"type": "repair_shop_passed", "partial": True})
    assert to_spec(reward) == {"type": "repair_shop_passed", "partial": True}
    with pytest.raises(ValueError, match="partial=True"):
        RepairShopPassed(gain=True)
    assert set(KINDS) >= {"comparison", "number"}


def test_a_policy_that_learned_the_demonstrations_rolls_out_in_threads():
    shop = RepairShop(families=["clamp"], mutations=["direction"])
    policy = LanguageModelPolicy.tiny(shop.corpus(count=10), vocabulary_size=400, hidden=32, layers=1)
    tasks = shop.tasks("train", 2)
    factory = lambda: RepairShop(families=["clamp"], mutations=["direction"])  # noqa: E731
    trajectories = rollout(policy, factory, tasks, group_size=2, limits=Limits(turns=2, tokens=600))
    assert len(trajectories) == 4
    assert not any("failed" in one.info for one in trajectories)
    scores = RepairShopPassed()(trajectories)
    assert scores.counts()["scored"] == 4
