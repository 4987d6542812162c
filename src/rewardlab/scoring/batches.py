"""Cutting a stream of trajectories into batches, so that a reward that compares the members of a group sees all of them.

Where a source can be read twice, a first pass counts the members of each group, and a group is handed on when its last
member has come: groups may be scattered (verl shuffles its dumps), as long as no more trajectories wait at once than the
window admits. A stream that comes only once must have the members of a group together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from rewardlab.types import Trajectory

Batch = tuple[list[int], list[Trajectory]]
"""Positions in the source, counted from 0, and the trajectories that stand there."""


class ScatteredGroups(ValueError):
    """The members of a group stand too far apart to be scored together."""


def plain_batches(numbered: Iterable[tuple[int, Trajectory]], size: int) -> Iterator[Batch]:
    """Batches of `size` of trajectories with their positions, whatever the groups; the last may be shorter."""
    indices: list[int] = []
    held: list[Trajectory] = []
    for index, trajectory in numbered:
        indices.append(index)
        held.append(trajectory)
        if len(held) >= size:
            yield indices, held
            indices, held = [], []
    if held:
        yield indices, held


def adjacent_groups(trajectories: Iterable[Trajectory], size: int) -> Iterator[Batch]:
    """Batches of at least `size` that never cut a group, of a stream in which members of a group stand together.

    Raises:
        ScatteredGroups: a group comes up again after another one.
    """
    indices: list[int] = []
    held: list[Trajectory] = []
    closed: dict[str, int] = {}
    current: str | None = None
    for index, trajectory in enumerate(trajectories):
        group = trajectory.group
        if group is None or group != current:
            if group is not None and group in closed:
                raise ScatteredGroups(
                    f"group {group!r} comes up again at trajectory {index}, after it ended at {closed[group]}; the reward "
                    "compares the members of a group, and this source can be read only once: sort it by group, or give a "
                    "file or a list, which are read twice"
                )
            if current is not None:
                closed[current] = index - 1
            current = group
            if len(held) >= size:
                yield indices, held
                indices, held = [], []
        indices.append(index)
        held.append(trajectory)
    if held:
        yield indices, held


def count_groups(trajectories: Iterable[Trajectory], window: int) -> Counter[str]:
    """The first pass: how many members each group has.

    Raises:
        ScatteredGroups: at some point more than `window` trajectories of unfinished groups would have to be held.
    """
    sizes: Counter[str] = Counter()
    spans: dict[str, tuple[int, int]] = {}
    count = 0
    for index, trajectory in enumerate(trajectories):
        count = index + 1
        if trajectory.group is not None:
            sizes[trajectory.group] += 1
            first, _ = spans.get(trajectory.group, (index, index))
            spans[trajectory.group] = (first, index)
    peak = _most_held(sizes, spans, count)
    if peak > window:
        raise ScatteredGroups(
            f"the members of a group stand so far apart that up to {peak} trajectories would have to be held at once, more "
            f"than window={window}; sort the source by group, or allow it with window={peak}"
        )
    return sizes


def gathered_groups(trajectories: Iterable[Trajectory], size: int, sizes: Counter[str]) -> Iterator[Batch]:
    """Batches of at least `size` of whole groups, in the order in which they become complete: the second pass."""
    waiting: dict[str, Batch] = {}
    indices: list[int] = []
    held: list[Trajectory] = []
    for index, trajectory in enumerate(trajectories):
        group = trajectory.group
        if group is None:
            indices.append(index)
            held.append(trajectory)
        else:
            members = waiting.setdefault(group, ([], []))
            members[0].append(index)
            members[1].append(trajectory)
            if len(members[0]) < sizes[group]:
                continue
            del waiting[group]
            indices += members[0]
            held += members[1]
        if len(held) >= size:
            yield indices, held
            indices, held = [], []
    for members in waiting.values():  # only where the source has changed since it was counted
        indices += members[0]
        held += members[1]
    if held:
        yield indices, held


def _most_held(sizes: Counter[str], spans: dict[str, tuple[int, int]], count: int) -> int:
    """An upper bound for the trajectories that wait at once: every group counts in full from first to last."""
    changes: Counter[int] = Counter()
    for group, (first, last) in spans.items():
        changes[first] += sizes[group]
        changes[last + 1] -= sizes[group]
    held = peak = 0
    for index in sorted(changes):
        held += changes[index]
        peak = max(peak, held)
    return peak
