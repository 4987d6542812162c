from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.functional import batch_mean, best_of_group, group_relative, leave_one_out


def tensors(values, groups, scored=None):
    scored = [True] * len(values) if scored is None else scored
    return torch.tensor(values, dtype=torch.float64), torch.tensor(groups), torch.tensor(scored)


def test_group_relative_by_hand():
    # group 0: mean 2, deviations -1 0 1, std (ddof 1) = 1; group 1: 0 and 4, std = sqrt(8)
    got = group_relative(*tensors([1.0, 0.0, 2.0, 4.0, 3.0], [0, 1, 0, 1, 0]), epsilon=0.0)
    half = 2 / math.sqrt(8)
    assert got.advantages.tolist() == pytest.approx([-1.0, -half, 0.0, half, 1.0])
    assert got.included.all()
    assert not got.zero_variance.any()


def test_the_published_example_of_a_group_of_four():
    got = group_relative(*tensors([4.0, 4.0, -2.0, -2.0], [7, 7, 7, 7]), epsilon=0.0)
    assert got.advantages.tolist() == pytest.approx([math.sqrt(3) / 2] * 2 + [-math.sqrt(3) / 2] * 2)


def test_ddof_epsilon_and_scales():
    values, groups, scored = tensors([0.0, 1.0, 5.0, 7.0], [0, 0, 1, 1])
    plain = group_relative(values, groups, scored, scale="none").advantages
    assert plain.tolist() == [-0.5, 0.5, -1.0, 1.0]
    population = group_relative(values, groups, scored, epsilon=0.1, ddof=0).advantages
    assert population.tolist() == pytest.approx([-0.5 / 0.6, 0.5 / 0.6, -1 / 1.1, 1 / 1.1])
    by_batch = group_relative(values, groups, scored, scale="batch", epsilon=0.0).advantages
    assert by_batch.tolist() == pytest.approx((plain / np.std([0, 1, 5, 7], ddof=1)).tolist())


def test_leave_one_out_is_the_value_minus_the_mean_of_the_others():
    values, groups, scored = tensors([1.0, 2.0, 6.0, 9.0, 9.0], [0, 0, 0, 1, 1], [True, True, True, True, False])
    got = leave_one_out(values, groups, scored)
    assert got.advantages.tolist() == pytest.approx([1 - 4.0, 2 - 3.5, 6 - 1.5, 0.0, 0.0])
    assert got.included.tolist() == [True, True, True, False, False]
    assert got.single.tolist() == [False, False, False, True, False]


def test_members_that_were_not_scored_leave_the_statistics():
    with_failed = group_relative(*tensors([1.0, math.nan, 3.0, 99.0], [0, 0, 0, 0], [True, False, True, False]))
    without = group_relative(*tensors([1.0, 3.0], [0, 0]))
    assert with_failed.advantages[[0, 2]].tolist() == without.advantages.tolist()
    assert with_failed.advantages[[1, 3]].tolist() == [0.0, 0.0]
    assert with_failed.included.tolist() == [True, False, True, False]


def test_a_group_of_equal_values_has_advantage_exactly_zero_and_stays():
    rounding = [0.1 + 0.2, 0.3, 0.3]
    for function in (group_relative, leave_one_out):
        got = function(*tensors([*rounding, 1.0, 2.0], [0, 0, 0, 1, 1]), scale="std", epsilon=0.0)
        assert got.advantages[:3].tolist() == [0.0, 0.0, 0.0]
        assert got.zero_variance.tolist() == [True, True, True, False, False]
        assert got.included.all()


def test_a_single_scored_member_is_excluded_or_kept_at_zero():
    values, groups, scored = tensors([5.0, 1.0, 2.0], [0, 1, 1])
    for function in (group_relative, leave_one_out):
        assert function(values, groups, scored).included.tolist() == [False, True, True]
        kept = function(values, groups, scored, single="zero")
        assert kept.included.all()
        assert kept.advantages[0] == 0.0
        assert kept.single.tolist() == [True, False, False]


def test_nothing_scored_and_nothing_at_all():
    got = group_relative(*tensors([math.nan, math.nan], [0, 0], [False, False]))
    assert got.advantages.tolist() == [0.0, 0.0]
    assert not got.included.any()
    empty = group_relative(torch.empty(0), torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.bool))
    assert empty.advantages.shape == (0,)


def test_batch_mean():
    values, _, scored = tensors([1.0, 2.0, 6.0, 100.0], [0] * 4, [True, True, True, False])
    assert batch_mean(values, scored).advantages.tolist() == [-2.0, -1.0, 3.0, 0.0]
    scaled = batch_mean(values, scored, scale="std", epsilon=0.0).advantages
    assert scaled.tolist() == pytest.approx([-2 / math.sqrt(7), -1 / math.sqrt(7), 3 / math.sqrt(7), 0.0])


# Spreads from one part in 1e12 to 1e9, around centres of very different sizes, with members that were not scored.
member = st.one_of(
    st.floats(-1e6, 1e6),
    st.floats(-1e-6, 1e-6),
    st.builds(lambda centre, shift: centre + shift, st.sampled_from([0.0, 1.0, -7.0, 1e6]), st.floats(-1e-12, 1e-12)),
    st.sampled_from([0.0, 1.0, 5e-324, 1e-300, 2e-300, 1e100, -1e100]),
)
batches = st.lists(st.tuples(member, st.integers(0, 3), st.booleans() | st.just(True)), min_size=1, max_size=24)


@settings(max_examples=300, deadline=None)
@given(batches, st.sampled_from([0.0, 1e-300, 1e-8, 1e-4]), st.sampled_from([0, 1]))
def test_advantages_are_bounded_however_small_the_spread(batch, epsilon, ddof):
    values, groups, scored = tensors(*[list(column) for column in zip(*batch, strict=True)])
    counts = torch.stack([(groups[scored] == group).sum() for group in range(4)])[groups].double()
    slack = 1 + 1e-6
    deviation_bound = (
        (counts - 1).clamp(min=0) / counts.clamp(min=1).sqrt() if ddof else (counts - 1).clamp(min=0).sqrt()
    )
    got = group_relative(values, groups, scored, epsilon=epsilon, ddof=ddof).advantages
    assert torch.isfinite(got).all()
    assert (got.abs() <= deviation_bound * slack).all()
    assert (got.abs() <= counts.sqrt() * slack).all()

    alone = leave_one_out(values, groups, scored, scale="std", epsilon=epsilon, ddof=ddof).advantages
    bound = counts.sqrt() if ddof else counts / (counts - 1).clamp(min=1).sqrt()
    assert torch.isfinite(alone).all()
    assert (alone.abs() <= bound * slack).all()

    by_batch = group_relative(values, groups, scored, scale="batch", epsilon=epsilon).advantages
    assert torch.isfinite(by_batch).all()
    assert (by_batch.abs() <= math.sqrt(max(int(scored.sum()) - 1, 0)) * slack).all()


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 64), st.sampled_from([1e-300, 1e-30, 1e-6, 1.0, 1e30]))
def test_one_dissenter_reaches_the_bound_of_leave_one_out(size, spread):
    values, groups, scored = tensors([spread] + [0.0] * (size - 1), [0] * size)
    got = leave_one_out(values, groups, scored, scale="std", epsilon=0.0).advantages
    assert float(got[0]) == pytest.approx(math.sqrt(size))


@settings(max_examples=100, deadline=None)
@given(batches, st.permutations(range(24)))
def test_the_order_of_samples_does_not_matter(batch, order):
    order = [index for index in order if index < len(batch)]
    values, groups, scored = tensors(*[list(column) for column in zip(*batch, strict=True)])
    straight = group_relative(values, groups, scored, scale="none")
    shuffled = group_relative(values[order], groups[order], scored[order], scale="none")
    magnitude = float(values.abs().max())
    assert torch.allclose(shuffled.advantages, straight.advantages[order], rtol=1e-6, atol=1e-6 * magnitude)
    assert torch.equal(shuffled.included, straight.included[order])


@settings(max_examples=100, deadline=None)
@given(batches)
def test_group_relative_against_a_loop_over_groups(batch):
    values, groups, scored = tensors(*[list(column) for column in zip(*batch, strict=True)])
    got = group_relative(values, groups, scored, epsilon=1e-4)
    expected = np.zeros(len(batch))
    for group in set(groups.tolist()):
        chosen = [i for i in range(len(batch)) if groups[i] == group and scored[i]]
        inside = values[chosen].numpy()
        if len(chosen) > 1 and np.ptp(inside) > 1e-8 * np.abs(inside).max() and np.abs(inside).max() < 1e50:
            expected[chosen] = (inside - inside.mean()) / (inside.std(ddof=1) + 1e-4)
        else:
            expected[chosen] = got.advantages[chosen].numpy()  # equal values and sizes that numpy's squares overflow on
    assert got.advantages.numpy() == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_best_of_group_by_hand():
    values, groups, scored = tensors(
        [1.0, 3.0, 2.0, 5.0, 5.0, 5.0, 4.0, 0.0, 0.0, 9.0, 8.0],
        [0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3],
        [True] * 9 + [False, True],
    )
    got = best_of_group(values, groups, scored)
    third = 1 / 3
    assert got.advantages.tolist() == pytest.approx([0, 1, 0, third, third, third, 0, 0, 0, 0, 0])
    assert got.zero_variance.tolist() == [False] * 7 + [True, True, False, False]
    assert got.single.tolist() == [False] * 10 + [True]
    two = best_of_group(values, groups, scored, keep=2, ties="share").advantages
    assert two.tolist() == pytest.approx([0, 1, 1, 2 / 3, 2 / 3, 2 / 3, 0, 1, 1, 0, 1])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.integers(0, 2), st.booleans()), min_size=1, max_size=20
    ),
    st.integers(1, 4),
)
def test_best_of_group_keeps_its_share_and_never_a_worse_one(batch, keep):
    values, groups, scored = tensors(*[list(column) for column in zip(*batch, strict=True)])
    weights = best_of_group(values, groups, scored, keep=keep, ties="share").advantages
    for group in set(groups.tolist()):
        chosen = [i for i in range(len(batch)) if groups[i] == group and scored[i]]
        assert float(weights[chosen].sum()) == pytest.approx(min(keep, len(chosen)))
        best = sorted((float(values[i]) for i in chosen), reverse=True)[:keep]
        assert all(float(values[i]) in best for i in chosen if weights[i] > 0)
    assert (weights[~scored] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": torch.tensor([1, 2])}, "values must be float"),
        ({"group_ids": torch.tensor([0])}, "group_ids must be integers of shape"),
        ({"scored_mask": torch.tensor([1, 1])}, "scored_mask must be bool"),
        ({"values": torch.tensor([1.0, math.inf])}, "value 1 is inf, but scored_mask says"),
        ({"scale": "group"}, "scale must be"),
        ({"single": "raise"}, "single must be"),
        ({"epsilon": -1.0}, "epsilon must not be negative"),
        ({"epsilon": math.nan}, "epsilon must not be negative"),
        ({"ddof": 2}, "ddof must be 0 or 1"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {
        "values": torch.tensor([1.0, 2.0]),
        "group_ids": torch.tensor([0, 0]),
        "scored_mask": torch.tensor([True, True]),
        **change,
    }
    with pytest.raises(ValueError, match=message):
        group_relative(**arguments)


def test_bad_input_of_best_of_group():
    arguments = (torch.tensor([1.0]), torch.tensor([0]), torch.tensor([True]))
    with pytest.raises(ValueError, match="keep must be at least 1, got 0"):
        best_of_group(*arguments, keep=0)
    with pytest.raises(ValueError, match="ties must be"):
        best_of_group(*arguments, ties="first")


@pytest.mark.parametrize("flush", [False, True])
def test_spreads_below_the_normal_numbers_count_as_none(flush):
    """Processors may flush such numbers to 0, which once made the advantages NaN."""
    values, groups, scored = tensors([2.2250738585e-313, 0.0], [0, 0])
    torch.set_flush_denormal(flush)
    try:
        got = group_relative(values, groups, scored, epsilon=0.0)
    finally:
        torch.set_flush_denormal(False)
    assert got.advantages.tolist() == [0.0, 0.0]
    assert got.zero_variance.all()
