"""Agent-RLVR: its parts by hand, its world, and the whole of it in the repair shop."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from rewardlab.config.encoders import tiny
from rewardlab.environments.repair_shop import RepairShop, RepairShopPassed
from rewardlab.environments.single_turn import SingleTurn
from rewardlab.functional.attempts import pass_at_k
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.rollout import Limits, rollout
from rewardlab.recipes.agent_rlvr import (
    RECIPE,
    AgentRLVR,
    Arms,
    Base,
    Budget,
    DPOWithLikelihood,
    Grouped,
    Imitation,
    Paired,
    SFTBaseline,
    World,
    best_of_n,
    imitate,
    measure,
    prefer,
    repair_teacher,
    reward_model_from_pairs,
    success_curve,
)
from rewardlab.recipes.agent_rlvr.proof import ABLATIONS, ablations, proof
from rewardlab.recipes.agent_rlvr.world import HOW
from rewardlab.rewards.verifiers.exact import ExactMatch
from rewardlab.training.guidance import build_pairs, weights_hash
from rewardlab.training.objectives.policy_gradient import GRPO
from rewardlab.training.objectives.preference import DPO
from rewardlab.training.warm_start import WarmStart
from rewardlab.types import Scores, Task, Trajectory

KNOWING = Base(steps=110, easy=1.0, known=1.0, follows=1.0, hinted=0.7)
SMALL = Budget(samples=4, sft_steps=2, dpo_steps=2, batch=8)


@pytest.fixture(scope="module")
def arms() -> Arms:
    """A world whose base model knows a good deal, so that a few attempts succeed."""
    return Arms(world=World(seed=100, base=KNOWING), budget=SMALL)


def test_pass_at_k_by_hand_and_by_simulation():
    assert pass_at_k(5, 2, 2) == pytest.approx(0.7)
    assert pass_at_k([4, 4, 4], [0, 1, 4], 1).tolist() == pytest.approx([0.0, 0.25, 1.0])
    assert pass_at_k(3, 2, 3) == 1.0
    draw = np.random.default_rng(0)
    won = [(draw.permutation(10)[:3] < 4).any() for _ in range(20_000)]
    assert pass_at_k(10, 4, 3) == pytest.approx(np.mean(won), abs=0.01)
    for attempts, successes, k in ((3, 1, 4), (3, 1, 0), (3, 4, 1)):
        with pytest.raises(ValueError, match=r"k must|successes must"):
            pass_at_k(attempts, successes, k)


def test_the_success_curve_leaves_out_what_could_not_be_scored():
    made = [Trajectory.from_text(name, "a", group=name) for name in "aaabbb"]
    scores = Scores(values=np.array([1.0, 0.0, 0.0, 0.0, 0.0, float("nan")]))
    assert success_curve(made, scores, [1, 2]) == pytest.approx({1: 1 / 6, 2: 1 / 3})
    with pytest.raises(ValueError, match="k must be"):
        success_curve(made, scores, [3])


def test_the_world_has_one_right_answer_and_unseen_combinations():
    world = World(seed=3)
    assert len(world.train_tasks) == len(world.test_tasks) == 160
    assert not {task.id for task in world.train_tasks} & {task.id for task in world.test_tasks}
    assert [task.reference for task in world.test_tasks] == [task.reference for task in World(seed=3).test_tasks]
    one, other = world.right(4, 7), world.right(4, 8)
    assert (one[0], one[2]) == (other[0], other[2])
    policy = World(seed=3, base=Base(steps=5)).base_policy()
    found = measure(policy, world.test_tasks)
    assert found.chance.shape == (160,)
    assert found.pass_at(32) > found.pass_at(1) > 0.0


def test_measured_chances_are_those_of_sampling(arms):
    tasks = arms.world.test_tasks[:8]
    found = measure(arms.base, tasks)
    made = rollout(arms.base, SingleTurn, tasks, group_size=100, sampling=Sampling(max_new_tokens=5), seed=1)
    rate = ExactMatch()(made).values.reshape(8, 100).mean()
    assert rate == pytest.approx(found.chance.mean(), abs=4 * math.sqrt(0.25 / 800))
    greedy = rollout(arms.base, SingleTurn, tasks, sampling=Sampling(temperature=0.0, max_new_tokens=5))
    assert ExactMatch()(greedy).values.mean() == found.greedy


def test_the_teacher_tells_decisions_and_the_shuffled_one_those_of_others():
    world = World(seed=1, accuracy=1.0)
    task = world.train_tasks[0]
    file, function, edit, value = world.right(task.metadata["category"], task.metadata["detail"])
    scores = Scores(values=[0.0])
    wrong = Trajectory.from_text("q", "<file9>", task=task)
    said = world.teacher()(task, wrong, scores)
    assert said.interaction == f"<hint0={file}><hint1={function}>"
    assert said.plan == f"<hint2={edit}>"
    assert said.feedback == ""
    last = Trajectory.from_text("q", task.reference.replace(f"<value{value}>", "<value9>"), task=task)
    assert world.teacher()(task, last, scores).feedback == f"<hint3={value}>"
    others = {world.teacher(shuffled=True)(one, wrong, scores) for one in world.train_tasks[:30]}
    assert len(others) > 5


def test_hints_are_obeyed_and_find_more(arms):
    guided, shuffled, second = arms.guided(), arms.shuffled(), arms.second()
    assert guided.scores.mean() > shuffled.scores.mean()
    assert guided.counts["retried"] == guided.counts["failures"] == len(guided.trajectories)
    assert arms.first.plus(guided).solved() >= arms.first.solved()
    assert len(second.trajectories) == len(arms.first.trajectories) == 160 * 4
    bare = {tuple(one.tokens.ids[:2].tolist()) for one in arms.first.trajectories}
    assert {tuple(one.tokens.ids[:2].tolist()) for one in guided.trajectories} <= bare
    assert {len(one.tokens.ids) for one in guided.trajectories} <= {len(one.tokens.ids) for one in second.trajectories}


def test_pairs_teach_and_the_likelihood_term_raises_the_chosen(arms):
    attempts = arms.first.plus(arms.guided())
    pairs = build_pairs(attempts.trajectories, attempts.scores, per_positive=1)
    chosen = [one.chosen for one in pairs.preferences][:40]

    def likelihood(policy):
        from rewardlab.training.guidance import bare_logprobs

        return float(np.mean([column.sum() for column in bare_logprobs(policy, chosen) if column is not None]))

    gains = {}
    for name, objective in (
        ("plain", DPO(learning_rate=1e-3, entropy=False)),
        ("likelihood", DPOWithLikelihood(nll=5.0, learning_rate=1e-3, entropy=False)),
    ):
        policy = copy.deepcopy(arms.start)
        before = likelihood(policy)
        found = prefer(policy, pairs, Paired(objective=objective, steps=10, batch_size=16))
        assert found["accuracy"] > 0.6
        assert found["steps"] == 10
        gains[name] = likelihood(policy) - before
    assert gains["likelihood"] > max(gains["plain"], 0.0)


def test_at_the_reference_the_loss_is_ln_two(arms):
    attempts = arms.first.plus(arms.guided())
    pairs = build_pairs(attempts.trajectories, attempts.scores, per_positive=1)
    once = Paired(objective=DPO(learning_rate=1e-9, entropy=False), steps=1, batch_size=8)
    assert prefer(copy.deepcopy(arms.start), pairs, once)["loss"] == pytest.approx(math.log(2.0), abs=1e-5)


def test_pairs_of_another_run_are_refused(arms):
    attempts = arms.first.plus(arms.guided())
    pairs = build_pairs(attempts.trajectories, attempts.scores, policy_hash=weights_hash(arms.base))
    with pytest.raises(ValueError, match="as their reference"):
        prefer(copy.deepcopy(arms.start), pairs, Paired(steps=1))
    with pytest.raises(ValueError, match="no pairs"):
        prefer(arms.start, pairs.subset([]), Paired(steps=1))
    with pytest.raises(ValueError, match="no guided successes"):
        imitate(copy.deepcopy(arms.base), arms.first.successes(), Imitation(source="guided"))


@pytest.mark.parametrize(
    "objective",
    [
        DPO(learning_rate=1e-4, entropy=False),
        Paired(objective=DPOWithLikelihood(learning_rate=1e-4), steps=2),
        Grouped(objective=GRPO(learning_rate=1e-4, entropy=False), steps=2),
        None,
    ],
    ids=["dpo", "likelihood", "grouped", "none"],
)
def test_the_whole_of_it_with_every_objective(arms, objective):
    policy = copy.deepcopy(arms.base)
    system = AgentRLVR(
        policy=policy,
        environment=SingleTurn,
        verifier=ExactMatch(),
        teacher=arms.world.teacher(),
        samples=3,
        sampling=Sampling(temperature=1.0, max_new_tokens=5),
        guidance={"how": HOW, "leak_check": None},
        sft=Imitation(steps=2, learning_rate=1e-4),
        objective=objective,
        control=True,
        expert=arms.start,
        rounds=1,
    )
    before = weights_hash(policy)
    (report,) = system.run(arms.world.train_tasks[:40], arms.world.test_tasks[:20])
    assert weights_hash(policy) != before
    assert 0.0 <= report.held_out <= 1.0
    assert report.metrics["guided"] > 0.0
    assert 0.0 <= report.metrics["second_unguided"] <= 1.0
    assert report.counts["retried"] > 0
    if isinstance(objective, (DPO, Paired)):
        assert report.pairs["pairs"] > report.pairs["guided_pairs"] > 0
    with pytest.raises(ValueError, match="training and in test"):
        system.run(arms.world.train_tasks[:4], arms.world.train_tasks[:1])


def test_the_baseline_imitates_unguided_successes_alone(arms):
    policy = copy.deepcopy(arms.base)
    options = {"environment": SingleTurn, "verifier": ExactMatch(), "samples": 2}
    baseline = SFTBaseline(policy=policy, sampling=Sampling(max_new_tokens=5), **options)
    (report,) = baseline.run(arms.world.train_tasks[:40])
    assert report.imitation["imitated"] > 0
    assert not report.pairs
    assert math.isnan(report.held_out)
    with pytest.raises(ValueError, match="neither a teacher"):
        SFTBaseline(policy=policy, teacher=arms.world.teacher(), **options)
    for wrong, message in (
        ({"samples": 0}, "samples must be"),
        ({"sampling": Sampling(temperature=0.0)}, "temperature 0"),
        ({"sft": None, "objective": None}, "nothing is learned"),
    ):
        with pytest.raises(ValueError, match=message):
            AgentRLVR(**{**options, "policy": policy, **wrong})
    with pytest.raises(ValueError, match="fraction"):
        Imitation(fraction=0.0)


def test_a_reward_model_of_the_pairs_chooses_the_best_of_n(arms):
    attempts = arms.first.plus(arms.guided())
    pairs = build_pairs(attempts.trajectories, attempts.scores, per_positive=1)
    words = [one.completion for one in attempts.trajectories[:50]]
    model = reward_model_from_pairs(pairs, tiny(words, hidden=16, layers=1), steps=3, batch_size=8)
    tasks = arms.world.test_tasks[:3]
    best = best_of_n(arms.base, SingleTurn, tasks, model, n=4, sampling=Sampling(max_new_tokens=5))
    assert [one.task for one in best] == tasks
    every = rollout(arms.base, SingleTurn, tasks, group_size=4, sampling=Sampling(max_new_tokens=5))
    values = model(every).values.reshape(3, 4)
    assert model(best).values == pytest.approx(values.max(1), abs=1e-5)
    with pytest.raises(ValueError, match="no pairs"):
        reward_model_from_pairs(pairs.subset([]), tiny(words))


def test_the_proof_and_the_ablations_give_every_claim(arms, monkeypatch):
    monkeypatch.setattr(World, "base_policy", lambda world: copy.deepcopy(arms.base))  # pretraining it takes longest
    few = replace(SMALL, samples=2, sft_steps=1, dpo_steps=1)
    found = proof(100, budget=few, base=KNOWING, train=80)
    assert set(found) == {claim.name for claim in RECIPE.claims}
    assert found["found"].method > 0.0
    assert set(ablations(100, budget=few, base=KNOWING, train=80)) == {claim.name for claim in ABLATIONS.claims}


def test_in_the_repair_shop_with_a_policy_that_learned_to_edit():
    torch.set_num_threads(1)
    make = partial(RepairShop, families=["clamp"], mutations=["direction"], runner="interpreter")
    shop = make()
    tasks = shop.tasks("train", 6)
    # the corpus holds what hints look like, so that they are words to the policy
    teacher = repair_teacher()
    untouched = Trajectory.from_text("q", "done", task=tasks[0])
    said = teacher(tasks[0], untouched, Scores(values=[0.0], notes=["1 of 8 hidden tests failed"]))
    bug = tasks[0].reference["bugs"][0]
    assert f"line {bug['line']} of {bug['file']}" in said.interaction
    assert bug["fixed"].strip() not in " ".join(said.parts().values())
    policy = LanguageModelPolicy.tiny(
        [*shop.corpus(count=12), " ".join(said.parts().values())], vocabulary_size=500, hidden=48, layers=2, context=700
    )
    start = WarmStart(demonstrations=shop.demonstrations(tasks), steps=12, batch_size=4, learning_rate=5e-3)
    for number in range(12):
        start.step(policy, make, number, 0)
    system = AgentRLVR(
        policy=policy,
        environment=make,
        verifier=RepairShopPassed(runner="interpreter"),
        teacher=teacher,
        samples=2,
        sampling=Sampling(temperature=1.0, max_new_tokens=60),
        limits=Limits(turns=3),
        sft=None,
        objective=Grouped(objective=GRPO(learning_rate=1e-4, entropy=False), steps=1),
    )
    (report,) = system.run(tasks[:3], shop.tasks("test", 2))
    assert report.counts["retried"] == report.counts["failures"]
    assert 0.0 <= report.held_out <= 1.0
    assert isinstance(tasks[0], Task)
