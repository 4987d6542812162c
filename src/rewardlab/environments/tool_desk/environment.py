"""The tool desk: questions over small tables that need two to five tool calls, each building on the last."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any, get_args

from rewardlab.environments.base import Split, Step, numbered_tasks, play
from rewardlab.environments.tool_desk.answers import answer_matches
from rewardlab.environments.tool_desk.dates import MONTHS, WEEKDAYS
from rewardlab.environments.tool_desk.demonstrator import Demonstrator, Slips, draw_slip, solve
from rewardlab.environments.tool_desk.desk import TOOL_SCHEMAS, Desk
from rewardlab.environments.tool_desk.levels import LEVELS
from rewardlab.environments.tool_desk.questions import KINDS, Kind, question_key, split_of
from rewardlab.environments.tool_desk.tables import CITIES, COLUMNS, ITEMS, PEOPLE, draw_tables
from rewardlab.environments.tool_desk.units import DIMENSIONS
from rewardlab.environments.tool_environment import ToolEnvironment
from rewardlab.environments.tools import Toolbox
from rewardlab.registry import nearest
from rewardlab.types import Message, Task, Trajectory, call_message

_MOST_DRAWS = 10_000


class ToolDesk(ToolEnvironment):
    """Questions over small tables, answered with five tools; brings its own tasks and demonstrations.

    A task's `reference` is `{"answer": str, "calls": [{"name", "arguments"}, ...]}`: the right answer, and the calls of its
    demonstration. Its `metadata` has `kind`, `calls` (how many are needed), `difficulty` (in [0, 1]: from one call to five),
    `split`, `level`, `slots` (what the question is about) and `tables`. The environment pays nothing; the last step's `info`
    has `success`, and the reward `tool_desk_success` scores the same, with parts.

    Args:
        level: `small` (two and three calls, few words, no tool descriptions in the prompt: for a tiny model trained from
            scratch) or `full` (two to five calls, more names and numbers, three wordings: for real models).
        kinds: only these kinds of questions; see `KINDS`. All of the level when not given.
        calls: only kinds that need from so many to so many calls.
        size: rows of the tables of people and items.
        noise: share of demonstrations with one deliberate mistake, in [0, 1].
        slips: which mistakes those are: `early` answers before all calls were made, `wrong` gets a call wrong, `any` is
            either, half and half; `stale` makes every call, and answers with the output before the last.
        max_calls: how many calls an attempt may make before it is truncated.
        show_tools: whether the policy is shown the descriptions of the tools.
        answer_unreadable: whether a call that cannot be parsed is answered with an error; by default at the full level only,
            since a tiny policy's broken call is better an answer that ends the attempt than the start of many more.

    Raises:
        ValueError: an option has an unknown or impossible value; the message says which are possible.
    """

    def __init__(
        self,
        level: str = "small",
        *,
        kinds: Sequence[str] | None = None,
        calls: Sequence[int] | None = None,
        size: int | None = None,
        noise: float = 0.0,
        slips: Slips = "any",
        max_calls: int = 8,
        show_tools: bool | None = None,
        answer_unreadable: bool | None = None,
    ) -> None:
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
        chosen = LEVELS[level]
        super().__init__(
            max_calls=max_calls, answer_unreadable=level == "full" if answer_unreadable is None else answer_unreadable
        )
        self.level = level
        self.size = _checked_size(chosen.size if size is None else size, chosen.ranges.people)
        if isinstance(noise, bool) or not isinstance(noise, (int, float)) or not 0.0 <= noise <= 1.0:
            raise ValueError(f"noise must be a share in [0, 1], got {noise!r}")
        self.noise = float(noise)
        if slips not in get_args(Slips):
            raise ValueError(f"slips must be one of {', '.join(get_args(Slips))}, got {slips!r}")
        self.slips: Slips = slips
        self.kinds = _chosen_kinds(
            level,
            kinds,
            chosen.calls if calls is None else calls,
        )
        self.tools = TOOL_SCHEMAS if (chosen.show_tools if show_tools is None else show_tools) else []

    # ---- acting -----------------------------------------------------------------------------------------------------

    def toolbox_for(self, task: Task) -> Toolbox:
        """The five tools over the tables of a task."""
        tables = task.metadata.get("tables")
        if not isinstance(tables, dict):
            raise ValueError(
                f'task {task.id!r} is not one of the tool desk: its metadata has no "tables"; '
                "make tasks with ToolDesk().tasks(...)"
            )
        return Desk(tables).toolbox()

    def finish(self, task: Task, answer: str) -> dict[str, Any]:
        """Whether the answer is right."""
        return {"success": answer_matches(task, answer)}

    def step(self, action: Message) -> Step:
        """As `ToolEnvironment.step`; the last step of an attempt has `success` in its `info`."""
        step = super().step(action)
        if step.truncated:
            step.info["success"] = False
        return step

    # ---- tasks ------------------------------------------------------------------------------------------------------

    def tasks(self, split: Split, count: int, seed: int = 0) -> list[Task]:
        """Make tasks, the kinds in turn. No question of one split occurs in the other, whatever the seeds and options.

        Args:
            split: `train` or `test`.
            count: how many; a larger count begins with the same tasks.
            seed: which ones.
        """
        return numbered_tasks(split, count, partial(self._make_task, split, seed))

    def demonstrations(self, tasks: Sequence[Task]) -> list[Trajectory]:
        """Solve tasks by their scripts, through the real tools; a share of `noise` has one mistake.

        Returns:
            One trajectory for each task. `info["slip"]` says whether a mistake was made on purpose (whether the answer is
            right all the same, `info["success"]` says).
        """
        environment = ToolDesk(self.level, max_calls=max(self.max_calls, 5))
        demonstrations = []
        for task in tasks:
            if not {"kind", "calls", "slots", "tables"} <= task.metadata.keys():
                raise ValueError(f"task {task.id!r} is not one of the tool desk; make tasks with ToolDesk().tasks(...)")
            rng = random.Random(f"slip/{task.id}")
            slip = draw_slip(task.metadata["calls"], rng, self.slips) if rng.random() < self.noise else None
            agent = Demonstrator(task.metadata["kind"], task.metadata["slots"], task.metadata["tables"], slip)
            trajectory = play(environment, task, agent)
            trajectory.info["slip"] = slip is not None
            demonstrations.append(trajectory)
        return demonstrations

    def corpus(self, seed: int = 0, count: int = 400) -> list[list[Message]]:
        """Conversations in which every word of the desk occurs, for fitting a tokenizer; all from the train split.

        Returns:
            `count` demonstrations, one attempt full of errors, and one list of all wordings, names, columns, units, dates
            and numbers.
        """
        tasks = self.tasks("train", count, seed)
        conversations = [trajectory.messages for trajectory in self.demonstrations(tasks)]
        conversations.append(self._mistakes(self._make_task("train", seed, count)))
        ranges = LEVELS[self.level].ranges
        words = [
            *(wording for name in self.kinds for wording in KINDS[name].wordings[: LEVELS[self.level].wordings]),
            *PEOPLE[: ranges.people],
            *ITEMS[: ranges.items],
            *CITIES[: ranges.cities],
            *(column for name in ranges.tables for column in (name, *COLUMNS[name])),
            *(unit for units in DIMENSIONS.values() for unit in units),
            *(f"{day} {month}" for month in MONTHS for day in range(1, 32)),
            *(f"({name})" for name in WEEKDAYS),
            *map(str, range(200)),
        ]
        conversations.append([{"role": "user", "content": " ".join(words)}])
        return conversations

    def _make_task(self, split: Split, seed: int, index: int) -> Task:
        """One task; every index has a chance of its own, so that a longer list begins like a shorter one."""
        level = LEVELS[self.level]
        rng = random.Random(f"tool_desk/{self.level}/{split}/{seed}/{index}")
        kind = KINDS[self.kinds[index % len(self.kinds)]]
        for _ in range(_MOST_DRAWS):
            slots = kind.draw(level.ranges, rng)
            if split_of(question_key(kind.name, slots)) == split:
                break
        else:
            raise RuntimeError(f"no {split} question of kind {kind.name!r} was found in {_MOST_DRAWS} draws")
        tables = draw_tables(level.ranges, self.size, rng, person=slots.get("person"), item=slots.get("item"))
        made, answer = solve(kind.name, slots, Desk(tables).toolbox().call)
        question = _worded(rng.choice(kind.wordings[: level.wordings]), slots)
        return Task(
            id=f"tool_desk/{self.level}/{split}/{seed}/{index}",
            prompt=[{"role": "system", "content": level.system}, {"role": "user", "content": question}],
            reference={"answer": answer, "calls": [{"name": name, "arguments": given} for name, given in made]},
            tools=list(self.tools),
            metadata={
                "kind": kind.name,
                "calls": kind.calls,
                "difficulty": (kind.calls - 1) / 4,
                "split": split,
                "level": self.level,
                "slots": slots,
                "tables": tables,
            },
        )

    def _mistakes(self, task: Task) -> list[Message]:
        """An attempt in which every tool is called wrongly, so that a tokenizer sees how errors read."""
        wrong: list[tuple[str, dict[str, Any]]] = [
            ("look_up", {"table": "lamps", "row": "Ann", "column": "item"}),
            ("look_up", {"table": "orders", "row": "Rome", "column": "item"}),
            ("look_up", {"table": "items", "row": next(iter(task.metadata["tables"]["items"])), "column": "city"}),
            ("search", {"table": "orders", "column": "price", "value": "9"}),
            ("search", {"table": "orders", "column": "item", "value": "Ann"}),
            ("calculate", {"expression": "3 kg * 4"}),
            ("convert", {"value": "3", "unit": "kg", "to": "g"}),
            ("convert", {"value": 3, "unit": "kg", "to": "cm"}),
            ("calendar", {"date": "lamps", "days": 3}),
            ("calendar", {"date": "3 Mar"}),
        ]
        toolbox = self.toolbox_for(task)
        conversation = list(task.prompt or [])
        for name, arguments in wrong:
            action = call_message(name, arguments, identity="call_1")
            conversation += [action, toolbox.answer(action["tool_calls"][0])[0]]
        return conversation


def _worded(wording: str, slots: dict[str, Any]) -> str:
    for name, value in slots.items():
        wording = wording.replace(f"{{{name}}}", str(value))
    return wording


def _checked_size(size: int, most: int) -> int:
    if isinstance(size, bool) or not isinstance(size, int) or not 2 <= size <= most:
        raise ValueError(f"size must be a whole number from 2 to {most} at this level, got {size!r}")
    return size


def _chosen_kinds(level: str, kinds: Sequence[str] | None, calls: Sequence[int]) -> tuple[str, ...]:
    possible = LEVELS[level].kinds
    if not isinstance(calls, Sequence) or len(calls) != 2 or not all(isinstance(bound, int) for bound in calls):
        raise ValueError(f"calls must be two whole numbers, the fewest and the most, got {calls!r}")
    for name in kinds or ():
        if name not in possible:
            raise ValueError(f"unknown kind {name!r} at level {level!r}{nearest(str(name), dict.fromkeys(possible))}")
    candidates: tuple[Kind, ...] = tuple(KINDS[name] for name in (possible if kinds is None else dict.fromkeys(kinds)))
    chosen = tuple(kind.name for kind in candidates if calls[0] <= kind.calls <= calls[1])
    if not chosen:
        needs = ", ".join(f"{kind.name} ({kind.calls})" for kind in candidates) or "(no kinds given)"
        raise ValueError(f"no kind needs from {calls[0]} to {calls[1]} calls; the kinds and their calls: {needs}")
    return chosen
