"""A look at a training before it is run: choices that are known to undo one another in multi-turn reinforcement learning.

The findings are those of Wang and Ammanabrolu 2025 (arXiv 2510.01132) and of the proofs here. Each is a warning and no
error: a training may have its reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rewardlab.config.model import TrainConfig

SUMMED = ("group", "leave_one_out", "batch", "best", "extremes", "threshold")
"""Credit rules that see the score of a whole attempt alone."""
LEAST_KL = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to think about.

    Args:
        name: short.
        about: the keys that it is about, with dots.
        text: what will happen, and what to do.
    """

    name: str
    about: tuple[str, ...]
    text: str


def audit(config: TrainConfig | Mapping[str, Any], *, base_success: float | None = None) -> list[Finding]:
    """What to think about before a training is run.

    Args:
        config: of the training, or the same as plain values.
        base_success: the share of attempts that the policy wins before any training, where it was measured.

    Returns:
        Findings, in a fixed order; empty where there are none.

    Raises:
        ValueError: the configuration is none.
    """
    checked = config if isinstance(config, TrainConfig) else TrainConfig.model_validate(dict(config))
    training = checked.training
    objective, credit = _spec(training.objective), _spec(training.credit)
    credit.setdefault("type", _default_credit(objective["type"]))
    rewards = list(_specs(checked.reward))
    found = []
    dense = any(one.get("type") == "turn_increments" and one.get("density", "dense") == "dense" for one in rewards)
    outcome_gae = credit["type"] == "gae" and credit.get("source", "outcome") == "outcome"
    if dense and (credit["type"] in SUMMED or outcome_gae):
        found.append(
            Finding(
                name="dense_reward_summed",
                about=("reward", "training.credit"),
                text=f"the reward pays turns, but credit {credit['type']} sums what an attempt earned, so that only partial "
                "credit for lost attempts is left; use return_to_go, turn_rewards, or gae with source: scores",
            )
        )
    if credit["type"] == "gae" and not _trains_values(objective):
        found.append(
            Finding(
                name="value_head_untrained",
                about=("training.credit", "training.objective"),
                text=f"credit gae asks a value head that {objective['type']} does not train, so it says 0 of every state; "
                "use ppo, or awr with a value_coefficient above 0",
            )
        )
    multi_turn = int(checked.limits.get("turns", 16)) > 1
    coefficient = float(objective.get("kl_coefficient", 0.0))
    if multi_turn and coefficient < LEAST_KL:
        found.append(
            Finding(
                name="little_divergence_paid",
                about=("training.objective.kl_coefficient",),
                text=f"kl_coefficient is {coefficient:g}: below {LEAST_KL:g} multi-turn policies were seen to collapse; the "
                "guide has .01 for PPO and .001 for RLOO",
            )
        )
    if training.group_size == 1 and objective["type"] in ("grpo", "rloo", "step_grpo", "step_rloo"):
        found.append(
            Finding(
                name="group_of_one",
                about=("training.group_size",),
                text=f"{objective['type']} compares attempts at one task, and a group of one has no baseline: this is plain "
                "REINFORCE; use 4 or more",
            )
        )
    bare_outcome = all(one.get("type") == "environment_return" for one in rewards)
    if credit["type"] == "gae" and credit.get("bootstrap", True) and bare_outcome:
        found.append(
            Finding(
                name="limits_are_no_ends",
                about=("training.credit.bootstrap",),
                text="an attempt that the limit ends counts the value of what would have followed; where the limit is part "
                "of the task, set bootstrap: false",
            )
        )
    if checked.warm_start is None and base_success == 0:
        found.append(
            Finding(
                name="nothing_to_reinforce",
                about=("warm_start",),
                text="the policy never wins and there is no warm start, so no attempt is better than another; some dozen "
                "demonstrations come first",
            )
        )
    return found


def _trains_values(objective: dict[str, Any]) -> bool:
    from rewardlab.training.objectives import OBJECTIVES

    default = getattr(OBJECTIVES.resolve(objective["type"]), "value_coefficient", 0.0)
    return bool(objective.get("value_coefficient", default))


def _default_credit(objective: str) -> str:
    from rewardlab.training.objectives import OBJECTIVES

    return str(getattr(OBJECTIVES.resolve(objective), "default_credit", "group"))


def _spec(spec: Any) -> dict[str, Any]:
    if spec is None:
        return {}
    return {"type": spec} if isinstance(spec, str) else dict(spec)


def _specs(spec: Any) -> Any:
    """A reward's spec and those inside it."""
    if isinstance(spec, str):
        yield {"type": spec}
    elif isinstance(spec, Mapping):
        yield dict(spec)
        for value in spec.values():
            if isinstance(value, Mapping):
                yield from _specs(value)
            elif isinstance(value, (list, tuple)):
                for entry in value:
                    if isinstance(entry, Mapping):
                        yield from _specs(entry)
