"""What is compared: Bradley-Terry, a reward with a mean and a variance, and latent rewards with priors of any strength."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.data import PreferenceData
from rewardlab.learning.fitting import fit
from rewardlab.learning.latent_report import Diagnosis, diagnose
from rewardlab.learning.latent_users import held_out_hits, infer, infer_users, stacked_posteriors
from rewardlab.learning.queries import next_query
from rewardlab.learning.variational import fit_latent
from rewardlab.recipes.vpl.world import World
from rewardlab.rewards.models.model import RewardModel


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Everything that one seed fits.

    Args:
        world: the data.
        steps: of a latent fit.
        epochs: of the rewards without users.
        latent, hidden: of the latent head.
    """

    world: World
    steps: int = 700
    epochs: float = 8.0
    latent: int = 8
    hidden: int = 64

    def plain(self, head: str) -> RewardModel:
        """A reward for everybody, with as many layers as the latent reward's decoder."""
        encoder = {"type": "mlp", "inputs": self.world.width, "hidden": [self.hidden] * 2, "activation": "relu"}
        model = RewardModel.make({**encoder, "seed": self.world.seed}, {"type": head, "seed": self.world.seed})
        options = {"batch_size": 256, "learning_rate": 3e-3, "seed": self.world.seed}
        return fit(model, self.world.training, epochs=self.epochs, **options).model  # type: ignore[arg-type]

    def latent_reward(self, beta: float, *, share: float = 1.0) -> RewardModel:
        """A latent reward; `share` of the steps."""
        model = RewardModel.make(
            {"type": "mlp", "inputs": self.world.width, "hidden": []},
            {"type": "latent", "latent": self.latent, "hidden": self.hidden, "seed": self.world.seed},
        )
        return fit_latent(
            model,
            self.world.training,
            beta=beta,
            context=(0, self.world.read),
            targets=self.world.asked,
            steps=max(1, round(self.steps * share)),
            learning_rate=2e-3,
            seed=self.world.seed,
        ).model

    def hits(self, model: RewardModel, read: int | None = None, *, swapped: bool = False) -> NDArray[np.float64]:
        """Which targets a latent reward predicts from so many answers of their users; float64[target]."""
        context = self.world.context if read is None else self.world.first_read(read)
        return held_out_hits(model, context, self.world.targets, swapped=swapped)

    def plain_hits(self, model: RewardModel) -> NDArray[np.float64]:
        """Which targets a reward for everybody predicts; float64[target]."""
        data = self.world.targets
        odds = model.log_odds([data.items[row] for row in data.first], [data.items[row] for row in data.second])
        return ((odds > 0) == (data.label > 0.5)).astype(np.float64)

    def divergent(self, hits: NDArray[np.float64]) -> float:
        """Accuracy where types disagree."""
        return float(hits[self.world.divergent].mean())

    def diagnosis(self, model: RewardModel) -> Diagnosis:
        """What `diagnose` says of the test users."""
        both = self._joined()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a collapse is what is looked for; it is in `problems`
            return diagnose(model, both, context=self.world.read - 1, lengths=(), seed=self.world.seed)

    def widening(self, model: RewardModel) -> tuple[float, float]:
        """Mean log-variance of posteriors after contradictory answers, and after the real ones.

        Contradictory: the second half of what a user says is the first half with labels turned round.
        """
        half = self.world.read // 2
        first = self.world.first_read(half)
        names = list(first.annotators or [])
        contradictory = replace(
            first,
            first=np.concatenate([first.first, first.first]),
            second=np.concatenate([first.second, first.second]),
            label=np.concatenate([first.label, 1.0 - first.label]),
            annotators=names + names,
        )
        whole = self.world.first_read(2 * half)
        told = [stacked_posteriors(infer_users(model, data))[1] for data in (contradictory, whole)]
        return float(told[0].mean()), float(told[1].mean())

    def questions(self, model: RewardModel, method: str, *, users: int = 60, answers: int = 3) -> float:
        """Accuracy on divergent targets after so many answers to questions that a method chose from those of the context."""
        context, targets = self.world.context, self.world.targets
        found = []
        names = list(dict.fromkeys(context.annotators or []))[:users]
        for number, name in enumerate(names):
            own = context.select(np.flatnonzero([who == name for who in context.annotators or []]))
            asked: list[int] = []
            for turn in range(answers):
                left = [row for row in range(len(own)) if row not in asked]
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # the first question is put to a stranger
                    known = infer(model, own.select(np.asarray(asked, np.int64)))
                best = next_query(model, own.select(left), known, method=method, samples=32, seed=number + turn)  # type: ignore[arg-type]
                asked.append(left[int(best.best[0])])
            rows = np.flatnonzero([who == name for who in targets.annotators or []])
            hits = held_out_hits(model, own.select(np.asarray(asked, np.int64)), targets.select(rows))
            found.extend(hits[self.world.divergent[rows]].tolist())
        return float(np.mean(found))

    def _joined(self) -> PreferenceData:
        context, targets = self.world.context, self.world.targets  # over the same items
        return replace(
            context,
            first=np.concatenate([context.first, targets.first]),
            second=np.concatenate([context.second, targets.second]),
            label=np.concatenate([context.label, targets.label]),
            annotators=[*(context.annotators or []), *(targets.annotators or [])],
        )
