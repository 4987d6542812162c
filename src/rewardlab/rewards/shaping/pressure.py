"""Pressure on a goal, paid when it falls: a reward that remembers how crowded the zone was while the ball was in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.base import Reward
from rewardlab.rewards.shaping.by_transition import check_by_transition, count_rows, transition_values
from rewardlab.rewards.shaping.places import Place, check_place, read_place
from rewardlab.rewards.spec import register
from rewardlab.rewards.transitions import StatefulReward


@register("pressure")
@dataclass(frozen=True, kw_only=True)
class Pressure(StatefulReward):
    """The share of players near a goal, averaged over the time that the ball was there, paid when the event happens.

    While the ball is in the zone the share of players in it is averaged; once the ball has left, what was gathered fades as
    `(1 - steps since / fading) ** power`, and begins anew when the ball comes back after it has faded. As in the code of
    Lucy-SKG (2023): 90 frames, power .7.

    Args:
        players: where each player is.
        ball: where the ball is.
        goal: the centre of the zone.
        radius: of the zone; positive.
        event: a reward of transitions that is above 0 where the goal falls.
        fading: steps after which nothing is left.
        power: bends the fading.
    """

    players: tuple[Place, ...]
    ball: Place
    goal: Place
    radius: float
    event: Reward
    fading: int = 90
    power: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("radius", "fading", "power"):
            value = getattr(self, option)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"Pressure: option {option!r} must be positive, got {value}")
        if not self.players:
            raise ValueError("Pressure: option 'players' is empty, expected where each player is")
        for place in (*self.players, self.ball, self.goal):
            check_place(place, "Pressure", "players")
        check_by_transition(self.event)

    def start(self, count: int) -> dict[str, NDArray[Any]]:  # noqa: D102 - documented on StatefulReward
        return {"sum": np.zeros(count), "steps": np.zeros(count), "since": np.full(count, self.fading)}

    def advance(  # noqa: D102
        self,
        state: Any,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
        info: Mapping[str, Any] | None = None,
    ) -> tuple[NDArray[np.float64], dict[str, NDArray[Any]]]:
        there = self._inside(next_observation, self.ball, "ball")
        crowd = np.mean([self._inside(next_observation, place, "players") for place in self.players], axis=0)
        fresh = there & (state["since"] >= self.fading)
        total = np.where(fresh, 0.0, state["sum"]) + np.where(there, crowd, 0.0)
        steps = np.where(fresh, 0.0, state["steps"]) + there
        since = np.where(there, 0, state["since"] + 1)
        mean = np.divide(total, steps, out=np.zeros_like(total), where=steps > 0)
        left = np.clip(1.0 - since / self.fading, 0.0, 1.0) ** self.power
        event = transition_values(
            self.event,
            observation=observation,
            action=action,
            next_observation=next_observation,
            terminated=terminated,
        )
        paid = np.where(np.isnan(event), np.nan, np.where(event > 0, mean * left, 0.0))
        return paid, {"sum": total, "steps": steps, "since": since}

    def _inside(self, observation: Any, place: Any, option: str) -> NDArray[np.bool_]:
        gap = read_place(observation, place, "Pressure", option) - read_place(
            observation, self.goal, "Pressure", "goal"
        )
        near: NDArray[np.bool_] = np.linalg.norm(gap, axis=-1) <= self.radius
        return np.broadcast_to(near, (count_rows(observation),))
