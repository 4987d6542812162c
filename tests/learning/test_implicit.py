from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rewardlab as rl
from rewardlab.environments.base import Environment, Step
from rewardlab.learning import ImplicitProcessReward
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.logprobs import token_logprobs
from rewardlab.recipes.oprl import oprl
from rewardlab.rewards.spec import from_spec
from rewardlab.training import Trainer
from rewardlab.training.credit import EpisodePlusStep
from rewardlab.training.warm_start import WarmStart
from rewardlab.types import Message, Scores, Status, Task, Tokens, Trajectory
from tests.training.worlds import NOUNS, WORDS, policy

STEPS = np.array([-1, -1, 0, 0, -1, 1, 1, 1])


@rl.reward
def noted(trajectories: list[Trajectory]) -> np.ndarray:
    """What the trajectory says that it was worth."""
    return np.array([entry.info["worth"] for entry in trajectories], dtype=float)


def attempt(
    acting: LanguageModelPolicy, worth: float, seed: int, group: str = "g", steps: np.ndarray = STEPS
) -> Trajectory:
    """An attempt of two actions with random tokens, and the probabilities that the policy gives them."""
    ids = torch.from_numpy(np.random.default_rng(seed).integers(5, 60, size=(1, steps.size)))
    written = torch.from_numpy(steps >= 0)[None]
    with torch.no_grad():
        logprobs = token_logprobs(acting.model, ids, positions_mask=written)[0].numpy()
    return Trajectory(
        observations=[[{"role": "user", "content": "go"}], [], []],
        actions=[{"role": "assistant", "content": "a"}] * 2,
        tokens=Tokens(ids=ids[0].numpy(), step=steps, logprobs=logprobs),
        group=group,
        terminated=True,
        info={"worth": worth, "labels": [1.0, float(worth > 0.5)]},
    )


def batch(
    acting: LanguageModelPolicy, worths: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0), group: str = "g"
) -> list[Trajectory]:
    return [attempt(acting, worth, seed, group) for seed, worth in enumerate(worths)]


def implicit(acting: LanguageModelPolicy, **options: Any) -> ImplicitProcessReward:
    return ImplicitProcessReward(**{"outcome": noted, "policy": acting, "learning_rate": 1e-2, **options})


def weights(reward: ImplicitProcessReward) -> list[torch.Tensor]:
    model = reward._model.model
    return [] if model is None else [weight.detach().clone() for weight in model.parameters()]


# ---- the reward -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalise", ["max", "std", "none"])
def test_before_it_learns_all_step_rewards_are_exactly_zero(normalise: str) -> None:
    acting = policy()
    reward = implicit(acting, normalise=normalise)
    scores = reward(batch(acting))
    assert scores.values.tolist() == [1, 0, 0, 0]
    assert [row.tolist() for row in scores.steps or []] == [[0.0, 0.0]] * 4
    line = reward.learn(batch(acting), scores)
    assert line["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert line["pairs"] == 3
    assert line["pair_accuracy"] == 0.5


def test_it_learns_from_pairs_and_step_rewards_are_log_ratios_of_their_tokens() -> None:
    acting = policy()
    reward = implicit(acting, beta=0.5, aggregate="sum", normalise="none", updates=8, labels="labels")
    made = batch(acting)
    for _ in range(3):
        line = reward.learn(made, reward(made))
    assert line["pair_accuracy"] == 1.0
    assert line["loss"] < 0.6
    assert {"auroc", "auroc_policy", "outcome_correlation", "drift", "grad_norm"} <= set(line)
    scores = reward(made)
    model = reward._model.model
    for entry, row in zip(made, scores.steps or [], strict=True):
        assert entry.tokens is not None
        with torch.no_grad():
            found = token_logprobs(model, torch.from_numpy(entry.tokens.ids)[None])[0].numpy() - entry.tokens.logprobs
        assert row == pytest.approx([0.5 * found[[2, 3]].sum(), 0.5 * found[[5, 6, 7]].sum()], abs=1e-5)
    sums = [row.sum() for row in scores.steps or []]
    assert sums[0] > max(sums[1:])
    assert scores.parts["implicit"].values.tolist() == pytest.approx(sums)
    scaled = replace(reward, normalise="max")
    object.__setattr__(scaled, "_model", reward._model)
    assert np.abs(np.concatenate(scaled(made).steps)).max() == pytest.approx(1.0, abs=1e-4)


def test_cutting_a_batch_into_pieces_changes_nothing() -> None:
    acting = policy()
    made = batch(acting, (1.0, 0.5, 0.0, 0.2))
    found = []
    for budget in (8, 4096):
        reward = implicit(acting, micro_batch_tokens=budget, learning_rate=1e-3)
        reward.learn(made, reward(made))
        found.append(np.concatenate(reward(made).steps))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("worths", [(1.0, 1.0), (0.0, 0.0)])
def test_without_a_pair_the_model_stays_as_it_is_bit_for_bit(worths: tuple[float, ...]) -> None:
    acting = policy()
    reward = implicit(acting)
    made = batch(acting)
    reward.learn(made, reward(made))
    before = weights(reward)
    same = batch(acting, worths)
    line = reward.learn(same, reward(same))
    assert (line["pairs"], line["without_pair"], line["updates"]) == (0, 1, 0)
    assert all(torch.equal(one, other) for one, other in zip(before, weights(reward), strict=True))


def test_failed_outcomes_are_in_no_pair_and_what_has_no_tokens_fails() -> None:
    acting = policy()
    reward = implicit(acting)
    made = batch(acting)
    bare = replace(made[0], tokens=None)
    silent = replace(made[0], tokens=replace(made[0].tokens, logprobs=np.zeros(8)))
    scores = reward([*made[1:], bare, silent])
    assert scores.status.tolist() == [Status.SCORED] * 3 + [Status.FAILED] * 2
    assert "has no tokens" in str(scores.note(3))
    assert "no log-probabilities" in str(scores.note(4))
    whole = reward(made)
    whole.parts["outcome"] = Scores(values=np.array([np.nan, 0, 0, 0]), status=np.array([2, 0, 0, 0]))
    assert reward.learn(made, whole)["pairs"] == 0


def test_options_of_trajectory_values() -> None:
    """The mean over steps, and over tokens, of the same log-ratios."""
    acting = policy()
    made = batch(acting)
    tokens = [entry.tokens for entry in made if entry.tokens is not None]
    teacher = implicit(acting, updates=4)
    teacher.learn(made, teacher(made))
    model = teacher._model.model
    rows = [row[[2, 3]].sum() + row[[5, 6, 7]].sum() for row in teacher.log_ratios(made)]
    shares = [row[[2, 3]].mean() + row[[5, 6, 7]].mean() for row in teacher.log_ratios(made)]
    for options, want in (
        ({"aggregate": "sum"}, rows),
        ({"aggregate": "mean"}, [row / 2 for row in rows]),
        ({"aggregate": "mean", "per_token": True}, [row / 2 for row in shares]),
        ({"aggregate": "sum", "per_token": True}, shares),
    ):
        other = implicit(acting, **options)
        got = other._model._values(model, tokens).detach().numpy()
        np.testing.assert_allclose(got, 0.05 * np.array(want), rtol=1e-4, atol=1e-7)


def test_a_fixed_reference_and_the_other_loss() -> None:
    acting = policy()
    made = batch(acting)
    fixed, behaviour = implicit(acting, reference="fixed"), implicit(acting)
    for reward in (fixed, behaviour):
        reward.learn(made, reward(made))
    # the policy has not moved, so that it is the same reference
    np.testing.assert_allclose(np.concatenate(fixed(made).steps), np.concatenate(behaviour(made).steps), atol=1e-3)
    entropy = implicit(acting, loss="cross_entropy")
    assert entropy.learn(made, entropy(made))["loss"] == pytest.approx(math.log(2), abs=1e-5)
    wrong = batch(acting, (2.0, 0.0))
    with pytest.raises(ValueError, match=r"outcomes in \[0, 1\]"):
        entropy.learn(wrong, entropy(wrong))


def test_a_model_that_drifted_away_becomes_the_policy_again() -> None:
    acting = policy()
    made = batch(acting)
    reward = implicit(acting, learning_rate=0.1, updates=4, resync_above=0.01)
    reward.learn(made, reward(made))
    assert "resynced" not in reward.history[0]
    assert reward.learn(made, reward(made))["resynced"] == 1.0
    assert reward.history[1]["loss"] == pytest.approx(math.log(2), abs=1e-5)


def test_an_adapter_is_trained_instead_of_all_weights() -> None:
    acting = policy()
    made = batch(acting)
    reward = implicit(acting, lora={"rank": 2}, updates=2)
    reward.learn(made, reward(made))
    trained = [name for name, weight in reward._model.model.named_parameters() if weight.requires_grad]
    assert trained
    assert all("lora" in name for name in trained)
    assert np.abs(np.concatenate(reward(made).steps)).max() > 0
    adapted = policy(lora={"rank": 2})
    reward = implicit(adapted, updates=2)  # the copy trains what the policy trains
    reward.learn(batch(adapted), reward(batch(adapted)))
    trained = [name for name, weight in reward._model.model.named_parameters() if weight.requires_grad]
    assert trained
    assert all("lora" in name for name in trained)
    twice = implicit(adapted, lora={"rank": 2})
    with pytest.raises(ValueError, match="has an adapter already"):
        twice.learn(batch(adapted), twice(batch(adapted)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 0.0}, "'beta' must be positive"),
        ({"updates": 0}, "'updates' must be at least 1"),
        ({"margin": -1.0}, "'margin' must not be negative"),
        ({"pairs": "some"}, "'pairs' must be"),
        ({"lora": {"rank": 2}, "resync_above": 1.0}, "an adapter cannot"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImplicitProcessReward(outcome=noted, **options)


def test_it_says_what_it_misses() -> None:
    acting = policy()
    with pytest.raises(RuntimeError, match="no policy to copy"):
        ImplicitProcessReward(outcome=noted)(batch(acting))
    with pytest.raises(RuntimeError, match="credit=reward.credit"):
        implicit(acting, lag=False).observe(batch(acting), Scores(values=np.zeros(4)))
    made = batch(acting)
    reward = implicit(acting)
    reward.learn(made, reward(made))
    assert made[0].tokens is not None
    made[0].tokens.ids[0] = 10_000
    with pytest.raises(ValueError, match="another tokenizer"):
        reward(made)


def test_another_temperature_than_that_of_sampling_is_noticed() -> None:
    acting = policy()
    made = batch(acting)
    for entry in made:
        assert entry.tokens is not None
        entry.tokens.logprobs *= 1.5
    reward = implicit(acting)
    with pytest.warns(
        UserWarning, match="nats from the one stored with it; was it sampled at another temperature than 1"
    ):
        reward.learn(made, reward(made))


def test_labels_may_be_missing_but_not_of_another_number() -> None:
    acting = policy()
    made = batch(acting)
    for entry in made[1:]:
        entry.info.pop("labels")
    reward = implicit(acting, labels="labels")
    assert "auroc" not in reward.learn(made, reward(made))  # the one that is left has only right steps
    made[1].info["labels"] = [1.0]
    with pytest.raises(ValueError, match="must have one label for each of 2 steps"):
        reward.learn(made, reward(made))


def test_it_can_be_named_in_a_configuration() -> None:
    reward = from_spec({"type": "implicit_process", "outcome": {"type": "exact_match"}, "beta": 0.3})
    assert isinstance(reward, ImplicitProcessReward)
    assert reward.beta == 0.3


# ---- in the loop ------------------------------------------------------------------------------------------------------------


class Corridor(Environment):
    """Three turns, each with another noun; the outcome is the share of turns answered with the noun's word."""

    def reset(self, task: Task, seed: int) -> list[Message]:
        self.nouns = [int(place) for place in np.random.default_rng([seed, int(task.id[1:])]).integers(4, size=3)]
        self.turn, self.right = 0, 0
        return [{"role": "user", "content": NOUNS[self.nouns[0]]}]

    def step(self, action: Message) -> Step:
        self.right += action["content"].strip().startswith(WORDS[self.nouns[self.turn]])
        self.turn += 1
        over = self.turn == 3
        return Step(
            observation=[] if over else [{"role": "user", "content": NOUNS[self.nouns[self.turn]]}],
            reward=self.right / 3 if over else math.nan,
            terminated=over,
        )


@rl.reward
def share(trajectories: list[Trajectory]) -> np.ndarray:
    """The environment's last reward, 0 where it never came so far, and a little for long answers, so that there are pairs."""
    last = np.array([entry.rewards[-1] for entry in trajectories])
    return np.nan_to_num(last) + [0.01 * len(str(entry.actions[0]["content"])) for entry in trajectories]


@pytest.fixture(scope="module")
def start() -> dict[str, torch.Tensor]:
    """Weights of a policy that answers with some word, and stops."""
    draw, demonstrations = np.random.default_rng(0), []
    for _ in range(16):
        nouns, words = draw.integers(4, size=3), draw.integers(4, size=3)
        opening = [[{"role": "user", "content": NOUNS[place]}] for place in nouns]
        said = [{"role": "assistant", "content": WORDS[place]} for place in words]
        demonstrations.append(Trajectory(observations=[*opening, []], actions=said, terminated=True))
    acting = policy()
    lesson = WarmStart(demonstrations=demonstrations, steps=25, learning_rate=1e-2)
    for number in range(25):
        lesson.step(acting, Corridor, number, 0)
    return {name: weight.clone() for name, weight in acting.model.state_dict().items()}


def trainer(start: dict[str, torch.Tensor], output: Path | None = None, steps: int = 2, **options: Any) -> Trainer:
    acting = policy()
    acting.model.load_state_dict(start)
    return Trainer(
        policy=acting,
        environment=Corridor,
        tasks=[Task(id=f"t{number}") for number in range(4)],
        **oprl(share, beta=0.5, aggregate="sum", learning_rate=1e-3, updates=2, replay=2, **options),
        objective={"type": "grpo", "learning_rate": 1e-3},
        steps=steps,
        group_size=4,
        tasks_per_step=2,
        sampling=Sampling(max_new_tokens=8),
        trackers=(),
        output=output,
    )


@pytest.mark.parametrize("options", [{}, {"lag": False}, {"granularity": "token"}, {"lag": False, "episode": "group"}])
def test_the_loop_trains_both_models(start: dict[str, torch.Tensor], options: dict[str, Any]) -> None:
    run = trainer(start, **options)
    reports = [run.step(), run.step()]
    assert [line["updates"] for line in run.reward.history] == [2, 2]
    assert all(report.advantages.included.any() for report in reports)
    last = reports[-1]
    spread = [
        np.ptp(row) for row, inside in zip(last.advantages.values, last.advantages.included, strict=True) if inside
    ]
    assert max(spread) > 0  # steps of one attempt differ
    assert (last.advantages.tokens is not None) == (options.get("granularity") == "token")
    first = reports[0].advantages
    # with a lag the model was the policy at first, which leaves outcomes alone
    assert all(np.ptp(row) == 0 for row in first.values) == options.get("lag", True)


def test_a_resumed_run_is_the_same_run(start: dict[str, torch.Tensor], tmp_path: Path) -> None:
    whole = trainer(start, tmp_path / "whole", steps=3)
    whole.run()
    cut = trainer(start, tmp_path / "cut", steps=3)
    cut.callbacks = [lambda report: report.step == 2]
    cut.run()
    again = trainer(start, tmp_path / "cut", steps=3)
    again.run()
    assert len(again.reward.history) == 3
    for one, other in zip(weights(whole.reward), weights(again.reward), strict=True):
        assert torch.equal(one, other)
    assert whole.reward.history[-1] == pytest.approx(again.reward.history[-1])


def test_token_advantages_are_the_rule_with_tokens_for_steps() -> None:
    acting = policy()
    made = batch(acting)
    reward = implicit(acting, granularity="token", normalise="none", updates=4)
    reward.learn(made, reward(made))
    rule = EpisodePlusStep(step_weight=3.0)
    got = reward.credit(rule)(made, reward(made))
    values = reward.token_values(made)
    mean = np.concatenate(values).mean()
    whole = [1.0, -1 / 3, -1 / 3, -1 / 3]
    assert got.tokens is not None
    for row, own, outcome in zip(got.tokens, values, whole, strict=True):
        np.testing.assert_allclose(row, outcome + 3.0 * (own - mean), atol=1e-6)
