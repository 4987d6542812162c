from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rewardlab as rl
from rewardlab.audit import reward_on
from rewardlab.rewards.shaping import shape
from rewardlab.types import Trajectory

WEST, NORTH = shape.along([0], name="west"), shape.along([1], name="north")


def walks() -> list[Trajectory]:
    generator = np.random.default_rng(0)
    made = [
        Trajectory(observations=generator.uniform(-1, 1, size=(length + 1, 2)), actions=np.zeros(length), group=name)
        for length, name in ((5, "bronze"), (8, "bronze"), (6, "gold"))
    ]
    made.append(Trajectory(observations=np.full((3, 2), np.nan), actions=np.zeros(2)))
    return made


def test_contributions_add_up_to_the_reward() -> None:
    inner = (WEST - NORTH).named("inner")
    reward = 0.5 * inner + 3.0 * rl.kinesthetic(WEST, NORTH) + 0.25
    found = reward_on(walks(), reward)
    assert list(found.contributions) == ["inner.west", "inner.north", "kinesthetic", "constant"]
    for index in range(3):
        together = sum(columns[index] for columns in found.contributions.values())
        assert together == pytest.approx(found.steps["reward"][index])
    assert found.steps["reward"][1].shape == (8,)
    assert "kinesthetic.west" in found.steps
    assert list(found.failed) == [3]
    assert "simulator" in found.failed[3]
    shares = {row["part"]: row["share"] for row in found.table()}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert next(iter(shares)) == "kinesthetic"  # the largest first


def test_a_reward_without_parts_is_its_own() -> None:
    found = reward_on(walks(), WEST)
    assert list(found.contributions) == ["west"]
    assert found.table()[0]["spread"] == pytest.approx(1.0)


def test_correlations_and_groups() -> None:
    found = reward_on(walks(), WEST + 2.0 * (-1.0 * WEST).named("east"))
    names, matrix = found.correlations()
    assert matrix[names.index("west"), names.index("east")] == pytest.approx(-1.0)
    assert {name: len(values) for name, values in found.by_group("west").items()} == {"bronze": 13, "gold": 6}
    assert len(found.by_group(per="trajectory")["bronze"]) == 2
    with pytest.raises(KeyError, match="there is no part 'south'"):
        found.by_group("south")
    with pytest.raises(ValueError, match="per must be 'step' or 'trajectory'"):
        found.by_group(per="day")


def test_pictures_and_tables_are_written(tmp_path: Path) -> None:
    found = reward_on(walks(), WEST + 0.5 * NORTH)
    assert "| north |" in found.save(tmp_path / "parts.md").read_text()
    assert found.save(tmp_path / "parts.png").stat().st_size > 1000
    found.histogram("west").savefig(tmp_path / "west.png")
    found.timeline(1).savefig(tmp_path / "time.png")
    with pytest.raises(IndexError, match="there is no trajectory 7; 3 were scored"):
        found.timeline(7)


def test_messages() -> None:
    with pytest.raises(ValueError, match="none of 1 trajectories could be scored: the first observation holds nan"):
        reward_on(walks()[3:], WEST)
    with pytest.raises(TypeError, match="cannot be stepped"):
        reward_on(walks(), rl.ParsesAsJSON())
