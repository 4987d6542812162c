"""The door into TRL, tried with its real trainers."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

import rewardlab as rl
from rewardlab.integrations.trl import reward_functions
from tests.integrations import trainers

TRAINERS = [(GRPOTrainer, GRPOConfig), (RLOOTrainer, RLOOConfig)]


@rl.reward
def short(completion):
    return 1.0 / (1 + len(completion))


@rl.reward
def letters(completion, reference):
    if reference == "blue":
        raise RuntimeError("the judge is away")
    return float(sum(character.isalpha() for character in completion))


def steps_of(trainer):
    return [entry for entry in trainer.state.log_history if "reward" in entry]


def table_of(trainer):
    """The table of completions as TRL writes it (RLOO only sends it to trackers): the columns must have one length."""
    logs = trainer._logs
    columns = {"prompt": logs["prompt"], **logs["rewards"], **logs["extra"], "advantage": logs["advantages"]}
    return pd.DataFrame(columns)


@pytest.mark.parametrize("make_dataset", [trainers.conversational, trainers.plain])
@pytest.mark.parametrize(("trainer_class", "config_class"), TRAINERS)
def test_parts_are_columns_and_failures_are_masked(tmp_path, trainer_class, config_class, make_dataset):
    seen = []

    @rl.reward(per="batch")
    def watch(trajectories, progress):
        seen.append((trajectories, progress))
        return [0.0] * len(trajectories)

    # a gate and weights of ours: neither may be changed by TRL adding things up
    gated = letters.named("letters").gated_by(short.named("gate"), threshold=0.01)
    reward = 2.0 * short + 0.5 * gated.named("checked") + watch
    trainer = trainers.run(
        trainer_class,
        config_class,
        tmp_path,
        reward_functions(reward),
        make_dataset(),
        per_device_train_batch_size=16,
        log_completions=True,
    )
    first, second = steps_of(trainer)
    for entry in (first, second):
        for name in ("reward", "short", "checked", "checked.letters", "checked.gate", "watch"):
            assert f"rewards/{name}/mean" in entry, sorted(entry)
        assert entry["rewards/reward/failed"] == 0.25  # one of four prompts has the reference that breaks the judge

    table = table_of(trainer)
    assert len(table) == 16
    failed = table["reward.status"] == "failed"
    assert failed.sum() == 4
    assert table["reward"][failed].isna().all()
    assert (table["advantage"][failed] == 0).all()
    assert table["reward.note"][failed].str.contains("the judge is away").all()
    scored = table[~failed]
    expected = 2.0 * scored["short"] + 0.5 * scored["checked"]
    np.testing.assert_allclose(scored["reward"].astype(float), expected.astype(float), rtol=1e-5)
    assert scored["advantage"].abs().max() > 0

    # each batch was scored once, in groups of 4, with the progress of training
    assert [progress for _, progress in seen] == [0.0, 0.5]
    for trajectories, _ in seen:
        groups = [trajectory.group for trajectory in trajectories]
        assert [groups.count(group) for group in groups] == [4] * 16
        assert len({trajectory.task.prompt[-1]["content"] for trajectory in trajectories[:4]}) == 1


def test_advantages_of_trl_are_those_of_our_credit(tmp_path):
    reward = 2.0 * short + 0.1 * letters
    captured = []

    class Watching(GRPOTrainer):
        def _generate_and_score_completions(self, inputs):
            output = super()._generate_and_score_completions(inputs)
            captured.append((list(self._logs["rewards"]["reward"])[-8:], output["advantages"].clone()))
            return output

    trainers.run(Watching, GRPOConfig, tmp_path, reward_functions(reward), trainers.conversational())
    assert any(math.isnan(value) for values, _ in captured for value in values)
    for values, advantages in captured:
        values = torch.tensor(values)
        ours = rl.functional.group_relative(values, torch.arange(8) // 4, ~torch.isnan(values)).advantages
        torch.testing.assert_close(ours.to(advantages), advantages, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("trainer_class", "config_class"), TRAINERS)
def test_nothing_scored_changes_no_weights(tmp_path, trainer_class, config_class):
    @rl.reward
    def broken(completion):
        raise RuntimeError("no judge today")

    policy = trainers.tiny()
    before = {name: weight.clone() for name, weight in policy.model.state_dict().items()}
    trainer = trainers.run(
        trainer_class, config_class, tmp_path, reward_functions(broken), trainers.conversational(), policy
    )
    entries = [entry for entry in trainer.state.log_history if "rewards/reward/failed" in entry]
    assert [entry["rewards/reward/failed"] for entry in entries] == [1.0, 1.0]
    for name, weight in policy.model.state_dict().items():
        assert torch.equal(weight, before[name]), name


def test_groups_and_async_rewards(tmp_path):
    together = []
    running = 0

    @rl.reward
    async def judge(completion):
        import asyncio

        nonlocal running
        running += 1
        together.append(running)
        await asyncio.sleep(0.01)
        running -= 1
        return float(len(completion))

    @rl.reward(per="group")
    def rank(group):
        order = np.argsort([len(member.completion) for member in group], kind="stable")
        return np.argsort(order) / (len(group) - 1)

    async def other(completions, **_):  # an async reward function of the user's own, beside ours
        return [0.0] * len(completions)

    functions = reward_functions(0.1 * judge + rank)
    trainer = trainers.run(
        GRPOTrainer, GRPOConfig, tmp_path, [*functions, other], trainers.conversational(), log_completions=True
    )
    assert max(together) == 8  # all of a batch at once
    table = pd.read_parquet(tmp_path / "completions" / "completions_00001.parquet")
    for _, group in table.groupby(table["prompt"].astype(str)):
        assert sorted(group["rank"]) == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert all("rewards/other/mean" in entry for entry in steps_of(trainer))


def test_evaluation_has_its_own_group_size(tmp_path):
    sizes = []

    @rl.reward(per="group")
    def count(group):
        sizes.append(len(group))
        return [0.0] * len(group)

    trainer = trainers.run(
        GRPOTrainer,
        GRPOConfig,
        tmp_path,
        reward_functions(count),
        trainers.conversational(),
        extra={"eval_dataset": trainers.conversational()},
        eval_strategy="steps",
        eval_steps=2,
        num_generations_eval=2,
        per_device_eval_batch_size=4,
    )
    assert sizes == [4, 4, 4, 4] + [2] * 4
    assert any("eval_rewards/reward/mean" in entry for entry in trainer.state.log_history)


# ---- tools ------------------------------------------------------------------------------------------------------------

CITIES = {"Oslo": "Norway", "Lima": "Peru"}


def look_up(city: str) -> str:
    """Name the country of a city.

    Args:
        city: name of the city.
    """
    return CITIES[city]


class Atlas:
    """An environment of TRL's: its public methods are tools."""

    def reset(self, **row):
        self.asked = []

    def look_up(self, city: str) -> str:
        """Name the country of a city.

        Args:
            city: name of the city.
        """
        self.asked.append(city)
        return CITIES[city]


def answers():
    """Conversations with one call each, which the tiny model learns by heart."""
    found = []
    for city, country in CITIES.items():
        call = {"type": "function", "function": {"name": "look_up", "arguments": {"city": city}}}
        found.append(
            rl.Trajectory.from_messages(
                [
                    {"role": "user", "content": city},
                    {"role": "assistant", "content": "", "tool_calls": [call]},
                    {"role": "tool", "name": "look_up", "content": country},
                    {"role": "assistant", "content": country},
                ]
            )
        )
    return found


@pytest.fixture(scope="module")
def caller():
    """A policy that calls the tool and repeats what it says."""
    policy = trainers.tiny([trajectory.messages for trajectory in answers()])
    policy.tokenizer.response_template = trainers.RESPONSE_TEMPLATE
    assert trainers.memorise(policy, answers()) < 0.05
    return policy


@pytest.mark.parametrize("door", ["tools", "environment_factory"])
def test_tools(tmp_path, caller, door):
    dataset = Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": city}],
                "country": country,
                "calls": [{"name": "look_up", "arguments": {"city": city}}],
            }
            for city, country in CITIES.items()
        ]
    )
    seen = []

    @rl.reward
    def right(completion, metadata):
        return float(completion == metadata["country"])

    @rl.reward
    def watch(trajectory):
        seen.append(trajectory)
        return 0.0

    reward = rl.ToolCallMatch(scope="trajectory") + right + watch
    extra = {"tools": [look_up]} if door == "tools" else {"environment_factory": Atlas}
    trainer = trainers.run(
        GRPOTrainer,
        GRPOConfig,
        tmp_path,
        reward_functions(reward, reference_column="calls"),
        dataset,
        caller,
        extra=extra,
        max_completion_length=64,
        temperature=0.2,
        learning_rate=0.0,
        max_steps=1,
    )
    (entry,) = steps_of(trainer)
    assert entry["rewards/right/mean"] > 0.8, entry
    assert entry["rewards/tool_call_match/mean"] > 0.8, entry
    assert entry["rewards/reward/failed"] == 0
    turns = [trajectory for trajectory in seen if len(trajectory) == 2]
    assert len(turns) >= 6
    for trajectory in turns:
        assert [message["role"] for message in trajectory.messages] == ["user", "assistant", "tool", "assistant"]
        city = trajectory.task.prompt[0]["content"]
        assert trajectory.tool_calls[0]["function"] == {"name": "look_up", "arguments": {"city": city}}
        assert trajectory.observations[1][0]["content"] == CITIES[city]
        if door == "environment_factory":
            assert trajectory.info["environment"].asked == [city]
