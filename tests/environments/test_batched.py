from __future__ import annotations

import os
import threading

import pytest

from rewardlab.environments.batched import EnvironmentPool
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.rollout import Limits, Sampling, rollout
from tests.environments.batched_worlds import FOREVER, Counter, Exploding, Together, say, task
from tests.policies.worlds import CORPUS, Scripted


@pytest.fixture(params=["threads", "processes"])
def pool(request):
    with EnvironmentPool(Counter, processes=request.param == "processes", workers=1) as made:
        yield made


@pytest.fixture(autouse=True)
def wake():
    yield
    FOREVER.set()  # threads that hang for good would stay until the end of the tests
    FOREVER.clear()


def begin(pool, count, name="sum"):
    slots = [pool.take() for _ in range(count)]
    calls = pool.reset([(slot, task(name), 10 * place) for place, slot in enumerate(slots)], 20.0)
    pool.wait(calls)
    return slots, calls


def said(pool, slots, words, seconds=20.0):
    calls = pool.step([(slot, say(word)) for slot, word in zip(slots, words, strict=True)], seconds)
    pool.wait(calls)
    return [call.answer.step.observation[0]["content"] if call.answer.step else call.answer.failure for call in calls]


def test_each_answers_its_own(pool):
    slots, calls = begin(pool, 3)
    assert [call.answer.step.observation for call in calls] == [task("sum").prompt] * 3
    assert said(pool, slots, "123") == ["1", "12", "23"]
    assert said(pool, slots[::-1], "111") == ["24", "13", "2"]
    assert pool.waited > 0


def test_an_environment_that_raises_is_not_used_again(pool):
    slots, _ = begin(pool, 2)
    assert said(pool, slots, ["1", "raise"]) == ["1", "the environment's step raised: KeyError: 'lamp'"]
    assert [slot.spent for slot in slots] == [False, True]
    pool.give_back(slots)
    again, _ = begin(pool, 2)
    assert slots[0] in again
    assert slots[1] not in again
    _, (broken,) = begin(pool, 1, "broken")
    assert broken.answer.failure == "the environment's reset raised: OSError: no such table"


def test_environments_are_used_again_or_not(pool):
    for attempt in (1, 2, 3):
        slots, _ = begin(pool, 1)
        call = pool.step([(slots[0], say("1"))])[0]
        pool.wait([call])
        assert call.answer.step.info["attempts"] == (attempt if pool.reuse else 1)
        assert (call.answer.step.info["process"] == os.getpid()) is not pool.processes
        pool.give_back(slots)


def test_without_reuse_every_attempt_has_its_own():
    Counter.made = Counter.closed = 0
    with EnvironmentPool(Counter, reuse=False) as pool:
        for _ in range(3):
            pool.give_back(begin(pool, 2)[0])
    assert (Counter.made, Counter.closed) == (6, 6)
    with EnvironmentPool(Counter) as pool:
        for _ in range(3):
            pool.give_back(begin(pool, 2)[0])
    assert (Counter.made, Counter.closed) == (8, 8)


@pytest.mark.parametrize("word", ["hang", "loop"])
def test_one_that_hangs_fails_alone_and_is_replaced(pool, word):
    slots, _ = begin(pool, 4)
    assert said(pool, slots, "1234") == ["1", "12", "23", "34"]
    answers = said(pool, slots, ["1", word, "1", "1"], seconds=0.5)
    FOREVER.set()
    assert answers[1] == (
        "the environment's step took longer than 0.5 s (Limits.step_seconds), and was given up; allow more if that is "
        "how long it takes"
    )
    assert answers[::2] == ["2", "24"]
    assert answers[3] == "35"
    assert [slot.spent for slot in slots] == [False, True, False, False]
    FOREVER.clear()
    # all others go on where they were, in whatever process they are now
    assert said(pool, [slots[0], slots[3]], "55") == ["7", "40"]
    pool.give_back(slots)
    new, _ = begin(pool, 4)
    assert said(pool, new, "1111") == ["1", "11", "21", "31"]


def test_several_hang_at_once(pool):
    slots, _ = begin(pool, 3)
    answers = said(pool, slots, ["hang", "2", "hang"], seconds=0.3)
    assert answers[1] == "12"
    assert ["took longer" in answer for answer in answers] == [True, False, True]


def test_a_process_that_dies_takes_one_trajectory_with_it():
    with EnvironmentPool(Counter, processes=True, workers=1) as pool:
        slots, _ = begin(pool, 3)
        said(pool, slots, "111")
        answers = said(pool, slots, ["1", "die", "1"])
        assert answers[::2] == ["2", "22"]
        assert answers[1] == "the environment's step failed: its worker process died (exit code 7)"
        assert said(pool, slots[::2], "11") == ["3", "23"]


def test_an_answer_that_cannot_be_sent_fails_alone():
    with EnvironmentPool(Counter, processes=True, workers=1) as pool:
        slots, _ = begin(pool, 2)
        first, second = said(pool, slots, ["lambda", "1"])
        assert "cannot be sent between processes" in first
        assert second == "11"


def test_processes_that_cannot_start_fail_their_calls():
    with EnvironmentPool(Exploding(), processes=True, workers=1) as pool:
        _, calls = begin(pool, 2)
    assert all("its worker process died (exit code 3)" in call.answer.failure for call in calls)


def test_environments_that_wait_do_so_together():
    with EnvironmentPool(Together) as pool:
        slots, _ = begin(pool, 4)
        assert said(pool, slots, "1111") == ["1", "11", "21", "31"]


def test_wrong_pools_are_refused():
    with pytest.raises(TypeError, match=r"environment must be a factory .*functools\.partial"):
        EnvironmentPool(Counter())
    with pytest.raises(ValueError, match="workers must be a whole number of at least 1, got 0"):
        EnvironmentPool(Counter, workers=0)
    with pytest.raises(TypeError, match="factory cannot be sent to worker processes"):
        EnvironmentPool(lambda: Counter(), processes=True).take()
    with pytest.raises(ValueError, match=r"Limits\.step_seconds must be positive, got 0"):
        Limits(step_seconds=0)


# ---- in rollouts ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def policy():
    return LanguageModelPolicy.tiny([*CORPUS, "go hang raise -"], hidden=32, layers=1, heads=2, vocabulary_size=300)


@pytest.mark.parametrize("processes", [False, True])
@pytest.mark.parametrize("overlap", [False, True])
def test_rollouts_are_the_same_however_environments_are_stepped(policy, processes, overlap):
    def attempt(environment):
        return rollout(
            policy, environment, [task(name) for name in "abc"], group_size=2, seed=4, limits=Limits(turns=3),
            sampling=Sampling(max_new_tokens=4), engine=Scripted(policy, ["1", "20", "3"]),
        )  # fmt: skip

    with EnvironmentPool(Counter, processes=processes, overlap=overlap) as pool:
        for _ in range(2):  # the second time in environments that the first has left
            again = attempt(pool)
            plain = attempt(Counter)
            assert [one.tokens for one in again] == [one.tokens for one in plain]
            assert [one.rewards.tolist() for one in again] == [one.rewards.tolist() for one in plain]
            assert all(one.info["limit"] == "turns" for one in again)


def test_a_rollout_goes_on_without_the_ones_that_break(policy):
    class Some(Counter):
        def step(self, action):
            return super().step(say("raise" if self.sum % 2 else "hang" if self.sum % 5 == 0 else "1"))

    with EnvironmentPool(Some) as pool:
        trajectories = rollout(
            policy, pool, [task(str(number)) for number in range(12)], seed=1, sampling=Sampling(max_new_tokens=4),
            limits=Limits(turns=1, step_seconds=0.2), engine=Scripted(policy, ["1"]),
        )  # fmt: skip
        reasons = [one.info.get("failed", "") for one in trajectories]
        assert sum("KeyError" in reason for reason in reasons) >= 1
        assert sum("took longer than 0.2 s" in reason for reason in reasons) >= 1
        fine = [one for one in trajectories if "failed" not in one.info]
        assert fine
        assert all(one.truncated and not one.terminated for one in fine)
        assert all(one.truncated is False for one in trajectories if "failed" in one.info)
        assert len(pool._left) == len(fine)  # those that broke are not used again


def test_threads_end_with_the_rollout(policy):
    before = threading.active_count()
    for _ in range(3):
        rollout(policy, Counter, [task("a")], limits=Limits(turns=1), engine=Scripted(policy, ["1"]))
    assert threading.active_count() <= before + 1


def test_environments_of_a_rollout_that_broke_are_not_used_again(policy):
    class Failing(Scripted):
        def generate(self, requests, sampling):
            if self.turns:
                raise RuntimeError("out of memory")
            return super().generate(requests, sampling)

    with EnvironmentPool(Counter) as pool:
        with pytest.raises(RuntimeError, match="out of memory"):
            rollout(policy, pool, [task("a"), task("b")], engine=Failing(policy, ["1", "2"]))
        assert pool._left == []
        fine = rollout(policy, pool, [task("a")], limits=Limits(turns=1), engine=Scripted(policy, ["1"]))
        assert "failed" not in fine[0].info
