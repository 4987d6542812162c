"""What the parts of a reward did along trajectories: who spoke when, how much of the return is whose, and who says the same.

The values are those that a learner gets: the algebra at each transition. A contribution is a term of the outermost
sums with its weight, so contributions add up to the reward; parts inside a product or a kinesthetic combination are
shown as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.algebra.combine import Sum
from rewardlab.rewards.base import Reward
from rewardlab.types import Scores, Trajectory

Floats = NDArray[np.float64]
WHOLE = "reward"
"""The name of the reward itself beside those of its parts."""


@dataclass(frozen=True, kw_only=True)
class RewardParts:
    """A reward along trajectories, part by part.

    Args:
        steps: for `reward` and each part, by dotted name, float64[T] of every trajectory that was scored.
        contributions: the same for the terms that add up to the reward, with their weights.
        groups: the group of each of these trajectories.
        failed: why trajectories are missing, by their place in what was given.
    """

    steps: dict[str, list[Floats]]
    contributions: dict[str, list[Floats]]
    groups: list[str]
    failed: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.groups)

    def table(self) -> list[dict[str, Any]]:
        """One row for each contribution, the largest first.

        Returns:
            `part`; `mean`, of a step; `size`, mean absolute value of a step; `share`, of the sum of absolute values
            over all contributions; `of_return`, its mean sum over a trajectory; `spread`, the correlation of that sum
            with the return: near 0 where a part sets good trajectories not apart, however large it is.
        """
        returns = np.array([one.sum() for one in self.steps[WHOLE]])
        whole = sum(np.abs(np.concatenate(columns)).sum() for columns in self.contributions.values())
        rows = []
        for name, columns in self.contributions.items():
            joined, sums = np.concatenate(columns), np.array([one.sum() for one in columns])
            rows.append(
                {
                    "part": name,
                    "mean": float(joined.mean()),
                    "size": float(np.abs(joined).mean()),
                    "share": float(np.abs(joined).sum() / whole) if whole > 0 else float("nan"),
                    "of_return": float(sums.mean()),
                    "spread": _correlation(sums, returns),
                }
            )
        return sorted(rows, key=lambda row: -row["size"])

    def to_markdown(self) -> str:
        """The table as text."""
        head = "| part | mean of a step | mean size | share | sum over a trajectory | correlation with the return |"
        lines = [head, "|---|---|---|---|---|---|"]
        lines += [
            f"| {row['part']} | {row['mean']:+.4g} | {row['size']:.4g} | {row['share']:.1%} | {row['of_return']:+.4g} "
            f"| {row['spread']:+.2f} |"
            for row in self.table()
        ]
        return "\n".join(lines)

    def correlations(self) -> tuple[list[str], Floats]:
        """Correlation of all parts over all steps: their names, and float64[part, part]; NaN where a part never changes."""
        names = list(self.steps)
        columns = np.stack([np.concatenate(self.steps[name]) for name in names])
        matrix = np.array([[_correlation(one, other) for other in columns] for one in columns])
        return names, matrix

    def by_group(self, part: str = WHOLE, *, per: str = "step") -> dict[str, Floats]:
        """The values of a part in each group: of single steps, or summed over trajectories.

        Args:
            part: name of a part, or `reward`.
            per: "step" or "trajectory".

        Raises:
            KeyError: there is no such part.
            ValueError: `per` is something else.
        """
        if part not in self.steps:
            raise KeyError(f"there is no part {part!r}; the parts are {', '.join(self.steps)}")
        if per not in ("step", "trajectory"):
            raise ValueError(f"per must be 'step' or 'trajectory', got {per!r}")
        found: dict[str, list[Floats]] = {}
        for group, values in zip(self.groups, self.steps[part], strict=True):
            found.setdefault(group, []).append(values if per == "step" else np.array([values.sum()]))
        return {group: np.concatenate(pieces) for group, pieces in found.items()}

    def timeline(self, index: int = 0) -> Any:
        """A matplotlib figure: every contribution along one trajectory, stacked, with their sum."""
        from rewardlab.audit.drawing import draw_timeline

        return draw_timeline(self, index)

    def histogram(self, part: str = WHOLE, *, per: str = "step", bins: int = 40) -> Any:
        """A matplotlib figure: how the values of a part spread in each group."""
        from rewardlab.audit.drawing import draw_histogram

        return draw_histogram(self.by_group(part, per=per), part, per, bins)

    def figure(self, index: int = 0) -> Any:
        """A matplotlib figure: the timeline of one trajectory, the shares, and the correlations of the parts."""
        from rewardlab.audit.drawing import draw_parts

        return draw_parts(self, index)

    def save(self, path: str | Path, index: int = 0) -> Path:
        """Write the picture (`.png`, `.svg`, `.pdf`), or the table as Markdown (`.md`)."""
        place = Path(path)
        if place.suffix == ".md":
            place.write_text(self.to_markdown() + "\n", encoding="utf-8")
            return place
        from rewardlab.audit.drawing import write

        return write(self.figure(index), place)


def reward_on(
    trajectories: Sequence[Trajectory],
    reward: Reward,
    *,
    group: Callable[[Trajectory], str] | None = None,
    progress: float | None = None,
) -> RewardParts:
    """What each part of a reward gave along trajectories.

    Args:
        trajectories: array trajectories; those that cannot be scored are left out and named in `failed`.
        reward: a transition reward, or what the algebra makes of some.
        group: which group a trajectory belongs to (the skill of a player, say); its own `group` where not given.
        progress: share of training done, for scheduled rewards.

    Raises:
        ValueError: no trajectory could be scored.
        TypeError: the reward has no value at single transitions.
    """
    from rewardlab.rewards.online import score_steps

    scores = score_steps(reward, trajectories, progress=progress)
    scored = [index for index in range(len(trajectories)) if scores.scored[index]]
    failed = {index: scores.note(index) or "failed" for index in range(len(trajectories)) if not scores.scored[index]}
    if not scored:
        why = next(iter(failed.values()), "there are none")
        raise ValueError(f"none of {len(trajectories)} trajectories could be scored: {why}")

    def rows(part: Scores) -> list[Floats]:
        steps = part.steps or []
        return [np.full(len(trajectories[index]), np.nan) if steps[index] is None else steps[index] for index in scored]  # type: ignore[misc]

    steps = {WHOLE: rows(scores)}
    steps.update({name: rows(part) for name, part in scores.flat_parts() if part.steps is not None})
    contributions = {
        name: [weight * one for one in steps[name if name else WHOLE]] for name, weight in _terms(reward, "", 1.0)
    }
    if list(contributions) == [""]:
        contributions = {reward.label: contributions[""]}
    bias = _bias(reward, 1.0)
    if bias:
        contributions["constant"] = [np.full(len(one), bias) for one in steps[WHOLE]]
    named = group or (lambda one: one.group or "all")
    return RewardParts(
        steps=steps,
        contributions=contributions,
        groups=[named(trajectories[index]) for index in scored],
        failed=failed,
    )


def _terms(reward: Reward, path: str, weight: float) -> Iterator[tuple[str, float]]:
    """Names and weights of the terms that add up."""
    if not isinstance(reward, Sum):
        yield path, weight
        return
    for name, part in reward.parts.items():
        own = weight * reward.weights.get(name, 1.0)
        if own != 0.0:
            yield from _terms(part, f"{path}.{name}" if path else name, own)


def _bias(reward: Reward, weight: float) -> float:
    if not isinstance(reward, Sum):
        return 0.0
    below = sum(_bias(part, weight * reward.weights.get(name, 1.0)) for name, part in reward.parts.items())
    return weight * reward.bias + below


def _correlation(one: Floats, other: Floats) -> float:
    if len(one) < 2:
        return float("nan")
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum() / size) if size > 1e-300 else float("nan")
