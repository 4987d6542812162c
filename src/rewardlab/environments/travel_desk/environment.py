"""The travel desk: trips that are asked for in words, planned with search tools, and answered by an itinerary."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from rewardlab.environments.base import Split, numbered_tasks, play
from rewardlab.environments.tool_environment import ToolEnvironment
from rewardlab.environments.tools import Toolbox
from rewardlab.environments.travel_desk.agency import TOOLS, Agency, shared_toolbox
from rewardlab.environments.travel_desk.database import Database
from rewardlab.environments.travel_desk.levels import LEVELS
from rewardlab.environments.travel_desk.planner import Planner, cost, plan
from rewardlab.environments.travel_desk.requests import Wish, draw_wish, split_of, worded
from rewardlab.types import Message, Task, Trajectory, call_message

_MOST_DRAWS = 2_000


class TravelDesk(ToolEnvironment):
    """Trips over a database of flights, trains, hotels and places; brings its own tasks and demonstrations.

    A task's `reference` is what was asked for, as `rewardlab.rewards.verifiers.itinerary.Request` reads it; the rewards
    `itinerary_feasible` and `itinerary_grounded` score the answer, and the environment pays nothing. Its `metadata` has
    `days`, `split`, `level`, `world`, `blocked` (tools that find nothing, where the trip is impossible) and `difficulty`.

    Args:
        level: `small` (names alone, one to three days, no tool descriptions in the prompt: for a tiny model trained from
            scratch) or `full` (hours, prices, parties, budgets, wishes, two to five days: for real models).
        world: number of the database; another one has other hotels, hours and timetables.
        days: lengths of the trips that are asked for; those of the level when not given.
        shares: how often each length is asked for, one weight for each of `days`; all alike when not given.
        impossible: share of the tasks that cannot be met, in [0, 1]; the right answer to them is `{"impossible": "why"}`.
        noise: in demonstrations, for each of journeys, hotel and places the chance that they are written down from the whole
            catalogue instead of from what tools answered.
        max_calls: how many calls an attempt may make before it is truncated.
        show_tools: whether the policy is shown the descriptions of the tools; by default at the full level only.

    Raises:
        ValueError: an option has an unknown or impossible value; the message says which are possible.
    """

    def __init__(
        self,
        level: str = "small",
        *,
        world: int = 0,
        days: Sequence[int] | None = None,
        shares: Sequence[float] | None = None,
        impossible: float = 0.0,
        noise: float = 0.0,
        max_calls: int | None = None,
        show_tools: bool | None = None,
    ) -> None:
        self.database = Database(world, level)
        chosen = LEVELS[level]
        super().__init__(max_calls=(20 if chosen.detailed else 6) if max_calls is None else max_calls)
        self.level = level
        for name, value in (("impossible", impossible), ("noise", noise)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must be a share in [0, 1], got {value!r}")
        self.impossible, self.noise = float(impossible), float(noise)
        self.days = chosen.days if days is None else tuple(days)
        if not self.days or any(length not in chosen.days for length in self.days):
            raise ValueError(f"days must be some of {chosen.days} at level {level!r}, got {days!r}")
        self.shares = None if shares is None else tuple(shares)
        if self.shares is not None and (
            len(self.shares) != len(self.days) or min(self.shares) < 0 or sum(self.shares) == 0
        ):
            raise ValueError(f"shares must be one weight for each of the days {self.days}, got {shares!r}")
        self._tool_names = TOOLS if chosen.detailed else tuple(name for name in TOOLS if name != "trains")
        shown = chosen.show_tools if show_tools is None else show_tools
        self.tools = Agency(self.database, tools=self._tool_names).toolbox().schemas if shown else []

    # ---- acting -----------------------------------------------------------------------------------------------------

    def toolbox_for(self, task: Task) -> Toolbox:
        """The search tools, over the world of the task."""
        world, level = task.metadata.get("world"), task.metadata.get("level")
        if not isinstance(world, int) or level not in LEVELS or not isinstance(task.reference, dict):
            raise ValueError(
                f'task {task.id!r} is not one of the travel desk: its metadata has no "world" and "level"; '
                "make tasks with TravelDesk().tasks(...)"
            )
        names = TOOLS if LEVELS[level].detailed else self._tool_names
        return shared_toolbox(Database(world, level), frozenset(task.metadata.get("blocked") or ()), names)

    # ---- tasks ------------------------------------------------------------------------------------------------------

    def tasks(self, split: Split, count: int, seed: int = 0) -> list[Task]:
        """Make tasks. No trip (cities, date and length) of one split occurs in the other, whatever seeds and options.

        Args:
            split: `train` or `test`.
            count: how many; a larger count begins with the same tasks.
            seed: which ones.
        """
        return numbered_tasks(split, count, partial(self._make_task, split, seed))

    def demonstrations(self, tasks: Sequence[Task]) -> list[Trajectory]:
        """Plan trips by the script, through the real tools. `info["slips"]` says which names were made up on purpose."""
        environment = TravelDesk(self.level, world=self.database.world, max_calls=max(self.max_calls, 20))
        found = []
        for task in tasks:
            if "wish" not in task.metadata:
                raise ValueError(
                    f"task {task.id!r} is not one of the travel desk; make tasks with TravelDesk().tasks(...)"
                )
            wish = _read_wish(task.metadata["wish"])
            rng = random.Random(f"plan/{task.id}")
            database = Database(task.metadata["world"], task.metadata["level"])
            agent = Planner(wish, database, rng, noise=self.noise, detailed=LEVELS[database.level].detailed)
            trajectory = play(environment, task, agent)
            trajectory.info["slips"] = list(agent.slips)
            found.append(trajectory)
        return found

    def corpus(self, seed: int = 0, count: int = 300) -> list[list[Message]]:
        """Conversations in which the words of the desk occur, for fitting a tokenizer; all from the train split.

        Returns:
            `count` demonstrations, an attempt full of errors, and one list of all cities, names and dates.
        """
        tasks = self.tasks("train", count, seed)
        conversations = [trajectory.messages for trajectory in self.demonstrations(tasks)]
        conversations.append(self._mistakes(tasks[0] if tasks else self._make_task("train", seed, 0)))
        cities = self.database.cities
        words = [
            *cities,
            *(name for city in cities for name in (*self.database.hotel_names(city), *self.database.place_names(city))),
            *(f"2024-{month:02d}-{day:02d}" for month in range(1, 13) for day in range(1, 32)),
            '{"impossible": "no flight there"}',
        ]
        conversations.append([{"role": "user", "content": " ".join(dict.fromkeys(words))}])
        return conversations

    def _make_task(self, split: Split, seed: int, index: int) -> Task:
        """One task; every index has a chance of its own, so that a longer list begins like a shorter one."""
        level, world = LEVELS[self.level], self.database.world
        rng = random.Random(f"travel_desk/{self.level}/{world}/{split}/{seed}/{index}")
        blocked: tuple[str, ...] = ()
        if rng.random() < self.impossible:
            blocked = rng.choice((("flights", "trains"), ("places",), ("hotels",)))
        length = rng.choices(self.days, self.shares)[0]
        if blocked == ("hotels",) and length == 1:
            blocked = ("places",)  # nobody needs a hotel on a trip of a day
        for _ in range(_MOST_DRAWS):
            wish = draw_wish(self.database, length, rng)
            if split_of(wish, world) != split:
                continue
            if blocked:
                wish = replace(wish, possible=False, budget=rng.randint(5, 20) * 100 if level.detailed else None)
                break
            answer = self._planned(wish)
            if "days" in answer:
                if level.detailed:
                    wish = replace(wish, budget=round(cost(answer, wish.party) * rng.uniform(1.02, 1.3)))
                break
        else:
            raise RuntimeError(f"no {split} trip of {length} days was found in {_MOST_DRAWS} draws")
        return Task(
            id=f"travel_desk/{self.level}/{world}/{split}/{seed}/{index}",
            prompt=[
                {"role": "system", "content": level.system},
                {"role": "user", "content": worded(wish, level.detailed)},
            ],
            reference=wish.reference(),
            tools=list(self.tools),
            metadata={
                "days": length,
                "difficulty": (length - 1) / 4,
                "split": split,
                "level": self.level,
                "world": world,
                "blocked": list(blocked),
                "wish": {**wish.reference(), "possible": wish.possible},
            },
        )

    def _planned(self, wish: Wish) -> dict[str, Any]:
        """What the script answers to a trip, without an attempt around it."""
        agency = Agency(self.database, tools=self._tool_names)
        script = plan(wish, random.Random(0), detailed=LEVELS[self.level].detailed)
        try:
            call = next(script)
            while True:
                name, given = call
                call = script.send(getattr(agency, name)(**given))
        except StopIteration as end:
            answer: dict[str, Any] = end.value
            return answer

    def _mistakes(self, task: Task) -> list[Message]:
        """An attempt in which every tool is called wrongly, so that a tokenizer sees how errors read."""
        wrong: list[tuple[str, dict[str, Any]]] = [
            ("flights", {"origin": "Rome", "destination": "Rome", "date": "2024-03-05"}),
            ("flights", {"origin": "Roma", "destination": "Oslo", "date": "2024-03-05"}),
            ("hotels", {"city": "Rome", "date": "5 Mar"}),
            ("hotels", {"city": "Rome", "date": "2024-03-05", "nights": 40}),
            ("places", {"town": "Rome"}),
            ("book", {}),
        ]
        toolbox = self.toolbox_for(task)
        conversation = list(task.prompt or [])
        for name, arguments in wrong:
            action = call_message(name, arguments, identity="call_1")
            conversation += [action, toolbox.answer(action["tool_calls"][0])[0]]
        return conversation


def _read_wish(values: dict[str, Any]) -> Wish:
    """A wish from the metadata of a stored task."""
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return Wish(**fields)
