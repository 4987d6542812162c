"""What is compared: one Bradley-Terry reward, a static mixture, MiCRo with and without Hedge, and the two controls."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch

from rewardlab.learning.data import PreferenceData
from rewardlab.learning.fitting import fit
from rewardlab.learning.hedge import adapt, pair_outputs, reweight
from rewardlab.learning.losses import Loss
from rewardlab.learning.mixture import MixtureLikelihood, PerHeadLikelihood, head_report
from rewardlab.recipes.micro.world import World
from rewardlab.recipes.ridge_logistic import ridge_logistic
from rewardlab.rewards.models.base import Context
from rewardlab.rewards.models.heads.mixture import MixtureHead
from rewardlab.rewards.models.model import RewardModel


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Everything that one seed fits.

    Args:
        world: the data.
        heads: of the mixtures.
        tau: of Hedge.
        epochs, batch_size, learning_rate: of the first stage.
        adapt_steps, adapt_rate: of Hedge.
    """

    world: World
    heads: int = 6
    tau: float = 0.3
    epochs: float = 30.0
    batch_size: int = 128
    learning_rate: float = 3e-2
    adapt_steps: int = 150
    adapt_rate: float = 3e-2

    def fitted(
        self, loss: Loss, *, heads: int | None = None, router: str = "prompt", prior: float = 0.0
    ) -> RewardModel:
        """A mixture fitted to the anonymous pairs."""
        world = self.world
        model = RewardModel.make(
            {"type": "prompt_response", "prompt": world.prompt_size, "response": world.response_size},
            {
                "type": "mixture",
                "heads": heads or self.heads,
                "router": router,
                "prompt_width": world.prompt_size,
                "prior_scale": prior,
                "seed": world.seed,
            },
        )
        options: dict[str, Any] = {"epochs": self.epochs, "batch_size": self.batch_size, "seed": world.seed}
        return fit(model, world.pairs, loss=loss, learning_rate=self.learning_rate, **options).model

    @cached_property
    def single(self) -> RewardModel:
        """One Bradley-Terry reward: a mixture of one head."""
        return self.fitted(MixtureLikelihood(entropy=0.0), heads=1, router="static")

    @cached_property
    def static(self) -> RewardModel:
        """A mixture whose weights are the same for all prompts, as in MaxMin-RLHF."""
        return self.fitted(MixtureLikelihood(entropy=0.0), router="static")

    @cached_property
    def micro(self) -> RewardModel:
        """The first stage at the paper's entropy penalty of 0.5."""
        return self.fitted(MixtureLikelihood(entropy=0.5))

    @cached_property
    def sharp(self) -> RewardModel:
        """The first stage at an entropy penalty of 0.05."""
        return self.fitted(MixtureLikelihood(entropy=0.05))

    @cached_property
    def shared_base(self) -> RewardModel:
        """An ensemble: random heads that are never trained below trained ones, and every head's own Bradley-Terry loss."""
        return self.fitted(PerHeadLikelihood(), prior=1.0)

    def adapted(
        self, model: RewardModel, count: int, *, train: Literal["context", "router"] = "context"
    ) -> RewardModel:
        """A mixture after Hedge on so many annotated pairs per attribute."""
        pairs = self.world.first_labelled(count)
        return adapt(
            model, pairs, tau=self.tau, steps=self.adapt_steps, learning_rate=self.adapt_rate, train=train
        ).model

    def supervised(self, count: int) -> float:
        """Control A: a logistic reward for each attribute from the same annotated pairs alone; accuracy over attributes.

        Each has the ridge penalty, of 0.01, 0.1, 1 and 10, that predicts best those of its pairs that it is not fitted to.
        """
        pairs, tests = self.world.first_labelled(count), self.world.tests
        found = []
        for name in self.world.names:
            rows = [row for row, who in enumerate(pairs.annotators or []) if who == name]
            margin, label = _margins(pairs.select(rows))
            fold = np.arange(len(rows)) % 5
            held_out = {
                ridge: sum(
                    _loss(
                        ridge_logistic(margin[fold != part], label[fold != part], ridge),
                        margin[fold == part],
                        label[fold == part],
                    )
                    for part in range(5)
                )
                for ridge in (0.01, 0.1, 1.0, 10.0)
            }
            weights = ridge_logistic(margin, label, min(held_out, key=lambda ridge: held_out[ridge]))
            asked = [row for row, who in enumerate(tests.annotators or []) if who == name]
            margin, label = _margins(tests.select(asked))
            found.append(float(((margin @ weights > 0) == (label > 0.5)).mean()))
        return float(np.mean(found))

    def accuracy(self, model: RewardModel, *, context: bool = False) -> float:
        """Accuracy on the test pairs, averaged over attributes, with or without telling the model the context."""
        tests = self.world.tests
        first, second = pair_outputs(model.outputs(tests.items), tests)
        head = model.network.head
        assert isinstance(head, MixtureHead)
        told = (
            Context(users=torch.tensor([head.users.index(str(who)) for who in tests.annotators or []]))
            if context
            else None
        )
        with torch.no_grad():
            logits = head.preference(first, second, told).numpy()
        right = (logits > 0) == (tests.label > 0.5)
        return float(right.reshape(self.world.attributes, -1).mean(1).mean())

    def reweighted(self, model: RewardModel, count: int) -> float:
        """HyRe: for each attribute the weights of the heads fixed by so many of its annotated pairs; mean accuracy.

        Fixed weights need no prompt and no context at the test, but one model for each attribute.
        """
        found = []
        for name in self.world.names:
            parts = []
            for data in (self.world.first_labelled(count), self.world.tests):
                parts.append(data.select([row for row, who in enumerate(data.annotators or []) if who == name]))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # it says that labels were used, as they are here
                own = reweight(model, parts[0])
            first, second = pair_outputs(own.outputs(parts[1].items), parts[1])
            with torch.no_grad():
                logits = own.network.head.preference(first, second).numpy()
            found.append(float(((logits > 0) == (parts[1].label > 0.5)).mean()))
        return float(np.mean(found))

    def best_heads(self, model: RewardModel) -> float:
        """Accuracy of the best head of each attribute, averaged over attributes."""
        return head_report(model, self.world.tests).best_accuracy


def _margins(pairs: PreferenceData) -> tuple[np.ndarray, np.ndarray]:
    vectors = np.stack([np.asarray(one.actions[0], np.float64) for one in pairs.items])
    return vectors[pairs.first] - vectors[pairs.second], pairs.label


def _loss(weights: np.ndarray, margin: np.ndarray, label: np.ndarray) -> float:
    logits = margin @ weights
    return float((np.logaddexp(0, logits) - label * logits).sum())
