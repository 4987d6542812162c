"""One JSON object as the whole answer, with exactly the keys that were asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rewardlab.parsing.json_values import UnreadableJSON, check_depth, check_size, decode
from rewardlab.rewards.base import Verdict, Verifier
from rewardlab.rewards.spec import register
from rewardlab.rewards.verifiers.json_text import read_json
from rewardlab.types import Trajectory

Mode = Literal["strict", "lenient"]
"""`strict`: the completion is one JSON object and nothing else. `lenient`: the first object in it counts, whatever
stands around it, and the note says so."""
Kind = Literal["any", "string", "object", "array", "number", "boolean"]
_KINDS: dict[str, tuple[type, ...]] = {
    "any": (object,),
    "string": (str,),
    "object": (dict,),
    "array": (list,),
    "number": (int, float),
    "boolean": (bool,),
}
_MOST_CHARACTERS, _MOST_DEPTH, _MOST_TRIES = 100_000, 16, 32


def read_object(text: str, mode: Mode = "strict") -> tuple[dict[str, Any], str | None]:
    """The JSON object in an answer.

    Args:
        text: what the model wrote.
        mode: see `Mode`.

    Returns:
        The object, and what had to be left out to find it (None where nothing).

    Raises:
        UnreadableJSON: there is none; the message says why.
    """
    try:
        value = read_json(text, max_characters=_MOST_CHARACTERS, max_depth=_MOST_DEPTH)
        around = None
    except UnreadableJSON:
        if mode == "strict":
            raise
        value, around = _first_object(text), "the first JSON object was taken out of other text"
    if not isinstance(value, dict):
        raise UnreadableJSON(f"a JSON object is expected, got {type(value).__name__}")
    return value, around


def _first_object(text: str) -> Any:
    check_size(text, _MOST_CHARACTERS)
    start, problem = text.find("{"), "there is no JSON object"
    for _ in range(_MOST_TRIES):
        if start < 0:
            break
        try:
            value, end = decode(text, start, _MOST_DEPTH)
            check_depth([value], text[start:end], _MOST_DEPTH)
            return value
        except UnreadableJSON as error:
            problem, start = str(error), text.find("{", start + 1)
    raise UnreadableJSON(problem)


@register("json_format")
@dataclass(frozen=True, kw_only=True)
class JSONFormat(Verifier):
    """`weight` where the answer is one JSON object with exactly the given keys, else 0 with the reason as a note.

    Use it as a part of a sum, and as the gate of the other parts: `reward.gated_by(JSONFormat(...), threshold=0.5)`.
    It needs no reference. Part: `well_formed`, 0 or 1.

    Args:
        keys: the keys in any order; a mapping says of which kind each value must be (`string`, `object`, `array`,
            `number`, `boolean`, `any`).
        weight: what a well-formed answer is worth.
        mode: `strict` or `lenient`, see `Mode`.
        filled: keys whose text must not be blank.
        extra: whether further keys may stand in the object.
    """

    keys: dict[str, Kind] | tuple[str, ...]
    weight: float = 1.0
    mode: Mode = "strict"
    filled: tuple[str, ...] = ()
    extra: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.keys:
            raise ValueError("JSONFormat: option 'keys' must name at least one key")
        for key in self.filled:
            if key not in self.keys:
                raise ValueError(f"JSONFormat: option 'filled' names {key!r}, which is not among the keys")

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Check the last message of one trajectory."""
        try:
            value, note = read_object(trajectory.completion, self.mode)
        except UnreadableJSON as problem:
            return Verdict(0.0, str(problem), {"well_formed": 0.0})
        problem_found = self._problem(value)
        if problem_found is not None:
            return Verdict(0.0, problem_found, {"well_formed": 0.0})
        return Verdict(self.weight, note, {"well_formed": 1.0})

    def _problem(self, value: dict[str, Any]) -> str | None:
        missing = [key for key in self.keys if key not in value]
        if missing:
            return f"the key {missing[0]!r} is missing"
        surplus = [key for key in value if key not in self.keys]
        if surplus and not self.extra:
            return f"the key {surplus[0][:80]!r} is not one of {', '.join(self.keys)}"
        if isinstance(self.keys, Mapping):
            for key, kind in self.keys.items():
                found = value[key]
                wrong = not isinstance(found, _KINDS[kind]) or (kind == "number" and isinstance(found, bool))
                if wrong:
                    return f"{key!r} must be of kind {kind}, got {found!r:.60}"
        for key in self.filled:
            if not isinstance(value[key], str) or not value[key].strip():
                return f"{key!r} must be a text that is not blank, got {value[key]!r:.60}"
        return None
