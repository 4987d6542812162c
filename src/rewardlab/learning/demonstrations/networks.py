"""The small networks of this room, and a policy made of one, which is written as arrays and needs no pickle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rewardlab.learning.demonstrations.spaces import SpaceCode

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


def mlp(sizes: Sequence[int], *, activation: str = "tanh", seed: int = 0, last_gain: float = 1.0) -> nn.Sequential:
    """Linear layers with an activation between them, orthogonally initialised from a seed.

    Args:
        sizes: input, hidden and output widths.
        activation: "tanh" or "relu".
        seed: of the weights.
        last_gain: the last layer's weights are multiplied by it; small ones make a policy start near uniform.
    """
    generator = torch.Generator().manual_seed(seed % 2**63)
    layers: list[nn.Module] = []
    for position, (inputs, outputs) in enumerate(pairwise(sizes)):
        last = position == len(sizes) - 2
        layer = nn.Linear(inputs, outputs)
        gain = last_gain if last else 2.0**0.5
        with torch.no_grad():
            nn.init.orthogonal_(layer.weight, gain=gain, generator=generator)
            layer.bias.zero_()
        layers += [layer] if last else [layer, ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)


def layers_stored(layers: nn.Sequential) -> dict[str, np.ndarray]:
    """The weights of linear layers as arrays `0.weight`, `0.bias`, `2.weight`, ..."""
    return {name: value.detach().cpu().numpy() for name, value in layers.state_dict().items()}


def layers_from(arrays: dict[str, np.ndarray], activation: str, prefix: str = "") -> nn.Sequential:
    """Layers from what `layers_stored` gave, under names that begin with `prefix`."""
    own = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
    order = sorted({int(name.partition(".")[0]) for name in own})
    sizes = [own[f"{order[0]}.weight"].shape[1], *(own[f"{position}.weight"].shape[0] for position in order)]
    layers = mlp(sizes, activation=activation)
    layers.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in own.items()})
    return layers.requires_grad_(False)


@dataclass(kw_only=True, eq=False)
class NetworkPolicy:
    """A policy of linear layers: logits of discrete actions, or means of a Gaussian on scaled ones.

    Args:
        layers: from standardised observations to logits or means.
        observation, action: the codes of the spaces.
        mean, spread: float32[width] by which observations are standardised.
        log_std: float32[action], of the Gaussian; None for discrete actions.
        activation: between the layers.
        seed: of the actions that are drawn when `act` is not deterministic.
    """

    layers: nn.Sequential
    observation: SpaceCode
    action: SpaceCode
    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    log_std: NDArray[np.float32] | None = None
    activation: str = "tanh"
    seed: int = 0

    kind: ClassVar[str] = "network_policy"

    def __post_init__(self) -> None:
        self.generator = np.random.default_rng(self.seed)

    def features(self, observations: Any) -> Tensor:
        """Standardised observations as float32[N, width]."""
        return torch.from_numpy((self.observation.encode(observations) - self.mean) / self.spread)

    @torch.inference_mode()
    def act(self, observations: Any, deterministic: bool = False) -> NDArray[Any]:
        """Actions for N observations, as the environment takes them."""
        outputs = self.layers(self.features(observations)).numpy()
        if self.action.kind == "discrete":
            if not deterministic:
                outputs = outputs + self.generator.gumbel(size=outputs.shape)
            return self.action.decode(outputs.argmax(1))
        if not deterministic and self.log_std is not None:
            outputs = outputs + np.exp(self.log_std) * self.generator.standard_normal(outputs.shape)
        return self.action.decode(outputs)

    @torch.inference_mode()
    def logprob(self, observations: Any, actions: Any) -> NDArray[np.float64]:
        """Log-probability (density on the scaled action, for boxes) of N actions."""
        found = log_density(self.layers(self.features(observations)), torch.from_numpy(self.action.encode(actions)), (
            None if self.log_std is None else torch.from_numpy(self.log_std)
        ))  # fmt: skip
        return found.double().numpy()

    def stored(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Options and arrays, from which `from_stored` builds the policy again."""
        arrays = {f"layers.{name}": value for name, value in layers_stored(self.layers).items()}
        arrays |= {"mean": self.mean, "spread": self.spread}
        if self.log_std is not None:
            arrays["log_std"] = self.log_std
        options = {
            "observation": self.observation.describe(),
            "action": self.action.describe(),
            "activation": self.activation,
            "seed": self.seed,
        }
        return options, arrays

    @classmethod
    def from_stored(cls, options: dict[str, Any], arrays: dict[str, np.ndarray]) -> NetworkPolicy:
        """Build a policy from what `stored` gave."""
        return cls(
            layers=layers_from(arrays, options["activation"], "layers."),
            observation=SpaceCode.from_description(options["observation"]),
            action=SpaceCode.from_description(options["action"]),
            mean=arrays["mean"],
            spread=arrays["spread"],
            log_std=arrays.get("log_std"),
            activation=options["activation"],
            seed=options["seed"],
        )


def log_density(outputs: Tensor, action: Tensor, log_std: Tensor | None) -> Tensor:
    """Log-probability of encoded actions under a policy's outputs.

    Args:
        outputs: float[N, action], logits where `log_std` is None, else means.
        action: float[N, action], one-hot or scaled.
        log_std: float[action] of the Gaussian, or None.

    Returns:
        float[N].
    """
    if log_std is None:
        return (torch.log_softmax(outputs, 1) * action).sum(1)
    distance = (action - outputs) * torch.exp(-log_std)
    return (-0.5 * distance**2 - log_std - 0.5 * float(np.log(2 * np.pi))).sum(1)


def standardisation(rows: NDArray[np.float32], code: SpaceCode) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and spread by which observations are standardised; one-hot ones stay as they are.

    A column that hardly changes in the demonstrations is not blown up: its spread is at least a hundredth of the largest.
    """
    if code.kind == "discrete":
        return np.zeros(code.width, np.float32), np.ones(code.width, np.float32)
    spread = rows.std(0)
    floor = max(1e-6, 0.01 * float(spread.max(initial=0.0)))
    return rows.mean(0).astype(np.float32), np.where(spread > floor, spread, max(floor, 1e-6)).astype(np.float32)
