"""The scripted agent of the bench: a quick model, a careful one, a slow one, and the best of them is submitted."""

from __future__ import annotations

import re
from typing import Any

from rewardlab.environments.model_bench.data import DATA_SETS, Problem
from rewardlab.environments.model_bench.metrics import METRICS
from rewardlab.types import Message, call_message, message_text

_FOUND = re.compile(r"validation \w+ (-?[\d.]+)")

PLANS: dict[str, list[dict[str, Any]]] = {
    "classification": [
        {"model": "linear", "preparation": ["standardise"]},
        {"model": "support_vectors", "preparation": ["standardise"], "options": {"C": 3}},
        {"model": "extra_trees", "options": {"n_estimators": 60}},
    ],
    "regression": [
        {"model": "linear", "preparation": ["standardise"], "options": {"strength": 3}},
        {"model": "neighbours", "preparation": ["standardise"], "options": {"n_neighbors": 5}},
        {"model": "forest", "options": {"n_estimators": 50, "max_depth": 5}},
    ],
}
"""What it fits, in this order."""

PROGRAM = """\
import numpy as np
from sklearn.{module} import {model}
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

train = np.loadtxt("train.csv", delimiter=",", skiprows=1)
test = np.loadtxt("test.csv", delimiter=",", skiprows=1)
model = make_pipeline(StandardScaler(), {model}())
model.fit(train[:, :-1], train[:, -1])
predictions = model.predict(test)
print(len(predictions), "predictions")
np.savetxt("submission.csv", predictions, fmt="%.6g")
"""
"""What it runs where only programs are allowed."""


class Demonstrator:
    """Acts by the script: given the conversation so far, writes the next message.

    Args:
        problem: what is worked on.
        programs: run a program, and do not fit pipelines.
    """

    def __init__(self, problem: Problem, *, programs: bool = False) -> None:
        kind = DATA_SETS[problem.data_set].kind
        self._tool, self._plans = "fit", PLANS[kind]
        if programs:
            module, model = ("svm", "SVC") if kind == "classification" else ("linear_model", "Ridge")
            code = PROGRAM.replace("{module}", module).replace("{model}", model)
            self._tool, self._plans = "program", [{"code": code}]
        self._sign = 1.0 if METRICS[problem.metric].higher else -1.0

    def __call__(self, conversation: list[Message]) -> Message:
        """The next assistant message: a call, or the number of the best run."""
        told = [message_text(message) for message in conversation if message["role"] == "tool"]
        if len(told) < len(self._plans):
            return call_message(self._tool, self._plans[len(told)], identity=f"call_{len(told) + 1}")
        found = [_FOUND.search(text) for text in told]
        values = [self._sign * float(one[1]) if one else float("-inf") for one in found]
        return {"role": "assistant", "content": f"run {values.index(max(values)) + 1}"}
