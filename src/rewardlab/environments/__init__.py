"""Where an agent acts: the environment contract, tools made from Python functions, and embedded worlds.

A name in `ENVIRONMENTS` stands for an `Environment` class; called with its options it gives one environment, so
`functools.partial(ENVIRONMENTS.resolve(name), **options)` is the factory that rollouts take. Where that class is also a
`TaskSource`, it brings its own tasks and demonstrations.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rewardlab.registry import Registry

if TYPE_CHECKING:
    from rewardlab.environments.base import Environment, Split, Step, TaskSource, play

ENVIRONMENTS = Registry(
    "environment",
    {
        "tool_desk": "rewardlab.environments.tool_desk:ToolDesk",
        "single_turn": "rewardlab.environments.single_turn:SingleTurn",
    },
    group="rewardlab.environments",
)

_PLACES = {
    "Environment": "base",
    "Split": "base",
    "Step": "base",
    "TaskSource": "base",
    "play": "base",
}

__all__ = ["ENVIRONMENTS", "Environment", "Split", "Step", "TaskSource", "play"]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
