"""Random expert distillation: a reward that knows what the expert did, fixed and smooth before any policy is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require
from rewardlab.rewards.models.adversarial import OPTIONS_FILE, read_options
from rewardlab.rewards.models.transition_inputs import EncodedTransitions, TransitionBatch, Transitions
from rewardlab.rewards.spec import register

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS = "networks.safetensors"


@register("distilled")
@dataclass(frozen=True, kw_only=True)
class DistilledReward(EncodedTransitions):
    """How well a transition is known from demonstrations: `exp(-error / scale)` of a network that was taught on them.

    A random network that never learns gives the targets; the error of the taught one is small where it was taught. The
    scale is the spread of the errors before teaching, which is what an unknown point has; the released code of Blondé et
    al. divides by a running spread instead, which moves the reward while the policy learns.

    Source: Wang et al. 2019, "Random Expert Distillation" (arXiv 1905.06750).

    Args:
        hidden: widths of the hidden layers.
        outputs: numbers that the random network gives.
        epochs: passes over the demonstrations.
        batch_size: rows in an update.
        learning_rate: of Adam.
        seed: of both networks and the order.
    """

    hidden: tuple[int, ...] = (100, 100)
    outputs: int = 32
    epochs: int = 200
    batch_size: int = 64
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("outputs", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"DistilledReward: option {name!r} must be at least 1, got {getattr(self, name)}")

    @cached_property
    def networks(self) -> dict[str, nn.Module]:
        """The random network ("target") and the taught one ("student"), made from the seed on first use."""
        torch = require("torch", extra="torch", why="DistilledReward")
        from rewardlab.rewards.models.discriminator import perceptron

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            made: dict[str, nn.Module] = {
                name: perceptron(self.row_width, self.hidden, outputs=self.outputs) for name in ("target", "student")
            }
        made["target"].requires_grad_(False)
        return made

    @cached_property
    def learned(self) -> dict[str, float]:
        """What else was learned: the `scale` of errors; empty before `fit`."""
        return {}

    @cached_property
    def spec_hash(self) -> str | None:
        """None: what the reward gives is in its networks, which no spec names."""
        return None

    def fit(self, expert: Transitions) -> dict[str, float]:
        """Teach the student on demonstrations; called again, it starts anew.

        Args:
            expert: transitions of the demonstrations.

        Returns:
            error_before, error_after (means over the demonstrations) and scale.

        Raises:
            ValueError: there are none, or they are of another space.
        """
        import torch

        rows = torch.from_numpy(self.rows(expert))
        if not len(rows):
            raise ValueError("the expert batch is empty; give at least one transition")
        self.__dict__.pop("networks", None)
        student = self.networks["student"]
        before = self._errors(rows)
        optimiser = torch.optim.Adam(student.parameters(), lr=self.learning_rate)
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            targets = self.networks["target"](rows)
        for _ in range(self.epochs):
            for chosen in torch.randperm(len(rows), generator=generator).split(self.batch_size):
                optimiser.zero_grad(set_to_none=True)
                (student(rows[chosen]) - targets[chosen]).square().mean().backward()
                optimiser.step()
        spread = float(before.std()) if len(rows) > 1 else 0.0
        scale = spread if spread > 1e-6 * float(before.mean()) else float(before.mean())
        self.learned["scale"] = scale or 1.0
        return {
            "error_before": float(before.mean()),
            "error_after": float(self._errors(rows).mean()),
            "scale": scale,
        }

    def _errors(self, rows: Tensor) -> Tensor:
        import torch

        with torch.no_grad():
            return (self.networks["student"](rows) - self.networks["target"](rows)).square().mean(-1)

    def transition(
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """In (0, 1], 1 for what is known best; see `TransitionReward.transition`."""
        batch = TransitionBatch(
            observation=observation, action=action, next_observation=next_observation, terminated=terminated
        )
        return self.of(batch)

    def of(self, batch: Transitions) -> NDArray[np.float64]:
        """The reward of a batch, float64[N].

        Raises:
            ValueError: nothing was learned.
        """
        import torch

        if "scale" not in self.learned:
            raise ValueError(
                "this reward has learned nothing; call fit(TransitionBatch.from_trajectories(demos)) first"
            )
        return np.exp(-self._errors(torch.from_numpy(self.rows(batch))).double().numpy() / self.learned["scale"])

    def named(self, name: str) -> Self:
        """The same reward, with the same networks, under another name."""
        changed = replace(self, name=name)
        for entry in ("networks", "learned"):
            if entry in self.__dict__:
                changed.__dict__[entry] = self.__dict__[entry]
        return changed

    def state_dict(self) -> dict[str, Any]:
        """Weights and scale, by name."""
        weights = {
            f"{name}.{key}": value.detach().clone()
            for name, network in self.networks.items()
            for key, value in network.state_dict().items()
        }
        return {**weights, **self.learned}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave.

        Raises:
            RuntimeError: it is that of other networks.
        """
        for name, network in self.networks.items():
            prefix = f"{name}."
            network.load_state_dict(
                {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            )
        if "scale" in state:
            self.learned["scale"] = float(state["scale"])

    def save(self, directory: str | Path) -> Path:
        """Write options (JSON) and networks (safetensors); returns the directory."""
        st = require("safetensors.torch", extra="torch", why="saving a reward")
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / OPTIONS_FILE).write_text(json.dumps({"type": self.short_name, **asdict(self)}, indent=1) + "\n")
        torch = require("torch", extra="torch", why="saving a reward")
        state = {
            name: torch.tensor(value, dtype=torch.float64) if isinstance(value, float) else value
            for name, value in self.state_dict().items()
        }
        st.save_file(state, str(folder / WEIGHTS))
        return folder

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no saved reward.
            ValueError: the files hold something else.
        """
        st = require("safetensors.torch", extra="torch", why="loading a reward")
        folder = Path(directory)
        reward = cls(**read_options(folder, cls.short_name))
        reward.load_state_dict(st.load_file(str(folder / WEIGHTS)))
        return reward
