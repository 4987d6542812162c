from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rewardlab as rl
from rewardlab.environments.travel_desk import TravelDesk
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.rollout import Limits
from rewardlab.recipes import deeptravel
from rewardlab.recipes.deeptravel import (
    ABLATIONS,
    RECIPE,
    REWARDS,
    Clerk,
    ClerkGRPO,
    hierarchical_reward,
    imitate,
    made_up,
    measure,
    stage_counts,
    trips,
)
from rewardlab.recipes.deeptravel.clerk import replayed
from rewardlab.training import FailureReplay, Trainer
from rewardlab.training.warm_start import WarmStart
from rewardlab.types import Status, Trajectory


@pytest.fixture(scope="module")
def demonstrations() -> list[Trajectory]:
    desk = TravelDesk()
    return desk.demonstrations(desk.tasks("train", 60))


def with_answer(trajectory: Trajectory, change: Any) -> Trajectory:
    days = json.loads(trajectory.completion)["days"]
    change(days)
    *_, last = trajectory.actions
    actions = [*trajectory.actions[:-1], {**last, "content": json.dumps({"days": days})}]
    return Trajectory(observations=trajectory.observations, actions=actions, task=trajectory.task, terminated=True)


def test_value_and_number_of_turn_checks_of_the_cascade(demonstrations: list[Trajectory]) -> None:
    asked = []

    @rl.reward
    def turns(trajectory: Trajectory) -> float:
        asked.append(trajectory)
        return float(rl.Grounded()(trajectory).values[0])

    right = next(one for one in demonstrations if one.task is not None and one.task.metadata["days"] == 2)
    invented = with_answer(right, lambda days: days[0].update(lodging="Moon Inn"))
    shorter = with_answer(right, lambda days: days.pop())
    reward = hierarchical_reward(turn_check=turns)
    for trajectory, value, calls in ((right, 1, 1), (invented, 0, 1), (shorter, 0, 0)):
        asked.clear()
        assert (reward(trajectory).values[0], len(asked)) == (value, calls)
    scores = reward([right, invented, shorter])
    first, second = stage_counts(scores).values()
    assert first == {"asked": 3, "passed": 2, "failed": 0, "saved": 0}
    assert second == {"asked": 2, "passed": 1, "failed": 0, "saved": pytest.approx(1 / 3)}
    assert hierarchical_reward(dense=True)(invented).values[0] == pytest.approx((4 + 4 / 5) / 5)
    assert hierarchical_reward(dense=True)(shorter).values[0] == 0


def test_a_judge_that_breaks_makes_the_sample_failed(demonstrations: list[Trajectory]) -> None:
    @rl.reward
    def judge(trajectory: Trajectory) -> float:
        raise TimeoutError("no answer")

    scores = hierarchical_reward(turn_check=judge)(demonstrations[:2])
    assert scores.status.tolist() == [Status.FAILED, Status.FAILED]
    assert list(stage_counts(scores).values())[1]["failed"] == 2


def test_made_up_names_are_counted_by_code_of_their_own(demonstrations: list[Trajectory]) -> None:
    right = next(one for one in demonstrations if one.task is not None and one.task.metadata["days"] == 2)
    invented = with_answer(
        right, lambda days: days[0].update(lodging="Moon Inn", visit="In")
    )  # a part of a name is none
    assert made_up([right]) == {
        "all": 0,
        "leg": 0,
        "visit": 0,
        "lodging": 0,
        "meal": pytest.approx(math.nan, nan_ok=True),
    }
    shares = made_up([right, invented])
    assert (shares["all"], shares["lodging"], shares["visit"], shares["leg"]) == (2 / 10, 1 / 2, 1 / 4, 0)
    careless = TravelDesk(noise=0.4)
    noisy = careless.demonstrations(careless.tasks("train", 100))
    measured = measure(noisy)
    assert measured.feasible == 1
    assert 0.3 < measured.passes == measured.grounded < 0.7
    assert 0.1 < measured.made_up < 0.4


def test_the_clerk_replays_demonstrations_word_for_word(demonstrations: list[Trajectory]) -> None:
    for shared in (True, False):
        clerk = Clerk.new(shared=shared)
        for one in demonstrations:
            again = replayed(clerk, one, TravelDesk())
            assert again.actions == one.actions
            assert again.observations == one.observations
            assert again.tokens is not None
            assert int(again.tokens.step.max()) == len(one) - 1
        assert len(clerk.features.numbers) < clerk.weights.size


def test_imitation_learns_and_one_update_follows_the_advantage(demonstrations: list[Trajectory]) -> None:
    clerk = Clerk.new()
    before = measure(trips(clerk, TravelDesk, TravelDesk().tasks("test", 30)))
    imitate(clerk, demonstrations, TravelDesk, steps=60)
    after = measure(trips(clerk, TravelDesk, TravelDesk().tasks("test", 30)))
    assert before.passes == 0
    assert after.passes > 0.2
    greedy = trips(clerk, TravelDesk, TravelDesk().tasks("test", 30), sampling=Sampling(temperature=0.0))
    assert measure(greedy).passes > 0.9
    group = trips(clerk, TravelDesk, TravelDesk().tasks("train", 1), group_size=8, seed=3)
    values = np.array([1.0, *[0.0] * 7])
    advantages = rl.training.credit.CREDITS.resolve("group")()(group, rl.Scores(values=values))
    weights = clerk.weights.copy()
    measured = ClerkGRPO(learning_rate=0.01, epochs=1).update(clerk, group, advantages)
    assert measured["clipped"] == 0
    assert 0 < np.abs(clerk.weights - weights).max() <= 0.0101
    assert clerk.weights[0] == 0  # it stands for no feature


def test_kept_attempts_are_learned_from_again(demonstrations: list[Trajectory]) -> None:
    clerk = Clerk.new()
    imitate(clerk, demonstrations, TravelDesk, steps=20)
    replay = FailureReplay(
        tasks=TravelDesk().tasks("train", 8), count=4, every=2, share=0.5, enter="most_failed", store="trajectory"
    )
    seen: list[list[str | None]] = []
    rl.train(
        clerk,
        TravelDesk,
        hierarchical_reward(),
        curriculum=replay,
        objective=ClerkGRPO(learning_rate=0.01),
        rollout=replay.rolling(trips),
        steps=2,
        group_size=4,
        trackers=(),
        callbacks=[lambda report: seen.append([one.group for one in report.trajectories])],
    )
    again = {group for group in seen[1] if group is not None and "/replay/" in group}
    assert len(again) == 2
    assert len(seen[0]) == len(seen[1]) == 16
    resumed = FailureReplay(tasks=replay.tasks, count=4, every=2, share=0.5, enter="most_failed", store="trajectory")
    resumed.load_state_dict(json.loads(json.dumps(replay.state_dict())))
    assert resumed.report() == replay.report()


@pytest.mark.parametrize("recipe", [RECIPE, ABLATIONS], ids=["gated", "reported"])
def test_the_proof_returns_every_claim(recipe: Any) -> None:
    outcomes = recipe.proof(100, updates=1, replay_updates=2, demonstrations=20, steps=10, held_out=9)
    assert set(outcomes) == {claim.name for claim in recipe.claims}
    assert all(math.isfinite(entry.method) and math.isfinite(entry.baseline) for entry in outcomes.values())


def test_a_language_model_is_trained_by_the_recipe_and_resumed(tmp_path: Path) -> None:
    desk = TravelDesk(days=[1])
    tasks = desk.tasks("train", 24)
    policy = LanguageModelPolicy.tiny(desk.corpus(count=40), hidden=32, layers=1, heads=2, context=640, seed=0)

    def trainer(steps: int, policy: LanguageModelPolicy) -> Trainer:
        return Trainer(
            policy=policy,
            environment=partial(TravelDesk, days=[1], max_calls=3),
            reward=hierarchical_reward(),
            tasks=tasks,
            curriculum={"type": "failure_replay", "every": 2, "share": 0.5},
            warm_start=WarmStart(demonstrations=desk.demonstrations(tasks), steps=2, batch_size=4),
            steps=steps,
            tasks_per_step=2,
            group_size=2,
            sampling=Sampling(max_new_tokens=12),
            limits=Limits(turns=2),
            output=tmp_path / "run",
            trackers=(),
        )

    first = trainer(2, policy)
    result = first.run()
    assert result.steps == 2
    assert result.metrics[-1]["samples/scored"] == 4
    assert isinstance(first.curriculum, FailureReplay)
    report = first.curriculum.report()
    assert report["entered"] >= 2
    assert report["replayed"] == 1 / 4
    second = trainer(
        3, LanguageModelPolicy.tiny(desk.corpus(count=40), hidden=32, layers=1, heads=2, context=640, seed=0)
    )
    assert second.run().steps == 3
    assert isinstance(second.curriculum, FailureReplay)
    assert second.curriculum.report()["entered"] >= report["entered"]


def test_everything_is_named() -> None:
    assert set(REWARDS) == {"hierarchical", "trajectory", "turn", "dense"}
    assert deeptravel.__all__ == sorted(deeptravel.__all__, key=lambda name: (not name.isupper(), name))
    spec = hierarchical_reward().to_spec()
    assert rl.from_spec(spec) == hierarchical_reward()
