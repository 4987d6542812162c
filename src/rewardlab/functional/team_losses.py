"""Auxiliary losses that make agents of a team coordinate: predicted team-mates (TeamReg), masks from a coach (CoachReg).

Both are from Roy et al. 2020, "Promoting Coordination through Policy Regularization in Multi-Agent Deep Reinforcement
Learning" (arXiv 1908.02269), sections 4.1 and 4.2. They are added to whatever objective the agents' policies have.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def action_distance(predicted: Tensor, real: Tensor, *, discrete: bool) -> Tensor:
    """How far a prediction of a team-mate's actions is off.

    Args:
        predicted: float[N, action], logits where discrete, else actions.
        real: the team-mate's own, likewise.
        discrete: KL of the prediction from the real distribution, else the squared error.

    Returns:
        The mean over N.
    """
    if predicted.shape != real.shape:
        raise ValueError(
            f"the prediction has shape {tuple(predicted.shape)} and the actions {tuple(real.shape)}; team-mates whose "
            "action spaces differ need a head of their own for each"
        )
    if not discrete:
        return ((predicted - real) ** 2).sum(-1).mean()
    logs = torch.log_softmax(real, -1)
    return (logs.exp() * (logs - torch.log_softmax(predicted, -1))).sum(-1).mean()


def team_reg_loss(
    predictions: Sequence[Sequence[Tensor | None]],
    actions: Sequence[Tensor],
    *,
    predict: float,
    be_predictable: float,
    discrete: bool = True,
) -> Tensor:
    """What TeamReg adds: every agent predicts its team-mates, and every agent is predictable.

    Args:
        predictions: `predictions[i][j]` is agent i's prediction of agent j, float[N, action]; None for itself.
        actions: of each agent, float[N, action]: logits where discrete.
        predict: lambda 1, weight of the distance as a loss of those who predict.
        be_predictable: lambda 2, weight of the same distance as a loss of those who are predicted.
        discrete: whether actions are logits.

    Returns:
        A number; 0 for a single agent, or where both weights are 0.
    """
    total = actions[0].new_zeros(())
    for place, row in enumerate(predictions):
        for other, predicted in enumerate(row):
            if other == place or predicted is None:
                continue
            if predict:
                total = total + predict * action_distance(predicted, actions[other].detach(), discrete=discrete)
            if be_predictable:
                total = total + be_predictable * action_distance(predicted.detach(), actions[other], discrete=discrete)
    return total


def expand_mask(mask: Tensor, width: int) -> Tensor:
    """A one-hot mask over groups as a mask over hidden units.

    Args:
        mask: float[N, masks], one-hot (hard Gumbel-softmax, so that gradients pass).
        width: number of hidden units, a multiple of the number of masks.

    Returns:
        float[N, width].
    """
    count = mask.shape[-1]
    if width % count:
        raise ValueError(f"{count} masks do not divide {width} hidden units; use {count * round(width / count)} units")
    return mask.repeat_interleave(width // count, dim=-1)


def mask_divergence(coach: Tensor, agents: Sequence[Tensor]) -> Tensor:
    """J_E: KL of the agents' mask distributions from the coach's, the mean over agents.

    Args:
        coach: float[N, masks], logits from all observations.
        agents: logits of each agent from its own, float[N, masks].
    """
    logs = torch.log_softmax(coach, -1)
    each = [(logs.exp() * (logs - torch.log_softmax(agent, -1))).sum(-1).mean() for agent in agents]
    return torch.stack(each).mean()


def coach_reg_loss(
    coach: Tensor,
    agents: Sequence[Tensor],
    coached_value: Tensor | None = None,
    *,
    follow: float,
    play_coached: float = 0.0,
    be_followed: float = 0.0,
) -> Tensor:
    """What CoachReg adds: agents choose the masks that the coach would, play well under them, and it asks what they can.

    Args:
        coach: float[N, masks], its logits.
        agents: logits of each agent.
        coached_value: the critic's value of all agents under the coach's sampled mask, float[N]; J_PGE is its negative.
        follow: lambda 1, of J_E to the agents.
        play_coached: lambda 2, of J_PGE.
        be_followed: lambda 3, of J_E to the coach.
    """
    loss = follow * mask_divergence(coach.detach(), agents)
    loss = loss + be_followed * mask_divergence(coach, [agent.detach() for agent in agents])
    if play_coached:
        if coached_value is None:
            raise ValueError("play_coached needs coached_value=, the critic's value under the coach's mask")
        loss = loss - play_coached * coached_value.mean()
    return loss
