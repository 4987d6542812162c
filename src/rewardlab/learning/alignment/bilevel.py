"""The bi-level loop: a policy learns on a blend of rewards, and the blend learns what makes that policy good."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewardlab.functional.hypergradient import (
    conjugate_gradient_inverse,
    flatten,
    hessian_product,
    implicit_gradient,
    neumann_inverse,
)
from rewardlab.learning.alignment.episodes import EpisodeBatch, EpisodeBuffer, EpisodeSource
from rewardlab.learning.alignment.modules import Blend, Policy

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class AlignmentOptions:
    """How an alignment runs. The defaults are those of the paper's grid world where it states them.

    Args:
        episodes: of each copy, the warm-up included.
        every: new episodes between two updates of the blend.
        inner_steps: updates of the policy on replayed episodes after each.
        batch: episodes in one such update.
        outer_batch: replayed episodes on which the inner gradient and its Hessian are formed; the newest are left out.
        buffer: episodes that are kept.
        warm_up: first episodes, in which the policy learns on the blend as it begins and the blend stays.
        warm_up_steps: replayed updates when they are over.
        policy_rate: of RMSprop.
        reward_rate: of RMSprop, for the weights; 0 keeps the blend as it begins.
        discount_rate: of RMSprop, for the discount's logit; 0 keeps it.
        entropy: weight of the policy's entropy; it also makes the inner problem strictly concave.
        primary_discount: of the primary return that counts in the end.
        weight_decay: pulls weights to 0.
        discount_penalty: how much a discount of 1 costs (the paper's lambda_gamma).
        hypergradient: solver for the inverse Hessian, "neumann" or "conjugate".
        scale: step of the Neumann series; halved where the series grows.
        loops: terms of the series, or steps of conjugate gradients.
        damping: added to the negative Hessian.
        wait_for_signal: leave the blend as it is where the primary reward is the same at all steps of the newest episodes.
        seed: of actions and replay.
    """

    episodes: int = 2000
    every: int = 3
    inner_steps: int = 15
    batch: int = 5
    outer_batch: int = 15
    buffer: int = 1000
    warm_up: int = 150
    warm_up_steps: int = 450
    policy_rate: float = 5e-3
    reward_rate: float = 5e-3
    discount_rate: float = 5e-3
    entropy: float = 0.25
    primary_discount: float = 0.99
    weight_decay: float = 0.0
    discount_penalty: float = 0.0
    hypergradient: Literal["neumann", "conjugate"] = "neumann"
    scale: float = 5e-4
    loops: int = 5
    damping: float = 0.0
    wait_for_signal: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("episodes", "every", "inner_steps", "batch", "outer_batch", "buffer", "loops"):
            if getattr(self, name) < 1:
                raise ValueError(f"AlignmentOptions: {name!r} must be at least 1, got {getattr(self, name)}")
        for name in ("warm_up", "warm_up_steps", "entropy", "weight_decay", "discount_penalty", "damping"):
            if getattr(self, name) < 0:
                raise ValueError(f"AlignmentOptions: {name!r} must not be negative, got {getattr(self, name)}")
        for name in ("policy_rate", "reward_rate", "discount_rate"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"AlignmentOptions: {name!r} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.primary_discount <= 1:
            raise ValueError(f"AlignmentOptions: 'primary_discount' must be in [0, 1], got {self.primary_discount}")
        if self.buffer <= self.every:
            raise ValueError(
                f"AlignmentOptions: 'buffer' ({self.buffer}) must hold more episodes than the newest 'every' "
                f"({self.every}), on which the outer gradient is formed"
            )


def discounted_returns(rewards: Tensor, discount: Tensor) -> Tensor:
    """Discounted sums from each step on, `[copy, episode, time]`, for a discount[copy] that may carry a gradient."""
    length = rewards.shape[-1]
    places = torch.arange(length, device=rewards.device)
    gaps = places[None, :] - places[:, None]  # [from, to]
    powers = discount[:, None, None] ** gaps.clamp(min=0).to(rewards.dtype)
    return rewards @ torch.where(gaps >= 0, powers, torch.zeros(())).mT


@dataclass
class Bilevel:
    """The state of a run.

    Args:
        source: where episodes come from.
        policy: what the inner problem learns.
        blend: what the outer problem learns.
        options: how.
        learns: bool[copy], which copies learn their blend; all when None.
    """

    source: EpisodeSource
    policy: Policy
    blend: Blend
    options: AlignmentOptions
    learns: NDArray[np.bool_] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        options = self.options
        self.generator = torch.Generator().manual_seed(options.seed)
        self.buffer = EpisodeBuffer(options.buffer)
        self.inner = torch.optim.RMSprop(self.policy.parameters(), lr=options.policy_rate)
        self.outer = torch.optim.RMSprop(
            [
                {"params": list(self.blend.reading.parameters()), "lr": options.reward_rate},
                {"params": [self.blend.discount_logit], "lr": options.discount_rate},
            ]
        )
        copies = self.source.copies
        chosen = np.ones(copies, dtype=bool) if self.learns is None else np.asarray(self.learns, dtype=bool)
        if chosen.shape != (copies,):
            raise ValueError(f"learns must be bool[{copies}], one for each copy, got shape {chosen.shape}")
        self._learns = torch.from_numpy(chosen)
        self._scale = torch.full((copies,), options.scale)
        self.done = 0
        self._warned = False

    def run(self, progress: Progress | None = None) -> None:
        """Learn until all episodes are used."""
        options = self.options
        while self.done < options.episodes:
            count = min(options.every, options.episodes - self.done)
            newest = self.source.collect(self._act, count)
            self.buffer.add(newest)
            self.done += count
            line: dict[str, Any] = {"episodes": self.done, "primary_return": newest.returns().mean(1).numpy()}
            if self.done <= options.warm_up:
                self._climb(newest)
                if self.done + options.every > options.warm_up:
                    self._replay(options.warm_up_steps)
            else:
                if self.buffer.count > count:
                    line |= self._outer_step(newest, count)
                self._replay(options.inner_steps)
            line["discount"] = self.blend.discount.detach().numpy().copy()
            self.history.append(line)
            if progress is not None:
                progress(line)

    # ---- the two problems -----------------------------------------------------------------------------------------------

    def inner_objective(self, batch: EpisodeBatch) -> Tensor:
        """What the policy climbs: log-probabilities weighted by blended returns, and its entropy; float[copy].

        No factor gamma^t and no importance weights, as most learners in use; the blend makes up for what that breaks.
        """
        blended = self.blend(batch.observation, batch.primary, batch.auxiliary) * batch.present
        returns = discounted_returns(blended, self.blend.discount)
        return self._objective(batch, returns, self.options.entropy)

    def outer_objective(self, batch: EpisodeBatch) -> Tensor:
        """Whose gradient is that of the primary return, by the policy-gradient theorem, on fresh episodes; float[copy]."""
        discount = torch.full((len(batch.primary),), self.options.primary_discount)
        return self._objective(batch, discounted_returns(batch.primary * batch.present, discount), 0.0)

    def _objective(self, batch: EpisodeBatch, returns: Tensor, entropy_weight: float) -> Tensor:
        logs, entropy = self.policy.log_probability(batch.observation, batch.action)
        terms = logs * returns + entropy_weight * entropy
        return (terms * batch.present).sum((1, 2)) / batch.present.sum((1, 2)).clamp(min=1.0)

    def _climb(self, batch: EpisodeBatch, pieces: int = 1) -> None:
        """Updates of the policy, one on each piece of the episodes; the blend stays, so returns are formed once for all."""
        with torch.no_grad():
            blended = self.blend(batch.observation, batch.primary, batch.auxiliary) * batch.present
            returns = discounted_returns(blended, self.blend.discount)
        for piece, earned in zip(batch.split(pieces), returns.chunk(pieces, dim=1), strict=True):
            self.inner.zero_grad()
            (-self._objective(piece, earned, self.options.entropy).sum()).backward()
            self.inner.step()

    def _replay(self, steps: int) -> None:
        while steps:
            pieces = min(steps, 30)
            self._climb(self.buffer.draw(self.options.batch * pieces, self.generator), pieces)
            steps -= pieces

    def _outer_step(self, newest: EpisodeBatch, count: int) -> dict[str, Any]:
        options = self.options
        weights = list(self.policy.parameters())
        wanted = flatten(torch.autograd.grad(self.outer_objective(newest).sum(), weights)).detach()
        batch = self.buffer.draw(options.outer_batch, self.generator, leave_out=count)
        inner = flatten(torch.autograd.grad(self.inner_objective(batch).sum(), weights, create_graph=True))
        product = hessian_product(inner, weights)
        if options.hypergradient == "neumann":
            found = neumann_inverse(product, wanted, scale=self._scale, loops=options.loops, damping=options.damping)
            self._scale = (1.1 * found.scale).clamp(max=options.scale)  # what held last time, and a little more
        else:
            found = conjugate_gradient_inverse(product, wanted, loops=options.loops, damping=options.damping)
        blend = list(self.blend.parameters())
        gradients = implicit_gradient(inner, found.solution, blend)
        signal = self._signal(newest)
        moves = self._learns & found.found
        if options.wait_for_signal:
            moves = moves & signal
        self.outer.zero_grad()
        for parameter, gradient in zip(blend, gradients, strict=True):
            climb = torch.zeros_like(parameter) if gradient is None else gradient
            if parameter is self.blend.discount_logit:
                share = torch.sigmoid(parameter.detach())
                low, high = self.blend.bounds
                climb = climb - options.discount_penalty * (high - low) * share * (1 - share)
            else:
                climb = climb - options.weight_decay * parameter.detach()
            parameter.grad = -torch.where(moves.view(-1, *(1,) * (climb.dim() - 1)), climb, torch.zeros(()))
        kept = [parameter.detach().clone() for parameter in blend]
        self.outer.step()
        with torch.no_grad():
            for parameter, old in zip(blend, kept, strict=True):
                rows = moves.view(-1, *(1,) * (old.dim() - 1))
                parameter.copy_(torch.where(rows, parameter, old))
        self._watch_discount()
        return {
            "outer_gradient": wanted.norm(dim=1).numpy(),
            "residual": found.residual.detach().numpy(),
            "scale": found.scale.numpy(),
            "signal": signal.numpy(),
            "concave": found.found.numpy(),
        }

    def _signal(self, newest: EpisodeBatch) -> Tensor:
        """bool[copy]: whether the primary reward told any steps of the newest episodes apart."""
        low = torch.where(newest.present > 0, newest.primary, torch.inf).amin((1, 2))
        high = torch.where(newest.present > 0, newest.primary, -torch.inf).amax((1, 2))
        return high > low

    def _watch_discount(self) -> None:
        low, high = self.blend.bounds
        if not self._warned and bool((self.blend.discount < low + 0.05 * (high - low)).any()):
            self._warned = True
            warnings.warn(
                f"the learned discount has fallen to its lower bound {low}: the policy plans a few steps ahead only. Lower "
                "discount_penalty, or fix the discount",
                stacklevel=2,
            )

    def _act(self, observation: Tensor) -> Tensor:
        return self.policy.sample(observation, self.generator)
