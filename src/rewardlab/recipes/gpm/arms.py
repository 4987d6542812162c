"""What is compared: a Bradley-Terry reward, the general preference model, and a classifier of concatenated pairs.

All have hidden layers of one width and the same steps. The classifier reads both items at once and has a second layer, as
one alone hardly learns to multiply; it can express anything, but nothing makes it antisymmetric, and K responses cost
K (K - 1) passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rewardlab.functional.self_play import gpo_on_table
from rewardlab.learning.data import PreferenceData
from rewardlab.learning.fitting import fit
from rewardlab.recipes.gpm.model import PreferenceEmbedding
from rewardlab.recipes.gpm.world import World, cycle, rock_paper_scissors
from rewardlab.rewards.models.against import score_matrix
from rewardlab.rewards.models.base import Context, Encoded, Head, NoScalarValue, Outputs, rows_of
from rewardlab.rewards.models.model import RewardModel


class PairClassifierHead(Head):
    """Log-odds from a network with two hidden layers over the features of both responses.

    Args:
        width: of the features of one response.
        hidden: of the layers.
        seed: of the weights.
    """

    kind = "pair_classifier"

    def __init__(self, width: int, *, hidden: int = 64, seed: int = 0) -> None:
        super().__init__()
        self._options = {"width": width, "hidden": hidden, "seed": seed}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Linear(2 * width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
            )

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    def forward(self, encoded: Encoded) -> Outputs:
        """`features`, as they came."""
        return {"features": encoded.response}

    def value(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """Refuse: it only compares.

        Raises:
            NoScalarValue: always.
        """
        raise NoScalarValue("a classifier of pairs gives no value to one response")

    def preference(self, first: Outputs, second: Outputs, context: Context | None = None) -> Tensor:
        """Log-odds that the first is preferred, float[row]."""
        logits: Tensor = self.layers(torch.cat([first["features"], second["features"]], -1)).squeeze(-1)
        return logits


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Everything that one seed fits.

    Args:
        world: the data.
        hidden: width of the layer.
        dim: of the general preference model.
        steps, batch_size, learning_rate, weight_decay: of each fit.
    """

    world: World
    hidden: int = 64
    dim: int = 4
    steps: int = 600
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 1.0

    def bradley_terry(self) -> RewardModel:
        """The paper's baseline: one scalar for each item."""
        return self._fitted(RewardModel.make(self._encoder(), {"type": "scalar", "seed": self.world.seed}))

    def general(self, *, normalise: bool = False, tau: float = 1.0) -> RewardModel:
        """The general preference model."""
        made = PreferenceEmbedding(
            encoder=self._encoder(), dim=self.dim, normalise=normalise, tau=tau, seed=self.world.seed
        )
        return made.fit(self.world.train, **self._options()).model

    def classifier(self) -> RewardModel:
        """The classifier of concatenated pairs."""
        plain = {"type": "mlp", "inputs": self.world.dimension, "hidden": []}
        head = PairClassifierHead(self.world.dimension, hidden=self.hidden, seed=self.world.seed)
        return self._fitted(RewardModel.make(plain, head))

    def accuracy(self, model: RewardModel, data: PreferenceData | None = None) -> float:
        """Share of the unseen pairs whose true sign a model tells; ties count half."""
        tested = self.world.test if data is None else data
        odds = pair_log_odds(model, tested)
        return float(np.where(odds == 0, 0.5, (odds > 0) == (tested.label > 0.5)).mean())

    def _encoder(self) -> Mapping[str, Any]:
        return {
            "type": "mlp", "inputs": self.world.dimension, "hidden": [self.hidden], "seed": self.world.seed,
        }  # fmt: skip

    def _fitted(self, model: RewardModel) -> RewardModel:
        return fit(model, self.world.train, **self._options()).model

    def _options(self) -> dict[str, Any]:
        return {
            "steps": self.steps, "batch_size": self.batch_size, "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay, "seed": self.world.seed,
        }  # fmt: skip


def pair_log_odds(model: RewardModel, data: PreferenceData, *, swapped: bool = False) -> np.ndarray:
    """Log-odds of first against second (or the other way round) for comparisons over a list of items; float64[row]."""
    outputs, network = model.outputs(data.items), model.network
    sides = [rows_of(outputs, torch.from_numpy(side).to(network.device)) for side in (data.first, data.second)]
    first, second = reversed(sides) if swapped else sides
    with torch.no_grad():
        return np.asarray(network.head.preference(first, second).double().cpu().numpy())


def antisymmetry_error(model: RewardModel, data: PreferenceData) -> float:
    """Mean of `|P(a, b) + P(b, a) - 1|`."""
    one, other = (0.5 * (1 + np.tanh(0.5 * pair_log_odds(model, data, swapped=swapped))) for swapped in (False, True))
    return float(np.abs(one + other - 1).mean())


def memorised(seed: int, *, items: int = 4, steps: int = 300) -> tuple[float, float]:
    """Accuracy on a circle of a few items that was learned by heart: the general preference model and Bradley-Terry."""
    data = cycle(items)
    plain = {"type": "mlp", "inputs": items, "hidden": []}
    general = PreferenceEmbedding(encoder=plain, dim=items, seed=seed)
    options: dict[str, Any] = {"steps": steps, "learning_rate": 0.05, "seed": seed}
    scalar = fit(RewardModel.make(plain, {"type": "scalar", "seed": seed}), data, **options).model
    found = []
    for model in (general.fit(data, **options).model, scalar):
        odds = pair_log_odds(model, data)
        found.append(float(np.where(np.abs(odds) < 1e-4, 0.5, odds > 0).mean()))  # nearly 0 is only rounding
    return found[0], found[1]


@dataclass(frozen=True, slots=True)
class Game:
    """How far self-play on rock, paper and scissors ends from the equilibrium (sum of absolute differences to 1/3).

    Args:
        exact: mean policy over all iterations, with the true scores.
        last: last policy, with the true scores.
        general: mean policy, with scores of a general preference model that was fitted to comparisons.
        scalar: mean policy, with differences of a Bradley-Terry reward that was fitted to the same ones.
    """

    exact: float
    last: float
    general: float
    scalar: float


def play(
    seed: int,
    *,
    comparisons: int = 300,
    beta: float = 20.0,
    iterations: int = 1500,
    descents: int = 3,
    steps: int = 300,
) -> Game:
    """GPO for a policy over three actions that starts uneven, with true and with fitted scores."""
    true = torch.tensor([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]], dtype=torch.float64)
    data = rock_paper_scissors(comparisons, seed)
    plain = {"type": "mlp", "inputs": 3, "hidden": []}
    options: dict[str, Any] = {"steps": steps, "learning_rate": 0.05, "seed": seed}
    general = PreferenceEmbedding(encoder=plain, dim=4, seed=seed).fit(data, **options).model
    scalar = fit(RewardModel.make(plain, {"type": "scalar", "seed": seed}), data, **options).model
    start = np.random.default_rng((seed, 6)).dirichlet(np.ones(3) * 2.0) * 0.94 + 0.02

    def distance(policy: Tensor) -> float:
        return float((policy - 1 / 3).abs().sum())

    def average(scores: Tensor) -> tuple[float, float]:
        played = gpo_on_table(
            scores, beta=beta, iterations=iterations, start=torch.from_numpy(start), descents=descents
        )
        return distance(played.average), distance(played.last)

    exact, last = average(true)
    fitted = [average(torch.from_numpy(score_matrix(model, data.items)))[0] for model in (general, scalar)]
    return Game(exact=exact, last=last, general=fitted[0], scalar=fitted[1])
