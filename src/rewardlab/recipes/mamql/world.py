"""Two gems, a world of two agents whose goals are at odds, with any number of games side by side.

On a small grid each agent has a gem of its own. Taking the own gem pays +1, taking the other's costs the taker 1, and a gem
that is taken appears again on a free cell at random. Both move at once. Without `interaction` nobody can touch the
other's gem, and the agents have nothing to do with one another. A state is `int64[..., 4]`: the cells of agent 0, agent
1, gem 0, gem 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

MOVES = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
"""Stay, up, down, left, right."""
ACTIONS = len(MOVES)


@dataclass(frozen=True)
class TwoGems:
    """The rules.

    Args:
        size: cells on a side.
        horizon: steps in a game; its end is a limit of time.
        interaction: whether an agent can take the other's gem.
        slip: how often the demonstrators act at random.
    """

    size: int = 5
    horizon: int = 25
    interaction: bool = True
    slip: float = 0.1

    @property
    def features(self) -> int:
        """Numbers in an agent's observation: offsets to three things along two axes, and its own place."""
        return 3 * 2 * (2 * self.size - 1) + 2 * self.size

    @cached_property
    def _moved(self) -> Tensor:
        """int64[cell, action], where a move leads."""
        row, column = (
            torch.arange(self.size**2).div(self.size, rounding_mode="floor"),
            torch.arange(self.size**2) % self.size,
        )
        to = [
            (row + down).clamp(0, self.size - 1) * self.size + (column + right).clamp(0, self.size - 1)
            for down, right in MOVES
        ]
        return torch.stack(to, 1)

    @cached_property
    def _offsets(self) -> Tensor:
        """float32[cell * cells + cell, 2 (2 size - 1)], the one-hot offset from the first cell to the second."""
        cells = torch.arange(self.size**2)
        row, column = cells.div(self.size, rounding_mode="floor"), cells % self.size
        wide = torch.eye(2 * self.size - 1)
        down = row[None] - row[:, None] + self.size - 1
        right = column[None] - column[:, None] + self.size - 1
        return torch.cat([wide[down], wide[right]], -1).flatten(0, 1)

    @cached_property
    def _places(self) -> Tensor:
        cells, one_hot = torch.arange(self.size**2), torch.eye(self.size)
        return torch.cat([one_hot[cells.div(self.size, rounding_mode="floor")], one_hot[cells % self.size]], -1)

    def start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """States with four different cells, drawn at random: int64[*shape, 4]."""
        return torch.rand(*shape, self.size**2, generator=generator).topk(4).indices

    def step(self, state: Tensor, actions: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Both agents move.

        Args:
            state: int64[..., 4].
            actions: int64[..., 2].
            generator: of the places where gems appear.

        Returns:
            The next state, and float32[..., 2], what each agent earned.
        """
        agents, gems = self._moved[state[..., :2], actions], state[..., 2:].clone()
        taken = agents.unsqueeze(-1) == gems.unsqueeze(-2)  # [..., agent, gem]
        signs = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
        if not self.interaction:
            taken = taken & torch.eye(2, dtype=torch.bool)
        rewards = (taken * signs).sum(-1)
        gone = taken.any(-2)
        if bool(gone.any()):
            keys = torch.rand(*state.shape[:-1], self.size**2, generator=generator)
            keys = keys.scatter(-1, agents, -1.0)
            for gem in (0, 1):
                fresh = keys.scatter(-1, gems[..., 1 - gem : 2 - gem], -1.0).argmax(-1)
                gems[..., gem] = torch.where(gone[..., gem], fresh, gems[..., gem])
        return torch.cat([agents, gems], -1), rewards

    def observe(self, state: Tensor) -> Tensor:
        """What each agent sees: float32[2, ..., features], offsets to the other, the own gem, the other's gem; own place."""
        cells = self.size**2
        seen = []
        for agent in (0, 1):
            own = state[..., agent]
            things = (state[..., 1 - agent], state[..., 2 + agent], state[..., 3 - agent])
            seen.append(torch.cat([*(self._offsets[own * cells + thing] for thing in things), self._places[own]], -1))
        return torch.stack(seen)

    def demonstrate(self, state: Tensor, generator: torch.Generator) -> Tensor:
        """What the demonstrators do: the shortest way to the own gem, round the other's, now and then a random action.

        Args:
            state: int64[..., 4].
            generator: of ties and slips.

        Returns:
            int64[..., 2].
        """
        found = []
        for agent in (0, 1):
            reached = self._moved[state[..., agent]]  # [..., action]
            gem, other = state[..., 2 + agent, None], state[..., 3 - agent, None]
            far = (reached // self.size - gem // self.size).abs() + (reached % self.size - gem % self.size).abs()
            cost = far + torch.rand(reached.shape, generator=generator) * 0.5
            if self.interaction:
                cost = cost + 100.0 * (reached == other)
            found.append(cost.argmin(-1))
        best = torch.stack(found, -1)
        random = torch.randint(ACTIONS, best.shape, generator=generator)
        return torch.where(torch.rand(best.shape, generator=generator) < self.slip, random, best)


@dataclass(frozen=True)
class Log:
    """Joint transitions.

    Args:
        states, next_states: int64[..., 4].
        actions: int64[..., 2].
        rewards: float32[..., 2].
    """

    states: Tensor
    actions: Tensor
    rewards: Tensor
    next_states: Tensor

    def episodes(self) -> tuple[Tensor, Tensor, Tensor]:
        """States [episode, T + 1, 4], actions and rewards [episode, T, 2] of a log [T, episode]."""
        seen = torch.cat([self.states, self.next_states[-1:]]).transpose(0, 1)
        return seen, self.actions.transpose(0, 1), self.rewards.transpose(0, 1)


def demonstrations(world: TwoGems, shape: tuple[int, ...], seed: int, *, random: bool = False) -> Log:
    """Games of the demonstrators (or of random agents), with time as the first axis: a `Log` of [horizon, *shape]."""
    generator = torch.Generator().manual_seed(seed)
    state = world.start(shape, generator)
    columns: list[tuple[Tensor, ...]] = []
    for _ in range(world.horizon):
        chosen = world.demonstrate(state, generator)
        if random:
            chosen = torch.randint(ACTIONS, chosen.shape, generator=generator)
        following, rewards = world.step(state, chosen, generator)
        columns.append((state, chosen, rewards, following))
        state = following
    return Log(*(torch.stack(column) for column in zip(*columns, strict=True)))
