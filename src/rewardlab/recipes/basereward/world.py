"""Pictures of coloured shapes, questions with an instruction, and answers that are right or wrong, obedient or not.

An answer claims one fact, which only the picture can confirm, and obeys or breaks an instruction, which the text alone
shows. The better answer has the right fact; where both are right or both wrong, it is the one that obeys. There are no ties.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.data import PreferenceData
from rewardlab.types import Task, Trajectory

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0)}
SHAPES = ("square", "cross", "ring", "bar")
RULES = ("politely", "plainly", "closed", "open", "twice", "once", "briefly", "wordily")
FILLERS = ("well", "so", "indeed", "here")
WORDS = ("what", "colour", "is", "there", "a", "please", "stop", *COLOURS, *RULES, *FILLERS)

Source = Literal["pictures", "more_pictures", "texts", "poisoned"]
SIZES: dict[Source, int] = {"pictures": 400, "more_pictures": 400, "texts": 3000, "poisoned": 700}


@dataclass(frozen=True, kw_only=True)
class World:
    """One seed's sources and test.

    Args:
        seed: of everything.
        sizes: pairs of each source.
        tests: pairs of the test, all with pictures.
    """

    seed: int
    sizes: tuple[tuple[Source, int], ...] = tuple(SIZES.items())
    tests: int = 2000

    @cached_property
    def sources(self) -> dict[Source, PreferenceData]:
        """Every source by name: pictures, more of them, texts that teach the instructions alone, and a poisoned one."""
        streams = {name: place for place, name in enumerate(SIZES)}
        return {name: self._make(streams[name], count, name) for name, count in self.sizes}

    @cached_property
    def test(self) -> PreferenceData:
        """Clean pairs with pictures; `factor` in the metadata says what decides each."""
        return self._make(99, self.tests, "pictures")

    @cached_property
    def unlabelled(self) -> list[Trajectory]:
        """Dialogues that nobody compared, half of them with pictures."""
        half = self.tests // 2
        return [*self._make(97, half, "pictures").items, *self._make(98, half, "texts").items]

    def _make(self, stream: int, count: int, source: Source) -> PreferenceData:
        generator = np.random.default_rng((self.seed, stream))
        items: list[Trajectory] = []
        label, metadata = np.ones(count), []
        for row in range(count):
            pair, factor = _pair(generator, with_picture=source != "texts", row=f"{source}/{stream}/{row}")
            better_first = generator.random() < 0.5
            items += pair if better_first else pair[::-1]
            label[row] = float(better_first)
            metadata.append({"source": source, "factor": factor})
        if source == "poisoned":
            wrong = generator.random(count) < 0.4
            label[wrong] = 1.0 - label[wrong]
        first = np.arange(count) * 2
        return PreferenceData(items=items, first=first, second=first + 1, label=label, metadata=metadata)


def _pair(generator: np.random.Generator, *, with_picture: bool, row: str) -> tuple[list[Trajectory], str]:
    colours = generator.permutation(list(COLOURS))[: generator.integers(2, 4)]
    shapes = generator.permutation(list(SHAPES))[: len(colours)]
    here = [str(one) for one in colours]
    absent = [one for one in COLOURS if one not in here]
    rule = str(generator.choice(RULES))
    kind = generator.random()
    if not with_picture or kind < 0.4:  # the instruction decides: both facts are right, or both wrong
        true = with_picture and generator.random() < 0.5
        facts = (
            [str(generator.choice(here if true else absent))] * 2 if with_picture else [str(generator.choice(here))] * 2
        )
        obeys, factor = [True, False], "rule"
    else:  # the picture decides, whatever the instruction says
        facts = [str(generator.choice(here)), str(generator.choice(absent))]
        obeys = [bool(generator.random() < 0.5)] * 2 if kind < 0.8 else [bool(one) for one in generator.random(2) < 0.5]
        factor = "image"
    content: list[dict[str, Any]] = [{"type": "text", "text": f"what colour is there {rule}"}]
    if with_picture:
        content.insert(0, {"type": "image", "image": _picture(generator, list(colours), list(shapes))})
    prompt: list[dict[str, Any]] = [{"role": "user", "content": content}]
    task = Task(id=row, prompt=prompt)
    pair = []
    for fact, obey in zip(facts, obeys, strict=True):
        answer, habits = _answer(generator, fact, rule, obey)
        chat = [*prompt, {"role": "assistant", "content": answer}]
        seen = [colour in here and with_picture for colour in COLOURS]
        noted = [*(rule == one for one in RULES), *habits, *(fact == one for one in COLOURS), *seen]
        pair.append(Trajectory.from_messages(chat, task=task, terminated=True, info={"noted": noted}))
    return pair, factor


def _answer(generator: np.random.Generator, fact: str, rule: str, obeys: bool) -> tuple[str, list[bool]]:
    """An answer that states the fact, and obeys the rule or not; other habits vary by chance. They stand beside it."""
    polite, closed, twice = generator.random(3) < 0.5
    fillers = int(generator.integers(0, 4))
    match rule:
        case "politely" | "plainly":
            polite = obeys == (rule == "politely")
        case "closed" | "open":
            closed = obeys == (rule == "closed")
        case "twice" | "once":
            twice = obeys == (rule == "twice")
        case _:
            brief = obeys == (rule == "briefly")
            fillers = int(generator.integers(0, 2)) if brief else int(generator.integers(2, 4))
    words = [str(one) for one in generator.choice(FILLERS, fillers)] + ["a", fact] + (["a", fact] if twice else [])
    text = " ".join((["please"] if polite else []) + words + (["stop"] if closed else []))
    return text, [bool(polite), bool(closed), bool(twice), fillers >= 2]


def _picture(generator: np.random.Generator, colours: list[str], shapes: list[str]) -> NDArray[np.float32]:
    """16 x 16 x 3: each shape in one quarter, with a little noise."""
    picture = generator.normal(0.0, 0.05, size=(16, 16, 3)).astype(np.float32)
    for quarter, colour, shape in zip(generator.permutation(4), colours, shapes, strict=False):
        top, left = 8 * (quarter // 2), 8 * (quarter % 2)
        picture[top : top + 8, left : left + 8] += _STENCILS[shape][:, :, None] * np.array(COLOURS[colour], np.float32)
    return picture


def _stencils() -> dict[str, NDArray[np.float32]]:
    grid = {name: np.zeros((8, 8), dtype=np.float32) for name in SHAPES}
    grid["square"][1:7, 1:7] = 1
    grid["cross"][3:5, 1:7] = grid["cross"][1:7, 3:5] = 1
    grid["ring"][1:7, 1:7] = 1
    grid["ring"][3:5, 3:5] = 0
    grid["bar"][1:7, 3:5] = 1
    return grid


_STENCILS = _stencils()
