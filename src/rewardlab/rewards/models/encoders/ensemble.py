"""Several encoders of one architecture as one, for ensembles whose members share nothing."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from rewardlab.rewards.models.base import ENCODERS, Batch, Encoded, Encoder
from rewardlab.rewards.models.encoders.arrays import MLPEncoder, pooled
from rewardlab.rewards.models.heads.ensemble import difference
from rewardlab.rewards.models.stacked import Stacked, stacked_layers
from rewardlab.types import Trajectory


class EnsembleEncoder(Encoder):
    """Encoders that differ in their weights alone, computed in one batched pass; their features stand side by side.

    It goes with an `EnsembleHead` that shares nothing (`shared=False`), which gives every member its own part.

    Args:
        encoder: the members' type and options.
        members: how many; at least 2.
        seed: added to the number of a member, where the encoders are drawn by a seed.

    Raises:
        ValueError: fewer than 2 members, or encoders that read images (these share one encoder) or texts (of which
            `TextEnsembleEncoder` makes an ensemble).
    """

    kind = "ensemble"
    _reads_texts: ClassVar[bool] = False

    def __init__(self, encoder: Mapping[str, Any] | str, *, members: int = 10, seed: int = 0) -> None:
        if members < 2:
            raise ValueError(f"an ensemble needs at least 2 members, got {members}: one member cannot disagree")
        target, options = ENCODERS.target(encoder)
        drawn = "seed" in inspect.signature(target).parameters and "seed" not in options
        seeds = [{"seed": seed + number} if drawn else {} for number in range(members)]
        self._join([target(**options, **drawn_by) for drawn_by in seeds], seed)

    @classmethod
    def of(cls, encoders: Sequence[Encoder]) -> EnsembleEncoder:
        """An ensemble of encoders that exist; their weights are copied, the first becomes its frame.

        Raises:
            ValueError: encoders of different kinds, options or shapes.
        """
        for number, encoder in enumerate(encoders):
            different = difference(encoders[0], encoder)
            if different:
                raise ValueError(f"the encoder of member {number} is not like that of member 0: {different}")
        made = cls.__new__(cls)
        made._join(list(encoders), 0)
        return made

    def _join(self, encoders: list[Encoder], seed: int) -> None:
        nn.Module.__init__(self)
        first = encoders[0]
        if hasattr(first, "collate_groups") and not self._reads_texts:
            raise ValueError(
                f"{len(encoders)} whole {first.kind} encoders are too much for one pass; let the members share one "
                "encoder (share_encoder=True), or fit whole models one by one and combine them with "
                "rewardlab.rewards.ensemble"
            )
        options = {name: value for name, value in first.options().items() if name != "seed"}
        self._options = {"encoder": {"type": type(first).kind, **options}, "members": len(encoders), "seed": seed}
        self.members, self.width = len(encoders), first.width * len(encoders)
        self.frozen = first.frozen
        self.stacked = Stacked(encoders, share_frozen=getattr(first, "lora", None) is not None)

    @property
    def member(self) -> Encoder:
        """An encoder like each of the members; its weights have the axis of members in front."""
        encoder = self.stacked.frame
        assert isinstance(encoder, Encoder)
        return encoder

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    def prepare(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """As each member does; all read the same."""
        return self.member.prepare(trajectories)

    def length(self, prepared: Any) -> int:
        """The work of one member."""
        return self.member.length(prepared)

    def collate(self, prepared: Sequence[Any]) -> Batch:
        """As each member does."""
        return self.member.collate(prepared)

    def forward(self, batch: Batch) -> Encoded:
        """The members' features side by side, `[trajectory, member * width]`."""
        first = self.member
        if type(first) is MLPEncoder:
            steps = stacked_layers(first.layers, batch["inputs"])
            if steps is not None:
                return _mlp(first, steps, batch["mask"], getattr(self, "wants_steps", True))

        def one(encoder: Encoder, given: Batch) -> dict[str, Tensor]:
            encoded = encoder(given)
            columns = {name: getattr(encoded, name) for name in ("response", "prompt", "steps", "step_mask")}
            return {name: column for name, column in columns.items() if column is not None}

        columns = self.stacked.each(one, batch, axes=None)
        mask = columns.pop("step_mask", None)
        joined = {name: column.movedim(0, -2).flatten(-2) for name, column in columns.items()}
        return Encoded(step_mask=None if mask is None else mask[0], **joined)


def _mlp(member: MLPEncoder, steps: Tensor, mask: Tensor, wants_steps: bool) -> Encoded:
    """Features of perceptrons, from those of all steps, float[member, trajectory, step, width]."""
    beside = steps.movedim(0, -2).flatten(-2)
    response = beside[:, 0] if beside.shape[1] == 1 else pooled(beside, mask, member.pool)  # one step is its own mean
    return Encoded(response=response, steps=beside if wants_steps else None, step_mask=mask if wants_steps else None)
