"""Score stored trajectories under another reward, and see what would change: nobody acts again.

What counts for training is not the mean but the order within groups: so the comparison says how the ranks agree, in which
samples the group-relative advantage changes its sign (training would push the other way), and which samples move most. It is
refused where a reward would not give the same score twice, or looks at an environment that is no longer there.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rescoring.comparison import Comparison, Moved
from rewardlab.rescoring.old_scores import RescoringRefused, check_replayable, old_side
from rewardlab.rewards.base import Reward
from rewardlab.rewards.spec import load_reward
from rewardlab.scoring.ranks import average_ranks, kendall, spearman
from rewardlab.scoring.rows import Row, rows_of
from rewardlab.scoring.source import Source, batches_for
from rewardlab.scoring.statistics import clustered_mean
from rewardlab.scoring.summary import Accumulator
from rewardlab.storage import Problems
from rewardlab.types import Scores

__all__ = ["Comparison", "Moved", "RescoringRefused", "rescore"]

Pair = tuple[int, str | None, str | None, float | None, float | None, str, str]
"""Index, task, group, old and new value, old and new status of one trajectory."""

_TOLERANCE = 1e-9  # advantages smaller than this share of the largest value are rounding, and have no sign


def rescore(
    trajectories: str | os.PathLike[str] | Iterable[Any],
    old: Reward | Scores | Mapping[str, Any] | str | Path,
    new: Reward | Mapping[str, Any] | str | Path,
    *,
    allow_nondeterministic: bool = False,
    shown: int = 10,
    progress: float | None = None,
    batch_size: int = 256,
    window: int = 20_000,
    format: str = "auto",
    reference: str | None = None,
) -> Comparison:
    """Score stored trajectories under two rewards and compare what comes out.

    Args:
        trajectories: whatever `read_trajectories` reads; read one by one (of each, some 500 bytes are kept).
        old: the reward so far (or its spec, or the file of it); the `Scores` it gave, in the order of the trajectories; a
            file of scores that `score` wrote; "recorded" for the rewards in the trajectories; or "recorded:NAME" for one of
            those that another tool recorded by name (`info["rewards"]`).
        new: the reward to compare it with, or its spec.
        allow_nondeterministic: compare even where a reward may score the same trajectory differently each time. Part of the
            difference is then chance: compare the reward with itself first, and see how much.
        shown: how many trajectories to list among those that move, and those whose advantage changes sign.
        progress: share of training done, in [0, 1], for rewards on a schedule.
        batch_size, window, format, reference: as for `score`.

    Returns:
        The comparison; `print` it, or `.table()` and `.to_json()`.

    Raises:
        RescoringRefused: a reward is not deterministic, or needs a live environment; the one at fault is named.
        ValueError: the old scores are not of these trajectories.
    """
    reward = load_reward(new)
    check_replayable(reward, "new", allow_nondeterministic)
    before = old_side(old, allow_nondeterministic, progress)
    source = Source(trajectories, format, reference, Problems())
    whole_groups = reward.group_wise or before.whole_groups
    old_sums, new_sums = Accumulator(), Accumulator()
    pairs: list[Pair] = []
    for indices, batch in batches_for(source, whole_groups, batch_size, window):
        old_rows = before.rows(indices, batch)
        new_rows = rows_of(reward(batch, progress=progress), indices, batch)
        for old_row, new_row in zip(old_rows, new_rows, strict=True):
            old_sums.add(old_row)
            new_sums.add(new_row)
            pairs.append(_pair(old_row, new_row))
    before.check_end(len(pairs))
    pairs.sort(key=lambda pair: pair[0])
    return _compare(
        pairs,
        shown,
        old_label=before.label,
        new_label=reward.label,
        old_hash=before.hash,
        new_hash=reward.spec_hash,
        old_total=old_sums.total(),
        new_total=new_sums.total(),
        old_parts=old_sums.parts(),
        new_parts=new_sums.parts(),
        set_aside=source.problems.count,
    )


def _pair(old: Row, new: Row) -> Pair:
    return new["index"], new["id"], new["group"], old["value"], new["value"], old["status"], new["status"]


def _compare(pairs: list[Pair], shown: int, **columns: Any) -> Comparison:
    changes = Counter(pair[5:] for pair in pairs)
    kept = [pair for pair in pairs if pair[3] is not None and pair[4] is not None]
    old = np.array([pair[3] for pair in kept], dtype=np.float64)
    new = np.array([pair[4] for pair in kept], dtype=np.float64)
    cluster, sizes = _clusters([pair[2] for pair in kept])
    in_groups = sizes[cluster] >= 2 if len(kept) else np.empty(0, dtype=bool)
    baseline = "group" if in_groups.any() else "all"
    if baseline == "all":
        in_groups = np.full(len(kept), len(kept) >= 2)
        owner, owner_sizes = np.zeros(len(kept), dtype=np.int64), np.array([len(kept)])
    else:
        owner, owner_sizes = cluster, sizes
    old_advantage, new_advantage = (_advantages(values, owner, owner_sizes) for values in (old, new))
    flipped = in_groups & (np.sign(old_advantage) * np.sign(new_advantage) < 0)
    old_rank, new_rank = _rank_shares(old), _rank_shares(new)

    def moved(place: int) -> Moved:
        numbers = (old, new, old_rank, new_rank, old_advantage, new_advantage)
        return Moved(kept[place][0], kept[place][1], kept[place][2], *(float(column[place]) for column in numbers))

    shift, turn = np.abs(new_rank - old_rank), np.abs(new_advantage - old_advantage)
    movers = [place for place in np.argsort(-shift, kind="stable")[:shown].tolist() if shift[place] > 0]
    changed = [
        place for place in np.argsort(-np.where(flipped, turn, -1.0), kind="stable")[:shown].tolist() if flipped[place]
    ]
    groups_compared, best_changes = _best_changes(old, new, cluster, sizes)
    sums = np.bincount(cluster, new - old, minlength=sizes.size).astype(np.float64)
    return Comparison(
        count=len(pairs),
        both=len(kept),
        spearman=spearman(old, new),
        kendall=kendall(old, new),
        difference=clustered_mean(sums, sizes.astype(np.float64)),
        status_changes={key: changes[key] for key in sorted(changes)},
        baseline=baseline,
        compared=int(in_groups.sum()),
        sign_changes=int(flipped.sum()),
        changed=[moved(place) for place in changed],
        groups_compared=groups_compared,
        best_changes=best_changes,
        movers=[moved(place) for place in movers],
        **columns,
    )


def _clusters(groups: Sequence[str | None]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number of each sample's group, and the size of each group; a sample without one is its own."""
    known: dict[object, int] = {}
    cluster = np.array(
        [known.setdefault(group if group is not None else (place,), len(known)) for place, group in enumerate(groups)],
        dtype=np.int64,
    )
    return cluster, np.bincount(cluster, minlength=len(known))


def _advantages(
    values: NDArray[np.float64], cluster: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Values minus the mean of their cluster; what is only rounding is zero."""
    means = np.bincount(cluster, values, minlength=sizes.size) / np.maximum(sizes, 1)
    advantages = values - means[cluster]
    if values.size:
        advantages[np.abs(advantages) <= _TOLERANCE * np.abs(values).max()] = 0.0
    return advantages


def _rank_shares(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return (average_ranks(values) - 1) / (values.size - 1) if values.size > 1 else np.zeros(values.size)


def _best_changes(
    old: NDArray[np.float64], new: NDArray[np.float64], cluster: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[int, int]:
    """How many clusters have two members or more, and in how many of them the sets of best members do not meet."""
    tops = []
    for values in (old, new):
        top = np.full(sizes.size, -np.inf)
        np.maximum.at(top, cluster, values)
        tops.append(values == top[cluster])
    kept_best = np.bincount(cluster, tops[0] & tops[1], minlength=sizes.size) > 0
    several = sizes >= 2
    return int(several.sum()), int((several & ~kept_best).sum())
