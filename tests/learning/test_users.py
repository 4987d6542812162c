from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardlab.learning import PreferenceData, as_trajectory, fit
from rewardlab.learning.users import (
    add_users,
    balanced_users,
    fixed_mixture,
    prototype_report,
    split_users,
    user_accuracy,
    user_comparisons,
    user_names,
)
from rewardlab.rewards.models.model import RewardModel

torch.set_num_threads(1)

ENCODER = {"type": "mlp", "inputs": 2, "hidden": []}


def comparisons(users, count=20, seed=0, tie=False):
    """Users of group "left" prefer small first numbers, those of group "right" large ones."""
    draw = np.random.default_rng(seed)
    first, second = draw.normal(size=(2, count * len(users), 2))
    who = [name for name in users for _ in range(count)]
    sign = np.asarray([1.0 if name.startswith("right") else -1.0 for name in who])
    label = np.full(len(who), 0.5) if tie else (sign * (first[:, 0] - second[:, 0]) > 0).astype(float)
    return PreferenceData.from_arrays(first, second, label, annotators=who)


@pytest.fixture(scope="module")
def fitted():
    data = comparisons([f"{side}.{place}" for side in ("left", "right") for place in range(3)])
    head = {"type": "ideal_point", "users": user_names(data), "prototypes": 2, "latent": 2, "hidden": 16}
    model = RewardModel.make(ENCODER, head)
    rates = {"head.user_logits": 10.0, "head.points": 10.0}
    return fit(model, data, steps=150, learning_rate=2e-2, rates=rates).model


def copied(model):
    import copy

    return RewardModel.around(copy.deepcopy(model.network))


def test_users_are_told_apart(fitted):
    found = user_accuracy(
        fitted, comparisons([f"{side}.{place}" for side in ("left", "right") for place in range(3)], seed=1)
    )
    assert min(found.values()) > 0.85


def test_new_users_from_few_comparisons_leave_everything_else_alone(fitted):
    before = {name: value.clone() for name, value in fitted.network.state_dict().items()}
    names = ["left/new", "right new"]
    grown = add_users(copied(fitted), comparisons(names, count=8, seed=2))
    after = grown.network.state_dict()
    for name, value in before.items():
        assert torch.equal(after[name][: len(value)] if name == "head.user_logits" else after[name], value)
    assert min(user_accuracy(grown, comparisons(names, count=100, seed=3)).values()) > 0.75


def test_new_users_do_not_change_one_another(fitted):
    both = comparisons(["left.a", "right.b"], count=6, seed=2)
    together = add_users(copied(fitted), both).network.head
    alone = add_users(copied(fitted), both.select([who == "right.b" for who in both.annotators])).network.head
    assert torch.allclose(together.user_weights("right.b"), alone.user_weights("right.b"), atol=1e-6)


def test_no_steps_give_the_population_and_the_prior_holds_to_it(fitted):
    data = comparisons(["right.c"], count=10, seed=4)
    population = fitted.network.head.population()
    still = add_users(copied(fitted), data, steps=0).network.head.user_weights("right.c")
    assert torch.allclose(still, population, atol=1e-5)
    firm, free = (
        add_users(copied(fitted), data, prior=prior).network.head.user_weights("right.c") for prior in (100.0, 0.0)
    )
    assert (firm - population).abs().sum() < (free - population).abs().sum()


def test_known_users_are_refused_or_fitted_anew(fitted):
    turned = comparisons(["right.0"], count=20, seed=5)
    turned.label = 1.0 - turned.label
    model = copied(fitted)
    with pytest.raises(ValueError, match="user 'right.0' is known already.*refit=True"):
        add_users(model, turned)
    assert len(model.network.head.users) == 6
    again = add_users(model, turned, refit=True)
    assert len(again.network.head.users) == 6
    assert user_accuracy(again, turned)["right.0"] > 0.85


def test_what_cannot_be_read_leaves_the_model_as_it_was(fitted):
    model = copied(fitted)
    bad = PreferenceData.from_arrays(np.zeros((1, 5)), np.ones((1, 5)), annotators=["new"])
    with pytest.raises(ValueError, match=r"expects \(2,\)"):
        add_users(model, bad)
    assert "new" not in model.network.head.users
    with pytest.raises(ValueError, match="learning_rate must be positive"):
        add_users(model, comparisons(["new"]), learning_rate=0.0)
    with pytest.raises(TypeError, match="needs a model with an ideal_point head, got one with a scalar head"):
        add_users(RewardModel.make(ENCODER), comparisons(["new"]))


def test_users_that_were_added_are_saved(fitted, tmp_path):
    grown = add_users(copied(fitted), comparisons(["left.a.b"], seed=2))
    saved = grown.save(tmp_path / "model")
    items = [as_trajectory(row) for row in np.random.default_rng(0).normal(size=(4, 2))]
    told = RewardModel.load(saved.path, user="left.a.b")(items).values
    assert np.array_equal(told, RewardModel.around(grown.network, user="left.a.b")(items).values)
    assert np.array_equal(RewardModel.load(saved.path)(items).values, fitted(items).values)


def test_a_fixed_mixture_is_the_user_with_these_weights_without_users(fitted, tmp_path):
    items = [as_trajectory(row) for row in np.random.default_rng(0).normal(size=(4, 2))]
    plain = fixed_mixture(fitted, fitted.network.head.user_weights("left.0").tolist())
    told = RewardModel.load(plain.save(tmp_path / "plain").path)(items).values
    assert told == pytest.approx(RewardModel.around(fitted.network, user="left.0")(items).values, abs=1e-5)
    with pytest.raises(ValueError, match="must add up to 1 within 1e-6"):
        fixed_mixture(fitted, [0.5, 0.6])


def test_the_report_says_who_holds_with_which_prototype(fitted):
    items = [np.asarray([x, 0.0]) for x in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    report = prototype_report(fitted, items, top=1)
    assert sorted(one[0] for one in report.top)[0] < 2 < sorted(one[0] for one in report.top)[1]
    assert report.effective == 2
    assert report.share.sum() == pytest.approx(1.0)
    assert report.users.tolist() == [0.5, 0.5]
    assert 0 <= report.mixedness <= 1
    with pytest.raises(ValueError, match="at least 3 items"):
        prototype_report(fitted, items[:2])


def test_equal_prototypes_count_once(fitted):
    model = copied(fitted)
    model.network.head.points.data[1] = model.network.head.points.data[0]
    assert prototype_report(model, np.random.default_rng(0).normal(size=(9, 2))).effective == 1


def test_records_in_both_forms():
    rows = [
        {"user": "a", "prompt": "p", "left": "x", "right": "y", "label": -1},
        ("b", "p", "y", "x", +1),
        ("b", None, np.zeros(2), np.ones(2), 0),
    ]
    data = user_comparisons(rows)
    assert data.label.tolist() == [1.0, 0.0, 0.5]  # left is the first
    assert data.annotators == ["a", "b", "b"]
    assert len(data.items) == 4  # x and y stand once
    assert user_comparisons([("a", "p", "x", "y", 1), ("a", "p", "x", "z", 0)], labels="binary").label.tolist() == [
        0.0,
        1.0,
    ]


def test_rows_that_say_nothing_are_set_aside_and_counted():
    rows = [("a", "p", "x", "x", 1), (None, "p", "x", "y", 1), (7, "p", "x", "y", 1), ("a", "p", "x", "y", 1)]
    data = user_comparisons(rows)
    assert len(data) == 1
    assert len(data.problems) == 3
    assert "left and right are the same" in str(data.problems)
    assert "the user is None, expected a name" in str(data.problems)
    with pytest.raises(ValueError, match="no comparison is left to learn from: 1 row was set aside"):
        user_comparisons(rows[:1])


def test_fresh_arrays_are_items_of_their_own_and_prompts_may_be_vectors():
    draw = np.random.default_rng(0)
    data = user_comparisons(("a", None, draw.normal(size=2), draw.normal(size=2), 1) for _ in range(50))
    assert len(data.items) == 100
    prompt, answers = np.ones(3), draw.normal(size=(2, 2))
    asked = user_comparisons([("a", prompt, answers[0], answers[1], 1)])
    assert np.asarray(asked.items[0].observations[0]).tolist() == [1.0] * 3
    assert np.asarray(asked.items[0].actions[0]) == pytest.approx(answers[0])


def test_sides_are_compared_in_every_form():
    one, other = as_trajectory(np.zeros(2)), as_trajectory(np.ones(2))
    chat = [{"role": "user", "content": "p"}, {"role": "assistant", "content": "x"}]
    rows = [("a", None, one, other, 1), ("a", None, one, as_trajectory(np.zeros(2)), 1)]
    rows += [("a", None, chat, [*chat[:1], {"role": "assistant", "content": "y"}], 1), ("a", None, chat, [*chat], 1)]
    data = user_comparisons(rows)
    assert [line.line for line in data.problems] == [2, 4]


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        (("a", "p", "x", "y", 2), {}, "label must be -1 or 0 or 1, got 2 in row 0"),
        (("a", "p", "x", "y", -1), {"labels": "binary"}, 'label must be 0 or 1, got -1 .*labels="signed"'),
        (("a", "p", "x", "y", True), {}, "got True"),
        (("a", "p", "x", "y", "left"), {}, "got 'left'"),
        (("a", "p", "x", "y", float("nan")), {}, "got nan"),
        (("a", "p", "x"), {}, "row 0 must be a mapping or a sequence of user, prompt, left, right, label"),
        ({"user": "a", "left": "x"}, {}, "row 0 has no 'prompt'; a record has user"),
        (("a", "p", "x", "y", 1), {"labels": "stars"}, 'labels must be "signed" or "binary"'),
    ],
)
def test_bad_records_are_named(row, options, message):
    with pytest.raises(ValueError, match=message):
        user_comparisons([row], **options)


def test_users_with_ties_alone_are_warned_of_and_nameless_rows_refused():
    with pytest.warns(UserWarning, match="1 of 1 users gave only ties"):
        user_names(comparisons(["left.0"], tie=True))
    with pytest.raises(ValueError, match="comparison 0 names no user"):
        user_names(PreferenceData.from_arrays(np.zeros((1, 2)), np.ones((1, 2))))


def test_every_user_counts_alike_when_balanced():
    data = comparisons(["left.0"], count=9)
    more = comparisons(["right.0"], count=3)
    both = PreferenceData(
        items=[*data.items, *more.items],
        first=np.concatenate([data.first, more.first + len(data.items)]),
        second=np.concatenate([data.second, more.second + len(data.items)]),
        label=np.concatenate([data.label, more.label]),
        annotators=[*data.annotators, *more.annotators],
    )
    weight = balanced_users(both).weight
    assert weight[:9].sum() == pytest.approx(weight[9:].sum()) == pytest.approx(6.0)


def test_no_user_stands_in_both_parts():
    data = comparisons([f"left.{place}" for place in range(6)], count=2)
    one, other = split_users(data, 1 / 3, seed=1)
    assert not set(one.annotators) & set(other.annotators)
    assert len(set(other.annotators)) == 2
    with pytest.raises(ValueError, match="one part would be empty"):
        split_users(data, 0.01)


def test_ties_count_half_and_undecided_users_are_nan():
    data = comparisons(["left.0", "left.1"], count=4)
    data.label[:4] = 0.5
    plain = RewardModel.make(ENCODER)
    plain.network.head.linear.weight.data.zero_()
    with pytest.warns(UserWarning, match="only ties"):
        found = user_accuracy(plain, data)
    assert np.isnan(found["left.0"])
    assert found["left.1"] == 0.5
