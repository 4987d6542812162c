"""Ragged token sequences as padded batches with little padding: sorted by length, cut by a budget of padded tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rewardlab.types import Tokens, Trajectory


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Some trajectories' tokens, right-padded.

    Args:
        ids: int64[batch, token].
        attention_mask: int64[batch, token], 1 on real tokens.
        step: int64[batch, token], `Tokens.step`; -1 on padding.
        logprobs: float32[batch, token], `Tokens.logprobs`; 0 on padding.
    """

    ids: Tensor
    attention_mask: Tensor
    step: Tensor
    logprobs: Tensor

    @property
    def written(self) -> Tensor:
        """bool[batch, token]: the tokens that the policy wrote, which are the ones it is trained on."""
        return self.step >= 0


def micro_batches(
    lengths: Sequence[int], token_budget: int, *, most: int | None = None, overhead: int | None = None
) -> list[list[int]]:
    """Split sequences into batches of similar length, so that padding and the number of batches cost least together.

    Args:
        lengths: tokens in each sequence.
        token_budget: the most padded tokens in a batch; a sequence longer than this gets a batch of its own.
        most: the most sequences in a batch; None for no limit.
        overhead: what one more batch costs, in tokens: its share of the time goes to launching work, whatever its size.
            None for a sixteenth of the budget.

    Returns:
        Lists of indices into `lengths`: each index once, batches from long to short (so that memory peaks at the start).
        Of all cuts of the sorted sequences it is one with the smallest sum of padded tokens and overheads.

    Raises:
        ValueError: a limit is below 1, or the overhead below 0.
    """
    if token_budget < 1:
        raise ValueError(f"token_budget must be at least 1, got {token_budget}")
    if most is not None and most < 1:
        raise ValueError(f"most must be at least 1, got {most}")
    if overhead is None:
        overhead = token_budget // 16
    elif overhead < 0:
        raise ValueError(f"overhead must be at least 0, got {overhead}")
    count = len(lengths)
    order = sorted(range(count), key=lambda index: (-lengths[index], index))
    # from the shortest on: what the sequences from here to the end cost at best, and how many the first batch of them takes
    cost = np.zeros(count + 1, dtype=np.int64)
    taken = np.ones(count, dtype=np.int64)
    sizes = np.arange(1, count + 1, dtype=np.int64)
    for start in range(count - 1, -1, -1):
        width = max(1, lengths[order[start]])
        largest = min(count - start, max(1, token_budget // width), most or count)
        costs = cost[start + 1 : start + largest + 1] + width * sizes[:largest]
        best = largest - 1 - int(costs[::-1].argmin())  # the largest batch where several cost the same
        cost[start], taken[start] = overhead + costs[best], best + 1
    batches: list[list[int]] = []
    start = 0
    while start < count:
        batches.append(order[start : start + int(taken[start])])
        start += int(taken[start])
    return batches


def trajectory_tokens(trajectories: Sequence[Trajectory]) -> list[Tokens]:
    """The tokens of trajectories that are to be trained on.

    Raises:
        ValueError: a trajectory has none; the message says which, and where tokens come from.
    """
    found = []
    for index, trajectory in enumerate(trajectories):
        if trajectory.tokens is None:
            raise ValueError(
                f"trajectory {index} has no tokens, so it cannot be trained on: it was not sampled by a LanguageModelPolicy "
                "(an endpoint gives messages alone); for supervised learning, set "
                "trajectory.tokens = policy.encode_demonstration(trajectory)"
            )
        found.append(trajectory.tokens)
    return found


def collate(tokens: Sequence[Tokens], *, pad_id: int = 0, device: torch.device | str = "cpu") -> TokenBatch:
    """Put sequences into one right-padded batch.

    Args:
        tokens: one `Tokens` per trajectory.
        pad_id: what stands on padding; it is never attended to.
        device: where the batch goes.
    """
    if not tokens:
        raise ValueError("a batch needs at least one sequence, got none")
    shape = (len(tokens), max(1, max(len(row) for row in tokens)))
    ids = np.full(shape, pad_id, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    step = np.full(shape, -1, dtype=np.int64)
    logprobs = np.zeros(shape, dtype=np.float32)
    for index, row in enumerate(tokens):
        length = len(row)
        ids[index, :length] = row.ids
        mask[index, :length] = 1
        step[index, :length] = row.step
        logprobs[index, :length] = row.logprobs
    ids_, mask_, step_, logprobs_ = (torch.from_numpy(column).to(device) for column in (ids, mask, step, logprobs))
    return TokenBatch(ids=ids_, attention_mask=mask_, step=step_, logprobs=logprobs_)
