"""The processes that train together: one by default, several under `accelerate launch` or `torchrun`.

Every process acts on its share of the tasks; trajectories and scores are then gathered, so that all processes hold the whole
batch, compute the same advantages, and know the totals by which a loss is normalised. Only the forward and backward passes
of the update are shared out, and gradients are added up. Fits of reward models also run under FSDP, where every process
holds a part of a pretrained model's weights, of their gradients and of what the optimiser remembers of them.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from rewardlab.extras import require
from rewardlab.policies.sharding import any_sharded, is_sharded, own
from rewardlab.rewards.models.stacked import Stacked
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
        may_shard: whether the caller can do with models that FSDP shards.

    Raises:
        ValueError: the accelerator shards the model in a way (FSDP, DeepSpeed, Megatron) that the caller cannot do with.
    """

    plugin: Any = None
    """What accelerate was told of FSDP, where models are sharded."""

    def __init__(self, accelerator: Accelerator | None = None, *, may_shard: bool = False) -> None:
        if accelerator is None:
            accelerator = require("accelerate", extra="lm", why="training").Accelerator()
        self.accelerator: Accelerator = accelerator
        kind = str(accelerator.distributed_type.value)
        if may_shard and (kind == "FSDP" or (kind == "MULTI_CPU" and _wants_sharding())):
            self.plugin = _plugin(accelerator)
        elif kind in ("FSDP", "DEEPSPEED", "MEGATRON_LM", "TP", "XLA"):
            advice = "" if not may_shard else ", or FSDP2 (`accelerate launch --use_fsdp --fsdp_version 2`)"
            raise ValueError(
                f"accelerate is set up for {kind}, which shards the model; this update keeps a whole model in every "
                f"process. Use `accelerate launch --multi_gpu` (or --cpu){advice}, and LoRA where a model is too large for "
                "that"
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

    @property
    def shards(self) -> bool:
        """Whether every process holds a part of a pretrained model's weights."""
        return self.plugin is not None and self.count > 1

    def place(self, model: nn.Module) -> None:
        """Put the model on this process's own device where several GPUs train together, and make all processes start from
        the weights of the first; then share out those of the pretrained models in it, where FSDP is wanted. Call it before
        the policy acts.
        """
        if self.count == 1 or any_sharded(model):
            return
        device = self.accelerator.device
        if device.type != "cpu" and next(model.parameters()).device != device and not self.shards:
            model.to(device)
        with torch.no_grad():
            for tensor in (*model.parameters(), *model.buffers()):
                there = tensor.data.to(device)  # one after the other, since all together may be too much
                torch.distributed.broadcast(there, src=0)
                if there.data_ptr() != tensor.data_ptr():
                    tensor.data.copy_(there)
        if self.shards:
            prepare = require("accelerate.utils", extra="lm", why="FSDP").fsdp2_prepare_model
            for part in _pretrained(model):
                self.accelerator.state.fsdp_plugin = copy.copy(
                    self.plugin
                )  # it would remember the first model's layers
                prepare(self.accelerator, part)
                self.accelerator.state.fsdp_plugin = self.plugin
            if device.type != "cpu":
                model.to(device)

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

    def most(self, number: int) -> int:
        """The largest of a number over all processes."""
        if self.count == 1:
            return number
        largest = torch.tensor(number, device=self.accelerator.device)
        torch.distributed.all_reduce(largest, op=torch.distributed.ReduceOp.MAX)
        return int(largest.item())

    def add_up_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes; all parameters must have one.

        Those of sharded weights are the mean over all processes already, of which each holds its part.
        """
        if self.count == 1:
            return
        sharded = [parameter for parameter in parameters if is_sharded(parameter)]
        for parameter in sharded:
            own(parameter.grad).mul_(self.count)  # type: ignore[arg-type]
        for bucket in _buckets([parameter for parameter in parameters if not is_sharded(parameter)]):
            joined = self.add_up(torch.cat([parameter.grad.flatten() for parameter in bucket]))  # type: ignore[union-attr]
            start = 0
            for parameter in bucket:
                size = parameter.numel()
                parameter.grad.copy_(joined[start : start + size].view_as(parameter))  # type: ignore[union-attr]
                start += size

    def wait(self) -> None:
        """Wait until every process is here."""
        self.accelerator.wait_for_everyone()


def _wants_sharding() -> bool:
    """Whether accelerate was told to use FSDP; on processors it would forget it."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def _plugin(accelerator: Any) -> Any:
    """The options of FSDP."""
    state = accelerator.state
    plugin = getattr(state, "fsdp_plugin", None)
    if plugin is None:
        plugin = require("accelerate", extra="lm", why="FSDP").FullyShardedDataParallelPlugin()
        state.fsdp_plugin = plugin
    if plugin.fsdp_version != 2:
        raise ValueError(
            f"accelerate is set up for version {plugin.fsdp_version} of FSDP, which hides the weights; use version 2: "
            "`accelerate launch --use_fsdp --fsdp_version 2`, or fsdp_version: 2 in its configuration"
        )
    return plugin


def _pretrained(module: nn.Module) -> list[nn.Module]:
    """The outermost models of transformers in a module; others are small, and members of an ensemble have axes of theirs."""
    if isinstance(module, Stacked):
        return []
    if hasattr(module, "_no_split_modules"):
        return [module]
    return [found for child in module.children() for found in _pretrained(child)]


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
