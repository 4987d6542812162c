"""GAIL and AIRL: a discriminator tells the agent's transitions from the demonstrator's, and pays the agent for confusing it.

The discriminator is `AdversarialReward`, the agent PPO of Stable-Baselines3. After each rollout the discriminator makes its
updates, and then the whole rollout is rewarded at once by the discriminator as it now is.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from rewardlab.learning.demonstrations.base import Imitation, Run, positive
from rewardlab.learning.demonstrations.networks import standardisation
from rewardlab.learning.demonstrations.options import PPOOptions
from rewardlab.learning.demonstrations.worlds import spaces_of
from rewardlab.rewards.models.adversarial import AdversarialReward
from rewardlab.rewards.models.transition_inputs import TransitionBatch

if TYPE_CHECKING:
    from rewardlab.learning.demonstrations.generator import Generator


@dataclass(frozen=True, kw_only=True)
class Adversarial(Imitation):
    """What GAIL and AIRL share: rollouts, updates of the discriminator, and PPO on its reward.

    Args:
        penalty: on the discriminator's gradient: "wgan", "dragan", "nagard", or None for none.
        penalty_weight: of it.
        hidden: widths of the discriminator's hidden layers.
        learning_rate: of the discriminator.
        updates: of the discriminator after each rollout.
        batch_size: transitions of either side in such an update.
        memory: how many rollouts the agent's side is drawn from.
        inputs: what the discriminator reads: state and action ("sa"), both states ("ss"), all ("sas") or the state ("s").
        absorbing: whether a termination leads to an absorbing state whose reward is learned too, and whose endless sum is
            paid at the termination. Without it a reward that can be negative teaches the agent to end quickly, and one that
            cannot teaches it never to end (Kostrikov et al. 2019, arXiv 1809.02925).
        ppo: options of the agent.
    """

    penalty: Literal["wgan", "dragan", "nagard"] | None = "wgan"
    penalty_weight: float = 1.0
    hidden: tuple[int, ...] = (64, 64)
    learning_rate: float = 1e-3
    updates: int = 4
    batch_size: int = 256
    memory: int = 2
    inputs: Literal["sa", "ss", "sas", "s"] = "sa"
    absorbing: bool = False
    ppo: PPOOptions = field(default_factory=PPOOptions)

    default_steps: ClassVar[int] = 100_000

    def __post_init__(self) -> None:
        positive(
            type(self).__name__,
            learning_rate=self.learning_rate,
            updates=self.updates,
            batch_size=self.batch_size,
            memory=self.memory,
        )

    @abstractmethod
    def _reward(self, run: Run) -> AdversarialReward:
        """The reward that the discriminator of this method is."""

    def _batches(self, generator: Generator, *batches: TransitionBatch) -> tuple[TransitionBatch, ...]:
        """What the discriminator reads beside the transitions."""
        return batches

    def _fit(self, run: Run) -> dict[str, Any]:
        from rewardlab.learning.demonstrations.generator import Generator, reward_rollout

        columns = run.columns
        expert = self._batch(columns.observation, columns.action, columns.next_observation, columns.terminated)
        reward = self._reward(run)
        mean, spread = standardisation(run.observation.encode(columns.observation), run.observation)
        draw = np.random.default_rng([run.seed % 2**64, 2])
        generator = Generator(
            run.environment, self.ppo, run.observation, run.action, mean, spread, steps=run.steps, seed=run.seed
        )
        remembered: list[TransitionBatch] = []
        try:
            while generator.done < run.steps:
                rollout = generator.gather()
                observation, action, following, terminated, _ = rollout.transitions()
                fresh = self._batch(observation, action, following, terminated)
                remembered = [*remembered, fresh][-self.memory :]
                metrics = self._discriminate(generator, reward, remembered, expert, draw)
                paid = reward_rollout(reward.transition, rollout)
                if self.absorbing:
                    discount = self.ppo.discount
                    paid += rollout.terminated * (discount / (1.0 - discount) * reward.absorbing_value)
                generator.learn(rollout, paid - self._price() * rollout.logprob)
                returns = {"return": float(np.mean(rollout.returns))} if rollout.returns else {}
                run.note(step=generator.done, **returns, **metrics)
            run.done = generator.done
            return {"reward": reward.frozen(), "policy": generator.policy()}
        finally:
            generator.close()

    def _batch(self, observation: Any, action: Any, following: Any, terminated: Any) -> TransitionBatch:
        """Transitions, and after each end as many from the absorbing state to itself as a discounted future counts."""
        batch = TransitionBatch(
            observation=observation, action=action, next_observation=following, terminated=terminated
        )
        if not self.absorbing:
            return batch
        ends = np.repeat(np.flatnonzero(terminated), round(1.0 / (1.0 - self.ppo.discount)))
        rows = np.concatenate([np.arange(len(batch)), ends])
        gone = np.arange(len(rows)) >= len(batch)
        return replace(batch.take(rows), terminated=terminated[rows] & ~gone, absorbing=gone)

    def _discriminate(
        self,
        generator: Generator,
        reward: AdversarialReward,
        remembered: list[TransitionBatch],
        expert: TransitionBatch,
        draw: np.random.Generator,
    ) -> dict[str, float]:
        """The discriminator's updates after a rollout; returns the mean of what they report."""
        found: list[dict[str, float]] = []
        for _ in range(self.updates):
            source = remembered[int(draw.integers(len(remembered)))]
            agent = source.take(draw.integers(len(source), size=self.batch_size))
            shown = expert.take(draw.integers(len(expert), size=self.batch_size))
            found.append(reward.fit_step(*self._batches(generator, agent, shown)))
        return {name: float(np.mean([line[name] for line in found])) for name in found[0]}

    def _price(self) -> float:
        """What the agent is paid for each unit of `-log pi`."""
        return 0.0

    def _options(self, run: Run) -> dict[str, Any]:
        """Options of the discriminator that both methods share, standardised by the demonstrations."""
        rows = run.observation.encode(run.columns.observation)
        mean, spread = standardisation(rows, run.observation)
        scaled = {} if run.observation.kind == "discrete" else {
            "observation_shift": tuple(mean.tolist()),
            "observation_scale": tuple(spread.tolist()),
        }  # fmt: skip
        return {
            "penalty": self.penalty,
            "weight": self.penalty_weight,
            "hidden": self.hidden,
            "learning_rate": self.learning_rate,
            "inputs": self.inputs,
            "absorbing": self.absorbing,
            "seed": run.seed % 2**31,
            **scaled,
        }


@dataclass(frozen=True, kw_only=True)
class GAIL(Adversarial):
    """Generative adversarial imitation learning with a gradient penalty.

    Source: Ho and Ermon 2016 (arXiv 1606.03476); the penalty is Gulrajani et al. 2017's.

    Args:
        form: of the reward: `-log(1 - D)`, never negative, which keeps an agent alive ("softplus"); the logit, which is
            fair to ends ("logit"); `log D`, never positive, which hurries it ("log").
    """

    form: Literal["softplus", "logit", "log"] = "softplus"

    short_name: ClassVar[str] = "gail"

    def _reward(self, run: Run) -> AdversarialReward:
        return AdversarialReward.for_spaces(*spaces_of(run.environment), form=self.form, **self._options(run))


@dataclass(frozen=True, kw_only=True)
class AIRL(Adversarial):
    """Adversarial inverse reinforcement learning: the logit is `f - log pi`, with `f = g(s, a) + discount h(s') - h(s)`.

    At the optimum g is the reward up to a constant, freed from shaping. The agent is paid `f - log pi` (the entropy-
    regularised objective) or f alone.

    Source: Fu, Luo and Levine 2018 (arXiv 1710.11248), algorithm 1 and appendix C.

    Args:
        entropy_bonus: weight of `-log pi` in the agent's pay; 1 in the paper. With 0, f may be below 0
            everywhere, and an end a relief.
    """

    entropy_bonus: float = 1.0
    absorbing: bool = True

    short_name: ClassVar[str] = "airl"

    def _reward(self, run: Run) -> AdversarialReward:
        return AdversarialReward.for_spaces(
            *spaces_of(run.environment), form="logit", potential=self.ppo.discount, **self._options(run)
        )

    def _batches(self, generator: Generator, *batches: TransitionBatch) -> tuple[TransitionBatch, ...]:
        found = []
        for batch in batches:
            logprob = generator.logprob(batch.observation, batch.action).numpy()
            if batch.absorbing is not None:  # nothing is chosen in the absorbing state
                logprob = np.where(batch.absorbing, 0.0, logprob)
            found.append(replace(batch, log_probability=logprob))
        return tuple(found)

    def _price(self) -> float:
        return self.entropy_bonus
