"""The checklists: every part and every test that an item names exists, and the page shows what the code says."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from rewardlab.recipes.checklists import CHECKLISTS, Checklist, Item, catalogue, page
from rewardlab.source import defines

ROOT = Path(__file__).parents[2]
ITEMS = [(name, item) for name in CHECKLISTS for item in catalogue(name).items]


@pytest.mark.parametrize(
    ("name", "item"), ITEMS, ids=lambda value: value if isinstance(value, str) else value.text[:40]
)
def test_what_an_item_names_exists(name: str, item: Item) -> None:
    for part in item.parts:
        assert defines(part), f"{name}: {item.text!r} names {part}, which is not in the source"
    for test in item.tests:
        file, _, function = test.partition("::")
        assert (ROOT / file).is_file(), f"{name}: {item.text!r} names {test}"
        if function:
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert bool(item.parts) == bool(item.tests), f"{name}: {item.text!r} has parts and tests, or is missing"


def test_no_item_stands_twice() -> None:
    for name in CHECKLISTS:
        texts = [item.text for item in catalogue(name).items]
        assert len(set(texts)) == len(texts), name


def test_the_page_is_what_the_code_says() -> None:
    committed = (ROOT / "docs/control/checklists.md").read_text(encoding="utf-8")
    assert committed == page(), "run `rewardlab checklist --all -o docs/control/checklists.md`"


def test_an_item_without_parts_or_with_a_lost_part_is_missing() -> None:
    there = Item(section="S", text="there", parts=("rewardlab.types:Task",), tests=("tests/test_types.py",))
    lost = Item(section="S", text="lost", parts=("rewardlab.types:Tusk",), tests=("tests/test_types.py",))
    bare = Item(section="T", text="bare", note="too early")
    shown = Checklist(title="A list", source="somewhere", items=(there, lost, bare))
    assert shown.missing == [lost, bare]
    text = shown.to_markdown()
    assert "1 of 3 items are there" in text
    assert "| there | there | `Task` | `test_types.py` |" in text
    assert "| missing | bare. too early | | |" in text


def test_an_unknown_checklist_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="irl-llm-survey"):
        catalogue("irl-llm")


@pytest.mark.parametrize(
    ("place", "there"),
    [
        ("rewardlab.types.trajectories:Task", True),
        ("rewardlab.types:Task", True),
        ("rewardlab.rewards.base:Reward.children", True),
        ("rewardlab.recipes:RECIPES", True),
        ("rewardlab.recipes", True),
        ("rewardlab.types.trajectories:Tusk", False),
        ("rewardlab.nowhere:Task", False),
        ("rewardlab.rewards.base:Reward.nothing", False),
    ],
)
def test_what_stands_in_the_source_is_found_without_importing_it(place: str, there: bool) -> None:
    assert defines(place) is there
