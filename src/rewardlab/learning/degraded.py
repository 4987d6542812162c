"""Rankings without a judge: the more noise is put into a policy's actions, the worse what it does.

A reward that is fitted to such rankings knows the direction from noise to the policy, and may go on in it, beyond what the
policy or the demonstrator behind it could do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.data import PreferenceData
from rewardlab.policies.control import ControlPolicy, FunctionPolicy, RandomPolicy, collect
from rewardlab.types import Trajectory


class NoisyPolicy:
    """A policy some of whose actions are drawn at random instead.

    Args:
        policy: a `ControlPolicy`, or a function of N observations.
        action_space: of one environment.
        noise: the chance that an action is drawn at random, in [0, 1].
        seed: of the chance and of the draws.

    Raises:
        ValueError: the noise is out of its range.
    """

    def __init__(
        self, policy: ControlPolicy | Callable[[Any], Any], action_space: Any, noise: float, *, seed: int = 0
    ) -> None:
        if not 0.0 <= noise <= 1.0:
            raise ValueError(f"noise must be in [0, 1], got {noise}; it is the chance of a random action")
        self.policy = policy if isinstance(policy, ControlPolicy) else FunctionPolicy(policy)
        self.random = RandomPolicy(action_space, seed)
        self.noise = noise
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Begin the draws again."""
        self._draw = np.random.default_rng([seed % 2**63, 3])
        self.random.seed(seed)

    def act(self, observations: Any, deterministic: bool = False) -> NDArray[Any]:
        """The policy's actions, some replaced."""
        chosen, drawn = np.asarray(self.policy.act(observations, deterministic)), self.random.act(observations)
        noisy = self._draw.random(len(chosen)) < self.noise
        return np.where(noisy.reshape(-1, *[1] * (chosen.ndim - 1)), drawn, chosen)


def ranked_by_noise(
    policy: ControlPolicy | Callable[[Any], Any],
    environment: Any,
    *,
    levels: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    episodes: int = 8,
    pairs: int = 500,
    length: int = 20,
    seed: int = 0,
) -> PreferenceData:
    """Comparisons of pieces of trajectories, in each of which that with less noise in its actions is preferred.

    No label and no reward is read. Fit a reward to it as to any comparisons.

    Source: Brown et al. 2019, "Better-than-Demonstrator Imitation Learning via Automatically-Ranked Demonstrations" (D-REX,
    arXiv 1907.03976); the fit to pieces is T-REX's (arXiv 1904.06387).

    Args:
        policy: mostly one that was cloned from demonstrations.
        environment: a `gymnasium.vector` environment.
        levels: of noise, at least two different ones.
        episodes: trajectories at each level.
        pairs: comparisons.
        length: steps of a piece; a trajectory that is shorter is one piece, and pairs then have pieces of its length.
        seed: of everything.

    Raises:
        ValueError: fewer than two levels of noise, a level outside [0, 1], or nothing to compare.
    """
    if len(set(levels)) < 2:
        raise ValueError(
            f"levels must name at least two levels of noise, got {list(levels)}; equal noise ranks nothing"
        )
    for name, value in (("pairs", pairs), ("length", length)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    ordered = sorted(set(levels))
    done: list[list[Trajectory]] = []
    for place, noise in enumerate(ordered):
        noisy = NoisyPolicy(policy, environment.single_action_space, noise, seed=seed * 100 + place)
        found = collect(noisy, environment, episodes=episodes, seed=seed * 100 + place)
        done.append([one for one in found if len(one) and not one.info.get("failed")])
        if not done[-1]:
            raise ValueError(f"at noise {noise} no trajectory has a step; nothing can be compared")
    draw, items = np.random.default_rng([seed % 2**63, 4]), []
    for _ in range(pairs):
        less, more = sorted(draw.choice(len(ordered), 2, replace=False))
        both = [done[level][int(draw.integers(len(done[level])))] for level in (less, more)]
        steps = min(length, *(len(one) for one in both))
        items += [piece(one, int(draw.integers(len(one) - steps + 1)), steps) for one in both]
    first = 2 * np.arange(pairs)
    # which side stands first is a coin, so that its place says nothing
    turned = draw.random(pairs) < 0.5
    return PreferenceData(items=items, first=first + turned, second=first + ~turned, label=(~turned).astype(np.float64))


def piece(trajectory: Trajectory, start: int, steps: int) -> Trajectory:
    """Some steps of an array trajectory in a row, as a trajectory.

    Raises:
        ValueError: it has no such steps.
    """
    stop = start + steps
    if not 0 <= start < stop <= len(trajectory):
        raise ValueError(f"steps {start} to {stop} were asked for, and the trajectory has {len(trajectory)}")
    ends = stop == len(trajectory)
    return Trajectory(
        observations=np.asarray(trajectory.observations)[start : stop + 1],
        actions=np.asarray(trajectory.actions)[start:stop],
        rewards=np.asarray(trajectory.rewards)[start:stop],
        terminated=bool(ends and trajectory.terminated),
        truncated=bool(not ends or trajectory.truncated),
    )
