from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rewardlab.learning.data import PreferenceData, as_trajectory  # noqa: E402
from rewardlab.learning.latent_report import diagnose  # noqa: E402
from rewardlab.learning.latent_users import (  # noqa: E402
    held_out_hits,
    infer,
    infer_users,
    latent_reward,
    remember_users,
    scaled_reward,
)
from rewardlab.learning.queries import next_query  # noqa: E402
from rewardlab.learning.relabelling import append_latent, relabel  # noqa: E402
from rewardlab.learning.variational import _draw, annealed, fit_latent  # noqa: E402
from rewardlab.rewards.models import RewardModel  # noqa: E402
from rewardlab.rewards.models.base import Context  # noqa: E402
from rewardlab.types import Trajectory  # noqa: E402


def _answers(users: int = 60, each: int = 8, *, seed: int = 0, only: int | None = None) -> PreferenceData:
    """Users who want either the first number large or the first number small; `only` one of the two kinds, if given."""
    draw = np.random.default_rng(seed)
    sign = np.where(np.arange(users) % 2 == 0, 1.0, -1.0) if only is None else np.full(users, float(only))
    first, second = draw.normal(size=(2, users * each, 3))
    label = ((first - second)[:, 0] * sign.repeat(each) > 0).astype(float)
    return PreferenceData.from_arrays(first, second, label, annotators=[f"u{n}" for n in np.arange(users).repeat(each)])


def _model(**options: Any) -> RewardModel:
    return RewardModel.make(
        {"type": "mlp", "inputs": 3, "hidden": []},
        {"type": "latent", "latent": 2, "hidden": 16, "decoder": "linear", "pair": "difference", **options},
    )


@pytest.fixture(scope="module")
def fitted() -> RewardModel:
    fit = {"beta": 0.05, "steps": 150, "learning_rate": 0.02, "context": (0, 4), "targets": 4}
    return fit_latent(_model(), _answers(), **fit).model  # type: ignore[arg-type]


def _split(data: PreferenceData, each: int, read: int) -> tuple[PreferenceData, PreferenceData]:
    place = np.arange(len(data)) % each
    return data.select(place < read), data.select(place >= read)


def test_a_user_is_read_off_a_few_answers(fitted: RewardModel) -> None:
    context, targets = _split(_answers(30, seed=1), 8, 4)
    hits = held_out_hits(fitted, context, targets)
    assert hits.mean() > 0.9
    assert held_out_hits(fitted, context, targets, swapped=True).mean() < 0.1
    alone = infer(fitted, context.select(np.arange(4)))
    torch.testing.assert_close(alone.mean, infer_users(fitted, context)["u0"].mean, rtol=1e-4, atol=1e-5)
    assert alone.comparisons == 4
    assert alone.sample(500).mean(0).tolist() == pytest.approx(alone.mean.tolist(), abs=0.2)


def test_users_are_remembered_through_saving(fitted: RewardModel, tmp_path: Any) -> None:
    model = _model()
    model.network.load_state_dict(fitted.network.state_dict())
    context, _ = _split(_answers(2, seed=1), 8, 4)
    remember_users(model, context).save(tmp_path / "model")
    items = [as_trajectory(np.array([value, 0.0, 0.0], np.float32)) for value in (-1.0, 1.0)]
    one, other = (RewardModel.load(tmp_path / "model", user=name)(items).values for name in ("u0", "u1"))
    assert one[1] > one[0]
    assert other[0] > other[1]
    with pytest.warns(UserWarning, match="nothing is known of the user 'zoe'"):
        RewardModel.load(tmp_path / "model", user="zoe")(items)


def test_the_bound_by_hand() -> None:
    """With a posterior that cannot vary, the first loss is what the formula says."""
    model = _model(log_variance=(-60.0, -59.0))
    data = _answers(2, 2)
    head = model.network.head
    before = {name: value.clone() for name, value in head.state_dict().items()}
    told = fit_latent(model, data, beta=0.5, steps=1, context=1, targets=1, users=2).metrics[0]
    head.load_state_dict(before)
    head.eval()
    _rows, read, asked = _draw(
        torch.tensor([[0, 1], [2, 3]]), torch.tensor([2, 2]), 1, 1, torch.Generator().manual_seed(9)
    )
    assert read.sum(1).tolist() == asked.sum(1).tolist() == [1, 1]
    possible = []
    vectors = torch.tensor(np.stack([one.actions if len(one) else one.observations[0] for one in data.items]))
    first, second = vectors[:4], vectors[4:]
    won = torch.where(torch.tensor(data.label)[:, None] > 0.5, first, second).float()
    lost = torch.where(torch.tensor(data.label)[:, None] > 0.5, second, first).float()
    for a in (0, 1):
        for b in (2, 3):
            total = 0.0
            for seen, asked_row in ((a, 1 - a), (b, 5 - b)):
                with torch.no_grad():
                    mean, log_variance = head.infer(won[None, seen : seen + 1], lost[None, seen : seen + 1])
                    odds = head.preference(
                        {"features": won[asked_row][None]}, {"features": lost[asked_row][None]}, Context(latent=mean)
                    ).item()
                m, v = mean[0].numpy(), log_variance[0].numpy()
                total += math.log1p(math.exp(-odds)) + 0.5 * 0.5 * float((np.exp(v) + m**2 - 1 - v).sum())
            possible.append(total / 2)
    assert any(told["loss"] == pytest.approx(one, rel=1e-4) for one in possible)


def test_what_is_read_is_never_predicted() -> None:
    table, counts = torch.arange(12).view(3, 4), torch.tensor([4, 2, 3])
    for seed in range(20):
        rows, read, asked = _draw(table, counts, 2, 2, torch.Generator().manual_seed(seed))
        assert not bool((read & asked).any())
        for user in range(3):
            used = rows[user][read[user] | asked[user]].tolist()
            assert len(set(used)) == len(used)
            assert set(used) <= set(table[user, : counts[user]].tolist())
        assert read.sum(1).tolist() == [2, 1, 2]
        assert asked.sum(1).tolist() == [2, 1, 1]


def test_annealing_rises_in_cycles() -> None:
    assert annealed(0.3, 0) == 1.0
    assert annealed(0.0, 2) == annealed(0.5, 2) == pytest.approx(0.1)
    assert annealed(0.25, 2) == pytest.approx(0.55)
    assert annealed(0.4999, 2) == pytest.approx(1.0, abs=1e-3)


def test_an_encoder_with_weights_learns_too() -> None:
    model = RewardModel.make({"type": "mlp", "inputs": 3, "hidden": [5]}, {"type": "latent", "latent": 2, "hidden": 8})
    before = [weight.clone() for weight in model.network.encoder.parameters()]
    fit_latent(model, _answers(8), steps=2, anneal=1)
    assert all(
        not torch.equal(one, other) for one, other in zip(before, model.network.encoder.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"beta": -1.0}, "beta must not be negative, got -1.0"),
        ({}, {"context": (4, 2)}, r"context=\(4, 2\)"),
        ({"annotators": None}, {}, "comparison 0 names no user"),
        ({"annotators": "anna"}, {}, "a single user, 'anna'; use a scalar head"),
        ({"label": 0.5}, {}, "labels must be 0 or 1.*got 0.5 in row 0.*data.select"),
        ({"each": 1}, {}, "nobody with two comparisons"),
    ],
)
def test_what_cannot_be_fitted(change: dict[str, Any], options: dict[str, Any], message: str) -> None:
    data = _answers(4, change.get("each", 4))
    if "annotators" in change:
        data.annotators = None if change["annotators"] is None else [change["annotators"]] * len(data)
    if "label" in change:
        data.label[0] = change["label"]
    with pytest.raises(ValueError, match=message):
        fit_latent(_model(), data, steps=1, **options)


def test_other_heads_and_sizes_are_told_apart(fitted: RewardModel) -> None:
    with pytest.raises(TypeError, match="needs a model with a latent head, got one with a scalar head"):
        fit_latent(RewardModel.make({"type": "mlp", "inputs": 3}), _answers(4))
    with pytest.raises(ValueError, match="user vectors of 2 numbers, got shape"):
        latent_reward(fitted, [as_trajectory(np.zeros(3))], torch.zeros(5))
    concat = _model(context="concat", comparisons=3)
    fit_latent(concat, _answers(6), steps=2)
    with pytest.raises(ValueError, match='sets of 3 comparisons, got one of 4; build the head with context="set"'):
        infer(concat, _answers(1, 4))
    with pytest.raises(ValueError, match="no user of this step has 10"):
        fit_latent(_model(context="concat", comparisons=9), _answers(6), steps=1)
    data = _answers(4, 3).select(np.arange(10))
    with pytest.warns(UserWarning, match="1 of 4 users have a single comparison .such as 'u3'. and are left out"):
        assert fit_latent(_model(), data, steps=1).skipped == ("u3",)


def test_no_answers_give_the_prior_and_say_so(fitted: RewardModel) -> None:
    for nothing in (None, _answers(1).select(np.array([], dtype=np.int64))):
        with pytest.warns(UserWarning, match="no comparisons of this user, so the posterior is the prior"):
            known = infer(fitted, nothing)
        assert known.comparisons == 0
        assert known.mean.tolist() == [0.0, 0.0]
        assert known.std.tolist() == [1.0, 1.0]


def test_contradictory_answers_leave_a_posterior_near_the_prior(fitted: RewardModel) -> None:
    some = _answers(1, 4, seed=3)
    both = PreferenceData.from_arrays(
        np.concatenate([[item.observations[0] for item in some.items[:4]]] * 2),
        np.concatenate([[item.observations[0] for item in some.items[4:]]] * 2),
        np.concatenate([some.label, 1 - some.label]),
    )
    assert float(infer(fitted, both).mean.norm()) < 0.5 * float(infer(fitted, some).mean.norm())


def test_leakage_is_an_error(fitted: RewardModel) -> None:
    data = _answers(4)
    context, targets = _split(data, 8, 4)
    with pytest.raises(ValueError, match="leakage: 16 of 32 predicted comparisons.*first: row 0 of user 'u0'"):
        held_out_hits(fitted, context, data)
    assert len(held_out_hits(fitted, context, targets)) == 16


def test_scaled_rewards_do_not_depend_on_the_scale_of_values(fitted: RewardModel) -> None:
    draw = np.random.default_rng(0)
    items = [as_trajectory(row) for row in draw.normal(size=(4, 3))]
    reference = [as_trajectory(row) for row in draw.normal(size=(50, 3))]
    known = infer_users(fitted, _split(_answers(2, seed=1), 8, 4)[0])
    raw, scaled = latent_reward(fitted, items, known["u0"]), scaled_reward(fitted, items, known["u0"], reference)
    theirs = latent_reward(fitted, reference, known["u0"])
    by_hand = (1 / (1 + np.exp(-(raw[:, None] - theirs[None])))).mean(1)
    np.testing.assert_allclose(scaled, by_hand, atol=1e-5)
    both = torch.stack([known["u0"].mean, known["u1"].mean])
    with pytest.warns(UserWarning, match="on different scales.*use scaled_reward"):
        latent_reward(fitted, items, both)
    average = scaled_reward(fitted, items, both, reference)
    np.testing.assert_allclose(average, (scaled + scaled_reward(fitted, items, known["u1"], reference)) / 2, atol=1e-6)
    with pytest.raises(ValueError, match="at least one reference trajectory"):
        scaled_reward(fitted, items, known["u0"], [])


def test_the_diagnosis_tells_a_healthy_model_from_a_collapsed_one(fitted: RewardModel) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        healthy = diagnose(fitted, _answers(30, seed=2), context=4)
    assert healthy.active > 0
    assert healthy.accuracy > 0.9 > 0.6 > healthy.unknown
    assert healthy.by_length[1] <= healthy.by_length[4] == healthy.accuracy
    assert "active units" in str(healthy)
    ill = fit_latent(_model(), _answers(), beta=50.0, steps=60, learning_rate=0.02).model
    with pytest.warns(UserWarning, match="posterior collapse.*lower beta") as caught:
        report = diagnose(ill, _answers(30, seed=2), context=4)
    assert (report.active, len(report.problems), len(caught)) == (0.0, 2, 2)
    assert "turned round they cost" in report.problems[1]
    with pytest.raises(ValueError, match="nobody has more than 8 different comparisons"):
        diagnose(fitted, _answers(4, 8))
    doubled = _answers(4, 4)
    doubled = doubled.select(np.repeat(np.arange(16), 3))
    with pytest.raises(ValueError, match="nobody has more than 4 different"):
        diagnose(fitted, doubled, context=4)


def test_questions_that_tell_users_apart_are_asked_first(fitted: RewardModel) -> None:
    same, far = np.array([0.0, 1.0, 0.0]), np.array([0.0, -1.0, 0.0])
    candidates = PreferenceData.from_arrays([same, [2.0, 0, 0], same], [far, [-2.0, 0, 0], same + 0.1], [1, 1, 1])
    with pytest.warns(UserWarning, match="posterior is the prior"):
        stranger = infer(fitted, None)
    chosen = next_query(fitted, candidates, stranger, samples=256)
    assert chosen.best.tolist() == [1]
    assert np.all(chosen.scores > -1e-6)
    sets = next_query(fitted, candidates, stranger, size=2, sets=5)
    assert sets.sets.shape == (5, 2)
    unsure = next_query(fitted, candidates, stranger, method="entropy", samples=256)
    assert np.all((unsure.scores > 0) & (unsure.scores <= np.log(2) + 1e-6))
    random = [next_query(fitted, candidates, stranger, method="random", seed=seed).best.tolist() for seed in range(9)]
    assert len({tuple(one) for one in random}) > 1
    with pytest.raises(ValueError, match="there are 3 candidates, expected at least 4"):
        next_query(fitted, candidates, stranger, size=4)
    with pytest.raises(ValueError, match="size must be between 1 and 8, got 9"):
        next_query(fitted, candidates, stranger, size=9)
    with pytest.raises(ValueError, match="method must be 'mutual_info', 'entropy' or 'random', got 'best'"):
        next_query(fitted, candidates, stranger, method="best")  # type: ignore[arg-type]


def test_trajectories_are_relabelled_user_by_user(fitted: RewardModel) -> None:
    draw = np.random.default_rng(0)
    stored = [Trajectory(observations=draw.normal(size=(4, 3)), actions=np.zeros((3, 1))) for _ in range(5)]
    reference = [as_trajectory(row) for row in draw.normal(size=(20, 3))]
    made = relabel(fitted, stored, reference, every=2, seed=1)
    assert [one.observations.shape for one in made] == [(4, 5)] * 5
    assert made[0].info["latent"] == made[1].info["latent"] != made[2].info["latent"]
    vector = torch.tensor(made[4].info["latent"])
    np.testing.assert_allclose(made[4].observations[:, 3:], np.tile(vector.numpy(), (4, 1)))
    expected = scaled_reward(
        fitted, [as_trajectory(row) for row in stored[4].observations[1:].astype(np.float32)], vector, reference
    )
    np.testing.assert_allclose(made[4].rewards, expected, atol=1e-6)
    known = infer_users(fitted, _split(_answers(2, seed=1), 8, 4)[0])
    for_one = relabel(fitted, stored, reference, users=known["u0"].mean[None])
    assert for_one[0].info["latent"] == pytest.approx(known["u0"].mean.tolist())
    assert not np.isnan(relabel(fitted, stored, None, users=list(known.values()))[0].rewards).any()
    with pytest.raises(ValueError, match="got a chat"):
        relabel(fitted, [Trajectory(observations=[[{"role": "user", "content": "a"}], []], actions=[{"role": "assistant", "content": "b"}])], None)  # fmt: skip
    with pytest.raises(ValueError, match="got 0 and every=10"):
        relabel(fitted, [], None)


def test_an_environment_shows_the_vector_behind_every_observation() -> None:
    gymnasium = pytest.importorskip("gymnasium")

    class Walk(gymnasium.Env):  # type: ignore[misc, name-defined]
        observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return np.zeros(2, np.float32), {}

        def step(self, action: int) -> Any:
            return np.ones(2, np.float32), 0.0, False, False, {}

    made = append_latent(Walk(), [0.5, -2.0])
    assert made.reset()[0].tolist() == [0.0, 0.0, 0.5, -2.0]
    assert made.step(0)[0].tolist() == [1.0, 1.0, 0.5, -2.0]
    assert made.observation_space.shape == (4,)
    wrong = Walk()
    wrong.observation_space = gymnasium.spaces.Discrete(3)
    with pytest.raises(ValueError, match="behind a flat Box of observations.*FlattenObservation"):
        append_latent(wrong, [0.5])


def test_texts_are_read_as_answers_too() -> None:
    from rewardlab.recipes.pieces import piece_policy
    from rewardlab.rewards.models.encoders.text import TextEncoder
    from rewardlab.types import Preference

    tiny = piece_policy(["ask", " ", "long", "short", "very"], hidden=16, layers=1, heads=2, seed=1)
    chats = [[{"role": "user", "content": "ask"}, {"role": "assistant", "content": said}] for said in ("long", "short", "very long", "very short")]  # fmt: skip
    pairs = PreferenceData.from_preferences(
        Preference(chosen=chats[a], rejected=chats[b], annotator=who)
        for who, order in (("ann", 1), ("bob", -1))
        for a, b in ((0, 1)[::order], (2, 3)[::order], (0, 3)[::order])
    )
    encoder = TextEncoder(model=tiny.model, tokenizer=tiny.tokenizer)
    model = RewardModel.make(encoder, {"type": "latent", "latent": 2, "hidden": 8})
    assert len(fit_latent(model, pairs, steps=3, learning_rate=1e-3).metrics) == 3
    remembered = remember_users(model, pairs)
    assert remembered.network.head.users == ["ann", "bob"]
    assert np.isfinite(RewardModel.around(remembered.network, user="ann")(pairs.items).values).all()
