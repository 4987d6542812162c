"""Agreement against published examples and against counting pairs one by one."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.functional import cohen_kappa, fleiss_kappa, krippendorff_alpha, pairwise_agreement

NAN = math.nan
KRIPPENDORFF_2011 = [  # the example of sections C and D: four observers, twelve units
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
]
FLEISS = [  # ten subjects, fourteen raters, five categories; kappa is 0.210
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]
tables = st.integers(2, 4).flatmap(
    lambda judges: st.lists(
        st.lists(st.sampled_from([NAN, 0.0, 1.0, 4.0]), min_size=judges, max_size=judges), min_size=1, max_size=6
    )
)


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_the_published_example(level, alpha) -> None:
    assert krippendorff_alpha(KRIPPENDORFF_2011, level) == pytest.approx(alpha, abs=5e-4)


def test_the_published_kappas() -> None:
    assert fleiss_kappa(FLEISS) == pytest.approx(0.210, abs=5e-4)
    one = [1] * 25 + [0] * 25  # 20 and 15 on the diagonal, 5 and 10 beside it
    other = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    assert cohen_kappa(one, other) == pytest.approx(0.4)
    assert pairwise_agreement([one, other]) == pytest.approx(0.7)


def pair_by_pair(units, distance) -> float:
    """Alpha with no table: mean distance inside units over mean distance of all ratings."""
    kept = [[one for one in unit if not math.isnan(one)] for unit in units]
    kept = [unit for unit in kept if len(unit) > 1]
    everything = [one for unit in kept for one in unit]
    if not everything:
        return NAN
    observed = sum(
        sum(distance(a, b) for a, b in itertools.permutations(unit, 2)) / (len(unit) - 1) for unit in kept
    ) / len(everything)
    expected = sum(distance(a, b) for a, b in itertools.permutations(everything, 2)) / (
        len(everything) * (len(everything) - 1)
    )
    return NAN if expected == 0 else 1 - observed / expected


@given(tables)
def test_alpha_is_one_minus_observed_over_expected(units) -> None:
    ratings = np.asarray(units).T
    for level, distance in (("nominal", lambda a, b: float(a != b)), ("interval", lambda a, b: (a - b) ** 2)):
        assert krippendorff_alpha(ratings, level) == pytest.approx(pair_by_pair(units, distance), nan_ok=True)
    assert krippendorff_alpha(ratings, "ordinal") == pytest.approx(
        krippendorff_alpha(ratings[::-1] * 2 - 3, "ordinal"), nan_ok=True
    )  # neither who judged nor the scale matters


@given(tables)
def test_agreement_is_the_share_of_equal_pairs(units) -> None:
    pairs = [
        float(a == b)
        for unit in units
        for a, b in itertools.combinations([one for one in unit if not math.isnan(one)], 2)
    ]
    found = pairwise_agreement(np.asarray(units).T)
    assert found == pytest.approx(sum(pairs) / len(pairs) if pairs else NAN, nan_ok=True)


def test_weighted_kappa_by_hand() -> None:
    one, other = [0, 0, 1, 2], [0, 1, 1, 0]
    # chance: (2 1 1)/4 against (2 2 0)/4; distances 0 1 2
    chance = {"linear": (2 * 2 * 1 + 1 * 2 * 1 + 1 * 2 * 2 + 1 * 2 * 1) / 16, "quadratic": (4 + 2 + 8 + 2) / 16}
    seen = {"linear": (0 + 1 + 0 + 2) / 4, "quadratic": (0 + 1 + 0 + 4) / 4}
    for weights in chance:
        assert cohen_kappa(one, other, weights) == pytest.approx(1 - seen[weights] / chance[weights])
    assert cohen_kappa([0, 1, NAN], [0, 1, 1]) == 1.0


def test_where_nothing_can_be_said_the_answer_is_no_number() -> None:
    assert math.isnan(krippendorff_alpha([[1, 1], [1, 1]]))
    assert math.isnan(krippendorff_alpha([[1, 2, NAN], [NAN, NAN, 1]]))
    assert math.isnan(fleiss_kappa([[3, 0], [3, 0]]))
    assert math.isnan(cohen_kappa([NAN, 1], [1, NAN]))
    assert math.isnan(pairwise_agreement([[1, NAN], [NAN, 2]]))


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="unit 1 has 2 judgements and unit 0 has 3.*krippendorff_alpha does not"):
        fleiss_kappa([[3, 0], [1, 1]])
    with pytest.raises(ValueError, match="at least 2 judgements, got 1"):
        fleiss_kappa([[1, 0], [0, 1]])
    with pytest.raises(ValueError, match='level must be "nominal", "ordinal" or "interval", got \'ratio\''):
        krippendorff_alpha([[1, 2], [2, 1]], "ratio")
    with pytest.raises(ValueError, match="equally long"):
        cohen_kappa([1], [1, 2])
    with pytest.raises(ValueError, match="weights must be"):
        cohen_kappa([1, 2], [1, 2], "cubic")
    with pytest.raises(ValueError, match=r"\[judge, unit\]"):
        pairwise_agreement([1, 2])


def test_it_needs_no_torch() -> None:
    program = (
        "import sys; from rewardlab.functional import krippendorff_alpha, brier_score; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
