"""Direct preference optimisation of whole trajectories: pairs of attempts at one task, compared by what the policy wrote.

Tool output and prompts carry no step, so they never count. The two rows of a pair always go through the model together,
since the loss is one of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from rewardlab.functional.direct_preferences import DirectLoss, direct_preference_loss, turn_weights
from rewardlab.policies.batching import micro_batches
from rewardlab.policies.packing import find_lines, line_length
from rewardlab.policies.reading import Reading
from rewardlab.training.credit.base import Advantages
from rewardlab.training.objectives.base import Objective
from rewardlab.training.objectives.cutting import Cut
from rewardlab.training.objectives.learner import Learner
from rewardlab.training.objectives.rows import Piece, Row, Totals
from rewardlab.training.processes import Processes
from rewardlab.types import Trajectory, group_indices


@dataclass(kw_only=True)
class DPO(Objective):
    """Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290) over whole multi-turn trajectories.

    In the loop, attempts at one task are compared by their scores: credit "extremes" keeps the best and the worst of each
    group. `rewardlab.training.train_on_preferences` uses it on stored comparisons.

    Args:
        beta: how strongly the policy is held to its reference.
        loss: "sigmoid", "ipo" or "hinge"; see `rewardlab.functional.direct_preference_loss`.
        label_smoothing: probability that a comparison is wrong.
        pairing: inside a group, the best is compared with the worst, the second best with the second worst and so on
            ("matched"), or every attempt with every worse one ("all").
        length_normalise: mean over the tokens of a trajectory in the place of their sum.
        turn_discount: weigh actions as DMPO does, with this discount; None weighs all alike.

    The other options are those of `Objective`; the loss is a mean over pairs, so `normalise` stays "sequence_mean".
    """

    beta: float = 0.1
    loss: DirectLoss = "sigmoid"
    label_smoothing: float = 0.0
    pairing: Literal["matched", "all"] = "matched"
    length_normalise: bool = False
    turn_discount: float | None = None

    default_credit: ClassVar[str] = "extremes"
    own_statistics: ClassVar[tuple[str, ...]] = ("pairs", "right", "margin")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, allowed in (("loss", get_args(DirectLoss)), ("pairing", ("matched", "all"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing must be in [0, 0.5), got {self.label_smoothing}")
        if self.normalise != "sequence_mean":
            raise ValueError(f'normalise must be "sequence_mean", got {self.normalise!r}: the loss is one of each pair')
        direct_preference_loss(torch.zeros(1), beta=self.beta, kind=self.loss)
        if self.turn_discount is not None:
            turn_weights(torch.zeros(1, 1, dtype=torch.long), self.turn_discount)

    @property
    def needs_reference(self) -> bool:
        """Always: the margin is taken to it."""
        return True

    def token_losses(self, logprobs: Tensor, piece: Piece) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of each pair on both of its rows, whose weights add up to one."""
        losses = self.pair_losses(self.margins(logprobs, piece), piece).repeat_interleave(2)
        ratio = torch.where(piece.mask, logprobs - piece.old, 0.0).detach().clamp(-20.0, 20.0).exp()
        return losses[:, None].expand_as(logprobs), ratio, torch.zeros_like(piece.mask)

    def margins(self, logprobs: Tensor, piece: Piece) -> Tensor:
        """float[pair]: how much more the chosen answer is favoured than by the reference, less the same of the rejected."""
        assert piece.reference is not None  # needs_reference
        counts = piece.mask.float() if self.turn_discount is None else turn_weights(piece.step, self.turn_discount)
        favour = torch.where(piece.mask, (logprobs - piece.reference) * counts, 0.0).sum(-1)
        if self.length_normalise:
            favour = favour / piece.mask.sum(-1).clamp(min=1)
        return favour[0::2] - favour[1::2]

    def further_loss(self, reading: Reading, piece: Piece, totals: Totals) -> tuple[Tensor | None, list[Tensor]]:
        """Nothing, and how many pairs are the right way round."""
        margins = self.margins(reading.logprobs.detach(), piece)
        return None, [torch.ones_like(margins).sum(), (margins > 0).to(margins.dtype).sum(), self.beta * margins.sum()]

    def summary(self, totals: dict[str, float], rate: float) -> dict[str, float]:
        """With the share of pairs whose chosen answer is favoured, and by how much."""
        pairs = totals["sum_pairs"]
        return {
            **super().summary(totals, rate),
            "accuracy": totals["sum_right"] / pairs if pairs else float("nan"),
            "margin": totals["sum_margin"] / pairs if pairs else float("nan"),
        }

    def pair_losses(self, margins: Tensor, piece: Piece) -> Tensor:
        """float[pair]: what each comparison costs, times its weight."""
        labels = piece.label[0::2] * (1.0 - 2.0 * self.label_smoothing) + self.label_smoothing
        return piece.weight[0::2] * direct_preference_loss(margins, labels, beta=self.beta, kind=self.loss)

    # ---- pairs stay together ------------------------------------------------------------------------------------------

    def _rows(self, trajectories: Sequence[Trajectory], advantages: Advantages) -> list[Row]:
        """Chosen and rejected in turn: attempts at one task, by their advantages."""
        by_index = {row.index: row for row in super()._rows(trajectories, advantages)}
        pairs: list[tuple[Row, Row]] = []
        for members in group_indices(trajectories):
            rows = [by_index[index] for index in members.tolist() if index in by_index]
            worth = {row.index: float(advantages.values[row.index].mean()) for row in rows}
            rows.sort(key=lambda row: -worth[row.index])  # used at once
            if self.pairing == "matched":
                found = list(zip(rows[: len(rows) // 2], reversed(rows), strict=False))
            else:
                found = [(left, right) for place, left in enumerate(rows) for right in rows[place + 1 :]]
            pairs += [(left, right) for left, right in found if worth[left.index] > worth[right.index]]
        return [replace(row) for pair in pairs for row in pair]

    def _mini_batches(self, rows: list[Row], epoch: int) -> list[list[Row]]:
        if self.mini_batches == 1:
            return [rows] if rows else []
        order = np.random.default_rng([self.seed, self.updates, epoch]).permutation(len(rows) // 2)
        parts = np.array_split(order, self.mini_batches)
        return [[rows[2 * pair + side] for pair in part for side in (0, 1)] for part in parts if part.size]

    def _share(self, rows: list[Row], processes: Processes) -> list[Row]:
        if processes.count == 1:
            return rows
        pairs = sorted(range(len(rows) // 2), key=lambda pair: (-len(rows[2 * pair].tokens), pair))
        return [rows[2 * pair + side] for pair in pairs[processes.rank :: processes.count] for side in (0, 1)]

    def _cut(self, rows: Sequence[Row], learner: Learner) -> list[Cut]:
        """Pairs that share their prompt in one line where that pays, and the others as two lines of one piece."""
        if len(rows) % 2:  # single rows, whose log-probabilities are measured
            return super()._cut(rows, learner)
        budget = self._token_budget(learner)
        limits = learner.packing if self.share_prompts else None
        sequences = [row.tokens.ids for row in rows]
        joined: list[Cut] = []
        apart: list[Cut] = []
        for first in range(0, len(rows), 2):
            lines = [[first], [first + 1]]
            if limits is not None:
                two, prompts = sequences[first : first + 2], [row.prompt for row in rows[first : first + 2]]
                if len(find_lines(two, prompts, limits, longest=budget)) == 1:
                    lines = [[first, first + 1]]
            (joined if len(lines) == 1 else apart).append(lines)
        pieces: list[Cut] = []
        for units, most in ((joined, budget), (apart, max(budget // 2, 1))):
            lengths = [max(line_length([sequences[row] for row in line]) for line in unit) for unit in units]
            pieces += [[line for number in part for line in units[number]] for part in micro_batches(lengths, most)]
        return pieces

    def _needs_loss(self, row: Row) -> bool:
        return True
