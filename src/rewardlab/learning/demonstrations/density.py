"""Density rewards: a transition is worth as much as the demonstrations are dense around it.

The density is fitted once and never learned along with an agent, so there is nothing that could be unstable; it knows
nothing of consequences either.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require
from rewardlab.learning.demonstrations.base import Imitation, Run, positive
from rewardlab.learning.demonstrations.options import PPOOptions
from rewardlab.learning.demonstrations.spaces import SpaceCode
from rewardlab.rewards.transitions import TransitionReward

Reads = Literal["s", "sa", "ss"]


@dataclass(frozen=True, kw_only=True)
class DensityOfDemonstrations(TransitionReward):
    """Logarithm of a kernel density at a transition, shifted and scaled to mean 0 and deviation 1 on the demonstrations.

    Args:
        reads: the state ("s"), state and action ("sa"), or the state and the next ("ss").
        kernel: a kernel of scikit-learn.
        bandwidth: of the kernel, in standard deviations of the demonstrations.
        shift, scale: of the values.
        least: values below it (after scaling) are cut off, because far from all data a density says nothing.
    """

    reads: Reads = "sa"
    kernel: Literal["gaussian", "tophat", "epanechnikov", "exponential", "linear", "cosine"] = "gaussian"
    bandwidth: float = 0.5
    shift: float = 0.0
    scale: float = 1.0
    least: float = -10.0

    kind: ClassVar[str] = "density_reward"

    @classmethod
    def around(cls, points: NDArray[np.float32], codes: Any, mean: Any, spread: Any, **options: Any) -> Self:
        """A reward of standardised points, float32[N, width]."""
        reward = cls(**options)
        reward.__dict__.update(points=points, codes=codes, mean=mean, spread=spread)
        return reward

    @cached_property
    def spec_hash(self) -> str | None:
        """None: what it gives is in its points, which no spec names."""
        return None

    @cached_property
    def density(self) -> Any:
        """The fitted estimator of scikit-learn."""
        neighbours = require("sklearn.neighbors", extra="sklearn", why="A density reward")
        return neighbours.KernelDensity(kernel=self.kernel, bandwidth=self.bandwidth, rtol=1e-3).fit(
            self.__dict__["points"]
        )

    def rows(self, observation: Any, action: Any, next_observation: Any) -> NDArray[np.float32]:
        """Transitions as standardised rows."""
        seen, done = self.__dict__["codes"]
        parts = {"s": (observation,), "sa": (observation,), "ss": (observation, next_observation)}[self.reads]
        rows = [seen.encode(part) for part in parts]
        if self.reads == "sa":
            rows.append(done.encode(action))
        found: NDArray[np.float32] = (np.concatenate(rows, 1) - self.__dict__["mean"]) / self.__dict__["spread"]
        return found

    def transition(
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """See `TransitionReward.transition`."""
        values = self.density.score_samples(self.rows(observation, action, next_observation))
        clipped: NDArray[np.float64] = np.maximum((values - self.shift) / self.scale, self.least)
        return clipped

    def named(self, name: str) -> Self:
        """The same reward under another name."""
        return self._with(name=name)

    def _with(self, **changes: Any) -> Self:
        changed = replace(self, **changes)
        changed.__dict__.update({key: self.__dict__[key] for key in ("points", "codes", "mean", "spread")})
        return changed

    def stored(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Options and arrays, from which `from_stored` builds the reward again."""
        names = ("reads", "kernel", "bandwidth", "shift", "scale", "least")
        options: dict[str, Any] = {name: getattr(self, name) for name in names}
        options["codes"] = [code.describe() for code in self.__dict__["codes"]]
        return options, {name: self.__dict__[name] for name in ("points", "mean", "spread")}

    @classmethod
    def from_stored(cls, options: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        """Build a reward from what `stored` gave."""
        codes = [SpaceCode.from_description(code) for code in options.pop("codes")]
        return cls.around(arrays["points"], codes, arrays["mean"], arrays["spread"], **options)


@dataclass(frozen=True, kw_only=True)
class DensityReward(Imitation):
    """A kernel density of the demonstrations as reward, and PPO on it.

    Args:
        reads: what the density is of: the state ("s"), state and action ("sa"), or the state and the next ("ss").
        kernel: a kernel of scikit-learn's `KernelDensity`.
        bandwidth: in standard deviations of the demonstrations.
        points: the most transitions that are kept, drawn at random; scoring takes time in proportion.
        train: whether an agent is trained on it; without one the fit has a reward and no policy, and no step is made.
        ppo: options of the agent.
    """

    reads: Reads = "sa"
    kernel: Literal["gaussian", "tophat", "epanechnikov", "exponential", "linear", "cosine"] = "gaussian"
    bandwidth: float = 0.5
    points: int = 2_000
    train: bool = True
    ppo: PPOOptions = field(default_factory=PPOOptions)

    short_name: ClassVar[str] = "density"

    def __post_init__(self) -> None:
        positive("DensityReward", bandwidth=self.bandwidth, points=self.points)
        if self.reads not in ("s", "sa", "ss"):
            raise ValueError(f"DensityReward: option 'reads' must be 's', 'sa' or 'ss', got {self.reads!r}")

    def _fit(self, run: Run) -> dict[str, Any]:
        columns = run.columns
        order = np.random.default_rng([run.seed % 2**64, 4]).permutation(len(columns))
        kept, rest = order[: self.points], order[self.points :][: self.points]
        width = {"s": 1, "sa": 1, "ss": 2}[self.reads] * run.observation.width
        width += run.action.width if self.reads == "sa" else 0
        plain = DensityOfDemonstrations.around(
            np.zeros((0, width), np.float32),
            [run.observation, run.action],
            np.zeros(width, np.float32),
            np.ones(width, np.float32),
            reads=self.reads,
            kernel=self.kernel,
            bandwidth=self.bandwidth,
        )
        rows = plain.rows(columns.observation, columns.action, columns.next_observation)
        mean, deviation = rows.mean(0), rows.std(0)
        spread = np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)
        reward = plain._with()
        reward.__dict__.update(points=(rows[kept] - mean) / spread, mean=mean, spread=spread)
        # the scale is that of transitions that are not points themselves, where there are any
        judged = rest if len(rest) >= 30 else kept
        batch = (columns.observation[judged], columns.action[judged], columns.next_observation[judged])
        values = reward.density.score_samples(reward.rows(*batch))
        values = values[np.isfinite(values)]
        if not len(values):
            raise ValueError(f"no demonstration lies within {self.bandwidth} of another; raise 'bandwidth'")
        reward = reward._with(shift=float(values.mean()), scale=max(float(values.std()), 1e-3))
        policy = self._train(run, reward) if self.train else None
        return {"reward": reward, "policy": policy}

    def _train(self, run: Run, reward: DensityOfDemonstrations) -> Any:
        from rewardlab.learning.demonstrations.generator import train_on

        # where no demonstrator ended, ends should not be a relief: values are shifted to be never negative
        lift = 0.0 if run.columns.terminated.any() else -reward.least
        return train_on(reward, run, self.ppo, lift=lift)
