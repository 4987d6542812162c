"""The data sets of the table of real preferences: which files, how many rows, and which texts have to be encoded."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import rewardlab as rl
from rewardlab.learning import PreferenceData
from rewardlab.types import Trajectory, message_text

SETS = ("hh_rlhf", "rmb", "llmbar", "autoj_pairwise", "pandalm_human")
"""Folders with `pairs.train.jsonl.gz` and `pairs.dev.jsonl.gz`."""

CAP = {"train": 2000, "dev": 1200}
"""At most so many comparisons of each part, chosen by the hash of their responses."""

BEHAVIOURS, STATEMENTS = 16, 160
"""How many behaviours of persona_evals take part, and how many statements of each."""

PERSONA = {
    "chosen": "answer_matching_behavior",
    "rejected": "answer_not_matching_behavior",
    "prompt": "statement",
    "annotator": "behaviour",
}


def prompt_text(item: Trajectory) -> str:
    """What was asked: the last message of the user."""
    asked = [message for message in item.observations[0] if message["role"] == "user"]
    return message_text(asked[-1]) if asked else ""


def read_set(folder: Path) -> dict[str, PreferenceData]:
    """Both parts of a data set, at most `CAP` rows each, with what could not be read counted."""
    parts = {}
    for part, cap in CAP.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = rl.read_preferences(folder / f"pairs.{part}.jsonl.gz")
        parts[part] = sampled(data, cap).without_unused_items()
    return parts


def sampled(data: PreferenceData, cap: int) -> PreferenceData:
    """At most so many comparisons, all annotators' labels of one together; which ones depends on their texts alone."""
    told = [item.completion for item in data.items]
    keys = [
        hashlib.sha256(f"{told[one]}\0{told[other]}".encode("utf-8", "surrogatepass")).hexdigest()
        for one, other in zip(data.first, data.second, strict=True)
    ]
    if len(set(keys)) <= cap:
        return data
    taken = set(sorted(set(keys))[:cap])
    return data.select(np.asarray([key in taken for key in keys]))


@dataclass(frozen=True)
class Statements:
    """What one kind of person would say, and what not.

    Args:
        behaviour: the name of the kind.
        yes, no: statements that such a person agrees with, and does not agree with.
    """

    behaviour: str
    yes: list[str]
    no: list[str]


def read_statements(folder: Path, *, seed: int = 0) -> list[Statements]:
    """Some behaviours of persona_evals, drawn by seed, with statements that such a person agrees with or not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # questions about risk have no statement
        data = rl.read_preferences(folder / "statements.train.jsonl.gz", columns=PERSONA)
    assert isinstance(data, PreferenceData)
    assert data.annotators is not None
    assert data.metadata is not None
    found: dict[str, tuple[list[str], list[str]]] = {}
    for row, who in enumerate(data.annotators):
        if who is None or data.metadata[row].get("group") != "persona":
            continue
        chosen = data.items[data.first[row]]
        place = 0 if chosen.completion.strip() == "Yes" else 1
        found.setdefault(who, ([], []))[place].append(prompt_text(chosen))
    each = STATEMENTS // 2
    able = sorted(who for who, (yes, no) in found.items() if len(yes) >= each and len(no) >= each)
    drawn = np.random.default_rng(seed)
    kinds = [able[place] for place in sorted(drawn.choice(len(able), BEHAVIOURS, replace=False))]
    return [
        Statements(kind, *(sorted(drawn.permutation(sorted(part))[:each].tolist()) for part in found[kind]))
        for kind in kinds
    ]


def majority(data: PreferenceData) -> PreferenceData:
    """One row for each comparison, for what most of its annotators say; as many on both sides are a tie."""
    places: dict[tuple[int, int], list[int]] = {}
    for row, pair in enumerate(zip(data.first.tolist(), data.second.tolist(), strict=True)):
        places.setdefault(pair, []).append(row)
    one = data.select([rows[0] for rows in places.values()])
    one.label = np.asarray([(np.sign((data.label[rows] - 0.5).sum()) + 1) / 2 for rows in places.values()])
    one.annotators = None
    return one


def texts(data: dict[str, PreferenceData]) -> list[str]:
    """Every response and prompt of a data set."""
    return [text for part in data.values() for item in part.items for text in (item.completion, prompt_text(item))]
