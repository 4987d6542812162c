"""A reward model that is trained beside the policy that it rewards, on pairs that a rule vouches for.

In each step of the loop the policy is rewarded and updated first, with the model as it was; the loop then calls `observe`,
and there the model learns: for each question the first answer that the rule accepts, against a corrupted copy that it
refuses. The other order (the model first) would be another algorithm.

Source: Cooper, Hong et al. 2025 (arXiv 2508.05613), and its repository.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from rewardlab.learning.annotators import precision_of
from rewardlab.learning.corruption import Corruption, Corruptor, make_corruptor
from rewardlab.learning.data import RatingData
from rewardlab.rewards.algebra.combine import score_children
from rewardlab.rewards.base import Reward, attempt
from rewardlab.rewards.models.against import opponent
from rewardlab.rewards.models.model import RewardModel
from rewardlab.rewards.spec import register
from rewardlab.training.checkpoint import load_module_state, module_state
from rewardlab.training.seats import derived_seed
from rewardlab.types import Scores, Trajectory, group_indices

_log = logging.getLogger(__name__)
LEAST_PRECISION, LEAST_VALID = 0.9, 0.2
Pair = tuple[Trajectory, Trajectory]


@register("co_trained")
@dataclass(frozen=True, kw_only=True)
class CoTrained(Reward):
    """The probability that an answer is right, by a model that learns while the policy does.

    Args:
        model: whose values are log-odds of being right (`VerifyRM`, or any model fitted with `CorrectnessLoss`); it is
            trained in place.
        rule: a check whose acceptance can be trusted, where its value reaches 1. Its refusal proves nothing, and where
            it fails or abstains, an answer is not verified.
        corruptor: makes wrong answers out of accepted ones: "template", "number", or a function of a `Corruption`.
        precision: share of the answers that the rule accepts which are right, as far as you know; or give `audit`. Below
            0.9 there is a warning, since every wrongly accepted answer teaches the model that it is right.
        audit: answers with gold labels (1 right, 0 wrong) on which the precision is measured.
        learning_rate: of AdamW on the model.
        weight_decay: of AdamW on the model.
        passes: updates of the model in a step, each over all pairs.
        every: steps between updates of the model.
        tries: proposals for a wrong answer before its pair is left out.
        replay: weight of the cross-entropy on `replay_data`, which keeps the model's probabilities from drifting: pairs say
            nothing of where 0.5 lies.
        replay_data: ratings of correctness, mostly those that the model was fitted to.
        replay_batch: of them in each update.
        hard: whether values are 1 from probability 0.5 on, and 0 below.
        max_grad_norm: longer gradients are shortened; an update whose gradient is not finite is skipped.
        seed: of corruption and replay.
    """

    model: RewardModel
    rule: Reward
    corruptor: Any = "template"
    precision: float | None = None
    audit: Any = None
    learning_rate: float = 1e-5
    weight_decay: float = 0.0
    passes: int = 1
    every: int = 1
    tries: int = 3
    replay: float = 0.0
    replay_data: Any = None
    replay_batch: int = 64
    hard: bool = False
    max_grad_norm: float = 1.0
    seed: int = 0
    history: list[dict[str, float]] = field(default_factory=list, init=False, repr=False, compare=False)
    """What each update saw: pairs, valid, loss, positive, negative, grad_norm, skipped."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("passes", "every", "tries", "replay_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"CoTrained: option {name!r} must be at least 1, got {getattr(self, name)}")
        if self.replay < 0:
            raise ValueError(f"CoTrained: option 'replay' must not be negative, got {self.replay}")
        if self.replay and not (isinstance(self.replay_data, RatingData) and len(self.replay_data)):
            raise ValueError("CoTrained: option 'replay' needs 'replay_data': ratings of correctness, a RatingData")
        make_corruptor(self.corruptor)
        precision = self.measured_precision
        if precision < LEAST_PRECISION:
            warnings.warn(
                f"the rule's precision is {precision:.3g}, below {LEAST_PRECISION}: {1 - precision:.0%} of the answers that "
                "the model is told are right are not; use a stricter rule",
                stacklevel=3,
            )

    @cached_property
    def measured_precision(self) -> float:
        """The rule's precision, as declared or as audited."""
        if self.audit is not None:
            rows, gold = self.audit
            return precision_of(self.rule, rows, gold)
        if self.precision is None:
            raise ValueError(
                "CoTrained: nobody knows how far the rule can be trusted; give option 'precision' (the share of the answers "
                "that it accepts which are right), or option 'audit' ((answers, gold labels)), on which it is measured"
            )
        if not 0.0 < self.precision <= 1.0:
            raise ValueError(f"CoTrained: option 'precision' must be in (0, 1], got {self.precision}")
        return self.precision

    # ---- the reward -----------------------------------------------------------------------------------------------------

    @property
    def deterministic(self) -> bool:
        """The same answer is worth something else after an update."""
        return False

    def children(self) -> dict[str, Reward]:
        """The model alone; the rule never decides a reward."""
        return {"model": self.model}

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        inner = score_children(self.children(), trajectories, progress)["model"]
        values = 1.0 / (1.0 + np.exp(-np.clip(inner.values, -700.0, 700.0)))
        if self.hard:
            values = np.where(inner.scored, (values >= 0.5).astype(np.float64), np.nan)
        return replace(inner, values=values, steps=None, parts={"model": inner})

    # ---- learning -------------------------------------------------------------------------------------------------------

    def observe(self, trajectories: Sequence[Trajectory], scores: Scores) -> None:
        """Train the model on what the policy did; the loop calls this after the policy's update."""
        state = self._learner
        state.steps += 1
        if state.steps % self.every:
            return
        usable = [one for one in trajectories if "failed" not in one.info and len(one.actions)]
        pairs, asked = self.pairs(usable, number=state.steps)
        line: dict[str, float] = {
            "step": float(state.steps),
            "groups": float(asked),
            "pairs": float(len(pairs)),
            "valid": len(pairs) / asked if asked else 0.0,
        }
        if asked and line["valid"] < LEAST_VALID:
            warnings.warn(
                f"only {len(pairs)} of {asked} questions gave a pair to learn from (less than {LEAST_VALID:.0%}); look at "
                "the rule's recall and at what the corruptor writes",
                stacklevel=2,
            )
        self.history.append(line | (self.update(pairs) if pairs else {"skipped": float(self.passes)}))

    def pairs(self, trajectories: Sequence[Trajectory], *, number: int = 0) -> tuple[list[Pair], int]:
        """Right and wrong answers, at most one pair for each group, in the order of the groups.

        Returns:
            The pairs, and the number of groups.
        """
        groups = group_indices(trajectories)
        verified = self.rule(trajectories)
        accepted = verified.scored & (verified.values >= 1.0)
        refused = verified.scored & (verified.values < 1.0)
        wanted = [
            Corruption(
                positive=trajectories[int(group[accepted[group]][0])],
                siblings=[trajectories[int(index)] for index in group[refused[group]]],
                attempt=0,
                seed=derived_seed(self.seed, "corruption", number * 1_000_003 + place),
            )
            for place, group in enumerate(groups)
            if accepted[group].any()
        ]
        workers = int(getattr(self.corruptor, "concurrency", 1))
        if workers > 1 and len(wanted) > 1:
            with ThreadPoolExecutor(max_workers=min(workers, len(wanted))) as pool:
                negatives = list(pool.map(self.corrupted, wanted))
        else:
            negatives = [self.corrupted(one) for one in wanted]
        return [
            (one.positive, negative) for one, negative in zip(wanted, negatives, strict=True) if negative is not None
        ], len(groups)

    def corrupted(self, wanted: Corruption) -> Trajectory | None:
        """A wrong answer that the rule could read and refuses; None after so many tries."""
        corruptor: Corruptor = make_corruptor(self.corruptor)
        for number in range(self.tries):
            text = attempt(corruptor, replace(wanted, attempt=number, seed=derived_seed(wanted.seed, "try", number)))
            if not isinstance(text, str) or not text.strip() or text == wanted.positive.completion:
                continue
            negative = opponent(wanted.positive, text)
            verdict = self.rule([negative])
            if verdict.scored[0] and verdict.values[0] < 1.0:
                return negative
        return None

    def update(self, pairs: Sequence[Pair]) -> dict[str, float]:
        """Train the model on pairs, so many passes.

        Args:
            pairs: right and wrong answers, at least one pair.

        Returns:
            `loss`, `positive` and `negative` (mean probabilities before the first pass), `grad_norm`, and `skipped` passes.
        """
        network, optimizer = self.model.network, self._learner.optimizer
        items = [one for pair in pairs for one in pair]
        batch = self._batch(items)
        measured: dict[str, float] = {"skipped": 0.0}
        was_training = network.training
        network.train()
        try:
            for number in range(self.passes):
                values = network.head.value(network(batch)) / network.scale.to(torch.float32)
                loss = -logsigmoid(values[0::2] - values[1::2]).mean()
                if not number:
                    chances = torch.sigmoid(values.detach() - network.shift.float() / network.scale.float())
                    measured |= {
                        "loss": float(loss.detach()),
                        "positive": float(chances[0::2].mean()),
                        "negative": float(chances[1::2].mean()),
                    }
                if self.replay:
                    loss = loss + self.replay * self._replayed()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                norm = float(torch.nn.utils.clip_grad_norm_(network.parameters(), self.max_grad_norm))
                if math.isfinite(norm) and math.isfinite(float(loss.detach())):
                    optimizer.step()
                else:
                    measured["skipped"] += 1.0
                    _log.warning("an update of the reward model was skipped: its gradient has the norm %s", norm)
                measured["grad_norm"] = norm
        finally:
            optimizer.zero_grad(set_to_none=True)
            network.train(was_training)
        return measured

    def _replayed(self) -> Tensor:
        """Cross-entropy on some ratings of the replay."""
        data, network = self.replay_data, self.model.network
        draw = np.random.default_rng([self.seed, 1, self._learner.replays])
        self._learner.replays += 1
        rows = draw.choice(len(data), min(self.replay_batch, len(data)), replace=False)
        values = network.normalised(
            network.head.value(network(self._batch([data.items[data.item[row]] for row in rows])))
        )
        target = torch.as_tensor(data.value[rows], dtype=values.dtype, device=values.device)
        return binary_cross_entropy_with_logits(values, target).float()

    def _batch(self, items: Sequence[Trajectory]) -> dict[str, Tensor]:
        network = self.model.network
        collated = network.encoder.collate(network.encoder.prepare(items))
        return {name: column.to(network.device) for name, column in collated.items()}

    @cached_property
    def _learner(self) -> _Learner:
        weights = [one for one in self.model.network.parameters() if one.requires_grad]
        return _Learner(torch.optim.AdamW(weights, lr=self.learning_rate, weight_decay=self.weight_decay))

    # ---- going on -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The model's weights, the optimiser, and where the training of the model is."""
        learner = self._learner
        state = learner.optimizer.state_dict()["state"]
        return {
            "network": module_state(self.model.network),
            "optimizer": {str(place): dict(one) for place, one in state.items()},
            "steps": learner.steps,
            "replays": learner.replays,
            "history": [dict(line) for line in self.history],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        learner = self._learner
        load_module_state(self.model.network, state["network"])
        whole = learner.optimizer.state_dict()
        whole["state"] = {int(place): dict(one) for place, one in state["optimizer"].items()}
        learner.optimizer.load_state_dict(whole)
        learner.steps, learner.replays = int(state["steps"]), int(state["replays"])
        self.history[:] = [dict(line) for line in state["history"]]


@dataclass
class _Learner:
    """What changes while the model learns, beside its weights."""

    optimizer: torch.optim.Optimizer
    steps: int = 0
    replays: int = 0
