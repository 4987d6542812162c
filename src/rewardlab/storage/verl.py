"""verl's rollout dumps: `trainer.rollout_data_dir` (or `validation_data_dir`), one `{step}.jsonl` for each training step.

A row holds `input`, `output`, `gts` (the ground truth), `score`, `step`, and whatever the reward function returned besides.
verl decodes input and output to plain text without special tokens, so that turns cannot be told apart: the input becomes one
user message and the output one assistant message, each with the text as it stands. Rows of one step with the same input form
a group (verl's own `uid` names a sample in some versions and a prompt in others, so it is only kept in `info`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rewardlab.storage.foreign import Row, chat, hash_of, number
from rewardlab.storage.problems import BadRow
from rewardlab.types import Trajectory

LAYOUT = '{"input": text, "output": text, "gts": ..., "score": number, "step": ...}'
"""What a row looks like, for messages."""

_TAKEN = frozenset(("input", "output", "gts", "score"))


def recognises(row: Row) -> bool:
    """Whether a row comes from a verl dump."""
    return isinstance(row.get("input"), str) and isinstance(row.get("output"), str) and "score" in row


def trajectories(row: Row, source: str, line: int) -> Iterator[Trajectory]:
    """Read one row."""
    for name in ("input", "output"):
        if not isinstance(row.get(name), str):
            raise BadRow(f"{name!r} must be a string, got {row.get(name)!r:.60}")
    score = row.get("score")
    if score is not None and number(score) is None:
        raise BadRow(f"'score' must be a number or null, got {score!r:.60}")
    rewards: dict[str, Any] = {"score": number(score)}
    info: dict[str, Any] = {}
    for name, value in row.items():
        if name not in _TAKEN:
            if isinstance(value, (float, bool)):
                rewards[name] = float(value)
            else:
                info[name] = value
    prompt = [{"role": "user", "content": row["input"]}]
    identity = hash_of(prompt)
    yield chat(
        prompt,
        [{"role": "assistant", "content": row["output"]}],
        identity=identity,
        reference=row.get("gts"),
        group=f"{row['step']}/{identity}" if "step" in row else identity,
        rewards=rewards,
        reward=score,
        info=info,
    )
