from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rewardlab as rl
from rewardlab.audit import compare_maps, reward_map
from rewardlab.rewards.shaping import shape

FIXED = np.array([0.0, 0.0, 0.5])
WEST, NORTH = shape.along([0], name="west"), shape.along([1], name="north")


def test_a_map_holds_the_reward_and_its_parts() -> None:
    found = reward_map(WEST + 2 * NORTH, over=(0, 1), fixed=FIXED, points=5, bounds=((-1, 1), (0, 1)))
    assert found.values[0].tolist() == [-1, -0.5, 0, 0.5, 1]
    assert found.values[4, 4] == 3
    assert found.parts["north"][4].tolist() == [1] * 5
    assert found.best == (1.0, 1.0)
    assert found.negative_share == pytest.approx(3 / 25)
    assert found.part("west").values[3].tolist() == [-1, -0.5, 0, 0.5, 1]
    with pytest.raises(KeyError, match="has no part 'east'; its parts are west, north"):
        found.part("east")


def test_the_area_where_parts_quarrel() -> None:
    found = reward_map(rl.kinesthetic(WEST, NORTH), over=(0, 1), fixed=FIXED, points=4)
    assert found.quarrel.mean() == 0.5  # two of the four quadrants
    assert not reward_map(WEST, over=(0, 1), fixed=FIXED, points=4).quarrel.any()


def test_potentials_are_drawn_themselves() -> None:
    found = reward_map(rl.potential(WEST, 0.5), over=(0, 1), fixed=FIXED, points=3)
    assert found.values[0].tolist() == [-1, 0, 1]


def test_what_follows_from_the_two_is_brought_up_to_date() -> None:
    @rl.reward
    def moved(observation: Any, action: Any, next_observation: Any) -> Any:
        return next_observation[:, 0] - observation[:, 0] + action[:, 0]

    found = reward_map(moved, over=(0, 1), fixed=FIXED, points=3, following=lambda rows: rows + 2, action=[1.0])
    assert (found.values == 3).all()

    def twice(rows: Any) -> Any:
        return np.column_stack([rows[:, :2], 2 * rows[:, 0]])

    third = reward_map(shape.along([2]), over=(0, 1), fixed=FIXED, points=3, derive=twice)
    assert third.values[0].tolist() == [-2, 0, 2]


def test_maps_are_compared() -> None:
    first = reward_map(WEST, over=(0, 1), fixed=FIXED, points=20)
    same = compare_maps(first, reward_map(shape.along([0], power=3.0), over=(0, 1), fixed=FIXED, points=20))
    assert same.sign_disagreement == 0
    assert same.rank_correlation == pytest.approx(1.0)
    assert same.correlation < 0.95
    turned = compare_maps(first, reward_map(-1.0 * WEST, over=(0, 1), fixed=FIXED, points=20))
    assert (turned.sign_disagreement, turned.uphill_disagreement) == (1.0, 1.0)
    half = compare_maps(first, reward_map(NORTH, over=(0, 1), fixed=FIXED, points=20))
    assert half.sign_disagreement == pytest.approx(0.5)
    with pytest.raises(ValueError, match="the maps are not over the same numbers"):
        compare_maps(first, reward_map(WEST, over=(0, 1), fixed=FIXED, points=10))


def test_pictures_and_numbers_are_written(tmp_path: Path) -> None:
    found = reward_map(
        rl.kinesthetic(WEST, NORTH), over=(0, 1), fixed=FIXED, points=9, labels=("x", "y"), marks={"ball": (0.5, 0.5)}
    )
    assert found.save(tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in found.save(tmp_path / "map.svg").read_text()
    with np.load(found.save(tmp_path / "map.npz")) as stored:
        assert np.array_equal(stored["values"], found.values)
        assert "parts/west" in stored
    picture = compare_maps(found, found.part("west")).save(tmp_path / "two.png")
    assert picture.stat().st_size > 1000
    with pytest.raises(ValueError, match=r"cannot draw into 'map.txt'; expected a name that ends in .png"):
        found.save(tmp_path / "map.txt")


def test_dict_observations() -> None:
    fixed = {"car": np.zeros(2), "ball": np.zeros(2)}
    found = reward_map(shape.distance("car", "ball"), over=(("car", 0), ("ball", 1)), fixed=fixed, points=3)
    assert found.labels == ("car[0]", "ball[1]")
    assert found.values[1, 1] == 1
    with pytest.raises(ValueError, match=r"observations are dicts, so name \(key, column\), keys \['car', 'ball'\]"):
        reward_map(shape.distance("car", "ball"), over=(0, 1), fixed=fixed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"over": (0, 0)}, "over must name two different columns"),
        ({"over": (0, 7)}, r"over names column 7, but the fixed observation has shape \(3,\)"),
        ({"over": (0, ("car", 1))}, "the observation is one array; name its column"),
        ({"points": 1}, "points must be at least 2"),
        ({"bounds": ((1, 0), (0, 1))}, r"bounds must be pairs \(lowest, highest\), got \(1, 0\)"),
    ],
)
def test_messages(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reward_map(WEST, **{"over": (0, 1), "fixed": FIXED, **options})
    with pytest.raises(TypeError, match="is not a function of single transitions"):
        reward_map(rl.EnvironmentReturn(), over=(0, 1), fixed=FIXED)
