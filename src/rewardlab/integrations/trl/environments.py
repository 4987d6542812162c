"""An environment of ours inside TRL's tool loop: its tools become the methods that TRL calls.

TRL's loop knows tools and nothing else, so this door is for environments whose actions are tool calls and a last answer
(`ToolEnvironment`, the tool desk). Each call is one `step` of the environment; the answer, which TRL shows to nobody, is
given to it when the rewards are asked for, so that `Trajectory.info` and `rewards` are what a rollout of ours would hold.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, Literal, cast

import numpy as np

from rewardlab.environments.base import Environment, Step
from rewardlab.extras import require
from rewardlab.rewards.base import ScoringFailure, attempt
from rewardlab.types import Status, Task, Trajectory, message_text

TASK_COLUMN = "rewardlab_task"
"""The column that holds a whole task as JSON; reward functions read the task from it where it is there."""

JSON_TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "object": dict,
    "array": list,
}
ENDED = "Error: the attempt has ended."


def dataset(tasks: Iterable[Task], environment: Callable[[], Environment] | None = None) -> Any:
    """Tasks as a dataset for TRL: a column `prompt`, and the whole task beside it, as JSON so that nothing is changed.

    Args:
        tasks: what to train on.
        environment: whose opening messages the prompt shows; None shows the task's own prompt.

    Returns:
        A `datasets.Dataset`.

    Raises:
        ValueError: a task has no prompt, or holds what JSON cannot.
    """
    rows = []
    for task in tasks:
        opening = task.prompt if environment is None else environment().reset(task, seed_of(task))
        if not opening:
            raise ValueError(f"task {task.id!r} has no prompt to show; give it one, or pass environment=")
        try:
            text = json.dumps(asdict(task), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"task {task.id!r} cannot be written as JSON: {error}") from error
        rows.append({"prompt": opening, TASK_COLUMN: text})
    return require("datasets", extra="datasets", why="A dataset for TRL").Dataset.from_list(rows)


def read_task(text: str) -> Task:
    """A task from the column that `dataset` wrote."""
    return Task(**json.loads(text))


def seed_of(task: Task) -> int:
    """The seed of every attempt at a task; TRL has none to give."""
    return int(hashlib.sha256(task.id.encode()).hexdigest()[:7], 16)


def environment_factory(environment: Callable[[], Environment]) -> Callable[[], Attempt]:
    """What `GRPOTrainer` takes as `environment_factory`, over one of our environments.

        GRPOTrainer(..., reward_funcs=trl.reward_functions(reward), train_dataset=trl.dataset(tasks, desk),
                    environment_factory=trl.environment_factory(desk))

    Args:
        environment: makes an environment. Its `tools` say which methods TRL sees, so they must be the same for all tasks.

    Returns:
        A class. Its objects have `reset` and one method for each tool.

    Raises:
        ValueError: the environment shows no tools, or one whose name TRL keeps for itself.
    """
    tools = list(environment().tools)
    if not tools:
        raise ValueError(
            "the environment shows no tools, and TRL calls nothing else; make it show them "
            "(functools.partial(ToolDesk, show_tools=True), say)"
        )
    methods = {}
    for schema in tools:
        name = schema["function"]["name"]
        if name in ("reset", "get_reward") or name.startswith("_"):
            raise ValueError(f"a tool is called {name!r}, which TRL takes for its own; give it another name")
        methods[name] = _method(schema["function"])

    def begin(self: Attempt) -> None:
        Attempt.__init__(self, environment, frozenset(methods))

    return cast("Callable[[], Attempt]", type("Attempt", (Attempt,), {"__init__": begin, **methods}))


class Attempt:
    """One attempt in TRL's loop; every public method but `reset` is a tool, added by `environment_factory`."""

    _failed: str | None
    """Why the environment broke, or None."""

    def __init__(self, make: Callable[[], Environment], tools: frozenset[str]) -> None:
        self._environment = make()
        self._tools = tools
        self._begin()

    def reset(self, **row: Any) -> None:
        """Begin the attempt at the task of a row of the dataset.

        Raises:
            ValueError: the row has no task, or its prompt is not what the environment opens with.
        """
        if TASK_COLUMN not in row:
            raise ValueError(
                f"the dataset has no column {TASK_COLUMN!r}; make it with rl.integrations.trl.dataset(tasks, environment)"
            )
        task = read_task(row[TASK_COLUMN])
        self._begin()
        opening = attempt(self._environment.reset, task, seed_of(task))
        if isinstance(opening, tuple):
            self._failed = f"reset raised {opening[1]}"
        elif [(message["role"], message_text(message)) for message in opening] != [
            (message["role"], message_text(message)) for message in row["prompt"]
        ]:
            raise ValueError(
                f"the environment opens task {task.id!r} with other messages than the dataset's prompt; make the dataset "
                "with rl.integrations.trl.dataset(tasks, environment), and let nothing but the seed decide the opening"
            )

    def _begin(self) -> None:
        self._failed = None
        self._last = Step()
        self._concluded = False
        self._rewards: list[float] = []
        self._info: dict[str, Any] = {}

    def _call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Give one tool call to the environment; what it says comes back as text."""
        if self._failed is not None or self._last.ended:
            return ENDED
        call = {
            "id": f"call_{len(self._rewards) + 1}",
            "type": "function",
            "function": {"name": name, "arguments": dict(arguments)},
        }
        step = self._step({"role": "assistant", "content": "", "tool_calls": [call]})
        return ENDED if step is None else "\n".join(message_text(message) for message in step.observation)

    def _step(self, action: dict[str, Any]) -> Step | None:
        step = attempt(self._environment.step, action)
        if not isinstance(step, Step):
            self._failed = (
                f"step raised {step[1]}"
                if isinstance(step, tuple) and isinstance(step[0], Status)
                else f"step returned a {type(step).__name__}, expected a Step"
            )
            return None
        self._last = step
        self._rewards.append(float(step.reward))
        self._info.update(step.info)
        return step

    def _conclude(self, trajectory: Trajectory) -> None:
        """Give the environment the last answer, and write into the trajectory what it reported.

        Raises:
            ScoringFailure: the environment broke during the attempt.
        """
        answered = bool(len(trajectory)) and not trajectory.actions[-1].get("tool_calls")
        if answered and not self._concluded and self._failed is None and not self._last.ended:
            self._step(trajectory.actions[-1])
        self._concluded = True
        if self._failed is not None:
            raise ScoringFailure(f"the environment failed: {self._failed}")
        paid = iter(self._rewards)
        for index, action in enumerate(trajectory.actions):
            # TRL answers calls of tools that are not there by itself
            calls = [call for call in action.get("tool_calls") or () if call["function"]["name"] in self._tools]
            amounts = np.array([next(paid, np.nan) for _ in calls or [None]])
            if np.isfinite(amounts).any():
                trajectory.rewards[index] = np.nansum(amounts)
        trajectory.info.update(self._info)
        trajectory.terminated = self._last.terminated
        trajectory.truncated = not self._last.terminated


def _method(function: Mapping[str, Any]) -> Callable[..., str]:
    """A method with the signature and the docstring from which transformers makes the description of a tool again."""
    name = function["name"]

    def call(self: Attempt, **arguments: Any) -> str:
        return self._call(name, arguments)

    described = function.get("parameters") or {}
    required = set(described.get("required", ()))
    hints = {parameter: _hint(schema) for parameter, schema in described.get("properties", {}).items()}
    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    lines = []
    for parameter, schema in described.get("properties", {}).items():
        default = inspect.Parameter.empty if parameter in required else schema.get("default")
        parameters.append(
            inspect.Parameter(parameter, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[parameter])
        )
        lines.append(f"    {parameter}: {_one_line(schema.get('description') or parameter)}")
    text = _one_line(function.get("description") or name)
    call.__name__ = call.__qualname__ = name
    call.__doc__ = text + ("\n\nArgs:\n" + "\n".join(lines) if lines else "")
    call.__annotations__ = {**hints, "return": str}
    call.__signature__ = inspect.Signature(parameters, return_annotation=str)  # type: ignore[attr-defined]
    return call


def _hint(schema: Mapping[str, Any]) -> Any:
    """The type hint that describes a parameter, as far as transformers reads hints."""
    choices = schema.get("enum")
    if choices and all(isinstance(choice, (str, int, bool)) for choice in choices):
        return Literal[tuple(choices)]
    kind = schema.get("type")
    if kind == "array" and isinstance(schema.get("items"), Mapping):
        return list[_hint(schema["items"])]  # type: ignore[misc]  # a hint made at run time
    return JSON_TYPES.get(kind, Any) if isinstance(kind, str) else Any


def _one_line(text: str) -> str:
    return " ".join(text.split())
