from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from rewardlab.environments.single_turn import SingleTurn
from rewardlab.functional import clipped_surrogate, grpo_loss, kl_estimate, kl_in_advantages, reinforce_loss, whiten
from rewardlab.policies.batching import collate
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.logprobs import token_logprobs
from rewardlab.policies.rollout import rollout
from rewardlab.training.credit import Advantages
from rewardlab.training.objectives import GRPO, OBJECTIVES, RAFT, RLOO, NonFiniteUpdate, ReinforcePlusPlus, Supervised
from rewardlab.training.objectives.rows import make_rows
from rewardlab.types import Tokens, Trajectory
from tests.training.worlds import demonstrations, policy, tasks

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def batch():
    """Trajectories of different lengths and steps from one policy; advantages that differ between the steps."""
    made = rollout(policy(), SingleTurn, tasks(6), group_size=2, sampling=Sampling(max_new_tokens=5), seed=4)
    trajectories = []
    for index, one in enumerate(made):
        step = one.tokens.step.copy()
        written = np.flatnonzero(step >= 0)
        step[written[len(written) // 2 :]] = 1  # a second action
        glue = Tokens(
            ids=np.concatenate([one.tokens.ids, one.tokens.ids[: index % 4]]),
            step=np.concatenate([step, np.full(index % 4, -1)]),
            logprobs=np.concatenate([one.tokens.logprobs, np.zeros(index % 4)]),
        )
        action = {"role": "assistant", "content": "x"}
        trajectories.append(
            Trajectory(observations=[[], [], []], actions=[action, action], task=one.task, group=one.group, tokens=glue)
        )
    numbers = np.random.default_rng(0)
    values = [numbers.normal(size=2) for _ in trajectories]
    return trajectories, Advantages(values=values, included=np.ones(len(trajectories), dtype=bool))


def tensors(trajectories, advantages):
    rows = [index for index in range(len(trajectories)) if advantages.included[index]]
    columns = collate([trajectories[index].tokens for index in rows])
    weights = torch.zeros(columns.ids.shape)
    for line, index in enumerate(rows):
        for token, step in enumerate(trajectories[index].tokens.step):
            if step >= 0:
                weights[line, token] = advantages.values[index][step]
    return columns, weights


def weights_of(acting):
    return torch.cat([weight.detach().flatten().clone() for weight in acting.model.parameters()])


def gradient_step(objective, acting, trajectories, advantages):
    """The gradient that an update followed: with a learning rate of 0 nothing moves, and the gradient is caught."""
    caught = []
    learner = objective.learner(acting)
    step = learner.step

    def watch(rate):
        caught.append(torch.cat([weight.grad.flatten().clone() for weight in learner.parameters.values()]))
        step(rate)

    learner.step = watch
    measured = objective.update(acting, trajectories, advantages)
    return measured, caught


def reference_gradient(acting, loss):
    acting.model.zero_grad()
    loss.backward()
    gradient = torch.cat([weight.grad.flatten().clone() for weight in acting.model.parameters()])
    acting.model.zero_grad(set_to_none=True)
    return gradient


@pytest.mark.parametrize(
    ("options", "loss_options"),
    [
        ({}, {}),
        ({"normalise": "token_mean", "clip_high": 0.28}, {"normalise": "token_mean", "clip_high": 0.28}),
        ({"normalise": "constant", "constant": 8.0}, {"normalise": "constant", "constant": 8.0}),
        ({"level": "sequence"}, {"level": "sequence"}),
        ({"dual_clip": 2.0}, {"dual_clip": 2.0}),
    ],
)
def test_the_update_follows_the_gradient_of_the_loss(batch, options, loss_options):
    trajectories, advantages = batch
    acting = policy(seed=1)  # not the one that sampled, so that ratios differ from 1
    objective = GRPO(max_grad_norm=None, learning_rate=0.0, micro_batch_tokens=40, **options)
    measured, caught = gradient_step(objective, acting, trajectories, advantages)
    columns, weights = tensors(trajectories, advantages)
    logprobs = token_logprobs(acting.model, columns.ids, columns.attention_mask, positions_mask=columns.written)
    loss = grpo_loss(logprobs, columns.logprobs, weights, columns.written, **loss_options)
    assert measured["loss"] == pytest.approx(float(loss.detach()), rel=1e-4, abs=1e-6)
    expected = reference_gradient(acting, loss)
    assert torch.allclose(caught[0], expected, rtol=1e-3, atol=1e-6)
    assert measured["grad_norm"] == pytest.approx(float(expected.norm()), rel=1e-4)
    logprobs = logprobs.detach()
    ratio = (logprobs - columns.logprobs).exp()[columns.written]
    if "level" not in options:
        assert measured["ratio_mean"] == pytest.approx(float(ratio.mean()), rel=1e-3)
        assert measured["ratio_max"] == pytest.approx(float(ratio.max()), rel=1e-3)
        surrogate = clipped_surrogate(
            logprobs - columns.logprobs,
            weights,
            clip_low=0.2,
            clip_high=options.get("clip_high", 0.2),
            dual_clip=options.get("dual_clip"),
        )
        assert measured["clip_fraction"] == pytest.approx(float(surrogate.clipped[columns.written].float().mean()))
        assert measured["clip_fraction"] > 0


def test_pieces_do_not_change_the_update(batch):
    updated = []
    for budget in (16, 64, 16384):
        acting = policy(seed=1)
        GRPO(learning_rate=1e-3, micro_batch_tokens=budget).update(acting, *batch)
        updated.append(weights_of(acting))
    assert torch.allclose(updated[0], updated[1], atol=1e-5)
    assert torch.allclose(updated[0], updated[2], atol=1e-5)
    assert not torch.allclose(updated[0], weights_of(policy(seed=1)))


def test_excluded_trajectories_count_nowhere(batch):
    trajectories, advantages = batch
    keep = np.arange(len(trajectories)) % 3 != 0
    partly = Advantages(values=advantages.values, included=keep)
    first, second = policy(seed=1), policy(seed=1)
    GRPO(learning_rate=1e-3).update(first, trajectories, partly)
    chosen = [index for index in range(len(trajectories)) if keep[index]]
    alone = Advantages(values=[advantages.values[i] for i in chosen], included=np.ones(len(chosen), dtype=bool))
    GRPO(learning_rate=1e-3).update(second, [trajectories[i] for i in chosen], alone)
    assert torch.equal(weights_of(first), weights_of(second))


def test_idle_trajectories_are_not_computed_but_count_in_the_normalisation(batch):
    trajectories, advantages = batch
    values = [row * (index % 2) for index, row in enumerate(advantages.values)]
    halves = Advantages(values=values, included=advantages.included)
    objective, acting = GRPO(max_grad_norm=None, learning_rate=0.0), policy(seed=1)
    _, caught = gradient_step(objective, acting, trajectories, halves)
    columns, weights = tensors(trajectories, halves)
    logprobs = token_logprobs(acting.model, columns.ids, columns.attention_mask, positions_mask=columns.written)
    expected = reference_gradient(acting, grpo_loss(logprobs, columns.logprobs, weights, columns.written))
    assert torch.allclose(caught[0], expected, rtol=1e-3, atol=1e-6)


def test_without_any_signal_nothing_moves(batch):
    trajectories, _ = batch
    silent = Advantages(values=[np.zeros(2) for _ in trajectories], included=np.ones(len(trajectories), dtype=bool))
    acting = policy(seed=1)
    objective = GRPO(learning_rate=1.0, weight_decay=0.5)
    measured = objective.update(acting, trajectories, silent)
    nothing = Advantages(values=silent.values, included=np.zeros(len(trajectories), dtype=bool))
    measured_nothing = objective.update(acting, trajectories, nothing)
    assert torch.equal(weights_of(acting), weights_of(policy(seed=1)))
    assert measured["optimizer_steps"] == measured_nothing["optimizer_steps"] == 0
    assert math.isnan(measured["loss"])


def test_rloo_follows_the_gradient_of_reinforce(batch):
    trajectories, advantages = batch
    outcome = Advantages(values=[np.full(2, row.mean()) for row in advantages.values], included=advantages.included)
    acting = policy(seed=0)  # the one that sampled
    _, caught = gradient_step(RLOO(max_grad_norm=None, learning_rate=0.0), acting, trajectories, outcome)
    columns, weights = tensors(trajectories, outcome)
    logprobs = token_logprobs(acting.model, columns.ids, columns.attention_mask, positions_mask=columns.written)
    expected = reference_gradient(acting, reinforce_loss(logprobs, weights, columns.written))
    assert torch.allclose(caught[0], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_kl_to_the_start_in_the_loss(batch, estimator):
    trajectories, advantages = batch
    acting = policy(seed=1)
    objective = GRPO(kl_coefficient=0.5, kl_estimator=estimator, learning_rate=3e-3)
    first = objective.update(acting, trajectories, advantages)
    assert first["kl"] == pytest.approx(0.0, abs=1e-6)  # nothing has moved yet
    second = objective.update(acting, trajectories, advantages)
    columns, _ = tensors(trajectories, advantages)
    with torch.no_grad():
        start = token_logprobs(policy(seed=1).model, columns.ids, positions_mask=columns.written)
    moved = policy(seed=1)
    GRPO(kl_coefficient=0.5, kl_estimator=estimator, learning_rate=3e-3).update(moved, trajectories, advantages)
    with torch.no_grad():
        now = token_logprobs(moved.model, columns.ids, positions_mask=columns.written)
    expected = kl_estimate(now, start, estimator)[columns.written].mean()
    assert second["kl"] == pytest.approx(float(expected), rel=1e-3)
    assert abs(second["kl"]) > 1e-5


def test_kl_pulls_back_to_the_start(batch):
    trajectories, advantages = batch
    distances = []
    for coefficient in (0.0, 5.0):
        acting = policy(seed=1)
        objective = GRPO(kl_coefficient=coefficient, learning_rate=3e-3)
        for _ in range(6):
            objective.update(acting, trajectories, advantages)
        columns, _ = tensors(trajectories, advantages)
        with torch.no_grad():
            start = token_logprobs(policy(seed=1).model, columns.ids, positions_mask=columns.written)
            now = token_logprobs(acting.model, columns.ids, positions_mask=columns.written)
        distances.append(float(kl_estimate(now, start)[columns.written].mean()))
    assert distances[1] < distances[0] / 2


def test_with_lora_the_reference_shares_the_base(batch):
    trajectories, advantages = batch
    acting = policy(seed=1, lora={"rank": 2})
    base = {name: weight.clone() for name, weight in acting.model.named_parameters() if not weight.requires_grad}
    for kind in ("start", "base"):
        objective = GRPO(kl_coefficient=0.1, reference=kind, learning_rate=1e-2)
        fresh = copy.deepcopy(acting)
        for _ in range(2):
            measured = objective.update(fresh, trajectories, advantages)
        assert measured["kl"] > 0
        learner = objective.learner(fresh)
        kept = learner.reference
        assert (kept is None) == (kind == "base")
        if kept is not None:
            assert all("lora" in name for name in kept)
        for name, weight in fresh.model.named_parameters():
            assert name not in base or torch.equal(weight, base[name])
    with pytest.raises(ValueError, match='reference="base" needs a policy with a LoRA adapter'):
        GRPO(kl_coefficient=0.1, reference="base").update(policy(), trajectories, advantages)


def test_recomputed_old_logprobs(batch):
    trajectories, advantages = batch
    once = GRPO(old_logprobs="recomputed", learning_rate=0.0).update(policy(seed=1), trajectories, advantages)
    assert once["ratio_mean"] == once["ratio_max"] == 1.0
    several = GRPO(old_logprobs="recomputed", learning_rate=0.0, mini_batches=3, epochs=2)
    measured = several.update(policy(seed=1), trajectories, advantages)
    assert measured["ratio_max"] == pytest.approx(1.0, abs=1e-5)
    assert measured["optimizer_steps"] == 6


def test_on_policy_ratios_are_one(batch):
    measured = GRPO(learning_rate=0.0).update(policy(seed=0), *batch)
    assert measured["ratio_mean"] == pytest.approx(1.0, abs=1e-4)
    assert measured["clip_fraction"] == 0.0
    assert 0 < measured["entropy"] <= math.log(320)


def test_temperature_enters_the_ratios():
    made = rollout(
        policy(), SingleTurn, tasks(4), group_size=2, sampling=Sampling(max_new_tokens=4, temperature=0.7), seed=1
    )
    advantages = Advantages(values=[np.ones(1) for _ in made], included=np.ones(len(made), dtype=bool))
    right = GRPO(learning_rate=0.0, temperature=0.7).update(policy(), made, advantages)
    wrong = GRPO(learning_rate=0.0).update(policy(), made, advantages)
    assert right["ratio_max"] == pytest.approx(1.0, abs=1e-3)
    assert abs(wrong["ratio_max"] - 1.0) > 1e-2


def test_reinforce_plus_plus_shapes_tokens(batch):
    trajectories, advantages = batch
    acting = policy(seed=1)
    objective = ReinforcePlusPlus(kl_coefficient=0.3, learning_rate=0.0, max_grad_norm=None)
    objective.learner(acting).keep_reference()
    with torch.no_grad():  # move away from the reference, so that there is something to pay for
        for weight in acting.model.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    _, caught = gradient_step(objective, acting, trajectories, advantages)
    columns, weights = tensors(trajectories, advantages)
    with torch.no_grad():
        start = token_logprobs(policy(seed=1).model, columns.ids, positions_mask=columns.written)
    divergence = kl_estimate(columns.logprobs, start, "k1")
    shaped = whiten(kl_in_advantages(weights, divergence, columns.written, 0.3), columns.written)
    logprobs = token_logprobs(acting.model, columns.ids, positions_mask=columns.written)
    loss = grpo_loss(logprobs, columns.logprobs, shaped, columns.written, normalise="token_mean")
    assert torch.allclose(caught[0], reference_gradient(acting, loss), rtol=1e-3, atol=1e-6)


def test_supervised_is_the_mean_negative_log_likelihood():
    acting = policy()
    shown = demonstrations(4)
    for one in shown:
        one.tokens = acting.encode_demonstration(one)
    ones = Advantages(values=[np.ones(1) for _ in shown], included=np.ones(4, dtype=bool))
    objective = Supervised(learning_rate=3e-3)
    columns = collate([one.tokens for one in shown])
    with torch.no_grad():
        logprobs = token_logprobs(acting.model, columns.ids, positions_mask=columns.written)
    first = objective.update(acting, shown, ones)
    assert first["loss"] == pytest.approx(-float(logprobs[columns.written].mean()), rel=1e-5)
    for _ in range(30):
        last = objective.update(acting, shown, ones)
    assert last["loss"] < first["loss"] / 3


def test_supervised_refuses_negative_weights(batch):
    with pytest.raises(ValueError, match=r'weights must not be negative, but trajectory \d+ has .*use credit="best"'):
        RAFT().update(policy(), *batch)


def test_state_goes_on_exactly(batch):
    options = {"learning_rate": 1e-3, "kl_coefficient": 0.1, "mini_batches": 2, "warmup": 5, "schedule": "cosine"}
    whole, acting = GRPO(**options), policy(seed=1)
    for step in range(2):
        whole.update(acting, *batch, progress=step / 4)
    state, resumed = copy.deepcopy(whole.state_dict()), policy(seed=1)
    resumed.model.load_state_dict(acting.model.state_dict())
    other = GRPO(**options)
    other.load_state_dict(state)
    for step in range(2, 4):
        left = whole.update(acting, *batch, progress=step / 4)
        right = other.update(resumed, *batch, progress=step / 4)
        assert left == right
    assert torch.equal(weights_of(acting), weights_of(resumed))


def test_learning_rate_schedule(batch):
    def rates(**options):
        objective, acting = GRPO(learning_rate=1.0, max_grad_norm=1e-12, **options), policy()
        return [objective.update(acting, *batch, progress=step / 4)["learning_rate"] for step in range(4)]

    assert rates() == [1.0] * 4
    assert rates(schedule="linear") == [1.0, 0.75, 0.5, 0.25]
    assert rates(schedule="cosine") == pytest.approx([0.5 * (1 + math.cos(math.pi * step / 4)) for step in range(4)])
    assert rates(warmup=2) == [0.5, 1.0, 1.0, 1.0]


def test_gradients_are_limited(batch):
    acting, loose = policy(seed=1), policy(seed=1)
    measured, caught = gradient_step(GRPO(max_grad_norm=0.01), acting, *batch)
    assert measured["grad_norm"] > 0.01
    assert float(caught[0].norm()) == pytest.approx(0.01, rel=1e-3)
    _, caught = gradient_step(GRPO(max_grad_norm=None), loose, *batch)
    assert float(caught[0].norm()) == pytest.approx(measured["grad_norm"], rel=1e-4)


def test_a_non_finite_loss_stops_and_changes_nothing(batch):
    trajectories, advantages = batch
    values = [row.copy() for row in advantages.values]
    values[3] = np.full(2, 1e38)
    values[4] = np.full(2, -1e38)
    wild = Advantages(values=values, included=advantages.included)
    acting = policy(seed=1)
    objective = GRPO(learning_rate=1e-2, micro_batch_tokens=1)  # one trajectory in each piece
    before = weights_of(acting)
    for one in trajectories[3:5]:
        assert one.tokens is not None
    far = [copy.deepcopy(one) for one in trajectories]
    for index in (3, 4):
        far[index].tokens.logprobs[far[index].tokens.step >= 0] = -30.0
    with pytest.raises(
        NonFiniteUpdate, match=r"the weights were not changed. Trajectories in the pieces concerned: 4\."
    ):
        objective.update(acting, far, wild)
    assert torch.equal(weights_of(acting), before)
    assert objective.updates == 0
    skipping = GRPO(learning_rate=1e-2, on_non_finite="skip")
    measured = skipping.update(acting, far, wild)
    assert measured["skipped_non_finite"] == 1
    assert torch.equal(weights_of(acting), before)
    good = skipping.update(acting, trajectories, advantages)
    assert math.isfinite(good["loss"])
    assert not torch.equal(weights_of(acting), before)


def test_trajectories_that_cannot_be_trained_on(batch):
    trajectories, advantages = batch
    bare = copy.deepcopy(trajectories)
    bare[2].tokens = None
    with pytest.raises(ValueError, match=r"trajectory 2 \(task 't1'\) has no tokens, so there is nothing to train on"):
        GRPO().update(policy(), bare, advantages)
    short = Advantages(values=[row[:1] for row in advantages.values], included=advantages.included)
    with pytest.raises(ValueError, match="trajectory 0 has 2 actions but 1 advantages"):
        GRPO().update(policy(), trajectories, short)
    with pytest.raises(ValueError, match="there are advantages for 12 trajectories, but 11 were given"):
        GRPO().update(policy(), trajectories[:-1], advantages)
    first = copy.deepcopy(trajectories)
    first[0].tokens.step[:] = 0
    with pytest.raises(ValueError, match="put a start token or a prompt before it"):
        GRPO().update(policy(), first, advantages)


def test_policies_that_cannot_be_trained(batch):
    with pytest.raises(TypeError, match=r"policies that have a torch \.model, got object"):
        GRPO().update(object(), *batch)
    frozen = policy()
    frozen.model.requires_grad_(False)
    with pytest.raises(ValueError, match="no weight of the policy's model requires gradients"):
        GRPO().update(frozen, *batch)
    narrow = policy()
    narrow.model.to(torch.bfloat16)
    with pytest.warns(UserWarning, match=r"trainable weights are torch\.bfloat16: steps smaller than their precision"):
        GRPO().learner(narrow)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"mini_batches": 1.5}, "mini_batches must be a whole number"),
        ({"learning_rate": -1.0}, "learning_rate must be finite and not negative, got -1.0"),
        ({"learning_rate": math.nan}, "learning_rate must be finite"),
        ({"max_grad_norm": 0.0}, "max_grad_norm must be positive, or None"),
        ({"temperature": 0.0}, "temperature must be positive, got 0.0; greedy samples"),
        ({"normalise": "constant"}, 'normalise="constant" needs constant='),
        (
            {"normalise": "mean"},
            "normalise must be one of sequence_mean, token_mean, constant, step_mean, step_sum, got 'mean'",
        ),
        ({"schedule": "step"}, "schedule must be one of constant, linear, cosine"),
        ({"level": "word"}, "level must be one of token, step, step_product, sequence, trajectory"),
        ({"clip_low": 2.0}, r"clip_low must be in \[0, 1\]"),
        ({"dual_clip": 0.5}, "dual_clip must be above 1"),
        ({"kl_estimator": "k9"}, "kl_estimator must be one of k1, k2, k3"),
    ],
)
def test_bad_options_fail_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        GRPO(**options)


def test_registry():
    for name in ("grpo", "rloo", "reinforce_plus_plus", "raft", "supervised", "gpo"):
        assert OBJECTIVES.resolve(name)().default_credit in ("group", "leave_one_out", "batch", "best", "extremes")


@pytest.mark.parametrize("kl", [0.0, 0.1])
def test_shared_prompts_change_nothing_but_the_work(kl, batch) -> None:
    trajectories, advantages = batch
    lengthened = []
    for one in trajectories:  # prompts long enough that sharing them pays
        start = np.full(40, int(one.tokens.ids[0]))
        tokens = Tokens(
            ids=np.concatenate([start, one.tokens.ids]),
            step=np.concatenate([np.full(40, -1), one.tokens.step]),
            logprobs=np.concatenate([np.zeros(40), one.tokens.logprobs]),
        )
        lengthened.append(
            Trajectory(
                observations=one.observations, actions=one.actions, task=one.task, group=one.group, tokens=tokens
            )
        )
    found, sizes = [], []
    for share in (True, False):
        objective = GRPO(learning_rate=0.0, max_grad_norm=None, kl_coefficient=kl, share_prompts=share)
        acting = policy()
        cut = objective._cut(make_rows(lengthened, advantages), objective.learner(acting))
        sizes.append(max(len(line) for piece in cut for line in piece))
        found.append(gradient_step(objective, acting, lengthened, advantages))
    assert sizes == [2, 1]
    (shared, (one,)), (plain, (other,)) = found
    assert shared == pytest.approx(plain, rel=1e-4, abs=1e-6)
    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-3)
