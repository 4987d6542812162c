"""The processes that train together: one by default, several under `accelerate launch` or `torchrun`.

Every process acts on its share of the tasks; trajectories and scores are then gathered, so that all processes hold the whole
batch, compute the same advantages, and know the totals by which a loss is normalised. Only the forward and backward passes
of the update are shared out, and gradients are added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from rewardlab.extras import require
from rewardlab.types import Task

if TYPE_CHECKING:
    from accelerate import Accelerator

Item = TypeVar("Item")

BUCKET = 1 << 25
"""Gradients are added up in pieces of about so many numbers."""


class Processes:
    """What one process needs to know of the others. All methods must be called by every process, in the same order.

    Args:
        accelerator: one that the caller has set up (mixed precision, say), or None for a default one.

    Raises:
        ValueError: the accelerator shards the model (FSDP, DeepSpeed, Megatron), which this update does not support.
    """

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        if accelerator is None:
            accelerator = require("accelerate", extra="lm", why="training").Accelerator()
        self.accelerator: Accelerator = accelerator
        kind = str(accelerator.distributed_type.value)
        if kind in ("FSDP", "DEEPSPEED", "MEGATRON_LM", "TP", "XLA"):
            raise ValueError(
                f"accelerate is set up for {kind}, which shards the model; this update keeps a whole model in every "
                "process. Use `accelerate launch --multi_gpu` (or --cpu), and LoRA where a model is too large for that"
            )
        if accelerator.mixed_precision == "fp16":
            raise ValueError("mixed precision fp16 is not supported (its loss scaling skips steps); use bf16 or none")

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        return int(self.accelerator.process_index)

    @property
    def count(self) -> int:
        """How many processes there are."""
        return int(self.accelerator.num_processes)

    @property
    def main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def place(self, model: nn.Module) -> None:
        """Put the model on this process's own device where several GPUs train together, and make all processes start from
        the weights of the first. Call it before the policy acts.
        """
        if self.count == 1:
            return
        device = self.accelerator.device
        if device.type != "cpu" and next(model.parameters()).device != device:
            model.to(device)
        with torch.no_grad():
            for tensor in (*model.parameters(), *model.buffers()):
                torch.distributed.broadcast(tensor.data, src=0)

    def share_tasks(self, tasks: Sequence[Task]) -> list[Task]:
        """This process's tasks: dealt out in turn, all occurrences of one task to the same process."""
        if self.count == 1:
            return list(tasks)
        owner: dict[str, int] = {}
        for task in tasks:
            owner.setdefault(task.id, len(owner) % self.count)
        return [task for task in tasks if owner[task.id] == self.rank]

    def gather(self, items: Sequence[Item]) -> list[Item]:
        """The items of all processes, those of the first process first."""
        if self.count == 1:
            return list(items)
        everyone: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(everyone, list(items))
        return [item for items in everyone for item in items]

    def add_up(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        return tensor if self.count == 1 else self.accelerator.reduce(tensor, reduction="sum")

    def stack(self, tensor: Tensor) -> Tensor:
        """A tensor of every process, stacked: `[process, ...]`."""
        return tensor[None] if self.count == 1 else self.accelerator.gather(tensor[None])

    def add_up_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes; all parameters must have one."""
        if self.count == 1:
            return
        for bucket in _buckets(parameters):
            joined = self.add_up(torch.cat([parameter.grad.flatten() for parameter in bucket]))  # type: ignore[union-attr]
            start = 0
            for parameter in bucket:
                size = parameter.numel()
                parameter.grad.copy_(joined[start : start + size].view_as(parameter))  # type: ignore[union-attr]
                start += size

    def wait(self) -> None:
        """Wait until every process is here."""
        self.accelerator.wait_for_everyone()


def _buckets(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Neighbours of one dtype, in pieces of about `BUCKET` numbers."""
    buckets: list[list[nn.Parameter]] = []
    size = 0
    for parameter in parameters:
        if not buckets or size + parameter.numel() > BUCKET or buckets[-1][0].dtype != parameter.dtype:
            buckets.append([])
            size = 0
        buckets[-1].append(parameter)
        size += parameter.numel()
    return buckets
