"""What constraints came to: each rate against its threshold, its weight, which bind, and whether they fit together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rewardlab.functional.lagrangian import rate_interval

TAIL = 10
"""How many of the last windows a rate is taken over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstraintLine:
    """One constraint over the last windows.

    Args:
        name: of the constraint.
        bound: "at most" or "at least".
        threshold: of the rate.
        rate: mean over the last windows; NaN where none said anything.
        interval: 95%, by windows.
        weight: of its indicator in the reward at the end.
        met: whether the interval does not lie wholly on the wrong side of the threshold; None where no rate is known.
        binds: whether the interval reaches the threshold, so that the constraint shapes what is learned.
        ever_met: whether any window at all kept it.
    """

    name: str
    bound: str
    threshold: float
    rate: float
    interval: tuple[float, float]
    weight: float
    met: bool | None
    binds: bool
    ever_met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstraintReport:
    """What a `Lagrangian` did.

    Args:
        lines: one for each constraint.
        reward_weight: of the reward at the end.
        reward_size: mean size of the reward of a step. With normalised multipliers this scale decides how far they move.
        history: a dict for each update: `steps`, `rates`, `weights` by name.
        infeasible_together: names of constraints that were each kept at some time, while no window of the last half kept
            all of them; empty where some window did. A sign, not a proof: for a finite process ask
            `rewardlab.rewards.formal.objectives.CMDP`, whose linear programme decides.
    """

    lines: tuple[ConstraintLine, ...]
    reward_weight: float
    reward_size: float
    history: tuple[dict[str, Any], ...]
    infeasible_together: tuple[str, ...]

    @property
    def met(self) -> bool:
        """Whether every constraint is met."""
        return all(line.met for line in self.lines)

    def table(self) -> str:
        """The report as Markdown."""
        rows = ["| constraint | threshold | rate [95%] | weight | met | binds |", "|---|---|---|---|---|---|"]
        for line in self.lines:
            low, high = line.interval
            met = "not known" if line.met is None else "yes" if line.met else "no"
            rows.append(
                f"| {line.name} | {line.bound} {line.threshold:g} | {line.rate:.3f} [{low:.3f}, {high:.3f}] "
                f"| {line.weight:+.3f} | {met} | {'yes' if line.binds else 'no'} |"
            )
        rows += ["", f"Reward: weight {self.reward_weight:.3f}, mean size {self.reward_size:.3g} a step."]
        if self.infeasible_together:
            rows.append(f"Never kept together of late, though each was once: {', '.join(self.infeasible_together)}.")
        return "\n".join(rows)


def report_constraints(
    names: Sequence[str],
    thresholds: Sequence[float],
    signs: Sequence[int],
    history: Sequence[dict[str, Any]],
    weights: Sequence[float],
    reward_size: float = float("nan"),
) -> ConstraintReport:
    """Build the report from the history of updates.

    Args:
        names: of the K constraints.
        thresholds: of their rates.
        signs: -1 for an upper bound, +1 for a lower one.
        history: dicts with `rates`, by name.
        weights: 1 + K, signed, at the end.
        reward_size: mean size of the reward of a step.
    """
    rates = np.array([[entry["rates"].get(name, np.nan) for name in names] for entry in history]).reshape(
        -1, len(names)
    )
    kept = np.where(np.isnan(rates), True, np.asarray(signs) * (rates - np.asarray(thresholds)) >= 0)
    lines = []
    for place, (name, threshold, sign) in enumerate(zip(names, thresholds, signs, strict=True)):
        tail = rates[-TAIL:, place]
        known = tail[np.isfinite(tail)]
        low, high = rate_interval(tail)
        wrong = low > threshold if sign < 0 else high < threshold
        lines.append(
            ConstraintLine(
                name=name,
                bound="at most" if sign < 0 else "at least",
                threshold=threshold,
                rate=float(known.mean()) if known.size else float("nan"),
                interval=(low, high),
                weight=float(weights[1 + place]),
                met=None if not known.size else not wrong,
                binds=bool(known.size) and (high >= threshold if sign < 0 else low <= threshold),
                ever_met=bool((kept[:, place] & np.isfinite(rates[:, place])).any()),
            )
        )
    late = kept[len(kept) // 2 :]
    apart: tuple[str, ...] = ()
    if len(late) >= TAIL and not late.all(axis=1).any():
        broken = [place for place in range(len(names)) if not late[:, place].all()]
        if len(broken) > 1 and all(lines[place].ever_met for place in broken):
            apart = tuple(names[place] for place in broken)
    return ConstraintReport(
        lines=tuple(lines),
        reward_weight=float(weights[0]),
        reward_size=reward_size,
        history=tuple(history),
        infeasible_together=apart,
    )
