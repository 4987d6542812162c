"""The model bench: machine-learning tasks on scikit-learn's bundled real data sets, whose actions take variable time.

`data` draws a task's rows, `catalogue` says what can be chosen and what it costs, `pipelines` fits declarative pipelines,
`programs` runs code in the sandbox, `clock` counts seconds, `posing` words the tasks, `environment` puts them together,
`metrics` and `reward` judge.
"""

from __future__ import annotations

from rewardlab.environments.model_bench.catalogue import MODELS, PREPARATIONS, PipelineError
from rewardlab.environments.model_bench.data import DATA_SETS, Problem
from rewardlab.environments.model_bench.environment import ModelBench
from rewardlab.environments.model_bench.metrics import METRICS, percentile, scaled
from rewardlab.environments.model_bench.pipelines import STAGES, Pipeline, fit_pipeline, read_pipeline
from rewardlab.environments.model_bench.posing import problem_of
from rewardlab.environments.model_bench.reward import ModelBenchScore

__all__ = [
    "DATA_SETS",
    "METRICS",
    "MODELS",
    "PREPARATIONS",
    "STAGES",
    "ModelBench",
    "ModelBenchScore",
    "Pipeline",
    "PipelineError",
    "Problem",
    "fit_pipeline",
    "percentile",
    "problem_of",
    "read_pipeline",
    "scaled",
]
