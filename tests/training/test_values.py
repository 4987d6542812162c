"""Objectives with a value head: what their updates follow, how they learn, and how they are resumed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardlab.environments.base import Environment, Step
from rewardlab.functional import clipped_surrogate, kl_estimate, whiten
from rewardlab.policies.batching import collate
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.rollout import Limits, rollout
from rewardlab.policies.value_head import MissingValueHead
from rewardlab.rewards.base import Reward
from rewardlab.training import Trainer, WarmStart, train
from rewardlab.training.credit import GAE, Advantages
from rewardlab.training.objectives import AWR, PPO
from rewardlab.types import Scores, Task, Trajectory, message_text
from tests.training.test_objectives import gradient_step, weights_of
from tests.training.worlds import policy, tasks

torch.set_num_threads(1)


class Walk(Environment):
    """Say the letter that was just heard, four times; the wrong one ends it."""

    def reset(self, task, seed):
        self.left = list(task.reference)
        return [{"role": "user", "content": self.left[0]}]

    def step(self, action):
        right = message_text(action) == self.left.pop(0)
        observation = [{"role": "user", "content": self.left[0]}] if right and self.left else []
        return Step(observation=observation, reward=0.25 * right, terminated=not (right and self.left))


class Paid(Reward):
    """What the environment paid."""

    def _score(self, trajectories, progress):
        return Scores(values=np.array([np.nansum(one.rewards) for one in trajectories]))


WORDS = [Task(id=word, reference=word, prompt=[]) for word in ("abab", "baba", "aabb", "bbaa", "abba", "baab")]


def walker(seed=0):
    return LanguageModelPolicy.tiny(["a b"], vocabulary_size=300, hidden=32, layers=1, heads=2, context=64, seed=seed)


def shown(count):
    """Demonstrations of the first letter alone, so that the rest has to be found out."""
    made = []
    for task in WORDS[:count]:
        said = {"role": "assistant", "content": task.reference[0]}
        made.append(
            Trajectory(observations=[[{"role": "user", "content": said["content"]}], []], actions=[said], task=task)
        )
    return made


def learn(folder=None, steps=10, seed=0, **options):
    acting = walker()
    run = train(
        acting, Walk, Paid(), WORDS, objective=options.pop("objective", PPO(learning_rate=3e-3, epochs=2, value_clip=0.5)),
        credit=options.pop("credit", GAE(source="environment", hidden=16)), steps=steps, group_size=8, tasks_per_step=6,
        sampling=Sampling(max_new_tokens=2), limits=Limits(turns=6), output=folder, trackers=[], seed=seed,
        warm_start=WarmStart(demonstrations=shown(2), steps=12, batch_size=2, learning_rate=2e-2), **options,
    )  # fmt: skip
    return acting, run


@pytest.fixture(scope="module")
def batch():
    """Trajectories of a policy with their advantages, targets and earlier values, by actions."""
    acting = policy()
    made = rollout(acting, Walk, WORDS, group_size=2, sampling=Sampling(max_new_tokens=4), seed=4)
    draw = np.random.default_rng(0)
    values, targets, baselines = ([draw.normal(size=len(one)) for one in made] for _ in range(3))
    included = np.ones(len(made), dtype=bool)
    return made, Advantages(values=values, included=included, targets=targets, baselines=baselines, decay=0.5)


def with_head(seed=1):
    acting = policy(seed=seed)
    head = acting.add_value_head(hidden=8)
    with torch.no_grad():
        head.layers[-1].weight.normal_(generator=torch.Generator().manual_seed(1))
    return acting


@pytest.mark.parametrize("detach", [False, True])
def test_the_update_follows_the_gradient_of_the_loss(batch, detach):
    """Policy, value head and entropy, written out for the whole batch at once."""
    made, advantages = batch
    acting = with_head()
    options = {"entropy_coefficient": 0.3, "value_coefficient": 0.7, "value_clip": 0.2, "detach_values": detach}
    objective = PPO(max_grad_norm=None, learning_rate=0.0, micro_batch_tokens=40, share_prompts=False, **options)
    measured, (caught,) = gradient_step(objective, acting, made, advantages)
    columns = collate([one.tokens for one in made])
    weights, mask = torch.zeros(columns.ids.shape), columns.written
    targets, baselines = (torch.full(columns.ids.shape, torch.nan) for _ in range(2))
    for line, one in enumerate(made):
        for step in range(len(one)):
            own = np.flatnonzero(one.tokens.step == step)
            weights[line, own] = float(advantages.values[line][step])
            targets[line, own[0]] = float(advantages.targets[line][step])
            baselines[line, own[0]] = float(advantages.baselines[line][step])
    found = acting.model(input_ids=columns.ids, output_hidden_states=True)
    distributions = torch.log_softmax(found.logits[:, :-1], -1)
    logprobs = torch.nn.functional.pad(distributions.gather(-1, columns.ids[:, 1:, None]).squeeze(-1), (1, 0))
    entropies = torch.nn.functional.pad(-(distributions.exp() * distributions).sum(-1), (1, 0))
    states = found.hidden_states[-1].detach() if detach else found.hidden_states[-1]
    said = torch.nn.functional.pad(acting.value_head(states)[:, :-1], (1, 0))
    ratios = torch.where(mask, logprobs - columns.logprobs, 0.0)
    surrogate = clipped_surrogate(ratios, whiten(weights, mask)).losses[mask].mean()
    asked = torch.isfinite(targets)
    said, targets, baselines = said[asked], targets[asked], baselines[asked]
    limited = baselines + (said - baselines).clamp(-0.2, 0.2)
    errors = torch.maximum((said - targets) ** 2, (limited - targets) ** 2) / 2
    loss = surrogate + 0.7 * errors.mean() - 0.3 * entropies[mask].mean()
    assert measured["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
    assert measured["value_loss"] == pytest.approx(float(errors.mean().detach()), rel=1e-4)
    weights_there = [*acting.model.parameters(), *acting.value_head.parameters()]
    expected = torch.cat([part.flatten() for part in torch.autograd.grad(loss, weights_there)])
    assert torch.allclose(caught, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("per_token", [False, True])
def test_divergence_paid_in_the_reward_reaches_back_and_lowers_targets(batch, per_token):
    made, advantages = batch
    if per_token:
        counts = [int((one.tokens.step >= 0).sum()) for one in made]
        tokens = [np.arange(count, dtype=float) for count in counts]
        advantages = Advantages(
            values=advantages.values, included=advantages.included, tokens=tokens, targets=tokens, decay=0.5
        )
    objective = PPO(kl_coefficient=0.5, kl_in="reward", kl_estimator="k1", whitening=False)
    acting = with_head()
    learner = objective.learner(acting)
    learner.keep_reference()
    learner.reference = {name: weight + 0.05 for name, weight in learner.reference.items()}
    rows = objective._rows(made, advantages)
    before = [(row.advantage.copy(), row.target.copy()) for row in rows]
    objective._prepare(learner, rows)
    for row, (advantage, target) in zip(rows, before, strict=True):
        written = np.flatnonzero(row.written)
        divergence = kl_estimate(torch.from_numpy(row.old), torch.from_numpy(row.reference), "k1").numpy()
        step = np.arange(written.size) if per_token else row.tokens.step[written]
        price = np.bincount(step, -0.5 * divergence[written])
        for place in reversed(range(price.size - 1)):
            price[place] += 0.5 * price[place + 1]
        assert row.advantage[written] == pytest.approx(advantage[written] + price[step], abs=1e-4)
        asked = np.isfinite(target)
        assert row.target[asked] == pytest.approx(target[asked] + price[step][asked[written]], abs=1e-4)


def test_the_value_head_alone_is_trained_at_first(batch):
    made, advantages = batch
    acting = with_head()
    objective = PPO(learning_rate=1e-2, value_warmup=2, epochs=2, entropy_coefficient=0.1, weight_decay=0.1)
    start, head = weights_of(acting), acting.value_head.layers[-1].weight.clone()
    measured = objective.update(acting, made, advantages)
    assert torch.equal(weights_of(acting), start)
    assert not torch.equal(acting.value_head.layers[-1].weight, head)
    objective.update(acting, made, advantages)
    assert not torch.equal(weights_of(acting), start)
    assert measured["optimizer_steps"] == 2


def test_the_value_head_has_a_learning_rate_of_its_own(batch):
    acting = with_head()
    objective = PPO(learning_rate=1e-3, value_learning_rate=1e-2, schedule="linear")
    objective.update(acting, *batch, progress=0.5)
    rates = [group["lr"] for group in objective.learner(acting).optimizer.param_groups]
    assert rates == pytest.approx([5e-4, 5e-3])


def test_the_price_of_divergence_moves_and_is_resumed(batch):
    acting = with_head()
    objective = PPO(kl_coefficient=1.0, kl_target=0.5, kl_horizon=12, learning_rate=1e-3)
    assert objective.update(acting, *batch)["kl_coefficient"] == 1.0
    assert objective.kl_coefficient == pytest.approx(0.8)  # nothing has moved yet, so it is too dear
    again = PPO(kl_coefficient=1.0, kl_target=0.5, kl_horizon=12)
    again.load_state_dict(objective.state_dict())
    assert again.kl_coefficient == objective.kl_coefficient
    with pytest.raises(ValueError, match="must not begin at 0"):
        PPO(kl_target=0.1)


def test_what_does_not_fit_is_named(batch):
    made, advantages = batch
    with pytest.raises(MissingValueHead, match=r"add_value_head\(\)"):
        PPO().update(policy(), made, advantages)
    bare = Advantages(values=advantages.values, included=advantages.included)
    with pytest.raises(ValueError, match="use credit gae, or value_coefficient=0"):
        PPO().update(with_head(), made, bare)
    plain = policy(seed=1)
    PPO(value_coefficient=0.0, learning_rate=1e-3).update(plain, made, bare)
    assert not torch.equal(weights_of(plain), weights_of(policy(seed=1)))
    for options in ({"value_clip": 0.0}, {"value_coefficient": -1.0}, {"kl_in": "both"}, {"value_warmup": -1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            PPO(**options)


def test_advantage_weighted_regression_imitates_the_better_ones(batch):
    made, advantages = batch
    acting = policy(seed=1)
    objective = AWR(max_grad_norm=None, learning_rate=0.0, beta=0.5, limit=3.0)
    measured, (caught,) = gradient_step(objective, acting, made, advantages)
    columns = collate([one.tokens for one in made])
    found = torch.log_softmax(acting.model(input_ids=columns.ids).logits[:, :-1], -1)
    logprobs = torch.nn.functional.pad(found.gather(-1, columns.ids[:, 1:, None]).squeeze(-1), (1, 0))
    total = 0.0
    for line, one in enumerate(made):
        for token in np.flatnonzero(one.tokens.step >= 0):
            weight = min(np.exp(advantages.values[line][one.tokens.step[token]] / 0.5), 3.0)
            total = total - weight * logprobs[line, token]
    loss = total / int(columns.written.sum())
    assert measured["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
    expected = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(acting.model.parameters()))])
    assert torch.allclose(caught, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("objective", "credit"),
    [("ppo", {"level": "step"}), ("ppo", {"level": "token"}), ("awr", {"level": "step"})],
)
def test_it_learns_with_a_value_head(objective, credit):
    options = {"learning_rate": 3e-3, "value_learning_rate": 1e-2}
    ppo, awr = PPO(epochs=2, entropy_coefficient=0.02, **options), AWR(value_coefficient=0.5, beta=0.2, **options)
    chosen = ppo if objective == "ppo" else awr
    _, run = learn(objective=chosen, credit=GAE(source="environment", hidden=16, **credit), steps=12)
    rewards = [line["reward/mean"] for line in run.metrics]
    assert np.mean(rewards[-2:]) > np.mean(rewards[:2]) + 0.2
    assert all(np.isfinite(line["credit/explained_variance"]) for line in run.metrics)


def test_values_come_near_their_targets(batch):
    made, advantages = batch
    acting, objective = with_head(), PPO(learning_rate=1e-4, value_learning_rate=3e-2, epochs=6)
    losses = [objective.update(acting, made, advantages)["value_loss"] for _ in range(8)]
    assert losses[-1] < 0.5 * losses[0]


def test_a_resumed_training_gives_the_same_numbers(tmp_path):
    whole, run = learn(tmp_path / "whole", steps=4)
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "cut", steps=4, callbacks=[_interrupt])
    again, resumed = learn(tmp_path / "cut", steps=4)
    assert [line["step"] for line in resumed.metrics] == [1, 2, 3, 4]
    for left, right in zip(run.metrics, resumed.metrics, strict=True):
        kept = {name for name in left if not name.startswith(("seconds", "groups"))}
        assert {name: left[name] for name in kept} == {name: right[name] for name in kept}
    assert torch.equal(weights_of(whole), weights_of(again))
    saved = LanguageModelPolicy.load(tmp_path / "cut" / "policy", device="cpu", value_head=True)
    for left, right in zip(whole.value_head.parameters(), saved.value_head.parameters(), strict=True):
        assert torch.equal(left, right)


def test_a_value_head_missing_from_a_checkpoint_is_named(tmp_path):
    def start(**options):
        acting = policy()
        return Trainer(
            policy=acting, environment=Walk, reward=Paid(), tasks=tasks(2), steps=1, group_size=2, output=tmp_path,
            trackers=[], objective=PPO(value_coefficient=0.0), **options,
        )  # fmt: skip

    first = start(credit="batch")
    first.tasks = first.curriculum.tasks = WORDS[:2]
    first.run()
    second = start(credit="batch")
    second.policy.add_value_head()
    with pytest.raises(MissingValueHead, match="has no value head, but the policy has one"):
        second.run()


def _interrupt(report):
    if report.step == 2:
        raise KeyboardInterrupt
