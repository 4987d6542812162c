"""Comparisons of leaves as data of a reward model: labels, splits by tree, what labels say of one another, and chat logs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rewardlab.learning.data import PreferenceData, prompt_key
from rewardlab.recipes.tree_preferences.trees import LeafPair, Node, Tree
from rewardlab.types import Message, Task, Trajectory, message_text

Judge = Callable[[Sequence[Trajectory], Sequence[Trajectory]], ArrayLike]
"""Two lists of whole responses in, the probability in [0, 1] that the first of each two is better out."""


def preference_data(pairs: Sequence[LeafPair], judge: Judge) -> PreferenceData:
    """Labelled comparisons, with `tree_id`, `lca_depth` and `divergence_index` of each in the metadata.

    Args:
        pairs: what to compare.
        judge: who says which is better; it reads whole responses, prompt and shared beginning included.

    Raises:
        ValueError: no pairs, two trees of one name, or a label for some pairs only.
    """
    if not pairs:
        raise ValueError("there are no pairs to label")
    trees: dict[str, Tree] = {}
    for pair in pairs:
        if trees.setdefault(pair.tree_id, pair.tree) is not pair.tree:
            raise ValueError(f"two different trees have the name {pair.tree_id!r}; names must be unique")
    sides = [list(side) for side in zip(*(pair.trajectories for pair in pairs), strict=True)]
    label = np.asarray(judge(*sides), dtype=np.float64)
    if label.shape != (len(pairs),):
        raise ValueError(f"the judge gave labels of shape {label.shape} for {len(pairs)} pairs")
    places: dict[tuple[str, int], int] = {}
    items: list[Trajectory] = []
    columns: list[list[int]] = [[], []]
    for pair in pairs:
        for column, leaf in zip(columns, (pair.first, pair.second), strict=True):
            key = (pair.tree_id, leaf)
            if key not in places:
                places[key] = len(items)
                items.append(pair.tree.trajectories[leaf])
            column.append(places[key])
    metadata = [
        {"tree_id": pair.tree_id, "lca_depth": pair.lca_depth, "divergence_index": pair.divergence_index}
        for pair in pairs
    ]
    return PreferenceData(
        items=items, first=np.asarray(columns[0]), second=np.asarray(columns[1]), label=label, metadata=metadata
    )


def check_prompts(data: PreferenceData) -> None:
    """Refuse comparisons of responses to different prompts.

    Raises:
        ValueError: there is one, in which row.
    """
    for row, (first, second) in enumerate(zip(data.first, data.second, strict=True)):
        if prompt_key(data.items[first]) != prompt_key(data.items[second]):
            raise ValueError(
                f"row {row} compares responses to different prompts; leaves of different trees must not be compared"
            )


def tree_ids(data: PreferenceData) -> list[str]:
    """The tree of every comparison.

    Raises:
        ValueError: a row does not say which.
    """
    told = data.metadata or [{}] * len(data)
    for row, entry in enumerate(told):
        if "tree_id" not in entry:
            raise ValueError(
                f"row {row} has no tree_id in its metadata; comparisons of trees come from preference_data"
            )
    return [str(entry["tree_id"]) for entry in told]


def split_by_tree(data: PreferenceData, share: float = 0.1, *, seed: int = 0) -> tuple[PreferenceData, PreferenceData]:
    """Two parts with no tree in both. `PreferenceData.split` goes further: no prompt is in both.

    Args:
        data: comparisons of `preference_data`.
        share: of the trees, in the second part.
        seed: of the choice.

    Raises:
        ValueError: a share outside (0, 1), or so few trees that a part would be empty.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share}")
    names, tree = np.unique(tree_ids(data), return_inverse=True)
    count = round(share * len(names))
    if not 0 < count < len(names):
        raise ValueError(f"{len(names)} trees cannot be split with a share of {share}: one part would be empty")
    held = np.isin(tree, np.random.default_rng(seed).permutation(len(names))[:count])
    return data.select(~held), data.select(held)


def check_no_leak(train: PreferenceData, test: PreferenceData) -> None:
    """Refuse a test that has leaves of a tree of the training data.

    Raises:
        ValueError: it has; the message names a tree.
    """
    shared = set(tree_ids(train)) & set(tree_ids(test))
    if shared:
        raise ValueError(
            f"{len(shared)} trees have leaves in training and test, {sorted(shared)[0]!r} among them; use split_by_tree"
        )


def cycle_rate(data: PreferenceData) -> float:
    """Share of the trees with three or more leaves compared in which the labels run in a circle; NaN without such trees.

    The comparisons are kept: a circle says that the annotator is unsure, and not which label is wrong.
    """
    names = np.asarray(tree_ids(data))
    rates = []
    for name in np.unique(names):
        rows = np.flatnonzero((names == name) & (data.label != 0.5))
        beaten: dict[int, set[int]] = {}
        for row in rows:
            first, second = int(data.first[row]), int(data.second[row])
            better, worse = (first, second) if data.label[row] > 0.5 else (second, first)
            beaten.setdefault(better, set()).add(worse)
            beaten.setdefault(worse, set())
        if len(beaten) >= 3:
            rates.append(_has_circle(beaten))
    return float(np.mean(rates)) if rates else float("nan")


def _has_circle(beaten: Mapping[int, set[int]]) -> bool:
    """Whether leaves can not be put in an order (Kahn 1962)."""
    count = dict.fromkeys(beaten, 0)
    for worse in beaten.values():
        for one in worse:
            count[one] += 1
    free = [one for one, number in count.items() if not number]
    placed = 0
    while free:
        placed += 1
        for one in beaten[free.pop()]:
            count[one] -= 1
            if not count[one]:
                free.append(one)
    return placed < len(beaten)


def trees_from_logs(messages: Iterable[Mapping[str, Any]]) -> list[Tree]:
    """Trees out of branched chats: an answer that was asked for again is a second branch, as is an edited message.

    Answers to one user message are compared; what follows after an edited user message belongs to another prompt, and is
    never compared with what follows after the original.

    Args:
        messages: each with `id`, `parent` (None for the first), `role` and `content`, in any order.

    Raises:
        ValueError: a message without these, two of one id, a parent that is not there, or a circle.
    """
    told: dict[str, Mapping[str, Any]] = {}
    for place, one in enumerate(messages):
        missing = [name for name in ("id", "parent", "role", "content") if name not in one]
        if missing:
            raise ValueError(
                f"message {place} has no {missing[0]!r}; a branched chat needs id, parent, role and content"
            )
        if str(one["id"]) in told:
            raise ValueError(f"two messages have the id {one['id']!r}")
        told[str(one["id"])] = one
    children: dict[str | None, list[str]] = {}
    for name, one in told.items():
        parent = None if one["parent"] is None else str(one["parent"])
        if parent is not None and parent not in told:
            raise ValueError(f"message {name!r} answers {parent!r}, which is not there")
        children.setdefault(parent, []).append(name)
    trees: list[Tree] = []
    reached = 0
    waiting: list[tuple[str, list[str]]] = [(name, [name]) for name in children.get(None, [])]
    while waiting:  # down to the first answers: what stands before them is the prompt
        name, path = waiting.pop()
        reached += 1
        below = children.get(name, [])
        answers = [one for one in below if told[one]["role"] == "assistant"]
        if answers:
            tree, count = _logged(name, path, answers, told, children)
            trees.append(tree)
            reached += count
        waiting += [(one, [*path, one]) for one in below if told[one]["role"] != "assistant"]
    if reached != len(told):
        raise ValueError(f"{len(told) - reached} messages hang together in a circle")
    return trees[::-1]


def _logged(
    name: str,
    path: Sequence[str],
    answers: Sequence[str],
    told: Mapping[str, Mapping[str, Any]],
    children: Mapping[str | None, Sequence[str]],
) -> tuple[Tree, int]:
    prompt = [_message(told[one]) for one in path]
    task = Task(id=name, prompt=prompt)
    nodes = [Node(parent=-1, depth=0)]
    trajectories: dict[int, Trajectory] = {}
    waiting: list[tuple[str, int, list[Message]]] = [(one, 0, list(prompt)) for one in answers]
    while waiting:
        one, parent, before = waiting.pop(0)
        message = _message(told[one])
        below = list(children.get(one, []))
        written = message["role"] == "assistant"
        place = len(nodes)
        nodes.append(
            Node(
                parent=parent,
                depth=nodes[parent].depth + 1,
                text=message_text(message),
                ended=not below,
                written=written,
            )
        )
        chat = [*before, message]
        if written and not any(
            told[next_one]["role"] == "assistant" or _answered(next_one, told, children) for next_one in below
        ):
            trajectories[place] = Trajectory.from_messages(chat, task=task, terminated=True)
        waiting += [(next_one, place, chat) for next_one in below]
    return Tree(id=name, task=task, nodes=nodes, trajectories=trajectories), len(nodes) - 1


def _answered(name: str, told: Mapping[str, Mapping[str, Any]], children: Mapping[str | None, Sequence[str]]) -> bool:
    """Whether an answer stands anywhere below a message."""
    waiting = list(children.get(name, []))
    while waiting:
        one = waiting.pop()
        if told[one]["role"] == "assistant":
            return True
        waiting += children.get(one, [])
    return False


def _message(told: Mapping[str, Any]) -> Message:
    content = told["content"]
    return {"role": str(told["role"]), "content": content if isinstance(content, str) else json.dumps(content)}
