"""Small networks for several seeds and arms at once: batched matrix products with an axis of copies in front.

A proof compares arms over seeds, and each arm of a seed is a network of its own. Stepping them together costs little more
than one of them. Each copy is initialised from its own seed alone, so copies with one seed begin with the same weights,
whatever stands beside them. Adam works on single numbers, so one optimiser over the stacked weights trains every copy as if
it were alone; a limit on the norm of the gradient does not, and `clip_each` limits every copy by its own norm.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from rewardlab.rewards.models.stacked import Stacked, stacked_layers

Activation = Literal["tanh", "relu", "silu"]
_LAYERS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU}


class StackedNetworks(Stacked):
    """Networks of one shape, called together: `[copies, ..., in] -> [copies, ..., out]`."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Run every copy on inputs of its own.

        Args:
            inputs: float[copies, ..., in].

        Returns:
            float[copies, ..., out].

        Raises:
            ValueError: the first axis is not that of the copies.
        """
        if inputs.dim() < 2 or inputs.shape[0] != self.count:
            raise ValueError(
                f"inputs must have shape [{self.count}, ..., in], one batch for each copy, got {tuple(inputs.shape)}; "
                "inputs[None].expand(copies, ...) gives all of them the same"
            )
        found = stacked_layers(self.frame, inputs, own_inputs=True)  # type: ignore[arg-type]  # mlp makes a Sequential
        assert found is not None  # mlp holds linear maps and activations only
        return found


def stacked_mlp(
    sizes: Sequence[int],
    seeds: Sequence[int],
    *,
    activation: Activation = "tanh",
    output_gain: float | None = None,
) -> StackedNetworks:
    """One multi-layer perceptron for each seed.

    Args:
        sizes: widths from the input to the output, at least two.
        seeds: one for each copy; copies with equal seeds have equal weights at first.
        activation: between the layers, not after the last.
        output_gain: orthogonal weights with gain sqrt(2) and this gain in the last layer, biases 0 (usual for PPO: 0.01 for
            actors, 1 for critics); None for what PyTorch does.

    Raises:
        ValueError: no seeds, or fewer than two sizes.
    """
    if not len(seeds):
        raise ValueError("seeds is empty; give one seed for each copy")
    made = [mlp(sizes, seed, activation=activation, output_gain=output_gain) for seed in seeds]
    return StackedNetworks(made)


def mlp(
    sizes: Sequence[int], seed: int, *, activation: Activation = "tanh", output_gain: float | None = None
) -> nn.Sequential:
    """The single network that `stacked_mlp` stacks, initialised from its seed; the state of PyTorch's generator stays.

    Raises:
        ValueError: fewer than two sizes, or an unknown activation.
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes must hold the widths of input and output at least, got {list(sizes)}")
    if activation not in _LAYERS:
        raise ValueError(f"activation must be one of {', '.join(_LAYERS)}, got {activation!r}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed))
        layers: list[nn.Module] = []
        for depth, (width, out) in enumerate(itertools.pairwise(sizes)):
            linear = nn.Linear(width, out)
            last = depth == len(sizes) - 2
            if output_gain is not None:
                nn.init.orthogonal_(linear.weight, gain=output_gain if last else math.sqrt(2))
                nn.init.zeros_(linear.bias)
            layers.append(linear)
            if not last:
                layers.append(_LAYERS[activation]())
    return nn.Sequential(*layers)


def clip_each(parameters: Iterable[Tensor], limit: float) -> Tensor:
    """Limit the norm of the gradient of every copy to `limit`, in place, as `clip_grad_norm_` does for one network.

    Args:
        parameters: stacked weights, the axis of copies in front, of one network or of several that share an optimiser.
        limit: the largest norm; positive.

    Returns:
        float[copies], the norms before.

    Raises:
        ValueError: the limit is not positive, or no weight has a gradient.
    """
    if not limit > 0:
        raise ValueError(f"limit must be positive, got {limit}")
    gradients = [weight.grad for weight in parameters if weight.grad is not None]
    if not gradients:
        raise ValueError("no weight has a gradient; call backward first")
    squares = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients])
    norms = squares.sum(0).sqrt()
    scale = (limit / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *(1,) * (gradient.dim() - 1)))
    return norms
