"""What encoders that hold a pretrained model share: dropout of frozen ones, and which weights are saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from rewardlab.policies.lora import LoraSettings
from rewardlab.rewards.models.base import Encoder
from rewardlab.rewards.models.encoders import backbones


class PretrainedEncoder(Encoder):
    """An encoder around a transformers model, `backbone`, which is frozen, has adapters, or is trained whole."""

    backbone: Any
    source: str | None
    """The model's name, where it can be had again by it."""
    lora: LoraSettings | None
    save_base: bool | None
    """Whether base weights are saved too; None for where they have no name."""

    def train(self, mode: bool = True) -> Self:
        """Switch dropout on or off; a frozen model keeps it off."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def weights(self) -> dict[str, Tensor]:
        """What was trained: all weights, the adapters, or nothing."""
        return backbones.trained(self.backbone, frozen=self.frozen, adapters=self.lora is not None)

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take back what `weights` gave.

        Raises:
            RuntimeError: a weight is missing or does not fit.
        """
        backbones.load_trained(self.backbone, self.weights(), weights)

    def _save_backbone(self, directory: Path) -> None:
        """Write the model's configuration, and base weights that cannot be had again by name."""
        trained_apart = self.frozen or self.lora is not None
        keep = self.source is None if self.save_base is None else self.save_base
        backbones.save_backbone(self.backbone, directory / "backbone", weights=trained_apart and keep)

    @staticmethod
    def _backbone_from(directory: Path, source: str | None, given: Mapping[str, Any], *, classifier: bool) -> Any:
        """The model again: empty where all of its weights were trained and are loaded later."""
        if not given["frozen"] and given["lora"] is None:
            return backbones.empty(directory / "backbone", classifier, given["dtype"], given["options"])
        return backbones.saved(directory, source, classifier, given["dtype"], given["options"])
