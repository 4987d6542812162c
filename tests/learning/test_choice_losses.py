"""Losses by name that look at single responses, through the fitter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardlab.functional import direct_preference_loss, order_consistency, prospect
from rewardlab.learning import PairRows, PreferenceData, fit, make_loss
from rewardlab.registry import SpecError
from rewardlab.rewards.models.model import RewardModel
from tests.learning.test_losses import OUTPUTS, VALUES, OnlyCompares, Plain

ROWS = PairRows(torch.tensor([0, 1]), torch.tensor([1, 2]), torch.tensor([1.0, 0.25]))
FIRST, SECOND, LABEL = VALUES[:2], VALUES[1:3], ROWS.label


def test_each_is_its_formula_on_the_values_of_the_head() -> None:
    assert torch.allclose(make_loss("classifier")(Plain(), OUTPUTS, ROWS), order_consistency(FIRST, SECOND, LABEL) / 2)
    spec = {"type": "identity", "beta": 0.5}
    expected = direct_preference_loss(FIRST - SECOND, LABEL, beta=0.5, kind="ipo")
    assert torch.allclose(make_loss(spec)(Plain(), OUTPUTS, ROWS), expected)
    found = make_loss({"type": "prospect", "beta": 2.0, "desirable": 3.0})(Plain(), OUTPUTS, ROWS)
    middle = float((FIRST.mean() + SECOND.mean()).detach() / 2)
    one = prospect(FIRST, LABEL, middle, beta=2.0, weights=(3.0, 1.0))
    assert torch.allclose(found, (one + prospect(SECOND, 1 - LABEL, middle, beta=2.0, weights=(3.0, 1.0))) / 2)


@pytest.mark.parametrize("loss", ["classifier", "prospect", {"type": "identity", "beta": 0.5}])
def test_each_learns_an_order(loss) -> None:
    draw = np.random.default_rng(0)
    one, other = draw.standard_normal((2, 300, 3))
    data = PreferenceData.from_arrays(one, other, (one[:, 0] > other[:, 0]).astype(float))
    model = RewardModel.make({"type": "mlp", "inputs": 3, "hidden": [8], "seed": 0}, {"type": "scalar", "seed": 0})
    fit(model, data, loss=loss, epochs=10, learning_rate=1e-2)
    right = (model.log_odds(data.items[:300], data.items[300:]) > 0) == (one[:, 0] > other[:, 0])
    assert right.mean() > 0.9


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(TypeError, match="only compares"):
        make_loss("classifier")(OnlyCompares(), OUTPUTS, ROWS)
    for name in ("prospect", "identity"):
        with pytest.raises(SpecError, match="beta must be positive"):
            make_loss({"type": name, "beta": 0.0})
