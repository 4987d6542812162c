"""Generation for models that neither other way fits (recurrent state, ALiBi), with the model's own cache.

Rows of equal length share a batch, so that there is no padding, which not every such model computes exactly. No quicker than
`generate` of transformers: every call reads whole contexts, and finished rows are computed until the last one ends.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from rewardlab.policies.engines.base import Completion, Request, Sampling
from rewardlab.policies.engines.sampling import draw, uniforms


def generate_plainly(
    model: Any, requests: Sequence[Request], limits: Sequence[int], sampling: Sampling, stop: frozenset[int]
) -> list[Completion]:
    """Continue every context.

    Args:
        model: a transformers causal language model.
        requests: checked requests.
        limits: most new tokens for each.
        sampling: how to draw.
        stop: ids of the stop tokens.
    """
    by_length: dict[int, list[int]] = {}
    for index, request in enumerate(requests):
        by_length.setdefault(len(request.ids), []).append(index)
    completions: dict[int, Completion] = {}
    for indices in by_length.values():
        rows = _generate([requests[i] for i in indices], model, [limits[i] for i in indices], sampling, stop)
        completions.update(zip(indices, rows, strict=True))
    return [completions[index] for index in range(len(requests))]


def _generate(
    requests: Sequence[Request], model: Any, limits: Sequence[int], sampling: Sampling, stop: frozenset[int]
) -> list[Completion]:
    """Continue contexts of one length."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    cache_name = "cache_params" if "cache_params" in inspect.signature(inner.forward).parameters else "past_key_values"
    everything = torch.tensor([list(request.ids) for request in requests], device=model.device)
    starts = [len(request.ids) for request in requests]
    chances = torch.from_numpy(uniforms([request.seed for request in requests], starts, max(limits))).to(model.device)
    cache: Any = None
    logprobs = []
    ended = torch.zeros(len(requests), dtype=torch.bool)
    stops = torch.tensor(sorted(stop), dtype=torch.long)
    most = torch.tensor(limits)
    for step in range(max(limits)):
        kept = {} if cache is None else {cache_name: cache}
        output = model(input_ids=everything if cache is None else everything[:, -1:], use_cache=True, **kept)
        cache = getattr(output, cache_name, None)
        chosen, logprob = draw(output.logits[:, -1], sampling, chances[step])
        everything = torch.cat([everything, chosen[:, None]], dim=1)
        logprobs.append(logprob)
        ended |= torch.isin(chosen.cpu(), stops) | (most <= step + 1)
        if bool(ended.all()):
            break
    written = everything[:, starts[0] :].tolist()
    values = torch.stack(logprobs, dim=1).tolist()
    return [_cut(*row, stop) for row in zip(written, values, limits, strict=True)]


def _cut(ids: list[int], logprobs: list[float], limit: int, stop: frozenset[int]) -> Completion:
    """A row up to its first stop token or its limit."""
    place = next((place for place, token in enumerate(ids[:limit]) if token in stop), None)
    length = min(limit, len(ids)) if place is None else place + 1
    return Completion(ids=ids[:length], logprobs=logprobs[:length], stopped=place is not None)
