from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import yaml

from rewardlab.environments.base import Environment
from rewardlab.environments.single_turn import SingleTurn
from rewardlab.policies.engines.base import Sampling
from rewardlab.rewards.base import Reward
from rewardlab.storage import read_trajectories
from rewardlab.training import Evaluation, Shuffled, Trainer, TrainingStopped, WarmStart, train
from rewardlab.training.credit import Best, Group, LeaveOneOut
from rewardlab.training.objectives import GRPO, RAFT, Supervised
from rewardlab.training.seats import derived_seed, score_batch
from rewardlab.types import Scores, Status
from tests.training.worlds import Fails, SaysIt, demonstrations, policy, tasks

torch.set_num_threads(1)
SHORT = {"steps": 2, "group_size": 3, "tasks_per_step": 2, "sampling": Sampling(max_new_tokens=3), "trackers": []}


def weights_of(acting):
    return torch.cat([weight.detach().flatten().clone() for weight in acting.model.parameters()])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_policy_learns_what_is_rewarded_and_unlearns_what_is_punished(sign):
    run = train(
        policy(),
        SingleTurn,
        sign * SaysIt(shortness=0.0),
        tasks(),
        objective=GRPO(learning_rate=3e-3),
        steps=25,
        group_size=8,
        tasks_per_step=8,
        sampling=Sampling(max_new_tokens=3),
        evaluation=Evaluation(tasks=tasks(), every=0, reward=SaysIt(shortness=0.0)),
        warm_start=WarmStart(demonstrations=demonstrations(), steps=30, batch_size=8, learning_rate=3e-3),
        trackers=[],
    )
    initial, start, end = (line["success"] for line in run.evaluations)
    assert initial == 0.0
    assert start > 0.5
    right = [line["reward/mean"] * sign for line in run.metrics]
    if sign > 0:
        assert end >= start
        assert np.mean(right[-5:]) > np.mean(right[:5]) + 0.15
    else:
        assert end < start
        assert np.mean(right[-5:]) < np.mean(right[:5])
    assert run.steps == 25
    assert run.output is None


@pytest.mark.parametrize("objective", ["grpo", "rloo", "reinforce_plus_plus", "raft"])
def test_every_objective_trains_with_the_credit_that_goes_with_it(objective):
    acting = policy()
    before = weights_of(acting)
    warm = WarmStart(demonstrations=demonstrations(), steps=3)
    trainer = Trainer(
        policy=acting,
        environment=SingleTurn,
        reward=SaysIt(),
        tasks=tasks(),
        objective=objective,
        warm_start=warm,
        **SHORT,
    )
    run = trainer.run()
    assert not torch.equal(weights_of(acting), before)
    assert [line["step"] for line in run.metrics] == [1, 2]
    expected = {"grpo": "Group", "rloo": "LeaveOneOut", "reinforce_plus_plus": "Batch", "raft": "Best"}
    assert type(trainer.credit).__name__ == expected[objective]


def test_seats_by_name_by_spec_and_as_objects():
    trainer = Trainer(
        policy=policy(),
        environment=SingleTurn,
        reward=SaysIt(),
        tasks=tasks(),
        objective={"type": "grpo", "learning_rate": 0.5},
        credit={"type": "leave_one_out", "scale": "std"},
        curriculum={"type": "shuffled", "seed": 9},
        **SHORT,
    )
    assert trainer.objective.learning_rate == 0.5
    assert trainer.credit == LeaveOneOut(scale="std")
    assert (trainer.curriculum.seed, trainer.curriculum.count) == (9, 2)
    given = Shuffled(tasks=tasks(), count=3)
    options = {**SHORT, "credit": Group(), "objective": RAFT(), "curriculum": given}
    assert Trainer(policy=policy(), environment=SingleTurn, reward=SaysIt(), **options).curriculum is given


def test_the_same_seed_gives_the_same_numbers_and_another_does_not():
    def numbers(seed):
        options = {**SHORT, "seed": seed}
        run = train(policy(), SingleTurn, SaysIt(), tasks(), **options)
        return [{k: v for k, v in line.items() if not k.startswith("seconds")} for line in run.metrics]

    first = numbers(1)
    np.random.seed(99)
    torch.manual_seed(99)
    assert json.dumps(numbers(1)) == json.dumps(first)
    assert json.dumps(numbers(2)) != json.dumps(first)


def test_seeds_of_different_parts_differ():
    seeds = {
        derived_seed(seed, what, number)
        for seed in (0, 1, -1)
        for what in ("step", "evaluation")
        for number in range(50)
    }
    assert len(seeds) == 3 * 2 * 50


class Seen:
    """A seat that notes what it is shown."""

    def __init__(self):
        self.seen = []

    def observe(self, trajectories, scores):
        self.seen.append((len(trajectories), scores.counts()["scored"]))


def test_every_seat_that_can_observe_does():
    class Watching(Shuffled, Seen):
        observe = Seen.observe

    class WatchingCredit(Seen):
        needs_groups = True

        def __call__(self, trajectories, scores):
            return Group()(trajectories, scores)

    class WatchingReward(Seen):
        progresses = ()

        def __call__(self, trajectories, *, progress=None):
            self.progresses = (*self.progresses, progress)
            return SaysIt()(trajectories, progress=progress)

    curriculum = Watching(tasks=tasks(), count=2)
    curriculum.seen = []
    credit, reward = WatchingCredit(), WatchingReward()
    train(policy(), SingleTurn, reward, credit=credit, curriculum=curriculum, **SHORT)
    assert curriculum.seen == credit.seen == reward.seen == [(6, 6), (6, 6)]
    assert reward.progresses == (0.0, 0.5)


class Breaks(Environment):
    """Raises for some tasks when it is reset, or when it is stepped."""

    def reset(self, task, seed):
        if task.id == "t0":
            raise RuntimeError("no server")
        self.task = task
        return list(task.prompt)

    def step(self, action):
        if self.task.id == "t1":
            raise OSError("connection lost")
        return SingleTurn.step(_waiting(), action)


def _waiting():
    world = SingleTurn()
    world._waiting = True
    return world


def test_broken_environments_are_failed_and_never_reach_the_reward():
    reports = []

    class Reward(SaysIt):
        def _score(self, trajectories, progress):
            assert all("failed" not in one.info for one in trajectories)
            return super()._score(trajectories, progress)

    options = {**SHORT, "tasks_per_step": 4, "steps": 1, "curriculum": "fixed"}
    run = train(policy(), Breaks, Reward(), tasks(4), callbacks=[reports.append], **options)
    report = reports[0]
    assert report.scores.status.tolist() == [Status.FAILED] * 6 + [Status.SCORED] * 6
    assert "no server" in report.scores.note(0)
    assert "connection lost" in report.scores.note(3)
    assert not report.advantages.included[:6].any()
    assert run.metrics[0]["samples/failed"] == 6
    assert run.metrics[0]["groups/count"] == 2


def test_steps_without_scores_are_skipped_and_then_stop():
    acting = policy()
    before = weights_of(acting)
    reports = []
    options = {**SHORT, "steps": 10}
    with pytest.raises(
        TrainingStopped, match=r"no trajectory could be scored in 3 steps in a row \(the last is step 3\)"
    ) as stop:
        train(acting, SingleTurn, Fails(), tasks(), callbacks=[reports.append], **options)
    assert "6 x the judge is away" in str(stop.value)
    assert torch.equal(weights_of(acting), before)
    assert [report.metrics["samples/failed"] for report in reports] == [6, 6]
    assert math.isnan(reports[0].metrics["reward/mean"])


def test_half_failed_steps_go_on():
    run = train(policy(), SingleTurn, Fails(share=0.5), tasks(), **{**SHORT, "steps": 4})
    assert run.steps == 4
    assert run.metrics[0]["samples/failed"] == 3


def test_callbacks_see_each_step_and_may_stop():
    steps = []

    def stop_after_two(report):
        steps.append(report.step)
        return report.step == 2

    run = train(policy(), SingleTurn, SaysIt(), tasks(), callbacks=[stop_after_two], **{**SHORT, "steps": 9})
    assert steps == [1, 2]
    assert run.steps == 2


def test_the_run_folder(tmp_path):
    options = {**SHORT, "steps": 3, "trackers": ["tensorboard"]}
    run = train(
        policy(),
        SingleTurn,
        SaysIt(),
        tasks(),
        output=tmp_path / "run",
        evaluation=Evaluation(tasks=tasks(2), every=2, reward=SaysIt(), success_at=0.5),
        **options,
    )
    folder = run.output
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert {
        "reward/mean",
        "parts/right",
        "samples/failed",
        "groups/zero_variance",
        "update/loss",
        "seconds/rollout",
    } <= set(lines[0])
    phases = [json.loads(line) for line in (folder / "evaluations.jsonl").read_text().splitlines()]
    assert [(line["step"], line["phase"]) for line in phases] == [(0, "start"), (2, "training"), (3, "training")]
    stored = list(read_trajectories(folder / "trajectories" / "step-00000003.jsonl"))
    assert len(stored) == 6
    noted = stored[0].info["training"]
    assert noted["step"] == 3
    assert noted["status"] == "scored"
    assert set(noted["parts"]) == {"right", "short"}
    assert stored[0].tokens is None
    mean = float(np.mean([one.info["training"]["value"] for one in stored]))
    assert mean == pytest.approx(lines[2]["reward/mean"])
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["objective"]["type"] == "GRPO"
    assert config["group_size"] == 3
    assert list((folder / "tensorboard").iterdir())
    loaded = type(run.policy).load(folder / "policy")
    assert all(
        torch.equal(left, right)
        for left, right in zip(loaded.model.parameters(), run.policy.model.parameters(), strict=True)
    )


def test_a_finished_training_is_not_done_again_and_may_be_prolonged(tmp_path):
    def go(steps, **options):
        return train(policy(), SingleTurn, SaysIt(), tasks(), output=tmp_path, **{**SHORT, "steps": steps, **options})

    first = go(2)
    again = go(2)
    assert again.metrics == [json.loads(json.dumps(line)) for line in first.metrics]
    assert torch.equal(weights_of(first.policy), weights_of(again.policy))
    longer = go(4)
    assert [line["step"] for line in longer.metrics] == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="holds 4 steps, more than steps=2"):
        go(2)
    with pytest.raises(FileExistsError, match="holds a training already; choose another output folder"):
        go(4, resume=False)


def test_another_training_does_not_resume_in_the_folder(tmp_path):
    def go(reward=None, tasks_=None, **options):
        options = {**SHORT, "output": tmp_path, **options}
        return train(policy(), SingleTurn, reward or SaysIt(), tasks_ or tasks(), **options)

    go()
    with pytest.raises(ValueError, match=r"holds another training \(seed was 0, is 1\); choose another output folder"):
        go(seed=1)
    with pytest.raises(ValueError, match="objective was GRPO, is RLOO"):
        go(objective="rloo")
    with pytest.raises(ValueError, match="reward was "):
        go(reward=0.5 * SaysIt())
    with pytest.raises(ValueError, match="tasks was "):
        go(tasks_=tasks(3))
    with pytest.raises(ValueError, match="group_size was 3, is 4"):
        go(group_size=4)


def test_a_folder_with_logs_and_no_checkpoint_is_left_alone(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    with pytest.raises(FileExistsError, match="holds the logs of a training but no checkpoint"):
        train(policy(), SingleTurn, SaysIt(), tasks(), output=tmp_path, **SHORT)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1}\n'


def test_a_log_that_lost_lines_is_noticed(tmp_path):
    train(policy(), SingleTurn, SaysIt(), tasks(), output=tmp_path, **SHORT)
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(
        ValueError, match=r"metrics\.jsonl' has 0 bytes, but had \d+ when the last checkpoint was written"
    ):
        train(policy(), SingleTurn, SaysIt(), tasks(), output=tmp_path, **{**SHORT, "steps": 3})


def test_warm_start_only():
    acting = policy()
    run = train(
        acting, SingleTurn, SaysIt(), tasks(), warm_start=WarmStart(demonstrations=demonstrations(), steps=5),
        **{**SHORT, "steps": 0},
    )  # fmt: skip
    assert run.metrics == []
    assert not torch.equal(weights_of(acting), weights_of(policy()))


def test_evaluation_is_greedy_and_repeats():
    trainer = Trainer(
        policy=policy(),
        environment=SingleTurn,
        reward=SaysIt(),
        tasks=tasks(),
        evaluation=Evaluation(tasks=tasks(3)),
        **SHORT,
    )
    answers = [[one.completion for one in trainer.evaluate()[1]] for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 3
    bare = Trainer(policy=policy(), environment=SingleTurn, reward=SaysIt(), tasks=tasks(), **SHORT)
    with pytest.raises(ValueError, match="there is nothing to evaluate"):
        bare.evaluate()


@dataclass(frozen=True, kw_only=True)
class TooFew(Reward):
    def _score(self, trajectories, progress):
        return Scores(values=np.zeros(len(trajectories) - 1))


def test_a_reward_that_returns_the_wrong_number_or_kind():
    with pytest.raises(ValueError, match="returned 5 scores for 6 trajectories"):
        train(policy(), SingleTurn, TooFew(), tasks(), **SHORT)
    with pytest.raises(ValueError, match="the reward returned 2 scores for 6 trajectories; return one for each"):
        train(policy(), SingleTurn, lambda them, progress: Scores(values=np.zeros(2)), tasks(), **SHORT)
    with pytest.raises(
        TypeError, match=r"the reward returned a list, expected Scores; decorate a plain function with @rl\.reward"
    ):
        train(policy(), SingleTurn, lambda them, progress: [1.0] * len(them), tasks(), **SHORT)


def test_score_batch_without_any_trajectories():
    assert len(score_batch(SaysIt(), [])) == 0


def test_a_policy_whose_rollouts_have_no_tokens():
    from rewardlab.policies.rollout import rollout

    def forgetful(*arguments, **options):
        made = rollout(*arguments, **options)
        for one in made:
            one.tokens = None
        return made

    with pytest.raises(
        ValueError, match=r"trajectory \d+ \(task 't\d'\) has no tokens, so there is nothing to train on"
    ):
        train(policy(), SingleTurn, SaysIt(), tasks(), rollout=forgetful, **SHORT)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"group_size": 1}, ValueError, 'credit Group compares attempts at the same task, but group_size is 1; use group_size=4'),
        ({"group_size": 1, "credit": Best()}, ValueError, "credit Best compares"),
        ({"tasks": []}, ValueError, "tasks is empty; give at least one Task"),
        ({"tasks": None}, ValueError, "curriculum 'shuffled' needs tasks"),
        ({"steps": -1}, ValueError, "steps must be at least 0, got -1"),
        ({"group_size": 0}, ValueError, "group_size must be at least 1, got 0"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every must be at least 1"),
        ({"objective": "grpp"}, ValueError, "unknown objective 'grpp'; did you mean 'grpo'"),
        ({"credit": {"type": "group", "scales": "std"}}, ValueError, "credit 'group' has no option 'scales'; did you mean 'scale'"),
        ({"curriculum": "sorted"}, ValueError, "unknown curriculum 'sorted'"),
        ({"sampling": Sampling(temperature=0.0)}, ValueError, "sampling temperature must be positive while training, got 0.0"),
        ({"objective": GRPO(temperature=0.5)}, ValueError, "the objective has temperature 0.5, but trajectories are sampled at 1.0"),
        ({"reward": 1.0}, TypeError, "reward must be callable, got float"),
        ({"environment": SingleTurn()}, TypeError, "environment must be a factory .* got a SingleTurn; pass the class itself"),
        ({"trackers": ["tensorbord"]}, ValueError, "unknown tracker 'tensorbord'; did you mean 'tensorboard'"),
        ({"trackers": ["tensorboard"]}, ValueError, "give the training an output folder"),
    ],
)  # fmt: skip
def test_bad_options_are_named(options, error, message):
    given = {"environment": SingleTurn, "reward": SaysIt(), "tasks": tasks(), **SHORT, **options}
    with pytest.raises(error, match=message):
        Trainer(policy=policy(), **given).run()


def test_bad_warm_starts_and_evaluations_are_named():
    with pytest.raises(ValueError, match="the warm start has no demonstrations"):
        WarmStart(demonstrations=[])
    with pytest.raises(ValueError, match="steps of a warm start must be at least 1, got 0"):
        WarmStart(demonstrations=demonstrations(), steps=0)
    with pytest.raises(ValueError, match="evaluation tasks is empty"):
        Evaluation(tasks=[])
    with pytest.raises(ValueError, match="every of an evaluation must be at least 0, got -1"):
        Evaluation(tasks=tasks(), every=-1)


def test_a_batch_baseline_needs_no_groups():
    run = train(
        policy(), SingleTurn, SaysIt(), tasks(), credit="batch", **{**SHORT, "group_size": 1, "tasks_per_step": 4}
    )
    assert run.steps == 2


def test_demonstrations_are_imitated():
    acting = policy()
    warm = WarmStart(demonstrations=demonstrations(), objective=Supervised(learning_rate=3e-3), steps=25)
    train(acting, SingleTurn, SaysIt(), tasks(), warm_start=warm, **{**SHORT, "steps": 0})
    said = acting.respond([task.prompt for task in tasks()], sampling=Sampling(temperature=0, max_new_tokens=3))
    assert [message["content"] for message in said] == [task.reference for task in tasks()]
