from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from rewardlab.training.asynchronous import AsyncLoop, SimulatedClock
from rewardlab.types import Task, Trajectory

TASK = Task(id="t", prompt=[{"role": "user", "content": "q"}])


class Two:
    """A rollout that chooses actions of 1 and 4 seconds with probability 1/2 each."""

    def __init__(self, lengths: tuple[float, ...] = (1.0, 4.0)) -> None:
        self.lengths = lengths

    def __call__(
        self, policy: Any, environment: Any, tasks: Any, *, group_size: int, seed: int, **_: Any
    ) -> list[Trajectory]:
        draw = np.random.default_rng(seed)
        made = []
        for number, task in enumerate(task for task in tasks for _ in range(group_size)):
            length = float(draw.choice(self.lengths))
            action = [{"role": "assistant", "content": str(length)}]
            made.append(
                Trajectory(
                    observations=[task.prompt, []],
                    actions=action,
                    task=task,
                    seconds=[length],
                    group=f"{task.id}/{number}",
                )  # type: ignore[arg-type]
            )
        return made


def windows(loop: AsyncLoop, count: int, tasks: list[Task] | None = None) -> list[list[Trajectory]]:
    return [loop(None, None, tasks or [TASK], seed=seed) for seed in range(count)]  # type: ignore[arg-type]


def shares(batches: list[list[Trajectory]]) -> Counter[float]:
    return Counter(float(one.seconds[0]) for batch in batches for one in batch if one.seconds is not None)


def test_dropping_what_is_unfinished_gives_the_enumerated_bias_and_completion_corrects_it() -> None:
    loop = AsyncLoop(actors=200, window=4, unfinished="drop", rollout=Two())
    batches = windows(loop, 20)
    found = shares(batches)
    starts = 200 * 20
    assert found[1.0] / starts == pytest.approx(0.9375, abs=0.03)
    assert found[4.0] / starts == pytest.approx(0.5, abs=0.03)
    last = {float(one.seconds[0]): one.info["window"]["completion"] for one in batches[-1] if one.seconds is not None}
    assert found[1.0] / last[1.0] / (found[4.0] / last[4.0]) == pytest.approx(1, abs=0.06)
    assert loop.clock.now == 80
    assert loop.report["completion_fast"] > loop.report["completion_slow"]
    assert loop.report["dropped"] == loop.report["started"] - loop.report["finished"]


def test_actors_that_carry_on_finish_what_the_policy_chose() -> None:
    loop = AsyncLoop(actors=100, window=4, unfinished="carry", rollout=Two())
    batches = windows(loop, 40)
    found = shares(batches)
    assert found[1.0] / found[4.0] == pytest.approx(1, abs=0.06)
    assert all(one.info["window"]["completion"] == 1 for one in batches[-1])
    assert max(one.info["window"]["staleness"] for one in batches[-1]) == 1


def test_every_second_of_every_actor_is_accounted_for() -> None:
    """With lengths that divide the window, nothing is lost, and each actor does a window's work in a window."""
    loop = AsyncLoop(actors=3, window=6, unfinished="carry", rollout=Two((2.0, 3.0, 7.0)))
    total = sum(float(one.seconds[0]) for batch in windows(loop, 50) for one in batch if one.seconds is not None)
    assert 3 * 6 * 50 - 3 * 7 < total <= 3 * 6 * 50


def test_attempts_that_are_too_stale_are_dropped() -> None:
    long = Two((13.0,))
    assert [len(batch) for batch in windows(AsyncLoop(actors=2, window=5, unfinished="carry", rollout=long), 4)] == [
        0,
        0,
        2,
        0,
    ]
    loop = AsyncLoop(actors=2, window=5, unfinished="carry", max_staleness=1, rollout=Two((13.0,)))
    assert [len(batch) for batch in windows(loop, 3)] == [0, 0, 0]
    assert loop.report["stale"] == 2
    mixed = AsyncLoop(actors=50, window=4, unfinished="carry", max_staleness=0, rollout=Two((1.0, 6.0)))
    (batch,) = windows(mixed, 1)
    assert set(shares([batch])) == {1.0}
    assert batch[0].info["window"]["available"] <= 4


def test_the_first_to_finish_are_kept() -> None:
    loop = AsyncLoop(actors=20, unfinished="first_b", batch=5, rollout=Two())
    (batch,) = windows(loop, 1)
    assert len(batch) == 5
    assert set(shares([batch])) == {1.0}
    assert loop.clock.now == 1
    assert loop.report["started"] == 20


def test_tasks_are_queued_and_their_attempts_are_one_group() -> None:
    tasks = [Task(id=name, prompt=[{"role": "user", "content": name}]) for name in "abc"]
    loop = AsyncLoop(actors=4, window=3, rollout=Two((1.0,)))
    batch = loop(None, None, tasks, group_size=2, seed=1)  # type: ignore[arg-type]
    assert Counter(one.group for one in batch) == {"a": 4, "b": 4, "c": 4}
    again = AsyncLoop(actors=4, window=3, rollout=Two((1.0,)))(None, None, tasks, group_size=2, seed=1)  # type: ignore[arg-type]
    assert [one.completion for one in batch] == [one.completion for one in again]


def test_a_greedy_evaluation_has_no_windows() -> None:
    from rewardlab.policies.engines.base import Sampling

    loop = AsyncLoop(actors=4, window=1, rollout=Two((9.0,)))
    batch = loop(None, None, [TASK], group_size=3, sampling=Sampling(temperature=0))  # type: ignore[arg-type]
    assert len(batch) == 3
    assert "window" not in batch[0].info
    assert loop.clock.now == 0


def test_wrong_options_and_attempts_are_refused() -> None:
    for options in (
        {"unfinished": "lose"}, {"actors": 0}, {"window": 0}, {"unfinished": "first_b"},
        {"unfinished": "first_b", "batch": 99}, {"max_staleness": 1}, {"unfinished": "carry", "max_staleness": -1},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"must|needs|is a number"):
            AsyncLoop(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="does not go back"):
        SimulatedClock().advance(-1)
    with pytest.raises(ValueError, match="needs tasks"):
        AsyncLoop(rollout=Two())(None, None, [])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite and positive"):
        windows(AsyncLoop(rollout=Two((float("nan"),))), 1)
