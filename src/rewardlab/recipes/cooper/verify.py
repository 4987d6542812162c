"""VerifyRM: a reward model that reads question, reference and completion, and says how likely the completion is right."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.correctness import CorrectnessLoss
from rewardlab.learning.data import RatingData
from rewardlab.learning.fitting import FitResult, fit
from rewardlab.rewards.algebra.squash import Squash
from rewardlab.rewards.models.encoders.referenced import WithReference
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory, message_text


@dataclass(frozen=True)
class VerifyRM:
    """A model of correctness around an encoder of text.

    Args:
        model: the reward model, whose values are log-odds of being right.
    """

    model: RewardModel

    @classmethod
    def make(cls, backbone: Any, head: Any = "scalar", **options: Any) -> VerifyRM:
        """A new one.

        Args:
            backbone: an encoder of text, or its spec (`{"type": "text", "name": ...}`).
            head: what scores its features.
            options: of `WithReference`: `limit`, `first`, `last`, `reads_reference`.
        """
        return cls(RewardModel.make(WithReference(backbone, **options), head))

    @classmethod
    def load(cls, directory: str | Path) -> VerifyRM:
        """One that `save` wrote."""
        return cls(RewardModel.load(directory))

    def save(self, directory: str | Path) -> VerifyRM:
        """Write it, with the rule by which texts are cut."""
        return VerifyRM(self.model.save(directory))

    def fit(self, triples: RatingData | Iterable[Mapping[str, Any]], **options: Any) -> FitResult:
        """Fit to labelled triples by cross-entropy, in place.

        Args:
            triples: ratings of trajectories, such as `HybridAnnotator` keeps; or mappings with question, reference,
                completion and label (1 right, 0 wrong).
            options: of `rewardlab.fit`.

        There is a warning where more than half of the questions hold their own reference.
        """
        data = triples if isinstance(triples, RatingData) else as_ratings(triples)
        _warn_of_leaks(data)
        return fit(self.model, data, **{"loss": CorrectnessLoss(), "normalise": False, **options})

    def score(
        self, question: str | Sequence[str], reference: Any, completion: str | Sequence[str]
    ) -> float | NDArray[np.float64]:
        """The probability that a completion is right, or one for each of several.

        Args:
            question, reference, completion: one of each, or as many of each. A list beside one question is a list of
                acceptable references.

        Raises:
            ValueError: their numbers differ, or one cannot be read; the message says why.
        """
        single = isinstance(question, str)
        columns = (
            [[question], [reference], [completion]] if single else [list(question), list(reference), list(completion)]
        )
        if len({len(column) for column in columns}) > 1:
            raise ValueError(
                f"there must be as many questions as references and completions, got "
                f"{', '.join(str(len(one)) for one in columns)}"
            )
        scores = self.reward()([triple(*row) for row in zip(*columns, strict=True)])
        if not scores.scored.all():
            broken = int(np.flatnonzero(~scores.scored)[0])
            raise ValueError(f"row {broken} cannot be scored: {scores.note(broken)}")
        return float(scores.values[0]) if single else scores.values

    def reward(self, *, hard: bool = False) -> Squash:
        """This model as a reward in [0, 1]: the probability, or with `hard` 1 from probability 0.5 on."""
        return Squash(reward=self.model, threshold=0.5 if hard else None)


def _warn_of_leaks(data: RatingData) -> None:
    """A question that gives its answer away teaches nothing about comparing, and policies learn to copy from it."""
    leaks = 0
    for item in data.items:
        asked = "\n".join(message_text(message) for message in item.observations[0]) if item.is_chat else ""
        given = item.reference if isinstance(item.reference, (list, tuple)) else [item.reference]
        leaks += any(one is not None and re.search(rf"(?<!\w){re.escape(str(one))}(?!\w)", asked) for one in given)
    if leaks > len(data.items) / 2:
        warnings.warn(
            f"{leaks} of {len(data.items)} questions hold their own reference answer as a word of its own; make sure that "
            "the prompts do not give it away",
            stacklevel=3,
        )


def triple(question: str, reference: Any, completion: str) -> Trajectory:
    """A question with its reference and a completion, as a trajectory."""
    return Trajectory.from_text(question, completion, reference=reference)


def as_ratings(triples: Iterable[Mapping[str, Any]]) -> RatingData:
    """Labelled triples as ratings.

    Raises:
        ValueError: a row lacks one of question, reference, completion and label, or its label lies outside [0, 1].
    """
    items, labels = [], []
    for row, one in enumerate(triples):
        missing = [name for name in ("question", "reference", "completion", "label") if name not in one]
        if missing:
            raise ValueError(
                f"row {row} has no {missing[0]!r}; a triple has question, reference, completion and label, got the keys "
                f"{', '.join(map(str, one)) or '(none)'}"
            )
        label = float(one["label"])
        if not 0.0 <= label <= 1.0:
            raise ValueError(f"row {row} has the label {label}, expected 1 for right, 0 for wrong, or a probability")
        items.append(triple(one["question"], one["reference"], one["completion"]))
        labels.append(label)
    return RatingData(items=items, item=np.arange(len(items)), value=np.array(labels))
