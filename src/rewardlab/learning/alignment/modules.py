"""What an alignment learns: a policy, the weights of the rewards, and a discount; each with an axis of copies in front."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from rewardlab.rewards.models.stacked import Stacked, stacked_layers

Form = Literal["table", "linear", "network"]


class Reading(nn.Module):
    """Numbers read off observations: a table, a linear map, or a network; `[copy, ..., out]`.

    Args:
        form: "table" for whole-number observations, "linear" and "network" for vectors.
        width: how many states a table has, or numbers an observation has.
        out: numbers that are read off.
        copies: how many independent ones.
        start: float[copy, out] or float[out], what is read off everywhere at first.
        hidden: widths of a network.
        seed: of a network's weights.
    """

    def __init__(
        self,
        form: Form,
        width: int,
        out: int,
        *,
        copies: int,
        start: Tensor,
        hidden: Sequence[int] = (64, 64),
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.form, self.width, self.out, self.copies = form, width, out, copies
        start = torch.as_tensor(start, dtype=torch.float32).expand(copies, out)
        if form == "table":
            self.table = nn.Parameter(start[:, None, :].repeat(1, width, 1))
            return
        self.offset = nn.Parameter(start[:, None, :].clone())
        if form == "linear":
            self.slope = nn.Parameter(torch.zeros(copies, width, out))
            return
        members = []
        for copy in range(copies):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed + copy)
                sizes = [width, *hidden]
                layers: list[nn.Module] = []
                for before, after in itertools.pairwise(sizes):
                    layers += [nn.Linear(before, after), nn.Tanh()]
                last = nn.Linear(sizes[-1], out)
                nn.init.zeros_(last.weight)  # everywhere `start` until something is learned
                nn.init.zeros_(last.bias)
            members.append(nn.Sequential(*layers, last))
        self.body = Stacked(members)

    def forward(self, observation: Tensor) -> Tensor:
        """Read off.

        Args:
            observation: int64[copy, ...] for a table, float[copy, ..., width] else.

        Returns:
            float[copy, ..., out].
        """
        if self.form == "table":
            rows = observation.reshape(self.copies, -1)
            found = torch.gather(self.table, 1, rows[..., None].expand(-1, -1, self.out))
            return found.reshape(*observation.shape, self.out)
        rows = observation.reshape(self.copies, -1, self.width).float()
        if self.form == "linear":
            found = torch.baddbmm(self.offset, rows, self.slope)
        else:
            layers = stacked_layers(self.body.frame, rows, own_inputs=True)  # type: ignore[arg-type]
            assert layers is not None  # linear maps and tanh only
            found = layers + self.offset
        return found.reshape(*observation.shape[:-1], self.out)


class Policy(nn.Module, ABC):
    """A policy whose log-probabilities can be differentiated twice."""

    reading: Reading

    @abstractmethod
    def log_probability(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of actions and entropies, both float[copy, ...]."""

    @abstractmethod
    def sample(self, observation: Tensor, generator: torch.Generator, *, deterministic: bool = False) -> Tensor:
        """Actions for observations [copy, ...]."""


class CategoricalPolicy(Policy):
    """Softmax over discrete actions."""

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self.reading = reading

    def log_probability(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        logs = torch.log_softmax(self.reading(observation), dim=-1)
        entropy = -(logs.exp() * logs).sum(-1)
        return logs.gather(-1, action.long()[..., None])[..., 0], entropy

    def sample(self, observation: Tensor, generator: torch.Generator, *, deterministic: bool = False) -> Tensor:  # noqa: D102
        with torch.no_grad():
            logits = self.reading(observation)
            if deterministic:
                return logits.argmax(-1)
            noise = torch.rand(logits.shape, generator=generator).clamp_(min=1e-20)
            return (logits - torch.log(-torch.log(noise))).argmax(-1)  # Gumbel's maximum


class GaussianPolicy(Policy):
    """A normal distribution over continuous actions, with a deviation of its own for each number of an action."""

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self.reading = reading
        self.log_deviation = nn.Parameter(torch.full((reading.copies, 1, reading.out), -0.5))

    def log_probability(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        mean = self.reading(observation)
        log_deviation = self._log_deviation(mean)
        normal = torch.distributions.Normal(mean, log_deviation.exp().expand_as(mean))
        return normal.log_prob(action.to(mean.dtype)).sum(-1), normal.entropy().sum(-1)

    def sample(self, observation: Tensor, generator: torch.Generator, *, deterministic: bool = False) -> Tensor:  # noqa: D102
        with torch.no_grad():
            mean = self.reading(observation)
            if deterministic:
                return mean
            return mean + self._log_deviation(mean).exp() * torch.randn(mean.shape, generator=generator)

    def _log_deviation(self, mean: Tensor) -> Tensor:
        shape = (self.reading.copies, *(1,) * (mean.dim() - 2), self.reading.out)
        return self.log_deviation.reshape(shape)


class Blend(nn.Module):
    """The weights of the rewards, and the discount: what the outer problem learns.

    `r(s, a) = w_0(s) + w_1(s) primary(s, a) + sum_k w_k(s) auxiliary_k(s, a)`.

    Args:
        reading: reads `2 + auxiliaries` weights off an observation.
        discount: float[copy] or a number, at the start.
        bounds: the discount stays between them.
    """

    def __init__(self, reading: Reading, discount: float, *, bounds: tuple[float, float] = (0.5, 0.999)) -> None:
        super().__init__()
        low, high = bounds
        self.reading, self.bounds = reading, bounds
        share = min(max((discount - low) / (high - low), 1e-4), 1 - 1e-4)
        logit = torch.logit(torch.tensor(share, dtype=torch.float64)).float()
        self.discount_logit = nn.Parameter(logit.repeat(reading.copies))

    @property
    def discount(self) -> Tensor:
        """float[copy], between the bounds."""
        low, high = self.bounds
        return low + (high - low) * torch.sigmoid(self.discount_logit)

    def forward(self, observation: Tensor, primary: Tensor, auxiliary: Tensor) -> Tensor:
        """Blended rewards.

        Args:
            observation: [copy, ...] as the reading takes it.
            primary: float[copy, ...].
            auxiliary: float[copy, ..., auxiliaries].

        Returns:
            float[copy, ...].
        """
        weights = self.reading(observation)
        return weights[..., 0] + weights[..., 1] * primary + (weights[..., 2:] * auxiliary).sum(-1)
