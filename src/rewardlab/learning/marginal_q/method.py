"""Multi-agent inverse Q-learning: for each of several agents a policy and a reward from joint demonstrations (MAMQL).

Each agent has a critic of its own action alone, so that the others are part of its environment and single-agent inverse
soft-Q learning holds for it. All agents take one gradient step, then all play one step; the replay is common to them.
The authors step the agents in random order with a whole episode of play after each, which differs only in how fresh the
play is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from rewardlab.functional.inverse_q import PHIS, Phi
from rewardlab.learning.demonstrations.base import positive
from rewardlab.learning.marginal_q.joint_data import coordination, episodes_of
from rewardlab.learning.marginal_q.result import MarginalQFit
from rewardlab.types import Trajectory

VALUE_TERMS = ("policy", "expert", "mixed", "initial")
COORDINATED = 0.1
"""Nats of mutual information between agents' actions, given the state, above which there is a warning."""


@dataclass(frozen=True)
class MarginalQ:
    """Inverse soft-Q learning for several agents with goals of their own.

    Source: "Multi-Agent Inverse Q-Learning from Demonstrations" (arXiv 2503.04679), with Garg et al. 2021 for each agent.

    Args:
        n_agents: how many.
        critic: "marginal", a value for each own action; or "joint", a value for each own action and joint action of the
            others, averaged over models of the others that are cloned from the demonstrations.
        phi: concave function on the demonstrator's rewards: chi2, tv or kl.
        temperature: of the policy `softmax(Q / temperature)`; the paper's lambda is its inverse.
        gamma: discount, below 1 unless every demonstration ends in a terminal state.
        value_term: where V(s) - gamma V(s') is taken: on states of play ("policy", as published), on the demonstrators'
            ("expert"), half and half ("mixed"), or (1 - gamma) V(s_0) of the demonstrations' first states ("initial").
            None for "policy" with an environment and "expert" without. On few demonstrations "expert" was the better one.
        l2: weight of the squared weights. With the value term on play nothing else holds V there.
        share: one network for all agents, with the number of the agent among its inputs.
        target: V(s') is that of a slow copy that moves by this share at each update; None for the network itself, not
            detached, as published.
        regularise: "expert", or "both" to hold down the squared rewards of play as well (chi2 only).
        actions: how many each agent has, where there is no environment to say so; None for as many as are seen.
        hidden: widths of the hidden layers.
        learning_rate: of Adam.
        batch_size: transitions in a batch.
        games: played side by side, one step for each update.
        replay: transitions of play that are kept; the oldest are dropped first.

    Raises:
        ValueError: an option that makes no sense.
    """

    n_agents: int
    critic: Literal["marginal", "joint"] = "marginal"
    phi: Phi = "chi2"
    temperature: float = 1.0
    gamma: float = 0.99
    value_term: Literal["policy", "expert", "mixed", "initial"] | None = None
    l2: float = 1e-4
    share: bool = False
    target: float | None = None
    regularise: Literal["expert", "both"] = "expert"
    actions: int | tuple[int, ...] | None = None
    hidden: tuple[int, ...] = (64, 64)
    learning_rate: float = 1e-3
    batch_size: int = 64
    games: int = 4
    replay: int = 4000

    def __post_init__(self) -> None:
        if not isinstance(self.n_agents, int):
            raise TypeError(f"MarginalQ: option 'n_agents' must be a whole number, got {self.n_agents!r}")
        positive(
            "MarginalQ",
            n_agents=self.n_agents,
            temperature=self.temperature,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            games=self.games,
        )
        for name, value, known in (
            ("critic", self.critic, ("marginal", "joint")),
            ("phi", self.phi, PHIS),
            ("value_term", self.value_term, (*VALUE_TERMS, None)),
            ("regularise", self.regularise, ("expert", "both")),
        ):
            if value not in known:
                raise ValueError(
                    f"MarginalQ: option {name!r} must be one of {', '.join(map(str, known))}, got {value!r}"
                )
        if not 0 < self.gamma <= 1:
            raise ValueError(f"MarginalQ: option 'gamma' must be in (0, 1], got {self.gamma}")
        if not self.l2 >= 0:
            raise ValueError(f"MarginalQ: option 'l2' must not be negative, got {self.l2}")
        if self.target is not None and not 0 < self.target <= 1:
            raise ValueError(f"MarginalQ: option 'target' must be in (0, 1] or None, got {self.target}")
        if self.regularise == "both" and (self.phi != "chi2" or self.value_term in ("expert", "initial")):
            raise ValueError("MarginalQ: regularise='both' needs phi='chi2' and a value term on states of play")
        if self.replay < self.games:
            raise ValueError(
                f"MarginalQ: option 'replay' must hold a step of all {self.games} games, got {self.replay}"
            )

    def fit(
        self,
        demonstrations: Sequence[Trajectory],
        environment: Any | Callable[[], Any] | None = None,
        *,
        steps: int = 1000,
        seed: int = 0,
        progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> MarginalQFit:
        """Learn a policy and a reward for each agent.

        Args:
            demonstrations: one trajectory for each agent and episode, with `group` naming the episode; `split_joint` makes
                them of a joint log, `collect_joint` of play.
            environment: a PettingZoo parallel environment or, for more than one game at once, a function that makes one.
                None to learn off-line.
            steps: updates of each agent.
            seed: of everything random.
            progress: called with each line of the history.

        Raises:
            ValueError, TypeError: the demonstrations do not fit together or to the environment; episode and step are named.
        """
        from rewardlab.learning.marginal_q.training import Training

        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        term = self.value_term or ("expert" if environment is None else "policy")
        if term in ("policy", "mixed") and environment is None:
            raise ValueError(
                f"value_term={term!r} needs states of play, and there is no environment; give one, or value_term='expert'"
            )
        episodes = episodes_of(demonstrations, self.n_agents)
        if self.gamma == 1:
            for episode in episodes:
                if not all(one.terminated for one in episode.agents):
                    raise ValueError(
                        f"gamma is 1, and episode {episode.name!r} does not end in a terminal state: the "
                        f"loss fixes values only up "
                        "to a constant then; use gamma < 1"
                    )
        told = (
            coordination(demonstrations, self.n_agents, seed=seed)
            if self.n_agents > 1
            else {"excess": 0.0, "share": 0.0}
        )
        if told["excess"] > COORDINATED:
            warnings.warn(
                f"the agents' actions share {told['excess']:.2f} nats beyond what the state tells (in the "
                f"{told['share']:.0%} of "
                "steps whose state was seen more than once): they may follow a signal that is not in "
                "their observations, and "
                "independent policies cannot imitate that",
                stacklevel=2,
            )
        training = Training(self, term, episodes, environment, seed)
        training.run(steps, progress)
        return MarginalQFit(
            critics=training.critics,
            agents=training.report(told),
            history=training.history,
            options=asdict(self),
            seed=seed,
            steps=steps,
        )


def known_actions(option: int | tuple[int, ...] | None, seen: Sequence[np.ndarray]) -> list[int]:
    """How many actions each agent has: what the option says, else as many as the demonstrations show.

    Raises:
        ValueError: the option has another number of agents.
    """
    if option is None:
        return [int(column.max()) + 1 for column in seen]
    counts = [int(option)] * len(seen) if isinstance(option, int) else [int(one) for one in option]
    if len(counts) != len(seen):
        raise ValueError(f"actions has {len(counts)} entries for {len(seen)} agents")
    return counts
