"""What makes the score of a multimodal reward model worth nothing: shortcuts through text, leaks, wrong pictures."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.data import PreferenceData
from rewardlab.learning.items import content_hash
from rewardlab.rewards.base import Reward
from rewardlab.types import Message, Task, Trajectory, message_text

Floats = NDArray[np.float64]
LENGTH_CORRELATION = 0.5
SMALLEST_MARGIN = 1e-3


@dataclass(frozen=True, kw_only=True)
class ShortcutReport:
    """The accuracy of a model beside what needs no picture and no understanding.

    Args:
        accuracy: of the model.
        longer_wins: of the longer answer.
        text_only: of a bag-of-words Bradley-Terry model, cross-validated by prompt.
        shuffled_images: of the model when every prompt has another one's picture; NaN where there are no pictures.
        length_correlation: between score and length of the answer.
        margin: mean absolute difference of the scores of a pair.
    """

    accuracy: float
    longer_wins: float
    text_only: float
    shuffled_images: float
    length_correlation: float
    margin: float

    def __str__(self) -> str:
        return (
            f"accuracy {self.accuracy:.3f}; longer wins {self.longer_wins:.3f}, text alone {self.text_only:.3f}, "
            f"other pictures {self.shuffled_images:.3f}; correlation with length {self.length_correlation:+.2f}, "
            f"mean margin {self.margin:.3g}"
        )


def shortcut_report(model: Reward, data: PreferenceData, *, folds: int = 5, seed: int = 0) -> ShortcutReport:
    """Measure a model and its shortcuts on the same comparisons.

    Warns where scores follow length (a correlation above .5), or hardly differ within pairs.

    Args:
        model: any reward.
        data: comparisons of chats.
        folds: of the text-only model.
        seed: of the folds, and of which picture goes where.

    Raises:
        ValueError: a score that failed, or too few prompts.
    """
    values = _values(model, data.items)
    lengths = np.array([len(message_text(one.actions[-1])) for one in data.items], dtype=np.float64)
    gap = values[data.first] - values[data.second]
    has_pictures = any(_pictures(one) for one in data.items)
    found = ShortcutReport(
        accuracy=_accuracy(gap, data.label),
        longer_wins=_accuracy(lengths[data.first] - lengths[data.second], data.label),
        text_only=text_only_accuracy(data, folds=folds, seed=seed),
        shuffled_images=_shuffled(model, data, seed) if has_pictures else float("nan"),
        length_correlation=_correlation(values, lengths),
        margin=float(np.abs(gap).mean()),
    )
    if abs(found.length_correlation) > LENGTH_CORRELATION:
        warnings.warn(f"scores follow length: their correlation is {found.length_correlation:+.2f}", stacklevel=2)
    if found.margin < SMALLEST_MARGIN:
        warnings.warn(
            f"the scores of a pair differ by {found.margin:.2g} on average: a regulariser that is too strong, or a head "
            "that computes in bfloat16, does this",
            stacklevel=2,
        )
    return found


def text_only_accuracy(
    data: PreferenceData, *, folds: int = 5, ridge: float = 1.0, words: int = 5000, seed: int = 0
) -> float:
    """Accuracy of a Bradley-Terry model of the words of the answers, each fold judged by a model of the others.

    Args:
        data: comparisons of chats.
        folds: of the prompts.
        ridge: weight of the squared coefficients in the loss, against a mean over pairs times their number.
        words: the most frequent ones that count.
        seed: of the folds.

    Raises:
        ValueError: fewer prompts than folds.
    """
    names, prompt = np.unique(data.prompts(), return_inverse=True)
    if len(names) < folds:
        raise ValueError(f"{len(names)} prompts cannot be cut into {folds} folds; use fewer folds")
    bags = [Counter(re.findall(r"\w+", message_text(one.actions[-1]).lower())) for one in data.items]
    total = Counter[str]()
    for bag in bags:
        total.update(bag.keys())
    place = {word: number for number, (word, _) in enumerate(total.most_common(words))}
    counts = np.zeros((len(bags), len(place)), dtype=np.float32)
    for row, bag in enumerate(bags):
        for word, count in bag.items():
            if word in place:
                counts[row, place[word]] = np.log1p(count)
    apart = counts[data.first] - counts[data.second]
    fold = (np.random.default_rng(seed).permutation(len(names)) % folds)[prompt]
    logits = np.empty(len(data))
    for number in range(folds):
        held = fold == number
        logits[held] = apart[held] @ _logistic(apart[~held], data.label[~held], ridge)
    return _accuracy(logits, data.label)


def _logistic(features: NDArray[np.float32], label: Floats, ridge: float) -> NDArray[np.float32]:
    import torch

    inputs, wanted = torch.from_numpy(features), torch.from_numpy(label).float()
    weight = torch.zeros(inputs.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(inputs @ weight, wanted, reduction="sum")
        loss = loss + 0.5 * ridge * (weight**2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return np.asarray(weight.detach().numpy())


def shuffled_images(data: PreferenceData, *, seed: int = 0) -> PreferenceData:
    """The same comparisons, with the pictures of every prompt exchanged for those of another.

    Raises:
        ValueError: fewer than two prompts with pictures.
    """
    first_of: dict[str, list[Any]] = {}
    keys = [content_hash(one.observations[0]) for one in data.items]
    for key, one in zip(keys, data.items, strict=True):
        if key not in first_of and (pictures := _pictures(one)):
            first_of[key] = pictures
    names = sorted(first_of)
    if len(names) < 2:
        raise ValueError(f"{len(names)} prompts have pictures; at least 2 are needed to exchange them")
    order = np.random.default_rng(seed).permutation(len(names))
    giver = {names[one]: names[order[(place + 1) % len(names)]] for place, one in enumerate(order)}
    items = [
        _with_pictures(one, first_of[giver[key]]) if key in giver else one
        for key, one in zip(keys, data.items, strict=True)
    ]
    return replace(data, items=items)


def check_images(data: PreferenceData, *, may_differ: bool = False) -> None:
    """Refuse comparisons whose two answers are about different pictures.

    Args:
        data: comparisons of chats.
        may_differ: whether that is meant.

    Raises:
        ValueError: there is one, in which row.
    """
    if may_differ:
        return
    for row, (first, second) in enumerate(zip(data.first, data.second, strict=True)):
        one, other = _pictures(data.items[first]), _pictures(data.items[second])
        if content_hash(one) != content_hash(other):
            raise ValueError(
                f"row {row} compares answers about different pictures; say may_differ=True if that is meant"
            )


def refuse_overlap(train: PreferenceData, test: PreferenceData) -> None:
    """Refuse a test that has comparisons of the training data (same messages and pictures, either order).

    Raises:
        ValueError: it has; the message names a row of the test.
    """
    known = _hashed_pairs(train)
    shared = [row for row, pair in enumerate(_hashed_pairs(test)) if pair in set(known)]
    if shared:
        raise ValueError(
            f"{len(shared)} comparisons of the test are in the training data too, row {shared[0]} among them; leave them "
            "out of the training data, or split by prompt"
        )


def _hashed_pairs(data: PreferenceData) -> list[frozenset[str]]:
    keys = [content_hash(one.messages) for one in data.items]
    return [frozenset((keys[first], keys[second])) for first, second in zip(data.first, data.second, strict=True)]


def length_margins(data: PreferenceData, weight: float) -> PreferenceData:
    """The length penalty among the regularisers: the longer side has to win by more, the shorter one by less.

    Args:
        data: comparisons of chats; their strengths are replaced.
        weight: margin for each deviation of the difference in length. Fit with `BradleyTerryLoss(margin="strength")`.
    """
    lengths = np.array([len(message_text(one.actions[-1])) for one in data.items], dtype=np.float64)
    apart = lengths[data.first] - lengths[data.second]
    toward_better = np.where(data.label >= 0.5, apart, -apart)
    return replace(data, strength=weight * toward_better / max(float(apart.std()), 1e-12))


def _pictures(item: Trajectory) -> list[Any]:
    return [
        part["image"]
        for message in item.messages
        if not isinstance(message["content"], str)
        for part in message["content"] or ()
        if part.get("type") == "image"
    ]


def _with_pictures(item: Trajectory, pictures: Sequence[Any]) -> Trajectory:
    waiting = list(pictures)

    def changed(message: Message) -> Message:
        content = message["content"]
        if isinstance(content, str) or content is None:
            return message
        parts = [
            {**part, "image": waiting.pop(0)} if part.get("type") == "image" and waiting else part for part in content
        ]
        return {**message, "content": parts}

    observations = [[changed(one) for one in messages] for messages in item.observations]
    task = item.task
    if task is not None and task.prompt is not None:
        task = Task(id=task.id, prompt=observations[0], reference=task.reference, metadata=task.metadata)
    return replace(item, observations=observations, task=task)


def _shuffled(model: Reward, data: PreferenceData, seed: int) -> float:
    other = shuffled_images(data, seed=seed)
    values = _values(model, other.items)
    return _accuracy(values[data.first] - values[data.second], data.label)


def _values(model: Reward, items: Sequence[Trajectory]) -> Floats:
    scores = model(items)
    if not scores.scored.all():
        row = int(np.flatnonzero(~scores.scored)[0])
        raise ValueError(f"the model did not score item {row}: {scores.note(row)}")
    return scores.values


def _accuracy(gap: Floats, label: Floats) -> float:
    """Share ordered right; equal scores count half, and comparisons labelled a tie not at all."""
    told = label != 0.5
    if not told.any():
        return float("nan")
    right = np.where(gap == 0, 0.5, (gap > 0) == (label > 0.5))
    return float(right[told].mean())


def _correlation(values: Floats, lengths: Floats) -> float:
    if values.std() == 0 or lengths.std() == 0:
        return 0.0
    return float(np.corrcoef(values, lengths)[0, 1])
