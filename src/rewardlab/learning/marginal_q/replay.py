"""Columns of transitions of one agent, and the replay of joint play, whose oldest transitions are dropped first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rewardlab.learning.marginal_q.critics import AgentCritic
from rewardlab.types.trees import tree_map


@dataclass(frozen=True, slots=True)
class Columns:
    """Transitions of one agent.

    Args:
        seen, following: float32[N, width], features before and after.
        legal, next_legal: bool[N, A].
        actions: int64[N].
        others: int64[N, agents - 1], what the others did.
        ended: bool[N], whether the environment ended the episode there.
    """

    seen: Tensor
    following: Tensor
    legal: Tensor
    next_legal: Tensor
    actions: Tensor
    others: Tensor
    ended: Tensor

    def rows(self, index: Tensor | slice) -> Columns:
        """Some of them."""
        return Columns(*(getattr(self, name)[index] for name in self.__slots__))


class Replay:
    """The newest transitions of joint play, as features: what was seen never has to be encoded again.

    Args:
        critics: which encode what each agent sees.
        capacity: transitions that are kept.
    """

    def __init__(self, critics: Sequence[AgentCritic], capacity: int) -> None:
        self.critics, self.capacity = list(critics), capacity
        self.columns: list[Columns | None] = [None] * len(self.critics)
        self.count = 0

    def add(self, names: Sequence[Any], actions: Sequence[np.ndarray], happened: Sequence[dict[str, Any]]) -> None:
        """Add one step of every game."""
        table = np.stack(actions, 1)  # [game, agent]
        for agent, (name, critic) in enumerate(zip(names, self.critics, strict=True)):
            before, after = (
                critic.features(tree_map(lambda *rows: np.stack(rows), *[_arrays(one[key][name]) for one in happened]))
                for key in ("observations", "following")
            )
            ended = torch.tensor([bool(one["terminated"][name]) for one in happened])
            every = torch.ones(len(happened), critic.actions, dtype=torch.bool)
            columns = Columns(
                before[0],
                after[0],
                every if before[1] is None else before[1],
                every if after[1] is None else after[1] | ended.unsqueeze(1),
                torch.from_numpy(table[:, agent].astype(np.int64)),
                torch.from_numpy(np.delete(table, agent, axis=1).astype(np.int64)),
                ended,
            )
            self._write(agent, columns)
        self.count += len(happened)

    def _write(self, agent: int, new: Columns) -> None:
        kept = self.columns[agent]
        if kept is None:
            empty = (
                torch.zeros(self.capacity, *getattr(new, name).shape[1:], dtype=getattr(new, name).dtype)
                for name in new.__slots__
            )
            kept = self.columns[agent] = Columns(*empty)
        place = (self.count + torch.arange(len(new.actions))) % self.capacity
        for name in new.__slots__:
            getattr(kept, name)[place] = getattr(new, name)

    def sample(self, agent: int, batch: int, generator: torch.Generator) -> Columns:
        """Transitions drawn with replacement."""
        return self._kept(agent).rows(torch.randint(min(self.count, self.capacity), (batch,), generator=generator))

    def everything(self, agent: int) -> Columns:
        """All that are kept."""
        return self._kept(agent).rows(slice(0, min(self.count, self.capacity)))

    def newest(self, agent: int, batch: int) -> Columns:
        """The last that were added."""
        filled = min(self.count, self.capacity, batch)
        return self._kept(agent).rows((self.count - 1 - torch.arange(filled)) % self.capacity)

    def _kept(self, agent: int) -> Columns:
        columns = self.columns[agent]
        if columns is None:
            raise ValueError("the replay is empty; play at least one step before drawing from it")
        return columns


def _arrays(seen: Any) -> Any:
    return tree_map(np.asarray, seen)
