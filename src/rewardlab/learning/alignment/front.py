"""`align`: learn how far hints can be believed, by what they do to the reward that counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

import numpy as np

from rewardlab.extras import require
from rewardlab.learning.alignment.bilevel import AlignmentOptions, Bilevel, Progress
from rewardlab.learning.alignment.gymnasium_episodes import GymnasiumEpisodes
from rewardlab.learning.alignment.modules import Form
from rewardlab.learning.alignment.result import AlignedPolicy, AlignedReward, Alignment, build
from rewardlab.learning.demonstrations.worlds import opened
from rewardlab.registry import nearest
from rewardlab.rewards.base import Reward
from rewardlab.rewards.recorded import EnvironmentReturn


def align(
    environment: Any,
    auxiliary: Reward | Mapping[str, Reward] | Sequence[Reward],
    *,
    primary: Reward | None = None,
    form: Form | None = None,
    discount: float | None = None,
    start: Literal["naive", "primary"] = "naive",
    hidden: Sequence[int] = (64, 64),
    horizon: int | None = None,
    options: AlignmentOptions | None = None,
    progress: Progress | None = None,
    **changes: Any,
) -> Alignment:
    """Blend hints with a primary reward so that the agent that learns on the blend does best on the primary one.

    A policy learns by REINFORCE on `w_0(s) + w_1(s) primary + sum_k w_k(s) hint_k`; after every few episodes the weights and
    the discount move along the gradient of the primary return, taken through the policy's optimum by implicit
    differentiation. Hints that help are kept, hints that mislead lose their weight where they do.

    Source: Gupta et al. 2023, "Behavior Alignment via Reward Function Optimization" (arXiv 2310.19007).

    Args:
        environment: a Gymnasium id, an environment, a vector of them, or a function that makes one.
        auxiliary: the hints: one reward of transitions, several, or by name.
        primary: what counts; the environment's own reward when None.
        form: how weights and policy depend on the observation: "table" for whole numbers, "linear", or "network"; chosen by
            the observation space when None.
        discount: fixed at this value; learned when None.
        start: hints count in full at first ("naive"), or not at all ("primary").
        hidden: widths of networks.
        horizon: longest episode; the environment's own limit when None.
        options: of the learning; see `AlignmentOptions`.
        progress: called with each line of the history.
        changes: options by name, in place of `options`.

    Raises:
        TypeError: a hint is no reward, or an unknown option.
        ValueError: spaces that are not supported, or a reward that has no value on an episode.
    """
    for name in changes:
        if name not in AlignmentOptions.__dataclass_fields__:
            raise TypeError(f"align has no option {name!r}{nearest(name, AlignmentOptions.__dataclass_fields__)}")
    chosen = replace(options or AlignmentOptions(), **changes)
    if discount is not None:
        chosen = replace(chosen, discount_rate=0.0)
    hints = named(auxiliary)
    with opened(environment, chosen.every) as vector:
        seen, done = vector.single_observation_space, vector.single_action_space
        kind, width = reading_of(seen, form)
        spaces = require("gymnasium.spaces", extra="gym", why="align")
        if isinstance(done, spaces.Discrete):
            actions, discrete = int(done.n), True
        elif isinstance(done, spaces.Box) and len(done.shape) == 1:
            actions, discrete = int(done.shape[0]), False
        else:
            raise ValueError(
                f"align needs Discrete actions or a Box of one axis, got {done}; flatten the action space first"
            )
        limit = horizon or getattr(getattr(vector, "spec", None), "max_episode_steps", None)
        if limit is None:
            raise ValueError("the environment has no limit of steps; give horizon=, the longest episode")
        source = GymnasiumEpisodes(vector, primary, hints, horizon=int(limit), seed=chosen.seed)
        policy, blend = build(
            kind,
            width,
            actions,
            hints=len(hints),
            discrete=discrete,
            hidden=tuple(hidden),
            discount=0.99 if discount is None else discount,
            bounds=(0.5, 0.999) if discount is None else (0.0, 1.0),
            start=1.0 if start == "naive" else 0.0,
            seed=chosen.seed,
        )
        lines: list[dict[str, Any]] = []

        def note(line: dict[str, Any]) -> None:
            plain = {
                name: value.tolist()[0] if isinstance(value, np.ndarray) else value for name, value in line.items()
            }
            lines.append(plain)
            if progress is not None:
                progress(plain)

        Bilevel(source, policy, blend, chosen).run(note)
    return Alignment(
        reward=AlignedReward(primary=primary or EnvironmentReturn(), auxiliary=hints, blend=blend),
        policy=AlignedPolicy(policy, seed=chosen.seed),
        discount=float(blend.discount[0].detach()),
        history=lines,
        auxiliary=tuple(hints),
        options=asdict(chosen),
    )


def named(auxiliary: Reward | Mapping[str, Reward] | Sequence[Reward]) -> dict[str, Reward]:
    """Hints by name.

    Raises:
        TypeError: one of them is no reward.
        ValueError: there is none, or two have one name.
    """
    if isinstance(auxiliary, Reward):
        hints = {auxiliary.label: auxiliary}
    elif isinstance(auxiliary, Mapping):
        hints = dict(auxiliary)
    else:
        hints = {getattr(hint, "label", str(index)): hint for index, hint in enumerate(auxiliary)}
        if len(hints) != len(auxiliary):
            raise ValueError("two hints have one name; give a dict of names, or name them with .named(...)")
    if not hints:
        raise ValueError("there is no hint to align; give at least one auxiliary reward")
    for name, hint in hints.items():
        if not isinstance(hint, Reward):
            raise TypeError(f"hint {name!r} is a {type(hint).__name__}, expected a reward; see @rewardlab.reward")
        if name in ("constant", "primary"):
            raise ValueError(f"a hint must not be called {name!r}, which stands for another part of the blend")
    return hints


def reading_of(space: Any, form: Form | None) -> tuple[Form, int]:
    """How observations of a space are read, and how many states or numbers they have.

    Raises:
        ValueError: the space is neither Discrete nor a Box of one axis, or the form does not go with it.
    """
    spaces = require("gymnasium.spaces", extra="gym", why="align")
    if isinstance(space, spaces.Discrete):
        if form not in (None, "table"):
            raise ValueError(f"form {form!r} reads vectors, and the observations are whole numbers; use form='table'")
        return "table", int(space.n)
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        if form == "table":
            raise ValueError(f"form 'table' needs whole-number observations, got {space}; use 'linear' or 'network'")
        return form or "network", int(space.shape[0])
    raise ValueError(
        f"align reads Discrete observations or a Box of one axis, got {space}; flatten it "
        "(gymnasium.wrappers.FlattenObservation), or give features of images"
    )
