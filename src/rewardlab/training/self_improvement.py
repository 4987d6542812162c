"""Self-improvement prompts: half of the time the policy is shown what it tried before, and asked to do better.

After Yang et al. (arXiv 2509.01684): the state is the task alone, or the task with an earlier solution and what came of it.
At evaluation both are tried, and the better result counts (`better_of_both`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from rewardlab.training.curricula import CURRICULA
from rewardlab.training.seats import build_seat
from rewardlab.types import Message, Scores, Task, Trajectory, message_text

History = Literal["code", "plan"]
Kept = Literal["last", "best", "topk"]
SUFFIX = "/improve"


@dataclass(kw_only=True)
class SelfImprove:
    """A curriculum that turns some of the tasks of another into "improve this".

    A task is shown with an earlier solution where there is one that was scored; its id then ends in `/improve`, so that the
    two kinds are never compared as one group.

    Args:
        tasks: given to the curriculum inside, where that is a name.
        count: likewise.
        seed: likewise, and of the choices here.
        curriculum: what chooses tasks: a name of `CURRICULA`, a mapping, or an object.
        p: how often an earlier solution is shown.
        history: show the "code" (the last tool call, or the answer itself) or the "plan" (the text beside it).
        source: the "last" scored solution of the task, its "best", or one of its "topk" best, drawn at random.
        k: how many are kept for "topk".
        valid_only: solutions that scored at least this are kept; None keeps all that were scored. In the paper, showing
            failed runs hardly helped a small model.
        longest: characters of output that are shown; more is cut in the middle.
    """

    tasks: Sequence[Task] = ()
    count: int = 8
    seed: int = 0
    curriculum: Any = "shuffled"
    p: float = 0.5
    history: History = "code"
    source: Kept = "best"
    k: int = 4
    valid_only: float | None = None
    longest: int = 1000
    _kept: dict[str, list[dict[str, Any]]] = field(default_factory=dict, init=False, repr=False)
    _drawn: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"p must be a share in [0, 1], got {self.p}")
        for name, known in (("history", History), ("source", Kept)):
            if getattr(self, name) not in get_args(known):
                raise ValueError(f"{name} must be one of {', '.join(get_args(known))}, got {getattr(self, name)!r}")
        if self.k < 1 or self.longest < 40:
            raise ValueError("k must be at least 1, and longest at least 40 characters")
        given = {"tasks": self.tasks, "count": self.count}
        self._inside = build_seat(self.curriculum, CURRICULA, given, {"seed": self.seed})

    def sample(self) -> list[Task]:
        """The next tasks, some of them with an earlier solution."""
        tasks: list[Task] = self._inside.sample()
        draw = np.random.default_rng([self.seed, self._drawn])
        self._drawn += 1
        chosen: list[Task] = []
        for task in tasks:
            shown = draw.random() < self.p
            kept = self._kept.get(task.id)
            chosen.append(self.improving(task, kept[int(draw.integers(len(kept)))]) if shown and kept else task)
        return chosen

    def both(self, tasks: Sequence[Task]) -> list[Task]:
        """For evaluation: every task from scratch, and again with its best kept solution where there is one."""
        made: list[Task] = []
        for task in tasks:
            kept = self._kept.get(task.id)
            made += [task, self.improving(task, max(kept, key=lambda one: one["score"]))] if kept else [task]
        return made

    def observe(self, trajectories: Sequence[Trajectory], scores: Scores) -> None:
        """Keep solutions that were scored."""
        for index, trajectory in enumerate(trajectories):
            task = trajectory.task
            if task is None or not scores.scored[index] or not len(trajectory):
                continue
            score = float(scores.values[index])
            if self.valid_only is not None and score < self.valid_only:
                continue
            self._keep(task.id.removesuffix(SUFFIX), self._solution(trajectory, score))
        self._inside.observe(trajectories, scores)

    def improving(self, task: Task, solution: dict[str, Any]) -> Task:
        """A task with an earlier solution and its output behind its prompt."""
        text = (
            f"An earlier solution:\n{_cut(solution['text'], self.longest)}\n"
            f"What came of it:\n{_cut(solution['output'], self.longest)}\nDo better."
        )
        prompt = [dict(message) for message in task.prompt or []]
        if prompt and prompt[-1]["role"] == "user" and isinstance(prompt[-1].get("content"), str):
            prompt[-1]["content"] = f"{prompt[-1]['content']}\n{text}"
        else:
            prompt.append({"role": "user", "content": text})
        return replace(task, id=task.id + SUFFIX, prompt=prompt)

    def state_dict(self) -> dict[str, Any]:
        """The kept solutions, and where the curriculum inside is."""
        kept = {name: [dict(one) for one in solutions] for name, solutions in self._kept.items()}
        return {"kept": kept, "drawn": self._drawn, "inside": self._inside.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self._kept = {name: [dict(one) for one in solutions] for name, solutions in state["kept"].items()}
        self._drawn = int(state["drawn"])
        self._inside.load_state_dict(state["inside"])

    def _keep(self, name: str, solution: dict[str, Any]) -> None:
        if self.source == "last":
            self._kept[name] = [solution]
            return
        most = 1 if self.source == "best" else self.k
        known = {one["text"]: one for one in [*self._kept.get(name, []), solution]}
        self._kept[name] = sorted(known.values(), key=lambda one: -one["score"])[:most]

    def _solution(self, trajectory: Trajectory, score: float) -> dict[str, Any]:
        """What an attempt did, and what came of it: its last call with its output, or its answer with the log."""
        place = next((i for i in reversed(range(len(trajectory))) if trajectory.actions[i].get("tool_calls")), None)
        action: Message = trajectory.actions[-1 if place is None else place]
        output = str(trajectory.info.get("log", ""))
        text = message_text(action)
        if place is not None:
            output = "\n".join(message_text(message) for message in trajectory.observations[place + 1]) or output
            text = text if self.history == "plan" else _called(action)
        return {"text": text, "output": output, "score": score}


def better_of_both(trajectories: Sequence[Trajectory], scores: Scores) -> dict[str, float]:
    """The better score of each task, over its attempts from scratch and its attempts to improve; only scored ones count."""
    best: dict[str, float] = {}
    for index, trajectory in enumerate(trajectories):
        if trajectory.task is None or not scores.scored[index]:
            continue
        name = trajectory.task.id.removesuffix(SUFFIX)
        best[name] = max(best.get(name, -np.inf), float(scores.values[index]))
    return best


def _called(action: Message) -> str:
    """The last call of a message as text: its code where it has one, else its arguments."""
    call: Any = action["tool_calls"][-1]
    function = call.get("function", call) if isinstance(call, dict) else {}
    arguments: Any = function.get("arguments", "") if isinstance(function, dict) else ""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return arguments
    if isinstance(arguments, dict) and isinstance(arguments.get("code"), str):
        return str(arguments["code"])
    return json.dumps(arguments)


def _cut(text: str, longest: int) -> str:
    """Head and tail of a text that is too long."""
    if len(text) <= longest:
        return text
    half = (longest - 7) // 2
    return f"{text[:half]}\n[...]\n{text[-half:]}"
