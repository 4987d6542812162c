"""Step rewards from a progress estimator: contributions that add up to what the outcome is expected to be."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require
from rewardlab.registry import SpecError
from rewardlab.rewards.base import Reward
from rewardlab.rewards.models.model import files_digest
from rewardlab.rewards.spec import UnwritableReward, register
from rewardlab.types import Scores, Status, Trajectory

if TYPE_CHECKING:
    from rewardlab.rewards.models.network import Network

Exact = Literal["none", "rescale", "residual_last"]


@register("step_progress")
@dataclass(frozen=True, kw_only=True)
class StepProgress(Reward):
    """What a fitted progress estimator says that each step contributed; `Scores.steps` holds it, the value is its sum.

    Do not add the final reward to it: it is inside the sum already.

    Args:
        path: of the directory that `ProgressEstimator.save` wrote; None for an estimator in memory
            (`ProgressEstimator.reward`).
        digest: of the files in it; when given, loading refuses other files.
        weight: what contributions are multiplied by.
        exact: "none" leaves the sum as it is; "residual_last" adds what is missing to the outcome to the last step, so that
            the return is exactly right; "rescale" spreads it equally over the steps.
        outcome: the reward whose value is the outcome, for `exact`.
    """

    path: str | None = None
    digest: str | None = None
    weight: float = 1.0
    exact: Exact = "none"
    outcome: Reward | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.exact not in ("none", "rescale", "residual_last"):
            raise ValueError(f"exact must be none, rescale or residual_last, got {self.exact!r}")
        if (self.outcome is None) != (self.exact == "none"):
            raise ValueError(
                f"exact={self.exact!r} and outcome={'None' if self.outcome is None else 'a reward'} do not go together: "
                "give the reward whose value the contributions are to add up to, and exact='residual_last' or 'rescale'"
            )

    @classmethod
    def around(cls, network: Network, **options: Any) -> StepProgress:
        """The reward of a network that is in memory."""
        reward = cls(**options)
        reward.__dict__["network"] = network
        return reward

    @functools.cached_property
    def network(self) -> Network:
        """The encoder and the head; read from disk on first use."""
        if self.path is None:
            raise SpecError("step_progress needs the option 'path': the directory that ProgressEstimator.save wrote")
        require("torch", extra="torch", why="A progress estimator")
        from rewardlab.rewards.models.network import Network

        if self.digest is not None and (found := files_digest(self.path)) != self.digest:
            raise SpecError(f"the files in {self.path} are not those of this spec: their digest is {found}")
        return Network.load(Path(self.path))

    @property
    def deterministic(self) -> bool:
        """Scores do not change while the weights do not."""
        return self.outcome is None or self.outcome.deterministic

    def children(self) -> dict[str, Reward]:
        """The outcome, where it is asked for."""
        return {} if self.outcome is None else {"outcome": self.outcome}

    def to_spec(self) -> dict[str, Any]:
        """The spec, which names the directory and its content.

        Raises:
            UnwritableReward: the estimator has not been saved.
        """
        if self.path is None:
            raise UnwritableReward("this progress estimator is only in memory; write it with estimator.save(directory)")
        return super().to_spec()

    def saved_at(self, directory: str | Path) -> StepProgress:
        """The same reward, reading from a directory that holds its network."""
        changed = replace(self, path=str(directory), digest=files_digest(directory))
        changed.__dict__["network"] = self.network
        return changed

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        network, count = self.network, len(trajectories)
        if not network.about.get("learned", True):
            return Scores.blank(count, Status.ABSTAINED, "the estimator has learned nothing: all outcomes were equal")
        status = np.full(count, Status.SCORED, dtype=np.int8)
        notes: list[str | None] = [None] * count
        for index, trajectory in enumerate(trajectories):
            if not len(trajectory):
                status[index], notes[index] = Status.FAILED, "the trajectory is empty: it has no actions to score"
        found = self.outcome(trajectories, progress=progress) if self.outcome is not None else None
        if found is not None:
            for index in np.flatnonzero(~found.scored & (status == Status.SCORED)).tolist():
                status[index], notes[index] = found.status[index], found.note(index)
        good = np.flatnonzero(status == Status.SCORED).tolist()
        values = np.full(count, np.nan)
        steps: list[NDArray[np.float64] | None] = [None] * count
        for index, row in zip(good, contributions(network, [trajectories[index] for index in good]), strict=True):
            if row.shape != (len(trajectories[index]),):
                status[index] = Status.FAILED
                notes[index] = (
                    f"the encoder reads {len(row)} steps in a trajectory of {len(trajectories[index])} actions (a turn "
                    "without text, or a text that is longer than it reads), so there is no contribution for each"
                )
                continue
            if found is not None:
                row = made_exact(row, float(found.values[index]), self.exact)
            steps[index] = self.weight * row
            values[index] = self.weight * row.sum()
        parts = {} if found is None else {"outcome": found}
        return Scores(values=values, status=status, notes=notes, steps=steps, parts=parts)


def made_exact(row: NDArray[np.float64], outcome: float, exact: Exact) -> NDArray[np.float64]:
    """Contributions that add up to the outcome.

    Args:
        row: float64[step].
        outcome: what they are to add up to.
        exact: as for `StepProgress`.
    """
    if exact == "none" or not row.size:
        return row
    missing = outcome - row.sum()
    if exact == "rescale":
        return row + missing / row.size
    changed = row.copy()
    changed[-1] += missing
    return changed


def contributions(network: Network, trajectories: Sequence[Trajectory]) -> list[NDArray[np.float64]]:
    """What each step contributed, float64[step] for each trajectory, by a network with a `ContributionHead`."""
    import torch

    if not trajectories:
        return []
    context = network.about.get("context", "history")
    rows, owner = pieces(trajectories, context)
    with torch.no_grad():
        outputs = network.head.eval()(network.encode(rows))
    steps, mask = outputs["steps"].double().cpu().numpy(), outputs["mask"].cpu().numpy()
    if context == "history":
        return [row[there] for row, there in zip(steps, mask, strict=True)]
    last = [row[there][-1] if there.any() else np.nan for row, there in zip(steps, mask, strict=True)]
    return [np.asarray([last[place] for place in places], dtype=np.float64) for places in owner]


def pieces(trajectories: Sequence[Trajectory], context: str | int) -> tuple[list[Trajectory], list[list[int]]]:
    """What an encoder is given to read: whole trajectories, or for each step a piece that ends with it.

    Args:
        trajectories: whole ones.
        context: "history" for whole ones, "step" for each step by itself, or how many steps a piece has at most.

    Returns:
        The pieces, and for each trajectory the places of its pieces.
    """
    if context == "history":
        return list(trajectories), [[place] for place in range(len(trajectories))]
    window = 1 if context == "step" else int(context)
    made: list[Trajectory] = []
    owner = []
    for trajectory in trajectories:
        places = []
        for step in range(len(trajectory)):
            places.append(len(made))
            made.append(_piece(trajectory, max(0, step - window + 1), step))
        owner.append(places)
    return made, owner


def _piece(trajectory: Trajectory, first: int, last: int) -> Trajectory:
    """The steps from `first` to `last`; of a chat with the opening messages before them."""
    observations, actions = trajectory.observations[first : last + 2], trajectory.actions[first : last + 1]
    if trajectory.is_chat and first:
        observations = [[*trajectory.observations[0], *observations[0]], *observations[1:]]
    return Trajectory(observations=observations, actions=actions, task=trajectory.task)
