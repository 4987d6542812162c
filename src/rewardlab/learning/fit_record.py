"""What a fit leaves behind: its numbers, its trackers, and the checkpoints that it is resumed from.

    metrics.jsonl       one line per step: {"step", "loss", "gradient_norm", "learning_rate", "rows"}
    evaluations.jsonl   one line per evaluation: {"step", "loss", "accuracy"}
    checkpoints/        what a killed fit goes on from
    model/              the fitted model, when the fit is complete

Lines reach the operating system at once and the disk at every checkpoint, which is as far back as a resumed fit goes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np

from rewardlab.training.checkpoint import Checkpoints
from rewardlab.training.metrics import RunFolder
from rewardlab.training.processes import Processes
from rewardlab.training.trackers import TRACKERS, ProgressTracker, Tracker


class FitProgress(ProgressTracker):
    """The bar of a fit."""

    SHOWN = (  # type: ignore[assignment]  # the base class has five
        ("loss", "loss"),
        ("held-out loss", "held_out/loss"),
        ("held-out accuracy", "held_out/accuracy"),
    )


class FitRecord:
    """The run folder of one fit, where it has one, and its trackers. A context manager.

    Args:
        output: the folder, or None.
        processes: who fits together; only the first writes.
        trackers: names or objects of `rewardlab.training.trackers`.
        progress_bar: whether there is a bar.
        keep: how many checkpoints stay.
    """

    def __init__(
        self,
        output: str | Path | None,
        processes: Processes,
        *,
        trackers: Sequence[str | Tracker],
        progress_bar: bool,
        keep: int = 2,
    ) -> None:
        self.processes = processes
        self.folder = None if output is None else RunFolder(output)
        self.checkpoints = None if self.folder is None else Checkpoints(self.folder.checkpoints, keep=keep)
        self.metrics: list[dict[str, Any]] = []
        self.evaluations: list[dict[str, Any]] = []
        self._wanted = [*([FitProgress()] if progress_bar else []), *trackers]
        self._trackers: list[Tracker] = []
        self._open = ExitStack()
        self._files: dict[str, IO[str]] = {}

    def restore(self, fingerprint: Mapping[str, Any], *, resume: bool) -> dict[str, Any] | None:
        """The newest checkpoint's state, with the logs cut to where they were; None where there is none.

        Raises:
            FileExistsError: there is a fit, and `resume` is False; or logs without a checkpoint.
            ValueError: the folder holds another fit; the message names what differs.
        """
        if self.folder is None or self.checkpoints is None:
            return None
        if self.processes.main:
            self.checkpoints.tidy()
        self.processes.wait()
        if not self.checkpoints.numbers():
            if any(self.folder.sizes().values()) and not resume:
                raise FileExistsError(f"{str(self.folder.path)!r} holds logs already; choose another output folder")
            if self.processes.main:
                self.folder.rewind(dict.fromkeys(self.folder.sizes(), 0), [])  # killed before its first checkpoint
            self.processes.wait()
            return None
        if not resume:
            raise FileExistsError(
                f"{str(self.folder.path)!r} holds a fit already; choose another output folder, remove this one, or pass "
                "resume=True to go on with it"
            )
        state = self.checkpoints.load()
        before = state["fit"]["fingerprint"]
        different = [name for name, value in before.items() if value != fingerprint.get(name)]
        if different:
            shown = "; ".join(f"{name} was {before[name]}, is {fingerprint.get(name)}" for name in different)
            raise ValueError(
                f"{str(self.folder.path)!r} holds another fit ({shown}); choose another output folder, or remove this one"
            )
        self.processes.wait()
        if self.processes.main:
            self.folder.rewind(state["fit"]["sizes"], [])
        self.processes.wait()
        self.metrics, self.evaluations = self.folder.read("metrics.jsonl"), self.folder.read("evaluations.jsonl")
        return state

    def start(self, config: Mapping[str, Any], *, step: int, steps: int) -> None:
        """Open files and start the trackers."""
        if not self.processes.main:
            return
        with ExitStack() as started:  # closes those that did start when one cannot
            if self.folder is not None:
                for name in ("metrics", "evaluations"):
                    path = self.folder.path / f"{name}.jsonl"
                    self._files[name] = started.enter_context(path.open("a", encoding="utf-8"))
            for entry in self._wanted:
                tracker = TRACKERS.resolve(entry)() if isinstance(entry, str) else entry
                started.callback(tracker.close)
                tracker.start(
                    folder=None if self.folder is None else self.folder.path, config=config, step=step, steps=steps
                )
                self._trackers.append(tracker)
            self._open = started.pop_all()

    def __enter__(self) -> FitRecord:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def step(self, metrics: dict[str, Any]) -> None:
        """A step is done."""
        self.metrics.append(metrics)
        self._write("metrics", metrics)
        for tracker in self._trackers:
            tracker.log("training", metrics["step"], metrics)

    def evaluation(self, metrics: dict[str, Any]) -> None:
        """The held-out judgements were tried."""
        self.evaluations.append(metrics)
        self._write("evaluations", metrics)
        shown = {f"held_out/{name}": value for name, value in metrics.items() if name != "step"}
        for tracker in self._trackers:
            tracker.log("evaluation", metrics["step"], shown)

    def checkpoint(self, number: int, state: Mapping[str, Any], fit: Mapping[str, Any]) -> None:
        """Save everything that the rest of the fit depends on."""
        if self.folder is not None and self.checkpoints is not None and self.processes.main:
            for file in self._files.values():
                file.flush()
            self.checkpoints.save(number, {**state, "fit": {**fit, "sizes": self.folder.sizes()}})
        self.processes.wait()

    def _write(self, name: str, metrics: Mapping[str, Any]) -> None:
        file = self._files.get(name)
        if file is not None:
            plain = {
                key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in metrics.items()
            }
            file.write(json.dumps(plain, allow_nan=False) + "\n")
            file.flush()


def data_digest(data: Any) -> str:
    """Sixteen hexadecimal digits over the rows and items of some judgements."""
    content = hashlib.sha256()
    for name in sorted(vars(data)):
        value = getattr(data, name)
        if name == "items":
            for item in value:
                if item.is_chat:
                    content.update(
                        json.dumps(item.messages, sort_keys=True, default=str).encode("utf-8", "surrogatepass")
                    )
                else:
                    for array in (item.observations, item.actions):
                        content.update(np.ascontiguousarray(array).tobytes())
        elif isinstance(value, np.ndarray):
            content.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, list) and value and isinstance(value[0], np.ndarray):
            for array in value:
                content.update(np.ascontiguousarray(array).tobytes() + b"/")
        elif isinstance(value, list) and name in ("annotators", "aspect"):
            content.update(json.dumps(value).encode("utf-8", "surrogatepass"))
        content.update(f"/{name}/".encode())
    return content.hexdigest()[:16]
