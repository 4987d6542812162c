"""What happened: tasks, the attempts at them, and the exact tokens of an attempt.

One `Trajectory` class serves both arrays (Gymnasium) and chats (language-model agents): the columns are the same, only what
stands in them differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.types.messages import Message, check_message, message_text
from rewardlab.types.trees import tree_paths


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
        observations: T + 1 of them; array[T + 1, ...] for control (a dict of such arrays where the observation space is a
            Dict), and for a chat a list that holds, for each step, the list of messages that arrived before that action
            (first the prompt, last what arrived after the last action).
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
        if isinstance(self.observations, Mapping):
            _check_dict_observations(self.observations, length)
        elif len(self.observations) != length + 1:
            _refuse_tuple_observations(self.observations, length)
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
        if isinstance(self.actions, np.ndarray) or isinstance(self.observations, Mapping):
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


def group_indices(trajectories: Sequence[Trajectory]) -> list[NDArray[np.intp]]:
    """Positions of the members of each group, in order of first appearance; a trajectory without a group is its own."""
    members: dict[object, list[int]] = {}
    for index, trajectory in enumerate(trajectories):
        key: object = trajectory.group if trajectory.group is not None else (index,)
        members.setdefault(key, []).append(index)
    return [np.asarray(indices, dtype=np.intp) for indices in members.values()]


def _check_dict_observations(observations: Mapping[str, Any], length: int) -> None:
    """Every entry of Dict observations has T + 1 rows, like plain ones."""
    leaves = tree_paths(observations)
    if not leaves:
        raise ValueError("observations is an empty dict; expected an array[T + 1, ...] for each of its keys")
    for path, leaf in leaves:
        if not isinstance(leaf, np.ndarray) or not leaf.ndim:
            raise TypeError(
                f"observations[{path!r}] must be an array with one row for each observation, got {type(leaf).__name__}; "
                "stack what came at each step: np.stack([one[key] for one in observations])"
            )
        if len(leaf) != length + 1:
            raise ValueError(
                f"a trajectory of {length} actions needs {length + 1} observations, got {len(leaf)} in "
                f"observations[{path!r}]; the last observation is what followed the last action"
            )


def _refuse_tuple_observations(observations: Any, length: int) -> None:
    """A tuple of arrays over time is what a Tuple space gives; its parts have no names, so it must become a dict."""
    if not isinstance(observations, tuple) or not observations:
        return
    if all(isinstance(entry, np.ndarray) and entry.ndim and len(entry) == length + 1 for entry in observations):
        raise TypeError(
            f"observations is a tuple of {len(observations)} arrays, as a Tuple space gives them; name its parts in a dict "
            "of arrays, {'position': ..., 'goal': ...}, so that a reward can say which of them it means"
        )


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
