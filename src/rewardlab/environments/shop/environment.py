"""The shop: a customer's wish, a search over a catalogue, and one purchase."""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rewardlab.environments.base import Split, Step, check_split, play
from rewardlab.environments.shop.catalogue import Catalogue, Goal
from rewardlab.environments.shop.made_up import BRANDS, CATEGORIES, Range, made_up_catalogue, made_up_goals
from rewardlab.environments.shop.purchase import score_purchase
from rewardlab.environments.shop.shopper import Shopper
from rewardlab.environments.shop.store import Store
from rewardlab.environments.shop.written_goals import read_written_goals
from rewardlab.environments.tool_environment import ToolEnvironment
from rewardlab.environments.tools import Toolbox
from rewardlab.types import Message, Task, Trajectory, call_message


@dataclass(frozen=True, slots=True)
class Level:
    """How hard the shop is.

    Args:
        size: of the made-up catalogue and its goals.
        page: results on a page.
        show_tools: whether the policy is shown the descriptions of the tools.
        system: the message that opens every conversation.
        wordings: how a goal may be put; `{what}`, `{options}` and `{price}` are filled in.
    """

    size: Range
    page: int
    show_tools: bool
    system: str
    wordings: tuple[str, ...]


LEVELS: dict[str, Level] = {
    "small": Level(
        size=Range(categories=8, products=10, attributes=(2, 3), values=(2, 4), wanted=(1, 1), options=1, prices=5),
        page=4,
        show_tools=False,
        system="Buy what is wanted.",
        wordings=("{what}, {options}, at most {price} dollars",),
    ),
    "full": Level(
        size=Range(categories=24, products=20, attributes=(2, 4), values=(2, 5), wanted=(1, 3), options=2, prices=1),
        page=10,
        show_tools=True,
        system=(
            "You shop for a customer. Search the shop, open items to see what they are, choose the options that the "
            "customer wants, and buy one item that fits in every point. Buying ends the visit."
        ),
        wordings=(
            "I am looking for a {what}, {options}, at most {price} dollars",
            "please find me a {what} with {options}; it must not cost more than {price} dollars",
            "i need {what}, and {options}, for up to {price} dollars",
        ),
    ),
}
"""Every level by name."""


class Shop(ToolEnvironment):
    """A shop with four tools (search, open, choose, buy); brings its own tasks and demonstrations.

    A task's `reference` is its goal: `category`, `title`, `attributes`, `options`, `price` (the limit) and `item` (one that
    fits). Buying ends the attempt, and so does a text without a call, which leaves without buying. The last step's `info`
    has `bought` (the product with what was chosen, or None) and `success` (it fits in every point); the reward `shop_score`
    grades it.

    Args:
        level: `small` (8 kinds of things, one attribute, one option, no tool descriptions: for a tiny model trained from
            scratch) or `full` (24 kinds, up to three attributes and two options, three wordings: for real models).
        goals: a file or folder of goals that people wrote, in place of the made-up ones (see `read_written_goals`); products
            are then made to fit them, and the level says only how the shop is shown.
        noise: share of demonstrations by a careless customer, in [0, 1].
        max_calls: how many calls an attempt may make before it is truncated.
        show_tools: whether the policy is shown the descriptions of the tools; by default at the full level only.

    Raises:
        FileNotFoundError: there are no goals at the path.
        ValueError: an option has an unknown or impossible value; the message says which are possible.
    """

    def __init__(
        self,
        level: str = "small",
        *,
        goals: str | Path | None = None,
        noise: float = 0.0,
        max_calls: int = 12,
        show_tools: bool | None = None,
    ) -> None:
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
        if isinstance(noise, bool) or not isinstance(noise, (int, float)) or not 0.0 <= noise <= 1.0:
            raise ValueError(f"noise must be a share in [0, 1], got {noise!r}")
        super().__init__(max_calls=max_calls)
        self.level = level
        self.goals = goals
        self.noise = float(noise)
        self.catalogue = _made_up(level) if goals is None else read_written_goals(goals).catalogue
        self.tools = TOOL_SCHEMAS if (LEVELS[level].show_tools if show_tools is None else show_tools) else []
        self._store: Store | None = None

    # ---- acting -----------------------------------------------------------------------------------------------------

    def toolbox_for(self, task: Task) -> Toolbox:
        """The four tools of a new visit."""
        self._check(task)
        self._store = Store(self.catalogue, LEVELS[self.level].page)
        return self._store.toolbox()

    def finish(self, task: Task, answer: str) -> dict[str, Any]:
        """A text without a call leaves the shop."""
        return {"bought": None, "success": False}

    def step(self, action: Message) -> Step:
        """As `ToolEnvironment.step`; the last step of an attempt has `bought` and `success` in its `info`."""
        step = super().step(action)
        if step.truncated:
            step.info.update(bought=None, success=False)
        return step

    def _run(self, calls: list[Any]) -> Step:
        step = super()._run(calls)
        assert self._store is not None  # an attempt was begun
        bought = self._store.bought
        if bought is not None:
            assert self._task is not None
            step.terminated, step.truncated = True, False
            step.info.update(bought=bought, success=score_purchase(self._task.reference, bought).value == 1.0)
        return step

    # ---- tasks ------------------------------------------------------------------------------------------------------

    def tasks(self, split: Split, count: int, seed: int = 0) -> list[Task]:
        """Make tasks. No goal of one split occurs in the other, whatever the seeds.

        Args:
            split: `train` or `test`.
            count: how many; a larger count begins with the same tasks.
            seed: which ones.

        Raises:
            ValueError: an unknown split, a negative count, or more than people wrote.
        """
        check_split(split, count)
        goals = self._written(split, count, seed) if self.goals is not None else self._drawn(split, seed)
        return [self._task_of(goal, split, seed, index) for index, goal in enumerate(islice(goals, count))]

    def demonstrations(self, tasks: Sequence[Task]) -> list[Trajectory]:
        """Let the scripted customer shop, through the real tools; a share of `noise` is careless.

        Returns:
            One trajectory for each task. `info["careless"]` says whether the customer was.
        """
        environment = Shop(self.level, goals=self.goals, max_calls=max(self.max_calls, 40))
        demonstrations = []
        for task in tasks:
            self._check(task)
            careless = random.Random(f"careless/{task.id}").random() < self.noise
            trajectory = play(environment, task, Shopper(Goal(**task.reference), careless=careless))
            trajectory.info["careless"] = careless
            demonstrations.append(trajectory)
        return demonstrations

    def corpus(self, seed: int = 0, count: int = 400) -> list[list[Message]]:
        """Conversations with the words of the shop, for fitting a tokenizer; all from the train split.

        Returns:
            `count` demonstrations, one attempt full of errors, and one list of the made-up catalogue's words and numbers.
        """
        tasks = self.tasks("train", count, seed)
        conversations = [trajectory.messages for trajectory in self.demonstrations(tasks)]
        conversations.append(self._mistakes(tasks[0] if tasks else self.tasks("train", 1, seed)[0]))
        kinds = list(CATEGORIES.items())[: LEVELS[self.level].size.categories]
        words: list[str] = list(BRANDS)
        for kind, (attributes, options) in kinds:
            words += [kind, *attributes, *options, *(value for values in options.values() for value in values)]
        words += map(str, range(130))
        conversations.append([{"role": "user", "content": " ".join(dict.fromkeys(words))}])
        return conversations

    def _drawn(self, split: Split, seed: int) -> Iterator[Goal]:
        """Made-up goals of one split; a hash of what is wanted, price aside, says whose it is."""
        rng = random.Random(f"shop/{self.level}/{split}/{seed}")
        for goal in made_up_goals(self.catalogue, LEVELS[self.level].size, rng):
            if split_of(goal) == split:
                yield goal

    def _written(self, split: Split, count: int, seed: int) -> Iterator[Goal]:
        assert self.goals is not None
        written = read_written_goals(self.goals)
        goals = written.train if split == "train" else written.test
        if count > len(goals):
            raise ValueError(f"there are {len(goals)} goals to {split} with, got count {count}")
        return (goals[place] for place in random.Random(f"shop/written/{seed}").sample(range(len(goals)), len(goals)))

    def _task_of(self, goal: Goal, split: Split, seed: int, index: int) -> Task:
        level = LEVELS[self.level]
        kind = self.level if self.goals is None else f"written-{self.level}"
        identity = f"shop/{kind}/{split}/{seed}/{index}"
        if goal.text is None:
            wording = random.Random(identity).choice(level.wordings)
            options = " and ".join(f"{option} {value}" for option, value in goal.options.items())
            what = " ".join([*goal.attributes, goal.title])
            text = wording.replace("{what}", what).replace("{options}", options).replace("{price}", str(goal.price))
        else:
            text = f"{goal.text}, and price lower than {goal.price} dollars"
        return Task(
            id=identity,
            prompt=[{"role": "system", "content": level.system}, {"role": "user", "content": text}],
            reference=goal.to_json(),
            tools=list(self.tools),
            metadata={
                "category": goal.category,
                "points": len(goal.attributes) + len(goal.options) + (goal.price is not None),
                "split": split,
                "level": self.level,
                "catalogue": self.catalogue.name,
            },
        )

    def _check(self, task: Task) -> None:
        found = task.metadata.get("catalogue")
        if found != self.catalogue.name or not isinstance(task.reference, dict):
            raise ValueError(
                f"task {task.id!r} is not one of this shop: its catalogue is {found!r}, expected {self.catalogue.name!r}; "
                "make tasks with the tasks() of a shop with the same level and goals"
            )

    def _mistakes(self, task: Task) -> list[Message]:
        """An attempt in which every tool is called wrongly, so that a tokenizer sees how errors read."""
        toolbox = self.toolbox_for(task)
        wrong: list[tuple[str, dict[str, Any]]] = [
            ("buy", {}),
            ("search", {"query": "xylophone"}),
            ("search", {"query": task.reference["title"], "page": 99}),
            ("open", {"item": "A1"}),
            ("choose", {"option": "color"}),
        ]
        conversation = list(task.prompt or [])
        for name, arguments in wrong:
            action = call_message(name, arguments, identity="call_1")
            conversation += [action, toolbox.answer(action["tool_calls"][0])[0]]
        return conversation


def split_of(goal: Goal) -> Split:
    """Which split a made-up goal belongs to: one in five is held out, by what is wanted and not by how it is put."""
    wanted = [goal.category, *sorted(goal.attributes), *sorted(map(":".join, goal.options.items()))]
    return "test" if hashlib.sha256("|".join(wanted).encode()).digest()[0] < 51 else "train"


@functools.cache
def _made_up(level: str) -> Catalogue:
    return made_up_catalogue(level, LEVELS[level].size)


TOOL_SCHEMAS = Store(Catalogue("empty", []), 1).toolbox().schemas
"""Descriptions of the four tools; they do not depend on the catalogue."""
