"""ExploRS with a small network in place of a table, for any environment with discrete actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require
from rewardlab.learning.design.counting import Count
from rewardlab.learning.design.designer import Designer, Episodes, Floats, check_discount


class NeuralExploRS(Designer):
    """The original reward, a learned part by a network, and a count bonus; see `ExploRS`.

    The learned part only acts once enough episodes have had an original return that is not zero, or after a number of steps:
    before that there is nothing to follow. "Not zero" and not "positive", because rewards may be negative.

    Args:
        features: how many numbers an observation has.
        actions: number of actions.
        count: cells that are counted; None where `bonus` is 0.
        discount: of the original return.
        rate: step of the network of the learned part.
        baseline_rate: step of the network of the baseline.
        bonus: strength of the bonus; 0 leaves it out.
        maximum: bonus of a cell that was never left.
        clip: bound on the learned part.
        every: episodes between updates.
        hidden: width of the networks.
        warm_episodes: episodes with a return other than zero before the learned part acts.
        warm_steps: steps after which it acts all the same.
        seed: of the networks.
    """

    copies = 1

    def __init__(
        self,
        *,
        features: int,
        actions: int,
        count: Count | None,
        discount: float = 0.99,
        rate: float = 1e-3,
        baseline_rate: float = 5e-3,
        bonus: float = 1.0,
        maximum: float = 1.0,
        clip: float = 0.1,
        every: int = 20,
        hidden: int = 256,
        warm_episodes: int = 1,
        warm_steps: int = 5000,
        seed: int = 0,
    ) -> None:
        check_discount(discount)
        torch = require("torch", extra="torch", why="NeuralExploRS")
        self.features, self.actions, self.count, self.every = features, actions, count, every
        self.discount, self.bonus, self.clip = discount, bonus, clip
        self.warm_episodes, self.warm_steps = warm_episodes, warm_steps
        self.counts: Floats = np.zeros(count.size if count is not None else 1)
        self.steps, self.fruitful = 0, 0
        self._floor = (bonus / maximum) ** 2 if bonus > 0 else 1.0

        def network(outputs: int) -> Any:
            return torch.nn.Sequential(
                torch.nn.Linear(features, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, outputs)
            )

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network, self.baseline = network(actions), network(1)
        torch.nn.init.zeros_(self.network[2].weight)  # a reward of zero until something was learned
        torch.nn.init.zeros_(self.network[2].bias)
        self._optimiser = torch.optim.Adam(self.network.parameters(), lr=rate)
        self._baseline_optimiser = torch.optim.Adam(self.baseline.parameters(), lr=baseline_rate)

    @property
    def acts(self) -> bool:
        """Whether the learned part is switched on."""
        return self.fruitful >= self.warm_episodes or self.steps >= self.warm_steps

    def designed(self, observation: NDArray[Any]) -> Floats:
        """The learned part for every action: float[N, action]."""
        import torch

        with torch.no_grad():
            return np.asarray(self._designed(self._inputs(observation)).numpy(), dtype=np.float64)

    def shape(  # noqa: D102 - documented on Designer
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
        reward: Floats,
    ) -> Floats:
        shaped = np.asarray(reward, dtype=np.float64)
        if self.bonus > 0 and self.count is not None:
            seen = self.counts[self.count.index(np.asarray(next_observation))]
            shaped = shaped + self.bonus / np.sqrt(self._floor + seen) * ~np.asarray(terminated, dtype=bool)
            np.add.at(self.counts, self.count.index(np.asarray(observation)), 1.0)
        if self.acts:
            shaped = shaped + self.designed(observation)[np.arange(len(shaped)), np.asarray(action)]
        self.steps += len(shaped)
        return shaped

    def update(self, episodes: Episodes, policy: Floats | None = None) -> None:
        """One step of the learned part and of the baseline on the original returns of the window."""
        import torch

        gained = episodes.returns(self.discount)
        self.fruitful += int((gained[:, 0] != 0).sum())
        kept = episodes.present
        inputs = self._inputs(episodes.observations[kept])
        actions = torch.as_tensor(episodes.actions[kept])
        chances = torch.as_tensor(episodes.probabilities[kept], dtype=torch.float32)
        returns = torch.as_tensor(gained[kept], dtype=torch.float32)
        values = self.baseline(inputs)[:, 0]
        weight = chances.gather(1, actions[:, None])[:, 0] * (returns - values.detach())
        designed = self._designed(inputs)
        ahead = designed.gather(1, actions[:, None])[:, 0] - (chances * designed).sum(-1)
        for loss, optimiser in (
            (-(weight * ahead).mean(), self._optimiser),
            (((values - returns) ** 2).mean(), self._baseline_optimiser),
        ):
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    def _inputs(self, observation: NDArray[Any]) -> Any:
        import torch

        flat = np.asarray(observation, dtype=np.float32).reshape(len(observation), -1)
        if flat.shape[1] != self.features:
            raise ValueError(f"NeuralExploRS was made for {self.features} features, got {flat.shape[1]}")
        return torch.as_tensor(flat)

    def _designed(self, inputs: Any) -> Any:
        return self.network(inputs).tanh() * self.clip

    def state_dict(self) -> dict[str, NDArray[Any]]:  # noqa: D102 - documented on Designer
        weights = {
            f"{name}.{key}": value.numpy().copy()
            for name, module in (("network", self.network), ("baseline", self.baseline))
            for key, value in module.state_dict().items()
        }
        return {**weights, "counts": self.counts.copy(), "progress": np.array([self.steps, self.fruitful])}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:  # noqa: D102
        import torch

        expected = self.state_dict()
        if {name: value.shape for name, value in expected.items()} != {name: v.shape for name, v in state.items()}:
            raise ValueError("the state is that of another NeuralExploRS: its names or shapes differ")
        for name, module in (("network", self.network), ("baseline", self.baseline)):
            start = f"{name}."
            module.load_state_dict(
                {key[len(start) :]: torch.as_tensor(v) for key, v in state.items() if key.startswith(start)}
            )
        self.counts = np.array(state["counts"], dtype=np.float64)
        self.steps, self.fruitful = (int(number) for number in state["progress"])
