from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

import rewardlab as rl
from rewardlab.rewards.shaping import shape
from rewardlab.rewards.shaping.by_transition import state_values, transition_values

ROWS = np.array([[0.0, 0.0, 3.0, 4.0], [1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 2.0]])


def test_distance_has_the_numbers_of_the_paper() -> None:
    row = np.array([[0.0, 1000.0]])
    for dispersion, density in ((1.0, 1.1), (1.1, 1.0)):
        nearness = shape.distance([0], [1], 2300, offset=92.75, dispersion=dispersion, density=density)
        assert nearness.state(row) == pytest.approx([0.835856], abs=1e-6)


@given(some.floats(0.1, 5), some.floats(0.1, 5), some.floats(0, 20))
def test_unsigned_distance_knows_only_the_product_of_dispersion_and_density(
    dispersion: float, density: float, gap: float
) -> None:
    row = np.array([[0.0, gap]])
    both = shape.distance([0], [1], dispersion=dispersion, density=density).state(row)
    assert both == pytest.approx(shape.distance([0], [1], dispersion=dispersion * density).state(row))


def test_signed_distance_is_zero_half_way_and_there_the_two_differ() -> None:
    row = np.array([[0.0, 2 * np.log(2) * 3], [0.0, 1.0], [0.0, 100.0]])
    signed = shape.distance([0], [1], 3, signed=True)
    assert signed.state(row)[0] == pytest.approx(0.0, abs=1e-12)
    assert signed.state(row)[1] > 0 > signed.state(row)[2] >= -1
    one = shape.distance([0], [1], 3, signed=True, dispersion=2.0)
    other = shape.distance([0], [1], 3, signed=True, density=2.0)
    assert not np.allclose(one.state(row), other.state(row))


def test_overlap_is_not_more_than_touching() -> None:
    assert shape.distance([0, 1], [2, 3], offset=10.0).state(ROWS) == pytest.approx(1.0)


def test_alignment_and_speed_are_zero_where_points_coincide() -> None:
    aligned = shape.alignment(([0, 1], [2, 3]), (shape.at(0, 0), shape.at(0, 1)))
    assert aligned.state(ROWS) == pytest.approx([0.8, 0.0, 1.0])
    speed = shape.speed_towards(shape.at(3.0, 4.0), [0, 1], [2, 3], scale=5.0)
    assert speed.state(ROWS) == pytest.approx([1.0, 0.0, 0.8])


def test_signed_power_keeps_the_sign_for_even_powers() -> None:
    assert shape.along([2], scale=2.0, power=2.0).state(np.array([[0, 0, -1.0], [0, 0, 1.0]])).tolist() == [-0.25, 0.25]
    assert shape.along([0], power=0.5).state(np.array([[0.25]])).tolist() == [0.5]


def test_events_pay_what_changed_where_they_happened() -> None:
    # the spec's touch reward: speed towards the goal gained in the step of the touch
    touch = shape.within([0], [1], 0.5)
    gained = shape.on_event(touch, change_of=shape.along([2]))
    before = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [1.0, 1.0, 5.0]])
    after = np.array([[1.0, 1.0, -1.0], [0.0, 1.0, 9.0], [1.0, 1.0, 6.0]])
    columns = {"observation": before, "action": None, "next_observation": after, "terminated": np.zeros(3, bool)}
    assert gained.transition(**columns).tolist() == [-3.0, 0.0, 1.0]  # type: ignore[arg-type]
    begun = shape.on_event(touch, edge="begin")
    assert begun.transition(**columns).tolist() == [1.0, 0.0, 0.0]  # type: ignore[arg-type]


def test_dict_observations_are_read_by_key() -> None:
    seen = {"car": np.array([[0.0, 0.0, 9.0]]), "ball": np.array([[3.0, 4.0]])}
    nearness = shape.distance(shape.columns("car", 0, 1), "ball")
    assert nearness.state(seen) == pytest.approx(np.exp([-2.5]))
    with pytest.raises(ValueError, match="names the key 'goal'; observations have 'car', 'ball'"):
        shape.distance("goal", "ball").state(seen)
    with pytest.raises(ValueError, match=r"names columns \[0\], but observations are dicts .* columns\('car', 0, 1\)"):
        shape.distance([0], "ball").state(seen)


def test_shapes_are_written_and_read_and_combine() -> None:
    parts = [
        shape.distance([0, 1], shape.at(1, 1), dispersion=2.0),
        shape.alignment(([0, 1], [2, 3]), ([0, 1], shape.at(1, 0))),
        shape.speed_towards([2, 3], [0, 1], shape.at(0, 0), 9.0),
    ]
    whole = 0.5 * rl.kinesthetic(*parts) + shape.within([0, 1], [2, 3], 1.0) * shape.along([0])
    again = rl.from_spec(whole.to_spec())
    assert again == whole
    assert state_values(again, ROWS) == pytest.approx(state_values(whole, ROWS))
    named: dict[str, np.ndarray] = {}
    state_values(whole, ROWS, parts=named)
    assert set(named) >= {"kinesthetic", "kinesthetic.distance", "kinesthetic.alignment", "kinesthetic.speed_towards"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: shape.distance([0], [1], dispersion=0.0), "option 'dispersion' must be positive, got 0.0"),
        (lambda: shape.distance([0], [1], density=-1.0), "option 'density' must be positive, got -1.0"),
        (lambda: shape.distance([0], [1], 0.0), "option 'scale' must be positive"),
        (lambda: shape.within([0], [1], -1.0), "option 'radius' must be positive"),
        (
            lambda: shape.distance([], [1]),
            r"option 'point' is empty, expected columns of the observation, such as \[0, 1\]",
        ),
        (lambda: shape.distance({"place": 1}, [1]), r"option 'point' has the keys \['place'\], expected 'at'"),
        (lambda: shape.distance([0.5], [1]), "option 'point' must be"),
        (lambda: shape.at(float("nan")), "a fixed point needs finite coordinates"),
        (lambda: shape.distance([9], [0]).state(ROWS), "option 'point' names column 9, but there are 4 columns"),
        (lambda: shape.distance([0], "car").state(ROWS), "names the key 'car', but observations are arrays of shape"),
        (lambda: shape.distance([0, 1], [2]).state(ROWS), "the points have 2 and 1 coordinates"),
        (lambda: shape.speed_towards([0], [0, 1], [2, 3]).state(ROWS), "option 'velocity' has 1 columns"),
        (lambda: shape.along([0, 1]).state(ROWS), "option 'column' must be a single column, got 2 of them"),
        (lambda: shape.distance([0], [1]).state(ROWS[:, :, None]), r"have shape \(3, 4, 1\); expected \[N, width\]"),
    ],
)
def test_messages(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_rewards_of_whole_trajectories_are_refused_by_name() -> None:
    whole = shape.along([0]) + rl.EnvironmentReturn()
    with pytest.raises(TypeError, match="sum is not a function of single transitions: environment_return"):
        transition_values(whole, observation=ROWS, action=None, next_observation=ROWS)
