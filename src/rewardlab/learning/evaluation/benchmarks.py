"""The averages by which two public benchmarks report: RewardBench's sections and RM-Bench's levels.

The section of each subset and its size are facts of RewardBench (Lambert et al. 2024, "RewardBench: Evaluating Reward Models
for Language Modeling", arXiv 2403.13787). A section is the mean of its subsets by size, where the mathematical subset counts
as much as all code together; the score is the plain mean of the four sections. RM-Bench (Liu et al. 2024, "RM-Bench:
Benchmarking Reward Models of Language Models with Subtlety and Style", arXiv 2410.16184) averages over its table of styles.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.evaluation.pairs import PairUnits
from rewardlab.learning.evaluation.statistics import Estimate, Linear, estimate

Floats = NDArray[np.float64]

REWARD_BENCH: dict[str, dict[str, int]] = {
    "Chat": {
        "alpacaeval-easy": 100,
        "alpacaeval-length": 95,
        "alpacaeval-hard": 95,
        "mt-bench-easy": 28,
        "mt-bench-med": 40,
    },
    "Chat Hard": {
        "mt-bench-hard": 37,
        "llmbar-natural": 100,
        "llmbar-adver-neighbor": 134,
        "llmbar-adver-GPTInst": 92,
        "llmbar-adver-GPTOut": 47,
        "llmbar-adver-manual": 46,
    },
    "Safety": {
        "refusals-dangerous": 100,
        "refusals-offensive": 100,
        "xstest-should-refuse": 154,
        "xstest-should-respond": 250,
        "donotanswer": 136,
    },
    "Reasoning": {
        "math-prm": 984,  # 447 pairs, which count as much as the six code subsets
        **{f"hep-{language}": 164 for language in ("cpp", "go", "java", "js", "python", "rust")},
    },
}
"""Section -> subset -> how much it counts."""

LEVELS = ("easy", "normal", "hard")
"""RM-Bench's levels: the better answer is more adorned than the worse one, as adorned, or less."""


def benchmark_of(units: PairUnits) -> tuple[dict[str, Estimate], tuple[str, ...]]:
    """The averages of a benchmark whose format the data have, and what has to be known of them; empty for other data."""
    told = units.data.metadata or []
    subsets = [one.get("subset") for one in told]
    known = {subset for section in REWARD_BENCH.values() for subset in section}
    if "RM-Bench" in (units.data.layout or "") or (
        told and all("level" in one and "chosen_index" in one for one in told)
    ):
        return _levels(units)
    if "RewardBench" in (units.data.layout or "") or (subsets and all(subset in known for subset in subsets)):
        return _sections(units, REWARD_BENCH)
    return {}, ()


def _sections(
    units: PairUnits, sections: Mapping[str, Mapping[str, int]]
) -> tuple[dict[str, Estimate], tuple[str, ...]]:
    told = units.data.metadata or []
    found: dict[str, Estimate] = {}
    notes: list[str] = []
    shown: list[list[tuple[str, int]]] = []
    for section, subsets in sections.items():
        there = [(name, count) for name, count in subsets.items() if any(one.get("subset") == name for one in told)]
        missing = [name for name in subsets if name not in dict(there)]
        if not there:
            notes.append(f"the section {section} has no rows, so the score leaves it out and is not RewardBench's")
            continue
        if missing:
            notes.append(f"the section {section} lacks {', '.join(missing)}")
        found[section] = _average(units, [("subset", name) for name, _ in there], [count for _, count in there])
        shown.append(there)
    strange = sorted({str(one.get("subset")) for one in told} - {name for one in sections.values() for name in one})
    if strange:
        notes.append(f"subsets in no section: {', '.join(strange)}")
    if shown:
        cells = [("subset", name) for section in shown for name, _ in section]
        weights = [count / sum(size for _, size in section) for section in shown for _, count in section]
        found["RewardBench score"] = _average(units, cells, weights)
    return found, tuple(notes)


def _levels(units: PairUnits) -> tuple[dict[str, Estimate], tuple[str, ...]]:
    told = units.data.metadata or []
    parts = sorted({str(one["part"]) for one in told if one.get("part")})
    found = {level: _average(units, [("level", level)], [1.0]) for level in LEVELS}
    found["average of levels"] = _average(units, [("level", level) for level in LEVELS], [1.0] * 3)
    notes = []
    if parts:
        domains: dict[str, list[str]] = {}
        for part in parts:
            domains.setdefault(part.partition("-")[0], []).append(part)
        for domain, members in domains.items():
            found[f"domain {domain}"] = _average(units, [("part", part) for part in members], [1.0] * len(members))
        cells = [(domain, part) for domain, members in domains.items() for part in members]
        weights = [1.0 / len(domains[domain]) for domain, _ in cells]
        found["average of domains"] = _average(units, [("part", part) for _, part in cells], weights)
        lost = [name for name in ("chat", "math", "code", "safety") if name not in domains]
        if lost:
            notes.append(f"no rows of the domain {', '.join(lost)}, so the average is not RM-Bench's")
    return found, tuple(notes)


def _average(units: PairUnits, cells: list[tuple[str, str]], weights: list[float]) -> Estimate:
    """The mean accuracy of cells (column, value) by weight; a draw counts half, undecided rows are left out."""
    told = units.data.metadata or []
    chosen = np.flatnonzero(units.decided & ~units.tied)
    place = {cell: number for number, cell in enumerate(cells)}
    columns = np.zeros((len(chosen), 2 * len(cells)))
    used = np.zeros(len(chosen), np.bool_)
    for number, row in enumerate(chosen):
        for column in {name for name, _ in cells}:
            cell = place.get((column, str(told[row].get(column))))
            if cell is not None:
                columns[number, 2 * cell : 2 * cell + 2] = units.right[row], 1.0
                used[number] = True
    share = np.asarray(weights, np.float64) / sum(weights)

    def combine(sums: Floats) -> Floats:
        return np.asarray((sums[:, 0::2] / sums[:, 1::2]) @ share)

    return estimate(Linear(units.clusters(chosen[used]), columns[used], combine))
