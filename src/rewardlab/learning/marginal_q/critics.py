"""The critic of one agent: what it reads, its action values, and the policy and the reward that follow from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rewardlab.functional.inverse_q import (
    marginal_action_values,
    recovered_rewards,
    soft_log_policy,
    soft_values,
)
from rewardlab.learning.demonstrations.networks import layers_from, layers_stored
from rewardlab.learning.demonstrations.spaces import SpaceCode
from rewardlab.learning.marginal_q.joint_data import seen_and_mask
from rewardlab.rewards.transitions import TransitionReward


@dataclass(kw_only=True, eq=False)
class AgentCritic:
    """Action values of one agent's own action.

    Args:
        layers: from features to a value for each own action; with `models`, for each own action and joint action of the
            others.
        observation: code of what the agent sees.
        actions: how many it has.
        others: how many actions each of the others has.
        mean, spread: float32[width] by which observations are standardised.
        index: one-hot number of the agent that is put behind its features where critics are shared; empty otherwise.
        models: of the others' actions, from features to logits, one for each of them; empty for a marginal critic.
        temperature: of the policy.
        discount: gamma.
    """

    layers: nn.Sequential
    observation: SpaceCode
    actions: int
    others: tuple[int, ...]
    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    index: tuple[float, ...] = ()
    models: tuple[nn.Sequential, ...] = ()
    temperature: float = 1.0
    discount: float = 0.99

    def features(self, observations: Any) -> tuple[Tensor, Tensor | None]:
        """Standardised rows float32[N, width], and the mask of legal actions bool[N, A] where there is one."""
        seen, legal = seen_and_mask(observations)
        if self.observation.kind == "box" and seen.shape[1:] != self.observation.shape:
            raise ValueError(
                f"the agent sees observations of shape {self.observation.shape}, got {seen.shape[1:]} for "
                f"each of {len(seen)} rows; "
                "a policy or reward of one agent takes that agent's observations, [N, ...]"
            )
        rows = (self.observation.encode(seen) - self.mean) / self.spread
        if self.index:
            rows = np.concatenate([rows, np.tile(np.asarray(self.index, np.float32), (len(rows), 1))], 1)
        return torch.from_numpy(rows), None if legal is None else torch.from_numpy(legal)

    def joint_values(self, rows: Tensor, layers: nn.Sequential | None = None) -> Tensor:
        """float[N, A, B], for each own action and each joint action of the others; a joint critic only."""
        found: Tensor = (layers or self.layers)(rows)
        return found.unflatten(-1, (self.actions, -1))

    def others_policy(self, rows: Tensor) -> Tensor:
        """float[N, B], how likely the models hold each joint action of the others."""
        joint = torch.ones(len(rows), 1)
        with torch.no_grad():
            for model in self.models:
                likely = torch.softmax(model(rows), -1)
                joint = (joint.unsqueeze(-1) * likely.unsqueeze(-2)).flatten(-2)
        return joint

    def action_values(self, rows: Tensor, layers: nn.Sequential | None = None) -> Tensor:
        """float[N, A]; a joint critic is averaged over its models of the others."""
        if not self.models:
            found: Tensor = (layers or self.layers)(rows)
            return found
        return marginal_action_values(self.joint_values(rows, layers), self.others_policy(rows))

    @torch.no_grad()
    def values(self, observations: Any) -> NDArray[np.float64]:
        """Soft values of N observations."""
        rows, legal = self.features(observations)
        found = soft_values(self.action_values(rows), temperature=self.temperature, legal=legal)
        return found.double().numpy()

    def stored(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Options and arrays, from which `from_stored` builds the critic again."""
        arrays = {f"layers.{name}": value for name, value in layers_stored(self.layers).items()}
        for number, model in enumerate(self.models):
            arrays |= {f"model{number}.{name}": value for name, value in layers_stored(model).items()}
        arrays |= {"mean": self.mean, "spread": self.spread}
        options = {
            "observation": self.observation.describe(),
            "actions": self.actions,
            "others": list(self.others),
            "index": list(self.index),
            "models": len(self.models),
            "temperature": self.temperature,
            "discount": self.discount,
        }
        return options, arrays

    @classmethod
    def from_stored(cls, options: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> AgentCritic:
        """Build a critic from what `stored` gave."""
        return cls(
            layers=layers_from(arrays, "relu", "layers."),
            observation=SpaceCode.from_description(options["observation"]),
            actions=options["actions"],
            others=tuple(options["others"]),
            mean=arrays["mean"],
            spread=arrays["spread"],
            index=tuple(options["index"]),
            models=tuple(layers_from(arrays, "relu", f"model{number}.") for number in range(options["models"])),
            temperature=options["temperature"],
            discount=options["discount"],
        )


@dataclass(kw_only=True, eq=False)
class MarginalPolicy:
    """The Boltzmann policy of one agent's action values.

    Args:
        critic: of the agent.
        seed: of the actions that are drawn when `act` is not deterministic.
    """

    critic: AgentCritic
    seed: int = 0

    kind: ClassVar[str] = "marginal_policy"

    def __post_init__(self) -> None:
        self.generator = np.random.default_rng(self.seed)

    @torch.no_grad()
    def logprobs(self, observations: Any) -> NDArray[np.float64]:
        """Log-probabilities of all actions, float64[N, A]."""
        rows, legal = self.critic.features(observations)
        values = self.critic.action_values(rows)
        return soft_log_policy(values, temperature=self.critic.temperature, legal=legal).double().numpy()

    def act(self, observations: Any, deterministic: bool = False) -> NDArray[Any]:
        """Actions for N observations, as the environment takes them."""
        logs = self.logprobs(observations)
        if not deterministic:
            logs = logs + self.generator.gumbel(size=logs.shape)
        return logs.argmax(1)

    def logprob(self, observations: Any, actions: Any) -> NDArray[np.float64]:
        """Log-probability of N actions."""
        chosen = np.asarray(actions).reshape(-1).astype(np.int64)
        return self.logprobs(observations)[np.arange(len(chosen)), chosen]

    def stored(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Options and arrays, from which `from_stored` builds the policy again."""
        options, arrays = self.critic.stored()
        return {"critic": options, "seed": self.seed}, arrays

    @classmethod
    def from_stored(cls, options: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> MarginalPolicy:
        """Build a policy from what `stored` gave."""
        return cls(critic=AgentCritic.from_stored(options["critic"], arrays), seed=options["seed"])


@dataclass(frozen=True, kw_only=True)
class MarginalReward(TransitionReward):
    """The reward of one agent that its action values imply, `Q(s, a) - gamma (1 - d) V(s')`.

    It has no fixed scale: `chi2` draws what the demonstrator earns to at most 2. Compare it with other rewards after
    the best affine fit, or by correlation.

    Args:
        shift: is taken off.
        scale: by which the rest is divided.
    """

    shift: float = 0.0
    scale: float = 1.0

    kind: ClassVar[str] = "marginal_reward"

    @classmethod
    def of(cls, critic: AgentCritic, **options: Any) -> Self:
        """The reward of a critic that is in memory."""
        reward = cls(**options)
        reward.__dict__["critic"] = critic
        return reward

    @cached_property
    def spec_hash(self) -> str | None:
        """None: what it gives is in its critic, which no spec names."""
        return None

    @torch.no_grad()
    def transition(
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """See `TransitionReward.transition`."""
        if "critic" not in self.__dict__:
            raise ValueError(
                "this MarginalReward has no critic; take one from MarginalQ(...).fit(...).reward(i), or load one"
            )
        critic: AgentCritic = self.__dict__["critic"]
        rows, _ = critic.features(observation)
        then, legal = critic.features(next_observation)
        ended = torch.from_numpy(np.asarray(terminated, dtype=bool))
        if legal is not None:  # nothing is legal after an end, and nothing of it counts
            legal = legal | ended.unsqueeze(-1)
        found = recovered_rewards(
            critic.action_values(rows),
            torch.from_numpy(np.asarray(action).reshape(-1).astype(np.int64)),
            soft_values(critic.action_values(then), temperature=critic.temperature, legal=legal),
            ended,
            discount=critic.discount,
        )
        values: NDArray[np.float64] = (found.double().numpy() - self.shift) / self.scale
        return values

    def stored(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Options and arrays, from which `from_stored` builds the reward again."""
        options, arrays = self.__dict__["critic"].stored()
        return {"critic": options, "shift": self.shift, "scale": self.scale}, arrays

    @classmethod
    def from_stored(cls, options: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Build a reward from what `stored` gave."""
        critic = AgentCritic.from_stored(options["critic"], arrays)
        return cls.of(critic, shift=options["shift"], scale=options["scale"])


def write_critics(critics: list[AgentCritic], content: dict[str, Any], directory: str | Path) -> Path:
    """Write critics and what belongs to them: JSON, and arrays without objects."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    described = []
    for number, critic in enumerate(critics):
        options, arrays = critic.stored()
        np.savez(folder / f"agent{number}.npz", allow_pickle=False, **arrays)
        described.append(options)
    (folder / "marginal_q.json").write_text(json.dumps({**content, "agents": described}, indent=1), encoding="utf-8")
    return folder


def read_critics(directory: str | Path) -> tuple[list[AgentCritic], dict[str, Any]]:
    """Read what `write_critics` wrote.

    Raises:
        FileNotFoundError: the directory holds nothing of the kind.
    """
    folder = Path(directory)
    if not (folder / "marginal_q.json").is_file():
        raise FileNotFoundError(f"{folder} holds no marginal_q.json; give a directory that MarginalQFit.save wrote")
    content = json.loads((folder / "marginal_q.json").read_text(encoding="utf-8"))
    critics = []
    for number, options in enumerate(content.pop("agents")):
        with np.load(folder / f"agent{number}.npz", allow_pickle=False) as stored:
            critics.append(AgentCritic.from_stored(options, {name: stored[name] for name in stored.files}))
    return critics, content
