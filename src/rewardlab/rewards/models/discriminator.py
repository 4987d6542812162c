"""The network behind an adversarial reward, with its optimiser: what is trained in place, and how one step is taken.

Without a penalty no random number is drawn for it and nothing is added to the loss, so a weight of 0 gives the same weights,
to the bit, as no penalty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from rewardlab.functional.lipschitz import PenaltyPoints, gradient_norms, norm_penalty, penalty_points

CANNOT = "the discriminator cannot be differentiated twice, which a gradient penalty needs"
INSTEAD = "use plain attention instead of a fused one, or penalty=None"


def perceptron(
    width: int, hidden: Sequence[int], *, outputs: int = 1, slope: float = 0.1, spectral_norm: bool = False
) -> nn.Sequential:
    """Leaky rectifiers and a linear head; `spectral_norm` holds the hidden layers to a largest singular value of 1."""
    layers: list[nn.Module] = []
    for size in hidden:
        linear = nn.Linear(width, size)
        layers += [nn.utils.parametrizations.spectral_norm(linear) if spectral_norm else linear, nn.LeakyReLU(slope)]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, outputs))


class LogitNetwork(nn.Module):
    """The logit that a transition is the expert's, from rows of numbers.

    Args:
        reads: columns of a row that the network reads.
        body: from those columns to one number.
        state, following: columns of the state and the next state, for a potential.
        potential: None, or a network of the state whose discounted difference is added (AIRL's shaping).
        discount: of the potential; the last column of a row is 1 where the trajectory goes on.
    """

    def __init__(
        self,
        reads: slice,
        body: nn.Module,
        *,
        state: slice | None = None,
        following: slice | None = None,
        potential: nn.Module | None = None,
        discount: float = 1.0,
    ) -> None:
        super().__init__()
        self.reads, self.state, self.following = reads, state, following
        self.body, self.potential, self.discount = body, potential, discount

    def forward(self, rows: Tensor, *, shaped: bool = True) -> Tensor:
        """Logits, float[row]; without the potential where not `shaped`."""
        logits: Tensor = self.body(rows[..., self.reads]).squeeze(-1)
        if self.potential is None or not shaped:
            return logits
        assert self.state is not None
        assert self.following is not None
        later = rows[..., -1] * self.potential(rows[..., self.following]).squeeze(-1)
        return logits + self.discount * later - self.potential(rows[..., self.state]).squeeze(-1)


@dataclass(slots=True, kw_only=True)
class Penalty:
    """A gradient penalty of a discriminator; see `rewardlab.functional.gradient_penalty`."""

    kind: PenaltyPoints
    weight: float
    target: float
    one_sided: bool
    split: int | None
    noise: float


class Discriminator:
    """A logit network with what it needs to learn.

    Args:
        network: rows to logits.
        learning_rate: of Adam.
        seed: of the penalty's points, the labels and the repeated rows.
    """

    def __init__(self, network: nn.Module, *, learning_rate: float, seed: int) -> None:
        self.network = network
        self.optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
        self.generator = torch.Generator().manual_seed(seed)
        self.updates = 0

    def step(
        self,
        agent: Tensor,
        expert: Tensor,
        *,
        penalty: Penalty | None,
        label_smoothing: tuple[float, float] | None = None,
        entropy: float = 0.0,
        agent_offset: Tensor | None = None,
        expert_offset: Tensor | None = None,
    ) -> dict[str, float]:
        """One update on rows of both sides; the shorter side is filled up with rows drawn again.

        Args:
            agent: float[row, width].
            expert: float[row, width].
            penalty: None for none.
            label_smoothing: bounds between which the expert's labels are drawn; agent labels are always 0.
            entropy: weight of the entropy of the verdicts, which is added.
            agent_offset, expert_offset: float[row], taken off the logits for the verdict (AIRL's log-probabilities).

        Returns:
            loss, accuracies, mean logits and, with a penalty, its value and the lengths of the gradients.

        Raises:
            TypeError: the network cannot be differentiated twice.
        """
        agent, agent_offset = self._filled(agent, agent_offset, len(expert))
        expert, expert_offset = self._filled(expert, expert_offset, len(agent))
        self.network.train()
        logits = self.network(torch.cat([expert, agent]))
        if expert_offset is not None and agent_offset is not None:
            logits = logits - torch.cat([expert_offset, agent_offset])
        real, fake = logits.split([len(expert), len(agent)])
        labels: Tensor | float = 1.0
        if label_smoothing is not None:
            low, high = label_smoothing
            labels = low + (high - low) * torch.rand(real.shape, generator=self.generator)
        loss = (softplus(real) - labels * real).mean() + softplus(fake).mean()
        verdict_entropy = (softplus(logits) - logits * torch.sigmoid(logits)).mean()
        if entropy:
            loss = loss - entropy * verdict_entropy
        metrics: dict[str, float] = {}
        if penalty is not None:
            points = penalty_points(
                agent, expert, penalty.kind, split=penalty.split, noise=penalty.noise, generator=self.generator
            )
            norms = gradient_norms(self.network, points, create_graph=True)
            price = norm_penalty(norms, target=penalty.target, one_sided=penalty.one_sided)
            loss = loss + penalty.weight * price
            if not norms.requires_grad:
                raise TypeError(f"{CANNOT}: its gradient does not depend on its weights; {INSTEAD}")
            lengths = norms.detach()
            metrics = {
                "penalty": float(price.detach()),
                "gradient_mean": float(lengths.mean()),
                "gradient_max": float(lengths.max()),
            }
        self.optimiser.zero_grad(set_to_none=True)
        try:
            loss.backward()
        except RuntimeError as error:
            if "derivative for" not in str(error) and "double backward" not in str(error):
                raise
            raise TypeError(f"{CANNOT} ({error}); {INSTEAD}") from error
        self.optimiser.step()
        self.network.eval()
        self.updates += 1
        real, fake = real.detach(), fake.detach()
        return {
            "loss": float(loss.detach()),
            "expert_accuracy": float((real > 0).float().mean()),
            "agent_accuracy": float((fake < 0).float().mean()),
            "expert_logit": float(real.mean()),
            "agent_logit": float(fake.mean()),
            "entropy": float(verdict_entropy.detach()),
            **metrics,
        }

    def _filled(self, rows: Tensor, offset: Tensor | None, size: int) -> tuple[Tensor, Tensor | None]:
        if len(rows) >= size:
            return rows, offset
        again = torch.randint(len(rows), (size - len(rows),), generator=self.generator)
        return torch.cat([rows, rows[again]]), None if offset is None else torch.cat([offset, offset[again]])

    # ---- on disk --------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Weights, moments of the optimiser and state of the random numbers, by name; contiguous copies."""
        found = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        for place, entry in self.optimiser.state_dict()["state"].items():
            found |= {f"optimiser.{place}.{name}": torch.as_tensor(value) for name, value in entry.items()}
        found["generator"] = self.generator.get_state()
        found["updates"] = torch.tensor(self.updates)
        return {name: value.detach().clone().contiguous() for name, value in found.items()}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `tensors` gave.

        Raises:
            ValueError: the tensors are those of another network.
        """
        prefix = "network."
        weights = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        own = self.network.state_dict()
        if {name: value.shape for name, value in own.items()} != {name: one.shape for name, one in weights.items()}:
            raise ValueError(
                f"the saved discriminator has the weights {_shapes(weights)}, and this one has {_shapes(own)}; build it "
                "with the same options"
            )
        self.network.load_state_dict(weights)
        state: dict[int, dict[str, Any]] = {}
        for name, value in tensors.items():
            if name.startswith("optimiser."):
                _, place, entry = name.split(".", 2)
                state.setdefault(int(place), {})[entry] = value.clone()
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.generator.set_state(tensors["generator"].to(torch.uint8).cpu())
        self.updates = int(tensors["updates"])
        self.network.eval()


def _shapes(weights: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {tuple(value.shape)}" for name, value in weights.items())
