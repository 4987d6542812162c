"""The weights that a fit changes, who changes them, and what they were when they were best."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rewardlab.learning.inputs import is_frozen
from rewardlab.rewards.models.network import Network
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
    return Processes() if launched or together else Alone()


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
        names = sorted(trained, key=lambda name: factors[name])  # neighbours in one group; sorting keeps their order
        self.parameters = {name: self.parameters[name] for name in names}
        groups = [
            {"params": [self.parameters[name] for name in names if factors[name] == factor], "factor": factor}
            for factor in sorted(set(factors.values()))
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.999), weight_decay=weight_decay, fused=True)

    def step(self, learning_rate: float) -> None:
        """Change the weights along their gradients, and drop these."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["factor"]
        self.optimizer.step()
        self.drop_gradients()


def _rate(name: str, rates: Mapping[str, float]) -> float:
    fitting = [beginning for beginning in rates if name.startswith(beginning)]
    return float(rates[max(fitting, key=len)]) if fitting else 1.0


def copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tensors, in the processor's memory."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}


@contextmanager
def gradient_checkpointing(module: nn.Module, wanted: bool) -> Iterator[bool]:
    """Within this, activations are computed again on the way back instead of kept.

    Returns:
        Whether the caller has to do that itself, because no part of the module knows how.
    """
    found = [part for part in module.modules() if hasattr(part, "gradient_checkpointing_enable")] if wanted else []
    top = found[:1]  # the outermost does it for all that it holds
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
