"""Team spirit: how much of a player's reward is that of its team, and how much the opponents' reward costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.rewards.algebra.combine import join_notes
from rewardlab.rewards.base import Reward
from rewardlab.rewards.spec import register
from rewardlab.types import Scores, Status, Trajectory, group_indices


@register("team_spirit")
@dataclass(frozen=True, kw_only=True)
class TeamSpirit(Reward):
    """A reward shared in a team: `(1 - spirit) * own + spirit * mean(team) - mean(opponents)`.

    The trajectories of one group are the players of one match. Where the reward gives values for single steps, they are
    shared step by step, and all players of a match must have as many. Where one player of a match failed, so do all.

    Args:
        reward: what each player gets on its own.
        teams: for each player of a match, in the order of the group, the name of its team.
        spirit: share of the team's mean in what a player gets, in [0, 1].
    """

    reward: Reward
    teams: tuple[str, ...]
    spirit: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.spirit <= 1.0:
            raise ValueError(f"TeamSpirit: option 'spirit' must be in [0, 1], got {self.spirit}")

    def children(self) -> dict[str, Reward]:  # noqa: D102 - documented on Reward
        return {self.reward.label.replace(".", "_"): self.reward}

    @property
    def group_wise(self) -> bool:  # noqa: D102
        return True

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        ((name, child),) = self.children().items()
        inner = child._score(trajectories, progress)
        values, status = inner.values.copy(), inner.status.copy()
        steps = None if inner.steps is None else list(inner.steps)
        extra: dict[int, str] = {}
        for members in group_indices(trajectories):
            if len(members) != len(self.teams):
                raise ValueError(
                    f"{self.label}: a match has {len(members)} players, but option 'teams' names {len(self.teams)}; the "
                    "players of a match are the trajectories with the same group"
                )
            if inner.status[members].any():
                status[members] = np.int8(Status.FAILED)
                extra.update({int(index): "a player of the match has no value" for index in members})
                continue
            values[members] = shared_rewards(inner.values[members], self.teams, self.spirit)
            if steps is not None:
                own = [steps[index] for index in members]
                lengths = {None if one is None else len(one) for one in own}
                if len(lengths) > 1 or None in lengths:
                    raise ValueError(
                        f"{self.label}: the players of a match have {lengths} steps, expected as many each"
                    )
                together = shared_rewards(np.stack(own, axis=-1), self.teams, self.spirit)
                for place, index in enumerate(members):
                    steps[index] = together[:, place]
        parts = {name: inner}
        values = np.where(status == Status.SCORED, values, np.nan)
        return Scores(values=values, status=status, notes=join_notes(parts, status, extra), steps=steps, parts=parts)


def team_spirit(reward: Reward, teams: Sequence[str], spirit: float = 0.3) -> TeamSpirit:
    """A reward shared in a team; see `TeamSpirit`."""
    return TeamSpirit(reward=reward, teams=tuple(teams), spirit=spirit)


def shared_rewards(rewards: ArrayLike, teams: Sequence[str], spirit: float = 0.3) -> NDArray[np.float64]:
    """Rewards of players after sharing: `(1 - spirit) * own + spirit * mean(team) - mean(opponents)`.

    Args:
        rewards: float[..., player].
        teams: the team of each player; where there is only one, the opponents' mean is 0.
        spirit: in [0, 1].

    Returns:
        float64[..., player].

    Raises:
        ValueError: another number of players than of teams, or a spirit out of range.
    """
    own = np.asarray(rewards, dtype=np.float64)
    if not own.ndim or own.shape[-1] != len(teams):
        raise ValueError(
            f"rewards must have shape [..., {len(teams)}], one for each of the teams' players, got {own.shape}"
        )
    if not 0.0 <= spirit <= 1.0:
        raise ValueError(f"spirit must be in [0, 1], got {spirit}")
    names = np.asarray(teams)
    shared = np.empty_like(own)
    for team in dict.fromkeys(teams):
        inside = names == team
        theirs = own[..., inside]
        opponents = own[..., ~inside].mean(axis=-1, keepdims=True) if not inside.all() else 0.0
        shared[..., inside] = (1 - spirit) * theirs + spirit * theirs.mean(axis=-1, keepdims=True) - opponents
    return shared
