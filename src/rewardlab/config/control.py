"""What the configuration of a training in a Gymnasium environment holds, and how it is run."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from rewardlab.config.model import Config, Spec, TrainConfig
from rewardlab.registry import KeyPath, SpecError, nearest

if TYPE_CHECKING:
    from rewardlab.rewards.base import Reward
    from rewardlab.training.control import ControlTraining


class ControlConfig(Config):
    """A whole training of a control policy."""

    SPECS: ClassVar[tuple[KeyPath, ...]] = (("reward",), ("true_reward",))

    seed: int = Field(0, ge=0, description="Every random choice comes from it.")
    output: str = Field("runs/control", description="The folder for metrics, evaluations, checkpoints and the policy.")
    environment: str = Field(description="Id of a Gymnasium environment, such as CartPole-v1.")
    modules: list[str] = Field(
        default_factory=list, description="Modules that register environments when they are imported, such as minigrid."
    )
    environments: int = Field(4, ge=1, description="How many run side by side.")
    reward: Spec | None = Field(
        None,
        description="What is learned from: a spec, or the name of a spec file; the environment's own if not given.",
    )
    true_reward: Spec | None = Field(
        None, description="What evaluations measure; the environment's own reward if not given."
    )
    learner: str = Field("ppo", description="Learner of Stable-Baselines3: ppo, a2c, sac, td3, ddpg or dqn.")
    options: dict[str, Any] = Field(default_factory=dict, description="Of the learner, by its own names.")
    steps: int = Field(100_000, ge=1, description="Steps of single environments.")
    log_every: int | None = Field(
        None, ge=1, description="Steps between lines of metrics; a fiftieth of all if not given."
    )
    checkpoint_every: int | None = Field(
        None, ge=1, description="Steps between checkpoints; a tenth of all if not given."
    )
    evaluate_every: int | None = Field(
        None, ge=1, description="Steps between evaluations; one at the end if not given."
    )
    evaluation_episodes: int = Field(20, ge=1, description="Trajectories of an evaluation.")
    device: str = Field("cpu", description="Where the learner computes; small networks are fastest on a processor.")

    def check(self) -> None:
        """Check environment, rewards and options.

        Raises:
            SpecError: the first that is wrong, with the path of its key.
            MissingExtra: Gymnasium or Stable-Baselines3 is not installed.
        """
        from rewardlab.extras import require
        from rewardlab.policies.stable_baselines import check_options
        from rewardlab.rewards.online import CannotStep, online

        for index, module in enumerate(self.modules):
            try:
                importlib.import_module(module)
            except ModuleNotFoundError as error:
                raise SpecError(f"there is no module {module!r} to import: {error}", ("modules", index)) from None
        gymnasium = require("gymnasium", extra="control", why="Training in an environment")
        try:
            gymnasium.spec(self.environment)
        except gymnasium.error.Error as error:
            known = nearest(self.environment, gymnasium.registry)
            raise SpecError(f"no environment {self.environment!r}: {error}{known}", ("environment",)) from None
        for key in ("reward", "true_reward"):
            reward = self.built(key)
            if reward is not None:
                try:
                    online(reward)
                except CannotStep as error:
                    raise SpecError(str(error), (key,)) from None
        try:
            check_options(self.learner, self.options)
        except ValueError as error:
            raise SpecError(str(error), ("options",) if "option" in str(error) else ("learner",)) from None

    def built(self, key: str) -> Reward | None:
        """The reward of a key, or None where the environment's own is meant."""
        spec = getattr(self, key)
        return None if spec is None else TrainConfig.build_reward(spec, (key,))


@dataclass(frozen=True, kw_only=True)
class ControlOutcome:
    """How a training ended.

    Args:
        config: what was run.
        training: what came of it.
    """

    config: ControlConfig
    training: ControlTraining

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "environment": self.config.environment,
            "learner": self.config.learner,
            "seed": self.config.seed,
            "steps": self.training.steps,
            "evaluations": self.training.evaluations,
            "output": self.config.output,
        }

    def table(self) -> Any:
        """As a table of rich's: the evaluations on the true reward."""
        from rich.table import Table

        grid = Table(title=f"{self.config.environment}, {self.config.learner}: return by the true reward")
        for name in ("step", "return", "deviation", "length"):
            grid.add_column(name, justify="right")
        for line in self.training.evaluations:
            grid.add_row(
                f"{line['step']:,}", f"{line['return']:.2f}", f"{line['deviation']:.2f}", f"{line['length']:.1f}"
            )
        grid.caption = f"policy, metrics and checkpoints are in {self.config.output}"
        return grid


def run_control(config: ControlConfig, *, resume: bool = True, progress_bar: bool | None = None) -> ControlOutcome:
    """Run a training.

    Args:
        config: checked.
        resume: whether to go on from the newest checkpoint in the folder; False refuses a folder that holds a run.
        progress_bar: whether a bar is shown; None where a terminal looks on.

    Raises:
        FileExistsError: the folder holds a run, and `resume` is False.
        RewardFailure: the simulator or the reward gave a number that is not finite.
    """
    from rewardlab.training.control import train_control

    folder = Path(config.output)
    if not resume and (folder / "config.json").exists():
        raise FileExistsError(f"{str(folder)!r} holds a training already; give another output, or go on with --resume")
    training = train_control(
        config.environment,
        config.built("reward"),
        steps=config.steps,
        learner=config.learner,
        options=config.options,
        seed=config.seed,
        environments=config.environments,
        folder=folder,
        log_every=config.log_every,
        checkpoint_every=config.checkpoint_every or max(1, config.steps // 10),
        resume=True,
        evaluate_every=config.evaluate_every,
        evaluation_episodes=config.evaluation_episodes,
        true_reward=config.built("true_reward"),
        progress=progress_bar,
        device=config.device,
    )
    (folder / "run.json").write_text(json.dumps(config.plain(), indent=1), encoding="utf-8")
    return ControlOutcome(config=config, training=training)
