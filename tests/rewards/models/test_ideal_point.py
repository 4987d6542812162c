from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.learning import as_trajectory
from rewardlab.rewards.models.base import Context, Encoded, rows_of
from rewardlab.rewards.models.heads.ideal_point import IdealPointHead
from rewardlab.rewards.models.model import RewardModel

USERS = ["ann", "bob.b", "c d"]


def encoded(rows=6, prompt=False):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(rows, 4, generator=generator)
    return Encoded(response=features, prompt=torch.randn(rows, 4, generator=generator) if prompt else None)


def items(count=5):
    return [as_trajectory(row) for row in np.random.default_rng(0).normal(size=(count, 4))]


@pytest.mark.parametrize("point", ["latent", "mixed", "projected"])
def test_the_distance_by_brute_force(point):
    head = IdealPointHead(4, users=USERS, prototypes=2, latent=3, point=point)
    outputs = head(encoded())
    weights = head.user_logits[1].softmax(-1)
    if point == "latent":
        ideal = sum(w * p for w, p in zip(weights, head.points, strict=True))
    elif point == "mixed":
        ideal = head.project(sum(w * p for w, p in zip(weights, head.points, strict=True)))
    else:
        ideal = sum(w * head.project(p) for w, p in zip(weights, head.points, strict=True))
    wanted = -(outputs["item"] - ideal).norm(dim=-1)
    users = Context(users=torch.full((6,), 1))
    assert torch.allclose(head.value(outputs, users), wanted, atol=1e-6)
    assert torch.allclose(head.ideal_point("bob.b"), ideal, atol=1e-6)
    first, second = rows_of(outputs, torch.arange(3)), rows_of(outputs, torch.arange(3, 6))
    logits = head.preference(first, second, users.select(torch.arange(3)))
    assert torch.allclose(logits, wanted[:3] - wanted[3:], atol=1e-6)  # nearer is better


def test_points_from_the_prompt_and_the_angle_by_brute_force():
    head = IdealPointHead(4, users=USERS, kind="prompt", prototypes=2, latent=3, score="angle")
    features = encoded(prompt=True)
    outputs = head(features)
    weights = head.user_logits[0].softmax(-1)
    ideal = sum(w * g(features.prompt) for w, g in zip(weights, head.mappers, strict=True))
    wanted = torch.nn.functional.cosine_similarity(outputs["item"], ideal) / 0.07
    assert torch.allclose(head.value(outputs, Context(users=torch.zeros(6, dtype=torch.int64))), wanted, atol=1e-4)
    assert torch.allclose(head.ideal_point("ann", outputs), ideal, atol=1e-6)
    with pytest.raises(ValueError, match="the point depends on the prompt; give the outputs"):
        head.ideal_point("ann")


def test_the_scale_of_angles_is_limited():
    head = IdealPointHead(4, users=USERS, score="angle")
    head.log_scale.data.fill_(50.0)
    assert head.value(head(encoded())).abs().max() <= 100.0 + 1e-3


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(0, 100))
def test_mixtures_lie_on_the_simplex(prototypes, seed):
    head = IdealPointHead(4, users=USERS, prototypes=prototypes, seed=seed)
    weights = head.mixtures(4, Context(users=torch.tensor([-1, 0, 1, 2])))
    assert (weights >= 0).all()
    assert torch.allclose(weights.sum(-1), torch.ones(4), atol=1e-6)
    assert torch.allclose(weights[0], weights[1:].mean(0), atol=1e-6)  # nobody in particular: the mean of the users


def test_one_prototype_is_one_shared_point():
    head = IdealPointHead(4, users=USERS, prototypes=1)
    outputs = head(encoded())
    values = [head.value(outputs, Context(users=torch.full((6,), user))) for user in (-1, 0, 1, 2)]
    assert all(torch.allclose(values[0], one, atol=1e-6) for one in values)


def test_a_partition_is_hard_only_when_evaluated():
    head = IdealPointHead(4, users=USERS, mixture="partition")
    context = Context(users=torch.arange(3))
    soft, hard = head.train().mixtures(3, context), head.eval().mixtures(3, context)
    assert ((soft > 0) & (soft < 1)).all()
    assert torch.equal(hard, torch.nn.functional.one_hot(soft.argmax(-1), 2).float())


def test_the_population_does_not_move_when_users_are_added():
    head = IdealPointHead(4, users=USERS)
    outputs = head(encoded())
    before = head.value(outputs)
    assert head.add_rows(["new/1"]) == [3]
    assert torch.equal(head.value(outputs), before)
    assert torch.allclose(head.value(outputs, Context(users=torch.full((6,), 3))), before, atol=1e-5)
    again = IdealPointHead(**head.options())
    again.load_state_dict(head.state_dict())
    assert torch.equal(again.value(outputs), before)


def test_a_fixed_mixture_is_a_plain_reward(tmp_path):
    model = RewardModel.make({"type": "mlp", "inputs": 4, "hidden": []}, IdealPointHead(4, users=USERS))
    weights = model.network.head.user_weights("ann")
    exported = RewardModel.make(model.network.encoder, model.network.head.fixed(weights.tolist()))
    loaded = RewardModel.load(exported.save(tmp_path / "plain").path)
    wanted = RewardModel.around(model.network, user="ann")(items()).values
    assert loaded(items()).values == pytest.approx(wanted, abs=1e-6)


def test_a_saved_model_keeps_users_by_name(tmp_path):
    model = RewardModel.make({"type": "mlp", "inputs": 4, "hidden": []}, IdealPointHead(4, users=USERS))
    saved = model.save(tmp_path / "model")
    for name in USERS:
        told = RewardModel.load(saved.path, user=name)(items()).values
        assert np.array_equal(told, RewardModel.around(model.network, user=name)(items()).values)


def test_an_unknown_user_names_the_ways_out():
    head = IdealPointHead(4, users=USERS)
    with pytest.raises(
        ValueError, match=r"user 'anne' is unknown; did you mean 'ann'\?; add_users.*fallback=\"population\""
    ):
        head.user_index("anne")


def test_an_unknown_user_may_fall_back_and_says_so():
    head = IdealPointHead(4, users=USERS, fallback="population")
    with pytest.warns(UserWarning, match="user 'zoe' is unknown, so the mean of 3 users judges instead"):
        assert head.user_index("zoe") == -1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"users": ["a"], "prototypes": 2}, "2 prototypes cannot be told apart by 1 user; use prototypes=1"),
        ({"users": ["a", "b"], "prototypes": 3}, "3 prototypes cannot be told apart by 2 users"),
        ({"users": ["a", "a"], "prototypes": 1}, "user 'a' stands twice"),
        ({"users": ["a", None]}, "users must be names, got None in place 1"),
        ({"users": ["a", ""]}, "users must be names, got '' in place 1"),
        ({"users": "ann"}, "must be a list of names, got the string 'ann'"),
        ({"kind": "mean"}, "kind must be one of 'ideal', 'prompt', got 'mean'"),
        ({"score": "dot"}, "score must be one of"),
        ({"mixture": "hard"}, "mixture must be one of"),
        ({"prototypes": 0}, "prototypes and latent must be at least 1"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"weights": [0.5, 0.6]}, "must add up to 1 within 1e-6"),
        ({"weights": [1.5, -0.5]}, "must not be negative"),
        ({"weights": [1.0]}, "one for each of 2 prototypes, got 1"),
        ({"weights": [0.5, 0.5], "users": USERS}, "there can be no users beside them"),
        ({"users": USERS, "founders": 5}, "founders must lie between 0 and the number of users"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        IdealPointHead(4, **options)


def test_weights_may_miss_one_by_rounding():
    assert IdealPointHead(4, prototypes=3, weights=[0.1, 0.2, 0.7 + 1e-8]).value is not None


def test_known_users_cannot_be_added():
    head = IdealPointHead(4, users=USERS)
    with pytest.raises(ValueError, match="user 'ann' is known already.*refit=True"):
        head.add_rows(["ann"])
    with pytest.raises(ValueError, match="one fixed mixture and no users"):
        head.fixed([0.5, 0.5]).add_rows(["zoe"])


def test_prompt_points_need_features_of_prompts():
    with pytest.raises(ValueError, match='kind="prompt" reads the features of prompts'):
        IdealPointHead(4, kind="prompt")(encoded())
