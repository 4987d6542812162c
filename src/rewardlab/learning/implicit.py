"""A second language model whose log-ratio to the acting policy says what every step was worth.

It starts as a copy of the policy and learns from pairs of whole trajectories of one task, the better against the worse. What
it then gives a token more probability than the policy did is that token's reward; the sum over an action is the step's. No
step is ever labelled. In the loop it learns after the policy has (`lag=True`); `credit(rule)` gives the other order.

Source: "Online Process Reward Learning for Agentic Reinforcement Learning" (arXiv 2509.19199, later iStar), and its code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional.credit import step_log_ratios
from rewardlab.functional.discrimination import area_under_curve
from rewardlab.functional.segments import Ragged, ragged, segment_sums, split, token_runs
from rewardlab.learning.implicit_model import ImplicitModel, Kept, missing_tokens
from rewardlab.learning.implicit_pairs import PairRule, preference_pairs
from rewardlab.rewards.algebra.combine import score_children
from rewardlab.rewards.base import Reward
from rewardlab.rewards.spec import register
from rewardlab.types import Scores, Status, Tokens, Trajectory, group_indices

if TYPE_CHECKING:
    from rewardlab.learning.implicit_credit import ImplicitCredit


@register("implicit_process")
@dataclass(frozen=True, kw_only=True)
class ImplicitProcessReward(Reward):
    """The outcome, and for every step `beta` times the log-ratio of a learned model to the policy that acted.

    Args:
        outcome: says how good whole trajectories are; its value stands as the score.
        policy: whose copy the model is; None for the one that the loop trains.
        beta: scale. Choose it so that a typical pair is about 1 apart: long actions need a small one (0.05), actions of a
            token or two a larger one (0.3 to 1).
        pairs: which members of a group are set against one another: "all" whose outcomes differ, "one_to_one" (best with
            worst, and so on), or those further apart than `margin` ("margin").
        margin: for `pairs="margin"`.
        aggregate: whether a trajectory's value is the "mean" over its steps or their "sum".
        loss: of pairs ("pair"), or the cross-entropy of single outcomes in [0, 1] ("cross_entropy", as in PRIME).
        granularity: values of whole actions ("step"), or of "token"s, for which the credit must be `credit(rule)`.
        reference: the policy that acted, by its stored log-probabilities ("behaviour"), or the model's start ("fixed").
        normalise: divide step values by the batch's largest magnitude ("max"), its standard deviation ("std"), or not.
        per_token: divide a step's value by the number of its tokens.
        lag: step values come from the model as it was before this batch. False needs `credit(rule)`.
        learning_rate, weight_decay, max_grad_norm: of AdamW on the model.
        updates: of the model for each batch: one on the new pairs, the others on those of earlier batches drawn at random.
        replay: how many batches are kept for that, the newest included.
        temperature: that the policy samples at.
        lora: train an adapter on the copy instead of all weights.
        resync_above: where a step's log-ratio exceeds so many nats, the model becomes a copy of the policy again.
        labels: name in `trajectory.info` of T labels of steps (1 right, 0 wrong, NaN unknown), for diagnostics alone.
        micro_batch_tokens: padded tokens that go through the model at once.
        seed: of the replay.
    """

    outcome: Reward
    policy: Any = None
    beta: float = 0.05
    pairs: PairRule = "all"
    margin: float = 0.0
    aggregate: Literal["mean", "sum"] = "mean"
    loss: Literal["pair", "cross_entropy"] = "pair"
    granularity: Literal["step", "token"] = "step"
    reference: Literal["behaviour", "fixed"] = "behaviour"
    normalise: Literal["max", "std", "none"] = "max"
    per_token: bool = False
    lag: bool = True
    learning_rate: float = 1e-6
    weight_decay: float = 0.0
    max_grad_norm: float = 10.0
    updates: int = 1
    replay: int = 1
    temperature: float = 1.0
    lora: Any = None
    resync_above: float | None = None
    labels: str | None = None
    micro_batch_tokens: int = 8192
    seed: int = 0
    history: list[dict[str, float]] = field(default_factory=list, init=False, repr=False, compare=False)
    """What each batch gave: see `learn`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("updates", "replay", "micro_batch_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"ImplicitProcessReward: option {name!r} must be at least 1, got {getattr(self, name)}"
                )
        for name in ("beta", "temperature", "learning_rate", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"ImplicitProcessReward: option {name!r} must be positive, got {getattr(self, name)}")
        if self.margin < 0:
            raise ValueError(f"ImplicitProcessReward: option 'margin' must not be negative, got {self.margin}")
        if self.resync_above is not None and self.lora is not None:
            raise ValueError(
                "ImplicitProcessReward: an adapter cannot become a copy of the policy; leave 'resync_above' out"
            )

    # ---- the reward -----------------------------------------------------------------------------------------------------

    @property
    def deterministic(self) -> bool:
        """The same step is worth something else after an update."""
        return False

    def children(self) -> dict[str, Reward]:
        """The reward of whole trajectories."""
        return {"outcome": self.outcome}

    def bind(self, policy: Any) -> None:
        """Get to know the policy, unless one was given."""
        super().bind(policy)
        if self.policy is None:
            self._model.policy = policy

    def credit(self, rule: Any = None) -> ImplicitCredit:
        """The credit that goes with `lag=False` and with `granularity="token"`.

        Args:
            rule: an `EpisodePlusStep`; None for one with the paper's options.
        """
        from rewardlab.learning.implicit_credit import ImplicitCredit
        from rewardlab.training.credit.mixtures import EpisodePlusStep

        return ImplicitCredit(reward=self, rule=EpisodePlusStep() if rule is None else rule)

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        inner = score_children(self.children(), trajectories, progress)["outcome"]
        if not self._model.batches:  # until the first update the model is the policy as it acts
            self._model.copy_policy()
        status, notes = inner.status.copy(), list(inner.notes or [None] * len(inner))
        for index in np.flatnonzero(inner.scored).tolist():
            missing = missing_tokens(trajectories[index])
            if missing is not None:
                status[index], notes[index] = Status.FAILED, missing
        scored = np.flatnonzero(status == Status.SCORED).tolist()
        rows: list[NDArray[np.float64] | None] = [None] * len(inner)
        for index, row in zip(scored, self.step_values([trajectories[place] for place in scored]), strict=True):
            rows[index] = row
        sums = Scores(values=np.array([np.nan if row is None else row.sum() for row in rows]), status=status.copy())
        return replace(
            inner,
            values=inner.values,
            status=status,
            notes=notes,
            steps=rows,
            parts={"outcome": inner, "implicit": sums},
        )

    def step_values(self, trajectories: Sequence[Trajectory]) -> list[NDArray[np.float64]]:
        """For each trajectory float64[action], normalised over these trajectories.

        Raises:
            ValueError: a trajectory has no tokens with log-probabilities, or tokens that the model does not know.
        """
        values, layout = self._raw(trajectories)
        return split(self._normalised(values), layout)

    def token_values(self, trajectories: Sequence[Trajectory]) -> list[NDArray[np.float64]]:
        """For each trajectory float64[written token], normalised over these trajectories."""
        ratios = self.log_ratios(trajectories)
        kept = [row[tokens.step >= 0] for row, tokens in zip(ratios, self._tokens(trajectories), strict=True)]
        layout = ragged(np.array([row.size for row in kept], dtype=np.int64))
        values = self.beta * np.concatenate(kept).astype(np.float64) if kept else np.zeros(0)
        return split(self._normalised(values), layout)

    def log_ratios(self, trajectories: Sequence[Trajectory]) -> list[NDArray[np.float32]]:
        """For each trajectory float32[token]: log-probability under the model minus that under the reference."""
        return self._model.log_ratios(self._tokens(trajectories))

    # ---- learning -------------------------------------------------------------------------------------------------------

    def observe(self, trajectories: Sequence[Trajectory], scores: Scores) -> None:
        """Learn from what was scored; the loop calls this after the policy's update."""
        super().observe(trajectories, scores)
        if self.lag:
            self.learn(trajectories, scores)
        elif not self._model.learned:
            raise RuntimeError(
                "lag=False learns before credit is assigned; give the trainer credit=reward.credit(rule)"
            )

    def learn(self, trajectories: Sequence[Trajectory], scores: Scores) -> dict[str, float]:
        """Update the model on the pairs of a batch; what cannot be paired leaves it as it is, bit for bit.

        Returns:
            The line that is added to `history`: `pairs`, `groups`, `without_pair` (share of the groups), `pair_accuracy`
            (before learning; ties count half), `loss`, `grad_norm`, `updates`, `step_mean`, `step_max`, `drift` (largest
            log-ratio of a step, in nats), `outcome_correlation` (of the sums), and `auroc` and `auroc_policy` (of step
            values, and of the policy's own log-probabilities) where there are labels. What cannot be said is left out.
        """
        state = self._model
        state.learned = True
        whole = scores.parts.get("outcome", scores)
        chosen = [
            index
            for index in np.flatnonzero(whole.scored).tolist()
            if "failed" not in trajectories[index].info and missing_tokens(trajectories[index]) is None
        ]
        batch, outcomes = [trajectories[index] for index in chosen], whole.values[chosen]
        groups = np.zeros(len(batch), dtype=np.int64)
        for number, members in enumerate(group_indices(batch)):
            groups[members] = number
        better, worse = preference_pairs(outcomes, groups, pairs=self.pairs, margin=self.margin)
        line = self._measured(batch, outcomes, groups, better, worse)
        self.history.append(line)
        if self.resync_above is not None and line.get("drift", 0.0) > self.resync_above:
            state.copy_policy()
            line["resynced"] = 1.0
        if not (better.size if self.loss == "pair" else len(batch)):
            line["updates"] = 0.0
            return line
        state.kept = [*state.kept, Kept(self._tokens(batch), outcomes, better, worse)][-self.replay :]
        draw = np.random.default_rng([self.seed, state.batches])
        state.batches += 1
        again = draw.integers(len(state.kept), size=self.updates - 1)
        for number, one in enumerate([state.kept[-1], *(state.kept[index] for index in again)]):
            measured = state.update(one)
            if not number:
                line |= measured
        line["updates"] = float(self.updates)
        return line

    def _raw(self, trajectories: Sequence[Trajectory]) -> tuple[NDArray[np.float64], Ragged]:
        tokens, ratios = self._tokens(trajectories), self.log_ratios(trajectories)
        layout = ragged(np.array([len(entry) for entry in trajectories], dtype=np.int64))
        lengths = np.array([len(row) for row in tokens], dtype=np.int64)
        runs = token_runs(np.concatenate([np.zeros(0, np.int32), *(row.step for row in tokens)]), lengths, layout)
        flat = np.concatenate([np.zeros(0, np.float32), *ratios]).astype(np.float64)
        values = self.beta * step_log_ratios(flat, runs)
        if self.per_token:
            values = values / np.maximum(step_log_ratios(np.ones(flat.size), runs), 1.0)
        return values, layout

    def _normalised(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.normalise == "none" or not values.size:
            return values
        unit = np.abs(values).max() + 1e-6 if self.normalise == "max" else values.std() + 1e-8
        return values / unit

    def _tokens(self, trajectories: Sequence[Trajectory]) -> list[Tokens]:
        found = []
        for index, entry in enumerate(trajectories):
            missing = missing_tokens(entry)
            if missing is not None or entry.tokens is None:
                raise ValueError(f"trajectory {index}: {missing}")
            found.append(entry.tokens)
        return found

    def _measured(
        self,
        batch: Sequence[Trajectory],
        outcomes: NDArray[np.float64],
        groups: NDArray[np.int64],
        better: NDArray[np.int64],
        worse: NDArray[np.int64],
    ) -> dict[str, float]:
        """What the model makes of a batch before it learns from it."""
        count = int(groups.max()) + 1 if groups.size else 0
        line = {"pairs": float(better.size), "groups": float(count)}
        if not batch:
            return line
        line["without_pair"] = 1.0 - np.unique(groups[better]).size / count
        values, layout = self._raw(batch)
        sums = segment_sums(values, layout)
        whole = sums / np.maximum(layout.lengths, 1) if self.aggregate == "mean" else sums
        if better.size:
            gaps = whole[better] - whole[worse]
            line["pair_accuracy"] = float(((gaps > 0) + 0.5 * (gaps == 0)).mean())
        if values.size:
            line |= {"step_mean": float(values.mean()), "step_max": float(np.abs(values).max())}
            line["drift"] = line["step_max"] / self.beta
        if sums.std() > 0 and outcomes.std() > 0:
            line["outcome_correlation"] = float(np.corrcoef(sums, outcomes)[0, 1])
        if self.labels is not None:
            own = [row.logprobs[row.step >= 0] for row in self._tokens(batch)]
            steps = [row.step[row.step >= 0] for row in self._tokens(batch)]
            confidence = [
                np.bincount(place, row, len(entry)) for place, row, entry in zip(steps, own, batch, strict=True)
            ]
            labels = np.concatenate([self._labels_of(entry) for entry in batch])
            known = np.isfinite(labels)
            for name, column in (("auroc", values), ("auroc_policy", np.concatenate(confidence))):
                found = area_under_curve(column[known], labels[known] > 0.5)
                if math.isfinite(found):
                    line[name] = found
        return line

    def _labels_of(self, trajectory: Trajectory) -> NDArray[np.float64]:
        """float64[action]; NaN where nobody said anything."""
        found = trajectory.info.get(self.labels or "")
        if found is None:
            return np.full(len(trajectory), np.nan)
        labels = np.asarray(found, dtype=np.float64)
        if labels.shape != (len(trajectory),):
            raise ValueError(
                f"info[{self.labels!r}] must have one label for each of {len(trajectory)} steps, got shape {labels.shape}"
            )
        return labels

    # ---- the model ------------------------------------------------------------------------------------------------------

    @cached_property
    def _model(self) -> ImplicitModel:
        return ImplicitModel(self)

    def state_dict(self) -> dict[str, Any]:
        """The model, its optimiser, its start where that is the reference, and the batches that are kept."""
        return {
            "outcome": self.outcome.state_dict(),
            "model": self._model.state_dict(),
            "history": [dict(line) for line in self.history],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.outcome.load_state_dict(state["outcome"])
        self._model.load_state_dict(state["model"])
        self.history[:] = [dict(line) for line in state["history"]]
