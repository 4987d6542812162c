"""Text2Reward on a real Gymnasium environment, with a served language model and Stable-Baselines3: the recipe's scale file.

    python -m rewardlab.recipes.text2reward.scale text2reward.yaml --output runs/text2reward

Programs are written first and kept as JSON, those that failed too; programs that are there are not asked for again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rewardlab.extras import require
from rewardlab.learning.programs.checking import Report
from rewardlab.learning.programs.comparing import Comparison, compare_programs
from rewardlab.learning.programs.program import RewardProgram
from rewardlab.learning.programs.refining import refine
from rewardlab.learning.programs.views import check_view
from rewardlab.learning.programs.writer import RewardWriter
from rewardlab.recipes.jobs import flat_job
from rewardlab.registry import Registry

_PLACES = Registry("view or success function", {}, group="rewardlab.views")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the file says.

    Args:
        environment: for `gymnasium.make`.
        view: the adapter's class, as `module:Class`.
        success: observations[N, ...] -> bool[N], as `module:function`; no program sees it.
        instruction, robot, actions: of the prompt.
        model: `name`, `base_url`, `temperature`.
        programs: how many are written.
        corrections: rounds of error feedback for each.
        sample: transitions on which each is tried.
        learner: `type` (sac, ppo, td3) and options of the Stable-Baselines3 class.
        environments: side by side.
        steps: of each training.
        seeds: of the trainings.
        evaluation_episodes: greedy ones at the end; the share of their steps with success is the measure.
    """

    environment: str
    view: str
    success: str
    instruction: str
    robot: str
    actions: str
    model: dict[str, Any]
    learner: dict[str, Any]
    programs: int = 10
    corrections: int = 3
    sample: int = 1000
    environments: int = 8
    steps: int = 1_000_000
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4])
    evaluation_episodes: int = 20

    @property
    def adapter(self) -> type:
        """The class of the view."""
        return _PLACES.resolve(self.view)

    def writer(self) -> RewardWriter:
        """Asks the model at its endpoint."""
        from rewardlab.policies.engines.endpoint import EndpointPolicy

        policy = EndpointPolicy(self.model["name"], base_url=self.model.get("base_url"))
        return RewardWriter(
            model=policy,
            abstraction=self.adapter,
            robot=self.robot,
            actions=self.actions,
            temperature=float(self.model.get("temperature", 0.7)),
        )


def read_job(path: str | Path) -> Job:
    """Read a file with the key `control`.

    Raises:
        ValueError: a key is missing or unknown; the nearest known one is named.
    """
    return flat_job(Job, path)


def write_programs(job: Job, writer: RewardWriter, folder: Path) -> list[RewardProgram]:
    """Have the programs written, checked and corrected; each is kept as JSON with its report beside it."""
    gymnasium = require("gymnasium", extra="gym", why="trying programs")
    environment = gymnasium.make(job.environment)
    found = []
    for number in range(job.programs):
        path = folder / f"program_{number}.json"
        if not path.exists():
            program, report = _written(job, writer, environment, number)
            path.with_suffix(".txt").write_text(f"{report}\n", encoding="utf-8")
            program.save(path)
        found.append(RewardProgram.load(path))
    environment.close()
    return found


def _written(job: Job, writer: RewardWriter, environment: Any, number: int) -> tuple[RewardProgram, Report]:
    success = _PLACES.resolve(job.success)

    def check(program: RewardProgram) -> Report:
        return program.check(environment, job.sample, view=job.adapter, success=success, seed=number)

    prompt = writer.prompt(job.instruction)
    program = writer.ask(prompt, instruction=job.instruction, number=number)
    report = check(program)
    if not report.passed and not program.failed and job.corrections:
        program = refine(writer, program, report, check=check, rounds=job.corrections, number=number)
        report = check(program)
    return program, report


def train(job: Job, reward: Any, seed: int) -> float:
    """Train with one reward (None for the environment's own); the share of steps with success in greedy episodes."""
    from rewardlab.environments.control import RewardVecEnv

    library = require("stable_baselines3", extra="control", why="training policies")
    build = require("stable_baselines3.common.env_util", extra="control", why="training policies").make_vec_env
    environments = build(job.environment, n_envs=job.environments, seed=seed)
    learned = environments if reward is None else RewardVecEnv(environments, reward)
    scaled = require("stable_baselines3.common.vec_env", extra="control", why="training policies").VecNormalize(
        learned, norm_obs=False, norm_reward=True
    )
    options = {name: value for name, value in job.learner.items() if name != "type"}
    model = getattr(library, str(job.learner["type"]).upper())("MlpPolicy", scaled, seed=seed, **options)
    model.learn(job.steps)
    gymnasium = require("gymnasium", extra="gym", why="testing policies")
    environment, success, hits = gymnasium.make(job.environment), _PLACES.resolve(job.success), []
    for episode in range(job.evaluation_episodes):
        seen, _ = environment.reset(seed=10_000 + episode)
        ended = False
        while not ended:
            action, _ = model.predict(seen, deterministic=True)
            seen, _, terminated, truncated, _ = environment.step(action)
            hits.append(bool(success(seen[None])[0]))
            ended = terminated or truncated
    return float(np.mean(hits))


def run(job: Job, folder: Path, writer: RewardWriter | None = None) -> Comparison:
    """The whole job; the table lies in `comparison.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    programs = write_programs(job, writer or job.writer(), folder)
    distinct = list(
        {program.hash if not program.failed else place: program for place, program in enumerate(programs)}.values()
    )
    found = compare_programs(
        distinct,
        lambda reward, seed: train(job, reward, seed),
        view=job.adapter,
        beside={"environment": None},
        seeds=job.seeds,
        progress=lambda done, whole: print(f"{done} of {whole} runs", flush=True),
    )
    (folder / "comparison.md").write_text(found.table() + "\n", encoding="utf-8")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """The command of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="a YAML file with the key control")
    parser.add_argument("--output", default="runs/text2reward", help="folder of programs, reports and the table")
    parser.add_argument("--check", action="store_true", help="try the view, show the prompt, start nothing")
    given = parser.parse_args(arguments)
    job = read_job(given.file)
    if given.check:
        gymnasium = require("gymnasium", extra="gym", why="trying the view")
        seen, _ = gymnasium.make(job.environment).reset(seed=0)
        check_view(job.adapter, np.asarray(seen)[None], 1)
        print(job.writer().prompt(job.instruction))
        print(json.dumps({"programs": job.programs, "runs": (job.programs + 1) * len(job.seeds), "steps": job.steps}))
        return
    print(run(job, Path(given.output)).table())


if __name__ == "__main__":
    main()
