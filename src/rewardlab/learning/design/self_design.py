"""ExploRS: an agent designs its own reward, by exploration-guided meta-learning (Devidze, Kamalaruban & Singla 2022).

The reward is the original one plus two parts: a bonus for states that were seldom left, and a learned part `phi(s, a)` that
follows the gradient of the *original* return through the learner's next step. With the bonus alone it is a count bonus, with
the learned part alone it is SelfRS, and with neither it is the original reward; strengths are given by copy, so that all
four run in one array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.learning.design.counting import Count, TabularCount
from rewardlab.learning.design.designer import Designer, Episodes, Floats, check_discount, scatter

if TYPE_CHECKING:
    from rewardlab.learning.design.neural import NeuralExploRS

Q_CLIP = 0.01
"""What the learned part is held within for a Q learner, which follows values and not gradients (the authors' code)."""


class ExploRS(Designer):
    """The tabular form, for any number of copies.

    Args:
        states: number of states.
        actions: number of actions.
        copies: independent designers.
        discount: of the original return.
        rate: step of the learned part, a number or float[copy]; 0 leaves it out.
        bonus: strength of the bonus (lambda), a number or float[copy]; 0 leaves it out.
        maximum: what the bonus of a state that was never left is (B_max).
        baseline_rate: step of the baseline, which is fitted to the original return.
        clip: bound on the learned part; None for none.
        every: episodes between updates.
        count: cells that are counted; the state numbers by default.
    """

    arrays: ClassVar[tuple[str, ...]] = ("designed", "baseline", "counts")

    def __init__(
        self,
        *,
        states: int,
        actions: int,
        copies: int = 1,
        discount: float = 0.99,
        rate: ArrayLike = 0.01,
        bonus: ArrayLike = 1.0,
        maximum: float = 1.0,
        baseline_rate: float = 0.01,
        clip: float | None = None,
        every: int = 5,
        count: Count | None = None,
    ) -> None:
        check_discount(discount)
        if maximum <= 0:
            raise ValueError(f"maximum must be positive, got {maximum}; bonus=0 leaves the bonus out")
        self.states, self.actions, self.copies, self.every = states, actions, copies, every
        self.discount, self.baseline_rate, self.clip = discount, baseline_rate, clip
        self.count: Count = count or TabularCount(states)
        self.rate: Floats = np.broadcast_to(np.asarray(rate, dtype=np.float64), (copies,))
        self.bonus: Floats = np.broadcast_to(np.asarray(bonus, dtype=np.float64), (copies,))
        self.designed: Floats = np.zeros((copies, states, actions))
        self.baseline: Floats = np.zeros((copies, states))
        self.counts: Floats = np.zeros((copies, self.count.size))
        self._floor = np.where(self.bonus > 0, (self.bonus / maximum) ** 2, 1.0)
        self._rows = np.arange(copies)

    def shape(  # noqa: D102 - documented on Designer
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
        reward: Floats,
    ) -> Floats:
        seen = self.counts[self._rows, self.count.index(next_observation)]
        bonus = self.bonus / np.sqrt(self._floor + seen)
        self.counts[self._rows, self.count.index(observation)] += 1.0  # states are counted as they are left
        return reward + self.designed[self._rows, observation, action] + bonus * ~terminated

    def update(self, episodes: Episodes, policy: Floats | None = None) -> None:
        """One step of the learned part and of the baseline; sums over the window for the first, means for the second."""
        gained = episodes.returns(self.discount)
        surplus = np.where(
            episodes.present, gained - self.baseline[self._rows, episodes.observations], 0.0
        )  # never the designed return: the reward would praise itself
        chosen = np.take_along_axis(episodes.probabilities, episodes.actions[..., None], -1)[..., 0]
        weight = surplus * chosen
        shape = (self.copies, self.states, self.actions)
        step = scatter(*shape, (episodes.observations, episodes.actions), weight)
        for action in range(self.actions):
            spread = weight * episodes.probabilities[..., action]
            step -= scatter(*shape, (episodes.observations, np.full_like(episodes.actions, action)), spread)
        self.designed = self.designed + self.rate[:, None, None] * step
        if self.clip is not None:
            self.designed = np.clip(self.designed, -self.clip, self.clip)
        steps = np.maximum(episodes.present.sum(axis=(0, 1)), 1)
        error = scatter(self.copies, self.states, 1, (episodes.observations, np.zeros_like(episodes.actions)), surplus)
        self.baseline = self.baseline + self.baseline_rate * error[..., 0] / steps[:, None]


def explors(
    *,
    actions: int,
    states: int | None = None,
    features: int | None = None,
    count: Count | None = None,
    learner: Literal["policy_gradient", "q"] = "policy_gradient",
    clip: float | None = None,
    discount: float = 0.99,
    bonus: float = 1.0,
    every: int | None = None,
    seed: int = 0,
    **options: Any,
) -> ExploRS | NeuralExploRS:
    """A self-designing reward, tabular where the world has state numbers and a small network where it has feature vectors.

    Args:
        actions: number of actions; they must be discrete.
        states: number of states, for a tabular world.
        features: how many numbers an observation has, for any other world.
        count: `TabularCount`, `GridCount`, `HashCount` or `CallableCount`; needed with `features`, because continuous states
            do not repeat.
        learner: "q" holds the learned part within .01, as the authors do.
        clip: another bound on the learned part.
        discount: of the original return.
        bonus: strength of the exploration bonus.
        every: episodes between updates; 5 for tables and 20 for networks when not given.
        seed: of the network.
        options: further options of `ExploRS` or `NeuralExploRS`.

    Raises:
        ValueError: neither or both of `states` and `features`, or continuous states without an abstraction to count by.
    """
    if (states is None) == (features is None):
        raise ValueError(
            f"give states= (a table) or features= (a network), got states={states} and features={features}"
        )
    if learner not in ("policy_gradient", "q"):
        raise ValueError(f"learner must be 'policy_gradient' or 'q', got {learner!r}")
    if states is not None:
        bound = Q_CLIP if clip is None and learner == "q" else clip
        return ExploRS(
            states=states,
            actions=actions,
            count=count,
            clip=bound,
            discount=discount,
            bonus=bonus,
            every=every or 5,
            **options,
        )
    assert features is not None  # one of the two was given
    if bonus > 0 and (count is None or isinstance(count, TabularCount)):
        raise ValueError(
            f"continuous observations ({features} features) never repeat, so counting them needs an abstraction: "
            "give count=HashCount(features) or count=CallableCount(function, size)"
        )
    from rewardlab.learning.design.neural import NeuralExploRS

    return NeuralExploRS(
        features=features,
        actions=actions,
        count=count,
        clip=(Q_CLIP if learner == "q" else 0.1) if clip is None else clip,
        discount=discount,
        bonus=bonus,
        every=every or 20,
        seed=seed,
        **options,
    )
