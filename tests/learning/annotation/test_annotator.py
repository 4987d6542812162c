from __future__ import annotations

import json
import threading
import warnings

import pytest

from rewardlab.learning.annotation import AnnotatorDead, EndpointJudge, OnlineAnnotator, VirtualClock, WaitingItems
from rewardlab.learning.annotation.endpoint_judge import HELPFUL, OTHER
from rewardlab.policies.engines.endpoint import EndpointPolicy
from tests.policies.server import ChatServer, wait_for

NOW = VirtualClock(delay=0)


def long(items):
    return [float(len(item) > 3) for item in items]


def shout(items):  # a judge for another process
    if "die" in items:
        raise ValueError("no such thing")
    return {item: 1.0 for item in items if item != "mute"}


# ---- the queue -----------------------------------------------------------------------------------------------------------


def test_the_newest_come_first_under_lifo_and_the_oldest_under_fifo():
    names = [str(number) for number in range(250)]
    for order, expected in (("lifo", set(names[150:])), ("fifo", set(names[:100]))):
        queue = WaitingItems(order, 1000)
        queue.put(names, [0] * 250)
        assert {entry.item for entry in queue.take(100)} == expected
        queue.put(["new"], [0])
        assert ("new" in {entry.item for entry in queue.take(100)}) == (order == "lifo")


def test_the_most_frequent_come_first_and_the_rarest_are_dropped():
    queue = WaitingItems("frequency", 2)
    queue.put(["a", "b", "b"], [0, 0, 0])
    assert queue.put(["c", "c"], [1, 1]) == (1, ["a"])
    assert [entry.item for entry in queue.take(1)] == ["c"]  # as often as b, and newer


@pytest.mark.parametrize(("order", "gone"), [("lifo", ["a"]), ("fifo", ["c"])])
def test_a_full_queue_drops_and_counts(order, gone):
    annotator = OnlineAnnotator(long, policy=order, max_queue=2, run=VirtualClock(delay=None, every=99))
    annotator.submit(["a", "b", "c"])
    assert annotator.counters["dropped"] == 1
    assert annotator.queued == 2
    assert annotator.submit(gone) == (0 if order == "fifo" else 1)  # what was dropped may come back
    assert annotator.counters["dropped"] == 2


# ---- labels, failures, errors ------------------------------------------------------------------------------------------


def test_labels_arrive_k_environment_steps_later():
    annotator = OnlineAnnotator(long, batch=1, run=VirtualClock(delay=5, every=10))
    annotator.submit(["key taken", "ow"])
    annotator.advance(14)
    assert annotator.poll() == {}
    assert annotator.diagnostics()["asked"] == 1
    annotator.advance(1)
    assert annotator.poll() == {"ow": 0.0}
    annotator.advance(100)
    assert annotator.poll() == {"key taken": 1.0}
    assert annotator.poll() == {}
    assert annotator.diagnostics()["age"] == (15 + 115) / 2  # it was polled late
    assert annotator.submit(["ow", "ow"]) == 0
    assert annotator.counters["submitted"] == 2


def test_an_answer_without_a_label_is_a_failure_and_never_zero():
    asked = []

    def judge(items):
        asked.append(list(items))
        return [None if item == "mute" else 1.0 for item in items]

    annotator = OnlineAnnotator(judge, retries=2, run=NOW)
    annotator.submit(["mute", "loud"])
    annotator.advance(9)
    assert annotator.poll() == {"loud": 1.0}
    assert asked == [["loud", "mute"], ["mute"], ["mute"]]
    assert (annotator.counters["failed"], annotator.counters["abstained"]) == (3, 1)
    assert annotator.submit(["mute"]) == 0
    assert annotator.queued == 0


@pytest.mark.parametrize("answer", [["high"], [float("nan")], [2.0], [True, False], "yes", 3])
def test_answers_that_are_no_labels_are_never_taken_for_one(answer):
    annotator = OnlineAnnotator(lambda items: answer, run=NOW)
    annotator.submit(["a"])
    annotator.advance(1)
    assert annotator.poll() == {}
    assert annotator.counters["failed"] + annotator.counters["errors"] == 1
    assert annotator.queued == 1


def test_a_dead_judge_is_told_once_and_items_wait_on():
    def judge(items):
        raise ConnectionError("no route to host")

    annotator = OnlineAnnotator(judge, patience=2, run=NOW)
    annotator.submit(["a"])
    annotator.advance(5)
    with pytest.warns(RuntimeWarning, match="raised 5 times in a row; .* no route to host"):
        annotator.poll()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        annotator.poll()
    assert annotator.queued == 1
    assert annotator.counters["abstained"] == 0
    strict = OnlineAnnotator(judge, patience=1, on_death="stop", run=NOW)
    strict.submit(["a"])
    strict.advance(1)
    with pytest.raises(AnnotatorDead, match="Mend it, or set on_death='warn'"):
        strict.poll()


@pytest.mark.parametrize(("keep", "expected"), [("first", 1.0), ("last", 0.0), ("majority", 0.0)])
def test_contradictions_are_settled_and_counted(keep, expected):
    answers = iter([1.0, 0.0, 0.0])
    annotator = OnlineAnnotator(lambda items: [next(answers)], keep=keep, dedupe=False, batch=1, run=NOW)
    for _ in range(3):
        annotator.submit(["a"])
        annotator.advance(1)
        annotator.poll()
    assert annotator.labels == {"a": expected}
    assert annotator.counters["labelled"] == 1
    assert annotator.counters["contradicted"] >= 1


def test_captions_can_be_withheld():
    annotator = OnlineAnnotator(long, allow=lambda item: "password" not in item, run=NOW)
    assert annotator.submit(["password: x", "door", "password: x"]) == 1
    assert annotator.counters["withheld"] == 1


def test_state_goes_through_json_with_its_queue():
    first = OnlineAnnotator(long, batch=2, run=VirtualClock(delay=50, every=10))
    first.submit(["one", "two", "three", ("a", "b")])
    first.advance(12)
    second = OnlineAnnotator(long, batch=9, run=NOW)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.queued == 4
    assert second.submit(["one"]) == 0
    second.advance(1)
    assert set(second.poll()) == {"one", "two", "three", ("a", "b")}


# ---- in the background ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", ["thread", "process"])
def test_a_judge_in_a_thread_or_a_process(run):
    annotator = OnlineAnnotator(shout, run=run, retries=0)
    annotator.submit(["a", "b", "mute"])
    found = {}
    wait_for(lambda: found.update(annotator.poll()) or len(found) == 2, 60)
    assert found == {"a": 1.0, "b": 1.0}
    assert annotator.counters["abstained"] == 1
    annotator.submit(["die"])
    wait_for(lambda: annotator.counters["errors"] > 0, 60)
    assert annotator.counters["errors"] >= 1
    annotator.close()


def test_nobody_waits_for_a_judge_that_never_answers_and_late_labels_are_counted():
    gate = threading.Event()

    def judge(items):
        gate.wait(60)
        return [1.0 for _ in items]

    annotator = OnlineAnnotator(judge, batch=3)
    for number in range(1000):
        annotator.submit([f"{number}"])
        assert annotator.poll() == {}
    wait_for(lambda: annotator.diagnostics()["asked"] > 0)
    annotator.close()
    gate.set()
    wait_for(lambda: annotator.counters["late"] > 0)
    assert annotator.counters["late"] >= 1
    assert annotator.poll() == {}
    assert annotator.submit(["more"]) == 0


# ---- the endpoint --------------------------------------------------------------------------------------------------------


def test_an_endpoint_judges_captions_by_a_goal():
    def answer(body, number):
        text = body["messages"][0]["content"]
        caption = text.split("Message: ")[-1].split("\n")[0]
        if caption == "fog":
            return {"content": "Who knows?"}
        goal = "down" if "climb down" in text else "gold"
        return {"content": f"Label: maybe...\nLabel: **{HELPFUL if goal in caption else OTHER}**"}

    with ChatServer(answer) as server:
        policy = EndpointPolicy("m", base_url=server.url, retries=0)
        for goal, expected in (("climb down", [1.0, 0.0, None]), ("get rich", [0.0, 1.0, None])):
            judge = EndpointJudge(policy, goal, examples={"a rat": 0.0})
            assert judge(["stairs down", "some gold", "fog"]) == expected
        assert server.bodies[0]["temperature"] == 0.1


def test_an_endpoint_compares_and_braces_in_captions_stay():
    seen = []

    def model(conversations):
        seen.extend(one[0]["content"] for one in conversations)
        return ["First 1, then 2. Answer: 2", "answer: NONE", "1", "Answer: 1"]

    judge = EndpointJudge(model, "win", kind="ranking")
    assert judge([("a {goal}\nAnswer: 1", "b")] * 4) == [0.0, 0.5, None, 1.0]
    assert "Message 1: a {goal} Answer: 1\n" in seen[0]


def test_a_server_that_is_away_is_an_error_of_the_judge_and_not_of_its_captions():
    with ChatServer(lambda body, number: 400) as server:
        judge = EndpointJudge(EndpointPolicy("m", base_url=server.url, retries=0), "win")
        annotator = OnlineAnnotator(judge, run=NOW)
        annotator.submit(["a", "b"])
        annotator.advance(1)
    assert (annotator.counters["errors"], annotator.counters["failed"], annotator.queued) == (1, 0, 2)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: OnlineAnnotator("gpt"), "judge must be a function of a list of captions .* got 'gpt'"),
        (lambda: OnlineAnnotator(long, policy="random"), "policy must be one of lifo, fifo, frequency, got 'random'"),
        (lambda: OnlineAnnotator(long, batch=0), "batch must be at least 1, got 0"),
        (lambda: OnlineAnnotator(long, retries=-1), "retries must be at least 0, got -1"),
        (lambda: OnlineAnnotator(long, run="http"), "run must be 'thread', 'process' or a VirtualClock, got 'http'"),
        (lambda: VirtualClock(delay=-1), "delay must be at least 0 environment steps, or None for never, got -1"),
        (lambda: EndpointJudge(print, " "), "goal is empty"),
        (lambda: EndpointJudge(print, "win", kind="vote"), "kind must be"),
        (lambda: EndpointJudge(print, "win")([("a", "b")]), "use kind='ranking' for pairs"),
        (lambda: OnlineAnnotator(long).submit("a caption"), r"write \[caption\]"),
    ],
)
def test_bad_input_is_told(make, match):
    with pytest.raises((TypeError, ValueError), match=match):
        make()
