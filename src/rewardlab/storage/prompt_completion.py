"""Rows of a prompt and a completion: what TRL's trainers log, and the plain pairs that most other scripts write.

TRL (`GRPOConfig(log_completions=True)`) writes `completions/completions_00010.parquet` with the columns `step`, `prompt`,
`completion`, one for each reward function, whatever `log_extra` added, and `advantage`. It does not say which columns are
rewards: the ones that hold floats are taken as such. Nor does it record the weights of the rewards, so the sum is only known
where there is one; the trajectory's own reward stays NaN otherwise, and all of them stand in `info["rewards"]`.
Rows with the same step and prompt form a group.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rewardlab.storage.foreign import Row, chat, conversation, hash_of, is_messages, number
from rewardlab.storage.problems import BadRow
from rewardlab.types import Message, Trajectory

LAYOUT = '{"step": ..., "prompt": ..., "completion": ..., a column for each reward, "advantage": ...}'
"""What a row of a TRL dump looks like, for messages."""

PAIR_LAYOUT = '{"prompt": text or messages, "completion" (or "response"): text or messages, "reference": ...}'
"""What a plain pair looks like, for messages."""

_COMPLETION_KEYS = ("completion", "response")
_PAIR_KEYS = frozenset(("prompt", *_COMPLETION_KEYS, "id", "group", "reference", "tools", "reward", "metadata"))


def recognises(row: Row) -> bool:
    """Whether a row comes from TRL's log of completions."""
    return {"step", "prompt", "completion", "advantage"} <= row.keys() and _is_text_or_chat(row["completion"])


def trajectories(row: Row, source: str, line: int) -> Iterator[Trajectory]:
    """Read one row of a TRL dump."""
    prompt, answer = _sides(row, "completion")
    rewards: dict[str, float | None] = {}
    info: dict[str, Any] = {"step": row.get("step"), "advantage": row.get("advantage")}
    for name, value in row.items():
        if name in ("step", "prompt", "completion", "advantage"):
            continue
        if isinstance(value, float):
            rewards[name] = value
        else:
            info[name] = value
    yield chat(
        prompt,
        answer,
        group=f"{row.get('step')}/{hash_of(prompt)}",
        rewards=rewards,
        reward=next(iter(rewards.values())) if len(rewards) == 1 else None,
        info=info,
    )


def recognises_pair(row: Row) -> bool:
    """Whether a row is a plain pair of prompt and completion."""
    return _is_text_or_chat(row.get("prompt")) and any(_is_text_or_chat(row.get(key)) for key in _COMPLETION_KEYS)


def pairs(row: Row, source: str, line: int) -> Iterator[Trajectory]:
    """Read one plain pair; `id`, `group`, `reference`, `tools`, `reward` and `metadata` go where they belong."""
    key = next((name for name in _COMPLETION_KEYS if name in row), "completion")
    prompt, answer = _sides(row, key)
    group, reward = row.get("group"), row.get("reward")
    if reward is not None and number(reward) is None:
        raise BadRow(f"'reward' must be a number or null, got {reward!r:.60}")
    metadata = row.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise BadRow(f"'metadata' must be an object, got {metadata!r:.60}")
    yield chat(
        prompt,
        answer,
        identity=row.get("id"),
        reference=row.get("reference"),
        tools=row.get("tools"),
        group=str(group) if group is not None else None,
        rewards={"reward": number(reward)} if reward is not None else None,
        reward=reward,
        metadata=metadata,
        info={name: value for name, value in row.items() if name not in _PAIR_KEYS},
    )


def _sides(row: Row, key: str) -> tuple[list[Message], list[Message]]:
    for name in ("prompt", key):
        if name not in row:
            raise BadRow(f"the field {name!r} is missing; the row has {', '.join(map(str, row)) or 'no fields'}")
    return conversation(row["prompt"], "'prompt'", role="user"), conversation(row[key], f"{key!r}", role="assistant")


def _is_text_or_chat(value: Any) -> bool:
    return isinstance(value, str) or is_messages(value)
