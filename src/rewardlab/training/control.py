"""Training of control policies: the learners of Stable-Baselines3, on any reward of this library.

    config.json                 what was run, so that another run cannot go on from its checkpoints by mistake
    metrics.jsonl               one line each `log_every` steps: {"step", "progress", "reward/return", "parts/NAME", ...}
    evaluations.jsonl           one line per evaluation, on the true reward: {"step", "return", "deviation", "length"}
    checkpoints/                what a run that was stopped goes on from
    policy/                     the trained policy: weights.safetensors and policy.json

A run that goes on has the weights, optimisers, replay buffer, statistics and random states of the checkpoint. Where the
simulators stood is not in it: their trajectories begin anew, so the numbers are not those of a run that never stopped.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rewardlab.extras import require
from rewardlab.policies.control import collect
from rewardlab.policies.stable_baselines import StableBaselinesPolicy, build_learner, check_options
from rewardlab.rewards.base import Reward
from rewardlab.rewards.online import score_steps
from rewardlab.training.control_state import read_state, training_state
from rewardlab.types import Trajectory

Record = dict[str, Any]


@dataclass(kw_only=True)
class ControlTraining:
    """What a training of a control policy came to.

    Args:
        policy: the trained policy.
        history: the lines of `metrics.jsonl`.
        evaluations: the lines of `evaluations.jsonl`.
        steps: steps of single environments that were taken.
        reward: what was trained on, with the statistics that it learned; None for the environment's own.
    """

    policy: StableBaselinesPolicy
    history: list[Record] = field(default_factory=list)
    evaluations: list[Record] = field(default_factory=list)
    steps: int = 0
    reward: Reward | None = None

    def save(self, folder: str | Path) -> Path:
        """Write policy and numbers; nothing is pickled."""
        path = Path(folder)
        self.policy.save(path / "policy")
        text = json.dumps({"steps": self.steps, "history": self.history, "evaluations": self.evaluations})
        (path / "training.json").write_text(text, encoding="utf-8")
        return path

    @classmethod
    def load(cls, folder: str | Path) -> ControlTraining:
        """Read what `save` wrote; the reward is not in it."""
        path = Path(folder)
        if not (path / "training.json").is_file():
            raise FileNotFoundError(
                f"there is no saved training in {str(path)!r}: expected training.json and policy/ in it"
            )
        told = json.loads((path / "training.json").read_text(encoding="utf-8"))
        return cls(policy=StableBaselinesPolicy.load(path / "policy"), **told)


def train_control(
    environment: str | Callable[[], Any],
    reward: Reward | None = None,
    *,
    steps: int,
    learner: str = "ppo",
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    environments: int = 1,
    folder: str | Path | None = None,
    log_every: int | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    evaluate_every: int | None = None,
    evaluation_episodes: int = 10,
    true_reward: Reward | None = None,
    callbacks: Sequence[Callable[[Record], None]] = (),
    progress: bool | None = None,
    device: str = "cpu",
) -> ControlTraining:
    """Train a policy in an environment of Gymnasium on a reward.

    Args:
        environment: id of an environment, or a function that makes one.
        reward: any algebra of transition rewards; None for the environment's own.
        steps: steps of single environments; learners that gather rollouts round up to whole ones.
        learner: "ppo", "a2c", "sac", "td3", "ddpg" or "dqn".
        options: of the learner, by the names of Stable-Baselines3, as plain values (`policy_kwargs.activation_fn` by name).
        seed: of everything that is drawn.
        environments: how many run side by side.
        folder: where metrics, checkpoints and the policy go; None keeps all in memory.
        log_every: steps between lines of metrics; a fiftieth of all steps by default.
        checkpoint_every: steps between checkpoints; None for none.
        resume: whether to go on from the newest checkpoint in the folder, where there is one.
        evaluate_every: steps between evaluations; None for one at the end.
        evaluation_episodes: trajectories of an evaluation, with the likeliest actions.
        true_reward: what an evaluation measures; None for the environment's own reward.
        callbacks: called with each line of metrics.
        progress: whether a bar is shown; None where a terminal looks on.
        device: where the learner computes.

    Raises:
        ValueError: an unknown learner or option (the nearest name is given), or a folder that holds another training.
        CannotStep: the reward has no value at single transitions.
        RewardFailure: the simulator or the reward gave NaN or infinity; environment and step are named.
    """
    for name, value in (("steps", steps), ("environments", environments), ("evaluation_episodes", evaluation_episodes)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if checkpoint_every is not None and folder is None:
        raise ValueError("checkpoint_every needs a folder= to write checkpoints to")
    check_options(learner, options or {})
    run = _Run(environment, reward, steps, learner, dict(options or {}), seed, environments, device)
    run.files(folder, resume=resume, checkpoint_every=checkpoint_every)
    run.evaluates(evaluate_every, evaluation_episodes, true_reward)
    run.log_every = log_every or max(1, steps // 50)
    run.callbacks = tuple(callbacks)
    return run.train(progress)


class _Run:
    """One training: the learner, its environments, and what is written down."""

    def __init__(
        self,
        environment: str | Callable[[], Any],
        reward: Reward | None,
        steps: int,
        learner: str,
        options: dict[str, Any],
        seed: int,
        environments: int,
        device: str,
    ) -> None:
        monitor = require("stable_baselines3.common.monitor", extra="control", why="training a control policy")
        vec_env = require("stable_baselines3.common.vec_env", extra="control", why="training a control policy")
        from rewardlab.environments.control import RewardVecEnv
        from rewardlab.rewards.recorded import EnvironmentReturn

        self.make = _factory(environment)
        self.steps, self.seed, self.reward = steps, seed, reward
        own = reward if reward is not None else EnvironmentReturn()
        self.world = RewardVecEnv(
            vec_env.DummyVecEnv([lambda: monitor.Monitor(self.make())] * environments), own, keep_parts=False
        )
        self.model = build_learner(learner, self.world, options, seed=seed, device=device)
        self.policy = StableBaselinesPolicy(self.model, learner, options)
        self.config = {
            "environment": environment if isinstance(environment, str) else None,
            "learner": learner,
            "options": options,
            "environments": environments,
            "seed": seed,
            "reward": own.label,
        }
        self.history: list[Record] = []
        self.evaluations: list[Record] = []
        self.latest: Record = {}
        self.callbacks: tuple[Callable[[Record], None], ...] = ()
        self.log_every = 1
        self.seen = 0

    def files(self, folder: str | Path | None, *, resume: bool, checkpoint_every: int | None) -> None:
        """Open the run folder, and go on from its newest checkpoint where that is wanted."""
        self.folder = self.checkpoints = None
        self.checkpoint_every = checkpoint_every
        if folder is None:
            return
        from rewardlab.training.checkpoint import Checkpoints
        from rewardlab.training.metrics import RunFolder

        self.folder = RunFolder(folder)
        self.checkpoints = Checkpoints(self.folder.checkpoints)
        place = self.folder.path / "config.json"
        if place.is_file():
            before = json.loads(place.read_text(encoding="utf-8"))
            if not resume:
                raise ValueError(
                    f"{str(folder)!r} holds a training already; give resume=True to go on with it, or another folder"
                )
            for name, value in self.config.items():
                if before.get(name) != value:
                    raise ValueError(
                        f"the training in {str(folder)!r} has {name} {before.get(name)!r}, this one {value!r}; go on with "
                        "the same, or give another folder"
                    )
        place.write_text(json.dumps(self.config, indent=1), encoding="utf-8")
        self.checkpoints.tidy()
        if resume and self.checkpoints.numbers():
            read_state(self.model, self.world, self.checkpoints.load())
            done = self.model.num_timesteps
            self.history = [line for line in self.folder.read("metrics.jsonl") if line["step"] <= done]
            self.evaluations = [line for line in self.folder.read("evaluations.jsonl") if line["step"] <= done]

    def evaluates(self, every: int | None, episodes: int, true_reward: Reward | None) -> None:
        """Say when and how the policy is evaluated."""
        self.evaluate_every, self.episodes, self.true_reward = every, episodes, true_reward

    def train(self, progress: bool | None) -> ControlTraining:
        """Learn, write everything down, and give the result."""
        done = self.model.num_timesteps
        self.world.progress = min(1.0, done / self.steps)
        self.started = time.perf_counter()
        if done < self.steps:
            with _bar(progress, self.steps) as self.move:
                watch = _watcher(self)
                self.model.set_logger(_listener(self))
                self.model.learn(self.steps - done, callback=watch, reset_num_timesteps=False)
            self.keep_the_end()
            if not self.history or self.history[-1]["step"] != self.model.num_timesteps:
                self.write_line()
        if not self.evaluations or self.evaluations[-1]["step"] != self.model.num_timesteps:
            self.evaluate()
        self.world.settle()
        if self.folder is not None:
            self.policy.save(self.folder.policy)
        return ControlTraining(
            policy=self.policy,
            history=self.history,
            evaluations=self.evaluations,
            steps=self.model.num_timesteps,
            reward=self.reward,
        )

    def step(self) -> None:
        """What happens after each step of all environments."""
        now = self.model.num_timesteps
        before = now - self.world.num_envs
        self.world.progress = min(1.0, now / self.steps)
        self.move(now)
        if now // self.log_every > before // self.log_every:
            self.write_line()
        if self.evaluate_every and now // self.evaluate_every > before // self.evaluate_every:
            self.evaluate()
        if self.checkpoint_every and now // self.checkpoint_every > before // self.checkpoint_every:
            assert self.checkpoints is not None
            self.checkpoints.save(now, training_state(self.model, self.world))

    def keep_the_end(self) -> None:
        """A last checkpoint, so that the same call again finds the training finished, and one of more steps goes on."""
        now = self.model.num_timesteps
        if self.checkpoint_every and self.checkpoints is not None and now not in self.checkpoints.numbers():
            self.checkpoints.save(now, training_state(self.model, self.world))

    def write_line(self) -> None:
        """A line of metrics: what the trajectories came to that ended since the last one, and what the learner measured."""
        ended = self.world.finished_since(self.seen)
        self.seen = self.world.ended
        line: Record = {
            "step": self.model.num_timesteps,
            "progress": min(1.0, self.model.num_timesteps / self.steps),
            "seconds": round(time.perf_counter() - self.started, 3),
            "trajectories": len(ended),
        }
        if ended:
            line["reward/return"] = _mean([one["return"] for one in ended])
            line["environment/return"] = _mean([one["environment_return"] for one in ended])
            line["trajectory/length"] = _mean([one["length"] for one in ended])
            for name in ended[-1]["parts"]:
                line[f"parts/{name}"] = _mean([one["parts"][name] for one in ended if name in one["parts"]])
        line.update(self.latest)
        self.history.append(line)
        if self.folder is not None:
            self.folder.append("metrics.jsonl", line)
        for callback in self.callbacks:
            callback(line)

    def evaluate(self) -> None:
        """Let the policy act as it thinks best in environments of its own, and measure the true reward."""
        vector = require("gymnasium.vector", extra="gym", why="evaluating a control policy")
        count = min(8, self.episodes)
        world = vector.SyncVectorEnv([self.make] * count, autoreset_mode=vector.AutoresetMode.SAME_STEP)
        batch = collect(self.policy, world, episodes=self.episodes, seed=self.seed + 10_000, deterministic=True)
        world.close()
        returns = _returns(batch, self.true_reward)
        line = {
            "step": self.model.num_timesteps,
            "return": _mean(returns),
            "deviation": float(np.std(returns)) if returns else math.nan,
            "length": _mean([len(one) for one in batch]),
            "trajectories": len(batch),
        }
        self.evaluations.append(line)
        if self.folder is not None:
            self.folder.append("evaluations.jsonl", line)


def _returns(batch: Sequence[Trajectory], true_reward: Reward | None) -> list[float]:
    if true_reward is None:
        return [float(one.rewards.sum()) for one in batch]
    scores = score_steps(true_reward, batch, progress=1.0)
    return scores.values[scores.scored].tolist()


def _factory(environment: str | Callable[[], Any]) -> Callable[[], Any]:
    gymnasium = require("gymnasium", extra="control", why="training a control policy")
    if isinstance(environment, str):
        return lambda: gymnasium.make(environment)
    if callable(environment) and not isinstance(environment, gymnasium.Env):
        return environment
    raise TypeError(
        f"environment must be an id such as 'HalfCheetah-v5', or a function that makes one, got "
        f"{type(environment).__name__}; write lambda: gymnasium.make(...), since training needs several of them"
    )


def _watcher(run: _Run) -> Any:
    from stable_baselines3.common.callbacks import BaseCallback

    class Watch(BaseCallback):
        def _on_step(self) -> bool:
            run.step()
            return True

    return Watch()


def _listener(run: _Run) -> Any:
    """A logger that keeps the newest of what the learner measures."""
    from stable_baselines3.common.logger import KVWriter, Logger

    class Listener(KVWriter):
        def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
            run.latest.update(
                {
                    key.replace("train/", "update/"): float(value)
                    for key, value in key_values.items()
                    if key.startswith("train/")
                }
            )

        def close(self) -> None:
            return

    return Logger(folder=None, output_formats=[Listener()])


class _bar:  # noqa: N801 - used like a function
    """A progress bar, or nothing."""

    def __init__(self, show: bool | None, steps: int) -> None:
        import sys

        self.show = sys.stderr.isatty() if show is None else show
        self.steps = steps

    def __enter__(self) -> Callable[[int], None]:
        if not self.show:
            return lambda now: None
        from rich.console import Console
        from rich.progress import Progress

        self.rich = Progress(console=Console(stderr=True))
        self.rich.start()
        task = self.rich.add_task("steps", total=self.steps)
        return lambda now: self.rich.update(task, completed=min(now, self.steps))

    def __exit__(self, *error: object) -> None:
        if self.show:
            self.rich.stop()


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan
