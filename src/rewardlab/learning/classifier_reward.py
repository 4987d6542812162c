"""Order consistency with any classifier: each response labelled by whether it was preferred, and no pairs any more.

With a reward model, `fit(model, data, loss="classifier")` does the same by gradients. Here is the way for everything that
has `fit(inputs, labels)`: forests, boosted trees, logistic regression.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.functional.discrimination import area_under_curve
from rewardlab.learning.data import PreferenceData, prompt_key
from rewardlab.rewards.base import Reward
from rewardlab.types import Scores, Status, Trajectory

Embed = Callable[[Sequence[Trajectory]], ArrayLike]
FLAGGED = 0.6
"""Area under the curve above which prompts alone are said to predict labels; chance is .5."""


@dataclass(frozen=True, kw_only=True)
class ClassifierReward(Reward):
    """A fitted classifier as a reward: the log-odds that a response would be preferred.

    Args:
        estimator: with `predict_proba` or `decision_function`, fitted.
        embed: gives the features of trajectories, float[trajectory, feature].
        prompts_tell: how well the mean label of the other responses to a prompt predicts a label, an area under the curve;
            well above .5 the classifier is learning which prompts are easy. NaN where it cannot be told.
    """

    estimator: Any
    embed: Any
    prompts_tell: float = float("nan")

    @property
    def deterministic(self) -> bool:
        """Fitted estimators do not change."""
        return True

    @property
    def flagged(self) -> bool:
        """Whether prompts alone predict labels, so that pairs across prompts should not be used."""
        return self.prompts_tell > FLAGGED

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        if not trajectories:
            return Scores(values=np.zeros(0), status=np.zeros(0, np.int8))
        values = log_odds(self.estimator, _features(self.embed, trajectories))
        good = np.isfinite(values)
        status = np.where(good, np.int8(Status.SCORED), np.int8(Status.FAILED))
        notes = None if good.all() else [None if one else "the classifier gave no finite number" for one in good]
        return Scores(values=np.where(good, values, np.nan), status=status, notes=notes)


def fit_classifier(preferences: PreferenceData, estimator: Any, embed: Embed | None = None) -> ClassifierReward:
    """Fit a classifier of single responses to comparisons.

    A response in many pairs stands there once for each, and may be positive here and negative there: both are kept. Soft
    labels become two rows with weights.

    Source: Sun, Shen and Ton 2025 (ICLR 2025, arXiv 2411.04991), section 4; see `rewardlab.functional.order_consistency`.

    Args:
        preferences: comparisons.
        estimator: anything with `fit(inputs, labels)`, as in scikit-learn; it is fitted in place.
        embed: features of trajectories; None for comparisons of vectors.

    Raises:
        TypeError: the estimator cannot be fitted, or gives neither probabilities nor decisions.
        ValueError: no comparisons, only ties, or features that do not fit.
    """
    if not callable(getattr(estimator, "fit", None)):
        raise TypeError(
            f"estimator must have fit(inputs, labels), as scikit-learn's have, got a {type(estimator).__name__}"
        )
    if not any(callable(getattr(estimator, name, None)) for name in ("predict_proba", "decision_function")):
        raise TypeError(
            f"{type(estimator).__name__} has neither predict_proba nor decision_function; give a classifier"
        )
    if not len(preferences):
        raise ValueError("there are no comparisons to fit to")
    read = embed or vectors
    items, labels, weights = responses(preferences)
    if len(np.unique(labels)) < 2:
        raise ValueError("all responses have one label; a classifier needs preferred and other ones (ties say nothing)")
    inputs = _features(read, preferences.items)[items]
    if np.allclose(weights, weights[0]):
        estimator.fit(inputs, labels)
    else:
        estimator.fit(inputs, labels, sample_weight=weights)
    keys = [prompt_key(one) for one in preferences.items]
    tell = prompts_tell(labels, [keys[item] for item in items])
    return ClassifierReward(estimator=estimator, embed=read, prompts_tell=tell)


def responses(preferences: PreferenceData) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Comparisons taken apart: item, label 1 or 0 ("was preferred"), and weight of each response, both sides of a pair.

    Ties are left out; a label between 0 and 1 gives its response both labels, weighted.
    """
    label = preferences.label
    weight = np.ones(len(label)) if preferences.weight is None else preferences.weight
    items, labels, weights = [], [], []
    for side, share in ((preferences.first, label), (preferences.second, 1.0 - label)):
        for value, chance in ((1, share), (0, 1.0 - share)):
            rows = np.flatnonzero((chance > 0) & (label != 0.5))
            items.append(side[rows])
            labels.append(np.full(len(rows), value))
            weights.append((chance * weight)[rows])
    return np.concatenate(items), np.concatenate(labels), np.concatenate(weights)


def log_odds(estimator: Any, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-odds of the label 1, or the decision function where a classifier has no probabilities; float64[row]."""
    if callable(getattr(estimator, "predict_proba", None)):
        chance = np.asarray(estimator.predict_proba(inputs), np.float64)[:, 1].clip(1e-9, 1 - 1e-9)
        return np.asarray(np.log(chance) - np.log1p(-chance))
    return np.asarray(estimator.decision_function(inputs), np.float64).reshape(len(inputs))


def prompts_tell(labels: ArrayLike, prompts: Sequence[str]) -> float:
    """How well the mean label of the other responses to a prompt predicts a label, as an area under the curve.

    Inside pairs of one prompt it is at most .5: one response of each is preferred. In pairs across prompts it rises where
    prompts differ in what their responses are worth, which Bradley and Terry's model does not know.
    """
    values = np.asarray(labels, np.float64)
    _, group = np.unique(np.asarray(prompts), return_inverse=True)
    counts, sums = np.bincount(group), np.bincount(group, values)
    several = counts[group] > 1
    if not several.any():
        return float("nan")
    others = (sums[group] - values)[several] / (counts[group] - 1)[several]
    return area_under_curve(others, values[several] > 0.5)


def vectors(trajectories: Sequence[Trajectory]) -> NDArray[np.float64]:
    """The first observation of array trajectories: what comparisons of vectors hold."""
    if any(one.is_chat for one in trajectories):
        raise ValueError("these are chats; give embed, a function from trajectories to float[trajectory, feature]")
    return np.stack([np.asarray(one.observations[0], np.float64).reshape(-1) for one in trajectories])


def _features(embed: Embed, trajectories: Sequence[Trajectory]) -> NDArray[np.float64]:
    found = np.asarray(embed(trajectories), np.float64)
    if found.ndim != 2 or len(found) != len(trajectories):
        raise ValueError(f"embed must return float[{len(trajectories)}, feature], one row for each, got {found.shape}")
    return found
