"""The rewards that the arms of the proof learn from, built from the library's shapes.

Both utilities see the same components: alignment of car, ball and goal, speed towards the ball, and nearness to it.
The linear arm takes means of them, the kinesthetic arm signed geometric means.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

import rewardlab as rl
from rewardlab.recipes.lucy_skg.world import BALL, CAR, CAR_SPEED, GOAL
from rewardlab.rewards.base import Reward
from rewardlab.rewards.shaping import shape

DISCOUNT = 0.98
Use = Literal["per_step", "potential"]


@rl.reward(per="transition")
def goal(terminated: Any) -> Any:
    """10 where the task was done."""
    return 10.0 * np.asarray(terminated, dtype=np.float64)


def components() -> tuple[Reward, Reward, Reward]:
    """Alignment, speed towards the ball, and nearness."""
    scored = shape.at(*GOAL)
    return (
        shape.alignment((CAR, BALL), (BALL, scored), name="aligned"),
        shape.speed_towards(CAR_SPEED, CAR, BALL, name="speed"),
        shape.distance(CAR, BALL, 0.5, name="near"),
    )


def linear() -> Reward:
    """`(.6 * mean(aligned, near) + mean(aligned, speed, near)) / 1.6`."""
    aligned, speed, near = components()
    place = 0.5 * aligned + 0.5 * near
    attack = aligned / 3 + speed / 3 + near / 3
    return (0.6 / 1.6) * place.named("place") + (1 / 1.6) * attack.named("attack")


def kinesthetic(sign: Literal["all", "product"] = "all") -> Reward:
    """The same with signed geometric means in place of means."""
    aligned, speed, near = components()
    place = rl.kinesthetic(aligned, near, sign=sign, name="place")
    attack = rl.kinesthetic(aligned, speed, near, sign=sign, name="attack")
    return (0.6 / 1.6) * place + (1 / 1.6) * attack


def product() -> Reward:
    """Products of the components with the sign of "all", without the root: what the root is good for."""
    aligned, speed, near = components()

    @rl.reward
    def unrooted(observation: Any, action: Any, next_observation: Any, terminated: Any) -> Any:
        columns = [
            one.transition(observation, action, next_observation, terminated)  # type: ignore[attr-defined]
            for one in (aligned, speed, near)
        ]
        both = np.stack([columns[0], columns[2]])
        return (0.6 * _signed_product(both) + _signed_product(np.stack(columns))) / 1.6

    return unrooted


def task_reward(utility: Reward | None, weight: float, use: Use = "per_step") -> Reward:
    """10 for the task, and the utility: `.1 * weight` of it at every step, or `weight` of it as a potential."""
    if utility is None:
        return goal
    if use == "per_step":
        return goal + (0.1 * weight) * utility.named("utility")
    return goal + weight * rl.potential(utility, DISCOUNT, name="utility")


def _signed_product(columns: Any) -> Any:
    return np.where((columns >= 0).all(axis=0), 1.0, -1.0) * np.abs(columns).prod(axis=0)
