"""Throughput of reading, writing, scoring and comparing trajectories, per CPU-second, and the memory that scoring takes.

    python benchmarks/storage.py [--count 20000] [--rounds 5]

The rounds are interleaved in one process, and the median counts. Memory is the peak of a fresh process that scores a file of
the given size, and one of four times that size (Linux only).
"""

from __future__ import annotations

import argparse
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import rewardlab as rl

ENDINGS = ("jsonl", "jsonl.gz", "parquet")


@rl.reward
def brief(completion: str) -> float:
    return 1 / (1 + len(completion))


@rl.reward
def wordy(completion: str) -> float:
    return float(len(completion.split()))


def chats(count: int) -> Iterator[rl.Trajectory]:
    generator = np.random.default_rng(0)
    words = [format(number, "x")[:7] for number in generator.integers(1 << 20, 1 << 40, 1000).tolist()]

    def text(length: int) -> str:
        return " ".join(words[place] for place in generator.integers(0, 1000, length).tolist())

    for index in range(count):
        if index % 8 == 0:
            system = {"role": "system", "content": "You are a helpful assistant."}
            prompt = [system, {"role": "user", "content": text(40)}]
            task = rl.Task(id=f"task{index // 8}", prompt=prompt, reference=str(index))
        answer = {"role": "assistant", "content": text(10 + index % 60)}
        yield rl.Trajectory.from_messages([*prompt, answer], task=task, group=task.id, rewards=[1.0], terminated=True)


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak is not None:
        rl.score(brief, options.peak, options.peak.with_suffix(".scores.jsonl"), progress_bar=False)
        status = Path(
            "/proc/self/status"
        ).read_text()  # ru_maxrss would count the parent that this process was forked from
        print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        batch = list(chats(options.count))
        gc.freeze()  # what is only held to be written again is no work of the reader
        files = {ending: folder / f"chats.{ending}" for ending in ENDINGS}
        work: dict[str, Callable[[], object]] = {}
        for ending, path in files.items():
            work[f"write {ending}"] = lambda path=path: rl.write_trajectories(path, batch)
            work[f"read {ending}"] = lambda path=path: sum(1 for _ in rl.read_trajectories(path))
        source, options_of_run = files["jsonl"], {"resume": False, "progress_bar": False}
        for output in ("scores.jsonl", "scores.parquet"):
            work[f"score to {output}"] = lambda output=output: rl.score(
                brief, source, folder / output, **options_of_run
            )
        work["score, already done"] = lambda: rl.score(brief, source, folder / "scores.jsonl", progress_bar=False)
        work["rescore"] = lambda: rl.rescore(source, brief, wordy)
        times = {name: [] for name in work}
        for _ in range(options.rounds):
            for name, run in work.items():
                times[name].append(cpu_seconds(run))
        megabytes = files["jsonl"].stat().st_size / 1e6
        print(
            f"{options.count} chats, {megabytes:.1f} MB as JSON Lines; median of {options.rounds} rounds, per CPU-second"
        )
        for name, seconds in times.items():
            median = statistics.median(seconds)
            print(f"{name:22s} {options.count / median:9.0f} trajectories {megabytes / median:7.1f} MB of JSON")
        for ending, path in files.items():
            print(f"size as {ending:10s} {path.stat().st_size / 1e6:7.1f} MB")
        for factor in (1, 4):
            path = folder / f"peak{factor}.jsonl"
            rl.write_trajectories(path, (entry for _ in range(factor) for entry in batch))
            command = [sys.executable, __file__, "--peak", str(path)]
            peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
            print(f"peak memory of scoring {path.stat().st_size / 1e6:6.1f} MB: {peak} MB")


if __name__ == "__main__":
    main()
