"""A reward of transitions that an ensemble of small networks gives; written as arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rewardlab.learning.demonstrations.networks import layers_stored, mlp
from rewardlab.learning.demonstrations.spaces import SpaceCode
from rewardlab.rewards.models.stacked import Stacked, stacked_layers
from rewardlab.rewards.transitions import TransitionReward


class Rows:
    """Observation and action as one standardised row."""

    def __init__(
        self, observation: SpaceCode, action: SpaceCode, mean: NDArray[np.float32], spread: NDArray[np.float32]
    ) -> None:
        self.observation, self.action, self.mean, self.spread = observation, action, mean, spread

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return self.observation.width + self.action.width

    def __call__(self, observation: Any, action: Any) -> NDArray[np.float32]:
        """float32[N, width]."""
        seen = (self.observation.encode(observation) - self.mean) / self.spread
        return np.concatenate([seen, self.action.encode(action)], axis=1)


class Ensemble:
    """Networks of one architecture that are called and trained together.

    Args:
        sizes: of the layers.
        members: how many.
        seed: of the first; each has its own weights.
    """

    def __init__(self, sizes: tuple[int, ...], members: int, *, seed: int, activation: str = "relu") -> None:
        self.sizes, self.activation, self.count = sizes, activation, members
        stack = [mlp(sizes, activation=activation, seed=seed * 1_000 + number) for number in range(members)]
        self.stacked = Stacked(stack)
        self.layers: nn.Sequential = self.stacked.frame  # type: ignore[assignment]

    def __call__(self, rows: Tensor) -> Tensor:
        """float[..., width] to float[member, ...]."""
        found = stacked_layers(self.layers, rows)
        assert found is not None  # linear layers and activations only
        return found[..., 0]


@dataclass(frozen=True, kw_only=True)
class NetworkReward(TransitionReward):
    """The mean of an ensemble's values of observation and action, shifted and scaled.

    Args:
        shift: is taken off.
        scale: by which the rest is divided.
    """

    shift: float = 0.0
    scale: float = 1.0

    kind: ClassVar[str] = "network_reward"

    @classmethod
    def around(cls, ensemble: Ensemble, rows: Rows, **options: Any) -> Self:
        """A reward around networks that are in memory."""
        reward = cls(**options)
        reward.__dict__.update(ensemble=ensemble, rows=rows)
        return reward

    @cached_property
    def spec_hash(self) -> str | None:
        """None: what it gives is in its networks, which no spec names."""
        return None

    def named(self, name: str) -> Self:
        """The same reward under another name."""
        changed = replace(self, name=name)
        changed.__dict__.update(ensemble=self.__dict__["ensemble"], rows=self.__dict__["rows"])
        return changed

    @torch.inference_mode()
    def member_values(self, observation: Any, action: Any) -> NDArray[np.float64]:
        """The value that each member gives, float64[member, N]; their spread says how much the reward is to be trusted."""
        rows = torch.from_numpy(self.__dict__["rows"](observation, action))
        values: NDArray[np.float64] = self.__dict__["ensemble"](rows).double().numpy()
        return (values - self.shift) / self.scale

    def transition(
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """See `TransitionReward.transition`."""
        mean: NDArray[np.float64] = self.member_values(observation, action).mean(0)
        return mean

    def stored(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Options and arrays, from which `from_stored` builds the reward again."""
        ensemble, rows = self.__dict__["ensemble"], self.__dict__["rows"]
        options = {
            "sizes": list(ensemble.sizes),
            "members": ensemble.count,
            "activation": ensemble.activation,
            "observation": rows.observation.describe(),
            "action": rows.action.describe(),
            "shift": self.shift,
            "scale": self.scale,
        }
        return options, {**layers_stored(ensemble.layers), "mean": rows.mean, "spread": rows.spread}

    @classmethod
    def from_stored(cls, options: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        """Build a reward from what `stored` gave."""
        ensemble = Ensemble(tuple(options["sizes"]), options["members"], seed=0, activation=options["activation"])
        weights = {name: torch.from_numpy(value) for name, value in arrays.items() if name not in ("mean", "spread")}
        ensemble.layers.load_state_dict(weights)
        observation, action = (SpaceCode.from_description(options[name]) for name in ("observation", "action"))
        rows = Rows(observation, action, arrays["mean"], arrays["spread"])
        return cls.around(ensemble, rows, shift=options["shift"], scale=options["scale"])
