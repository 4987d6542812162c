"""The heads that the tables of real preferences compare, all on the same frozen vectors, and how each is asked.

Settings are the same for all data sets. They were chosen on quarters of the training parts, never on the held-out ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from real_preferences_data import prompt_text
from sentence_vectors import WIDTH, Vectors

from rewardlab.learning import PreferenceData
from rewardlab.learning.ensembles import fit_ensemble
from rewardlab.learning.fitting import fit
from rewardlab.rewards.models.base import Context, rows_of
from rewardlab.rewards.models.encoders.prompted import prompted
from rewardlab.rewards.models.model import RewardModel

Floats = NDArray[np.float64]

SCALE = WIDTH**0.5  # the numbers of a vector of length 1 become about 1 in size, as learning rates expect
HIDDEN = 64
OPTIONS: dict[str, Any] = {
    "validation": 0.15, "epochs": 10.0, "batch_size": 64, "learning_rate": 1e-3, "weight_decay": 1.0,
}  # fmt: skip

HEADS: dict[str, dict[str, Any]] = {
    "scalar": {"type": "scalar"},
    "two layers": {"type": "two_layer", "hidden": HIDDEN},
    "mean and variance": {"type": "mean_variance", "hidden": HIDDEN},
    "quantiles": {"type": "quantile"},
    "general preference, 8": {"type": "general_preference", "dim": 8},
    "mixture of 4": {"type": "mixture", "heads": 4, "prompt_width": WIDTH, "router_hidden": 32},
}
"""Heads that are fitted one at a time; the ensemble of two-layer heads is fitted by its own function."""


def with_vectors(data: PreferenceData, vectors: Vectors, *, length: bool = False) -> PreferenceData:
    """The same comparisons over vectors: of the response, and its product with that of the prompt, number by number.

    Args:
        data: comparisons of chats.
        vectors: that hold all their texts.
        length: whether the logarithm of the response's length is one more number.
    """
    told = [item.completion for item in data.items]
    response, prompt = vectors.of(told), vectors.of([prompt_text(item) for item in data.items])
    columns = [SCALE * response, SCALE**2 * response * prompt]
    if length:
        columns.append(np.log([[len(text)] for text in told]).astype(np.float32))
    return replace(data, items=prompted(SCALE * prompt, np.concatenate(columns, axis=1)))


def fitted(name: str, data: PreferenceData, seed: int) -> RewardModel:
    """A model of one kind, fitted to comparisons over vectors."""
    encoder = {"type": "prompt_response", "prompt": WIDTH, "response": len(data.items[0].actions[0])}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "ensemble of 10, two layers":
            head = HEADS["two layers"]
            return fit_ensemble(
                lambda number: RewardModel.make(encoder, {**head, "seed": number}), data, 10, seed=seed, **OPTIONS
            )
        loss = "mixture" if name.startswith("mixture") else None
        model = RewardModel.make(encoder, {**HEADS[name], "seed": seed})
        return fit(model, data, loss=loss, seed=seed, **OPTIONS).model


def log_odds(model: RewardModel, data: PreferenceData, users: Sequence[str] | None = None, **context: Any) -> Floats:
    """Log-odds that the first of each comparison is preferred, for one user each where users are given; float64[row]."""
    head = model.network.head
    outputs = model.outputs(data.items)
    first, second = (rows_of(outputs, torch.from_numpy(side)) for side in (data.first, data.second))
    told = None
    if users is not None:
        told = Context(users=torch.tensor([head.user_index(name) for name in users]))
    elif context:
        told = Context(**context)
    with torch.no_grad():
        return np.asarray(head.eval().preference(first, second, told).double().numpy())


def right(odds: Floats, label: Floats) -> Floats:
    """1 where the log-odds have the sign of the label, 0 where they have not, 0.5 where they are 0."""
    return np.where(odds == 0, 0.5, (odds > 0) == (label > 0.5))


def length_odds(data: PreferenceData) -> Floats:
    """What "the longer one wins" says of comparisons of chats."""
    lengths = np.asarray([len(item.completion) for item in data.items], np.float64)
    return lengths[data.first] - lengths[data.second]


def logistic(data: PreferenceData, asked: PreferenceData) -> Floats:
    """What a logistic regression on the difference of the two vectors says of comparisons that it was not fitted to.

    Its ridge penalty is the one that does best on a quarter of the prompts that it is fitted on.
    """
    part, held_out = data.split(0.25, seed=0)
    scores = {}
    for strength in (1e-5, 1e-4, 1e-3, 1e-2):
        decided = held_out.label != 0.5
        odds = _regression(part, strength, held_out)
        scores[strength] = right(odds, held_out.label)[decided].mean()
    return _regression(data, max(scores, key=lambda one: scores[one]), asked)


def _regression(data: PreferenceData, strength: float, asked: PreferenceData) -> Floats:
    from sklearn.linear_model import LogisticRegression

    def differences(one: PreferenceData) -> NDArray[np.float32]:
        rows = np.asarray([item.actions[0] for item in one.items], np.float32)
        return rows[one.first] - rows[one.second]

    decided = data.label != 0.5
    sign = np.where(
        np.arange(decided.sum()) % 2, 1.0, -1.0
    )  # both classes must be there, though the better comes first
    inputs = differences(data)[decided] * sign[:, None]
    label = (data.label[decided] > 0.5) == (sign > 0)
    found = LogisticRegression(C=strength, fit_intercept=False, max_iter=500).fit(inputs, label)
    return np.asarray(differences(asked) @ found.coef_[0], np.float64)
