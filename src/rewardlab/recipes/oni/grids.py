"""MiniGrid beside ONI: an environment of plain numbers, and captions that say in words what lies in front of the agent.

NetHack's own messages need no such function: `ObservationCaption("message")` reads them (its package asks for versions of
its own, so it is not among the extras).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require

_AGENT, _FRONT = (3, 6), (3, 5)
"""Where a view of 7 x 7 shows what the agent carries, and what it faces."""


def view_grid(environment: str) -> Any:
    """A MiniGrid environment whose observations are the agent's view alone, uint8[147] (cells of 7 x 7 with 3 numbers)."""
    require("minigrid", extra="worlds", why="a MiniGrid environment")
    import gymnasium
    from minigrid.wrappers import ImgObsWrapper

    return gymnasium.wrappers.FlattenObservation(ImgObsWrapper(gymnasium.make(environment)))


def view_caption(observation: NDArray[np.uint8], next_observation: NDArray[np.uint8]) -> list[str]:
    """What changed for the agent, in words; empty where it carries and faces what it did before.

    Args:
        observation, next_observation: uint8[N, 147], object, colour and state of each cell in view.
    """
    observation, next_observation = (one.reshape(len(one), 7, 7, 3) for one in (observation, next_observation))
    carried, faced = next_observation[:, *_AGENT], next_observation[:, *_FRONT]
    before = np.concatenate([observation[:, *_AGENT], observation[:, *_FRONT]], axis=1)
    same = (np.concatenate([carried, faced], axis=1) == before).all(axis=1)
    captions = []
    for row in range(len(next_observation)):
        hands, front = _named(carried[row]), _named(faced[row])
        text = f"You carry {hands or 'nothing'} and face {front or 'nothing'}."
        captions.append("" if same[row] or not (hands or front) else text)
    return captions


def _named(cell: NDArray[np.uint8]) -> str:
    from minigrid.core.constants import IDX_TO_COLOR, IDX_TO_OBJECT

    kind, colour, state = (int(number) for number in cell)
    name = IDX_TO_OBJECT[kind]
    if name in ("unseen", "empty", "floor"):
        return ""
    if name == "door":
        return f"{('an open', 'a closed', 'a locked')[state]} {IDX_TO_COLOR[colour]} door"
    return "a wall" if name == "wall" else f"a {IDX_TO_COLOR[colour]} {name}"
