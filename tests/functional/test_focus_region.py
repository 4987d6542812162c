from __future__ import annotations

import numpy as np
import pytest

from rewardlab.functional.focus_region import (
    direction_cosine,
    focus_exponent,
    focus_factor,
    positive_directions,
)


def at_cosine(cosine: float) -> np.ndarray:
    return np.array([cosine, (1 - cosine**2) ** 0.5])


def test_the_cone_has_its_limit_at_the_edge():
    assert focus_exponent(0.98, 0.2) == pytest.approx(79.664, abs=1e-3)
    values = np.stack([at_cosine(cosine) for cosine in (1.0, 0.99, 0.98, 0.97)])
    factors = focus_factor(values, np.array([1.0, 0.0]))
    assert factors == pytest.approx([1.0, 0.449035, 0.2, 0.0], abs=1e-6)
    assert focus_factor(7.0 * values, np.array([3.0, 0.0])) == pytest.approx(factors)  # only directions count


@pytest.mark.parametrize(("power", "by_weights"), [(0.5, 2), (2.0, 5)])
def test_cones_reach_what_weights_do_not_where_the_front_is_dented(power: float, by_weights: int):
    first = np.linspace(0.0, 1.0, 33)
    front = np.stack([first, (1 - first**power) ** (1 / power)], axis=1)
    weights = np.linspace(0.01, 0.99, 99)
    best = {int((front @ [weight, 1 - weight]).argmax()) for weight in weights}
    assert len(best) <= by_weights if power < 1 else len(best) >= by_weights
    if power < 1:
        assert best <= {0, 32}  # an end, whatever the weights
    angles = (np.arange(6) + 0.5) / 6 * np.pi / 2
    cones = {
        int((np.linalg.norm(front, axis=1) * focus_factor(front, np.array([np.cos(a), np.sin(a)]))).argmax())
        for a in angles
    }
    assert len(cones) >= 5


def test_directions_are_positive_units_and_repeat():
    drawn = positive_directions(50, 3, np.random.default_rng(0))
    assert (drawn >= 0).all()
    assert np.linalg.norm(drawn, axis=1) == pytest.approx(1.0)
    assert np.array_equal(drawn, positive_directions(50, 3, np.random.default_rng(0)))


def test_what_has_no_direction_is_refused():
    with pytest.raises(ValueError, match="values hold -1; directions need objectives that are not negative: shift"):
        direction_cosine(np.array([[1.0, -1.0]]), np.array([1.0, 0.0]))
    with pytest.raises(ValueError, match="direction hold a vector of zeros, which has no direction"):
        direction_cosine(np.array([[1.0, 1.0]]), np.zeros(2))
    with pytest.raises(ValueError, match=r"must be in \(0, 1\), got 1.0 and 0.2"):
        focus_exponent(1.0)
