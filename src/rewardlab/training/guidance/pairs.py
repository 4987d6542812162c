"""Pairs to learn from: a success against a failure at the same task, guided or not, all on the bare task."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from rewardlab.types import Preference, Scores, Trajectory

Source = Literal["guided", "unguided", "both"]
Negatives = Literal["unguided", "any"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a pair comes from.

    Args:
        task: its id.
        guided: whether the chosen one was guided.
        off_policy: whether somebody else made it.
        parts: of the guidance that it had.
    """

    task: str
    guided: bool
    off_policy: bool
    parts: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class PairSet:
    """Preferences with where each comes from, and counts of what gave none.

    Args:
        preferences: chosen and rejected are trajectories.
        provenance: one for each preference.
        counts: `tasks`, `all_solved` (no failure), `unsolved` (no success), `same` (pairs dropped because both sides are
            equal), `capped` (dropped by `max_per_task`), `unscored` (trajectories).
        policy_hash: of the weights that are the reference when these pairs are learned from, or None.
    """

    preferences: list[Preference]
    provenance: list[Provenance]
    counts: Counter[str] = field(default_factory=Counter)
    policy_hash: str | None = None

    def __len__(self) -> int:
        return len(self.preferences)

    @property
    def guided(self) -> int:
        """How many have a guided success."""
        return sum(one.guided for one in self.provenance)

    def subset(self, indices: Sequence[int]) -> PairSet:
        """Some of the pairs."""
        return PairSet(
            preferences=[self.preferences[index] for index in indices],
            provenance=[self.provenance[index] for index in indices],
            counts=self.counts,
            policy_hash=self.policy_hash,
        )


def build_pairs(
    trajectories: Sequence[Trajectory],
    scores: Scores,
    *,
    source: Source = "both",
    negatives: Negatives = "unguided",
    per_positive: int | None = None,
    max_per_task: int | None = None,
    seed: int = 0,
    policy_hash: str | None = None,
) -> PairSet:
    """Pair better with worse attempts at the same task.

    Among unguided attempts every pair with different scores is one. A guided attempt is paired where it is the better one,
    with one failure drawn at random. What could not be scored takes no part.

    Args:
        trajectories: attempts, guided ones marked by `info["guided"]` as `Guided` marks them.
        scores: of these.
        source: which better ones are used.
        negatives: which worse ones: "unguided" alone, or "any".
        per_positive: worse ones drawn for each better one, guided or not; None for all of an unguided one and one of a
            guided.
        max_per_task: most pairs of one task, drawn at random; None for all.
        seed: of the draws.
        policy_hash: of the weights that are the reference when these pairs are learned from; kept with them.

    Raises:
        ValueError: an option has an impossible value.
    """
    for name, value, words in (("source", source, Source), ("negatives", negatives, Negatives)):
        if value not in get_args(words):
            raise ValueError(f"{name} must be one of {', '.join(get_args(words))}, got {value!r}")
    for name, count in (("per_positive", per_positive), ("max_per_task", max_per_task)):
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1 or None, got {count}")
    if len(scores) != len(trajectories):
        raise ValueError(f"there are {len(scores)} scores for {len(trajectories)} trajectories")
    rng = np.random.default_rng(seed)
    members: dict[str, list[int]] = {}
    counts: Counter[str] = Counter(tasks=0, all_solved=0, unsolved=0, same=0, capped=0, unscored=0)
    for index, trajectory in enumerate(trajectories):
        task = trajectory.task.id if trajectory.task is not None else trajectory.group
        if task is None:
            raise ValueError(f"trajectory {index} has neither a task nor a group, so nothing can be compared with it")
        members.setdefault(task, [])
        if scores.scored[index]:
            members[task].append(index)
        else:
            counts["unscored"] += 1
    result = PairSet(preferences=[], provenance=[], counts=counts, policy_hash=policy_hash)
    for name, places in members.items():
        pairs = _pairs_of(trajectories, scores, places, source, negatives, per_positive, rng, counts)
        if max_per_task is not None and len(pairs) > max_per_task:
            counts["capped"] += len(pairs) - max_per_task
            pairs = [pairs[index] for index in sorted(rng.choice(len(pairs), max_per_task, replace=False))]
        for better, worse in pairs:
            _add(result, name, trajectories[better], trajectories[worse])
    return result


def _pairs_of(
    trajectories: Sequence[Trajectory],
    scores: Scores,
    places: Sequence[int],
    source: Source,
    negatives: Negatives,
    per_positive: int | None,
    rng: np.random.Generator,
    counts: Counter[str],
) -> list[tuple[int, int]]:
    values = scores.values
    guided = {index: bool(trajectories[index].info.get("guided")) for index in places}
    wanted = [index for index in places if source == "both" or guided[index] == (source == "guided")]
    pairs = []
    for better in wanted:
        worse = [
            index for index in places if values[index] < values[better] and (negatives == "any" or not guided[index])
        ]
        different = [index for index in worse if not _same(trajectories[better], trajectories[index])]
        counts["same"] += len(worse) - len(different)
        most = (1 if guided[better] else None) if per_positive is None else per_positive
        if most is not None and len(different) > most:
            different = [different[index] for index in sorted(rng.choice(len(different), most, replace=False))]
        pairs += [(better, one) for one in different]
    counts["tasks"] += 1
    if not pairs and places:
        best = max(values[index] for index in places)
        counts["unsolved" if min(values[index] for index in places) == best and best <= 0.0 else "all_solved"] += 1
    return pairs


def _add(result: PairSet, name: str, better: Trajectory, worse: Trajectory) -> None:
    guided = bool(better.info.get("guided"))
    result.preferences.append(Preference(chosen=better, rejected=worse, annotator="guided" if guided else "unguided"))
    result.provenance.append(
        Provenance(
            task=name,
            guided=guided,
            off_policy=bool(better.info.get("off_policy")),
            parts=tuple(better.info.get("hint_parts", ())),
        )
    )


def _same(one: Trajectory, other: Trajectory) -> bool:
    """Whether two attempts did the same."""
    if one.tokens is not None and other.tokens is not None:
        return bool(np.array_equal(one.tokens.ids, other.tokens.ids))
    return bool(one.actions == other.actions)


def weights_hash(policy: Any) -> str:
    """A hash of a policy's weights: whoever learns from pairs can say that they are of the same run."""
    import torch

    digest = hashlib.sha256()
    with torch.no_grad():
        for name, weight in sorted(policy.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(weight.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def check_apart(train: Sequence[Any], test: Sequence[Any]) -> None:
    """Raise where a training task is also a test task, by id or by prompt."""
    known = {task.id for task in train} | {str(task.prompt) for task in train}
    for task in test:
        if task.id in known or str(task.prompt) in known:
            raise ValueError(f"task {task.id!r} is in training and in test; keep them apart")
