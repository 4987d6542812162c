"""Runs fits in processes of their own, for the tests that kill them or let two fit together.

A script and not a test: it imports torch once and forks. Called as `python -m tests.learning.forked FOLDER`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from rewardlab.learning import fit, fit_ensemble
from rewardlab.rewards.models.model import RewardModel
from tests.learning.test_fit_text import make as make_text
from tests.learning.test_fit_text import pairs
from tests.learning.worlds import answers, comparisons, make_deep, make_latent
from tests.training.forked import die_at, fork, killed, together


def a_fit(folder: Path) -> None:
    """Dropout, warmup, held-out rows, best weights: everything that has a state."""
    encoder = {"type": "mlp", "inputs": 4, "hidden": [8], "dropout": 0.2}
    fit(
        RewardModel.make(encoder), comparisons(60), validation=0.25, steps=40, batch_size=8, learning_rate=0.02,
        evaluate_every=4, checkpoint_every=3, output=folder, seed=3,
    )  # fmt: skip


def kills(folder: Path) -> None:
    """The fit unbroken, killed at random moments, and killed around calls that write."""
    start = time.perf_counter()
    assert not killed(fork(lambda: a_fit(folder / "unbroken")))
    whole = time.perf_counter() - start
    report: dict[str, list[float]] = {"random": [], "calls": []}
    for _ in range(4):
        child = fork(lambda: a_fit(folder / "random"))
        delay = random.uniform(0.1, 0.5) * whole
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        if killed(child):
            report["random"].append(delay)
    assert not killed(fork(lambda: a_fit(folder / "random")))
    for call in (1, 3, 6, 11, 18, 27):

        def life(call: int = call) -> None:
            die_at(call)
            a_fit(folder / "calls")

        if not killed(fork(life)):
            break
        report["calls"].append(call)
    assert not killed(fork(lambda: a_fit(folder / "calls")))
    (folder / "kills.json").write_text(json.dumps(report))


def fits(folder: Path) -> None:
    """The same fits, whoever shares them. The second process starts from other weights, which are not to matter."""
    rank = int(os.environ.get("RANK", "0"))
    arrays = fit(make_deep(rank), comparisons(21), validation=comparisons(10, seed=1), steps=5, batch_size=5, seed=1)
    text = fit(make_text(rank), pairs(7), steps=2, batch_size=3, max_grad_norm=0.1)
    many = fit_ensemble(make_deep, comparisons(21), 3, bootstrap=True, steps=3, batch_size=1)
    latent = fit(make_latent(rank), answers(9, 5), validation=answers(9, 3, seed=1), steps=4, batch_size=5, seed=2)
    models = {"arrays": arrays.model, "text": text.model, "many": many, "latent": latent.model}
    for name, model in models.items():
        weights = {key: value.detach().contiguous().clone() for key, value in model.network.head.state_dict().items()}
        save_file(weights, folder / f"{name}-{rank}.safetensors")
    numbers = {"arrays": arrays.metrics, "text": text.metrics, "latent": latent.metrics}
    numbers |= {"evaluations": arrays.evaluations, "latent evaluations": latent.evaluations}
    (folder / f"numbers-{rank}.json").write_text(json.dumps(numbers))


def main(folder: Path) -> None:
    """Everything."""
    kills(folder)
    for count in (1, 2):
        place = folder / str(count)
        place.mkdir()

        def work(place: Path = place) -> None:
            fits(place)

        together(count, work)


if __name__ == "__main__":
    torch.set_num_threads(1)
    fit(make_text(), pairs(2), steps=1)  # imports what fits need
    main(Path(sys.argv[1]))
