"""What guidance is, how it is shown, and how it is kept out of what the policy learns from.

Guidance is text that an attempt gets beside its task. It stands in the opening messages, at places that are known, and is
taken out again exactly: the messages and the tokens of the bare task are made anew, and what the policy wrote is put behind
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from rewardlab.environments.base import Environment, Step
from rewardlab.policies.engines.sampling import derive_seed
from rewardlab.types import Message, Task, Tokens, Trajectory, message_text

Place = Literal["user", "system", "message"]
"""Where a hint is shown: at the end of the last user message, of the system message, or in a user message of its own."""

PARTS = ("plan", "feedback", "interaction")
HEADINGS: dict[str, str] = {"plan": "Plan", "feedback": "What went wrong", "interaction": "Where"}
TEMPLATE = (
    "\n\nHint:\n{hint}\n\nSolve the task from the beginning. Explain your reasoning as if you had been given no hint."
)
"""How a hint is shown; `{hint}` is the parts with their headings."""

_INDEX = "rewardlab/hint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """What a teacher says before a task is tried again; a part that is empty is not shown.

    Args:
        plan: steps and the crux, from the task.
        feedback: what to correct, from the verifier's notes on the last attempt.
        interaction: where in the environment to act.
    """

    plan: str = ""
    feedback: str = ""
    interaction: str = ""

    def parts(self, wanted: Sequence[str] = PARTS) -> dict[str, str]:
        """The wanted parts that say something, by name."""
        return {name: text for name in wanted if (text := getattr(self, name).strip())}


@dataclass(frozen=True, slots=True, kw_only=True)
class HintFormat:
    """How guidance becomes text in a prompt.

    Args:
        template: the text that is added; `{hint}` stands for the parts.
        headings: what each part is called; a part without one is shown bare.
        places: where the text is added; more than one shows it in each.
        join: what stands between parts.

    Raises:
        ValueError: the template has no `{hint}`, or a place or part is unknown.
    """

    template: str = TEMPLATE
    headings: Mapping[str, str] = field(default_factory=lambda: dict(HEADINGS))
    places: Sequence[Place] = ("user",)
    join: str = "\n"

    def __post_init__(self) -> None:
        if "{hint}" not in self.template:
            raise ValueError(f"the template of a hint must contain {{hint}}, got {self.template!r:.80}")
        for place in self.places:
            if place not in get_args(Place):
                raise ValueError(f"places must be of {', '.join(get_args(Place))}, got {place!r}")
        if not self.places:
            raise ValueError("a hint needs a place; give one of user, system, message")
        if self.headings:
            check_parts(tuple(self.headings))

    def text(self, parts: Mapping[str, str]) -> str:
        """The parts with their headings."""
        return self.join.join(
            f"{self.headings[name]}: {text}" if self.headings.get(name) else text for name, text in parts.items()
        )

    def shown(self, messages: Sequence[Message], hint: str) -> list[Message]:
        """The opening messages with the hint in its places; those given stay as they are."""
        added = self.template.replace("{hint}", hint)
        opening = [dict(message) for message in messages]
        for place in self.places:
            if place == "message":
                opening.append({"role": "user", "content": added.strip()})
                continue
            at = [index for index, message in enumerate(opening) if message["role"] == place]
            if not at:
                role = "system" if place == "system" else "user"
                opening.insert(0 if role == "system" else len(opening), {"role": role, "content": added.strip()})
            else:
                target = opening[at[-1]]
                target["content"] = message_text(target) + added
        return opening


def check_parts(parts: Sequence[str]) -> tuple[str, ...]:
    """The parts, if all are known and there is one."""
    for name in parts:
        if name not in PARTS:
            raise ValueError(f"parts must be of {', '.join(PARTS)}, got {name!r}")
    if isinstance(parts, str) or not parts:
        raise ValueError(f"parts must be a list of some of {', '.join(PARTS)}, got {parts!r}")
    return tuple(parts)


# ---- showing -----------------------------------------------------------------------------------------------------------


class Hinted:
    """A factory of environments that show hints: attempt number i at `tasks[i]` sees `hints[i]`.

    Args:
        environment: the factory of the environments themselves.
        tasks: what is attempted.
        hints: for each task.
        how: how they are shown.
        seeds: of the environment in the attempt that failed, so that the next one begins from the same start; None where
            it is not known.
    """

    def __init__(
        self,
        environment: Callable[[], Environment],
        tasks: Sequence[Task],
        hints: Sequence[str],
        how: HintFormat,
        seeds: Sequence[int | None],
    ) -> None:
        self.environment, self.originals, self.hints, self.how = environment, list(tasks), list(hints), how
        self.seeds = list(seeds)
        self.openings: dict[int, tuple[list[Message], Sequence[dict[str, Any]]]] = {}

    @property
    def tasks(self) -> list[Task]:
        """What to give to the rollout: the tasks, each with its place."""
        return [
            replace(task, id=f"{task.id}/hint/{index}", metadata={**task.metadata, _INDEX: index})
            for index, task in enumerate(self.originals)
        ]

    def __call__(self) -> Environment:
        """One environment."""
        return _HintedEnvironment(self, self.environment())

    def restore(self, trajectory: Trajectory, policy: Any, *, strip: bool) -> Trajectory:
        """The trajectory with its own task; with `strip`, as if the hint had not been there.

        Where the policy has a template and the trajectory has tokens, the prompt's tokens are those of the bare task, and
        the tokens behind them are as they were sampled, with the log-probabilities that they had when the hint was there.

        Raises:
            ValueError: the trajectory never began.
        """
        assert trajectory.task is not None  # every one of ours has
        index = int(trajectory.task.metadata[_INDEX])
        task = self.originals[index]
        if not strip or index not in self.openings:
            return replace(trajectory, task=task)
        bare, tools = self.openings[index]
        tokens = trajectory.tokens
        if tokens is not None and hasattr(policy, "template"):
            tokens = with_prompt(tokens, policy.template.opening(bare, tools))
        return replace(trajectory, task=task, observations=[list(bare), *trajectory.observations[1:]], tokens=tokens)


class _HintedEnvironment(Environment):
    """An environment whose opening messages carry a hint."""

    def __init__(self, factory: Hinted, inner: Environment) -> None:
        self._factory, self._inner = factory, inner
        self.tools = inner.tools
        self.blocking = inner.blocking  # type: ignore[misc]  # what is said of the class is said of this object

    def reset(self, task: Task, seed: int) -> list[Message]:
        """Begin the attempt with the hint in its places."""
        index = int(task.metadata[_INDEX])
        known = self._factory.seeds[index]
        bare = self._inner.reset(self._factory.originals[index], seed if known is None else known)
        self._factory.openings[index] = (list(bare), self._inner.tools or task.tools)
        return self._factory.how.shown(bare, self._factory.hints[index])

    def step(self, action: Message) -> Step:
        """Answer as the environment does."""
        return self._inner.step(action)

    def close(self) -> None:
        """Close the environment."""
        self._inner.close()


def note_seeds(trajectories: Sequence[Trajectory], seed: int, group_size: int) -> None:
    """Keep in `info["environment_seed"]` what a rollout with this seed began each environment with."""
    for index, trajectory in enumerate(trajectories):
        trajectory.info["environment_seed"] = derive_seed(seed, 0, index // group_size) % 2**31


def with_prompt(tokens: Tokens, prompt: Sequence[int]) -> Tokens:
    """The same written tokens behind another prompt.

    Args:
        tokens: of a trajectory; everything before the first written token is its prompt.
        prompt: ids to put in its place.
    """
    written = np.flatnonzero(tokens.step >= 0)
    first = int(written[0]) if written.size else len(tokens)
    count = len(prompt)
    return Tokens(
        ids=np.concatenate([np.asarray(prompt, dtype=np.int64), tokens.ids[first:]]),
        step=np.concatenate([np.full(count, -1, dtype=np.int32), tokens.step[first:]]),
        logprobs=np.concatenate([np.zeros(count, dtype=np.float32), tokens.logprobs[first:]]),
    )
