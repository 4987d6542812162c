"""Log-probabilities of trajectories under a policy as it is: for diagnostics, and for attempts sampled otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.types import Trajectory


def bare_logprobs(
    policy: Any, trajectories: Sequence[Trajectory], *, temperature: float = 1.0, token_budget: int = 4096
) -> list[NDArray[np.float32] | None]:
    """Log-probability of every written token of some trajectories, as their tokens stand.

    Args:
        policy: with a torch `.model`.
        trajectories: those without tokens give None.
        temperature: of the sampling.
        token_budget: most padded tokens at once.

    Returns:
        For each float32[token], 0 where the policy wrote nothing; or None.
    """
    import torch

    from rewardlab.policies.batching import collate, micro_batches
    from rewardlab.policies.logprobs import token_logprobs

    found: list[NDArray[np.float32] | None] = [None] * len(trajectories)
    places = [index for index, one in enumerate(trajectories) if one.tokens is not None and len(one.tokens)]
    lengths = [len(trajectories[index].tokens or ()) for index in places]
    policy.model.eval()
    for rows in micro_batches(lengths, token_budget) if places else []:
        members = [places[row] for row in rows]
        batch = collate([one for index in members if (one := trajectories[index].tokens) is not None])
        ids, mask = batch.ids.to(policy.device), batch.attention_mask.to(policy.device)
        with torch.no_grad():
            logprobs = token_logprobs(
                policy.model, ids, mask, positions_mask=batch.written.to(policy.device), temperature=temperature
            )
        table = logprobs.float().cpu().numpy()
        for row, index in enumerate(members):
            found[index] = table[row, : len(trajectories[index].tokens or ())].copy()
    return found
