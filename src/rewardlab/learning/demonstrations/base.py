"""What every method of this room gives: a reward, a policy, and what happened on the way; on disk without pickle.

Methods are frozen dataclasses of options with one call, `fit(demonstrations, environment, steps=, seed=)`, so that one can
be put in another's place.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rewardlab.learning.demonstrations.spaces import Columns, SpaceCode, columns_of
from rewardlab.learning.demonstrations.worlds import Environment, Progress, spaces_of
from rewardlab.registry import Registry
from rewardlab.types import Trajectory

Arrays = dict[str, np.ndarray]

PARTS = Registry(
    "stored part of an imitation",
    {
        "adversarial": "rewardlab.rewards.models.adversarial:AdversarialReward",
        "marginal_policy": "rewardlab.learning.marginal_q.critics:MarginalPolicy",
        "marginal_reward": "rewardlab.learning.marginal_q.critics:MarginalReward",
        "network_policy": "rewardlab.learning.demonstrations.networks:NetworkPolicy",
        "table_policy": "rewardlab.learning.demonstrations.tables:TablePolicy",
        "distilled": "rewardlab.rewards.models.distilled:DistilledReward",
        "tanh_policy": "rewardlab.learning.demonstrations.off_policy:TanhPolicy",
        "network_reward": "rewardlab.learning.demonstrations.rewards:NetworkReward",
        "density_reward": "rewardlab.learning.demonstrations.density:DensityOfDemonstrations",
        "table_reward": "rewardlab.learning.demonstrations.tables:TableReward",
    },
    group="rewardlab.imitation_parts",
)
"""Policies and rewards that can be written and read: each has `kind`, `stored()` and `from_stored(options, arrays)`, or
`save` and `load` of a directory."""


@dataclass(frozen=True, kw_only=True)
class DemonstrationFit:
    """What was learned from demonstrations.

    Args:
        reward: a `TransitionReward`, or None for methods that learn none.
        policy: acts as `policy.act(observations, deterministic=False)`, or None for methods that learn none.
        history: a line of numbers for each round: environment steps so far, losses, returns.
        method: the short name of the method.
        options: those that it ran with.
        seed: of everything random.
        steps: environment steps (updates, for behaviour cloning) that were made.
    """

    reward: Any = None
    policy: Any = None
    history: list[dict[str, Any]] = field(default_factory=list)
    method: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    steps: int = 0

    def save(self, directory: str | Path) -> Path:
        """Write reward, policy and history to a directory, as JSON and as arrays without objects."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        content: dict[str, Any] = {
            "method": self.method,
            "options": self.options,
            "seed": self.seed,
            "steps": self.steps,
            "history": self.history,
        }
        for name in ("reward", "policy"):
            part = getattr(self, name)
            content[name] = None if part is None else write_part(part, folder / name)
        (folder / "fit.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
        return folder

    @classmethod
    def load(cls, directory: str | Path) -> DemonstrationFit:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: the directory holds no fit.
        """
        folder = Path(directory)
        if not (folder / "fit.json").is_file():
            raise FileNotFoundError(f"{folder} holds no fit.json; give a directory that DemonstrationFit.save wrote")
        content = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
        for name in ("reward", "policy"):
            if content[name] is not None:
                content[name] = read_part(content[name], folder / name)
        return cls(**content)


def write_part(part: Any, path: Path) -> dict[str, Any]:
    """Write a policy or a reward: its arrays, or a directory of its own; returns what goes into the JSON beside it.

    Raises:
        TypeError: it cannot be written.
    """
    if hasattr(part, "stored"):
        options, arrays = part.stored()
        np.savez(path.with_suffix(".npz"), allow_pickle=False, **arrays)
        return {"kind": part.kind, "options": options}
    if hasattr(part, "save") and getattr(part, "short_name", "") in PARTS.places():
        part.save(path)
        return {"kind": part.short_name, "options": None}
    raise TypeError(f"a {type(part).__name__} cannot be written with its fit; save it by its own means")


def read_part(description: dict[str, Any], path: Path) -> Any:
    """Read what `write_part` wrote."""
    kind = PARTS.resolve(description["kind"])
    if description["options"] is None:
        return kind.load(path)
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return kind.from_stored(description["options"], arrays)


@dataclass(frozen=True, kw_only=True)
class Imitation(ABC):
    """A method that learns from demonstrations. Subclasses are frozen dataclasses that define `_fit`."""

    short_name: ClassVar[str] = ""
    default_steps: ClassVar[int] = 100_000

    def fit(
        self,
        demonstrations: Sequence[Trajectory],
        environment: Environment,
        *,
        steps: int | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> DemonstrationFit:
        """Learn from demonstrations.

        Args:
            demonstrations: array trajectories, such as `read_demonstrations` gives.
            environment: a Gymnasium id, an environment, a vector of them, or a function that makes one. It gives the spaces,
                and methods that act learn in it.
            steps: of the environment, at most; updates for methods that do not act. None for the method's own default.
            seed: of everything random.
            progress: called with each line of the history.

        Raises:
            ValueError, TypeError: demonstrations and environment do not fit together, or hold NaN.
        """
        observation_space, action_space = spaces_of(environment)
        observation, action = SpaceCode.of(observation_space, "observation"), SpaceCode.of(action_space, "action")
        columns = columns_of(demonstrations, observation, action)
        if steps is None:
            steps = self.default_steps
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        run = Run(columns, observation, action, environment, steps, seed, progress)
        return self._finished(run, self._fit(run))

    def _finished(self, run: Run, found: dict[str, Any]) -> DemonstrationFit:
        return DemonstrationFit(
            **found,
            history=run.history,
            method=self.short_name,
            options=self._described(),
            seed=run.seed,
            steps=run.done,
        )

    def _described(self) -> dict[str, Any]:
        """The options as plain values."""
        return asdict(self)

    @abstractmethod
    def _fit(self, run: Run) -> dict[str, Any]:
        """Learn; returns `reward` and `policy`, and sets `run.done`."""


@dataclass(slots=True)
class Run:
    """One fit under way: what it reads, and what it writes down."""

    columns: Columns
    observation: SpaceCode
    action: SpaceCode
    environment: Environment
    steps: int
    seed: int
    progress: Progress | None
    history: list[dict[str, Any]] = field(default_factory=list)
    done: int = 0

    def note(self, **line: Any) -> None:
        """Add a line to the history."""
        self.history.append(line)
        if self.progress is not None:
            self.progress(line)


def positive(owner: str, **values: float) -> None:
    """Refuse options that must be positive and are not."""
    for name, value in values.items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{owner}: option {name!r} must be a positive number, got {value}")
