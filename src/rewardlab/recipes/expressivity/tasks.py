"""The exact part: five tasks that no Markov reward states, over policies that are drawn, and controls that one does."""

from __future__ import annotations

import numpy as np

from rewardlab.environments.tabular import MarkovDecisionProcess
from rewardlab.rewards.formal.expressivity import PolicyOrder, worlds
from rewardlab.rewards.formal.objectives import LimitAverage, Markov, OuterNonlinear, Regularised

DISCOUNTS = (0.05, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99, 0.995, 0.999)
"""At which a Markov reward is looked for."""


def near_five(mean: float) -> float:
    """How near an expected return is to 5."""
    return -((mean - 5.0) ** 2)


def tasks(seed: int) -> dict[str, PolicyOrder]:
    """Five orders, each stated by another formalism, over its own policies and a few drawn ones.

    Args:
        seed: of the policies that are drawn.
    """
    generator = np.random.default_rng(seed)
    shares = np.sort(np.r_[np.linspace(0, 1, 5), generator.random(6)])
    coin = worlds.process([[0, 0]], rewards=[[0.0, 1.0]])
    mixed = np.stack([worlds.binary(share) for share in shares])
    loop, machine, corners = worlds.alternate()
    drawn = np.stack([worlds.binary(*generator.random(2)) for _ in range(4)])
    gamble, enough, sure = worlds.enough_is_enough()
    way = worlds.process([[0, 1], [1, 1]])
    chances = np.stack([worlds.binary(chance, 0.0) for chance in np.r_[0.0, generator.random(5)]])
    return {
        "reward machine: alternate": PolicyOrder.of(machine, loop, np.concatenate([corners, drawn])),
        "outer non-linear: near 5": PolicyOrder.of(OuterNonlinear(near_five), coin, mixed),
        "regularised: entropy": PolicyOrder.of(Regularised(1.0, rewards=np.zeros((1, 2))), coin, mixed),
        "inner non-linear: 2 is enough": PolicyOrder.of(enough, gamble, sure),
        "limit average: time at the goal": PolicyOrder.of(LimitAverage(np.array([0.0, 1.0])), way, chances),
    }


def controls(seed: int) -> dict[str, tuple[MarkovDecisionProcess, np.ndarray, np.ndarray]]:
    """For each task the same world and policies, with a Markov reward that is drawn: name -> world, policies, rewards."""
    generator = np.random.default_rng(seed + 1_000_000)
    return {
        name: (task.mdp, task.policies, generator.normal(size=task.policies[0].shape) * ~task.mdp.terminal[:, None])
        for name, task in tasks(seed).items()
    }


def control_order(
    world: MarkovDecisionProcess, policies: np.ndarray, rewards: np.ndarray, discount: float
) -> PolicyOrder:
    """How a Markov reward orders policies at a discount."""
    return PolicyOrder.of(Markov(rewards, discount), world, policies)
