"""A `Lagrangian` on-line: rates are counted as environments run, and the multipliers move with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.formal.constraints import Constraint, Lagrangian
from rewardlab.rewards.online.nodes import Floats, Node, Transition


class LagrangianNode(Node):
    """The weighted sum of a reward and indicators.

    The state holds for each environment whether each behaviour was shown (and could be) in its trajectory, and over all
    environments the counts of the window and the multipliers.
    """

    reward: Lagrangian

    def __init__(self, reward: Lagrangian, path: str, children: Sequence[Node]) -> None:
        super().__init__(reward, path, children)
        self._inner = any(child.remembers for child in children)
        self.remembers = True
        self.lines: list[dict[str, Any]] = []
        constraints = [one for one in reward.constraints if isinstance(one, Constraint)]
        self._constraints = constraints
        self._by_step = np.array([one.per == "step" for one in constraints])

    def start(self, count: int) -> Any:  # noqa: D102 - documented on Node
        size = len(self._constraints)
        return {
            "inner": super().start(count) if self._inner else None,
            "shown": np.zeros((count, size), dtype=bool),
            "known": np.zeros((count, size), dtype=bool),
            "times": np.zeros(size),
            "of": np.zeros(size),
            "window": 0,
            "transitions": 0,
            "size": 0.0,
            "multipliers": self.reward.multipliers,
        }

    def advance(self, state: Any, transition: Transition) -> tuple[Floats, Any]:  # noqa: D102
        values: list[Floats] = []
        inner: list[Any] = []
        held = state["inner"] if self._inner else (None,) * len(self.children)
        for child, before in zip(self.children, held, strict=True):
            value, after = child.advance(before, transition)
            values.append(value)
            inner.append(after)
        indicators = np.stack(values[1:], axis=1)
        known = np.isfinite(indicators)
        if transition.real is not None:
            known &= transition.real[:, None]
        present = np.where(known, indicators, 0.0)
        paid = np.where(self._by_step, present, present * ~state["shown"])  # per trajectory: the first time only
        for child, column in zip(self.children, [values[0], *paid.T], strict=True):
            transition.parts[child.path] = column
        weights = self.reward.weights_of(state["multipliers"])
        real = len(known) if transition.real is None else int(transition.real.sum())
        following = {
            **state,
            "inner": tuple(inner) if self._inner else None,
            "shown": state["shown"] | (present > 0),
            "known": state["known"] | known,
            "times": state["times"] + np.where(self._by_step, present.sum(0), 0.0),
            "of": state["of"] + np.where(self._by_step, known.sum(0), 0.0),
            "window": state["window"] + real,
            "transitions": state["transitions"] + real,
            "size": state["size"] + float(np.nansum(np.abs(values[0]))),
        }
        if self.reward.learn and following["window"] >= self.reward.every:
            following = self._move(following)
        return values[0] * weights[0] + paid @ weights[1:], following

    def _move(self, state: dict[str, Any]) -> dict[str, Any]:
        of = state["of"]
        rates = np.where(of > 0, state["times"] / np.maximum(of, 1.0), np.nan)
        after, line = self.reward.move(state["multipliers"], rates)
        self.lines.append({"steps": state["transitions"], **line})
        zeros = np.zeros(len(of))
        return {**state, "multipliers": after, "times": zeros, "of": zeros, "window": 0}

    def reset(self, state: Any, mask: NDArray[np.bool_]) -> Any:  # noqa: D102
        ended = mask[:, None] & state["known"] & ~self._by_step
        return {
            **state,
            "inner": super().reset(state["inner"], mask) if self._inner else None,
            "shown": state["shown"] & ~mask[:, None],
            "known": state["known"] & ~mask[:, None],
            "times": state["times"] + (ended & state["shown"]).sum(0),
            "of": state["of"] + ended.sum(0),
        }

    def settle(self, state: Any) -> None:  # noqa: D102
        size = state["size"] / state["transitions"] if state["transitions"] else float("nan")
        self.reward.settle(state["multipliers"], self.lines, size)
        self.lines = []
        if self._inner:
            super().settle(state["inner"])
