"""Labelled worlds that the tests of machines and temporal logic share. Module-level, so that specs can name the functions."""

from __future__ import annotations

import numpy as np

import rewardlab as rl
from rewardlab.environments.tabular import MarkovDecisionProcess
from rewardlab.rewards.formal import RewardMachine

OFFICE = """
0                                           # initial state
[3]                                         # terminal state
(0,0,'!coffee&!plant',ConstantRewardFunction(0))
(0,1,'coffee&!plant',ConstantRewardFunction(0))
(0,2,'plant',-1)
(1,1,'!office&!plant',ConstantRewardFunction(0))
(1,3,'office&!plant',ConstantRewardFunction(1))
(1,2,'plant',-1)
(2,2,'True',0)
"""


def position_labels(next_observation: np.ndarray) -> dict[str, np.ndarray]:
    """On a line: coffee at 3, the office at 0, the plant at 5."""
    place = np.asarray(next_observation)
    place = place[:, 0] if place.ndim == 2 else place
    return {"coffee": place == 3, "office": place == 0, "plant": place == 5}


@rl.reward(per="transition")
def moved(observation: np.ndarray, next_observation: np.ndarray) -> np.ndarray:
    return np.abs(next_observation - observation).astype(float).reshape(len(observation))


def walk(*places: int, terminated: bool = False) -> rl.Trajectory:
    return rl.Trajectory(
        observations=np.array(places),
        actions=np.zeros(len(places) - 1, dtype=int),
        terminated=terminated,
        truncated=not terminated,
    )


def office(**options: object) -> RewardMachine:
    return RewardMachine.from_text(OFFICE, labels=position_labels, **options)


def line_world(size: int = 6, discount: float = 0.9) -> MarkovDecisionProcess:
    """A line on which the agent starts at 1 and walks left or right; it slips, and stays, one time in ten."""
    transitions = np.zeros((size, 2, size))
    for place in range(size):
        for action, step in enumerate((-1, 1)):
            transitions[place, action, min(max(place + step, 0), size - 1)] += 0.9
            transitions[place, action, place] += 0.1
    initial = np.eye(size)[1]
    return MarkovDecisionProcess(
        transitions=transitions, rewards=np.zeros((size, 2)), discount=discount, initial=initial
    )
