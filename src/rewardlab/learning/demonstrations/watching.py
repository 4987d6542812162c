"""What stands beside an off-policy learner: it trains the discriminator, and writes down how the run fares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rewardlab.extras import require
from rewardlab.learning.demonstrations.base import Run
from rewardlab.rewards.models.adversarial import AdversarialReward
from rewardlab.rewards.models.transition_inputs import TransitionBatch

if TYPE_CHECKING:
    from rewardlab.learning.demonstrations.off_policy import OffPolicyGAIL

require("stable_baselines3", extra="control", why="Imitation from a replay buffer")

from stable_baselines3.common.callbacks import BaseCallback  # noqa: E402 - after the check that says which extra brings it


class Watch(BaseCallback):
    """Trains the discriminator before each update of the policy, on the buffer against the demonstrations.

    Args:
        options: of the method.
        reward: what is trained; one without `fit_step` stays as it is.
        expert: what it is trained on.
        held_out: demonstrations that it never sees.
        run: where lines are written.
    """

    def __init__(
        self,
        options: OffPolicyGAIL,
        reward: Any,
        expert: TransitionBatch,
        held_out: TransitionBatch,
        run: Run,
    ) -> None:
        super().__init__()
        self.options, self.reward, self.run = options, reward, run
        self.expert, self.held_out = expert, held_out
        self.draw = np.random.default_rng([run.seed, 9])
        self.lines: list[dict[str, float]] = []
        self.reported = 0
        self.warned = False

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        """Stable-Baselines3 calls this between collecting steps and updating the policy."""
        from rewardlab.learning.demonstrations.off_policy import warn_of_survival_bias, with_absorbing

        if self.num_timesteps <= self.options.learning_starts:
            return
        agent = self.buffer.draw(self.options.batch_size, self.draw)
        if not self.warned and agent.terminated.any():
            self.warned = warn_of_survival_bias(
                self.options.form,
                absorbing=self.options.absorbing,
                expert_ends=bool(self.expert.terminated.any()),
                agent_ends=True,
            )
        agent = with_absorbing(agent) if self.options.absorbing else agent
        rows = self.draw.integers(len(self.expert), size=self.options.batch_size)
        learns = hasattr(self.reward, "fit_step")
        self.lines.append(self.reward.fit_step(agent, self.expert.take(rows)) if learns else {})
        if self.num_timesteps - self.reported >= self.options.report_every:
            self.report()

    @property
    def buffer(self) -> Any:
        """The learner's replay buffer."""
        return self.model.replay_buffer  # type: ignore[attr-defined]

    def report(self) -> None:
        """Write a line: means of the discriminator's metrics, its diagnostics, the critics, and the true return."""
        from rewardlab.learning.demonstrations.off_policy import mean_of

        if not self.lines or self.num_timesteps == self.reported:
            return
        self.reported = self.num_timesteps
        means = {f"fit_{name}": value for name, value in mean_of(self.lines).items()}
        self.lines.clear()
        agent = self.buffer.draw(256, self.draw)
        inner = getattr(self.reward, "reward", self.reward)  # what is preconditioned
        found = {"agent_reward": float(inner.of(agent).mean())}
        if isinstance(inner, AdversarialReward):
            found = inner.diagnostics(agent, self.expert, self.held_out)
        if inner is not self.reward:
            found["multiplier"] = float(self.reward.multiplier(agent).mean())
        returns = [episode["r"] for episode in self.model.ep_info_buffer or ()]
        own = {"environment_return": float(np.mean(returns))} if returns else {}
        self.run.note(steps=self.num_timesteps, **own, **found, **self._critics(), **means)

    def _critics(self) -> dict[str, float]:
        """The largest action value and the mean TD error on a batch of the buffer."""
        import torch

        model: Any = self.model
        state = np.random.get_state()  # the buffer draws from numpy's own generator; looking must change nothing
        batch = self.buffer.sample(256)
        np.random.set_state(state)
        with torch.no_grad():
            values = torch.cat(model.critic(batch.observations, batch.actions), dim=1)
            following = model.actor_target(batch.next_observations)
            later = torch.cat(model.critic_target(batch.next_observations, following), dim=1).amin(1, keepdim=True)
            target = batch.rewards + (1 - batch.dones) * batch.discounts * later
        return {"value_max": float(values.abs().max()), "td_error": float((values - target).abs().mean())}
