"""What the configuration of a fit holds: judgements, a model, a loss, and how the weights are changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from rewardlab.config.model import Config, Section, Spec
from rewardlab.registry import KeyPath, SpecError

GIVEN: dict[str, tuple[str, ...]] = {"encoder": ("corpus",), "head": ("width",), "loss": ()}
"""Arguments that do not come from the file, for each spec."""


class Judgements(Section):
    """What is learned from."""

    file: str | None = Field(None, description="Comparisons, rankings, ratings or step labels: a file or folder.")
    sample: int | None = Field(None, ge=10, description="Instead of a file: how many made-up comparisons.")
    kind: Literal["preferences", "steps"] = Field(
        "preferences", description="preferences: also rankings and ratings, which are recognised; steps: step labels."
    )
    columns: dict[str, Any] | None = Field(None, description="Which column holds what, where that is not clear.")
    labels: str | None = Field(None, description="What labels mean: number, index, sign, words or probability.")
    limit: int | None = Field(None, ge=1, description="The most rows that are read.")
    held_out: float = Field(0.1, ge=0, lt=1, description="Share of the prompts that is held out; 0 for none.")
    held_out_file: str | None = Field(None, description="Held-out judgements in a file of their own, instead.")


class Fitting(Section):
    """How the weights are changed; `rewardlab.learning.fit` says more."""

    epochs: float = Field(1.0, gt=0, description="Passes over the rows, where steps is not given.")
    steps: int | None = Field(None, ge=1, description="Changes of the weights.")
    batch_size: int = Field(32, ge=1, description="Rows in a step, over all processes.")
    learning_rate: float = Field(1e-3, gt=0, description="Of AdamW, at its height.")
    weight_decay: float = Field(0.0, ge=0, description="Of AdamW.")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="How the rate falls.")
    warmup: float = Field(0.05, ge=0, le=1, description="Share of the steps over which the rate rises.")
    max_grad_norm: float | None = Field(1.0, gt=0, description="Longer gradients are shortened.")
    batch_length: int | None = Field(None, ge=1, description="The most tokens whose activations are kept at once.")
    patience: int | None = Field(None, ge=1, description="Evaluations without a better one, after which it ends.")
    evaluate_every: int | None = Field(
        None, ge=1, description="Steps between evaluations; a tenth of all if not given."
    )
    gradient_checkpointing: bool = Field(False, description="Whether activations are computed again, to save memory.")
    dtype: Literal["float32", "bfloat16"] | None = Field(None, description="What the encoder computes in.")
    normalise: bool = Field(True, description="Whether values get mean 0 and deviation 1 on the training items.")
    rates: dict[str, float] | None = Field(
        None, description="By the beginning of a weight's name: a factor of its rate."
    )
    monitor: Literal["accuracy", "loss"] | None = Field(
        None, description="Which held-out number tells the best weights."
    )
    checkpoint_every: int | None = Field(
        None, ge=1, description="Steps between checkpoints; a tenth of all if not given."
    )


class FitConfig(Config):
    """A whole fit of a reward model."""

    SPECS: ClassVar[tuple[KeyPath, ...]] = (("encoder",), ("head",), ("loss",))

    seed: int = Field(0, description="Every random choice comes from it.")
    output: str = Field("runs/reward-model", description="The folder for logs, checkpoints, plots and the model.")
    device: str | None = Field(None, description="cpu, cuda, cuda:1; a GPU where there is one when not given.")
    threads: int | None = Field(None, ge=1, description="Processor threads for torch; its own default when not given.")
    data: Judgements = Field(description="What is learned from.")
    encoder: Spec = Field("tiny", description="What reads trajectories.")
    head: Spec = Field("scalar", description="What scores features; users are those of the data when not given.")
    loss: Spec | None = Field(None, description="The usual one of the kind of data when not given.")
    members: int = Field(1, ge=1, description="More than 1 make an ensemble, fitted in one pass.")
    share_encoder: bool | None = Field(
        None, description="Whether members read one encoder; when not given, frozen ones and those of texts and images."
    )
    bootstrap: bool = Field(False, description="Whether each member of an ensemble sees its own draw of the rows.")
    fit: Fitting = Field(default_factory=Fitting)  # type: ignore[arg-type]
    trackers: list[Literal["tensorboard", "wandb", "trackio"]] = Field(
        default_factory=list, description="Beside the progress bar and metrics.jsonl."
    )

    def check(self) -> None:
        """Check every option against the class that takes it, and that files are there.

        Raises:
            SpecError: the first that is wrong, with the path of its key.
        """
        from rewardlab.config.encoders import ENCODERS
        from rewardlab.config.options import check_options
        from rewardlab.learning.losses import LOSSES
        from rewardlab.rewards.models.base import HEADS
        from rewardlab.storage.lines import missing_message

        for registry, spec, key in (
            (ENCODERS, self.encoder, "encoder"),
            (HEADS, self.head, "head"),
            (LOSSES, self.loss, "loss"),
        ):
            if spec is None:
                continue
            given = (*GIVEN[key], "users") if key == "head" and "users" not in spec else GIVEN[key]
            target, options = registry.target(spec, path=(key,), given=given)
            name = spec if isinstance(spec, str) else spec["type"]
            check_options(target, options, kind=f"{registry.kind} {name!r}", path=(key,), leave_out=given)
        data = self.data
        if (data.file is None) == (data.sample is None):
            got = "neither" if data.file is None else "both"
            raise SpecError(f"data needs either 'file' or 'sample' (made-up comparisons), got {got}", ("data",))
        if data.sample is not None and data.kind == "steps":
            raise SpecError("made-up data are comparisons; give data.file for step labels", ("data", "kind"))
        for value, last in ((data.file, "file"), (data.held_out_file, "held_out_file")):
            if value is not None and not Path(value).exists() and not _on_hub(value):
                raise SpecError(missing_message(Path(value)), ("data", last))
        if self.fit.patience is not None and not data.held_out and data.held_out_file is None:
            raise SpecError("fit.patience needs held-out judgements; give data.held_out a share", ("fit", "patience"))
        if self.share_encoder is not None and self.members == 1:
            raise SpecError(
                "share_encoder is about the members of an ensemble; set members to 2 or more", ("share_encoder",)
            )
        if self.bootstrap and self.members == 1:
            raise SpecError(
                "bootstrap draws rows for the members of an ensemble; set members to 2 or more", ("bootstrap",)
            )


def _on_hub(name: str) -> bool:
    """Whether this may be the name of a data set on the hub: `owner/name`, without an ending."""
    return name.count("/") == 1 and not Path(name).suffix and not name.startswith((".", "/", "~"))
