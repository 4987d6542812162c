"""Several reward models as one, on one scale: raw scores of differently scaled models would let one of them decide."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Literal

import torch

from rewardlab.rewards.algebra.ensembles import Ensemble, Reduce
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory

Mode = Literal["mean", "zmean", "min", "lcb"]
_REDUCE: dict[str, Reduce] = {"mean": "mean", "zmean": "mean", "min": "min", "lcb": "mean_minus_std"}


def scalar_ensemble(
    models: Mapping[str, RewardModel],
    items: Sequence[Trajectory] | None = None,
    *,
    mode: Mode = "zmean",
    k: float = 1.0,
) -> Ensemble:
    """Average several reward models; how much they disagree is the confidence.

    Args:
        models: by name.
        items: a fixed set on which each member is brought to mean 0 and deviation 1; needed for every mode but "mean".
        mode: "mean" of the scores as they are; "zmean" on one scale; "min"; or "lcb", mean less `k` deviations.
        k: see `mode`.

    Raises:
        ValueError: fewer than two models, no items where they are needed, an unknown mode, or a model that gives all items
            one score.
    """
    if len(models) < 2:
        raise ValueError(f"an ensemble needs at least 2 members, got {len(models)}")
    if mode not in _REDUCE:
        raise ValueError(f"mode must be one of {', '.join(_REDUCE)}, got {mode!r}")
    if mode != "mean":
        if not items:
            raise ValueError(f"mode {mode!r} brings the members to one scale and needs items to do it on; give some")
        return Ensemble(
            members={name: rescaled(model, items, name=name) for name, model in models.items()},
            reduce=_REDUCE[mode],
            k=k,
        )
    if items:
        deviations = [float(model(items).values.std()) for model in models.values()]
        if max(deviations) > 3 * max(min(deviations), 1e-12):
            warnings.warn(
                f"the members' scores have deviations from {min(deviations):.3g} to {max(deviations):.3g}, so that the mean "
                "follows one of them; use mode='zmean'",
                stacklevel=2,
            )
    return Ensemble(members=dict(models), reduce="mean")


def rescaled(model: RewardModel, items: Sequence[Trajectory], *, name: str = "the model") -> RewardModel:
    """A copy of a model whose scores of some items have mean 0 and deviation 1.

    Raises:
        ValueError: it gives all of them one score.
    """
    network = copy.deepcopy(model.network)
    with torch.no_grad():
        values = network.head.value(model.outputs(items)).double()
    deviation = float(values.std(correction=0))
    if not deviation > 1e-9:
        raise ValueError(f"{name} gives all {len(items)} items one score, so that it has no scale; leave it out")
    network.shift.fill_(float(values.mean()))
    network.scale.fill_(deviation)
    return RewardModel.around(network)
