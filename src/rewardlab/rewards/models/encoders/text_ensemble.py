"""Several text models of one architecture as one: whole models, or adapters on one base, computed in one batched pass.

The weights have an axis of members in front, and transformers' own code runs under `torch.func.vmap`. What all members read,
batches, padding, masks and prompts that are computed once, is made once. The products themselves are as many as the members
are, so this saves what surrounds them and not the arithmetic; where one text fills the processor, ten members take ten times
as long.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from rewardlab.rewards.models.base import Batch, Encoded, Encoder
from rewardlab.rewards.models.encoders import packing
from rewardlab.rewards.models.encoders.ensemble import EnsembleEncoder
from rewardlab.rewards.models.encoders.text import TextEncoder
from rewardlab.types import Trajectory


class TextEnsembleEncoder(EnsembleEncoder):
    """Text encoders that differ in their weights alone; `of` makes one out of `TextEncoder`s, `fit_ensemble` calls it.

    Raises:
        ValueError: fewer than 2 members, encoders that are not alike, adapters on different bases, or gradient
            checkpointing, which cannot be had under `vmap`.
    """

    kind = "text_ensemble"
    _reads_texts: ClassVar[bool] = True

    def __init__(self, *_: Any, **__: Any) -> None:
        raise ValueError(
            "an ensemble of text encoders is made of encoders that exist: TextEnsembleEncoder.of([...]), or rl.fit_ensemble"
        )

    def _join(self, encoders: list[Encoder], seed: int) -> None:
        if len(encoders) < 2:
            raise ValueError(f"an ensemble needs at least 2 members, got {len(encoders)}: one member cannot disagree")
        first = encoders[0]
        assert isinstance(first, TextEncoder)
        if first.gradient_checkpointing:
            raise ValueError(
                "activations of an ensemble of whole models cannot be computed again, which gradient_checkpointing asks "
                "for; leave it out and bound batch_length, or let the members share one encoder (share_encoder=True)"
            )
        for encoder in encoders:  # whether prompts can be shared is asked of the joined weights
            encoder._packs = None  # type: ignore[assignment]
        super()._join(encoders, seed)
        frozen = [name for name, weight in first.named_parameters() if not weight.requires_grad]
        different = sorted(set(frozen) - self.stacked.shared)
        if first.lora is not None and different:
            raise ValueError(
                f"adapters of an ensemble stand on one base, but {different[0]!r} is not the same in all members; let "
                "make(number) load the same model and use the number as the seed of the adapters, lora={..., 'seed': number}"
            )
        self._packs: bool | None = None

    @property
    def member(self) -> TextEncoder:
        """An encoder like each of the members; its weights have the axis of members in front, but for a common base."""
        encoder = self.stacked.frame
        assert isinstance(encoder, TextEncoder)
        encoder.wants_prompt, encoder.wants_steps = self.wants_prompt, self.wants_steps
        return encoder

    @property
    def tokenizer(self) -> Any:
        """That of all members."""
        return self.member.tokenizer

    @property
    def truncated(self) -> int:
        """How many texts were cut since the encoder was made."""
        return self.member.truncated

    # ---- batches --------------------------------------------------------------------------------------------------------

    @property
    def packs(self) -> bool:
        """Whether texts can share the computation of a prompt: tried out on the first member."""
        if self._packs is None:
            member = self.member
            possible = member.share_prompts and member.pool == "last" and member.places
            with torch.no_grad():
                self._packs = bool(possible and self.stacked.alone(0, packing.works))
            member._packs = self._packs
        return self._packs

    def prepare(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """As each member does; all read the same."""
        return self.member.prepare(trajectories)

    def groups(self, prepared: Sequence[Any]) -> list[list[int]]:
        """Prepared texts by prompt; see `TextEncoder.groups`."""
        return self.member.groups(prepared) if self.packs else [[index] for index in range(len(prepared))]

    def group_length(self, prepared: Sequence[Any]) -> int:
        """Tokens of the row that a group becomes; see `TextEncoder.group_length`."""
        return self.member.group_length(prepared) if self.packs else max(len(one) for one in prepared)

    def collate_groups(self, prepared: Sequence[Any], groups: Sequence[Sequence[int]]) -> Batch:
        """Like `collate`, but texts that share a beginning share its computation."""
        return self.member.collate_groups(prepared, groups) if self.packs else self.collate(prepared)

    def forward(self, batch: Batch) -> Encoded:
        """The members' features side by side, `[trajectory, member * width]`."""
        _ = self.member  # told what the head wants
        with (
            warnings.catch_warnings()
        ):  # attention runs member by member, which costs less than another attention would
            warnings.filterwarnings("ignore", message="There is a performance drop because", category=UserWarning)
            return super().forward(batch)

    # ---- on disk --------------------------------------------------------------------------------------------------------

    def save_files(self, directory: Path) -> None:
        """Write the tokenizer, the model's configuration, and a common base that cannot be had again by name."""
        self.member.save_files(directory)

    @classmethod
    def build(cls, options: Mapping[str, Any], directory: Path) -> TextEnsembleEncoder:
        """Make the ensemble again; weights that were trained are loaded later."""
        given = {name: value for name, value in options["encoder"].items() if name != "type"}
        first = TextEncoder.build(given, directory)
        made = cls.of([first, *(copy.deepcopy(first) for _ in range(options["members"] - 1))])
        assert isinstance(made, TextEnsembleEncoder)
        return made

    def weights(self) -> dict[str, Tensor]:
        """What was trained: all weights, or the adapters."""
        return self.member.weights()

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take back what `weights` gave.

        Raises:
            RuntimeError: a weight is missing or does not fit.
        """
        self.member.load_weights(weights)
