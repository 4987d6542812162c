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

from rewardlab.scoring.summary import number_or_none
from rewardlab.training.checkpoint import Checkpoints, load_module_state, module_state
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
    checkpoint_every: int = 100,
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
        output: a folder for metrics.jsonl, checkpoints and the trained policy; where it holds checkpoints of this training,
            it goes on from the newest, with the numbers of one that was never broken off. None keeps nothing.
        checkpoint_every: steps between checkpoints.
        seed: of the order.
        callbacks: called with the numbers of each step; True from one of them ends the training.

    Raises:
        ValueError: there are no comparisons, a number is below 1, or the folder holds another training.
        TypeError: a comparison is not of chat trajectories, or the objective is not a `DPO`.
    """
    chosen = build_seat(objective, OBJECTIVES)
    if not isinstance(chosen, DPO):
        raise TypeError(f"comparisons are learned by DPO, got {type(chosen).__name__}; use objective=DPO(...)")
    if not preferences:
        raise ValueError(
            "there are no comparisons to train on; give preferences=[Preference(chosen=..., rejected=...)]"
        )
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("checkpoint_every", checkpoint_every)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    rows = preference_rows(policy, preferences, tools=tools)
    held_out = preference_rows(policy, validation, tools=tools)
    progress = _Progress(policy, chosen, [*rows, *held_out], output, checkpoint_every)
    count = len(preferences)
    per_epoch = -(-count // batch_size)
    about = {"seed": seed, "comparisons": count, "batch_size": batch_size, "objective": type(chosen).__name__}
    if not progress.restore(about):
        fill_references(chosen, policy, [*rows, *held_out])
        progress.before = measure_preferences(chosen, policy, held_out) if held_out else None
        progress.save(about)
    metrics = progress.metrics
    for step in range(len(metrics), epochs * per_epoch):
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng([seed, epoch]).permutation(count)[place * batch_size : (place + 1) * batch_size]
        torch.manual_seed(derived_seed(seed, "preferences", step))
        batch = [rows[2 * pair + side] for pair in order for side in (0, 1)]
        measured = chosen.update_rows(policy, batch, progress=step / (epochs * per_epoch))
        metrics.append({"step": float(step + 1), "epoch": float(epoch), **measured})
        stopped = any([callback(metrics[-1]) is True for callback in callbacks])  # noqa: C419  # all of them are called
        if stopped or (step + 1) % checkpoint_every == 0 or step + 1 == epochs * per_epoch:
            progress.save(about)
        if stopped:
            break
    if output is not None:
        policy.save(Path(output) / "policy")
    return PreferenceTraining(
        policy=policy,
        steps=len(metrics),
        metrics=metrics,
        before=progress.before,
        after=measure_preferences(chosen, policy, held_out) if held_out else None,
    )


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


class _Progress:
    """How far a training is, and its checkpoints where there is a folder for them."""

    def __init__(
        self, policy: Any, objective: DPO, rows: Sequence[Row], output: str | Path | None, checkpoint_every: int
    ) -> None:
        self.policy, self.objective, self.rows = policy, objective, rows
        self.output = None if output is None else Path(output)
        self.checkpoints = None if self.output is None else Checkpoints(self.output / "checkpoints")
        self.metrics: list[dict[str, float]] = []
        self.before: dict[str, float] | None = None

    def restore(self, about: Mapping[str, Any]) -> bool:
        """Go on where the newest checkpoint is; False where there is none.

        Raises:
            ValueError: it is one of another training; the message says what differs.
        """
        if self.checkpoints is None:
            return False
        self.checkpoints.tidy()
        if not self.checkpoints.numbers():
            return False
        state = self.checkpoints.load()
        lengths = [len(row.tokens) for row in self.rows]
        present = {**about, "tokens": sum(lengths)}
        different = [name for name, value in state["about"].items() if value != present.get(name)]
        if different:
            shown = "; ".join(f"{name} was {state['about'][name]}, is {present.get(name)}" for name in different)
            raise ValueError(
                f"{str(self.output)!r} holds another training ({shown}); choose another folder, or remove this one"
            )
        load_module_state(self.policy.model, state["policy"])
        self.objective.load_state_dict(state["objective"])
        ends = np.cumsum(lengths)[:-1]
        for name in ("old", "reference"):
            for row, part in zip(self.rows, np.split(state["reference"][name], ends), strict=True):
                setattr(row, name, part)
        self.metrics, self.before = state["progress"]["metrics"], state["progress"]["before"]
        return True

    def save(self, about: Mapping[str, Any]) -> None:
        """Write a checkpoint, and all metrics so far."""
        if self.checkpoints is None or self.output is None:
            return
        columns = {
            name: np.concatenate([np.asarray(getattr(row, name), dtype=np.float32) for row in self.rows])
            for name in ("old", "reference")
        }
        self.checkpoints.save(
            len(self.metrics),
            {
                "policy": module_state(self.policy.model),
                "objective": self.objective.state_dict(),
                "progress": {"metrics": self.metrics, "before": self.before},
                "about": {**about, "tokens": sum(len(row.tokens) for row in self.rows)},
            },
            unchanging={"reference": columns},
        )
        lines = [json.dumps({name: number_or_none(value) for name, value in one.items()}) for one in self.metrics]
        (self.output / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
