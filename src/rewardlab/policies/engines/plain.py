"""Generation for models that neither other way fits (recurrent state, ALiBi): left-padded, with the model's own cache.

Correct wherever the model's own left-padded batches are, as in `generate` of transformers, and no quicker: every call reads
whole contexts, and finished rows are computed until the last one ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rewardlab.policies.engines.base import Completion, Request, Sampling
from rewardlab.policies.engines.sampling import draw, uniforms


def generate_plainly(
    model: nn.Module, requests: Sequence[Request], limits: Sequence[int], sampling: Sampling, stop: frozenset[int]
) -> list[Completion]:
    """Continue every context.

    Args:
        model: a transformers causal language model.
        requests: checked requests.
        limits: most new tokens for each.
        sampling: how to draw.
        stop: ids of the stop tokens.
    """
    network: Any = model
    device = network.device
    width = max(len(request.ids) for request in requests)
    ids = torch.zeros((len(requests), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, request in enumerate(requests):
        ids[row, width - len(request.ids) :] = torch.as_tensor(request.ids)
        mask[row, width - len(request.ids) :] = 1
    ids, mask = ids.to(device), mask.to(device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    uniform = uniforms([request.seed for request in requests], [len(request.ids) for request in requests], max(limits))
    drawn = torch.from_numpy(uniform).to(device)
    tokens: list[list[int]] = [[] for _ in requests]
    logprobs: list[list[float]] = [[] for _ in requests]
    stopped = [False] * len(requests)
    past: Any = None
    for step in range(max(limits)):
        positioned: dict[str, Tensor] = {"position_ids": positions} if _takes_positions(network) else {}
        output = network(input_ids=ids, attention_mask=mask, past_key_values=past, use_cache=True, **positioned)
        past = getattr(output, "past_key_values", None)
        if past is None:
            past = getattr(output, "cache_params", None)
        chosen, logprob = draw(output.logits[:, -1], sampling, drawn[step])
        for row, (token, value) in enumerate(zip(chosen.tolist(), logprob.tolist(), strict=True)):
            if stopped[row] or len(tokens[row]) >= limits[row]:
                continue
            tokens[row].append(token)
            logprobs[row].append(value)
            stopped[row] = token in stop
        if all(stopped[row] or len(tokens[row]) >= limits[row] for row in range(len(requests))):
            break
        mask = torch.cat([mask, mask.new_ones((len(requests), 1))], dim=1)
        positions = positions[:, -1:] + 1
        if past is None:  # the model keeps nothing: read everything again
            ids = torch.cat([ids, chosen[:, None]], dim=1)
            positions = (mask.cumsum(-1) - 1).clamp(min=0)
        else:
            ids = chosen[:, None]
    return [
        Completion(ids=row, logprobs=values, stopped=ended)
        for row, values, ended in zip(tokens, logprobs, stopped, strict=True)
    ]


def _takes_positions(model: Any) -> bool:
    import inspect

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "position_ids" in inspect.signature(inner.forward).parameters
