"""The learning part: walk up and down a line for ever. A reward machine states it, and a Markov reward cannot.

The machine's agent sees the machine's state; the rivals see the cell alone, and get the Markov rewards that keep as much of
the task's order of policies as can be kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.environments.tabular import MarkovDecisionProcess, deterministic_policies
from rewardlab.extras import require
from rewardlab.functional import tabular
from rewardlab.rewards.formal.machines import RewardMachine
from rewardlab.rewards.formal.objectives import MachineReturn

Floats = NDArray[np.float64]
CELLS, SLIP, DISCOUNT = 5, 0.05, 0.9
TEMPERATURES = (0.0, 0.1, 0.3, 1.0, 3.0)


def patrol() -> MarkovDecisionProcess:
    """A line of cells without an end: left is action 0, right action 1; now and then the other happens."""
    cells = np.arange(CELLS)
    left, right = np.eye(CELLS)[np.maximum(cells - 1, 0)], np.eye(CELLS)[np.minimum(cells + 1, CELLS - 1)]
    moves = np.stack([(1 - SLIP) * left + SLIP * right, (1 - SLIP) * right + SLIP * left], axis=1)
    return MarkovDecisionProcess(
        moves, np.zeros((CELLS, 2)), DISCOUNT, np.eye(CELLS)[0], action_names=("left", "right")
    )


def patrol_machine() -> RewardMachine:
    """Pays 1 at the right end, then 1 at the left end, and so on."""
    return RewardMachine(
        transitions=(
            ("to_the_right", "to_the_left", "right_end", 1.0),
            ("to_the_right", "to_the_right", "!right_end", 0.0),
            ("to_the_left", "to_the_right", "left_end", 1.0),
            ("to_the_left", "to_the_left", "!left_end", 0.0),
        ),
        labels={"left_end": [0], "right_end": [CELLS - 1]},
    )


def q_learning(
    environment: Any, *, steps: int, seed: int, discount: float, exploration: float = 0.3, rate: float = 0.2
) -> Floats:
    """Tabular Q-learning on a Gymnasium environment with whole numbers for states and actions.

    Args:
        environment: with `Discrete` spaces.
        steps: how many, in all.
        seed: of environment and exploration.
        discount: in [0, 1).
        exploration: how often a random action is taken.
        rate: of the updates.

    Returns:
        float64[S, A], action values, where unvisited ones are 0.
    """
    states, actions = int(environment.observation_space.n), int(environment.action_space.n)
    generator = np.random.default_rng(seed)
    table = np.zeros((states, actions))
    state, _ = environment.reset(seed=seed)
    for _ in range(steps):
        row = table[state]
        if generator.random() < exploration:
            action = int(generator.integers(actions))
        else:
            action = int(generator.choice(np.flatnonzero(row == row.max())))
        following, reward, terminated, truncated, _ = environment.step(action)
        target = reward + (0.0 if terminated else discount * table[following].max())
        table[state, action] += rate * (target - table[state, action])
        state = following
        if terminated or truncated:
            state, _ = environment.reset()
    return table


def fit_rewards(world: MarkovDecisionProcess, policies: Floats, values: Floats) -> dict[str, Floats]:
    """Markov rewards that come near to an order of policies that has none.

    Args:
        world: the environment.
        policies: float64[policy, S, A].
        values: float64[policy], what the task says they are worth.

    Returns:
        Name -> float64[S, A]: "pairs" breaks the order of pairs by as little as can be (a linear programme with a hinge for
        each pair), "values" fits the values by least squares, and "ends" pays for being at an end, as a
        person might write it.
    """
    optimize = require("scipy.optimize", extra="control", why="rewards fitted to an order")
    visits = tabular.occupancy(world.transitions, policies, world.initial, world.discount).reshape(len(policies), -1)
    features = visits * (1 - world.discount)
    tolerance = 1e-6 * float(np.abs(values).max())
    pairs = [(i, j) for i, j in itertools.permutations(range(len(values)), 2) if values[i] > values[j] + tolerance]
    gaps = np.array([features[i] - features[j] for i, j in pairs])
    count, size = gaps.shape
    # the fewest broken pairs is a hard problem; the smallest sum of hinges is its usual stand-in
    result = optimize.linprog(
        np.r_[np.zeros(size), np.ones(count)],
        A_ub=np.column_stack([-gaps, -np.eye(count)]),
        b_ub=np.full(count, -0.01),
        bounds=[(-1.0, 1.0)] * size + [(0.0, None)] * count,
        method="highs",
    )
    squares = np.linalg.lstsq(visits, values, rcond=None)[0]
    ends = np.zeros((world.states, world.actions))
    ends[[0, -1]] = 1.0
    shape = (world.states, world.actions)
    return {"pairs": result.x[:size].reshape(shape), "values": squares.reshape(shape), "ends": ends}


def boltzmann(table: Floats, temperature: float) -> Floats:
    """A policy from action values: greedy at temperature 0, else softmax relative to their spread."""
    best = table.max(-1, keepdims=True)
    if not temperature:
        greedy = (table == best).astype(np.float64)
        return greedy / greedy.sum(-1, keepdims=True)
    spread = max(float((best - table).max()), 1e-12)
    weights = np.exp((table - best) / (temperature * spread))
    policy: Floats = weights / weights.sum(-1, keepdims=True)
    return policy


def best_memoryless(*, grid: int = 9) -> float:
    """The return of the best policy that sees the cell alone, over a grid of its chances of going right.

    Args:
        grid: how many chances are tried in each cell.
    """
    world, machine = patrol(), patrol_machine()
    product = machine.product(world)
    chances = np.array(list(itertools.product(np.linspace(0, 1, grid), repeat=CELLS - 2)))
    # at the ends only one direction leads anywhere
    right = np.column_stack([np.ones(len(chances)), chances, np.zeros(len(chances))])
    policies = np.repeat(np.stack([1 - right, right], -1), len(machine.states), axis=1)
    values = tabular.evaluate_policy(product.transitions, product.rewards, policies, DISCOUNT)
    return float((values @ product.initial).max())


def shares(seed: int, *, steps: int = 3_000) -> Mapping[str, float]:
    """What agents reach of the optimum of the product, after the same number of steps each.

    Args:
        seed: of policies, environments and exploration.
        steps: of Q-learning for each agent.

    Returns:
        "product": the greedy policy learned on environment and machine together; "pairs", "values", "ends": the best policy,
        greedy or softmax at any of `TEMPERATURES`, that Q-learning with that Markov reward gives, *chosen by the task
        itself*, which favours it; "memoryless": the best policy that sees the cell alone.
    """
    world, machine = patrol(), patrol_machine()
    product, objective = machine.product(world), MachineReturn(machine)
    optimum = float(product.initial @ product.solve()[0])
    table = q_learning(product.to_gymnasium(), steps=steps, seed=seed, discount=DISCOUNT)
    result = {"product": float(product.expected_return(boltzmann(table, 0.0))) / optimum}
    generator = np.random.default_rng(seed)
    drawn = generator.dirichlet(np.ones(2), size=(40, CELLS))
    policies = np.concatenate([deterministic_policies(world), drawn])
    values = np.array([objective.evaluate(world, policy) for policy in policies])
    for name, rewards in fit_rewards(world, policies, values).items():
        environment = world.with_rewards(rewards).to_gymnasium()
        table = q_learning(environment, steps=steps, seed=seed, discount=DISCOUNT)
        learned = [objective.evaluate(world, boltzmann(table, temperature)) for temperature in TEMPERATURES]
        result[name] = max(learned) / optimum
    result["memoryless"] = best_memoryless() / optimum
    return result
