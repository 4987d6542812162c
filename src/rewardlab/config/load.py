"""Reading a configuration: the file, then `key=value` from the command line, then the check."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from rewardlab.config.model import Config, TrainConfig
from rewardlab.config.options import first_error
from rewardlab.registry import KeyPath, SpecError
from rewardlab.storage.lines import missing_message
from rewardlab.yaml_file import YAMLFile, load_yaml, read_yaml

Kind = TypeVar("Kind", bound=Config)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read and check the configuration of a training; `load_as` says how.

    Args:
        path: a YAML file.
        overrides: `key=value` with dots between keys; the value is YAML, so `training.steps=10` is a number.
    """
    return load_as(TrainConfig, path, overrides)


def load_as(kind: type[Kind], path: str | Path, overrides: Sequence[str] = ()) -> Kind:
    """Read and check a configuration.

    Args:
        kind: what it holds.
        path: a YAML file.
        overrides: `key=value` with dots between keys; the value is YAML, so `training.steps=10` is a number.

    Raises:
        SpecError: a key or a value is wrong; the message begins with `file:line`, or with the override.
        YAMLError: the file is not YAML.
        FileNotFoundError: there is no such file.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder; give the YAML file in it")
    if not Path(path).is_file():
        raise FileNotFoundError(missing_message(Path(path)))
    file = read_yaml(path)
    if not isinstance(file.data, dict):
        got = "nothing" if file.data is None else f"{file.data!r:.60}"
        raise SpecError(f"{file.name}: a configuration must be a mapping of keys, such as seed: 0, got {got}")
    origin: dict[KeyPath, str] = {}
    for text in overrides:
        keys, value = parse_override(text)
        _set(file.data, keys, value, text, kind.SPECS)
        origin[keys] = text
    placed = functools.partial(_placed, file=file, origin=origin)
    try:
        config = kind.model_validate(file.data)
        config.check()
    except ValidationError as error:
        raise placed(first_error(error, kind, file.data, kind="the configuration")) from None
    except SpecError as error:
        raise placed(error) from None
    config.place_errors_with(placed)
    return config


def parse_override(text: str) -> tuple[KeyPath, Any]:
    """Take `a.b=value` apart.

    Raises:
        SpecError: there is no `=`, no key, or the value is not YAML.
    """
    name, sign, value = text.partition("=")
    if not sign or not all(name.split(".")):
        raise SpecError(f"{text!r} is not an override; write key=value, such as training.steps=10")
    try:
        return tuple(name.split(".")), load_yaml(value)
    except yaml.YAMLError as error:
        raise SpecError(f"the value of {text!r} is not YAML: {error}") from None


def _set(data: dict[str, Any], keys: KeyPath, value: Any, text: str, specs: Sequence[KeyPath]) -> None:
    place: Any = data
    for depth, key in enumerate(keys[:-1]):
        above = keys[: depth + 1]
        if place.get(key) is None:
            place[key] = {}
        elif isinstance(place[key], str) and _is_spec(above, specs) and not place[key].endswith((".yaml", ".yml")):
            place[key] = {"type": place[key]}  # `objective: grpo` becomes `objective: {type: grpo, ...}`
        place = place[key]
        if not isinstance(place, dict):
            shown = ".".join(str(entry) for entry in above)
            raise SpecError(
                f"override {text!r}: {shown!r} is {place!r:.40}, which has no keys below it; give {shown}=... instead"
            )
    place[keys[-1]] = value


def _is_spec(path: KeyPath, specs: Sequence[KeyPath]) -> bool:
    return path in specs or path[:1] == ("reward",) or path[:2] == ("evaluation", "reward")


def _placed(error: SpecError, *, file: YAMLFile, origin: Mapping[KeyPath, str]) -> SpecError:
    """The error with the place that it comes from in front: an override, or a line of the file."""
    path = error.path
    inside = [keys for keys in origin if path[: len(keys)] == keys]
    if inside:
        return SpecError(f"override {origin[max(inside, key=len)]!r}: {error}", path)
    around = [text for keys, text in origin.items() if path and keys[: len(path)] == path]
    note = f" (changed by {', '.join(map(repr, around))})" if around else ""
    return SpecError(f"{file.where(path)}: {error}{note}", path)
