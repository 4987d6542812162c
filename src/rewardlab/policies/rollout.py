"""Multi-turn rollouts: a policy acts in many environments at once, and every token it reads or writes is kept.

Each turn, the next messages of all live conversations are sampled in one batch, read as tool calls, and given to their
environments; what comes back is appended as tokens that the policy did not write. A trajectory whose environment raises ends
there and stays in the batch, marked `info["failed"]`, so that one broken tool never takes down a step of training.

Members of a group get the same environment seed (they answer the same task from the same start) and sampling seeds of their
own. All seeds derive from `seed`, the task's place and the member's, so a rollout repeats whatever else runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from rewardlab.environments.base import Environment, Step
from rewardlab.policies.engines.base import Engine, Sampling
from rewardlab.policies.engines.sampling import derive_seed
from rewardlab.policies.speaking import Conversation, Speaker
from rewardlab.types import Message, Task, Tokens, Trajectory, check_message

_log = logging.getLogger(__name__)
_MOST_THREADS = 32
_Result = TypeVar("_Result")

__all__ = ["Limits", "Sampling", "rollout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What ends an attempt from outside; the trajectory is then marked `truncated`, and `info["limit"]` names the limit.

    Args:
        turns: most actions.
        tokens: most tokens of the whole trajectory, prompt included; the model's context when not given. An action that
            is cut off, by this or by `Sampling.max_new_tokens`, is still given to the environment, and is the last.
        seconds: wall-clock time, looked at before each action.

    Raises:
        ValueError: a limit is not positive.
    """

    turns: int = 16
    tokens: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("turns", "tokens", "seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"Limits.{name} must be positive, got {value}")


class SpeakingPolicy(Protocol):
    """What a rollout needs of a policy: `LanguageModelPolicy` and `EndpointPolicy` have it."""

    def speaker(self, sampling: Sampling, most_tokens: int | None, engine: Engine | None) -> Speaker:
        """What writes this policy's messages."""


def rollout(
    policy: SpeakingPolicy,
    environment: Callable[[], Environment],
    tasks: Iterable[Task],
    *,
    group_size: int = 1,
    limits: Limits | None = None,
    sampling: Sampling | None = None,
    seed: int = 0,
    engine: Engine | None = None,
    batch_size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> list[Trajectory]:
    """Let a policy attempt tasks.

    Args:
        policy: what acts.
        environment: makes an environment; called once for each attempt.
        tasks: what to attempt; a task may occur several times, and each occurrence is a group of its own.
        group_size: attempts at each occurrence.
        limits: on turns, tokens and seconds.
        sampling: how tokens are drawn; temperature 1 when not given.
        seed: of all draws.
        engine: what samples, when it is not the policy's own.
        batch_size: most conversations at once; bounds memory.
        progress: called with the attempts that are over and their number.

    Returns:
        One trajectory per attempt: the tasks in order, the members of a group beside each other. `info` holds `texts` (the
        raw text of every action), what the environment reported, and where they apply `limit` and `failed`.

    Raises:
        ValueError: `group_size` or `batch_size` is not positive.
        TypeError: an environment was given in place of a factory, or something else than a task.
    """
    for name, value in (("group_size", group_size), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if isinstance(environment, Environment) or not callable(environment):
        raise TypeError(
            f"environment must be a factory that makes one for each attempt, got {environment!r:.80}; "
            "give the class, or functools.partial(Class, option=...)"
        )
    limits = limits or Limits()
    speaker = policy.speaker(sampling or Sampling(), limits.tokens, engine)
    attempts = list(_attempts(tasks, group_size, seed))
    trajectories: list[Trajectory] = []

    for start in range(0, len(attempts), batch_size):
        batch = attempts[start : start + batch_size]
        for live in _run(batch, environment, speaker, limits):
            if progress is not None:
                progress(start + len(batch) - live, len(attempts))
        trajectories += [attempt.trajectory(speaker.keeps_tokens) for attempt in batch]
    return trajectories


@dataclass(slots=True, eq=False)
class _Attempt:
    """One trajectory while it grows."""

    task: Task
    group: str
    environment_seed: int
    conversation: Conversation
    environment: Environment | None = None
    observations: list[list[Message]] = field(default_factory=list)
    actions: list[Message] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)
    terminated: bool = False
    truncated: bool = False
    started: float = 0.0

    @property
    def live(self) -> bool:
        return not (self.terminated or self.truncated or "failed" in self.info)

    def fail(self, reason: str) -> None:
        self.info["failed"] = reason

    def stop_at(self, limit: str) -> None:
        self.truncated = True
        self.info["limit"] = limit

    def trajectory(self, keeps_tokens: bool) -> Trajectory:
        conversation = self.conversation
        tokens = None
        if keeps_tokens:
            tokens = Tokens(
                ids=np.array(conversation.ids, dtype=np.int64),
                step=np.array(conversation.step, dtype=np.int32),
                logprobs=np.array(conversation.logprobs, dtype=np.float32),
            )
        return Trajectory(
            observations=self.observations or [[]],
            actions=self.actions,
            rewards=np.array(self.rewards, dtype=np.float64),
            terminated=self.terminated,
            truncated=self.truncated,
            task=self.task,
            group=self.group,
            tokens=tokens,
            seconds=np.array(self.seconds, dtype=np.float64),
            info={**self.info, "texts": self.texts},
        )


def _attempts(tasks: Iterable[Task], group_size: int, seed: int) -> Iterator[_Attempt]:
    occurrences: dict[str, int] = {}
    for place, task in enumerate(tasks):
        if not isinstance(task, Task):
            raise TypeError(f"task {place} is a {type(task).__name__}, expected a Task(id=..., prompt=...)")
        occurrence = occurrences.get(task.id, 0)
        occurrences[task.id] = occurrence + 1
        for member in range(group_size):
            yield _Attempt(
                task=task,
                group=f"{task.id}/{occurrence}",
                environment_seed=derive_seed(seed, 0, place) % 2**31,
                conversation=Conversation(seed=derive_seed(seed, 1, place, member), messages=[], tools=()),
            )


def _run(
    attempts: list[_Attempt],
    environment: Callable[[], Environment],
    speaker: Speaker,
    limits: Limits,
) -> Iterator[int]:
    """Carry some attempts from start to end; yields how many are still live."""
    try:
        with ThreadPoolExecutor(max_workers=min(_MOST_THREADS, len(attempts))) as threads:
            for attempt in attempts:
                attempt.started = time.monotonic()
                _guard(attempt, "the environment could not be made", partial(_make, attempt, environment))
            _each(threads, [attempt for attempt in attempts if attempt.live], _open)
            for attempt in attempts:
                if attempt.live:
                    _start_speaking(attempt, speaker)
            live = [attempt for attempt in attempts if attempt.live]
            while live:
                live = [attempt for attempt in live if not _out_of_bounds(attempt, speaker, limits)]
                if live:
                    _turn(live, speaker, limits, threads)
                over = [attempt for attempt in attempts if not attempt.live]
                speaker.close([attempt.conversation for attempt in over])
                live = [attempt for attempt in live if attempt.live]
                yield len(live)
    finally:
        speaker.close([attempt.conversation for attempt in attempts])
        for attempt in attempts:
            if attempt.environment is not None:
                reason = _caught(attempt.environment.close)[1]
                if reason is not None:
                    _log.warning("environment of task %r raised while closing: %s", attempt.task.id, reason)


def _make(attempt: _Attempt, environment: Callable[[], Environment]) -> None:
    attempt.environment = environment()


def _open(attempt: _Attempt) -> None:
    assert attempt.environment is not None
    messages = attempt.environment.reset(attempt.task, attempt.environment_seed)
    for place, message in enumerate(messages):
        check_message(message, where=f"message {place} of what the environment's reset returned")
    if not messages:
        raise ValueError("the environment's reset returned no messages, expected at least one")
    attempt.observations.append(list(messages))
    attempt.conversation.messages = list(messages)
    attempt.conversation.tools = attempt.environment.tools or attempt.task.tools


def _start_speaking(attempt: _Attempt, speaker: Speaker) -> None:
    _guard(attempt, "the prompt could not be written", partial(speaker.open, attempt.conversation))
    room = speaker.room(attempt.conversation) if attempt.live else None
    if room is not None and room < 1:
        length = attempt.conversation.length
        attempt.fail(
            f"the prompt has {length} tokens, which leaves no room within {length + room} tokens (the model's context or "
            "Limits.tokens); shorten it or allow more"
        )


def _out_of_bounds(attempt: _Attempt, speaker: Speaker, limits: Limits) -> bool:
    room = speaker.room(attempt.conversation)
    if room is not None and room < 1:
        attempt.stop_at("tokens")
    elif limits.seconds is not None and time.monotonic() - attempt.started > limits.seconds:
        attempt.stop_at("seconds")
    return attempt.truncated


def _turn(live: list[_Attempt], speaker: Speaker, limits: Limits, threads: ThreadPoolExecutor) -> None:
    """One action of every live attempt."""
    began = time.perf_counter()
    utterances = speaker.speak([attempt.conversation for attempt in live])
    spoken = time.perf_counter() - began
    said = [(attempt, utterance) for attempt, utterance in zip(live, utterances, strict=True)]
    for attempt, utterance in said:
        if utterance.failure is not None:
            attempt.fail(utterance.failure)
            continue
        attempt.actions.append(utterance.message)
        attempt.texts.append(utterance.text)
        if utterance.logprobs is not None:
            attempt.info.setdefault("logprobs", []).append(utterance.logprobs)
        attempt.rewards.append(float("nan"))
        attempt.observations.append([])
        attempt.seconds.append(spoken)
    answered = [(attempt, utterance) for attempt, utterance in said if attempt.live]
    cut = {id(attempt): utterance.cut for attempt, utterance in answered}
    _each(threads, [attempt for attempt, _ in answered], _answer)
    for attempt, _ in answered:
        if attempt.live and cut[id(attempt)]:
            attempt.stop_at("tokens")
        elif attempt.live and len(attempt.actions) >= limits.turns:
            attempt.stop_at("turns")
        if attempt.live:
            hear = partial(speaker.hear, attempt.conversation, attempt.observations[-1])
            _guard(attempt, "what the environment answered could not be written", hear)


def _answer(attempt: _Attempt) -> None:
    """Let the environment answer the last action."""
    assert attempt.environment is not None
    began = time.perf_counter()
    step = attempt.environment.step(attempt.actions[-1])
    attempt.seconds[-1] += time.perf_counter() - began
    if not isinstance(step, Step):
        raise TypeError(f"the environment's step returned a {type(step).__name__}, expected a Step")
    for place, message in enumerate(step.observation):
        check_message(message, where=f"message {place} of the environment's answer")
    reward = float(step.reward)
    if np.isinf(reward):
        raise ValueError(f"the environment's reward must be finite, or NaN where it gives none; got {reward}")
    attempt.observations[-1] = list(step.observation)
    attempt.rewards[-1] = reward
    attempt.info.update(step.info)
    attempt.terminated, attempt.truncated = bool(step.terminated), bool(step.truncated)


def _each(threads: ThreadPoolExecutor, attempts: Sequence[_Attempt], work: Callable[[_Attempt], None]) -> None:
    """Do some work for each attempt, in threads where the environment says that it waits for others."""

    def guarded(attempt: _Attempt) -> None:
        _guard(attempt, f"the environment's {'reset' if work is _open else 'step'} raised", partial(work, attempt))

    waiting = [attempt for attempt in attempts if attempt.environment is not None and attempt.environment.blocking]
    pending = [threads.submit(guarded, attempt) for attempt in waiting]
    for attempt in attempts:
        if attempt not in waiting:
            guarded(attempt)
    for future in pending:
        future.result()


def _guard(attempt: _Attempt, what: str, work: Callable[[], None]) -> None:
    reason = _caught(work)[1]
    if reason is not None:
        attempt.fail(f"{what}: {reason}")


def _caught(work: Callable[[], _Result]) -> tuple[_Result | None, str | None]:
    """Run code that is not ours; what it raises becomes a reason."""
    try:
        return work(), None
    except Exception as error:  # noqa: BLE001  # the border to code that is not ours: the trajectory keeps the reason
        return None, f"{type(error).__name__}: {error}"
