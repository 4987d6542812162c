"""The vectorised kind of reward, for control: a function of transitions, the same on-line and on stored trajectories."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.base import EMPTY_TRAJECTORY, Reward, attempt
from rewardlab.types import Scores, Status, Trajectory

TransitionFunction = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class TransitionReward(Reward):
    """A reward of single transitions. The score of a trajectory is the sum over its transitions; `steps` holds each of them.

    Subclasses define `transition`; `@rewardlab.reward` on a function of `observation`, `action`, `next_observation` and
    `terminated` gives the same without a class.
    """

    @abstractmethod
    def transition(
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Reward of N transitions at once.

        Args:
            observation: [N, ...] what the policy saw.
            action: [N, ...] what it did.
            next_observation: [N, ...] what it saw then.
            terminated: bool[N], whether the environment ended the trajectory with this transition (a limit does not count).

        Returns:
            float[N].
        """

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        return score_transitions(self.transition, trajectories, label=self.label)


def score_transitions(function: TransitionFunction, trajectories: Sequence[Trajectory], *, label: str) -> Scores:
    """Score array trajectories with one call over all their transitions.

    Args:
        function: takes `observation`, `action`, `next_observation`, `terminated` by keyword, and returns float[N].
        trajectories: array trajectories; a chat, an empty one, and one with a non-finite reward are failed one by one.
        label: the reward's name, for messages.

    Raises:
        ValueError: the function returned another number of values than there are transitions.
    """
    count = len(trajectories)
    values = np.full(count, np.nan)
    status = np.full(count, Status.FAILED, dtype=np.int8)
    notes: list[str | None] = [None] * count
    steps: list[NDArray[np.float64] | None] = [None] * count
    usable: list[int] = []
    for index, trajectory in enumerate(trajectories):
        if not len(trajectory.actions):
            notes[index] = EMPTY_TRAJECTORY[1]
        elif trajectory.is_chat:
            notes[index] = f"{label} scores array transitions, and this trajectory is a chat"
        else:
            usable.append(index)
    if usable:
        chosen = [trajectories[index] for index in usable]
        lengths = np.array([len(trajectory) for trajectory in chosen])
        ends = np.cumsum(lengths) - 1
        terminated = np.zeros(int(lengths.sum()), dtype=bool)
        terminated[ends] = [trajectory.terminated for trajectory in chosen]
        outcome = attempt(
            lambda: function(
                observation=np.concatenate([np.asarray(trajectory.observations)[:-1] for trajectory in chosen]),
                action=np.concatenate([np.asarray(trajectory.actions) for trajectory in chosen]),
                next_observation=np.concatenate([np.asarray(trajectory.observations)[1:] for trajectory in chosen]),
                terminated=terminated,
            )
        )
        if isinstance(outcome, tuple) and len(outcome) == 2 and isinstance(outcome[0], Status):
            for index in usable:
                status[index], notes[index] = outcome
        else:
            rewards = np.asarray(outcome, dtype=np.float64)
            if rewards.shape != (int(lengths.sum()),):
                raise ValueError(
                    f"{label} returned shape {rewards.shape} for {int(lengths.sum())} transitions; return one value each"
                )
            for index, piece in zip(usable, np.split(rewards, np.cumsum(lengths)[:-1]), strict=True):
                wrong = np.flatnonzero(~np.isfinite(piece))
                if wrong.size:
                    notes[index] = (
                        f"{label} returned {piece[wrong[0]]} at step {wrong[0]}, which is not a finite number"
                    )
                    continue
                values[index], status[index], steps[index] = piece.sum(), Status.SCORED, piece
    return Scores(
        values=values,
        status=status,
        notes=notes if any(note is not None for note in notes) else None,
        steps=steps if any(step is not None for step in steps) else None,
    )
