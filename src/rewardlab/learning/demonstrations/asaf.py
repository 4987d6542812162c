"""ASAF: imitation in which the discriminator is the policy, so that neither reward nor critic nor a step of RL is needed.

The policy gathers a batch; a copy of it is fitted to tell demonstrations from that batch, with a discriminator that is
nothing but the ratio of the two policies; the copy then takes its place. A window says over how many actions it is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rewardlab.functional.asaf import FLOOR, asaf_loss, window_log_ratios
from rewardlab.learning.demonstrations.base import Imitation, Run, positive
from rewardlab.learning.demonstrations.cloning import LOG_STD_RANGE
from rewardlab.learning.demonstrations.networks import NetworkPolicy, layers_from, layers_stored, log_density, mlp
from rewardlab.learning.demonstrations.networks import standardisation as standardise
from rewardlab.learning.demonstrations.worlds import next_step_reset, vector_of
from rewardlab.rewards.transitions import TransitionReward

Windows = tuple[Tensor, Tensor]
"""Rows int64[N, window] of the transitions, and a mask bool[N, window]."""


@dataclass(frozen=True, kw_only=True)
class LogRatio(TransitionReward):
    """`log pi_after - log pi_before` of the action taken: what an update of a policy came to favour, as a diagnostic.

    Args:
        after, before: policies with `logprob(observations, actions)`.
    """

    after: Any
    before: Any

    def transition(  # noqa: D102 - documented on TransitionReward
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        return np.asarray(self.after.logprob(observation, action) - self.before.logprob(observation, action))


@dataclass(frozen=True, kw_only=True)
class ASAF(Imitation):
    """Adversarial soft advantage fitting.

    Source: Barde et al. 2020 (arXiv 2006.13258), algorithm 1, and its release for windows and clipping.

    Args:
        window: actions over which the ratio is taken: 1, more, or "trajectory" for all of them.
        stride: steps between the beginnings of two windows; None for the window itself, or 1 where it is 1.
        rollout: environment steps that are gathered before each update; whole trajectories where the window is one.
        environments: how many run side by side.
        epochs: passes over the agent's windows in an update; the batch is forgotten afterwards.
        batch_size: windows of either side in a minibatch.
        learning_rate: of Adam.
        hidden: widths of the hidden layers; none for a table over a discrete observation.
        clip_value, clip_norm: of the gradient, the value first; None for none.
        activation: "tanh" or "relu".
    """

    window: int | Literal["trajectory"] = 1
    stride: int | None = None
    rollout: int = 2000
    environments: int = 8
    epochs: int = 2
    batch_size: int = 200
    learning_rate: float = 3e-4
    hidden: tuple[int, ...] = (64, 64)
    clip_value: float | None = None
    clip_norm: float | None = 1.0
    activation: str = "tanh"

    short_name: ClassVar[str] = "asaf"
    default_steps: ClassVar[int] = 40_000

    def __post_init__(self) -> None:
        positive(
            "ASAF",
            rollout=self.rollout,
            environments=self.environments,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
        )
        if self.window != "trajectory" and (isinstance(self.window, str) or self.window < 1):
            raise ValueError(f"ASAF: option 'window' must be at least 1 or 'trajectory', got {self.window!r}")
        for name in ("stride", "clip_value", "clip_norm"):
            value = getattr(self, name)
            if value is not None:
                positive("ASAF", **{name: value})

    @staticmethod
    def as_reward(before: Any, after: Any) -> LogRatio:
        """What an update came to favour, as a reward: `log pi_after - log pi_before`."""
        return LogRatio(after=after, before=before)

    def _fit(self, run: Run) -> dict[str, Any]:
        columns = run.columns
        rows = run.observation.encode(columns.observation)
        mean, spread = standardise(rows, run.observation)
        layers = mlp(
            (rows.shape[1], *self.hidden, run.action.width),
            activation=self.activation,
            seed=run.seed,
            last_gain=0.01,
        )
        log_std = None if run.action.kind == "discrete" else nn.Parameter(torch.full((run.action.width,), -0.5))
        weights = [*layers.parameters(), *([] if log_std is None else [log_std])]
        optimiser = torch.optim.Adam(weights, lr=self.learning_rate)
        expert = (
            torch.from_numpy((rows - mean) / spread),
            torch.from_numpy(run.action.encode(columns.action)),
            self._windows(columns.trajectory),
        )
        draw = np.random.default_rng([run.seed % 2**64, 5])
        vector, own = vector_of(run.environment, self.environments)

        def policy() -> NetworkPolicy:
            return NetworkPolicy(
                layers=layers_from(layers_stored(layers), self.activation),
                observation=run.observation,
                action=run.action,
                mean=mean,
                spread=spread,
                log_std=None if log_std is None else log_std.detach().clamp(*LOG_STD_RANGE).numpy(),
                activation=self.activation,
                seed=run.seed,
            )

        try:
            gatherer = _Gatherer(vector, run, whole=self.window == "trajectory")
            while run.done < run.steps:
                seen, done, trajectory, returns = gatherer.gather(policy(), min(self.rollout, run.steps - run.done))
                agent = (seen, done, self._windows(trajectory))
                numbers = self._update(layers, log_std, optimiser, weights, expert, agent, draw)
                told = {"return": float(np.mean(returns))} if returns else {}
                run.done += len(trajectory)
                run.note(step=run.done, **told, **numbers)
            return {"policy": policy()}
        finally:
            if own:
                vector.close()

    def _windows(self, trajectory: NDArray[np.int64]) -> Windows:
        """Windows that lie inside one trajectory; one that is shorter than the window is a window of its own."""
        starts = np.flatnonzero(np.r_[True, trajectory[1:] != trajectory[:-1]])
        lengths = np.diff(np.r_[starts, len(trajectory)])
        size = int(lengths.max()) if self.window == "trajectory" else int(min(self.window, lengths.max()))
        stride = self.stride or size
        pieces = [
            (first + offset, min(size, length - offset))
            for first, length in zip(starts.tolist(), lengths.tolist(), strict=True)
            for offset in ([0] if length <= size else range(0, length - size + 1, stride))
        ]
        begin, long = (torch.tensor(column) for column in zip(*pieces, strict=True))
        steps = torch.arange(size)
        mask = steps < long[:, None]
        return (begin[:, None] + steps).clamp(max=len(trajectory) - 1), mask

    def _update(
        self,
        layers: nn.Sequential,
        log_std: nn.Parameter | None,
        optimiser: torch.optim.Optimizer,
        weights: list[Any],
        expert: tuple[Tensor, Tensor, Windows],
        agent: tuple[Tensor, Tensor, Windows],
        draw: np.random.Generator,
    ) -> dict[str, float]:
        """Fit the discriminator to one batch; old log-probabilities are read once, before the first step."""

        def logprob(features: Tensor, action: Tensor) -> Tensor:
            return log_density(layers(features), action, None if log_std is None else log_std.clamp(*LOG_STD_RANGE))

        with torch.no_grad():
            old = [logprob(features, action) for features, action, _ in (expert, agent)]
        clamped = sum(int((one < FLOOR).sum()) for one in old)

        def ratios(side: int, chosen: Tensor) -> Tensor:
            features, action, (rows, mask) = (expert, agent)[side]
            where = rows[chosen]
            flat = where.reshape(-1)
            found = logprob(features[flat], action[flat]).reshape(where.shape)
            return window_log_ratios(found, old[side][where], mask[chosen])

        losses = []
        count, shown = len(agent[2][0]), len(expert[2][0])
        size = min(self.batch_size, count)
        for _ in range(self.epochs):
            order = torch.from_numpy(draw.permutation(count))
            for start in range(0, count - size + 1, size):
                batch = order[start : start + size]
                other = torch.from_numpy(draw.integers(shown, size=len(batch)))
                loss = asaf_loss(ratios(0, other), ratios(1, batch))
                optimiser.zero_grad()
                loss.backward()
                if self.clip_value is not None:
                    nn.utils.clip_grad_value_(weights, self.clip_value)
                if self.clip_norm is not None:
                    nn.utils.clip_grad_norm_(weights, self.clip_norm)
                optimiser.step()
                losses.append(loss.item())
        with torch.no_grad():
            likelihood = float(logprob(expert[0], expert[1]).mean())
        return {"loss": float(np.mean(losses)), "expert_logprob": likelihood, "clamped": float(clamped)}


class _Gatherer:
    """Acts in a vector of environments and gives what was done trajectory by trajectory.

    Args:
        vector: of environments.
        run: the fit, for the codes of the spaces and the seed.
        whole: whether only whole trajectories count, gathered until there are enough steps.
    """

    def __init__(self, vector: Any, run: Run, *, whole: bool) -> None:
        self.vector, self.run, self.whole = vector, run, whole
        self.next_step = next_step_reset(vector)
        self.states, _ = vector.reset(seed=run.seed % 2**31)
        self.between = np.zeros(vector.num_envs, dtype=bool)
        self.running = np.zeros(vector.num_envs)
        self.round = 0
        self.open: list[list[tuple[Any, Any]]] = [[] for _ in range(vector.num_envs)]

    @torch.inference_mode()
    def gather(self, policy: NetworkPolicy, steps: int) -> tuple[Tensor, Tensor, NDArray[np.int64], list[float]]:
        """At least `steps` transitions: features, encoded actions, number of the trajectory, returns of those that ended."""
        self.round += 1
        policy.generator = np.random.default_rng([self.run.seed % 2**64, 6, self.round])
        pieces: list[list[tuple[Any, Any]]] = []
        returns: list[float] = []
        if not self.whole:
            self.open = [[] for _ in self.open]
        have = 0
        while have < steps:
            features = policy.features(self.states)
            outputs = policy.layers(features).numpy()
            encoded, action = _draw(policy, outputs)
            following, rewards, terminated, truncated, _ = self.vector.step(action)
            if following.dtype.kind == "f" and not np.isfinite(following).all():
                index = int(np.flatnonzero(~np.isfinite(following.reshape(len(following), -1)).all(1))[0])
                raise FloatingPointError(
                    f"environment {index} gave an observation that is not finite after {self.run.done + have} steps of the "
                    "training; the simulator broke down: limit its actions or its time step"
                )
            valid = ~self.between
            ended = (terminated | truncated) & valid
            self.running += np.where(valid, rewards, 0.0)
            for index in np.flatnonzero(valid).tolist():
                self.open[index].append((features[index].numpy(), encoded[index]))
            have += 0 if self.whole else int(valid.sum())
            for index in np.flatnonzero(ended).tolist():
                have += len(self.open[index]) if self.whole else 0
                pieces.append(self.open[index])
                self.open[index] = []
                returns.append(float(self.running[index]))
                self.running[index] = 0.0
            self.states = following
            self.between = ended if self.next_step else np.zeros(len(ended), dtype=bool)
        if not self.whole:
            pieces += [piece for piece in self.open if piece]
        number = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
        flat = [entry for piece in pieces for entry in piece]
        seen, done = (torch.from_numpy(np.stack(column)) for column in zip(*flat, strict=True))
        return seen, done.float(), number, returns


def _draw(policy: NetworkPolicy, outputs: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Encoded actions as they were drawn (not clipped to any bound), and as the environment takes them."""
    draw, code = policy.generator, policy.action
    if code.kind == "discrete":
        chosen = (outputs + draw.gumbel(size=outputs.shape)).argmax(1)
        return np.eye(code.count, dtype=np.float32)[chosen], code.decode(chosen)
    assert policy.log_std is not None
    drawn = outputs + np.exp(policy.log_std) * draw.standard_normal(outputs.shape)
    return drawn.astype(np.float32), code.decode(drawn)
