"""A step of fitting a reward model beside TRL's `RewardTrainer`: same model, pairs, tokens and optimiser steps.

Run as `python benchmarks/reward_model.py --data DATA/hh_rlhf/pairs.train.jsonl.gz` (some minutes of CPU); without data,
texts of skewed lengths are drawn. Both run in one process: every optimiser step of TRL's is followed by one of ours on the
same pairs, so that both see the same machine; the first of each is not counted. Time is CPU time of one thread. Tokens are
those of the texts, without padding. A step holds collation, forward and backward pass, the limit on the gradient, AdamW and
metrics; neither side tokenises in it, writes logs or checkpoints. TRL's step is all that passes between two of its
`on_step_end`.

Printed: real tokens per CPU-second of both, their ratio with its range over single steps, the largest difference of the two
loss curves, and the peak memory of a process that runs one side alone. `--ensemble` times ensembles beside one member.
"""

from __future__ import annotations

import argparse
import copy
import functools
import gc
import gzip
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import SequentialSampler
from transformers import LlamaConfig, LlamaForSequenceClassification, PrinterCallback, TrainerCallback
from trl import RewardConfig, RewardTrainer

from rewardlab.learning import PreferenceData, as_trajectory, fit, fit_ensemble
from rewardlab.learning.fitter import Fit
from rewardlab.learning.fitting import fit_defaults
from rewardlab.policies.tiny import tiny_tokenizer
from rewardlab.rewards.models.base import Head
from rewardlab.rewards.models.encoders.arrays import MLPEncoder
from rewardlab.rewards.models.encoders.text import TextEncoder
from rewardlab.rewards.models.heads.scalar import ScalarHead, TwoLayerHead
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory

LONGEST = 1024
"""TRL leaves out pairs with a text longer than this; both sides do."""


# ---- what both sides train ------------------------------------------------------------------------------------------------


def read_pairs(path: str | None, count: int) -> list[tuple[str, str, str]]:
    """Prompt, chosen and rejected: of a file with these columns, or drawn with log-normal lengths."""
    if path is None:
        draw = random.Random(0)
        words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 8))) for _ in range(2000)]

        def text(median: float) -> str:
            return " ".join(draw.choices(words, k=max(1, round(median * draw.lognormvariate(0.0, 1.0)))))

        return [(text(60.0), text(30.0), text(30.0)) for _ in range(count)]
    content = Path(path).read_bytes()
    rows = [json.loads(line) for line in (gzip.decompress(content) if path.endswith(".gz") else content).splitlines()]
    random.Random(0).shuffle(rows)
    return [(row["prompt"], row["chosen"], row["rejected"]) for row in rows[: 2 * count]]


def make_model(texts: Sequence[str], width: int, layers: int) -> tuple[LlamaForSequenceClassification, Any]:
    """A Llama classifier with one label and the usual weights, and a tokenizer fitted to some of the texts."""
    tokenizer = tiny_tokenizer(texts[:600], 2048)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=LONGEST,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        num_labels=1,
    )
    return LlamaForSequenceClassification(config), tokenizer


class Setting:
    """The pairs, in the order of the steps, and the two models with equal weights."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.batch = options.batch_size
        self.steps = options.steps + 1
        self.learning_rate = options.learning_rate
        rows = read_pairs(options.data, self.batch * self.steps)
        self.model, self.tokenizer = make_model([text for row in rows for text in row], options.width, options.layers)
        body = copy.deepcopy(self.model.model)
        self.encoder = TextEncoder(model=body, tokenizer=self.tokenizer, share_prompts=not options.no_sharing)
        head = ScalarHead(options.width)
        with torch.no_grad():
            head.linear.weight.copy_(self.model.score.weight)
        items: list[Trajectory] = []
        self.ids: list[list[int]] = []
        for prompt, *answers in rows:
            both = [Trajectory.from_text(prompt, answer) for answer in answers]
            prepared = self.encoder.reader.prepare(both) if all(answers) and answers[0] != answers[1] else []
            if prepared and all(len(one) + one.dropped <= LONGEST for one in prepared):
                items += both
                self.ids += [one.ids.tolist() for one in prepared]
        pairs = min(len(items) // 2, self.batch * self.steps)
        self.steps = pairs // self.batch
        first = 2 * np.arange(pairs)
        self.data = PreferenceData(items=items[: 2 * pairs], first=first, second=first + 1, label=np.ones(pairs))
        self.ours = RewardModel.make(self.encoder, head)

    def tokens(self, rows: Sequence[int]) -> int:
        """Real tokens of some pairs."""
        return sum(len(self.ids[2 * row]) + len(self.ids[2 * row + 1]) for row in rows)


class Ours:
    """Our fit, a step at a time."""

    def __init__(self, setting: Setting, options: argparse.Namespace) -> None:
        given = {
            "model": setting.ours,
            "data": setting.data,
            "batch_size": setting.batch,
            "learning_rate": options.learning_rate,
            "schedule": "constant",
            "warmup": 0.0,
            "batch_length": options.batch_length,
        }
        self.fit = Fit(**fit_defaults(given))
        self.order = [self.fit._batch(step).tolist() for step in range(setting.steps)]
        self.fit._read(recompute=False)
        self.fit.network.train()
        self.seconds: list[float] = []
        self.losses: list[float] = []

    def step(self) -> None:
        """One step, timed."""
        gc.collect()
        began = time.process_time()
        found = self.fit._step()
        self.seconds.append(time.process_time() - began)
        self.losses.append(found["loss"])


class Theirs(RewardTrainer):
    """TRL's trainer on the same pairs in the same order, with a clock around its steps."""

    def __init__(self, setting: Setting, order: list[list[int]], between: Callable[[], None], folder: str) -> None:
        seconds: list[float] = []
        self.seconds, self.losses = seconds, []

        class Interleave(TrainerCallback):
            """Times TRL's steps, and lets the other side make one after each."""

            began = 0.0

            def on_train_begin(self, *_: Any, **__: Any) -> None:
                gc.collect()
                self.began = time.process_time()

            def on_step_end(self, *_: Any, **__: Any) -> None:
                seconds.append(time.process_time() - self.began)
                between()
                gc.collect()
                self.began = time.process_time()

        rows = [
            {"chosen_ids": setting.ids[2 * row], "rejected_ids": setting.ids[2 * row + 1]}
            for step in order
            for row in step
        ]
        config = RewardConfig(
            output_dir=folder,
            per_device_train_batch_size=setting.batch,
            num_train_epochs=1,
            max_length=LONGEST,
            learning_rate=setting.learning_rate,
            lr_scheduler_type="constant",
            optim="adamw_torch_fused",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to=[],
            logging_strategy="no",
            save_strategy="no",
            disable_tqdm=True,
        )
        super().__init__(
            setting.model,
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=setting.tokenizer,
            callbacks=[Interleave()],
        )
        self.remove_callback(PrinterCallback)

    def _get_train_sampler(self, *_: Any) -> Any:
        return SequentialSampler(self.train_dataset)

    def compute_loss(self, *arguments: Any, **options: Any) -> Any:
        """TRL's loss, remembered."""
        loss = super().compute_loss(*arguments, **options)
        self.losses.append((loss[0] if isinstance(loss, tuple) else loss).item())
        return loss


# ---- the race ----------------------------------------------------------------------------------------------------------


def race(options: argparse.Namespace) -> None:
    """Print speed and loss curves."""
    setting = Setting(options)
    ours = Ours(setting, options)
    with tempfile.TemporaryDirectory() as folder:
        theirs = Theirs(setting, ours.order, ours.step, folder)
        theirs.train()
    counts = [setting.tokens(rows) for rows in ours.order]
    lengths = sorted(map(len, setting.ids))
    weights = sum(weight.numel() for weight in setting.model.parameters())
    print(
        f"{weights / 1e6:.1f} million weights; {len(counts) - 1} steps of {setting.batch} pairs; texts of "
        f"{statistics.median(lengths):.0f} tokens (median), 90% below {lengths[len(lengths) * 9 // 10]}, longest "
        f"{lengths[-1]}"
    )
    mine, other = sum(ours.seconds[1:]), sum(theirs.seconds[1:])
    real = sum(counts[1:])
    ratios = sorted(peer / own for own, peer in zip(ours.seconds[1:], theirs.seconds[1:], strict=True))
    print(f"real tokens per CPU-second: {real / mine:,.0f} ours, {real / other:,.0f} TRL, ratio {other / mine:.2f}; "
          f"single steps: median {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")  # fmt: skip
    apart = [abs(own - peer) for own, peer in zip(ours.losses, theirs.losses, strict=True)]
    print(f"loss {ours.losses[0]:.4f} to {ours.losses[-1]:.4f}; largest difference of a step's losses {max(apart):.1e} "
          f"(first step {apart[0]:.1e})", flush=True)  # fmt: skip


def alone(side: str, options: argparse.Namespace) -> None:
    """Run one side, and print the process's peak of memory above what it held before the first step."""
    setting = Setting(options)
    ours = Ours(setting, options)
    gc.collect()
    before = _memory("VmRSS")
    if side == "ours":
        for _ in range(setting.steps):
            ours.step()
    else:
        with tempfile.TemporaryDirectory() as folder:
            Theirs(setting, ours.order, lambda: None, folder).train()
    peak = _memory("VmHWM")
    print(f"{peak:.0f} {peak - before:.0f}")


def _memory(name: str) -> float:
    """MiB of this process. Not `ru_maxrss`, which begins at what the parent had."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def memory(options: argparse.Namespace) -> None:
    """Print the peaks of both sides over a few steps, each in a process of its own."""
    for side in ("ours", "trl"):
        command = [sys.executable, __file__, *sys.argv[1:], "--steps", str(min(8, options.steps)), "--alone", side]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-2:]
        print(f"peak memory, {side}: {found[0]} MiB, {found[1]} MiB above what stood before the first step", flush=True)


# ---- ensembles ---------------------------------------------------------------------------------------------------------


def ensembles(options: argparse.Namespace) -> None:
    """Print what ten members cost beside one."""
    draw = np.random.default_rng(0)
    pairs, width = 2000, 384
    vectors = draw.normal(size=(2 * pairs, width)).astype(np.float32)
    better = vectors @ draw.normal(size=width)
    first = np.arange(pairs)
    label = (better[:pairs] > better[pairs:]).astype(float)
    data = PreferenceData(items=[as_trajectory(one) for one in vectors], first=first, second=first + pairs, label=label)
    given: dict[str, Any] = {"steps": 300, "batch_size": 32}

    def model(hidden: list[int], head: Callable[..., Head]) -> Callable[[int], RewardModel]:
        def make(seed: int) -> RewardModel:
            encoder = MLPEncoder(width, hidden, seed=seed)
            return RewardModel.make(encoder, head(encoder.width, seed=seed))

        return make

    cases = {
        "linear heads over 384 fixed features": (model([], ScalarHead), data, given, {}),
        "two-layer heads (64) over 384 fixed features": (
            model([], functools.partial(TwoLayerHead, hidden=64)), data, given, {},
        ),
        "whole perceptrons, 384-32-32": (model([32, 32], ScalarHead), data, given, {}),
    }  # fmt: skip
    setting = Setting(options)
    start = copy.deepcopy(setting.ours.network.state_dict())

    def text(seed: int) -> RewardModel:
        setting.ours.network.load_state_dict(start)
        return RewardModel.make(setting.encoder, TwoLayerHead(setting.encoder.width, seed=seed))

    cases["two-layer heads over one text encoder that learns"] = (
        text, setting.data, {"steps": min(8, setting.steps), "batch_size": setting.batch}, {"share_encoder": True},
    )  # fmt: skip

    def whole(lora: dict[str, Any] | None) -> Callable[[int], RewardModel]:
        def make(seed: int) -> RewardModel:
            body = copy.deepcopy(setting.model.model)
            torch.manual_seed(seed)
            if lora is None:
                with torch.no_grad():
                    for weight in body.parameters():
                        weight += 0.02 * torch.randn_like(weight)
            encoder = TextEncoder(model=body, tokenizer=setting.tokenizer, lora=lora and {**lora, "seed": seed})
            return RewardModel.make(encoder, {"type": "scalar", "seed": seed})

        return make

    few = {"steps": min(8, setting.steps), "batch_size": setting.batch}
    cases["whole text models"] = (whole(None), setting.data, few, {})
    cases["adapters of rank 8 on one text model"] = (whole({"rank": 8}), setting.data, few, {})
    for name, (make, rows, steps, more) in cases.items():
        if options.only not in name:
            continue
        ratios = []
        for number in range(options.rounds + 1):
            began = time.process_time()
            fit(make(0), rows, **steps)
            between = time.process_time()
            fit_ensemble(make, rows, 10, **steps, **more)
            ratios.append((time.process_time() - between) / (between - began))
            if not number:
                ratios.clear()  # the first warms up
        ratios.sort()
        print(f"10 members beside one, {name}: {statistics.median(ratios):.2f} times the CPU time "
              f"({ratios[0]:.2f} to {ratios[-1]:.2f})", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="a jsonl file, gzipped or not, with prompt, chosen and rejected")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=32, help="pairs in a step")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch-length", type=int, help="our option of that name: less memory at once")
    parser.add_argument("--no-sharing", action="store_true", help="length buckets alone, no shared prompts")
    parser.add_argument("--no-memory", action="store_true", help="leave the peaks of memory out")
    parser.add_argument("--ensemble", action="store_true", help="time ensembles instead")
    parser.add_argument("--rounds", type=int, default=5, help="of ensembles")
    parser.add_argument("--only", default="", help="ensembles whose name holds this")
    parser.add_argument("--alone", choices=["ours", "trl"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.alone:
        alone(options.alone, options)
    elif options.ensemble:
        ensembles(options)
    else:
        race(options)
        if not options.no_memory:
            memory(options)


if __name__ == "__main__":
    main()
