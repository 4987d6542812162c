"""A finite decision process as a Gymnasium environment; loaded by `MarkovDecisionProcess.to_gymnasium`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess


class TabularEnvironment(gymnasium.Env[np.int64, np.int64]):
    """Steps through a `MarkovDecisionProcess`. Rewards are the expected ones of state and action.

    Args:
        mdp: the process; as `.mdp` it stays at hand for exact answers, and as `.P` in the format of toy_text.
        max_steps: truncate after so many steps; None for no limit.

    Raises:
        ValueError: `max_steps` is below 1.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - what Gymnasium expects

    def __init__(self, mdp: MarkovDecisionProcess, *, max_steps: int | None = None) -> None:
        if max_steps is not None and max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, or None for no limit, got {max_steps}")
        self.mdp, self.max_steps = mdp, max_steps
        self.observation_space = gymnasium.spaces.Discrete(mdp.states)
        self.action_space = gymnasium.spaces.Discrete(mdp.actions)
        self.state, self.steps = 0, 0

    @property
    def initial_state_distrib(self) -> np.ndarray:
        """The law of the first state, under the name that toy_text gives it."""
        return self.mdp.initial

    @property
    def P(self) -> dict[int, dict[int, list[tuple[float, int, float, bool]]]]:  # noqa: N802 - toy_text's name
        """The transition table in the format of toy_text."""
        mdp = self.mdp
        return {
            state: {
                action: [
                    (float(row[to]), int(to), float(mdp.rewards[state, action]), bool(mdp.terminal[to]))
                    for row in [mdp.transitions[state, action]]
                    for to in np.flatnonzero(row)
                ]
                for action in range(mdp.actions)
            }
            for state in range(mdp.states)
        }

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        """Draw a first state."""
        super().reset(seed=seed)
        self.state, self.steps = self._draw(self.mdp.initial), 0
        return np.int64(self.state), {}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        """Take an action."""
        if not self.action_space.contains(action):
            raise ValueError(f"action must be in 0 to {self.mdp.actions - 1}, got {action!r}")
        reward = float(self.mdp.rewards[self.state, action])
        self.state = self._draw(self.mdp.transitions[self.state, action])
        self.steps += 1
        ended = bool(self.mdp.terminal[self.state])
        cut = self.max_steps is not None and self.steps >= self.max_steps and not ended
        return np.int64(self.state), reward, ended, cut, {}

    def _draw(self, probabilities: np.ndarray) -> int:
        heights = np.cumsum(probabilities)
        return int((heights > self.np_random.random() * heights[-1]).argmax())
