"""The itinerary verifiers on real plans: TravelPlanner's (Xie et al. 2024, arXiv 2402.01622) by people and by a model.

    python benchmarks/itineraries.py DATA/travelplanner [--part train] [--failures]

DATA/travelplanner holds `reference.PART.jsonl.gz` (tasks with a plan that people wrote), `model_plans.PART.jsonl.gz` and the
tables `db_*.csv.gz`. The tables stand in for what tools answered, so no model and no network is needed. It prints how many
plans pass each stage, how many written names do not exist in their city, and how often damaged copies of people's plans are
found out, by the right rule.
"""

from __future__ import annotations

import argparse
import ast
import copy
import csv
import gzip
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rewardlab.functional.intervals import share_interval
from rewardlab.rewards.algebra import cascade
from rewardlab.rewards.verifiers.itinerary import Grounded, Itinerary, ItineraryFeasible, UnreadableItinerary
from rewardlab.rewards.verifiers.itinerary.amounts import plain_city
from rewardlab.types import Scores, Task, Trajectory

RULES = ("days", "cities", "lodging", "repeats")
FEASIBLE = ItineraryFeasible(rules=RULES)
GROUNDED = Grounded(tools={"leg": ("flights", "roads")}, fields=("city", "origin", "destination", "departs", "arrives"))
TABLES = {
    "attractions": ("db_attractions.csv.gz", "City"),
    "restaurants": ("db_restaurants.csv.gz", "City"),
    "accommodations": ("db_accommodations.csv.gz", "city"),
}
Plan = list[dict[str, Any]]


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def read_tables(folder: Path) -> dict[str, dict[str, list[dict[str, str]]]]:
    """Table -> city -> rows."""
    tables: dict[str, dict[str, list[dict[str, str]]]] = {}
    for name, (file, key) in TABLES.items():
        with gzip.open(folder / file, "rt", encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                tables.setdefault(name, {}).setdefault(plain_city(row[key]), []).append(row)
    return tables


def trajectory(plan: str, answers: list[tuple[str, Any]], days: int, identity: str) -> Trajectory:
    """A plan as an attempt in which every table that it could need was asked for first."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Plan the trip."}]
    for number, (tool, answer) in enumerate(answers):
        call = {"id": f"c{number}", "type": "function", "function": {"name": tool, "arguments": "{}"}}
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"c{number}", "content": json.dumps(answer)})
    messages.append({"role": "assistant", "content": plan})
    return Trajectory.from_messages(messages, task=Task(id=identity, reference={"days": days}), terminated=True)


def table_answers(plan: str, tables: dict[str, dict[str, list[dict[str, str]]]]) -> list[tuple[str, Any]]:
    """The tables of all cities that a plan names; there is no table of flights, so those are taken as the plan has them."""
    try:
        itinerary = Itinerary.parse(plan)
    except UnreadableItinerary:
        return []
    cities = sorted({plain_city(city) for day in itinerary.days for city in day.cities})
    answers: list[tuple[str, Any]] = [
        (name, by_city[city]) for name, by_city in tables.items() for city in cities if city in by_city
    ]
    stated = [entity for _, entity in itinerary.entities() if hasattr(entity, "identity")]
    flights = [{"id": leg.identity} for leg in stated if leg.identity is not None]
    roads = [{"from": leg.origin, "to": leg.destination} for leg in stated if leg.identity is None]
    return [*answers, ("flights", flights), ("roads", roads)]


def own_answers(reference: dict[str, Any]) -> list[tuple[str, Any]]:
    """What a task's own reference information holds, as answers of tools."""
    answers: list[tuple[str, Any]] = []
    for title, content in reference["ref_info"].items():
        first = title.split()[0].lower()
        if first in ("self-driving", "taxi"):
            origin, _, destination = title.partition(" from ")[2].partition(" to ")
            answers.append(("roads", [] if "No valid" in str(content) else [{"from": origin, "to": destination}]))
        else:
            name = {"flight": "flights"}.get(first, first)
            answers.append((name, content if isinstance(content, list) else []))
    return answers


def report(name: str, plans: list[Trajectory], failures: bool) -> Scores:
    """Passes of both stages, each on all plans, and what the cascade saves."""
    feasible, grounded = FEASIBLE(plans), GROUNDED(plans)
    both = cascade(FEASIBLE, GROUNDED)(plans)
    asked = 1 - float(list(both.parts.values())[-1].abstained.mean())
    low, high = share_interval(both.mean(), len(plans))
    print(
        f"{name}: {len(plans)} plans; feasible {int(feasible.values.sum())}, grounded {int(grounded.values.sum())}, "
        f"both {int(both.values.sum())} ({both.mean():.2f} [{low:.2f}, {high:.2f}]); the cascade asked for "
        f"{asked:.0%} of the turn checks"
    )
    for kind in ("meal", "visit", "lodging"):
        part = grounded.parts.get(kind)
        if part is not None:
            print(f"  {kind}: {named(plans, kind)[0]} of {named(plans, kind)[1]} do not exist in their city")
    if failures:
        for index, plan in enumerate(plans):
            if both.values[index] < 1 and plan.task is not None:
                print(f"  {plan.task.id}: {feasible.note(index) or ''} {grounded.note(index) or ''}"[:400])
    return both


def named(plans: list[Trajectory], kind: str) -> tuple[int, int]:
    """How many names of a kind are not in the answers, and how many there are."""
    missing = total = 0
    scores = Grounded(combine="mean", tools=GROUNDED.tools, fields=GROUNDED.fields)(plans)
    for index, plan in enumerate(plans):
        try:
            entities = [
                one for _, one in Itinerary.parse(plan.completion).entities() if getattr(one, "kind", "leg") == kind
            ]
        except UnreadableItinerary:
            continue
        total += len(entities)
        share = scores.parts[kind].values[index]
        missing += 0 if np.isnan(share) else round((1 - share) * len(entities))
    return missing, total


# ---- damaged copies ---------------------------------------------------------------------------------------------------


def swap_city(plan: Plan, rng: random.Random) -> str | None:
    day = next((day for day in plan if "," in str(day.get("dinner", ""))), None)
    if day is None:
        return None
    day["dinner"] = day["dinner"].rpartition(",")[0] + ", Timbuktu"
    return "cities"


def repeat_attraction(plan: Plan, rng: random.Random) -> str | None:
    seen = [day for day in plan if "," in str(day.get("attraction", ""))]
    if not seen:
        return None
    seen[0]["attraction"] = seen[0]["attraction"].rstrip("; ") + ";" + seen[0]["attraction"].split(";")[0] + ";"
    return "repeats"


def drop_night(plan: Plan, rng: random.Random) -> str | None:
    nights = [day for day in plan if str(day.get("accommodation", "-")) != "-"]
    if not nights:
        return None
    rng.choice(nights)["accommodation"] = "-"
    return "lodging"


def invent_name(plan: Plan, rng: random.Random) -> str | None:
    days = [day for day in plan if "," in str(day.get("dinner", ""))]
    if not days:
        return None
    day = rng.choice(days)
    day["dinner"] = "The Quite Unheard Of Spoon," + day["dinner"].rpartition(",")[2]
    return "meal"


def change_flight(plan: Plan, rng: random.Random) -> str | None:
    days = [day for day in plan if "Flight Number:" in str(day.get("transportation", ""))]
    if not days:
        return None
    day = rng.choice(days)
    number = day["transportation"].split("Flight Number: ")[1].split(",")[0]
    day["transportation"] = day["transportation"].replace(number, "F0000001")
    return "leg"


def shift_days(plan: Plan, rng: random.Random) -> str | None:
    for day in plan:
        key = "days" if "days" in day else "day"
        if key in day:
            day[key] += 1
    return "days"


DAMAGES: tuple[Callable[[Plan, random.Random], str | None], ...] = (
    swap_city, repeat_attraction, drop_night, invent_name, change_flight, shift_days,
)  # fmt: skip


def damaged(plans: list[Trajectory], per_damage: int) -> None:
    """Damage passing plans in six ways, and count how often both stages find it, with the right rule or part at 0."""
    for damage in DAMAGES:
        found = made = 0
        for number in range(20 * per_damage):
            if made == per_damage:
                break
            source = plans[number % len(plans)]
            plan = [day for day in ast_plan(source.completion) if day]
            expected = damage(plan, random.Random(number))
            if expected is None:
                continue
            made += 1
            copy_of = copy.deepcopy(source)
            copy_of.actions[-1]["content"] = json.dumps(plan)
            scores = FEASIBLE(copy_of) if expected in RULES else GROUNDED(copy_of)
            found += bool(scores.parts[expected].values[0] < 1)
        print(f"  {damage.__name__}: {found} of {made}")


def ast_plan(text: str) -> Plan:
    """The days of a plan as people's plans are written: a Python literal."""
    plan: Plan = ast.literal_eval(text)
    return plan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", default="train", choices=["train", "dev"])
    parser.add_argument("--failures", action="store_true", help="say why plans fail")
    given = parser.parse_args()
    tables = read_tables(given.data)
    people = []
    own = []
    for row in rows(given.data / f"reference.{given.part}.jsonl.gz"):
        plan = row["messages"][-1]["content"]
        days = sum(bool(day) for day in ast_plan(plan))
        people.append(trajectory(plan, table_answers(plan, tables), days, f"person {row['idx']}"))
        own.append(trajectory(plan, own_answers(row), days, f"person {row['idx']}"))
    model = []
    for row in rows(given.data / f"model_plans.{given.part}.jsonl.gz"):
        plan = json.dumps(row["plan"])
        days = sum(bool(day) for day in row["plan"] or ())
        model.append(trajectory(plan, table_answers(plan, tables), max(1, days), f"model {row['idx']}"))
    by_people = report("people's plans", people, given.failures)
    report("people's plans, against their own reference information", own, given.failures)
    by_model = report("a model's plans", model, given.failures)
    print(f"people minus model: {by_people.mean() - by_model.mean():+.2f}")
    print("damaged copies of people's plans that passed, found by the right rule:")
    passing = [plan for plan, value in zip(own, cascade(FEASIBLE, GROUNDED)(own).values, strict=True) if value == 1]
    damaged(passing, 20)


if __name__ == "__main__":
    main()
