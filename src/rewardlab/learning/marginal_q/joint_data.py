"""Demonstrations of several agents: one trajectory for each agent, held together by `group`, and how a joint log is split.

Agents act at once, so every agent of an episode must have every step. A log in which one of them is missing is refused with
episode, step and agent, because a critic that is fed with a gap learns that the others stood still.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.types import Trajectory
from rewardlab.types.trees import tree_map

MASK = "action_mask"
SEEN = "observation"


def split_joint(
    observations: Sequence[Mapping[Any, Any]],
    actions: Sequence[Mapping[Any, Any]],
    rewards: Sequence[Mapping[Any, float]] | None = None,
    *,
    episode: str,
    terminated: bool | Mapping[Any, bool] = False,
    truncated: bool = False,
) -> list[Trajectory]:
    """Split the joint log of one episode into a trajectory for each agent.

    Args:
        observations: T + 1 of them, agent -> what it saw, as a PettingZoo parallel environment gives them. What an
            agent sees may be a dict with `observation` and `action_mask`.
        actions: T of them, agent -> what it did.
        rewards: T of them, agent -> what it earned, or None.
        episode: its name, which becomes the `group` of all its trajectories.
        terminated: whether the environment ended it, for all or for each agent; the end of a time limit is `truncated`.
        truncated: whether a limit ended it.

    Returns:
        A trajectory for each agent, in the order of the first observation; `info["agent"]` is its number, `info["name"]` its
        name.

    Raises:
        ValueError: an agent is missing at a step, or the lengths do not fit; episode and step are named.
    """
    if not observations:
        raise ValueError(f"episode {episode!r}: the joint log has no observations; give T + 1 of them")
    names = list(observations[0])
    wanted = [("observations", observations, len(actions) + 1), ("actions", actions, len(actions))]
    if rewards is not None:
        wanted.append(("rewards", rewards, len(actions)))
    for what, column, count in wanted:
        if len(column) != count:
            raise ValueError(
                f"episode {episode!r}: the joint log has {len(actions)} steps of actions and {len(column)} "
                f"of {what}; expected "
                f"{count}"
            )
        for step, row in enumerate(column):
            for name in names:
                if name not in row:
                    raise ValueError(
                        f"episode {episode!r}, step {step}: the joint log lacks the {what} of agent "
                        f"{name!r}; agents that leave "
                        "early are not supported: cut the episode there, or record a no-op until its end"
                    )
            for name in row:
                if name not in names:
                    raise ValueError(
                        f"episode {episode!r}, step {step}: {what} of an agent {name!r} that was not there at the start "
                        f"({', '.join(map(repr, names))})"
                    )
    return [
        Trajectory(
            observations=tree_map(lambda *rows: np.stack(rows), *[_plain(row[name]) for row in observations]),
            actions=np.array([row[name] for row in actions]),
            rewards=None if rewards is None else np.array([row[name] for row in rewards], dtype=np.float64),  # type: ignore[arg-type]
            terminated=bool(terminated[name]) if isinstance(terminated, Mapping) else terminated,
            truncated=truncated,
            group=episode,
            info={"agent": number, "name": str(name)},
        )
        for number, name in enumerate(names)
    ]


def _plain(seen: Any) -> Any:
    if isinstance(seen, Mapping):
        return {name: np.asarray(value) for name, value in seen.items()}
    return np.asarray(seen)


@dataclass(frozen=True)
class Episode:
    """One episode: the trajectories of its agents in their order."""

    name: str
    agents: tuple[Trajectory, ...]


def episodes_of(demonstrations: Sequence[Trajectory], agents: int) -> list[Episode]:
    """Put the trajectories of all agents of an episode together, and check that every agent has every step.

    Args:
        demonstrations: with `group` naming the episode, and `info["agent"]` the number of the agent where the order in the
            list does not say it.
        agents: how many there are.

    Raises:
        ValueError: no demonstrations, no group, an agent too many or too few, steps that differ, or actions that are not
            discrete; the episode is named.
    """
    if isinstance(demonstrations, Trajectory):
        raise TypeError(
            "demonstrations must be a list of trajectories, one for each agent and episode; got one Trajectory"
        )
    if not len(demonstrations):
        raise ValueError("there are no demonstrations; give a trajectory for each agent of at least one episode")
    found: dict[str, dict[int, Trajectory]] = {}
    for number, one in enumerate(demonstrations):
        if one.group is None:
            raise ValueError(
                f"demonstration {number} has no group; give all trajectories of one episode the same "
                f"group, or split a joint "
                "log with split_joint"
            )
        if one.is_chat:
            raise TypeError(f"demonstration {number} is a chat, expected arrays of observations and actions")
        members = found.setdefault(one.group, {})
        agent = int(one.info.get("agent", len(members)))
        if agent in members or not 0 <= agent < agents:
            why = "is there twice" if agent in members else f"is not among 0..{agents - 1}"
            raise ValueError(
                f"episode {one.group!r}: agent {agent} {why}; info['agent'] says which agent a trajectory is of"
            )
        members[agent] = one
    episodes = []
    for name, members in found.items():
        missing = [agent for agent in range(agents) if agent not in members]
        if missing:
            raise ValueError(
                f"episode {name!r}: no trajectory of agent {missing[0]}; it has {len(members)} of {agents} agents"
            )
        lengths = [len(members[agent]) for agent in range(agents)]
        if min(lengths) != max(lengths):
            short, long = int(np.argmin(lengths)), int(np.argmax(lengths))
            raise ValueError(
                f"episode {name!r}, step {lengths[short]}: agent {short} has {lengths[short]} steps and agent {long} has "
                f"{lengths[long]}; all agents must act until the end: cut the episode there, or record a no-op"
            )
        if not lengths[0]:
            raise ValueError(f"episode {name!r} has no actions; leave it out")
        for agent, one in members.items():
            done = np.asarray(one.actions)
            if done.ndim != 1 or done.dtype.kind not in "iu":
                raise ValueError(
                    f"episode {name!r}: the actions of agent {agent} have shape {done.shape[1:]} and type {done.dtype}; "
                    "MarginalQ takes discrete actions, whole numbers from 0"
                )
        episodes.append(Episode(name, tuple(members[agent] for agent in range(agents))))
    return episodes


def seen_and_mask(observations: Any) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """What an agent saw, and which actions it could take where it was told.

    Raises:
        TypeError: a dict with other keys than `observation` and `action_mask`.
    """
    if not isinstance(observations, Mapping):
        return np.asarray(observations), None
    if set(observations) != {SEEN, MASK}:
        raise TypeError(
            f"observations are a dict with the keys {', '.join(map(repr, observations))}; expected "
            f"{SEEN!r} and {MASK!r}, or flat "
            "arrays: flatten them first"
        )
    return np.asarray(observations[SEEN]), np.asarray(observations[MASK]).astype(bool)


def coordination(demonstrations: Sequence[Trajectory], agents: int, *, seed: int = 0) -> dict[str, float]:
    """How much the agents' actions tell of one another beyond what the state tells: nats, against a shuffled copy.

    Marginal policies are independent given the state. Agents that follow a signal which the state does not hold cannot be
    imitated by them. Only states that were seen more than once count; the estimate of a copy whose actions are shuffled
    within each state is taken off, because small samples look dependent.

    Args:
        demonstrations: as for `MarginalQ`.
        agents: how many.
        seed: of the shuffling.

    Returns:
        `excess`, mutual information in nats of the first agent's action with the others', less the shuffled one, and
        `share`, the share of steps in states that were seen more than once. `excess` is 0 where there are none, or
        where one of twenty shuffled copies tells as much.
    """
    keys: list[bytes] = []
    rows: list[tuple[int, ...]] = []
    for episode in episodes_of(demonstrations, agents):
        parts = [seen_and_mask(one.observations)[0] for one in episode.agents]
        for step in range(len(episode.agents[0])):
            keys.append(b"|".join(np.ascontiguousarray(part[step]).tobytes() for part in parts))
            rows.append(tuple(int(one.actions[step]) for one in episode.agents))
    _, state, counts = np.unique(np.array(keys, dtype=object).astype(bytes), return_inverse=True, return_counts=True)
    table = np.array(rows)
    own, others = table[:, 0], np.unique(table[:, 1:], axis=0, return_inverse=True)[1].reshape(-1)
    again = counts[state] > 1
    if not again.any():
        return {"excess": 0.0, "share": 0.0}
    own, others, state = own[again], others[again], state[again]
    generator = np.random.default_rng(seed)
    shuffled = []
    for _ in range(20):
        order = np.lexsort((generator.random(len(state)), state))
        mixed = np.empty_like(others)
        mixed[np.argsort(state, kind="stable")] = others[order]
        shuffled.append(_information(state, own, mixed))
    found = _information(state, own, others)
    beyond = found > max(shuffled)  # a shuffled copy that tells as much says that chance explains it
    return {"excess": found - float(np.mean(shuffled)) if beyond else 0.0, "share": float(again.mean())}


def _information(state: NDArray[Any], left: NDArray[Any], right: NDArray[Any]) -> float:
    """Mutual information of two columns given a third, in nats, by counting."""

    def entropy(*columns: NDArray[Any]) -> float:
        counts = np.unique(np.stack(columns), axis=1, return_counts=True)[1]
        return float(-(counts / counts.sum() * np.log(counts / counts.sum())).sum())

    return entropy(state, left) + entropy(state, right) - entropy(state, left, right) - entropy(state)
