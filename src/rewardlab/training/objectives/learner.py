"""The weights that an update changes: their optimiser, their gradients over all processes, and a reference kept of them."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rewardlab.policies.packing import PackingLimits, packing_limits
from rewardlab.training.processes import Processes

Schedule = Literal["constant", "linear", "cosine"]


def schedule_factor(schedule: Schedule, progress: float, updates: int, warmup: int) -> float:
    """What the learning rate is multiplied by.

    Args:
        schedule: "constant", or falling from 1 to 0 with the progress of training along a line ("linear") or half a cosine.
        progress: share of training done, in [0, 1].
        updates: optimiser steps done before this one.
        warmup: optimiser steps over which the rate rises from 1 / warmup to 1.
    """
    rising = min(1.0, (updates + 1) / warmup) if warmup else 1.0
    if schedule == "linear":
        return rising * (1.0 - progress)
    if schedule == "cosine":
        return rising * 0.5 * (1.0 + math.cos(math.pi * progress))
    return rising


class Learner:
    """The trainable weights of one model, with AdamW.

    Args:
        model: a torch module; what requires gradients is trained.
        processes: who trains together.
        betas: of AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101).
        weight_decay: of AdamW.
        heads: modules beside the model that are trained with it, by name; the reference has nothing of them.

    Raises:
        ValueError: nothing in the model requires gradients.
    """

    def __init__(
        self,
        model: nn.Module,
        processes: Processes,
        *,
        betas: tuple[float, float],
        weight_decay: float,
        heads: Mapping[str, nn.Module] | None = None,
    ) -> None:
        processes.place(model)
        self.model = model
        self.heads = dict(heads or {})
        self.processes = processes
        self.parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        if not self.parameters:
            raise ValueError("no weight of the policy's model requires gradients; unfreeze some, or add a LoRA adapter")
        narrow = {parameter.dtype for parameter in self.parameters.values()} & {torch.bfloat16, torch.float16}
        if narrow:
            warnings.warn(
                f"trainable weights are {', '.join(sorted(map(str, narrow)))}: steps smaller than their precision are lost; "
                "load the policy in float32, or train a LoRA adapter in float32",
                stacklevel=2,
            )
        self.head_rate: float | None = None
        """Learning rate of the modules beside the model; None for the model's own."""
        self._own = tuple(self.parameters)
        groups = [list(self.parameters.values())]
        for name, head in self.heads.items():
            processes.place(head)
            self.parameters |= {f"{name}.{part}": parameter for part, parameter in head.named_parameters()}
            groups.append(list(head.parameters()))
        self.optimizer = torch.optim.AdamW(
            [{"params": group} for group in groups], lr=0.0, betas=betas, weight_decay=weight_decay, fused=True
        )
        self.reference: dict[str, Tensor] | None = None

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(iter(self.parameters.values())).device

    @functools.cached_property
    def packing(self) -> PackingLimits | None:
        """What the model allows of rows that share a prompt; None for nothing."""
        return packing_limits(self.model)

    def step(self, learning_rate: float) -> None:
        """Change the weights along the gradients that are there, and drop these."""
        for place, group in enumerate(self.optimizer.param_groups):
            group["lr"] = learning_rate if place == 0 or self.head_rate is None else self.head_rate
        self.optimizer.step()
        self.drop_gradients()

    def drop_gradients(self) -> None:
        """Forget all gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def gradient_norm(self, limit: float | None) -> Tensor:
        """Add the gradients of all processes up, limit their norm, and return what it was before."""
        parameters = list(self.parameters.values())
        for parameter in parameters:
            if parameter.grad is None:  # a weight that no trajectory reached, in this process at least
                parameter.grad = torch.zeros_like(parameter)
        self.processes.add_up_gradients(parameters)
        return torch.nn.utils.clip_grad_norm_(parameters, math.inf if limit is None else limit)

    # ---- the reference ------------------------------------------------------------------------------------------------

    def keep_reference(self) -> None:
        """Remember the trainable weights as they are now; frozen ones are shared with the policy."""
        if self.reference is None:
            self.reference = {name: self.parameters[name].detach().clone() for name in self._own}

    @contextmanager
    def as_reference(self, kind: Literal["start", "base"]) -> Iterator[None]:
        """Within this, the model computes as the reference: the remembered weights, or the model below its adapter."""
        if kind == "base":
            disable = getattr(self.model, "disable_adapter", None)
            if disable is None:
                raise ValueError('reference="base" needs a policy with a LoRA adapter; use reference="start"')
            with disable():
                yield
            return
        self.keep_reference()
        assert self.reference is not None  # keep_reference made it
        present = {name: self.parameters[name].data for name in self._own}
        try:
            for name in self._own:
                self.parameters[name].data = self.reference[name].to(present[name].device)
            yield
        finally:
            for name in self._own:
                self.parameters[name].data = present[name]

    # ---- saving -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's state by the name of the weight, and the reference."""
        state = self.optimizer.state_dict()["state"]
        names = list(self.parameters)
        return {
            "optimizer": {names[index]: dict(entries) for index, entries in state.items()},
            "reference": self.reference,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave.

        Raises:
            ValueError: the state is that of another model; the first name that differs is given.
        """
        unknown = set(state["optimizer"]) ^ set(self.parameters) if state["optimizer"] else set()
        if unknown:
            raise ValueError(
                f"the saved optimiser state is of another model: {sorted(unknown)[0]!r} is only in one of them"
            )
        fresh = self.optimizer.state_dict()
        fresh["state"] = {
            index: state["optimizer"][name] for index, name in enumerate(self.parameters) if name in state["optimizer"]
        }
        self.optimizer.load_state_dict(fresh)
        self.reference = state.get("reference")
