"""Where the numbers of a training are shown while it runs: a progress bar, TensorBoard, Weights & Biases, trackio.

All are views of what the run folder records anyway. `TRACKERS` names them for configuration files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rewardlab.extras import require
from rewardlab.registry import Registry

TRACKERS = Registry(
    "tracker",
    {
        "progress": "rewardlab.training.trackers:ProgressTracker",
        "tensorboard": "rewardlab.training.trackers:TensorBoardTracker",
        "wandb": "rewardlab.training.trackers:WandbTracker",
        "trackio": "rewardlab.training.trackers:TrackioTracker",
    },
    group="rewardlab.trackers",
)


@runtime_checkable
class Tracker(Protocol):
    """What shows numbers. Only the first of several processes has trackers."""

    def start(self, *, folder: Path | None, config: Mapping[str, Any], step: int, steps: int) -> None:
        """Begin, or go on after `step`: what was logged for later steps is to be forgotten."""

    def log(self, kind: str, step: int, metrics: Mapping[str, float]) -> None:
        """Show numbers; `kind` is "warm_start", "training" or "evaluation"."""

    def close(self) -> None:
        """Let go of files and connections; called once, also when training fails."""


class ProgressTracker:
    """A bar with the newest numbers on the standard error stream; a few plain lines where that is no terminal."""

    SHOWN = (
        ("reward", "reward/mean"),
        ("success", "success"),
        ("loss", "update/loss"),
        ("kl", "update/kl"),
        ("failed", "samples/failed"),
    )

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._newest: dict[str, float] = {}
        self._steps = 0

    def start(self, *, folder: Path | None, config: Mapping[str, Any], step: int, steps: int) -> None:
        """Draw the bar."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._steps = steps
        self._console = Console(stderr=True)
        if not self._console.is_terminal:
            return
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._bar.start()
        self._task = self._bar.add_task("training", total=steps, completed=step, numbers="")

    def log(self, kind: str, step: int, metrics: Mapping[str, float]) -> None:
        """Move the bar."""
        self._newest.update(metrics if kind != "warm_start" else {"update/loss": metrics.get("loss", math.nan)})
        if self._bar is not None:
            description = "warm start" if kind == "warm_start" else "training"
            completed = {} if kind == "warm_start" else {"completed": step}
            self._bar.update(self._task, description=description, numbers=self._numbers(), **completed)
        elif kind == "evaluation" or (kind == "training" and step % max(1, self._steps // 10) == 0):
            self._console.print(f"{kind} {step}/{self._steps}  {self._numbers()}", markup=False, highlight=False)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _numbers(self) -> str:
        shown = [(label, self._newest.get(key)) for label, key in self.SHOWN]
        return "  ".join(
            f"{label} {value:.3g}"
            for label, value in shown
            if value is not None and math.isfinite(value) and (value or label != "failed")
        )


class TensorBoardTracker:
    """Event files in the run folder, for `tensorboard --logdir FOLDER`."""

    def __init__(self) -> None:
        self._writer: Any = None

    def start(self, *, folder: Path | None, config: Mapping[str, Any], step: int, steps: int) -> None:
        """Open the event file."""
        require("tensorboard", extra="track", why="the tensorboard tracker")
        tensorboard = require("torch.utils.tensorboard", extra="torch", why="the tensorboard tracker")
        if folder is None:
            raise ValueError("the tensorboard tracker writes into the run folder; give the training an output folder")
        self._writer = tensorboard.SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def log(self, kind: str, step: int, metrics: Mapping[str, float]) -> None:
        """Write every finite number."""
        for name, value in _numbers(kind, metrics).items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class WandbTracker:
    """A run in Weights & Biases.

    Args:
        options: what `wandb.init` takes (project, name, mode, ...).
    """

    def __init__(self, **options: Any) -> None:
        self.options = {"project": "rewardlab", **options}
        self._run: Any = None

    def start(self, *, folder: Path | None, config: Mapping[str, Any], step: int, steps: int) -> None:
        """Start the run, or go on with the one of the same folder."""
        wandb = require("wandb", extra="track", why="the wandb tracker")
        where = {"dir": str(folder), "id": _identity(folder), "resume": "allow"} if folder is not None else {}
        self._run = wandb.init(config=dict(config), **{**where, **self.options})

    def log(self, kind: str, step: int, metrics: Mapping[str, float]) -> None:
        """Send the numbers."""
        self._run.log({**_numbers(kind, metrics), f"{kind}/step": step})

    def close(self) -> None:
        """Finish the run."""
        if self._run is not None:
            self._run.finish()
            self._run = None


class TrackioTracker:
    """A run in trackio.

    Args:
        options: what `trackio.init` takes (project, name, space_id, ...).
    """

    def __init__(self, **options: Any) -> None:
        self.options = {"project": "rewardlab", **options}
        self._module: Any = None

    def start(self, *, folder: Path | None, config: Mapping[str, Any], step: int, steps: int) -> None:
        """Start the run, or go on with the one of the same folder."""
        module = require("trackio", extra="track", why="the trackio tracker")
        where = {"name": _identity(folder), "resume": "allow"} if folder is not None else {}
        module.init(config=dict(config), **{**where, **self.options})
        self._module = module

    def log(self, kind: str, step: int, metrics: Mapping[str, float]) -> None:
        """Send the numbers."""
        self._module.log({**_numbers(kind, metrics), f"{kind}/step": step})

    def close(self) -> None:
        """Finish the run."""
        if self._module is not None:
            self._module.finish()
            self._module = None


def _numbers(kind: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    """Finite numbers under names that keep training, evaluation and warm start apart."""
    prefix = "" if kind == "training" else f"{kind}/"
    return {
        prefix + name: float(value)
        for name, value in metrics.items()
        if isinstance(value, (int, float)) and name != "step" and math.isfinite(value)
    }


def _identity(folder: Path) -> str:
    """A name for the run that stays the same when it is resumed: the folder's name and a digest of its whole path."""
    import hashlib

    path = folder.resolve()
    return f"{path.name}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
