"""Reflections between attempts, and how the model that writes them is trained (Retroformer, Yao et al. 2023, arXiv
2308.02151).

`attempts` runs attempt, reflection, attempt; `memory` shows reflections to the actor; `ratings` says what each was
worth; `stages` trains the writer.
"""

from __future__ import annotations

from rewardlab.training.retrospection.attempts import Retrospective, reflect, reflection_prompt, success_after
from rewardlab.training.retrospection.memory import NotReproducible, Remembering, remembering
from rewardlab.training.retrospection.ratings import Rating, Ratings, ratings_from_logs, ratings_of
from rewardlab.training.retrospection.stages import RetroformerTrainer, RetryReward, reflection_tasks

__all__ = [
    "NotReproducible",
    "Rating",
    "Ratings",
    "Remembering",
    "RetroformerTrainer",
    "Retrospective",
    "RetryReward",
    "ratings_from_logs",
    "ratings_of",
    "reflect",
    "reflection_prompt",
    "reflection_tasks",
    "remembering",
    "success_after",
]
