"""What an agent can choose on the bench: preparations and models, with the ranges of their options and what they cost.

Ranges bound how long a fit can take, so that no choice of an agent ever hangs the process. Costs are the simulated clock's:
seconds on an imagined slow machine, in the order of what the methods really need, and the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rewardlab.registry import nearest

Value = float | int | str


class PipelineError(ValueError):
    """A pipeline that cannot be built; the text is written for the agent to read."""


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric option in [low, high]; `whole` for integers."""

    low: float
    high: float
    whole: bool = False

    def check(self, name: str, value: Any) -> Value:
        """The value, or an error in words."""
        wanted = f"a {'whole ' if self.whole else ''}number from {self.low:g} to {self.high:g}"
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            raise PipelineError(f"{name} must be {wanted}, got {value!r:.40}")
        if self.whole and value != int(value):
            raise PipelineError(f"{name} must be {wanted}, got {value!r:.40}")
        return int(value) if self.whole else float(value)


@dataclass(frozen=True, slots=True)
class Choice:
    """An option with a few words to choose from."""

    words: tuple[str, ...]

    def check(self, name: str, value: Any) -> Value:
        """The value, or an error in words."""
        if not isinstance(value, str) or value not in self.words:
            raise PipelineError(f"{name} must be one of {', '.join(self.words)}, got {value!r:.40}")
        return value


@dataclass(frozen=True, slots=True)
class Part:
    """A preparation or a model.

    Args:
        classifier: module and class in scikit-learn, for classifications.
        regressor: for regressions; None where there is none, `same` as the classifier for preparations.
        options: name -> what it may be.
        seconds: base of the simulated cost.
        per_thousand: simulated seconds for a thousand rows; times the rows (and see `cost`).
        grows: options whose value multiplies the cost, with the value at which the factor is 1.
        seeded: whether it takes a `random_state`.
        fixed: options that are always set.
    """

    classifier: tuple[str, str] | None
    regressor: tuple[str, str] | None
    options: dict[str, Number | Choice]
    seconds: float
    per_thousand: float
    grows: tuple[tuple[str, float], ...] = ()
    seeded: bool = False
    fixed: tuple[tuple[str, Any], ...] = ()

    def cost(self, rows: int, columns: int, options: dict[str, Value]) -> float:
        """Simulated seconds to fit it on so many rows and columns."""
        factor = 1.0
        for name, unit in self.grows:
            factor *= float(options.get(name, unit)) / unit
        return self.seconds * factor + self.per_thousand * rows / 1000 * (1 + columns / 32) * factor


def _same(module: str, name: str) -> dict[str, Any]:
    return {"classifier": (module, name), "regressor": (module, name)}


PREPARATIONS: dict[str, Part] = {
    "standardise": Part(**_same("preprocessing", "StandardScaler"), options={}, seconds=0.1, per_thousand=0.1),
    "min_max": Part(**_same("preprocessing", "MinMaxScaler"), options={}, seconds=0.1, per_thousand=0.1),
    "robust": Part(**_same("preprocessing", "RobustScaler"), options={}, seconds=0.2, per_thousand=0.2),
    "normal_scores": Part(
        **_same("preprocessing", "QuantileTransformer"), options={}, seconds=0.5, per_thousand=1.0, seeded=True,
        fixed=(("output_distribution", "normal"), ("n_quantiles", 10)),
    ),
    "polynomial": Part(
        **_same("preprocessing", "PolynomialFeatures"), options={}, seconds=1.0, per_thousand=4.0,
        fixed=(("degree", 2), ("include_bias", False)),
    ),
    "principal_components": Part(
        **_same("decomposition", "PCA"), options={"n_components": Number(1, 64, whole=True)}, seconds=0.5,
        per_thousand=1.0, seeded=True,
    ),
    "select": Part(
        ("feature_selection", "SelectKBest"), ("feature_selection", "SelectKBest"),
        options={"k": Number(1, 64, whole=True)}, seconds=0.3, per_thousand=0.5,
    ),
}  # fmt: skip
"""Steps before the model, by name."""

MODELS: dict[str, Part] = {
    "dummy": Part(("dummy", "DummyClassifier"), ("dummy", "DummyRegressor"), {}, seconds=0.1, per_thousand=0.0),
    "naive_bayes": Part(("naive_bayes", "GaussianNB"), None, {}, seconds=0.5, per_thousand=0.5),
    "linear": Part(
        ("linear_model", "LogisticRegression"), ("linear_model", "Ridge"),
        {"strength": Number(1e-4, 1e4)}, seconds=1.0, per_thousand=2.0,
    ),
    "neighbours": Part(
        ("neighbors", "KNeighborsClassifier"), ("neighbors", "KNeighborsRegressor"),
        {"n_neighbors": Number(1, 50, whole=True), "weights": Choice(("uniform", "distance"))},
        seconds=0.8, per_thousand=3.0,
    ),
    "tree": Part(
        ("tree", "DecisionTreeClassifier"), ("tree", "DecisionTreeRegressor"),
        {"max_depth": Number(1, 20, whole=True)}, seconds=0.7, per_thousand=1.5, seeded=True,
    ),
    "support_vectors": Part(
        ("svm", "SVC"), ("svm", "SVR"),
        {"C": Number(1e-3, 1e3), "kernel": Choice(("rbf", "linear", "poly"))}, seconds=3.0, per_thousand=8.0,
    ),
    "forest": Part(
        ("ensemble", "RandomForestClassifier"), ("ensemble", "RandomForestRegressor"),
        {"n_estimators": Number(5, 200, whole=True), "max_depth": Number(1, 20, whole=True)},
        seconds=8.0, per_thousand=10.0, grows=(("n_estimators", 100.0),), seeded=True,
    ),
    "extra_trees": Part(
        ("ensemble", "ExtraTreesClassifier"), ("ensemble", "ExtraTreesRegressor"),
        {"n_estimators": Number(5, 200, whole=True), "max_depth": Number(1, 20, whole=True)},
        seconds=5.0, per_thousand=6.0, grows=(("n_estimators", 100.0),), seeded=True,
    ),
    "boosting": Part(
        ("ensemble", "GradientBoostingClassifier"), ("ensemble", "GradientBoostingRegressor"),
        {
            "n_estimators": Number(5, 100, whole=True), "max_depth": Number(1, 4, whole=True),
            "learning_rate": Number(0.01, 1.0),
        },
        seconds=20.0, per_thousand=30.0, grows=(("n_estimators", 50.0),), seeded=True, fixed=(("max_features", "sqrt"),),
    ),
}  # fmt: skip
"""Models by name. `strength` of the linear model is the strength of its penalty, in both kinds of problems."""


def part(table: dict[str, Part], what: str, name: Any) -> Part:
    """A preparation or a model by name, or an error that names the nearest."""
    if not isinstance(name, str) or name not in table:
        guess = nearest(name, table) if isinstance(name, str) else f"; there are {', '.join(table)}"
        raise PipelineError(f"there is no {what} {name!r:.40}{guess}")
    return table[name]
