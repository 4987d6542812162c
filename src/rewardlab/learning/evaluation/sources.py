"""Rewards and judgements by name, as a command line gives them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewardlab.rewards.base import Reward

if TYPE_CHECKING:
    from rewardlab.learning.data import PreferenceData, RankingData, RatingData, StepLabelData

    Judgements = PreferenceData | RankingData | RatingData | StepLabelData


def model_from(source: Reward | str | os.PathLike[str], *, user: str | None = None) -> Reward:
    """A reward: one already, a saved model, a spec file, a short name, `module:attribute` or `file.py:function`.

    Args:
        source: what it is.
        user: whose judgement a learned model gives.

    Raises:
        ValueError: `user` was given for a reward that is no learned model.
        TypeError: it is neither a reward nor a name.
        SpecError: there is no such reward.
    """
    if isinstance(source, Reward):
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"expected a reward or the name of one, got a {type(source).__name__}; rl.reward makes one of a function"
        )
    text = os.fspath(source)
    if Path(text).is_dir():
        from rewardlab.rewards.models.model import RewardModel

        return RewardModel.load(text, user=user)
    if user is not None:
        raise ValueError(f"a user was given ({user!r}), but {text} is no folder of a saved model; leave the user out")
    if "/" in text and ":" not in text and not Path(text).exists():
        from rewardlab.registry import SpecError

        raise SpecError(
            f"there is no {text}: expected the folder of a saved model, a spec file, or the name of a reward"
        )
    from rewardlab.rewards.spec import load_reward

    return load_reward(text)


def data_from(
    source: Any,
    *,
    columns: Mapping[str, str | Sequence[str] | None] | None = None,
    labels: str | Mapping[Any, float] | None = None,
    limit: int | None = None,
) -> Judgements:
    """Judgements: some already, or whatever `rl.read_preferences` or `rl.read_step_labels` reads.

    Args:
        source: a file, a folder, a name on the hub, a data set or rows.
        columns, labels, limit: as for `rl.read_preferences`.

    Raises:
        UnclearLayout: the columns are neither preferences, rankings, ratings nor step labels, or leave several readings.
    """
    from rewardlab.learning.data import PreferenceData, RankingData, RatingData, StepLabelData
    from rewardlab.learning.reading import UnclearLayout, read_preferences, read_step_labels

    if isinstance(source, (PreferenceData, RankingData, RatingData, StepLabelData)):
        return source
    if isinstance(source, Iterable) and not isinstance(source, (str, os.PathLike)) and not hasattr(source, "features"):
        source = list(source)  # it may be read twice
    if columns is not None and "steps" in columns:
        return read_step_labels(source, columns=columns, limit=limit)
    try:
        return read_preferences(source, columns=columns, labels=labels, limit=limit)
    except UnclearLayout as unclear:
        try:
            return read_step_labels(source, columns=columns, limit=limit)
        except UnclearLayout:
            raise unclear from None
