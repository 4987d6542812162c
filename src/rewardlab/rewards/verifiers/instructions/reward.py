"""`Instructions`: the share of an instruction's checkable constraints that an answer satisfies."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewardlab.rewards.base import ScoringFailure, Verdict, Verifier
from rewardlab.rewards.spec import register
from rewardlab.rewards.verifiers.instructions.ifeval import translate
from rewardlab.rewards.verifiers.instructions.registry import UnknownConstraint, bind
from rewardlab.types import Trajectory

_EXPECTED = (
    'a list of constraints such as [{"name": "words", "number": 100}], '
    "or an IFEval row with instruction_id_list and kwargs"
)

Checks = list[tuple[str, Callable[[str], bool]]]


@register("instructions")
@dataclass(frozen=True, kw_only=True)
class Instructions(Verifier):
    """The share of constraints that the answer satisfies; parts say which. A blank answer satisfies none.

    Constraints come from the option, or else from the reference of each task: a list whose entries are a name
    (`"no_commas"`), a mapping with `name` and options (`{"name": "words", "number": 100, "relation": "at least"}`), or
    the same with an id of IFEval as name; or a row of IFEval's data (`{"instruction_id_list": [...], "kwargs":
    [...]}`); or either as JSON text.

    Args:
        constraints: the constraints for every task.
        strict: 1 where all are satisfied, else 0.
        loose: IFEval's loose accuracy: a constraint also holds where it would without the first line, the last line,
            both, or the asterisks of markdown.
    """

    constraints: tuple[str | dict[str, Any], ...] | None = None
    strict: bool = False
    loose: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.constraints is not None:
            try:
                read_constraints(list(self.constraints))
            except UnknownConstraint as problem:
                raise ValueError(f"Instructions: option 'constraints': {problem}") from None

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Check one trajectory's answer against every constraint."""
        checks = self._own_checks if self._own_checks is not None else self._task_checks(trajectory)
        text = trajectory.completion
        versions = [version for version in (loose_versions(text) if self.loose else [text]) if version.strip()]
        parts: dict[str, float | None] = {
            name: float(any(check(version) for version in versions)) for name, check in checks
        }
        missed = [name for name, part in parts.items() if not part]
        value = float(not missed) if self.strict else 1 - len(missed) / len(parts)
        return Verdict(value, note=f"not satisfied: {', '.join(missed)}" if missed else None, parts=parts)

    @functools.cached_property
    def _own_checks(self) -> Checks | None:
        return None if self.constraints is None else read_constraints(list(self.constraints))

    def _task_checks(self, trajectory: Trajectory) -> Checks:
        reference = trajectory.reference
        if reference is None:
            raise ScoringFailure(f"the task has no reference; expected {_EXPECTED}")
        try:
            return _read_once(reference if isinstance(reference, str) else json.dumps(reference))
        except UnknownConstraint as problem:
            raise ScoringFailure(f"the reference cannot be used: {problem}") from None
        except (TypeError, ValueError) as problem:
            raise ScoringFailure(f"the reference cannot be used: it is not a JSON value ({problem})") from None


@functools.lru_cache(maxsize=1024)
def _read_once(reference: str) -> Checks:
    """The constraints of a reference, kept for the other members of its group."""
    return read_constraints(reference)


def read_constraints(source: Any) -> Checks:
    """Constraints from whatever holds them (see `Instructions`), each bound to its options, under different names.

    Raises:
        UnknownConstraint: it holds none, or one that does not exist or has a wrong option.
    """
    if isinstance(source, str):
        try:
            source = json.loads(source)
        except (ValueError, RecursionError):
            raise UnknownConstraint(f"expected {_EXPECTED}, got the text {source!r:.80}, which is not JSON") from None
    checks: Checks = []
    taken: dict[str, int] = {}
    for name, options in _entries(source):
        for ours, values in translate(name, options) if ":" in name else [(name, dict(options))]:
            taken[ours] = taken.get(ours, 0) + 1
            checks.append((ours if taken[ours] == 1 else f"{ours}_{taken[ours]}", bind(ours, values)))
    if not checks:
        raise UnknownConstraint(f"there are no constraints; expected {_EXPECTED}")
    return checks


def _entries(source: Any) -> Iterable[tuple[str, Mapping[str, Any]]]:
    if isinstance(source, Mapping):
        identities: Any = source.get("instruction_id_list")
        options: Any = source.get("kwargs")
        if not _is_list(identities) or not (options is None or _is_list(options)):
            raise UnknownConstraint(
                f"expected {_EXPECTED}, got a mapping with the keys {', '.join(map(str, source))[:200]}"
            )
        options = [{}] * len(identities) if options is None else options
        if len(identities) != len(options):
            raise UnknownConstraint(f"instruction_id_list has {len(identities)} entries, and kwargs has {len(options)}")
        source = [{**(values or {}), "name": name} for name, values in zip(identities, options, strict=True)]
    if not _is_list(source):
        raise UnknownConstraint(f"expected {_EXPECTED}, got {source!r:.80}")
    for entry in source:
        if isinstance(entry, str):
            yield entry, {}
        elif isinstance(entry, Mapping) and isinstance(entry.get("name"), str):
            yield entry["name"], {key: value for key, value in entry.items() if key != "name"}
        else:
            raise UnknownConstraint(f"a constraint must be a name, or a mapping with the key 'name', got {entry!r:.80}")


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def loose_versions(text: str) -> list[str]:
    """The eight versions of an answer on which IFEval's loose accuracy looks: as it is, without its first line, its
    last line, or both, and each of these without asterisks.
    """
    lines = text.split("\n")
    cut = ["\n".join(lines[1:]).strip(), "\n".join(lines[:-1]).strip(), "\n".join(lines[1:-1]).strip()]
    versions = [text, *cut]
    return versions + [version.replace("*", "") for version in versions]
