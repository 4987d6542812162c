"""A finite Markov decision process as a value: checked when it is built, solved exactly, sampled, and made a Gymnasium
environment or estimated from trajectories.

A terminal state is part of the arrays: it leads to itself and earns nothing, so that sums over an endless future are right
without special cases. Rewards are expected over the next state, `[S, A]`, which loses nothing of an expected return.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require
from rewardlab.functional import tabular
from rewardlab.types import Trajectory

Floats = NDArray[np.float64]
ROUNDING = 1e-8


@dataclass(frozen=True, eq=False)
class MarkovDecisionProcess:
    """States, actions, how they lead on, and what they earn.

    Args:
        transitions: float64[S, A, S], rows sum to 1.
        rewards: float64[S, A]; `[S, A, S]` is brought to its expectation over the next state.
        discount: in [0, 1).
        initial: float64[S], the law of the first state.
        terminal: bool[S]; these lead to themselves and earn nothing. None for no terminal state.
        state_names: one for each state, or None.
        action_names: one for each action, or None.

    Raises:
        ValueError: shapes that do not fit, NaN, negative probabilities, rows that do not sum to 1, a terminal state that
            is left or that earns something, a discount outside [0, 1). Each message names the state and the action.
    """

    transitions: Floats
    rewards: Floats
    discount: float
    initial: Floats
    terminal: NDArray[np.bool_] = None  # type: ignore[assignment]  # no terminal state when not given
    state_names: tuple[str, ...] | None = None
    action_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        transitions = np.asarray(self.transitions, dtype=np.float64)
        if transitions.ndim != 3 or transitions.shape[0] != transitions.shape[2] or 0 in transitions.shape:
            raise ValueError(f"transitions must be [S, A, S] with at least one of each, got shape {transitions.shape}")
        states, actions, _ = transitions.shape
        for name, axis, count in (
            ("state_names", self.state_names, states),
            ("action_names", self.action_names, actions),
        ):
            if axis is not None and len(axis) != count:
                raise ValueError(f"{name} must have {count} entries, got {len(axis)}")
        self._check_rows("transitions", transitions)
        rewards = np.asarray(self.rewards, dtype=np.float64)
        if rewards.shape not in ((states, actions), transitions.shape):
            raise ValueError(
                f"rewards must be [{states}, {actions}] or [{states}, {actions}, {states}], got shape {rewards.shape}"
            )
        wrong = np.argwhere(~np.isfinite(rewards))
        if wrong.size:
            raise ValueError(
                f"the reward of {self._pair(*wrong[0][:2])} is {rewards[tuple(wrong[0])]}; rewards must be finite"
            )
        if rewards.ndim == 3:
            rewards = (transitions * rewards).sum(-1)
        initial = np.asarray(self.initial, dtype=np.float64)
        if initial.shape != (states,):
            raise ValueError(f"initial must be [{states}], a probability for each state, got shape {initial.shape}")
        self._check_rows("initial", initial)
        if not 0.0 <= self.discount < 1.0:
            raise ValueError(
                f"discount must be in [0, 1), got {self.discount}; an endless sum needs a discount below 1. For a task that "
                "always ends use one close to 1 (0.9999), or the objectives Episodic and LimitAverage, which have none"
            )
        terminal = np.zeros(states, dtype=bool) if self.terminal is None else np.asarray(self.terminal)
        if terminal.shape != (states,) or terminal.dtype != bool:
            raise ValueError(f"terminal must be bool[{states}], got {terminal.dtype}{list(terminal.shape)}")
        for state in np.flatnonzero(terminal).tolist():
            for action in range(actions):
                if transitions[state, action, state] < 1 - ROUNDING:
                    raise ValueError(
                        f"terminal {self._state(state)} is left by {self._action(action)} with probability "
                        f"{1 - transitions[state, action, state]:g}; a terminal state must lead to itself"
                    )
                if rewards[state, action] != 0:
                    raise ValueError(
                        f"terminal {self._state(state)} leaks reward: {self._action(action)} earns "
                        f"{rewards[state, action]:g} there for ever; put it on the transition into the state, or do not "
                        "mark the state as terminal"
                    )
        for name, array in (
            ("transitions", transitions),
            ("rewards", rewards),
            ("initial", initial),
            ("terminal", terminal),
        ):
            object.__setattr__(self, name, array)

    # ---- sizes ----------------------------------------------------------------------------------------------------

    @property
    def states(self) -> int:
        """How many states there are."""
        return int(self.transitions.shape[0])

    @property
    def actions(self) -> int:
        """How many actions there are."""
        return int(self.transitions.shape[1])

    def __repr__(self) -> str:
        return (
            f"MarkovDecisionProcess({self.states} states, {self.actions} actions, discount {self.discount:g}, "
            f"{int(self.terminal.sum())} terminal)"
        )

    # ---- solved ---------------------------------------------------------------------------------------------------

    def with_rewards(self, rewards: Floats, *, discount: float | None = None) -> MarkovDecisionProcess:
        """The same process with other rewards [S, A] or [S, A, S], and another discount if given."""
        return replace(self, rewards=rewards, discount=self.discount if discount is None else discount)

    def solve(self, *, temperature: float = 0.0) -> tuple[Floats, Floats]:
        """Optimal values float64[S] and action values float64[S, A]; soft ones with a temperature.

        A terminal state is worth 0 in both cases: its entropy earns nothing.
        """
        rewards = self.rewards - temperature * np.log(self.actions) * self.terminal[:, None]
        return tabular.value_iteration(self.transitions, rewards, self.discount, temperature=temperature)

    def optimal_policy(self) -> Floats:
        """An optimal policy float64[S, A] that mixes all optimal actions of a state evenly."""
        best = tabular.optimal_actions(self.solve()[1]).astype(np.float64)
        return best / best.sum(-1, keepdims=True)

    def values(self, policy: Floats) -> Floats:
        """Expected discounted return of a policy float64[..., S, A] from each state, float64[..., S]."""
        return tabular.evaluate_policy(self.transitions, self.rewards, check_policy(self, policy), self.discount)

    def expected_return(self, policy: Floats) -> Floats:
        """Expected discounted return of a policy float64[..., S, A] from the first state, float64[...]."""
        total: Floats = self.values(policy) @ self.initial
        return total

    def occupancy(self, policy: Floats) -> Floats:
        """Discounted visits float64[..., S, A] of a policy."""
        return tabular.occupancy(self.transitions, check_policy(self, policy), self.initial, self.discount)

    def policy_table(self, policy: Floats) -> Floats:
        """A policy float64[..., S, A] whose rows are probabilities, from such a table or an action for each state.

        Raises:
            ValueError: another shape, or a row that does not sum to 1; the state is named.
        """
        return check_policy(self, policy)

    # ---- sampled --------------------------------------------------------------------------------------------------

    def sample(self, policy: Floats, trajectories: int, *, steps: int, seed: int) -> list[Trajectory]:
        """Trajectories of a policy, all sampled side by side.

        Args:
            policy: float64[S, A].
            trajectories: how many.
            steps: limit on the length; a trajectory that has not ended by then is truncated.
            seed: of the sampling.

        Returns:
            Array trajectories with int64 states and actions; the rewards are the expected ones of state and action.
        """
        policy = check_policy(self, policy)
        if trajectories < 1 or steps < 1:
            raise ValueError(f"trajectories and steps must be at least 1, got {trajectories} and {steps}")
        generator = np.random.default_rng(seed)
        states = np.zeros((trajectories, steps + 1), dtype=np.int64)
        actions = np.zeros((trajectories, steps), dtype=np.int64)
        states[:, 0] = draw(np.broadcast_to(self.initial, (trajectories, self.states)), generator)
        for step in range(steps):
            now = states[:, step]
            actions[:, step] = draw(policy[now], generator)
            states[:, step + 1] = draw(self.transitions[now, actions[:, step]], generator)
        over = self.terminal[states]
        lengths = np.where(over.any(1), np.maximum(over.argmax(1), 1), steps)
        result = []
        for index, length in enumerate(lengths):
            ended = bool(over[index, length])
            result.append(
                Trajectory(
                    observations=states[index, : length + 1],
                    actions=actions[index, :length],
                    rewards=self.rewards[states[index, :length], actions[index, :length]],
                    terminated=ended,
                    truncated=not ended,
                )
            )
        return result

    # ---- doors ----------------------------------------------------------------------------------------------------

    def to_gymnasium(self, *, max_steps: int | None = None) -> Any:
        """A `gymnasium.Env` with discrete observations and actions that steps through this process.

        Args:
            max_steps: truncate after so many steps; None for no limit.

        Raises:
            MissingExtra: Gymnasium is not installed.
        """
        require("gymnasium", extra="gym", why="MarkovDecisionProcess.to_gymnasium")
        from rewardlab.environments.tabular_gymnasium import TabularEnvironment

        return TabularEnvironment(self, max_steps=max_steps)

    @classmethod
    def from_gymnasium(cls, environment: Any, *, discount: float = 0.99) -> MarkovDecisionProcess:
        """Read the table of a Gymnasium environment that shows it as `P` and `initial_state_distrib`, as toy_text does.

        A state that is only entered with `done` becomes terminal. Where the same state is also entered without it, one
        more state, the last, stands for the end.

        Args:
            environment: such as `gymnasium.make("FrozenLake-v1")`; wrappers are looked through.
            discount: in [0, 1).

        Raises:
            TypeError: the environment shows no table.
        """
        bare = getattr(environment, "unwrapped", environment)
        table, first = getattr(bare, "P", None), getattr(bare, "initial_state_distrib", None)
        if not isinstance(table, Mapping) or first is None:
            raise TypeError(
                f"{type(bare).__name__} shows no transition table (P and initial_state_distrib), as the environments of "
                "toy_text do; collect trajectories and use MarkovDecisionProcess.estimate(trajectories)"
            )
        return cls(**_read_table(table, np.asarray(first, dtype=np.float64)), discount=discount)

    @classmethod
    def estimate(
        cls,
        trajectories: Sequence[Trajectory],
        *,
        discount: float = 0.99,
        states: int | None = None,
        actions: int | None = None,
        prior: float = 0.0,
        unvisited: Literal["error", "stay"] = "error",
    ) -> MarkovDecisionProcess:
        """Count what happened in trajectories with whole-number observations and actions.

        The end of a terminated trajectory becomes a terminal state, which must not be left elsewhere.

        Args:
            trajectories: array trajectories with rewards.
            discount: in [0, 1).
            states: how many; one more than the largest seen when not given.
            actions: how many; likewise.
            prior: pseudo-count of each next state, at least 0 (Dirichlet smoothing).
            unvisited: what a pair that never occurred does: refuse ("error"), or lead back to its state without
                reward ("stay").

        Raises:
            ValueError: nothing to count, observations that are not whole numbers, a reward that is NaN (the trajectory
                and the step are named), a pair that never occurred.
        """
        from rewardlab.environments.tabular_estimate import estimate_tables

        tables = estimate_tables(trajectories, states=states, actions=actions, prior=prior, unvisited=unvisited)
        return cls(**tables, discount=discount)

    # ---- checks ---------------------------------------------------------------------------------------------------

    def _check_rows(self, name: str, rows: Floats) -> None:
        def where(index: Any) -> str:
            return f"{name} of {self._pair(*index[:2])}" if rows.ndim == 3 else f"{name} of {self._state(index[0])}"

        for wrong, what in ((~np.isfinite(rows), "must be finite"), (rows < 0, "a probability must not be negative")):
            index = np.argwhere(wrong)
            if index.size:
                raise ValueError(f"{where(index[0])} holds {rows[tuple(index[0])]}: {what}")
        total = np.atleast_1d(rows.sum(-1))
        index = np.argwhere(np.abs(total - 1) > ROUNDING)
        if index.size:
            place = where(index[0]) if rows.ndim == 3 else name
            raise ValueError(f"{place} sums to {total[tuple(index[0])]:.6g}, expected 1")

    def _state(self, state: int) -> str:
        return f"state {state}" + ("" if self.state_names is None else f" ({self.state_names[state]})")

    def _action(self, action: int) -> str:
        return f"action {action}" + ("" if self.action_names is None else f" ({self.action_names[action]})")

    def _pair(self, state: int, action: int) -> str:
        return f"{self._state(state)}, {self._action(action)}"


def check_policy(mdp: MarkovDecisionProcess, policy: Floats) -> Floats:
    """A policy float64[..., S, A] whose rows are probabilities.

    Args:
        mdp: for its sizes and names.
        policy: float[..., S, A], or int[S] with the action of each state.

    Raises:
        ValueError: another shape, or a row that does not sum to 1.
    """
    policy = np.asarray(policy)
    if (
        policy.dtype.kind in "iu"
        and policy.shape[-1:] == (mdp.states,)
        and policy.shape[-2:] != (mdp.states, mdp.actions)
    ):
        if ((policy < 0) | (policy >= mdp.actions)).any():
            raise ValueError(f"a policy of actions must name 0 to {mdp.actions - 1}, got {int(policy.max())}")
        return np.eye(mdp.actions)[policy]
    policy = policy.astype(np.float64)
    if policy.shape[-2:] != (mdp.states, mdp.actions):
        raise ValueError(
            f"a policy must be [..., {mdp.states}, {mdp.actions}], or an action for each of {mdp.states} states, got "
            f"shape {policy.shape}"
        )
    wrong = np.argwhere(~(np.isfinite(policy) & (policy >= -ROUNDING)))
    if wrong.size:
        raise ValueError(
            f"the policy gives {policy[tuple(wrong[0])]} at {mdp._pair(*wrong[0][-2:])}; expected a probability"
        )
    total = policy.sum(-1)
    off = np.argwhere(np.abs(total - 1) > ROUNDING)
    if off.size:
        raise ValueError(f"the policy sums to {total[tuple(off[0])]:.6g} at {mdp._state(off[0][-1])}, expected 1")
    return np.maximum(policy, 0.0)


def deterministic_policies(mdp: MarkovDecisionProcess, *, limit: int = 4096) -> Floats:
    """Every deterministic policy of a small process: float64[policy, S, A]; terminal states take action 0.

    Raises:
        ValueError: there are more than `limit`.
    """
    free = np.flatnonzero(~mdp.terminal)
    count = mdp.actions ** len(free)
    if count > limit:
        raise ValueError(
            f"there are {mdp.actions}^{len(free)} = {count} deterministic policies, more than limit={limit}; give the "
            "policies that matter, or raise the limit"
        )
    chosen = np.zeros((count, mdp.states), dtype=np.int64)
    chosen[:, free] = np.arange(count)[:, None] // mdp.actions ** np.arange(len(free)) % mdp.actions
    return np.eye(mdp.actions)[chosen]


def draw(probabilities: Floats, generator: np.random.Generator) -> NDArray[np.int64]:
    """One index from each row of float64[N, K]."""
    heights = np.cumsum(probabilities, axis=1)
    marks = generator.random(len(heights)) * heights[:, -1]
    return (heights > marks[:, None]).argmax(1).astype(np.int64)


def _read_table(table: Mapping[int, Any], first: Floats) -> dict[str, Any]:
    states, actions = len(first), len(table[0])
    rows = [(s, a, *row) for s in range(states) for a in range(actions) for row in table[s][a] if row[0] > 0]
    ended = {t for _, _, _, t, _, done in rows if done}
    live, fresh = set(), set(np.flatnonzero(first > 0).tolist())
    following: dict[int, set[int]] = {}
    for s, _, _, t, _, done in rows:
        if not done:
            following.setdefault(s, set()).add(t)
    while fresh:
        live |= fresh
        fresh = {t for s in fresh for t in following.get(s, ())} - live
    mixed = bool(ended & live)
    count = states + mixed
    transitions, rewards = np.zeros((count, actions, count)), np.zeros((count, actions))
    terminal = np.zeros(count, dtype=bool)
    terminal[[state for state in ended if state not in live]] = True
    if mixed:
        terminal[-1] = True
    for s, a, share, t, reward, done in rows:
        if not terminal[s]:
            transitions[s, a, count - 1 if done and not terminal[t] else t] += share
            rewards[s, a] += share * reward
    for state in np.flatnonzero(terminal):
        transitions[state, :, state] = 1.0
    return {
        "transitions": transitions,
        "rewards": rewards,
        "initial": np.r_[first, np.zeros(int(mixed))],
        "terminal": terminal,
    }
