"""The built-in engine beside `generate` of transformers: the same model and prompts, interleaved in one process.

Run as `python benchmarks/rollout_engine.py` (a few minutes of CPU). Prints generated tokens per CPU-second, one thread, the
median of the rounds, and the ratio of ours to theirs. Three settings: every row generates all its tokens; rows stop at
random (the model draws its stop token); and conversations of 8 turns, for which `generate` is given the whole context each
turn, left-padded, as most scripts do. `generate` is called once per setting with everything it needs to be quick: sampling
without top-k, no processors, the default cache. Ours also returns log-probabilities.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rewardlab.policies.engines.base import Request, Sampling
from rewardlab.policies.engines.batched import BatchedEngine

VOCABULARY, STOP, PAD = 512, 3, 0


def make_model(stop_bias: float | None) -> LlamaForCausalLM:
    """0.89 M weights. With a bias, the stop token is drawn at that rate in every place; else never."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=344,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=STOP,
        pad_token_id=PAD,
    )
    model = LlamaForCausalLM(config).eval()
    head = torch.nn.Linear(128, VOCABULARY, bias=True)
    with torch.no_grad():
        head.weight.copy_(model.lm_head.weight * 0.1)
        head.bias.zero_()
        # near-uniform logits: the stop token has odds of about rate / (1 - rate) against all others together
        rate = stop_bias
        head.bias[STOP] = -1e4 if rate is None else torch.log(torch.tensor(rate / (1 - rate) * (VOCABULARY - 1)))
    model.lm_head = head
    return model


def prompts(count: int, length: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(4, VOCABULARY, (count, length), generator=generator)


def theirs(model: LlamaForCausalLM, ids: torch.Tensor, mask: torch.Tensor, new: int, least: int = 0) -> torch.Tensor:
    return model.generate(
        input_ids=ids,
        attention_mask=mask,
        do_sample=True,
        top_k=0,
        max_new_tokens=new,
        min_new_tokens=least or None,
    )[:, ids.shape[1] :]


def useful(generated: torch.Tensor) -> int:
    """Tokens up to and with the first stop token of each row."""
    stops = generated == STOP
    first = torch.where(stops.any(1), stops.float().argmax(1) + 1, generated.shape[1])
    return int(first.sum())


def single_turn(model: LlamaForCausalLM, engine: BatchedEngine, batch: int, new: int, group: int) -> list[Callable]:
    ids = prompts(batch // group, 16, seed=1).repeat_interleave(group, 0)
    rows = [Request(ids=row.tolist(), seed=index) for index, row in enumerate(ids)]
    sampling = Sampling(max_new_tokens=new)

    def ours() -> int:
        engine.refresh()
        return sum(len(completion.ids) for completion in engine.generate(rows, sampling))

    return [ours, lambda: useful(theirs(model, ids, torch.ones_like(ids), new))]


def conversations(
    model: LlamaForCausalLM, engine: BatchedEngine, batch: int, turns: int, spread: int
) -> list[Callable]:
    """Turns of 24 tokens that arrive and 16 that are written; with a spread, 24 +- spread arrive."""
    generator = torch.Generator().manual_seed(2)
    lengths = torch.randint(24 - spread, 25 + spread, (turns, batch), generator=generator)
    texts = prompts(turns * batch, 24 + spread, seed=3).view(turns, batch, -1)
    arriving = [[texts[t, b, : lengths[t, b]].tolist() for b in range(batch)] for t in range(turns)]
    sampling = Sampling(max_new_tokens=16)

    def ours() -> int:
        engine.refresh()
        contexts: list[list[int]] = [[] for _ in range(batch)]
        total = 0
        for turn in arriving:
            contexts = [old + new for old, new in zip(contexts, turn, strict=True)]
            rows = [Request(ids=ids, seed=b, conversation=b) for b, ids in enumerate(contexts)]
            for index, completion in enumerate(engine.generate(rows, sampling)):
                contexts[index] += completion.ids
                total += len(completion.ids)
        return total

    def with_generate() -> int:
        contexts: list[list[int]] = [[] for _ in range(batch)]
        total = 0
        for turn in arriving:
            contexts = [old + new for old, new in zip(contexts, turn, strict=True)]
            width = max(map(len, contexts))
            ids = torch.tensor([[PAD] * (width - len(row)) + row for row in contexts])
            mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in contexts])
            for index, row in enumerate(theirs(model, ids, mask, 16, least=16).tolist()):
                contexts[index] = contexts[index] + row
                total += len(row)
        return total

    return [ours, with_generate]


def race(name: str, contenders: list[Callable], rounds: int) -> tuple[float, float]:
    """Tokens per CPU-second of each, measured in turn; the first pass of each is not counted."""
    speeds: list[list[float]] = [[] for _ in contenders]
    for round_ in range(rounds + 1):
        for index, run in enumerate(contenders):
            gc.collect()
            began = time.process_time()
            tokens = run()
            spent = time.process_time() - began
            if round_:
                speeds[index].append(tokens / spent)
    ours, peer = (statistics.median(entry) for entry in speeds)
    ratios = sorted(a / b for a, b in zip(*speeds, strict=True))
    print(
        f"{name:46s} {ours:9,.0f} {peer:9,.0f}   {ours / peer:5.2f}  ({ratios[0]:.2f} to {ratios[-1]:.2f})", flush=True
    )
    return ours, peer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 64, 256])
    parser.add_argument("--forward", default="auto", choices=["auto", "fused", "generic"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    never, random_stop = make_model(None), make_model(1 / 32)
    endless = BatchedEngine(never, [STOP], forward=options.forward)
    stopping = BatchedEngine(random_stop, [STOP], forward=options.forward)
    print(f"{'tokens per CPU-second':46s} {'ours':>9s} {'generate':>9s}   ratio  (range over rounds)")
    for batch in options.batches:
        race(f"{batch} rows, 32 tokens each", single_turn(never, endless, batch, 32, 1), options.rounds)
    for batch in options.batches:
        group = min(8, batch)
        name = f"{batch} rows, groups of {group}, stop at random, <= 128"
        race(name, single_turn(random_stop, stopping, batch, 128, group), options.rounds)
    race("8 turns of 24 + 16, 32 rows", conversations(never, endless, 32, 8, 0), options.rounds)
    race("8 turns of 24 +- 12 + 16, 32 rows", conversations(never, endless, 32, 8, 12), options.rounds)


if __name__ == "__main__":
    main()
