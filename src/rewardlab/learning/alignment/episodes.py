"""Episodes for an alignment: of a table of states, kept in a buffer, padded to one length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewardlab.environments.tabular import MarkovDecisionProcess

Act = Callable[[Tensor], Tensor]


@dataclass(slots=True)
class EpisodeBatch:
    """Episodes of every copy, padded to one length.

    Args:
        observation: [copy, episode, time, ...], what was seen before each action.
        action: [copy, episode, time, ...].
        primary: float[copy, episode, time].
        auxiliary: float[copy, episode, time, reward].
        present: float[copy, episode, time], 0 after the end of an episode.
    """

    observation: Tensor
    action: Tensor
    primary: Tensor
    auxiliary: Tensor
    present: Tensor

    def split(self, pieces: int) -> list[EpisodeBatch]:
        """The episodes in so many pieces of equal size."""
        columns = (self.observation, self.action, self.primary, self.auxiliary, self.present)
        return [EpisodeBatch(*cut) for cut in zip(*(one.chunk(pieces, dim=1) for one in columns), strict=True)]

    def returns(self) -> Tensor:
        """Undiscounted primary return of each episode, float[copy, episode]."""
        return (self.primary * self.present).sum(-1)


class EpisodeSource(Protocol):
    """Where episodes come from."""

    copies: int
    horizon: int

    def collect(self, act: Act, episodes: int) -> EpisodeBatch:
        """So many whole episodes of every copy."""
        ...


class TableEpisodes:
    """Episodes of a finite decision process, all copies and episodes side by side.

    Args:
        mdp: its rewards are the primary ones.
        auxiliary: float[reward, S, A] hints, or float[copy, reward, S, A] for others in every copy.
        copies: independent learners.
        horizon: an episode that has not ended by then is cut off; what lies beyond counts as nothing.
        seed: of everything random.
    """

    def __init__(
        self, mdp: MarkovDecisionProcess, auxiliary: NDArray[np.float64], *, copies: int, horizon: int, seed: int
    ) -> None:
        hints = np.asarray(auxiliary, dtype=np.float64)
        if hints.shape[-2:] != (mdp.states, mdp.actions) or hints.ndim not in (3, 4):
            raise ValueError(
                f"auxiliary must be [reward, {mdp.states}, {mdp.actions}], with copies in front if they differ, got shape "
                f"{hints.shape}"
            )
        if not np.isfinite(hints).all():
            raise ValueError("an auxiliary reward is not finite; leave no state out, 0 says nothing")
        if copies < 1 or horizon < 1:
            raise ValueError(f"copies and horizon must be at least 1, got {copies} and {horizon}")
        self.mdp, self.copies, self.horizon = mdp, copies, horizon
        self.hints = np.broadcast_to(hints, (copies, *hints.shape[-3:]))
        self._heights = np.cumsum(mdp.transitions, axis=-1)
        self._first = np.cumsum(mdp.initial)
        self._generator = np.random.default_rng(seed)

    def collect(self, act: Act, episodes: int) -> EpisodeBatch:
        """So many whole episodes of every copy."""
        shape = (self.copies, episodes)
        states = np.zeros((*shape, self.horizon), dtype=np.int64)
        actions = np.zeros_like(states)
        present = np.zeros(states.shape)
        now = np.searchsorted(self._first, self._generator.random(shape) * self._first[-1])
        for step in range(self.horizon):
            going = ~self.mdp.terminal[now]
            if not going.any():
                break
            chosen = act(torch.from_numpy(now)).numpy()
            states[..., step], actions[..., step], present[..., step] = now, chosen, going
            heights = self._heights[now, chosen]
            marks = self._generator.random(shape) * heights[..., -1]
            now = (heights > marks[..., None]).argmax(-1)
        which = np.arange(self.copies)[:, None, None]
        hints = np.moveaxis(self.hints, 1, -1)[which, states, actions] * present[..., None]
        return EpisodeBatch(
            torch.from_numpy(states),
            torch.from_numpy(actions),
            torch.from_numpy(self.mdp.rewards[states, actions] * present).float(),
            torch.from_numpy(hints).float(),
            torch.from_numpy(present).float(),
        )


class EpisodeBuffer:
    """The newest episodes of every copy; the oldest give way.

    Args:
        size: episodes that are kept.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1 episode, got {size}")
        self.size = size
        self.count = 0
        self._columns: list[Tensor] = []

    def add(self, batch: EpisodeBatch) -> None:
        """Take in episodes."""
        columns = [batch.observation, batch.action, batch.primary, batch.auxiliary, batch.present]
        if not self._columns:
            self._columns = [torch.zeros(len(one), self.size, *one.shape[2:], dtype=one.dtype) for one in columns]
        places = (self.count + torch.arange(columns[0].shape[1])) % self.size
        for kept, new in zip(self._columns, columns, strict=True):
            kept[:, places] = new
        self.count += columns[0].shape[1]

    def draw(self, episodes: int, generator: torch.Generator, *, leave_out: int = 0) -> EpisodeBatch:
        """Episodes drawn with replacement, the same places in every copy.

        Args:
            episodes: how many.
            generator: of the draw.
            leave_out: so many of the newest are not drawn.

        Raises:
            ValueError: nothing is left to draw from.
        """
        held = min(self.count, self.size)
        choices = held - leave_out
        if choices < 1:
            raise ValueError(f"the buffer holds {held} episodes, of which the newest {leave_out} are left out")
        back = torch.randint(choices, (episodes,), generator=generator)
        places = (self.count - 1 - leave_out - back) % self.size
        return EpisodeBatch(*(kept[:, places] for kept in self._columns))
