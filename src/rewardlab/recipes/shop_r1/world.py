"""A shop small enough to train in from scratch: pages of a few words, and people whose next action is partly chance.

What a person does depends on the page's intent with probability `1 - ambiguity`, else on nothing. To end the visit
needs no
argument, while what to click or type must be learnt through secret dictionaries: so `terminate` is the action whose
    exact match
is the easiest to get, although it is the right one only a third of the time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rewardlab.types import Task, Trajectory

TYPES = ("click", "type_and_submit", "terminate")
INTENTS, GOALS, ELEMENTS, SHOWN, TOPICS, FIELDS = 3, 4, 10, 4, 10, 3
SLOTS: dict[str, int] = {"type": 3, "code": ELEMENTS, "goal": GOALS, "field": FIELDS, "first": TOPICS, "second": TOPICS}
"""What an action is made of, with the number of values: type, two words of a click, field and two words of a text."""
USED: dict[str, tuple[str, ...]] = {
    "click": ("type", "code", "goal"),
    "type_and_submit": ("type", "field", "first", "second"),
    "terminate": ("type",),
}
"""The slots that each type has."""
FEATURES = INTENTS + GOALS + SHOWN * ELEMENTS + TOPICS


@dataclass(frozen=True, kw_only=True)
class World:
    """Pages, what people do on them, and the dictionaries between.

    Args:
        seed: of everything.
        ambiguity: how often a person's action has nothing to do with the page's intent.
        demonstrations: pages with people's actions, for the cold start.
        train: further ones, for reinforcement.
        test: held-out ones.
    """

    seed: int
    ambiguity: float = 0.35
    demonstrations: int = 200
    train: int = 2000
    test: int = 1000
    _names: tuple[str, ...] = field(default=("demonstrations", "train", "test"), init=False)

    @cached_property
    def secrets(self) -> dict[str, NDArray[np.int64]]:
        """The dictionaries: which place a goal clicks, how elements and goals are called, what is typed for a topic."""
        draw = np.random.default_rng([self.seed, 0])
        return {
            "place": draw.permutation(SHOWN),
            "code": draw.permutation(ELEMENTS),
            "goal": draw.permutation(GOALS),
            "field": draw.integers(FIELDS, size=GOALS),
            "first": draw.permutation(TOPICS),
            "second": draw.permutation(TOPICS),
        }

    def pages(self, name: str) -> Pages:
        """The pages of one part: `demonstrations`, `train` or `test`."""
        count = int(getattr(self, name))
        draw = np.random.default_rng([self.seed, 1 + self._names.index(name)])
        intent, goal = draw.integers(INTENTS, size=count), draw.integers(GOALS, size=count)
        shown = draw.permuted(np.tile(np.arange(ELEMENTS), (count, 1)), axis=1)[:, :SHOWN]
        topic = draw.integers(TOPICS, size=count)
        chance = draw.random(count) < self.ambiguity
        known = self.secrets
        human = {
            "type": np.where(chance, draw.integers(len(TYPES), size=count), intent),
            "code": known["code"][shown[np.arange(count), known["place"][goal]]],
            "goal": known["goal"][goal],
            "field": known["field"][goal],
            "first": known["first"][topic],
            "second": known["second"][topic],
        }
        return Pages(name=name, seed=self.seed, intent=intent, goal=goal, shown=shown, topic=topic, human=human)


@dataclass(frozen=True, kw_only=True)
class Pages:
    """Some pages, in columns.

    Args:
        name: of the part.
        seed: of the world.
        intent, goal, topic: int[page].
        shown: int[page, place], the elements on it.
        human: slot -> int[page], what the person does.
    """

    name: str
    seed: int
    intent: NDArray[np.int64]
    goal: NDArray[np.int64]
    shown: NDArray[np.int64]
    topic: NDArray[np.int64]
    human: dict[str, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.intent)

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """float32[page, feature], one-hot."""
        columns = [np.eye(INTENTS)[self.intent], np.eye(GOALS)[self.goal]]
        columns += [np.eye(ELEMENTS)[self.shown[:, place]] for place in range(SHOWN)]
        columns.append(np.eye(TOPICS)[self.topic])
        return np.concatenate(columns, axis=1).astype(np.float32)

    @cached_property
    def tasks(self) -> list[Task]:
        """The pages as prompts, with the person's action as the reference."""
        return [
            Task(
                id=f"shop_r1/{self.seed}/{self.name}/{page}",
                prompt=[{"role": "user", "content": self._text(page)}],
                reference=action({slot: int(values[page]) for slot, values in self.human.items()}),
            )
            for page in range(len(self))
        ]

    def demonstrations(self) -> list[Trajectory]:
        """The pages with the person's action as the answer."""
        return [
            Trajectory.from_text(self._text(page), answer(task.reference), task=task)
            for page, task in enumerate(self.tasks)
        ]

    def _text(self, page: int) -> str:
        elements = "".join(f" item{element}" for element in self.shown[page])
        return f"intent{self.intent[page]} goal{self.goal[page]}{elements} topic{self.topic[page]}"


def action(slots: dict[str, int]) -> dict[str, str]:
    """The action that values of the slots stand for."""
    kind = TYPES[slots["type"]]
    if kind == "click":
        return {"type": kind, "name": f"code{slots['code']} way{slots['goal']}"}
    if kind == "type_and_submit":
        return {"type": kind, "name": f"field{slots['field']}", "text": f"word{slots['first']} sort{slots['second']}"}
    return {"type": kind}


def answer(said: dict[str, str], rationale: str = "") -> str:
    """What a policy writes for an action."""
    return json.dumps({"rationale": rationale, "action": said})


def pieces() -> list[str]:
    """What the tokens of a tiny language model of this world stand for; every answer is made of them."""
    opening = '{"rationale": "", "action": {"type": "'
    return [
        f'{opening}click", "name": "',
        f'{opening}type_and_submit", "name": "',
        f'{opening}terminate"}}}}',
        '", "text": "',
        '"}}',
        *(f"intent{place}" for place in range(INTENTS)),
        *(f" goal{place}" for place in range(GOALS)),
        *(f" item{place}" for place in range(ELEMENTS)),
        *(f" topic{place}" for place in range(TOPICS)),
        *(f"code{place}" for place in range(ELEMENTS)),
        *(f" way{place}" for place in range(GOALS)),
        *(f"field{place}" for place in range(FIELDS)),
        *(f"word{place}" for place in range(TOPICS)),
        *(f" sort{place}" for place in range(TOPICS)),
    ]
