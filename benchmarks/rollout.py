"""Multi-turn rollouts with 64 environments at once: how many a second, and how long the policy waits for environments.

Run as `python benchmarks/rollout.py` (some minutes). Each environment takes 1 or 5 ms a step, in one of two ways: it
*waits*, as one does that asks a server or a child process, or it *computes*, as a simulator in Python does. Stepping one
after another is what a plain loop over environments does. Ours are threads for environments that wait, and worker processes
(one for each core but one) for those that compute, without and with overlap: half of the conversations act while the other
half's environments answer. All ways make the same rollouts and are measured in turn, in wall-clock time, which is what
waiting is about: run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from rewardlab.environments import Environment, EnvironmentPool, Step
from rewardlab.types import Message, Task

WAYS = ("one after another", "threads", "worker processes", "worker processes, overlap")


class Paced(Environment):
    """Answers a line of text after some time, spent asleep or at work."""

    def __init__(self, seconds: float, computes: bool) -> None:
        self.seconds, self.computes = seconds, computes

    def reset(self, task: Task, seed: int) -> list[Message]:
        """Show the task."""
        return list(task.prompt or [])

    def step(self, action: Message) -> Step:
        """Take the time."""
        if self.computes:
            began = time.thread_time()
            while time.thread_time() - began < self.seconds:
                sum(range(100))
        else:
            time.sleep(self.seconds)
        return Step(observation=[{"role": "user", "content": "the lamp is on and the door is open"}])


class Patient(Paced):
    """The same, saying that it waits for others."""

    blocking = True


def pool(way: str, seconds: float, computes: bool) -> EnvironmentPool:
    kind = Patient if way == "threads" else Paced
    factory = functools.partial(kind, seconds, computes)
    processes = way.startswith("worker")
    workers = 64 if way == "threads" else None if processes else 1
    return EnvironmentPool(factory, processes=processes, workers=workers, overlap=way.endswith("overlap"))


def make_policy(hidden: int, layers: int) -> Any:
    from rewardlab.policies.language_model import LanguageModelPolicy

    corpus = ["the lamp is on and the door is open", "go to the door and open it, then turn the lamp off"]
    return LanguageModelPolicy.tiny(corpus, hidden=hidden, layers=layers, heads=4, vocabulary_size=400)


def measure(policy: Any, environments: EnvironmentPool, options: argparse.Namespace) -> tuple[float, float]:
    """Seconds of one set of rollouts, and those of them that were spent waiting for environments."""
    from rewardlab.policies.rollout import Limits, Sampling, rollout

    tasks = [Task(id=str(place), prompt=[{"role": "user", "content": "open it"}]) for place in range(options.parallel)]
    environments.waited = 0.0
    began = time.perf_counter()
    trajectories = rollout(
        policy,
        environments,
        tasks,
        limits=Limits(turns=options.turns),
        sampling=Sampling(max_new_tokens=options.tokens),
        engine=NeverStops(policy.engine),
    )
    seconds = time.perf_counter() - began
    assert all(len(one) == options.turns and "failed" not in one.info for one in trajectories)
    return seconds, environments.waited


class NeverStops:
    """An engine whose cut messages count as finished, so that every conversation has all its turns."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.refresh, self.release = engine, engine.refresh, engine.release

    def generate(self, requests: Any, sampling: Any) -> list[Any]:
        """What the engine samples, as if each message had ended by itself."""
        from dataclasses import replace

        return [replace(completion, stopped=True) for completion in self.engine.generate(requests, sampling)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--milliseconds", type=float, nargs="+", default=[1.0, 5.0], help="of a step")
    parser.add_argument("--parallel", type=int, default=64)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=24, help="of each action")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    policy = make_policy(options.hidden, options.layers)
    policy.model.to(options.device)
    parameters = sum(entry.numel() for entry in policy.model.parameters()) / 1e6
    print(
        f"{options.parallel} environments, {options.turns} turns of {options.tokens} tokens, {parameters:.2f} M weights, "
        f"{os.cpu_count()} cores, {options.device}; median of {options.rounds} rounds, range in brackets"
    )
    print(f"{'environment':22s} {'stepped':26s} {'rollouts/s':>24s} {'waiting':>22s}")
    for computes in (False, True):
        for milliseconds in options.milliseconds:
            ways = [WAYS[0], *WAYS[2:]] if computes else [*WAYS[:2]]
            race(policy, milliseconds, computes, ways, options)


def race(policy: Any, milliseconds: float, computes: bool, ways: list[str], options: argparse.Namespace) -> None:
    made = {way: pool(way, milliseconds / 1000, computes) for way in ways}
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for round_ in range(options.rounds + 1):
        for way, environments in made.items():
            seconds, waited = measure(policy, environments, options)
            if round_:  # the first starts threads and processes
                found[way].append((options.parallel / seconds, 100 * waited / seconds))
    for way, numbers in found.items():
        made[way].close()
        kind = f"{milliseconds:g} ms, {'computes' if computes else 'waits'}"
        print(f"{kind:22s} {way:26s} {shown([one for one, _ in numbers])} {shown([one for _, one in numbers], '%')}")


def shown(numbers: list[float], unit: str = "") -> str:
    form: Callable[[float], str] = "{:.1f}".format
    text = f"{form(statistics.median(numbers))}{unit} ({form(min(numbers))} to {form(max(numbers))})"
    return f"{text:>24s}"


if __name__ == "__main__":
    main()
