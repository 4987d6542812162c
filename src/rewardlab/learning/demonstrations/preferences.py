"""Preference comparisons: an agent acts, somebody compares fragments of what it did, and it learns from the reward that
explains the comparisons.

An ensemble of small networks is fitted in one pass, and its disagreement picks the pairs that are asked about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewardlab.functional.preferences import bradley_terry
from rewardlab.learning.demonstrations.base import DemonstrationFit, Imitation, Run, positive
from rewardlab.learning.demonstrations.fragments import Annotator, Pool, SyntheticAnnotator
from rewardlab.learning.demonstrations.networks import standardisation
from rewardlab.learning.demonstrations.options import PPOOptions
from rewardlab.learning.demonstrations.rewards import Ensemble, NetworkReward, Rows
from rewardlab.learning.demonstrations.spaces import Columns, SpaceCode
from rewardlab.learning.demonstrations.worlds import Environment, Progress, spaces_of
from rewardlab.types import Trajectory

if TYPE_CHECKING:
    from rewardlab.learning.demonstrations.generator import Rollout


@dataclass(frozen=True, kw_only=True)
class ControlPreferences(Imitation):
    """Reward and policy from comparisons of fragments, in turns.

    Demonstrations are not needed: fragments are the agent's own. Where there are some, they standardise observations.

    Source: Christiano et al. 2017 (arXiv 1706.03741); fragments, ensembles and disagreement as there.

    Args:
        comparisons: how many are asked for in all.
        fragment: the most transitions of a fragment.
        rounds: how often is asked; the share of a round falls as 1 / (1 + round), so that most is asked early.
        initial_share: of the comparisons, asked before the agent learns at all.
        annotator: gets pairs of fragments and returns the probabilities that the first is better; None for a synthetic one
            that looks at the environment's own reward.
        members: networks in the ensemble.
        oversample: how many candidates there are for each pair that is asked about; 1 for pairs at random.
        hidden: widths of the networks' hidden layers.
        learning_rate, l2: of Adam.
        updates: of the networks after each round; the first has four times as many.
        batch_size: comparisons in such an update.
        memory: rollouts from which fragments are drawn.
        ppo: options of the agent.
    """

    comparisons: int = 500
    fragment: int = 50
    rounds: int = 20
    initial_share: float = 0.2
    annotator: Annotator | None = None
    members: int = 3
    oversample: int = 2
    hidden: tuple[int, ...] = (32, 32)
    learning_rate: float = 2e-3
    l2: float = 1e-5
    updates: int = 15
    batch_size: int = 64
    memory: int = 4
    ppo: PPOOptions = field(default_factory=PPOOptions)

    short_name: ClassVar[str] = "preferences"
    default_steps: ClassVar[int] = 100_000

    def __post_init__(self) -> None:
        names = (
            "comparisons",
            "fragment",
            "rounds",
            "members",
            "oversample",
            "learning_rate",
            "updates",
            "batch_size",
            "memory",
        )
        positive(type(self).__name__, **{name: getattr(self, name) for name in names})
        if not 0 < self.initial_share <= 1:
            raise ValueError(f"ControlPreferences: option 'initial_share' must be in (0, 1], got {self.initial_share}")

    def fit(
        self,
        demonstrations: Sequence[Trajectory],
        environment: Environment,
        *,
        steps: int | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> DemonstrationFit:
        """See `Imitation.fit`; demonstrations may be an empty list."""
        if len(demonstrations):
            return super().fit(demonstrations, environment, steps=steps, seed=seed, progress=progress)
        codes = [
            SpaceCode.of(space, what)
            for space, what in zip(spaces_of(environment), ("observation", "action"), strict=True)
        ]
        nothing = np.zeros(0)
        run = Run(
            Columns(nothing, nothing, nothing, nothing.astype(bool), nothing.astype(np.int64)),
            codes[0],
            codes[1],
            environment,
            self.default_steps if steps is None else steps,
            seed,
            progress,
        )
        return self._finished(run, self._fit(run))

    def _described(self) -> dict[str, Any]:
        """Options without the annotator, which may be any function."""
        options = super()._described()
        options["annotator"] = None if self.annotator is None else repr(self.annotator)
        return options

    def _fit(self, run: Run) -> dict[str, Any]:
        from rewardlab.learning.demonstrations.generator import Generator, reward_rollout

        draw = np.random.default_rng([run.seed % 2**64, 3])
        mean, spread = self._standardisation(run)
        ensemble = Ensemble((run.observation.width + run.action.width, *self.hidden, 1), self.members, seed=run.seed)
        rows = Rows(run.observation, run.action, mean, spread)
        optimiser = torch.optim.Adam(
            ensemble.layers.parameters(), lr=self.learning_rate, weight_decay=self.l2, fused=True
        )
        generator = Generator(
            run.environment, self.ppo, run.observation, run.action, mean, spread, steps=run.steps, seed=run.seed
        )
        asked = Asked()
        rollouts: list[Rollout] = []
        turns = max(1, math.ceil(run.steps / (generator.count * self.ppo.rollout)))
        due = self._schedule(turns)
        try:
            turn = 0
            while generator.done < run.steps:
                rollout = generator.gather()
                rollouts = [*rollouts, rollout][-self.memory :]
                line: dict[str, float] = {}
                if turn < len(due) and due[turn]:
                    pool = pool_of(rollouts)
                    self._ask(asked, pool, rows, ensemble, due[turn], draw)
                    line = self._learn(asked, ensemble, optimiser, self.updates * (4 if turn == 0 else 1), draw)
                reward = NetworkReward.around(ensemble, rows)
                paid = reward_rollout(reward.transition, rollout)
                # only ends make the constant that comparisons leave open matter; it is chosen so that going on is worth it
                low = (
                    float(np.quantile(paid[rollout.valid], 0.05))
                    if rollout.terminated.any()
                    else float(paid[rollout.valid].mean())
                )
                generator.learn(rollout, paid - low)
                returns = {"return": float(np.mean(rollout.returns))} if rollout.returns else {}
                run.note(step=generator.done, comparisons=len(asked.labels), **returns, **line)
                turn += 1
            run.done = generator.done
            values = paid[rollout.valid]
            settled = NetworkReward.around(
                ensemble, rows, shift=float(values.mean()), scale=max(float(values.std()), 1e-6)
            )
            return {"reward": settled, "policy": generator.policy()}
        finally:
            generator.close()

    def _standardisation(self, run: Run) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """By the demonstrations, or by what random actions see."""
        if len(run.columns):
            return standardisation(run.observation.encode(run.columns.observation), run.observation)
        code = run.observation
        if code.kind == "box" and np.isfinite(code.low).all() and np.isfinite(code.high).all() and max(code.high) < 1e3:
            low, high = np.asarray(code.low, np.float32), np.asarray(code.high, np.float32)
            return ((high + low) / 2).astype(np.float32), np.maximum((high - low) / 2, 1e-3).astype(np.float32)
        return np.zeros(code.width, np.float32), np.ones(code.width, np.float32)

    def _schedule(self, turns: int) -> list[int]:
        """How many comparisons are asked for after each rollout; they sum to `comparisons`."""
        first = max(1, round(self.initial_share * self.comparisons))
        places = np.unique(np.linspace(0, turns - 1, min(self.rounds, turns)).round().astype(int))
        due = np.zeros(turns, dtype=int)
        later = places[1:]
        shares = 1.0 / (2.0 + np.arange(len(later)))
        edges = np.r_[0.0, np.cumsum(shares)] / max(shares.sum(), 1e-12) * (self.comparisons - first)
        due[later] = np.diff(edges.round().astype(int))
        due[0] = self.comparisons - int(due.sum())
        return due.tolist()

    def _ask(
        self, asked: Asked, pool: Pool, rows: Rows, ensemble: Ensemble, count: int, draw: np.random.Generator
    ) -> None:
        """Pick pairs of fragments, those first on which the ensemble disagrees, and have them compared."""
        candidates = count * (self.oversample if asked.labels else 1)
        index, inside = pool.draw(2 * candidates, self.fragment, draw)
        encoded = torch.from_numpy(rows(pool.observation[index.ravel()], pool.action[index.ravel()]))
        encoded = encoded.view(candidates, 2, self.fragment, -1)
        mask = torch.from_numpy(inside.reshape(candidates, 2, self.fragment))
        index = index.reshape(candidates, 2, self.fragment)
        if candidates > count:
            with torch.no_grad():
                spread = log_odds(ensemble, encoded, mask).std(0)
            chosen = torch.topk(spread, count).indices
            encoded, mask, index = encoded[chosen], mask[chosen], index[chosen.numpy()]
        pairs = [
            (pool.fragment(one[0], here[0]), pool.fragment(one[1], here[1]))
            for one, here in zip(index, mask.numpy(), strict=True)
        ]
        annotator = self.annotator or SyntheticAnnotator()
        labels = np.asarray(annotator(pairs, draw), dtype=np.float64)
        if labels.shape != (count,) or not ((labels >= 0) & (labels <= 1)).all():
            raise ValueError(
                f"the annotator must return {count} probabilities in [0, 1], one for each pair, got {labels.tolist()!r:.200}"
            )
        asked.add(encoded, mask, torch.from_numpy(labels).float())

    def _learn(
        self, asked: Asked, ensemble: Ensemble, optimiser: Any, updates: int, draw: np.random.Generator
    ) -> dict[str, float]:
        """Updates of all members, each on batches of its own order (a bootstrap of sorts)."""
        encoded, mask, labels = asked.columns()
        losses, hits = [], []
        for _ in range(updates):
            batch = torch.from_numpy(draw.integers(len(labels), size=min(self.batch_size, len(labels))))
            odds = log_odds(ensemble, encoded[batch], mask[batch])
            label = labels[batch].expand_as(odds)
            loss = bradley_terry(odds.flatten(), label.flatten()).mean() * self.members
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()) / self.members)
            clear = label != 0.5
            hits.append(float(((odds > 0) == (label > 0.5))[clear].double().mean()) if clear.any() else math.nan)
        half = losses[len(losses) // 2 :]
        found = {"loss": float(np.mean(half))}
        agreement = [value for value in hits[len(hits) // 2 :] if not math.isnan(value)]
        return {**found, "accuracy": float(np.mean(agreement))} if agreement else found


@dataclass(slots=True)
class Asked:
    """All comparisons so far, as the networks read them."""

    rows: list[Tensor] = field(default_factory=list)
    masks: list[Tensor] = field(default_factory=list)
    labels: list[float] = field(default_factory=list)

    def add(self, rows: Tensor, mask: Tensor, labels: Tensor) -> None:
        """Take up comparisons: float[N, 2, length, width], bool[N, 2, length] and float[N]."""
        self.rows.append(rows)
        self.masks.append(mask)
        self.labels += labels.tolist()

    def columns(self) -> tuple[Tensor, Tensor, Tensor]:
        """Everything, put together."""
        self.rows, self.masks = [torch.cat(self.rows)], [torch.cat(self.masks)]
        return self.rows[0], self.masks[0], torch.tensor(self.labels)


def log_odds(ensemble: Ensemble, rows: Tensor, mask: Tensor) -> Tensor:
    """Log-odds of each member that the first fragment is better, the difference of the sums: float[member, pair]."""
    sums = (ensemble(rows) * mask).sum(-1)
    return sums[..., 0] - sums[..., 1]


def pool_of(rollouts: Sequence[Rollout]) -> Pool:
    """Lay rollouts out by environment, so that trajectories stand in one piece."""
    pieces: list[list[NDArray[Any]]] = [[] for _ in range(6)]
    offset = 0
    for rollout in rollouts:
        for number in range(rollout.valid.shape[1]):
            keep = rollout.valid[:, number]
            ended = (rollout.terminated | rollout.truncated)[keep, number]
            ended[-1:] = True
            ends = np.flatnonzero(ended)
            last = ends[np.searchsorted(ends, np.arange(len(ended)))] + offset
            columns = (
                rollout.observation,
                rollout.action,
                rollout.next_observation,
                rollout.terminated,
                rollout.reward,
            )
            for piece, column in zip(pieces, (*columns, None), strict=True):
                piece.append(last if column is None else column[keep, number])
            offset += len(ended)
    found = [np.concatenate(piece) for piece in pieces]
    return Pool(*found)
