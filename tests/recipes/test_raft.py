from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rewardlab.functional.selection import (
    best_of_kl_bound,
    best_of_pool,
    distinct_ngrams,
    excess_supply,
    expected_best_of,
)
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.logprobs import token_logprobs
from rewardlab.recipes.pieces import piece_policy, piece_tokenizer
from rewardlab.recipes.raft import FRONTIER, RECIPE, PolicySampler, RaftStages
from rewardlab.recipes.raft.world import World, blind_reward, no_junk, target_reward
from rewardlab.types import Scores, Task, Trajectory

TASKS = [Task(id=f"t{index}", prompt=[{"role": "user", "content": "ab"[index % 2]}]) for index in range(6)]


class Scripted:
    """A sampler without a model: answers are given, and what was imitated is remembered."""

    def __init__(self, answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[list[str]] = []
        self.fitted: list[dict[str, float]] = []

    def sample(self, tasks: Sequence[Task], k: int, *, seed: int) -> list[Trajectory]:
        self.asked.append([task.id for task in tasks])
        return [
            Trajectory.from_messages(
                [*(task.prompt or []), {"role": "assistant", "content": answer}], task=task, group=f"{task.id}/{place}"
            )
            for place, task in enumerate(tasks)
            for answer in self.answers[:k]
        ]

    def fit(self, trajectories: Sequence[Trajectory], weights: Sequence[float], *, seed: int) -> dict[str, float]:
        self.fitted.append({one.completion: weight for one, weight in zip(trajectories, weights, strict=True)})
        return {"loss": 0.0}

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.fitted))

    def load(self, path: Path) -> None:
        self.fitted = json.loads(path.read_text())


def number(samples: Sequence[Trajectory]) -> list[float]:
    return [float(one.completion) for one in samples]


def stages(answers: Sequence[str], **options: Any) -> RaftStages:
    options = {"k": len(answers), "batch": 2, "reward": number, **options}
    return RaftStages(sampler=Scripted(answers), **options)


# ---- selection ------------------------------------------------------------------------------------------------------------


def test_the_best_of_each_prompt_is_imitated() -> None:
    raft = stages(["1", "3", "2"])
    report = raft.step(TASKS[:2])
    assert raft.sampler.fitted == [{"3": 1.0}]
    assert (report.samples, report.kept, report.reward, report.selected, report.gap) == (6, 2, 2.0, 3.0, 1.0)


def test_local_selection_does_not_change_with_shifts_and_increasing_transforms() -> None:
    draw = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), 5)
    values = draw.normal(size=20)
    answers = [Trajectory.from_text("p", str(index), group=str(group)) for index, group in enumerate(groups)]
    raft = stages(["0"] * 5)
    plain = raft._select(answers, Scores(values=values))
    shifted = raft._select(answers, Scores(values=np.exp(values) + 10.0 * groups))
    assert plain.sum() == 4
    np.testing.assert_array_equal(plain, shifted)


def test_all_equal_groups_are_skipped_or_shared_and_never_decided_by_order() -> None:
    equal = stages(["1", "1"])
    report = equal.step(TASKS[:2])
    assert report.zero_spread == 1.0
    assert report.stopped is not None
    assert "nothing to imitate" in report.stopped
    assert equal.sampler.fitted == []
    shared = stages(["1", "1"], ties="share")
    kept, weights = shared.select_best(shared.sample(TASKS[:2]))
    assert weights == [0.5] * 4
    assert len(kept) == 4


def test_numbers_that_are_none_are_discarded_and_counted() -> None:
    raft = stages(["1", "nan", "inf", "2"])
    report = raft.step(TASKS[:2])
    assert report.discarded == 4
    assert raft.sampler.fitted == [{"2": 1.0}]


def test_a_stage_in_which_all_is_discarded_stops_and_changes_no_weights() -> None:
    policy = piece_policy(["a", "b", "c"], hidden=16, layers=1)
    before = {name: weight.clone() for name, weight in policy.model.state_dict().items()}
    raft = RaftStages(
        sampler=PolicySampler(policy=policy, sampling=Sampling(max_new_tokens=3)),
        reward=lambda samples: [math.nan] * len(samples),
        k=2,
        batch=2,
    )
    reports = raft.run(TASKS, 5)
    assert len(reports) == 1
    assert reports[0].stopped is not None
    assert "4 have no finite reward" in reports[0].stopped
    assert all(torch.equal(before[name], weight) for name, weight in policy.model.state_dict().items())


def test_filters_refuse_and_what_they_refuse_is_worse_than_all_else() -> None:
    raft = stages(["1", "9", "2"], filters=[lambda one: one.completion != "9"])
    report = raft.step(TASKS[:2])
    assert report.filtered == 2
    assert raft.sampler.fitted == [{"2": 1.0}]
    # a single survivor was preferred to what was refused, so it is imitated
    alone = stages(["1", "9"], filters=[lambda one: one.completion != "9"])
    alone.step(TASKS[:2])
    assert alone.sampler.fitted == [{"1": 1.0}]


def test_fewer_samples_than_k() -> None:
    raft = stages(["1", "2"], k=4)
    assert raft.step(TASKS[:2]).short_groups == 2
    assert raft.sampler.fitted == [{"2": 1.0}]
    strict = stages(["1", "2"], k=4, incomplete="skip")
    assert strict.step(TASKS[:2]).stopped is not None


def test_k_below_one_is_refused_and_k_of_one_is_warned_about() -> None:
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        stages(["1"], k=0)
    with pytest.warns(UserWarning, match="imitates its own samples"):
        raft = stages(["1"], k=1)
    raft.step(TASKS[:1])
    assert raft.sampler.fitted == [{"1": 1.0}]


def test_prompts_are_cycled_or_run_out() -> None:
    raft = stages(["1", "2"], batch=4)
    raft.run(TASKS, 3)
    first, second, third = raft.sampler.asked
    assert sorted(first + second[:2]) == sorted(task.id for task in TASKS)
    assert sorted(second[2:] + third) == sorted(task.id for task in TASKS)
    ending = stages(["1", "2"], batch=4, exhausted="stop")
    reports = ending.run(TASKS, 3)
    assert [len(asked) for asked in ending.sampler.asked] == [4, 2]
    assert reports[-1].stopped == "all 6 prompts were used"


def test_global_selection_warns_where_one_prompt_supplies_most() -> None:
    def by_prompt(samples: Sequence[Trajectory]) -> list[float]:
        return [float(one.completion) + 100 * (one.task is not None and one.task.id == "t0") for one in samples]

    raft = stages([str(value) for value in range(6)], select="global", reward=by_prompt)
    with pytest.warns(UserWarning, match="prompt 't0' supplies 6.0 times its share"):
        report = raft.step(TASKS)
    assert report.supply == 6.0


def test_a_selection_of_your_own() -> None:
    raft = stages(["1", "2", "3"], select=lambda values, groups: (values >= 2).astype(float))
    raft.step(TASKS[:1])
    assert raft.sampler.fitted == [{"2": 1.0, "3": 1.0}]
    wrong = stages(["1", "2"], select=lambda values, groups: values[:1])
    with pytest.raises(ValueError, match="one finite weight of at least 0 for each of 2 samples"):
        wrong.step(TASKS[:1])


def test_the_buffer_brings_earlier_stages_back() -> None:
    raft = stages(["1", "2"], buffer=1)
    counts = []
    raft.sampler.fit = lambda trajectories, weights, *, seed: counts.append(len(trajectories)) or {}
    raft.run(TASKS, 3)
    assert counts == [2, 4, 4]


def test_early_stopping_and_held_out_tasks() -> None:
    raft = stages(["1", "2"], held_out=TASKS[4:], held_out_reward=lambda samples: [7.0] * len(samples))
    reports = raft.run(TASKS, 5, early_stop=lambda report: report.held_out > 6)
    assert len(reports) == 1
    assert reports[0].held_out == 7.0
    assert reports[0].stopped == "early_stop said so"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"select": "best"}, 'select must be "local", "global" or a function'),
        ({"exhausted": "loop"}, "exhausted must be one of cycle, stop, got 'loop'"),
        ({"kl_coefficient": 0.1}, "which Scripted does not have"),
        ({"buffer": -1}, "buffer must be at least 0, got -1"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stages(["1", "2"], **options)


# ---- files ----------------------------------------------------------------------------------------------------------------


def test_each_part_can_run_in_a_job_of_its_own(tmp_path: Path) -> None:
    answers = ["1", "nan", "2"]
    stages(answers, folder=tmp_path).sample(TASKS[:2])
    scoring = stages([], k=3, folder=tmp_path)
    scoring.score()
    training = stages([], k=3, folder=tmp_path, reward=lambda samples: pytest.fail("scored twice"))
    report = training.finetune()
    assert report.discarded == 2
    assert training.sampler.fitted == [{"2": 1.0}]
    after = stages(answers, folder=tmp_path)
    assert after.stage == 2
    assert after.sampler.fitted == [{"2": 1.0}]  # the weights were taken up again


def test_a_run_that_was_broken_off_ends_as_if_it_was_not(tmp_path: Path) -> None:
    def make(folder: Path | None) -> RaftStages:
        policy = piece_policy(["a", "b", "c"], hidden=16, layers=1, seed=3)
        sampler = PolicySampler(policy=policy, sampling=Sampling(max_new_tokens=4), learning_rate=1e-2)
        reward = lambda samples: [one.completion.count("a") for one in samples]  # noqa: E731
        return RaftStages(sampler=sampler, reward=reward, k=4, batch=3, buffer=1, folder=folder)

    whole = make(None)
    expected = whole.run(TASKS, 3)
    make(tmp_path).run(TASKS, 1)
    broken = make(tmp_path)
    broken.score(broken.sample(broken.prompts(TASKS)))
    resumed = make(tmp_path)
    reports = resumed.run(TASKS, 3)
    assert [report.stage for report in reports] == [2, 3]
    assert reports[-1].reward == expected[-1].reward
    assert reports[-1].kl == pytest.approx(expected[-1].kl, abs=1e-5)
    for left, right in zip(
        whole.sampler.policy.model.parameters(), resumed.sampler.policy.model.parameters(), strict=True
    ):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-6)


# ---- the sampler ----------------------------------------------------------------------------------------------------------


def test_only_written_tokens_are_trained_on_even_if_there_is_one() -> None:
    policy = piece_policy(["a", "b", "c"], hidden=16, layers=1)
    long = Trajectory.from_text("abc", "c")
    short = Trajectory.from_text("a", "bb")
    for one in (long, short):
        one.tokens = policy.encode_demonstration(one)
    long.tokens.ids, long.tokens.step, long.tokens.logprobs = (  # the end token goes: one written token is left
        long.tokens.ids[:-1],
        long.tokens.step[:-1],
        long.tokens.logprobs[:-1],
    )
    sampler = PolicySampler(policy=policy)
    written = [int((one.tokens.step >= 0).sum()) for one in (long, short)]
    assert written == [1, 3]
    expected = 0.0
    for one in (long, short):
        with torch.no_grad():
            logprobs = token_logprobs(policy.model, torch.from_numpy(one.tokens.ids)[None])[0]
        expected -= float(logprobs[torch.from_numpy(one.tokens.step) >= 0].sum())
    measured = sampler.fit([long, short], [1.0, 1.0], seed=0)
    assert measured["tokens"] == 4
    assert measured["loss"] == pytest.approx(expected / 4, rel=1e-5)


def test_what_is_trained_on_is_the_cleaned_text() -> None:
    policy = piece_policy(["a", "b", "c"], hidden=16, layers=1)
    seen: list[str] = []

    def reward(samples: Sequence[Trajectory]) -> list[float]:
        seen.extend(one.completion for one in samples)
        return [float(index) for index in range(len(samples))]

    raft = RaftStages(
        sampler=PolicySampler(policy=policy, sampling=Sampling(max_new_tokens=6)),
        reward=reward, k=4, batch=2, clean=lambda text: text.replace("b", ""),
    )  # fmt: skip
    kept, _ = raft.select_best(raft.sample(TASKS[:2]))
    assert seen
    assert not any("b" in text for text in seen)
    for one in kept:
        assert one.tokens is not None
        assert policy.template.decode(one.tokens.ids[one.tokens.step >= 0].tolist()) == one.completion


def test_the_divergence_variant_ranks_by_the_penalised_reward() -> None:
    class Known(Scripted):
        def log_probabilities(self, samples: Sequence[Trajectory]) -> tuple[np.ndarray, np.ndarray]:
            return np.array([5.0 if one.completion == "2" else 0.0 for one in samples]), np.zeros(len(samples))

    raft = RaftStages(sampler=Known(["1", "2"]), reward=number, k=2, batch=1, kl_coefficient=0.5)
    report = raft.step(TASKS[:1])
    assert raft.sampler.fitted == [{"1": 1.0}]  # 1 - 0 against 2 - 2.5
    assert report.selected == 1.0  # of the reward itself
    assert report.kl == 2.5


def test_greedy_sampling_is_refused() -> None:
    with pytest.raises(ValueError, match="at temperature 0 they are all the same"):
        PolicySampler(policy=piece_policy(["a"], hidden=8, layers=1, heads=1), sampling=Sampling(temperature=0))


# ---- the maths ------------------------------------------------------------------------------------------------------------


def test_best_of_pool_by_hand() -> None:
    values = torch.tensor([1.0, 4.0, 4.0, 2.0, 9.0])
    scored = torch.tensor([True, True, True, True, False])
    assert best_of_pool(values, scored, fraction=0.25).tolist() == [0, 0.5, 0.5, 0, 0]
    assert best_of_pool(values, scored, fraction=0.75).tolist() == [0, 1, 1, 1, 0]
    assert best_of_pool(torch.ones(3), torch.ones(3, dtype=torch.bool), fraction=0.5).sum() == 0
    with pytest.raises(ValueError, match="fraction must be in"):
        best_of_pool(values, scored, fraction=0.0)


def test_supply_by_hand() -> None:
    assert excess_supply(torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([7, 7, 8, 8])) == (7, 2.0)
    assert excess_supply(torch.zeros(2), torch.tensor([0, 1])) == (-1, 0.0)


def test_expected_best_of_equals_the_mean_over_all_subsets() -> None:
    from itertools import combinations

    values = torch.tensor([0.3, -1.0, 2.0, 0.7, 0.7])
    for k in range(1, 6):
        brute = np.mean([max(part) for part in combinations(values.tolist(), k)])
        assert float(expected_best_of(values, k)) == pytest.approx(brute)
    with pytest.raises(ValueError, match="k must be between 1 and the number of values, 5, got 6"):
        expected_best_of(values, 6)


def test_the_bound_on_the_divergence_of_best_of_k_holds_for_a_coin() -> None:
    """The best of k tosses of a coin with p = 1/2: heads with 1 - 2^-k."""
    for k in (1, 2, 8):
        heads = 1 - 0.5**k
        exact = heads * math.log(2 * heads) + (0 if k == 0 else (1 - heads) * math.log(2 * (1 - heads)))
        assert exact <= best_of_kl_bound(k) + 1e-12
    assert best_of_kl_bound(8) == pytest.approx(math.log(8) - 7 / 8)


def test_distinct_ngrams_by_hand() -> None:
    assert distinct_ngrams(["abab"], 2) == pytest.approx(2 / 3)
    assert math.isnan(distinct_ngrams(["a"], 2))


# ---- the world and the proof ----------------------------------------------------------------------------------------------


def test_pieces_decode_to_themselves() -> None:
    tokenizer = piece_tokenizer(["a", "aa", "<0>"])
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("<0>aaa")) == ["<0>", "aa", "a"]
    assert tokenizer.decode(tokenizer.encode("<0>aaa")) == "<0>aaa"
    with pytest.raises(ValueError, match="pieces must be different"):
        piece_tokenizer(["a", "a"])


def test_rewards_of_the_world_by_hand() -> None:
    def score(reward: Any, text: str) -> float:
        task = Task(id="x", metadata={"targets": "ab"})
        return float(reward([Trajectory.from_text("p", text, task=task)]).values[0])

    assert score(target_reward, "abababab") == 10
    assert score(target_reward, "aaaaaaaa") == 8
    assert score(target_reward, "ac") == 1 + 2 * 2 / 8
    assert score(blind_reward, "a#######") == 10  # the exploit: one target, and junk that is not seen
    assert score(target_reward, "a#######") == 1 + 2 / 7
    assert not no_junk(Trajectory.from_text("p", "a#"))


def test_worlds_repeat_and_do_not_train_on_test_prompts() -> None:
    world, again = World(seed=5), World(seed=5)
    assert [task.id for task in world.train] == [task.id for task in again.train]
    assert not {task.id for task in world.train} & {task.id for task in world.test}
    assert len(world.train) == 300
    assert [one.completion for one in world.corpus(20)] == [one.completion for one in again.corpus(20)]
    assert all(one.task in world.train for one in world.corpus(20))


@pytest.mark.parametrize("recipe", [RECIPE, FRONTIER], ids=["gated", "reported"])
def test_the_proof_returns_every_claim(recipe: Any) -> None:
    outcomes = recipe.proof(100, stages=1, samples=32, start_steps=2)
    assert set(outcomes) == {claim.name for claim in recipe.claims}
    assert all(math.isfinite(entry.method) and math.isfinite(entry.baseline) for entry in outcomes.values())
