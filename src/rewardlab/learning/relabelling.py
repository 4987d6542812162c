"""Policies for many users: stored trajectories with the reward of a sampled user, whose vector stands in the observations.

A policy that is trained on such trajectories with any offline method takes the user vector as a part of what it sees; at
test time `append_latent` puts the vector of a real user, read off a few answers, into the observations of the environment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from rewardlab.extras import require
from rewardlab.learning.data import as_trajectory
from rewardlab.learning.latent_users import Posterior, latent_of, latent_reward, scaled_reward
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory


def relabel(
    model: RewardModel,
    trajectories: Sequence[Trajectory],
    reference: Sequence[Trajectory] | None,
    *,
    users: Sequence[Posterior] | Tensor | None = None,
    every: int = 10,
    seed: int = 0,
) -> list[Trajectory]:
    """Copies of array trajectories with a user vector behind every observation and that user's reward for every action.

    The reward of an action is that of the observation which followed it (Poddar et al. 2024, policy learning).

    Args:
        model: with a latent head, fitted to single observations.
        trajectories: with arrays as observations.
        reference: single observations as trajectories, for `scaled_reward`; None for raw values, whose scale differs from
            user to user and breaks a policy for all of them.
        users: whom to draw from, posteriors or vectors; None for the prior.
        every: trajectories after which another user is drawn.
        seed: of the draws.

    Raises:
        ValueError: chats, no trajectories, or `every` below 1.
    """
    head = latent_of(model)
    if every < 1 or not trajectories:
        raise ValueError(f"expected at least one trajectory and every >= 1, got {len(trajectories)} and every={every}")
    if any(one.is_chat for one in trajectories):
        raise ValueError("relabel appends numbers to observations, so it needs trajectories of arrays, got a chat")
    draw = torch.Generator().manual_seed(seed)
    made = []
    for start in range(0, len(trajectories), every):
        vector = _draw(head, users, draw)
        part = trajectories[start : start + every]
        seen = [as_trajectory(np.asarray(state, np.float32)) for one in part for state in one.observations[1:]]
        values = scaled_reward(model, seen, vector, reference) if reference else latent_reward(model, seen, vector)
        place = 0
        for one in part:
            states = np.asarray(one.observations, np.float32).reshape(len(one) + 1, -1)
            told = np.broadcast_to(vector.cpu().numpy(), (len(states), head.latent))
            made.append(
                replace(
                    one,
                    observations=np.concatenate([states, told], axis=1),
                    rewards=values[place : place + len(one)],
                    info={**one.info, "latent": vector.tolist()},
                )
            )
            place += len(one)
    return made


def append_latent(environment: Any, vector: ArrayLike | Posterior) -> Any:
    """A Gymnasium environment whose observations end with a user vector.

    Args:
        environment: with a flat `Box` of observations.
        vector: float[latent], or a posterior, of which the mean is taken.

    Raises:
        ValueError: observations are no flat `Box`.
        ImportError: gymnasium is not installed.
    """
    gymnasium = require("gymnasium", extra="gym", why="An environment with a user vector")
    told = np.asarray(vector.mean.cpu() if isinstance(vector, Posterior) else vector, np.float32)
    space = environment.observation_space
    if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
        raise ValueError(
            f"a user vector can only stand behind a flat Box of observations, got {space}; flatten it first with "
            "gymnasium.wrappers.FlattenObservation"
        )
    wider = gymnasium.spaces.Box(
        np.concatenate([space.low, np.full(told.shape, -np.inf)]).astype(np.float32),
        np.concatenate([space.high, np.full(told.shape, np.inf)]).astype(np.float32),
        dtype=np.float32,
    )
    return gymnasium.wrappers.TransformObservation(
        environment, lambda seen: np.concatenate([np.asarray(seen, np.float32), told]), wider
    )


def _draw(head: Any, users: Sequence[Posterior] | Tensor | None, draw: torch.Generator) -> Tensor:
    if users is None:
        noise = torch.randn(head.latent, generator=draw).to(head.prior_mean)
        return (head.prior_mean + (head.prior_log_variance / 2).exp() * noise).detach()
    place = int(torch.randint(len(users), (1,), generator=draw))
    chosen = users[place]
    if isinstance(chosen, Posterior):
        return chosen.sample(1, seed=int(torch.randint(2**31, (1,), generator=draw)))[0]
    return torch.as_tensor(chosen).to(head.prior_mean)
