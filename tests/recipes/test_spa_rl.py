from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch

import rewardlab as rl
from rewardlab.environments import Environment, Step
from rewardlab.learning.progress import ProgressEstimator
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.rollout import Limits, Sampling
from rewardlab.recipes.spa_rl import RECIPE, Arms, Corridor, Refresh, Replayed, explore, spa_reward
from rewardlab.recipes.spa_rl.encoder import PairEncoder
from rewardlab.rewards import EnvironmentReturn, GroundedActions
from rewardlab.rewards.models.network import Network
from rewardlab.training.credit import GAE, ReturnToGo
from rewardlab.training.objectives.policy_gradient import GRPO
from rewardlab.training.warm_start import WarmStart
from rewardlab.types import Scores, Task, Tokens, Trajectory


@pytest.fixture(scope="module")
def arms():
    return Arms(corridor=Corridor(seed=103), attempts=192)


def test_a_corridor_is_what_it_says():
    corridor = Corridor(seed=5)
    start = corridor.start()
    played = corridor.play(start, 4000)
    assert (played.critical == corridor.matters[played.symbols]).all()
    assert corridor.valid[np.arange(40), corridor.right].all()
    assert (corridor.valid.sum(1) == 3).all()
    assert played.valid.mean() == pytest.approx(corridor.valid_rate(start), abs=0.01)
    all_right = (played.right == played.critical).all(1)
    assert all_right.mean() == pytest.approx(corridor.success(start), abs=0.03)
    again = Corridor(seed=5).play(start, 4000)
    assert (again.actions == played.actions).all()
    perfect = torch.full((40, 5), -50.0)
    perfect[np.arange(40), corridor.right] = 50.0
    assert corridor.success(perfect) == pytest.approx(1.0)


def test_every_arm_pays_what_it_says(arms):
    outcomes = arms.played.outcomes
    for name in ("final", "uniform", "oracle"):
        np.testing.assert_allclose(arms.steps(name).sum(1), outcomes, atol=1e-9)
    assert arms.steps("grounding").max() == pytest.approx(arms.grounding / 12)
    np.testing.assert_allclose(arms.steps("spa"), arms.steps("contributions") + arms.steps("grounding"))
    assert arms.reports["contributions"].r2 > 0.5
    assert arms.separation("contributions") > 0.9
    assert 0.2 < arms.separation("uniform") < 0.95
    assert arms.train("oracle").success > arms.measure(arms.start).success


def test_what_the_authors_code_does_beside_the_paper():
    short = Arms(corridor=Corridor(seed=1, length=3), attempts=4)
    short.played.outcomes[:] = [1, 0, 0, 1]
    np.testing.assert_allclose(short.steps("leave_one_out")[:, 0], [2 / 3, -2 / 3, -2 / 3, 2 / 3])
    short.found["contributions"] = np.ones((4, 3))
    assert short.steps("early")[0].tolist() == [2, 1, 0]


def test_the_proof_returns_every_claim():
    outcomes = RECIPE.proof(100, corridors=1, attempts=64)
    assert set(outcomes) == {claim.name for claim in RECIPE.claims}
    assert all(math.isfinite(entry.method) and math.isfinite(entry.baseline) for entry in outcomes.values())


def test_pairs_are_saved(tmp_path):
    estimator = ProgressEstimator(PairEncoder(40, 5), epochs=1)
    trajectories = Corridor(seed=2).play(torch.zeros(40, 5), 8).trajectories()
    assert [row.sum() for row in estimator.network.encoder.prepare(trajectories[:2])] == [12, 12]
    estimator.fit(trajectories, np.arange(8.0))
    estimator.save(tmp_path)
    assert Network.load(tmp_path).encoder.width == 200


def test_a_step_reward_lands_on_the_last_token_of_its_turn():
    """Masks 0 1 1 0 0 1 with rewards [a, b] give 0 0 a 0 0 b: over tokens, credit with smoothing 1 is what is still to come."""
    trajectory = Trajectory.from_messages(
        [{"role": "user", "content": "x"}, {"role": "assistant", "content": "1"}, {"role": "user", "content": "y"},
         {"role": "assistant", "content": "2"}],
        terminated=True,
        tokens=Tokens(
            ids=np.arange(6), step=np.array([-1, 0, 0, -1, -1, 1]), logprobs=np.zeros(6, dtype=np.float32)
        ),
    )  # fmt: skip
    scores = Scores(values=np.array([5.0]), steps=[np.array([2.0, 3.0])])
    policy = LanguageModelPolicy.tiny(["x y 1 2"], hidden=16, layers=1, heads=2, vocabulary_size=270)
    credit = GAE(level="token", source="scores", smoothing=1.0, discount=0.5, hidden=0)
    credit.bind(policy)
    for weight in policy.value_head.parameters():
        torch.nn.init.zeros_(weight)
    advantages = credit([trajectory], scores)
    # written tokens: two of the first turn, one of the second; rewards 0, 2, 3
    assert advantages.tokens[0].tolist() == [0 + 0.5 * (2 + 0.5 * 3), 2 + 0.5 * 3, 3.0]


# ---- end to end -------------------------------------------------------------------------------------------------------

SIGNS = {"red": "left", "blue": "right"}


class Doors(Environment):
    """Three doors in a row, each with its word; half a point for each of two that matter, nothing happens for others."""

    def reset(self, task, seed):
        chance = random.Random(task.metadata["seed"])
        self.signs, self.place, self.earned = [chance.choice(list(SIGNS)) for _ in range(3)], 0, 0
        return [{"role": "user", "content": self.signs[0]}]

    def step(self, action):
        word = action["content"].strip()
        self.earned += word == SIGNS[self.signs[self.place]]
        self.place += 1
        over = self.place == 3
        said = "" if word in SIGNS.values() else "Nothing happens."
        if not over:
            said = f"{said} {self.signs[self.place]}".strip()
        return Step(
            observation=[{"role": "user", "content": said}],
            terminated=over,
            reward=self.earned / 3 if over else math.nan,
        )


def doors(count):
    return [Task(id=str(place), metadata={"seed": place}) for place in range(count)]


def test_all_stages_with_a_language_model():
    texts = ["red blue", "left right", "Nothing happens."]
    policy = LanguageModelPolicy.tiny(texts, hidden=48, layers=1, heads=2, vocabulary_size=300)
    tasks, short = doors(24), Sampling(max_new_tokens=3)
    shown = [
        Trajectory.from_messages([{"role": "user", "content": sign}, {"role": "assistant", "content": word}])
        for sign in SIGNS for word in (*SIGNS.values(), SIGNS[sign])
    ]  # fmt: skip
    clone = WarmStart(demonstrations=shown, steps=60, batch_size=6, learning_rate=3e-3)
    for number in range(clone.steps):
        clone.step(policy, Doors, number, 0)
    outcome = EnvironmentReturn()
    limits = Limits(turns=3)
    attempts, outcomes = explore(policy, Doors, tasks, outcome, tries=8, limits=limits, sampling=short)
    assert len(attempts) == 192
    assert 0.3 < outcomes.mean() < 0.9

    estimator = ProgressEstimator.from_policy(policy, context="step", epochs=8, learning_rate=2e-3, batch_size=32)
    assert estimator.fit(attempts, outcomes).r2 > 0.7
    reward = spa_reward(estimator, grounding=GroundedActions(weight=0.1, per_step_scale="1/T"))
    scores = reward(attempts)
    assert all(len(row) == len(one) for row, one in zip(scores.steps, attempts, strict=True))

    watch = Refresh(estimator=estimator, outcome=outcome, every=0)
    random.Random(0).shuffle(attempts)
    result = rl.training.train(
        policy, Doors, reward, tasks, rollout=Replayed(attempts), steps=6, tasks_per_step=4, group_size=8,
        credit=ReturnToGo(baseline="position", scale="std"), objective=GRPO(learning_rate=2e-3, epochs=2),
        sampling=short, limits=limits, trackers=(), callbacks=[watch],
    )  # fmt: skip
    assert result.steps == 6
    assert len(watch.drifts) == 6
    after = explore(policy, Doors, doors(24), outcome, tries=8, limits=limits, sampling=short, seed=9)[1]
    assert after.mean() > outcomes.mean() + 0.05
    with pytest.raises(ValueError, match="192 stored attempts are used up after 0"):
        Replayed(attempts[:192])(None, None, tasks, group_size=100)


def test_training_ends_where_the_estimator_has_lost_track():
    corridor = Corridor(seed=3)
    trajectories = corridor.play(corridor.start(), 64).trajectories()
    outcome = rl.reward(lambda trajectory: trajectory.info["outcome"])
    estimator = ProgressEstimator(PairEncoder(40, 5), epochs=5, learning_rate=0.02)
    estimator.fit(trajectories, [one.info["outcome"] for one in trajectories])

    class Report:
        step = 2

        def __init__(self, shift):
            self.trajectories = trajectories
            for one in trajectories:
                one.info["outcome"] += shift

    watch = Refresh(estimator=estimator, outcome=outcome, every=2, most_drift=0.5)
    assert watch(Report(0.0)) is False
    before = np.concatenate(estimator.contributions(trajectories))
    assert watch(Report(-0.2)) is False  # fitted again, to lower outcomes
    assert np.concatenate(estimator.contributions(trajectories)).mean() < before.mean()
    assert watch(Report(-2.0)) is True
    with pytest.raises(ValueError, match="every must be at least 0"):
        Refresh(estimator=estimator, outcome=outcome, every=-1)
