"""ONI in a real environment, with a served language model and Stable-Baselines3: the recipe's scale file.

    python -m rewardlab.recipes.oni.scale oni.yaml --output runs/oni

Labels are kept as JSON at the end, so that another run can start from them (`warm_start`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rewardlab.learning.annotation import EndpointJudge, OnlineAnnotator
from rewardlab.recipes.jobs import flat_job
from rewardlab.registry import Registry
from rewardlab.rewards.intrinsic import IntrinsicReward

_PLACES = Registry("environment maker or caption function", {}, group="rewardlab.captions")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the file says.

    Args:
        environment: id of the environment.
        make: function of the id that makes it, as `module:function`.
        caption: function of a transition that gives captions, as `module:function`.
        goal: what the agent is to achieve, in words.
        setting: a sentence about the environment, for the prompt.
        endpoint: `name` and `base_url` of the judge.
        annotator: options of `OnlineAnnotator`.
        models: "retrieval", "classifier", "ranker"; None is the extrinsic reward alone.
        reward: options of `IntrinsicReward`.
        extrinsic: weight of the environment's own reward.
        learner: `type` and options of the Stable-Baselines3 class.
        environments: side by side.
        steps: of each training.
        seeds: of the trainings.
        evaluation_episodes: greedy ones at the end, measured by the environment's own reward.
    """

    environment: str
    make: str
    caption: str
    goal: str
    endpoint: dict[str, Any]
    learner: dict[str, Any]
    setting: str = ""
    annotator: dict[str, Any] = field(default_factory=dict)
    models: list[Literal["retrieval", "classifier", "ranker"] | None] = field(default_factory=lambda: ["retrieval"])
    reward: dict[str, Any] = field(default_factory=dict)
    extrinsic: float = 1.0
    environments: int = 16
    steps: int = 1_000_000
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4])
    evaluation_episodes: int = 10

    def maker(self) -> Any:
        """Makes the environment."""
        make = _PLACES.resolve(self.make)
        return lambda: make(self.environment)

    def intrinsic(self, model: Any, seed: int) -> IntrinsicReward:
        """The intrinsic reward, with a judge at the endpoint."""
        from rewardlab.policies.engines.endpoint import EndpointPolicy

        policy = EndpointPolicy(self.endpoint["name"], base_url=self.endpoint.get("base_url"))
        kind: Literal["classification", "ranking"] = "ranking" if model == "ranker" else "classification"
        judge = EndpointJudge(policy, self.goal, kind=kind, setting=self.setting)
        annotator = OnlineAnnotator(judge, **self.annotator)
        return IntrinsicReward(
            caption=_PLACES.resolve(self.caption),
            model=model,
            annotator=annotator,
            seed=seed,
            name="intrinsic",
            **self.reward,
        )


def read_job(path: str | Path) -> Job:
    """Read a file with the key `control`.

    Raises:
        ValueError: a key is missing or unknown; the nearest known one is named.
    """
    return flat_job(Job, path)


def run(job: Job, output: Path) -> list[Mapping[str, Any]]:
    """Train with every model and seed; what each came to, also in `results.json`."""
    from rewardlab.rewards.recorded import EnvironmentReturn
    from rewardlab.training.control import train_control

    results: list[Mapping[str, Any]] = []
    for model in job.models:
        for seed in job.seeds:
            folder = output / f"{model or 'extrinsic'}_{seed}"
            own = job.extrinsic * EnvironmentReturn()
            intrinsic = None if model is None else job.intrinsic(model, seed)
            options = {name: value for name, value in job.learner.items() if name != "type"}
            trained = train_control(
                job.maker(),
                own if intrinsic is None else own + intrinsic,
                steps=job.steps,
                learner=job.learner.get("type", "ppo"),
                options=options,
                seed=seed,
                environments=job.environments,
                folder=folder,
                evaluation_episodes=job.evaluation_episodes,
            )
            one: dict[str, Any] = {
                "model": model,
                "seed": seed,
                "steps": trained.steps,
                "evaluation": trained.evaluations[-1],
            }
            if intrinsic is not None:
                intrinsic.annotator.close()
                intrinsic.save(folder)
                one["annotation"] = intrinsic.diagnostics()
            results.append(one)
    (output / "results.json").write_text(json.dumps(results, default=str, indent=1), encoding="utf-8")
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train with intrinsic rewards from a served language model.")
    parser.add_argument("file", help="the scale file")
    parser.add_argument("--output", default="runs/oni", help="where results go")
    parser.add_argument(
        "--check", action="store_true", help="look at the environment and the prompt, and start nothing"
    )
    given = parser.parse_args(arguments)
    job = read_job(given.file)
    if given.check:
        environment = job.maker()()
        first = next((model for model in job.models if model is not None), "retrieval")
        judge = job.intrinsic(first, 0).annotator._judge
        print(f"{environment.observation_space}, {len(job.models)} models x {len(job.seeds)} seeds x {job.steps} steps")
        print(judge.prompt("an example" if judge.kind == "classification" else ("an example", "another")))
        environment.close()
        return
    for one in run(job, Path(given.output)):
        print(json.dumps(one, default=str))


if __name__ == "__main__":
    main()
