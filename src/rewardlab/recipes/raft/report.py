"""What a stage of RAFT reports, and how its samples are scored, counted and written down."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rewardlab.types import Scores, Trajectory


@dataclass(slots=True, kw_only=True)
class StageReport:
    """What a stage did.

    Args:
        stage: its number, from 1.
        samples: how many answers were sampled.
        kept: how many were imitated.
        reward: mean reward of the samples: the level of the policy before this stage's training.
        selected: mean reward of what was imitated, by weight: the ceiling that this stage aims at.
        discarded: samples whose reward was not a finite number.
        filtered: samples that a filter refused.
        short_groups: prompts with fewer than k samples.
        zero_spread: share of the prompts whose rewards are all equal, so that nothing could be preferred.
        supply: the largest share of a prompt in what was kept, over its share of the samples.
        distinct: different bigrams over all bigrams of the samples.
        length: mean length of an answer, in tokens.
        kl: mean log-ratio of the samples to the policy that training began with; NaN where the sampler cannot tell.
        perplexity: of the samples under that policy, per token; NaN where the sampler cannot tell.
        held_out: mean reward on the held-out tasks after this stage; NaN without them.
        fit: what the sampler measured while imitating.
        examples: the text of a few kept answers.
        stopped: why the training ends here, or None. Nothing was trained in a stage that names a reason before training.
    """

    stage: int
    samples: int = 0
    kept: int = 0
    reward: float = math.nan
    selected: float = math.nan
    discarded: int = 0
    filtered: int = 0
    short_groups: int = 0
    zero_spread: float = math.nan
    supply: float = math.nan
    distinct: float = math.nan
    length: float = math.nan
    kl: float = math.nan
    perplexity: float = math.nan
    held_out: float = math.nan
    fit: dict[str, float] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    stopped: str | None = None

    @property
    def gap(self) -> float:
        """How much better the selected are than the samples."""
        return self.selected - self.reward


def score_samples(reward: Callable[[Sequence[Trajectory]], Any], trajectories: Sequence[Trajectory]) -> Scores:
    """Scores of some trajectories; plain numbers become scores, and those that are not finite failed ones."""
    found = reward(trajectories)
    return found if isinstance(found, Scores) else Scores(values=np.asarray(found, dtype=np.float64))


def count_written(trajectory: Trajectory) -> int:
    """Tokens that the policy wrote, the end of its turn included."""
    return 0 if trajectory.tokens is None else int((trajectory.tokens.step >= 0).sum())


def written(trajectory: Trajectory) -> list[Any]:
    """What the policy wrote: its tokens, or else its words or actions."""
    if trajectory.tokens is not None:
        return list(trajectory.tokens.ids[trajectory.tokens.step >= 0].tolist())
    if not trajectory.is_chat:
        return [np.asarray(action).tobytes() for action in trajectory.actions]
    return trajectory.completion.split() if len(trajectory.actions) else []


def write_json(path: Path, content: dict[str, Any]) -> None:
    """A JSON file that is there only when it is complete; null stands for a number that is not there."""
    plain = {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in content.items()}
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(plain, indent=1), encoding="utf-8")
    temporary.replace(path)
