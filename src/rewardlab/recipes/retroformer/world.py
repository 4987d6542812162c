"""Tasks of five slots, an actor that never learns, and reflections of two words: which slot was wrong, and what to do there.

After an attempt every slot shows a code: 0 for right, else a number that names the right action only together with the
action taken, through a secret table. For each type of task the code of one slot is noise, and to blame that slot is a
mistake. The actor does the same in every attempt but for what reflections told it, each of which it obeys with a fixed
chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import one_hot

SLOTS, ACTIONS, TYPES = 5, 5, 6
CODES = ACTIONS + 1
FEATURES = ACTIONS + CODES + SLOTS + TYPES


@dataclass(frozen=True, slots=True)
class Attempts:
    """Attempts at some tasks, in columns.

    Args:
        kind: int64[task].
        right: int64[task, slot], the right actions.
        taken: int64[task, slot], what the actor does.
        codes: int64[task, slot], what it saw.
    """

    kind: Tensor
    right: Tensor
    taken: Tensor
    codes: Tensor

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def returns(self) -> Tensor:
        """float[task]: share of slots that are right."""
        return (self.taken == self.right).float().mean(-1)

    @property
    def solved(self) -> Tensor:
        """bool[task]."""
        return (self.taken == self.right).all(-1)

    @property
    def features(self) -> Tensor:
        """float[task, slot, feature]: what the writer reads, one row for each slot."""
        count = len(self)
        return torch.cat(
            [
                one_hot(self.taken, ACTIONS),
                one_hot(self.codes, CODES),
                torch.eye(SLOTS, dtype=torch.int64).expand(count, -1, -1),
                one_hot(self.kind, TYPES)[:, None].expand(-1, SLOTS, -1),
            ],
            dim=-1,
        ).float()

    def select(self, rows: Tensor) -> Attempts:
        """Some of them."""
        return Attempts(self.kind[rows], self.right[rows], self.taken[rows], self.codes[rows])


@dataclass(frozen=True, kw_only=True)
class World:
    """The secret table, and the actor.

    Args:
        seed: of everything.
        skill: how often the actor knows the right action of a slot; elsewhere it takes any.
        obedience: chance that it does what a reflection says.
        noise: chance that a slot is done anew by chance in every attempt; 0 for the paper's greedy actor.
    """

    seed: int
    skill: float = 0.6
    obedience: float = 0.9
    noise: float = 0.0

    @cached_property
    def table(self) -> Tensor:
        """int64[action taken, right action]: the code; 0 where they are the same."""
        generator = torch.Generator().manual_seed(1000 + self.seed)
        rows = torch.stack([torch.randperm(ACTIONS, generator=generator) + 1 for _ in range(ACTIONS)])
        return rows * (1 - torch.eye(ACTIONS, dtype=torch.int64))

    @cached_property
    def flaky(self) -> Tensor:
        """int64[type]: the slot whose code is noise."""
        generator = torch.Generator().manual_seed(2000 + self.seed)
        return torch.randint(SLOTS, (TYPES,), generator=generator)

    def first(self, count: int, stream: int) -> Attempts:
        """First attempts at new tasks; every stream has tasks of its own."""
        generator = torch.Generator().manual_seed(10_000 * (self.seed + 1) + stream)
        kind = torch.randint(TYPES, (count,), generator=generator)
        right = torch.randint(ACTIONS, (count, SLOTS), generator=generator)
        guess = torch.randint(ACTIONS, (count, SLOTS), generator=generator)
        known = torch.rand(count, SLOTS, generator=generator) < self.skill
        return self._seen(kind, right, torch.where(known, right, guess), generator)

    def again(
        self, before: Attempts, slot: Tensor | None, action: Tensor | None, generator: torch.Generator
    ) -> Attempts:
        """The next attempt.

        Args:
            before: the attempt before.
            slot, action: int64[task], what the reflection says; None for a retry without one.
            generator: of the actor's obedience, and of noise.
        """
        taken = before.taken.clone()
        if self.noise:
            anew = torch.rand(taken.shape, generator=generator) < self.noise
            known = torch.rand(taken.shape, generator=generator) < self.skill
            guess = torch.randint(ACTIONS, taken.shape, generator=generator)
            taken = torch.where(anew, torch.where(known, before.right, guess), taken)
        if slot is not None and action is not None:
            obeyed = torch.rand(len(taken), generator=generator) < self.obedience
            rows = torch.arange(len(taken))[obeyed]
            taken[rows, slot[obeyed]] = action[obeyed]
        return self._seen(before.kind, before.right, taken, generator)

    def _seen(self, kind: Tensor, right: Tensor, taken: Tensor, generator: torch.Generator) -> Attempts:
        codes = self.table[taken, right]
        random = torch.randint(CODES, (len(kind),), generator=generator)
        codes[torch.arange(len(kind)), self.flaky[kind]] = random
        return Attempts(kind, right, taken, codes)

    def oracle(self, attempts: Attempts) -> tuple[Tensor, Tensor]:
        """The best reflection: a slot that is wrong, and its right action."""
        slot = (attempts.taken != attempts.right).float().argmax(-1)
        return slot, attempts.right[torch.arange(len(slot)), slot]
