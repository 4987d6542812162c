"""`online(reward)`: one object that goes along with N running environments and values each transition, part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.algebra import Cache, Normalise, Scheduled
from rewardlab.rewards.base import Reward
from rewardlab.rewards.formal.constraints import Lagrangian
from rewardlab.rewards.functions import FunctionReward
from rewardlab.rewards.online.combining import MAKERS
from rewardlab.rewards.online.constrained import LagrangianNode
from rewardlab.rewards.online.nodes import (
    CannotStep,
    Combination,
    EnvironmentNode,
    Floats,
    FunctionNode,
    Node,
    PotentialNode,
    StatefulNode,
    Transition,
    TransitionNode,
    column,
)
from rewardlab.rewards.online.running import RunningNode, RunningNormalise
from rewardlab.rewards.recorded import EnvironmentReturn
from rewardlab.rewards.shaping.potentials import Potential
from rewardlab.rewards.transitions import (
    StatefulReward,
    TransitionReward,
    transition_columns,
    unusable,
)
from rewardlab.types import Scores, Status, Trajectory
from rewardlab.types.trees import tree_map, tree_paths


class OnlineReward:
    """A reward beside N running environments. Make one with `online`.

    Args:
        reward: any algebra of transition rewards, stateful ones among them.

    Raises:
        CannotStep: a reward in it has no value at single transitions.
    """

    def __init__(self, reward: Reward) -> None:
        self._node = node_of(reward)
        self.reward = reward
        self.parts: dict[str, Floats] = {}
        """What each part gave at the last step, by dotted name: float64[N], unweighted."""
        nodes = self._node.walk()
        self.part_names: tuple[str, ...] = tuple(node.path for node in nodes if node.path) or (reward.label,)
        """Names of the parts; a reward without parts is its own."""
        self.reads_info = any(_reads_info(node.reward) for node in nodes)
        self.needs_progress = any(isinstance(node.reward, Scheduled) or _reads_progress(node.reward) for node in nodes)
        self.count = 0
        self._alone = len(nodes) == 1
        self._state: Any = None

    def start(self, count: int) -> None:
        """Begin with `count` environments at the start of trajectories; statistics go on from what the reward holds."""
        if count < 1:
            raise ValueError(f"count must be at least 1 environment, got {count}")
        self.count = count
        self._state = self._node.start(count)

    def step(
        self,
        observation: Any,
        action: Any,
        next_observation: Any,
        terminated: NDArray[np.bool_],
        *,
        info: Mapping[str, Any] | None = None,
        environment_reward: Floats | None = None,
        progress: float | None = None,
        real: NDArray[np.bool_] | None = None,
    ) -> Floats:
        """Value one transition of each environment. What ended must be told with `reset` before the next step.

        Args:
            observation: [N, ...] what the policy saw; a dict of such where the space is a Dict.
            action: [N, ...] what it did.
            next_observation: what it saw then; where a trajectory ended, its last observation and not that after the reset.
            terminated: bool[N], ended by the environment; a limit does not count.
            info: what the simulators said, dict name -> array[N, ...].
            environment_reward: float64[N], for rewards that build on the environment's own.
            progress: share of training done, in [0, 1], for scheduled rewards.
            real: bool[N], False where an environment was only reset in this step, so that no statistics take it in.

        Returns:
            float64[N]; NaN where a part that decides gave none.
        """
        transition = Transition(
            observation, action, next_observation, terminated, info, environment_reward, progress, real
        )
        values, self._state = self._node.advance(self._state, transition)
        self.parts = {self.part_names[0]: values} if self._alone else transition.parts
        return values

    def reset(self, mask: NDArray[np.bool_]) -> None:
        """Begin a new trajectory in the environments of `mask`, bool[N]."""
        self._state = self._node.reset(self._state, mask)

    def settle(self) -> None:
        """Write running statistics back into the reward, so that its spec, and scoring off-line, hold them."""
        if self.count:
            self._node.settle(self._state)

    def failure(self, index: int) -> str:
        """Which parts gave environment `index` a value that is no number, for messages."""
        wrong = [
            f"part {name!r} gave {values[index]}"
            for name, values in self.parts.items()
            if not np.isfinite(values[index])
        ]
        return ", ".join(wrong) or f"{self.reward.label} gave a value that is not a finite number"

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """The whole state as arrays by name, for `numpy.savez` or safetensors."""
        return {path or "state": np.asarray(leaf) for path, leaf in tree_paths(self._state)}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `state_dict` gave; call `start` with the same number of environments first.

        Raises:
            ValueError: the state is that of another reward, or of another number of environments.
        """
        mine = self.state_dict()
        if mine.keys() != state.keys() or any(mine[name].shape != np.shape(state[name]) for name in mine):
            theirs = ", ".join(f"{name}{np.shape(value)}" for name, value in state.items()) or "nothing"
            expected = ", ".join(f"{name}{value.shape}" for name, value in mine.items()) or "nothing"
            raise ValueError(
                f"the state holds {theirs}, and {self.reward.label} beside {self.count} environments needs {expected}"
            )
        leaves = iter(state.values())
        self._state = tree_map(lambda old: _like(old, next(leaves)), self._state)


def online(reward: Reward, count: int | None = None) -> OnlineReward:
    """A reward as one object that goes along with running environments: `start`, `step`, `reset`, `parts`.

    Args:
        reward: a transition reward, a plain function of transitions, or any algebra of those (sums, products, gates,
            cascades, ensembles, clip, squash, normalise, scheduled, kinesthetic, mix, the environment's own reward).
        count: number of environments; None to say so with `start`.

    Raises:
        CannotStep: a reward in it has no value at single transitions; the message names it and says why.
        TypeError: not a reward.
    """
    if not isinstance(reward, Reward):
        raise TypeError(
            f"expected a reward, got {type(reward).__name__}; make a function of observation, action, next_observation and "
            "terminated a reward with @rewardlab.reward"
        )
    stepping = OnlineReward(reward)
    if count is not None:
        stepping.start(count)
    return stepping


def node_of(reward: Reward, path: str = "") -> Node:
    """The tree of nodes that stands for a reward; see `online`."""
    if isinstance(reward, FunctionReward):
        if reward.per != "transition" or reward.is_async:
            raise CannotStep(_why(reward))
        return FunctionNode(reward, path)
    if isinstance(reward, EnvironmentReturn):
        if reward.discount != 1.0:
            raise CannotStep(
                f"{reward.label!r} cannot be stepped with discount {reward.discount}: on-line the learner discounts; "
                "leave its option 'discount' at 1"
            )
        return EnvironmentNode(reward, path)
    if isinstance(reward, Normalise) and reward.by != "running":
        raise CannotStep(
            f"{reward.label!r} cannot be stepped: it normalises by {reward.by}, which compares whole trajectories; "
            "normalise by 'running', or use RunningNormalise"
        )
    if isinstance(reward, (RunningNormalise, Normalise)):
        return RunningNode(reward, path, _children(reward, path)[0])
    if isinstance(reward, Lagrangian):
        return LagrangianNode(reward, path, _children(reward, path))
    if isinstance(reward, StatefulReward):
        return StatefulNode(reward, path)
    if type(reward) is Potential:
        return PotentialNode(reward, path, node_of(reward.phi))
    if isinstance(reward, TransitionReward):
        return TransitionNode(reward, path)
    if isinstance(reward, Cache):  # nothing comes twice on-line, so there is nothing to remember
        return Combination(reward, path, _children(reward, path), lambda values, progress: values[0])
    own, names = getattr(reward, "combine_transitions", None), tuple(reward.children())
    if own is not None:

        def combine(values: list[Floats], progress: float | None) -> Floats:
            return column(own(dict(zip(names, values, strict=True)), progress), len(values[0]), reward)

        return Combination(reward, path, _children(reward, path), combine)
    maker = next((MAKERS[kind] for kind in type(reward).__mro__ if kind in MAKERS), None)
    if maker is None:
        raise CannotStep(_why(reward))
    return Combination(reward, path, _children(reward, path), maker(reward))


def score_steps(reward: Reward, trajectories: Sequence[Trajectory], *, progress: float | None = None) -> Scores:
    """Score stored trajectories the way `online` values them as they happen: the algebra at each transition, then the sum.

    Args:
        reward: what `online` takes.
        trajectories: array trajectories.
        progress: share of training done, for scheduled rewards.

    Returns:
        Scores with `steps`, and every part by its name.
    """
    return score_node(node_of(reward), trajectories, progress)


def score_node(node: Node, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
    """Scores of stored trajectories by a node, all side by side in time."""
    label = node.reward.label
    reads_info = any(_reads_info(one.reward) for one in node.walk())
    notes: list[str | None] = [unusable(one, label=label, reads_info=reads_info) for one in trajectories]
    chosen = [index for index, note in enumerate(notes) if note is None]
    tables: dict[str, list[Floats | None]] = {"": [None] * len(trajectories)}
    if chosen:
        columns = transition_columns([trajectories[index] for index in chosen], reads_info=reads_info)
        earned = np.concatenate([trajectories[index].rewards for index in chosen])
        lengths = np.array([len(trajectories[index]) for index in chosen])
        for name, values in _play(node, columns, earned, lengths, progress).items():
            pieces = np.split(values, np.cumsum(lengths)[:-1])
            tables.setdefault(name, [None] * len(trajectories))
            for index, piece in zip(chosen, pieces, strict=True):
                tables[name][index] = piece
    whole = {name: _scores(steps, notes, name or label) for name, steps in tables.items()}
    scores = whole.pop("")
    for name, part in whole.items():  # parents come after their children, so find the place by the dots
        holder = scores
        *above, last = name.split(".")
        for step in above:
            holder = holder.parts.setdefault(step, whole[".".join(above)])
        holder.parts[last] = part
    return scores


def _play(
    node: Node, columns: Mapping[str, Any], earned: Floats, lengths: NDArray[np.intp], progress: float | None
) -> dict[str, Floats]:
    """Value of every transition by part name (the whole under ""); rows past a trajectory's end repeat its last one."""
    first = np.cumsum(lengths) - lengths
    table: dict[str, Floats] = {}
    state = node.start(len(lengths))
    for step in range(int(lengths.max())):
        alive = step < lengths
        rows = first + np.minimum(step, lengths - 1)
        now = tree_map(lambda column, rows=rows: column[rows], dict(columns))
        transition = Transition(**now, environment_reward=earned[rows], progress=progress)
        values, state = node.advance(state, transition)
        for name, part in {"": values, **transition.parts}.items():
            table.setdefault(name, np.full(len(earned), np.nan))[rows[alive]] = part[alive]
    return table


def _scores(steps: list[Floats | None], notes: list[str | None], label: str) -> Scores:
    values = np.full(len(steps), np.nan)
    status = np.full(len(steps), Status.FAILED, dtype=np.int8)
    own = list(notes)
    kept: list[Floats | None] = [None] * len(steps)
    for index, piece in enumerate(steps):
        if piece is None:
            continue
        wrong = np.flatnonzero(~np.isfinite(piece))
        if wrong.size:
            own[index] = f"{label} returned {piece[wrong[0]]} at step {wrong[0]}, which is not a finite number"
        else:
            values[index], status[index], kept[index] = piece.sum(), Status.SCORED, piece
    return Scores(values=values, status=status, notes=own if any(own) else None, steps=kept)


def _children(reward: Reward, path: str) -> list[Node]:
    return [node_of(child, f"{path}.{name}" if path else name) for name, child in reward.children().items()]


def _reads_info(reward: Reward) -> bool:
    if isinstance(reward, FunctionReward):
        return "info" in reward._arguments()
    return bool(getattr(reward, "reads_info", False))


def _reads_progress(reward: Reward) -> bool:
    return isinstance(reward, FunctionReward) and "progress" in reward._arguments()


def _like(old: Any, new: NDArray[Any]) -> Any:
    """A stored leaf as what it was: an array of the same kind, or a plain number."""
    return np.asarray(new, dtype=old.dtype).copy() if isinstance(old, np.ndarray) else type(old)(new.item())


def _why(reward: Reward) -> str:
    """Why a reward has no value at single transitions."""
    from rewardlab.rewards.base import Verifier

    if isinstance(reward, FunctionReward):
        reason = (
            "it is a coroutine, and no environment waits for one"
            if reward.is_async
            else f"it is a function of a whole {reward.per}; one that names observation or next_observation among its "
            "arguments is a function of transitions, and @rewardlab.reward(per='transition') makes any other one"
        )
    elif isinstance(reward, Verifier):
        reason = "it checks a finished chat against its reference, and environments give array transitions"
    elif reward.children():
        reason = (
            f"{type(reward).__name__} combines whole trajectories; define combine_transitions(values, progress) on it, with "
            "values a dict of float[N] by part, to say what it does at one transition"
        )
    else:
        reason = (
            f"{type(reward).__name__} scores whole trajectories; a reward inside an environment is a TransitionReward, a "
            "StatefulReward, or a function of transitions"
        )
    return f"{reward.label!r} cannot be stepped: {reason}"
