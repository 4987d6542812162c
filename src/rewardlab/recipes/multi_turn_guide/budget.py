"""Two questions of the guide as plain functions: what a budget buys in demonstrations and attempts, what carries over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Trained = TypeVar("Trained")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What one mix of a budget buys.

    Args:
        demonstrations: how many.
        episodes: attempts in reinforcement learning.
    """

    demonstrations: int
    episodes: int


def split_budget(
    total: float, demonstrations: Sequence[int], *, demonstration_cost: float = 10.0, episode_cost: float = 1.0
) -> list[Split]:
    """The mixes that cost a budget: so many demonstrations, and the rest as attempts.

    Args:
        total: the budget, in units of cost.
        demonstrations: of each mix; 0 for attempts alone.
        demonstration_cost, episode_cost: of one.

    Raises:
        ValueError: a cost is not positive, a number is negative or no whole number, or a mix costs more than there is.
    """
    if not (demonstration_cost > 0 and episode_cost > 0):
        raise ValueError(f"costs must be positive, got {demonstration_cost} and {episode_cost}")
    mixes = []
    for count in demonstrations:
        if count != int(count) or count < 0:
            raise ValueError(f"demonstrations must be whole numbers of at least 0, got {count}")
        left = total - count * demonstration_cost
        if left < 0:
            raise ValueError(
                f"{count} demonstrations cost {count * demonstration_cost:g}, more than the budget of {total:g}"
            )
        mixes.append(Split(demonstrations=int(count), episodes=int(left // episode_cost)))
    return mixes


def transfer_matrix(
    train: Callable[[str], Trained], test: Callable[[Trained, str], float], levels: Mapping[str, object] | Sequence[str]
) -> NDArray[np.float64]:
    """How well what was trained on each level does on each: float64[trained on, tested on].

    Args:
        train: a level's name in, what was trained on it out.
        test: what was trained and a level's name in, a measure out.
        levels: their names, in the order of rows and columns.
    """
    names = list(levels)
    trained = [train(name) for name in names]
    return np.array([[test(one, name) for name in names] for one in trained])
