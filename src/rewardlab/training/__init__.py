"""How a policy improves: the loop of five seats, credit, objectives, curricula, checkpoints and what is measured.

Names load lazily: importing this room imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rewardlab.lazy import lazy_names
from rewardlab.training.credit import CREDITS
from rewardlab.training.curricula import CURRICULA
from rewardlab.training.objectives import OBJECTIVES
from rewardlab.training.trackers import TRACKERS

if TYPE_CHECKING:
    from rewardlab.training import credit, curricula, guidance, objectives
    from rewardlab.training.asynchronous import AsyncLoop, SimulatedClock
    from rewardlab.training.checkpoint import Checkpoints
    from rewardlab.training.control import ControlTraining, train_control
    from rewardlab.training.curricula import Fixed, Shuffled
    from rewardlab.training.evaluation import Evaluation
    from rewardlab.training.guidance import Guided
    from rewardlab.training.hacking import HackingMonitor
    from rewardlab.training.loop import StepReport, Trainer, Training, TrainingStopped, train
    from rewardlab.training.machine_q import MachineQLearning, machine_q_learning
    from rewardlab.training.metrics import RunFolder
    from rewardlab.training.preferences import PreferenceTraining, train_on_preferences
    from rewardlab.training.replay import FailureReplay
    from rewardlab.training.self_improvement import SelfImprove, better_of_both
    from rewardlab.training.warm_start import WarmStart

__getattr__, __dir__, _ = lazy_names(
    __name__,
    {
        "rewardlab.training.asynchronous": ["AsyncLoop", "SimulatedClock"],
        "rewardlab.training.checkpoint": ["Checkpoints"],
        "rewardlab.training.control": ["ControlTraining", "train_control"],
        "rewardlab.training.curricula": ["Fixed", "Shuffled"],
        "rewardlab.training.evaluation": ["Evaluation"],
        "rewardlab.training.guidance": ["Guided"],
        "rewardlab.training.hacking": ["HackingMonitor"],
        "rewardlab.training.loop": ["StepReport", "Trainer", "Training", "TrainingStopped", "train"],
        "rewardlab.training.machine_q": ["MachineQLearning", "machine_q_learning"],
        "rewardlab.training.metrics": ["RunFolder"],
        "rewardlab.training.preferences": ["PreferenceTraining", "train_on_preferences"],
        "rewardlab.training.replay": ["FailureReplay"],
        "rewardlab.training.self_improvement": ["SelfImprove", "better_of_both"],
        "rewardlab.training.warm_start": ["WarmStart"],
    },
    rooms=["credit", "curricula", "guidance", "objectives"],
)

__all__ = [
    "CREDITS",
    "CURRICULA",
    "OBJECTIVES",
    "TRACKERS",
    "AsyncLoop",
    "Checkpoints",
    "ControlTraining",
    "Evaluation",
    "FailureReplay",
    "Fixed",
    "Guided",
    "HackingMonitor",
    "MachineQLearning",
    "PreferenceTraining",
    "RunFolder",
    "SelfImprove",
    "Shuffled",
    "SimulatedClock",
    "StepReport",
    "Trainer",
    "Training",
    "TrainingStopped",
    "WarmStart",
    "better_of_both",
    "credit",
    "curricula",
    "guidance",
    "machine_q_learning",
    "objectives",
    "train",
    "train_control",
    "train_on_preferences",
]
