"""Rewards as plain values: written to YAML, rebuilt from it, and named by a content hash.

A spec is a mapping with `type` (a short name, `module:attribute`, or an entry point's name) and the options that differ from
their defaults. Rewards inside a reward are specs inside a spec.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from rewardlab.registry import KeyPath, Registry, SpecError, UnknownName, nearest
from rewardlab.rewards.base import Reward
from rewardlab.yaml_file import read_yaml

REWARDS = Registry(
    "reward",
    {
        # the algebra
        "sum": "rewardlab.rewards.algebra:Sum",
        "product": "rewardlab.rewards.algebra:Product",
        "gate": "rewardlab.rewards.algebra:Gate",
        "cascade": "rewardlab.rewards.algebra:Cascade",
        "hybrid": "rewardlab.rewards.algebra:Hybrid",
        "ensemble": "rewardlab.rewards.algebra:Ensemble",
        "scheduled": "rewardlab.rewards.algebra:Scheduled",
        "clip": "rewardlab.rewards.algebra:Clip",
        "normalise": "rewardlab.rewards.algebra:Normalise",
        "running_normalise": "rewardlab.rewards.online.running:RunningNormalise",
        "cache": "rewardlab.rewards.algebra:Cache",
        "mix": "rewardlab.rewards.algebra.mix:RewardMix",
        "component": "rewardlab.rewards.algebra.mix:Component",
        "route": "rewardlab.rewards.algebra.route:Route",
        "squash": "rewardlab.rewards.algebra.squash:Squash",
        "kinesthetic": "rewardlab.rewards.shaping:Kinesthetic",
        "potential": "rewardlab.rewards.shaping:Potential",
        "action_potential": "rewardlab.rewards.shaping:ActionPotential",
        "time_potential": "rewardlab.rewards.shaping:TimePotential",
        "state_function": "rewardlab.rewards.shaping:StateFunction",
        "pressure": "rewardlab.rewards.shaping:Pressure",
        "team_spirit": "rewardlab.rewards.shaping:TeamSpirit",
        "distance": "rewardlab.rewards.shaping.shape:Distance",
        "alignment": "rewardlab.rewards.shaping.shape:Alignment",
        "speed_towards": "rewardlab.rewards.shaping.shape:SpeedTowards",
        "along": "rewardlab.rewards.shaping.shape:SignedPower",
        "within": "rewardlab.rewards.shaping.shape:Within",
        "on_event": "rewardlab.rewards.shaping.shape:OnEvent",
        "reward_machine": "rewardlab.rewards.formal.machines:RewardMachine",
        "constraint": "rewardlab.rewards.formal.constraints:Constraint",
        "lagrangian": "rewardlab.rewards.formal.constraints:Lagrangian",
        "table": "rewardlab.rewards.table:TableReward",
        "average": "rewardlab.rewards.formal.objectives.rewards:AverageReward",
        "exponential_utility": "rewardlab.rewards.formal.objectives.rewards:ExponentialUtility",
        "satisficing": "rewardlab.rewards.formal.objectives.rewards:SatisficingReward",
        "scalarised": "rewardlab.rewards.formal.objectives.rewards:ScalarisedReward",
        "tail": "rewardlab.rewards.formal.objectives.rewards:TailReward",
        "transition_table": "rewardlab.rewards.formal.objectives.rewards:TransitionTable",
        "utility": "rewardlab.rewards.formal.objectives.rewards:UtilityReward",
        "designed": "rewardlab.learning.design.designed:DesignedReward",
        "ltlf": "rewardlab.rewards.formal.ltlf:LTLf",
        "intrinsic": "rewardlab.rewards.intrinsic.reward:IntrinsicReward",
        "reward_program": "rewardlab.learning.programs.program:ProgramReward",
        "return_difference": "rewardlab.rewards.return_difference:ReturnDifference",
        "environment_return": "rewardlab.rewards.recorded:EnvironmentReturn",
        "turn_increments": "rewardlab.rewards.turns:TurnIncrements",
        "thinned": "rewardlab.rewards.turns:Thinned",
        "coin": "rewardlab.audit.controls:Coin",
        # verifiers
        "math_answer": "rewardlab.rewards.verifiers.math:MathAnswer",
        "code_tests": "rewardlab.rewards.verifiers.code:CodeTests",
        "tool_call_match": "rewardlab.rewards.verifiers.tool_calls:ToolCallMatch",
        "tag_format": "rewardlab.rewards.verifiers.tag_format:TagFormat",
        "thinking_length": "rewardlab.rewards.verifiers.tag_format:ThinkingLength",
        "parses_as_json": "rewardlab.rewards.verifiers.json_schema:ParsesAsJSON",
        "matches_schema": "rewardlab.rewards.verifiers.json_schema:MatchesSchema",
        "json_format": "rewardlab.rewards.verifiers.json_answer:JSONFormat",
        "hierarchical_action": "rewardlab.rewards.verifiers.actions:HierarchicalAction",
        "json_match": "rewardlab.rewards.verifiers.json_schema:JSONMatch",
        "format": "rewardlab.rewards.verifiers.format:Format",
        "exact_match": "rewardlab.rewards.verifiers.exact:ExactMatch",
        "choice": "rewardlab.rewards.verifiers.exact:Choice",
        "f1_match": "rewardlab.rewards.verifiers.exact:F1Match",
        "instructions": "rewardlab.rewards.verifiers.instructions:Instructions",
        "repetition": "rewardlab.rewards.verifiers.repetition:Repetition",
        "itinerary_feasible": "rewardlab.rewards.verifiers.itinerary.feasible:ItineraryFeasible",
        "itinerary_grounded": "rewardlab.rewards.verifiers.itinerary.grounded:Grounded",
        "reward_model": "rewardlab.rewards.models.model:RewardModel",
        "adversarial": "rewardlab.rewards.models.adversarial:AdversarialReward",
        "distilled": "rewardlab.rewards.models.distilled:DistilledReward",
        "preconditioned": "rewardlab.rewards.models.preconditioned:Preconditioned",
        "self_certainty": "rewardlab.rewards.models.self_certainty:SelfCertainty",
        "embedding_similarity": "rewardlab.rewards.models.similarity:EmbeddingReward",
        "preference_against": "rewardlab.rewards.models.against:PreferenceAgainst",
        "step_progress": "rewardlab.rewards.models.contributions:StepProgress",
        "grounded_actions": "rewardlab.rewards.verifiers.grounded_actions:GroundedActions",
        "length_penalty": "rewardlab.rewards.verifiers.length:LengthPenalty",
        "group_length": "rewardlab.rewards.verifiers.group_length:GroupLength",
        "cosine_length": "rewardlab.rewards.verifiers.length:CosineLength",
        "response_length": "rewardlab.learning.evaluation.baselines:ResponseLength",
        "co_trained": "rewardlab.learning.co_training:CoTrained",
        "implicit_process": "rewardlab.learning.implicit:ImplicitProcessReward",
        "shop_score": "rewardlab.environments.shop.reward:ShopScore",
        "regex_milestones": "rewardlab.rewards.verifiers.milestones:RegexMilestones",
        "partial_credit": "rewardlab.rewards.verifiers.milestones:PartialCredit",
        "model_bench_score": "rewardlab.environments.model_bench.reward:ModelBenchScore",
        "tool_desk_success": "rewardlab.environments.tool_desk.reward:ToolDeskSuccess",
        "repair_shop_passed": "rewardlab.environments.repair_shop.reward:RepairShopPassed",
    },
    group="rewardlab.rewards",
)
"""Every reward that a spec can name."""

SCHEDULES = Registry("schedule", {"linear": "rewardlab.rewards.schedules:Linear"}, group="rewardlab.schedules")
"""Every schedule that a spec can name."""

R = TypeVar("R", bound=type)


class UnwritableReward(ValueError):
    """A reward that holds something which a spec cannot name, such as a lambda."""


def register(short_name: str) -> Callable[[R], R]:
    """Class decorator that gives a reward its `type` in specs; the table `REWARDS` (or an entry point) says where it is."""

    def mark(cls: R) -> R:
        cls.short_name = short_name  # type: ignore[attr-defined]
        return cls

    return mark


def to_spec(reward: Reward) -> dict[str, Any]:
    """A reward as plain values.

    Returns:
        `{"type": ..., option: value, ...}` with the options that differ from their defaults.

    Raises:
        UnwritableReward: it holds a lambda or a local function, which no file can name.
    """
    return _write_object(reward)


def from_spec(spec: Mapping[str, Any] | str, *, path: KeyPath = ()) -> Reward:
    """Build a reward from its spec.

    Args:
        spec: what `to_spec` returned, or a bare name where no option is set.
        path: where the spec stands in a larger document, for messages.

    Raises:
        SpecError: an unknown type or option (the nearest valid one is named), a missing option, a wrong value.
    """
    if isinstance(spec, str):
        spec = {"type": spec}
    if not isinstance(spec, Mapping):
        raise SpecError(f"a reward must be a mapping with the key 'type', or a name, got {spec!r:.80}", path)
    if "type" not in spec:
        raise SpecError(f"a reward needs the key 'type', got the keys {', '.join(map(str, spec)) or '(none)'}", path)
    try:
        target = REWARDS.resolve(spec["type"])
    except UnknownName as error:
        raise SpecError(str(error), (*path, "type")) from error
    options = {key: value for key, value in spec.items() if key != "type"}
    if isinstance(target, Reward):  # a function made a reward by the decorator
        return _configure(target, options, path)
    if not (isinstance(target, type) and issubclass(target, Reward)):
        raise SpecError(
            f"{spec['type']!r} is a {type(target).__name__}, expected a Reward class or a function with @rewardlab.reward",
            (*path, "type"),
        )
    return _read_object(target, options, path, kind=f"reward {spec['type']!r}")


def load_reward(source: str | Path | Mapping[str, Any] | Reward) -> Reward:
    """A reward from whatever names it: a reward, a spec, a name, a YAML file that holds a spec (at its top, or under
    `reward`), or the directory of a reward model.

    Raises:
        SpecError: the spec cannot be built; for a file the message begins with `file:line`.
    """
    if isinstance(source, Reward):
        return source
    if isinstance(source, Mapping):
        return from_spec(source)
    text = str(source)
    if any((Path(text) / name).is_file() for name in ("model.json", "config.json")):
        from rewardlab.rewards.models.model import RewardModel

        return RewardModel.load(text)
    if not text.endswith((".yaml", ".yml")):
        return from_spec(text)
    file = read_yaml(text)
    data, path = file.data, ()
    if isinstance(data, Mapping) and "reward" in data and "type" not in data:
        data, path = data["reward"], ("reward",)  # type: ignore[assignment]
    try:
        return from_spec(data, path=path)
    except SpecError as error:
        raise SpecError(f"{file.where(error.path)}: {error}", error.path) from None


def spec_hash(reward: Reward) -> str:
    """Sixteen hexadecimal digits that change whenever the reward could give other scores.

    They cover the spec, the `version` of every class in it, and the source text of every plain function.
    """
    content = json.dumps(_fingerprint(reward), sort_keys=True, ensure_ascii=True, default=repr)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def place_of(target: Any) -> str:
    """`module:attribute` of a function or class.

    Raises:
        UnwritableReward: it is a lambda, a local function, or stands in a script that was run.
    """
    module, name = getattr(target, "__module__", None), getattr(target, "__qualname__", None)
    if module is None or name is None or "<" in name:
        raise UnwritableReward(
            f"{name or target!r} cannot be named in a file; define it with `def` at the top of a module "
            "(for schedules, use rewardlab.Linear)"
        )
    file = getattr(inspect.getmodule(target), "__rewardlab_file__", None)
    if file is not None:
        return f"{file}:{name}"
    if module == "__main__":
        raise UnwritableReward(
            f"{name} stands in the script that is running, which no file can import; move it to a module, "
            f"and name it there as module:{name}"
        )
    return f"{module}:{name}"


def _write_object(thing: Any) -> dict[str, Any]:
    from rewardlab.rewards.functions import FunctionReward

    if isinstance(thing, FunctionReward):
        spec: dict[str, Any] = {"type": place_of(thing.function)}
        spec.update({key: _write(value) for key, value in thing.options.items()})
        if thing.name is not None and thing.name != thing.function.__name__:
            spec["name"] = thing.name
        return spec
    owner = type(thing)
    spec = {"type": owner.short_name if getattr(owner, "short_name", "") else place_of(owner)}
    for entry in fields(thing):
        value = getattr(thing, entry.name)
        default = entry.default_factory() if entry.default_factory is not MISSING else entry.default
        if default is MISSING or not _plain_equal(value, default):
            spec[entry.name] = _write(value)
    return spec


def _plain_equal(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)


def _write(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Reward) or hasattr(type(value), "short_name"):
        return _write_object(value)
    if isinstance(value, Mapping):
        return {str(key): _write(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_write(entry) for entry in value]
    if isinstance(value, (set, frozenset)):
        return sorted(_write(entry) for entry in value)
    if callable(getattr(value, "item", None)) and not getattr(value, "shape", ()):
        return value.item()
    if callable(value):
        return place_of(value)
    raise UnwritableReward(f"a {type(value).__name__} cannot be written to a spec: {value!r:.80}")


def _fingerprint(value: Any) -> Any:
    """The spec with what it does not say: versions of classes and source of functions."""
    from rewardlab.rewards.functions import FunctionReward

    if isinstance(value, FunctionReward):
        return {
            "function": _source(value.function),
            "per": value.per,
            "name": value.label,
            "options": _write(value.options),
        }
    if isinstance(value, Reward):
        content = {entry.name: _fingerprint(getattr(value, entry.name)) for entry in fields(value)}
        return {"type": type(value).short_name or place_of(type(value)), "version": type(value).version, **content}
    if hasattr(type(value), "fingerprint"):
        return _fingerprint(value.fingerprint())
    if isinstance(value, Mapping):
        return {str(key): _fingerprint(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_fingerprint(entry) for entry in value]
    if callable(value) and not hasattr(type(value), "short_name"):
        return {"function": _source(value)}
    return _write(value)


def _source(function: Any) -> str:
    """Name and source text of a function, which stand for what it does."""
    name = getattr(function, "__qualname__", "")
    if getattr(function, "__closure__", None):
        raise UnwritableReward(
            f"{name} remembers variables of the function that made it, so its source does not say what it does; "
            "pass them as options (parameters with defaults)"
        )
    try:
        return f"{name}\n{inspect.getsource(function)}"
    except (OSError, TypeError) as error:
        raise UnwritableReward(
            f"the source of {function!r} cannot be read, so its content has no hash: {error}"
        ) from error


def _configure(target: Reward, options: dict[str, Any], path: KeyPath) -> Reward:
    from rewardlab.rewards.functions import FunctionReward

    if not isinstance(target, FunctionReward):
        if options:
            raise SpecError(
                f"{target.label} is a finished reward, which takes no options; got {', '.join(options)}", path
            )
        return target
    name = options.pop("name", None)
    try:
        configured = target.with_options(**options)
    except (TypeError, ValueError) as error:
        raise SpecError(str(error), path) from error
    return configured.named(name) if name is not None else configured


def _read_object(target: type, options: dict[str, Any], path: KeyPath, *, kind: str) -> Any:
    known = {entry.name: entry for entry in fields(target) if entry.init}
    for key in options:
        if key not in known:
            raise SpecError(f"{kind} has no option {key!r}{nearest(str(key), known)}", (*path, key))
    missing = [
        name
        for name, entry in known.items()
        if name not in options and entry.default is MISSING and entry.default_factory is MISSING
    ]
    if missing:
        raise SpecError(f"{kind} needs the option {missing[0]!r}", path)
    hints = typing.get_type_hints(target)
    values = {key: _read(hints[key], value, (*path, key)) for key, value in options.items()}
    try:
        return target(**values)
    except SpecError:
        raise
    except (TypeError, ValueError) as error:
        at = next((key for key in options if f"option {key!r}" in str(error)), None)
        raise SpecError(str(error), path if at is None else (*path, at)) from error


def _read(hint: Any, value: Any, path: KeyPath) -> Any:
    """Turn the specs inside an option into what its annotation asks for."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, type) and issubclass(hint, Reward):
        return from_spec(value, path=path)
    if origin is dict and isinstance(value, Mapping):
        return {key: _read(arguments[1], entry, (*path, key)) for key, entry in value.items()}
    if origin in (list, tuple) and isinstance(value, (list, tuple)):
        return [_read(arguments[0], entry, (*path, position)) for position, entry in enumerate(value)]
    if _takes_callable(hint) and isinstance(value, (str, Mapping)):
        return _read_schedule(value, path)
    if origin is not None and value is not None:  # a union that admits a reward
        for argument in arguments:
            if isinstance(argument, type) and issubclass(argument, Reward) and isinstance(value, (str, Mapping)):
                return from_spec(value, path=path)
    return value


def _takes_callable(hint: Any) -> bool:
    candidates = (hint, *typing.get_args(hint))
    return any(typing.get_origin(entry) is Callable or entry is Callable for entry in candidates)


def _read_schedule(value: Any, path: KeyPath) -> Any:
    name = value if isinstance(value, str) else value.get("type")
    if name is None:
        raise SpecError(f"a schedule needs the key 'type', got the keys {', '.join(value)}", path)
    try:
        target = SCHEDULES.resolve(name)
    except UnknownName as error:
        raise SpecError(str(error), path) from error
    if isinstance(value, str):
        return target
    return _read_object(
        target, {key: entry for key, entry in value.items() if key != "type"}, path, kind=f"schedule {name!r}"
    )
