"""The data that flows through rewardlab: tasks, trajectories, tokens, preferences and scores.

Only numpy and the standard library are imported here, so that every other room can build on it. One `Trajectory` class
serves both arrays (Gymnasium) and chats (language-model agents): the columns are the same, only what stands in them differs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Message = dict[str, Any]
"""One chat message in the OpenAI format: `role`, `content`, and `tool_calls`, `tool_call_id` or `name` where they apply."""

ROLES = ("system", "developer", "user", "assistant", "tool")


class Status(IntEnum):
    """What became of one sample: it got a value, the reward had nothing to say about it, or scoring it broke."""

    SCORED = 0
    ABSTAINED = 1
    FAILED = 2


@dataclass(slots=True, kw_only=True, eq=False)
class Task:
    """One thing that an agent is asked to do.

    Args:
        id: unique within a task set.
        prompt: the chat messages that open the conversation, or None for a task without text.
        reference: the ground truth that verifiers read; any JSON value.
        tools: tool descriptions in the OpenAI format (`{"type": "function", "function": {...}}`).
        metadata: anything else; never read by the library unless an option names the key.
    """

    id: str
    prompt: list[Message] | None = None
    reference: Any = None
    tools: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id:
            raise TypeError(f"task id must be a non-empty string, got {self.id!r}; use str(index) for numbered tasks")
        if isinstance(self.prompt, str):
            raise TypeError(
                f"prompt of task {self.id!r} must be a list of chat messages, got a string; "
                'write [{"role": "user", "content": ...}]'
            )
        if self.prompt is not None:
            for position, message in enumerate(self.prompt):
                check_message(message, where=f"prompt[{position}] of task {self.id!r}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Task):
            return NotImplemented
        return all(_same(getattr(self, name), getattr(other, name)) for name in self.__slots__)


@dataclass(slots=True, kw_only=True, eq=False)
class Tokens:
    """The exact tokens of a chat trajectory, as the policy read and wrote them.

    `step` is loss mask and credit map at once: it holds the index of the action that a token belongs to, and -1 for tokens
    that the policy did not write (prompts, tool output, template glue). `advantages[step]` broadcasts credit to tokens.

    Args:
        ids: int64[token].
        step: int32[token]; -1 or the index of an action, never decreasing over the tokens that have one.
        logprobs: float32[token], log-probability under the behaviour policy; 0 where `step` is -1.
    """

    ids: NDArray[np.int64]
    step: NDArray[np.int32]
    logprobs: NDArray[np.float32]

    def __post_init__(self) -> None:
        self.ids = np.asarray(self.ids, dtype=np.int64)
        self.step = np.asarray(self.step, dtype=np.int32)
        self.logprobs = np.asarray(self.logprobs, dtype=np.float32)
        if not self.ids.ndim == self.step.ndim == self.logprobs.ndim == 1:
            raise ValueError(f"tokens must be one-dimensional, got ids of shape {self.ids.shape}")
        if not self.ids.size == self.step.size == self.logprobs.size:
            raise ValueError(
                "ids, step and logprobs must have one entry per token, got lengths "
                f"{self.ids.size}, {self.step.size} and {self.logprobs.size}"
            )
        written = self.step[self.step >= 0]
        if self.step.size and self.step.min() < -1:
            raise ValueError(f"step must be -1 or the index of an action, got {int(self.step.min())}")
        if written.size and (np.diff(written) < 0).any():
            raise ValueError("step must not decrease: the tokens of action k come before those of action k + 1")
        if not np.isfinite(self.logprobs).all():
            position = int(np.flatnonzero(~np.isfinite(self.logprobs))[0])
            raise ValueError(f"logprobs must be finite, got {self.logprobs[position]} at token {position}")

    def __len__(self) -> int:
        return int(self.ids.size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tokens):
            return NotImplemented
        return (
            np.array_equal(self.ids, other.ids)
            and np.array_equal(self.step, other.step)
            and np.array_equal(self.logprobs, other.logprobs)
        )


@dataclass(slots=True, kw_only=True, eq=False)
class Trajectory:
    """What happened in one attempt at one task, in columns.

    Args:
        observations: T + 1 of them; array[T + 1, ...] for control, and for a chat a list that holds, for each step, the list
            of messages that arrived before that action (first the prompt, last what arrived after the last action).
        actions: T of them; array[T, ...] for control, assistant messages for a chat.
        rewards: float64[T], the environment's own reward for each action; NaN where it gave none.
        terminated: the environment ended the attempt.
        truncated: a limit (turns, tokens, seconds) ended it.
        task: what was asked.
        group: trajectories with the same group answer the same task and are compared with one another.
        tokens: the exact tokens, for language-model policies.
        seconds: float64[T], how long each action took, or None.
        info: anything else that the environment or the rollout reported.
    """

    observations: Any
    actions: Any
    rewards: NDArray[np.float64] = None  # type: ignore[assignment]  # filled with NaN when not given
    terminated: bool = False
    truncated: bool = False
    task: Task | None = None
    group: str | None = None
    tokens: Tokens | None = None
    seconds: NDArray[np.float64] | None = None
    info: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        length = len(self.actions)
        if len(self.observations) != length + 1:
            raise ValueError(
                f"a trajectory of {length} actions needs {length + 1} observations, got {len(self.observations)}; "
                "the last observation is what followed the last action (an empty list of messages for a chat)"
            )
        if self.rewards is None:
            self.rewards = np.full(length, np.nan)
        self.rewards = np.asarray(self.rewards, dtype=np.float64)
        if self.rewards.shape != (length,):
            raise ValueError(f"rewards must have shape ({length},), one per action, got {self.rewards.shape}")
        if np.isinf(self.rewards).any():
            raise ValueError("rewards must be finite, or NaN where the environment gave none; got inf")
        if self.seconds is not None:
            self.seconds = np.asarray(self.seconds, dtype=np.float64)
            if self.seconds.shape != (length,):
                raise ValueError(f"seconds must have shape ({length},), one per action, got {self.seconds.shape}")
        if self.group is not None and not isinstance(self.group, str):
            raise TypeError(f"group must be a string or None, got {self.group!r}; use str(...)")
        if self.tokens is not None and len(self.tokens) and int(self.tokens.step.max()) >= length:
            raise ValueError(
                f"tokens name action {int(self.tokens.step.max())}, but the trajectory has only {length} actions"
            )
        if self.is_chat:
            for step, action in enumerate(self.actions):
                check_message(action, where=f"actions[{step}]")
                if action["role"] != "assistant":
                    raise ValueError(f"actions[{step}] must be an assistant message, got role {action['role']!r}")

    def __len__(self) -> int:
        return len(self.actions)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trajectory):
            return NotImplemented
        return (
            _same(self.observations, other.observations)
            and _same(self.actions, other.actions)
            and _same(self.rewards, other.rewards)
            and (self.terminated, self.truncated, self.group) == (other.terminated, other.truncated, other.group)
            and self.task == other.task
            and self.tokens == other.tokens
            and _same(self.seconds, other.seconds)
            and _same(self.info, other.info)
        )

    @property
    def is_chat(self) -> bool:
        """Whether actions are assistant messages, and not arrays."""
        if isinstance(self.actions, np.ndarray):
            return False
        if len(self.actions):
            return isinstance(self.actions[0], Mapping)
        return isinstance(self.observations[0], list)

    @property
    def messages(self) -> list[Message]:
        """The whole conversation in order: what arrived and what the policy answered."""
        if not self.is_chat:
            raise TypeError("messages are only there for chat trajectories; this one holds arrays")
        conversation = list(self.observations[0])
        for action, arrived in zip(self.actions, self.observations[1:], strict=True):
            conversation.append(action)
            conversation.extend(arrived)
        return conversation

    @property
    def completion(self) -> str:
        """The text of the last assistant message; empty where it only called tools."""
        if not len(self.actions):
            raise ValueError("the trajectory has no actions, so it has no completion")
        return message_text(self.actions[-1])

    @property
    def reference(self) -> Any:
        """The ground truth of the task, or None."""
        return None if self.task is None else self.task.reference

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """Every tool call of the trajectory in order, in the OpenAI format."""
        return [call for action in self.actions for call in action.get("tool_calls") or ()]

    @classmethod
    def from_messages(cls, messages: Sequence[Message], **columns: Any) -> Trajectory:
        """Build a chat trajectory from one flat conversation.

        Args:
            messages: messages in the OpenAI format; every assistant message becomes an action. An assistant message that
                stands in the prompt (a few-shot example) should be passed with `task.prompt`, whose messages are never
                taken as actions when the conversation begins with them.
            columns: any other field of `Trajectory`.

        Raises:
            ValueError: a message has no role, or an unknown one.
        """
        task: Task | None = columns.get("task")
        start = 0
        if task is not None and task.prompt and list(messages[: len(task.prompt)]) == list(task.prompt):
            start = len(task.prompt)
        observations: list[list[Message]] = [list(messages[:start])]
        actions: list[Message] = []
        for position, message in enumerate(messages[start:], start=start):
            check_message(message, where=f"messages[{position}]")
            if message["role"] == "assistant":
                actions.append(message)
                observations.append([])
            else:
                observations[-1].append(message)
        return cls(observations=observations, actions=actions, **columns)

    @classmethod
    def from_text(cls, prompt: str, completion: str, *, reference: Any = None, **columns: Any) -> Trajectory:
        """Build a single-turn chat trajectory from a prompt and an answer.

        Args:
            prompt: what the user said.
            completion: what the policy answered.
            reference: ground truth, stored in a new `Task` unless `task` is among `columns`.
            columns: any other field of `Trajectory`.
        """
        opening = [{"role": "user", "content": prompt}]
        if "task" not in columns:
            identity = str(columns["info"]["id"]) if "id" in (columns.get("info") or {}) else _short_hash(prompt)
            columns["task"] = Task(id=identity, prompt=opening, reference=reference)
        columns.setdefault("terminated", True)
        return cls(observations=[opening, []], actions=[{"role": "assistant", "content": completion}], **columns)


@dataclass(slots=True, kw_only=True)
class Preference:
    """One comparison of two attempts.

    Args:
        chosen: the better one; a trajectory, or text or an array that becomes one.
        rejected: the worse one.
        label: probability in [0, 1] that `chosen` is better; 0.5 is a tie, and values between are soft votes.
        annotator: who compared them, or None.
        strength: how much better, on the annotator's own scale (used as a margin), or None.
        weight: non-negative weight of this comparison in a loss.
    """

    chosen: Any
    rejected: Any
    label: float = 1.0
    annotator: str | None = None
    strength: float | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.label <= 1.0:
            raise ValueError(f"label must be in [0, 1], got {self.label}; use strength= for margins")
        if not (np.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"weight must be finite and not negative, got {self.weight}")
        if self.strength is not None and not np.isfinite(self.strength):
            raise ValueError(f"strength must be finite or None, got {self.strength}")


@dataclass(slots=True, kw_only=True, eq=False)
class Scores:
    """What a reward says about N trajectories. A value stands only where the status is SCORED; elsewhere it is NaN.

    Args:
        values: float64[sample].
        status: int8[sample] of `Status`.
        notes: a reason or a critique for each sample, or None where nobody wrote one.
        steps: for each sample float64[action] or None; None where the reward gives no per-step values.
        parts: the scores that were combined into these, by name.
        confidence: float64[sample] in [0, 1], or None.
        reward_hash: content hash of the spec that gave these scores, or None.
    """

    values: NDArray[np.float64]
    status: NDArray[np.int8] = None  # type: ignore[assignment]  # derived from the values when not given
    notes: list[str | None] | None = None
    steps: list[NDArray[np.float64] | None] | None = None
    parts: dict[str, Scores] = field(default_factory=dict)
    confidence: NDArray[np.float64] | None = None
    reward_hash: str | None = None

    def __post_init__(self) -> None:
        self.values = np.asarray(self.values, dtype=np.float64)
        if self.values.ndim != 1:
            raise ValueError(f"values must be one-dimensional, one per sample, got shape {self.values.shape}")
        count = self.values.size
        finite = np.isfinite(self.values)
        if self.status is None:
            self.status = np.where(finite, np.int8(Status.SCORED), np.int8(Status.FAILED))
            if not finite.all():
                notes = list(self.notes) if self.notes is not None else [None] * count
                for index in np.flatnonzero(~finite):
                    notes[index] = (
                        notes[index] or f"the reward returned {self.values[index]}, which is not a finite number"
                    )
                self.notes = notes
        else:
            self.status = np.asarray(self.status, dtype=np.int8)
            if self.status.shape != (count,):
                raise ValueError(f"status must have {count} entries, one per sample, got shape {self.status.shape}")
            wrong = np.flatnonzero((self.status == Status.SCORED) & ~finite)
            if wrong.size:
                raise ValueError(f"sample {wrong[0]} is marked scored but its value is {self.values[wrong[0]]}")
        if finite.all() and not self.status.any():
            pass  # the common case: everything scored, nothing to blank out
        else:
            self.values = np.where(self.status == Status.SCORED, self.values, np.nan)
        for name, column in (("notes", self.notes), ("steps", self.steps), ("confidence", self.confidence)):
            if column is not None and len(column) != count:
                raise ValueError(f"{name} must have {count} entries, one per sample, got {len(column)}")
        for name, part in self.parts.items():
            if len(part) != count:
                raise ValueError(f"part {name!r} has {len(part)} samples, expected {count}")

    def __len__(self) -> int:
        return int(self.values.size)

    def __repr__(self) -> str:
        tally = ", ".join(f"{count} {name}" for name, count in self.counts().items() if count)
        parts = f", parts: {', '.join(name for name, _ in self.flat_parts())}" if self.parts else ""
        return f"Scores(mean {self.mean():.4g}; {tally or 'empty'}{parts})"

    @property
    def scored(self) -> NDArray[np.bool_]:
        """bool[sample]: where a value stands."""
        return self.status == Status.SCORED

    @property
    def failed(self) -> NDArray[np.bool_]:
        """bool[sample]: where scoring broke."""
        return self.status == Status.FAILED

    @property
    def abstained(self) -> NDArray[np.bool_]:
        """bool[sample]: where the reward had nothing to say."""
        return self.status == Status.ABSTAINED

    def counts(self) -> dict[str, int]:
        """How many samples were scored, abstained and failed."""
        tally = np.bincount(self.status, minlength=3)
        return {state.name.lower(): int(tally[state]) for state in Status}

    def mean(self) -> float:
        """Mean value of the scored samples; NaN when there are none."""
        scored = self.values[self.scored]
        return float(scored.mean()) if scored.size else float("nan")

    def note(self, index: int) -> str | None:
        """The note of one sample, or None."""
        return None if self.notes is None else self.notes[index]

    def flat_parts(self, prefix: str = "") -> Iterator[tuple[str, Scores]]:
        """Every part at every depth with its dotted name, such as `tools.name`."""
        for name, part in self.parts.items():
            yield prefix + name, part
            yield from part.flat_parts(f"{prefix}{name}.")

    def select(self, indices: ArrayLike) -> Scores:
        """The scores of some samples, in the given order, with all their parts."""
        chosen = np.asarray(indices)
        if chosen.dtype == np.bool_:
            chosen = np.flatnonzero(chosen)
        return replace(
            self,
            values=self.values[chosen],
            status=self.status[chosen],
            notes=None if self.notes is None else [self.notes[index] for index in chosen],
            steps=None if self.steps is None else [self.steps[index] for index in chosen],
            parts={name: part.select(chosen) for name, part in self.parts.items()},
            confidence=None if self.confidence is None else self.confidence[chosen],
        )

    @classmethod
    def blank(cls, count: int, status: Status = Status.ABSTAINED, note: str | None = None) -> Scores:
        """Scores of `count` samples that all abstained or failed for the same reason."""
        if status == Status.SCORED:
            raise ValueError("blank scores hold no values, so they cannot be SCORED")
        return cls(
            values=np.full(count, np.nan),
            status=np.full(count, status, dtype=np.int8),
            notes=None if note is None else [note] * count,
        )

    @classmethod
    def concatenate(cls, pieces: Sequence[Scores]) -> Scores:
        """Join scores of several batches; parts are the union of the names, abstained where a batch did not have one."""
        if not pieces:
            return cls(values=np.empty(0))
        if len(pieces) == 1:
            return pieces[0]
        names = dict.fromkeys(name for piece in pieces for name in piece.parts)
        confidence = None
        if any(piece.confidence is not None for piece in pieces):
            confidence = np.concatenate(
                [np.full(len(piece), np.nan) if piece.confidence is None else piece.confidence for piece in pieces]
            )
        hashes = {piece.reward_hash for piece in pieces}
        return cls(
            values=np.concatenate([piece.values for piece in pieces]),
            status=np.concatenate([piece.status for piece in pieces]),
            notes=_join([(piece.notes, len(piece)) for piece in pieces]),
            steps=_join([(piece.steps, len(piece)) for piece in pieces]),
            parts={
                name: cls.concatenate([piece.parts.get(name) or cls.blank(len(piece)) for piece in pieces])
                for name in names
            },
            confidence=confidence,
            reward_hash=hashes.pop() if len(hashes) == 1 else None,
        )

    @classmethod
    def scatter(cls, pieces: Sequence[tuple[NDArray[np.intp], Scores]], count: int) -> Scores:
        """Put scores of disjoint subsets back in their places; samples in no subset abstained."""
        covered = np.concatenate([indices for indices, _ in pieces]) if pieces else np.empty(0, dtype=np.intp)
        missing = np.setdiff1d(np.arange(count), covered)
        joined = [scores for _, scores in pieces]
        if missing.size:
            joined = [*joined, cls.blank(missing.size)]
            covered = np.concatenate([covered, missing])
        return cls.concatenate(joined).select(np.argsort(covered, kind="stable"))


def check_message(message: object, *, where: str) -> None:
    """Raise a ValueError that says what is wrong with a chat message and where it stands."""
    if type(message) is not dict and not isinstance(message, Mapping):  # the first test is the quick one
        raise ValueError(f"{where} must be a chat message (a dict with role and content), got {message!r:.80}")
    role = message.get("role")
    if role not in ROLES:
        raise ValueError(f"{where} has role {role!r}, expected one of {', '.join(ROLES)}")
    content = message.get("content")
    if content is not None and not isinstance(content, (str, list)):
        raise ValueError(
            f"{where} has content of type {type(content).__name__}, expected a string, a list of parts or None"
        )
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise ValueError(f"{where} has tool_calls of type {type(calls).__name__}, expected a list or None")


def message_text(message: Message) -> str:
    """The text of a chat message: its content, or its text parts joined; empty where there is none."""
    content = message.get("content")
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if isinstance(part, Mapping) and part.get("type") == "text")


def call_arguments(call: Mapping[str, Any]) -> tuple[str, Any]:
    """Name and parsed arguments of one tool call in the OpenAI format.

    Returns:
        The name, and the arguments as a JSON value. Arguments that are already a dict pass unchanged.

    Raises:
        ValueError: the call has no name, or its arguments are not JSON.
    """
    function = call.get("function", call)
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        raise ValueError(f"tool call has no name: {call!r:.120}")
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"arguments of tool call {name!r} are not JSON: {error}") from error
    return name, arguments


def group_indices(trajectories: Sequence[Trajectory]) -> list[NDArray[np.intp]]:
    """Positions of the members of each group, in order of first appearance; a trajectory without a group is its own."""
    members: dict[object, list[int]] = {}
    for index, trajectory in enumerate(trajectories):
        key: object = trajectory.group if trajectory.group is not None else (index,)
        members.setdefault(key, []).append(index)
    return [np.asarray(indices, dtype=np.intp) for indices in members.values()]


def _join(columns: Sequence[tuple[list[Any] | None, int]]) -> list[Any] | None:
    if all(column is None for column, _ in columns):
        return None
    return [entry for column, count in columns for entry in (column if column is not None else [None] * count)]


def _same(left: Any, right: Any) -> bool:
    """Equality that looks into arrays and holds NaN equal to NaN, so that a trajectory equals its written copy."""
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        if not (isinstance(left, np.ndarray) and isinstance(right, np.ndarray)):
            return False
        if left.dtype != right.dtype or left.shape != right.shape:
            return False
        return bool(np.array_equal(left, right, equal_nan=left.dtype.kind in "fcmM"))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(_same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (left != left and right != right)
    return bool(left == right)


def _short_hash(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
