"""How sure a set of comparisons is of each of its pairs, by the votes of several reward models, and what to do about it.

Wang et al. 2024, "Secrets of RLHF in Large Language Models Part II: Reward Modeling" (arXiv 2401.06080), section 2. Several
models are trained on the same comparisons; the mean over the models of `score(chosen) - score(rejected)` is the strength of
a pair. Pairs of negative strength are mostly mislabelled; `rewardlab.learning.pair_loss` says what can be done about them.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.learning.data import PreferenceData

if TYPE_CHECKING:
    from rewardlab.rewards.models.model import RewardModel
    from rewardlab.types import Trajectory

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
_log = logging.getLogger(__name__)

MEMORISED_ACCURACY = 0.99
MEMORISED_NEGATIVE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Strata:
    """Three parts of a set of comparisons by rank of their strength; int64[row] each, ordered by strength.

    Args:
        incorrect: the weakest, which are mostly labelled the wrong way round.
        ambiguous: those above, about which the voters do not agree.
        normal: the rest.
    """

    incorrect: Rows
    ambiguous: Rows
    normal: Rows


@dataclass(frozen=True, kw_only=True)
class StrengthReport:
    """The votes on every comparison.

    Args:
        scores_chosen, scores_rejected: float64[row, voter].
        data: the comparisons themselves, where they are known.
        standardise: whether the differences of every voter are divided by their own deviation before they are averaged,
            because voters differ in scale.
        out_of_fold: whether each row was scored by voters that had not been fitted to it.
        voters: the ensemble that voted, a reward model of its own; None where nothing was trained or folds were.
    """

    scores_chosen: Floats
    scores_rejected: Floats
    data: PreferenceData | None = None
    standardise: bool = False
    out_of_fold: bool = False
    voters: RewardModel | None = None

    def __post_init__(self) -> None:
        chosen, rejected = (np.asarray(one, dtype=np.float64) for one in (self.scores_chosen, self.scores_rejected))
        if chosen.shape != rejected.shape or chosen.ndim != 2:
            raise ValueError(
                f"scores must be two arrays of one shape [row, voter], got {chosen.shape} and {rejected.shape}; write one "
                "list of scores per pair and side"
            )
        if chosen.shape[1] < 2:
            raise ValueError(
                f"a strength needs at least 2 voters, got {chosen.shape[1]}: the deviation of one vote is not defined; "
                "train more models"
            )
        wrong = np.flatnonzero(~(np.isfinite(chosen) & np.isfinite(rejected)).all(axis=1))
        if wrong.size:
            raise ValueError(
                f"scores must be finite numbers, got {chosen[wrong[0]].tolist()} and {rejected[wrong[0]].tolist()} in row "
                f"{wrong[0]} ({wrong.size} such rows); remove these rows or score them again"
            )
        if self.data is not None and len(self.data) != len(chosen):
            raise ValueError(
                f"there are scores for {len(chosen)} pairs, and {len(self.data)} pairs; they must be the same"
            )
        object.__setattr__(self, "scores_chosen", chosen)
        object.__setattr__(self, "scores_rejected", rejected)

    @classmethod
    def from_scores(
        cls,
        scores_chosen: ArrayLike,
        scores_rejected: ArrayLike,
        data: PreferenceData | None = None,
        *,
        standardise: bool = False,
    ) -> StrengthReport:
        """The report of scores that somebody has already, without training anything.

        Args:
            scores_chosen, scores_rejected: float[row, voter].
            data: the comparisons, in the same order.
            standardise: see the class.

        Raises:
            ValueError: other shapes, fewer than two voters, or a score that is not finite.
        """
        return cls(
            scores_chosen=np.asarray(scores_chosen, np.float64),
            scores_rejected=np.asarray(scores_rejected, np.float64),
            data=data,
            standardise=standardise,
            out_of_fold=True,
        )

    def __len__(self) -> int:
        return len(self.scores_chosen)

    @property
    def differences(self) -> Floats:
        """float64[row, voter]: score of the chosen minus that of the rejected."""
        raw = self.scores_chosen - self.scores_rejected
        if not self.standardise:
            return raw
        scale = raw.std(axis=0)
        if (scale == 0).any():
            raise ValueError(
                f"voter {int(np.flatnonzero(scale == 0)[0])} gives every pair the same difference, so that it has no scale; "
                "leave it out, or use standardise=False"
            )
        return np.asarray(raw / scale)

    @property
    def mean(self) -> Floats:
        """float64[row], the strength; negative where the voters would turn the label round."""
        return np.asarray(self.differences.mean(axis=1))

    @property
    def std(self) -> Floats:
        """float64[row], deviation between the voters (of the population: divided by their number)."""
        return np.asarray(self.differences.std(axis=1))

    @property
    def voter_accuracy(self) -> Floats:
        """float64[voter], share of the pairs whose label the voter agrees with."""
        return np.asarray((self.differences > 0).mean(axis=0))

    def strata(self, quantiles: tuple[float, float] = (0.2, 0.4)) -> Strata:
        """The weakest pairs, those above them, and the rest, by rank.

        Args:
            quantiles: where the first and the second part end.

        Raises:
            ValueError: quantiles that do not increase or do not lie between 0 and 1, or a part without pairs.
        """
        if len(quantiles) != 2 or not 0 < quantiles[0] < quantiles[1] < 1:
            raise ValueError(
                f"quantiles must be two increasing numbers between 0 and 1, got {tuple(quantiles)}; the paper has (0.2, 0.4)"
            )
        order = np.argsort(self.mean, kind="stable")
        low, high = (round(share * len(order)) for share in quantiles)
        parts = {"incorrect": order[:low], "ambiguous": order[low:high], "normal": order[high:]}
        empty = [name for name, rows in parts.items() if not rows.size]
        if empty:
            raise ValueError(
                f"the part {empty[0]!r} would be empty: {len(order)} pairs are too few for the quantiles {tuple(quantiles)}"
            )
        return Strata(**parts)

    def deciles(self, parts: int = 10) -> list[Rows]:
        """The pairs in equal parts by rank, the weakest first."""
        return list(np.array_split(np.argsort(self.mean, kind="stable"), parts))

    def to_dataset(self) -> PreferenceData:
        """The comparisons with their strength, and its deviation in the metadata.

        Raises:
            ValueError: the report was made from scores alone.
        """
        data = self.needs_data()
        told = data.metadata or [{} for _ in range(len(data))]
        means, deviations = self.mean, self.std
        noted = [
            {**row, "strength_mean": float(mean), "strength_std": float(deviation)}
            for row, mean, deviation in zip(told, means, deviations, strict=True)
        ]
        return replace(data, strength=means, metadata=noted)

    def needs_data(self) -> PreferenceData:
        """The comparisons.

        Raises:
            ValueError: the report was made from scores alone.
        """
        if self.data is None:
            raise ValueError("this report holds scores alone; give from_scores the comparisons too, with data=")
        return self.data

    def check(self) -> list[str]:
        """What makes the strengths doubtful: voters that have learned their own training data by heart."""
        if self.out_of_fold:
            return []
        found = []
        accuracy = float(self.voter_accuracy.mean())
        negative = float((self.mean < 0).mean())
        if accuracy > MEMORISED_ACCURACY:
            found.append(f"the voters agree with {accuracy:.1%} of the labels that they were trained on")
        if negative < MEMORISED_NEGATIVE:
            found.append(f"only {negative:.1%} of the pairs have a negative strength")
        return found


@dataclass(frozen=True, kw_only=True)
class PreferenceStrength:
    """Trains voters on a set of comparisons and asks each of them about every pair.

    Args:
        make: a new, unfitted model for the number of a voter (its seed).
        voters: how many; the paper takes 10.
        epochs: how long each is trained. Voters that know their data by heart find nothing.
        cross_fit: train on some folds of the prompts and ask about the others; costs `folds` times as much.
        folds: how many.
        standardise: see `StrengthReport`.
        seed: of the order of the data.
        options: anything else that `fit_ensemble` takes.
    """

    make: Callable[[int], RewardModel]
    voters: int = 10
    epochs: float = 3.0
    cross_fit: bool = False
    folds: int = 2
    standardise: bool = False
    seed: int = 0
    options: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.voters < 2:
            raise ValueError(
                f"a strength needs at least 2 voters, got {self.voters}: the deviation of one vote is not defined"
            )
        if self.folds < 2:
            raise ValueError(f"cross-fitting needs at least 2 folds, got {self.folds}")

    def fit(self, data: PreferenceData) -> StrengthReport:
        """Train the voters and let them vote.

        Args:
            data: the comparisons.

        Raises:
            ValueError: no comparisons, or one of a response with itself.
        """
        if not len(data):
            raise ValueError("there are no comparisons to estimate strengths of")
        refuse_equal(data)
        chosen, rejected = np.where(data.label >= 0.5, [data.first, data.second], [data.second, data.first])
        scores = np.full((len(data.items), self.voters), np.nan)
        values_of_row = [np.empty((len(data), self.voters)) for _ in range(2)]
        for training, asked in self._folds(data):
            used = np.unique(np.concatenate([chosen[asked], rejected[asked]]))
            ensemble = self._train(data.select(training).without_unused_items())
            scores[used] = _votes(ensemble, [data.items[one] for one in used])
            for place, side in enumerate((chosen, rejected)):
                values_of_row[place][asked] = scores[side[asked]]
        report = StrengthReport(
            scores_chosen=values_of_row[0],
            scores_rejected=values_of_row[1],
            data=data,
            standardise=self.standardise,
            out_of_fold=self.cross_fit,
            voters=None if self.cross_fit else ensemble,
        )
        if self.standardise:
            _log.info("differences of every voter were divided by their own deviation before averaging")
        if doubts := report.check():
            warnings.warn(
                f"the strengths say little: {' and '.join(doubts)}. Train the voters for fewer epochs, or ask about pairs "
                "they have not seen with cross_fit=True",
                stacklevel=2,
            )
        return report

    def _folds(self, data: PreferenceData) -> list[tuple[Rows, Rows]]:
        rows = np.arange(len(data))
        if not self.cross_fit:
            return [(rows, rows)]
        names, fold_of_prompt = np.unique(data.prompts(), return_inverse=True)
        if len(names) < self.folds:
            raise ValueError(f"{len(names)} prompts cannot be cut into {self.folds} folds; use fewer folds")
        drawn = np.random.default_rng(self.seed).permutation(len(names)) % self.folds
        fold = drawn[fold_of_prompt]
        return [(rows[fold != part], rows[fold == part]) for part in range(self.folds)]

    def _train(self, data: PreferenceData) -> RewardModel:
        from rewardlab.learning.ensembles import fit_ensemble

        return fit_ensemble(self.make, data, self.voters, epochs=self.epochs, seed=self.seed, **(self.options or {}))


def refuse_equal(data: PreferenceData) -> None:
    """Refuse comparisons of a response with itself.

    Raises:
        ValueError: chosen and rejected are the same, in which row.
    """
    same = data.first == data.second
    for row in np.flatnonzero(~same):
        same[row] = same_item(data.items[data.first[row]], data.items[data.second[row]])
    if same.any():
        raise ValueError(
            f"chosen and rejected are the same in row {int(np.flatnonzero(same)[0])} ({int(same.sum())} such rows): nothing "
            "can be learned from them; leave them out"
        )


def same_item(first: Trajectory, second: Trajectory) -> bool:
    """Whether two responses say the same: the messages of chats, the arrays of anything else."""
    if first.is_chat and second.is_chat:
        return bool(first.messages == second.messages)
    return all(
        np.array_equal(np.asarray(getattr(first, name)), np.asarray(getattr(second, name)))
        for name in ("observations", "actions")
    )


def _votes(ensemble: RewardModel, items: Sequence[Trajectory]) -> Floats:
    from rewardlab.learning.ensembles import member_values

    return member_values(ensemble, items)
