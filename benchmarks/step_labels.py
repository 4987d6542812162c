"""Process reward models on step labels that people gave: first-error F1 and area under the curve, beside honest baselines.

    python benchmarks/step_labels.py DATA --vectors FOLDER

DATA holds `bbm` (BIG-Bench-Mistake: five tasks, traces of PaLM 2) and `mr_gsm8k` (wrong solutions of MR-GSM8K), each as
`.train.jsonl.gz` and `.dev.jsonl.gz`. Models are fitted to both training files, less a part by prompt on which they stop and
choose their threshold, and measured on both others. Sentence vectors of every step are kept in FOLDER.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from sentence_vectors import WIDTH, Vectors

import rewardlab as rl
from rewardlab.learning.data import StepLabelData, prompt_key
from rewardlab.learning.evaluation import Evaluation, evaluate
from rewardlab.learning.evaluation.comparison import difference
from rewardlab.recipes.step_labels import StepPrior
from rewardlab.rewards.base import Verdict, Verifier
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Task, Trajectory, message_text

SEEDS = range(3)
TASKS = ("bbm", "mr_gsm8k")


@dataclass(frozen=True, kw_only=True)
class ByTask(Verifier):
    """The prior by place, counted for each task apart: what a model gets that knows the task and reads no step.

    Args:
        priors: of each task.
        tasks: prompt -> task.
    """

    priors: dict[str, StepPrior]
    tasks: dict[str, str]

    def verify(self, trajectory: Trajectory) -> Verdict:
        """What the prior of the trajectory's task says."""
        return self.priors[self.tasks[prompt_key(trajectory)]].verify(trajectory)

    @classmethod
    def fitted(cls, data: StepLabelData, looks_at: str) -> ByTask:
        """Count for every task."""
        names = task_names(data)
        there = np.asarray(names)
        priors = {name: StepPrior.fitted(data.select(there == name), looks_at) for name in sorted(set(names))}
        return cls(priors=priors, tasks=KNOWN)


KNOWN: dict[str, str] = {}
"""Prompt -> task, of everything that was read."""


def task_names(data: StepLabelData) -> list[str]:
    """The task of every row."""
    return [KNOWN[prompt] for prompt in data.prompts()]


@dataclass(frozen=True)
class Split:
    """Labelled solutions as texts."""

    training: StepLabelData
    validation: StepLabelData
    tests: dict[str, StepLabelData]


def main() -> None:
    """Fit, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--vectors", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)
    started = time.process_time()
    split = read(options.data)
    vectors = Vectors(options.vectors)
    everything = (split.training, split.validation, *split.tests.values())
    vectors.add([text for data in everything for item in data.items for text in (*texts(item), asked(item))])
    rows: dict[str, dict[str, Evaluation]] = {}
    spread: dict[str, list[dict[str, Evaluation]]] = {}
    for looks_at in ("place", "place_from_end", "length"):
        rows[f"prior by {looks_at}"] = measured(StepPrior.fitted(split.training, looks_at), split)
    for looks_at in ("place", "place_from_end"):
        rows[f"prior by task and {looks_at}"] = measured(ByTask.fitted(split.training, looks_at), split)
    for name, (parts, hidden) in MODELS.items():
        arrays = Split(
            training=as_arrays(split.training, vectors, parts),
            validation=as_arrays(split.validation, vectors, parts),
            tests={task: as_arrays(data, vectors, parts) for task, data in split.tests.items()},
        )
        spread[name] = []
        for seed in SEEDS:
            spread[name].append(measured(fit(arrays, hidden, seed), arrays))
            print(f"  {name}, seed {seed}: {time.process_time() - started:.0f} CPU-seconds", flush=True)
        rows[name] = spread[name][0]
    report(rows, spread, split)
    print(f"\n{time.process_time() - started:.0f} CPU-seconds, vectors that were there already not counted")


def read(folder: Path) -> Split:
    """Both training files, a sixth of their prompts held back, and both others."""
    for task in TASKS:
        for part in ("train", "dev"):
            found = rl.read_step_labels(folder / f"{task}.{part}.jsonl.gz")
            told = found.metadata or []
            KNOWN.update({key: one.get("task", task) for key, one in zip(found.prompts(), told, strict=True)})
    parts = [rl.read_step_labels(folder / f"{task}.train.jsonl.gz").split(1 / 6, seed=0) for task in TASKS]
    tests = {task: rl.read_step_labels(folder / f"{task}.dev.jsonl.gz") for task in TASKS}
    return Split(training=joined([one for one, _ in parts]), validation=joined([one for _, one in parts]), tests=tests)


def joined(parts: list[StepLabelData]) -> StepLabelData:
    """The rows of several data."""
    items: list[Trajectory] = []
    places, labels = [], []
    for part in parts:
        places.append(part.item + len(items))
        items += part.items
        labels += part.labels
    return StepLabelData(items=items, item=np.concatenate(places), labels=labels)


def texts(item: Trajectory) -> list[str]:
    """The steps of a solution."""
    return [message_text(action) for action in item.actions]


def asked(item: Trajectory) -> str:
    """What the solution answers."""
    return message_text(item.observations[0][0])


def as_arrays(data: StepLabelData, vectors: Vectors, parts: tuple[str, ...]) -> StepLabelData:
    """The same labels over arrays: what a model sees of each step."""
    items = []
    for item in data.items:
        steps = vectors.of(texts(item))
        before = np.concatenate([np.zeros((1, WIDTH), np.float32), steps[:-1]])
        prompt = np.repeat(vectors.of([asked(item)]), len(steps), axis=0)
        mean = (np.cumsum(steps, axis=0) - steps) / np.maximum(np.arange(len(steps)), 1)[:, None]
        seen = {
            "step": steps,
            "before": np.concatenate([before, mean], axis=1),
            "prompt": prompt,
            "place": place(item, steps, before, prompt),
        }
        told = np.concatenate([seen[part] for part in parts], axis=1).astype(np.float32)
        items.append(
            Trajectory(
                observations=np.concatenate([told, told[-1:]]),
                actions=np.zeros((len(told), 0), np.float32),
                task=Task(id=prompt_key(item)),
            )
        )
    return replace(data, items=items)


def place(item: Trajectory, steps: np.ndarray, before: np.ndarray, prompt: np.ndarray) -> np.ndarray:
    """Where a step stands, how long it is, and how near it is to the step before and to the prompt."""
    count = len(steps)
    number = np.arange(count)
    length = np.asarray([len(text) for text in texts(item)])
    near = [(steps * other).sum(1) for other in (before, prompt)]  # vectors have length 1, so this is the cosine
    return np.stack(
        [np.log1p(number), number / count, np.full(count, np.log1p(count)), np.log1p(length) / 4, *near], axis=1
    )


MODELS: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "place and length, no words": (("place",), (32,)),
    "sentence vector of the step": (("step",), (128,)),
    "vectors of step, steps before and prompt, with place and length": (("step", "before", "prompt", "place"), (128,)),
}


def fit(split: Split, hidden: tuple[int, ...], seed: int) -> RewardModel:
    """A process model; the weights with the lowest validation loss are kept."""
    inputs = len(split.training.items[0].observations[0])
    encoder = {
        "type": "mlp", "inputs": inputs, "hidden": list(hidden), "activation": "relu", "dropout": 0.3, "seed": seed,
    }  # fmt: skip
    model = RewardModel.make(encoder, {"type": "process", "seed": seed})
    fitted = rl.fit(
        model,
        split.training,
        validation=split.validation,
        epochs=10,
        learning_rate=1e-3,
        weight_decay=0.1,
        evaluate_every=40,
        patience=4,
        seed=seed,
    )
    return fitted.model


def measured(reward: rl.Reward, split: Split) -> dict[str, Evaluation]:
    """What a reward reaches on both test files, with the threshold that is best on the validation part."""
    return {
        task: evaluate(reward, data, by="task" if task == "bbm" else None, threshold=split.validation)
        for task, data in split.tests.items()
    }


def report(
    rows: dict[str, dict[str, Evaluation]], spread: dict[str, list[dict[str, Evaluation]]], split: Split
) -> None:
    """The tables as Markdown."""
    counts = {task: found.counts for task, found in next(iter(rows.values())).items()}
    print(f"fitted to {len(split.training)} solutions, validated on {len(split.validation)}; tests: {counts}\n")
    head = ("model", "bbm: first-error F1", "bbm: step AUC", "mr_gsm8k: first error found", "mr_gsm8k: step AUC")
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for name, found in rows.items():
        bbm, gsm = found["bbm"], found["mr_gsm8k"]
        cells = (bbm["first-error F1"], bbm["step AUC"], gsm["first error found"], gsm["step AUC"])
        print(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    best = "prior by task and place"
    full = list(spread)[-1]
    print(f"\nbbm by task, step AUC: {best}, and {full}, whose first-error F1 stands last\n")
    print("| task | prior | model | model, first-error F1 |\n|---|---|---|---|")
    for task, prior in rows[best]["bbm"].strata["task"].items():
        own = rows[full]["bbm"].strata["task"][task]
        print(f"| {task} | {prior['step AUC']} | {own['step AUC']} | {own['first-error F1']} |")
    print(f"\nbbm, against the {best}; seed 0, and what each seed gives:\n")
    for name, seeds in spread.items():
        area, p = difference(seeds[0]["bbm"], rows[best]["bbm"], "step AUC")
        f1, q = difference(seeds[0]["bbm"], rows[best]["bbm"], "first-error F1")
        each = [[one["bbm"][measure].value for one in seeds] for measure in ("first-error F1", "step AUC")]
        print(f"- {name}: F1 {f1} (p {q:.3f}), area {area} (p {p:.3f})")
        print(f"  F1 of the seeds {np.round(each[0], 3).tolist()}, area {np.round(each[1], 3).tolist()}")


if __name__ == "__main__":
    main()
