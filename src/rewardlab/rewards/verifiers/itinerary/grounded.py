"""Whether every detail of an itinerary stands in what tools had answered, and every call was in order: turn by turn."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from rewardlab.rewards.base import Verdict, Verifier
from rewardlab.rewards.spec import register
from rewardlab.rewards.verifiers.itinerary.amounts import plain_city, plain_name, read_amount, read_clock, read_duration
from rewardlab.rewards.verifiers.itinerary.plan import Itinerary, Leg, Stop, UnreadableItinerary
from rewardlab.rewards.verifiers.itinerary.records import KEYS, Answers, Record, read_answers, spelled
from rewardlab.types import Trajectory

_AMOUNTS = frozenset(("price", "rating", "distance", "min_nights", "sleeps"))
_CLOCKS = frozenset(("departs", "arrives", "opens", "closes"))
_TOOLS: dict[str, tuple[str, ...]] = {
    "leg": ("flights", "trains", "roads"),
    "visit": ("places", "attractions"),
    "meal": ("places", "restaurants"),
    "lodging": ("hotels", "accommodations"),
}


@register("itinerary_grounded")
@dataclass(frozen=True, kw_only=True)
class Grounded(Verifier):
    """1 where every turn passes, else 0; the turn stage of DeepTravel.

    A turn that calls tools passes where each call can be read and was answered without an error. The last turn passes where
    every journey, visit, meal and lodging of the itinerary stands in an earlier answer of a fitting tool, under exactly its
    number or name and in its city, and every detail that is stated of it agrees with that answer. A name that differs only
    in case, accents or punctuation is not accepted, and the note says so. Nothing that stands in an answer that is an error
    counts. Whether the itinerary makes sense is not looked at: one without any entity passes.

    The parts are the shares of legs, visits, meals and lodgings that are grounded (`leg`, `visit`, `meal`, `lodging`;
    abstained where there are none), and `calls`, the share of calling turns that pass. `Scores.steps` has each turn's own
    score.

    Args:
        combine: "all" turns must pass (the paper's rule), or the "mean" of the turns' scores, where the last turn scores the
            share of entities that are grounded (the dense variant).
        fields: the details that are compared where both sides have them; all that have a name in `records.KEYS` by default.
        tolerance: how far a price may be off, as a share of it. Numbers, names and times are exact.
        answers: an entity may agree with "any" answer that names it, or must agree with the "last".
        tools: which tools may ground which kind of entity: kind -> names. Kinds left out keep their default.
        calls: whether turns that call tools are checked too.
    """

    combine: Literal["all", "mean"] = "all"
    fields: tuple[str, ...] | None = None
    tolerance: float = 0.0
    answers: Literal["any", "last"] = "any"
    tools: dict[str, tuple[str, ...]] = field(default_factory=dict)
    calls: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.tolerance < 1.0:
            raise ValueError(f"Grounded: option 'tolerance' must be a share in [0, 1), got {self.tolerance}")
        known = frozenset(KEYS.values())
        for name in self.fields or ():
            if name not in known:
                raise ValueError(f"Grounded: option 'fields' has {name!r}, expected some of {', '.join(sorted(known))}")
        for kind in self.tools:
            if kind not in _TOOLS:
                raise ValueError(f"Grounded: option 'tools' has {kind!r}, expected some of {', '.join(_TOOLS)}")

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Check each turn."""
        answers = read_answers(trajectory)
        notes: list[str] = []
        steps: list[float] = []
        called: list[float] = []
        for turn, trouble in enumerate(answers.turns[:-1]):
            passes = not (trouble and self.calls)
            steps.append(float(passes))
            if trouble is not None:
                called.append(float(not trouble))
            if not passes:
                notes.append(f"turn {turn + 1}: {trouble}")
        parts: dict[str, float | None] = dict.fromkeys(_TOOLS)
        try:
            if answers.turns[-1] is not None:
                raise UnreadableItinerary("the last turn calls a tool, so no itinerary was written")
            itinerary = Itinerary.parse(trajectory.completion)
        except UnreadableItinerary as error:
            notes.append(str(error))
            steps.append(0.0)
        else:
            steps.append(self._last_turn(itinerary, answers, parts, notes))
        parts["calls"] = sum(called) / len(called) if called else None
        value = sum(steps) / len(steps) if self.combine == "mean" else float(min(steps) == 1.0)
        return Verdict(value, "; ".join(notes)[:2_000] or None, parts, steps=steps)

    def _last_turn(
        self, itinerary: Itinerary, answers: Answers, parts: dict[str, float | None], notes: list[str]
    ) -> float:
        """The score of the itinerary; fills in the parts and notes."""
        if itinerary.refusal is not None:
            asked = any(trouble == "" for trouble in answers.turns)
            if not asked:
                notes.append("no tool was asked before saying that no trip is possible")
            return float(asked)
        right: dict[str, list[bool]] = {kind: [] for kind in _TOOLS}
        for day, entity in itinerary.entities():
            kind: str = "leg" if isinstance(entity, Leg) else entity.kind
            trouble = self._trouble(entity, kind, answers)
            right[kind].append(trouble is None)
            if trouble is not None:
                notes.append(f"day {day}, {entity.where}: {trouble}")
        for name, held in right.items():
            parts[name] = sum(held) / len(held) if held else None
        flat = [one for held in right.values() for one in held]
        if not flat:
            return 1.0
        return sum(flat) / len(flat) if self.combine == "mean" else float(all(flat))

    def _trouble(self, entity: Leg | Stop, kind: str, answers: Answers) -> str | None:
        """Why an entity is not grounded, or None."""
        tools = self.tools.get(kind, _TOOLS[kind])
        found = answers.of(entity, tools)
        label = entity.label if isinstance(entity, Leg) else entity.name
        if not found:
            return self._missing(entity, label, tools, answers)
        if self.answers == "last":
            found = found[-1:]
        differences = [self._difference(entity, record) for record in found]
        return None if None in differences else f"{label}: {differences[-1]}"

    def _missing(self, entity: Leg | Stop, label: str, tools: tuple[str, ...], answers: Answers) -> str | None:
        """What to say of an entity that no record names; None where a plain text does."""
        whole = re.compile(rf"(?<!\w){re.escape(plain_name(label))}(?!\w)")
        if any(tool in tools and whole.search(plain_name(text)) for tool, text in answers.texts):
            return None
        if any(whole.search(plain_name(text)) for _, text in answers.refused):
            return f"{label} stands only in an answer that is an error"
        elsewhere = answers.named(label)
        if elsewhere:
            where = elsewhere[-1].fields.get("city")
            return f"{label} is no answer of {' or '.join(tools)} for that city" + (
                f", but one in {where}" if where else ""
            )
        near = answers.nearly(label)
        if near:
            return f"{label} is only nearly {near[-1].fields.get('name') or near[-1].fields.get('id')}"
        return f"{label} stands in no answer of {' or '.join(tools)}"

    def _difference(self, entity: Leg | Stop, record: Record) -> str | None:
        """The first detail in which an entity differs from a record, or None."""
        stated: dict[str, Any] = {spelled(key): value for key, value in entity.stated.items()}
        if isinstance(entity, Leg):
            stated.update(origin=entity.origin, destination=entity.destination)
        else:
            stated.pop("origin", None)  # "from" and "to" are the hours of a visit
            stated.pop("destination", None)
            stated["city"] = entity.city
        for name, said in stated.items():
            known = record.fields.get(name)
            if said is None or known is None or name in ("id", "name", "date") or name not in KEYS.values():
                continue
            if self.fields is not None and name not in self.fields:
                continue
            if not self._agrees(name, said, known):
                return f"{name} is {said!r:.40}, the answer says {known!r:.40}"
        return None

    def _agrees(self, name: str, said: Any, known: Any) -> bool:
        if name in _AMOUNTS:
            left, right = read_amount(said), read_amount(known)
            if left is None or right is None:
                return left == right
            return abs(left - right) <= (self.tolerance * abs(right) if name == "price" else 0.0) + 1e-9
        if name in _CLOCKS:
            left_time, right_time = read_clock(said), read_clock(known)
            if left_time is not None and right_time is not None:  # whether a night lies between is not always written
                return left_time % (24 * 60) == right_time % (24 * 60)
        if name == "duration":
            return read_duration(str(said)) == read_duration(str(known))
        if name in ("city", "origin", "destination"):
            return isinstance(said, str) and isinstance(known, str) and plain_city(said) == plain_city(known)
        return str(said).strip() == str(known).strip()
