"""Small worlds for the tests of reward design."""

from __future__ import annotations

import numpy as np

from rewardlab.environments.tabular import MarkovDecisionProcess


def random_world(seed: int, states: int = 5, actions: int = 3, discount: float = 0.8) -> MarkovDecisionProcess:
    """Random transitions, one terminal state, and reward in a single state."""
    generator = np.random.default_rng(seed)
    transitions = generator.dirichlet(np.full(states, 0.5), size=(states, actions))
    transitions[-1] = np.eye(states)[-1]
    rewards = np.zeros((states, actions))
    rewards[states - 2] = generator.uniform(-1, 2, size=actions)
    terminal = np.arange(states) == states - 1
    return MarkovDecisionProcess(transitions, rewards, discount, np.full(states, 1 / states), terminal)


def corridor(length: int = 5, discount: float = 0.9) -> MarkovDecisionProcess:
    """Left, right; going right in the last cell earns 1 and ends."""
    moves = np.zeros((length + 1, 2, length + 1))
    for cell in range(length):
        moves[cell, 0, max(cell - 1, 0)] = moves[cell, 1, cell + 1] = 1.0
    moves[length, :, length] = 1.0
    rewards = np.zeros((length + 1, 2))
    rewards[length - 1, 1] = 1.0
    terminal = np.arange(length + 1) == length
    return MarkovDecisionProcess(moves, rewards, discount, np.eye(length + 1)[0], terminal)
