"""How a policy improves: the loop of five seats, credit, objectives, curricula, checkpoints and what is measured.

Names load lazily: importing this room imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rewardlab.training.credit import CREDITS
from rewardlab.training.curricula import CURRICULA
from rewardlab.training.objectives import OBJECTIVES
from rewardlab.training.trackers import TRACKERS

if TYPE_CHECKING:
    from rewardlab.training import credit, curricula, objectives
    from rewardlab.training.checkpoint import Checkpoints
    from rewardlab.training.curricula import Fixed, Shuffled
    from rewardlab.training.evaluation import Evaluation
    from rewardlab.training.loop import StepReport, Trainer, Training, TrainingStopped, train
    from rewardlab.training.metrics import RunFolder
    from rewardlab.training.warm_start import WarmStart

_LAZY = {
    "Checkpoints": "checkpoint",
    "Evaluation": "evaluation",
    "Fixed": "curricula",
    "RunFolder": "metrics",
    "Shuffled": "curricula",
    "StepReport": "loop",
    "Trainer": "loop",
    "Training": "loop",
    "TrainingStopped": "loop",
    "WarmStart": "warm_start",
    "train": "loop",
}
_ROOMS = ("credit", "curricula", "objectives")


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "CREDITS",
    "CURRICULA",
    "OBJECTIVES",
    "TRACKERS",
    "Checkpoints",
    "Evaluation",
    "Fixed",
    "RunFolder",
    "Shuffled",
    "StepReport",
    "Trainer",
    "Training",
    "TrainingStopped",
    "WarmStart",
    "credit",
    "curricula",
    "objectives",
    "train",
]
