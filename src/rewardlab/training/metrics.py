"""What a training measures, and what its run folder holds, so that a report can be made from files alone.

    config.yaml                         what was run
    warm_start.jsonl                    one line per supervised step: {"step", "loss", ...}
    metrics.jsonl                       one line per training step: {"step", "progress", "reward/mean", ...}
    evaluations.jsonl                   one line per evaluation: {"step", "phase", "success", "reward/mean", ...}
    trajectories/step-00000012.jsonl    what the policy did in that step; scores are in `info["training"]`
    trajectories/evaluation-PHASE-00000010.jsonl    the same for the evaluation after that step
    checkpoints/                        what a killed run goes on from
    policy/                             the trained policy, when the training is complete
    tensorboard/                        event files, when TensorBoard is installed

The keys of a line in metrics.jsonl, besides `step` and `progress`; a number that does not exist is null:

    reward/mean, reward/std             over scored samples
    parts/NAME                          mean of each part, by dotted name, over the samples in which that part was scored
    samples/scored, /abstained, /failed counts
    groups/count                        groups with at least one scored member
    groups/zero_variance                share of these whose scored values are all equal
    groups/single                       share of these with a single scored member
    advantage/abs_mean                  over included trajectories
    credit/NAME                         what else the credit rule measured
    trajectory/tokens, /turns           means over trajectories; tokens are those that the policy wrote
    trajectory/truncated                share of trajectories that a limit ended
    update/KEY                          what the objective measured: loss, kl, clip_fraction, grad_norm, learning_rate, ...
    seconds/SEAT                        wall-clock time of each seat of the loop; seconds/trajectory, of acting, is a mean
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rewardlab.storage import write_trajectories
from rewardlab.training.credit.base import Advantages
from rewardlab.types import Scores, Status, Trajectory

LOGS = ("metrics.jsonl", "evaluations.jsonl", "warm_start.jsonl")
_GROUP_COUNTS = ("groups", "zero_variance_groups", "single_member_groups")


class Clock:
    """Wall-clock seconds of the named parts of a step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to a name."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def step_metrics(
    trajectories: Sequence[Trajectory], scores: Scores, advantages: Advantages, measured: Mapping[str, float]
) -> dict[str, float]:
    """The numbers of one training step, under the keys given at the top of this module."""
    statistics = advantages.statistics
    groups = statistics.get("groups", math.nan)

    def share(name: str) -> float:
        return statistics[name] / groups if groups and name in statistics else math.nan

    return {
        **score_metrics(scores),
        "groups/count": groups,
        "groups/zero_variance": share("zero_variance_groups"),
        "groups/single": share("single_member_groups"),
        "advantage/abs_mean": advantages.abs_mean(),
        **{f"credit/{name}": value for name, value in statistics.items() if name not in _GROUP_COUNTS},
        **trajectory_metrics(trajectories),
        **{f"update/{name}": value for name, value in measured.items()},
    }


def score_metrics(scores: Scores) -> dict[str, float]:
    """Mean and spread of the scored samples, means of all parts, and the counts of each status."""
    scored = scores.values[scores.scored]
    return {
        "reward/mean": scores.mean(),
        "reward/std": float(scored.std()) if scored.size else math.nan,
        **{f"parts/{name}": part.mean() for name, part in scores.flat_parts()},
        **{f"samples/{name}": float(count) for name, count in scores.counts().items()},
    }


def trajectory_metrics(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """How long trajectories were, and how many were cut off."""
    written = [int((entry.tokens.step >= 0).sum()) for entry in trajectories if entry.tokens is not None]
    seconds = [float(np.nansum(entry.seconds)) for entry in trajectories if entry.seconds is not None]
    return {
        "trajectory/tokens": _mean(written),
        "trajectory/turns": _mean([len(entry) for entry in trajectories]),
        "seconds/trajectory": _mean(seconds),
        "trajectory/truncated": _mean([float(entry.truncated) for entry in trajectories]),
    }


class RunFolder:
    """The files of one training. See the top of this module for what they are.

    Args:
        path: the folder; made when it is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints are."""
        return self.path / "checkpoints"

    @property
    def policy(self) -> Path:
        """Where the trained policy is."""
        return self.path / "policy"

    def append(self, log: str, record: Mapping[str, Any]) -> None:
        """Add a line to one of the logs and flush it to the disk."""
        line = json.dumps({key: _plain(value) for key, value in record.items()}, allow_nan=False) + "\n"
        with (self.path / log).open("a", encoding="utf-8") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())

    def read(self, log: str) -> list[dict[str, Any]]:
        """The lines of one of the logs; empty where there is none."""
        path = self.path / log
        if not path.is_file():
            return []
        with path.open(encoding="utf-8") as stream:
            return [json.loads(line) for line in stream if line.strip()]

    def write_trajectories(
        self,
        kind: str,
        step: int,
        trajectories: Sequence[Trajectory],
        scores: Scores,
        advantages: Advantages | None = None,
        *,
        tokens: bool = False,
    ) -> Path:
        """Write trajectories with what the training made of them in `info["training"]`."""
        target = self.path / "trajectories" / f"{kind}-{step:08d}.jsonl"
        target.parent.mkdir(exist_ok=True)
        parts = list(scores.flat_parts())

        def annotated() -> Iterator[Trajectory]:
            for index, trajectory in enumerate(trajectories):
                note: dict[str, Any] = {
                    "kind": kind,
                    "step": step,
                    "value": _plain(float(scores.values[index])),
                    "status": Status(int(scores.status[index])).name.lower(),
                    "note": scores.note(index),
                    "parts": {name: _plain(float(part.values[index])) for name, part in parts},
                }
                if advantages is not None:
                    row = advantages.values[index]
                    note["advantage"] = _plain(float(row.mean())) if row.size and advantages.included[index] else None
                info = {**trajectory.info, "training": note}
                yield replace(trajectory, tokens=trajectory.tokens if tokens else None, info=info)

        write_trajectories(target, annotated())
        return target

    def sizes(self) -> dict[str, int]:
        """How many bytes each log has."""
        return {log: path.stat().st_size if (path := self.path / log).is_file() else 0 for log in LOGS}

    def rewind(self, sizes: Mapping[str, int], trajectories: Sequence[str]) -> None:
        """Bring the folder back to what it was at a checkpoint: cut the logs, and remove later trajectories.

        Args:
            sizes: what `sizes` was.
            trajectories: the names of the files of trajectories that were there.

        Raises:
            ValueError: a log is shorter than it was, so somebody changed it.
        """
        for log, size in sizes.items():
            path = self.path / log
            present = path.stat().st_size if path.is_file() else 0
            if present < size:
                raise ValueError(
                    f"{str(path)!r} has {present} bytes, but had {size} when the last checkpoint was written; put the file "
                    "back, or train in another folder"
                )
            if present > size:
                os.truncate(path, size)
        kept = set(trajectories)
        for path in (self.path / "trajectories").glob("*.jsonl"):
            if path.name not in kept:
                path.unlink()

    def trajectory_files(self) -> list[str]:
        """The names of the files of trajectories."""
        return sorted(path.name for path in (self.path / "trajectories").glob("*.jsonl"))


def _plain(value: Any) -> Any:
    """A JSON value; null for a number that does not exist."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan
