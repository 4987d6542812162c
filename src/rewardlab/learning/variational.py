"""Variational preference learning: a reward with a latent user vector, fitted to sets of comparisons, one set per user.

Of every user's comparisons some are encoded (the context) and *others* are predicted. The set that is encoded and the
comparisons that are predicted never overlap, so that the numbers are about new questions and not about remembered answers.
`rewardlab.learning.fit` minimises the same, with held-out comparisons, checkpoints and the rest of what it does.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from rewardlab.functional.preferences import bradley_terry
from rewardlab.learning.data import PreferenceData
from rewardlab.learning.inputs import CachedFeatures, make_inputs
from rewardlab.learning.latent_users import latent_of, padded_sets, user_sets, winner_and_loser
from rewardlab.rewards.models.base import Context, Outputs, rows_of
from rewardlab.rewards.models.heads.latent import LatentHead
from rewardlab.rewards.models.model import RewardModel
from rewardlab.training.objectives.learner import schedule_factor


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentFit:
    """What `fit_latent` gave.

    Args:
        model: the fitted model.
        metrics: of each step: loss (reconstruction plus weighted divergence), reconstruction, kl, beta.
        skipped: users with a single comparison, of whom nothing can be predicted.
    """

    model: RewardModel
    metrics: list[dict[str, float]]
    skipped: tuple[str, ...]


def fit_latent(
    model: RewardModel,
    data: PreferenceData,
    *,
    beta: float = 0.05,
    anneal: int = 0,
    context: int | tuple[int, int] = (0, 8),
    targets: int = 8,
    steps: int = 1000,
    users: int = 64,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    max_grad_norm: float = 1.0,
    schedule: Literal["constant", "cosine", "linear"] = "cosine",
    normalise: bool = True,
    progress_bar: bool = False,
    seed: int = 0,
) -> LatentFit:
    """Fit a latent head and its encoder by the evidence lower bound, in place.

    The loss of a user is the summed Bradley-Terry loss of the predicted comparisons under one sampled vector, plus beta
    times the KL divergence of the posterior from the prior (Poddar et al. 2024, arXiv 2408.10075, the evidence lower
    bound). With beta too large the vector says nothing any more; `diagnose` tells.

    Args:
        model: with a latent head.
        data: comparisons with their users as annotators; a user may be a set of answers without any other name.
        beta: weight of the divergence, at its height.
        anneal: cosine cycles in which beta rises from a tenth to its height; 0 keeps it constant.
        context: comparisons that are encoded at each step, one number or the range from which it is drawn; users with fewer
            have all but one encoded. A range from 0 also teaches what to expect of a user of whom nothing is known.
        targets: comparisons that are predicted, at most.
        steps: changes of the weights.
        users: in each step, at most.
        learning_rate, weight_decay: of AdamW.
        max_grad_norm: longer gradients are shortened.
        schedule: of the learning rate.
        normalise: whether values for the mean of the prior are scaled to mean 0 and deviation 1 over the items.
        progress_bar: whether there is a bar.
        seed: of the draws.

    Raises:
        ValueError: options out of range, comparisons without users or labels other than 0 and 1, or a single user.
        FloatingPointError: the loss is no number any more.
    """
    head = latent_of(model)
    low, high = (context, context) if isinstance(context, int) else context
    if beta < 0:
        raise ValueError(f"beta must not be negative, got {beta}; 0 fits without a prior")
    if not 0 <= low <= high or high < 1 or targets < 1 or steps < 1 or anneal < 0:
        raise ValueError(
            "context must be a number or a rising range that ends at 1 or more, targets and steps at least 1, and anneal at "
            f"least 0; got context={context}, targets={targets}, steps={steps} and anneal={anneal}"
        )
    used = data.without_unused_items()
    sets = user_sets(used)
    skipped = tuple(name for name, rows in sets.items() if len(rows) < 2)
    told = {name: rows for name, rows in sets.items() if len(rows) > 1}
    if len(sets) < 2 or not told:
        raise ValueError(
            f"a latent head tells users apart by their comparisons, but there is "
            f"{'a single user, ' + repr(next(iter(sets))) if len(sets) == 1 else 'nobody with two comparisons'}; use a "
            "scalar head, or give several comparisons of several users"
        )
    if skipped:
        warnings.warn(
            f"{len(skipped)} of {len(sets)} users have a single comparison (such as {skipped[0]!r}) and are left out: one "
            "is read and another predicted",
            stacklevel=2,
        )
    network = model.network
    if model.device is not None or torch.cuda.is_available():
        network.to(model.device or "cuda")
    device = network.device
    inputs = make_inputs(network, used.items)
    table, counts = padded_sets(list(told.values()), device)
    winner, loser = winner_and_loser(used, device)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=weight_decay)
    draw = torch.Generator().manual_seed(seed)
    history: list[dict[str, float]] = []
    network.train()
    if isinstance(inputs, CachedFeatures):
        network.encoder.eval()
    for step in _track(range(steps), progress_bar):
        size = head.comparisons or int(torch.randint(low, high + 1, (1,), generator=draw).item())
        who = torch.randperm(len(table), generator=draw)[:users].to(device)
        rows, read, asked = _draw(table[who], counts[who], size, targets, draw)
        if head.comparisons is not None:  # sets of any other size cannot be read
            full = read.sum(1) == head.comparisons
            rows, read, asked = rows[full], read[full], asked[full]
            if not len(rows):
                raise ValueError(
                    f'context="concat" reads sets of {head.comparisons} comparisons, and no user of this step has '
                    f'{head.comparisons + 1}; use context="set", which reads sets of any size'
                )
        outputs, first, second = _encode(inputs, head, winner[rows], loser[rows])
        chosen, rejected = (outputs["features"][side[:, :size]] for side in (first, second))
        mean, log_variance = head.infer(chosen, rejected, read[:, :size])
        noise = torch.randn(mean.shape, generator=draw).to(mean)
        vectors = mean + (log_variance / 2).exp() * noise
        owner = torch.nonzero(asked)[:, 0]
        spoken = Context(latent=vectors[owner])
        logits = head.preference(rows_of(outputs, first[asked]), rows_of(outputs, second[asked]), spoken)
        reconstruction = bradley_terry(logits, 1.0).sum() / len(rows)
        kl = head.kl(mean, log_variance).sum(-1).mean()
        now = beta * annealed(step / steps, anneal)
        loss = reconstruction + now * kl
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(weights, max_grad_norm)
        measured = loss.item()
        if not (np.isfinite(measured) and np.isfinite(norm.item())):
            names = list(told)
            raise FloatingPointError(
                f"the loss of step {step + 1} is {measured} and its gradient's length {norm.item()}; its users begin with "
                f"{[names[place] for place in who[:3].tolist()]}; lower learning_rate, or look at their items"
            )
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * schedule_factor(schedule, step / steps, step, 0)
        optimiser.step()
        history.append({"loss": measured, "reconstruction": reconstruction.item(), "kl": kl.item(), "beta": now})
    network.eval()
    if normalise:
        with torch.no_grad():
            values = head.value(head(inputs.all())).double()
            spread = float(values.std(correction=0))
            network.shift.fill_(float(values.mean()))
            network.scale.fill_(spread if spread > 1e-12 else 1.0)
    network.about["fit_latent"] = {
        "beta": beta, "anneal": anneal, "context": [low, high], "targets": targets, "steps": steps,
        "learning_rate": learning_rate, "users": len(told), "comparisons": len(used), "seed": seed,
    }  # fmt: skip
    return LatentFit(model=model, metrics=history, skipped=skipped)


def annealed(done: float, cycles: int) -> float:
    """The share of beta when `done` of the fit is over: cosine cycles from 0.1 to 1, each rising for its whole length."""
    if not cycles:
        return 1.0
    return float(0.1 + 0.9 * (1 - np.cos(np.pi * (done * cycles % 1.0))) / 2)


def _draw(
    table: Tensor, counts: Tensor, size: int, targets: int, draw: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    return dealt(table, counts, size, targets, torch.rand(table.shape, generator=draw).to(table.device))


def dealt(table: Tensor, counts: Tensor, size: int, targets: int, mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Comparisons of some users in random order: rows, which of them are read, and which are predicted; [user, place].

    Args:
        table: int64[user, comparison], the rows of each user.
        counts: int64[user], how many of them stand there.
        size: comparisons that are read; users with fewer have all but one read.
        targets: comparisons that are predicted, at most.
        mixed: float[user, comparison] in [0, 1), by which they are put in order.
    """
    stand = torch.arange(table.shape[1], device=table.device) < counts.unsqueeze(1)
    order = mixed.masked_fill(~stand, 2.0).argsort(1)
    width = min(size + targets, table.shape[1])
    rows = table.gather(1, order)[:, :width]
    place = torch.arange(width, device=table.device)
    read = place < (counts - 1).clamp(max=size).unsqueeze(1)
    limit = torch.minimum(counts, (counts - 1).clamp(max=size) + targets)
    return rows, read, ~read & (place < limit.unsqueeze(1))


def _encode(inputs: Any, head: LatentHead, winner: Tensor, loser: Tensor) -> tuple[Outputs, Tensor, Tensor]:
    """Outputs of the items of some comparisons, and where both sides stand in them."""
    both = torch.stack([winner, loser])
    if inputs.cheap:
        needed, places = both.reshape(-1), torch.arange(both.numel(), device=both.device).view(both.shape)
    else:
        needed, places = torch.unique(both, return_inverse=True)
    outputs: Outputs = head(inputs.encode(needed))
    return outputs, places[0], places[1]


def _track(steps: Any, progress_bar: bool) -> Any:
    if not progress_bar:
        return steps
    from rich.progress import track

    return track(steps, description="fitting")
