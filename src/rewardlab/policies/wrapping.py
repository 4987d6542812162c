"""What stands inside a model that others have wrapped."""

from __future__ import annotations

from typing import Any

from torch import nn


def unwrapped(model: nn.Module) -> Any:
    """The model inside DistributedDataParallel and its like; a bare one is returned as it is."""
    while isinstance(getattr(model, "module", None), nn.Module):
        model = model.module  # type: ignore[assignment]
    return model
