"""The bench's data: scikit-learn's bundled real data sets, and how a task's rows are drawn from them.

A task is a data set, a metric and the number of a split. The number decides which rows are for training, validation and the
hidden test, and a hash of all three decides whether the task itself belongs to the train or the test tasks.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require

Kind = Literal["classification", "regression"]

SPLIT_NUMBERS = 100_000
"""How many splits of each data set there are."""
SHARES = (0.5, 0.25)
"""Shares of the rows for training and for validation; the rest is the hidden test."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """What is known of a data set without loading it.

    Args:
        kind: what is predicted.
        rows: how many there are.
        columns: of features.
        targets: what can be asked for; linnerud has three, the others one.
    """

    kind: Kind
    rows: int
    columns: int
    targets: tuple[str, ...]


DATA_SETS: dict[str, DataSet] = {
    "iris": DataSet("classification", 150, 4, ("species",)),
    "wine": DataSet("classification", 178, 13, ("cultivar",)),
    "breast_cancer": DataSet("classification", 569, 30, ("diagnosis",)),
    "digits": DataSet("classification", 1797, 64, ("digit",)),
    "diabetes": DataSet("regression", 442, 10, ("progression",)),
    "linnerud": DataSet("regression", 20, 3, ("Weight", "Waist", "Pulse")),
}
"""All six are real measurements that ship with scikit-learn, so that nothing is downloaded."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Which rows, which target, which metric: all that makes a task of the bench."""

    data_set: str
    metric: str
    number: int
    target: str

    @property
    def key(self) -> str:
        """The name that decides the split, and from which all chance of the task derives."""
        return f"{self.data_set}/{self.target}/{self.metric}/{self.number}"

    @property
    def split(self) -> str:
        """`train` or `test`: one task in four is a test task, whatever the seed it was drawn with."""
        return "test" if hashlib.sha256(self.key.encode()).digest()[0] % 4 == 0 else "train"

    def to_json(self) -> dict[str, Any]:
        """As it stands in a task's metadata."""
        return {"data_set": self.data_set, "metric": self.metric, "number": self.number, "target": self.target}


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a problem.

    Args:
        train, valid, test: float64[row, column] features.
        train_target, valid_target, test_target: int64[row] classes or float64[row] numbers. The last is never shown.
        names: of the columns.
        classes: how many; 0 for a regression.
    """

    train: NDArray[np.float64]
    valid: NDArray[np.float64]
    test: NDArray[np.float64]
    train_target: NDArray[Any]
    valid_target: NDArray[Any]
    test_target: NDArray[Any]
    names: tuple[str, ...]
    classes: int


def sklearn(module: str) -> Any:
    """A module of scikit-learn, or an error that names the extra."""
    return require(f"sklearn.{module}", extra="sklearn", why="The model bench")


@lru_cache(maxsize=8)
def _whole(data_set: str) -> tuple[NDArray[np.float64], NDArray[Any], tuple[str, ...]]:
    loaded = getattr(sklearn("datasets"), f"load_{data_set}")()
    return np.asarray(loaded.data, dtype=np.float64), np.asarray(loaded.target), tuple(map(str, loaded.feature_names))


@lru_cache(maxsize=64)
def rows_of(problem: Problem) -> Rows:
    """Load a data set and draw the rows of a problem; classes keep their shares in every part."""
    features, target, names = _whole(problem.data_set)
    known = DATA_SETS[problem.data_set]
    if target.ndim == 2:
        target = target[:, known.targets.index(problem.target)]
    draw = np.random.default_rng(list(hashlib.sha256(f"rows/{problem.key}".encode()).digest()))
    classes = int(target.max()) + 1 if known.kind == "classification" else 0
    strata = [np.flatnonzero(target == label) for label in range(classes)] or [np.arange(target.size)]
    parts: list[list[NDArray[np.intp]]] = [[], [], []]
    for stratum in strata:
        order = draw.permutation(stratum)
        first = round(SHARES[0] * order.size)
        second = first + round(SHARES[1] * order.size)
        for part, chosen in zip(parts, np.split(order, [first, second]), strict=True):
            part.append(chosen)
    train, valid, test = (draw.permutation(np.concatenate(part)) for part in parts)
    return Rows(
        train=features[train],
        valid=features[valid],
        test=features[test],
        train_target=target[train],
        valid_target=target[valid],
        test_target=target[test],
        names=names,
        classes=classes,
    )
