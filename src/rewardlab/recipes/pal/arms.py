"""What is compared: one pooled Bradley-Terry reward, PAL, and two ways of fitting each new user without the mixture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rewardlab.functional.preferences import bradley_terry
from rewardlab.learning.data import PreferenceData
from rewardlab.learning.fitting import fit
from rewardlab.learning.users import ideal_head, user_accuracy, user_names
from rewardlab.recipes.pal.model import PAL
from rewardlab.recipes.pal.world import World
from rewardlab.recipes.ridge_logistic import ridge_logistic
from rewardlab.rewards.models.model import RewardModel

Accuracies = NDArray[np.float64]
"""float64[user], share of the user's test pairs."""


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Everything that one seed fits.

    Args:
        world: the data.
        k: prototypes of PAL.
        latent: width of its space.
        hidden: width of the hidden layer, of PAL's projector and of the pooled reward alike.
        steps, batch_size, learning_rate, weight_decay: of both fits.
        ridge: of the logistic regressions of single users.
        pull: how firmly free ideal points are held to that of the population.
    """

    world: World
    k: int = 3
    latent: int = 4
    hidden: int = 64
    steps: int = 900
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.5
    ridge: float = 1.0
    pull: float = 1.0

    @cached_property
    def pooled(self) -> RewardModel:
        """The paper's homogeneous baseline: one Bradley-Terry reward for everybody."""
        model = RewardModel.make(
            self._plain, {"type": "two_layer", "hidden": self.hidden, "seed": self.world.seed}
        )  # fmt: skip
        return fit(model, self.world.train, **self._options).model

    @cached_property
    def pal(self) -> PAL:
        """PAL with fixed ideal points, fitted to the users who are there from the start."""
        made = PAL(
            encoder=self._plain, k=self.k, latent=self.latent, hidden=self.hidden, seed=self.world.seed
        )  # fmt: skip
        made.fit(self.world.train, **self._options)
        return made

    def seen(self, *, pal: bool) -> Accuracies:
        """Accuracy for the users who are there from the start."""
        model = self._pal_model if pal else self.pooled
        return accuracies(model, self._tests(False))

    def newcomers(self) -> Accuracies:
        """Accuracy of the pooled reward for newcomers."""
        return accuracies(self.pooled, self._tests(True))

    def adapted(self, count: int, **options: Any) -> Accuracies:
        """Accuracy of PAL for newcomers, each added from so many comparisons."""
        import copy

        trial = copy.copy(self.pal)
        trial.model = RewardModel.around(copy.deepcopy(self._pal_model.network))
        trial.add_users(self.world.first_of_support(count), **options)
        assert trial.model is not None
        return accuracies(trial.model, self._tests(True))

    def solo(self, count: int) -> Accuracies:
        """Accuracy of a logistic regression on the raw vectors for each newcomer alone."""
        support, tests = self.world.first_of_support(count), self._tests(True)
        found = []
        for name in user_names(support):
            (margin, label), (asked, truth) = (_margins(data, name) for data in (support, tests))
            weights = ridge_logistic(margin, label, self.ridge)
            found.append(float(((asked @ weights > 0) == (truth > 0.5)).mean()))
        return np.asarray(found)

    def free_points(self, count: int, *, steps: int = 200, learning_rate: float = 0.05) -> Accuracies:
        """Accuracy with an ideal point of each newcomer anywhere in PAL's space: its features without its mixture."""
        support, tests = self.world.first_of_support(count).without_unused_items(), self._tests(True)
        model = self._pal_model
        head = ideal_head(model)
        names = user_names(support)
        start = head.population().detach() @ head.points.detach()
        points = start.repeat(len(names), 1).requires_grad_()
        optimizer = torch.optim.Adam([points], lr=learning_rate)

        def log_odds(data: PreferenceData, items: torch.Tensor) -> torch.Tensor:
            own = points[torch.tensor([names.index(str(who)) for who in data.annotators or ()])]
            near = [
                -torch.linalg.vector_norm(items[torch.from_numpy(side)] - own, dim=1)
                for side in (data.first, data.second)
            ]
            return near[0] - near[1]

        items = model.outputs(support.items)["item"].clone()
        label = torch.from_numpy(support.label).float()
        for _ in range(steps):
            optimizer.zero_grad()
            loss = (
                bradley_terry(log_odds(support, items), label).sum() + 0.5 * self.pull * (points - start).square().sum()
            )
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            told = log_odds(tests, model.outputs(tests.items)["item"].clone()).numpy()
        right = (told > 0) == (tests.label > 0.5)
        return np.asarray(right.reshape(len(names), -1).mean(1))

    @cached_property
    def _plain(self) -> dict[str, Any]:
        return {"type": "mlp", "inputs": self.world.dimension, "hidden": []}

    @property
    def _pal_model(self) -> RewardModel:
        assert self.pal.model is not None
        return self.pal.model

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "steps": self.steps, "batch_size": self.batch_size, "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay, "seed": self.world.seed,
        }  # fmt: skip

    @cached_property
    def _both_tests(self) -> tuple[PreferenceData, PreferenceData]:
        return self.world.test(new=False), self.world.test(new=True)

    def _tests(self, new: bool) -> PreferenceData:
        return self._both_tests[int(new)]


def accuracies(model: RewardModel, data: PreferenceData) -> Accuracies:
    """Accuracy for each user, in the order in which they come."""
    return np.asarray(list(user_accuracy(model, data).values()))


def worst_decile(found: Accuracies) -> float:
    """Mean accuracy of the tenth of the users who are served worst."""
    return float(np.sort(found)[: max(1, len(found) // 10)].mean())


def _margins(data: PreferenceData, name: str) -> tuple[Accuracies, Accuracies]:
    rows = np.asarray([place for place, who in enumerate(data.annotators or ()) if who == name])
    first, second = (
        np.stack([np.asarray(data.items[item].observations[0], np.float64) for item in side[rows]])
        for side in (data.first, data.second)
    )
    return first - second, data.label[rows]
