from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rewardlab.learning import PreferenceData, as_trajectory
from rewardlab.recipes.pal import PAL, RECIPE, World
from rewardlab.recipes.pal.arms import Arms, accuracies, worst_decile
from rewardlab.rewards.models.encoders.prompted import prompted
from rewardlab.rewards.models.model import RewardModel

torch.set_num_threads(1)

PLAIN = {"type": "mlp", "inputs": 12, "hidden": []}


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=100, users=8, newcomers=4, comparisons=20, few=6, tests=30)


@pytest.fixture(scope="module")
def pal(world) -> PAL:
    made = PAL(encoder=PLAIN, k=3, latent=3, hidden=16)
    made.fit(world.train, steps=60, learning_rate=1e-2)
    return made


def items(count=3, seed=0):
    return list(np.random.default_rng(seed).normal(size=(count, 12)))


def test_the_proof_returns_every_claim():
    outcomes = RECIPE.proof(100, users=6, tests=10, steps=3)
    assert set(outcomes) == {claim.name for claim in RECIPE.claims}
    assert all(math.isfinite(one.method) and math.isfinite(one.baseline) for one in outcomes.values())


def test_the_world_is_what_it_says(world):
    users, newcomers = world.points
    assert (users.shape, newcomers.shape) == ((8, 3), (4, 3))
    tests = world.test(new=True)
    first = world.place(np.stack([np.asarray(world.pool[item].observations[0]) for item in tests.first]))
    second = world.place(np.stack([np.asarray(world.pool[item].observations[0]) for item in tests.second]))
    own = newcomers[[world.names(True).index(who) for who in tests.annotators]]
    nearer = np.linalg.norm(first - own, axis=1) < np.linalg.norm(second - own, axis=1)
    assert (nearer == (tests.label > 0.5)).mean() > 0.99  # items are stored in half the digits
    support = world.first_of_support(2)
    assert [support.annotators.count(name) for name in world.names(True)] == [2] * 4
    alike = World(seed=100, prototypes=1, users=3)
    assert np.allclose(alike.points[0], alike.points[0][0])
    with pytest.raises(ValueError, match="at least 1 and at most latent=3.* got 0"):
        World(seed=0, prototypes=0)
    with pytest.raises(ValueError, match="at least 1 and at most latent=3.* got 4"):
        World(seed=0, prototypes=4)


def test_the_solo_control_learns_a_linear_user():
    arms = Arms(world=World(seed=100, users=3, newcomers=3, tests=20, few=20), steps=2)
    assert arms.solo(20).shape == (3,)
    assert worst_decile(np.linspace(0, 1, 20)) == pytest.approx(np.linspace(0, 1, 20)[:2].mean())


def test_scores_of_users_and_of_the_population(pal, tmp_path):
    responses = items()
    own = pal.score("user 1", None, responses)
    reward = pal.as_reward(user="user 1")
    assert own == pytest.approx(reward([as_trajectory(one) for one in responses]).values)
    assert pal.users["user 1"].weights.sum() == pytest.approx(1.0)
    assert pal.users["user 1"].ideal_point().shape == (3,)
    assert pal.score(None, None, responses).shape == (3,)
    again = PAL.load(pal.save(tmp_path / "model").model.path)
    assert (again.k, again.latent, again.hidden, again.score_by) == (3, 3, 16, "distance")
    assert np.array_equal(again.score("user 1", None, responses), own)
    assert pal.as_reward(user="user 1").user == "user 1"


def test_a_saved_model_gives_rewards_that_have_specs(pal, tmp_path):
    from rewardlab.rewards import from_spec

    pal.save(tmp_path / "model")
    for reward in (pal.as_reward(user="user 1"), pal.as_reward(weights=[0.2, 0.3, 0.5]).save(tmp_path / "plain")):
        again = from_spec(reward.to_spec())
        assert np.array_equal(
            again([as_trajectory(one) for one in items()]).values,
            reward([as_trajectory(one) for one in items()]).values,
        )


def test_newcomers_and_the_report(pal, world):
    import copy

    trial = copy.copy(pal)
    trial.model = RewardModel.around(copy.deepcopy(pal.model.network))
    added = trial.add_users(world.support, steps=50)
    assert [one.name for one in added] == world.names(True)
    assert set(trial.users) == {*world.names(False), *world.names(True)}
    assert accuracies(trial.model, world.test(new=True)).shape == (4,)
    report = trial.prototype_report(items(20), top=2)
    assert report.share.sum() == pytest.approx(1.0)
    assert [len(one) for one in report.top] == [2, 2, 2]
    with pytest.raises(ValueError, match="'new.0' is known already"):
        trial.add_users(world.support)


@pytest.mark.parametrize(
    "options", [{"score_by": "angle"}, {"mixture": "partition"}, {"point": "mixed"}, {"point": "projected"}]
)
def test_every_form_fits(world, options):
    made = PAL(encoder=PLAIN, k=2, latent=3, hidden=8, **options)
    first = made.fit(world.train, steps=30, learning_rate=1e-2, loss="hinge")
    assert np.mean([row["loss"] for row in first.metrics[-5:]]) < np.mean([row["loss"] for row in first.metrics[:5]])
    assert np.isfinite(made.score("user 0", None, items())).all()
    if "mixture" in options:
        assert sorted(made.users["user 0"].weights) == [0.0, 1.0]


def test_points_that_depend_on_the_prompt():
    draw = np.random.default_rng(0)
    prompts, answers = np.repeat(draw.normal(size=(60, 4)), 2, 0), draw.normal(size=(120, 5))
    data = PreferenceData(
        items=prompted(prompts, answers), first=np.arange(0, 120, 2), second=np.arange(1, 120, 2),
        label=draw.integers(0, 2, size=60), annotators=["a", "b"] * 30,
    )  # fmt: skip
    made = PAL(encoder={"type": "prompt_response", "prompt": 4, "response": 4}, kind="prompt", k=2, latent=3)
    with pytest.raises(ValueError, match=r"response of shape \(5,\), the encoder expects \(4,\)"):
        made.fit(data)
    data.items = prompted(prompts, answers[:, :4])
    made.fit(data, steps=5)
    assert np.isfinite(made.score("a", prompts[0], answers[:3, :4])).all()
    one, other = (made.users["a"].ideal_point(prompt) for prompt in (prompts[0], prompts[2]))
    assert not np.allclose(one, other)
    with pytest.raises(ValueError, match="the point of 'a' depends on the prompt; give one"):
        made.users["a"].ideal_point()


def test_one_prototype_is_one_shared_point(world):
    made = PAL(encoder=PLAIN, k=1, latent=3)
    made.fit(world.train, steps=3)
    assert np.allclose(made.score("user 0", None, items()), made.score("user 5", None, items()))


def test_k_is_chosen_on_users_that_were_not_fitted(world):
    made = PAL(encoder=PLAIN, k=7, latent=3, hidden=8)
    found = made.select_k([1, 3], world.train, world.support, comparisons=4, adapt={"steps": 20}, steps=20)
    assert set(found) == {1, 3}
    assert made.k == max(found, key=lambda k: (found[k], -k))
    with pytest.raises(ValueError, match="stands in both parts"):
        made.select_k([1], world.train, world.train)
    with pytest.raises(ValueError, match="no held-out user has more than 6 comparisons"):
        made.select_k([1], world.train, world.support, comparisons=6)


def test_records_are_read_and_equal_sides_set_aside(world):
    x, y, z = items()
    rows = [("a", None, x, y, -1), ("b", None, x, y, 1), ("a", None, y, z, -1), ("b", None, x, x, 1)]
    made = PAL(encoder=PLAIN, k=2, latent=2)
    assert made.fit(rows, steps=2, balance_users=True).metrics[0]["rows"] == 3
    data = world.train
    same = PreferenceData(
        items=data.items, first=[0, 1, 2], second=[0, 5, 6], label=[1, 1, 0], annotators=["a", "a", "b"]
    )
    made.fit(same, steps=2)
    with pytest.raises(TypeError, match="got the name 'users.jsonl'; rl.read_preferences"):
        made.fit("users.jsonl")
    with pytest.raises(ValueError, match="no comparison is left to learn from: there are no records"):
        made.fit([])
    assert not same.problems  # what was given is not written into


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda pal: pal.score("user 99", None, items()), "'user 99' is unknown; did you mean.*add_users"),
        (lambda pal: pal.score("user 1", None, []), "at least one response"),
        (lambda pal: pal.score("user 1", None, [np.zeros(5)]), r"response 0 could not be scored.*expects \(12,\)"),
        (lambda pal: pal.as_reward(user="user 1", weights=[1, 0, 0]), "give user or weights, not both"),
        (lambda pal: pal.as_reward(weights=[0.5, 0.6, 0.0]), "must add up to 1 within 1e-6"),
        (lambda pal: PAL(encoder=PLAIN).score("a", None, items()), "has not been fitted; call fit"),
        (
            lambda pal: PAL(encoder=PLAIN, k=3).fit([("a", None, *items(2), 1), ("b", None, *items(2), 1)]),
            "3 prototypes cannot be told apart by 2 users; use prototypes=2",
        ),
        (
            lambda pal: PAL(encoder=PLAIN, k=1).fit([("a", None, *items(2), 1)] * 2),
            "there is a single annotator, 'a'",
        ),
    ],
)
def test_bad_input_is_named(pal, call, message):
    with pytest.raises(ValueError, match=message):
        call(pal)


def test_an_unknown_user_may_fall_back_and_says_so(world):
    made = PAL(encoder=PLAIN, k=2, latent=3, fallback="population")
    made.fit(world.train, steps=2)
    with pytest.warns(UserWarning, match="user 'nobody' is unknown, so the mean of 8 users judges instead"):
        told = made.score("nobody", None, items())
    assert told == pytest.approx(made.score(None, None, items()))
