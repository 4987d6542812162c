"""What multi-agent inverse Q-learning gives: policies, rewards and values by agent, and a report on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.marginal_q.critics import (
    AgentCritic,
    MarginalPolicy,
    MarginalReward,
    read_critics,
    write_critics,
)
from rewardlab.learning.marginal_q.joint_data import episodes_of
from rewardlab.types import Trajectory


@dataclass(frozen=True, kw_only=True)
class MarginalQFit:
    """What was learned.

    Args:
        critics: one for each agent.
        agents: a report on each: `expert_reward` (mean recovered reward of the demonstrations), `saturated` (share of them
            beyond 2 in size, where chi2 falls), `entropy` of the policy in nats, `return` of the demonstrations and
            `correlation` of recovered and true rewards where these are there, `policy_reward` and `replay_gap` (mean
            value of fresh states of play less that of replayed ones) after on-line learning, `coordination`.
        history: a line for each twentieth of the updates, with a number for each agent.
        options: those that it ran with.
        seed: of everything random.
        steps: updates of each agent.
    """

    critics: list[AgentCritic]
    agents: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    steps: int = 0

    def policy(self, agent: int) -> MarginalPolicy:
        """The Boltzmann policy of an agent: `act(observations, deterministic)` and `logprob`."""
        return MarginalPolicy(critic=self._critic(agent), seed=self.seed)

    def reward(self, agent: int) -> MarginalReward:
        """The recovered reward of an agent, a `TransitionReward` of its observations and actions."""
        return MarginalReward.of(self._critic(agent), name=f"agent_{agent}")

    def values(self, agent: int) -> Any:
        """The soft values of an agent: a function of observations [N, ...] that gives float64[N]."""
        return self._critic(agent).values

    def influence(self, trajectories: Sequence[Trajectory]) -> NDArray[np.float64]:
        """Whose events raise whose recovered reward.

        Args:
            trajectories: with the environment's rewards, one for each agent and episode.

        Returns:
            float64[agent, agent]: the mean recovered reward of the row's agent at steps at which the column's agent earned
            more than 0, less that at all other steps; NaN where there are no such steps.
        """
        count = len(self.critics)
        episodes = episodes_of(trajectories, count)
        true = [np.concatenate([one.agents[agent].rewards for one in episodes]) for agent in range(count)]
        table = np.full((count, count), np.nan)
        for row in range(count):
            scores = self.reward(row)([one.agents[row] for one in episodes])
            if scores.steps is None or any(steps is None for steps in scores.steps):
                raise ValueError(f"the reward of agent {row} could not score all trajectories: {scores.notes}")
            found = np.concatenate([steps for steps in scores.steps if steps is not None])
            for column in range(count):
                event = true[column] > 0
                if event.any() and not event.all():
                    table[row, column] = found[event].mean() - found[~event].mean()
        return table

    def save(self, directory: str | Path) -> Path:
        """Write everything to a directory, as JSON and as arrays without objects."""
        content = {
            "report": self.agents,
            "history": self.history,
            "options": self.options,
            "seed": self.seed,
            "steps": self.steps,
        }
        return write_critics(self.critics, content, directory)

    @classmethod
    def load(cls, directory: str | Path) -> MarginalQFit:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: the directory holds no fit.
        """
        critics, content = read_critics(directory)
        return cls(critics=critics, agents=content.pop("report"), **content)

    def _critic(self, agent: int) -> AgentCritic:
        if not 0 <= agent < len(self.critics):
            raise IndexError(f"there is no agent {agent}; the fit has agents 0 to {len(self.critics) - 1}")
        return self.critics[agent]
