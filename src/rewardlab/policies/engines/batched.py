"""The built-in generation engine: all conversations in one batch, on the process that trains.

What it does not compute twice or in vain: equal prompts (a group) are read once and their keys and values copied; the start
that all new prompts share (system prompt, tools) is read once; of a conversation that goes on, only the new tokens are read;
a row that has finished leaves the batch at once. The forward pass is `fused.py` where the model is supported, else the
model's own over the same store (`generic.py`), else the model's own with its own cache (`plain.py`); the first two are
compared with the model's own logits before they are used.

What is guaranteed: on one machine, the same weights, requests and seeds give the same numbers. A row's draws depend on its
seed and positions alone; its logits depend on the other rows only through rounding (matrix products of another height may
add in another order, about 1e-6 in float32), so another batch changes a sampled token only where a draw falls that close to
an edge.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from rewardlab.policies.engines.base import Completion, Request, Sampling, check_completions, check_requests
from rewardlab.policies.engines.forward import Forward, UnsupportedModel, check_forward, context_length
from rewardlab.policies.engines.fused import FusedForward
from rewardlab.policies.engines.generic import GenericForward
from rewardlab.policies.engines.plain import generate_plainly
from rewardlab.policies.engines.schedule import Call, Kept

_log = logging.getLogger(__name__)


class BatchedEngine:
    """Samples from a transformers model in this process.

    Args:
        model: a causal language model, bare or wrapped by peft.
        stop: ids of the tokens that end an action.
        forward: `auto`, or one of `fused`, `generic` and `plain` to insist on it.
        prefill_tokens: how many prompt tokens are read in one pass; bounds memory.
        check_every: after how many steps to look which rows have ended, for which a GPU has to be waited for; rows that have
            ended are computed on until then. 1 on a CPU and 8 on a GPU when not given.

    Raises:
        UnsupportedModel: `forward` insists on a way that does not fit the model (raised by the first `generate`).
    """

    def __init__(
        self,
        model: nn.Module,
        stop: Iterable[int],
        *,
        forward: str = "auto",
        prefill_tokens: int = 16_384,
        check_every: int | None = None,
    ) -> None:
        if forward not in ("auto", "fused", "generic", "plain"):
            raise ValueError(f"forward must be auto, fused, generic or plain, got {forward!r}")
        if prefill_tokens < 1:
            raise ValueError(f"prefill_tokens must be at least 1, got {prefill_tokens}")
        if check_every is not None and check_every < 1:
            raise ValueError(f"check_every must be at least 1, got {check_every}")
        self.model: Any = model
        self.check_every = check_every or (1 if self.model.device.type == "cpu" else 8)
        self.stop = frozenset(int(token) for token in stop)
        self.prefill_tokens = prefill_tokens
        self.context = context_length(model)
        self._wanted = forward
        self._forward: Forward | None = None
        self._chosen: str | None = None
        self._stale = False
        self._kept: dict[Hashable, Kept] = {}

    @property
    def forward_kind(self) -> str:
        """Which way of computing is used: `fused`, `generic` or `plain`."""
        self._choose()
        assert self._chosen is not None
        return self._chosen

    def refresh(self) -> None:
        """Take over the model's present weights, and forget all conversations."""
        self._kept.clear()
        self._stale = True

    def release(self, conversations: Sequence[Hashable]) -> None:
        """Forget conversations that will not be continued; unknown ones are passed over."""
        for conversation in conversations:
            self._kept.pop(conversation, None)
        if not self._kept and self._forward is not None and self.model.device.type == "cuda":
            self._forward.store.clear()  # training needs the memory

    def clear(self) -> None:
        """Forget all conversations and give their memory back."""
        self._kept.clear()
        if self._forward is not None:
            self._forward.store.clear()

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Continue every context.

        Args:
            requests: contexts; those of a known conversation should continue what was read and sampled before (where they
                differ, the store is read again from there on).
            sampling: how to draw.

        Returns:
            One completion per request, in order.

        Raises:
            ValueError: an empty prompt, one that leaves no room in the model's context, or logits that are not numbers.
        """
        check_requests(requests, self.context)
        if not requests:
            return []
        limits = [self._limit(request, sampling) for request in requests]
        self._choose()
        with _evaluating(self.model), self._gradients_off():
            completions = self._sample(requests, limits, sampling)
        try:
            check_completions(completions)
        except ValueError:
            self._kept.clear()  # what these weights computed must not be continued
            raise
        return completions

    def _sample(self, requests: Sequence[Request], limits: list[int], sampling: Sampling) -> list[Completion]:
        if self._forward is None:
            return generate_plainly(self.model, requests, limits, sampling, self.stop)
        if self._stale:
            self._forward.refresh()
            self._stale = False
        call = Call(
            self._forward,
            self._kept,
            requests,
            limits,
            sampling,
            stop=self.stop,
            device=self.model.device,
            prefill_tokens=self.prefill_tokens,
            check_every=self.check_every,
        )
        return call.run()

    def _limit(self, request: Request, sampling: Sampling) -> int:
        limit = sampling.max_new_tokens
        if request.max_new_tokens is not None:
            limit = min(limit, request.max_new_tokens)
        return limit if self.context is None else min(limit, self.context - len(request.ids))

    def _gradients_off(self) -> Any:
        # the model's own forward may keep tensors for later (rotary tables): they must stay fit for training
        return torch.inference_mode() if self._chosen == "fused" else torch.no_grad()

    # ---- which way to compute -----------------------------------------------------------------------------------------

    def _choose(self) -> None:
        if self._chosen is not None:
            return
        ways: dict[str, Callable[[], Forward]] = {
            "fused": lambda: FusedForward(self.model),
            "generic": lambda: GenericForward(self.model),
        }
        for name, make in ways.items():
            if self._wanted not in ("auto", name):
                continue
            try:
                with _evaluating(self.model), torch.no_grad():
                    forward = make()
                    check_forward(forward, self.model)
            except UnsupportedModel as reason:
                if self._wanted == name:
                    raise UnsupportedModel(f"the {name} forward does not fit this model: {reason}") from None
                (_log.info if name == "fused" else _log.warning)("%s forward not used: %s", name, reason)
            else:
                forward.store.clear()
                self._forward, self._chosen, self._stale = forward, name, False
                return
        self._chosen = "plain"


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout off for a while."""
    training = model.training
    if training:
        model.eval()
    try:
        yield
    finally:
        if training:
            model.train()
