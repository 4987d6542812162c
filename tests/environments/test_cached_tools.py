from __future__ import annotations

import json
from multiprocessing import get_context

import pytest

from rewardlab.environments import Toolbox, ToolEnvironment, ToolError
from rewardlab.environments.cached_tools import CachedTools, normalised_call
from rewardlab.types import Task

ASKED: list[str] = []


def price(item: str, count: int = 1) -> str:
    """A price that is another one at each call, as live services have them.

    Args:
        item: of what.
        count: how many.
    """
    ASKED.append(item)
    if item == "closed":
        raise ToolError("the shop is closed")
    return f"{item} x {count}: {len(ASKED)}"


@pytest.fixture(autouse=True)
def fresh():
    ASKED.clear()


def test_one_miss_and_then_hits_with_the_same_text():
    tools = CachedTools([price])
    first = tools.call("price", {"item": "tea", "count": 2})
    for given in ('{"count": 2, "item": " tea"}', {"count": 2, "item": "tea"}):
        assert tools.call("price", given) == first
    assert (tools.counts["misses"], tools.counts["hits"], len(tools)) == (1, 2, 1)
    assert tools.call("price", {"item": "tea", "count": 3}) != first
    assert Toolbox([price]).schemas == tools.schemas
    assert list(tools) == ["price"]


def test_keys_say_what_makes_calls_the_same():
    assert normalised_call("f", {"b": 3.0, "a": "x  y "}) == normalised_call("f", {"a": "x y", "b": 3})
    assert normalised_call("f", {"a": "1"}) != normalised_call("f", {"a": 1})
    tools = CachedTools([price], key=lambda name, given: given["item"].lower())
    assert tools.call("price", {"item": "Tea"}) == tools.call("price", {"item": "tea"})


@pytest.mark.parametrize(("errors", "asked"), [("retry", 2), ("store", 1)])
def test_a_stored_error_is_asked_again_or_replayed(errors, asked):
    tools = CachedTools([price], errors=errors)
    for _ in range(2):
        assert tools.call("price", {"item": "closed"}) == "Error: the shop is closed"
    assert len(ASKED) == asked
    assert tools.counts["errors"] == asked


def test_frozen_tools_ask_nobody():
    tools = CachedTools([price])
    known = tools.call("price", {"item": "tea"})
    frozen = tools.freeze()
    assert frozen.call("price", {"item": "tea"}) == known
    assert frozen.call("price", {"item": "jam"}) == "Error: no answer is stored for this call"
    assert (ASKED, frozen.counts["misses"], len(tools)) == (["tea"], 1, 1)


def test_mocks_answer_what_is_not_there():
    tools = CachedTools([price], store={}, on_miss="mock", mock=lambda name, given: f"{name} of {given['item']}")
    assert tools.call("price", {"item": "tea"}) == "price of tea"
    assert (ASKED, len(tools)) == ([], 0)


def test_a_change_of_date_asks_a_share_again(tmp_path):
    path = tmp_path / "answers.jsonl"
    tools = CachedTools([price], store=path, date="monday")
    before = [tools.call("price", {"item": f"i{number}"}) for number in range(200)]
    later = CachedTools([price], store=path, date="tuesday", refresh=0.3)
    after = [later.call("price", {"item": f"i{number}"}) for number in range(200)]
    changed = sum(old != new for old, new in zip(before, after, strict=True))
    assert 35 < changed < 90
    assert (later.counts["stale"], later.counts["hits"]) == (changed, 200 - changed)
    assert [later.call("price", {"item": f"i{number}"}) for number in range(200)] == after
    assert [CachedTools([price], store=path).call("price", {"item": f"i{number}"}) for number in range(200)] == after


def test_a_store_outlives_its_process_and_a_line_that_was_cut_off(tmp_path):
    path = tmp_path / "answers.jsonl"
    first = CachedTools([price], store=path).call("price", {"item": "tea"})
    with path.open("a") as stream:
        stream.write('{"key": "half')
    again = CachedTools([price], store=path)
    assert again.call("price", {"item": "tea"}) == first
    second = again.call("price", {"item": "jam"})
    assert [json.loads(line)["text"] for line in path.read_text().splitlines()] == [first, second]
    path.write_text("no json\n")
    with pytest.raises(ValueError, match="is no store of cached answers: line b'no json"):
        CachedTools([price], store=path)


def _ask(path):
    tools = CachedTools([price], store=path)
    ASKED.extend(["padding"] * (id(tools) % 7))  # every process would answer otherwise
    return [tools.call("price", {"item": f"i{number}"}) for number in range(30)]


def test_two_processes_agree(tmp_path):
    path = tmp_path / "answers.jsonl"
    with get_context("fork").Pool(2) as pool:
        one, other = pool.map(_ask, [path, path])
    assert one == other
    assert len(path.read_text().splitlines()) == 30


def test_mistakes_of_the_caller_pass_through():
    tools = CachedTools([price])
    plain = Toolbox([price])
    for name, given in (("price", "{"), ("prize", {}), ("price", [1]), ("price", {"count": "x"})):
        assert tools.call(name, given) == plain.call(name, given)
    environment = ToolEnvironment(tools)
    environment.reset(Task(id="a", prompt=[{"role": "user", "content": "?"}]), 0)
    call = {"id": "c", "type": "function", "function": {"name": "price", "arguments": '{"item": "tea"}'}}
    step = environment.step({"role": "assistant", "content": "", "tool_calls": [call]})
    assert step.observation[0]["content"] == tools.call("price", {"item": "tea"})


def test_options_are_checked():
    for options, words in (
        ({"on_miss": "guess"}, "on_miss must be one of call, error, mock, got 'guess'"),
        ({"on_miss": "mock"}, 'mock goes with on_miss="mock"'),
        ({"errors": "forget"}, "errors must be one of store, retry, got 'forget'"),
        ({"refresh": 2}, r"refresh must be a share in \[0, 1\], got 2"),
    ):
        with pytest.raises(ValueError, match=words):
            CachedTools([price], **options)
