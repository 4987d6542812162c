from __future__ import annotations

import gzip
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rewardlab.environments import ENVIRONMENTS, play
from rewardlab.environments.shop import Shop, ShopScore, read_written_goals, score_purchase
from rewardlab.environments.shop.written_goals import read_goal
from rewardlab.types import Message, Task, call_message

SENTENCES = [
    "i am looking for a red cotton scarf that is machine washable",
    "i need a pack of 6 gluten free cookies",
    "find me size 9 rubber sole sandals in black color",
    "i want a desk lamp",
]


def goals_file(folder: Path, sentences: list[str] = SENTENCES) -> Path:
    path = folder / "goals.jsonl.gz"
    rows = [
        json.dumps({"index": index, "goal": text})
        for index, text in zip((3, 1500, 1501, 9000), sentences, strict=False)
    ]
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("\n".join(rows))
    return path


def shops(folder: Path) -> list[Shop]:
    return [Shop(), Shop("full"), Shop("full", goals=goals_file(folder))]


def count(shop: Shop, split: str) -> int:
    return 300 if shop.goals is None else {"train": 3, "test": 1}[split]


def asked(task: Task) -> str:
    assert task.prompt is not None
    return task.prompt[-1]["content"]


def say(name: str, **arguments: Any) -> Message:
    return call_message(name, arguments, identity="c")


# ---- tasks and demonstrations -----------------------------------------------------------------------------------------


def test_every_demonstration_buys_what_is_wanted_and_careless_ones_often_do_not(tmp_path: Path) -> None:
    for shop in shops(tmp_path):
        tasks = shop.tasks("train", count(shop, "train"), seed=3)
        demonstrations = shop.demonstrations(tasks)
        scores = ShopScore()(demonstrations)
        assert (scores.values == 1).all()
        assert all(one.terminated and one.info["success"] and one.info["call_errors"] == 0 for one in demonstrations)
        careless = Shop(shop.level, goals=shop.goals, noise=1.0).demonstrations(tasks)
        assert all(one.info["careless"] for one in careless)
        assert ShopScore()(careless).mean() < 1


def test_noise_makes_that_share_careless() -> None:
    tasks = Shop().tasks("train", 400)
    careless = sum(one.info["careless"] for one in Shop(noise=0.3).demonstrations(tasks))
    assert 80 < careless < 160


def test_train_and_test_never_share_a_goal(tmp_path: Path) -> None:
    for shop in shops(tmp_path):
        train = [task for seed in range(3) for task in shop.tasks("train", count(shop, "train"), seed)]
        test = [task for seed in range(3) for task in shop.tasks("test", count(shop, "test"), seed)]

        def wanted(tasks: list[Task]) -> set[str]:
            keys = ("category", "attributes", "options", "text")
            return {json.dumps({key: task.reference[key] for key in keys}, sort_keys=True) for task in tasks}

        assert not wanted(train) & wanted(test)
        assert not {asked(task) for task in train} & {asked(task) for task in test}
        assert len({task.id for task in [*train, *test]}) == len(train) + len(test)


def test_tasks_repeat_and_a_longer_list_begins_like_a_shorter_one(tmp_path: Path) -> None:
    for shop in shops(tmp_path):
        many = count(shop, "train")
        tasks = shop.tasks("train", many, seed=5)
        assert tasks == Shop(shop.level, goals=shop.goals).tasks("train", many, seed=5)
        assert tasks[: many // 2] == shop.tasks("train", many // 2, seed=5)
        assert shop.demonstrations(tasks) == shop.demonstrations(tasks)
    assert [asked(task) for task in Shop().tasks("test", 30, 5)] != [
        asked(task) for task in Shop().tasks("test", 30, 6)
    ]


def test_tasks_do_not_depend_on_the_hash_seed_of_the_process() -> None:
    script = (
        "from rewardlab.environments.shop import Shop as S; s = S('full'); print(s.demonstrations(s.tasks('test', 20)))"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] != ""


def test_tasks_survive_json_and_can_be_played_again() -> None:
    shop = Shop("full")
    for task, shown in zip(shop.tasks("train", 20), shop.demonstrations(shop.tasks("train", 20)), strict=True):
        stored = json.loads(json.dumps({"prompt": task.prompt, "reference": task.reference, "metadata": task.metadata}))
        actions = iter(shown.actions)
        again = play(Shop("full"), Task(id=task.id, **stored), lambda _, actions=actions: next(actions))
        assert again.info["bought"] == shown.info["bought"]
        assert ShopScore()(again).values.tolist() == [1.0]


def test_written_goals_are_read_and_fitted(tmp_path: Path) -> None:
    assert read_goal(SENTENCES[0]) == ("cotton scarf", ("machine washable",), {"color": "red"})
    assert read_goal(SENTENCES[1]) == ("cookies", ("gluten free",), {"count": "pack of 6"})
    assert read_goal(SENTENCES[2]) == ("sandals", ("rubber sole",), {"size": "9", "color": "black"})
    assert read_goal(SENTENCES[3]) == ("desk lamp", (), {})
    written = read_written_goals(goals_file(tmp_path))
    assert [goal.text for goal in written.test] == SENTENCES[:1]
    assert [goal.text for goal in written.train] == SENTENCES[1:]
    assert len(written.catalogue.products) == 8
    assert read_written_goals(tmp_path).train == written.train
    for goal in (*written.train, *written.test):
        kin = [product for product in written.catalogue.products if product.title == goal.title]
        values = [
            score_purchase(
                goal.to_json(),
                product.to_json(
                    {name: value for name, value in goal.options.items() if value in product.options[name]}
                ),
            ).value
            for product in kin
        ]
        assert sorted(values)[0] < sorted(values)[1] == 1
    shop = Shop(goals=tmp_path)
    assert asked(shop.tasks("test", 1)[0]).startswith(SENTENCES[0] + ", and price lower than ")


def test_a_sentence_of_both_parts_is_held_out(tmp_path: Path) -> None:
    written = read_written_goals(goals_file(tmp_path, ["i need a hat", "i need a hat", "i need shoes"]))
    assert [goal.text for goal in written.test] == ["i need a hat"]
    assert [goal.text for goal in written.train] == ["i need shoes"]


def test_bad_files_of_goals_are_named_with_their_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file of goals at"):
        Shop(goals=tmp_path / "nowhere.jsonl")
    with pytest.raises(FileNotFoundError, match="there is no file of goals at"):
        Shop(goals=tmp_path)
    path = tmp_path / "goals.jsonl"
    for text, complaint in (
        ("{", ":2: not JSON"),
        ('{"index": "4", "goal": "x"}', ":2: expected"),
        ("[]", ":2: expected"),
    ):
        path.write_text('{"index": 1, "goal": "i need a hat"}\n' + text)
        with pytest.raises(ValueError, match=complaint):
            Shop(goals=path)
    path.write_text('{"index": 1, "goal": "i need a hat"}\n')
    with pytest.raises(ValueError, match="there are 1 goals to test with, got count 2"):
        Shop(goals=path).tasks("test", 2)


# ---- acting -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actions", "answer"),
    [
        ([say("buy")], "Error: no item is open; open one of the results first"),
        ([say("choose", option="color", value="red")], "Error: no item is open"),
        ([say("open", item="A100")], "Error: no search has shown an item 'A100'"),
        ([say("search", query="mug"), say("open", item="../../etc/passwd")], "Error: no search has shown an item"),
        ([say("search", query="xylophone")], "no results"),
        ([say("search", query="")], "no results"),
        ([say("search", query="mug " * 100_000)], "page 1 of "),
        ([say("search", query="mug", page=99)], "Error: there is no page 99; the results have pages 1 to "),
        ([say("search", query="mug", page=0)], "Error: there is no page 0"),
        ([say("search", query="mug", page="2")], "Error: search: parameter 'page' should be"),
        ([say("search")], "Error: search: missing parameter 'query' (string)"),
        ([say("teleport")], "Error: there is no tool 'teleport'; the tools are search, open, choose, buy"),
        ([{"role": "assistant", "content": "", "tool_calls": ["nonsense"]}], "Error: the call has no tool name"),
        ([{"role": "assistant", "content": ""}], "Your reply is empty"),
    ],
)
def test_hostile_actions_are_answered(actions: list[Message], answer: str) -> None:
    shop = Shop()
    shop.reset(shop.tasks("train", 1)[0], seed=0)
    step = [shop.step(action) for action in actions][-1]
    assert step.observation[0]["content"].startswith(answer)
    assert not step.ended


def test_options_are_checked_and_another_item_forgets_them() -> None:
    shop = Shop("full")
    shop.reset(shop.tasks("train", 1)[0], seed=0)
    shown = shop.step(say("search", query="rug")).observation[0]["content"].splitlines()
    first, second = shown[1].split()[0], shown[2].split()[0]
    shop.step(say("open", item=first))
    colours = shop.catalogue.by_item[first].options["color"]

    def answer(**arguments: str) -> str:
        return shop.step(say("choose", **arguments)).observation[0]["content"]

    assert answer(option="weight", value="9").startswith(
        f"Error: {first} has no option 'weight'; its options: color, size"
    )
    assert answer(option="color", value="purple").startswith("Error: color cannot be 'purple'")
    assert answer(option="color", value=colours[0]) == f"chosen: color {colours[0]}"
    assert answer(option="color", value=colours[-1]) == f"chosen: color {colours[-1]}"
    shop.step(say("open", item=second))
    step = shop.step(say("buy"))
    assert step.terminated
    assert step.info["bought"]["item"] == second
    assert step.info["bought"]["chosen"] == {}
    with pytest.raises(RuntimeError, match="has ended"):
        shop.step(say("buy"))


def test_calls_behind_the_purchase_are_refused_and_leaving_or_running_out_buys_nothing() -> None:
    shop = Shop(max_calls=4)
    task = shop.tasks("train", 1)[0]
    item = shop.demonstrations([task])[0].info["bought"]["item"]
    names = [("search", {"query": asked(task)}), ("open", {"item": item}), ("buy", {}), ("buy", {})]
    calls = [
        call_message(name, arguments, identity=str(place))["tool_calls"][0]
        for place, (name, arguments) in enumerate(names)
    ]
    shop.reset(task, seed=0)
    step = shop.step({"role": "assistant", "content": "", "tool_calls": calls})
    assert step.terminated
    assert step.observation[-1]["content"].startswith("Error: the item is bought")
    left = play(shop, task, lambda _: {"role": "assistant", "content": "bye"})
    assert (left.terminated, left.info["bought"], left.info["success"]) == (True, None, False)
    lost = play(shop, task, lambda _: say("search", query="mug"))
    assert (lost.truncated, lost.info["bought"], lost.info["success"]) == (True, None, False)
    assert ShopScore()([left, lost]).values.tolist() == [0, 0]


def test_bad_options_and_requests_are_refused() -> None:
    for options, complaint in (
        ({"level": "huge"}, "level must be one of small, full, got 'huge'"),
        ({"noise": 2}, r"noise must be a share in \[0, 1\], got 2"),
        ({"noise": True}, "noise must be a share"),
        ({"max_calls": 0}, "max_calls must be"),
    ):
        with pytest.raises(ValueError, match=complaint):
            Shop(**options)  # type: ignore[arg-type]
    shop = Shop()
    with pytest.raises(ValueError, match="split must be train or test, got 'dev'"):
        shop.tasks("dev", 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="count must not be negative"):
        shop.tasks("train", -1)
    for foreign in (Task(id="other", prompt=[{"role": "user", "content": "?"}]), Shop("full").tasks("train", 1)[0]):
        with pytest.raises(ValueError, match="is not one of this shop"):
            shop.reset(foreign, seed=0)
        with pytest.raises(ValueError, match="is not one of this shop"):
            shop.demonstrations([foreign])


def test_the_shop_has_a_name_and_shows_its_tools_at_the_full_level_only() -> None:
    assert ENVIRONMENTS.resolve("shop") is Shop
    assert not Shop().tools
    assert [tool["function"]["name"] for tool in Shop("full").tools] == ["search", "open", "choose", "buy"]
    assert len(Shop("full").tasks("train", 1)[0].tools) == len(Shop(show_tools=True).tools) == 4


def test_a_tiny_policy_acts_in_the_shop() -> None:
    from rewardlab.policies.language_model import LanguageModelPolicy
    from rewardlab.policies.rollout import Limits, Sampling, rollout

    shop = Shop(max_calls=2)
    policy = LanguageModelPolicy.tiny(shop.corpus(count=40), hidden=32, layers=1)
    demonstration = shop.demonstrations(shop.tasks("train", 1))[0]
    tokens = policy.encode_demonstration(demonstration)
    assert tokens.step.max() == len(demonstration) - 1
    trajectories = rollout(
        policy,
        partial(Shop, max_calls=2),
        shop.tasks("test", 2),
        limits=Limits(turns=3),
        sampling=Sampling(max_new_tokens=8),
    )
    assert not any("failed" in one.info for one in trajectories)
