"""Scoring with a reward model beside transformers' text-classification pipeline and sentence-transformers' CrossEncoder.

Run as `python benchmarks/score.py --data DATA/hh_rlhf/pairs.dev.jsonl.gz` (some minutes of CPU); without data, texts of
skewed lengths are drawn. It needs `pip install -e ".[lm,bench]"`, with torch installed before.

All three load the same directory, which `RewardModel.export` wrote (and ours with `RewardModel.load`), and score the same
chats: prompts with two responses each, or `--responses` of them (drawn data only). They take turns within every round, so
that all see the same machine; the first round is not counted. The others get their texts written by the chat template
already, and each of the batch sizes in `BATCHES`; the ratio is to the best of these. Time is CPU time of one thread, and
includes tokenising. The scores must agree to 1e-3 of their spread, else the run fails.

Two kinds of models: a causal one, whose responses can share the computation of their prompt, and (`--encoder`) a
bidirectional one, where only padding can be saved.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
import transformers
from sentence_transformers import CrossEncoder

from rewardlab.policies.tiny import tiny_tokenizer
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory

BATCHES = (8, 32)
LONGEST = 1024


def read_rows(options: argparse.Namespace) -> list[tuple[str, list[str]]]:
    """Prompts with their responses: of a file of pairs, or drawn with log-normal lengths."""
    draw = random.Random(0)
    if options.data is not None:
        content = Path(options.data).read_bytes()
        lines = (gzip.decompress(content) if options.data.endswith(".gz") else content).splitlines()
        rows = [json.loads(line) for line in lines]
        draw.shuffle(rows)
        return [(row["prompt"], [row["chosen"], row["rejected"]]) for row in rows]
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 8))) for _ in range(2000)]

    def text(median: float) -> str:
        return " ".join(draw.choices(words, k=max(1, round(median * draw.lognormvariate(0.0, 1.0)))))

    return [(text(60.0), [text(30.0) for _ in range(options.responses)]) for _ in range(2 * options.prompts)]


def make_model(rows: Sequence[tuple[str, list[str]]], options: argparse.Namespace) -> RewardModel:
    """A reward model with random weights."""
    tokenizer = tiny_tokenizer([text for prompt, answers in rows[:300] for text in (prompt, *answers)], 2048)
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": options.width,
        "intermediate_size": options.width * 8 // 3,
        "num_hidden_layers": options.layers,
        "num_attention_heads": 4,
        "max_position_embeddings": LONGEST,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
    }
    torch.manual_seed(0)
    config = transformers.BertConfig(**sizes) if options.encoder else transformers.LlamaConfig(**sizes)
    config.num_labels = 1
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return RewardModel.from_pretrained(folder, encoder={"share_prompts": not options.no_sharing})


def kept(model: RewardModel, rows: Sequence[tuple[str, list[str]]], count: int) -> list[Trajectory]:
    """Chats of so many prompts, none longer than the model reads."""
    encoder: Any = model.network.encoder
    chats: list[Trajectory] = []
    taken = 0
    for prompt, answers in rows:
        if taken == count:
            break
        group = [Trajectory.from_text(prompt, answer) for answer in answers]
        if all(answers) and all(len(one) + one.dropped <= LONGEST for one in encoder.reader.prepare(group)):
            chats += group
            taken += 1
    return chats


def contestants(folder: Path, model: RewardModel, chats: Sequence[Trajectory]) -> dict[str, Callable[[], np.ndarray]]:
    """What scores the chats, by name."""
    encoder: Any = model.network.encoder
    texts = [str(encoder.tokenizer.apply_chat_template(list(chat.messages), tokenize=False)) for chat in chats]
    pipe = transformers.pipeline(
        "text-classification", model=str(folder), function_to_apply="none", device="cpu", dtype="float32"
    )
    cross = CrossEncoder(str(folder), device="cpu", activation_fn=torch.nn.Identity(), max_length=LONGEST)
    # a CrossEncoder has the roles query and document; both are written already, so it only joins them
    cross.tokenizer.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    pairs = [split(text) for text in texts]

    def ours() -> np.ndarray:
        return np.asarray(model(chats).values)

    def by_pipeline(size: int) -> Callable[[], np.ndarray]:
        return lambda: np.asarray([one["score"] for one in pipe(texts, batch_size=size, truncation=True)])

    def by_cross(size: int) -> Callable[[], np.ndarray]:
        return lambda: np.asarray(cross.predict(pairs, batch_size=size, show_progress_bar=False))

    found: dict[str, Callable[[], np.ndarray]] = {"ours": ours}
    for size in BATCHES:
        found[f"pipeline, batches of {size}"] = by_pipeline(size)
        found[f"CrossEncoder, batches of {size}"] = by_cross(size)
    return found


def split(text: str) -> tuple[str, str]:
    """A written chat in two, before the response; a CrossEncoder joins them again."""
    place = text.rindex("<|assistant|>")
    return text[:place], text[place:]


def timed(run: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    gc.collect()
    began = time.process_time()
    found = run()
    return found, time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="pairs with prompt, chosen and rejected; JSON Lines, .gz too")
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--responses", type=int, default=2, help="to each prompt, for drawn data")
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--encoder", action="store_true", help="a bidirectional model (BERT)")
    parser.add_argument("--no-sharing", action="store_true", help="compute every prompt as often as it stands")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    rows = read_rows(options)
    model = make_model(rows, options)
    chats = kept(model, rows, options.prompts)
    with tempfile.TemporaryDirectory() as folder:
        saved = model.save(Path(folder) / "ours")
        model.export(Path(folder) / "theirs")
        loaded = RewardModel.load(str(saved.path))
        runs = contestants(Path(folder) / "theirs", loaded, chats)
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        values: dict[str, np.ndarray] = {}
        for turn in range(options.rounds + 1):
            for name, run in runs.items():
                values[name], spent = timed(run)
                if turn:
                    seconds[name].append(spent)
    report(values, seconds, [len(one) for one in loaded.network.encoder.prepare(chats)])


def report(values: dict[str, np.ndarray], seconds: dict[str, list[float]], lengths: list[int]) -> None:
    """Print what was measured; end with status 1 where scores differ."""
    print(f"{len(lengths)} chats, {sum(lengths)} tokens: median {statistics.median(lengths)}, longest {max(lengths)}")
    apart = 0.0
    for name, found in values.items():
        mean = statistics.mean(seconds[name])
        off = float(np.abs(found - values["ours"]).max() / values["ours"].std())
        apart = max(apart, off)
        print(
            f"{name:30} {len(lengths) / mean:8.1f} chats/CPU-s  {sum(lengths) / mean:9.0f} tokens/CPU-s  differs {off:.1e}"
        )
    for rival in ("pipeline", "CrossEncoder"):
        best = min(
            (name for name in seconds if name.startswith(rival)), key=lambda name: statistics.mean(seconds[name])
        )
        ratios = [theirs / own for theirs, own in zip(seconds[best], seconds["ours"], strict=True)]
        print(f"ratio to {best}: {statistics.mean(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f} over rounds)")
    if apart > 1e-3:
        raise SystemExit(f"scores differ by {apart:.1e} of their spread")


if __name__ == "__main__":
    main()
