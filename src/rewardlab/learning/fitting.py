"""`fit`: one fitter for every reward model, any encoder, any head, any loss, on any of the four kinds of judgements."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewardlab.learning.fit_options import Monitor
from rewardlab.learning.fitter import Fit, FitResult, FitStopped
from rewardlab.learning.losses import Loss
from rewardlab.learning.tables import Data
from rewardlab.registry import nearest
from rewardlab.rewards.models.model import RewardModel
from rewardlab.training.objectives.learner import Schedule

if TYPE_CHECKING:
    from rewardlab.training.trackers import Tracker

__all__ = ["Fit", "FitResult", "FitStopped", "fit", "fit_defaults", "fit_of"]


def fit(
    model: RewardModel,
    data: Data,
    *,
    loss: Loss | Mapping[str, Any] | str | None = None,
    validation: Data | float | None = None,
    epochs: float = 1.0,
    steps: int | None = None,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    schedule: Schedule = "cosine",
    warmup: float = 0.05,
    max_grad_norm: float | None = 1.0,
    batch_length: int | None = None,
    patience: int | None = None,
    evaluate_every: int | None = None,
    gradient_checkpointing: bool = False,
    dtype: Any = None,
    normalise: bool = True,
    seed: int = 0,
    output: str | Path | None = None,
    resume: bool = True,
    progress_bar: bool = False,
    trackers: Sequence[str | Tracker] = (),
    rates: Mapping[str, float] | None = None,
    monitor: Monitor | None = None,
    checkpoint_every: int | None = None,
) -> FitResult:
    """Fit a reward model to judgements, in place.

    A latent head is fitted to users: its rows are they, their comparisons name them as annotators, and the loss is the
    evidence lower bound (`rewardlab.learning.latent_fit.EvidenceLoss`).

    Args:
        model: what is fitted.
        data: comparisons, rankings, ratings or labels of steps.
        loss: an object, a name or a spec; None for the usual one of the kind of data. Rankings go with losses of
            comparisons too.
        validation: judgements that are held out, or the share of the prompts that is; None for none. The fitted model has
            the weights that were best on them.
        epochs: passes over the rows, where `steps` is None.
        steps: changes of the weights.
        batch_size: rows in a step, over all processes.
        learning_rate: of AdamW, at its height.
        weight_decay: of AdamW.
        schedule: "cosine" or "linear" fall to 0, "constant" does not.
        warmup: share of the steps over which the rate rises.
        max_grad_norm: longer gradients are shortened; None for no limit.
        batch_length: the most work (tokens, padding included) whose activations are kept at once; a step with more adds
            gradients up. None keeps a whole step's.
        patience: evaluations without a better one, after which the fit ends; None for never.
        evaluate_every: steps between evaluations; None for a tenth of all.
        gradient_checkpointing: whether activations are computed again on the way back, which saves memory.
        dtype: what the encoder computes in: "float32", "bfloat16", or None for bfloat16 with texts on GPUs that have it.
        normalise: whether values are shifted and scaled so that the training items have mean 0 and deviation 1.
        seed: of the order of rows, and of dropout.
        output: a folder for logs, checkpoints and the model; None keeps nothing.
        resume: go on where the folder's newest checkpoint is; False refuses a folder that has one.
        progress_bar: whether there is a bar.
        trackers: names or objects of `rewardlab.training.trackers`.
        rates: by the beginning of a weight's name (`{"encoder": 0.1}`), what its learning rate is multiplied by.
        monitor: which held-out number tells the best weights; None for the accuracy of comparisons and rankings, and the
            loss of anything else. Of equal accuracies the one with the lower loss is better.
        checkpoint_every: steps between checkpoints; None for a tenth of all.

    Returns:
        The model and its numbers.

    Raises:
        ValueError: options, data, loss and model do not fit together; the message says how.
        FitStopped: the loss is no number any more. The last checkpoint stays, and the weights are those before that step.
    """
    options = dict(locals())
    return fit_of(model)(**options).run()


def fit_of(model: RewardModel) -> type[Fit]:
    """The fit that goes with the head of a model: latent heads are fitted to users, all others to single judgements."""
    if model.network.head.kind != "latent":
        return Fit
    from rewardlab.learning.latent_fit import LatentUsersFit

    return LatentUsersFit


def fit_defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of `fit`: those given, and the defaults of the others.

    Raises:
        TypeError: one that `fit` does not have; the nearest is named.
    """
    known = inspect.signature(fit).parameters
    for name in options:
        if name not in known:
            raise TypeError(f"fit has no option {name!r}{nearest(name, known)}")
    return {name: entry.default for name, entry in known.items()} | dict(options)
