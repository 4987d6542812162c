"""Adversarial imitation from a replay buffer: TD3 on a reward that a discriminator learns along.

The environment's steps are used many times over, so the discriminator soon knows the few expert points by heart unless its
gradient is held short. Rewards of replayed steps are those of the present discriminator; ends by a time limit bootstrap.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from rewardlab.extras import require
from rewardlab.learning.demonstrations.base import Imitation, Run, positive
from rewardlab.learning.demonstrations.networks import NetworkPolicy
from rewardlab.learning.demonstrations.spaces import Columns
from rewardlab.rewards.models.adversarial import AdversarialReward, Form
from rewardlab.rewards.models.distilled import DistilledReward
from rewardlab.rewards.models.preconditioned import precondition
from rewardlab.rewards.models.transition_inputs import TransitionBatch


@dataclass(frozen=True, kw_only=True)
class OffPolicyGAIL(Imitation):
    """Imitation by TD3 and an adversarial reward with a short gradient.

    Source: Blondé et al. 2022, "Lipschitzness Is All You Need To Tame Off-policy Generative Adversarial Imitation Learning"
    (arXiv 2006.16785); absorbing states as in Kostrikov et al. 2019 (DAC, arXiv 1809.02925), with the value of staying there
    for ever computed instead of learned.

    Args:
        subsample: every so many steps of a demonstration are kept, from a random one on; 1 for all.
        n_steps: rewards that are added up before the value is asked.
        penalty, weight, form, inputs, spectral_norm, label_smoothing, entropy: of the reward; see `AdversarialReward`.
        reward: a discriminator that learns along ("adversarial"), or a reward that is fitted to the demonstrations before
            and stays ("distilled"; see `DistilledReward`), which reads `inputs`, `reward_hidden` and
            `reward_learning_rate` alone.
        precondition: whether the reward is shrunk where the dynamics ("dynamics") or the reward ("reward") are steep, as by
            `rl.precondition`; what comes back is the reward without it. None for no.
        absorbing: whether ends are worth something of their own; with the plain adversarial reward alone.
        reward_hidden: widths of the discriminator's hidden layers.
        reward_learning_rate: of the discriminator, which has one update for each of the policy.
        hidden: widths of the hidden layers of actor and critics.
        learning_rate: of actor and critics.
        batch_size: of every update.
        buffer_size: steps that are kept.
        learning_starts: random steps before the first update.
        gamma: discount.
        tau: share by which the target networks follow.
        noise: standard deviation of exploration, in actions scaled to [-1, 1].
        report_every: steps between lines of the history.
    """

    short_name: ClassVar[str] = "off_policy_gail"

    subsample: int = 20
    n_steps: int = 10
    penalty: Literal["wgan", "dragan", "nagard"] | None = "wgan"
    weight: float = 10.0
    form: Form = "softplus"
    inputs: Literal["sa", "ss", "sas", "s"] = "sa"
    spectral_norm: bool = False
    label_smoothing: tuple[float, float] | None = None
    entropy: float = 1e-3
    reward: Literal["adversarial", "distilled"] = "adversarial"
    precondition: Literal["dynamics", "reward"] | None = None
    absorbing: bool = False
    reward_hidden: tuple[int, ...] = (100, 100)
    reward_learning_rate: float = 5e-4
    hidden: tuple[int, ...] = (64, 64)
    learning_rate: float = 1e-3
    batch_size: int = 64
    buffer_size: int = 100_000
    learning_starts: int = 1_000
    gamma: float = 0.98
    tau: float = 0.005
    noise: float = 0.3
    report_every: int = 1_000

    def __post_init__(self) -> None:
        positive(
            "OffPolicyGAIL",
            **{
                name: float(getattr(self, name))
                for name in ("subsample", "n_steps", "batch_size", "buffer_size", "learning_rate", "report_every")
            },
        )
        if self.reward not in ("adversarial", "distilled") or self.precondition not in ("dynamics", "reward", None):
            raise ValueError(
                "OffPolicyGAIL: option 'reward' must be 'adversarial' or 'distilled', and 'precondition' 'dynamics', "
                f"'reward' or None, got {self.reward!r} and {self.precondition!r}"
            )
        if self.absorbing and (self.reward != "adversarial" or self.precondition is not None):
            raise ValueError(
                "OffPolicyGAIL: option 'absorbing' goes with reward='adversarial' and precondition=None alone"
            )
        if not 0 < self.gamma < 1:
            raise ValueError(f"OffPolicyGAIL: option 'gamma' must be in (0, 1), got {self.gamma}")

    def _fit(self, run: Run) -> dict[str, Any]:
        require("stable_baselines3", extra="control", why="Imitation from a replay buffer")
        if run.action.kind != "box":
            raise TypeError(
                f"TD3 acts in boxes, and this environment has {run.action.count} discrete actions; use GAIL or AIRL, or "
                "RelabellingReplayBuffer with a learner for discrete actions (DQN)"
            )
        from stable_baselines3 import TD3
        from stable_baselines3.common.noise import NormalActionNoise

        from rewardlab.learning.demonstrations.relabelling_buffer import RelabellingReplayBuffer
        from rewardlab.learning.demonstrations.watching import Watch

        environment = single(run.environment)
        expert, held_out = subsampled(run.columns, self.subsample, run.seed, absorbing=self.absorbing)
        learned = self._reward(environment, run.seed)
        if isinstance(learned, DistilledReward):
            run.note(steps=0, **learned.fit(expert))
        reward = learned if self.precondition is None else precondition(learned, self.precondition, seed=run.seed)
        form = self.form if self.reward == "adversarial" else "softplus"  # the sign of a distilled reward
        warn_of_survival_bias(form, absorbing=self.absorbing, expert_ends=bool(run.columns.terminated.any()))
        width = run.action.width
        model = TD3(
            "MlpPolicy",
            environment,
            learning_rate=self.learning_rate,
            buffer_size=self.buffer_size,
            learning_starts=self.learning_starts,
            batch_size=self.batch_size,
            tau=self.tau,
            gamma=self.gamma,
            action_noise=NormalActionNoise(np.zeros(width), np.full(width, self.noise)),
            replay_buffer_class=RelabellingReplayBuffer,
            replay_buffer_kwargs={"reward": reward, "n_steps": self.n_steps, "gamma": self.gamma},
            policy_kwargs={"net_arch": list(self.hidden)},
            seed=run.seed,
            device="cpu",
        )
        watch = Watch(self, reward, expert, held_out, run)
        model.learn(run.steps, callback=watch)
        watch.report()
        run.done = int(model.num_timesteps)
        if environment is not run.environment:
            environment.close()
        return {"reward": learned, "policy": policy_of(model, run, noise=self.noise)}

    def _reward(self, environment: Any, seed: int) -> AdversarialReward | DistilledReward:
        common: dict[str, Any] = {
            "inputs": self.inputs,
            "hidden": self.reward_hidden,
            "learning_rate": self.reward_learning_rate,
            "seed": seed,
        }
        spaces = environment.observation_space, environment.action_space
        if self.reward == "distilled":
            return DistilledReward.for_spaces(*spaces, **common)
        return AdversarialReward.for_spaces(
            *spaces,
            penalty=self.penalty,
            weight=self.weight,
            form=self.form,
            spectral_norm=self.spectral_norm,
            label_smoothing=self.label_smoothing,
            entropy=self.entropy,
            absorbing=self.absorbing,
            **common,
        )


class TanhPolicy(NetworkPolicy):
    """A policy whose last layer is squashed into the action box; noise is added to the squashed action."""

    kind: ClassVar[str] = "tanh_policy"

    @torch.inference_mode()
    def act(self, observations: Any, deterministic: bool = False) -> NDArray[Any]:
        """Actions for N observations, as the environment takes them."""
        outputs = torch.tanh(self.layers(self.features(observations))).numpy()
        if not deterministic and self.log_std is not None:
            outputs = outputs + np.exp(self.log_std) * self.generator.standard_normal(outputs.shape)
        return self.action.decode(outputs)


def policy_of(model: Any, run: Run, *, noise: float) -> TanhPolicy:
    """The actor of a TD3 or DDPG model, as a policy that is written without pickle."""
    layers = torch.nn.Sequential(*(layer for layer in model.actor.mu if not isinstance(layer, torch.nn.Tanh)))
    return TanhPolicy(
        layers=layers.requires_grad_(False),
        observation=run.observation,
        action=run.action,
        mean=np.zeros(run.observation.width, np.float32),
        spread=np.ones(run.observation.width, np.float32),
        log_std=np.full(run.action.width, np.log(max(noise, 1e-6)), np.float32),
        activation="relu",
        seed=run.seed,
    )


def single(environment: Any) -> Any:
    """One environment, from an id, a function or an environment.

    Raises:
        TypeError: a vector of environments, or something else.
    """
    gymnasium = require("gymnasium", extra="control", why="Learning from demonstrations")
    if isinstance(environment, str):
        return gymnasium.make(environment)
    if isinstance(environment, gymnasium.Env):
        return environment
    if callable(environment):
        return environment()
    raise TypeError(
        f"imitation from a replay buffer takes a Gymnasium id, an environment or a function that makes one, got a "
        f"{type(environment).__name__}"
    )


def subsampled(
    columns: Columns, every: int, seed: int, *, absorbing: bool = False
) -> tuple[TransitionBatch, TransitionBatch]:
    """Every n-th transition of each demonstration from a random one on; and the others, which are held out.

    A demonstration shorter than n gives one transition. With `absorbing`, the last transition of one that terminated is
    always kept, and one from the absorbing state to itself is added.

    Args:
        columns: all transitions of the demonstrations.
        every: n.
        seed: of the first ones.

    Returns:
        What is learned from, and what is held out (the same where nothing is left).
    """
    draw = np.random.default_rng([seed, 7])
    kept = np.zeros(len(columns), dtype=bool)
    for number in np.unique(columns.trajectory):
        places = np.flatnonzero(columns.trajectory == number)
        kept[places[int(draw.integers(min(every, len(places)))) :: every]] = True
    if absorbing:
        kept |= columns.terminated
    whole = TransitionBatch(
        observation=columns.observation,
        action=columns.action,
        next_observation=columns.next_observation,
        terminated=columns.terminated,
        absorbing=np.zeros(len(columns), dtype=bool) if absorbing else None,
    )
    expert, rest = whole.take(kept), whole.take(~kept)
    return (with_absorbing(expert) if absorbing else expert), (rest if len(rest) else expert)


def with_absorbing(batch: TransitionBatch) -> TransitionBatch:
    """A batch with a transition from the absorbing state to itself for each end in it."""
    ends = np.flatnonzero(batch.terminated)
    places = np.concatenate([np.arange(len(batch)), ends])
    gone = np.arange(len(places)) >= len(batch)
    longer = batch.take(places)
    return TransitionBatch(
        observation=longer.observation,
        action=longer.action,
        next_observation=longer.next_observation,
        terminated=longer.terminated & ~gone,
        absorbing=gone,
    )


def warn_of_survival_bias(form: str, *, absorbing: bool, expert_ends: bool, agent_ends: bool = False) -> bool:
    """Warn where the sign of a reward and the rule of ending contradict each other; returns whether it did.

    Args:
        form: of the reward.
        absorbing: whether ends are worth something of their own, which cures it.
        expert_ends: whether demonstrations end before a time limit, so that ending is what the expert wants.
        agent_ends: whether the agent's trajectories do.
    """
    if absorbing:
        return False
    if form == "softplus" and expert_ends:
        text = "is never negative, so going on pays, but the demonstrations end before a time limit"
    elif form == "log" and agent_ends and not expert_ends:
        text = "is never positive, so ending early pays, and the demonstrations never end before a time limit"
    else:
        return False
    warnings.warn(
        f"the reward of form {form!r} {text} (survival bias); set absorbing=True, or another form", stacklevel=2
    )
    return True


def mean_of(lines: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means of numbers by name."""
    names = dict.fromkeys(name for line in lines for name in line)
    return {name: float(np.mean([line[name] for line in lines if name in line])) for name in names}
