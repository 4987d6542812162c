"""The math verifier beside Math-Verify on the same answer pairs: pairs per CPU-second, interleaved, children included.

    python benchmarks/verifiers.py math --data DIR

DIR holds `gsm8k/`. Ours is `MathAnswer` on a batch of trajectories, from extraction to `Scores`; Math-Verify is called in
this process the way its users do, `verify(parse(gold), parse(answer))`. Both have sympy loaded before the clock starts; what
one child process costs to start is printed apart. Caches of ours are emptied before every round.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

Run = Callable[[], list[bool | None]]


class Pairs(NamedTuple):
    """Gold and answer texts with their labels; `alone` where they are answers alone, and not whole solutions."""

    name: str
    golds: list[str]
    answers: list[str]
    labels: list[bool]
    alone: bool


def lines(path: Path) -> Iterator[dict[str, Any]]:
    text = path.read_bytes()
    yield from map(json.loads, (gzip.decompress(text) if path.suffix == ".gz" else text).splitlines())


def subjects(data: Path) -> Iterator[Pairs]:
    def columns(name: str, rows: list[dict[str, Any]], gold: str, answer: str, label: str, alone: bool) -> Pairs:
        return Pairs(name, [r[gold] for r in rows], [r[answer] for r in rows], [r[label] for r in rows], alone)

    parts = ("train", "dev")
    solutions = [row for part in parts for row in lines(data / f"gsm8k/solutions.{part}.jsonl.gz")]
    tora = [row for part in parts for row in lines(data / f"gsm8k/tora.{part}.jsonl.gz")]
    here = Path(__file__).parent / "data"
    latex = [row for name in ("answers", "heldout") for row in lines(here / f"latex_{name}.jsonl")]
    yield columns("GSM8K solutions, whole texts", solutions, "ground_truth", "solution", "is_correct", False)
    yield columns("ToRA predictions, answers alone", tora, "gold", "prediction", "correct", True)
    yield columns("ToRA whole texts", tora, "gold", "code", "correct", False)
    yield columns("LaTeX answers", latex, "gold", "answer", "equal", True)


def process_seconds(pid: int) -> float:
    """CPU seconds that a process has used, with the fork through which it serves (Linux: its CPU-time clock)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(time.clock_gettime((~process << 3) | 2) for process in (pid, *map(int, children)))


def used() -> float:
    from rewardlab.rewards.verifiers.math.symbolic import symbolic_pool

    return time.process_time() + sum(process_seconds(pid) for pid in symbolic_pool().processes())


def measured(run: Run) -> tuple[float, list[bool | None]]:
    before = used()
    verdicts = run()
    return used() - before, verdicts


def fresh() -> float:
    """Empty our caches, those of the child process too; returns the CPU seconds that the child has used so far."""
    from rewardlab.rewards.verifiers.math import comparison, lexing, parser, reading, symbolic, units

    for module in (comparison, lexing, parser, reading, units):
        for member in vars(module).values():
            if hasattr(member, "cache_clear"):
                member.cache_clear()
    pool = symbolic.symbolic_pool()
    pool.compare([("x", "y")])
    pool.forget()
    return sum(process_seconds(pid) for pid in pool.processes())


def ours(pairs: Pairs) -> Run:
    from rewardlab.rewards.verifiers.math import MathAnswer
    from rewardlab.types import Trajectory

    verifier = MathAnswer(extract="whole" if pairs.alone else "auto")
    batch = [Trajectory.from_text("q", a, reference=g) for g, a in zip(pairs.golds, pairs.answers, strict=True)]

    def run() -> list[bool | None]:
        scores = verifier(batch)
        return [bool(value) if scored else None for value, scored in zip(scores.values, scores.scored, strict=True)]

    return run


def theirs(pairs: Pairs) -> Run:
    from math_verify import parse, verify

    golds, answers = pairs.golds, pairs.answers
    if pairs.alone:  # as its README asks: LaTeX stands between dollar signs
        golds, answers = [f"${text}$" for text in golds], [f"${text}$" for text in answers]

    def run() -> list[bool | None]:
        return [verify(parse(gold), parse(answer)) for gold, answer in zip(golds, answers, strict=True)]

    return run


def share(verdicts: list[bool | None], labels: list[bool]) -> str:
    return f"{sum(a == b for a, b in zip(verdicts, labels, strict=True)) / len(labels):.2%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds gsm8k/")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured, in turns (default 3)")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    import math_verify
    from sympy import Symbol, cos, simplify, sin

    math_verify.verify(math_verify.parse("$1$"), math_verify.parse("$1$"))
    simplify(sin(Symbol("x")) ** 2 + cos(Symbol("x")) ** 2)  # what sympy imports on first use is imported here
    start = fresh()
    print(
        "| pairs | count | rewardlab, pairs/CPU-s | Math-Verify, pairs/CPU-s | ratio (range) | agree, ours | theirs |"
    )
    print("|---|---|---|---|---|---|---|")
    latex = None
    for pairs in subjects(options.data):
        one, other = ours(pairs), theirs(pairs)
        seconds: list[tuple[float, float]] = []
        for turn in range(options.rounds):
            fresh()
            if turn % 2:
                (b, their_verdicts), (a, our_verdicts) = measured(other), measured(one)
            else:
                (a, our_verdicts), (b, their_verdicts) = measured(one), measured(other)
            seconds.append((a, b))
        ratios = sorted(b / a for a, b in seconds)
        count = len(pairs.labels)
        print(
            f"| {pairs.name} | {count} | {count / statistics.median(a for a, _ in seconds):,.0f} "
            f"| {count / statistics.median(b for _, b in seconds):,.0f} "
            f"| {statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f}) "
            f"| {share(our_verdicts, pairs.labels)} | {share(their_verdicts, pairs.labels)} |",
            flush=True,
        )
        latex = pairs
    print(f"\nstarting one child process: {start:.2f} CPU-s, once, when the first pair needs it")
    if latex is not None:
        pair_by_pair(latex, options.rounds)


def pair_by_pair(pairs: Pairs, rounds: int) -> None:
    """On how many single pairs are we slower, and by how much? Each pair's least time of all rounds counts."""
    singles = [
        Pairs("", [gold], [answer], [label], True)
        for gold, answer, label in zip(pairs.golds, pairs.answers, pairs.labels, strict=True)
    ]
    runs = [(ours(single), theirs(single)) for single in singles]
    least = [[float("inf"), float("inf")] for _ in runs]
    for _ in range(rounds):
        fresh()
        for times, both in zip(least, runs, strict=True):
            for side, one in enumerate(both):
                times[side] = min(times[side], measured(one)[0])
    ratios = sorted((b / a, index) for index, (a, b) in enumerate(least))
    slower = [(ratio, index) for ratio, index in ratios if ratio < 1]
    print(
        f"single LaTeX pairs: slower on {len(slower)} of {len(ratios)}; median ratio {ratios[len(ratios) // 2][0]:.1f}"
    )
    for ratio, index in ratios[:8]:
        a, b = least[index]
        times = f"ours {a * 1e3:.2f} ms, theirs {b * 1e3:.2f} ms"
        print(f"  ratio {ratio:.2f}: {times}: {pairs.golds[index]} | {pairs.answers[index]}")


if __name__ == "__main__":
    main()
