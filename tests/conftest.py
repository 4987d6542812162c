"""Shared by all tests: one thread per process, so that runs repeat and workers do not fight over cores."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# a deadline would be an assertion on time, which a loaded machine breaks
settings.register_profile("rewardlab", deadline=None)
settings.load_profile("rewardlab")
