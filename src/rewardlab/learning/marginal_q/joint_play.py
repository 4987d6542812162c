"""PettingZoo parallel environments: joint play of policies, recorded as one trajectory for each agent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rewardlab.extras import require
from rewardlab.learning.marginal_q.joint_data import split_joint
from rewardlab.policies.control import ControlPolicy
from rewardlab.types import Trajectory
from rewardlab.types.trees import tree_map


def make_joint(environment: Any) -> Any:
    """A PettingZoo parallel environment, from one or from a function that makes one.

    Raises:
        TypeError: it is something else, such as a turn-based (AEC) environment.
        ImportError: PettingZoo is not installed.
    """
    pettingzoo = require("pettingzoo", extra="marl", why="playing with several agents")
    made = environment() if callable(environment) else environment
    if not isinstance(made, pettingzoo.ParallelEnv):
        raise TypeError(
            f"expected a PettingZoo parallel environment or a function that makes one, got "
            f"{type(made).__name__}; a turn-based "
            "one becomes parallel with pettingzoo.utils.aec_to_parallel"
        )
    return made


class JointGames:
    """Some games of a parallel environment side by side, which begin again when they end.

    Args:
        environments: one for each game.
        seed: of their first resets.
        agents: how many there must be.
    """

    def __init__(self, environments: Sequence[Any], *, seed: int, agents: int) -> None:
        self.environments = list(environments)
        self.names = list(self.environments[0].possible_agents)
        if len(self.names) != agents:
            raise ValueError(
                f"the environment has {len(self.names)} agents ({', '.join(map(str, self.names))}), and n_agents is {agents}"
            )
        self.seed, self.played = seed, 0
        self.now: list[dict[Any, Any]] = [self._begin(game) for game in self.environments]

    def _begin(self, game: Any) -> dict[Any, Any]:
        observations, _ = game.reset(seed=(self.seed * 100_003 + self.played) % 2**31)
        self.played += 1
        if set(observations) != set(self.names):
            raise ValueError(
                f"episode {self.played - 1}, step 0: only {sorted(map(str, observations))} observe; all agents must"
            )
        return dict(observations)

    def seen(self, agent: int) -> Any:
        """What an agent sees in all games: [game, ...]."""
        name = self.names[agent]
        return tree_map(lambda *rows: np.stack(rows), *[tree_map(np.asarray, now[name]) for now in self.now])

    def step(self, actions: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """One step of every game with actions [agent][game].

        Returns:
            For each game, what happened by agent: `observations`, `actions`, `rewards`, `terminated`, `truncated`; the games
            that ended have begun again.

        Raises:
            ValueError: an agent left before the others.
        """
        happened = []
        for number, game in enumerate(self.environments):
            chosen = {name: _action(actions[agent][number]) for agent, name in enumerate(self.names)}
            following, rewards, terminated, truncated, _ = game.step(chosen)
            over = [bool(terminated[name] or truncated[name]) for name in self.names]
            if any(over) and not all(over):
                gone = self.names[over.index(True)]
                raise ValueError(
                    f"agent {gone!r} left a game that went on for others; MarginalQ needs environments in "
                    f"which all agents stay "
                    "until the end (wrap it with supersuit.black_death_v3, which keeps them with zeros)"
                )
            happened.append(
                {
                    "observations": self.now[number],
                    "actions": chosen,
                    "rewards": dict(rewards),
                    "terminated": dict(terminated),
                    "truncated": dict(truncated),
                    "following": dict(following),
                    "over": all(over),
                }
            )
            self.now[number] = self._begin(game) if all(over) else dict(following)
        return happened


def collect_joint(
    environment: Any | Callable[[], Any],
    policies: Sequence[ControlPolicy],
    *,
    episodes: int,
    seed: int = 0,
    deterministic: bool = False,
    name: str = "episode",
) -> list[Trajectory]:
    """Let policies play with one another in a PettingZoo parallel environment.

    Args:
        environment: a parallel environment, or a function that makes one.
        policies: one for each agent, in the order of `possible_agents`; each has `act(observations, deterministic)`.
        episodes: how many.
        seed: of the environment, and of policies that have `generator`.
        deterministic: the likeliest actions instead of drawn ones.
        name: of the episodes, before their number.

    Returns:
        A trajectory for each episode and agent, with `group` naming the episode.
    """
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {episodes}")
    games = JointGames([make_joint(environment)], seed=seed, agents=len(policies))
    for number, policy in enumerate(policies):
        if hasattr(policy, "generator"):
            policy.generator = np.random.default_rng((seed, number))
    found: list[Trajectory] = []
    steps: list[dict[str, Any]] = []
    while len(found) < episodes * len(policies):
        actions = [policy.act(games.seen(agent), deterministic) for agent, policy in enumerate(policies)]
        steps.append(games.step(actions)[0])
        if steps[-1]["over"]:
            found += split_joint(
                [*(step["observations"] for step in steps), steps[-1]["following"]],
                [step["actions"] for step in steps],
                [step["rewards"] for step in steps],
                episode=f"{name}/{len(found) // len(policies)}",
                terminated=steps[-1]["terminated"],
                truncated=any(steps[-1]["truncated"].values()) and not any(steps[-1]["terminated"].values()),
            )
            steps = []
    return found


def _action(action: Any) -> Any:
    return int(action) if np.ndim(action) == 0 else np.asarray(action)
