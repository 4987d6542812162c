"""Where an agent acts: the environment contract, tools made from Python functions, and embedded worlds.

A name in `ENVIRONMENTS` stands for an `Environment` class; called with its options it gives one environment, so
`functools.partial(ENVIRONMENTS.resolve(name), **options)` is the factory that rollouts take. Where that class is also a
`TaskSource`, it brings its own tasks and demonstrations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rewardlab.lazy import lazy_names
from rewardlab.registry import Registry

if TYPE_CHECKING:
    from rewardlab.environments.base import Environment, Split, Step, TaskSource, play
    from rewardlab.environments.batched import EnvironmentPool
    from rewardlab.environments.cached_tools import CachedTools
    from rewardlab.environments.gymnasium_text import GymnasiumText
    from rewardlab.environments.minigrid_text import MiniGridText
    from rewardlab.environments.single_turn import SingleTurn
    from rewardlab.environments.tabular import MarkovDecisionProcess
    from rewardlab.environments.textworld_text import TextWorldGame
    from rewardlab.environments.tool_environment import ToolEnvironment
    from rewardlab.environments.tools import Toolbox, ToolError, ToolResult, tool, tool_schema

ENVIRONMENTS = Registry(
    "environment",
    {
        "shop": "rewardlab.environments.shop:Shop",
        "repair_shop": "rewardlab.environments.repair_shop:RepairShop",
        "tool_desk": "rewardlab.environments.tool_desk:ToolDesk",
        "travel_desk": "rewardlab.environments.travel_desk:TravelDesk",
        "instrumented": "rewardlab.environments.instrumentation:Instrumented",
        "model_bench": "rewardlab.environments.model_bench:ModelBench",
        "gymnasium": "rewardlab.environments.gymnasium_text:GymnasiumText",
        "minigrid": "rewardlab.environments.minigrid_text:MiniGridText",
        "textworld": "rewardlab.environments.textworld_text:TextWorldGame",
        "single_turn": "rewardlab.environments.single_turn:SingleTurn",
    },
    group="rewardlab.environments",
)
"""Every environment that a configuration can name."""

__getattr__, __dir__, _ = lazy_names(
    __name__,
    {
        "rewardlab.environments.base": ["Environment", "Split", "Step", "TaskSource", "play"],
        "rewardlab.environments.batched": ["EnvironmentPool"],
        "rewardlab.environments.gymnasium_text": ["GymnasiumText"],
        "rewardlab.environments.minigrid_text": ["MiniGridText"],
        "rewardlab.environments.cached_tools": ["CachedTools"],
        "rewardlab.environments.single_turn": ["SingleTurn"],
        "rewardlab.environments.tabular": ["MarkovDecisionProcess"],
        "rewardlab.environments.textworld_text": ["TextWorldGame"],
        "rewardlab.environments.tool_environment": ["ToolEnvironment"],
        "rewardlab.environments.tools": ["ToolError", "ToolResult", "Toolbox", "tool", "tool_schema"],
    },
    rooms=[
        "control",
        "instrumentation",
        "model_bench",
        "repair_shop",
        "shop",
        "tabular_worlds",
        "tool_desk",
        "travel_desk",
    ],
)

__all__ = [
    "ENVIRONMENTS",
    "CachedTools",
    "Environment",
    "EnvironmentPool",
    "GymnasiumText",
    "MarkovDecisionProcess",
    "MiniGridText",
    "SingleTurn",
    "Split",
    "Step",
    "TaskSource",
    "TextWorldGame",
    "ToolEnvironment",
    "ToolError",
    "ToolResult",
    "Toolbox",
    "play",
    "tool",
    "tool_schema",
]
