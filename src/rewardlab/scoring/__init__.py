"""Scoring what is on disk: files larger than memory, with means that have intervals, and runs that go on after a crash."""

from __future__ import annotations

from rewardlab.scoring.batches import ScatteredGroups
from rewardlab.scoring.journal import ResumeRefused
from rewardlab.scoring.rows import read_scores
from rewardlab.scoring.run import score
from rewardlab.scoring.statistics import Mean
from rewardlab.scoring.summary import PartSummary, Reason, ScoreSummary

__all__ = ["Mean", "PartSummary", "Reason", "ResumeRefused", "ScatteredGroups", "ScoreSummary", "read_scores", "score"]
