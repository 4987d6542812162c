"""Several modules of one architecture as one, whose weights have an axis of members in front.

The weights are those of the first module with the members stacked, so that optimisers, devices and `state_dict` need to know
nothing of it. Plain stacks of linear maps run as batched matrix products, everything else under `torch.func.vmap`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

POINTWISE = (nn.Tanh, nn.ReLU, nn.SiLU, nn.GELU, nn.Sigmoid, nn.Identity, nn.Dropout)
"""Layers that treat every number alone, so that an axis more changes nothing."""


class Stacked(nn.Module):
    """Modules of one architecture, called together.

    Args:
        members: at least one; the first is taken over, and becomes the frame of all.
        share_frozen: whether weights that are not trained, and are the same in all members, stand there once.

    Raises:
        ValueError: none, or weights of different names or shapes.
    """

    def __init__(self, members: Sequence[nn.Module], *, share_frozen: bool = False) -> None:
        super().__init__()
        if not members:
            raise ValueError("there are no members to stack")
        self.count = len(members)
        states = [member.state_dict() for member in members]
        shapes = [{name: tuple(value.shape) for name, value in state.items()} for state in states]
        for number, shape in enumerate(shapes):
            if shape != shapes[0]:
                name = sorted(set(shape.items()) ^ set(shapes[0].items()))[0][0]
                raise ValueError(
                    f"member {number} has another architecture than member 0: {name!r} has shape {shape.get(name)} and "
                    f"{shapes[0].get(name)}; an ensemble is trained in one pass only where all members are alike"
                )
        frame = members[0]
        self.shared: set[str] = set()
        for path, part in frame.named_modules():
            for table in (part._parameters, part._buffers):
                for name, value in list(table.items()):
                    key = f"{path}.{name}" if path else name
                    if value is None or key not in states[0]:
                        continue
                    if share_frozen and not value.requires_grad and _all_same(states, key):
                        self.shared.add(key)
                        continue
                    together = torch.stack([state[key].detach() for state in states])
                    learns = isinstance(value, nn.Parameter)
                    table[name] = nn.Parameter(together, requires_grad=value.requires_grad) if learns else together
        self.frame = frame

    def weights(self) -> dict[str, Tensor]:
        """All weights and buffers that are saved, by name, the axis of members in front; those in `shared` have none."""
        return self.frame.state_dict(keep_vars=True)

    def member(self, number: int) -> dict[str, Tensor]:
        """The weights of one member, as views."""
        return {name: value if name in self.shared else value[number] for name, value in self.weights().items()}

    def alone(self, number: int, call: Callable[..., Any], *given: Any) -> Any:
        """Call a function with a module that stands for one member, and with arguments."""
        own = {f"frame.{name}": value for name, value in self.member(number).items()}
        return functional_call(_Holder(self.frame), own, (call, *given))

    def each(self, call: Callable[..., Any], *arguments: Any, axes: Any = 0, loop: bool = False) -> Any:
        """Call a function with every member.

        Args:
            call: gets a module that stands for one member, and that member's arguments; returns tensors.
            arguments: tensors, or dicts or tuples of them.
            axes: where the axis of members is in each argument, None for arguments that are the same for all.
            loop: one after the other, for functions that look at numbers and that change the module.

        Returns:
            What the function returns, the axis of members in front.
        """
        if loop:
            return _stack([self.alone(number, call, *_pick(arguments, axes, number)) for number in range(self.count)])
        weights = self.weights()
        holder = _Holder(self.frame)

        def one(own: dict[str, Tensor], *given: Any) -> Any:
            return functional_call(holder, own, (call, *given))

        named = {f"frame.{name}": value for name, value in weights.items()}
        stand = {f"frame.{name}": None if name in self.shared else 0 for name in weights}
        places = axes if isinstance(axes, tuple) else (axes,) * len(arguments)
        return vmap(one, in_dims=(stand, *places), randomness="different")(named, *arguments)


class _Holder(nn.Module):
    """Lets `functional_call` reach any method of a module, not its forward alone."""

    def __init__(self, frame: nn.Module) -> None:
        super().__init__()
        self.frame = frame

    def forward(self, call: Callable[..., Any], *given: Any) -> Any:
        return call(self.frame, *given)


def stacked_layers(layers: nn.Sequential, inputs: Tensor, *, own_inputs: bool = False) -> Tensor | None:
    """Run a stack of linear maps and activations whose weights have an axis of members in front.

    Args:
        layers: with stacked weights.
        inputs: float[..., width], the same for all members; with `own_inputs`, float[member, ..., width].

    Returns:
        float[member, ..., width]; None where the layers hold something else.
    """
    if not layers or not all(isinstance(layer, (nn.Linear, *POINTWISE)) for layer in layers):
        return None
    first = layers[0]
    if not isinstance(first, nn.Linear):
        return None
    members = first.weight.shape[0]
    rows = inputs.shape[:-1] if not own_inputs else inputs.shape[1:-1]
    hidden = inputs.reshape(*((members,) if own_inputs else ()), -1, inputs.shape[-1])
    for layer in layers:
        hidden = stacked_linear(layer, hidden) if isinstance(layer, nn.Linear) else layer(hidden)
    return hidden.reshape(members, *rows, hidden.shape[-1])


def stacked_linear(layer: nn.Linear, inputs: Tensor) -> Tensor:
    """A linear map of every member.

    Args:
        layer: with stacked weights.
        inputs: float[row, width], the same for all members, or float[member, row, width].

    Returns:
        float[member, row, out].
    """
    weight, bias = layer.weight, layer.bias
    if inputs.dim() == 2:  # one large product is faster than many small ones that read the same
        wide = nn.functional.linear(inputs, weight.flatten(0, 1), None if bias is None else bias.flatten())
        return wide.view(len(inputs), weight.shape[0], weight.shape[1]).transpose(0, 1)
    return torch.bmm(inputs, weight.mT) if bias is None else torch.baddbmm(bias.unsqueeze(1), inputs, weight.mT)


def _all_same(states: Sequence[dict[str, Tensor]], key: str) -> bool:
    return all(torch.equal(states[0][key], state[key]) for state in states[1:])


def _pick(arguments: Sequence[Any], axes: Any, number: int) -> list[Any]:
    places = axes if isinstance(axes, tuple) else (axes,) * len(arguments)
    return [_one(argument, place, number) for argument, place in zip(arguments, places, strict=True)]


def _one(argument: Any, place: Any, number: int) -> Any:
    if place is None:
        return argument
    if isinstance(argument, dict):
        return {
            name: _one(value, place[name] if isinstance(place, dict) else place, number)
            for name, value in argument.items()
        }
    return argument.select(place, number)


def _stack(found: Sequence[Any]) -> Any:
    first = found[0]
    if isinstance(first, dict):
        return {name: torch.stack([one[name] for one in found]) for name in first}
    if isinstance(first, tuple):
        return tuple(torch.stack(column) for column in zip(*found, strict=True))
    return None if first is None else torch.stack(list(found))
