"""What an alignment gives: a blended reward to train any agent on, a policy, and how much each hint was believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rewardlab.extras import require
from rewardlab.learning.alignment.modules import Blend, CategoricalPolicy, GaussianPolicy, Policy, Reading
from rewardlab.rewards.base import Reward
from rewardlab.rewards.online import score_steps
from rewardlab.rewards.recorded import EnvironmentReturn
from rewardlab.rewards.transitions import TransitionReward
from rewardlab.types import Scores

WEIGHTS_FILE, OPTIONS_FILE = "alignment.safetensors", "alignment.json"


@dataclass(frozen=True, kw_only=True)
class LearnedWeight(TransitionReward):
    """One weight of a blend, as a number for each state in which an action is taken.

    Args:
        blend: what was learned.
        index: 0 for the constant, 1 for the primary reward, then the hints in order.
        copy: which of the blend's copies.
    """

    blend: Blend
    index: int
    copy: int = 0

    def transition(  # noqa: D102 - documented on TransitionReward
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        return weights_at(self.blend, observation, self.copy)[:, self.index]


@dataclass(frozen=True, kw_only=True)
class AlignedReward(Reward):
    """`w_0(s) + w_1(s) primary + sum_k w_k(s) hint_k`, with weights that `align` learned (Gupta et al. 2023, BARFI).

    It works inside an environment and on stored trajectories; every reward and every weight is a part of its own.

    Args:
        primary: what counts in the end.
        auxiliary: the hints by name.
        blend: the learned weights.
        copy: which of the blend's copies.
    """

    primary: Reward
    auxiliary: dict[str, Reward]
    blend: Blend
    copy: int = 0

    def children(self) -> dict[str, Reward]:  # noqa: D102 - documented on Reward
        named = {"primary": self.primary, **self.auxiliary}
        weights = {
            f"weight_{name}": LearnedWeight(blend=self.blend, index=index, copy=self.copy)
            for index, name in enumerate(["constant", *named])
        }
        return {**named, **weights}

    def combine_transitions(
        self, values: Mapping[str, NDArray[np.float64]], progress: float | None
    ) -> NDArray[np.float64]:
        """The blended reward of N transitions from the values of all parts, float64[N]."""
        total = values["weight_constant"].copy()
        for name in ("primary", *self.auxiliary):
            total += values[f"weight_{name}"] * values[name]
        return total

    def _score(self, trajectories: Any, progress: float | None) -> Scores:
        return score_steps(self, trajectories, progress=progress)


def weights_at(blend: Blend, observation: Any, copy: int = 0) -> NDArray[np.float64]:
    """The weights that one copy of a blend gives at observations [N, ...]: float64[N, 2 + hints]."""
    seen = torch.from_numpy(np.asarray(observation))
    reading = blend.reading
    with torch.no_grad():
        everywhere = reading(seen[None].expand(reading.copies, *seen.shape))
    return everywhere[copy].double().numpy()


class AlignedPolicy:
    """One copy of a policy, as a `ControlPolicy`."""

    def __init__(self, policy: Policy, copy: int = 0, seed: int = 0) -> None:
        self.module, self.copy = policy, copy
        self.generator = torch.Generator().manual_seed(seed)

    def seed(self, seed: int) -> None:
        """Begin the draws again."""
        self.generator.manual_seed(seed)

    def act(self, observations: Any, deterministic: bool = False) -> NDArray[Any]:
        """Actions for N observations."""
        seen = torch.from_numpy(np.asarray(observations))
        copies = self.module.reading.copies
        drawn = self.module.sample(seen[None].expand(copies, *seen.shape), self.generator, deterministic=deterministic)
        return np.asarray(drawn[self.copy].numpy())


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """What `align` learned.

    Args:
        reward: to train any agent on.
        policy: the agent that learned beside it.
        discount: the learned discount, with which the reward is meant to be used.
        history: a line for each update: episodes so far, primary return, size of the outer gradient, residual of the solver,
            whether the primary reward told steps apart, discount.
        auxiliary: the names of the hints.
        options: those that it ran with.
    """

    reward: AlignedReward
    policy: AlignedPolicy
    discount: float
    history: list[dict[str, Any]] = field(repr=False)
    auxiliary: tuple[str, ...]
    options: dict[str, Any]

    def weights(self, observation: Any) -> dict[str, NDArray[np.float64]]:
        """How much each reward counts at observations [N, ...], by name: "constant", "primary", and the hints."""
        table = weights_at(self.reward.blend, observation)
        return dict(zip(["constant", "primary", *self.auxiliary], table.T, strict=True))

    def believed(self, observation: Any) -> dict[str, float]:
        """Mean weight of each hint over observations: near 1 where it was taken as given, at 0 or below where rejected."""
        found = self.weights(observation)
        return {name: float(found[name].mean()) for name in self.auxiliary}

    def save(self, directory: str | Path) -> Path:
        """Write weights (safetensors) and all else (JSON) to a directory. The rewards themselves are not written."""
        safetensors = require("safetensors.torch", extra="torch", why="saving an alignment")
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        blend, policy = self.reward.blend, self.policy.module
        tensors = {
            f"{part}.{name}": value.detach().contiguous()
            for part, module in (("blend", blend), ("policy", policy))
            for name, value in module.state_dict().items()
        }
        safetensors.save_file(tensors, folder / WEIGHTS_FILE)
        content = {
            "form": blend.reading.form,
            "width": blend.reading.width,
            "actions": policy.reading.out,
            "discrete": isinstance(policy, CategoricalPolicy),
            "hidden": hidden_of(policy.reading),
            "bounds": list(blend.bounds),
            "auxiliary": list(self.auxiliary),
            "discount": self.discount,
            "options": self.options,
            "history": self.history,
        }
        (folder / OPTIONS_FILE).write_text(json.dumps(content, indent=1), encoding="utf-8")
        return folder

    @classmethod
    def load(
        cls, directory: str | Path, *, auxiliary: Mapping[str, Reward], primary: Reward | None = None
    ) -> Alignment:
        """Read what `save` wrote.

        Args:
            directory: where it is.
            auxiliary: the same hints, by the same names.
            primary: the same primary reward; the environment's own when None.

        Raises:
            FileNotFoundError: there is no alignment.
            ValueError: the hints have other names.
        """
        safetensors = require("safetensors.torch", extra="torch", why="loading an alignment")
        folder = Path(directory)
        if not (folder / OPTIONS_FILE).is_file():
            raise FileNotFoundError(f"{folder} holds no {OPTIONS_FILE}; give a directory that Alignment.save wrote")
        content = json.loads((folder / OPTIONS_FILE).read_text(encoding="utf-8"))
        if sorted(auxiliary) != sorted(content["auxiliary"]):
            raise ValueError(
                f"the alignment was learned with the hints {', '.join(content['auxiliary'])}; got {', '.join(auxiliary)}"
            )
        names = content["auxiliary"]
        policy, blend = build(
            content["form"],
            content["width"],
            content["actions"],
            hints=len(names),
            discrete=content["discrete"],
            hidden=content["hidden"],
            bounds=tuple(content["bounds"]),
        )
        tensors = safetensors.load_file(folder / WEIGHTS_FILE)
        for part, module in (("blend", blend), ("policy", policy)):
            prefix = f"{part}."
            module.load_state_dict(
                {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            )
        reward = AlignedReward(
            primary=primary or EnvironmentReturn(), auxiliary={name: auxiliary[name] for name in names}, blend=blend
        )
        return cls(
            reward=reward,
            policy=AlignedPolicy(policy),
            discount=content["discount"],
            history=content["history"],
            auxiliary=tuple(names),
            options=content["options"],
        )


def hidden_of(reading: Reading) -> list[int]:
    """Widths of the hidden layers of a network; empty for a table or a linear map."""
    if reading.form != "network":
        return []
    layers = reading.body.frame.children()
    return [layer.weight.shape[-2] for layer in layers if isinstance(layer, torch.nn.Linear)][:-1]


def build(
    form: Any,
    width: int,
    actions: int,
    *,
    hints: int,
    discrete: bool,
    hidden: Any = (64, 64),
    bounds: Any = (0.5, 0.999),
    discount: float = 0.99,
    start: float = 1.0,
    seed: int = 0,
) -> tuple[Policy, Blend]:
    """A fresh policy and a fresh blend for one learner; the primary reward begins with weight 1, hints with `start`."""
    reading = Reading(form, width, actions, copies=1, start=torch.zeros(actions), hidden=hidden, seed=seed)
    policy = CategoricalPolicy(reading) if discrete else GaussianPolicy(reading)
    begin = torch.tensor([0.0, 1.0, *[start] * hints])
    blend = Blend(
        Reading(form, width, 2 + hints, copies=1, start=begin, hidden=hidden, seed=seed + 1), discount, bounds=bounds
    )
    return policy, blend
