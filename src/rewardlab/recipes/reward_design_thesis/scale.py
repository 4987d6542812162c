"""ExploRS and its parts on real Gymnasium environments with Stable-Baselines3: the job of the recipe's scale file.

    python -m rewardlab.recipes.reward_design_thesis.scale reward-design-thesis.yaml --output runs/explors

Each run writes its own folder with the original returns of its episodes, the model and the designer; runs that are there are
left out, so that a stopped job goes on where it was.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rewardlab.extras import require
from rewardlab.learning.design.counting import Count, GridCount, HashCount
from rewardlab.learning.design.self_design import explors
from rewardlab.recipes.jobs import control_section, known_keys
from rewardlab.registry import nearest

ARMS: dict[str, dict[str, float]] = {
    "original": {"bonus": 0.0, "rate": 0.0},
    "bonus": {"rate": 0.0},
    "self": {"bonus": 0.0},
    "explors": {},
}
"""What each arm leaves out of ExploRS."""


@dataclass(frozen=True, kw_only=True)
class World:
    """One environment of the file.

    Args:
        id: for `gymnasium.make`.
        learner: `type` (ppo, a2c, dqn) and options of the Stable-Baselines3 class.
        count: options of `HashCount`, or of `GridCount` where `cells` is among them.
        modules: imported first, because they register environments.
        flatten: "minigrid" for the flat image of MiniGrid, None for observations as they are.
    """

    id: str
    learner: dict[str, Any]
    count: dict[str, Any] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    flatten: str | None = None

    def counted(self, features: int, seed: int) -> Count:
        """The cells that the bonus counts."""
        if "cells" in self.count:
            return GridCount(**{name: tuple(values) for name, values in self.count.items()})
        return HashCount(features, seed=seed, **self.count)

    def make(self) -> Any:
        """The environment, with flat observations."""
        gymnasium = require("gymnasium", extra="control", why="ExploRS at scale")
        for module in self.modules:
            require(module, extra="worlds", why=f"the environment {self.id}")
        environment = gymnasium.make(self.id)
        if self.flatten == "minigrid":
            wrappers = importlib.import_module("minigrid.wrappers")
            environment = wrappers.ImgObsWrapper(environment)
        elif self.flatten is not None:
            raise ValueError(f"flatten must be 'minigrid' or left out, got {self.flatten!r}")
        return gymnasium.wrappers.FlattenObservation(environment)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the file says.

    Args:
        environments: where to train.
        seeds: of learner, environment and designer.
        steps: environment steps of each run.
        arms: names in `ARMS`.
        designer: options of `NeuralExploRS`.
    """

    environments: tuple[World, ...]
    seeds: tuple[int, ...]
    steps: int
    arms: tuple[str, ...] = tuple(ARMS)
    designer: dict[str, Any] = field(default_factory=dict)


def read_job(path: str | Path) -> Job:
    """Read a job, refusing keys that nobody knows.

    Raises:
        ValueError: an unknown or missing key, or an unknown arm.
    """
    options = dict(known_keys(Job, control_section(path), str(path)))
    options["environments"] = tuple(
        World(**{**known_keys(World, entry, f"{path}: environments"), "modules": tuple(entry.get("modules", ()))})
        for entry in options["environments"]
    )
    for name in ("seeds", "arms"):
        if name in options:
            options[name] = tuple(options[name])
    job = Job(**options)
    for arm in job.arms:
        if arm not in ARMS:
            raise ValueError(f"{path}: unknown arm {arm!r}{nearest(arm, ARMS)}")
    return job


def train(world: World, arm: str, seed: int, job: Job, folder: Path) -> float:
    """One run; writes `returns.json`, `model.zip` and `designer.npz`.

    Returns:
        Mean original return of the last tenth of its episodes.
    """
    sb3 = require("stable_baselines3", extra="control", why="ExploRS at scale")
    wrapper = importlib.import_module("rewardlab.learning.design.wrapper")
    options = dict(world.learner)
    kind = str(options.pop("type"))
    learner = {"ppo": sb3.PPO, "a2c": sb3.A2C, "dqn": sb3.DQN}.get(kind)
    if learner is None:
        raise ValueError(f"learner type must be ppo, a2c or dqn, got {kind!r}")
    base = world.make()
    features = int(np.prod(base.observation_space.shape))
    designer = explors(
        features=features,
        actions=int(base.action_space.n),
        count=world.counted(features, seed),
        learner="q" if kind == "dqn" else "policy_gradient",
        discount=float(options.get("gamma", 0.99)),
        seed=seed,
        **{**job.designer, **ARMS[arm]},
    )
    environment = wrapper.DesignedEnvironment(base, designer)
    model = learner("MlpPolicy", environment, seed=seed, device="cpu", **options)
    environment.policy = wrapper.model_probabilities(model)
    returns: list[tuple[int, float]] = []
    environment.on_episode = lambda rewards: returns.append((len(rewards), float(sum(rewards))))
    model.learn(job.steps)
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "model.zip")
    designer.save(folder / "designer.npz")
    lengths, gained = zip(*returns, strict=True) if returns else ((), ())
    (folder / "returns.json").write_text(json.dumps({"steps": np.cumsum(lengths).tolist(), "returns": list(gained)}))
    return float(np.mean(gained[-max(1, len(gained) // 10) :])) if gained else float("nan")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m rewardlab.recipes.reward_design_thesis.scale", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--output", type=Path, default=Path("runs/explors"))
    parser.add_argument("--check", action="store_true", help="only say what would run")
    chosen = parser.parse_args(arguments)
    job = read_job(chosen.file)
    for world in job.environments:
        for arm in job.arms:
            for seed in job.seeds:
                folder = chosen.output / world.id / arm / str(seed)
                if chosen.check:
                    print(f"{folder}: {job.steps} steps of {world.learner.get('type')}")
                elif not (folder / "returns.json").exists():
                    print(f"{folder}: {train(world, arm, seed, job, folder):.3f}", flush=True)


if __name__ == "__main__":
    main()
