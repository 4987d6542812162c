"""JSON answers: that they parse, that they match a JSON Schema, and how much of a reference value they hold.

Reading is strict (see `rewardlab.parsing.json_values`). Schemas are those of `jsonschema`, with three differences that keep
a sample from hanging or reaching outside: patterns run under a time limit, `uniqueItems` is linear, and references are
never fetched from the network.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rewardlab.parsing.json_values import UnreadableJSON
from rewardlab.rewards.base import ScoringFailure, Verdict, Verifier
from rewardlab.rewards.spec import register
from rewardlab.rewards.verifiers.json_text import Where, canonical, leaves, matched_leaves, read_json
from rewardlab.rewards.verifiers.time_limit import compile_pattern, search, time_limit
from rewardlab.types import Trajectory


@dataclass(frozen=True, kw_only=True)
class _ReadsJSON(Verifier):
    """What the three verifiers share: where the JSON stands, and the limits on it."""

    where: Where = "whole"
    max_characters: int = 1_000_000
    max_depth: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("max_characters", "max_depth"):
            if getattr(self, option) < 1:
                raise ValueError(
                    f"{type(self).__name__}: option {option!r} must be at least 1, got {getattr(self, option)}"
                )
        if self.max_depth > 200:
            raise ValueError(
                f"{type(self).__name__}: option 'max_depth' must be at most 200, got {self.max_depth}; "
                "Python's own limit on nested calls is not far above"
            )

    def read(self, trajectory: Trajectory) -> Any:
        """The JSON value in the completion; raises `UnreadableJSON` where there is none."""
        return read_json(
            trajectory.completion, where=self.where, max_characters=self.max_characters, max_depth=self.max_depth
        )


@register("parses_as_json")
@dataclass(frozen=True, kw_only=True)
class ParsesAsJSON(_ReadsJSON):
    """1 where the completion is acceptable JSON, else 0 with the reason as a note. Needs no reference.

    NaN, Infinity, numbers out of range and a key that stands twice in one object are not acceptable.

    Args:
        where: `whole` (the completion is JSON and nothing else), `fenced` (the last fenced block marked json, or not
            marked), or `last` (the last complete object or array in the text).
        max_characters: a longer completion scores 0 unread.
        max_depth: JSON nested deeper scores 0.
    """

    def verify(self, trajectory: Trajectory) -> Verdict | float:
        """Read the JSON of one trajectory."""
        try:
            self.read(trajectory)
        except UnreadableJSON as problem:
            return Verdict(0.0, note=str(problem))
        return 1.0


@register("matches_schema")
@dataclass(frozen=True, kw_only=True)
class MatchesSchema(_ReadsJSON):
    """1 where the completion holds JSON that matches a JSON Schema, else 0 with the first errors as a note.

    Args:
        schema: the schema for every task. When not given, the reference of each task is its schema (an object, or its
            JSON text).
        formats: whether `format` keywords (`date`, `email`, ...) are checked.
        time_limit: seconds of CPU time that all `pattern` keywords together may take for one sample; beyond it the
            sample fails.
        where: where the JSON stands: `whole`, `fenced` or `last`.
        max_characters: a longer completion scores 0 unread.
        max_depth: JSON nested deeper scores 0.
    """

    schema: dict[str, Any] | bool | None = None
    formats: bool = False
    time_limit: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schema is not None:
            try:
                schema_validator(json.dumps(self.schema, sort_keys=True), self.formats)
            except (SchemaProblem, TypeError, ValueError, RecursionError) as problem:
                raise ValueError(f"MatchesSchema: option 'schema' cannot be used: {problem}") from None

    def verify(self, trajectory: Trajectory) -> Verdict | float:
        """Validate the JSON of one trajectory."""
        validator = self._validator(trajectory)
        try:
            value = self.read(trajectory)
        except UnreadableJSON as problem:
            return Verdict(0.0, note=str(problem))
        from referencing.exceptions import Unresolvable

        errors = []
        with time_limit(self.time_limit):
            try:
                for error in validator.iter_errors(value):
                    errors.append(f"{error.json_path}: {error.message[:200]}")
                    if len(errors) == 3:
                        break
            except Unresolvable as problem:
                raise ScoringFailure(f"the schema refers to {problem.ref!r}, which it does not define") from None
            except RecursionError:
                raise ScoringFailure("the schema refers to itself without end") from None
        return Verdict(0.0, note="; ".join(errors)) if errors else 1.0

    def _validator(self, trajectory: Trajectory) -> Any:
        if self.schema is not None:
            return self._own_validator
        schema = trajectory.reference
        if schema is None:
            raise ScoringFailure(
                "the task has no reference; expected a JSON Schema (or give MatchesSchema the option schema)"
            )
        if isinstance(schema, str):
            try:
                schema = json.loads(schema)
            except (ValueError, RecursionError) as error:
                raise ScoringFailure(
                    f"the reference is text that is not JSON ({error}); expected a JSON Schema"
                ) from None
        if not isinstance(schema, (Mapping, bool)):
            raise ScoringFailure(f"the reference is {schema!r:.80}; expected a JSON Schema (an object)")
        try:
            return schema_validator(json.dumps(schema, sort_keys=True), self.formats)
        except (SchemaProblem, TypeError, ValueError, RecursionError) as problem:
            raise ScoringFailure(f"the reference cannot be used as a JSON Schema: {problem}") from None

    @functools.cached_property
    def _own_validator(self) -> Any:
        return schema_validator(json.dumps(self.schema, sort_keys=True), self.formats)


class SchemaProblem(ValueError):
    """A schema that is not one, or that cannot be checked within limits."""


@functools.lru_cache(maxsize=512)
def schema_validator(schema_text: str, formats: bool) -> Any:
    """The validator of a schema given as JSON text; made once per schema.

    Raises:
        SchemaProblem: it is not a valid schema.
    """
    import jsonschema
    from jsonschema_specifications import REGISTRY

    schema = json.loads(schema_text)
    base = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        base.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise SchemaProblem(f"{error.json_path}: {error.message[:300]}") from None
    keywords = _keywords_of(schema)
    if {"patternProperties", "unevaluatedProperties"} <= keywords.keys():
        raise SchemaProblem(
            "patternProperties together with unevaluatedProperties cannot be checked under a time limit"
        )
    for pattern in keywords.get("pattern", ()):
        compile_pattern(pattern, owner="the schema's pattern")
    checker = base.FORMAT_CHECKER if formats else None
    return _limited(base)(schema, registry=REGISTRY, format_checker=checker)


def _keywords_of(schema: Any) -> dict[str, list[str]]:
    """Every keyword that stands anywhere in a schema, with the patterns where it holds some."""
    found: dict[str, list[str]] = {}
    pending = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            for key, value in part.items():
                patterns = found.setdefault(key, [])
                if key == "pattern" and isinstance(value, str):
                    patterns.append(value)
                elif key == "patternProperties" and isinstance(value, dict):
                    found.setdefault("pattern", []).extend(value)
            pending.extend(part.values())
        elif isinstance(part, list):
            pending.extend(part)
    return found


@functools.cache
def _limited(base: Any) -> Any:
    """A validator class whose patterns and uniqueness checks cannot hang."""
    from jsonschema import ValidationError, validators

    def found(pattern: str, text: str) -> bool:
        return search(compile_pattern(pattern, owner="the schema's pattern"), text) is not None

    def pattern(validator: Any, wanted: str, instance: Any, schema: Any) -> Iterator[Any]:
        if isinstance(instance, str) and not found(wanted, instance):
            yield ValidationError(f"{instance[:80]!r} does not match {wanted!r}")

    def pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if isinstance(instance, dict):
            for wanted, subschema in patterns.items():
                for key, value in instance.items():
                    if found(wanted, key):
                        yield from validator.descend(value, subschema, path=key, schema_path=wanted)

    def additional_properties(validator: Any, subschema: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if not isinstance(instance, dict):
            return
        known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        for key, value in instance.items():
            if key in known or any(found(wanted, key) for wanted in patterns):
                continue
            if subschema is False:
                yield ValidationError(f"the property {key[:80]!r} is not allowed")
            elif isinstance(subschema, dict):
                yield from validator.descend(value, subschema, path=key)

    def unique_items(validator: Any, wanted: bool, instance: Any, schema: Any) -> Iterator[Any]:
        if wanted and isinstance(instance, list) and len(set(map(canonical, instance))) < len(instance):
            yield ValidationError("the items are not all different")

    return validators.extend(
        base,
        {
            "pattern": pattern,
            "patternProperties": pattern_properties,
            "additionalProperties": additional_properties,
            "uniqueItems": unique_items,
        },
    )


@register("json_match")
@dataclass(frozen=True, kw_only=True)
class JSONMatch(_ReadsJSON):
    """How much of a reference JSON value the completion holds: the F1 over leaves (scalars, empty objects and arrays)
    that stand in the same place in both. 1 only where nothing is missing, wrong or too much. Parts: `precision` and
    `recall`.

    The reference is a JSON value; a string is read as JSON text. 1 and 1.0 are equal, 1 and true are not.

    Args:
        ordered: whether arrays are compared place by place; otherwise their order does not matter.
        strict: all or nothing.
        tolerance: numbers agree where they differ by no more than this share of the larger one (or of 1, where that is
            larger).
        ignore_case: whether letter case and outer spaces of strings matter not.
        extra: `count` lowers the score for keys and entries that the reference does not have; `ignore` gives plain
            recall.
        where: where the JSON stands: `whole`, `fenced` or `last`.
        max_characters: a longer completion scores 0 unread.
        max_depth: JSON nested deeper scores 0.
    """

    ordered: bool = True
    strict: bool = False
    tolerance: float = 0.0
    ignore_case: bool = False
    extra: Literal["count", "ignore"] = "count"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"JSONMatch: option 'tolerance' must be in [0, 1), got {self.tolerance}")

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Compare the JSON of one trajectory with its reference."""
        wanted = self._wanted(trajectory)
        try:
            given = self.read(trajectory)
        except UnreadableJSON as problem:
            return Verdict(0.0, note=str(problem), parts={"precision": 0.0, "recall": 0.0})
        matched = matched_leaves(given, wanted, ordered=self.ordered, equal=self._equal)
        there, asked = leaves(given), leaves(wanted)
        precision, recall = matched / there, matched / asked
        value = recall if self.extra == "ignore" else 2 * matched / (there + asked)
        if self.strict:
            value = float(value == 1.0)
        return Verdict(value, parts={"precision": precision, "recall": recall})

    def _wanted(self, trajectory: Trajectory) -> Any:
        reference = trajectory.reference
        if reference is None:
            raise ScoringFailure("the task has no reference; expected a JSON value, or its text")
        if isinstance(reference, str):
            try:
                return read_json(reference, max_depth=200)
            except UnreadableJSON as problem:
                raise ScoringFailure(f"the reference is text that is not JSON: {problem}") from None
        return reference

    def _equal(self, given: Any, wanted: Any) -> bool:
        if isinstance(given, bool) or isinstance(wanted, bool) or given is None or wanted is None:
            return given is wanted
        if isinstance(given, str) and isinstance(wanted, str):
            return given == wanted or (self.ignore_case and given.strip().casefold() == wanted.strip().casefold())
        if isinstance(given, (int, float)) and isinstance(wanted, (int, float)):
            if given == wanted:
                return True
            try:
                return self.tolerance > 0 and abs(given - wanted) <= self.tolerance * max(1, abs(given), abs(wanted))
            except OverflowError:  # a whole number far beyond any double is near nothing but itself
                return False
        return False
