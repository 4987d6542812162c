"""Weights that several processes hold in parts (FSDP): telling them, putting them together, and taking one's part again.

Such a weight is a `DTensor`: every process has its own rows of it, and whoever wants all of it asks all processes. Functions
that do so say that every process has to call them, in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process holds only its part of a tensor."""
    return hasattr(tensor, "full_tensor")  # asks no import of `torch.distributed.tensor`, which takes its time


def any_sharded(module: nn.Module) -> bool:
    """Whether some weight of a module is held in parts."""
    return any(is_sharded(weight) for weight in module.parameters())


def cut(module: nn.Module) -> nn.Module:
    """The same module, whose weights are those that are kept; after a forward pass some stand there whole for a while."""
    for part in module.modules():
        if hasattr(part, "reshard"):
            part.reshard()  # type: ignore[operator]
    return module


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor; every process has to ask for it."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def own(tensor: Tensor) -> Tensor:
    """This process's part of a tensor, in the same memory; a tensor that is not sharded is its own part."""
    return tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def shared_out(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, which every process has, cut as another tensor is."""
    if not is_sharded(like) or is_sharded(tensor):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(
        tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None  # type: ignore[attr-defined]
    )  # fmt: skip


def together(part: Tensor, like: Tensor) -> Tensor:
    """What `own` gave of a tensor, or a copy of it, as a tensor that is cut as another is."""
    if not is_sharded(like) or is_sharded(part):
        return part
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        part.to(like.device), like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()  # type: ignore[attr-defined]
    )  # fmt: skip


def gathered(state: Mapping[str, Any], *, keep: bool) -> dict[str, Any]:
    """A state with all of its tensors whole, one after the other; every process has to call it.

    Args:
        state: tensors by name, or dicts of them.
        keep: whether this process wants them; the others get what is not sharded alone.

    Returns:
        The state; what was sharded is in the processor's memory.
    """
    result: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, Mapping):
            result[name] = gathered(value, keep=keep)
        elif isinstance(value, Tensor) and is_sharded(value):
            full = whole(value).cpu()
            if keep:
                result[name] = full
        else:
            result[name] = value
    return result


def total_norm(tensors: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm over all of some tensors, sharded or not; every process has to call it."""
    kinds = [[tensor for tensor in tensors if is_sharded(tensor) is kind] for kind in (True, False)]
    norms = [whole(torch.nn.utils.get_total_norm(kind)).to(tensors[0].device) for kind in kinds if kind]
    return torch.linalg.vector_norm(torch.stack(norms))


@contextmanager
def whole_on_first(module: nn.Module) -> Iterator[bool]:
    """Within this, the first process's module holds whole weights in the processor's memory, to be saved or copied.

    Every process has to enter it. Weights that are shared stay shared.

    Returns:
        Whether this process is the one whose module is whole; that of a module which is not sharded is.
    """
    if not any_sharded(cut(module)):
        yield True
        return
    first = torch.distributed.get_rank() == 0
    kept: list[tuple[nn.Module, str, nn.Parameter]] = []
    made: dict[int, nn.Parameter] = {}
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is None or not is_sharded(weight):
                continue
            kept.append((part, name, weight))
            if id(weight) not in made:
                full = whole(weight.detach()).cpu()
                made[id(weight)] = nn.Parameter(
                    full if first else torch.empty(0), requires_grad=weight.requires_grad
                )  # fmt: skip
    try:
        if first:
            for part, name, weight in kept:
                part._parameters[name] = made[id(weight)]
        yield first
    finally:
        for part, name, weight in kept:
            part._parameters[name] = weight
        torch.distributed.barrier()
