"""The formulas of credit against the same ones in plain Python, and what must hold whatever the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.functional import credit, group_relative
from rewardlab.functional.segments import dense, ragged, reverse_scan, split, token_runs
from rewardlab.registry import load_file

reference = load_file(Path(__file__).parents[2] / "benchmarks" / "credit_reference.py")

numbers = st.floats(-100, 100, allow_nan=False, width=32)


@st.composite
def batches(draw, most=6):
    """Ragged rows, groups and a discount."""
    rows = draw(st.lists(st.lists(numbers, max_size=most), min_size=1, max_size=8))
    groups = draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    return rows, np.array(groups), draw(st.sampled_from([0.0, 0.5, 0.9, 1.0]))


def flat(rows):
    return np.array([value for row in rows for value in row], dtype=float), np.array([len(row) for row in rows])


def close(got, rows, tolerance=1e-6):
    want, _ = flat(rows)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=tolerance)


@given(batches(most=20))
def test_returns_to_go(batch):
    rows, _, discount = batch
    values, lengths = flat(rows)
    tails = np.arange(len(rows)) - 1.5
    terminated = np.arange(len(rows)) % 2 == 0
    close(credit.returns_to_go(values, lengths, discount=discount), reference.returns_to_go(rows, discount))
    got = credit.returns_to_go(values, lengths, discount=discount, tails=tails, terminated=terminated)
    close(got, reference.returns_to_go(rows, discount, tails.tolist(), terminated.tolist()))


def test_truncated_tails_bootstrap_and_terminated_ones_do_not():
    rewards, lengths, tails = np.array([1.0, 2.0, 1.0, 2.0]), np.array([2, 2]), np.array([10.0, 10.0])
    got = credit.returns_to_go(rewards, lengths, discount=0.5, tails=tails, terminated=np.array([False, True]))
    assert got.tolist() == [1 + 0.5 * (2 + 0.5 * 10), 2 + 0.5 * 10, 2.0, 2.0]


@given(batches(), st.sampled_from(["all_steps", "zero"]))
def test_turn_baseline(batch, absent):
    rows, groups, _ = batch
    values, lengths = flat(rows)
    baseline = credit.turn_baseline(values, lengths, groups, absent=absent)
    close(credit.above(values, baseline), reference.turn_advantages(rows, groups.tolist(), absent), tolerance=1e-4)


@given(batches(), st.data())
def test_the_turn_baseline_of_a_trajectory_does_not_depend_on_its_own_returns(batch, data):
    rows, groups, _ = batch
    values, lengths = flat(rows)
    layout = ragged(lengths)
    own = layout.owner == data.draw(st.integers(0, len(rows) - 1))
    before = credit.turn_baseline(values, lengths, groups)[own]
    after = credit.turn_baseline(np.where(own, values * -3 + 7, values), lengths, groups)[own]
    np.testing.assert_allclose(before, after, atol=1e-6)


@given(batches(), st.sampled_from(["none", "std"]))
def test_turn_index_advantages(batch, scale):
    rows, groups, _ = batch
    rounded = [[round(value) for value in row] for row in rows]  # apart from rounding, or equal
    values, lengths = flat(rounded)
    got = credit.turn_index_advantages(values, lengths, groups, scale=scale)
    close(got, reference.turn_index_advantages(rounded, groups.tolist(), scale))


@given(batches(), st.sampled_from(["none", "std"]))
def test_steps_in_one_state_are_compared_and_the_rules_for_groups_are_those_of_outcomes(batch, scale):
    rows, groups, _ = batch
    rounded = [[round(value) for value in row] for row in rows]
    states = [[step % 2 for step in range(len(row))] for row in rows]
    values, lengths = flat(rounded)
    layout = ragged(lengths)
    cells = dense(groups[layout.owner], layout.position % 2)
    got = credit.step_relative(values, cells, scale=scale)
    close(got.advantages, reference.anchor_advantages(rounded, states, groups.tolist(), scale))
    if values.size:
        known = torch.ones(values.size, dtype=torch.bool)
        same = group_relative(torch.from_numpy(values), torch.from_numpy(cells), known, scale=scale)
        np.testing.assert_allclose(got.advantages, same.advantages.numpy(), atol=1e-9)
        assert got.single.tolist() == same.single.tolist()
        assert got.zero_variance.tolist() == same.zero_variance.tolist()
    assert (got.advantages[got.single | got.zero_variance] == 0).all()


@given(batches(), st.sampled_from(["equal", "proportional", "residual_last", "rescale"]))
def test_redistribution_adds_up_to_the_outcome(batch, how):
    rows, _, _ = batch
    values, lengths = flat(rows)
    outcomes = np.linspace(-2, 3, len(rows))
    got = credit.redistribute(outcomes, lengths, values, how=how)
    close(got, reference.redistribute(outcomes.tolist(), rows, how))
    for part, outcome in zip(split(got, ragged(lengths)), outcomes, strict=True):
        if part.size:
            assert part.sum() == pytest.approx(outcome, abs=1e-4)


def test_proportional_shares_stay_bounded():
    """Contributions that nearly cancel do not blow up, and tiny ones are still told apart."""
    got = credit.redistribute(np.array([1.0, 1.0]), np.array([2, 2]), np.array([1.0, -1.0 + 1e-9, 1e-300, 3e-300]),
                              how="proportional")  # fmt: skip
    assert got.tolist() == pytest.approx([1.0, 0.0, 0.25, 0.75])


@given(batches())
def test_potential_terms_telescope(batch):
    rows, _, discount = batch
    rows = [[*row, 1.5] for row in rows]
    values, points = flat(rows)
    terminated = np.arange(len(rows)) % 2 == 0
    got = credit.potential_terms(values, points - 1, terminated, discount=discount)
    close(got, reference.potential_terms(rows, terminated.tolist(), discount))
    returns = credit.returns_to_go(got, points - 1, discount=discount)
    for row, part, ended in zip(rows, split(returns, ragged(points - 1)), terminated, strict=True):
        if part.size:
            last = 0.0 if ended else discount**part.size * row[-1]
            assert part[0] == pytest.approx(last - row[0], abs=1e-4)


@given(st.lists(st.lists(st.integers(0, 3), max_size=5), min_size=1, max_size=5), st.integers(0, 99))
def test_tokens_and_steps(runs, seed):
    """`runs[i][k]` tokens of step k, with something that nobody wrote before each."""
    draw = np.random.default_rng(seed)
    steps = [
        [token for step, run in enumerate(row) for token in [-1] * int(draw.integers(3)) + [step] * run] for row in runs
    ]
    lengths = np.array([len(row) for row in runs])
    ratios = [draw.normal(size=len(row)).tolist() for row in steps]
    values = draw.normal(size=int(lengths.sum()))
    token_steps = np.array([step for row in steps for step in row], dtype=np.int32)
    token_lengths = np.array([len(row) for row in steps])
    runs = token_runs(token_steps, token_lengths, lengths)
    got = credit.step_log_ratios(flat(ratios)[0], runs)
    close(got, reference.step_log_ratios(ratios, steps, lengths.tolist()))
    tokens = credit.spread_to_tokens(values, runs)
    close(tokens, reference.spread_to_tokens([part.tolist() for part in split(values, ragged(lengths))], steps))


def test_an_action_of_three_tokens():
    """Log-ratios .2, -.1 and .3 with beta .05 are a step reward of .02; what the environment wrote counts nothing."""
    ratios = np.array([9.0, 0.2, -0.1, 0.3, 9.0])
    got = 0.05 * credit.step_log_ratios(ratios, token_runs(np.array([-1, 0, 0, 0, -1]), np.array([5]), np.array([2])))
    assert got.tolist() == pytest.approx([0.02, 0.0])


def test_equal_returns_have_advantage_exactly_zero():
    returns = np.full(7, 0.1)
    baseline = credit.turn_baseline(returns, np.array([3, 3, 1]), np.zeros(3, dtype=int))
    assert credit.above(returns, baseline).tolist() == [0.0] * 7


def test_a_scan_reaches_over_any_stride_and_never_over_an_end():
    layout = ragged(np.array([70, 0, 1]))
    got = reverse_scan(np.ones(71), 1.0, layout)
    assert got.tolist() == [*range(70, 0, -1), 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: credit.returns_to_go(np.ones(3), np.array([1, 1])), "3|sum of the lengths"),
        (lambda: credit.returns_to_go(np.array([1.0, np.nan]), np.array([1, 1])), "step 0 of trajectory 1"),
        (lambda: credit.returns_to_go(np.ones(1), np.array([1]), discount=1.2), "discount must be in"),
        (lambda: credit.returns_to_go(np.ones(1), np.array([1]), tails=np.ones(1)), "tails and terminated"),
        (lambda: credit.turn_baseline(np.ones(1), np.array([1]), np.array([-1])), "groups must be integers"),
        (lambda: credit.redistribute(np.ones(1), np.array([1]), how="rescale"), "needs the contributions"),
        (lambda: credit.redistribute(np.array([np.inf]), np.array([1])), "outcome of trajectory 0 is inf"),
        (lambda: credit.redistribute(np.ones(1), np.array([1]), how="later"), "how must be one of"),
        (lambda: token_runs(np.array([0, 1]), np.array([2]), np.array([1])), "names step 1"),
        (lambda: token_runs(np.array([0, 0]), np.array([1]), np.array([1])), "add up to the 2"),
        (lambda: ragged(np.array([-1])), "lengths must be"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_empty_batch():
    none = np.zeros(0, dtype=int)
    assert credit.returns_to_go(np.zeros(0), none).size == 0
    assert credit.turn_baseline(np.zeros(0), none, none).size == 0
    assert credit.step_relative(np.zeros(0), none).advantages.size == 0
    assert credit.step_log_ratios(np.zeros(0), token_runs(none, none, none)).size == 0
    assert credit.spread_to_tokens(np.zeros(0), token_runs(none, none, none)).size == 0
