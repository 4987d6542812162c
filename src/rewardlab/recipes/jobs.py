"""Reading the jobs of scale files that train in Gymnasium: the mapping under `control`, and no key that nobody knows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from rewardlab.registry import nearest
from rewardlab.yaml_file import read_yaml

Kind = TypeVar("Kind")


def control_section(path: str | Path) -> Mapping[str, Any]:
    """What stands under `control` in a YAML file.

    Raises:
        ValueError: nothing stands there, or no mapping.
    """
    data = read_yaml(path).data
    section = data.get("control") if isinstance(data, Mapping) else None
    if not isinstance(section, Mapping):
        raise ValueError(f"{path} has no mapping under 'control'; it needs the key 'control', a mapping")
    return section


def known_keys(known: type | Collection[str], data: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The mapping itself, if it has no other keys than the fields of a dataclass, or than those named.

    Raises:
        ValueError: an unknown key; the nearest is named.
    """
    names = {entry.name for entry in fields(known)} if isinstance(known, type) else set(known)
    for key in data:
        if key not in names:
            raise ValueError(f"{where}: unknown key {key!r}{nearest(str(key), names)}")
    return data


def flat_job(kind: type[Kind], path: str | Path) -> Kind:
    """A job whose keys are the fields of a dataclass as they stand.

    Raises:
        ValueError: a key is missing or unknown; the nearest known one is named.
    """
    given = control_section(path)
    known = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]  # jobs are dataclasses
    for key in given:
        if key not in known:
            raise ValueError(f"{path}: control has no option {key!r}{nearest(str(key), known)}")
    try:
        return kind(**given)
    except TypeError as error:
        raise ValueError(f"{path}: control: {error}") from error
