"""One action against the one that was right: its type first, then its fields, then what stands in them.

The reward is Shop-R1's (Zhang et al. 2025, arXiv 2507.17842, table 1), for any set of actions: those of a page,
calls of tools, calls of an interface. Every level is a part of its own, so that a log shows where a policy earns its
reward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from rewardlab.parsing.json_values import UnreadableJSON
from rewardlab.rewards.base import Abstention, ScoringFailure, Verdict, Verifier
from rewardlab.rewards.spec import register
from rewardlab.rewards.verifiers.json_answer import Mode, read_object
from rewardlab.rewards.verifiers.similarity import SIMILARITIES, Similarity
from rewardlab.types import Scores, Trajectory, call_arguments

SHOP_ACTIONS: dict[str, tuple[str, ...]] = {"click": ("name",), "type_and_submit": ("name", "text"), "terminate": ()}
"""Shop-R1's actions and their fields."""
SHOP_PRESENCE = {"click.name": 0.2, "type_and_submit.name": 0.1, "type_and_submit.text": 0.1}
SHOP_SCALE = {"click.name": 1000.0, "type_and_submit.text": 1000.0, "type_and_submit.name": 0.1}


@dataclass(frozen=True, slots=True)
class Action:
    """An action as it was read.

    Args:
        type: its name.
        fields: its values by name; only texts and numbers, as texts.
    """

    type: str
    fields: Mapping[str, str]


@register("hierarchical_action")
@dataclass(frozen=True, kw_only=True)
class HierarchicalAction(Verifier):
    """`type_weight` for the right type, and only then: `presence` for each filled field, `scale` times likeness for
    its value.

    An answer that cannot be read scores 0 with the reason as a note; a likeness below `threshold` counts as 0. A
    sample whose *reference* lacks a value (a fault in the data) abstains. Parts: `type`, `presence.<type>.<field>` and
    `value.<type>.<field>` (what each gave; they abstain for samples of other types), `hit.<type>.<field>` (the likeness
    reached the threshold), `exact` (type and every field are those of the reference), and `on_page`, where
    `elements` is set.

    The defaults are the paper's: 0.8 for a right `terminate` with a format reward of 0.5, 1001 for a right `click`.

    Args:
        schema: type of action -> its fields.
        type_weight: what the right type is worth.
        presence: `type.field` -> what it is worth that the field is there and not blank.
        scale: `type.field` -> what a full likeness is worth (the paper's difficulty-aware reward scaling, a factor
            of 1000 on long texts); fields that are not named are only measured.
        granularity: `graded`, or `binary`: 1 where the action is exactly the right one, else 0 (the parts stay).
        similarity: see `Similarity`.
        threshold: least likeness that counts, in [0, 1].
        difficulty: `constant` is the paper's. `inverse_rate` divides each value by the running share of right ones
            among the samples that had the right type, so that what is rarely right is worth more.
        momentum: of the running share, in [0, 1).
        least_rate: the smallest share that is divided by.
        source: where the action stands: under `key` in the answer's JSON object (`json`), or in the last message's
            first tool call (`tool_call`).
        key: of the action in the object; None where the object is the action.
        type_key: of the type in the action, and in the reference.
        mode: `strict` or `lenient` reading of JSON.
        elements: key of the task's metadata that lists the values that exist for `element_field` (the names on the
            page), or None.
        element_field: the field that must be one of them; `on_page_weight` is what it is worth that it is.
        on_page_weight: see there.
        rates: the running shares (state of `inverse_rate`; written to the spec).
    """

    schema: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(SHOP_ACTIONS))
    type_weight: float = 0.3
    presence: dict[str, float] = field(default_factory=lambda: dict(SHOP_PRESENCE))
    scale: dict[str, float] = field(default_factory=lambda: dict(SHOP_SCALE))
    granularity: Literal["graded", "binary"] = "graded"
    similarity: Similarity = "rouge_l"
    threshold: float = 0.75
    difficulty: Literal["constant", "inverse_rate"] = "constant"
    momentum: float = 0.9
    least_rate: float = 0.01
    source: Literal["json", "tool_call"] = "json"
    key: str | None = "action"
    type_key: str = "type"
    mode: Mode = "strict"
    elements: str | None = None
    element_field: str = "name"
    on_page_weight: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.schema:
            raise ValueError("HierarchicalAction: option 'schema' needs at least one type of action")
        known = {f"{kind}.{name}" for kind, names in self.schema.items() for name in names}
        for option in ("presence", "scale"):
            for place in getattr(self, option):
                if place not in known:
                    raise ValueError(
                        f"HierarchicalAction: option {option!r} names {place!r}, which is no field of the schema; its "
                        f"fields are {', '.join(sorted(known)) or '(none)'}"
                    )
        for option, low, high in (("threshold", 0.0, 1.0), ("momentum", 0.0, 1.0), ("least_rate", 1e-9, 1.0)):
            if not low <= getattr(self, option) <= high:
                raise ValueError(
                    f"HierarchicalAction: option {option!r} must be in [{low:g}, {high:g}], got {getattr(self, option)}"
                )

    # ---- reading ----------------------------------------------------------------------------------------------

    def read(self, trajectory: Trajectory) -> Action:
        """The action that was predicted.

        Raises:
            UnreadableJSON: there is none; the message says why.
        """
        return self._read(trajectory)[0]

    def wanted(self, trajectory: Trajectory) -> Action:
        """The action that was right.

        Raises:
            ScoringFailure: the task has no reference, or one of another form.
            Abstention: the reference lacks a value.
        """
        reference = trajectory.reference
        if not isinstance(reference, Mapping) or not isinstance(reference.get(self.type_key), str):
            raise ScoringFailure(
                f"the task has no action as its reference; expected a mapping with {self.type_key!r} and the fields, got "
                f"{reference!r:.80}"
            )
        kind = reference[self.type_key]
        if kind not in self.schema:
            raise ScoringFailure(f"the reference has the type {kind!r:.60}, expected one of {', '.join(self.schema)}")
        values = _fields(reference)
        for name in self.schema[kind]:
            if not values.get(name, "").strip():
                raise Abstention(f"the reference has no {name!r}, a fault in the data, so nothing can be compared")
        return Action(kind, values)

    def _read(self, trajectory: Trajectory) -> tuple[Action, str | None]:
        if self.source == "tool_call":
            calls = trajectory.actions[-1].get("tool_calls") or ()
            if not calls:
                raise UnreadableJSON("the last message calls no tool")
            try:
                name, arguments = call_arguments(calls[0])
            except (ValueError, AttributeError) as error:
                raise UnreadableJSON(f"the call cannot be read: {error}") from None
            return Action(name, _fields(arguments)), None
        value, note = read_object(trajectory.completion, self.mode)
        inner = value if self.key is None else value.get(self.key)
        if not isinstance(inner, dict) or not isinstance(inner.get(self.type_key), str):
            raise UnreadableJSON(f"the answer has no action with a text as its {self.type_key!r}")
        return Action(inner[self.type_key], _fields(inner)), note

    # ---- scoring ----------------------------------------------------------------------------------------------

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Compare the action of one trajectory with the right one."""
        wanted = self.wanted(trajectory)
        try:
            given, note = self._read(trajectory)
        except UnreadableJSON as problem:
            return Verdict(0.0, str(problem), {"type": 0.0, "exact": 0.0})
        right = given.type == wanted.type
        parts: dict[str, float | None] = {"type": self.type_weight * right, "exact": 0.0}
        if self.elements is not None and self.element_field in self.schema.get(given.type, ()):
            page = trajectory.task.metadata.get(self.elements, ()) if trajectory.task is not None else ()
            there = given.fields.get(self.element_field) in set(map(str, page))
            parts["on_page"] = self.on_page_weight * there
        if not right:
            unknown = "" if given.type in self.schema else ", which is no type of action"
            value = float(parts.get("on_page") or 0.0) if self.granularity == "graded" else 0.0
            return Verdict(value, f"type {given.type!r:.40}{unknown}, expected {wanted.type!r}", parts)
        compare = SIMILARITIES[self.similarity]
        same = []
        for name in self.schema[wanted.type]:
            place, text = f"{wanted.type}.{name}", given.fields.get(name, "")
            likeness = compare(text, wanted.fields[name]) if text.strip() else 0.0
            reached = likeness >= self.threshold and likeness > 0
            same.append(_folded(text) == _folded(wanted.fields[name]))
            if place in self.presence:
                parts[f"presence.{place}"] = self.presence[place] * bool(text.strip())
            parts[f"hit.{place}"] = float(reached)
            if place in self.scale:
                parts[f"value.{place}"] = self._scale(place) * likeness if reached else 0.0
        total = sum(part or 0.0 for name, part in parts.items() if name.split(".")[0] in _PAID)
        parts["exact"] = float(all(same))
        return Verdict(total if self.granularity == "graded" else float(all(same)), note, parts)

    def _scale(self, place: str) -> float:
        if self.difficulty == "constant":
            return self.scale[place]
        return self.scale[place] / max(self.rates.get(place, 1.0), self.least_rate)

    # ---- learning ---------------------------------------------------------------------------------------------

    def observe(self, trajectories: Sequence[Trajectory], scores: Scores) -> None:
        """Move the running shares towards those of this step."""
        if self.difficulty == "constant":
            return
        rates = dict(self.rates)
        for place in self.scale:
            hits = scores.parts.get(f"hit.{place}")
            if hits is not None and hits.scored.any():
                now = hits.mean()
                rates[place] = now if place not in rates else self.momentum * rates[place] + (1 - self.momentum) * now
        self._replace(rates)

    def state_dict(self) -> dict[str, Any]:
        """The running shares."""
        return {"rates": dict(self.rates)} if self.rates else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self._replace({str(place): float(rate) for place, rate in state.get("rates", {}).items()})

    def _replace(self, rates: dict[str, float]) -> None:
        object.__setattr__(self, "rates", rates)  # one reference, swapped whole
        self.__dict__.pop("spec_hash", None)


_PAID = ("type", "presence", "value", "on_page")


def _fields(value: Any) -> dict[str, str]:
    """The texts and numbers of an object, as texts; null, lists and objects stand for nothing."""
    if not isinstance(value, Mapping):
        return {}
    return {
        str(name): entry if isinstance(entry, str) else str(entry)
        for name, entry in value.items()
        if isinstance(entry, (str, int, float)) and not isinstance(entry, bool)
    }


def _folded(text: str) -> list[str]:
    return text.casefold().split()
