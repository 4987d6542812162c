"""Training a policy on stored comparisons of trajectories, by direct preference optimisation.

Trajectories are tokenised once, as a rollout would have seen them. The reference says what it thinks of all of them once,
before the first step, in batches of similar length; no copy of it is kept, and no step runs it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rewardlab.training.objectives import OBJECTIVES
from rewardlab.training.objectives.preference import DPO
from rewardlab.training.objectives.rows import Row, make_piece
from rewardlab.training.seats import build_seat, derived_seed
from rewardlab.types import Preference, Tokens, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceTraining:
    """What a training on comparisons gave.

    Args:
        policy: the trained one, which is the one that was passed in.
        steps: optimiser steps.
        metrics: the numbers of each step.
        before, after: accuracy, margin and loss on the held-out comparisons; None where none were given.
    """

    policy: Any
    steps: int
    metrics: list[dict[str, float]]
    before: dict[str, float] | None
    after: dict[str, float] | None


def train_on_preferences(
    policy: Any,
    preferences: Sequence[Preference],
    *,
    objective: Any = "dpo",
    epochs: int = 1,
    batch_size: int = 16,
    validation: Sequence[Preference] = (),
    tools: Sequence[Mapping[str, Any]] | None = None,
    output: str | Path | None = None,
    seed: int = 0,
    callbacks: Sequence[Callable[[dict[str, float]], bool | None]] = (),
) -> PreferenceTraining:
    """Train a policy on comparisons.

    Args:
        policy: a `LanguageModelPolicy`; as it is now, it is the reference (or with `reference="base"`, what is below its
            LoRA adapter).
        preferences: chosen and rejected chat trajectories; those without tokens are rendered by
            `policy.encode_demonstration`. What the policy did not write (prompts, tool output) never counts.
        objective: a `DPO`, or a name or mapping that stands for one.
        epochs: how often each comparison is used.
        batch_size: comparisons in each optimiser step.
        validation: held-out comparisons, measured before and after.
        tools: the tools that prompts show; each task's own when not given.
        output: a folder for metrics.jsonl and the trained policy; None keeps nothing.
        seed: of the order.
        callbacks: called with the numbers of each step; True from one of them ends the training.

    Raises:
        ValueError: there are no comparisons, or a number is below 1.
        TypeError: a comparison is not of chat trajectories, or the objective is not a `DPO`.
    """
    chosen = build_seat(objective, OBJECTIVES)
    if not isinstance(chosen, DPO):
        raise TypeError(f"comparisons are learned by DPO, got {type(chosen).__name__}; use objective=DPO(...)")
    if not preferences:
        raise ValueError(
            "there are no comparisons to train on; give preferences=[Preference(chosen=..., rejected=...)]"
        )
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    rows = preference_rows(policy, preferences, tools=tools)
    held_out = preference_rows(policy, validation, tools=tools)
    fill_references(chosen, policy, [*rows, *held_out])
    before = measure_preferences(chosen, policy, held_out) if held_out else None
    count = len(preferences)
    total = epochs * -(-count // batch_size)
    metrics: list[dict[str, float]] = []
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(count)
        for start in range(0, count, batch_size):
            torch.manual_seed(derived_seed(seed, "preferences", len(metrics)))
            batch = [rows[2 * pair + side] for pair in order[start : start + batch_size] for side in (0, 1)]
            measured = chosen.update_rows(policy, batch, progress=len(metrics) / total)
            metrics.append({"step": float(len(metrics) + 1), "epoch": float(epoch), **measured})
            answers = [callback(metrics[-1]) for callback in callbacks]
            if any(answer is True for answer in answers):
                return _over(chosen, policy, metrics, before, held_out, output)
    return _over(chosen, policy, metrics, before, held_out, output)


def preference_rows(
    policy: Any, preferences: Sequence[Preference], *, tools: Sequence[Mapping[str, Any]] | None = None
) -> list[Row]:
    """Chosen and rejected in turn, as rows of an update.

    Raises:
        TypeError: a comparison is not of chat trajectories.
        ValueError: one side of a comparison was not written by a policy at all.
    """
    rows = []
    for number, preference in enumerate(preferences):
        for side in ("chosen", "rejected"):
            trajectory = getattr(preference, side)
            if not isinstance(trajectory, Trajectory) or not trajectory.is_chat:
                raise TypeError(
                    f"{side} of comparison {number} is a {type(trajectory).__name__}, expected a chat trajectory; build one "
                    "with Trajectory.from_messages(messages) or Trajectory.from_text(prompt, answer)"
                )
            tokens: Tokens = trajectory.tokens or policy.encode_demonstration(trajectory, tools)
            if not (tokens.step >= 0).any():
                raise ValueError(
                    f"{side} of comparison {number} has no assistant message, so there is nothing to compare"
                )
            rows.append(
                Row(
                    index=number,
                    tokens=tokens,
                    advantage=np.zeros(len(tokens), dtype=np.float32),
                    old=tokens.logprobs,
                    label=preference.label,
                    weight=preference.weight,
                )
            )
    return rows


def fill_references(objective: DPO, policy: Any, rows: Sequence[Row]) -> None:
    """What the reference thinks of each row, and the policy now, which is where ratios begin."""
    learner = objective.learner(policy)
    learner.model.eval()
    found = objective.measure(learner, list(rows))
    for row, logprobs in zip(rows, found, strict=True):
        row.old = row.reference = logprobs
    if objective.reference == "base":
        with learner.as_reference("base"):
            for row, logprobs in zip(rows, objective.measure(learner, list(rows)), strict=True):
                row.reference = logprobs


def measure_preferences(objective: DPO, policy: Any, rows: Sequence[Row]) -> dict[str, float]:
    """Loss of the policy on comparisons, the share whose chosen answer it favours, and by how much (times beta)."""
    learner = objective.learner(policy)
    learner.model.eval()
    device, losses, margins = torch.device("cpu"), [], []
    logprobs = objective.measure(learner, list(rows))
    for first in range(0, len(rows), 2):
        piece = make_piece(rows[first : first + 2], device)
        said = torch.zeros(piece.ids.shape)
        for line in (0, 1):
            said[line, : logprobs[first + line].size] = torch.from_numpy(logprobs[first + line])
        margin = objective.margins(said, piece)
        margins.append(float(margin))
        losses.append(float(objective.pair_losses(margin, piece)))
    return {
        "loss": float(np.mean(losses)),
        "accuracy": float(np.mean(np.array(margins) > 0)),
        "margin": objective.beta * float(np.mean(margins)),
    }


def _over(
    objective: DPO, policy: Any, metrics: list[dict[str, float]], before: dict[str, float] | None, held_out: list[Row],
    output: str | Path | None,
) -> PreferenceTraining:  # fmt: skip
    if output is not None:
        folder = Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            json.dumps({name: value if np.isfinite(value) else None for name, value in one.items()}) for one in metrics
        ]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        policy.save(folder / "policy")
    return PreferenceTraining(
        policy=policy,
        steps=len(metrics),
        metrics=metrics,
        before=before,
        after=measure_preferences(objective, policy, held_out) if held_out else None,
    )
