"""Log-probabilities of given tokens under a causal language model, as training needs them: differentiable and lean.

Only the positions that somebody asks for go through the vocabulary matmul. A hook on the output layer picks their hidden
states, so the model is still called through its own forward (and through whatever wraps it: peft, DistributedDataParallel,
gradient checkpointing); the log-softmax is taken in float32 as `logit - logsumexp(logits)`, in slices over positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from rewardlab.policies.packing import Packing, segment_mask
from rewardlab.policies.shared_attention import shared_attention
from rewardlab.policies.wrapping import unwrapped


def token_logprobs(
    model: nn.Module,
    ids: Tensor,
    attention_mask: Tensor | None = None,
    *,
    positions_mask: Tensor | None = None,
    temperature: float = 1.0,
    packing: Packing | None = None,
) -> Tensor:
    """Log-probability of every token given the tokens before it.

    Args:
        model: a transformers causal language model, bare or wrapped.
        ids: int64[batch, token], right-padded.
        attention_mask: [batch, token], 1 on real tokens; None where there is no padding.
        positions_mask: bool[batch, token], the tokens whose log-probability is wanted (`step >= 0`, usually); None for all.
        temperature: the sampling temperature; logits are divided by it.
        packing: the same rows as lines that share their beginnings, which is what the model then reads.

    Returns:
        float32[batch, token]: entry t is the log-probability of `ids[:, t]` given `ids[:, :t]`; 0 at t = 0, on padding and
        where `positions_mask` is False.

    Raises:
        ValueError: shapes do not match, the batch is padded on the left, or the temperature is not positive.
    """
    return _statistics(model, ids, attention_mask, positions_mask, temperature, packing, entropy=False)[0]


def token_logprobs_and_entropy(
    model: nn.Module,
    ids: Tensor,
    attention_mask: Tensor | None = None,
    *,
    positions_mask: Tensor | None = None,
    temperature: float = 1.0,
    packing: Packing | None = None,
) -> tuple[Tensor, Tensor]:
    """`token_logprobs`, and the entropy of the distribution that each token was drawn from.

    Returns:
        Two float32[batch, token]: log-probabilities (differentiable) and entropies in nats (detached, for metrics).
    """
    logprobs, entropies = _statistics(model, ids, attention_mask, positions_mask, temperature, packing, entropy=True)
    assert entropies is not None
    return logprobs, entropies


def _statistics(
    model: nn.Module,
    ids: Tensor,
    attention_mask: Tensor | None,
    positions_mask: Tensor | None,
    temperature: float,
    packing: Packing | None,
    entropy: bool,
) -> tuple[Tensor, Tensor | None]:
    wanted = _check(ids, attention_mask, positions_mask, temperature)[:, 1:]
    # Row-major positions of the wanted tokens; the hidden state that predicts token t stands at t - 1.
    rows, columns = wanted.nonzero(as_tuple=True)
    # A causal model does not look to the right, so right padding needs no mask, and attention keeps its fast path.
    inputs: dict[str, Any] = {"input_ids": ids}
    lines, places = rows, columns
    if packing is not None:
        lines, places = packing.line[rows, columns], packing.place[rows, columns]
        mask = segment_mask(packing.segment, model)
        inputs = {"input_ids": packing.ids, "position_ids": packing.positions, "attention_mask": mask}
    pieces = nullcontext() if packing is None else shared_attention(model, packing.segment)
    with _only_positions(model, lines, places) as hooked, pieces:
        logits = model(**inputs, use_cache=False).logits
    if not hooked:
        logits = logits[lines, places]
    targets = ids[rows, columns + 1]
    chosen, entropies = _selective_log_softmax(logits, targets, temperature, entropy)
    place = (rows, columns + 1)
    result = torch.zeros(ids.shape, dtype=chosen.dtype, device=ids.device).index_put(place, chosen)
    if entropies is None:
        return result, None
    return result, torch.zeros_like(result, requires_grad=False).index_put(place, entropies)


def _check(ids: Tensor, attention_mask: Tensor | None, positions_mask: Tensor | None, temperature: float) -> Tensor:
    """Check the arguments and return bool[batch, token]: the tokens whose log-probability is wanted."""
    if ids.ndim != 2 or ids.shape[1] == 0:
        raise ValueError(f"ids must have shape [batch, token] with at least one token, got {tuple(ids.shape)}")
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}; greedy decoding has no log-probabilities")
    wanted = torch.ones(ids.shape, dtype=torch.bool, device=ids.device)
    if attention_mask is not None:
        if attention_mask.shape != ids.shape:
            raise ValueError(f"attention_mask must have shape {tuple(ids.shape)}, got {tuple(attention_mask.shape)}")
        wanted = attention_mask.bool()
        if bool((~wanted[:, :-1] & wanted[:, 1:]).any()):
            raise ValueError("the batch must be padded on the right: attention_mask has a 0 before a 1")
    if positions_mask is not None:
        if positions_mask.shape != ids.shape:
            raise ValueError(f"positions_mask must have shape {tuple(ids.shape)}, got {tuple(positions_mask.shape)}")
        wanted = wanted & positions_mask.bool()
    return wanted


@contextmanager
def _only_positions(model: nn.Module, rows: Tensor, columns: Tensor) -> Iterator[list[bool]]:
    """Let the output layer see only hidden[rows, columns]; the yielded list is not empty once that has happened."""
    hooked: list[bool] = []
    found = output_layer(model)
    if found is None:
        yield hooked
        return

    def pick(layer: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        hooked.append(True)
        return (arguments[0][rows, columns], *arguments[1:])

    handle = found.register_forward_pre_hook(pick)
    try:
        yield hooked
    finally:
        handle.remove()


def output_layer(model: nn.Module) -> nn.Module | None:
    """The layer that turns hidden states into logits; None where the model does not show it."""
    find = getattr(unwrapped(model), "get_output_embeddings", None)
    return find() if find is not None else None


def _selective_log_softmax(
    logits: Tensor, targets: Tensor, temperature: float, entropy: bool
) -> tuple[Tensor, Tensor | None]:
    """Log-softmax of `logits[position, vocab]` at `targets[position]`, and the entropies when asked."""
    logits = logits.float()
    if temperature != 1.0:
        logits = logits / temperature
    normaliser = torch.logsumexp(logits, dim=-1)
    chosen = logits.gather(-1, targets[:, None]).squeeze(-1) - normaliser
    if not entropy:
        return chosen, None
    with torch.no_grad():
        # One slice at a time: the probabilities of a whole batch over a large vocabulary need not exist at once.
        pieces = [
            lse - torch.einsum("pv,pv->p", torch.exp(part - lse[:, None]), part)
            for part, lse in zip(logits.split(1024), normaliser.split(1024), strict=True)
        ]
        return chosen, torch.cat(pieces)
