"""A room with two goals, of which every user wants one: an offline policy that sees the user's vector, and one that cannot.

The data are random walks without rewards. Each is relabelled with the reward of a sampled user, and Q-learning on these data
gives a policy for all users at once; a new user is served by reading the vector off eight answers.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rewardlab.learning.data import PreferenceData, as_trajectory
from rewardlab.learning.fitting import fit
from rewardlab.learning.latent_users import infer_users
from rewardlab.learning.relabelling import relabel
from rewardlab.learning.variational import fit_latent
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory

GOALS = np.array([[-0.8, 0.8], [0.8, 0.8]])
RADIUS = 0.4
"""A goal is reached within this distance; the two are 1.6 apart, and a move is 0.2 long."""

MOVES = np.array([[0.2, 0.0], [-0.2, 0.0], [0.0, 0.2], [0.0, -0.2]])


@dataclass(frozen=True, kw_only=True)
class Room:
    """A square from -1 to 1 with four moves; a user's reward is the nearness to one of two goals.

    Args:
        seed: of everything.
        users: whose answers the reward is fitted to, and answers of each.
        walks: random walks of 20 moves.
        fit_steps, policy_steps: of both fits.
    """

    seed: int
    users: int = 300
    answers: int = 16
    walks: int = 300
    fit_steps: int = 300
    policy_steps: int = 1000

    def comparisons(self, users: int, each: int, stream: int) -> tuple[PreferenceData, NDArray[np.int64]]:
        """Answers to which of two places is better, and the goal of each user."""
        draw = np.random.default_rng((self.seed, stream))
        goal = np.arange(users) % 2
        who = goal.repeat(each)
        places = draw.uniform(-1, 1, size=(2, users * each, 2))
        near = -np.linalg.norm(places - GOALS[who], axis=-1)
        label = draw.random(len(who)) < 1 / (1 + np.exp(-5 * (near[0] - near[1])))
        names = [f"user_{number}" for number in np.arange(users).repeat(each)]
        return PreferenceData.from_arrays(places[0], places[1], label.astype(np.float64), annotators=names), goal

    @cached_property
    def data(self) -> list[Trajectory]:
        """Random walks, each of which keeps a move for a while."""
        draw = np.random.default_rng((self.seed, 1))
        made = []
        for _ in range(self.walks):
            places = [draw.uniform(-1, 1, size=2)]
            moves: list[int] = []
            for step in range(20):
                moves.append(int(draw.integers(4)) if step % 3 == 0 or draw.random() < 0.3 else moves[-1])
                places.append(np.clip(places[-1] + MOVES[moves[-1]], -1, 1))
            made.append(Trajectory(observations=np.array(places, np.float32), actions=np.array(moves)[:, None]))
        return made

    @cached_property
    def reference(self) -> list[Trajectory]:
        """Places to compare with."""
        drawn = np.random.default_rng((self.seed, 2)).uniform(-1, 1, size=(100, 2))
        return [as_trajectory(place.astype(np.float32)) for place in drawn]

    def for_users(self) -> float:
        """How often the policy that sees the vector of a new user reaches that user's goal."""
        answers, _ = self.comparisons(self.users, self.answers, 3)
        model = RewardModel.make(
            {"type": "mlp", "inputs": 2, "hidden": []}, {"type": "latent", "latent": 4, "seed": self.seed}
        )
        fit_latent(model, answers, beta=0.05, steps=self.fit_steps, learning_rate=3e-3, seed=self.seed)
        known = list(infer_users(model, answers).values())
        policy = self._policy(relabel(model, self.data, self.reference, users=known, every=2, seed=self.seed))
        asked, goals = self.comparisons(40, 8, 4)
        vectors = np.stack([one.mean.numpy() for one in infer_users(model, asked).values()])
        return self._reached(policy, vectors, goals)

    def for_all(self) -> float:
        """How often a policy for the reward of everybody reaches the goal of a user."""
        answers, _ = self.comparisons(self.users, self.answers, 3)
        encoder = {"type": "mlp", "inputs": 2, "hidden": [64, 64], "activation": "relu", "seed": self.seed}
        model = fit(RewardModel.make(encoder), answers, epochs=4, batch_size=128, seed=self.seed).model
        beside = model(self.reference).values
        told = []
        for one in self.data:
            values = model([as_trajectory(place) for place in one.observations[1:]]).values
            rewards = (1 / (1 + np.exp(-(values[:, None] - beside[None])))).mean(1)
            told.append(Trajectory(observations=one.observations, actions=one.actions, rewards=rewards))
        return self._reached(self._policy(told), np.zeros((40, 0)), np.arange(40) % 2)

    def _policy(self, data: list[Trajectory]) -> nn.Module:
        """Q-learning on stored moves, with a target network."""
        seen = np.concatenate([one.observations[:-1] for one in data])
        then = np.concatenate([one.observations[1:] for one in data])
        before, after = (torch.tensor(part, dtype=torch.float32) for part in (seen, then))
        moves = torch.tensor(np.concatenate([one.actions[:, 0] for one in data]))
        rewards = torch.tensor(np.concatenate([one.rewards for one in data]), dtype=torch.float32)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            sizes = [before.shape[1], 128, 128]
            layers = [layer for one, other in pairwise(sizes) for layer in (nn.Linear(one, other), nn.ReLU())]
            worth = nn.Sequential(*layers, nn.Linear(128, 4))
            target = copy.deepcopy(worth)
            optimiser = torch.optim.Adam(worth.parameters(), lr=1e-3)
            for step in range(self.policy_steps):
                rows = torch.randint(len(moves), (256,))
                with torch.no_grad():
                    goal = rewards[rows] + 0.9 * target(after[rows]).max(-1).values
                found = worth(before[rows]).gather(1, moves[rows, None]).squeeze(1)
                loss = (found - goal).square().mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                if step % 50 == 49:
                    target.load_state_dict(worth.state_dict())
        return worth

    def _reached(self, policy: nn.Module, vectors: NDArray[np.float64], goals: NDArray[np.int64]) -> float:
        places = np.random.default_rng((self.seed, 5)).uniform([-0.6, -1.0], [0.6, -0.4], size=(len(goals), 2))
        reached = np.zeros(len(goals), dtype=np.bool_)
        with torch.no_grad():
            for _ in range(20):
                seen = torch.tensor(np.concatenate([places, vectors], axis=1), dtype=torch.float32)
                places = np.clip(places + MOVES[policy(seen).argmax(-1).numpy()], -1, 1)
                reached |= np.linalg.norm(places - GOALS[goals], axis=1) < RADIUS
        return float(reached.mean())
