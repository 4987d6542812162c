"""Agent-RLVR: attempt, try failures again with guidance, imitate a little, prefer successes to failures; and its baseline.

The verifier is the only source of reward: guidance changes which trajectories are found, and is not there at test time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.engines.sampling import derive_seed
from rewardlab.policies.rollout import Limits, rollout
from rewardlab.recipes.agent_rlvr.learning import Grouped, Imitation, Paired, imitate, prefer, regroup
from rewardlab.training.guidance import (
    Guided,
    PairSet,
    Teacher,
    build_pairs,
    check_apart,
    guidance_metrics,
    weights_hash,
)
from rewardlab.training.guidance.hints import note_seeds
from rewardlab.training.guidance.pairs import Negatives, Source
from rewardlab.training.guidance.rolling import in_tokens_of
from rewardlab.training.objectives.preference import DPO
from rewardlab.training.seats import score_batch
from rewardlab.types import Scores, Task, Trajectory


@dataclass(slots=True, kw_only=True)
class Attempts:
    """What was tried in a round.

    Args:
        trajectories: unguided attempts, and behind them guided ones.
        scores: of these.
        counts: of the guidance; see `Guided.counts`.
    """

    trajectories: list[Trajectory]
    scores: Scores
    counts: Counter[str] = field(default_factory=Counter)

    def successes(self, success_at: float = 1.0) -> list[Trajectory]:
        """Those that succeeded."""
        return [self.trajectories[index] for index in np.flatnonzero(self.scores.values >= success_at).tolist()]

    def solved(self, success_at: float = 1.0) -> int:
        """How many tasks have a success."""
        return len({one.task.id for one in self.successes(success_at) if one.task is not None})

    def plus(self, other: Attempts) -> Attempts:
        """These and others."""
        return Attempts(
            trajectories=[*self.trajectories, *other.trajectories],
            scores=Scores.concatenate([self.scores, other.scores]),
            counts=self.counts + other.counts,
        )


@dataclass(slots=True, kw_only=True)
class Round:
    """The report of one round.

    Args:
        metrics: success rates and shares; see `guidance_metrics`; `second_unguided` where the control was asked for.
        counts: of the guidance.
        pairs: counts of the pairs, `pairs` and `guided_pairs`.
        imitation: what `imitate` measured.
        learning: what the objective measured.
        held_out: success rate on held-out tasks, greedy, without guidance; NaN without any.
    """

    metrics: dict[str, float]
    counts: dict[str, int]
    pairs: dict[str, int]
    imitation: dict[str, float]
    learning: dict[str, float]
    held_out: float


@dataclass(kw_only=True)
class AgentRLVR:
    """The whole method.

    Args:
        policy: what is trained; its weights change in place.
        environment: a factory.
        verifier: the reward; 1 is a success.
        teacher: writes guidance; None for the ablation without.
        samples: unguided attempts at each task.
        first_greedy: the first of them takes the most likely tokens.
        sampling: of the others; the paper's temperature, .6, when not given.
        limits: of an attempt.
        guidance: options of `Guided`, such as `when`, `parts`, `levels`, `leak_check`.
        sft: what is imitated first; None for nothing.
        sft_fraction: the share of the successes in the place of `sft.fraction`.
        objective: a `DPO` (or `DPOWithLikelihood`), `Paired` for one with epochs, steps and batch size, `Grouped`, or None
            for imitation alone.
        source, negatives, per_positive, max_per_task: of the pairs; see `build_pairs`.
        expert: another policy whose own attempts are learned from as well (off-policy), or None.
        expert_samples: its attempts at each task.
        control: try as many further unguided attempts as guided ones were made, and report how many succeed.
        rounds: how often the whole is done.
        seed: of all draws.
    """

    policy: Any
    environment: Callable[[], Any]
    verifier: Any
    teacher: Teacher | None = None
    samples: int = 16
    first_greedy: bool = True
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.6))
    limits: Limits | None = None
    guidance: Mapping[str, Any] = field(default_factory=dict)
    sft: Imitation | None = field(default_factory=Imitation)
    sft_fraction: float | None = None
    objective: DPO | Paired | Grouped | None = field(default_factory=Paired)
    source: Source = "both"
    negatives: Negatives = "unguided"
    per_positive: int | None = 1
    max_per_task: int | None = None
    expert: Any = None
    expert_samples: int = 1
    control: bool = False
    rounds: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("samples", "rounds", "expert_samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.sampling.temperature > 0:
            raise ValueError("several samples at temperature 0 are all the same; give sampling a positive temperature")
        if self.sft is None and self.objective is None:
            raise ValueError("with neither sft nor an objective nothing is learned; give one of them")
        if isinstance(self.objective, DPO):
            self.objective = Paired(objective=self.objective)
        if self.sft_fraction is not None and self.sft is not None:
            self.sft = replace(self.sft, fraction=self.sft_fraction)

    def run(self, tasks: Sequence[Task], held_out: Sequence[Task] = ()) -> list[Round]:
        """Do all rounds.

        Raises:
            ValueError: a training task is also held out, or nothing succeeded that could be learned from.
        """
        check_apart(tasks, held_out)
        return [self.round(tasks, held_out, number) for number in range(self.rounds)]

    def round(self, tasks: Sequence[Task], held_out: Sequence[Task] = (), number: int = 0) -> Round:
        """One round: attempts, guidance, learning."""
        seed = derive_seed(self.seed, number)
        attempts = self.collect(tasks, seed=seed)
        metrics = guidance_metrics(attempts.trajectories, attempts.scores)
        if self.control:
            metrics["second_unguided"] = self._control(attempts, seed)
        imitation, learning, pairs = self.learn(attempts, seed=seed)
        counts = {} if pairs is None else {**pairs.counts, "pairs": len(pairs), "guided_pairs": pairs.guided}
        return Round(
            metrics=metrics, counts=dict(attempts.counts), pairs=counts, imitation=imitation, learning=learning,
            held_out=self.evaluate(held_out) if held_out else float("nan"),
        )  # fmt: skip

    # ---- the parts --------------------------------------------------------------------------------------------------

    def collect(self, tasks: Sequence[Task], *, seed: int = 0) -> Attempts:
        """Unguided attempts, and guided ones at what failed."""
        first = self.attempt(tasks, seed=seed)
        if self.expert is not None:
            first = first.plus(self._expert(tasks, seed))
        return first if self.teacher is None else first.plus(self.retry(first, seed=seed))

    def attempt(self, tasks: Sequence[Task], *, seed: int = 0) -> Attempts:
        """Unguided attempts alone."""
        sampled = self.samples - int(self.first_greedy)
        trajectories: list[Trajectory] = []
        if self.first_greedy:
            trajectories += self._rollout(self.policy, tasks, replace(self.sampling, temperature=0.0), 1, seed)
        if sampled:
            trajectories += self._rollout(self.policy, tasks, self.sampling, sampled, seed)  # the same start for all
        return Attempts(trajectories=trajectories, scores=score_batch(self.verifier, trajectories))

    def retry(self, attempts: Attempts, *, teacher: Teacher | None = None, seed: int = 0, **options: Any) -> Attempts:
        """Guided attempts at what failed, by this teacher or another, with other options of `Guided` if you like."""
        chosen = teacher or self.teacher
        if chosen is None:
            raise ValueError("there is no teacher to guide a retry; give one")
        guided = Guided(**{"teacher": chosen, "reward": self.verifier, **self.guidance, **options})
        limits = {} if self.limits is None else {"limits": self.limits}
        made, scores = guided.retry(
            self.policy, self.environment, attempts.trajectories, attempts.scores,
            seed=seed, sampling=self.sampling, **limits,
        )  # fmt: skip
        return Attempts(trajectories=made, scores=scores, counts=guided.counts)

    def learn(self, attempts: Attempts, *, seed: int = 0) -> tuple[dict[str, float], dict[str, float], PairSet | None]:
        """Imitation, then the objective; what both measured, and the pairs where there were any."""
        imitation: dict[str, float] = {}
        if self.sft is not None:
            imitation = imitate(self.policy, attempts.successes(), self.sft, seed=seed)
        if self.objective is None:
            return imitation, {}, None
        if isinstance(self.objective, Grouped):
            measured = regroup(self.policy, attempts.trajectories, attempts.scores, self.objective, seed=seed)
            return imitation, measured, None
        assert isinstance(self.objective, Paired)  # set when this was built
        pairs = build_pairs(
            attempts.trajectories, attempts.scores, source=self.source, negatives=self.negatives,
            per_positive=self.per_positive, max_per_task=self.max_per_task, seed=seed, policy_hash=weights_hash(self.policy),
        )  # fmt: skip
        return imitation, prefer(self.policy, pairs, self.objective, seed=seed), pairs

    def evaluate(self, tasks: Sequence[Task]) -> float:
        """Success rate of greedy attempts without guidance."""
        trajectories = self._rollout(self.policy, tasks, replace(self.sampling, temperature=0.0), 1, 0)
        scores = score_batch(self.verifier, trajectories)
        return float((scores.values[scores.scored] >= 1.0).mean()) if scores.scored.any() else float("nan")

    def _expert(self, tasks: Sequence[Task], seed: int) -> Attempts:
        """Somebody else's attempts in the policy's own tokens."""
        made = self._rollout(self.expert, tasks, self.sampling, self.expert_samples, seed)
        scores = score_batch(self.verifier, made)
        kept = np.flatnonzero(scores.scored)
        own, tools = [], self.environment().tools
        for index in kept.tolist():
            own.append(in_tokens_of(self.policy, made[index], tools=tools, temperature=self.sampling.temperature))
        return Attempts(trajectories=own, scores=scores.select(kept))

    def _control(self, attempts: Attempts, seed: int) -> float:
        """Success rate of as many further unguided attempts at the tasks of the guided ones."""
        tasks = [one.task for one in attempts.trajectories if one.info.get("guided") and one.task is not None]
        if not tasks:
            return float("nan")
        scores = score_batch(self.verifier, self._rollout(self.policy, tasks, self.sampling, 1, derive_seed(seed, 5)))
        return float((scores.values[scores.scored] >= 1.0).mean()) if scores.scored.any() else float("nan")

    def _rollout(
        self, policy: Any, tasks: Sequence[Task], sampling: Sampling, group_size: int, seed: int
    ) -> list[Trajectory]:
        made = rollout(
            policy, self.environment, tasks, group_size=group_size, sampling=sampling, limits=self.limits, seed=seed
        )
        note_seeds(made, seed, group_size)
        return made


@dataclass(kw_only=True)
class SFTBaseline(AgentRLVR):
    """The paper's baseline: rejection sampling. All unguided successes are imitated, and nothing else is done."""

    sft: Imitation | None = field(default_factory=lambda: Imitation(fraction=1.0))
    objective: DPO | Paired | Grouped | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.teacher is not None or self.objective is not None:
            raise ValueError("the baseline has neither a teacher nor an objective beside imitation; use AgentRLVR")
