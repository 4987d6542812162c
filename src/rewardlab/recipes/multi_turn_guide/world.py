"""Quests: rooms on a line, objects that stand in them, and a list of objects to take in order; as text, turn by turn.

Where an object stands is told nowhere: it is the same in all quests of one world, and has to be learned. Three axes make it
harder, one at a time: rooms (how far apart things are), objects (how much is to be known) and length (how long a quest is).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.environments.base import Environment, Split, Step, play
from rewardlab.types import Message, Task, Trajectory, message_text

LEFT, RIGHT = 0, 1
MOVES = ("left", "right")


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """How hard quests are.

    Args:
        rooms: on a line; an attempt begins in the first.
        objects: how many there are.
        length: objects to take in a quest, of which some may be asked for twice.
    """

    rooms: int = 2
    objects: int = 3
    length: int = 4

    def __post_init__(self) -> None:
        for name in ("rooms", "objects", "length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def turns(self) -> int:
        """The most actions of an attempt."""
        return int(2 * self.length * (1 + 0.6 * (self.rooms - 1))) + 1

    @property
    def actions(self) -> int:
        """Left, right, and taking each object."""
        return 2 + self.objects

    def places(self, seed: int) -> NDArray[np.int64]:
        """int64[object]: the room of each object in the world of this seed."""
        return np.random.default_rng([seed, 11]).integers(0, self.rooms, self.objects)

    def split(self, seed: int) -> dict[str, NDArray[np.int64]]:
        """The quests of both splits, int64[quest, length]: no quest of one is in the other.

        Test quests are a fifth of all; where there are more than 20,000, of as many drawn ones.
        """
        draw = np.random.default_rng([seed, 12])
        total = self.objects**self.length
        if total <= 20_000:
            quests = np.array(list(itertools.product(range(self.objects), repeat=self.length)))
        else:
            quests = np.unique(draw.integers(0, self.objects, (20_000, self.length)), axis=0)
        quests = draw.permutation(quests)
        cut = max(1, len(quests) // 5)
        return {"test": quests[:cut], "train": quests[cut:]}


BASE = Level()
"""The simple world of the guide's question whether skills carry over."""
COMPLEX = Level(rooms=2, objects=6, length=8)


def expert_action(place: int, room: int, wanted: int) -> int:
    """What somebody who knows the place of the next object does: goes there, or takes it."""
    if place == room:
        return 2 + wanted
    return LEFT if place < room else RIGHT


class Quest(Environment):
    """A quest as a conversation: the prompt lists the objects, each turn shows progress and room, an action is one word.

    Words that are no action cost a turn. Each object that is taken in order pays `1 / length`; `info` says whether the
    quest was `won`, and `score`, the objects taken so far. What comes of it: won and lost by the limit are different
    ends (`terminated` and `truncated`).

    Args:
        rooms, objects, length: see `Level`.
        seed: of the world: where the objects stand.
    """

    def __init__(self, *, rooms: int = 2, objects: int = 3, length: int = 4, seed: int = 0) -> None:
        self.level = Level(rooms=rooms, objects=objects, length=length)
        self.world = seed
        self.places = self.level.places(seed)
        self._wanted: list[int] | None = None

    @property
    def pieces(self) -> list[str]:
        """The words of this world, for `rewardlab.recipes.pieces`."""
        level = self.level
        shown = [f"done{number} " for number in range(level.length + 1)] + [
            f"room{number} " for number in range(level.rooms)
        ]
        return [
            *MOVES,
            *(f"take{number}" for number in range(level.objects)),
            *(f"get{n} " for n in range(level.objects)),
            *shown,
        ]

    def tasks(self, split: Split, count: int, seed: int = 0) -> list[Task]:
        """Quests; they come again where more are asked for than there are."""
        quests = self.level.split(self.world)[split]
        order = np.random.default_rng([self.world, 13, seed]).permutation(len(quests))
        made = []
        for number in range(count):
            quest = [int(wanted) for wanted in quests[order[number % len(quests)]]]
            name = "".join(map(str, quest)) + (f"/{number // len(quests)}" if number >= len(quests) else "")
            made.append(Task(id=name, reference=quest, prompt=[{"role": "user", "content": _listed(quest)}]))
        return made

    def demonstrations(self, tasks: Sequence[Task]) -> list[Trajectory]:
        """Each quest done without a detour."""
        return [play(self, task, self._act) for task in tasks]

    def reset(self, task: Task, seed: int) -> list[Message]:
        """Begin a quest."""
        wanted = task.reference
        if not isinstance(wanted, list) or not all(
            isinstance(one, int) and 0 <= one < self.level.objects for one in wanted
        ):
            raise ValueError(f"task {task.id!r} is no quest of this world: its reference must be a list of objects")
        self._wanted, self._room, self._taken, self._turns = list(wanted), 0, 0, 0
        return [{"role": "user", "content": _listed(wanted) + self._state()}]

    def step(self, action: Message) -> Step:
        """Do what the word says."""
        if self._wanted is None:
            raise RuntimeError("the quest is over, or was never begun; call reset(task, seed) first")
        word, before = message_text(action).strip(), self._taken
        self._turns += 1
        if word in MOVES:
            self._room = min(max(self._room + (1 if word == "right" else -1), 0), self.level.rooms - 1)
        else:
            wanted = self._wanted[self._taken]
            if word == f"take{wanted}" and self.places[wanted] == self._room:
                self._taken += 1
        won = self._taken == len(self._wanted)
        lost = not won and self._turns >= self.level.turns
        step = Step(
            observation=[] if won else [{"role": "user", "content": self._state()}],
            reward=(self._taken - before) / len(self._wanted),
            terminated=won,
            truncated=lost,
            info={"won": won, "score": self._taken},
        )
        if step.ended:
            self._wanted = None
        return step

    def _act(self, conversation: list[Message]) -> Message:
        assert self._wanted is not None  # play has reset it
        wanted = self._wanted[self._taken]
        number = expert_action(int(self.places[wanted]), self._room, wanted)
        return {"role": "assistant", "content": MOVES[number] if number < 2 else f"take{wanted}"}

    def _state(self) -> str:
        return f"done{self._taken} room{self._room} "


def _listed(quest: Sequence[Any]) -> str:
    return "".join(f"get{wanted} " for wanted in quest)
