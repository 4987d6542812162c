from __future__ import annotations

import numpy as np
import pytest

import rewardlab as rl
from rewardlab.rewards.shaping import Pressure, shape
from rewardlab.types import Trajectory


def pressure(fading: int = 4) -> Pressure:
    return Pressure(
        players=([0], [1]), ball=[2], goal=shape.at(0.0), radius=1.0, event=shape.along([3]), fading=fading, power=0.5
    )


def test_the_crowd_is_averaged_while_the_ball_is_there_and_fades_after() -> None:
    rows = np.array(  # two players, the ball, whether the goal falls
        [
            [9, 9, 9, 0],
            [0, 9, 0, 0],  # ball there, half of the players
            [0, 0, 0, 0],  # ball there, all of them: .75 so far
            [9, 9, 9, 1],  # a step after the ball left
            [9, 9, 9, 0],
            [9, 9, 9, 0],
            [9, 9, 9, 1],  # faded
            [9, 0, 0, 1],  # anew
        ],
        dtype=float,
    )
    scores = pressure()(Trajectory(observations=rows, actions=np.zeros(7)))
    assert scores.steps is not None
    assert scores.steps[0] == pytest.approx([0, 0, 0.75 * 0.75**0.5, 0, 0, 0, 0.5])


def test_it_is_written_read_and_checked() -> None:
    assert rl.from_spec(pressure().to_spec()) == pressure()
    with pytest.raises(ValueError, match="option 'fading' must be positive, got 0"):
        pressure(0)
    with pytest.raises(ValueError, match="option 'players' is empty"):
        Pressure(players=(), ball=[2], goal=[0], radius=1.0, event=shape.along([3]))
