"""How `rewardlab.learning.fit` fits a latent head: a row is a user, some of whose comparisons are read, others predicted.

Everything else is as for other heads: held-out comparisons, best weights, checkpoints, several processes. Held-out
comparisons are predicted for users who are read off those that were learned from, and the fitted model remembers the users.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rewardlab.functional.preferences import bradley_terry
from rewardlab.learning.data import PreferenceData
from rewardlab.learning.fitter import Fit
from rewardlab.learning.inputs import evaluating
from rewardlab.learning.latent_users import check_labels, padded_sets, user_sets, winner_and_loser
from rewardlab.learning.losses import Kind, Loss
from rewardlab.learning.tables import Table
from rewardlab.learning.variational import annealed, dealt
from rewardlab.registry import SpecError
from rewardlab.rewards.models.base import Context, Head, Outputs, rows_of
from rewardlab.rewards.models.heads.latent import LatentHead
from rewardlab.training.seats import derived_seed


@dataclass(frozen=True, kw_only=True)
class EvidenceLoss(Loss):
    """The negative evidence lower bound, for latent heads: what `fit_latent` minimises.

    The summed Bradley-Terry loss of a user's predicted comparisons under one sampled vector, plus beta times the KL
    divergence of the posterior from the prior (Poddar et al. 2024, arXiv 2408.10075).

    Args:
        beta: weight of the divergence, at its height. With too large a beta the vector says nothing any more; `diagnose`
            tells.
        anneal: cosine cycles in which beta rises from a tenth to its height; 0 keeps it constant.
        context: comparisons that are read at each step, one number or the range from which it is drawn; users with fewer
            have all but one read. A range from 0 also teaches what to expect of a user of whom nothing is known.
        targets: comparisons that are predicted, at most.
    """

    reads: ClassVar[Kind] = "preferences"

    beta: float = 0.05
    anneal: int = 0
    context: int | tuple[int, int] = (0, 8)
    targets: int = 8

    def __post_init__(self) -> None:
        low, high = self.sizes
        if self.beta < 0:
            raise SpecError(f"beta must not be negative, got {self.beta}; 0 fits without a prior")
        if not 0 <= low <= high or high < 1 or self.targets < 1 or self.anneal < 0:
            raise SpecError(
                "context must be a number or a rising range that ends at 1 or more, targets at least 1, and anneal at least "
                f"0; got context={self.context}, targets={self.targets} and anneal={self.anneal}"
            )

    @property
    def sizes(self) -> tuple[int, int]:
        """The fewest and the most comparisons that are read."""
        low, high = (self.context, self.context) if isinstance(self.context, int) else self.context
        return low, high

    def __call__(self, head: Head, outputs: Outputs, rows: Any) -> Tensor:
        """Refuse: this loss is about users, and not about single comparisons.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            f"the evidence lower bound is about sets of comparisons by users, which a {head.kind} head does not read; use a "
            "latent head, or another loss"
        )


class UserTable(Table):
    """Users with their comparisons.

    Args:
        data: comparisons with their users as annotators.
        head: the latent head.
        device: where the tensors go.
        most: comparisons of a user that are looked at in one step, at most.
        held_out: whether they are only predicted, so that a user may have one alone.

    Raises:
        ValueError: comparisons without users or labels other than 0 and 1, a single user, or nobody with enough of them.
    """

    kind = "preferences"

    def __init__(
        self, data: PreferenceData, head: LatentHead, device: torch.device, *, most: int, held_out: bool = False
    ) -> None:
        self.data, self.device, self.users, self.weight = data, device, None, None
        self.per_row = 2 * most
        self.winner, self.loser = winner_and_loser(data, device)
        self.often = torch.ones(len(data)) if data.weight is None else torch.as_tensor(data.weight, dtype=torch.float32)
        self.often = self.often.to(device)
        if held_out:
            check_labels(data)
            self.names = [*map(str, dict.fromkeys(data.annotators or []))]
            return
        sets = user_sets(data)
        fewest = (head.comparisons or 1) + 1  # sets of another size than "concat" was built for cannot be read
        told = {name: rows for name, rows in sets.items() if len(rows) >= fewest}
        if len(sets) < 2 or not told:
            raise ValueError(
                f"a latent head tells users apart by their comparisons, but there is "
                f"{'a single user, ' + repr(next(iter(sets))) if len(sets) == 1 else f'nobody with {fewest} comparisons'}; "
                "use a scalar head, or give several comparisons of several users"
            )
        skipped = [name for name in sets if name not in told]
        if skipped:
            warnings.warn(
                f"{len(skipped)} of {len(sets)} users have fewer than {fewest} comparisons (such as {skipped[0]!r}) and are "
                "left out: some are read and others predicted",
                stacklevel=2,
            )
        self.names = list(told)
        self.sets, self.counts = padded_sets(list(told.values()), device)

    def __len__(self) -> int:
        return len(self.names)

    def items(self, rows: Tensor) -> Tensor:
        """All items that some users compared; -1 behind the last."""
        sets = self.sets[rows]
        there = torch.arange(sets.shape[1], device=sets.device) < self.counts[rows].unsqueeze(1)
        return torch.cat([torch.where(there, side[sets], -1) for side in (self.winner, self.loser)], 1)

    def rows(self, rows: Tensor, places: Tensor) -> Any:
        """A latent fit draws its comparisons itself."""
        raise NotImplementedError("comparisons of users are drawn by the fit")

    def one_class(self) -> str | None:
        """Users with enough comparisons were made sure of."""
        return None


@dataclass(kw_only=True)
class LatentUsersFit(Fit):
    """A fit of a latent head; a row is a user, so that `batch_size` counts users and an epoch goes over all of them once."""

    def make_loss(self, kind: str) -> Loss:
        """The evidence lower bound.

        Raises:
            ValueError: other judgements than comparisons, or another loss.
        """
        if kind != "preferences":
            raise ValueError(
                f"a latent head is fitted to comparisons whose annotators are the users, but the data are {kind}; give "
                "comparisons, or use another head"
            )
        made = EvidenceLoss() if self.loss is None else super().make_loss(kind)
        if not isinstance(made, EvidenceLoss):
            raise ValueError(
                f"a latent head is fitted by the evidence lower bound of its users' comparisons, got a "
                f"{type(made).__name__}; "
                'leave loss out, or use loss={"type": "evidence_lower_bound"}'
            )
        return made

    def tabulate(self, data: Any, *, held_out: bool = False) -> Table:
        """The users of some comparisons."""
        assert isinstance(self.criterion, EvidenceLoss)
        if not len(data):
            raise ValueError("the comparisons have no rows, so there is nothing to learn from")
        most = (self.latent.comparisons or self.criterion.sizes[1]) + self.criterion.targets
        return UserTable(data, self.latent, self.network.device, most=most, held_out=held_out)

    @property
    def latent(self) -> LatentHead:
        """The head."""
        head = self.network.head
        assert isinstance(head, LatentHead)
        return head

    def _losses(self, rows: Tensor) -> Tensor:
        """The loss of some users. What is drawn does not depend on who else is in the batch, or on the processes."""
        table, criterion, head = self.table, self.criterion, self.latent
        assert isinstance(table, UserTable)
        assert isinstance(criterion, EvidenceLoss)
        assert self.steps is not None
        draw = torch.Generator().manual_seed(derived_seed(self.seed, "users", self.done))
        low, high = criterion.sizes
        size = head.comparisons or int(torch.randint(low, high + 1, (1,), generator=draw).item())
        mixed = torch.rand(table.sets.shape, generator=draw)[rows.cpu()].to(rows.device)
        noise = torch.randn(len(table), head.latent, generator=draw)[rows.cpu()]
        chosen, read, asked = dealt(table.sets[rows], table.counts[rows], size, criterion.targets, mixed)
        both = torch.stack([table.winner[chosen], table.loser[chosen]])
        needed, places = torch.unique(both, return_inverse=True)
        outputs: Outputs = head(self.inputs.encode(needed))
        winner, loser = (outputs["features"][side[:, :size]] for side in places)
        mean, log_variance = head.infer(winner, loser, read[:, :size])
        vectors = mean + (log_variance / 2).exp() * noise.to(mean)
        owner = torch.nonzero(asked)[:, 0]
        logits = head.preference(
            rows_of(outputs, places[0][asked]), rows_of(outputs, places[1][asked]), Context(latent=vectors[owner])
        )
        each = bradley_terry(logits, 1.0) * table.often[chosen[asked]]
        told = each.new_zeros(len(rows)).index_add(0, owner, each)
        return told + criterion.beta * annealed(self.done / self.steps, criterion.anneal) * head.kl(
            mean, log_variance
        ).sum(-1)

    @torch.no_grad()
    def _measured(self) -> dict[str, float]:
        """Loss and accuracy of held-out comparisons by users who are read off those that are learned from."""
        held, head = self.held_table, self.latent
        assert isinstance(held, UserTable)
        assert self.held_inputs is not None
        known = {name: mean for name, (mean, _) in self._posteriors().items()}
        names = held.data.annotators or [None] * len(held.data)
        vectors = torch.stack([known.get(str(name), head.prior_mean) for name in names])
        with evaluating(head):
            outputs: Outputs = head(self.held_inputs.all())
            logits = head.preference(
                rows_of(outputs, held.winner), rows_of(outputs, held.loser), Context(latent=vectors)
            )
        loss = (bradley_terry(logits, 1.0) * held.often).sum() / held.often.sum().clamp(min=1e-12)
        right = (logits > 0).double() + 0.5 * (logits == 0)
        return {"loss": float(loss), "accuracy": float(right.mean())}

    @torch.no_grad()
    def _posteriors(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and log-variance of every user, read off as many comparisons as the fit reads at most."""
        table, criterion, head = self.table, self.criterion, self.latent
        assert isinstance(table, UserTable)
        assert isinstance(criterion, EvidenceLoss)
        most = head.comparisons or criterion.sizes[1]
        stand = torch.arange(table.sets.shape[1], device=table.device) < table.counts.unsqueeze(1)
        draw = torch.Generator().manual_seed(derived_seed(self.seed, "read", 0))
        mixed = torch.rand(table.sets.shape, generator=draw).to(table.device).masked_fill(~stand, 2.0)
        order = mixed.argsort(1)[:, :most]
        rows, read = table.sets.gather(1, order), stand.gather(1, order)
        with evaluating(head):
            features = head(self.inputs.all())["features"]
            mean, log_variance = head.infer(features[table.winner[rows]], features[table.loser[rows]], read)
        return {name: (mean[place], log_variance[place]) for place, name in enumerate(table.names)}

    def _finish(self) -> None:
        """The best weights, the scale of values for nobody in particular, and what is known of the users."""
        super()._finish()
        for name, (mean, log_variance) in self._posteriors().items():
            self.latent.remember(name, mean, log_variance)

    def where(self, rows: list[int]) -> str:
        """Which users some rows are, for messages."""
        names = ", ".join(repr(self.table.names[row]) for row in rows[:20])  # type: ignore[attr-defined]
        return f"comparisons of the users {names}" + (" and others" if len(rows) > 20 else "")


__all__ = ["EvidenceLoss", "LatentUsersFit", "UserTable"]
