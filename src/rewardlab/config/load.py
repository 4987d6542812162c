"""Reading a configuration: the file, then `key=value` from the command line, then the check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from rewardlab.config.model import TrainConfig
from rewardlab.config.options import first_error
from rewardlab.registry import KeyPath, SpecError
from rewardlab.yaml_file import YAMLFile, load_yaml, read_yaml


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read and check a configuration.

    Args:
        path: a YAML file.
        overrides: `key=value` with dots between keys; the value is YAML, so `training.steps=10` is a number.

    Raises:
        SpecError: a key or a value is wrong; the message begins with `file:line`, or with the override.
        YAMLError: the file is not YAML.
        FileNotFoundError: there is no such file.
    """
    file = read_yaml(path)
    if not isinstance(file.data, dict):
        raise SpecError(f"{file.name}: a configuration must be a mapping of keys, got {file.data!r:.60}")
    origin: dict[KeyPath, str] = {}
    for text in overrides:
        keys, value = parse_override(text)
        _set(file.data, keys, value, text)
        origin[keys] = text
    try:
        config = TrainConfig.model_validate(file.data)
        config.check()
    except ValidationError as error:
        raise _placed(first_error(error, TrainConfig, kind="the configuration"), file, origin) from None
    except SpecError as error:
        raise _placed(error, file, origin) from None
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


def _set(data: dict[str, Any], keys: KeyPath, value: Any, text: str) -> None:
    place: Any = data
    for depth, key in enumerate(keys[:-1]):
        if place.get(key) is None:
            place[key] = {}
        elif isinstance(place[key], str):  # `objective: grpo` becomes `objective: {type: grpo, ...}`
            place[key] = {"type": place[key]}
        place = place[key]
        if not isinstance(place, dict):
            shown = ".".join(str(entry) for entry in keys[: depth + 1])
            raise SpecError(f"{text!r}: {shown!r} is {place!r:.40}, which has no keys below it")
    place[keys[-1]] = value


def _placed(error: SpecError, file: YAMLFile, origin: dict[KeyPath, str]) -> SpecError:
    for keys, text in origin.items():
        if error.path[: len(keys)] == keys or (error.path and keys[: len(error.path)] == error.path):
            return SpecError(f"override {text!r}: {error}", error.path)
    return SpecError(f"{file.where(error.path)}: {error}", error.path)
