"""Agent-RLVR in the repair shop: guidance from the reference patch and from what the failing tests said."""

from __future__ import annotations

from rewardlab.environments.repair_shop.demonstrator import WORDS
from rewardlab.training.guidance import ReferenceTeacher
from rewardlab.types import Scores, Task, Trajectory


def repair_teacher() -> ReferenceTeacher:
    """Guidance for tasks of the repair shop: what kind of mistake it is, what the hidden tests said, and where it stands.

    It never says how the line should read. The first mistake of several is spoken of.
    """
    return ReferenceTeacher(
        key="bugs", plan=_plan, feedback="{note}", interaction="Look at line {line} of {file}, in {function}."
    )


def _plan(task: Task, trajectory: Trajectory, scores: Scores) -> str:
    kind = task.reference["bugs"][0]["kind"]
    return f"Repair one line and leave the rest: {WORDS[kind]}." if kind in WORDS else ""
