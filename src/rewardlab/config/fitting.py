"""The configuration of a fit made into a model: read, split, fit, measure before and after, draw, and tell."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rewardlab.config.encoders import ENCODERS
from rewardlab.config.fit import FitConfig, Judgements
from rewardlab.config.options import build
from rewardlab.extras import available
from rewardlab.learning.data import PreferenceData
from rewardlab.learning.ensembles import EnsembleFit, join
from rewardlab.learning.evaluation import Evaluation, evaluate, save_plots
from rewardlab.learning.evaluation.judging import knows_users
from rewardlab.learning.fitter import FitResult
from rewardlab.learning.fitting import fit_defaults, fit_of
from rewardlab.learning.inputs import is_frozen
from rewardlab.learning.losses import LOSSES
from rewardlab.learning.tables import Data
from rewardlab.registry import Registry, SpecError
from rewardlab.rewards.models.base import HEADS
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory

if TYPE_CHECKING:
    from rewardlab.rewards.models.base import Encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOutcome:
    """What a fit gave.

    Args:
        output: the folder.
        result: of the fit.
        rows: how many judgements it learned from.
        before, after: on the held-out judgements; None where nothing was held out.
        plots: pictures.
    """

    output: Path
    result: FitResult
    rows: int
    before: Evaluation | None
    after: Evaluation | None
    plots: list[Path]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        measured = {"before": self.before, "after": self.after}
        return {
            "output": str(self.output),
            "model": self.result.model.path,
            "digest": self.result.model.digest,
            "rows": self.rows,
            "steps": len(self.result.metrics),
            "stopped": self.result.stopped,
            "best": self.result.best,
            "held_out": {name: None if one is None else one.to_dict() for name, one in measured.items()},
            "plots": list(map(str, self.plots)),
        }

    def table(self) -> Any:
        """A rich table of the measures on held-out judgements, before and after."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        notes = [f"model: {self.result.model.path}", *(f"plot: {path}" for path in self.plots)]
        if self.result.stopped:
            notes.insert(0, f"ended by patience after {len(self.result.metrics)} steps")
        if self.before is None or self.after is None:
            return Group(*map(Text, ["nothing was held out, so nothing was measured", *notes]))
        rows = self.after.main.rows
        grid = Table(title=f"Held-out {self.after.kind} ({rows}); 95% intervals", title_justify="left")
        for column in ("", "before", "after"):
            grid.add_column(column)
        for name, found in self.after.measures.items():
            grid.add_row(name, str(self.before.measures.get(name, "-")), str(found))
        return Group(grid, *map(Text, notes))


def run_fit(config: FitConfig, *, resume: bool = True, progress_bar: bool = True) -> FitOutcome:
    """Fit as a configuration says.

    Args:
        config: a checked configuration.
        resume: whether to go on from the last checkpoint in the folder.
        progress_bar: whether there is a bar.

    Raises:
        SpecError: model, loss and data do not fit together.
        FitStopped: the loss is no number any more.
    """
    import torch

    if config.threads is not None:
        torch.set_num_threads(config.threads)
    training, held_out = read(config)
    loss = None if config.loss is None else build(LOSSES, config.loss, path=("loss",))
    model = make_model(config, training)
    options = {name: getattr(config.fit, name) for name in type(config.fit).model_fields}
    options |= {"model": model, "data": training, "validation": held_out, "loss": loss, "seed": config.seed}
    options |= {"output": config.output, "resume": resume, "progress_bar": progress_bar, "trackers": config.trackers}
    try:
        fitting = (
            EnsembleFit(**fit_defaults(options), bootstrap=config.bootstrap)
            if config.members > 1
            else fit_of(model)(**fit_defaults(options))
        )
    except (TypeError, ValueError) as error:
        raise SpecError(str(error)) from error
    before = _evaluated("before", model, held_out)
    result = fitting.run()
    after = _evaluated("after", result.model, held_out)
    output = Path(config.output)
    plots = _draw(result, after, output / "plots") if fitting.processes.main else []
    outcome = FitOutcome(output=output, result=result, rows=len(training), before=before, after=after, plots=plots)
    if fitting.processes.main:
        (output / "config.yaml").write_text(yaml.safe_dump(config.plain(), sort_keys=False), encoding="utf-8")
        text = json.dumps(outcome.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
        (output / "outcome.json").write_text(text + "\n", encoding="utf-8")
    return outcome


def _evaluated(name: str, model: RewardModel, data: Data | None) -> Evaluation | None:
    """How a model does on held-out judgements; by users whom its head knows, as each of them would judge."""
    if data is None:
        return None
    named = isinstance(data, PreferenceData) and data.annotators is not None
    known = named and knows_users(model) and bool(getattr(model.network.head, "users", None))
    return evaluate(model, data, own_users=known, name=name, data_name="held out")


def read(config: FitConfig) -> tuple[Data, Data | None]:
    """The judgements to learn from, and those that are held out.

    Raises:
        SpecError: there are none, or too few prompts to hold some out.
    """
    data = config.data
    if data.sample is not None:
        from rewardlab.learning.sample import sample_preferences

        training: Data = sample_preferences(data.sample, seed=config.seed)
    else:
        assert data.file is not None  # checked
        training = _read(data, data.file)
    if not len(training):
        raise SpecError(f"{data.file} holds no judgements that can be read; {training.problems}", ("data", "file"))
    if data.held_out_file is not None:
        return training, _read(data, data.held_out_file)
    if not data.held_out:
        return training, None
    learned, held_out = training.split(data.held_out, seed=config.seed)
    if not len(learned) or not len(held_out):
        raise SpecError(
            f"the prompts are too few to hold out a share of {data.held_out}; give held_out_file, or held_out: 0",
            ("data", "held_out"),
        )
    return learned, held_out


def _read(data: Judgements, file: str) -> Data:
    from rewardlab.learning.reading import read_preferences, read_step_labels

    if data.kind == "steps":
        return read_step_labels(file, columns=data.columns, limit=data.limit)
    return read_preferences(file, columns=data.columns, labels=data.labels, limit=data.limit)


def make_model(config: FitConfig, data: Data) -> RewardModel:
    """The model that is fitted: one, or several joined.

    Raises:
        SpecError: an option is refused.
    """
    first = config.seed * config.members
    encoder = _encoder(config, data, first)
    if config.members == 1:
        return RewardModel.make(encoder, _head(config, data, encoder, first), device=config.device)
    shared = config.share_encoder
    if shared is None:
        shared = is_frozen(encoder) or hasattr(encoder, "collate_groups")
    models = []
    for number in range(first, first + config.members):
        own = encoder if shared or number == first else _encoder(config, data, number)
        models.append(RewardModel.make(own, _head(config, data, own, number), device=config.device))
    try:
        return join(models, share_encoder=shared, distinct=not config.bootstrap)
    except ValueError as error:
        raise SpecError(str(error), ("members",)) from error


def _encoder(config: FitConfig, data: Data, seed: int) -> Encoder:
    given: dict[str, Any] = {}
    if _takes(ENCODERS, config.encoder, "corpus"):
        given["corpus"] = _corpus(data.items)
    made: Encoder = build(ENCODERS, _seeded(ENCODERS, config.encoder, seed), path=("encoder",), given=given)
    return made


def _head(config: FitConfig, data: Data, encoder: Encoder, seed: int) -> Any:
    given: dict[str, Any] = {"width": encoder.width}
    if _takes(HEADS, config.head, "users") and "users" not in config.head:
        names = getattr(data, "annotators", None) or []
        given["users"] = sorted({name for name in names if name is not None})
    return build(HEADS, _seeded(HEADS, config.head, seed), path=("head",), given=given)


def _takes(registry: Registry, spec: Any, name: str) -> bool:
    target = registry.resolve(spec if isinstance(spec, str) else spec["type"])
    return name in inspect.signature(target).parameters


def _seeded(registry: Registry, spec: Any, seed: int) -> Any:
    """The spec with a seed, where its class takes one and the file gives none."""
    plain = {"type": spec} if isinstance(spec, str) else dict(spec)
    return {"seed": seed, **plain} if _takes(registry, spec, "seed") else plain


def _corpus(items: list[Trajectory]) -> list[str]:
    """Texts to fit a tokenizer to: some thousand items are enough."""
    texts = []
    for item in items[:2000]:
        if not item.is_chat:
            raise SpecError(
                "the tiny encoder reads texts, and these data hold arrays; use encoder: {type: mlp, inputs: N}",
                ("encoder",),
            )
        texts += [str(message.get("content") or "") for message in item.messages]
    return texts


def _draw(result: FitResult, after: Evaluation | None, folder: Path) -> list[Path]:
    """The curves of the fit, and the pictures of the evaluation; nothing without matplotlib."""
    if not available("matplotlib"):
        return []
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(
        [line["step"] for line in result.metrics], [line["loss"] for line in result.metrics], label="loss of a step"
    )
    for name in ("loss", "accuracy"):
        known = [(line["step"], line[name]) for line in result.evaluations if name in line]
        if known:
            axes.plot(*zip(*known, strict=True), "o-", label=f"held-out {name}")
    if result.best is not None:
        axes.axvline(result.best["step"], color="0.6", linewidth=0.8, linestyle=":", label="best")
    axes.set_xlabel("step")
    axes.legend()
    figure.savefig(folder / "curves.png", dpi=150)
    return [folder / "curves.png", *([] if after is None else save_plots(after, folder))]
