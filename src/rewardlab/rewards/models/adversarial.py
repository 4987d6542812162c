"""Adversarial rewards: what a discriminator thinks of a transition, learned while the policy learns.

The network is reached through the reward and trained in place by `fit_step`, so it stands in one place only, and whatever
holds the reward (an environment wrapper, a replay buffer, a sum of rewards) sees its newest weights. For the same reason
scores are never cached or trusted to repeat: `deterministic` is False. `frozen()` gives a copy that learns no more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require
from rewardlab.rewards.models.transition_inputs import EncodedTransitions, Rows, TransitionBatch, Transitions
from rewardlab.rewards.spec import UnwritableReward, register

if TYPE_CHECKING:
    from rewardlab.rewards.models.discriminator import Discriminator

Form = Literal["softplus", "logit", "log", "both"]
OPTIONS_FILE, WEIGHTS_FILE = "reward.json", "discriminator.safetensors"


@register("adversarial")
@dataclass(frozen=True, kw_only=True)
class AdversarialReward(EncodedTransitions):
    """How much a transition looks like the expert's, by a discriminator with a smooth logit.

    Use `AdversarialReward.for_spaces(environment.observation_space, environment.action_space)`, which fills in the widths.

    Source: Ho and Ermon 2016 (GAIL, arXiv 1606.03476); penalty, forms and defaults as in Blondé et al. 2022 (arXiv
    2006.16785); with `form="logit"`, `potential` and log-probabilities in the batches, Fu et al. 2018 (AIRL, arXiv
    1710.11248).

    Args:
        penalty: where the length of the logit's gradient is penalised: on segments between agent and expert ("wgan"), around
            expert points ("dragan"), around agent points ("nagard"), or None.
        weight: of the penalty; 0 is the same as None.
        target: the length that is wanted.
        one_sided: whether shorter gradients cost nothing.
        halves: whether state and action have shares of their own on a segment.
        noise: standard deviation around points, for "dragan" and "nagard".
        spectral_norm: whether the hidden layers are held to a largest singular value of 1.
        form: `-log(1 - D)`, never negative ("softplus"); `log D - log(1 - D)` ("logit", and computed from its two halves
            "both"); `log D`, never positive ("log").
        label_smoothing: bounds between which the expert's labels are drawn, such as (0.7, 1.2).
        entropy: weight of the entropy of the verdicts in the loss.
        potential: discount of a learned potential of the state (AIRL); None for none.
        hidden: widths of the hidden layers.
        learning_rate: of Adam.
        seed: of the weights and of all that is drawn.
        learning: False for a reward whose network stays as it is.
    """

    penalty: Literal["wgan", "dragan", "nagard"] | None = "wgan"
    weight: float = 10.0
    target: float = 1.0
    one_sided: bool = True
    halves: bool = False
    noise: float = 10.0
    spectral_norm: bool = False
    form: Form = "softplus"
    label_smoothing: tuple[float, float] | None = None
    entropy: float = 1e-3
    potential: float | None = None
    hidden: tuple[int, ...] = (100, 100)
    learning_rate: float = 5e-4
    seed: int = 0
    learning: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, good, wanted in (
            ("weight", self.weight >= 0, "not negative"),
            ("target", self.target >= 0, "not negative"),
            ("noise", self.noise >= 0, "not negative"),
            ("learning_rate", self.learning_rate > 0, "positive"),
            ("potential", self.potential is None or 0 <= self.potential <= 1, "a discount in [0, 1]"),
            ("hidden", bool(self.hidden) and min(self.hidden) > 0, "at least one positive width"),
            (
                "label_smoothing",
                self.label_smoothing is None or 0 <= self.label_smoothing[0] <= self.label_smoothing[1],
                "two bounds (low, high), not negative",
            ),
            (
                "halves",
                not self.halves or self.inputs != "s",
                "False with inputs='s', which have no second half",
            ),
        ):
            if not good:
                raise ValueError(f"AdversarialReward: option {name!r} must be {wanted}, got {getattr(self, name)!r}")

    # ---- the reward -----------------------------------------------------------------------------------------------------

    @property
    def deterministic(self) -> bool:
        """The same transition is worth something else after a step of learning, so nothing may be cached."""
        return not self.learning

    @cached_property
    def spec_hash(self) -> str | None:
        """None: what the reward gives is in its network, which no spec names."""
        return None

    def transition(
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """The reward by the discriminator as it is now; see `TransitionReward.transition`."""
        batch = TransitionBatch(
            observation=observation, action=action, next_observation=next_observation, terminated=terminated
        )
        return self.of(batch)

    def of(self, batch: Transitions) -> NDArray[np.float64]:
        """The reward of a batch; unlike `transition` it knows transitions in the absorbing state. float64[N]."""
        return self.in_form(self.logits(batch))

    def logits(self, batch: Transitions, *, shaped: bool = True) -> NDArray[np.float64]:
        """Log-odds that transitions are the expert's, float64[N]; without the potential where not `shaped`."""
        import torch

        rows = self.rows(batch)
        if not len(rows):
            return np.zeros(0)
        with torch.no_grad():
            return self.discriminator.network(torch.from_numpy(rows), shaped=shaped).double().numpy()

    def in_form(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logits as rewards; softplus of the logit instead of logarithms, so that nothing overflows."""
        logits = np.asarray(logits, dtype=np.float64)
        if self.form == "logit":
            return logits
        agent = np.logaddexp(0.0, logits)  # -log(1 - D)
        expert = -np.logaddexp(0.0, -logits)  # log D
        return {"softplus": agent, "log": expert, "both": agent + expert}[self.form]

    @property
    def absorbing_value(self) -> float:
        """Reward of one step in the absorbing state, for a reward that has one.

        Raises:
            ValueError: the reward was made without `absorbing=True`.
        """
        if not self.absorbing:
            raise ValueError("the reward knows no absorbing state; make it with absorbing=True")
        nothing = np.zeros((1, self.observation_width))
        seen = np.full(1, self.observation_start) if self.discrete_observations else nothing
        done = np.full(1, self.action_start) if self.discrete_actions else np.zeros((1, self.action_width))
        batch = TransitionBatch(
            observation=seen,
            action=done,
            next_observation=seen,
            terminated=np.ones(1, dtype=bool),
            absorbing=np.ones(1, dtype=bool),
        )
        return float(self.of(batch)[0])

    # ---- learning -------------------------------------------------------------------------------------------------------

    @cached_property
    def discriminator(self) -> Discriminator:
        """The network and its optimiser, made from the seed on first use."""
        torch = require("torch", extra="torch", why="AdversarialReward")
        from rewardlab.rewards.models.discriminator import Discriminator, LogitNetwork, perceptron

        width = self.state_width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            body = perceptron(self.row_width, self.hidden, spectral_norm=self.spectral_norm)
            shaped: dict[str, Any] = {}
            if self.potential is not None:
                ends = sum(width if letter != "a" else self.action_width for letter in self._letters())
                shaped = {
                    "potential": perceptron(width, self.hidden, spectral_norm=self.spectral_norm),
                    "state": slice(0, width),
                    "following": slice(ends - width, ends),
                    "discount": self.potential,
                }
            network = LogitNetwork(slice(0, self.row_width), body, **shaped)
        network.eval()
        return Discriminator(network, learning_rate=self.learning_rate, seed=self.seed)

    def rows(self, batch: Transitions) -> Rows:
        """Transitions as rows of numbers; with a potential, the last column says whether the trajectory goes on."""
        rows = super().rows(batch)
        if self.potential is None:
            return rows
        # with an absorbing state the trajectory goes on there
        ended = np.zeros(len(rows)) if self.absorbing else np.asarray(batch.terminated, dtype=np.float64)
        return np.concatenate([rows, 1.0 - ended[:, None]], axis=1).astype(np.float32)

    def _letters(self) -> tuple[str, ...]:
        letters = super()._letters()
        return letters if self.potential is None or "n" in letters else (*letters, "n")

    def fit_step(self, agent_batch: Transitions, expert_batch: Transitions) -> dict[str, float]:
        """One update of the discriminator.

        Args:
            agent_batch: transitions of the policy, usually drawn from its replay buffer.
            expert_batch: transitions of the demonstrations; the shorter of both is filled up with rows drawn again. For
                AIRL both have a column `log_probability`.

        Returns:
            Metrics: loss, expert_accuracy, agent_accuracy, expert_logit, agent_logit, entropy, agent_reward (mean before the
            update), and with a penalty penalty, gradient_mean and gradient_max at its points.

        Raises:
            ValueError: a batch is empty or of another space, one alone has log-probabilities, or the reward is frozen.
            TypeError: the network cannot be differentiated twice.
        """
        import torch

        from rewardlab.rewards.models.discriminator import Penalty

        if not self.learning:
            raise ValueError("this reward is frozen; learn with the one that it was copied from")
        agent, expert = self.rows(agent_batch), self.rows(expert_batch)
        for name, rows in (("agent", agent), ("expert", expert)):
            if not len(rows):
                raise ValueError(f"the {name} batch is empty; give at least one transition")
        offsets = [getattr(batch, "log_probability", None) for batch in (agent_batch, expert_batch)]
        if (offsets[0] is None) != (offsets[1] is None):
            raise ValueError(
                "one of the batches has log-probabilities and the other has none; AIRL needs those of the agent's policy "
                "for both"
            )
        penalty = None
        if self.penalty is not None and self.weight:
            penalty = Penalty(
                kind=self.penalty,
                weight=self.weight,
                target=self.target,
                one_sided=self.one_sided,
                split=self.state_width if self.halves else None,
                noise=self.noise,
            )
        agent_offset, expert_offset = (
            None if one is None else torch.as_tensor(np.asarray(one), dtype=torch.float32) for one in offsets
        )
        metrics = self.discriminator.step(
            torch.from_numpy(agent),
            torch.from_numpy(expert),
            penalty=penalty,
            label_smoothing=self.label_smoothing,
            entropy=self.entropy,
            agent_offset=agent_offset,
            expert_offset=expert_offset,
        )
        return metrics

    def gradient_norms(self, batch: Transitions) -> NDArray[np.float64]:
        """Length of the logit's gradient at transitions, in the scale that the discriminator reads; float64[N]."""
        import torch

        from rewardlab.functional.lipschitz import gradient_norms

        return gradient_norms(self.discriminator.network, torch.from_numpy(self.rows(batch))).double().numpy()

    def diagnostics(self, agent: Transitions, expert: Transitions, held_out: Transitions) -> dict[str, float]:
        """What a run is watched by: does the discriminator overfit, and is it smooth where the policy is?

        Args:
            agent: transitions of the policy, from the buffer.
            expert: demonstrations that the discriminator learns from.
            held_out: demonstrations that it never saw.

        Returns:
            expert_accuracy, held_out_accuracy, agent_accuracy, overfitting (first minus second), gradient_max and
            gradient_mean on segments between agent and expert, validity (share of the agent's points where the gradient is
            no longer than the target), agent_reward.
        """
        import torch

        from rewardlab.functional.lipschitz import gradient_norms, penalty_points

        real, fake = torch.from_numpy(self.rows(expert)), torch.from_numpy(self.rows(agent))
        size = max(len(real), len(fake))
        near, far = (rows[torch.arange(size) % len(rows)] for rows in (fake, real))
        points = penalty_points(near, far, generator=torch.Generator().manual_seed(self.seed))
        norms = gradient_norms(self.discriminator.network, points)
        known, unknown = (float((self.logits(one) > 0).mean()) for one in (expert, held_out))
        logits = self.logits(agent)
        return {
            "expert_accuracy": known,
            "held_out_accuracy": unknown,
            "overfitting": known - unknown,
            "agent_accuracy": float((logits < 0).mean()),
            "gradient_mean": float(norms.mean()),
            "gradient_max": float(norms.max()),
            "validity": float((self.gradient_norms(agent) <= self.target).mean()),
            "agent_reward": float(self.in_form(logits).mean()),
        }

    # ---- copies and files -----------------------------------------------------------------------------------------------

    def frozen(self) -> Self:
        """A copy with the weights of now, which does not learn and whose scores repeat."""
        copy = replace(self, learning=False)
        copy.__dict__["discriminator"] = deepcopy(self.discriminator)
        return copy

    def named(self, name: str) -> Self:
        """The same reward, with the same network, under another name."""
        return self._with(name=name)

    def _with(self, **changes: Any) -> Self:
        changed = replace(self, **changes)
        shape = (
            "observation_width",
            "action_width",
            "inputs",
            "absorbing",
            "potential",
            "hidden",
            "spectral_norm",
            "seed",
        )
        if "discriminator" in self.__dict__ and not set(changes) & {*shape, "learning_rate"}:
            changed.__dict__["discriminator"] = self.discriminator
        return changed

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser and random numbers, as tensors by name."""
        return self.discriminator.tensors()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave.

        Raises:
            ValueError: it is that of another network.
        """
        self.discriminator.load_tensors(state)

    def to_spec(self) -> dict[str, Any]:
        """The options as plain values; refused once the network has learned, which a spec would lose."""
        if "discriminator" in self.__dict__ and self.discriminator.updates:
            raise UnwritableReward(
                f"{self.label} has learned in {self.discriminator.updates} steps, which a spec cannot hold; use "
                "save(directory) and AdversarialReward.load(directory)"
            )
        return super().to_spec()

    def save(self, directory: str | Path) -> Path:
        """Write options (JSON) and weights with the optimiser's state (safetensors); returns the directory."""
        st = require("safetensors.torch", extra="torch", why="saving a reward")
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / OPTIONS_FILE).write_text(json.dumps({"type": self.short_name, **asdict(self)}, indent=1) + "\n")
        st.save_file(self.discriminator.tensors(), str(folder / WEIGHTS_FILE))
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
        reward.discriminator.load_tensors(st.load_file(str(folder / WEIGHTS_FILE)))
        return reward


def read_options(folder: Path, kind: str) -> dict[str, Any]:
    """The options of a saved reward, after a look at its kind."""
    file = folder / OPTIONS_FILE
    if not file.is_file():
        raise FileNotFoundError(f"{folder} holds no saved reward: there is no {OPTIONS_FILE} in it")
    options = json.loads(file.read_text())
    if not isinstance(options, dict) or options.pop("type", None) != kind:
        raise ValueError(f"{file} holds no reward of the type {kind!r}")
    return options
