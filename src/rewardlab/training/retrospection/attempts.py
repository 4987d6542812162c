"""Attempt, reflect, attempt again: an actor that is never trained, and a writer whose reflections go into its prompt.

After Retroformer (Yao et al. 2023, arXiv 2308.02151) and Reflexion (Shinn et al. 2023, arXiv 2303.11366).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from rewardlab.environments.base import Environment
from rewardlab.environments.single_turn import SingleTurn
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.engines.sampling import derive_seed
from rewardlab.policies.rollout import Limits, rollout
from rewardlab.training.retrospection.memory import remember_opening, remembering, shown_reflections, with_reflections
from rewardlab.types import Message, Task, Trajectory, message_text

_log = logging.getLogger(__name__)
Memory = Literal["append", "last"]
"""Which reflections the actor sees: all so far (the newest `cap` of them), or the newest alone."""

INSTRUCTION = (
    "An agent tried the task below and reached the score {score}. Say in a few sentences why it failed, and what it should "
    "do differently when it tries the same task again."
)
"""What the writer is asked; `{score}` is filled in."""


def reflection_prompt(
    trajectory: Trajectory, score: float, *, most: int | None = None, length: Callable[[str], int] = len
) -> list[Message]:
    """What the writer reads of a failed attempt: the instruction, the task, what happened, and the score.

    Args:
        trajectory: the attempt; what its prompt shows, earlier reflections included, stands at the beginning.
        score: its return.
        most: longest text, as `length` measures it; steps in the middle are left out, the oldest first, and that is
            said.
        length: of a text, in characters or tokens.
    """
    opening = "\n".join(f"[{message['role']}] {message_text(message)}" for message in trajectory.observations[0])
    steps = [
        "\n".join(_written(message) for message in (action, *answers))
        for action, answers in zip(trajectory.actions, trajectory.observations[1:], strict=True)
    ]
    first = 0
    text = _joined(opening, steps, first)
    while most is not None and first < len(steps) - 1 and length(text) > most:
        first += 1
        text = _joined(opening, steps, first)
    instruction = INSTRUCTION.replace("{score}", f"{score:.2f}")
    return [{"role": "user", "content": f"{instruction}\n\n<attempt>\n{text}\n</attempt>"}]


def _joined(opening: str, steps: Sequence[str], first: int) -> str:
    left_out = [f"[{first} steps left out]"] if first else []
    return "\n".join([opening, *left_out, *steps[first:]])


def _written(message: Message) -> str:
    calls = [call.get("function", {}) for call in message.get("tool_calls") or () if isinstance(call, dict)]
    called = [f"{call.get('name')}({call.get('arguments')})" for call in calls]
    return " ".join(filter(None, [f"[{message['role']}]", message_text(message), *called]))


def reflect(writer: Any, trajectory: Trajectory, score: float = 0.0, *, seed: int = 0, **options: Any) -> str:
    """One reflection on one attempt, for use when acting.

    Args:
        writer: a policy.
        trajectory: the attempt.
        score: its return.
        seed: of the draw.
        options: `sampling` of the writer, and those of `reflection_prompt`.
    """
    sampling = options.pop("sampling", None)
    prompt = reflection_prompt(trajectory, score, **options)
    (written,) = rollout(
        writer, SingleTurn, [Task(id="reflection", prompt=prompt)], sampling=sampling, limits=Limits(turns=1), seed=seed
    )
    if "failed" in written.info:
        raise RuntimeError(f"the writer could not answer: {written.info['failed']}")
    return written.completion


@dataclass(kw_only=True)
class Retrospective:
    """Runs attempts with reflections between them.

    Args:
        actor: what acts; a policy or an endpoint, never trained here.
        writer: what reflects on failures; None writes empty reflections (a plain retry).
        environment: a factory.
        reward: gives the return of an attempt; a failed score leaves the task without further attempts.
        retries: how often a failed task is tried again.
        memory: see `Memory`.
        cap: most reflections that are shown.
        success_at: the return of a solved task; a solved one is not tried again.
        actor_sampling: temperature 0 when not given, so that a change of the return is due to the reflection.
        writer_sampling: temperature 0.9 when not given, as when the paper's data were collected.
        limits: of the actor's attempts.
        most, length: of `reflection_prompt`.
        allow_stochastic: whether an environment may open retries otherwise than first attempts.
    """

    actor: Any
    writer: Any
    environment: Callable[[], Environment]
    reward: Callable[..., Any]
    retries: int = 4
    memory: Memory = "append"
    cap: int = 3
    success_at: float = 1.0
    actor_sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0))
    writer_sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.9))
    limits: Limits | None = None
    most: int | None = None
    length: Callable[[str], int] = len
    allow_stochastic: bool = False
    written: list[Trajectory] = field(default_factory=list, init=False)
    """What the writer wrote in the last `run`."""

    def __post_init__(self) -> None:
        for name, least in (("retries", 0), ("cap", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.memory not in ("append", "last"):
            raise ValueError(f'memory must be "append" or "last", got {self.memory!r}')
        if self.actor_sampling.temperature > 0:
            warnings.warn(
                f"the actor samples at temperature {self.actor_sampling.temperature:g}, so ratings of reflections hold its "
                'chance, too; compare with retries without a reflection (ReturnDifference(baseline="retry"))',
                stacklevel=3,
            )

    def run(self, tasks: Sequence[Task], *, seed: int = 0) -> list[Trajectory]:
        """All attempts at some tasks.

        Returns:
            The attempts, linked by `group` (the task) and `info`: `attempt` (0 for the first), `return`, and
            `reflection` (what was written *after* it, None where no retry followed). Sorted by task and attempt. The
            writer's own trajectories are in `written`.
        """
        live = [
            with_reflections(task, (), seed=derive_seed(seed, 0, place) % 2**31) for place, task in enumerate(tasks)
        ]
        places = list(range(len(live)))
        found: list[list[Trajectory]] = [[] for _ in live]
        self.written = []
        for attempt in range(self.retries + 1):
            tried = self.attempt([live[place] for place in places], seed=derive_seed(seed, 1, attempt))
            for place, one in zip(places, tried, strict=True):
                one.group = f"{live[place].id}/{place}"
                one.info["attempt"] = attempt
                found[place].append(one)
                if not attempt and len(one):
                    live[place] = remember_opening(live[place], one.observations[0])
            places = [
                place
                for place, one in zip(places, tried, strict=True)
                if one.info["return"] is not None and one.info["return"] < self.success_at
            ]
            if attempt == self.retries or not places:
                break
            texts = self.reflections([found[place][-1] for place in places], seed=derive_seed(seed, 2, attempt))
            for place, text in zip(places, texts, strict=True):
                found[place][-1].info["reflection"] = text
                earlier = [one.info["reflection"] for one in found[place]]
                kept = earlier[-1:] if self.memory == "last" else earlier[-self.cap :]
                live[place] = with_reflections(live[place], kept)
        return [one for attempts in found for one in attempts]

    def attempt(self, tasks: Sequence[Task], *, seed: int = 0) -> list[Trajectory]:
        """One attempt at each task with its reflections; `info["return"]` is the return, None where there is none."""
        trajectories = rollout(
            self.actor,
            remembering(self.environment, allow_stochastic=self.allow_stochastic),
            tasks,
            sampling=self.actor_sampling,
            limits=self.limits,
            seed=seed,
        )
        usable = [one for one in trajectories if "failed" not in one.info and len(one)]
        scores = self.reward(usable) if usable else None
        for one in trajectories:
            one.info.update({"return": None, "reflection": None})
        if scores is not None:
            for index, one in enumerate(usable):
                if scores.scored[index]:
                    one.info["return"] = float(scores.values[index])
                else:
                    _log.warning("task %r has no return: %s", one.task.id if one.task else None, scores.note(index))
        return trajectories

    def retry(self, failure: Trajectory, reflections: Sequence[str], *, seed: int = 0) -> list[Trajectory]:
        """The next attempt after one failure, once for each of several reflections; an empty one is a plain retry."""
        if failure.task is None:
            raise ValueError("the failure has no task, so it cannot be tried again")
        earlier, task, tasks = shown_reflections(failure.task.metadata), failure.task, []
        if not earlier:  # a first attempt, whose opening is the task's own
            task = remember_opening(task, failure.observations[0])
        for text in reflections:
            kept = [text] if self.memory == "last" else [*earlier, text][-self.cap :]
            tasks.append(with_reflections(task, kept))
        return self.attempt(tasks, seed=seed)

    def reflections(self, failures: Sequence[Trajectory], *, seed: int = 0) -> list[str]:
        """What the writer says of some failures; its trajectories are appended to `written`."""
        if self.writer is None:
            return [""] * len(failures)
        tasks = [self.reflection_task(one, str(place)) for place, one in enumerate(failures)]
        written = rollout(
            self.writer, SingleTurn, tasks, sampling=self.writer_sampling, limits=Limits(turns=1), seed=seed
        )
        self.written = [*self.written, *written]
        return [one.completion if len(one) and "failed" not in one.info else "" for one in written]

    def reflection_task(self, failure: Trajectory, identity: str = "0") -> Task:
        """The writer's task for a failure, named after it (see `failure_name`)."""
        score = failure.info.get("return")
        if score is None or not np.isfinite(score):
            raise ValueError("the failure has no return, so there is nothing to reflect on")
        return Task(
            id=failure_name(failure, identity),
            prompt=reflection_prompt(failure, score, most=self.most, length=self.length),
            metadata={"return": score},
        )


def success_after(trajectories: Sequence[Trajectory], retries: int, *, success_at: float = 1.0) -> float:
    """Share of the tasks that were solved within so many retries.

    Args:
        trajectories: what `Retrospective.run` returned.
        retries: attempts behind the first that count.
        success_at: the return of a solved task.
    """
    best: dict[str, float] = {}
    for one in trajectories:
        if one.info["attempt"] <= retries and one.group is not None:
            best[one.group] = max(
                best.get(one.group, -np.inf), one.info["return"] if one.info["return"] is not None else -np.inf
            )
    return float(np.mean([value >= success_at for value in best.values()])) if best else float("nan")


def failure_name(failure: Trajectory, identity: str = "0") -> str:
    """A name for a failure: its task, and which attempt it was."""
    return f"reflection/{failure.group or identity}/{failure.info.get('attempt', 0)}"
