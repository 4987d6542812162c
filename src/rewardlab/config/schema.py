"""JSON Schema of configurations and reward specs, made from the classes that take the options."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from rewardlab.config.model import TrainConfig
from rewardlab.config.names import POLICIES
from rewardlab.config.options import options_model
from rewardlab.registry import Registry

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


_REWARD = "x-reward"
"""Stands where a reward is expected until the pieces are joined: pydantic follows every reference at once."""


class _Generator(GenerateJsonSchema):
    """Options that no file can hold (functions, tensors) are described as anything, and rewards as references."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        if schema.get("type") == "is-instance" and _is_reward(schema.get("cls")):
            return {_REWARD: True}
        return {}


def reward_schema() -> dict[str, Any]:
    """JSON Schema of a reward spec: every known reward with its options."""
    definitions = reward_definitions()
    return {"$schema": _DIALECT, "title": "rewardlab reward", "$ref": "#/$defs/reward", "$defs": definitions}


def train_schema() -> dict[str, Any]:
    """JSON Schema of a training configuration."""
    from rewardlab.environments import ENVIRONMENTS, EnvironmentPool
    from rewardlab.policies.engines.base import Sampling
    from rewardlab.policies.rollout import Limits
    from rewardlab.training import CREDITS, CURRICULA, OBJECTIVES

    schema = TrainConfig.model_json_schema(schema_generator=_Generator)
    definitions = schema["$defs"] = {**schema.get("$defs", {}), **reward_definitions()}
    for kind, registry, leave_out in (
        ("policy", POLICIES, ("corpus", "seed", "device")),
        ("environment", ENVIRONMENTS, ()),
        ("objective", OBJECTIVES, ("accelerator", "seed")),
        ("credit", CREDITS, ()),
        ("curriculum", CURRICULA, ("tasks", "count", "seed")),
    ):
        definitions[kind] = choices(registry, leave_out)
    properties = schema["properties"]
    for key in ("policy", "environment", "reward"):
        properties[key] = {"$ref": f"#/$defs/{key}", "description": properties[key].get("description", "")}
    training = definitions["Training"]["properties"]
    for key in ("objective", "credit", "curriculum"):
        training[key] = {"$ref": f"#/$defs/{key}", "description": training[key].get("description", "")}
    definitions["Evaluation"]["properties"]["reward"] = {"$ref": "#/$defs/reward"}
    properties["sampling"] = options_schema(Sampling)
    properties["limits"] = options_schema(Limits)
    properties["stepping"] = options_schema(EnvironmentPool, ("factory",))
    return {"$schema": _DIALECT, **schema, "title": "rewardlab training"}


def fit_schema() -> dict[str, Any]:
    """JSON Schema of the configuration of a fit."""
    from rewardlab.config.encoders import ENCODERS
    from rewardlab.config.fit import GIVEN, FitConfig
    from rewardlab.learning.losses import LOSSES
    from rewardlab.rewards.models.base import HEADS

    schema = FitConfig.model_json_schema(schema_generator=_Generator)
    definitions = schema.setdefault("$defs", {})
    for key, registry in (("encoder", ENCODERS), ("head", HEADS), ("loss", LOSSES)):
        definitions[key] = choices(registry, GIVEN[key])
        described = schema["properties"][key].get("description", "")
        schema["properties"][key] = {"$ref": f"#/$defs/{key}", "description": described}
    return {"$schema": _DIALECT, **schema, "title": "rewardlab fit"}


def control_schema() -> dict[str, Any]:
    """JSON Schema of the configuration of a training in a Gymnasium environment."""
    from rewardlab.config.control import ControlConfig

    schema = ControlConfig.model_json_schema(schema_generator=_Generator)
    schema.setdefault("$defs", {}).update(reward_definitions())
    for key in ("reward", "true_reward"):
        described = schema["properties"][key].get("description", "")
        schema["properties"][key] = {"$ref": "#/$defs/reward", "description": described}
    return {"$schema": _DIALECT, **schema, "title": "rewardlab control"}


def reward_definitions() -> dict[str, Any]:
    """The definition `reward` that specs refer to."""
    from rewardlab.rewards.spec import REWARDS

    return {"reward": choices(REWARDS, ())}


def choices(registry: Registry, leave_out: tuple[str, ...]) -> dict[str, Any]:
    """One of the names of a registry, alone or with its options; other names are `module:attribute`."""
    branches: list[dict[str, Any]] = [
        {"type": "string", "description": f"A {registry.kind} by name.", "examples": sorted(registry)},
        {
            "type": "object",
            "description": f"A {registry.kind} of your own, as module:attribute or file.py:attribute.",
            "properties": {"type": {"type": "string", "pattern": ":"}},
            "required": ["type"],
        },
    ]
    for name in sorted(registry):
        entry = options_schema(registry.resolve(name), leave_out)
        entry["properties"] = {"type": {"const": name}, **entry.get("properties", {})}
        entry["required"] = ["type", *entry.get("required", [])]
        branches.append(entry)
    return {"anyOf": branches}


def options_schema(target: Any, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """JSON Schema of the options that a class or function takes."""
    try:
        schema = TypeAdapter(options_model(target, leave_out)).json_schema(schema_generator=_Generator)
    except PydanticInvalidForJsonSchema:
        return {"type": "object"}
    definitions = schema.pop("$defs", {})
    schema.pop("title", None)
    return _inline(schema, definitions)


def _is_reward(target: Any) -> bool:
    from rewardlab.rewards.base import Reward

    return isinstance(target, type) and issubclass(target, Reward)


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    """Put local definitions where they are used, so that pieces can be joined without clashes."""
    if isinstance(node, dict):
        if _REWARD in node:
            rest = {key: value for key, value in node.items() if key not in (_REWARD, "default")}
            return {"$ref": "#/$defs/reward", **rest}
        reference = node.get("$ref", "")
        name = reference.removeprefix("#/$defs/")
        if reference and name in definitions:
            return _inline(definitions[name], definitions)
        return {key: _inline(value, definitions) for key, value in node.items()}
    if isinstance(node, list):
        return [_inline(entry, definitions) for entry in node]
    return node
