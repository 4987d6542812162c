"""ASAF on a chain of states, where everything is a table: from any generator it comes to the demonstrator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import logsigmoid

from rewardlab.functional.asaf import asaf_loss, window_log_ratios

Floats = NDArray[np.float64]
STATES, LENGTH, SLIP = 20, 50, 0.1
STARTS = (0.0, 3.0, -3.0)
"""Logits of going right, everywhere, of the three policies from which it begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walks:
    """Walks on the chain: states and actions int[arm, walk, step] (1 goes right)."""

    states: NDArray[np.int64]
    actions: NDArray[np.int64]


def walks(right: Floats, count: int, draw: np.random.Generator) -> Walks:
    """Walk `count` times with each arm's probabilities of going right, float64[arm, state]; moves slip the other way."""
    arms = np.arange(len(right))[:, None]
    place = draw.integers(STATES, size=(len(right), count))
    states, actions = [], []
    for _ in range(LENGTH):
        chance, slip = draw.random((2, *place.shape))
        action = (chance < right[arms, place]).astype(np.int64)
        states.append(place)
        actions.append(action)
        move = np.where(slip < SLIP, 1 - action, action) * 2 - 1
        place = np.clip(place + move, 0, STATES - 1)
    return Walks(states=np.stack(states, -1), actions=np.stack(actions, -1))


def divergence(expert: Floats, right: Floats, visits: Floats) -> Floats:
    """KL of the demonstrator from each arm, over the states as the demonstrator visits them; float64[arm]."""
    right = np.clip(right, 1e-12, 1 - 1e-12)
    each = expert * np.log(expert / right) + (1 - expert) * np.log((1 - expert) / (1 - right))
    return np.asarray((each * visits).sum(-1) / visits.sum())


def imitate_chain(
    seed: int, *, window: int, rounds: int = 30, updates: int = 20, batch: int = 100
) -> dict[str, Floats]:
    """Fit ASAF to 100 walks of a demonstrator drawn from the seed, from each of the three starts at once.

    Args:
        seed: of the demonstrator and everything random.
        window: actions over which the ratio is taken; divides 50.
        rounds: of gathering and fitting.
        updates: of Adam at .05 in each.
        batch: walks of either side in an update.

    Returns:
        `asaf` float64[3], divergence from the demonstrator; `cloning` float64[1], that of maximum likelihood.
    """
    draw = np.random.default_rng([seed, 20])
    expert = draw.uniform(0.2, 0.8, STATES)
    shown = walks(expert[None], 100, draw)
    visits = np.bincount(shown.states.ravel(), minlength=STATES).astype(np.float64)
    went_right = np.bincount(shown.states.ravel(), weights=shown.actions.ravel(), minlength=STATES)
    arms = torch.arange(len(STARTS))[:, None, None]
    logits = torch.tensor(STARTS, dtype=torch.float64)[:, None].repeat(1, STATES).requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.05)

    def logprob(taken: Walks) -> torch.Tensor:
        at = logits[arms, torch.from_numpy(taken.states)]
        return logsigmoid(torch.where(torch.from_numpy(taken.actions) == 1, at, -at))

    def windows(values: torch.Tensor) -> torch.Tensor:
        return values.reshape(len(STARTS), -1, window)

    for _ in range(rounds):
        own = walks(torch.sigmoid(logits.detach()).numpy(), batch, draw)
        every = Walks(**{name: np.repeat(getattr(shown, name), len(STARTS), 0) for name in ("states", "actions")})
        with torch.no_grad():
            old_own, old_shown = logprob(own), logprob(every)
        for _ in range(updates):
            rows = draw.permutation(100)[:batch]
            part = Walks(states=every.states[:, rows], actions=every.actions[:, rows])
            ratios = [
                window_log_ratios(windows(logprob(taken)), windows(old))
                for taken, old in ((part, old_shown[:, rows]), (own, old_own))
            ]
            loss = torch.stack([asaf_loss(ratios[0][arm], ratios[1][arm]) for arm in range(len(STARTS))]).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    right = torch.sigmoid(logits.detach()).numpy()
    cloned = (went_right + 0.5) / (visits + 1.0)
    return {"asaf": divergence(expert, right, visits), "cloning": divergence(expert, cloned[None], visits)}
