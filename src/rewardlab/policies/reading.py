"""One forward pass read in several ways: log-probabilities, entropies that may be differentiated, and values of states.

The log-probabilities are those of `token_logprobs`. Hooks on the output layer keep what it got (last hidden states, for a
value head) and what it gave (logits, for an entropy bonus), so that nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rewardlab.policies.batching import micro_batches
from rewardlab.policies.logprobs import output_layer, token_logprobs, token_logprobs_and_entropy
from rewardlab.policies.packing import Packing
from rewardlab.types import Trajectory

if TYPE_CHECKING:
    from rewardlab.policies.language_model import LanguageModelPolicy
    from rewardlab.policies.value_head import ValueHead


class Reading(NamedTuple):
    """What a model says of some tokens; 0 where it was not asked.

    Args:
        logprobs: float32[batch, token].
        entropies: float32[batch, token], of the distribution that each token was drawn from.
        values: float32[batch, token], of the state before each token; None without a value head.
    """

    logprobs: Tensor
    entropies: Tensor
    values: Tensor | None = None


def read_tokens(
    model: nn.Module,
    ids: Tensor,
    attention_mask: Tensor | None,
    positions_mask: Tensor,
    *,
    temperature: float = 1.0,
    packing: Packing | None = None,
    entropy: bool = True,
    entropy_gradient: bool = False,
    value_head: ValueHead | None = None,
    detach_states: bool = False,
) -> Reading:
    """Log-probabilities, entropies and values of tokens from one forward pass.

    Args:
        model: a transformers causal language model, bare or wrapped.
        ids: int64[batch, token], right-padded.
        attention_mask: [batch, token], 1 on real tokens, or None.
        positions_mask: bool[batch, token], the tokens that are asked about; none of them a row's first.
        temperature: the sampling temperature.
        packing: the same rows as lines that share their beginnings.
        entropy: whether entropies are wanted; zeros otherwise.
        entropy_gradient: whether they are to be differentiated.
        value_head: what says values.
        detach_states: whether the value head's gradient stays out of the model.
    """
    how: dict[str, Any] = {"positions_mask": positions_mask, "temperature": temperature, "packing": packing}
    with _kept(model, states=value_head is not None, logits=entropy_gradient) as kept:
        if entropy and not entropy_gradient:
            logprobs, entropies = token_logprobs_and_entropy(model, ids, attention_mask, **how)
        else:
            logprobs = token_logprobs(model, ids, attention_mask, **how)
            entropies = torch.zeros_like(logprobs, requires_grad=False)
    rows, columns = positions_mask[:, 1:].nonzero(as_tuple=True)
    place = (rows, columns + 1)
    if entropy_gradient:
        scaled = kept.logits.float() / temperature
        log_probabilities = torch.log_softmax(scaled, dim=-1)
        entropies = entropies.index_put(place, -(log_probabilities.exp() * log_probabilities).sum(-1))
    if value_head is None:
        return Reading(logprobs, entropies)
    lines, places = rows, columns
    if packing is not None:
        lines, places = packing.line[rows, columns], packing.place[rows, columns]
    states = kept.states[lines, places]
    values = value_head(states.detach() if detach_states else states)
    return Reading(logprobs, entropies, torch.zeros_like(logprobs, requires_grad=False).index_put(place, values))


@dataclass(slots=True, kw_only=True)
class StateValues:
    """What a value head says about a trajectory.

    Args:
        before: float64[written token], the value of the state before each token that the policy wrote.
        after: the value of the state that follows the whole trajectory; 0 where it was not asked for.
    """

    before: NDArray[np.float64]
    after: float = 0.0


@torch.no_grad()
def state_values(
    policy: LanguageModelPolicy,
    trajectories: Sequence[Trajectory],
    *,
    after: Sequence[bool] | None = None,
    token_budget: int | None = None,
) -> list[StateValues]:
    """What a policy's value head says before every written token, and behind trajectories that a limit ended.

    What arrived last stands in no tokens, because nobody answered it: where the value behind a trajectory is wanted, it is
    written behind the others as a rollout would have (where the model's context has room; the state after the last token
    stands for it otherwise).

    Args:
        policy: has a value head.
        trajectories: with tokens.
        after: for each, whether the value behind it is wanted; None for no.
        token_budget: most padded tokens at once; None for 2048 on a CPU and 8192 elsewhere.

    Raises:
        MissingValueHead: the policy has none.
    """
    from rewardlab.policies.value_head import FRESH, MissingValueHead

    if policy.value_head is None:
        raise MissingValueHead(f"the policy has no value head; {FRESH}")
    wanted = [False] * len(trajectories) if after is None else list(after)
    rows = [_states(policy, one, behind) for one, behind in zip(trajectories, wanted, strict=True)]
    budget = token_budget or (2048 if policy.device.type == "cpu" else 8192)
    found = [
        StateValues(before=np.zeros(places.size - behind)) for (_, places), behind in zip(rows, wanted, strict=True)
    ]
    was_training = policy.model.training
    policy.model.eval()
    try:
        for batch in micro_batches([ids.size for ids, _ in rows], budget):
            values = _read_values(policy, [rows[index] for index in batch])
            for index, own in zip(batch, values, strict=True):
                cut = own.size - wanted[index]
                found[index] = StateValues(before=own[:cut], after=float(own[-1]) if wanted[index] else 0.0)
    finally:
        policy.model.train(was_training)
    return found


def _states(
    policy: LanguageModelPolicy, trajectory: Trajectory, after: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids to read, and the positions whose hidden states are the wanted states."""
    tokens = trajectory.tokens
    assert tokens is not None  # checked by who calls
    ids, places = tokens.ids, np.flatnonzero(tokens.step >= 0) - 1
    if not after:
        return ids, places
    arrived = trajectory.observations[-1]
    if arrived and len(trajectory):
        ended = bool(ids.size) and int(ids[-1]) in policy.stop_ids
        glue = policy.template.continuation(trajectory.actions[-1], arrived, ended=ended)
        if policy.context is None or ids.size + len(glue) <= policy.context:
            ids = np.concatenate([ids, np.asarray(glue, dtype=np.int64)])
    return ids, np.append(places, ids.size - 1)


def _read_values(
    policy: LanguageModelPolicy, rows: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]
) -> list[NDArray[np.float64]]:
    padded = np.zeros((len(rows), max(ids.size for ids, _ in rows)), dtype=np.int64)
    for line, (ids, _) in enumerate(rows):
        padded[line, : ids.size] = ids
    lines = np.repeat(np.arange(len(rows)), [places.size for _, places in rows])
    columns = np.concatenate([places for _, places in rows])
    with _kept(policy.model, states=True, first_only=True) as kept:
        policy.model(input_ids=torch.from_numpy(padded).to(policy.device), use_cache=False)
    assert policy.value_head is not None  # checked by who calls
    at = [torch.from_numpy(column).to(kept.states.device) for column in (lines, columns)]
    values = policy.value_head(kept.states[at[0], at[1]]).double().cpu().numpy()
    ends = np.cumsum([places.size for _, places in rows])
    return np.split(values, ends[:-1])


@dataclass(slots=True)
class _Kept:
    states: Any = None
    logits: Any = None


@contextmanager
def _kept(model: nn.Module, *, states: bool, logits: bool = False, first_only: bool = False) -> Iterator[_Kept]:
    """Keep what the output layer gets and gives; with `first_only`, it computes a single position, which nobody wants."""
    kept = _Kept()
    layer = output_layer(model) if states or logits else None
    if layer is None:
        if states or logits:
            raise ValueError(
                f"values and entropy bonuses read what a model's output layer gets and gives, but {type(model).__name__} "
                "shows none (get_output_embeddings); use a transformers causal language model"
            )
        yield kept
        return

    def before(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        kept.states = arguments[0]
        return (arguments[0][:1, :1], *arguments[1:]) if first_only else None

    def behind(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        kept.logits = output

    handles = [layer.register_forward_pre_hook(before)] if states else []
    handles += [layer.register_forward_hook(behind)] if logits else []
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
