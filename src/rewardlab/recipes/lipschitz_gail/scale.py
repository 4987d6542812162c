"""Lipschitz GAIL and its ablations on real Gymnasium environments: the job of the recipe's scale file.

    python -m rewardlab.recipes.lipschitz_gail.scale lipschitz-gail.yaml --output runs/lipschitz-gail

Each run writes a folder that `DemonstrationFit.load` reads, with the metrics of the run; runs that are there are left out,
so that a stopped job goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from rewardlab.learning.demonstrations.base import DemonstrationFit
from rewardlab.learning.demonstrations.off_policy import OffPolicyGAIL
from rewardlab.learning.demonstrations.worlds import mean_return
from rewardlab.recipes.jobs import control_section, known_keys
from rewardlab.registry import nearest
from rewardlab.storage.demonstrations import read_demonstrations


@dataclass(frozen=True, kw_only=True)
class World:
    """One environment of the file.

    Args:
        id: for `gymnasium.make`.
        data: its demonstrations: an npz file, or the id of a Minari data set, which is fetched where it is not there.
        absorbing: whether ends are worth something of their own there.
    """

    id: str
    data: str
    absorbing: bool = False


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the file says.

    Args:
        environments: where to train.
        seeds: of everything random.
        steps: environment steps of each run.
        demonstrations: how many are learned from.
        options: of `OffPolicyGAIL`, for all arms.
        arms: by name, the options that an arm has of its own.
    """

    environments: tuple[World, ...]
    seeds: tuple[int, ...]
    steps: int
    demonstrations: int
    options: dict[str, Any] = field(default_factory=dict)
    arms: dict[str, dict[str, Any]] = field(default_factory=dict)

    def method(self, world: World, arm: str) -> OffPolicyGAIL:
        """The options of one arm."""
        options = {"absorbing": world.absorbing, **self.options, **self.arms[arm]}
        known = {entry.name for entry in fields(OffPolicyGAIL)}
        for name, value in options.items():
            if name not in known:
                raise ValueError(f"arm {arm!r}: unknown option {name!r}{nearest(name, known)}")
            options[name] = tuple(value) if isinstance(value, list) else value
        return OffPolicyGAIL(**options)


def read_job(path: str | Path) -> Job:
    """Read a job, refusing keys that nobody knows.

    Raises:
        ValueError: an unknown or missing key, or an unknown option.
    """
    options = dict(known_keys(Job, control_section(path), str(path)))
    options["environments"] = tuple(
        World(**known_keys(World, entry, f"{path}: environments")) for entry in options["environments"]
    )
    options["seeds"] = tuple(options["seeds"])
    job = Job(**options)
    for arm in job.arms:
        job.method(job.environments[0], arm)
    return job


def train(world: World, arm: str, seed: int, job: Job, folder: Path) -> DemonstrationFit:
    """One run; its fit is saved in the folder."""
    demonstrations = read_demonstrations(world.data, download=not world.data.endswith(".npz"))[: job.demonstrations]
    fit = job.method(world, arm).fit(demonstrations, world.id, steps=job.steps, seed=seed)
    fit.save(folder)
    return fit


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m rewardlab.recipes.lipschitz_gail.scale", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--output", type=Path, default=Path("runs/lipschitz-gail"))
    parser.add_argument("--check", action="store_true", help="only say what would run")
    chosen = parser.parse_args(arguments)
    job = read_job(chosen.file)
    for world in job.environments:
        for arm in job.arms:
            for seed in job.seeds:
                folder = chosen.output / world.id / arm / str(seed)
                if chosen.check:
                    print(f"{folder}: {job.steps} steps on {job.demonstrations} demonstrations of {world.data}")
                elif not (folder / "fit.json").exists():
                    policy = train(world, arm, seed, job, folder).policy
                    print(f"{folder}: {mean_return(policy, world.id, episodes=10, seed=seed):.1f}", flush=True)


if __name__ == "__main__":
    main()
