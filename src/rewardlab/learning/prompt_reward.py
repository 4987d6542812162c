"""Which way of prompting will work for this query: a reward of queries and prompts from a log of trials (Prompt-OIRL).

The log says which query was asked with which prompt, and whether the answer was right. The reward is then asked in place of
the language model, so choosing among many prompts costs no call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.functional.discrimination import area_under_curve
from rewardlab.learning.classifier_reward import log_odds

Embed = Callable[[Sequence[str]], ArrayLike]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One line of a log.

    Args:
        query: what was to be answered.
        prompt: the way in which it was asked.
        right: whether the answer was right, 0 or 1.
    """

    query: str
    prompt: str
    right: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptReward:
    """How likely a prompt is to get a query answered rightly.

    Args:
        estimator: fitted to features of queries and prompts.
        embed: gives embeddings of texts, float[text, feature]; prompts that were never tried are read through it too.
        held_out: area under the curve on trials of queries that nothing was fitted to; NaN where there were none.
        certain: prompts that were always or never right in the log; they stay in the fit, and say little about queries.
    """

    estimator: Any
    embed: Embed
    held_out: float
    certain: tuple[str, ...]

    def __call__(self, queries: Sequence[str], prompts: Sequence[str]) -> Floats:
        """Log-odds of a right answer, float64[query, prompt]."""
        if not queries or not prompts:
            return np.zeros((len(queries), len(prompts)))
        asked, ways = _embedded(self.embed, queries), _embedded(self.embed, prompts)
        rows = _features(np.repeat(asked, len(ways), 0), np.tile(ways, (len(asked), 1)))
        return log_odds(self.estimator, rows).reshape(len(asked), len(ways))


def prompt_reward(
    log: Sequence[Trial], embed: Embed, estimator: Any = None, *, held_out: float = 0.2, seed: int = 0
) -> PromptReward:
    """Learn from a log of trials which prompts suit which queries.

    Source: Sun, Hüyük and van der Schaar 2024, "Query-Dependent Prompt Evaluation and Optimization with Offline Inverse RL"
    (ICLR 2024, arXiv 2309.06553).

    Args:
        log: trials.
        embed: gives embeddings of texts, float[text, feature], such as `SentenceEncoder.embed`.
        estimator: a classifier as in scikit-learn; None for a logistic regression on the embeddings and their products.
        held_out: share of the queries that it is measured on; all trials of a query are on one side. 0 measures nothing.
        seed: of the split.

    Raises:
        ValueError: an empty log, an outcome that is not 0 or 1, or all outcomes alike.
    """
    if not log:
        raise ValueError("the log is empty; give trials of queries with prompts")
    if not 0 <= held_out < 1:
        raise ValueError(f"held_out must be in [0, 1), got {held_out}")
    right = np.array([float(one.right) for one in log])
    for place in np.flatnonzero((right != 0) & (right != 1)).tolist():
        raise ValueError(f"trial {place} has right={log[place].right!r}, expected 0 or 1")
    if len(np.unique(right)) < 2:
        raise ValueError(
            f"all {len(log)} trials have the outcome {right[0]:g}; nothing tells good prompts from bad ones"
        )
    queries = sorted({one.query for one in log})
    draw = np.random.default_rng(seed)
    out = {queries[place] for place in draw.permutation(len(queries))[: round(held_out * len(queries))]}
    test = np.array([one.query in out for one in log])
    if len(np.unique(right[~test])) < 2:
        raise ValueError("too few queries are left to fit to; lower held_out, or give a longer log")
    texts = sorted({text for one in log for text in (one.query, one.prompt)})
    table = dict(zip(texts, _embedded(embed, texts), strict=True))
    inputs = _features(*(np.stack([table[getattr(one, name)] for one in log]) for name in ("query", "prompt")))
    fitted = estimator if estimator is not None else RidgeLogistic()
    fitted.fit(inputs[~test], right[~test].astype(np.int64))
    measured = area_under_curve(log_odds(fitted, inputs[test]), right[test] > 0) if test.any() else float("nan")
    by_prompt = {name: {one.right for one in log if one.prompt == name} for name in {one.prompt for one in log}}
    certain = tuple(sorted(name for name, outcomes in by_prompt.items() if len(outcomes) == 1))
    return PromptReward(estimator=fitted, embed=embed, held_out=measured, certain=certain)


def best_prompt(query: str, prompts: Sequence[str], reward: PromptReward) -> str:
    """The prompt that a query should be asked with; of equal ones the first. No language model is called.

    Raises:
        ValueError: there are no prompts.
    """
    if not prompts:
        raise ValueError("there are no prompts to choose from")
    return prompts[int(reward([query], prompts)[0].argmax())]


class RidgeLogistic:
    """Logistic regression with a ridge, by Newton's method: small, and exact to repeat.

    Args:
        ridge: how strongly weights (not the constant) are drawn to 0, after features are standardised.
    """

    def __init__(self, ridge: float = 1.0) -> None:
        self.ridge = ridge

    def fit(self, inputs: ArrayLike, labels: ArrayLike) -> RidgeLogistic:
        """Fit to float[row, feature] and labels 0 or 1."""
        rows, goal = np.asarray(inputs, np.float64), np.asarray(labels, np.float64)
        self.centre, self.scale = rows.mean(0), np.maximum(rows.std(0), 1e-9)
        held = self._standard(rows)
        penalty = self.ridge * np.eye(held.shape[1])
        penalty[-1, -1] = 1e-6
        self.weights = np.zeros(held.shape[1])
        for _ in range(30):
            chance = 1.0 / (1.0 + np.exp(-np.clip(held @ self.weights, -30, 30)))
            bend = (held * (chance * (1.0 - chance))[:, None]).T @ held + penalty
            step = np.linalg.solve(bend, held.T @ (chance - goal) + penalty @ self.weights)
            self.weights = self.weights - step
            if np.abs(step).max() < 1e-9:
                break
        return self

    def decision_function(self, inputs: ArrayLike) -> Floats:
        """Log-odds of the label 1, float64[row]."""
        return np.asarray(self._standard(np.asarray(inputs, np.float64)) @ self.weights)

    def _standard(self, rows: Floats) -> Floats:
        return np.concatenate([(rows - self.centre) / self.scale, np.ones((len(rows), 1))], axis=1)


def _features(query: Floats, prompt: Floats) -> Floats:
    """Both embeddings and their product, number by number: whether a prompt suits a query is in the product."""
    return np.concatenate([query, prompt, query * prompt], axis=1)


def _embedded(embed: Embed, texts: Sequence[str]) -> Floats:
    found = np.asarray(embed(list(texts)), np.float64)
    if found.ndim != 2 or len(found) != len(texts):
        raise ValueError(f"embed must return float[{len(texts)}, feature], one row for each text, got {found.shape}")
    return found
