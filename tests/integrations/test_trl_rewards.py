"""The callables for TRL by themselves: what becomes of a batch that TRL passes by keyword."""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rewardlab as rl
from rewardlab.integrations.trl import dataset, reward_functions
from rewardlab.integrations.trl.rewards import progress_of


class Trainer:
    """As much of a TRL trainer as a reward function can reach."""

    def __init__(self, num_generations=2, training=True, rank=0):
        self.num_generations, self.num_generations_eval = num_generations, 1
        self.model = SimpleNamespace(training=training)
        self.accelerator = SimpleNamespace(process_index=rank)
        self.args = SimpleNamespace(generation_batch_size=4)
        self.eos_token_ids = [9]
        self.processing_class = SimpleNamespace(pad_token_id=0)
        self.metrics, self.extra = {}, {}

    def log_metric(self, name, value):
        self.metrics.setdefault(name, []).append(value)

    def log_extra(self, column, values):
        self.extra.setdefault(column, []).extend(values)

    def call(self, function, prompts, completions, **columns):
        return function(
            prompts=prompts,
            completions=completions,
            completion_ids=columns.pop("completion_ids", [[5, 9]] * len(prompts)),
            trainer_state=SimpleNamespace(global_step=1, max_steps=4),
            log_metric=self.log_metric,
            log_extra=self.log_extra,
            **columns,
        )


def chat(text):
    return [{"role": "user", "content": text}]


def say(text):
    return [{"role": "assistant", "content": text}]


def seen_by(**options):
    """A reward that keeps what it was shown, and the function TRL would call."""
    seen = []

    @rl.reward(per="batch")
    def watch(trajectories):
        seen.extend(trajectories)
        return [0.0] * len(trajectories)

    (function,) = reward_functions(watch, **options)
    return seen, function


@rl.reward
def length(completion):
    return float(len(completion))


def test_the_name_is_the_column_and_the_function_is_one():
    functions = reward_functions(length + length.named("twice"), total_name="desk")
    assert [function.__name__ for function in functions] == ["desk"]


@pytest.mark.parametrize(
    ("column", "options"),
    [("answer", {}), ("solution", {}), ("truth", {"reference_column": "truth"})],
)
def test_references_and_metadata(column, options):
    seen, function = seen_by(**options)
    Trainer().call(function, ["a", "a"], ["b", "c"], **{column: ["x", "y"], "level": [1, 2], "id": ["t1", "t1"]})
    assert [trajectory.reference for trajectory in seen] == ["x", "y"]
    assert [trajectory.task.metadata for trajectory in seen] == [{"level": 1, "id": "t1"}, {"level": 2, "id": "t1"}]
    assert [trajectory.task.id for trajectory in seen] == ["t1", "t1"]
    assert seen[0].messages == [*chat("a"), *say("b")]


def test_reference_columns_that_are_not_there_or_not_clear():
    _, function = seen_by(reference_column="truth")
    with pytest.raises(ValueError, match=r"'truth' is not a column of the dataset; it has level"):
        Trainer().call(function, ["a"] * 2, ["b"] * 2, level=[1, 2])
    _, function = seen_by()
    with pytest.raises(ValueError, match="solution and answer"):
        Trainer().call(function, ["a"] * 2, ["b"] * 2, answer=[1, 2], solution=[1, 2])


def test_a_whole_task_beside_the_prompt_wins():
    task = rl.Task(id="t", prompt=chat("a"), reference={"n": [1, None]}, metadata={"level": 2})
    rows = dataset([task, task])
    seen, function = seen_by()
    columns = {name: list(rows[name]) for name in rows.column_names if name != "prompt"}
    Trainer().call(function, list(rows["prompt"]), [say("b")] * 2, answer=[1, 1], solution=[2, 2], **columns)
    assert [trajectory.task for trajectory in seen] == [task, task]


def test_references_can_be_decoded_and_one_that_cannot_fails_alone():
    seen, function = seen_by(decode_reference=json.loads)
    values = Trainer().call(function, ["a"] * 2, ["b"] * 2, answer=['{"x": 1}', "{"])
    assert values == [0.0, None]
    assert [trajectory.reference for trajectory in seen] == [{"x": 1}]


def test_tool_turns():
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    completion = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "name": "add", "content": "2"},
        {"content": "2", "role": "assistant"},
    ]
    seen, function = seen_by()
    world = object()
    Trainer().call(
        function, [chat("1 + 1")] * 2, [completion, [{"content": "two"}]], environments=[world, world], answer=[2, 2]
    )
    trajectory, plain = seen
    assert trajectory.tool_calls == [call]
    assert trajectory.observations[1] == [completion[1]]
    assert trajectory.completion == "2"
    assert trajectory.info["environment"] is world
    assert trajectory.tokens is None  # TRL does not say which tokens are the model's own
    assert plain.completion == "two"
    assert plain.tokens.ids.tolist() == [5, 9]


@pytest.mark.parametrize(
    "completion",
    [[{"role": "judge", "content": "x"}], [{"role": "assistant", "content": 3}], [7], 7, None, []],
)
def test_a_completion_that_is_no_conversation_fails_alone(completion):
    trainer = Trainer()
    (function,) = reward_functions(length)
    values = trainer.call(function, [chat("a")] * 2, [say("four"), completion])
    assert values == [4.0, None]
    assert trainer.extra["reward.status"] == ["scored", "failed"]
    assert trainer.extra["reward.note"][1]
    assert trainer.metrics["rewards/reward/failed"] == [0.5]


def test_truncated_is_what_trl_means_by_it():
    seen, function = seen_by()
    Trainer(num_generations=3).call(
        function, ["a"] * 3, ["b"] * 3, completion_ids=[[5, 9], [5, 6], [5, 0]], answer=[1, 1, 1]
    )
    assert [trajectory.truncated for trajectory in seen] == [False, True, False]
    assert [trajectory.terminated for trajectory in seen] == [True, False, True]


# ---- groups -----------------------------------------------------------------------------------------------------------


def groups_of(trajectories):
    order = list(dict.fromkeys(trajectory.group for trajectory in trajectories))
    return [order.index(trajectory.group) for trajectory in trajectories]


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_groups_by_equal_prompts_where_nobody_says_more(sizes):
    seen, function = seen_by()
    prompts = [chat(f"question {index}") for index, size in enumerate(sizes) for _ in range(size)]
    function(prompts=prompts, completions=[say("x")] * len(prompts))
    assert groups_of(seen) == [index for index, size in enumerate(sizes) for _ in range(size)]


def test_groups_of_the_trainer_win_over_equal_prompts():
    seen, function = seen_by()
    Trainer(num_generations=2).call(function, [chat("same")] * 4, [say("x")] * 4)
    assert groups_of(seen) == [0, 0, 1, 1]
    seen, function = seen_by()
    Trainer(num_generations=2, training=False).call(function, [chat("same")] * 2, [say("x")] * 2)
    assert groups_of(seen) == [0, 1]  # num_generations_eval


def test_groups_by_size_and_by_column():
    seen, function = seen_by(group_size=3)
    Trainer().call(function, [chat("same")] * 6, [say("x")] * 6)
    assert groups_of(seen) == [0, 0, 0, 1, 1, 1]
    seen, function = seen_by(group_column="episode")
    Trainer().call(function, [chat("same")] * 4, [say("x")] * 4, episode=[{"n": 1}, {"n": 2}, {"n": 1}, {"n": 2}])
    assert groups_of(seen) == [0, 1, 0, 1]
    _, function = seen_by(group_column="episode")
    with pytest.raises(ValueError, match="group_column='episode' is not a column"):
        Trainer().call(function, [chat("same")] * 4, [say("x")] * 4)


def test_a_cut_group_is_refused_only_where_groups_matter():
    _, function = seen_by()  # per batch: group-wise
    with pytest.raises(ValueError, match="a group is cut"):
        Trainer(num_generations=2, rank=1).call(function, [chat("same")] * 3, [say("x")] * 3)
    (function,) = reward_functions(length)
    assert Trainer(num_generations=2, rank=1).call(function, [chat("same")] * 3, [say("x")] * 3) == [1.0] * 3


# ---- logs -------------------------------------------------------------------------------------------------------------


def test_parts_keep_their_dotted_names_and_do_not_collide():
    trainer = Trainer()
    inner = length.named("prompt") + length.named("size")
    (function,) = reward_functions((0.5 * inner.named("both")) + length.named("reward"))
    trainer.call(function, ["a"] * 2, ["x", "yyy"])
    assert trainer.metrics["rewards/both.size/mean"] == [2.0]
    assert trainer.metrics["rewards/reward.reward/mean"] == [2.0]
    assert "rewards/reward/mean" not in trainer.metrics  # TRL logs the total itself
    assert trainer.extra["both.prompt"] == [1.0, 3.0]
    trainer = Trainer()
    (function,) = reward_functions(length.named("prompt") + length.named("size"))
    trainer.call(function, ["a"] * 2, ["x", "yyy"])
    assert "prompt" not in trainer.extra
    assert trainer.extra["reward.prompt"] == [1.0, 3.0]


@pytest.mark.parametrize(("parts", "expected"), [(False, set()), (["size"], {"size"})])
def test_parts_can_be_left_out(parts, expected):
    trainer = Trainer()
    (function,) = reward_functions(length.named("prompt") + length.named("size"), parts=parts)
    trainer.call(function, ["a"] * 2, ["x", "yyy"])
    assert {name for name in trainer.extra if not name.startswith("reward.")} == expected


def test_columns_that_come_and_go_stay_of_one_length():
    class Sometimes(rl.Verifier):
        def verify(self, trajectory):
            return rl.Verdict(1.0, parts={trajectory.completion: 1.0})

    trainer = Trainer()
    (function,) = reward_functions(Sometimes())
    for completion in ("a", "b", "a"):
        trainer.call(function, ["q"] * 2, [completion] * 2)
    assert {name: len(column) for name, column in trainer.extra.items() if name in ("a", "b", "reward.note")} == {
        "a": 6,
        "b": 6,
        "reward.note": 6,
    }
    assert trainer.extra["a"] == [1.0, 1.0, None, None, 1.0, 1.0]
    assert trainer.extra["b"] == [None, None, 1.0, 1.0, None, None]


def test_an_old_trainer_without_callbacks_still_gets_its_rewards():
    (function,) = reward_functions(length)
    assert function(prompts=["a"], completions=["bb"]) == [2.0]


# ---- the rest ---------------------------------------------------------------------------------------------------------


def test_progress():
    weighted = length.scheduled(lambda progress: 1 - progress)
    (function,) = reward_functions(weighted)
    assert Trainer().call(function, ["a"] * 2, ["xx", "xxxx"]) == [1.5, 3.0]
    assert progress_of(None) is None
    assert progress_of(SimpleNamespace(global_step=3, max_steps=0)) is None
    assert progress_of(SimpleNamespace(global_step=9, max_steps=4)) == 1.0


def test_learning_rewards_learn_in_training_and_not_in_evaluation():
    def after(training, **options):
        (function,) = reward_functions(length.normalised(), **options)
        for _ in range(2):
            values = Trainer(training=training, num_generations=1).call(function, ["a"] * 2, ["x", "xxx"])
        return values

    assert after(True) == pytest.approx([-1.0, 1.0], abs=1e-3)
    assert after(False) != pytest.approx([-1.0, 1.0], abs=1e-3)
    assert after(True, observe=False) == after(False)


def test_async_rewards_are_coroutine_functions_and_others_are_not():
    @rl.reward
    async def judge(completion):
        await asyncio.sleep(0)
        return 1.0

    (function,) = reward_functions(length)
    assert not asyncio.iscoroutinefunction(function.__call__)
    (function,) = reward_functions(length + judge)
    assert asyncio.iscoroutinefunction(function.__call__)
    assert asyncio.run(Trainer().call(function, ["a"] * 2, ["x", "xxx"])) == [2.0, 4.0]


def test_functions_travel_to_other_processes():
    (function,) = reward_functions(rl.ExactMatch())
    copy = pickle.loads(pickle.dumps(function))  # noqa: S301  # as worker processes do
    assert Trainer().call(copy, ["a"] * 2, ["x", "y"], answer=["x", "x"]) == [1.0, 0.0]
    assert copy.__name__ == "reward"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: reward_functions(len), TypeError, "decorate a function with @rl.reward"),
        (lambda: reward_functions(length, group_size=0), ValueError, "group_size must be at least 1, got 0"),
        (lambda: reward_functions(length, group_size=2, group_column="x"), ValueError, "give one of them"),
        (lambda: reward_functions(length, total_name=""), ValueError, "total_name must not be empty"),
    ],
)
def test_wrong_options(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_values_are_plain_floats_of_the_total():
    (function,) = reward_functions(0.25 * length + 1.0)
    values = Trainer().call(function, ["a"] * 2, ["x", "xxx"])
    assert values == [1.25, 1.75]
    assert all(type(value) is float for value in values)
    assert np.isfinite(values).all()


def test_the_door_itself_is_light():
    code = (
        "import sys, rewardlab as rl; rl.integrations.trl.reward_functions(rl.ExactMatch()); "
        "print([name for name in ('torch', 'trl', 'transformers', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
