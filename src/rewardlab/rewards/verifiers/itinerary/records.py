"""What tools had answered in a trajectory, as records that an itinerary can be compared with.

A record is one object of a JSON answer, its keys brought to one spelling (`NAME`, `Name` and `name` are `name`; `DepTime` is
`departs`). Answers that are errors give no records, and are kept apart.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rewardlab.rewards.verifiers.itinerary.amounts import folded, plain_city, plain_name, read_clock
from rewardlab.rewards.verifiers.itinerary.plan import Leg, Stop
from rewardlab.types import Trajectory, call_arguments, message_text

MOST_RECORDS = 20_000
_SPELLINGS: dict[str, tuple[str, ...]] = {
    "id": ("id", "number", "flight number", "flight_number", "train number"),
    "name": ("name",),
    "city": ("city",),
    "origin": ("from", "origin", "origincityname"),
    "destination": ("to", "destination", "destcityname"),
    "departs": ("departs", "departure", "deptime", "departure time"),
    "arrives": ("arrives", "arrival", "arrtime", "arrival time"),
    "date": ("date", "flightdate"),
    "price": ("price", "cost", "average cost"),
    "rating": ("rating", "aggregate rating", "review rate number"),
    "kind": ("kind", "cuisines", "room type"),
    "opens": ("opens",),
    "closes": ("closes",),
    "closed": ("closed",),
    "min_nights": ("min_nights", "minimum nights"),
    "sleeps": ("sleeps", "maximum occupancy"),
    "duration": ("duration", "actualelapsedtime"),
    "distance": ("distance",),
    "mode": ("mode",),
}
KEYS = {spelling: key for key, spellings in _SPELLINGS.items() for spelling in spellings}
"""How tools spell a key -> its name here."""


def spelled(key: Any) -> str:
    """The name here of a key as somebody wrote it; itself where it has none."""
    text = str(key)
    return KEYS.get(text.strip().lower(), text)


@dataclass(frozen=True, slots=True)
class Record:
    """One object of one answer.

    Args:
        tool: which tool gave it.
        turn: index of the action that called it.
        fields: its values, under the keys of this module; others as they were.
    """

    tool: str
    turn: int
    fields: dict[str, Any]


@dataclass(slots=True)
class Answers:
    """Everything that tools answered in a trajectory.

    Args:
        records: in order.
        texts: answers that are no JSON, with their tools.
        refused: answers that are errors, with their tools.
        turns: for each action, None where it called no tool, else what was wrong with its calls ("" for nothing).
    """

    records: list[Record] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    turns: list[str | None] = field(default_factory=list)
    _by_key: dict[str, list[Record]] = field(default_factory=dict)
    _by_folded: dict[str, list[Record]] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Take in a record, unless there are too many."""
        if len(self.records) >= MOST_RECORDS:
            return
        self.records.append(record)
        for key in ("id", "name"):
            value = record.fields.get(key)
            if isinstance(value, str):
                self._by_key.setdefault(plain_name(value), []).append(record)

    def named(self, name: str) -> list[Record]:
        """Records of exactly this name or number."""
        return self._by_key.get(plain_name(name), [])

    def nearly(self, name: str) -> list[Record]:
        """Records whose name differs only in case, accents, spaces or punctuation."""
        if not self._by_folded:
            for key, found in self._by_key.items():
                self._by_folded.setdefault(folded(key), []).extend(found)
        bare = folded(name)
        return self._by_folded.get(bare, []) if bare else []

    def of(self, entity: Leg | Stop, tools: Sequence[str] | None = None) -> list[Record]:
        """Records that an entity of an itinerary may stand for: same name or number, and no other city."""
        if isinstance(entity, Leg):
            if entity.identity is not None:
                found = self.named(entity.identity)
            else:
                found = [record for record in self.records if _same_road(entity, record)]
        else:
            found = self.named(entity.name)
            if entity.city is not None:
                city = plain_city(entity.city)
                found = [record for record in found if _city(record) in (None, city)]
        return found if tools is None else [record for record in found if record.tool in tools]


def read_answers(trajectory: Trajectory) -> Answers:
    """Gather what tools answered, turn by turn."""
    answers = Answers()
    names: dict[str, str] = {}
    for turn, action in enumerate(trajectory.actions):
        calls = action.get("tool_calls") or ()
        trouble = None if not calls else ""
        order: list[str] = []
        for call in calls:
            try:
                name, given = call_arguments(call)
                if not isinstance(given, Mapping):
                    raise ValueError(f"arguments of {name!r} must be an object, got {given!r:.40}")
            except (ValueError, AttributeError) as error:
                trouble, name = trouble or f"a call cannot be read: {error}", ""
            order.append(name)
            if isinstance(call, Mapping) and isinstance(call.get("id"), str):
                names[call["id"]] = name
        outputs = [message for message in trajectory.observations[turn + 1] if message.get("role") == "tool"]
        if calls and len(outputs) < len(order):
            trouble = trouble or f"{len(order) - len(outputs)} of {len(order)} calls were not answered"
        for place, message in enumerate(outputs):
            tool = message.get("name") or names.get(str(message.get("tool_call_id"))) or ""
            tool = str(tool) or (order[place] if place < len(order) else "")
            text = message_text(message)
            if text.startswith("Error"):
                answers.refused.append((tool, text))
                trouble = trouble or text[:120]
                continue
            for record in _records(text, tool, turn, answers):
                answers.add(record)
        answers.turns.append(trouble)
    return answers


def _records(text: str, tool: str, turn: int, answers: Answers) -> Iterator[Record]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        answers.texts.append((tool, text))
        return
    waiting = deque([value])
    while waiting:
        entry = waiting.popleft()
        if isinstance(entry, list):
            waiting.extendleft(reversed(entry))
        elif isinstance(entry, dict):
            lists = [part for part in entry.values() if isinstance(part, list)]
            nested = [part for part in lists if any(isinstance(one, dict) for one in part)]
            if nested:
                waiting.extendleft(reversed(nested))
            else:
                yield Record(tool, turn, {spelled(key): part for key, part in entry.items()})


def _same_road(leg: Leg, record: Record) -> bool:
    """Whether a record is the road (or taxi ride) between the ends of a leg that has no number."""
    origin, destination = record.fields.get("origin"), record.fields.get("destination")
    if record.fields.get("id") is not None or not isinstance(origin, str) or not isinstance(destination, str):
        return False
    mode = record.fields.get("mode")
    if isinstance(mode, str) and leg.mode is not None and folded(mode) != folded(leg.mode):
        return False
    return (plain_city(origin), plain_city(destination)) == (
        plain_city(leg.origin or ""),
        plain_city(leg.destination or ""),
    )


def _city(record: Record) -> str | None:
    city = record.fields.get("city")
    return plain_city(city) if isinstance(city, str) else None


def known_leg(leg: Leg, answers: Answers) -> Leg:
    """A leg with what it leaves out filled in from the record of its number; what it states stays."""
    found = answers.of(leg) if leg.identity is not None else []
    if not found:
        return leg
    fields = found[-1].fields
    departs = leg.departs if leg.departs is not None else read_clock(fields.get("departs"))
    arrives = leg.arrives if leg.arrives is not None else read_clock(fields.get("arrives"))
    if departs is not None and arrives is not None and arrives < departs:
        arrives += 24 * 60
    return replace(
        leg,
        origin=leg.origin or _string(fields.get("origin")),
        destination=leg.destination or _string(fields.get("destination")),
        mode=leg.mode or _string(fields.get("mode")) or found[-1].tool,
        departs=departs,
        arrives=arrives,
    )


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None
