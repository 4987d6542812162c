"""RAFT (Dong et al. 2023, TMLR): sample k answers, keep the best, imitate them, repeat; with its claims as a proof.

`stages.py` is the method (`RaftStages`), `samplers.py` what it needs of a policy, `world.py` and `proof.py` the proof. For a
plain training run, objective "raft" with credit "best" does the same inside `rewardlab train`.
"""

from __future__ import annotations

from rewardlab.recipes.raft.proof import FRONTIER, RECIPE
from rewardlab.recipes.raft.samplers import PolicySampler, Sampler
from rewardlab.recipes.raft.stages import RaftStages, StageReport

__all__ = ["FRONTIER", "RECIPE", "PolicySampler", "RaftStages", "Sampler", "StageReport"]
