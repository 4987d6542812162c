"""What all objectives share: one pass that turns rows of tokens into an update of the weights.

A step's trajectories are cut into mini-batches (one optimiser step each), and those into pieces of similar length that fit a
budget of tokens. Every token's weight in the loss comes from the totals of its whole mini-batch, so neither the pieces nor
the number of processes changes the update. The host waits for the device once per mini-batch, for one row of numbers.

Dropout is off in updates (the model is in evaluation mode, except where gradient checkpointing needs the other): a ratio of
probabilities compares one function before and after, and not two random ones.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewardlab.functional.kl import kl_estimate
from rewardlab.functional.policy_losses import token_weights
from rewardlab.policies.logprobs import token_logprobs
from rewardlab.policies.reading import Reading, read_tokens
from rewardlab.training.credit.base import Advantages
from rewardlab.training.objectives.cutting import Cut, cut_rows, rows_of
from rewardlab.training.objectives.learner import Learner, schedule_factor
from rewardlab.training.objectives.options import UpdateOptions
from rewardlab.training.objectives.rows import Piece, Row, Totals, make_piece, make_rows
from rewardlab.training.processes import Processes
from rewardlab.types import Trajectory

STATISTICS = ("loss", "tokens", "kl", "clipped", "entropy", "ratio")
"""What is summed over the written tokens of a mini-batch, in this order; then come an objective's own sums, and the largest
ratio."""


class NonFiniteUpdate(RuntimeError):
    """The loss or the gradient of a mini-batch was not finite; the message names its trajectories. No weight was changed."""


@dataclass(kw_only=True)
class Objective(UpdateOptions, ABC):
    """What an update optimises. Subclasses define `token_losses`; the options are those of `UpdateOptions`."""

    updates: int = field(default=0, init=False)
    """Optimiser steps so far."""
    sampled_at: float | None = field(default=None, init=False, repr=False)
    """The temperature that the loop samples at; used where `temperature` is None."""
    _learner: Learner | None = field(default=None, init=False, repr=False)
    _loaded: dict[str, Any] | None = field(default=None, init=False, repr=False)

    default_credit: ClassVar[str] = "group"
    """The short name of the credit that goes with this objective when a training names none."""
    own_statistics: ClassVar[tuple[str, ...]] = ()
    """What `further_loss` sums beside `STATISTICS`."""

    # ---- what subclasses define ---------------------------------------------------------------------------------------

    @abstractmethod
    def token_losses(self, logprobs: Tensor, piece: Piece) -> tuple[Tensor, Tensor, Tensor]:
        """What each token costs.

        Args:
            logprobs: float[batch, token], of the written tokens under the policy; differentiable.
            piece: the rows that they belong to.

        Returns:
            Three [batch, token]: losses, the ratio to the old policy, and whether clipping took the gradient away.
        """

    def shape_advantages(self, rows: list[Row]) -> None:  # most objectives change nothing
        """Change the rows' advantages before the update; called once for all rows of a step."""

    def further_loss(self, reading: Reading, piece: Piece, totals: Totals) -> tuple[Tensor | None, list[Tensor]]:
        """What is added to the loss of a piece beside that of its tokens, and the sums named by `own_statistics`."""
        return None, []

    def heads(self, policy: Any) -> dict[str, torch.nn.Module]:
        """Modules beside the policy's model that this objective trains, by name."""
        return {}

    @property
    def kl_in_reward(self) -> bool:
        """Whether the divergence is paid for in the advantages and not in the loss."""
        return False

    @property
    def needs_reference(self) -> bool:
        """Whether log-probabilities under the reference are computed."""
        return bool(self.kl_coefficient)

    # ---- what users call ----------------------------------------------------------------------------------------------

    def update(
        self, policy: Any, trajectories: Sequence[Trajectory], advantages: Advantages, *, progress: float = 0.0
    ) -> dict[str, float]:
        """Change the policy's weights along the trajectories' advantages.

        Args:
            policy: has `.model`, a transformers causal language model.
            trajectories: N of them, with tokens; the same in every process.
            advantages: of the N trajectories. Those that are not included are left out, and count nowhere.
            progress: share of training done, in [0, 1]; moves the learning rate.

        Returns:
            Means over the written tokens of all optimiser steps: `loss`, `grad_norm`, `kl`, `clip_fraction`, `entropy`,
            `ratio_mean`, `ratio_max`, and `learning_rate`, `tokens`, `optimizer_steps`, `skipped_non_finite`. Trajectories
            whose advantages are all 0 and that pay for no divergence count in the normalisation, but are not computed, so
            they are missing from the other means. With no gradient at all the weights stay as they are.

        Raises:
            ValueError: an included trajectory has no tokens, or advantages do not fit.
            NonFiniteUpdate: a loss or gradient was not finite; the weights are as before that mini-batch.
        """
        self.learner(policy)  # before the rows, so that a policy without a model is named first
        return self.update_rows(policy, self._rows(trajectories, advantages), progress=progress)

    def update_rows(self, policy: Any, rows: list[Row], *, progress: float = 0.0) -> dict[str, float]:
        """`update` for rows that are there; references that they have are kept."""
        learner = self.learner(policy)
        totals: dict[str, float] = defaultdict(float)
        self._evaluation_mode(learner)
        self._prepare(learner, rows)
        rate = self.learning_rate * schedule_factor(self.schedule, progress, self.updates, self.warmup)
        for epoch in range(self.epochs):
            for batch in self._mini_batches(rows, epoch):
                rate = self.learning_rate * schedule_factor(self.schedule, progress, self.updates, self.warmup)
                self._optimise(learner, batch, rate, totals)
        return self.summary(totals, rate)

    def learner(self, policy: Any) -> Learner:
        """The trainable weights of a policy, with the optimiser; made on first use, and again for another model."""
        model = getattr(policy, "model", None)
        if not isinstance(model, torch.nn.Module):
            raise TypeError(
                f"an objective trains policies that have a torch .model, got {type(policy).__name__}; "
                "use LanguageModelPolicy, or wrap your model in an object with .model and .tokenizer"
            )
        heads = self.heads(policy)
        if self._learner is None or self._learner.model is not model or self._learner.heads != heads:
            processes = Processes(self.accelerator)
            self._learner = Learner(model, processes, betas=self.betas, weight_decay=self.weight_decay, heads=heads)
            if self._loaded is not None:
                self._learner.load_state_dict(self._loaded)
                self._loaded = None
        return self._learner

    def state_dict(self) -> dict[str, Any]:
        """Optimiser, place in the schedule, and the reference: numbers and tensors in nested dicts."""
        state = self._loaded if self._learner is None else self._learner.state_dict()
        return {"updates": self.updates, **(state or {})}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave; it is applied as soon as the policy is known."""
        self.updates = int(state["updates"])
        weights = {name: part for name, part in state.items() if name != "updates"}
        self._loaded = weights or None
        if self._learner is not None and self._loaded is not None:
            self._learner.load_state_dict(self._loaded)
            self._loaded = None

    def summary(self, totals: dict[str, float], rate: float) -> dict[str, float]:
        """What `update` returns, from the sums of all optimiser steps."""
        return _summary(totals, rate)

    # ---- the pass -----------------------------------------------------------------------------------------------------

    def _rows(self, trajectories: Sequence[Trajectory], advantages: Advantages) -> list[Row]:
        return make_rows(trajectories, advantages)

    def _prepare(self, learner: Learner, rows: list[Row]) -> None:
        """Compute what does not change during the update: old and reference log-probabilities, shaped advantages."""
        if self.old_logprobs == "recomputed" and self.epochs * self.mini_batches > 1:
            for row, old in zip(rows, self.measure(learner, rows), strict=True):
                row.old = old
        if self.needs_reference:
            bare = [row for row in rows if row.reference is None]
            if bare:
                with learner.as_reference(self.reference):
                    for row, logprobs in zip(bare, self.measure(learner, bare), strict=True):
                        row.reference = logprobs
        self.shape_advantages(rows)

    def _mini_batches(self, rows: list[Row], epoch: int) -> list[list[Row]]:
        if self.mini_batches == 1:
            return [rows] if rows else []
        order = np.random.default_rng([self.seed, self.updates, epoch]).permutation(len(rows))
        return [[rows[index] for index in part] for part in np.array_split(order, self.mini_batches) if part.size]

    def _optimise(self, learner: Learner, batch: list[Row], rate: float, totals: dict[str, float]) -> None:
        """One optimiser step."""
        whole = Totals.of(batch)
        working = [row for row in batch if self._needs_loss(row)]
        totals["tokens"] += whole.tokens
        if not working:
            totals["idle"] += 1
            return
        names = (*STATISTICS, *self.own_statistics)
        sums, losses = torch.zeros(len(names) + 1, device=learner.device), []
        own = self._share(working, learner.processes)
        pieces = []
        for cut in self._cut(own, learner):
            part, sizes = rows_of(cut, own)
            pieces.append(part)
            piece = make_piece(part, learner.device, sizes)
            statistics = self._backward(learner, piece, whole)
            losses.append(statistics[0])
            sums = torch.cat([sums[:-1] + statistics[:-1], torch.maximum(sums[-1:], statistics[-1:])])
        everyone = learner.processes.stack(sums)
        norm = learner.gradient_norm(self.max_grad_norm)
        combined = torch.cat([everyone[:, :-1].sum(0), everyone[:, -1].max()[None], norm.to(sums)[None]])
        numbers = combined.tolist()  # the one place where the host waits for the device
        if not (math.isfinite(numbers[0]) and math.isfinite(numbers[-1])):
            learner.drop_gradients()
            self._non_finite(numbers[0], numbers[-1], pieces, losses, batch)
            totals["skipped"] += 1
            return
        learner.step(rate)
        self.updates += 1
        totals["steps"] += 1
        totals["grad_norm"] += numbers[-1]
        totals["ratio_max"] = max(totals["ratio_max"], numbers[-2])
        for name, value in zip(names, numbers, strict=False):
            totals[f"sum_{name}"] += value

    def _backward(self, learner: Learner, piece: Piece, totals: Totals) -> Tensor:
        """Add a piece's gradients; return its loss and the sums of its statistics."""
        with learner.processes.accelerator.autocast():
            reading = self._read(learner, piece)
        logprobs = reading.logprobs
        if self.old_logprobs == "recomputed" and self.epochs * self.mini_batches == 1:
            piece.old.copy_(logprobs.detach())
        losses, ratio, clipped = self.token_losses(logprobs, piece)
        divergence = torch.zeros_like(losses)
        if piece.reference is not None and self.kl_coefficient:
            if not self.kl_in_reward:
                divergence = kl_estimate(logprobs, piece.reference, self.kl_estimator)
                losses = losses + self.kl_coefficient * divergence
            else:
                divergence = kl_estimate(logprobs.detach(), piece.reference, self.kl_estimator)
        weights = token_weights(
            piece.mask, normalise=self.normalise, constant=self.constant, sequences=totals.sequences, tokens=totals.tokens,
            step=piece.step, steps=totals.steps,
        )  # fmt: skip
        loss = torch.where(piece.mask, losses * weights, 0.0).sum()
        further, own = self.further_loss(reading, piece, totals)
        if further is not None:
            loss = loss + further
        loss.backward()
        with torch.no_grad():
            columns = (divergence, clipped.to(losses.dtype), reading.entropies, ratio)
            sums = [torch.where(piece.mask, column.detach(), 0.0).sum() for column in columns]
            largest = torch.where(piece.mask, ratio.detach(), 0.0).max()
            return torch.stack([loss.detach(), piece.mask.sum().to(loss.dtype), *sums, *own, largest])

    def _read(self, learner: Learner, piece: Piece, **options: Any) -> Reading:
        return read_tokens(
            learner.model, piece.ids, piece.attention_mask, piece.mask, temperature=self._temperature,
            packing=piece.packing, **{"entropy": self.entropy, **options},
        )  # fmt: skip

    def _how(self, piece: Piece) -> dict[str, Any]:
        return {"positions_mask": piece.mask, "temperature": self._temperature, "packing": piece.packing}

    def measure(self, learner: Learner, rows: list[Row]) -> list[NDArray[np.float32]]:
        """Log-probabilities of every row under the present weights, without gradients; shared out over processes."""
        lengths = np.cumsum([0, *(len(row.tokens) for row in rows)])
        flat = torch.zeros(int(lengths[-1]), device=learner.device)
        places = range(learner.processes.rank, len(rows), learner.processes.count)
        own = [rows[place] for place in places]
        with torch.no_grad(), learner.processes.accelerator.autocast():
            for cut in self._cut(own, learner):
                part, sizes = rows_of(cut, own)
                piece = make_piece(part, learner.device, sizes)
                logprobs = token_logprobs(learner.model, piece.ids, piece.attention_mask, **self._how(piece))
                for row, index in enumerate(index for line in cut for index in line):
                    start, end = lengths[places[index]], lengths[places[index] + 1]
                    flat[start:end] = logprobs[row, : end - start]
        everything = learner.processes.add_up(flat).cpu().numpy()
        return [everything[start:end] for start, end in pairwise(lengths)]

    @property
    def _temperature(self) -> float:
        return self.temperature or self.sampled_at or 1.0

    def _share(self, rows: list[Row], processes: Processes) -> list[Row]:
        """This process's rows, dealt out from long to short so that all have about as many tokens."""
        if processes.count == 1:
            return rows
        ordered = sorted(rows, key=lambda row: (-len(row.tokens), row.index))
        return ordered[processes.rank :: processes.count]

    def _cut(self, rows: Sequence[Row], learner: Learner) -> list[Cut]:
        return cut_rows(rows, self._token_budget(learner), learner.packing if self.share_prompts else None)

    def _token_budget(self, learner: Learner) -> int:
        return self.micro_batch_tokens or (2048 if learner.device.type == "cpu" else 8192)

    def _needs_loss(self, row: Row) -> bool:
        """Whether a row can give any gradient."""
        return bool(self.kl_coefficient and not self.kl_in_reward) or bool(row.advantage.any())

    def _evaluation_mode(self, learner: Learner) -> None:
        learner.model.train(any(getattr(module, "gradient_checkpointing", False) for module in learner.model.modules()))

    def _non_finite(
        self, loss: float, norm: float, pieces: list[list[Row]], losses: list[Tensor], batch: list[Row]
    ) -> None:
        """Raise with the trajectories of the pieces that are not finite, unless such mini-batches are to be skipped."""
        if self.on_non_finite == "skip":
            return
        guilty = [
            row.index for part, own in zip(pieces, losses, strict=True) if not torch.isfinite(own) for row in part
        ]
        named = sorted(guilty or [row.index for row in batch])
        raise NonFiniteUpdate(
            f"the loss of a mini-batch is {loss} with a gradient norm of {norm}; the weights were not changed. Trajectories "
            f"in the pieces concerned: {', '.join(map(str, named[:20]))}{' ...' if len(named) > 20 else ''}. Look at "
            'their advantages and log-probabilities, lower learning_rate, or set on_non_finite="skip"'
        )


def _summary(totals: dict[str, float], rate: float) -> dict[str, float]:
    steps, tokens = totals["steps"], totals["sum_tokens"]

    def per(name: str, count: float) -> float:
        return totals[name] / count if count else math.nan

    return {
        "loss": per("sum_loss", steps),
        "grad_norm": per("grad_norm", steps),
        "kl": per("sum_kl", tokens),
        "clip_fraction": per("sum_clipped", tokens),
        "entropy": per("sum_entropy", tokens),
        "ratio_mean": per("sum_ratio", tokens),
        "ratio_max": totals["ratio_max"] if steps else math.nan,
        "learning_rate": rate,
        "tokens": totals["tokens"],
        "optimizer_steps": steps,
        "skipped_non_finite": totals["skipped"],
    }
