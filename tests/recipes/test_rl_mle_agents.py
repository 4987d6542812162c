from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import yaml

from rewardlab.environments.base import play
from rewardlab.environments.model_bench import ModelBench
from rewardlab.recipes.rl_mle_agents import (
    BENCH,
    RECIPE,
    TERSE_BENCH,
    WORLDS,
    Choices,
    Programs,
    bench_choices,
    bench_drafts,
    bench_policy,
    mle_reward,
    mle_trainer,
)
from rewardlab.recipes.rl_mle_agents.bench import SHORT
from rewardlab.recipes.rl_mle_agents.programs import MODEL, OPTIONS, PLUMBING, SLOTS
from rewardlab.training.objectives.policy_gradient import GRPO
from rewardlab.training.self_improvement import SUFFIX
from rewardlab.training.warm_start import WarmStart


def test_the_papers_weight_prefers_slow_actions_also_where_they_are_worse() -> None:
    found = {
        (world, arm): Choices(rewards=WORLDS[world], copies=2, windows=100).value(arm, "none", 100)  # type: ignore[arg-type]
        for world in ("slow best", "fast best")
        for arm in ("plain", "mean", "cutoff")
    }
    assert found["slow best", "mean"] > found["slow best", "plain"] + 0.05
    assert found["fast best", "mean"] < found["fast best", "plain"] - 0.2
    assert min(found["slow best", "cutoff"], found["fast best", "cutoff"]) > 0.9


def test_actors_that_carry_on_finish_what_they_began() -> None:
    """One slow action alone in windows that are shorter than it: lost for ever with restarts, learned from without."""
    options: dict[str, Any] = {
        "rewards": (0.0, 1.0),
        "seconds": (1.0, 30.0),
        "start": (0.0, 0.0),
        "window": 20.0,
        "copies": 2,
    }
    lost = Choices(**options, windows=60).learn("plain", "mean", 100)
    kept = Choices(**options, windows=60, restarts=False).learn("plain", "mean", 100)
    np.testing.assert_allclose(lost.sum(axis=-1), 1)
    assert lost[:, 1].mean() == pytest.approx(0.5, abs=0.1)  # nothing was ever seen of it
    assert kept[:, 1].mean() > 0.8


def test_a_program_passes_the_slots_before_its_first_wrong_one() -> None:
    world = Programs()
    right = np.zeros((4, SLOTS), dtype=np.int64)
    chosen = np.zeros((3, SLOTS), dtype=np.int64)
    chosen[1, PLUMBING[1]] = 1
    chosen[2, PLUMBING[2]] = 1
    chosen[:, MODEL] = [0, 5, 5]
    kinds = np.zeros(3, dtype=np.int64)
    passed = world._passed(kinds, chosen, right)
    assert passed.tolist() == [SLOTS, 1, 4]  # model and features are never wrong
    assert world._seconds(passed, chosen).tolist() == [1.5, 1.25, 24.0]


def test_credit_at_random_is_as_much_as_the_milestones() -> None:
    passed = np.array([0, 1, 4, SLOTS, 2])
    value, draw = np.full(5, 0.5), np.random.default_rng(0)
    world = Programs()
    sparse, milestones, permuted = (
        world._advantages(name, passed, value, draw) for name in ("sparse", "milestones", "permuted")
    )  # type: ignore[arg-type]
    assert np.unique(sparse.round(9)).size == 2
    assert (np.diff(milestones[[0, 1, 4, 2, 3]]) > 0).all()
    np.testing.assert_allclose(np.sort(milestones), np.sort(permuted))
    apart = Programs(split=True)._advantages("milestones", passed, value, draw)
    assert apart[2] - apart[0] > milestones[2] - milestones[0]  # the scale of failure no longer hides it


def test_the_start_is_as_good_as_it_says() -> None:
    draw = np.random.default_rng(0)
    right = draw.integers(OPTIONS, size=(4, SLOTS))
    world = Programs(right=0.25)
    shares = np.exp(world._start(right))
    measured = world._measure(shares, right, np.zeros((4, OPTIONS)))
    assert measured["valid"] == pytest.approx(0.25**4)
    assert measured["slow"] == pytest.approx(0.08)


@pytest.mark.parametrize("recipe", [RECIPE, BENCH], ids=["tables", "bench"])
def test_the_proof_returns_every_claim(recipe: Any) -> None:
    options = (
        {"copies": 1}
        if recipe is RECIPE
        else {"data_sets": ("iris",), "updates": 1, "warm": 20, "held_out": 1, "window": 10.0}
    )
    outcomes = recipe.proof(100, windows=3, **options)
    assert set(outcomes) == {claim.name for claim in recipe.claims}
    assert all(math.isfinite(entry.method) and math.isfinite(entry.baseline) for entry in outcomes.values())


def test_the_bench_as_a_table_has_real_scores_and_its_own_seconds() -> None:
    choices = bench_choices("iris", 2000, splits=2, windows=3)  # which the proof above has made already
    assert 0.6 < min(choices.rewards) <= max(choices.rewards) <= 1
    assert choices.seconds[0] < choices.seconds[-1]


def test_the_whole_system_trains_a_transformer_on_the_bench() -> None:
    bench = TERSE_BENCH()
    tasks = bench.tasks("train", 3)
    policy = bench_policy()
    drafts = bench_drafts(tasks, 8)
    tokens = policy.encode_demonstration(drafts[0])
    assert policy.template.decode(tokens.ids[tokens.step >= 0].tolist()) == drafts[0].completion
    start = WarmStart(demonstrations=drafts, steps=30, batch_size=8, learning_rate=3e-3)
    for number in range(30):
        start.step(policy, TERSE_BENCH, number, 0)
    trainer = mle_trainer(
        policy, tasks, environment=TERSE_BENCH, window=30.0, actors=4, improve=0.0, steps=2, longest=12.0,
        objective=GRPO(learning_rate=1e-3), trackers=(), **SHORT,
    )  # fmt: skip
    before = {name: value.clone() for name, value in policy.model.state_dict().items()}
    result = trainer.run()
    assert result.steps == 2
    assert trainer.rollout is not None
    assert trainer.rollout.report["finished"] >= 1  # type: ignore[attr-defined]
    assert trainer.rollout.clock.now == 60  # type: ignore[attr-defined]
    assert {"credit/effective_share", "credit/seconds_median"} <= set(result.metrics[-1])
    assert any("milestones" in name for name in result.metrics[-1])
    assert any((value != before[name]).any() for name, value in policy.model.state_dict().items())


def test_the_curriculum_of_the_system_shows_earlier_pipelines() -> None:
    bench = ModelBench(data_sets=["iris"])
    tasks = bench.tasks("train", 2)
    trainer = mle_trainer(bench_policy(), tasks, improve=1.0, weight="mean", trackers=())
    text = json.dumps({"model": "linear"})
    tried = play(bench, tasks[0], lambda _: {"role": "assistant", "content": text})
    scores = mle_reward()([tried])
    assert scores.values[0] > 0.5
    trainer.curriculum.observe([tried], scores)
    again = next(task for task in trainer.curriculum.sample() if task.id.endswith(SUFFIX))
    shown = (again.prompt or [])[-1]["content"]
    assert text in shown
    assert "validation" in shown
    bench.reset(again, 0)  # the bench knows it for the same problem


def test_the_scale_of_the_reward_on_real_attempts() -> None:
    bench = ModelBench(data_sets=["iris"], metrics=["accuracy"])
    task = bench.tasks("train", 1)[0]

    def score(answer: str) -> float:
        return float(mle_reward()([play(bench, task, lambda _: {"role": "assistant", "content": answer})]).values[0])

    assert score("nothing of the kind") == -10
    too_many = json.dumps({"model": "linear", "preparation": [{"name": "select", "k": 60}]})
    assert score(too_many) == pytest.approx(-9.8)  # read, and loaded
    assert score(json.dumps({"model": "dummy"})) == 0
    assert score(json.dumps({"model": "linear"})) > 0.8


def test_the_configuration_at_scale_is_read() -> None:
    from importlib.resources import files

    text = (files("rewardlab.recipes") / "scale" / "rl-mle-agents.yaml").read_text()
    given = yaml.safe_load(text)
    assert given["training"]["credit"]["type"] == "duration_aware"
    assert given["reward"]["type"] == "partial_credit"
