"""Inverse reinforcement learning meets language-model post-training (Sun and van der Schaar 2025): the survey's distinctive
lines as proofs. Its checklist is `rewardlab.recipes.checklists`.
"""

from __future__ import annotations

from rewardlab.recipes.irl_llm_survey.demonstrations import ARMS, compare
from rewardlab.recipes.irl_llm_survey.language import Answers, Language
from rewardlab.recipes.irl_llm_survey.proof import RECIPE

__all__ = ["ARMS", "RECIPE", "Answers", "Language", "compare"]
