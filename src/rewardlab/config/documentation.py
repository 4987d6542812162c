"""The tables of the pages on configurations, made from the classes that check them, so that they cannot be out of date.

python -m rewardlab.config.documentation docs/configuration.md docs/reward-models/fitting.md   # puts them in
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from rewardlab.config.model import Section, Spec, TrainConfig
from rewardlab.config.options import options_model

_MARK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false"}


def section_table(model: type[BaseModel] = TrainConfig) -> str:
    """Every key of a configuration, with dots between sections and keys."""
    return _table(list(_section_rows(model, "")))


def options_table(target: Any, prefix: str, leave_out: tuple[str, ...] = ()) -> str:
    """Every option that a class or function takes."""
    return _table(
        [_row(f"{prefix}{name}", entry) for name, entry in options_model(target, leave_out).model_fields.items()]
    )


def tables() -> dict[str, str]:
    """Every table of the page, by the name in its mark."""
    from rewardlab.config import encoders, policies
    from rewardlab.config.fit import FitConfig
    from rewardlab.environments import EnvironmentPool
    from rewardlab.policies.engines.base import Sampling
    from rewardlab.policies.rollout import Limits
    from rewardlab.training import CREDITS, OBJECTIVES

    given = ("corpus", "seed", "device")
    content = {
        "keys": section_table(),
        "sampling": options_table(Sampling, "sampling."),
        "limits": options_table(Limits, "limits."),
        "stepping": options_table(EnvironmentPool, "stepping.", ("factory",)),
        "grpo": options_table(OBJECTIVES.resolve("grpo"), "training.objective.", ("accelerator", "seed")),
        "credit": options_table(CREDITS.resolve("group"), "training.credit."),
    }
    content["fit"] = section_table(FitConfig)
    content["tiny_encoder"] = options_table(encoders.tiny, "encoder.", ("corpus",))
    for name in ("tiny", "pretrained", "saved", "endpoint"):
        content[name] = options_table(getattr(policies, name), "policy.", given)
    return content


def filled(page: str) -> str:
    """The text of the page with every table as it is now.

    Raises:
        KeyError: a mark names a table that there is not.
    """
    content = tables()
    return _MARK.sub(lambda match: f"{match[1]}\n{content[match[2]]}\n{match[3]}", page)


def _section_rows(model: type[BaseModel], prefix: str) -> Any:
    for name, entry in model.model_fields.items():
        inner = next(
            (
                hint
                for hint in (entry.annotation, *get_args(entry.annotation))
                if isinstance(hint, type) and issubclass(hint, Section)
            ),
            None,
        )
        if inner is None:
            yield _row(f"{prefix}{name}", entry)
        else:
            yield from _section_rows(inner, f"{prefix}{name}.")


def _row(name: str, entry: Any) -> tuple[str, str, str, str]:
    default = "required" if entry.is_required() else _default(entry)
    return f"`{name}`", _type(entry.annotation), default, _cell(entry.description or "")


def _default(entry: Any) -> str:
    value = entry.default if entry.default is not PydanticUndefined else entry.get_default(call_default_factory=True)
    if value is None:
        return ""
    if value == {} or value == [] or value == ():
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        value = list(value)
    return f"`{value}`"


def _type(hint: Any) -> str:
    if hint in _WORDS:
        return _WORDS[hint]
    if hint == Spec:
        return "spec"
    if get_origin(hint) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(hint))
    inside = [entry for entry in get_args(hint) if entry not in (type(None), Ellipsis)]
    if hint == Spec | None:
        return "spec"
    origin = getattr(get_origin(hint), "__name__", "")
    if origin in ("UnionType", "Union"):
        return " or ".join(dict.fromkeys(_type(entry) for entry in inside))
    if origin in ("list", "tuple", "Sequence", "set", "frozenset"):
        return f"list of {_type(inside[0])}" if inside else "list"
    if origin in ("dict", "Mapping") or hint in (dict,):
        return "mapping"
    return "any" if hint is Any else getattr(hint, "__name__", "any")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    lines = ["| key | value | default | what it is |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        path = Path(argument)
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
