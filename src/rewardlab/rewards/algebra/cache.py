"""Scores remembered by the content of a trajectory, for rewards that are slow and always say the same."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rewardlab.rewards.base import Reward
from rewardlab.rewards.spec import register
from rewardlab.types import Scores, Task, Tokens, Trajectory, group_indices


@register("cache")
@dataclass(frozen=True, kw_only=True)
class Cache(Reward):
    """A reward whose scores are remembered. Failed samples are not, so that they are tried again.

    What is remembered never changes a score, so the store is safe to share between threads; a reward of groups is
    remembered by the whole group.

    Args:
        reward: what is remembered; must be deterministic, and must not learn.
        size: how many samples are kept; the least recently used go first.
    """

    reward: Reward
    size: int = 100_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.reward.deterministic:
            raise ValueError(
                f"Cache: {self.reward.label} is not deterministic, so remembering its scores would change them; "
                "cache the deterministic parts, or make it deterministic"
            )
        if self.size < 1:
            raise ValueError(f"Cache: option 'size' must be at least 1, got {self.size}")
        object.__setattr__(self, "_store", OrderedDict())
        object.__setattr__(self, "_lock", threading.Lock())
        object.__setattr__(self, "_tally", [0, 0])

    def children(self) -> dict[str, Reward]:  # noqa: D102 - documented on Reward
        return {self.reward.label.replace(".", "_"): self.reward}

    @property
    def hits(self) -> int:
        """How many samples were answered from memory."""
        return self._tally[0]  # type: ignore[attr-defined]

    @property
    def misses(self) -> int:
        """How many samples had to be scored."""
        return self._tally[1]  # type: ignore[attr-defined]

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        keys = [content_key(trajectory) for trajectory in trajectories]
        if self.reward.group_wise:
            for indices in group_indices(trajectories):
                whole = hashlib.sha256("".join(keys[index] for index in indices).encode()).hexdigest()
                for position, index in enumerate(indices):
                    keys[index] = f"{whole}:{position}"
        # a scheduled reward says something else at another moment, and one that learned, after it learned
        moment = f"{progress}:{json.dumps(self.reward.state_dict(), sort_keys=True)}"
        keys = [f"{key}@{moment}" for key in keys]
        store: OrderedDict[str, Scores] = self._store  # type: ignore[attr-defined]
        with self._lock:  # type: ignore[attr-defined]
            known = {key: store[key] for key in keys if key in store}
            for key in known:
                store.move_to_end(key)
        missing = [index for index, key in enumerate(keys) if key not in known]
        if self.reward.group_wise and missing:
            # a group is asked about as a whole, or not at all
            wanted = set(missing)
            missing = [
                index for indices in group_indices(trajectories) if wanted & set(indices.tolist()) for index in indices
            ]
            asked = missing
        else:
            asked = sorted({keys[index]: index for index in reversed(missing)}.values())
        if asked:
            fresh = self.reward._score([trajectories[index] for index in asked], progress)
            for position, index in enumerate(asked):
                known[keys[index]] = fresh.select([position])
        with self._lock:  # type: ignore[attr-defined]
            self._tally[0] += len(keys) - len(asked)  # type: ignore[attr-defined]
            self._tally[1] += len(asked)  # type: ignore[attr-defined]
            for index in asked:
                if not known[keys[index]].failed[0]:
                    store[keys[index]] = known[keys[index]]
            while len(store) > self.size:
                store.popitem(last=False)
        return Scores.concatenate([known[key] for key in keys])


def content_key(trajectory: Trajectory) -> str:
    """SHA-256 over everything in a trajectory that a reward of single samples could read (not the group's name)."""
    digest = hashlib.sha256()
    for column in (
        trajectory.observations,
        trajectory.actions,
        trajectory.rewards,
        trajectory.terminated,
        trajectory.truncated,
        trajectory.task,
        trajectory.tokens,
        trajectory.seconds,
        trajectory.info,
    ):
        _feed(digest, column)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        digest.update(f"array {value.dtype.str} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, (Task, Tokens)):
        for name in value.__slots__:
            digest.update(name.encode())
            _feed(digest, getattr(value, name))
    elif isinstance(value, Mapping):
        digest.update(f"map {len(value)}".encode())
        for key in sorted(value, key=str):
            digest.update(f"key {key!r}".encode("utf-8", "surrogatepass"))
            _feed(digest, value[key])
    elif isinstance(value, (list, tuple)):
        digest.update(f"list {len(value)}".encode())
        for entry in value:
            _feed(digest, entry)
    else:
        digest.update(f"{type(value).__name__} {value!r}".encode("utf-8", "surrogatepass"))
