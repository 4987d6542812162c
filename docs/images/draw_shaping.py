"""Draw the two utilities of the kick world over the positions of the ball: a mean, and a kinesthetic combination.

python docs/images/draw_shaping.py docs/images/shaping.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from rewardlab.audit import reward_map
from rewardlab.audit.drawing import draw_maps, write
from rewardlab.recipes.lucy_skg import kinesthetic, linear

BALL_X, BALL_Y = 4, 5
CAR = {"car": (0.0, 0.0), "goal": (1.0, 0.0)}


def main(path: str) -> None:
    """The car stands in the middle and moves to the right at half speed; the ball is moved over the field."""
    here = np.zeros(12)
    here[2] = 0.5
    maps = [
        reward_map(reward.named(name), over=(BALL_X, BALL_Y), fixed=here, labels=("ball x", "ball y"), marks=CAR)
        for name, reward in (("mean", linear()), ("kinesthetic", kinesthetic()))
    ]
    print(write(draw_maps(maps, quarrel=False), Path(path)))


if __name__ == "__main__":
    main(sys.argv[1])
