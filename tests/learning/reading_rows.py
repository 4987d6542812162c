"""What the tests of reading judgements share: rows of text, and what was read as plain values."""

from __future__ import annotations

import rewardlab as rl
from rewardlab.learning import PreferenceData
from rewardlab.storage.problems import Problems

CHAT = [{"role": "user", "content": "q"}]
GOOD, POOR = {"role": "assistant", "content": "good"}, {"role": "assistant", "content": "poor"}


def read(rows, **options):
    problems = Problems()
    data = rl.read_preferences(rows, problems=problems, **options)
    return data


def told(data: PreferenceData) -> list[tuple[str, str, float]]:
    """First, second and label of every comparison."""
    return [
        (data.items[a].completion, data.items[b].completion, float(label))
        for a, b, label in zip(data.first, data.second, data.label, strict=True)
    ]


def asked(data, row: int = 0) -> list[dict]:
    return data.items[data.first_items()[row]].observations[0]
