"""A reward as a table of states and actions, over state numbers or whatever a discretiser makes of observations."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require
from rewardlab.rewards.spec import register
from rewardlab.rewards.transitions import TransitionReward


@register("table")
@dataclass(frozen=True, kw_only=True)
class TableReward(TransitionReward):
    """The entry of a table for the state and the action.

    Args:
        values: a row for each state with a number for each action.
        discretise: observations [N, ...] -> int[N], the row of each; None where observations are state numbers.
        actions: names of the actions, for the printed table.
        states: names of the states, for the printed table.
    """

    values: tuple[tuple[float, ...], ...]
    discretise: Callable[..., Any] | None = None
    actions: tuple[str, ...] = ()
    states: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        widths = {len(row) for row in self.values}
        if len(widths) != 1 or widths == {0}:
            raise ValueError(
                f"TableReward: option 'values' must be rows of one length, got the lengths {sorted(widths) or 'none'}"
            )
        if not np.isfinite(self.array).all():
            state, action = np.argwhere(~np.isfinite(self.array))[0]
            raise ValueError(
                f"TableReward: option 'values' holds {self.array[state, action]} at state {state}, action {action}, "
                "expected finite numbers"
            )
        for option, count in (("actions", self.array.shape[1]), ("states", self.array.shape[0])):
            given = getattr(self, option)
            if given and len(given) != count:
                raise ValueError(f"TableReward: option {option!r} has {len(given)} names, expected {count}")

    @functools.cached_property
    def array(self) -> NDArray[np.float64]:
        """The values as float64[state, action]."""
        return np.array(self.values, dtype=np.float64)

    def transition(  # noqa: D102 - documented on TransitionReward
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        rows = np.asarray(observation if self.discretise is None else self.discretise(observation))
        columns = np.asarray(action)
        for what, index, size, hint in (
            ("state", rows, len(self.values), "; give discretise= for continuous observations"),
            ("action", columns, self.array.shape[1], "; a table has a column for each discrete action"),
        ):
            if index.ndim != 1 or index.dtype.kind not in "iu":
                raise ValueError(
                    f"{self.label} needs {what} numbers, int[N], got {index.dtype}{list(index.shape)}{hint}"
                )
            if index.size and not (index.min() >= 0 and index.max() < size):
                raise ValueError(f"{self.label} has {size} {what}s, got {what} {index.max()}")
        return np.asarray(self.array[rows, columns])

    def over(self, discretise: Callable[..., Any]) -> Self:
        """The same table over other observations.

        Args:
            discretise: observations [N, ...] -> int[N], the row of each.
        """
        return replace(self, discretise=discretise)

    def table(self) -> str:
        """The rows that are not all zero, as Markdown."""
        columns = self.actions or tuple(str(action) for action in range(self.array.shape[1]))
        names = self.states or tuple(str(state) for state in range(len(self.values)))
        lines = [f"| state | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        for name, row in zip(names, self.array, strict=True):
            if np.abs(row).max() > 0:
                lines.append(f"| {name} | {' | '.join(f'{value:.4g}' for value in row)} |")
        return "\n".join(lines)

    def plot(self, path: str | Path) -> Path:
        """The table as a picture: a row of colours for each action, a column for each state."""
        require("matplotlib", extra="plot", why="TableReward.plot")
        from matplotlib.figure import Figure

        bound = float(np.abs(self.array).max()) or 1.0
        figure = Figure(
            figsize=(max(4.0, 0.22 * len(self.values)), 0.5 * self.array.shape[1] + 1.2), layout="constrained"
        )
        axes = figure.subplots()
        picture = axes.imshow(self.array.T, cmap="RdBu", vmin=-bound, vmax=bound, aspect="auto")
        axes.set(xlabel="state", ylabel="action")
        axes.set_yticks(range(self.array.shape[1]), self.actions or [str(k) for k in range(self.array.shape[1])])
        figure.colorbar(picture, label="reward")
        figure.savefig(path)
        return Path(path)
