"""What `rewardlab.learning.fit` does: rows in, steps, held-out judgements, best weights out.

A step depends on the seed, its own number and the weights alone, so that a fit that was killed and resumed gives the numbers
of one that was not. Chosen and rejected need not be in one batch of the encoder: a step's texts are cut into batches of
similar length, and the loss is taken over all of their outputs together.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from rewardlab.learning.fit_options import FitOptions
from rewardlab.learning.fit_record import FitRecord, data_digest
from rewardlab.learning.fit_weights import (
    Weights,
    autocast_type,
    copied,
    cut_up,
    gradient_checkpointing,
    put_together,
    who_fits,
)
from rewardlab.learning.inputs import CachedFeatures, Inputs, evaluating, is_frozen, make_inputs
from rewardlab.learning.losses import DEFAULTS, Loss, make_loss
from rewardlab.learning.tables import Table, kind_of, make_table
from rewardlab.policies.batching import micro_batches
from rewardlab.policies.sharding import cut, gathered
from rewardlab.rewards.models.base import NoScalarValue, Outputs
from rewardlab.rewards.models.model import RewardModel
from rewardlab.training.checkpoint import load_module_state, module_state
from rewardlab.training.objectives.learner import schedule_factor
from rewardlab.training.seats import derived_seed


class FitStopped(RuntimeError):
    """The loss or its gradient is no number any more; the message names the rows of that batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """What a fit gave.

    Args:
        model: the fitted model; saved, where there was an output folder.
        metrics: the numbers of each step: loss, gradient_norm, learning_rate, rows.
        evaluations: those of each evaluation: step, loss, accuracy.
        best: the evaluation whose weights the model has; None where nothing was held out.
        stopped: whether patience ended it before the last step.
    """

    model: RewardModel
    metrics: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    best: dict[str, Any] | None
    stopped: bool


@dataclass(kw_only=True)
class Fit(FitOptions):
    """A fit in parts; `fit` says what its options are."""

    weights_class: ClassVar[type[Weights]] = Weights

    done: int = field(default=0, init=False)
    stopped: bool = field(default=False, init=False)
    best: dict[str, Any] | None = field(default=None, init=False)
    best_weights: dict[str, Tensor] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.check()
        kind = kind_of(self.data)
        self.criterion = self.make_loss(kind)
        self.processes = who_fits()
        self.network = self.model.network
        if self.processes.shards:
            self.processes.place(self.network)
        elif self.model.device is not None or torch.cuda.is_available():
            self.network.to(self.model.device or "cuda")
        training, held_out = self.data, self.validation
        if isinstance(held_out, (int, float)):
            training, held_out = training.split(float(held_out), seed=self.seed)
        self.training = training if not len(training) else training.without_unused_items()
        self.held_out = held_out if held_out is None or not len(held_out) else held_out.without_unused_items()
        self.table = self.tabulate(self.training)
        self.held_table = None if self.held_out is None else self.tabulate(self.held_out, held_out=True)
        self.weights = self.weights_class(
            self.network, self.processes, weight_decay=self.weight_decay, rates=self.rates
        )
        count = len(self.table)
        self.batch_size = min(self.batch_size, count)
        self.rows = max(1, round(self.epochs * count)) if self.steps is None else self.steps * self.batch_size
        self.steps = math.ceil(self.rows / self.batch_size)
        self.warmup_steps = round(self.warmup * self.steps)
        tenth = max(1, self.steps // 10)
        self.evaluate_every, self.checkpoint_every = self.evaluate_every or tenth, self.checkpoint_every or tenth
        self._orders: dict[int, Tensor] = {}
        self._first_seed = derived_seed(self.seed, "fit", self.processes.rank)

    def make_loss(self, kind: str) -> Loss:
        """The loss that was asked for, or the usual one of a kind of data."""
        return make_loss(DEFAULTS[kind] if self.loss is None else self.loss)  # type: ignore[index]

    def tabulate(self, data: Any, *, held_out: bool = False) -> Table:
        """The rows of some judgements as tensors."""
        network = self.network
        return make_table(data, network.head, network.device, reads=self.criterion.reads, held_out=held_out)

    # ---- the whole of it ------------------------------------------------------------------------------------------------

    def run(self) -> FitResult:
        """Fit, from where the output folder is to the end."""
        network, steps = self.network, self.steps
        assert steps is not None  # set when this was built
        record = FitRecord(
            self.output, self.processes, trackers=self.trackers, progress_bar=self.progress_bar
        )  # fmt: skip
        devices = [network.device] if network.device.type == "cuda" else []
        with (
            record,
            gradient_checkpointing(network.encoder, self.gradient_checkpointing) as recompute,
            torch.random.fork_rng(devices=devices),
        ):
            fingerprint = self._fingerprint() if self.output is not None else {}
            state = record.restore(fingerprint, resume=self.resume)
            if state is not None:
                self._restore(state)
            self._read(recompute)
            record.start(self.config(self.criterion, len(self.table)), step=self.done, steps=steps)
            if self.held_table is not None and not record.evaluations:
                self._evaluate(record)
            network.train()
            if isinstance(self.inputs, CachedFeatures):
                network.encoder.eval()
            while self.done < steps and not self.stopped:
                record.step(self._step())
                if self.held_table is not None and (self.done % self.evaluate_every == 0 or self.done == steps):  # type: ignore[operator]
                    self._evaluate(record)
                if self.done % self.checkpoint_every == 0 or self.done == steps or self.stopped:  # type: ignore[operator]
                    self._checkpoint(record, fingerprint)
            self._finish()
        model = self.model
        if record.folder is not None and (self.processes.main or self.processes.shards):
            model = model.save(record.folder.path / "model")
        self.processes.wait()
        return FitResult(
            model=model, metrics=record.metrics, evaluations=record.evaluations, best=self.best, stopped=self.stopped
        )

    def _read(self, recompute: bool) -> None:
        """Prepare the items, and make sure that the head finds in their features what it needs."""
        network = self.network
        text = not is_frozen(network.encoder) and hasattr(network.encoder, "collate_groups")
        read = functools.partial(
            make_inputs,
            network,
            batch_length=self.batch_length,
            autocast=autocast_type(self.dtype, network.device, self.processes, text=text),
            recompute=recompute,
            agree=self.processes.most if self.processes.shards else None,
        )
        self.inputs: Inputs = read(self.training.items)
        self.held_inputs = None if self.held_out is None else read(self.held_out.items)
        with torch.no_grad(), evaluating(network.encoder):
            example = self.inputs.encode(torch.zeros(1, dtype=torch.int64, device=network.device))
        head = network.head
        for name in ("prompt", "steps"):
            if getattr(head, f"needs_{name}") and getattr(example, name) is None:
                raise ValueError(
                    f"the head {head.kind!r} needs features of the {name}, and the encoder {network.encoder.kind!r} gives "
                    "none; choose an encoder that does, or another head"
                )

    # ---- one step -------------------------------------------------------------------------------------------------------

    def _step(self) -> dict[str, Any]:
        """Change the weights once."""
        network, steps = self.network, self.steps
        assert steps is not None  # set when this was built
        self._seed()
        rows = self._batch(self.done)
        weight = self.table.weight
        total = weight[rows].sum(0).clamp(min=1e-12) if weight is not None else float(len(rows))
        own = rows if self.processes.count == 1 else rows[self.processes.rank :: self.processes.count]
        value, broken = torch.zeros((), device=network.device), []
        chunks = self._chunks(own)
        spare = self.processes.most(len(chunks)) - len(chunks) if self.processes.shards else 0
        for chunk in chunks:
            each = self._losses(chunk)
            loss = (_weighted(each, None if weight is None else weight[chunk]) / total).sum()
            loss.backward()
            value = value + loss.detach() / each[0].numel()  # of an ensemble, the mean over its members
            if not math.isfinite(value.item()):
                broken += chunk[~torch.isfinite(each.detach()).view(len(chunk), -1).all(1)].tolist()
        for _ in range(
            spare
        ):  # where weights are held in parts, all processes have to go forward and back equally often
            (self._losses(rows[:1]).sum() * 0.0).backward()
        norm = self.weights.gradient_norm(self.max_grad_norm)
        measured, length = self.processes.add_up(value).item(), norm.item()
        if not (math.isfinite(measured) and math.isfinite(length)):
            self.weights.drop_gradients()
            named = sorted(set(self.processes.gather(broken))) or sorted(set(rows.tolist()))
            items = [item for row in self.table.items(rows.new_tensor(named[:3])).tolist() for item in row if item >= 0]
            raise FitStopped(
                self.why_stopped(self.done + 1, measured, length, named, [self.training.items[i] for i in items[:12]])
            )
        rate = self.learning_rate * schedule_factor(self.schedule, self.done / steps, self.done, self.warmup_steps)
        self.weights.step(rate)
        self.done += 1
        return {
            "step": self.done, "loss": measured, "gradient_norm": length, "learning_rate": rate, "rows": len(rows),
        }  # fmt: skip

    def _losses(self, rows: Tensor) -> Tensor:
        """The loss of some rows."""
        items = self.table.items(rows)
        if self.inputs.cheap and self.table.kind != "rankings":
            needed = items.reshape(-1)
            places = torch.arange(len(needed), device=needed.device).view(items.shape)
        else:
            present = items >= 0
            needed, inverse = torch.unique(items[present], return_inverse=True)
            places = torch.full_like(items, -1)
            places[present] = inverse
        encoded = self.inputs.encode(needed)
        head = self.network.head
        outputs: Outputs = head(encoded)
        if self.criterion.needs_views:
            outputs = {**outputs, "features": encoded.response, "second_view": self.inputs.encode(needed).response}
        return self.criterion(head, outputs, self.table.rows(rows, places))

    def _batch(self, step: int) -> Tensor:
        """The rows of a step: every row once before any comes again."""
        count = len(self.table)
        start, stop = step * self.batch_size, min((step + 1) * self.batch_size, self.rows)
        pieces = []
        while start < stop:
            epoch, place = divmod(start, count)
            if epoch not in self._orders:
                order = np.random.default_rng([self.seed % 2**64, epoch]).permutation(count)
                self._orders = {epoch: torch.from_numpy(order).to(self.network.device)}
            pieces.append(self._orders[epoch][place : place + stop - start])
            start += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _chunks(self, rows: Tensor) -> list[Tensor]:
        """Rows whose activations are kept at once."""
        if not len(rows):
            return []
        if self.batch_length is None or self.inputs.cheap:
            return [rows]
        lengths = [
            max(self.inputs.lengths[item] for item in items if item >= 0) for items in self.table.items(rows).tolist()
        ]
        cut = micro_batches(lengths, max(1, self.batch_length // self.table.per_row))
        return [rows[torch.tensor(chunk, device=rows.device)] for chunk in cut]

    def _seed(self) -> None:
        """Seed the generators for one step. `torch.manual_seed` takes as long as a whole step of a small model."""
        seed = (self._first_seed + self.done) % 2**63
        torch.default_generator.manual_seed(seed)
        if self.network.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    # ---- evaluation -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _measured(self) -> dict[str, float]:
        """Loss and agreement on the held-out rows."""
        assert self.held_inputs is not None
        assert self.held_table is not None
        head, table = self.network.head, self.held_table
        with evaluating(head):
            outputs: Outputs = head(self.held_inputs.all())
            rows = torch.arange(len(table), device=self.network.device)
            criterion = (
                getattr(self.criterion, "base", self.criterion) if self.criterion.needs_views else self.criterion
            )
            each = criterion(head, outputs, table.rows(rows, table.items(rows)))
            weight = torch.ones_like(each[:, 0] if each.dim() > 1 else each) if table.weight is None else table.weight
            mean = _weighted(each, weight).sum(0) / weight.sum().clamp(min=1e-12)
            return {"loss": float(mean.mean()), **table.measure(head, outputs)}

    def _evaluate(self, record: FitRecord) -> None:
        """Try the held-out rows, and remember the weights when they are the best so far."""
        found = {"step": self.done, **self._measured()}
        record.evaluation(found)
        if self.best is None or self.rank(found, self.table.kind) > self.rank(self.best, self.table.kind):
            self.best, self.best_weights = found, copied(module_state(cut(self.network)))
        elif self.patience is not None:
            since = sum(line["step"] > self.best["step"] for line in record.evaluations)
            self.stopped = since >= self.patience

    def _finish(self) -> None:
        """The best weights, and the scale of their values."""
        network = self.network
        if self.best is not None and self.best_weights is not None and self.best["step"] != self.done:
            load_module_state(network, put_together(self.best_weights, network))
        network.eval()
        if self.normalise:
            with torch.no_grad():
                outputs = network.head(self.inputs.all())
                try:
                    values = network.head.value(outputs).double()
                except NoScalarValue:
                    values = torch.zeros(1, dtype=torch.float64)
                spread = float(values.std(correction=0))
                network.shift.fill_(float(values.mean()))
                network.scale.fill_(spread if spread > 1e-12 else 1.0)
                settle = getattr(network.head, "settle", None)
                if settle is not None:
                    settle(outputs)
        network.about["fit"] = {
            **self.config(self.criterion, len(self.table)),
            "done": self.done,
            "best": self.best,
            "stopped": self.stopped,
        }

    # ---- going on -------------------------------------------------------------------------------------------------------

    def _fingerprint(self) -> dict[str, Any]:
        """What must be the same for a folder to be resumed."""
        network = self.network
        return {
            **self.config(self.criterion, len(self.table)),
            "encoder": f"{network.encoder.kind} {network.encoder.options()}",
            "head": f"{network.head.kind} {network.head.options()}",
            "data": data_digest(self.training),
            "validation": None if self.held_out is None else data_digest(self.held_out),
        }

    def _checkpoint(self, record: FitRecord, fingerprint: Mapping[str, Any]) -> None:
        if record.checkpoints is None:
            return
        state = {
            "network": module_state(cut(self.network)),
            "optimizer": self.weights.state_dict()["optimizer"],
            "best": put_together(self.best_weights or {}, self.network),
        }
        if self.processes.shards:
            state = gathered(state, keep=self.processes.main)
        fit = {"done": self.done, "stopped": self.stopped, "best": self.best, "fingerprint": dict(fingerprint)}
        record.checkpoint(self.done, state, fit)

    def _restore(self, state: dict[str, Any]) -> None:
        load_module_state(self.network, cut_up(state["network"], self.network))
        self.weights.load_state_dict({"optimizer": state["optimizer"]})
        self.done, self.stopped, self.best = (state["fit"][name] for name in ("done", "stopped", "best"))
        self.best_weights = copied(cut_up(state["best"], self.network)) or None


def _weighted(each: Tensor, weight: Tensor | None) -> Tensor:
    """Losses, float[row] or float[row, member], times the weights of their rows."""
    if weight is None:
        return each
    return each * (weight[:, None] if each.dim() > weight.dim() else weight)
