"""Itineraries: how they are read, each rule of a feasible one, and the comparison with what tools answered."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rewardlab as rl
from rewardlab.rewards.verifiers.itinerary import RULES, Grounded, Itinerary, ItineraryFeasible, UnreadableItinerary
from rewardlab.rewards.verifiers.itinerary.amounts import (
    plain_city,
    read_amount,
    read_clock,
    read_duration,
    write_clock,
)
from rewardlab.types import Task, Trajectory

REQUEST = {
    "origin": "Oslo",
    "destinations": ["Rome"],
    "days": 2,
    "start": "2024-03-04",
    "party": 2,
    "budget": 700,
    "transfer": 30,
    "visits_per_day": 1,
}
RECORDS = {
    "flights": [
        {"id": "F1", "from": "Oslo", "to": "Rome", "date": "2024-03-04", "departs": "08:00", "arrives": "10:30", "price": 120},
        {"id": "F2", "from": "Rome", "to": "Oslo", "date": "2024-03-05", "departs": "18:00", "arrives": "20:30", "price": 110},
        {"id": "F3", "from": "Rome", "to": "Paris", "date": "2024-03-05", "departs": "18:00", "arrives": "20:30", "price": 90},
    ],
    "hotels": [
        {"name": "Blue Inn", "city": "Rome", "price": 80, "rating": 4, "min_nights": 1, "sleeps": 2},
        {"name": "Red Inn", "city": "Rome", "price": 60, "rating": 2, "min_nights": 2, "sleeps": 1},
        {"name": "Green Inn", "city": "Paris", "price": 60},
    ],
    "places": [
        {"name": "Old Fort", "city": "Rome", "kind": "castle", "price": 5, "opens": "09:00", "closes": "17:00"},
        {"name": "City Museum", "city": "Rome", "kind": "museum", "price": 12, "opens": "10:00", "closes": "18:00", "closed": "Tue"},
        {"name": "Big Park", "city": "Rome", "kind": "park", "price": 0},
        {"name": "Louvre", "city": "Paris", "kind": "museum", "price": 20},
    ],
}  # fmt: skip


def plan():
    """A trip that breaks no rule, as values that tests change."""
    return [
        {
            "day": 1,
            "travel": [{"id": "F1", "from": "Oslo", "to": "Rome", "departs": "08:00", "arrives": "10:30"}],
            "visits": [{"name": "Old Fort", "city": "Rome", "from": "12:00", "to": "14:00"}],
            "lodging": {"name": "Blue Inn", "city": "Rome"},
        },
        {
            "day": 2,
            "travel": [{"id": "F2", "from": "Rome", "to": "Oslo", "departs": "18:00", "arrives": "20:30"}],
            "visits": [{"name": "Big Park", "city": "Rome", "from": "10:00", "to": "12:00"}],
        },
    ]


def trajectory(days, request=REQUEST, records=RECORDS):
    messages = [{"role": "user", "content": "A trip"}]
    for number, (tool, answer) in enumerate(records.items()):
        call = {"id": f"c{number}", "type": "function", "function": {"name": tool, "arguments": "{}"}}
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        text = answer if isinstance(answer, str) else json.dumps(answer)
        messages.append({"role": "tool", "tool_call_id": f"c{number}", "content": text})
    text = days if isinstance(days, str) else json.dumps({"days": days})
    messages.append({"role": "assistant", "content": text})
    return Trajectory.from_messages(messages, task=Task(id="t", reference=request), terminated=True)


def broken(days, request=REQUEST, records=RECORDS):
    """The rules that a plan breaks, and the note."""
    scores = ItineraryFeasible()(trajectory(days, request, records))
    names = [name for name, part in scores.parts.items() if part.values[0] == 0]
    assert (scores.values[0] == 1) == (not names)
    return names, scores.note(0) or ""


def test_a_feasible_trip_breaks_no_rule_and_every_rule_was_looked_at():
    request = {**REQUEST, "kinds": ["castle"], "rating": 3, "modes": ["flights"]}
    scores = ItineraryFeasible()(trajectory(plan(), request))
    assert scores.values.tolist() == [1.0]
    assert {name: part.values[0] for name, part in scores.parts.items()} == dict.fromkeys(("readable", *RULES), 1.0)
    assert [row.tolist() for row in scores.steps] == [[0, 0, 0, 1]]


def change(path, value):
    def changed(days):
        at = days
        for key in path[:-1]:
            at = at[key]
        if value is None:
            del at[path[-1]]
        else:
            at[path[-1]] = value
        return days

    return changed


@pytest.mark.parametrize(
    ("changed", "rule", "words"),
    [
        (lambda days: days[:1], "days", "days: there are 1, and 2 were asked for"),
        (change((1, "day"), 3), "days", "day 2, day: it is numbered 3"),
        (change((0, "visits"), []), "visits", "day 1, visits: there are 0, and at least 1"),
        (change((1, "travel", 0, "from"), "Paris"), "route", "day 2, travel: F2 leaves from Paris, not from rome"),
        (change((1, "travel"), [{"id": "F3"}]), "return", "day 2: it ends in paris, not in Oslo"),
        (change((1, "city"), "Paris to Oslo"), "cities", "'Big Park' is in rome, the day is in paris, oslo"),
        (change((0, "lodging"), None), "lodging", "day 1, lodging: there is none for the night"),
        (change((0, "lodging"), {"name": "Green Inn"}), "lodging", "'Green Inn' is in paris, but the day ends in rome"),
        (change((1, "lodging"), "Blue Inn"), "lodging", "day 2, lodging: 'Blue Inn' is taken after the return"),
        (change((1, "visits", 0, "name"), "old fort"), "repeats", "day 2, visits: 'old fort' comes twice"),
        (change((0, "visits", 0, "from"), "10:45"), "times", "but F1 ends at 10:30 and 30 minutes are needed"),
        (change((0, "visits", 0, "from"), "07:00"), "times", "'Old Fort' in rome is at 07:00, when the traveller is in oslo"),
        (change((1, "visits", 0, "to"), "17:45"), "times", "F2 begins at 18:00, but 'Big Park' ends at 17:45"),
        (change((1, "visits", 0, "to"), "09:00"), "times", "'Big Park' ends before it begins"),
        (change((0, "visits", 0, "to"), "18:00"), "opening", "'Old Fort' closes at 17:00"),
        (change((1, "visits", 0, "name"), "City Museum"), "opening", "'City Museum' is closed on Tuesdays"),
        (change((0, "lodging", "name"), "Red Inn"), "min_nights", "'Red Inn' asks for 2 nights, the stay has 1"),
        (change((0, "lodging", "name"), "Red Inn"), "party", "'Red Inn' sleeps 1, the party has 2"),
        (change((0, "travel"), [{"id": "F2"}]), "dates", "F2 was offered for 2024-03-05, not for 2024-03-04"),
    ],
)  # fmt: skip
def test_each_rule_finds_what_breaks_it_and_says_where(changed, rule, words):
    names, note = broken(changed(plan()))
    assert rule in names
    assert words in note


def test_budget_counts_each_traveller_and_the_night_once():
    # 2 x (120 + 110) for flights, 2 x 5 for the fort, 80 for the night
    assert broken(plan(), {**REQUEST, "budget": 550})[0] == []
    names, note = broken(plan(), {**REQUEST, "budget": 549})
    assert names == ["budget"]
    assert "costs 550 at least, the budget is 549" in note


def test_wishes():
    assert "no museum is visited" in broken(plan(), {**REQUEST, "kinds": ["museum"]})[1]
    assert "'Blue Inn' is rated 4, below 5" in broken(plan(), {**REQUEST, "rating": 5})[1]
    assert "F1 is a flights, not a train" in broken(plan(), {**REQUEST, "modes": ["train"]})[1]
    two = [*plan()[:1], {**plan()[0], "day": 2, "travel": [], "visits": ["Big Park"], "lodging": "Red Inn"}, plan()[1]]
    two[2] = {**two[2], "day": 3, "visits": ["City Museum"]}
    wish = {"days": 3, "origin": "Oslo", "same_lodging": True}
    assert "'Red Inn' is another lodging in rome" in broken(two, wish)[1]


def test_times_over_midnight_and_connections_of_no_minutes():
    night = plan()
    night[0]["travel"] = [
        {"id": "T1", "from": "Oslo", "to": "Bonn", "departs": "06:00", "arrives": "09:00"},
        {"id": "T2", "from": "Bonn", "to": "Rome", "departs": "09:00", "arrives": "11:00"},
    ]
    assert broken(night, {**REQUEST, "transfer": 0})[0] == []
    assert "T2 begins at 09:00, but T1 ends at 09:00 and 30 minutes" in broken(night)[1]
    night[0]["travel"] = [{"id": "T1", "from": "Oslo", "to": "Rome", "departs": "23:00", "arrives": "01:30"}]
    night[0]["visits"] = [{"name": "Old Fort", "city": "Rome", "from": "12:00", "to": "14:00"}]
    assert "when the traveller is in oslo" in broken(night)[1]
    night[1]["visits"][0].update({"from": "01:45", "to": "03:00"})
    assert "begins at 01:45, but T1 ends at 01:30 and 30 minutes are needed" in broken(night)[1]


def test_hours_that_are_asked_for_cannot_be_left_out():
    request = {**REQUEST, "timed": True}
    assert broken(plan(), request)[0] == []
    for key in ("from", "to"):
        names, note = broken(change((1, "visits", 0, key), None)(plan()), request)
        assert (names, "day 2, visits: 'Big Park' has no hours" in note) == (["times"], True)


def test_what_nobody_stated_or_answered_is_left_to_the_other_check():
    names = [{"travel": "F9", "visit": "Anything", "lodging": "Somewhere"}, {"travel": "F8", "visit": "Something"}]
    assert broken(names, records={})[0] == []
    scores = Grounded()(trajectory(names, records={}))
    assert scores.values.tolist() == [0.0]


TRAVELPLANNER = """[{'days': 1, 'current_city': 'from Oslo to San Antonio(Texas)',
 'transportation': 'Flight Number: F1, from Oslo to San Antonio(Texas), Departure Time: 15:40, Arrival Time: 17:04',
 'breakfast': '-', 'attraction': "Ripley's Fort, North Wing, San Antonio;Big Park, San Antonio;", 'lunch': '',
 'dinner': 'Coco; Cost: 1,014', 'accommodation': 'Blue Inn, San Antonio; Cost: 321 for 3 nights'},
 {'day': 2, 'current_city': 'San Antonio', 'transportation': 'Taxi; Cost: 50', 'attraction': '-'}, {}, {}]"""


def test_the_loose_strings_of_travelplanner():
    read = Itinerary.parse(TRAVELPLANNER)
    first, second = read.days
    assert (first.number, second.number, first.cities) == (1, 2, ("Oslo", "San Antonio(Texas)"))
    leg = first.legs[0]
    assert (leg.identity, leg.origin, leg.departs, leg.arrives) == ("F1", "Oslo", 940, 1024)
    assert leg.destination == "San Antonio(Texas)"
    fort, park, dinner = first.stops
    assert (fort.name, fort.city, fort.where) == ("Ripley's Fort, North Wing", "San Antonio", "attraction[0]")
    assert (park.name, dinner.name, dinner.city, dinner.price) == ("Big Park", "Coco", None, 1014)
    assert (first.lodging.name, first.lodging.price) == ("Blue Inn", None)  # three nights' price is not one night's
    assert second.legs[0].destination is None
    assert [entity.where for _, entity in read.entities()] == [
        "transportation", "attraction[0]", "attraction[1]", "dinner", "accommodation",
    ]  # fmt: skip
    assert plain_city("San Antonio(Texas)") == plain_city("San  Antonio") == "san antonio"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no readable itinerary"),
        ("We fly to Rome.", "holds no readable itinerary"),
        ("[{}, {}]", "holds no readable itinerary"),
        ('{"days": []}', "no list of days was found"),
        ('{"days": [{}, {}]}', "every day is empty"),
        ('{"days": ["Rome"]}', "day 1 must be an object, got 'Rome'"),
        ('{"days": [{"visits": [{"price": 3}]}]}', "day 1, visits: an entry needs a name"),
        ('{"days": [{"visits": 3}]}', "day 1, visits: expected a name, an object or a list, got 3"),
        ('{"days": [{"hotel": ["A", "B"]}]}', "day 1 has 2 lodgings"),
        ('{"days": [{"travel": {"id": "F1", "departs": "25:00"}}]}', "'25:00' is not a time; write it like 09:05"),
        ('{"days": [{"visit": {"name": "A", "price": -4}}]}', "-4 is not a price"),
        ('{"days": [{"day": 1.5, "visit": "A"}]}', "day 1 is numbered 1.5, expected a whole number"),
        ("[__import__('os').system('true')]", "holds no readable itinerary"),
        ("{'days': " + "[" * 5000 + "]" * 5000 + "}", "holds no readable itinerary"),
        ("x" * 100_001, "has 100001 characters, and at most 100000 are read"),
        (json.dumps({"days": [{"visits": ["A"] * 400}]}), "there are 401 entries in all, and at most 300"),
        (json.dumps({"days": [{"visit": "A"}] * 101}), "there are 101 days"),
    ],
)  # fmt: skip
def test_what_is_no_itinerary_is_said(text, words):
    with pytest.raises(UnreadableItinerary) as caught:
        Itinerary.parse(text)
    assert words in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["day", "days", "visits", "travel", "lodging", "name", "from", "price", "city"]), inner, max_size=4),
    max_leaves=12,
))  # fmt: skip
def test_anything_at_all_is_read_or_refused_and_never_breaks_a_check(value):
    text = json.dumps({"days": value})
    for reward in (ItineraryFeasible(), Grounded(), Grounded(combine="mean")):
        scores = reward(trajectory(text))
        assert scores.scored.all(), scores.note(0)
        assert 0 <= scores.values[0] <= 1
        assert len(scores.steps[0]) == 4


def test_clocks_amounts_and_durations():
    assert [read_clock(text) for text in ("9:05", "00:40+1", "12:10 am", "1:15 PM", "24:00", "24:01", "noon", 9)] == [
        545, 1480, 10, 795, 1440, None, None, None,
    ]  # fmt: skip
    assert [write_clock(minutes) for minutes in (545, 1480)] == ["09:05", "00:40+1"]
    assert [read_amount(text) for text in ("1,144 km", "$1,400.50", "321 for 3 nights", 7, True, "", None)] == [
        1144, 1400.5, 321, 7, None, None, None,
    ]  # fmt: skip
    assert [read_duration(text) for text in ("1 day 3 hours", "2 hours 24 minutes", "10 h 5 min", "long")] == [
        1620, 144, 605, None,
    ]  # fmt: skip


def grounded(days, records=RECORDS, **options):
    scores = Grounded(**options)(trajectory(days, records=records))
    return scores.values[0], scores.note(0) or "", scores


def test_grounded_compares_every_stated_detail_and_names_the_turn():
    value, _, scores = grounded(plan())
    assert value == 1
    assert {name: part.values[0] for name, part in scores.parts.items() if part.scored[0]} == {
        "leg": 1, "visit": 1, "lodging": 1, "calls": 1,
    }  # fmt: skip
    for path, new, words in (
        ((0, "travel", 0, "departs"), "08:10", "day 1, travel: F1: departs is '08:10', the answer says '08:00'"),
        ((0, "travel", 0, "to"), "Paris", "F1: destination is 'Paris'"),
        ((0, "lodging", "rating"), 5, "Blue Inn: rating is 5"),
        ((0, "lodging", "price"), 81, "Blue Inn: price is 81"),
        (
            (0, "lodging", "city"),
            "Paris",
            "Blue Inn is no answer of hotels or accommodations for that city, but one in Rome",
        ),
        ((0, "visits", 0, "name"), "Blue Inn", "Blue Inn is no answer of places or attractions"),
        ((0, "visits", 0, "name"), "Óld fort", "Óld fort is only nearly Old Fort"),
        ((0, "visits", 0, "name"), "New Fort", "New Fort stands in no answer of places"),
    ):
        value, note, scores = grounded(change(path, new)(plan()))
        assert (value, words in note) == (0, True), note
        assert scores.steps[0].tolist() == [1, 1, 1, 0]
    assert grounded(change((0, "lodging", "price"), 81)(plan()), tolerance=0.02)[0] == 1
    assert grounded(change((0, "lodging", "rating"), 5)(plan()), fields=("price",))[0] == 1


def test_any_answer_or_the_last_one():
    twice = {**RECORDS, "trains": [{"id": "F1", "from": "Oslo", "to": "Rome", "departs": "09:00"}]}
    assert grounded(plan(), twice)[0] == 1
    value, note, _ = grounded(plan(), twice, answers="last")
    assert (value, "F1: departs is '08:00', the answer says '09:00'" in note) == (0, True)
    assert grounded(plan(), twice, answers="last", tools={"leg": ("flights",)})[0] == 1


def test_one_name_in_two_cities():
    both = {**RECORDS, "places": [*RECORDS["places"], {"name": "Big Park", "city": "Paris", "price": 3}]}
    assert grounded(plan(), both)[0] == 1
    assert broken(plan(), records=both)[0] == []


def test_a_failing_turn_fails_the_whole_or_lowers_the_mean():
    wrong = {"weather": "Error: there is no tool 'weather'", **RECORDS}
    value, note, scores = grounded(plan(), wrong)
    assert (value, scores.steps[0].tolist()) == (0, [0, 1, 1, 1, 1])
    assert "turn 1: Error: there is no tool" in note
    assert grounded(plan(), wrong, combine="mean")[0] == pytest.approx(0.8)
    assert grounded(plan(), wrong, calls=False)[0] == 1
    named = {**RECORDS, "places": "Error: Old Fort and Big Park are unknown"}
    assert "Old Fort stands only in an answer that is an error" in grounded(plan(), named)[1]


def test_answers_in_plain_text_ground_whole_names_alone():
    text = {**RECORDS, "places": "Open on that day: Old Fort, Big Parkway."}
    value, note, scores = grounded(plan(), text)
    assert (value, scores.parts["visit"].values[0]) == (0, 0.5)
    assert "Big Park stands in no answer" in note


@rl.reward
def broken_judge(trajectory):
    raise TimeoutError("the judge did not answer")


def test_the_cascade_asks_for_turns_only_where_the_trip_is_feasible():
    hierarchical = rl.cascade(ItineraryFeasible(), Grounded())
    good, ungrounded, infeasible = plan(), change((0, "lodging", "name"), "New Inn")(plan()), plan()[:1]
    scores = hierarchical([trajectory(days) for days in (good, ungrounded, infeasible)])
    assert scores.values.tolist() == [1, 0, 0]
    feasible, turns = scores.parts.values()
    assert feasible.scored.tolist() == [True, True, True]
    assert turns.scored.tolist() == [True, True, False]
    assert [row.tolist() for row in scores.steps] == [[1, 1, 1, 1], [1, 1, 1, 0], [0, 0, 0, 0]]
    judged = rl.cascade(ItineraryFeasible(), broken_judge)([trajectory(good), trajectory(infeasible)])
    assert judged.failed.tolist() == [True, False]


def test_options_are_checked_and_specs_go_round():
    reward = ItineraryFeasible(rules=("days", "lodging"), graded=True)
    assert rl.from_spec(reward.to_spec()) == reward
    turns = Grounded(fields=("price",), tools={"leg": ("roads",)})
    assert rl.from_spec(turns.to_spec()) == turns
    for make, words in (
        (lambda: ItineraryFeasible(rules=("day",)), "option 'rules': .*'day'.*days"),
        (lambda: ItineraryFeasible(rules=()), "option 'rules' is empty"),
        (lambda: Grounded(fields=("cost",)), "option 'fields' has 'cost', expected some of arrives, city"),
        (lambda: Grounded(tools={"bus": ("x",)}), "option 'tools' has 'bus', expected some of leg, visit, meal, lodging"),
        (lambda: Grounded(tolerance=1.0), r"option 'tolerance' must be a share in \[0, 1\), got 1.0"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            make()


def only_weekdays(trip):
    """A rule of somebody else's."""
    return []


def test_rules_of_ones_own_are_named_by_module():
    reward = ItineraryFeasible(rules=("days", f"{__name__}:only_weekdays"))
    assert reward(trajectory(plan())).parts[f"{__name__}:only_weekdays"].values.tolist() == [1.0]
