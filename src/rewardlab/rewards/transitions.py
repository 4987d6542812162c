"""The vectorised kinds of reward, for control: functions of transitions, the same on-line and on stored trajectories.

A `TransitionReward` looks at one transition; a `StatefulReward` also remembers what came before it in the same trajectory.
What a simulator says beside the observation (`info`) is stored in `trajectory.info["steps"]`, a dict of arrays[T, ...].
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.base import EMPTY_TRAJECTORY, Reward, attempt
from rewardlab.types import Scores, Status, Trajectory
from rewardlab.types.trees import tree_map, tree_paths

TransitionFunction = Callable[..., Any]
State = Any

STEP_INFO = "steps"
"""Under this key of `Trajectory.info` stands what the simulator said at each step: dict name -> array[T, ...]."""


@dataclass(frozen=True, kw_only=True)
class TransitionReward(Reward):
    """A reward of single transitions. The score of a trajectory is the sum over its transitions; `steps` holds each of them.

    Subclasses define `transition`; `@rewardlab.reward` on a function of `observation`, `action`, `next_observation`,
    `terminated` and `info` gives the same without a class.
    """

    reads_info: ClassVar[bool] = False
    """Whether `transition` (or `advance`) also takes `info`: dict name -> array[N, ...], in Gymnasium's vector layout."""

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
            observation: [N, ...] what the policy saw; a dict of such arrays where the space is a Dict.
            action: [N, ...] what it did.
            next_observation: [N, ...] what it saw then.
            terminated: bool[N], whether the environment ended the trajectory with this transition (a limit does not count).

        Returns:
            float[N].
        """

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        return score_transitions(self.transition, trajectories, label=self.label, reads_info=self.reads_info)


@dataclass(frozen=True, kw_only=True)
class StatefulReward(TransitionReward):
    """A reward of transitions that depends on what came before in the same trajectory: a reward machine, a count, a timer.

    The state is a value of its own, never kept on the reward, so that one reward serves any number of environments at once.
    It is a tree (dicts, lists, tuples) of arrays with leading N, one row for each trajectory in progress. Stored
    trajectories are scored side by side in time: one call of `advance` for the first step of all, one for the second.
    """

    @abstractmethod
    def start(self, count: int) -> State:
        """The state of `count` trajectories of which nothing was seen yet: a tree of arrays with leading `count`."""

    @abstractmethod
    def advance(
        self,
        state: State,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
        info: Mapping[str, Any] | None = None,
    ) -> tuple[NDArray[np.float64], State]:
        """Reward of the next transition of N trajectories, and their state after it. The given state is not changed.

        Args:
            state: what `start`, `reset` or the last call gave.
            observation: [N, ...] what the policy saw.
            action: [N, ...] what it did.
            next_observation: [N, ...] what it saw then.
            terminated: bool[N].
            info: dict name -> array[N, ...] where `reads_info` is set, else None.

        Returns:
            float[N] and the new state.
        """

    def reset(self, state: State, mask: NDArray[np.bool_]) -> State:
        """The state with the rows of `mask` (bool[N]) as at the start, because those trajectories ended."""

        def choose(fresh: Any, old: Any) -> Any:
            return np.where(mask.reshape(-1, *(1,) * (np.ndim(old) - 1)), fresh, old)

        return tree_map(choose, self.start(len(mask)), state)

    def transition(  # noqa: D102 - documented on TransitionReward; here each transition is the first of a trajectory
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
        info: Mapping[str, Any] | None = None,
    ) -> NDArray[np.float64]:
        more = {"info": info} if self.reads_info else {}
        return self.advance(self.start(len(terminated)), observation, action, next_observation, terminated, **more)[0]

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        def side_by_side(columns: Mapping[str, Any], lengths: NDArray[np.intp]) -> NDArray[np.float64]:
            return _advance_together(self, columns, lengths)

        return _score_columns(side_by_side, trajectories, label=self.label, reads_info=self.reads_info)


def score_transitions(
    function: TransitionFunction, trajectories: Sequence[Trajectory], *, label: str, reads_info: bool = False
) -> Scores:
    """Score array trajectories with one call over all their transitions.

    Args:
        function: takes `observation`, `action`, `next_observation`, `terminated` (and `info`) by keyword, returns float[N].
        trajectories: array trajectories; a chat, an empty one, one in which the simulator gave NaN or inf, and one with a
            non-finite reward are failed one by one.
        label: the reward's name, for messages.
        reads_info: whether the function takes `info`.

    Raises:
        ValueError: the function returned another number of values than there are transitions.
    """
    return _score_columns(
        lambda columns, lengths: function(**columns), trajectories, label=label, reads_info=reads_info
    )


def _score_columns(
    function: Callable[[Mapping[str, Any], NDArray[np.intp]], Any],
    trajectories: Sequence[Trajectory],
    *,
    label: str,
    reads_info: bool,
) -> Scores:
    """Lay the transitions of all usable trajectories end to end, score them, and cut the values apart again."""
    count = len(trajectories)
    values = np.full(count, np.nan)
    status = np.full(count, Status.FAILED, dtype=np.int8)
    notes: list[str | None] = [unusable(entry, label=label, reads_info=reads_info) for entry in trajectories]
    steps: list[NDArray[np.float64] | None] = [None] * count
    usable = [index for index, note in enumerate(notes) if note is None]
    if usable:
        chosen = [trajectories[index] for index in usable]
        lengths = np.array([len(trajectory) for trajectory in chosen])
        outcome = attempt(lambda: function(transition_columns(chosen, reads_info=reads_info), lengths))
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


def transition_columns(trajectories: Sequence[Trajectory], *, reads_info: bool = False) -> dict[str, Any]:
    """The transitions of array trajectories, end to end.

    Args:
        trajectories: K of them with N transitions in all, each with at least one.
        reads_info: whether `info` is among the columns: every name that all of them have in `info["steps"]`.

    Returns:
        `observation` and `next_observation` ([N, ...], or dicts of such), `action` [N, ...], `terminated` bool[N].
    """
    lengths = np.array([len(trajectory) for trajectory in trajectories])
    terminated = np.zeros(int(lengths.sum()), dtype=bool)
    terminated[np.cumsum(lengths) - 1] = [trajectory.terminated for trajectory in trajectories]
    seen = [_observations(trajectory) for trajectory in trajectories]

    def join(part: slice) -> Any:
        return tree_map(lambda *columns: np.concatenate([column[part] for column in columns]), *seen)

    columns = {
        "observation": join(slice(None, -1)),
        "action": np.concatenate([np.asarray(trajectory.actions) for trajectory in trajectories]),
        "next_observation": join(slice(1, None)),
        "terminated": terminated,
    }
    if reads_info:
        told = [trajectory.info[STEP_INFO] for trajectory in trajectories]
        names = [name for name in told[0] if all(name in one for one in told)]
        columns["info"] = {name: np.concatenate([np.asarray(one[name]) for one in told]) for name in names}
    return columns


def unusable(trajectory: Trajectory, *, label: str, reads_info: bool = False) -> str | None:
    """Why a reward of transitions cannot score this trajectory, or None where it can.

    A simulator that gave NaN or infinity makes the whole trajectory fail, with the step named: whatever a reward made of it,
    the policy did not earn it.
    """
    if not len(trajectory.actions):
        return EMPTY_TRAJECTORY[1]
    if trajectory.is_chat:
        return f"{label} scores array transitions, and this trajectory is a chat"
    for path, column in tree_paths(_observations(trajectory)):
        row = _first_not_finite(column)
        if row is not None:
            where = "the first observation" if row == 0 else f"the observation after step {row - 1}"
            inside = f" ({path})" if path else ""
            return f"{where}{inside} holds {_not_finite(column[row])}: the simulator's numbers went wrong there"
    actions = np.asarray(trajectory.actions)
    row = _first_not_finite(actions)
    if row is not None:
        return f"the action of step {row} holds {_not_finite(actions[row])}: the policy's numbers went wrong there"
    if reads_info:
        told = trajectory.info.get(STEP_INFO)
        if not isinstance(told, Mapping):
            return (
                f"{label} reads what the simulator said beside the observation, and this trajectory has none of it; "
                f"expected trajectory.info[{STEP_INFO!r}], a dict of arrays with one row for each step"
            )
        for name, column in told.items():
            if len(column) != len(trajectory):
                return f"info[{STEP_INFO!r}][{name!r}] has {len(column)} rows for {len(trajectory)} steps"
    return None


def _advance_together(
    reward: StatefulReward, columns: Mapping[str, Any], lengths: NDArray[np.intp]
) -> NDArray[np.float64]:
    """All trajectories side by side: longest first, so that those still running are always the first rows of the state."""
    order = np.argsort(-lengths, kind="stable")
    first = (np.cumsum(lengths) - lengths)[order]
    running = len(lengths) - np.searchsorted(np.sort(lengths), np.arange(int(lengths.max())), side="right")
    values = np.empty(int(lengths.sum()))
    state = reward.start(len(lengths))
    alive = len(lengths)
    for step, still in enumerate(running.tolist()):
        if still < alive:
            state, alive = tree_map(lambda leaf, still=still: leaf[:still], state), still
        rows = first[:alive] + step
        now = tree_map(lambda column, rows=rows: column[rows], dict(columns))
        rewards, state = reward.advance(state, **now)
        if np.shape(rewards) != (alive,):
            raise ValueError(f"returned shape {np.shape(rewards)} for {alive} transitions; return one value each")
        values[rows] = rewards
    return values


def _observations(trajectory: Trajectory) -> Any:
    seen = trajectory.observations
    return seen if isinstance(seen, Mapping) else np.asarray(seen)


def _first_not_finite(column: NDArray[Any]) -> int | None:
    if column.dtype.kind not in "fc" or np.isfinite(column).all():
        return None
    return int(np.flatnonzero(~np.isfinite(column.reshape(len(column), -1)).all(axis=1))[0])


def _not_finite(row: NDArray[Any]) -> str:
    flat = np.asarray(row).reshape(-1)
    return str(flat[~np.isfinite(flat)][0])
