from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

import rewardlab as rl
from tests.rewards.samples import answer, exact, forward, length, picky, rank_in_group, vectorised, waits


def test_a_function_gets_just_what_it_names() -> None:
    seen = {}

    @rl.reward
    def look(completion: str, reference: str, metadata: dict, progress: float) -> float:
        seen.update(completion=completion, reference=reference, metadata=metadata, progress=progress)
        return 1.0

    task = rl.Task(id="t", prompt=[{"role": "user", "content": "q"}], reference="gold", metadata={"k": 1})
    look([rl.Trajectory.from_messages([*task.prompt, {"role": "assistant", "content": "a"}], task=task)], progress=0.25)
    assert seen == {"completion": "a", "reference": "gold", "metadata": {"k": 1}, "progress": 0.25}


@pytest.mark.parametrize("reward", [length, vectorised, waits])
def test_sync_async_and_batch_functions_agree(reward: rl.Reward) -> None:
    scores = reward([answer("a"), answer("bbb"), answer("")])
    assert scores.values.tolist() == [1, 3, 0]
    assert not scores.status.any()


def test_a_group_function_sees_one_group_at_a_time() -> None:
    batch = [answer("aaa", group="x"), answer("b", group="y"), answer("a", group="x"), answer("bb", group="y")]
    assert rank_in_group(batch).values.tolist() == [1, 0, 0, 1]


def test_what_a_function_raises_or_leaves_out_is_kept_as_an_outcome() -> None:
    scores = picky([answer("fine"), answer("skip"), answer("break"), answer("nan")])
    assert [rl.Status(state).name for state in scores.status] == ["SCORED", "ABSTAINED", "FAILED", "FAILED"]
    assert scores.note(2) == "RuntimeError: no tests could run"
    assert "nan" in (scores.note(3) or "")
    assert np.isnan(scores.values[1:]).all()
    assert scores.mean() == 1.0


def test_a_failing_function_runs_once_for_each_sample() -> None:
    calls = []

    @rl.reward
    def broken(completion: str) -> float:
        calls.append(completion)
        raise ValueError("no")

    broken([answer("a"), answer("b")])
    assert calls == ["a", "b"]


def test_an_empty_trajectory_is_failed_and_says_why() -> None:
    empty = rl.Trajectory(observations=[[{"role": "user", "content": "q"}]], actions=[])
    for reward in (length, waits):
        scores = reward([empty, answer("ab")])
        assert scores.note(0) == "the trajectory is empty: it has no actions to score"
        assert scores.values[1] == 2


@pytest.mark.parametrize("value", ["3", b"3", [1, 2], {"score": 1}, object()])
def test_something_that_is_not_a_number_is_failed(value: object) -> None:
    scores = rl.reward(lambda completion: value)([answer("a")])
    assert scores.failed.all()
    assert "expected a number, or None to abstain" in (scores.note(0) or "")


def test_numpy_and_bool_results_are_numbers() -> None:
    for value in (True, np.float32(1), np.int64(1), np.bool_(True)):
        assert rl.reward(lambda completion, v=value: v).with_options().label == "<lambda>"
        assert rl.reward(lambda completion: value)([answer("a")]).values.tolist() == [1.0]  # noqa: B023


def test_a_wrong_number_of_values_is_refused() -> None:
    @rl.reward
    def short(trajectories: list) -> list:
        return [1.0]

    with pytest.raises(ValueError, match="short returned 1 values for 2 trajectories; return one per trajectory"):
        short([answer("a"), answer("b")])

    @rl.reward
    def short_group(group: list) -> list:
        return [1.0]

    scores = short_group([answer("a", group="g"), answer("b", group="g"), answer("c", group="h")])
    assert scores.failed.tolist() == [True, True, False]
    assert "returned 1 values for 2 trajectories" in (scores.note(0) or "")

    @rl.reward
    def scalar(trajectories: list) -> float:
        return 1.0

    assert "expected 1 values" in (scalar([answer("a")]).note(0) or "")


def test_a_misspelt_argument_is_refused_with_the_nearest() -> None:
    with pytest.raises(TypeError, match="asks for 'refernce', .*did you mean 'reference'"):

        @rl.reward
        def misspelt(completion: str, refernce: str) -> float:
            return 1.0

    with pytest.raises(TypeError, match=r"\*kwargs says nothing"):

        @rl.reward
        def greedy(completion: str, **kwargs: object) -> float:
            return 1.0


def test_options_are_parameters_with_defaults() -> None:
    half = exact.with_options(credit=0.5)
    assert half([answer("a", "a"), answer("b", "a")]).values.tolist() == [0.5, 0]
    assert exact([answer("a", "a")]).values.tolist() == [1]
    with pytest.raises(TypeError, match="no option 'credits'; did you mean 'credit'"):
        exact.with_options(credits=2)


def test_coroutines_run_together_and_their_clock_starts_when_they_do() -> None:
    running, most = 0, 0

    @rl.reward(timeout=5.0, concurrency=4)
    async def counted(completion: str) -> float:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return 1.0

    assert counted([answer(str(index)) for index in range(12)]).mean() == 1.0
    assert most == 4


def test_a_coroutine_that_takes_too_long_is_failed_and_not_zero() -> None:
    @rl.reward(timeout=0.05)
    async def slow(completion: str) -> float:
        await asyncio.sleep(30 if completion == "slow" else 0)
        return 1.0

    scores = slow([answer("slow"), answer("quick")])
    assert scores.failed.tolist() == [True, False]
    assert scores.note(0) == "timed out after 0.05 s"


def test_a_time_limit_needs_a_coroutine() -> None:
    with pytest.raises(ValueError, match="a time limit needs `async def`"):
        rl.reward(timeout=1.0)(lambda completion: 1.0)


def test_coroutines_score_inside_a_running_event_loop_too() -> None:
    async def main() -> list[float]:
        return waits([answer("abc")]).values.tolist()

    assert asyncio.run(main()) == [3.0]


def test_only_trajectories_are_scored() -> None:
    with pytest.raises(TypeError, match="sample 0 is a str, expected a Trajectory; build one with"):
        length(["text"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="progress must be in \\[0, 1\\], got 2"):
        length([answer("a")], progress=2)
    assert len(length([])) == 0
    assert length(answer("abc")).values.tolist() == [3.0]


def test_transitions_are_scored_in_one_call_and_add_up() -> None:
    def walk(*positions: float) -> rl.Trajectory:
        return rl.Trajectory(observations=np.array(positions)[:, None], actions=np.zeros((len(positions) - 1, 1)))

    scores = forward([walk(0, 1, 3), walk(5, 4)])
    assert scores.values.tolist() == [3, -1]
    assert scores.steps is not None
    assert scores.steps[0].tolist() == [1, 2]  # type: ignore[union-attr]


def test_a_transition_that_is_not_finite_fails_its_trajectory_and_names_the_step() -> None:
    @rl.reward(per="transition")
    def inverse(next_observation: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return 1 / next_observation[:, 0]

    def walk(*positions: float) -> rl.Trajectory:
        return rl.Trajectory(observations=np.array(positions)[:, None], actions=np.zeros((len(positions) - 1, 1)))

    scores = inverse([walk(0, 1, 0), walk(0, 2)])
    assert scores.failed.tolist() == [True, False]
    assert scores.note(0) == "inverse returned inf at step 1, which is not a finite number"
    assert "is a chat" in (inverse([answer("a")]).note(0) or "")


def test_two_threads_get_what_one_gets() -> None:
    batch = [answer("x" * index, group=str(index % 3)) for index in range(50)]
    reward = 0.3 * length + 0.7 * rank_in_group + waits
    alone = reward(batch).values
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(reward(batch).values)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(np.array_equal(values, alone) for values in results)
