"""The writer of reflections as a small network, and the reward model that is learned from its ratings."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from rewardlab.recipes.retroformer.world import ACTIONS, CODES, FEATURES, SLOTS, Attempts


class Writer(nn.Module):
    """Reads an attempt slot by slot, and says which slot to change and to what.

    Args:
        hidden: width.
        seed: of the weights.
    """

    def __init__(self, *, hidden: int = 48, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Linear(FEATURES, hidden),
                nn.GELU(),
                nn.Linear(hidden, hidden),
                nn.GELU(),
                nn.Linear(hidden, 1 + ACTIONS),
            )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of slots float[task, slot], and of actions given the slot float[task, slot, action]."""
        read = self.layers(features)
        return torch.log_softmax(read[..., 0], -1), torch.log_softmax(read[..., 1:], -1)

    def logprobs(self, features: Tensor, slot: Tensor, action: Tensor) -> Tensor:
        """Log-probabilities of both words, float[task, 2]."""
        slots, actions = self(features)
        rows = torch.arange(len(slot))
        return torch.stack([slots[rows, slot], actions[rows, slot, action]], dim=-1)

    def write(self, attempts: Attempts, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Reflections at temperature 1: slot and action, int64[task]."""
        with torch.no_grad():
            slots, actions = self(attempts.features)
            slot = torch.multinomial(slots.exp(), 1, generator=generator).squeeze(-1)
            chosen = actions[torch.arange(len(slot)), slot]
            return slot, torch.multinomial(chosen.exp(), 1, generator=generator).squeeze(-1)

    def copied(self) -> Writer:
        """A writer with weights of its own."""
        return copy.deepcopy(self)


class RatingModel(nn.Module):
    """Log-odds that a reflection helps, from the slot that it names and the action that it wants there.

    Args:
        hidden: width.
        seed: of the weights.
    """

    def __init__(self, *, hidden: int = 48, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Linear(FEATURES + ACTIONS, hidden),
                nn.GELU(),
                nn.Linear(hidden, hidden),
                nn.GELU(),
                nn.Linear(hidden, 1),
            )

    def forward(self, features: Tensor, slot: Tensor, action: Tensor) -> Tensor:
        """float[task]."""
        named = features[torch.arange(len(slot)), slot]
        wanted = torch.nn.functional.one_hot(action, ACTIONS).float()
        out: Tensor = self.layers(torch.cat([named, wanted], -1)).squeeze(-1)
        return out


def weak_reflections(attempts: Attempts, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What the writer is pretrained on: 60% name a slot with a code, 35% know the right action, the rest is chance."""
    count = len(attempts)
    coded = (attempts.codes > 0).float() + 1e-9
    named = torch.multinomial(coded, 1, generator=generator).squeeze(-1)
    slot = torch.where(
        torch.rand(count, generator=generator) < 0.6, named, torch.randint(SLOTS, (count,), generator=generator)
    )
    right = attempts.right[torch.arange(count), slot]
    action = torch.where(
        torch.rand(count, generator=generator) < 0.35, right, torch.randint(ACTIONS, (count,), generator=generator)
    )
    return slot, action


__all__ = ["CODES", "RatingModel", "Writer", "weak_reflections"]
