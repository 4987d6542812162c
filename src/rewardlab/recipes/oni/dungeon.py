"""The message dungeon: levels of a grid in which most steps say nothing, a few say something, and only the last one pays.

All runs and all their environments step together: arrays have axes [run, environment]. A message is a number; its text is
looked up only where somebody reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SIDE = 5
CELLS = SIDE * SIDE
ACTIONS = 5
"""Up, down, left, right, and staying."""

NOTHING, ORNAMENT, STAIRS, TRAP, KEY, RAT = range(6)
WALL_TEXT, LOCKED_TEXT, TRAP_TEXT, RAT_TEXT, FIRST_ORNAMENT = 0, 1, 2, 3, 4
ORNAMENTS = [
    "statue",
    "fountain",
    "altar",
    "carpet",
    "painting",
    "mirror",
    "candle",
    "bookshelf",
    "tapestry",
    "vase",
    "skull",
    "banner",
    "chandelier",
    "throne",
    "pillar",
    "urn",
    "anvil",
    "harp",
    "globe",
    "clock",
]
FIRST_KEY = FIRST_ORNAMENT + len(ORNAMENTS)
KEYS = [
    "grab amulet",
    "seize token",
    "collect sigil",
    "claim seal",
    "lift rune",
    "gather badge",
    "snatch medal",
    "obtain crest",
]
WAYS = [
    "climb ladder",
    "enter tunnel",
    "cross bridge",
    "ride hoist",
    "use portal",
    "board ferry",
    "slide chute",
    "mount ramp",
]
ADJECTIVES = [
    "old",
    "red",
    "wet",
    "odd",
    "dim",
    "tall",
    "worn",
    "grey",
    "cold",
    "huge",
    "tiny",
    "soft",
    "dark",
    "pale",
    "loud",
    "blue",
    "dull",
    "thin",
    "rusty",
    "green",
    "round",
    "heavy",
    "dusty",
    "broken",
    "golden",
    "silent",
    "narrow",
    "gloomy",
    "ancient",
    "crooked",
]


@dataclass(frozen=True)
class World:
    """What the dungeons of one trial have in common.

    Args:
        levels: how many.
        adjectives: two of so many stand in each message, so that there are adjectives**2 forms of each.
        vocabulary: whether key and stairs go by the same words everywhere, or by others on each level.
        rat: whether a rat lives on the first level, whose catching is reported each time anew.
    """

    levels: int = 5
    adjectives: int = 1
    vocabulary: Literal["shared", "level"] = "shared"
    rat: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.levels <= len(KEYS):
            raise ValueError(f"levels must be from 1 to {len(KEYS)}, got {self.levels}")
        if not 1 <= self.adjectives <= len(ADJECTIVES):
            raise ValueError(f"adjectives must be from 1 to {len(ADJECTIVES)}, got {self.adjectives}")

    @property
    def states(self) -> int:
        """Level, cell, and whether the key is held."""
        return self.levels * CELLS * 2

    @property
    def horizon(self) -> int:
        """Steps after which a trajectory is cut."""
        return 30 * self.levels

    @property
    def kinds(self) -> int:
        """Messages but for their adjectives."""
        return FIRST_KEY + 2 * (self.levels if self.vocabulary == "level" else 1)

    @property
    def messages(self) -> int:
        """Different messages, and the empty one, which is number 0."""
        return 1 + self.kinds * self.adjectives**2

    def kind(self, message: NDArray[Any]) -> NDArray[Any]:
        """What messages (not empty) are about."""
        return (message - 1) // self.adjectives**2

    @cached_property
    def texts(self) -> list[str]:
        """Text of each message."""
        words = ADJECTIVES[: self.adjectives]
        pairs = [f"{one} {two}" for one in words for two in words]
        return ["", *(template.replace("*", pair) for template in self._templates for pair in pairs)]

    @property
    def _templates(self) -> list[str]:
        named = [
            "You bump into the * wall.",
            "The * hatch is locked.",
            "You fall into the * pit.",
            "You catch the * rat.",
            *(f"You see a * {noun}." for noun in ORNAMENTS),
        ]
        if self.vocabulary == "shared":
            return [*named, "You take the * key.", "You descend the * stairs."]
        for key, way in zip(KEYS[: self.levels], WAYS, strict=False):
            named += [f"You {one.split()[0]} the * {one.split()[1]}." for one in (key, way)]
        return named

    @cached_property
    def helpful(self) -> NDArray[np.bool_]:
        """bool[message]: key, stairs, and the rat, which the judge likes too."""
        kinds = self.kind(np.arange(self.messages))
        return (kinds >= FIRST_KEY) | ((kinds == RAT_TEXT) & (np.arange(self.messages) > 0))

    @cached_property
    def harmful(self) -> NDArray[np.bool_]:
        """bool[message]: falling into traps."""
        return (self.kind(np.arange(self.messages)) == TRAP_TEXT) & (np.arange(self.messages) > 0)


@dataclass
class Dungeons:
    """Runs of a world, each with a dungeon of its own and so many environments.

    Args:
        world: what they have in common.
        seeds: of the dungeon of each run; equal seeds give equal dungeons.
        environments: how many each run has.
    """

    world: World
    seeds: Sequence[int]
    environments: int = 32
    level: NDArray[np.int64] = field(init=False)
    cell: NDArray[np.int64] = field(init=False)
    key: NDArray[np.int64] = field(init=False)
    clock: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        layouts = [_layout(self.world, seed) for seed in self.seeds]
        self.content = np.stack([content for content, _, _ in layouts])
        self.nouns = np.stack([nouns for _, nouns, _ in layouts])
        self.begin = np.stack([begin for _, _, begin in layouts])
        shape = (len(self.seeds), self.environments)
        self.rows = np.arange(len(self.seeds))[:, None]
        self.level, self.key, self.clock = (np.zeros(shape, dtype=np.int64) for _ in range(3))
        self.cell = np.broadcast_to(self.begin[:, :1], shape).copy()

    @property
    def state(self) -> NDArray[np.int64]:
        """int[run, environment], number of the state."""
        return (self.level * CELLS + self.cell) * 2 + self.key

    def step(
        self, actions: NDArray[np.int64], drawn: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
        """One step of all; what ended begins anew with `restart`.

        Args:
            actions: int[run, environment].
            drawn: the adjectives of a message, int[run, environment] below adjectives**2.

        Returns:
            Messages (0 for none), whether the last level was left, and whether time is up.
        """
        world, rows = self.world, self.rows
        after = _MOVES[self.cell, actions]
        moved = after != self.cell
        what = np.where(moved, self.content[rows, self.level, after], NOTHING)
        taken = (what == KEY) & (self.key == 0)
        stairs = what == STAIRS
        leaving = stairs & (self.key == 1)
        trapped = what == TRAP
        kind = np.full(actions.shape, -1)
        kind[~moved & (actions < 4)] = WALL_TEXT
        kind[stairs] = LOCKED_TEXT
        kind[trapped] = TRAP_TEXT
        kind[what == RAT] = RAT_TEXT
        kind = np.where(what == ORNAMENT, FIRST_ORNAMENT + self.nouns[rows, self.level, after], kind)
        offset = 2 * self.level if world.vocabulary == "level" else 0
        kind = np.where(taken, FIRST_KEY + offset, kind)
        kind = np.where(leaving, FIRST_KEY + 1 + offset, kind)
        messages = np.where(kind >= 0, 1 + kind * world.adjectives**2 + drawn, 0)
        self.key = np.where(leaving, 0, self.key | taken)
        self.level = self.level + leaving
        won = self.level == world.levels
        self.level = np.minimum(self.level, world.levels - 1)
        self.cell = np.where(leaving | trapped, self.begin[rows, self.level], after)
        self.clock = self.clock + 1
        return messages, won, (self.clock >= world.horizon) & ~won

    def restart(self, ended: NDArray[np.bool_]) -> None:
        """Begin anew where a trajectory ended."""
        for column in (self.level, self.key, self.clock):
            column[ended] = 0
        self.cell = np.where(ended, self.begin[:, :1], self.cell)


def _layout(world: World, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """What lies in the cells of each level, which ornament, and where one begins."""
    generator = np.random.default_rng([seed, world.levels])
    content = np.zeros((world.levels, CELLS), dtype=np.int64)
    nouns = np.zeros((world.levels, CELLS), dtype=np.int64)
    begin = np.zeros(world.levels, dtype=np.int64)
    for level in range(world.levels):
        cells = generator.permutation(CELLS)
        begin[level] = cells[0]
        content[level, cells[1:4]] = (KEY, STAIRS, TRAP)
        content[level, cells[4:10]] = ORNAMENT
        nouns[level, cells[4:10]] = generator.choice(len(ORNAMENTS), size=6, replace=False)
        if world.rat and level == 0:
            content[level, cells[10]] = RAT
    return content, nouns, begin


def _moves() -> NDArray[np.int64]:
    rows, columns = np.divmod(np.arange(CELLS), SIDE)
    steps = ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))
    ways = [np.clip(rows + down, 0, SIDE - 1) * SIDE + np.clip(columns + right, 0, SIDE - 1) for down, right in steps]
    return np.stack(ways, axis=1)


_MOVES = _moves()
