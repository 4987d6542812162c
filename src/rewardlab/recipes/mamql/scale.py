"""MAMQL in two gems at the size of the paper's Gems, over sizes of the demonstrations: the job of the recipe's scale file.

    python -m rewardlab.recipes.mamql.scale mamql.yaml --output runs/mamql

Each run writes its own folder with the fit and the returns; runs that are there are left out, so that a stopped job goes on
where it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rewardlab.learning.marginal_q import MarginalQ, collect_joint
from rewardlab.recipes.jobs import control_section, known_keys
from rewardlab.recipes.mamql.game import TwoGemsGame, demonstrated
from rewardlab.recipes.mamql.world import TwoGems


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the file says.

    Args:
        world: options of `TwoGems`.
        demonstrations: numbers of demonstrated games.
        seeds: of demonstrations and learners.
        steps: updates of each run.
        arms: name -> options of `MarginalQ`; an arm whose value term needs play plays.
        method: options of `MarginalQ` for all arms.
        episodes: games in which each run is measured.
    """

    world: dict[str, Any] = field(default_factory=dict)
    demonstrations: tuple[int, ...]
    seeds: tuple[int, ...]
    steps: int
    arms: dict[str, dict[str, Any]]
    method: dict[str, Any] = field(default_factory=dict)
    episodes: int = 60

    def learner(self, arm: str) -> MarginalQ:
        """The method of an arm."""
        options = {**self.method, **self.arms[arm]}
        if "hidden" in options:
            options["hidden"] = tuple(options["hidden"])
        return MarginalQ(2, **options)


def read_job(path: str | Path) -> Job:
    """Read a job, refusing keys that nobody knows.

    Raises:
        ValueError: an unknown or missing key, or an option that makes no sense.
    """
    options = dict(known_keys(Job, control_section(path), str(path)))
    for name in ("demonstrations", "seeds", "steps", "arms"):
        if name not in options:
            raise ValueError(f"{path}: the key {name!r} is missing")
    for name in ("demonstrations", "seeds"):
        options[name] = tuple(options[name])
    known_keys(TwoGems, options.get("world", {}), f"{path}: world")
    for arm, values in {"method": options.get("method", {}), **options["arms"]}.items():
        known_keys(MarginalQ, values, f"{path}: {arm}")
    job = Job(**options)
    for arm in job.arms:
        job.learner(arm)
    return job


def train(job: Job, arm: str, games: int, seed: int, folder: Path) -> float:
    """One run; writes the fit and `returns.json`.

    Returns:
        Mean joint return of the greedy policies.
    """
    world = TwoGems(**job.world)
    method = job.learner(arm)
    playing = method.value_term in ("policy", "mixed")
    fit = method.fit(
        demonstrated(games, seed=seed, world=world),
        (lambda: TwoGemsGame(world)) if playing else None,
        steps=job.steps,
        seed=seed,
    )
    policies = [fit.policy(0), fit.policy(1)]
    returns: dict[str, float] = {}
    for name, greedy in (("greedy", True), ("sampled", False)):
        played = collect_joint(
            TwoGemsGame(world), policies, episodes=job.episodes, seed=seed + 10_000, deterministic=greedy
        )
        returns[name] = float(np.sum([one.rewards.sum() for one in played])) / job.episodes
    fit.save(folder)
    (folder / "returns.json").write_text(json.dumps(returns))
    return returns["greedy"]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m rewardlab.recipes.mamql.scale", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--output", type=Path, default=Path("runs/mamql"))
    parser.add_argument("--check", action="store_true", help="only say what would run")
    chosen = parser.parse_args(arguments)
    job = read_job(chosen.file)
    for games in job.demonstrations:
        for arm in job.arms:
            for seed in job.seeds:
                folder = chosen.output / str(games) / arm / str(seed)
                if chosen.check:
                    print(f"{folder}: {job.steps} updates on {games} demonstrated games")
                elif not (folder / "returns.json").exists():
                    print(f"{folder}: {train(job, arm, games, seed, folder):.3f}", flush=True)


if __name__ == "__main__":
    main()
