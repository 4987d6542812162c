"""Any Gymnasium environment with small spaces as a conversation: observations and actions are written as text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rewardlab.environments.base import Environment, Split, Step, play
from rewardlab.environments.spoken import (
    EMPTY_ACTION,
    describe_value,
    listed,
    read_choice,
    read_numbers,
    seed_of,
    spoken_action,
    task_seed,
)
from rewardlab.extras import require
from rewardlab.types import Message, Task, Trajectory


class GymnasiumText(Environment):
    """A Gymnasium environment that a language model plays.

    The task says where an attempt begins (`metadata["seed"]`), the attempt's own seed how chance falls after that. An action
    that cannot be read is answered with an error that says which can, and costs an action. `Step.reward` is what the game
    pays; the last step's `info` has `score` (their sum) and `actions`.

    Args:
        id: the environment's name, such as `FrozenLake-v1`, or a function that makes one.
        options: of `gymnasium.make`, or of that function.
        instructions: what the system message says first; what the environment is called when not given.
        action_names: names of a Discrete space's actions, in their order; their numbers when not given.
        describe: an observation as text; what `render` draws, where `options` has `render_mode: ansi`, and else the numbers.
        demonstrate: what demonstrations do: a function from observation and `numpy.random.Generator` to an action of the
            space. It draws at random when not given.
        max_steps: most actions; the environment's own limit counts beside it.

    Raises:
        ImportError: gymnasium is not installed.
        ValueError: the environment's spaces cannot be read or written as text.
    """

    def __init__(
        self,
        id: str | Callable[..., Any] = "FrozenLake-v1",
        *,
        options: Mapping[str, Any] | None = None,
        instructions: str | None = None,
        action_names: Sequence[str] | None = None,
        describe: Callable[[Any], str] | None = None,
        demonstrate: Callable[[Any, np.random.Generator], Any] | None = None,
        max_steps: int | None = None,
    ) -> None:
        gymnasium = require("gymnasium", extra="gym", why="An environment of Gymnasium")
        self._spaces = gymnasium.spaces
        if isinstance(id, str):
            try:
                self.game = gymnasium.make(id, **dict(options or {}))
            except gymnasium.error.Error as error:
                raise ValueError(f"Gymnasium cannot make {id!r}: {error}") from error
        elif callable(id):
            self.game = id(**dict(options or {}))
        else:
            raise TypeError(
                f"id must be a name or a function that makes an environment, got {id!r:.80}: one object would be shared by "
                "all attempts"
            )
        specification = self.game.spec
        self.name = id if isinstance(id, str) else getattr(specification, "id", type(self.game).__name__)
        self.max_steps = max_steps
        self._space = self.game.action_space
        self._first = int(self._space.start) if isinstance(self._space, self._spaces.Discrete) else 0
        self._describe = describe
        self._demonstrate = demonstrate
        self._draws = self.game.render_mode == "ansi" and describe is None
        self.action_names = self._named(action_names)
        self.actions = self._described_actions()
        if describe is None and not self._draws:
            describe_value(self.game.observation_space.sample())  # refuses what is too large before anything is tried
        first = instructions or f"You act in {self.name}."
        self._opening = f"{first}\nReply with one action alone. The actions are: {self.actions}."
        self._ended = True
        self._observation: Any = None

    # ---- the contract -------------------------------------------------------------------------------------------------

    def reset(self, task: Task, seed: int) -> list[Message]:
        """Begin where the task says; chance after that comes from `seed`."""
        self._observation, _ = self.game.reset(seed=task_seed(task, seed))
        self.game.unwrapped.np_random = np.random.default_rng(seed)
        self._ended, self._score, self._count = False, 0.0, 0
        return [{"role": "system", "content": self._opening}, {"role": "user", "content": self._seen()}]

    def step(self, action: Message) -> Step:
        """Do what a message says, or answer what could be done.

        Raises:
            RuntimeError: the attempt has ended, or `reset` was never called.
        """
        if self._ended:
            raise RuntimeError("no attempt is under way; call reset(task, seed) first")
        chosen, trouble = self._read(spoken_action(action))
        self._count += 1
        if trouble is not None:
            step = Step(observation=[{"role": "user", "content": trouble}], reward=0.0, info={"refused": True})
        else:
            self._observation, reward, terminated, truncated, _ = self.game.step(chosen)
            self._score += float(reward)
            step = Step(
                observation=[{"role": "user", "content": self._seen()}],
                reward=float(reward),
                terminated=bool(terminated),
                truncated=bool(truncated),
                info={"refused": False},
            )
        if self.max_steps is not None and self._count >= self.max_steps and not step.terminated:
            step.truncated = True
        self._ended = step.ended
        if step.ended:
            step.info.update(score=self._score, actions=self._count)
        return step

    def close(self) -> None:
        """Close the game."""
        self.game.close()

    # ---- tasks --------------------------------------------------------------------------------------------------------

    def tasks(self, split: Split, count: int, seed: int = 0) -> list[Task]:
        """Tasks that differ by the seed that the environment begins with; no seed is in both splits."""
        return [self._task(split, seed_of(split, seed, index)) for index in range(count)]

    def demonstrations(self, tasks: Sequence[Task]) -> list[Trajectory]:
        """Attempts of `demonstrate`, or at random."""
        trajectories = []
        for task in tasks:
            seed = task_seed(task, 0)
            chance = np.random.default_rng(seed + 1)

            def act(conversation: list[Message], chance: np.random.Generator = chance) -> Message:
                if self._demonstrate is not None:
                    chosen = self._demonstrate(self._observation, chance)
                else:
                    self._space.seed(int(chance.integers(2**31)))
                    chosen = self._space.sample()
                return {"role": "assistant", "content": self.written(chosen)}

            trajectories.append(play(self, task, act, seed=seed, max_steps=self.max_steps or 1000))
        return trajectories

    def corpus(self, seed: int = 0) -> list[list[Message]]:
        """Conversations of the train split, for fitting a tokenizer."""
        return [trajectory.messages for trajectory in self.demonstrations(self.tasks("train", 20, seed))]

    def written(self, action: Any) -> str:
        """An action of the space as a policy would write it."""
        if isinstance(self._space, self._spaces.Discrete):
            return self.action_names[int(action) - self._first]
        if isinstance(self._space, self._spaces.Text):
            return str(action)
        return " ".join(f"{entry:.4g}" for entry in np.asarray(action).reshape(-1).tolist())

    def _task(self, split: Split, seed: int) -> Task:
        return Task(
            id=f"{self.name}/{split}/{seed}",
            prompt=[{"role": "system", "content": self._opening}],
            metadata={"environment": self.name, "seed": seed, "split": split},
        )

    # ---- text ---------------------------------------------------------------------------------------------------------

    def _seen(self) -> str:
        if self._describe is not None:
            return str(self._describe(self._observation))
        if self._draws:
            return _without_colours(str(self.game.render()))
        return describe_value(self._observation)

    def _named(self, names: Sequence[str] | None) -> list[str]:
        if not isinstance(self._space, self._spaces.Discrete):
            if names is not None:
                raise ValueError(f"action_names are for a Discrete action space; {self.name} has {self._space}")
            return []
        count = int(self._space.n)
        if names is None:
            return [str(self._first + place) for place in range(count)]
        if len(names) != count or len({name.casefold() for name in names}) != count:
            raise ValueError(f"action_names must be {count} different names, one per action, got {list(names)}")
        return [str(name) for name in names]

    def _described_actions(self) -> str:
        space, spaces = self._space, self._spaces
        if isinstance(space, spaces.Discrete):
            return listed(self.action_names)
        if isinstance(space, spaces.Text):
            return f"any text of {space.min_length} to {space.max_length} characters"
        if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
            ranges = [f"{first} to {first + count - 1}" for first, count in zip(space.start, space.nvec, strict=True)]
            return f"{len(ranges)} whole numbers with spaces between, the first {', then '.join(ranges)}"
        if isinstance(space, spaces.MultiBinary) and len(space.shape) == 1:
            return f"{space.shape[0]} numbers, each 0 or 1, with spaces between"
        if isinstance(space, spaces.Box) and len(space.shape) <= 1 and space.low.size <= 16:
            pairs = zip(space.low.reshape(-1).tolist(), space.high.reshape(-1).tolist(), strict=True)
            ranges = [f"{low:.4g} to {high:.4g}" for low, high in pairs]
            return f"{len(ranges)} numbers with spaces between, the first {', then '.join(ranges)}"
        raise ValueError(
            f"{self.name} takes actions of {space}, which cannot be written as text; Discrete, Text, one-dimensional "
            "MultiDiscrete and MultiBinary, and Box of up to 16 numbers can"
        )

    def _read(self, text: str) -> tuple[Any, str | None]:
        """An action of the space, or what is wrong."""
        space, spaces = self._space, self._spaces
        wrong = f"Error: {text!r:.80} is no action. The actions are: {self.actions}."
        if not text and not isinstance(space, spaces.Text):
            return None, f"{EMPTY_ACTION}. The actions are: {self.actions}."
        if isinstance(space, spaces.Discrete):
            place = read_choice(text, self.action_names)
            return (None, wrong) if place is None else (self._first + place, None)
        if isinstance(space, spaces.Text):
            return (text, None) if space.contains(text) else (None, wrong)
        numbers = read_numbers(text, int(np.prod(space.shape, dtype=int)))
        if numbers is None:
            return None, wrong
        if not isinstance(space, spaces.Box) and not all(
            number.is_integer() and abs(number) < 1e9 for number in numbers
        ):
            return None, wrong
        action = np.asarray(numbers).astype(space.dtype).reshape(space.shape)
        return (action, None) if space.contains(action) else (None, wrong)


def _without_colours(text: str) -> str:
    """What a terminal shows, with the highlighted letter in brackets."""
    return re.sub(r"\x1b\[[0-9;]*m(.*?)\x1b\[0m", r"[\1]", text, flags=re.DOTALL).strip("\n")
