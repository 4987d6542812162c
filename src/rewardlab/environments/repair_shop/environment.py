"""The repair shop: small programs with injected mistakes and failing tests, to be found and repaired with five tools."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, ClassVar, get_args

from rewardlab.environments.base import Split, Step, numbered_tasks, play
from rewardlab.environments.repair_shop.demonstrator import Demonstrator, mistaken_calls
from rewardlab.environments.repair_shop.families import FAMILIES, THEMES
from rewardlab.environments.repair_shop.mutations import KINDS
from rewardlab.environments.repair_shop.tasks import (
    TEST_FAMILIES,
    HeldOut,
    Job,
    Shape,
    breakable,
    draw_job,
    families_of,
)
from rewardlab.environments.repair_shop.testing import RunnerName, runner
from rewardlab.environments.repair_shop.workspace import Workspace, described, numbered
from rewardlab.environments.tool_environment import ToolEnvironment
from rewardlab.environments.tools import Toolbox
from rewardlab.registry import nearest
from rewardlab.sandbox import Isolation
from rewardlab.types import Message, Task, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The defaults of a level; every one of them is an option of `RepairShop`."""

    files: int
    functions: int
    visible: int
    hidden: int
    show_source: bool
    show_tools: bool
    system: str


LEVELS = {
    "small": Level(
        files=1, functions=1, visible=3, hidden=8, show_source=True, show_tools=False,
        system="Repair the program.",
    ),
    "full": Level(
        files=3, functions=2, visible=4, hidden=10, show_source=False, show_tools=True,
        system=(
            "You repair programs. Some tests of this project fail because of a mistake in the program; the tests are "
            "right and cannot be changed. Find the mistake with the tools and correct it. Other tests, which you do not "
            "see, decide whether the program does what its docstrings say. When you are done, write one sentence on what "
            "was wrong."
        ),
    ),
}  # fmt: skip


class RepairShop(ToolEnvironment):
    """Small programs with mistakes, repaired by reading, searching, editing and running tests.

    A task's `metadata` has `files` (the broken program), `visible` (tests that `run_tests` runs), `modules`, `split`,
    `level` and `logic`; its `reference` has `bugs` (where each mistake is, the line as it is and as it should be) and
    `hidden` (tests that the reward `repair_shop_passed` runs). The environment pays nothing. `info["files"]` of a trajectory
    holds the files that differ from the task's after its last action, so that an attempt that a limit ends is judged by what
    it left; `info["edits"]`, `info["test_runs"]` and `info["tampered"]` (refused edits of the tests) are counts.

    Args:
        level: `small` (one function, shown in the prompt, no tool descriptions: for a tiny model trained from scratch) or
            `full` (three files of two functions, nothing shown but their names: for real models).
        files: files of a program, in place of the level's.
        functions: functions in each file.
        bugs: mistakes, each in a function of its own.
        visible: tests of each function that the agent sees.
        hidden: tests of each function that decide.
        families: only these kinds of functions.
        mutations: only these kinds of mistakes; see `repair_shop.KINDS`.
        held_out: test tasks hold other `programs` than training tasks (no function computes the same), or functions of other
            `families` altogether.
        show_source: whether the prompt shows the program.
        show_tools: whether the policy is shown the descriptions of the tools.
        runner: tests run in the `sandbox`, or by the shop's own `interpreter`, which is many times faster and knows
            only a part of Python.
        seconds: wall time of a run of the tests in the sandbox.
        memory_mb: memory of it.
        isolation: of the sandbox; see `rewardlab.sandbox.Sandbox`.
        workers: programs that the sandbox runs at once; None for the number of cores.
        max_calls: how many calls an attempt may make before it is truncated.

    Raises:
        ValueError: an option has an unknown or impossible value; the message says which are possible.
    """

    blocking: ClassVar[bool] = True

    def __init__(
        self,
        level: str = "small",
        *,
        files: int | None = None,
        functions: int | None = None,
        bugs: int = 1,
        visible: int | None = None,
        hidden: int | None = None,
        families: Sequence[str] | None = None,
        mutations: Sequence[str] | None = None,
        held_out: HeldOut = "programs",
        show_source: bool | None = None,
        show_tools: bool | None = None,
        runner: RunnerName = "sandbox",
        seconds: float = 2.0,
        memory_mb: int = 256,
        isolation: Isolation = "auto",
        workers: int | None = None,
        max_calls: int = 12,
    ) -> None:
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
        if held_out not in get_args(HeldOut):
            raise ValueError(f"held_out must be one of {', '.join(get_args(HeldOut))}, got {held_out!r}")
        super().__init__(max_calls=max_calls)
        chosen = LEVELS[level]
        self.level = level
        self.held_out: HeldOut = held_out
        self.shape = Shape(
            files=_counted("files", chosen.files if files is None else files, len(THEMES)),
            functions=_counted("functions", chosen.functions if functions is None else functions, len(FAMILIES)),
            bugs=_counted("bugs", bugs, len(FAMILIES) * len(THEMES)),
            visible=_counted("visible", chosen.visible if visible is None else visible, 20),
            hidden=_counted("hidden", chosen.hidden if hidden is None else hidden, 20),
            families=_names("family", families, FAMILIES),
            kinds=_names("mutation", mutations, KINDS),
        )
        self._check_shape()
        self.show_source = chosen.show_source if show_source is None else show_source
        self.runner = _runner(runner, seconds, memory_mb, isolation, workers)
        described_tools = Workspace({}, [], {}, self.runner).toolbox().schemas
        self.tools = described_tools if (chosen.show_tools if show_tools is None else show_tools) else []
        self._workspace: Workspace | None = None

    # ---- acting -----------------------------------------------------------------------------------------------------

    def toolbox_for(self, task: Task) -> Toolbox:
        """The five tools over a fresh copy of the files of a task."""
        given = task.metadata
        if not {"files", "visible", "modules"} <= given.keys():
            raise ValueError(
                f"task {task.id!r} is not one of the repair shop: its metadata has no files, visible and modules; "
                "make tasks with RepairShop().tasks(...)"
            )
        self._workspace = Workspace(given["files"], given["visible"], given["modules"], self.runner)
        return self._workspace.toolbox()

    def step(self, action: Message) -> Step:
        """As `ToolEnvironment.step`; `info` holds the files that differ from the task's, and the counts."""
        step = super().step(action)
        if self._workspace is not None:
            work = self._workspace
            step.info.update(files=work.changed, edits=work.edits, test_runs=work.runs, tampered=work.tampered)
        return step

    # ---- tasks ------------------------------------------------------------------------------------------------------

    def tasks(self, split: Split, count: int, seed: int = 0) -> list[Task]:
        """Make tasks. No function of one split computes what a function of the other does, whatever the seeds and options.

        Args:
            split: `train` or `test`.
            count: how many; a larger count begins with the same tasks.
            seed: which ones.
        """
        return numbered_tasks(split, count, partial(self._make_task, split, seed))

    def demonstrations(self, tasks: Sequence[Task]) -> list[Trajectory]:
        """Repair tasks by a script that uses the real tools: run the tests, look, edit each line, run them again, say so."""
        made = []
        for task in tasks:
            if not isinstance(task.reference, dict) or "bugs" not in task.reference:
                raise ValueError(
                    f"task {task.id!r} is not one of the repair shop; make tasks with RepairShop().tasks(...)"
                )
            agent = Demonstrator(task.reference["bugs"], look=not self.show_source)
            self.max_calls, kept = max(self.max_calls, agent.calls), self.max_calls
            made.append(play(self, task, agent))
            self.max_calls = kept
        return made

    def corpus(self, seed: int = 0, count: int = 200) -> list[list[Message]]:
        """Conversations in which the words of the shop occur, for fitting a tokenizer; all from the train split."""
        tasks = self.tasks("train", count, seed)
        conversations = [trajectory.messages for trajectory in self.demonstrations(tasks)]
        task = self._make_task("train", seed, count)
        toolbox = self.toolbox_for(task)
        conversation = list(task.prompt or [])
        for action in mistaken_calls(next(iter(task.metadata["files"]))):
            conversation += [action, toolbox.answer(action["tool_calls"][0])[0]]
        words = " ".join([*THEMES, *THEMES.values(), *(kind.verb for kind in FAMILIES.values()), *map(str, range(100))])
        return [*conversations, conversation, [{"role": "user", "content": words}]]

    def _make_task(self, split: Split, seed: int, index: int) -> Task:
        """One task; every index has a chance of its own, so that a longer list begins like a shorter one."""
        given = self.shape
        key = "/".join(map(str, asdict(given).values()))
        rng = random.Random(f"repair_shop/{key}/{split}/{seed}/{index}")
        allowed = families_of(split, self.held_out, given.families)
        job = draw_job(replace(given, families=allowed), split, rng)
        return Task(
            id=f"repair_shop/{self.level}/{split}/{seed}/{index}",
            prompt=self._prompt(job),
            reference={"bugs": job.bugs, "hidden": job.hidden},
            tools=list(self.tools),
            metadata={
                "files": job.files,
                "visible": job.visible,
                "modules": job.modules,
                "logic": job.logic,
                "split": split,
                "level": self.level,
            },
        )

    def _prompt(self, job: Job) -> list[Message]:
        if self.show_source:
            body = "\n".join(f"{path}\n{numbered(text.splitlines(), 1, 10_000)}" for path, text in job.files.items())
            failing = described(_interpreted(job), job.visible)
            content = f"{body}\n{failing}"
        else:
            content = f"The project has {len(job.files)} files: {', '.join(sorted(job.files))}. Its tests fail."
        return [{"role": "system", "content": LEVELS[self.level].system}, {"role": "user", "content": content}]

    def _check_shape(self) -> None:
        shape = self.shape
        if shape.bugs > shape.files * shape.functions:
            raise ValueError(
                f"bugs must be at most the number of functions ({shape.files * shape.functions}), got {shape.bugs}"
            )
        for split in get_args(Split):
            allowed = families_of(split, self.held_out, shape.families)
            if len(allowed) < shape.functions:
                raise ValueError(
                    f"functions={shape.functions} of one file need as many families, but {split} tasks have only "
                    f"{', '.join(allowed) or 'none'}"
                    + (f" (held out: {', '.join(TEST_FAMILIES)})" if self.held_out == "families" else "")
                )
            able = breakable(allowed, shape.kinds)
            if len(able) < min(shape.bugs, shape.functions):
                raise ValueError(
                    f"mistakes of the kinds {', '.join(shape.kinds)} can be made in {', '.join(able) or 'none'} of the "
                    f"families of {split} tasks, which is too few for bugs={shape.bugs}; allow more kinds or families"
                )


def _interpreted(job: Job) -> Any:
    """What the tests say of a broken program when its task is made."""
    from rewardlab.environments.repair_shop.testing import InterpreterRunner

    return InterpreterRunner().run_many([(job.files, job.visible)])[0]


def _runner(name: RunnerName, seconds: float, memory_mb: int, isolation: Isolation, workers: int | None) -> Any:
    return runner(name, seconds=seconds, memory_mb=memory_mb, isolation=isolation, workers=workers)


def _counted(name: str, value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most}, got {value!r}")
    return value


def _names(what: str, names: Sequence[str] | None, known: Any) -> tuple[str, ...]:
    if names is None:
        return tuple(known)
    for name in names:
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}{nearest(str(name), dict.fromkeys(known))}")
    if not names:
        raise ValueError(f"there must be at least one {what}, got an empty list; the names are {', '.join(known)}")
    return tuple(dict.fromkeys(names))
