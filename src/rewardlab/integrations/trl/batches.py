"""A batch of TRL's, which is columns by keyword, as trajectories.

TRL does not say how large a group is. It passes `log_metric` as a method of the trainer, though, and the trainer knows
(`num_generations`, `num_generations_eval`); where that way is shut, completions of neighbouring equal prompts are a group.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.integrations.trl.environments import TASK_COLUMN, Attempt, read_task
from rewardlab.rewards.base import attempt
from rewardlab.types import Message, Status, Task, Tokens, Trajectory

REFERENCE_COLUMNS = ("reference", "solution", "answer", "ground_truth")
"""Columns that are taken for the ground truth when none is named."""

OWN_ARGUMENTS = (
    "prompts",
    "completions",
    "completion_ids",
    "trainer_state",
    "log_extra",
    "log_metric",
    "environments",
)
"""What TRL passes beside the columns of the dataset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Where things stand in the dataset; see `reward_functions`."""

    reference: str | None = None
    decode_reference: Callable[[Any], Any] | None = None
    group: str | None = None
    group_size: int | None = None

    def find_reference(self, present: Mapping[str, Any]) -> str | None:
        """The name of the reference column, or None where the dataset has none.

        Raises:
            ValueError: the named column is missing, or several could be meant.
        """
        if self.reference is not None:
            _check_column("reference_column", self.reference, present)
            return self.reference
        candidates = [name for name in REFERENCE_COLUMNS if name in present]
        if len(candidates) > 1:
            raise ValueError(
                f"the dataset has the columns {' and '.join(candidates)}; say which one verifiers shall read: "
                f"reward_functions(reward, reference_column={candidates[0]!r})"
            )
        return candidates[0] if candidates else None


@dataclass(slots=True)
class Batch:
    """What TRL asks about in one call.

    Args:
        trajectories: one for each completion, or None where it could not be read as one.
        problems: why not, for those.
    """

    trajectories: list[Trajectory | None]
    problems: list[str | None]

    def __len__(self) -> int:
        return len(self.trajectories)

    @property
    def whole(self) -> NDArray[np.intp]:
        """Places of the completions that are trajectories."""
        return np.flatnonzero([trajectory is not None for trajectory in self.trajectories])

    @property
    def broken(self) -> NDArray[np.intp]:
        """Places of the others."""
        return np.flatnonzero([trajectory is None for trajectory in self.trajectories])

    @classmethod
    def read(cls, given: Mapping[str, Any], columns: Columns, trainer: Any, *, group_wise: bool) -> Batch:
        """Read what TRL passed.

        Args:
            given: prompts, completions and columns, by keyword.
            columns: where the reference and the groups are.
            trainer: the trainer that calls, or None.
            group_wise: whether the reward compares members of a group, which must then be whole.

        Raises:
            ValueError: a named column is not there, or groups do not come out even.
        """
        prompts, completions = given["prompts"], given["completions"]
        present = {
            name: column
            for name, column in given.items()
            if name not in OWN_ARGUMENTS and isinstance(column, Sequence) and len(column) == len(prompts)
        }
        reference = None if TASK_COLUMN in present else columns.find_reference(present)
        groups = _groups(prompts, present, columns, trainer, group_wise=group_wise)
        ids = given.get("completion_ids") or [None] * len(prompts)
        environments = given.get("environments") or [None] * len(prompts)
        ends = _end_ids(trainer)
        trajectories: list[Trajectory | None] = []
        problems: list[str | None] = []
        for index, group in enumerate(groups):
            row = {name: column[index] for name, column in present.items()}

            def build(row: dict[str, Any] = row, index: int = index, group: int = group) -> Trajectory:
                return _trajectory(
                    prompts[index], completions[index], row, reference, columns.decode_reference, group,
                    ids[index], ends, environments[index],
                )  # fmt: skip

            outcome = attempt(build)
            failed = isinstance(outcome, tuple) and isinstance(outcome[0], Status)
            trajectories.append(None if failed else outcome)
            problems.append(outcome[1] if failed else None)
        return cls(trajectories, problems)


def trainer_of(callback: Any) -> Any:
    """The trainer whose method a callback is, or None."""
    return callback.__self__ if inspect.ismethod(callback) else None


def _trajectory(
    prompt: Any,
    completion: Any,
    row: Mapping[str, Any],
    reference_column: str | None,
    decode: Callable[[Any], Any] | None,
    group: int,
    ids: Sequence[int] | None,
    ends: frozenset[int] | None,
    environment: Any,
) -> Trajectory:
    opening: list[Message] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    written = [{"role": "assistant", "content": completion}] if isinstance(completion, str) else list(completion)
    # a response template may leave the role of what the model wrote out
    said: list[Message] = [{"role": "assistant", **message} for message in written]
    task = _task(opening, row, reference_column, decode)
    truncated = bool(ids and ends and int(ids[-1]) not in ends)
    trajectory = Trajectory.from_messages(
        [*opening, *said],
        task=task,
        group=f"{task.id}/{group}",
        terminated=not truncated,
        truncated=truncated,
        info={} if environment is None else {"environment": environment},
    )
    if isinstance(environment, Attempt):
        environment._conclude(trajectory)
    if ids is not None and len(said) == 1 and len(trajectory) == 1:
        # With tools, TRL does not say which tokens the policy wrote; in a single turn it wrote all of them.
        count = len(ids)
        trajectory.tokens = Tokens(
            ids=np.asarray(ids), step=np.zeros(count, dtype=np.int32), logprobs=np.zeros(count, dtype=np.float32)
        )
    return trajectory


def _task(
    opening: list[Message],
    row: Mapping[str, Any],
    reference_column: str | None,
    decode: Callable[[Any], Any] | None,
) -> Task:
    """The task of a row: the one that stands there whole, or one put together from the columns."""
    if TASK_COLUMN in row:
        return read_task(row[TASK_COLUMN])
    reference = row[reference_column] if reference_column is not None else None
    if decode is not None and reference is not None:
        reference = decode(reference)
    named = row.get("id")
    return Task(
        id=str(named) if isinstance(named, (str, int)) and str(named) else _digest(opening),
        prompt=opening,
        reference=reference,
        metadata={name: value for name, value in row.items() if name != reference_column},
    )


def _groups(
    prompts: Sequence[Any], present: Mapping[str, Any], columns: Columns, trainer: Any, *, group_wise: bool
) -> list[int]:
    """The number of the group of each row."""
    if columns.group is not None:
        _check_column("group_column", columns.group, present)
        numbers: dict[str, int] = {}
        return [numbers.setdefault(_text(value), len(numbers)) for value in present[columns.group]]
    size = columns.group_size or _group_size(trainer)
    if size is None:
        keys = [_text(prompt) for prompt in prompts]
        fresh = [index == 0 or key != keys[index - 1] for index, key in enumerate(keys)]
        return [int(number) for number in np.cumsum(fresh) - 1]
    # with several processes, this batch is a slice of one row of groups
    start = len(prompts) * int(getattr(getattr(trainer, "accelerator", None), "process_index", 0))
    end = start + len(prompts)
    if group_wise and (start % size or end % size):
        raise ValueError(
            f"the reward compares members of a group, but this process has rows {start} to {end - 1} of groups of {size}, "
            "so that a group is cut; make the batch of each process (per_device_train_batch_size times "
            "steps_per_generation) a multiple of num_generations, or give group_size or group_column"
        )
    return [(start + index) // size for index in range(len(prompts))]


def _group_size(trainer: Any) -> int | None:
    training = getattr(getattr(trainer, "model", None), "training", True)
    size = getattr(trainer, "num_generations" if training else "num_generations_eval", None)
    return size if isinstance(size, int) and size > 0 else None


def _end_ids(trainer: Any) -> frozenset[int] | None:
    """The tokens that end a completion (TRL leaves them in place), or None where they are not known."""
    ends = getattr(trainer, "eos_token_ids", None)
    if not ends:
        return None
    tokenizer = getattr(trainer, "processing_class", None)
    padding = getattr(getattr(tokenizer, "tokenizer", tokenizer), "pad_token_id", None)
    return frozenset(ends) | ({padding} if padding is not None else frozenset())


def _check_column(option: str, name: str, present: Mapping[str, Any]) -> None:
    if name not in present:
        raise ValueError(
            f"{option}={name!r} is not a column of the dataset; it has {', '.join(present) or 'no columns but the prompt'}. "
            "If it has, set remove_unused_columns=False in the trainer's configuration"
        )


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=repr)


def _digest(messages: Sequence[Message]) -> str:
    return hashlib.sha256(_text(messages).encode()).hexdigest()[:16]
