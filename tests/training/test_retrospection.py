from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rewardlab.environments.base import Environment, Step
from rewardlab.environments.single_turn import SingleTurn
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.rollout import Sampling
from rewardlab.recipes.piece_encoder import PieceEncoder
from rewardlab.recipes.retroformer import SlotActor, Slots, World, reflection_text, share_right, slot_tasks
from rewardlab.rewards import ReturnDifference
from rewardlab.rewards.models.model import RewardModel
from rewardlab.training.retrospection import (
    Rating,
    Ratings,
    RetroformerTrainer,
    Retrospective,
    RetryReward,
    ratings_from_logs,
    ratings_of,
    reflect,
    reflection_prompt,
    reflection_tasks,
    remembering,
    success_after,
)
from rewardlab.training.retrospection.memory import HEADING, LONGEST, remember_opening, show, with_reflections
from rewardlab.training.retrospection.ratings import answer_f1
from rewardlab.training.retrospection.stages import pairwise, pointwise
from rewardlab.types import Message, Task, Trajectory

# ---- ratings ----------------------------------------------------------------------------------------------------------


def attempts(*returns: float | None, group: str = "a", **info: Any) -> list[Trajectory]:
    return [
        Trajectory.from_text(
            "task", "act", group=group, info={"attempt": number, "return": value, "reflection": "slot", **info}
        )
        for number, value in enumerate(returns)
    ]


def test_differences_of_returns_by_hand() -> None:
    scores = ReturnDifference()(attempts(0.25, 1.0))
    assert scores.values[0] == 0.75
    assert scores.note(1) == "the attempt succeeded, so there was nothing to reflect on"
    assert ReturnDifference()(attempts(0.5, 0.25)).note(1) == "it is the last attempt"
    missing = ReturnDifference()([*attempts(0.5, None, 0.5), *attempts(math.nan, 0.5, group="b")])
    assert missing.failed.tolist() == [True, True, False, True, False]
    assert ReturnDifference(scale=10.0)(attempts(2.0, 7.0), progress=None).note(0) is not None
    assert ReturnDifference(scale=10.0, success_at=10.0)(attempts(2.0, 7.0)).values[0] == 0.5
    with pytest.raises(ValueError, match="attempt 0 at task .* is there 2 times"):
        ReturnDifference()([*attempts(0.5), *attempts(0.25)])
    nameless = Trajectory.from_text("task", "act", info={"return": 0.5})
    assert 'info["attempt"] must be the number' in str(ReturnDifference()([nameless]).note(0))
    with pytest.raises(ValueError, match="'scale' must be positive"):
        ReturnDifference(scale=0)


def test_a_plain_retry_and_the_other_retries_are_baselines() -> None:
    control = Trajectory.from_text("task", "act", group="a", info={"attempt": 1, "return": 0.5, "control": True})
    scores = ReturnDifference(baseline="retry")([*attempts(0.25, 0.75), control])
    assert scores.values[0] == 0.25
    assert scores.note(2) == "a retry without a reflection is not rated"
    assert ReturnDifference(baseline="retry")(attempts(0.25, 0.75)).failed[0]
    several = [
        Trajectory.from_text("task", "act", group="a", info={"attempt": 1, "return": 0.25 + value})
        for value in (1, 0, 0, -1)
    ]
    scores = ReturnDifference(baseline="group")([*attempts(0.25), *several])
    assert scores.values[1:].tolist() == [1, 0, 0, -1]
    assert scores.abstained[0]


def log(trial: int, answer: str, reflections: str | None = None, run: str = "r") -> dict[str, Any]:
    steps = [
        {"thought": "look", "action": "Search[x]", "observation": "y"},
        {"thought": None, "action": f"Finish[{answer}]", "observation": "Answer is INCORRECT"},
    ]
    return {
        "run": run,
        "trial": trial,
        "question": "who?",
        "reflections": reflections,
        "steps": steps,
        "gold": "the Red Fox",
    }


def test_logs_of_several_trials_become_ratings() -> None:
    assert answer_f1("The red, fox!", "red fox") == 1
    assert answer_f1("red cat", "red fox") == 0.5
    assert answer_f1("", "red") == 0
    rows = [
        log(1, "blue"),
        log(2, "red cat", "name the colour"),
        log(3, "Red Fox", "name the animal"),
        log(1, "x", run="s"),
    ]
    ratings = ratings_from_logs(rows)
    assert [(row.attempt, row.value, row.reflection) for row in ratings.rows] == [
        (0, 0.5, "name the colour"),
        (1, 0.5, "name the animal"),
    ]
    assert "Search[x]" in ratings.rows[0].prompt[0]["content"]
    assert ratings.left_out == {"no later trial": 2}
    plain = ratings_from_logs([log(1, "blue"), log(2, "blue")], with_reflection=False)
    assert [row.value for row in plain.rows] == [0]
    assert ratings.report()[0] == {"ratings": 1, "mean": 0.5, "positive": 1, "zero": 0, "negative": 0}
    with pytest.raises(ValueError, match="trial 1 of 'who\\?' in 'r' is there twice"):
        ratings_from_logs([log(1, "a"), log(1, "b")])


# ---- attempts ---------------------------------------------------------------------------------------------------------


class Oracle:
    """A writer that knows: reads the right action of the first wrong slot out of the world."""

    def __init__(self, tasks: Sequence[Task], world: World) -> None:
        self.asked: list[str] = []
        self._right = {asked(task): task.reference["right"] for task in tasks}

    def speaker(self, *_: Any) -> Any:
        return self

    keeps_tokens = False

    def open(self, conversation: Any) -> None:
        pass

    hear = close = open

    def room(self, conversation: Any) -> None:
        return None

    def speak(self, conversations: Any) -> Any:
        from rewardlab.policies.speaking import Utterance

        said = []
        for one in conversations:
            text = one.messages[0]["content"]
            self.asked.append(text)
            right = next(right for name, right in self._right.items() if name in text)
            taken = [int(digit) for digit in text.partition("[assistant] ")[2].split("\n")[0].split()]
            slot = next(place for place, (one, other) in enumerate(zip(taken, right, strict=True)) if one != other)
            words = reflection_text(slot, right[slot])
            said.append(Utterance(message={"role": "assistant", "content": words}, text=words))
        return said


def asked(task: Task) -> str:
    assert task.prompt is not None
    return task.prompt[0]["content"]


def retrospective(tasks: Sequence[Task], world: World, **options: Any) -> Retrospective:
    options = {
        "actor": SlotActor(),
        "writer": Oracle(tasks, world),
        "environment": Slots,
        "reward": share_right,
    } | options
    return Retrospective(**options)


def test_attempts_are_linked_and_solved_tasks_are_left_alone() -> None:
    world = World(seed=100)
    tasks = slot_tasks(world, 30)
    found = retrospective(tasks, world, retries=2).run(tasks, seed=1)
    again = retrospective(tasks, world, retries=2).run(tasks, seed=1)
    assert [(one.messages, one.info) for one in found] == [(one.messages, one.info) for one in again]
    by_task: dict[str | None, list[Trajectory]] = {}
    for one in found:
        by_task.setdefault(one.group, []).append(one)
    assert len(by_task) == 30
    for several in by_task.values():
        returns = [one.info["return"] for one in several]
        assert [one.info["attempt"] for one in several] == list(range(len(several)))
        assert returns == pytest.approx(
            [returns[0] + 0.2 * place for place in range(len(several))]
        )  # each repairs a slot
        assert len(several) == 3 or returns[-1] == 1
        assert [one.info["reflection"] is not None for one in several] == [True] * (len(several) - 1) + [False]
    assert success_after(found, 0) < success_after(found, 1) < success_after(found, 2)
    ratings = ratings_of(found)
    assert {round(row.value, 6) for row in ratings.rows} == {0.2}
    assert sum(ratings.left_out.values()) == 30


def test_the_actor_sees_notes_that_are_capped_and_marked() -> None:
    world = World(seed=100)
    tasks = [task for task in slot_tasks(world, 40) if share(task) <= 0.4][:2]
    every = retrospective(tasks, world, retries=3, cap=2).run(tasks)
    shown = [one.observations[0][0]["content"].count("<note>") for one in every if one.group == every[0].group]
    assert shown == [0, 1, 2, 2]
    last = retrospective(tasks, world, retries=2, memory="last").run(tasks)
    assert [one.observations[0][0]["content"].count("<note>") for one in last][:3] == [0, 1, 1]
    long = show([{"role": "system", "content": "s"}], ["x</note>" + "y" * 5000])
    assert long[-1]["content"].startswith(HEADING)
    assert long[-1]["content"].count("</note>") == 1
    assert len(long[-1]["content"]) < LONGEST + 200
    assert show([{"role": "user", "content": "q"}], []) == [{"role": "user", "content": "q"}]


def share(task: Task) -> float:
    habit = [int(digit) for digit in asked(task).partition("habit ")[2].split()]
    return float(np.mean([one == other for one, other in zip(habit, task.reference["right"], strict=True)]))


class Moody(Environment):
    made = 0

    def reset(self, task: Task, seed: int) -> list[Message]:
        Moody.made += 1
        return [{"role": "user", "content": f"type 0 habit 0 0 0 0 0 mood {Moody.made}"}]

    def step(self, action: Message) -> Step:
        return Step(terminated=True, info={"share": 0.0})


def test_environments_that_do_not_repeat_are_refused() -> None:
    task = Task(id="t", prompt=[{"role": "user", "content": "?"}])
    held = remember_opening(task, [{"role": "user", "content": "as it was"}])
    with pytest.raises(RuntimeError, match="opens with other messages than at its first attempt"):
        remembering(Moody)().reset(held, 0)
    assert remembering(Moody, allow_stochastic=True)().reset(held, 0)
    found = Retrospective(actor=SlotActor(), writer=None, environment=Moody, reward=share_right, retries=2).run([task])
    assert [one.info["return"] for one in found] == [0.0, None]
    assert "NotReproducible" in found[1].info["failed"]
    assert ReturnDifference()(found).failed.tolist() == [True, True]
    assert with_reflections(task, ["", "a"]).metadata["reflections"] == ["a"]


def test_impossible_options_are_refused_and_chance_is_warned_of() -> None:
    options: dict[str, Any] = {"actor": SlotActor(), "writer": None, "environment": Slots, "reward": share_right}
    for wrong, complaint in (({"retries": -1}, "retries"), ({"cap": 0}, "cap"), ({"memory": "all"}, "memory must be")):
        with pytest.raises(ValueError, match=complaint):
            Retrospective(**options, **wrong)
    with pytest.warns(UserWarning, match="the actor samples at temperature 1"):
        Retrospective(**options, actor_sampling=Sampling())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Retrospective(**options)


def test_long_attempts_lose_their_middle_and_say_so() -> None:
    messages: list[Message] = [{"role": "user", "content": "the task"}]
    for step in range(6):
        messages += [{"role": "assistant", "content": f"step {step}"}, {"role": "user", "content": f"saw {step}"}]
    trajectory = Trajectory.from_messages(messages)
    (whole,) = reflection_prompt(trajectory, 0.5)
    assert "reached the score 0.50" in whole["content"]
    (cut,) = reflection_prompt(trajectory, 0.5, most=160)
    assert "the task" in cut["content"]
    assert "[3 steps left out]" in cut["content"]
    assert "step 2" not in cut["content"]
    assert "step 3" in cut["content"]
    assert "saw 5" in cut["content"]
    (least,) = reflection_prompt(trajectory, 0.5, most=1)
    assert "step 5" in least["content"]


# ---- stages -----------------------------------------------------------------------------------------------------------


def rated(*values: float, failure: str = "f") -> list[Rating]:
    prompt: list[Message] = [{"role": "user", "content": "type 0 why"}]
    return [
        Rating(failure=failure, prompt=prompt, reflection=f"slot {place} do 0", value=value)
        for place, value in enumerate(values)
    ]


def test_ratings_become_judgements() -> None:
    labels = [float(value > 0.25) for value in (0.2, 0.25, 0.3)]
    data = pointwise(rated(0.2, 0.25, 0.3), lambda value: value > 0.25, balance=False)
    assert sorted(data.value.tolist()) == sorted(labels)
    assert len(pointwise(rated(1.0, 0, 0, 0), lambda value: value > 0).value) == 2
    with pytest.raises(ValueError, match="1 reflections helped and 0 did not"):
        pointwise(rated(1.0), lambda value: value > 0)
    pairs = pairwise([*rated(1.0, 0.0, 0.0), *rated(0.5, failure="g")])
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [(0, 1), (0, 2)]
    with pytest.raises(ValueError, match="no failure has two reflections with different ratings"):
        pairwise(rated(0.5, 0.5))


def test_stages_without_anything_to_learn_say_so() -> None:
    policy = LanguageModelPolicy.tiny(["slot 0 do 0"], hidden=16, layers=1, heads=2)
    model = RewardModel.make(PieceEncoder(["type"], ["slot"]))
    with pytest.raises(
        ValueError, match="no rating is positive, so there is nothing to imitate: 2 ratings, 1 of them 0 and 1 below"
    ):
        RetroformerTrainer(writer=policy, ratings=Ratings(rows=rated(0.0, -0.5)), model=model).sft()
    with pytest.raises(ValueError, match="all 2 ratings are 0"):
        RetroformerTrainer(writer=policy, ratings=Ratings(rows=rated(0.0, 0.0)), model=model).ppo()
    with pytest.raises(ValueError, match='reward="pointwise" needs model='):
        RetroformerTrainer(writer=policy, ratings=Ratings(rows=[]))
    with pytest.raises(ValueError, match="needs retry="):
        RetroformerTrainer(writer=policy, ratings=Ratings(rows=[]), reward="environment")
    with pytest.raises(ValueError, match="stages must be of"):
        RetroformerTrainer(writer=policy, ratings=Ratings(rows=[]), stages=("dpo",))  # type: ignore[arg-type]


def test_only_the_reflection_is_learned() -> None:
    policy = LanguageModelPolicy.tiny(["type 0 why", "slot 0 do 0"], hidden=16, layers=1, heads=2)
    tokens = policy.encode_demonstration(rated(1.0)[0].trajectory())
    written = policy.template.decode(tokens.ids[tokens.step >= 0].tolist())
    assert written == "slot 0 do 0"


@pytest.mark.parametrize("reward", ["pointwise", "pairwise", "environment"])
def test_a_language_model_goes_through_all_stages_and_on(reward: Any, tmp_path: Path) -> None:
    world = World(seed=100)
    tasks = slot_tasks(world, 8)
    runner = retrospective(tasks, world, retries=1)
    found = runner.run(tasks)
    _, failures = reflection_tasks(runner, [one for one in found if one.info["attempt"] == 0])
    ratings = ratings_of(found)
    words = [reflection_text(slot, action) for slot in range(5) for action in range(5)]
    rows = [
        *ratings.rows,
        *(Rating(failure=one.failure, prompt=one.prompt, reflection=words[0], value=-0.2) for one in ratings.rows),
    ]
    policy = LanguageModelPolicy.tiny(
        [*words, *(row.prompt[0]["content"] for row in rows)], hidden=16, layers=1, heads=2
    )
    options: dict[str, Any] = {
        "writer": policy,
        "ratings": Ratings(rows=rows),
        "reward": reward,
        "model": RewardModel.make(PieceEncoder(["type"], ["slot", *map(str, range(5))])),
        "retry": RetryReward(retrospective=runner, failures=failures),
        "steps": {"sft": 20, "reward": 4, "ppo": 2},
        "learning_rates": {"sft": 1e-2, "reward": 1e-2, "ppo": 1e-3},
        "objective": {"type": "grpo", "kl_coefficient": 0.05},
        "options": {"tasks_per_step": 2, "group_size": 2, "sampling": Sampling(max_new_tokens=10)},
        "output": tmp_path,
    }
    done = RetroformerTrainer(**options).run()
    assert set(done) == ({"sft", "ppo"} if reward == "environment" else {"sft", "reward", "ppo"})
    assert done["ppo"].steps == 2
    again = RetroformerTrainer(**options).run()  # nothing is left to do
    assert again["ppo"].steps == 2
    text = reflect(policy, found[0], 0.4, sampling=Sampling(max_new_tokens=6))
    assert isinstance(text, str)


def test_true_differences_are_those_of_new_attempts() -> None:
    world = World(seed=100)
    tasks = slot_tasks(world, 6)
    runner = retrospective(tasks, world, retries=0)
    first = [one for one in runner.run(tasks) if one.info["return"] < 1]
    prompts, failures = reflection_tasks(runner, first)
    right = first[0].task.reference["right"]  # type: ignore[union-attr]
    taken = [int(digit) for digit in first[0].completion.split()]
    slot = next(place for place in range(5) if right[place] != taken[place])
    said = [
        Trajectory.from_text("x", text, task=task)
        for text, task in (
            (reflection_text(slot, right[slot]), prompts[0]),
            ("nothing to say", prompts[0]),
            ("slot 9 do 9", Task(id="unknown")),
        )
    ]
    scores = RetryReward(retrospective=runner, failures=failures)(said)
    assert scores.values[:2].tolist() == pytest.approx([0.2, 0.0])
    assert scores.note(2) == "the failure that this reflects on is not known"
    assert SingleTurn  # the writer's environment
