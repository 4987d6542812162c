"""The weights that a fit changes, who changes them, and what they were when they were best."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rewardlab.learning.inputs import is_frozen
from rewardlab.policies.sharding import cut, gathered, is_sharded, own, shared_out, together, total_norm
from rewardlab.rewards.models.network import Network
from rewardlab.rewards.models.stacked import Stacked
from rewardlab.training.checkpoint import module_state
from rewardlab.training.objectives.learner import Learner
from rewardlab.training.processes import Processes


class Alone(Processes):
    """One process without accelerate, whose import alone takes longer than fitting a small model."""

    def __init__(self) -> None:
        self.accelerator: Any = None

    @property
    def rank(self) -> int:
        """The first."""
        return 0

    @property
    def count(self) -> int:
        """One."""
        return 1

    def wait(self) -> None:
        """There is nobody to wait for."""


def who_fits() -> Processes:
    """The processes that fit together: those of `accelerate launch` or `torchrun`, or this one alone."""
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1 or any(name.startswith("ACCELERATE_") for name in os.environ)
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return Processes(may_shard=True) if launched or together else Alone()


class Weights(Learner):
    """The trainable weights of a network under AdamW, in groups with rates of their own.

    Args:
        network: what is fitted; a frozen encoder is left out.
        processes: who fits together.
        weight_decay: of AdamW.
        rates: by the beginning of a weight's name (`"head"`, `"encoder.model.layers.0"`), what its learning rate is
            multiplied by; the longest beginning that fits counts.

    Raises:
        ValueError: nothing can be trained, or a beginning fits no weight.
    """

    def __init__(
        self,
        network: Network,
        processes: Processes,
        *,
        weight_decay: float,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        trained = [name for name, weight in network.named_parameters() if weight.requires_grad]
        if is_frozen(network.encoder):
            trained = [name for name in trained if not name.startswith("encoder.")]
        if not trained:
            raise ValueError("no weight of the model can be trained; use a head with weights, or unfreeze the encoder")
        super().__init__(network, processes, betas=(0.9, 0.999), weight_decay=weight_decay)
        factors = {name: _rate(name, rates or {}) for name in trained}
        for beginning in rates or {}:
            if not any(name.startswith(beginning) for name in trained):
                raise ValueError(
                    f"rates names {beginning!r}, but no trained weight begins so; names are such as {trained[0]!r}"
                )
        names = sorted(trained, key=lambda name: (factors[name], is_sharded(self.parameters[name])))  # by group
        self.parameters = {name: self.parameters[name] for name in names}
        kinds = {name: (factors[name], is_sharded(self.parameters[name])) for name in names}  # not in one call of AdamW
        groups = [
            {"params": [self.parameters[name] for name in names if kinds[name] == kind], "factor": kind[0]}
            for kind in sorted(set(kinds.values()))
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.999), weight_decay=weight_decay, fused=True)

    def step(self, learning_rate: float) -> None:
        """Change the weights along their gradients, and drop these."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["factor"]
        self.optimizer.step()
        self.drop_gradients()

    def gradient_norm(self, limit: float | None) -> Tensor:
        """Add the gradients of all processes up, limit their norm, and return what it was before."""
        if not self.processes.shards:
            return super().gradient_norm(limit)
        gradients = self.summed_gradients()
        norm = total_norm(gradients)
        limit_norm(gradients, norm, limit)
        return norm

    def summed_gradients(self) -> list[Tensor]:
        """The gradients, added up over all processes."""
        for weight in self.parameters.values():
            if weight.grad is None:  # no row of this process reached it
                weight.grad = torch.zeros_like(weight)
        self.processes.add_up_gradients(list(self.parameters.values()))
        return [weight.grad for weight in self.parameters.values() if weight.grad is not None]

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's state by the name of the weight, whole; every process has to ask for it."""
        state = super().state_dict()
        return state if not self.processes.shards else gathered(state, keep=self.processes.main)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave to the first process."""
        entries = {
            name: {
                key: shared_out(value, self.parameters[name]) if key != "step" else value for key, value in own.items()
            }
            for name, own in state["optimizer"].items()
            if name in self.parameters
        }
        super().load_state_dict({**state, "optimizer": {**state["optimizer"], **entries}})


def limit_norm(gradients: Sequence[Tensor], norm: Tensor, limit: float | None) -> None:
    """Shorten gradients whose norm is above a limit, in place."""
    if limit is not None:
        torch._foreach_mul_([own(gradient) for gradient in gradients], (limit / (norm + 1e-6)).clamp(max=1.0))


def _rate(name: str, rates: Mapping[str, float]) -> float:
    fitting = [beginning for beginning in rates if name.startswith(beginning)]
    return float(rates[max(fitting, key=len)]) if fitting else 1.0


def copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tensors, in the processor's memory; of sharded ones this process's part."""
    return {name: own(tensor.detach()).to("cpu", copy=True) for name, tensor in state.items()}


def put_together(parts: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
    """What `copied` gave of the state of a network, as tensors that are sharded where those of the network are."""
    present = module_state(cut(network))
    return {name: together(part, present[name]) if name in present else part for name, part in parts.items()}


def cut_up(state: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
    """The whole state of a network, sharded where the network is."""
    present = module_state(cut(network))
    return {name: shared_out(value, present[name]) if name in present else value for name, value in state.items()}


@contextmanager
def gradient_checkpointing(module: nn.Module, wanted: bool) -> Iterator[bool]:
    """Within this, activations are computed again on the way back instead of kept.

    Returns:
        Whether the caller has to do that itself, because no part of the module knows how.

    Raises:
        ValueError: it is wanted of models that are computed together.
    """
    found = [part for part in module.modules() if hasattr(part, "gradient_checkpointing_enable")] if wanted else []
    top = found[:1]  # the outermost does it for all that it holds
    if top and any(isinstance(part, Stacked) for part in module.modules()):
        raise ValueError(
            "activations of an ensemble of whole models cannot be computed again, which gradient_checkpointing asks for; "
            "leave it out and bound batch_length, or let the members share one encoder (share_encoder=True)"
        )
    for part in top:
        part.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})  # type: ignore[operator]
    try:
        yield wanted and not top
    finally:
        for part in top:
            part.gradient_checkpointing_disable()  # type: ignore[operator]


def autocast_type(dtype: Any, device: torch.device, processes: Processes, *, text: bool) -> torch.dtype | None:
    """The type that an encoder computes in; None for that of its weights.

    Args:
        dtype: "float32", "bfloat16" (or "bf16"), a torch type, or None: bfloat16 for texts on GPUs that have it, and where
            accelerate was told so.
        device: where the network is.
        processes: who fits together.
        text: whether the inputs are long enough for it to matter.

    Raises:
        ValueError: another type.
    """
    if dtype is None:
        told = getattr(processes.accelerator, "mixed_precision", "no") == "bf16"
        usual = text and device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if told or usual else None
    names = {"float32": None, "bfloat16": torch.bfloat16, "bf16": torch.bfloat16}
    known: dict[Any, torch.dtype | None] = {**names, torch.float32: None, torch.bfloat16: torch.bfloat16}
    if dtype not in known:
        raise ValueError(
            f'dtype must be "float32", "bfloat16" or None, got {dtype!r}; float16 would need loss scaling, which skips steps'
        )
    return known[dtype]
