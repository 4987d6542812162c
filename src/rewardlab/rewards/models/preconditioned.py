"""Pessimistic preconditioning: a reward times a number in (0, 1] that is small where its value function could be steep."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require
from rewardlab.rewards.base import Reward
from rewardlab.rewards.models.transition_inputs import EncodedTransitions, TransitionBatch, Transitions
from rewardlab.rewards.spec import register
from rewardlab.rewards.transitions import TransitionReward

if TYPE_CHECKING:
    from torch import Tensor, nn

Kappa = Literal["dynamics", "reward"] | Callable[..., Any]


def precondition(
    reward: TransitionReward, kappa: Kappa = "dynamics", *, floor: float = 0.7, **options: Any
) -> Preconditioned:
    """Shrink a reward where the world, or the reward itself, is steep.

    Args:
        reward: any reward of transitions.
        kappa: where to shrink: by the Jacobian of a learned model of the dynamics ("dynamics", which `fit_step` trains),
            by the gradient of the reward's own discriminator ("reward"), or by a function of `observation`, `action`,
            `next_observation` and `terminated` that returns numbers in (0, 1].
        floor: the smallest multiplier.
        options: any other field of `Preconditioned`.
    """
    return Preconditioned(reward=reward, kappa=kappa, floor=floor, **options)


@register("preconditioned")
@dataclass(frozen=True, kw_only=True)
class Preconditioned(TransitionReward):
    """A reward times a multiplier in [floor, 1]; see `precondition`.

    Source: "PURPLE" in Blondé et al. 2022 (arXiv 2006.16785), with the multiplier of its released code. Here the length of
    the Jacobian is its Frobenius norm, as in the paper's theory.

    Args:
        reward: what is multiplied.
        kappa: "dynamics", "reward", or a function.
        floor: the smallest multiplier, in (0, 1].
        target: length of the gradient up to which nothing is taken off; None for 9 with "dynamics" and 1 with "reward".
        window: batches over which the excess is brought to its own spread, with "dynamics".
        hidden: widths of the hidden layers of the model of the dynamics.
        learning_rate: of that model.
        seed: of that model.
    """

    reward: Reward
    kappa: Any = "dynamics"
    floor: float = 0.7
    target: float | None = None
    window: int = 10
    hidden: tuple[int, ...] = (100, 100)
    learning_rate: float = 5e-4
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.reward, TransitionReward):
            raise TypeError(
                f"precondition needs a TransitionReward (a class with `transition`), got {self.reward.label!r}"
            )
        if not 0 < self.floor <= 1:
            raise ValueError(f"Preconditioned: option 'floor' must be in (0, 1], got {self.floor}")
        if not callable(self.kappa) and self.kappa not in ("dynamics", "reward"):
            raise ValueError(
                f"Preconditioned: option 'kappa' must be 'dynamics', 'reward' or a function, got {self.kappa!r}"
            )
        if self.kappa == "reward" and not hasattr(self.reward, "gradient_norms"):
            raise TypeError(
                f"kappa='reward' needs a reward that knows its gradient, such as AdversarialReward, got "
                f"{self.reward.label!r}"
            )

    @property
    def deterministic(self) -> bool:
        """A model that learns gives other multipliers later."""
        return self.kappa != "dynamics" and self.reward.deterministic

    def children(self) -> dict[str, Reward]:
        """The reward that is multiplied."""
        return {"reward": self.reward}

    def transition(
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """The reward times its multiplier; see `TransitionReward.transition`."""
        assert isinstance(self.reward, TransitionReward)
        columns = {
            "observation": observation,
            "action": action,
            "next_observation": next_observation,
            "terminated": terminated,
        }
        inner = self.reward.transition(**columns)
        return np.asarray(inner, dtype=np.float64) * self.multiplier(TransitionBatch(**columns))

    def multiplier(self, batch: Transitions) -> NDArray[np.float64]:
        """What the reward is multiplied by, float64[N] in [floor, 1]; 1 before the model of the dynamics has learned.

        Raises:
            ValueError: a function gave numbers outside (0, 1].
        """
        import torch

        from rewardlab.functional.lipschitz import pessimism

        if callable(self.kappa):
            found = np.asarray(
                self.kappa(
                    observation=batch.observation,
                    action=batch.action,
                    next_observation=batch.next_observation,
                    terminated=batch.terminated,
                ),
                dtype=np.float64,
            )
            if found.shape != (len(batch.observation),) or not ((found > 0) & (found <= 1)).all():
                raise ValueError(
                    f"kappa must return {len(batch.observation)} numbers in (0, 1], got shape {found.shape} from "
                    f"{found.min() if found.size else None} to {found.max() if found.size else None}"
                )
            return np.maximum(found, self.floor)
        if self.kappa == "reward":
            norms = torch.from_numpy(self.reward.gradient_norms(batch))  # type: ignore[attr-defined]
            return pessimism(norms, target=self._target, floor=self.floor).numpy()
        if not self.dynamics.ready:
            return np.ones(len(batch.observation))
        lengths = self.dynamics.lengths(self._rows(batch)).double()
        return pessimism(lengths, target=self._target, scale=self.dynamics.scale, floor=self.floor).numpy()

    def fit_step(self, agent_batch: Transitions, expert_batch: Transitions | None = None) -> dict[str, float]:
        """One update of the model of the dynamics, and of the reward where it learns and an expert batch is given.

        Returns:
            The reward's metrics, and with "dynamics" dynamics_loss and dynamics_length (mean length of the Jacobian).
        """
        import torch

        metrics: dict[str, float] = {}
        if expert_batch is not None and hasattr(self.reward, "fit_step"):
            metrics |= self.reward.fit_step(agent_batch, expert_batch)
        if self.kappa == "dynamics":
            following = torch.from_numpy(self._state(agent_batch, "n"))
            metrics |= self.dynamics.step(self._rows(agent_batch), following, target=self._target)
        return metrics

    @property
    def _target(self) -> float:
        return self.target if self.target is not None else (9.0 if self.kappa == "dynamics" else 1.0)

    @cached_property
    def dynamics(self) -> Dynamics:
        """The model of the dynamics, made on first use."""
        require("torch", extra="torch", why="precondition")
        return Dynamics(self.hidden, learning_rate=self.learning_rate, seed=self.seed, window=self.window)

    def _rows(self, batch: Transitions) -> Tensor:
        import torch

        return torch.from_numpy(np.concatenate([self._state(batch, "s"), self._state(batch, "a")], axis=1))

    def _state(self, batch: Transitions, letter: str) -> NDArray[np.float32]:
        if isinstance(self.reward, EncodedTransitions):
            return self.reward.part(letter, batch)
        column = np.asarray({"s": batch.observation, "a": batch.action, "n": batch.next_observation}[letter])
        return column.reshape(len(column), -1).astype(np.float32)

    def state_dict(self) -> dict[str, Any]:
        """State of the reward and of the model of the dynamics."""
        state = super().state_dict()
        if "dynamics" in self.__dict__ and self.dynamics.network is not None:
            state["dynamics"] = self.dynamics.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict({name: entry for name, entry in state.items() if name != "dynamics"})
        if "dynamics" in state:
            self.dynamics.load_state_dict(state["dynamics"])


class Dynamics:
    """A model of the next state, with the length of its Jacobian; made when the first batch shows its widths."""

    def __init__(self, hidden: tuple[int, ...], *, learning_rate: float, seed: int, window: int) -> None:
        self.hidden, self.learning_rate, self.seed = hidden, learning_rate, seed
        self.network: nn.Module | None = None
        self.optimiser: Any = None
        self.excesses: deque[float] = deque(maxlen=window)

    @property
    def ready(self) -> bool:
        """Whether there was a step."""
        return self.network is not None

    @property
    def scale(self) -> float:
        """Spread of the mean excess over the last batches; 1 where it has none."""
        spread = float(np.std(self.excesses)) if len(self.excesses) > 1 else 0.0
        return spread if spread > 1e-8 else 1.0

    def step(self, rows: Tensor, following: Tensor, *, target: float) -> dict[str, float]:
        """One update on states with actions, and the states that followed."""
        import torch

        if self.network is None:
            self._make(rows.shape[1], following.shape[1])
        assert self.network is not None
        lengths = self.lengths(rows)
        self.excesses.append(float((lengths - target).clamp(min=0.0).square().mean()))
        loss = (self.network(rows) - following).square().mean()
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimiser.step()
        return {"dynamics_loss": float(loss.detach()), "dynamics_length": float(lengths.mean())}

    def lengths(self, rows: Tensor) -> Tensor:
        """Frobenius norm of the Jacobian of the next state with respect to state and action, float[row]."""
        import torch

        assert self.network is not None
        inputs = rows.detach().requires_grad_(True)
        with torch.enable_grad():
            outputs = self.network(inputs)
            squares = torch.zeros(len(rows))
            for column in range(outputs.shape[1]):
                (gradient,) = torch.autograd.grad(
                    outputs[:, column].sum(), inputs, retain_graph=column + 1 < outputs.shape[1]
                )
                squares = squares + gradient.square().sum(-1)
        return squares.sqrt()

    def _make(self, inputs: int, outputs: int) -> None:
        import torch

        from rewardlab.rewards.models.discriminator import perceptron

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = perceptron(inputs, self.hidden, outputs=outputs)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=self.learning_rate)

    def state_dict(self) -> dict[str, Any]:
        """Weights and the last excesses; the optimiser starts anew."""
        assert self.network is not None
        return {"weights": dict(self.network.state_dict()), "excesses": list(self.excesses)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        weights = state["weights"]
        names = [name for name in weights if name.endswith("weight")]
        self._make(weights[names[0]].shape[1], weights[names[-1]].shape[0])
        assert self.network is not None
        self.network.load_state_dict(weights)
        self.excesses.clear()
        self.excesses.extend(state["excesses"])
