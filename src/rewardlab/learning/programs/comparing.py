"""Trains with every program, with the same budget, beside rewards of people; no program is left out.

How a reward is trained with is a function of the caller's, the same for all arms. The summary is over all programs: their
mean and the worst. Programs that cannot be used are failed, counted and shown, and never scored 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.programs.program import ProgramFailed, RewardProgram
from rewardlab.learning.programs.writer import Progress

Train = Callable[[Any, int], float]
"""From a reward and a seed, what the trained policy reaches by the environment's own measure, never by the reward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What training with each reward reached.

    Args:
        names: of the arms; programs by their hashes.
        values: float[arm, seed]; NaN where the arm failed.
        failures: name -> why it could not be trained with.
        programs: names of the arms that are programs.
    """

    names: list[str]
    values: NDArray[np.float64]
    failures: dict[str, str]
    programs: list[str]

    @property
    def mean(self) -> float:
        """Mean over all programs that could be trained with, and seeds; NaN where none could."""
        rows = self.values[[place for place, name in enumerate(self.names) if name in self.programs]]
        return float(np.nanmean(rows)) if np.isfinite(rows).any() else float("nan")

    @property
    def worst(self) -> float:
        """The lowest mean of a program; NaN where none could be trained with."""
        rows = self.values[[place for place, name in enumerate(self.names) if name in self.programs]].mean(axis=1)
        return float(np.nanmin(rows)) if np.isfinite(rows).any() else float("nan")

    def table(self) -> str:
        """Markdown: each arm, then mean and worst of the programs."""
        lines = ["| reward | mean | seeds |", "|---|---|---|"]
        for name, row in zip(self.names, self.values, strict=True):
            if name in self.failures:
                lines.append(f"| {name} | failed: {self.failures[name]} | |")
            else:
                lines.append(f"| {name} | {row.mean():.3f} | {', '.join(f'{value:.3f}' for value in row)} |")
        failed = sum(name in self.failures for name in self.programs)
        note = f"{len(self.programs)} programs, {failed} failed"
        return "\n".join([*lines, f"| **all programs** ({note}) | {self.mean:.3f} | worst {self.worst:.3f} |"])


def compare_programs(
    programs: Sequence[RewardProgram],
    train: Train,
    *,
    view: type,
    beside: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    progress: Progress | None = None,
) -> Comparison:
    """Train with all programs and with the rewards beside them.

    Args:
        programs: all that were written; leaving some out would compare the best, not what a model gives.
        train: trains with a reward and a seed, with the same budget and a learner that normalises the scale of rewards.
        view: the adapter's class.
        beside: name -> reward; the expert's and the sparse one, usually.
        seeds: of the training.
        progress: called after each run.

    Raises:
        ValueError: no programs or no seeds, or the same program twice.
    """
    hashes = [program.hash if not program.failed else f"failed {place}" for place, program in enumerate(programs)]
    if not programs or not seeds:
        raise ValueError(f"got {len(programs)} programs and {len(seeds)} seeds; expected at least one of each")
    if len(set(hashes)) != len(hashes):
        raise ValueError("the same program stands there twice; count it once, or give its copies other comments")
    arms: dict[str, Any] = {**(beside or {}), **dict(zip(hashes, programs, strict=True))}
    values, failures = np.full((len(arms), len(seeds)), np.nan), {}
    done = 0
    for place, (name, arm) in enumerate(arms.items()):
        try:
            reward = arm.as_reward(view) if isinstance(arm, RewardProgram) else arm
            for column, seed in enumerate(seeds):
                values[place, column] = train(reward, seed)
                done += 1
                if progress is not None:
                    progress(done, len(arms) * len(seeds))
        except ProgramFailed as error:
            failures[name] = str(error)
            values[place] = np.nan
    return Comparison(names=list(arms), values=values, failures=failures, programs=hashes)
