"""Two gems as a PettingZoo parallel environment, and its demonstrators' games as a trajectory for each agent."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from rewardlab.extras import require
from rewardlab.learning.marginal_q import split_joint
from rewardlab.recipes.mamql.world import ACTIONS, TwoGems, demonstrations
from rewardlab.types import Trajectory

pettingzoo: Any = require("pettingzoo", extra="marl", why="the game of two gems")
spaces: Any = require("gymnasium.spaces", extra="gym", why="the game of two gems")

NAMES = ("red", "blue")


class TwoGemsGame(pettingzoo.ParallelEnv):
    """One game at a time.

    Args:
        world: the rules; None for the defaults.
    """

    metadata = {"name": "two_gems", "render_modes": []}  # noqa: RUF012 - as PettingZoo has it

    def __init__(self, world: TwoGems | None = None) -> None:
        self.world = world or TwoGems()
        self.possible_agents = list(NAMES)
        self.agents: list[str] = []
        self._seen_space = {name: spaces.Box(0.0, 1.0, (self.world.features,), np.float32) for name in NAMES}
        self._moves = {name: spaces.Discrete(ACTIONS) for name in NAMES}
        self._generator = torch.Generator()
        self._time = 0

    def observation_space(self, agent: str) -> Any:
        """What an agent sees: offsets to the other, the own gem and the other's gem, and its own place, all one-hot."""
        return self._seen_space[agent]

    def action_space(self, agent: str) -> Any:
        """Stay, up, down, left, right."""
        return self._moves[agent]

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin a game; a seed sets all that is random from then on."""
        if seed is not None:
            self._generator.manual_seed(seed)
        self.agents, self._time = list(NAMES), 0
        self._now = self.world.start((), self._generator)
        return self._seen(), {name: {} for name in NAMES}

    def step(self, actions: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        """Both agents move; after the horizon the game is truncated."""
        chosen = torch.tensor([int(actions[name]) for name in NAMES])
        self._now, rewards = self.world.step(self._now, chosen, self._generator)
        self._time += 1
        over = self._time >= self.world.horizon
        if over:
            self.agents = []
        return (
            self._seen(),
            dict(zip(NAMES, rewards.tolist(), strict=True)),
            dict.fromkeys(NAMES, False),
            dict.fromkeys(NAMES, over),
            {name: {} for name in NAMES},
        )

    def _seen(self) -> dict[str, Any]:
        return dict(zip(NAMES, self.world.observe(self._now).numpy(), strict=True))


def demonstrated(games: int, *, seed: int, world: TwoGems | None = None) -> list[Trajectory]:
    """Games of the demonstrators, split by agent.

    Args:
        games: how many.
        seed: of everything random.
        world: the rules; None for the defaults.
    """
    world = world or TwoGems()
    states, actions, rewards = demonstrations(world, (games,), seed).episodes()

    def named(rows: Any) -> list[dict[str, Any]]:
        return [dict(zip(NAMES, row, strict=True)) for row in rows]

    found: list[Trajectory] = []
    for number in range(games):
        seen = world.observe(states[number]).numpy().swapaxes(0, 1)
        shown = named(actions[number].numpy()), named(rewards[number].numpy())
        found += split_joint(named(seen), *shown, episode=f"game/{number}", truncated=True)
    return found
