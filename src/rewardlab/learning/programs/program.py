"""A generated reward: its source, where it came from, and the reward that it makes. Kept as text, never pickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.programs.running import MEMORY_MB, SECONDS, Job, Run, run_jobs
from rewardlab.learning.programs.static import attribute_names, check_source
from rewardlab.learning.programs.views import Form, schema_of, view_values
from rewardlab.rewards.base import ScoringFailure
from rewardlab.rewards.spec import register
from rewardlab.rewards.transitions import TransitionReward
from rewardlab.sandbox import Isolation

if TYPE_CHECKING:
    from rewardlab.learning.programs.checking import Report


class ProgramFailed(ScoringFailure):
    """A generated program that could not be used; `problems` says why."""


@dataclass(frozen=True, kw_only=True)
class RewardProgram:
    """A reward that a language model wrote.

    Args:
        source: the program; empty where the model gave none.
        instruction: what the model was asked for.
        model: who wrote it.
        prompt: all that the model read.
        form: what one call sees.
        parent: hash of the program that this one improves, or None.
        reason: what made the parent be improved: an error, or feedback in words.
        rounds: earlier (source, description, feedback) of this line, the oldest first.
        answers: how many answers it took to get a program.
        failure: why there is no program, or None.
    """

    source: str
    instruction: str = ""
    model: str = ""
    prompt: str = ""
    form: Form = "scalar"
    parent: str | None = None
    reason: str = ""
    rounds: tuple[tuple[str, str, str], ...] = ()
    answers: int = 1
    failure: str | None = None

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits of the source and its form."""
        return hashlib.sha256(f"{self.form}\n{self.source}".encode()).hexdigest()[:16]

    @property
    def prompt_hash(self) -> str:
        """Sixteen hexadecimal digits of the prompt."""
        return hash_prompt(self.prompt)

    @property
    def failed(self) -> bool:
        """Whether there is no program at all."""
        return self.failure is not None

    def check(self, environment: Any, n: int = 200, *, view: type, **options: Any) -> Report:
        """Read the program, run it in the sandbox on `n` sample transitions, and report; see `checking.check_program`."""
        from rewardlab.learning.programs.checking import check_program

        return check_program(self, environment, n, view=view, **options)

    def as_reward(self, view: type, **options: Any) -> ProgramReward:
        """A reward of transitions that runs this program in the sandbox; options are those of `ProgramReward`.

        Raises:
            ProgramFailed: there is no program, or its text shows that it cannot be used.
        """
        if self.failure is not None:
            raise ProgramFailed(f"there is no program: {self.failure}")
        return ProgramReward(source=self.source, view=view, form=self.form, **options)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values, its hashes included."""
        return {**asdict(self), "hash": self.hash, "prompt_hash": self.prompt_hash}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> RewardProgram:
        """What `to_json` gave.

        Raises:
            ValueError: keys are missing or unknown, or the text is not the one that was saved.
        """
        known = {entry.name for entry in fields(cls)}
        unknown = set(content) - known - {"hash", "prompt_hash"}
        if unknown or "source" not in content:
            raise ValueError(f"not a saved program: unknown keys {sorted(unknown)}, expected {sorted(known)}")
        given = {key: value for key, value in content.items() if key in known}
        given["rounds"] = tuple(tuple(entry) for entry in given.get("rounds", ()))
        program = cls(**given)
        if content.get("hash", program.hash) != program.hash:
            raise ValueError(
                f"the program has hash {program.hash}, but {content['hash']} was saved; its text was changed"
            )
        return program

    def save(self, path: str | Path) -> None:
        """Write it as JSON, or as plain Python where the name ends in `.py` (then the source alone)."""
        path = Path(path)
        text = self.source if path.suffix == ".py" else json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> RewardProgram:
        """Read what `save` wrote, or a Python file that a person wrote.

        Raises:
            ValueError: the file holds no program.
        """
        path = Path(path)
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            return cls(source=text)
        try:
            return cls.from_json(json.loads(text))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def hash_prompt(prompt: str) -> str:
    """Sixteen hexadecimal digits that name a prompt."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:16]


@register("reward_program")
@dataclass(frozen=True, kw_only=True)
class ProgramReward(TransitionReward):
    """A generated program as a reward of transitions: it sees the new state and the action, in the sandbox.

    One call is one round trip, whatever the number of states. A program that raises, runs out of time or memory, or answers
    with something else than numbers makes the transitions *failed*, with the reason; none of them is scored 0.

    Args:
        source: the program.
        view: the adapter's class (or `module:Class`), which is built from the observations of N states.
        form: what one call of the program sees.
        seconds: for one call with all its states.
        memory_mb: for one call.
        isolation: `auto`, `bubblewrap` (refuse to go on without) or `subprocess` (limits only).
        workers: calls at the same time, for rewards that several threads ask.
    """

    source: str
    view: Any
    form: Form = "scalar"
    seconds: float = SECONDS
    memory_mb: int = MEMORY_MB
    isolation: Isolation = "auto"
    workers: int = 1
    overlaps = True

    def __post_init__(self) -> None:
        super().__post_init__()
        problems = check_source(self.source, schema_of(self.adapter), self.form)
        if problems:
            raise ProgramFailed(f"the program cannot be used: {'; '.join(map(str, problems))}")

    @property
    def adapter(self) -> Callable[[Any], Any]:
        """The class of the view."""
        if not isinstance(self.view, str):
            return self.view
        from rewardlab.registry import Registry

        return Registry("view", {}, group="rewardlab.views").resolve(self.view)

    @property
    def label(self) -> str:  # noqa: D102
        return self.name or "reward_program"

    def job(self, observation: Any, action: NDArray[Any]) -> Job:
        """The program with the states after some transitions.

        Args:
            observation: [N, ...] what was seen after the actions.
            action: [N, ...].
        """
        schema = schema_of(self.adapter)
        values = view_values(schema, self.adapter(observation), len(action), names=attribute_names(self.source))
        return Job(source=self.source, schema=schema, form=self.form, values=values, action=action, lenient=True)

    def transition(
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Rewards of N transitions; see `TransitionReward`.

        Raises:
            ProgramFailed: the program failed on them, with the reason. A value that is not finite stays as it is.
        """
        job = self.job(next_observation, np.asarray(action))
        run = run_jobs(
            [job],
            seconds=self.seconds,
            memory_mb=self.memory_mb,
            isolation=self.isolation,
            workers=self.workers,
        )[0]
        return _values(run)


def transitions_of_many(
    rewards: Sequence[ProgramReward], observations: Sequence[Any], actions: Sequence[NDArray[Any]]
) -> list[NDArray[np.float64]]:
    """Rewards of several programs, each on states of its own; the processes run side by side.

    Raises:
        ProgramFailed: one of them failed; its place in the list is named.
        ValueError: nothing to do, or the lists have different lengths.
    """
    if not rewards or not len(rewards) == len(observations) == len(actions):
        raise ValueError(
            f"got {len(rewards)} rewards, {len(observations)} observations and {len(actions)} actions; one of each"
        )
    first = rewards[0]
    jobs = [reward.job(*pair) for reward, *pair in zip(rewards, observations, actions, strict=True)]
    options = {"seconds": first.seconds, "memory_mb": first.memory_mb, "isolation": first.isolation}
    found = []
    for place, run in enumerate(run_jobs(jobs, workers=first.workers, **options)):  # type: ignore[arg-type]
        try:
            found.append(_values(run))
        except ProgramFailed as error:
            raise ProgramFailed(f"program {place}: {error}") from error
    return found


def _values(run: Run) -> NDArray[np.float64]:
    if run.values is None:
        raise ProgramFailed(f"the program failed: {run.problem}")
    return run.values
