"""An encoder and a head as one network, and its place on disk: `model.json` and safetensors, nothing pickled.

A saved model describes itself: which encoder and head with which options, the users it knows, the scale of its values, and
what was done to get there. Loading checks every weight's name and shape, and scores are the same to the bit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rewardlab.registry import SpecError, UnknownName
from rewardlab.rewards.models.base import ENCODERS, HEADS, Batch, Encoded, Encoder, Head, Outputs
from rewardlab.types import Trajectory

FILE = "model.json"
VERSION = 1
CPU_BATCH = 2048
"""The most work in one batch on a processor, whatever is asked for."""


class Network(nn.Module):
    """What is fitted, saved and loaded.

    Args:
        encoder: reads trajectories.
        head: scores features; its width must be the encoder's.
        about: anything else that is to be kept, as JSON values (how it was fitted).

    Raises:
        ValueError: the head asks for features that the encoder does not give.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, encoder: Encoder, head: Head, *, about: dict[str, Any] | None = None) -> None:
        super().__init__()
        width = head.options().get("width")
        if width is not None and width != encoder.width:
            raise ValueError(f"the head expects features of width {width}, the encoder gives {encoder.width}")
        encoder.wants_prompt = encoder.wants_prompt or head.needs_prompt
        encoder.wants_steps = encoder.wants_steps or head.needs_steps
        self.encoder = encoder
        self.head = head
        self.about = dict(about or {})
        self.register_buffer("shift", torch.zeros((), dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.shift.device

    def forward(self, batch: Batch) -> Outputs:
        """The head's outputs for a collated batch."""
        outputs: Outputs = self.head(self.encoder(batch))
        return outputs

    def encode(self, trajectories: Sequence[Trajectory], *, batch_length: int = 16_384) -> Encoded:
        """Features of trajectories, without gradients, in the order given.

        Args:
            trajectories: at least one.
            batch_length: the most work (tokens, padding included) in one batch.
        """
        return self.encode_prepared(self.encoder.prepare(trajectories), batch_length=batch_length)

    @torch.no_grad()
    def encode_prepared(self, prepared: Sequence[Any], *, batch_length: int = 16_384) -> Encoded:
        """`encode`, for inputs that the encoder has prepared already."""
        from rewardlab.policies.batching import micro_batches

        was_training = self.training
        self.eval()
        try:
            find = getattr(self.encoder, "groups", None)
            groups = [[row] for row in range(len(prepared))] if find is None else find(prepared)
            lengths = [self._length([prepared[row] for row in group]) for group in groups]
            overhead = (
                64 if self.device.type == "cpu" else None
            )  # a processor launches work for little, padding costs more
            cut = micro_batches(lengths, batch_length, overhead=overhead)
            batches = [[groups[number] for number in numbers] for numbers in cut]
            pieces = []
            for batch in batches:
                collated = self._collate(prepared, batch)
                pieces.append(self.encoder({name: column.to(self.device) for name, column in collated.items()}))
        finally:
            self.train(was_training)
        order = torch.tensor([row for batch in batches for group in batch for row in group], device=self.device)
        return Encoded.concatenate(pieces).select(torch.argsort(order))

    def _length(self, group: Sequence[Any]) -> int:
        """The work of inputs that share their beginning, or of a single one."""
        return self.encoder.length(group[0]) if len(group) == 1 else int(self.encoder.group_length(group))  # type: ignore[operator]

    def _collate(self, prepared: Sequence[Any], groups: Sequence[Sequence[int]]) -> Batch:
        chosen = [prepared[row] for group in groups for row in group]
        if all(len(group) == 1 for group in groups):
            return self.encoder.collate(chosen)
        numbers = iter(range(len(chosen)))
        batch: Batch = self.encoder.collate_groups(chosen, [[next(numbers) for _ in group] for group in groups])  # type: ignore[operator]
        return batch

    def normalised(self, values: Tensor) -> Tensor:
        """Raw values on the scale that was set when the model was fitted; float64."""
        return (values.double() - self.shift) / self.scale

    # ---- on disk ------------------------------------------------------------------------------------------------------

    def save(self, directory: str | Path) -> Path:
        """Write the network: `model.json`, `encoder.safetensors`, `head.safetensors`, and the encoder's own files.

        Where processes hold parts of the weights (FSDP), all of them have to call it; the first one writes.

        Returns:
            The directory. `model.json` is taken away first and written last, so one that was interrupted holds no model.
        """
        from rewardlab.policies.sharding import whole_on_first

        target = Path(directory)
        with whole_on_first(self) as complete:
            if complete:
                self._write(target)
        return target

    def _write(self, target: Path) -> None:
        from safetensors.torch import save_file

        target.mkdir(parents=True, exist_ok=True)
        (target / FILE).unlink(missing_ok=True)
        self.encoder.save_files(target)
        for name, weights in (("encoder", self.encoder.weights()), ("head", self.head.state_dict())):
            separate = {key: value.detach().cpu().contiguous().clone() for key, value in weights.items()}
            save_file(separate, target / f"{name}.safetensors")
        about = {
            "version": VERSION,
            "encoder": {"type": type(self.encoder).kind, **self.encoder.options()},
            "head": {"type": type(self.head).kind, **self.head.options()},
            "shift": float(self.shift),
            "scale": float(self.scale),
            "about": self.about,
        }
        partial = target / f"{FILE}.partial"
        partial.write_text(json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
        partial.replace(target / FILE)

    @classmethod
    def load(cls, directory: str | Path, *, device: str | torch.device | None = None) -> Network:
        """Read a network that `save` wrote.

        Raises:
            FileNotFoundError: there is no model in that directory.
            SpecError: it names an encoder or a head that is not there, or was written by a later version.
            RuntimeError: weights are missing, or do not fit.
        """
        from safetensors.torch import load_file

        source = Path(directory)
        if not (source / FILE).is_file():
            raise FileNotFoundError(
                f"{source} holds no reward model: there is no {FILE} in it; RewardModel.save writes one, and "
                "RewardModel.from_pretrained reads sequence-classification models of transformers"
            )
        about = json.loads((source / FILE).read_text(encoding="utf-8"))
        if about.get("version") != VERSION:
            raise SpecError(f"{source / FILE} has version {about.get('version')!r}, this program reads {VERSION}")
        options = dict(about["encoder"])
        try:
            encoder_class = ENCODERS.resolve(options.pop("type"))
            head_options = dict(about["head"])
            head_class = HEADS.resolve(head_options.pop("type"))
        except UnknownName as error:
            raise SpecError(f"{source / FILE}: {error}") from error
        encoder = encoder_class.build(options, source)
        encoder.load_weights(load_file(source / "encoder.safetensors"))
        head = head_class(**head_options)
        head.load_state_dict(load_file(source / "head.safetensors"))
        network = cls(encoder, head, about=about["about"])
        network.shift.fill_(about["shift"])
        network.scale.fill_(about["scale"])
        return place(network, device)


def place(network: Network, device: str | torch.device | None) -> Network:
    """Put a network where it scores: on a device, None for a GPU when there is one."""
    return network.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
