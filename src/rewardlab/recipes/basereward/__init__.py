"""BaseReward (Zhang et al. 2025): a scalar head on a vision-language trunk, and the controlled study behind it.

The model is any encoder with an `MLPHead`, fitted with the Bradley-Terry loss; the study is `Ablation` and `source_audit` of
`rewardlab.learning`; `shortcut_report` says what a score is worth beside what needs no picture.
"""

from __future__ import annotations

from rewardlab.learning.ablation import Ablation, AblationTable, source_audit
from rewardlab.recipes.basereward.arms import Arms
from rewardlab.recipes.basereward.checks import (
    ShortcutReport,
    check_images,
    length_margins,
    refuse_overlap,
    shortcut_report,
    shuffled_images,
    text_only_accuracy,
)
from rewardlab.recipes.basereward.encoder import PatchTextEncoder
from rewardlab.recipes.basereward.ensemble import rescaled, scalar_ensemble
from rewardlab.recipes.basereward.proof import RECIPE
from rewardlab.recipes.basereward.world import World
from rewardlab.rewards.models.heads.mlp import MLPHead

__all__ = [
    "RECIPE",
    "Ablation",
    "AblationTable",
    "Arms",
    "MLPHead",
    "PatchTextEncoder",
    "ShortcutReport",
    "World",
    "check_images",
    "length_margins",
    "refuse_overlap",
    "rescaled",
    "scalar_ensemble",
    "shortcut_report",
    "shuffled_images",
    "source_audit",
    "text_only_accuracy",
]
