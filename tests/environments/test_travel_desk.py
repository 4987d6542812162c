from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rewardlab as rl
from rewardlab.environments import ENVIRONMENTS, TaskSource
from rewardlab.environments.travel_desk import Database, TravelDesk
from rewardlab.types import Task, message_text

REWARD = rl.cascade(rl.ItineraryFeasible(), rl.Grounded())


def call(name, **arguments):
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": "a", "type": "function", "function": function}]}


def asked(environment, name, **arguments):
    return message_text(environment.step(call(name, **arguments)).observation[0])


@pytest.fixture(scope="module", params=["small", "full"])
def desk(request):
    return TravelDesk(request.param)


def test_demonstrations_are_feasible_and_grounded(desk):
    demonstrations = desk.demonstrations(desk.tasks("train", 40) + desk.tasks("test", 40, seed=5))
    scores = REWARD(demonstrations)
    assert scores.values.tolist() == [1.0] * 80
    assert all(one.terminated and one.info["call_errors"] == 0 for one in demonstrations)
    assert {task.metadata["days"] for task in desk.tasks("train", 40)} == set(desk.days)


def test_tasks_repeat_grow_and_never_overlap(desk):
    again = TravelDesk(desk.level).tasks("train", 30)
    assert again == desk.tasks("train", 30) == desk.tasks("train", 60)[:30]
    assert desk.tasks("train", 5, seed=1) != desk.tasks("train", 5)

    def trips(split, seed, **options):
        tasks = TravelDesk(desk.level, **options).tasks(split, 60, seed)
        return {
            json.dumps([task.metadata["wish"][key] for key in ("origin", "destinations", "start", "days")])
            for task in tasks
        }

    train = trips("train", 0) | trips("train", 3, impossible=0.5)
    assert not train & (trips("test", 0) | trips("test", 9, impossible=0.5))


def test_impossible_trips_are_labelled_and_rightly_refused(desk):
    some = TravelDesk(desk.level, impossible=0.5)
    tasks = some.tasks("test", 60)
    labels = [task.reference.get("possible", True) for task in tasks]
    assert 15 < sum(labels) < 45
    demonstrations = some.demonstrations(tasks)
    assert [("impossible" in one.completion) for one in demonstrations] == [not possible for possible in labels]
    assert REWARD(demonstrations).mean() == 1


def test_careless_demonstrations_keep_their_shape_and_make_names_up():
    small = TravelDesk(noise=0.4)
    demonstrations = small.demonstrations(small.tasks("train", 200))
    scores = REWARD(demonstrations)
    feasible, grounded = scores.parts.values()
    assert feasible.mean() == 1
    clean = [not one.info["slips"] for one in demonstrations]
    assert grounded.values[clean].mean() == 1
    assert 0.1 < grounded.values[[not one for one in clean]].mean() < 0.6  # some made-up names are right by chance
    assert set().union(*(one.info["slips"] for one in demonstrations)) == {"travel", "lodging", "visit"}
    full = TravelDesk("full", noise=1.0)
    assert rl.Grounded()(full.demonstrations(full.tasks("train", 20))).mean() == 0


def test_the_same_question_has_the_same_answer_for_ever():
    for level in ("small", "full"):
        one, other = Database(3, level), Database(3, level)
        cities = one.cities
        day = date(2024, 5, 6)
        for _ in range(2):
            assert one.flights(cities[0], cities[1], day) == other.flights(cities[0], cities[1], day)
            assert one.hotels(cities[2], day) == other.hotels(cities[2], day)
            assert one.places(cities[2], day) == other.places(cities[2], day)
        assert Database(4, level).hotels(cities[2], day) != one.hotels(cities[2], day) or level == "small"
        assert {row["name"] for row in one.hotels(cities[2], day)} <= set(one.hotel_names(cities[2]))
    small = Database()
    assert len(small.flights("Rome", "Oslo", day)) == len(small.hotels("Rome", day)) == 2
    assert len(small.places("Rome", day)) == 4
    assert not {*small.flight_ids("Rome", "Oslo")} & {*small.flight_ids("Oslo", "Rome")}


def test_tools_answer_mistakes_in_words(desk):
    environment = TravelDesk(desk.level, max_calls=20)
    environment.reset(desk.tasks("train", 1)[0], 0)
    day = "2024-05-06"
    for name, arguments, words in (
        (
            "flights",
            {"origin": "Roma", "destination": "Oslo", "date": day},
            "there is no city 'Roma'; did you mean 'Rome'?",
        ),
        ("flights", {"origin": "Rome", "destination": "Rome", "date": day}, "origin and destination are both Rome"),
        ("hotels", {"city": "Rome", "date": "6 May"}, "'6 May' is no date; write it like 2024-03-05"),
        ("hotels", {"city": "Rome", "date": day, "nights": 99}, "nights must be from 1 to 14, got 99"),
        ("places", {"town": "Rome"}, "missing parameter 'city' (string)"),
        ("book", {}, "there is no tool 'book'; the tools are flights"),
    ):
        answer = asked(environment, name, **arguments)
        assert answer.startswith("Error: ")
        assert words in answer
    assert json.loads(asked(environment, "places", city="Rome", date=day))


def test_an_attempt_ends_with_the_answer_or_with_the_last_call():
    desk = TravelDesk(max_calls=2)
    task = desk.tasks("train", 1)[0]
    desk.reset(task, 0)
    for _ in range(2):
        assert not desk.step(call("places", city="Rome", date="2024-05-06")).ended
    assert desk.step(call("places", city="Rome", date="2024-05-06")).truncated
    desk.reset(task, 0)
    assert desk.step({"role": "assistant", "content": ""}).observation[0]["content"].startswith("Your reply is empty")
    assert desk.step({"role": "assistant", "content": "no idea"}).terminated
    with pytest.raises(RuntimeError, match="has ended"):
        desk.step({"role": "assistant", "content": "again"})


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )
)
def test_whatever_is_called_is_answered(junk):
    desk = TravelDesk("full")
    desk.reset(desk.tasks("train", 1)[0], 0)
    for calls in (junk, [junk], [{"function": {"name": "hotels", "arguments": junk}}]):
        if isinstance(calls, list) and calls:
            step = desk.step({"role": "assistant", "content": "", "tool_calls": calls})
            assert len(step.observation) == len(calls)
            assert all(message["role"] == "tool" for message in step.observation)


def test_options_and_foreign_tasks_are_checked():
    for options, words in (
        ({"level": "huge"}, "level must be one of small, full, got 'huge'"),
        ({"impossible": 2}, r"impossible must be a share in \[0, 1\], got 2"),
        ({"days": [4]}, r"days must be some of \(1, 2, 3\) at level 'small', got \[4\]"),
        ({"shares": [1]}, "shares must be one weight for each of the days"),
        ({"max_calls": 0}, "max_calls must be a whole number"),
    ):
        with pytest.raises(ValueError, match=words):
            TravelDesk(**options)
    desk = TravelDesk()
    with pytest.raises(ValueError, match="split must be train or test, got 'dev'"):
        desk.tasks("dev", 1)
    foreign = Task(id="x", prompt=[{"role": "user", "content": "?"}])
    with pytest.raises(ValueError, match="task 'x' is not one of the travel desk"):
        desk.reset(foreign, 0)
    with pytest.raises(ValueError, match="make tasks with TravelDesk"):
        desk.demonstrations([foreign])


def test_lengths_are_asked_for_as_often_as_they_should_be():
    tasks = TravelDesk(days=(1, 2, 3), shares=(0.8, 0.15, 0.05)).tasks("train", 400)
    counts = [sum(task.metadata["days"] == length for task in tasks) for length in (1, 2, 3)]
    assert counts[0] > 280
    assert 35 < counts[1] < 90
    assert 5 < counts[2] < 40


def test_configurations_name_it_and_it_brings_its_words():
    assert ENVIRONMENTS.resolve("travel_desk") is TravelDesk
    desk = TravelDesk()
    assert isinstance(desk, TaskSource)
    text = json.dumps(desk.corpus(count=20))
    for word in (*desk.database.cities, "Blue Inn", "F8", "Fort", "2024-12-31", "Error: ", "impossible"):
        assert word in text
    assert desk.tools == []
    assert [tool["function"]["name"] for tool in TravelDesk("full").tools] == ["flights", "trains", "hotels", "places"]


def test_the_planner_says_what_it_made_up():
    desk = TravelDesk("full", noise=1.0)
    (one,) = desk.demonstrations(desk.tasks("train", 1))
    assert one.info["slips"] == ["travel", "lodging", "visit"]
