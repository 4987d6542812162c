"""Two gems as a PettingZoo parallel environment, and demonstrations in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from pettingzoo import ParallelEnv

from rewardlab.learning.marginal_q import split_joint
from rewardlab.recipes.mamql import TwoGems, demonstrations
from rewardlab.types import Trajectory

NAMES = ("red", "blue")


class GemsGame(ParallelEnv):  # type: ignore[misc]  # PettingZoo has no type hints
    metadata = {"name": "two_gems", "render_modes": []}

    def __init__(self, world: TwoGems | None = None) -> None:
        self.world = world or TwoGems()
        self.possible_agents = list(NAMES)
        self.agents: list[str] = []
        self.spaces = {name: Box(0.0, 1.0, (self.world.features,), np.float32) for name in NAMES}
        self.moves = {name: Discrete(5) for name in NAMES}
        self.generator = torch.Generator()
        self.ended = True

    def observation_space(self, agent: str) -> Any:
        return self.spaces[agent]

    def action_space(self, agent: str) -> Any:
        return self.moves[agent]

    def _seen(self) -> dict[str, Any]:
        return dict(zip(NAMES, self.world.observe(self.state_now).numpy(), strict=True))

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.generator.manual_seed(seed)
        self.agents, self.time = list(NAMES), 0
        self.state_now = self.world.start((), self.generator)
        return self._seen(), {name: {} for name in NAMES}

    def step(self, actions: Any) -> Any:
        chosen = torch.tensor([int(actions[name]) for name in NAMES])
        self.state_now, rewards = self.world.step(self.state_now, chosen, self.generator)
        self.time += 1
        over = self.time >= self.world.horizon
        if over:
            self.agents = []
        told = dict(zip(NAMES, rewards.tolist(), strict=True))
        return (
            self._seen(),
            told,
            dict.fromkeys(NAMES, False),
            dict.fromkeys(NAMES, over),
            {name: {} for name in NAMES},
        )


def demonstrated(games: int, seed: int) -> list[Trajectory]:
    """Games of the demonstrators, split by agent."""
    world = TwoGems()
    states, actions, rewards = demonstrations(world, (games,), seed).episodes()
    found: list[Trajectory] = []
    for number in range(games):
        seen = world.observe(states[number]).numpy()
        found += split_joint(
            [dict(zip(NAMES, row, strict=True)) for row in seen.swapaxes(0, 1)],
            [dict(zip(NAMES, row, strict=True)) for row in actions[number].numpy()],
            [dict(zip(NAMES, row, strict=True)) for row in rewards[number].numpy()],
            episode=f"game/{number}",
            truncated=True,
        )
    return found
