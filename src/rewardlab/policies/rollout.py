"""Multi-turn rollouts: a policy acts in many environments at once, and every token it reads or writes is kept.

Each turn, the next messages of all live conversations are sampled in one batch, read as tool calls, and given to their
environments; what comes back is appended as tokens that the policy did not write. A trajectory whose environment raises or
hangs ends there and stays in the batch, marked `info["failed"]`, so that one broken tool never takes down a training step.

Members of a group get the same environment seed (they answer the same task from the same start) and sampling seeds of their
own. All seeds derive from `seed`, the task's place and the member's, so a rollout repeats whatever else runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from rewardlab.environments.base import Environment
from rewardlab.environments.batched import Call, EnvironmentPool
from rewardlab.environments.batched.calls import caught
from rewardlab.policies.attempts import Attempt, attempts_at
from rewardlab.policies.engines.base import Engine, Sampling
from rewardlab.policies.speaking import Speaker
from rewardlab.types import Task, Trajectory

__all__ = ["Limits", "Sampling", "rollout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What ends an attempt from outside; the trajectory is then marked `truncated`, and `info["limit"]` names the limit.

    Args:
        turns: most actions.
        tokens: most tokens of the whole trajectory, prompt included; the model's context when not given. An action that
            is cut off, by this or by `Sampling.max_new_tokens`, is still given to the environment, and is the last.
        seconds: wall-clock time, looked at before each action.
        step_seconds: most wall-clock time of one call of the environment (beginning an attempt, or one step); None for no
            limit. An environment that takes longer is given up and replaced, and its trajectory is *failed*.

    Raises:
        ValueError: a limit is not positive.
    """

    turns: int = 16
    tokens: int | None = None
    seconds: float | None = None
    step_seconds: float | None = 300.0

    def __post_init__(self) -> None:
        for name in ("turns", "tokens", "seconds", "step_seconds"):
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
        environment: makes an environment; called once for each attempt. An `EnvironmentPool` says besides how environments
            are stepped (threads or processes, overlap with the policy), and keeps them for later attempts.
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
    limits = limits or Limits()
    own = not isinstance(environment, EnvironmentPool)
    pool = EnvironmentPool(environment, reuse=False) if own else environment
    assert isinstance(pool, EnvironmentPool)
    speaker = policy.speaker(sampling or Sampling(), limits.tokens, engine)
    attempts = list(attempts_at(tasks, group_size, seed))
    trajectories: list[Trajectory] = []
    try:
        for start in range(0, len(attempts), batch_size):
            batch = attempts[start : start + batch_size]
            for live in _run(batch, pool, speaker, limits):
                if progress is not None:
                    progress(start + len(batch) - live, len(attempts))
            trajectories += [attempt.trajectory(speaker.keeps_tokens) for attempt in batch]
    finally:
        if own:
            pool.close()
    return trajectories


def _run(attempts: list[Attempt], pool: EnvironmentPool, speaker: Speaker, limits: Limits) -> Iterator[int]:
    """Carry some attempts from start to end; yields how many are still live."""
    try:
        _begin(attempts, pool, speaker, limits)
        half = (len(attempts) + 1) // 2 if pool.overlap else len(attempts)
        shifts = [_Shift(attempts[:half], pool, speaker, limits)]
        if half < len(attempts):
            shifts.append(_Shift(attempts[half:], pool, speaker, limits))
        while any(shift.live for shift in shifts):
            for shift in shifts:  # while one shift's environments answer, the other's conversations go on
                shift.hear()
                shift.speak()
            yield sum(len(shift.live) for shift in shifts)
    except BaseException:
        for attempt in attempts:  # some environments may still be at work: none of them begins another attempt
            if attempt.slot is not None:
                attempt.slot.spent = True
        raise
    finally:
        speaker.close([attempt.conversation for attempt in attempts])
        pool.give_back([attempt.slot for attempt in attempts if attempt.slot is not None])


def _begin(attempts: list[Attempt], pool: EnvironmentPool, speaker: Speaker, limits: Limits) -> None:
    for attempt in attempts:
        attempt.started = time.monotonic()
        attempt.slot = pool.take()
    begun = [(attempt.slot, attempt.task, attempt.environment_seed) for attempt in attempts if attempt.slot is not None]
    calls = pool.reset(begun, limits.step_seconds)
    pool.wait(calls)
    for attempt, call in zip(attempts, calls, strict=True):
        assert call.answer is not None  # it was waited for
        attempt.open(call.answer)
        if attempt.live:
            _start_speaking(attempt, speaker)


class _Shift:
    """Attempts that act together: what they write is sampled in one batch.

    Args:
        attempts: all of them, live or not.
        pool: what steps their environments.
        speaker: what writes.
        limits: what ends them.
    """

    def __init__(self, attempts: list[Attempt], pool: EnvironmentPool, speaker: Speaker, limits: Limits) -> None:
        self.live = [attempt for attempt in attempts if attempt.live]
        self.pool, self.speaker, self.limits = pool, speaker, limits
        self._calls: list[tuple[Attempt, Call]] = []

    def hear(self) -> None:
        """Take in what the environments answered, and let go of what is over."""
        self.pool.wait([call for _, call in self._calls])
        for attempt, call in self._calls:
            assert call.answer is not None  # it was waited for
            attempt.answered(call.answer, self.limits.turns)
            if attempt.live:
                hear = partial(self.speaker.hear, attempt.conversation, attempt.observations[-1])
                _guard(attempt, "what the environment answered could not be written", hear)
        for attempt in self.live:
            if attempt.live:
                _stop_out_of_bounds(attempt, self.speaker, self.limits)
        self.speaker.close([attempt.conversation for attempt in self.live if not attempt.live])
        self.live = [attempt for attempt in self.live if attempt.live]

    def speak(self) -> None:
        """Write the next action of every live attempt, and hand them to the environments."""
        began = time.perf_counter()
        utterances = self.speaker.speak([attempt.conversation for attempt in self.live]) if self.live else []
        spoken = time.perf_counter() - began
        for attempt, utterance in zip(self.live, utterances, strict=True):
            attempt.said(utterance, spoken)
        acting = [attempt for attempt in self.live if attempt.live]
        actions = [(attempt.slot, attempt.actions[-1]) for attempt in acting if attempt.slot is not None]
        self._calls = list(zip(acting, self.pool.step(actions, self.limits.step_seconds), strict=True))


def _start_speaking(attempt: Attempt, speaker: Speaker) -> None:
    _guard(attempt, "the prompt could not be written", partial(speaker.open, attempt.conversation))
    room = speaker.room(attempt.conversation) if attempt.live else None
    if room is not None and room < 1:
        length = attempt.conversation.length
        attempt.fail(
            f"the prompt has {length} tokens, which leaves no room within {length + room} tokens (the model's context or "
            "Limits.tokens); shorten it or allow more"
        )


def _stop_out_of_bounds(attempt: Attempt, speaker: Speaker, limits: Limits) -> None:
    room = speaker.room(attempt.conversation)
    if room is not None and room < 1:
        attempt.stop_at("tokens")
    elif limits.seconds is not None and time.monotonic() - attempt.started > limits.seconds:
        attempt.stop_at("seconds")


def _guard(attempt: Attempt, what: str, work: Callable[[], None]) -> None:
    reason = caught(work)[1]
    if reason is not None:
        attempt.fail(f"{what}: {reason}")
