"""Which column holds what: the usual names, the layouts of well-known files, and what the caller says.

A layout is only taken where one reading is left. Otherwise the error names the columns that were found and the `columns=`
that settles it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rewardlab.learning.reading import labels as words
from rewardlab.learning.reading.labels import Vocabulary
from rewardlab.registry import nearest

Kind = Literal["pairs", "rankings", "ratings", "steps"]

ROLES = (
    *("prompt", "images", "annotator", "strength", "weight"),
    *("chosen", "rejected", "first", "second", "label"),
    *("responses", "ranks", "order", "ratings", "response"),
    *("steps", "step_labels", "first_error", "first_error_number"),
)
"""What a column can be for."""

_PROMPTS = ("prompt", "conversation", "history", "question", "instruction", "input", "query", "problem", "messages")
_CHOSEN = (
    ("chosen", "rejected"),
    ("chosen_response", "rejected_response"),
    ("pos_answer", "neg_answer"),
    ("preferred", "dispreferred"),
    ("best", "losers"),
    ("answer_matching_behavior", "answer_not_matching_behavior"),
)
_SIDES = (
    *(
        (f"{stem}{join}{one}", f"{stem}{join}{two}")
        for stem in ("response", "output", "answer", "completion", "text", "conversation", "option", "candidate")
        for join in ("_", "", " ")
        for one, two in (("a", "b"), ("1", "2"), ("A", "B"), ("0", "1"))
    ),
    ("human_ref_A", "human_ref_B"),
)
_SOFT = ("soft_label", "label_probability", "chosen_probability", "preference_probability", "probability")
_LABELS = (
    *("label", "preference", "winner", "choice", "preferred", "better"),
    *("human_preference", "overall_preference", "better_response_id", "labels"),
)
_PEOPLE = (
    "annotator",
    "annotators",
    "annotator_id",
    "judge",
    "user",
    "user_id",
    "worker",
    "worker_id",
    "rater",
    "rater_id",
    "labeler",
)
_MANY = ("annotator", "rater", "labeler", "worker", "label")
_HELPSTEER = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
_COMMON = {
    "images": ("images", "image"),
    "annotator": _PEOPLE,
    "strength": ("strength", "margin", "preference_strength"),
    "weight": ("weight",),
}


class UnclearLayout(ValueError):
    """Columns that leave more than one reading, or none; the message says how to settle it."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What was found in the first rows.

    Args:
        kind: of judgement.
        columns: role -> column, or columns that belong together.
        labels: the vocabulary of the labels, by name or in full; None where there are none.
        known: the name of a well-known layout; None for any other.
    """

    kind: Kind
    columns: Mapping[str, str | Sequence[str]]
    labels: str | Vocabulary | None = None
    known: str | None = None
    used: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        names = (names_in(value) for value in self.columns.values())
        object.__setattr__(self, "used", frozenset(name for group in names for name in group))

    def __str__(self) -> str:
        told = ", ".join(f"{role} = {' + '.join(map(repr, names_in(one)))}" for role, one in self.columns.items())
        name = f" ({self.known})" if self.known else ""
        vocabulary = ""
        if self.labels is not None:
            table = words.VOCABULARIES[self.labels] if isinstance(self.labels, str) else self.labels
            short = dict(table) if 0 < len(table) <= 6 else None
            vocabulary = f"; labels: {self.labels if isinstance(self.labels, str) else 'as given'}"
            vocabulary += f", {short}" if short else ""
        return f"{self.kind}{name}: {told}{vocabulary}"


def names_in(value: str | Sequence[str]) -> tuple[str, ...]:
    """The columns of a role."""
    return (value,) if isinstance(value, str) else tuple(value)


def layout_of(
    rows: Sequence[Mapping[str, Any]],
    *,
    columns: Mapping[str, str | Sequence[str] | None] | None,
    labels: str | Mapping[Any, float] | None,
    steps: bool = False,
) -> Layout:
    """The layout of a source, from its first rows.

    Args:
        rows: the first rows that could be read, at least one.
        columns: role -> column, as the caller says; None as a column for "there is none".
        labels: the vocabulary, as the caller says.
        steps: whether labels of steps are wanted.

    Raises:
        UnclearLayout: no layout fits, or several do.
        ValueError: an unknown role, a column that is not there.
    """
    found = list(dict.fromkeys(name for row in rows for name in row))
    said = _checked(columns or {}, found)
    free = [name for name in found if name not in {one for value in said.values() for one in names_in(value)}]
    if steps:
        roles, known = _steps(said, free, found, rows)
        kind: Kind = "steps"
    else:
        kind, roles, known = _judgements(said, free, found, rows)
    silent = {role for role, column in (columns or {}).items() if column is None}
    taken = {name for value in roles.values() for name in names_in(value)}
    if "prompt" not in roles and "prompt" not in silent:
        asked = _prompt([name for name in found if name not in taken])
        if asked:
            roles["prompt"] = asked
    for role, names in _COMMON.items():
        wanted = next((name for name in names if name in found and name not in taken), None)
        if role not in roles and role not in silent and wanted is not None:
            roles[role] = wanted
    if "chosen" in roles and "label" not in roles and "label" not in silent:
        soft = _soft_label(rows, [name for name in found if name not in taken])
        roles |= {} if soft is None else {"label": soft}
    order = {role: place for place, role in enumerate(ROLES)}
    roles = dict(sorted(roles.items(), key=lambda entry: order[entry[0]]))
    vocabulary = words.vocabulary(labels)
    if "label" in roles and vocabulary is None:
        vocabulary = _vocabulary(rows, roles, known)
    return Layout(kind=kind, columns=roles, labels=vocabulary if "label" in roles else None, known=known)


def _checked(columns: Mapping[str, Any], found: list[str]) -> dict[str, str | Sequence[str]]:
    for role, value in columns.items():
        if role not in ROLES:
            raise ValueError(f"columns has the unknown key {role!r}{nearest(role, dict.fromkeys(ROLES))}")
        for name in () if value is None else names_in(value):
            if name not in found:
                raise ValueError(
                    f"columns[{role!r}] is {name!r}, but the first rows have no such column; they have "
                    f"{', '.join(map(repr, found))}"
                )
    return {role: value for role, value in columns.items() if value is not None}


_Found = tuple[Kind, dict[str, Any], str | None]


def _judgements(said: dict[str, Any], free: list[str], found: list[str], rows: Sequence[Mapping[str, Any]]) -> _Found:
    if said.keys() & {"chosen", "rejected", "first", "second", "responses", "response"}:
        return _as_said(said, free, found)
    fits: list[_Found] = list(_candidates(free, rows))
    if len(fits) == 1:
        kind, roles, known = fits[0]
        return kind, {**roles, **said}, known
    listed = ", ".join(map(repr, found))
    if not fits:
        raise UnclearLayout(
            f"the columns {listed} are no layout that is known; say what they are: columns={{'chosen': ..., 'rejected': "
            "...}}, or {'first': ..., 'second': ..., 'label': ...}, {'responses': ..., 'ranks': ...}, or {'response': ..., "
            "'ratings': [...]}"
        )
    ways = "; or ".join(f"columns={_short(roles)} ({kind})" for kind, roles, _ in fits)
    raise UnclearLayout(f"the columns {listed} can be read in {len(fits)} ways; choose one: {ways}")


def _as_said(said: dict[str, Any], free: list[str], found: list[str]) -> _Found:
    def need(*roles: str) -> None:
        for role in roles:
            if role not in said:
                raise UnclearLayout(
                    f"columns names {', '.join(map(repr, said))}, and {role!r} is missing; the columns are "
                    f"{', '.join(map(repr, found))}"
                )

    if said.keys() & {"chosen", "rejected"}:
        need("chosen", "rejected")
        return "pairs", dict(said), None
    if said.keys() & {"first", "second"}:
        if "label" not in said and (label := _label(free)):
            said = {**said, "label": label}
        need("first", "second", "label")
        return "pairs", dict(said), None
    if "response" in said:
        need("response", "ratings")
        return "ratings", dict(said), None
    if not said.keys() & {"ranks", "order", "ratings"}:
        need("ranks")
    return ("ratings" if "ratings" in said else "rankings"), dict(said), None


def _candidates(names: list[str], rows: Sequence[Mapping[str, Any]]) -> Iterator[_Found]:
    have = set(names)
    for better, worse in _CHOSEN:
        if {better, worse} <= have:
            yield "pairs", {"chosen": better, "rejected": worse}, _known_pairs(better, worse, have, rows)
    label = _label(names)
    for first, second in _SIDES:
        if {first, second} <= have and label:
            known = None
            if (first, second) == ("response1", "response2") and label == ["annotator1", "annotator2", "annotator3"]:
                known = "PandaLM"
            elif (first, second, label) == ("response 1", "response 2", "label") and "scenario" in have:
                known = "Auto-J"
            elif (first, second, label) == ("human_ref_A", "human_ref_B", "labels"):
                known = "SHP"
            elif (first, second, label) == ("response_0", "response_1", "better_response_id"):
                known = "PKU-SafeRLHF"
            yield "pairs", {"first": first, "second": second, "label": label}, known
    for several in ("responses", "completions", "outputs", "answers", "candidates"):
        if several not in have or not any(isinstance(row.get(several), (list, tuple)) for row in rows):
            continue
        if any(_is_ultrafeedback(row.get(several)) for row in rows):
            yield "ratings", {"responses": several, "ratings": several}, "UltraFeedback"
        for role, options in (("ranks", ("ranks", "rank")), ("ratings", ("ratings", "scores")), ("order", ("order",))):
            for name in options:
                if name in have:
                    kind: Kind = "ratings" if role == "ratings" else "rankings"
                    yield kind, {"responses": several, role: name}, None
    for single in ("response", "completion", "output", "answer"):
        aspects = [name for name in _HELPSTEER if name in have] or [n for n in ("rating", "score") if n in have]
        if single in have and aspects:
            yield "ratings", {"response": single, "ratings": aspects}, "HelpSteer" if len(aspects) > 2 else None


def _known_pairs(better: str, worse: str, have: set[str], rows: Sequence[Mapping[str, Any]]) -> str | None:
    if better == "answer_matching_behavior":
        return "persona evals"
    cells = [(row.get(better), row.get(worse)) for row in rows]
    texts = [one for one in cells if all(isinstance(side, str) for side in one)]
    lists = [side for one in cells for side in one if isinstance(side, list) and len(side) == 3]
    if len(lists) == 2 * len(cells) and all(isinstance(text, str) for side in lists for text in side):
        return "RM-Bench"
    if better == "chosen" and texts and all("\n\nAssistant:" in str(side) for side in texts[0]):
        return "Anthropic HH"
    if {"chosen_model", "rejected_model", "subset"} <= have:
        return "RewardBench"
    if {"score_chosen", "score_rejected"} <= have:
        return "UltraFeedback binarized"
    return None


def _is_ultrafeedback(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping) and "annotations" in value[0]


def _label(names: list[str]) -> str | list[str] | None:
    """The column of the label, or the columns of several annotators' labels."""
    for stem in _MANY:
        for join in ("", "_", " "):
            several = [name for name in (f"{stem}{join}{number}" for number in range(0, 100)) if name in names]
            if len(several) > 1:
                return several
    return next((name for name in _LABELS if name in names), None)


def _soft_label(rows: Sequence[Mapping[str, Any]], free: list[str]) -> str | None:
    """The column with the probability that the chosen one is better: by its name, or `label` where it holds fractions."""
    for name in free:
        values = [row[name] for row in rows if row.get(name) is not None]
        if name in _SOFT or (name == "label" and any(isinstance(value, float) and 0 < value < 1 for value in values)):
            return name
    return None


def _prompt(free: list[str]) -> str | list[str] | None:
    if {"instruction", "input"} <= set(free):
        return ["instruction", "input"]
    return next((name for name in _PROMPTS if name in free), None)


def _steps(
    said: dict[str, Any], free: list[str], found: list[str], rows: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], str | None]:
    marks = ("step_labels", "first_error", "first_error_number")
    if "steps" in said and said.keys() & set(marks):
        return dict(said), None
    for steps, role, mark, known in (
        ("model_output_steps", "first_error_number", "model_output_solution_first_error_step", "MR-GSM8K"),
        ("steps", "first_error", "mistake_index", "BIG-Bench-Mistake"),
        ("steps", "first_error", "label", "ProcessBench"),
        ("completions", "step_labels", "labels", "stepwise supervision"),
        ("steps", "step_labels", "labels", None),
        ("steps", "step_labels", "step_labels", None),
    ):
        if {steps, mark} <= set(free):
            return {"steps": steps, role: mark, **said}, known
    raise UnclearLayout(
        f"the columns {', '.join(map(repr, found))} are no layout of step labels that is known; say what they are: "
        "columns={'steps': ..., 'step_labels': ...} (a label for each), or {'steps': ..., 'first_error': ...} (from 0), or "
        "{'steps': ..., 'first_error_number': ...} (from 1)"
    )


def _vocabulary(rows: Sequence[Mapping[str, Any]], roles: Mapping[str, Any], known: str | None) -> str:
    if known in ("PandaLM", "Auto-J"):
        return "number" if known == "PandaLM" else "index"
    names = names_in(roles["label"])
    if "chosen" in roles:
        return "probability"
    if names in (("better_response_id",), ("labels",)) and known in ("PKU-SafeRLHF", "SHP"):
        return "index" if known == "PKU-SafeRLHF" else "probability"
    values = [row.get(name) for row in rows for name in names]
    guessed = words.guess(values)
    if guessed is not None:
        return guessed
    several = [one for value in values for one in (value if isinstance(value, (list, tuple)) else [value])]
    seen = sorted({repr(value) for value in several if value is not None})
    told = ", ".join(seen[:8])
    if set(seen) <= {"0", "1", "0.0", "1.0"}:
        raise UnclearLayout(
            f"the labels in {names[0]!r} are {told}, which can mean two things: give labels='probability' where 1 says that "
            f"{roles['first']!r} is better, or labels='index' where 0 does"
        )
    if set(seen) <= {"0", "1", "2", "0.0", "1.0", "2.0"}:
        raise UnclearLayout(
            f"the labels in {names[0]!r} are {told}, which can mean two things: give labels='number' where 1 says that "
            f"{roles['first']!r} is better and 0 is a tie, or labels='index' where 0 does and 2 is a tie"
        )
    raise UnclearLayout(
        f"the labels in {names[0]!r} are {told}, which are not known; give labels={{label: probability that "
        f"{roles['first']!r} is better}}, such as labels={{{seen[0] if seen else 'label'}: 1.0}}"
    )


def _short(roles: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{role!r}: {column!r}" for role, column in roles.items()) + "}"
