"""A tabular actor-critic that learns in many dungeons at once; rewards are formed when a batch is learned from.

Forming them late is the paper's way: the newest values of messages apply to a batch, with the counts that were taken when
it was gathered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.recipes.oni.arms import Arm, Teacher, random_messages
from rewardlab.recipes.oni.dungeon import ACTIONS, RAT_TEXT, Dungeons, World
from rewardlab.rewards.intrinsic import intrinsic_value

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """The learner; the same for every arm, tuned on the arm with true labels.

    Args:
        environments: of each run.
        batch: vector steps between updates.
        discount, trace: of generalised advantages.
        actor_rate, value_rate: of the tables.
        entropy: weight of the policy's entropy.
        coefficient: what a new helpful message is worth.
    """

    environments: int = 32
    batch: int = 20
    discount: float = 0.98
    trace: float = 0.95
    actor_rate: float = 0.2
    value_rate: float = 0.5
    entropy: float = 0.02
    coefficient: float = 0.1


@dataclass(frozen=True)
class Result:
    """What runs came to; arrays have one row for each arm and one column for each dungeon.

    Args:
        success: share of the last hundred trajectories that left the last level.
        labels: labels that had come by the end.
        rats: share of the intrinsic reward of the last quarter that rats gave.
    """

    success: Floats
    labels: NDArray[np.int64]
    rats: Floats


def learn(
    world: World, arms: Sequence[Arm], dungeons: Sequence[int], steps: int, seed: int, settings: Settings | None = None
) -> Result:
    """Train every arm in every dungeon, side by side.

    Args:
        world: what the dungeons have in common.
        arms: where values of messages come from.
        dungeons: seeds of the dungeons.
        steps: vector steps, a multiple of the batch.
        seed: of all that is drawn.
        settings: of the learner.
    """
    own = settings or Settings()
    shape = (len(arms), len(dungeons))
    runs = [(arm, dungeon) for arm in arms for dungeon in dungeons]
    met = dict(zip(dungeons, random_messages(world, dungeons, own.environments, seed), strict=True))
    teachers = [
        Teacher(arm, world, own.environments, steps, met[dungeon], 1000 * seed + place)
        for place, (arm, dungeon) in enumerate(runs)
    ]
    exponents = np.array([arm.exponent for arm, _ in runs])[:, None]
    place = Dungeons(world, [dungeon for _, dungeon in runs], own.environments)
    generator = np.random.default_rng([seed, 29])
    count, width, rows = len(runs), own.environments, place.rows
    logits = np.zeros((count, world.states, ACTIONS))
    values = np.zeros((count, world.states))
    seen = np.zeros((count, width, world.messages), dtype=np.uint8)
    columns = np.arange(width)[None]
    ended: list[tuple[NDArray[np.intp], NDArray[np.bool_]]] = []
    paid, by_rats = np.zeros(count), np.zeros(count)
    for update in range(steps // own.batch):
        policy = _softmax(logits)
        limits = policy.cumsum(axis=-1)[..., :-1]
        batch: list[tuple[NDArray[Any], ...]] = []
        for _ in range(own.batch):
            state = place.state
            draw = generator.random((count, width, 1))
            actions = (draw > limits[rows, state]).sum(axis=-1)
            drawn = generator.integers(world.adjectives**2, size=(count, width))
            messages, won, late = place.step(actions, drawn)
            times = seen[rows, columns, messages] + (messages > 0)
            seen[rows, columns, messages] = times
            over = won | late
            batch.append((state, actions, messages, times.astype(np.int64), won, late, place.state))
            if over.any():
                who = np.argwhere(over)
                ended.append((who[:, 0], won[over]))
                seen[over] = 0
                place.restart(over)
        states, actions, messages, times, won, late, following = (
            np.stack(column) for column in zip(*batch, strict=True)
        )
        for run, teacher in enumerate(teachers):
            teacher.hear(messages[:, run], own.batch)
        worth = np.stack([teacher.values for teacher in teachers])
        labels = worth[np.arange(count)[:, None], messages]
        inner = intrinsic_value(labels, times, coefficient=own.coefficient, exponent=exponents)
        if update >= steps // own.batch * 3 // 4 and world.rat:
            paid += inner.sum(axis=(0, 2))
            by_rats += (inner * (world.kind(messages) == RAT_TEXT) * (messages > 0)).sum(axis=(0, 2))
        _update(logits, values, policy, states, actions, won + inner, won, late, following, own)
    last = _last_success(ended, count)
    return Result(
        success=last.reshape(shape),
        labels=np.array([0 if one.annotator is None else len(one.annotator.labels) for one in teachers]).reshape(shape),
        rats=(by_rats / np.maximum(paid, 1e-12)).reshape(shape),
    )


def _update(
    logits: Floats,
    values: Floats,
    policy: Floats,
    states: NDArray[np.int64],
    actions: NDArray[np.int64],
    rewards: Floats,
    won: NDArray[np.bool_],
    late: NDArray[np.bool_],
    following: NDArray[np.int64],
    own: Settings,
) -> None:
    """One step of actor and critic, in place; columns have axes [step, run, environment]."""
    runs, size = values.shape
    rows = np.arange(runs)[:, None]
    now, after = values[rows, states], np.where(won, 0.0, values[rows, following])  # a limit of time is no end
    errors = rewards + own.discount * after - now
    advantages = np.zeros_like(errors)
    carried = np.zeros_like(errors[0])
    for step in range(len(errors) - 1, -1, -1):
        carried = errors[step] + own.discount * own.trace * np.where(won[step] | late[step], 0.0, carried)
        advantages[step] = carried
    targets = advantages + now
    advantages = advantages / (advantages.std(axis=(0, 2))[None, :, None] + 1e-8)
    places = (rows * size + states).reshape(-1)

    def add(weights: Floats | None) -> Floats:
        flat = None if weights is None else weights.reshape(-1)
        return np.bincount(places, weights=flat, minlength=runs * size).astype(np.float64)

    visits = add(None)
    taken = np.bincount(
        places * ACTIONS + actions.reshape(-1), weights=advantages.reshape(-1), minlength=runs * size * ACTIONS
    ).reshape(-1, ACTIONS)
    at = np.flatnonzero(visits)
    share = policy.reshape(-1, ACTIONS)[at]
    logs = np.log(np.maximum(share, 1e-12))
    spread = -share * (logs - (share * logs).sum(axis=-1, keepdims=True))
    slope = taken[at] - add(advantages)[at, None] * share + own.entropy * visits[at, None] * spread
    logits.reshape(-1, ACTIONS)[at] += own.actor_rate * slope / np.sqrt(visits[at, None])
    flat = values.reshape(-1)
    flat[at] += own.value_rate * (add(targets)[at] / visits[at] - flat[at])


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _last_success(ended: Sequence[tuple[NDArray[np.intp], NDArray[np.bool_]]], count: int, last: int = 100) -> Floats:
    """Share of successes among the last trajectories of each run."""
    if not ended:
        return np.zeros(count)
    who, won = (np.concatenate(column) for column in zip(*ended, strict=True))
    return np.array([won[who == run][-last:].mean() if (who == run).any() else 0.0 for run in range(count)])
