"""Progress estimators: how much each step contributed to the outcome, learned from outcomes alone.

The additive target does not fix the split: any contributions with the right sum have no loss. What spreads the credit is
the variety of trajectories and what the estimator may read. With the whole history, the last step can carry everything; with
each step by itself the split is the true one where the outcome is a sum over steps, and wrong where it is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rewardlab.rewards.base import Reward
from rewardlab.rewards.models.base import Encoded, Encoder
from rewardlab.rewards.models.contributions import Exact, StepProgress, contributions, pieces
from rewardlab.rewards.models.heads.contributions import ContributionHead, Target
from rewardlab.rewards.models.network import Network
from rewardlab.types import Scores, Trajectory

if TYPE_CHECKING:
    from rewardlab.policies.language_model import LanguageModelPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReport:
    """What a fit gave.

    Args:
        r2: share of the variance of held-out outcomes that the sums explain; 0 is what the mean predictor has, NaN without
            held-out trajectories.
        on_last: share of the contributions' magnitude that lies on last steps; near 1 means that the estimator dumps all
            credit there.
        uniform: what that share would be if all steps counted alike.
        with_length: correlation of the sums with the number of steps.
        epoch: the epoch whose weights were kept.
        used, held_out: trajectories that were fitted, and held out, whole tasks at a time.
        left_out: trajectories without a finite outcome or without actions.
    """

    r2: float
    on_last: float
    uniform: float
    with_length: float
    epoch: int
    used: int
    held_out: int
    left_out: int


class ProgressEstimator:
    """Learns contributions of steps that add up to the outcome of their trajectory.

    Source: Wang et al. 2025, "SPA-RL: Reinforcing LLM Agents via Stepwise Progress Attribution" (arXiv 2505.20732).

    Args:
        encoder: what reads steps; see `rewardlab.rewards.models.encoders`. `ProgressEstimator.from_policy` takes a policy's
            own network, as the paper does.
        context: what a step's contribution may depend on: the whole "history" up to it, the "step" alone (and the opening
            messages), or so many steps.
        target: "outcome": contributions themselves are learned; "difference": outcomes are predicted from every prefix, and
            contributions are the differences (RUDDER).
        loss: of the sum: squared error ("mse"), or for outcomes in [0, 1] the cross-entropy of the sum as log-odds
            ("bce_sum").
        nonneg: whether contributions cannot be negative.
        smooth: weight of the squared differences between neighbouring contributions.
        learning_rate, epochs, batch_size, weight_decay: of Adam.
        seed: of the head, the order and the held-out tasks.

    Raises:
        ValueError: an option has an unknown value.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        context: Literal["history", "step"] | int = "history",
        target: Target = "outcome",
        loss: Literal["mse", "bce_sum"] = "mse",
        nonneg: bool = False,
        smooth: float = 0.0,
        learning_rate: float = 2e-3,
        epochs: int = 20,
        batch_size: int = 64,
        weight_decay: float = 0.0,
        seed: int = 0,
        head: ContributionHead | None = None,
    ) -> None:
        if context not in ("history", "step") and (not isinstance(context, int) or context < 1):
            raise ValueError(f'context must be "history", "step" or a number of steps, got {context!r}')
        if loss not in ("mse", "bce_sum"):
            raise ValueError(f'loss must be "mse" or "bce_sum", got {loss!r}')
        if smooth < 0:
            raise ValueError(f"smooth must not be negative, got {smooth}")
        if context != "history" and target == "difference":
            raise ValueError("target='difference' predicts outcomes from prefixes, so it needs context='history'")
        self.head = head or ContributionHead(encoder.width, target=target, nonneg=nonneg, seed=seed)
        self.network = Network(encoder, self.head, about={"context": context, "loss": loss, "learned": False})
        self.context, self.loss, self.smooth = context, loss, smooth
        self.learning_rate, self.epochs, self.batch_size = learning_rate, epochs, batch_size
        self.weight_decay, self.seed = weight_decay, seed
        self.report: ProgressReport | None = None

    @classmethod
    def from_policy(
        cls,
        policy: LanguageModelPolicy,
        *,
        head: Literal["hidden", "logits"] = "hidden",
        encoder: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> ProgressEstimator:
        """An estimator that starts from a copy of a policy's network.

        Args:
            policy: the base agent.
            head: reads the last "hidden" state, or, as the authors' code does, the "logits" over the vocabulary.
            encoder: options of the `TextEncoder`, such as `lora` or `max_length`; longer texts are refused.
            options: any other option of `ProgressEstimator`.
        """
        import copy

        from rewardlab.rewards.models.encoders.text import TextEncoder

        if head not in ("hidden", "logits"):
            raise ValueError(f'head must be "hidden" or "logits", got {head!r}')
        model = copy.deepcopy(policy.model)
        weights = model.get_output_embeddings().weight.detach().clone()
        # an action may be without text, where all of it is a tool call
        usual = {"truncate": False, "allow_empty": True, "share_prompts": False}
        reader = TextEncoder(model=model, tokenizer=policy.tokenizer, **usual | dict(encoder or {}))
        if head == "logits":
            kept = {name: options[name] for name in ("target", "nonneg", "seed") if name in options}
            made = ContributionHead(reader.width, vocabulary=len(weights), **kept)
            made.unembedding = weights.float()
            options["head"] = made
        return cls(reader, **options)

    # ---- learning -----------------------------------------------------------------------------------------------------

    def fit(
        self,
        trajectories: Sequence[Trajectory],
        outcomes: Scores | Sequence[float] | NDArray[np.float64],
        *,
        validation: float = 0.1,
    ) -> ProgressReport:
        """Learn from trajectories and what became of them, good and bad alike.

        Args:
            trajectories: N of them.
            outcomes: N final rewards, or the scores that hold them. What failed, abstained or is not finite is left out.
            validation: share of the *tasks* that is held out; the epoch that explains most of their variance is kept. 0
                keeps the last epoch.

        Returns:
            What to look at before the estimator is trusted; also kept in `report`.

        Raises:
            ValueError: there is not one outcome for each trajectory, or none is left.
        """
        values = outcomes.values if isinstance(outcomes, Scores) else np.asarray(outcomes, dtype=np.float64)
        if values.shape != (len(trajectories),):
            raise ValueError(
                f"there are {values.shape} outcomes for {len(trajectories)} trajectories; give one for each"
            )
        usable = [index for index in range(len(values)) if np.isfinite(values[index]) and len(trajectories[index])]
        if not usable:
            raise ValueError("no trajectory has a finite outcome and an action, so there is nothing to learn from")
        chosen, wanted = [trajectories[index] for index in usable], values[usable]
        if self.loss == "bce_sum" and (wanted.min() < 0 or wanted.max() > 1):
            raise ValueError(f"loss='bce_sum' needs outcomes in [0, 1], got {wanted.min():g} to {wanted.max():g}")
        held = held_out_tasks(chosen, validation, self.seed)
        learned = bool(np.ptp(wanted[~held]) > 0)
        self.network.about["learned"] = learned
        epoch = self._descend(chosen, wanted, held) if learned else 0
        sums = np.full(len(chosen), wanted.mean())
        shares = np.zeros(len(chosen))
        if learned:
            rows = self.contributions(chosen)
            sums = np.asarray([row.sum() for row in rows])
            shares = np.asarray([abs(row[-1]) / max(np.abs(row).sum(), 1e-12) for row in rows])
        lengths = np.asarray([len(one) for one in chosen], dtype=np.float64)
        self.report = ProgressReport(
            r2=explained(self._chances(sums)[held], wanted[held]),
            on_last=float(shares.mean()),
            uniform=float((1 / lengths).mean()),
            with_length=correlation(sums, lengths),
            epoch=epoch,
            used=int((~held).sum()),
            held_out=int(held.sum()),
            left_out=len(values) - len(usable),
        )
        self.network.about["report"] = {name: _plain(getattr(self.report, name)) for name in self.report.__slots__}
        return self.report

    def _descend(self, trajectories: Sequence[Trajectory], wanted: NDArray[np.float64], held: NDArray[np.bool_]) -> int:
        """Adam over epochs; returns the epoch whose weights were kept."""
        network = self.network
        lengths = np.asarray([len(one) for one in trajectories])
        usual = float(wanted[~held].mean())
        if self.loss == "bce_sum":
            usual = float(np.log(usual) - np.log1p(-usual))  # outcomes differ, so this is finite
        self.head.start_at(usual / float(lengths[~held].mean()), usual)
        inputs = _Inputs.of(network, trajectories, self.context)
        goal = torch.as_tensor(wanted, dtype=torch.float32, device=network.device)
        weights = [one for one in network.parameters() if one.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=self.learning_rate, weight_decay=self.weight_decay)
        generator = np.random.default_rng(self.seed)
        fitted, kept = np.flatnonzero(~held), np.flatnonzero(held)
        best, best_epoch, best_weights = -np.inf, self.epochs, None
        for epoch in range(1, self.epochs + 1):
            network.train()
            order = generator.permutation(fitted)
            for start in range(0, len(order), self.batch_size):
                batch = order[start : start + self.batch_size]
                steps, mask, raw = self._forward(batch, inputs)
                loss = self._loss(steps, mask, raw, goal[batch])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
            if not kept.size:
                continue
            network.eval()
            with torch.no_grad():
                cuts = [kept[start : start + self.batch_size] for start in range(0, len(kept), self.batch_size)]
                sums = torch.cat([self._forward(cut, inputs)[0].sum(1) for cut in cuts])
            score = explained(self._chances(sums.double().cpu().numpy()), wanted[kept])
            if score > best:
                best, best_epoch = score, epoch
                best_weights = {name: column.detach().clone() for name, column in network.state_dict().items()}
        if best_weights is not None:
            network.load_state_dict(best_weights)
        network.eval()
        return best_epoch

    def _forward(self, batch: NDArray[np.intp], inputs: _Inputs) -> tuple[Tensor, Tensor, Tensor]:
        """Contributions, where they stand, and what the head said, of some trajectories; [trajectory, step] each."""
        network = self.network
        rows = [place for index in batch.tolist() for place in inputs.owner[index]]
        if inputs.fixed is not None:
            encoded = inputs.fixed.select(torch.as_tensor(rows, device=network.device))
        else:
            collated = network.encoder.collate([inputs.prepared[place] for place in rows])
            encoded = network.encoder({name: column.to(network.device) for name, column in collated.items()})
        outputs = network.head(encoded)
        if self.context == "history":
            inputs.check(batch, outputs["mask"])
            return outputs["steps"], outputs["mask"], outputs["raw"]
        ends = outputs["mask"].sum(1) - 1
        lines = torch.arange(len(rows), device=network.device)
        counts = [len(inputs.owner[index]) for index in batch.tolist()]
        columns = [outputs[name][lines, ends].split(counts) for name in ("steps", "raw")]
        steps, raw = (nn.utils.rnn.pad_sequence(list(column), batch_first=True) for column in columns)
        places = torch.arange(steps.shape[1], device=network.device)
        return steps, places[None] < torch.tensor(counts, device=network.device)[:, None], raw

    def _loss(self, steps: Tensor, mask: Tensor, raw: Tensor, goal: Tensor) -> Tensor:
        loss = self._wrong(steps.sum(1), goal).mean()
        if self.head.target == "difference":
            # every prefix predicts the outcome, which is what makes differences credit
            wrong = self._wrong(raw, goal[:, None].expand_as(raw))
            loss = loss + 0.1 * (torch.where(mask, wrong, 0.0).sum(1) / mask.sum(1)).mean()
        if self.smooth:
            both = mask[:, 1:] & mask[:, :-1]
            loss = loss + self.smooth * torch.where(both, (steps[:, 1:] - steps[:, :-1]).square(), 0.0).sum(1).mean()
        return loss

    def _wrong(self, predicted: Tensor, goal: Tensor) -> Tensor:
        """The loss of each prediction."""
        if self.loss == "mse":
            return (predicted - goal).square()
        return nn.functional.binary_cross_entropy_with_logits(predicted, goal, reduction="none")

    def _chances(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums on the scale of the outcomes."""
        return sums if self.loss == "mse" else 1.0 / (1.0 + np.exp(-np.clip(sums, -60, 60)))

    # ---- using --------------------------------------------------------------------------------------------------------

    def contributions(self, trajectories: Sequence[Trajectory]) -> list[NDArray[np.float64]]:
        """float64[step] for each trajectory, as in `Scores.steps`."""
        return contributions(self.network, trajectories)

    def completeness(self, trajectory: Trajectory, outcome: float) -> float:
        """The sum of the contributions minus the outcome; a drift of it on fresh rollouts says that it is time to refit."""
        (row,) = self.contributions([trajectory])
        return float(self._chances(np.asarray([row.sum()]))[0] - outcome)

    def reward(
        self, *, weight: float = 1.0, exact: Exact = "none", outcome: Reward | None = None, name: str | None = None
    ) -> StepProgress:
        """The reward that gives every step its contribution; options as for `StepProgress`."""
        return StepProgress.around(self.network, weight=weight, exact=exact, outcome=outcome, name=name)

    def save(self, directory: str | Path) -> Path:
        """Write encoder and head; `StepProgress(path=directory)` reads them."""
        return self.network.save(directory)


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What the encoder reads of some trajectories."""

    trajectories: Sequence[Trajectory]
    prepared: Sequence[Any]
    owner: list[list[int]]
    fixed: Encoded | None

    @classmethod
    def of(cls, network: Network, trajectories: Sequence[Trajectory], context: str | int) -> _Inputs:
        rows, owner = pieces(trajectories, context)
        prepared = network.encoder.prepare(rows)
        return cls(trajectories, prepared, owner, network.encode_prepared(prepared) if network.encoder.frozen else None)

    def check(self, batch: NDArray[np.intp], mask: Tensor) -> None:
        """A sum over some of the steps must not be learned as if it were all.

        Raises:
            ValueError: the encoder does not read every action.
        """
        for index, count in zip(batch.tolist(), mask.sum(1).tolist(), strict=True):
            trajectory = self.trajectories[index]
            if count != len(trajectory):
                task = "" if trajectory.task is None else f" (task {trajectory.task.id!r})"
                raise ValueError(
                    f"the encoder reads {count} steps in trajectory {index}{task}, which has {len(trajectory)} actions (a "
                    "turn without text, or a text that is longer than it reads); raise its max_length, allow_empty, or "
                    "leave the trajectory out"
                )


def held_out_tasks(trajectories: Sequence[Trajectory], share: float, seed: int) -> NDArray[np.bool_]:
    """bool[trajectory]: which are held out, whole tasks at a time; a trajectory without a task is a task of its own.

    Raises:
        ValueError: the share is not in [0, 1), or leaves no task to one side.
    """
    if not 0.0 <= share < 1.0:
        raise ValueError(f"validation must be a share in [0, 1), got {share}")
    names = [f"#{index}" if one.task is None else one.task.id for index, one in enumerate(trajectories)]
    tasks = sorted(set(names))
    count = min(max(1, round(share * len(tasks))), len(tasks) - 1) if share else 0
    if share and count < 1:
        raise ValueError("there is only one task, so none can be held out; give validation=0")
    chosen = set(np.random.default_rng(seed).permutation(tasks)[:count].tolist())
    return np.asarray([name in chosen for name in names], dtype=np.bool_)


def explained(predicted: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    """R squared: 1 is perfect, 0 is the mean of what was wanted; NaN where nothing varies."""
    spread = float(np.square(wanted - wanted.mean()).sum()) if wanted.size else 0.0
    if spread == 0.0:
        return float("nan")
    return 1.0 - float(np.square(wanted - predicted).sum()) / spread


def correlation(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Pearson's; NaN where one of them does not vary."""
    if len(left) < 2 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return float("nan")
    return float(np.corrcoef(left, right)[0, 1])


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None
