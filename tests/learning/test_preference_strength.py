from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.learning.data import PreferenceData
from rewardlab.learning.pair_loss import PairLoss, soften_below_zero
from rewardlab.learning.preference_strength import PreferenceStrength, StrengthReport, refuse_equal
from rewardlab.types import Preference

CHOSEN = np.array([[1.0, 3.0], [0.0, 0.0], [2.0, 2.0], [5.0, 7.0], [1.0, 1.0]])
REJECTED = np.array([[0.0, 0.0], [1.0, 3.0], [2.0, 3.0], [1.0, 1.0], [0.0, 0.5]])


def data(count: int = 5) -> PreferenceData:
    generator = np.random.default_rng(0)
    return PreferenceData.from_arrays(generator.normal(size=(count, 3)), generator.normal(size=(count, 3)))


def report(**options: object) -> StrengthReport:
    return StrengthReport.from_scores(CHOSEN, REJECTED, data(), **options)  # type: ignore[arg-type]


def test_mean_and_deviation_by_hand() -> None:
    found = report()
    assert found.mean.tolist() == [2.0, -2.0, -0.5, 5.0, 0.75]
    assert found.std.tolist() == [1.0, 1.0, 0.5, 1.0, 0.25]  # of the population: divided by the number of voters
    assert found.voter_accuracy.tolist() == [0.6, 0.6]
    noted = found.to_dataset()
    assert noted.strength is not None
    assert noted.metadata is not None
    assert noted.strength.tolist() == found.mean.tolist()
    assert noted.metadata[3] == {"strength_mean": 5.0, "strength_std": 1.0}


def test_strata_are_ranks_of_the_mean() -> None:
    strata = report().strata((0.2, 0.4))
    assert [strata.incorrect.tolist(), strata.ambiguous.tolist(), strata.normal.tolist()] == [[1], [2], [4, 0, 3]]


def test_voters_on_different_scales_count_alike_when_standardised() -> None:
    loud = StrengthReport.from_scores(CHOSEN * [1, 100], REJECTED * [1, 100], standardise=True)
    np.testing.assert_allclose(loud.mean, report(standardise=True).mean)
    with pytest.raises(ValueError, match=r"voter 1 gives every pair the same difference.*standardise=False"):
        _ = StrengthReport.from_scores([[1, 2], [3, 2]], [[0, 1], [1, 1]], standardise=True).mean


@pytest.mark.parametrize(
    ("chosen", "rejected", "message"),
    [
        ([[1.0]], [[0.0]], r"at least 2 voters, got 1"),
        ([[1.0, np.nan]], [[0.0, 0.0]], r"finite numbers.*row 0"),
        ([[1.0, 2.0]], [[0.0, np.inf]], r"finite numbers.*row 0 \(1 such rows\)"),
        ([[1.0, 2.0]], [[0.0, 1.0], [0.0, 1.0]], r"one shape \[row, voter\]"),
    ],
)
def test_scores_that_cannot_vote(chosen: list[list[float]], rejected: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StrengthReport.from_scores(chosen, rejected)


@pytest.mark.parametrize("quantiles", [(0.4, 0.2), (0.0, 0.5), (0.2, 1.0), (0.3, 0.3)])
def test_quantiles_that_are_none(quantiles: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="increasing numbers between 0 and 1"):
        report().strata(quantiles)


def test_an_empty_part_is_named() -> None:
    with pytest.raises(ValueError, match="the part 'incorrect' would be empty: 5 pairs are too few"):
        report().strata((0.01, 0.4))


def test_too_few_voters_and_equal_responses() -> None:
    with pytest.raises(ValueError, match="at least 2 voters, got 1"):
        PreferenceStrength(make=lambda seed: None, voters=1)  # type: ignore[arg-type,return-value]
    same = PreferenceData.from_preferences(
        [Preference(chosen="yes", rejected="no"), Preference(chosen="a", rejected="a")]
    )
    with pytest.raises(ValueError, match="chosen and rejected are the same in row 1"):
        refuse_equal(same)


def test_memorised_data_are_doubted() -> None:
    sure = StrengthReport(scores_chosen=np.ones((4, 2)), scores_rejected=np.zeros((4, 2)))
    assert len(sure.check()) == 2
    assert "100.0% of the labels" in sure.check()[0]
    assert not report().check()  # scores from elsewhere are not training data


def test_flip_then_margin_is_never_negative() -> None:
    repaired = PairLoss(flip=0.2, margin="strength").apply(data(), report())
    assert repaired.label.tolist() == [1, 0, 1, 1, 1]
    assert repaired.strength is not None
    assert repaired.strength.tolist() == [2.0, 2.0, 0.0, 5.0, 0.75]  # the flipped pair has the opposite strength
    clipped = PairLoss(margin="strength", margin_clip=1.0).apply(data(), report())
    assert clipped.strength is not None
    assert clipped.strength.tolist() == [1.0, 0.0, 0.0, 1.0, 0.75]


def test_repairs_are_idempotent_and_not_stacked() -> None:
    repair = PairLoss(flip=0.4)
    once = repair.apply(data(), report())
    assert repair.apply(once, report()) is once
    with pytest.raises(ValueError, match=r"repaired already.*start from the original comparisons"):
        PairLoss(flip=0.2).apply(once, report())


def test_softening_is_label_smoothing() -> None:
    torch = pytest.importorskip("torch")
    from rewardlab.functional.preferences import bradley_terry

    repaired = PairLoss(smoothing=soften_below_zero(0.5, 0.1)).apply(data(), report())
    np.testing.assert_allclose(repaired.label, [0.9, 0.5, 0.5, 0.9, 0.9])
    logits = torch.tensor([0.3, -2.0, 1.0, 0.0, 5.0], dtype=torch.float64)
    mine = bradley_terry(logits, torch.tensor(repaired.label))
    soft = torch.tensor([0.1, 0.5, 0.5, 0.1, 0.1], dtype=torch.float64)
    by_hand = -(1 - soft) * torch.log(torch.sigmoid(logits)) - soft * torch.log(torch.sigmoid(-logits))
    torch.testing.assert_close(mine, by_hand)


def test_dropping_and_weights() -> None:
    repaired = PairLoss(drop=0.4, weights=[1, 2, 3, 4, 5]).apply(data(), report())
    assert repaired.weight is not None
    assert repaired.weight.tolist() == [1, 4, 5]


@given(share=st.floats(0, 0.99), seed=st.integers(0, 100))
def test_flipping_turns_round_the_weakest_and_nothing_else(share: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    chosen, rejected = generator.normal(size=(2, 9, 3))
    votes = StrengthReport.from_scores(chosen, rejected)
    repaired = PairLoss(flip=share).apply(data(9), votes)
    turned = repaired.label == 0
    assert turned.sum() == round(share * 9)
    if 0 < turned.sum() < 9:
        assert votes.mean[turned].max() <= votes.mean[~turned].min()


@pytest.mark.parametrize(
    ("repair", "message"),
    [
        (PairLoss(flip=1.5), r"flip must be a share in \[0, 1\), got 1.5"),
        (PairLoss(flip=0.2), "needs their strengths: give a report"),
        (PairLoss(margin="strength"), "needs the strengths: give a report"),
        (PairLoss(margin="large"), "margin must be a number, float.row. or 'strength', got 'large'"),
        (PairLoss(margin=-1.0), "must not be negative, got -1.0 for pair 0; flip it instead"),
        (PairLoss(smoothing=1.2), r"smoothing must lie in \[0, 1\], got 1.2"),
        (PairLoss(smoothing=[0.1, 0.2]), "one for each of 5 comparisons"),
        (PairLoss(weights=[1, 1, 1, 1, -1]), "weights must not be negative"),
        (PairLoss(flip=[True]), r"flip must be a share or bool\[5\]"),
        (PairLoss(margin=1.0, margin_clip=0.0), "margin_clip must be positive"),
    ],
)
def test_repairs_that_cannot_be(repair: PairLoss, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        repair.apply(data())


def test_a_margin_beyond_the_scores_is_warned_about() -> None:
    with pytest.warns(UserWarning, match=r"above 95% of all differences.*use margin_clip"):
        PairLoss(margin=50.0).apply(data(), report())
