"""Samples per CPU-second of composed rewards: three weighted parts and a gate, with part logging and failure flags.

    python benchmarks/algebra.py

Two composites on the same trajectories: parts that are vectorised over the batch, and parts that are plain Python functions
of one sample. Beside them, for scale, the same arithmetic as a bare Python loop that keeps neither parts nor failures.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

import rewardlab as rl


@rl.reward
def lengths(trajectories: list[rl.Trajectory]) -> np.ndarray:
    """Length of each answer, for the whole batch at once."""
    return np.array([len(trajectory.actions[-1]["content"]) for trajectory in trajectories], dtype=float)


@rl.reward
def matches(trajectories: list[rl.Trajectory]) -> np.ndarray:
    """Whether each answer is the reference."""
    return np.array([trajectory.actions[-1]["content"] == trajectory.task.reference for trajectory in trajectories])


@rl.reward
def ended(trajectories: list[rl.Trajectory]) -> np.ndarray:
    """Whether each trajectory came to its end."""
    return np.array([trajectory.terminated for trajectory in trajectories])


@rl.reward
def length(completion: str) -> float:
    """Length of one answer."""
    return float(len(completion))


@rl.reward
def match(completion: str, reference: str) -> float:
    """Whether one answer is the reference."""
    return float(completion == reference)


@rl.reward
def short(completion: str) -> float:
    """Whether one answer is short."""
    return float(len(completion) < 10)


@rl.reward
def open_gate(terminated: bool) -> float:
    """Whether one trajectory came to its end."""
    return float(terminated)


def bare_loop(trajectories: list[rl.Trajectory]) -> list[float]:
    """What the plain composite computes, and nothing more."""
    values = []
    for trajectory in trajectories:
        text = trajectory.completion
        value = 0.2 * len(text) + 0.7 * (text == trajectory.reference) + 0.1 * (len(text) < 10)
        values.append(value if trajectory.terminated else 0.0)
    return values


def samples_per_second(
    score: Callable[[list[rl.Trajectory]], object], batch: list[rl.Trajectory], seconds: float
) -> float:
    """Samples per second of process CPU time."""
    score(batch)
    started, count = time.process_time(), 0
    while time.process_time() - started < seconds:
        score(batch)
        count += len(batch)
    return count / (time.process_time() - started)


def main() -> None:
    """Measure in interleaved rounds, and print the median of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU seconds for each measurement")
    options = parser.parse_args()
    batch = [
        rl.Trajectory.from_text("question", f"answer {index % 50}", reference="answer 3")
        for index in range(options.batch)
    ]
    vectorised = (0.2 * lengths + 0.7 * matches + 0.1 * ended.named("short")).gated_by(ended)
    plain = (0.2 * length + 0.7 * match + 0.1 * short).gated_by(open_gate)
    contenders = {"vectorised parts": vectorised, "plain functions": plain, "bare loop (no parts, no flags)": bare_loop}
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, score in contenders.items():
            rates[name].append(samples_per_second(score, batch, options.seconds))
    print(f"{options.rounds} interleaved rounds of {options.seconds:g} CPU-seconds, batches of {options.batch}")
    for name, measured in rates.items():
        print(
            f"{name:32s} {np.median(measured):>12,.0f} samples per CPU-second  [{min(measured):,.0f}, {max(measured):,.0f}]"
        )


if __name__ == "__main__":
    main()
