"""Shape functions: rewards of where things are and how they move, whose constants say what is near, fast and aligned.

Each is a vectorised reward of states that a specification can hold, and a potential as it stands. Points and velocities are
places in the observation (`places.py`); the forms are those of Lucy-SKG (2023) with scales as options.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.base import Reward
from rewardlab.rewards.shaping.by_transition import count_rows, state_values, transition_values
from rewardlab.rewards.shaping.places import Place, at, check_place, columns, read_place, unit
from rewardlab.rewards.shaping.potentials import StateReward
from rewardlab.rewards.spec import register
from rewardlab.rewards.transitions import TransitionReward

__all__ = [
    "Alignment",
    "Distance",
    "OnEvent",
    "SignedPower",
    "SpeedTowards",
    "Within",
    "alignment",
    "along",
    "at",
    "columns",
    "distance",
    "on_event",
    "speed_towards",
    "within",
]


@dataclass(frozen=True, kw_only=True)
class _Shape(StateReward):
    """Reads places, checks positive options, and gives one value for each state also where all places are fixed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("scale", "dispersion", "density", "radius", "power"):
            value = getattr(self, option, None)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{type(self).__name__}: option {option!r} must be positive, got {value}")
        for option in ("point", "target", "velocity", "column"):
            if hasattr(self, option):
                check_place(getattr(self, option), type(self).__name__, option)

    def _read(self, observation: Any, option: str, place: Any = None) -> NDArray[np.float64]:
        return read_place(observation, getattr(self, option) if place is None else place, type(self).__name__, option)

    def _gap(self, observation: Any, start: str, end: str) -> NDArray[np.float64]:
        """float64[N, dimension] from one place to another."""
        first, second = self._read(observation, start), self._read(observation, end)
        return _between(first, second, type(self).__name__, count_rows(observation))


@register("distance")
@dataclass(frozen=True, kw_only=True)
class Distance(_Shape):
    """Nearness of a point to a target, falling with the distance.

    Unsigned: `exp(-d / (2 * scale * dispersion)) ** (1 / density)`, in (0, 1]. This is one parameter in two, since only the
    product of dispersion and density matters: it equals `exp(-d / (2 * scale * dispersion * density))`.
    Signed: `x = 2 * (exp(-d / (2 * scale * dispersion)) - 1/2)`, then `sign(x) * |x| ** (1 / density)`, in (-1, 1], which is
    0 at `d = 2 * ln 2 * scale * dispersion`; here the two differ. `d` is the distance less the offset, and never below 0.

    Args:
        point: where the thing is.
        target: where it should be.
        scale: unit of length.
        dispersion: stretches the distance at which the reward falls; positive.
        density: lifts the values between; positive.
        signed: whether far away is negative.
        offset: the distance at which they touch.
    """

    point: Place
    target: Place
    scale: float = 1.0
    dispersion: float = 1.0
    density: float = 1.0
    signed: bool = False
    offset: float = 0.0

    def state(self, observation: Any) -> NDArray[np.float64]:  # noqa: D102 - documented on StateReward
        length = np.linalg.norm(self._gap(observation, "point", "target"), axis=-1)
        fall = np.exp(-0.5 * np.maximum(length - self.offset, 0.0) / (self.scale * self.dispersion))
        if not self.signed:
            return np.asarray(fall ** (1.0 / self.density))
        centred = 2.0 * (fall - 0.5)
        return np.asarray(np.sign(centred) * np.abs(centred) ** (1.0 / self.density))


@register("alignment")
@dataclass(frozen=True, kw_only=True)
class Alignment(_Shape):
    """Cosine between two directions, each from one point to another; 0 where two points coincide.

    Args:
        first: the points where the first direction begins and ends.
        second: those of the second.
    """

    first: tuple[Place, Place]
    second: tuple[Place, Place]

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("first", "second"):
            for place in getattr(self, option):
                check_place(place, type(self).__name__, option)

    def state(self, observation: Any) -> NDArray[np.float64]:  # noqa: D102
        first, second = self._direction(observation, "first"), self._direction(observation, "second")
        if first.shape[-1] != second.shape[-1]:
            raise ValueError(
                f"Alignment: the directions have {first.shape[-1]} and {second.shape[-1]} dimensions, expected the same"
            )
        return np.asarray(np.clip((first * second).sum(axis=-1), -1.0, 1.0))

    def _direction(self, observation: Any, option: str) -> NDArray[np.float64]:
        start, end = (self._read(observation, option, place) for place in getattr(self, option))
        return unit(_between(start, end, "Alignment", count_rows(observation)))


@register("speed_towards")
@dataclass(frozen=True, kw_only=True)
class SpeedTowards(_Shape):
    """The part of a velocity that points from a point to a target, in units of `scale`; 0 where the points coincide.

    Args:
        velocity: of the point.
        point: where it is.
        target: where it should go.
        scale: the highest speed, which makes the values lie in [-1, 1].
    """

    velocity: Place
    point: Place
    target: Place
    scale: float = 1.0

    def state(self, observation: Any) -> NDArray[np.float64]:  # noqa: D102
        direction = unit(self._gap(observation, "point", "target"))
        velocity = self._read(observation, "velocity")
        if velocity.shape[-1] != direction.shape[-1]:
            raise ValueError(
                f"SpeedTowards: option 'velocity' has {velocity.shape[-1]} columns, and the points have "
                f"{direction.shape[-1]}; expected the same"
            )
        return np.asarray((direction * velocity).sum(axis=-1) / self.scale)


@register("along")
@dataclass(frozen=True, kw_only=True)
class SignedPower(_Shape):
    """`sign(x) * |x / scale| ** power` of one number: a position along a field, or an amount (with power 1/2).

    Args:
        column: where the number stands; a single column.
        scale: the largest size of it.
        power: bends the values; even powers keep the sign, too.
    """

    column: Place
    scale: float = 1.0
    power: float = 1.0

    def state(self, observation: Any) -> NDArray[np.float64]:  # noqa: D102
        found = self._read(observation, "column")
        if found.shape[-1] != 1:
            raise ValueError(f"SignedPower: option 'column' must be a single column, got {found.shape[-1]} of them")
        value = np.broadcast_to(found[:, 0], (count_rows(observation),))
        return np.asarray(np.sign(value) * np.abs(value / self.scale) ** self.power)


@register("within")
@dataclass(frozen=True, kw_only=True)
class Within(_Shape):
    """1 where a point is at most `radius` away from a target, and 0 elsewhere: a touch, a zone, a goal reached.

    Args:
        point: where the thing is.
        target: the centre.
        radius: positive.
    """

    point: Place
    target: Place
    radius: float

    def state(self, observation: Any) -> NDArray[np.float64]:  # noqa: D102
        return (np.linalg.norm(self._gap(observation, "point", "target"), axis=-1) <= self.radius).astype(np.float64)


@register("on_event")
@dataclass(frozen=True, kw_only=True)
class OnEvent(TransitionReward):
    """What something gained in the transitions where an event happened, and 0 in the others.

    The touch reward of Lucy-SKG is the change of the ball's speed towards the goal where the player touched the ball. It has
    a sign, so that a touch in the wrong direction costs.

    Args:
        event: a reward of transitions; an event happened where it is above 0.
        change_of: a reward of states, whose gain is paid; None pays 1 for each event.
        edge: "on" pays in every transition with the event; "begin" only where the state before did not have it, which needs
            an event of states.
    """

    event: Reward
    change_of: Reward | None = None
    edge: Literal["on", "begin"] = "on"

    def transition(  # noqa: D102 - documented on TransitionReward
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        event = transition_values(
            self.event,
            observation=observation,
            action=action,
            next_observation=next_observation,
            terminated=terminated,
        )
        happened = event > 0
        if self.edge == "begin":
            happened &= ~(state_values(self.event, observation) > 0)
        if self.change_of is None:
            paid = np.ones(len(event))
        else:
            paid = state_values(self.change_of, next_observation) - state_values(self.change_of, observation)
        return np.where(np.isnan(event), np.nan, np.where(happened, paid, 0.0))


def distance(
    point: Any,
    target: Any,
    scale: float = 1.0,
    *,
    dispersion: float = 1.0,
    density: float = 1.0,
    signed: bool = False,
    offset: float = 0.0,
    name: str | None = None,
) -> Distance:
    """Nearness of a point to a target; see `Distance`."""
    return Distance(
        point=point,
        target=target,
        scale=scale,
        dispersion=dispersion,
        density=density,
        signed=signed,
        offset=offset,
        name=name,
    )


def alignment(first: tuple[Any, Any], second: tuple[Any, Any], *, name: str | None = None) -> Alignment:
    """Cosine between two directions; see `Alignment`."""
    return Alignment(first=first, second=second, name=name)


def speed_towards(
    velocity: Any, point: Any, target: Any, scale: float = 1.0, *, name: str | None = None
) -> SpeedTowards:
    """Speed from a point to a target; see `SpeedTowards`."""
    return SpeedTowards(velocity=velocity, point=point, target=target, scale=scale, name=name)


def along(column: Any, scale: float = 1.0, power: float = 1.0, *, name: str | None = None) -> SignedPower:
    """A number with its sign, bent by a power; see `SignedPower`."""
    return SignedPower(column=column, scale=scale, power=power, name=name)


def within(point: Any, target: Any, radius: float, *, name: str | None = None) -> Within:
    """Whether a point is near a target; see `Within`."""
    return Within(point=point, target=target, radius=radius, name=name)


def on_event(
    event: Reward, change_of: Reward | None = None, *, edge: Literal["on", "begin"] = "on", name: str | None = None
) -> OnEvent:
    """What something gained where an event happened; see `OnEvent`."""
    return OnEvent(event=event, change_of=change_of, edge=edge, name=name)


def _between(start: NDArray[np.float64], end: NDArray[np.float64], owner: str, count: int) -> NDArray[np.float64]:
    if start.shape[-1] != end.shape[-1]:
        raise ValueError(
            f"{owner}: the points have {start.shape[-1]} and {end.shape[-1]} coordinates, expected the same number"
        )
    gap = end - start
    return gap if len(gap) == count else np.broadcast_to(gap, (count, gap.shape[-1])).copy()
