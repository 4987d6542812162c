"""The old side of a comparison: a reward that scores again, scores that are there already, or recorded rewards."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rewardlab.rewards.base import Reward
from rewardlab.rewards.recorded import EnvironmentReturn
from rewardlab.rewards.spec import load_reward
from rewardlab.scoring.rows import NAMES, Row, read_rows, rows_of
from rewardlab.scoring.summary import number_or_none
from rewardlab.storage.foreign import number
from rewardlab.types import Scores, Status, Trajectory


class RescoringRefused(ValueError):
    """Scores of a stored trajectory would not mean what they should; the message says which reward is at fault, and why."""


class ByReward:
    """The old side is a reward that scores again."""

    def __init__(self, reward: Reward, progress: float | None) -> None:
        self.reward = reward
        self.label, self.hash = reward.label, reward.spec_hash
        self.whole_groups = reward.group_wise
        self._progress = progress

    def rows(self, indices: list[int], batch: Sequence[Trajectory]) -> list[Row]:
        """The old rows of a batch."""
        return rows_of(self.reward(batch, progress=self._progress), indices, batch)

    def check_end(self, count: int) -> None:
        """Complain where there were not as many old scores as trajectories."""


class ByRecord:
    """The old side is a reward that another tool recorded by name."""

    whole_groups = False
    hash = None

    def __init__(self, name: str) -> None:
        self._name = name
        self.label = f"recorded:{name}"

    def rows(self, indices: list[int], batch: Sequence[Trajectory]) -> list[Row]:
        """The old rows of a batch."""
        recorded = [entry.info.get("rewards") for entry in batch]
        found = [entry.get(self._name) if isinstance(entry, Mapping) else None for entry in recorded]
        values = np.array([math.nan if number(value) is None else number(value) for value in found], dtype=np.float64)
        status = np.where(np.isfinite(values), Status.SCORED, Status.ABSTAINED)
        notes = [None if math.isfinite(value) else f"no reward {self._name!r} was recorded" for value in values]
        return rows_of(Scores(values=values, status=status, notes=notes), indices, batch)

    def check_end(self, count: int) -> None:
        """Complain where there were not as many old scores as trajectories."""


class ByScores:
    """The old side is there already, as `Scores` or as a file of them."""

    whole_groups = False

    def __init__(self, rows: Sequence[Row], label: str, content_hash: str | None, *, named: bool) -> None:
        self._rows = rows
        self._named = named
        self.label, self.hash = label, content_hash

    def rows(self, indices: list[int], batch: Sequence[Trajectory]) -> list[Row]:
        """The old rows of a batch."""
        found = []
        for index, trajectory in zip(indices, batch, strict=True):
            if index >= len(self._rows):
                raise ValueError(f"there are {len(self._rows)} old scores, and more trajectories than that")
            row = self._rows[index]
            task = None if trajectory.task is None else trajectory.task.id
            if self._named and (row["id"], row["group"]) != (task, trajectory.group):
                raise ValueError(
                    f"the old scores are not of these trajectories: number {index} was task {row['id']!r} in group "
                    f"{row['group']!r}, and is task {task!r} in group {trajectory.group!r}"
                )
            found.append({**row, "id": task, "group": trajectory.group})
        return found

    def check_end(self, count: int) -> None:
        """Complain where there were not as many old scores as trajectories."""
        if count != len(self._rows):
            raise ValueError(f"there are {len(self._rows)} old scores for {count} trajectories")


def old_side(old: Any, allow: bool, progress: float | None) -> ByReward | ByRecord | ByScores:
    """Whatever `rescore` takes as its old side, brought to one form.

    Raises:
        RescoringRefused: it is a reward that cannot score stored trajectories.
    """
    if isinstance(old, Scores):
        return ByScores(list(_rows_of_scores(old)), "old scores", old.reward_hash, named=False)
    text = os.fspath(old) if isinstance(old, (str, os.PathLike)) else ""
    if text.endswith((".jsonl", ".parquet")):
        rows = sorted(read_rows(text), key=lambda row: row["index"])
        hashes = {row.get("reward_hash") for row in rows}
        return ByScores(rows, Path(text).name, hashes.pop() if len(hashes) == 1 else None, named=True)
    if text == "recorded":
        return ByReward(EnvironmentReturn(name="recorded"), progress)
    if text.startswith("recorded:"):
        return ByRecord(text.removeprefix("recorded:"))
    reward = load_reward(old)
    check_replayable(reward, "old", allow)
    return ByReward(reward, progress)


def _rows_of_scores(scores: Scores) -> Iterator[Row]:
    flat = list(scores.flat_parts())
    for index in range(len(scores)):
        yield {
            "index": index,
            "id": None,
            "group": None,
            "value": number_or_none(float(scores.values[index])),
            "status": NAMES[scores.status[index]],
            "note": scores.note(index),
            "parts": {
                name: {"value": number_or_none(float(part.values[index])), "status": NAMES[part.status[index]]}
                for name, part in flat
            },
        }


def check_replayable(reward: Reward, side: str, allow: bool) -> None:
    """Refuse a reward that needs a live environment, or (unless allowed) does not give the same score twice.

    Raises:
        RescoringRefused: the message names the innermost reward at fault.
    """
    if reward.needs_environment:
        names = ", ".join(_at_fault(reward, "needs_environment", True))
        raise RescoringRefused(
            f"the {side} reward cannot score stored trajectories: {names} looks at a live environment, which is no longer "
            'in the state in which the trajectory left it; compare the recorded scores instead (old="recorded")'
        )
    if not reward.deterministic and not allow:
        names = ", ".join(_at_fault(reward, "deterministic", False))
        raise RescoringRefused(
            f"the {side} reward may score the same trajectory differently each time ({names}), so a comparison would mix "
            "chance with change; give the scores that are stored (old=scores.jsonl), or pass allow_nondeterministic=True "
            "and compare the reward with itself first, to see how large the chance is"
        )


def _at_fault(reward: Reward, name: str, value: bool, prefix: str = "") -> list[str]:
    """The innermost rewards that have the property, by dotted name."""
    own = f"{prefix}{reward.label}"
    inside = [
        found
        for child in reward.children().values()
        if getattr(child, name) is value
        for found in _at_fault(child, name, value, f"{own}.")
    ]
    return inside or [own]
