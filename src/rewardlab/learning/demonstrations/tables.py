"""Policies and rewards of finite worlds: a number for each state and action."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.transitions import TransitionReward


@dataclass(kw_only=True, eq=False)
class TablePolicy:
    """A policy that looks its probabilities up.

    Args:
        probabilities: float64[S, A], rows sum to 1.
        seed: of the actions that are drawn when `act` is not deterministic.
    """

    probabilities: NDArray[np.float64]
    seed: int = 0

    kind: ClassVar[str] = "table_policy"

    def __post_init__(self) -> None:
        self.generator = np.random.default_rng(self.seed)

    def act(self, observations: Any, deterministic: bool = False) -> NDArray[np.int64]:
        """Actions int64[N] for states int[N]."""
        chances = self.probabilities[np.asarray(observations).reshape(-1).astype(np.int64)]
        if deterministic:
            return chances.argmax(1)
        drawn: NDArray[np.int64] = (chances.cumsum(1) < self.generator.random((len(chances), 1))).sum(1)
        return np.minimum(drawn, chances.shape[1] - 1)

    def stored(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Options and arrays, from which `from_stored` builds the policy again."""
        return {"seed": self.seed}, {"probabilities": self.probabilities}

    @classmethod
    def from_stored(cls, options: dict[str, Any], arrays: dict[str, np.ndarray]) -> TablePolicy:
        """Build a policy from what `stored` gave."""
        return cls(probabilities=arrays["probabilities"], **options)


@dataclass(frozen=True, kw_only=True)
class TableReward(TransitionReward):
    """A reward that stands in a table of states and actions; make one with `TableReward.around(table)`."""

    kind: ClassVar[str] = "table_reward"

    @classmethod
    def around(cls, table: NDArray[np.float64], **options: Any) -> Self:
        """A reward of float64[S, A]."""
        reward = cls(**options)
        reward.__dict__["table"] = np.asarray(table, dtype=np.float64)
        return reward

    @cached_property
    def spec_hash(self) -> str | None:
        """None: what it gives is in its table, which no spec names."""
        return None

    @property
    def table_values(self) -> NDArray[np.float64]:
        """float64[S, A]."""
        values: NDArray[np.float64] = self.__dict__["table"]
        return values

    def named(self, name: str) -> Self:
        """The same reward under another name."""
        changed = replace(self, name=name)
        changed.__dict__["table"] = self.table_values
        return changed

    def transition(
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """See `TransitionReward.transition`."""
        found: NDArray[np.float64] = self.table_values[
            np.asarray(observation).reshape(-1).astype(np.int64), np.asarray(action).reshape(-1).astype(np.int64)
        ]
        return found

    def stored(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Options and arrays, from which `from_stored` builds the reward again."""
        return {}, {"table": self.table_values}

    @classmethod
    def from_stored(cls, options: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        """Build a reward from what `stored` gave."""
        return cls.around(arrays["table"], **options)
