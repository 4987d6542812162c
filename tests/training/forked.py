"""Runs trainings in processes of their own, for the tests that kill them or let two train together.

A script and not a test: it imports torch once and forks, so that a new process costs no new imports. Called as
`python -m tests.training.forked kills FOLDER` or `... pairs FOLDER`; the tests look at what it leaves in the folder.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import accelerate  # noqa: F401  # imported here once, for all forks
import numpy as np
import torch
import yaml  # noqa: F401
from safetensors.torch import save_file

from rewardlab.environments.single_turn import SingleTurn
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.rollout import rollout
from rewardlab.rewards import spec  # noqa: F401
from rewardlab.training import Evaluation, Trainer, WarmStart, train
from rewardlab.training.credit import Advantages
from rewardlab.training.objectives import GRPO, ReinforcePlusPlus, Supervised
from rewardlab.training.objectives.learner import Learner
from tests.training.worlds import SaysIt, demonstrations, policy, tasks

torch.set_num_threads(1)


def fork(work: Callable[[], None]) -> int:
    """Run something in a new process; returns its id. What it raises goes to the standard error stream."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        if status:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
        os._exit(status)


# ---- kills --------------------------------------------------------------------------------------------------------------


def training(folder: Path) -> None:
    """Everything that has a state: warm start, shuffled tasks, a learning reward, a reference, several mini-batches."""
    train(
        policy(seed=3),
        SingleTurn,
        SaysIt().normalised("running"),
        tasks(),
        objective=GRPO(learning_rate=3e-3, kl_coefficient=0.05, mini_batches=2, warmup=3, schedule="cosine"),
        steps=6,
        group_size=4,
        tasks_per_step=3,
        sampling=Sampling(max_new_tokens=3),
        evaluation=Evaluation(tasks=tasks(4), every=3),
        warm_start=WarmStart(demonstrations=demonstrations(), steps=4, batch_size=3),
        output=folder,
        seed=5,
        trackers=[],
    )


def die_at(call: int) -> None:
    """Kill this process at so many-th call that touches a file system, just before or just after the call."""
    count = [0]

    def deadly(function: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object, **options: object) -> object:
            count[0] += 1
            if count[0] == call and call % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*arguments, **options)
            if count[0] == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapped

    for owner, name in (
        (os, "fsync"),
        (os, "rename"),
        (os, "replace"),
        (os, "link"),
        (shutil, "rmtree"),
        (os, "truncate"),
    ):
        setattr(owner, name, deadly(getattr(owner, name)))


def kills(folder: Path) -> None:
    start = time.perf_counter()
    assert not killed(fork(lambda: training(folder / "unbroken")))
    whole = time.perf_counter() - start
    report: dict[str, list[float]] = {"random": [], "calls": []}
    for _ in range(3):
        child = fork(lambda: training(folder / "random"))
        delay = random.uniform(0.0, 0.6 * whole)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        if killed(child):
            report["random"].append(delay)
    assert not killed(fork(lambda: training(folder / "random")))

    # Each life goes a little further than the one before it, and is killed around another of the calls that write,
    # rename and remove.
    for call in (1, 2, 3, 5, 7, 10, 14, 20, 27):

        def life(call: int = call) -> None:
            die_at(call)
            training(folder / "calls")

        if not killed(fork(life)):
            break
        report["calls"].append(call)
    assert not killed(fork(lambda: training(folder / "calls")))
    (folder / "kills.json").write_text(json.dumps(report))


def killed(child: int) -> bool:
    """Wait for a process: whether it was killed. One that failed by itself fails the whole script."""
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status) and status:
        raise RuntimeError("a training failed; see above")
    return os.WIFSIGNALED(status)


# ---- pairs --------------------------------------------------------------------------------------------------------------


def together(count: int, work: Callable[[], None]) -> None:
    """Run something in some processes that train together on the CPU."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def member(rank: int) -> Callable[[], None]:
        def run() -> None:
            if count > 1:
                os.environ.update(
                    RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), ACCELERATE_USE_CPU="true"
                )
                os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), LOCAL_WORLD_SIZE=str(count))
            work()
            if count > 1:
                torch.distributed.destroy_process_group()

        return run

    children = [fork(member(rank)) for rank in range(count)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * count


def updates(folder: Path) -> None:
    """The same updates, whoever shares them: ragged rows, fewer rows than processes, references, several mini-batches."""
    made = rollout(policy(), SingleTurn, tasks(5), group_size=3, sampling=Sampling(max_new_tokens=6), seed=2)
    numbers = np.random.default_rng(0)
    advantages = Advantages(
        values=[numbers.normal(size=1) for _ in made], included=np.arange(len(made)) % 5 != 4, statistics={}
    )
    alone = Advantages(values=advantages.values, included=np.arange(len(made)) == 3)
    cases = {
        "grpo": (GRPO(learning_rate=1e-4, kl_coefficient=0.2, mini_batches=2, epochs=2, micro_batch_tokens=30), 2),
        "constant": (GRPO(learning_rate=1e-4, normalise="constant", constant=6.0), 2),
        "reinforce_plus_plus": (ReinforcePlusPlus(learning_rate=1e-4, kl_coefficient=0.2), 2),
        "recomputed": (GRPO(learning_rate=1e-4, old_logprobs="recomputed", mini_batches=3), 1),
    }
    results = {}
    rank = os.environ.get("RANK", "0")
    for name, (objective, times) in cases.items():
        acting = policy(
            seed=1 + int(rank)
        )  # the second process starts elsewhere, and must be given the first one's weights
        gradients = watched(objective.learner(acting))
        results[name] = [objective.update(acting, made, advantages) for _ in range(times)]
        save_file(gradients, folder / f"{name}-{rank}.safetensors")
    acting, objective = policy(seed=1), Supervised(learning_rate=1e-4)
    gradients = watched(objective.learner(acting))
    results["alone"] = [objective.update(acting, made, _positive(alone))]
    save_file(gradients, folder / f"alone-{rank}.safetensors")
    (folder / f"numbers-{rank}.json").write_text(json.dumps(results))


def watched(learner: Learner) -> dict[str, torch.Tensor]:
    """The gradients that optimiser steps follow, which fill the dict that is returned while an objective runs.

    Gradients are compared and not weights: the first steps of Adam follow signs, which turn rounding into whole steps.
    """
    gradients: dict[str, torch.Tensor] = {}
    step = learner.step

    def watch(rate: float) -> None:
        joined = [weight.grad.flatten() for weight in learner.parameters.values()]
        gradients[f"step{len(gradients)}"] = torch.cat(joined).clone()
        step(rate)

    learner.step = watch  # type: ignore[method-assign]
    return gradients


def loop(folder: Path) -> None:
    """A short training in a run folder, resumed once."""
    rank = os.environ.get("RANK", "0")
    for steps in (2, 4):
        acting = policy(seed=1 + int(rank))
        trainer = Trainer(
            policy=acting,
            environment=SingleTurn,
            reward=SaysIt(),
            tasks=tasks(7),
            objective=GRPO(learning_rate=1e-2),
            steps=steps,
            group_size=3,
            tasks_per_step=3,
            sampling=Sampling(max_new_tokens=4),
            evaluation=Evaluation(tasks=tasks(5), every=2),
            output=folder / "run",
            trackers=[],
        )
        result = trainer.run()
    _save(acting, folder / f"loop-{rank}.safetensors")
    (folder / f"loop-{rank}.json").write_text(json.dumps(result.metrics))


def _positive(advantages: Advantages) -> Advantages:
    return Advantages(values=[np.abs(row) for row in advantages.values], included=advantages.included)


def _save(acting: object, path: Path) -> None:
    weights = {name: weight.detach().clone() for name, weight in acting.model.named_parameters()}  # type: ignore[attr-defined]
    save_file(weights, path)


def pairs(folder: Path) -> None:
    for count in (1, 2):
        place = folder / str(count)
        place.mkdir()

        def work(place: Path = place) -> None:
            updates(place)
            loop(place)

        together(count, work)


if __name__ == "__main__":
    policy()  # imports what making a model needs
    {"kills": kills, "pairs": pairs}[sys.argv[1]](Path(sys.argv[2]))
