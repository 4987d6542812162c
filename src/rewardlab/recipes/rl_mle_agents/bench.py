"""The system on the model bench: a trainer built from the library's parts, a tiny policy, and the bench as a table."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from rewardlab.environments.model_bench import (
    DATA_SETS,
    METRICS,
    ModelBench,
    ModelBenchScore,
    Problem,
    fit_pipeline,
    read_pipeline,
    scaled,
)
from rewardlab.environments.model_bench.pipelines import dummy_of
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.rollout import Limits, rollout
from rewardlab.recipes.pieces import piece_policy
from rewardlab.recipes.rl_mle_agents.choices import Choices
from rewardlab.rewards.verifiers.milestones import PartialCredit, RegexMilestones
from rewardlab.training.asynchronous import AsyncLoop
from rewardlab.training.credit.duration import DurationAware, Weight
from rewardlab.training.loop import Trainer
from rewardlab.training.objectives.policy_gradient import GRPO
from rewardlab.training.self_improvement import SelfImprove
from rewardlab.training.warm_start import WarmStart
from rewardlab.types import Task, Trajectory

ACTORS, WINDOW = 16, 60.0

TRIED: tuple[dict[str, Any], ...] = (
    {"model": "linear", "preparation": ["standardise"]},
    {"model": "neighbours", "preparation": ["standardise"]},
    {"model": "support_vectors", "preparation": ["standardise"]},
    {"model": "extra_trees", "options": {"n_estimators": 100}},
    {"model": "forest", "options": {"n_estimators": 150}},
    {"model": "boosting", "options": {"n_estimators": 60}},
)
"""Pipelines of the bench that are valid for every kind of problem, from quick to slow."""


def mle_reward(*, fail: float = -10.0, **options: Any) -> PartialCredit:
    """The paper's scale on the bench: the held-out score from -1 to 1, or -10 and .1 for each milestone."""
    return PartialCredit(outcome=ModelBenchScore(), milestones=RegexMilestones(), fail=fail, **options)


def mle_trainer(
    policy: Any,
    tasks: Sequence[Task],
    *,
    environment: Any = ModelBench,
    reward: Any = None,
    weight: Weight | None = "cutoff",
    window: float = WINDOW,
    actors: int = ACTORS,
    unfinished: Any = "drop",
    longest: float | None = None,
    improve: float = 0.5,
    **options: Any,
) -> Trainer:
    """The whole system: windows on a clock, partial credit, duration-aware credit and self-improvement prompts.

    Args:
        policy: what acts.
        tasks: of the bench.
        environment: a factory of it, or of an `Instrumented` one.
        reward: `mle_reward()` unless another is given.
        weight: of `DurationAware`; None for plain advantages over the batch.
        window, actors, unfinished: of `AsyncLoop`.
        longest: of `DurationAware`, for weight "cutoff".
        improve: how often an earlier solution is shown; 0 for never.
        options: others of `Trainer`.
    """
    count = options.pop("tasks_per_step", min(8, len(tasks)))
    base = {"type": "batch", "scale": "std"}
    given: dict[str, Any] = {
        "objective": GRPO(learning_rate=1e-5),
        "credit": base if weight is None else DurationAware(base=base, weight=weight, longest=longest),
        "curriculum": SelfImprove(tasks=tasks, count=count, p=improve, seed=options.get("seed", 0)),
        "rollout": AsyncLoop(actors=actors, window=window, unfinished=unfinished),
        "group_size": 1,
    }
    return Trainer(policy=policy, environment=environment, reward=reward or mle_reward(), **{**given, **options})


# ---- a tiny policy that writes pipelines ---------------------------------------------------------------------------------

_NAMES = (
    "linear",
    "neighbours",
    "support_vectors",
    "tree",
    "naive_bayes",
    "extra_trees",
    "linnear",
    "xgboost",
    "deep_net",
)
_STEPS = ("standardise", "robust", "principal_components", "normalize", "polynomial")
_OPEN, _MODEL, _CLOSE = '{"preparation": [', '], "model": ', "}"
TERSE_BENCH = functools.partial(
    ModelBench, data_sets=("iris", "wine", "breast_cancer"), metrics=("accuracy",), terse=True, show_tools=False
)
"""A bench whose prompts a tiny policy can read."""


def bench_pieces() -> list[str]:
    """What the tokens of the tiny policy stand for: prompts, and pipelines as JSON, some with names that do not exist."""
    names = [f'"{name}"' for name in dict.fromkeys((*_NAMES, *_STEPS))]
    prompts = [f"{name} {DATA_SETS[name].targets[0]} accuracy" for name in ("iris", "wine", "breast_cancer")]
    return [_OPEN, _MODEL, _CLOSE, *names, *prompts]


def bench_policy(seed: int = 0) -> LanguageModelPolicy:
    """A transformer of some ten thousand weights that reads and writes these pieces; it knows nothing yet."""
    return piece_policy(bench_pieces(), hidden=32, layers=1, heads=2, context=32, seed=seed)


def bench_drafts(tasks: Sequence[Task], count: int, seed: int = 0) -> list[Trajectory]:
    """Drafts to warm the tiny policy up on: pipelines of the right form with names drawn at random, many of them wrong."""
    draw = np.random.default_rng([seed, 5])
    drafts: list[Trajectory] = []
    for place in range(count):
        task = tasks[place % len(tasks)]
        text = f'{_OPEN}"{draw.choice(_STEPS)}"{_MODEL}"{draw.choice(_NAMES)}"{_CLOSE}'
        messages = [*(task.prompt or []), {"role": "assistant", "content": text}]
        drafts.append(Trajectory.from_messages(messages, task=task, terminated=True))
    return drafts


SHORT: dict[str, Any] = {"sampling": Sampling(max_new_tokens=8), "limits": Limits(turns=1, step_seconds=None)}
"""Options of a rollout with the tiny policy: one message, which is the pipeline."""


def bench_run(
    seed: int,
    weight: Weight | None,
    updates: int = 20,
    warm: int = 60,
    held_out: int = 6,
    window: float = 30.0,
) -> tuple[float, float]:
    """Train the tiny policy on the bench with partial credit, and measure it on held-out tasks.

    Returns:
        Mean reward of sampled attempts at some test tasks, 16 each, before the updates and after them.
    """
    bench = TERSE_BENCH()
    tasks, others = bench.tasks("train", 6, seed), bench.tasks("test", held_out, seed)
    policy = bench_policy(seed)
    drafts = WarmStart(demonstrations=bench_drafts(tasks, 256, seed), steps=warm, batch_size=64, learning_rate=3e-3)
    for number in range(warm):
        drafts.step(policy, TERSE_BENCH, number, seed)
    start = _measured(policy, others, seed)
    mle_trainer(
        policy,
        tasks,
        environment=TERSE_BENCH,
        weight=weight,
        window=window,
        improve=0.0,
        steps=updates,
        objective=GRPO(learning_rate=3e-3),
        seed=seed,
        trackers=(),
        **SHORT,
    ).run()
    return start, _measured(policy, others, seed)


def _measured(policy: LanguageModelPolicy, tasks: Sequence[Task], seed: int) -> float:
    attempts = rollout(policy, TERSE_BENCH, tasks, group_size=16, seed=seed, **SHORT)
    return mle_reward(failed_as="penalty")(attempts).mean()


# ---- the bench as a table ------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def bench_choices(data_set: str, number: int, splits: int = 3, windows: int = 150) -> Choices:
    """The pipelines of `TRIED` on a data set as a choice among actions: real held-out scores, seconds of the bench's clock.

    Args:
        data_set: which.
        number: the first of the splits of its rows that scores are averaged over.
        splits: how many.
        windows: of the learning.
    """
    known = DATA_SETS[data_set]
    metric = next(name for name, one in METRICS.items() if one.kind == known.kind)
    problems = [Problem(data_set, metric, number + place, known.targets[0]) for place in range(splits)]
    pipelines = [read_pipeline(one) for one in TRIED]
    rewards, seconds = [], []
    for pipeline in pipelines:
        found = [(fit_pipeline(problem, pipeline).test, dummy_of(problem)) for problem in problems]
        if any(score is None for score, _ in found):
            raise ValueError(f"{pipeline.text} does not fit {data_set}; leave the data set out")
        rewards.append(float(np.mean([scaled(score or 0.0, metric, dummy=dummy) for score, dummy in found])))
        seconds.append(pipeline.cost(problems[0]))
    return Choices(
        rewards=rewards,
        seconds=seconds,
        start=[1.0, 0.5, *([0.0] * (len(rewards) - 2))],
        window=2.5 * max(seconds),
        windows=windows,
        copies=2,
    )
