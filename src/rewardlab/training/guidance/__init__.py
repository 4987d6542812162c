"""Guidance that is in the prompt while attempting and left out when learning.

`hints` shows and strips it, `teachers` write it, `leaks` looks for answers given away, `rolling` tries failures again with
it, `pairs` makes preferences of the outcome, `checks` looks for flaky verifiers and broken tasks. After Agent-RLVR (Da
et al. 2025, arXiv 2506.11425).
"""

from __future__ import annotations

from rewardlab.training.guidance.checks import Twice, sound_tasks
from rewardlab.training.guidance.hints import PARTS, TEMPLATE, Guidance, HintFormat, with_prompt
from rewardlab.training.guidance.leaks import LeakCheck, copied_share, longest_common_span
from rewardlab.training.guidance.logprobs import bare_logprobs
from rewardlab.training.guidance.pairs import PairSet, Provenance, build_pairs, check_apart, weights_hash
from rewardlab.training.guidance.rolling import Guided, guidance_metrics
from rewardlab.training.guidance.teachers import ModelTeacher, ReferenceTeacher, Teacher

__all__ = [
    "PARTS",
    "TEMPLATE",
    "Guidance",
    "Guided",
    "HintFormat",
    "LeakCheck",
    "ModelTeacher",
    "PairSet",
    "Provenance",
    "ReferenceTeacher",
    "Teacher",
    "Twice",
    "bare_logprobs",
    "build_pairs",
    "check_apart",
    "copied_share",
    "guidance_metrics",
    "longest_common_span",
    "sound_tasks",
    "weights_hash",
    "with_prompt",
]
