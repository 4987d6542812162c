"""Tabular learners that run many copies at once with a designer of their rewards: REINFORCE and Q-learning.

These are the learners of the reward design papers, whose results rest on their details: gradients averaged over steps, a
window of past episodes that is used again, and no baseline.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.functional.tabular import policy_transitions
from rewardlab.learning.design.designer import Designer, Episodes, Floats, discounted_sums, scatter

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess


class TabularLearner(ABC):
    """A policy over states for each copy, with a rule that improves it."""

    every: int = 0
    """Episodes between calls of `improve`; 0 where it learns at each step."""
    probabilities: Floats
    """float[copy, state, action], the policy that acts."""

    @abstractmethod
    def greedy_policy(self) -> Floats:
        """float[copy, state, action]: what it would do without exploring."""

    def step(  # noqa: B027 - a learner has this or `improve`
        self,
        state: NDArray[np.int64],
        action: NDArray[np.int64],
        reward: Floats,
        next_state: NDArray[np.int64],
        ended: NDArray[np.bool_],
        alive: NDArray[np.bool_],
    ) -> None:
        """Learn from one transition of each copy; only of those that are `alive`."""

    def improve(self, episodes: Episodes, shaped: Floats) -> None:  # noqa: B027
        """Learn from past episodes with the rewards float[episode, time, copy] that were given then."""


class Reinforce(TabularLearner):
    """Softmax policy with the plain score-function gradient, averaged over the steps of the last episodes.

    Args:
        states: number of states.
        actions: number of actions.
        copies: independent learners.
        rate: step size.
        discount: of the returns.
        every: episodes between updates.
        window: how many of the last episodes an update uses.
    """

    def __init__(
        self,
        states: int,
        actions: int,
        copies: int = 1,
        *,
        rate: ArrayLike = 0.1,
        discount: float = 0.99,
        every: int = 2,
        window: int = 5,
    ) -> None:
        self.shape = (copies, states, actions)
        self.rate, self.discount, self.every, self.window = np.asarray(rate, dtype=np.float64), discount, every, window
        self.logits: Floats = np.zeros(self.shape)
        self.probabilities = np.full(self.shape, 1.0 / actions)

    def greedy_policy(self) -> Floats:  # noqa: D102 - the policy itself, which is what such a learner is judged by
        return self.probabilities

    def improve(self, episodes: Episodes, shaped: Floats) -> None:  # noqa: D102 - documented on TabularLearner
        states, actions = episodes.observations[-self.window :], episodes.actions[-self.window :]
        present = episodes.present[-self.window :]
        gained = np.where(present, discounted_sums(np.where(present, shaped[-self.window :], 0.0), self.discount), 0.0)
        sums = scatter(*self.shape, (states, actions), gained)
        step = (sums - sums.sum(-1, keepdims=True) * self.probabilities) / present.sum(axis=(0, 1))[:, None, None]
        self.logits = self.logits + self.rate.reshape(-1, 1, 1) * step
        exponent = np.exp(self.logits - self.logits.max(-1, keepdims=True))
        self.probabilities = exponent / exponent.sum(-1, keepdims=True)


class QLearning(TabularLearner):
    """Q-learning with epsilon-greedy actions; ties are shared evenly.

    Args:
        states: number of states.
        actions: number of actions.
        copies: independent learners.
        rate: step size.
        discount: of the values.
        epsilon: share of random actions.
    """

    def __init__(
        self,
        states: int,
        actions: int,
        copies: int = 1,
        *,
        rate: float = 0.5,
        discount: float = 0.95,
        epsilon: float = 0.1,
    ) -> None:
        self.rate, self.discount, self.epsilon = rate, discount, epsilon
        self.values: Floats = np.zeros((copies, states, actions))
        self.probabilities = np.full((copies, states, actions), 1.0 / actions)
        self._rows = np.arange(copies)

    def greedy_policy(self) -> Floats:  # noqa: D102 - documented on TabularLearner
        best = self.values >= self.values.max(-1, keepdims=True) - 1e-12
        return best / best.sum(-1, keepdims=True)

    def step(  # noqa: D102
        self,
        state: NDArray[np.int64],
        action: NDArray[np.int64],
        reward: Floats,
        next_state: NDArray[np.int64],
        ended: NDArray[np.bool_],
        alive: NDArray[np.bool_],
    ) -> None:
        rows = self._rows
        target = reward + self.discount * self.values[rows, next_state].max(-1) * ~ended
        self.values[rows, state, action] += self.rate * alive * (target - self.values[rows, state, action])
        values = self.values[rows, state]
        best = values >= values.max(-1, keepdims=True) - 1e-12
        self.probabilities[rows, state] = self.epsilon / values.shape[-1] + (1 - self.epsilon) * best / best.sum(
            -1, keepdims=True
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurve:
    """How good the learners were, by the original reward, along their episodes.

    Args:
        episodes: int[point].
        values: float[point, copy], expected discounted return of the policy that the learner would stop with.
    """

    episodes: NDArray[np.int64]
    values: Floats

    def area(self) -> Floats:
        """Mean value over the curve: float[copy]."""
        return self.values.mean(axis=0)

    def until(self, threshold: float) -> Floats:
        """Episodes until the value first reaches a threshold; the last number where it never does: float[copy]."""
        reached = self.values >= threshold
        first = np.where(reached.any(0), reached.argmax(0), len(self.episodes) - 1)
        return self.episodes[first].astype(np.float64)


@dataclass(kw_only=True)
class Run:
    """Learners, their designer and their world, one episode after the other.

    Args:
        world: the world, whose own rewards are the original ones.
        learner: the learners.
        designer: what shapes their rewards; None leaves them as they are.
        horizon: steps after which an episode is cut.
        seed: of everything that is drawn.
        streams: int[copy], which random numbers each copy uses, so that arms can share them; all different by default.
        window: how many past episodes a designer sees.
    """

    world: MarkovDecisionProcess
    learner: TabularLearner
    designer: Designer | None = None
    horizon: int = 40
    seed: int = 0
    streams: ArrayLike | None = None
    window: int = 10
    _past: deque[tuple[Any, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        copies = len(self.learner.probabilities)
        if self.designer is not None and self.designer.copies != copies:
            raise ValueError(f"the designer has {self.designer.copies} copies and the learner {copies}")
        if self.learner.probabilities.shape[1:] != self.world.rewards.shape:
            raise ValueError(
                f"the learner is for {self.learner.probabilities.shape[1:]} states and actions, the world has "
                f"{self.world.rewards.shape}"
            )
        self._streams = np.arange(copies) if self.streams is None else np.asarray(self.streams, dtype=np.int64)
        self._generator = np.random.default_rng(self.seed)
        self._past = deque(maxlen=self.window)
        self._done = 0
        transitions = np.asarray(self.world.transitions)
        width = int((transitions > 0).sum(-1).max())
        order = np.argsort(-transitions, axis=-1, kind="stable")[..., :width]
        self._successors = order
        self._cumulative = np.cumsum(np.take_along_axis(transitions, order, -1), -1)[..., :-1]
        self._first = np.cumsum(self.world.initial)[:-1]

    def episode(self) -> None:
        """Let every copy act for one episode and learn from it."""
        learner, designer, world = self.learner, self.designer, self.world
        copies, horizon = len(self._streams), self.horizon
        rows = np.arange(copies)
        drawn = self._generator.random((2 * horizon + 1, int(self._streams.max()) + 1))[:, self._streams]
        state = np.searchsorted(self._first, drawn[-1], side="right")
        states = np.zeros((horizon, copies), dtype=np.int64)
        actions = np.zeros((horizon, copies), dtype=np.int64)
        shaped, present = np.zeros((horizon, copies)), np.zeros((horizon, copies), dtype=bool)
        probabilities = np.zeros((horizon, copies, learner.probabilities.shape[-1]))
        alive = ~world.terminal[state]
        for time in range(horizon):
            now = learner.probabilities[rows, state]
            action = (drawn[2 * time][:, None] >= now.cumsum(-1)[:, :-1]).sum(-1)
            which = (drawn[2 * time + 1][:, None] >= self._cumulative[state, action]).sum(-1)
            following = self._successors[state, action, which]
            ended = world.terminal[following]
            reward = world.rewards[state, action]
            if designer is not None:
                reward = designer.shape(state, action, following, ended, reward)
            states[time], actions[time], shaped[time], present[time] = state, action, reward, alive
            probabilities[time] = now
            if learner.every == 0:
                learner.step(state, action, reward, following, ended, alive)
            state = following
            alive = alive & ~ended
            if not alive.any():
                break
        original = world.rewards[states, actions]
        self._past.append((states, actions, original, probabilities, present, shaped))
        self._done += 1
        redesign = designer is not None and designer.every > 0 and self._done % designer.every == 0
        improve = learner.every > 0 and self._done % learner.every == 0
        if redesign or improve:
            columns = [np.stack(column) for column in zip(*self._past, strict=True)]
            past = Episodes(
                observations=columns[0],
                actions=columns[1],
                rewards=columns[2],
                probabilities=columns[3],
                present=columns[4],
            )
            if redesign and designer is not None:
                designer.update(past, learner.probabilities)
            if improve:
                learner.improve(past, columns[5])

    def learn(self, episodes: int, *, every: int = 100) -> LearningCurve:
        """Run episodes, measuring the learners exactly every so many.

        Args:
            episodes: how many.
            every: episodes between two measurements; there is one before the first.
        """
        numbers, values = [0], [self.values()]
        for number in range(1, episodes + 1):
            self.episode()
            if number % every == 0 or number == episodes:
                numbers.append(number)
                values.append(self.values())
        return LearningCurve(episodes=np.array(numbers), values=np.stack(values))

    def values(self) -> Floats:
        """Expected discounted original return of each copy from the start, within the horizon: float[copy]."""
        return return_within(self.world, self.learner.greedy_policy(), self.horizon)


def return_within(world: MarkovDecisionProcess, policy: Floats, horizon: int) -> Floats:
    """Expected discounted return from the start when episodes are cut after some steps: float[...].

    Args:
        world: the world, with the rewards that count.
        policy: float[..., state, action].
        horizon: number of steps.
    """
    kernel = policy_transitions(world.transitions, policy)
    gained = (policy * world.rewards).sum(-1)
    values = np.zeros(gained.shape)
    for _ in range(horizon):
        values = gained + world.discount * (kernel @ values[..., None])[..., 0]
    return np.asarray(values @ world.initial)
