"""How well actions are predicted, and whether a policy has settled on the easiest of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rewardlab.parsing.json_values import UnreadableJSON
from rewardlab.rewards.base import Abstention, ScoringFailure
from rewardlab.rewards.verifiers.actions import HierarchicalAction
from rewardlab.types import Scores, Trajectory, group_indices

COLLAPSE = 1.5
"""A type that is predicted this many times as often as people do it is a warning."""
SWAMPED = 0.95
"""A part with more than this share of the variance inside groups is a warning: the others no longer matter there."""
UNREADABLE = "(unreadable)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionReport:
    """What a batch of predicted actions says.

    Args:
        exact: share with the right type and every field.
        type_accuracy: share with the right type.
        macro_f1: mean over the types of people's actions of the F1 of that type.
        predicted: type -> share of the predictions (`(unreadable)` where there was no action).
        human: type -> share of people's actions.
        entropy: of `predicted`, in nats.
        value_hits: type -> share of samples with that true type whose every scaled value reached the threshold.
        variance_shares: part -> its share of the variance of the reward inside groups; empty without groups of two.
        left_out: samples without a usable reference.
        warnings: in words.
    """

    exact: float
    type_accuracy: float
    macro_f1: float
    predicted: dict[str, float]
    human: dict[str, float]
    entropy: float
    value_hits: dict[str, float]
    variance_shares: dict[str, float]
    left_out: int
    warnings: list[str] = field(default_factory=list)


def action_report(
    trajectories: Sequence[Trajectory], reward: HierarchicalAction | None = None, scores: Scores | None = None
) -> ActionReport:
    """Compare predicted actions with people's.

    Args:
        trajectories: with the human action as the reference of their task.
        reward: how actions are read and compared; the paper's when not given.
        scores: of any reward, whose parts are looked at for `variance_shares`; those of `reward` when not given.

    Raises:
        ValueError: there is nothing to compare.
    """
    reward = reward or HierarchicalAction()
    own = reward(trajectories)
    truth: list[str] = []
    guesses: list[str] = []
    kept: list[int] = []
    for index, one in enumerate(trajectories):
        try:
            wanted = reward.wanted(one).type
        except (ScoringFailure, Abstention):
            continue
        kept.append(index)
        truth.append(wanted)
        try:
            guesses.append(reward.read(one).type)
        except UnreadableJSON:
            guesses.append(UNREADABLE)
    if not kept:
        raise ValueError("no trajectory has a human action to compare with, so there is nothing to report")
    human, predicted = _shares(truth), _shares(guesses)
    right = np.array([guess == wanted for guess, wanted in zip(guesses, truth, strict=True)])
    report = ActionReport(
        exact=float(own.parts["exact"].values[kept].mean()),
        type_accuracy=float(right.mean()),
        macro_f1=float(np.mean([_f1(kind, truth, guesses) for kind in human])),
        predicted=predicted,
        human=human,
        entropy=-sum(share * math.log(share) for share in predicted.values()),
        value_hits=_hits(reward, own, kept, truth),
        variance_shares=_variance_shares(trajectories, own if scores is None else scores),
        left_out=len(trajectories) - len(kept),
    )
    for kind, share in predicted.items():
        if kind in human and share > COLLAPSE * human[kind]:
            report.warnings.append(
                f"collapse: {kind!r} is {share:.0%} of the predictions, and {human[kind]:.0%} of what people do"
            )
    for name, share in report.variance_shares.items():
        if share > SWAMPED:
            report.warnings.append(
                f"{name!r} has {share:.1%} of the variance inside groups, so the other parts hardly count"
            )
    return report


def _shares(names: Sequence[str]) -> dict[str, float]:
    counts = Counter(names)
    return {name: counts[name] / len(names) for name in sorted(counts)}


def _f1(kind: str, truth: Sequence[str], guesses: Sequence[str]) -> float:
    both = sum(guess == wanted == kind for guess, wanted in zip(guesses, truth, strict=True))
    either = sum(wanted == kind for wanted in truth) + sum(guess == kind for guess in guesses)
    return 2 * both / either if either else 0.0


def _hits(reward: HierarchicalAction, scores: Scores, kept: Sequence[int], truth: Sequence[str]) -> dict[str, float]:
    found = {}
    for kind in sorted(set(truth)):
        places = [place for place in reward.scale if place.rpartition(".")[0] == kind]
        rows = [index for index, wanted in zip(kept, truth, strict=True) if wanted == kind]
        if places:
            columns = [scores.parts[f"hit.{place}"].values[rows] for place in places if f"hit.{place}" in scores.parts]
            hit = np.nan_to_num(np.array(columns), nan=0.0).all(axis=0) if columns else np.zeros(len(rows))
            found[kind] = float(hit.mean())
    return found


def _variance_shares(trajectories: Sequence[Trajectory], scores: Scores) -> dict[str, float]:
    """Variance of each paid part inside groups over the sum of them all."""
    groups = [members for members in group_indices(trajectories) if members.size > 1]
    spread = {}
    for name, part in _paid("", scores).items():
        values = np.nan_to_num(part.values, nan=0.0)
        spread[name] = sum(float(values[members].var() * members.size) for members in groups)
    total = sum(spread.values())
    return {name: value / total for name, value in spread.items()} if total else {}


def _paid(name: str, scores: Scores) -> dict[str, Scores]:
    """The smallest parts that are paid, by their names; a gate that is also a part counts once."""
    inner = {part: entry for part, entry in scores.parts.items() if part.split(".")[0] not in _MEASURES}
    if not inner:
        return {name: scores}
    found: dict[str, Scores] = {}
    for part, entry in inner.items():
        found.update(_paid(part, entry))
    return found


_MEASURES = ("exact", "hit", "well_formed", "certainty", "words", "repetition")
