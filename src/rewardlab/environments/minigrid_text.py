"""MiniGrid and BabyAI as text: the mission, what the agent sees in words, and actions by name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from rewardlab.environments.base import Environment, Split, Step, play
from rewardlab.environments.minigrid_search import find_way
from rewardlab.environments.spoken import EMPTY_ACTION, listed, read_choice, seed_of, spoken_action, task_seed
from rewardlab.extras import require
from rewardlab.types import Message, Task, Trajectory

ACTIONS = ("turn left", "turn right", "go forward", "pick up", "drop", "toggle", "done")
_MOST_DRAWS = 1000
_EMPTY = frozenset({"unseen", "empty", "wall", "floor", "agent"})


class MiniGridText(Environment):
    """A level of MiniGrid or BabyAI that a language model plays.

    A task is one layout: its seed draws it, and a hash of what the level looks like says whether it belongs to the training
    or to the test tasks, so that no layout is in both. `Step.reward` is the level's own; the last step's `info` has
    `success` and `actions`.

    Args:
        level: a registered name that begins with `MiniGrid-` or `BabyAI-`.
        max_steps: most actions; the level's own limit counts beside it.

    Raises:
        ImportError: minigrid is not installed.
        ValueError: there is no such level.
    """

    def __init__(self, level: str = "BabyAI-GoToObj-v0", *, max_steps: int | None = None) -> None:
        require("minigrid", extra="worlds", why="MiniGrid")
        gymnasium = require("gymnasium", extra="worlds", why="MiniGrid")
        from minigrid.core.constants import IDX_TO_COLOR, IDX_TO_OBJECT
        from minigrid.envs.babyai.core import roomgrid_level

        roomgrid_level.__dict__["print"] = _silent  # it prints a line for every layout that it draws and throws away
        if not isinstance(level, str) or not level.startswith(("MiniGrid-", "BabyAI-")):
            raise ValueError(
                f"level must be a name such as BabyAI-GoToObj-v0 or MiniGrid-DoorKey-5x5-v0, got {level!r}"
            )
        try:
            self.game = gymnasium.make(level)
        except gymnasium.error.Error as error:
            raise ValueError(f"there is no level {level!r}: {error}") from error
        self.level, self.max_steps = level, max_steps
        self._objects, self._colours = IDX_TO_OBJECT, IDX_TO_COLOR
        self._ended = True
        self._opening = (
            "You move on a grid, one cell at a time, and see only what lies before you. "
            f"Reply with one action alone. The actions are: {listed(ACTIONS)}."
        )

    # ---- the contract -------------------------------------------------------------------------------------------------

    def reset(self, task: Task, seed: int) -> list[Message]:
        """Build the level of the task; chance in it comes from `seed`."""
        observed, _ = self.game.reset(seed=task_seed(task, seed))
        self.game.unwrapped.np_random = np.random.default_rng(seed)
        self._ended, self._count = False, 0
        first = f"Mission: {observed['mission']}\n{self._seen(observed)}"
        return [{"role": "system", "content": self._opening}, {"role": "user", "content": first}]

    def step(self, action: Message) -> Step:
        """Do what a message says, or answer what could be done.

        Raises:
            RuntimeError: the attempt has ended, or `reset` was never called.
        """
        if self._ended:
            raise RuntimeError("no attempt is under way; call reset(task, seed) first")
        text = spoken_action(action)
        place = read_choice(text, ACTIONS)
        self._count += 1
        if place is None:
            wrong = f"Error: {text!r:.80} is no action" if text else EMPTY_ACTION
            step = Step(
                observation=[{"role": "user", "content": f"{wrong}. The actions are: {listed(ACTIONS)}."}],
                reward=0.0,
                info={"refused": True},
            )
        else:
            before = self._state()
            observed, reward, terminated, truncated, _ = self.game.step(place)
            moved = "" if self._state() != before or terminated else "Nothing happened. "
            step = Step(
                observation=[{"role": "user", "content": moved + self._seen(observed)}],
                reward=float(reward),
                terminated=bool(terminated),
                truncated=bool(truncated),
                info={"refused": False, "success": bool(terminated and reward > 0)},
            )
        if self.max_steps is not None and self._count >= self.max_steps and not step.terminated:
            step.truncated = True
        self._ended = step.ended
        if step.ended:
            step.info.setdefault("success", False)
            step.info["actions"] = self._count
        return step

    def close(self) -> None:
        """Close the level."""
        self.game.close()

    # ---- tasks --------------------------------------------------------------------------------------------------------

    def tasks(self, split: Split, count: int, seed: int = 0) -> list[Task]:
        """Layouts of one split.

        Raises:
            ValueError: the level has too few layouts for the split.
        """
        tasks: list[Task] = []
        draws = 0
        while len(tasks) < count:
            drawn = seed_of("train", seed, draws)
            draws += 1
            if draws > _MOST_DRAWS * (len(tasks) + 1):
                raise ValueError(
                    f"{self.level} gave {len(tasks)} tasks for the {split} split in {draws - 1} draws: it has too few "
                    "layouts to split; take a larger level"
                )
            observed, _ = self.game.reset(seed=drawn)
            if self._split() != split:
                continue
            tasks.append(
                Task(
                    id=f"{self.level}/{split}/{drawn}",
                    prompt=[
                        {"role": "system", "content": self._opening},
                        {"role": "user", "content": f"Mission: {observed['mission']}\n{self._seen(observed)}"},
                    ],
                    metadata={"level": self.level, "seed": drawn, "split": split, "mission": observed["mission"]},
                )
            )
        self._ended = True
        return tasks

    def demonstrations(self, tasks: Sequence[Task]) -> list[Trajectory]:
        """Solve levels: BabyAI's with its own bot, which knows the layout, others by the shortest way to their goal.

        Raises:
            ValueError: a level of MiniGrid has no goal that can be reached by walking and opening doors.
        """
        return [self._demonstrate(task) for task in tasks]

    def corpus(self, seed: int = 0) -> list[list[Message]]:
        """Conversations of the train split, and one with every word of the world, for fitting a tokenizer."""
        words = " ".join([*self._objects.values(), *self._colours.values(), *ACTIONS, "open closed locked"])
        every = [{"role": "user", "content": words}, {"role": "assistant", "content": ". ".join(ACTIONS)}]
        return [every, *(trajectory.messages for trajectory in self.demonstrations(self.tasks("train", 20, seed)))]

    def _demonstrate(self, task: Task) -> Trajectory:
        seed = task_seed(task, 0)
        planned: list[int] = []
        bot: Any = None
        last: int | None = None

        def act(conversation: list[Message]) -> Message:
            nonlocal bot, last, planned
            inner = self.game.unwrapped
            if hasattr(inner, "instrs"):
                from minigrid.utils.baby_ai_bot import BabyAIBot

                bot = bot or BabyAIBot(inner)
                last = int(bot.replan(last))
                return {"role": "assistant", "content": ACTIONS[last]}
            if last is None:
                planned, last = find_way(inner), 0
            return {"role": "assistant", "content": ACTIONS[planned.pop(0)]}

        return play(self, task, act, seed=seed, max_steps=self.max_steps or int(self.game.unwrapped.max_steps))

    # ---- words --------------------------------------------------------------------------------------------------------

    def _split(self) -> Split:
        """The split of the layout that stands: one in five is for tests."""
        inner = self.game.unwrapped
        looks = f"{inner.mission}|{self._state()}".encode()
        return "test" if hashlib.sha256(looks).digest()[0] < 52 else "train"

    def _state(self) -> tuple[Any, ...]:
        inner = self.game.unwrapped
        carried = None if inner.carrying is None else inner.carrying.encode()
        place = tuple(int(entry) for entry in inner.agent_pos)
        return inner.grid.encode().tobytes(), place, int(inner.agent_dir), carried

    def _seen(self, observed: dict[str, Any]) -> str:
        """The cells before the agent in words, nearest first."""
        image = observed["image"]
        width, depth = image.shape[0], image.shape[1]
        middle = width // 2
        seen = []
        for across in range(width):
            for along in range(depth):
                kind = self._objects[int(image[across, along, 0])]
                ahead, right = depth - 1 - along, across - middle
                if kind in _EMPTY or (ahead, right) == (0, 0):
                    continue
                state = ("open ", "closed ", "locked ")[int(image[across, along, 2])] if kind == "door" else ""
                colour = "" if kind in ("goal", "lava") else f"{self._colours[int(image[across, along, 1])]} "
                name = f"{state}{colour}{kind}"
                article = "an" if name[0] in "aeiou" else "a"
                seen.append((ahead + abs(right), ahead, right, f"{article} {name} {_where(ahead, right)}"))
        parts = [f"You see {', '.join(text for *_, text in sorted(seen))}."] if seen else ["You see nothing."]
        wall = next(
            (ahead for ahead in range(1, depth) if self._objects[int(image[middle, depth - 1 - ahead, 0])] == "wall"),
            None,
        )
        if wall is not None:
            parts.append(f"A wall is {wall} ahead.")
        carried = self.game.unwrapped.carrying
        if carried is not None:
            parts.append(f"You carry a {carried.color} {carried.type}.")
        return " ".join(parts)


def _silent(*_: object) -> None:
    """Print nothing."""


def _where(ahead: int, right: int) -> str:
    parts = [f"{ahead} ahead"] if ahead else []
    if right:
        parts.append(f"{abs(right)} {'right' if right > 0 else 'left'}")
    return " and ".join(parts)
