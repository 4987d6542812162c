"""The second model of an implicit process reward: its weights, what it says of tokens, and how it learns from pairs."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from rewardlab.learning.implicit_pairs import implicit_pair_loss
from rewardlab.policies.batching import collate, micro_batches
from rewardlab.policies.logprobs import token_logprobs
from rewardlab.training.checkpoint import load_module_state, module_state
from rewardlab.types import Tokens, Trajectory

if TYPE_CHECKING:
    from rewardlab.learning.implicit import ImplicitProcessReward


@dataclass
class Kept:
    """A batch that can be learned from again: tokens with the log-probabilities of the policy that sampled them."""

    tokens: list[Tokens]
    outcomes: NDArray[np.float64]
    better: NDArray[np.int64]
    worse: NDArray[np.int64]

    def to_state(self) -> dict[str, Any]:
        """Plain arrays."""
        columns = {
            name: np.concatenate([getattr(row, name) for row in self.tokens]) for name in ("ids", "step", "logprobs")
        }
        lengths = np.array([len(row) for row in self.tokens], dtype=np.int64)
        return {**columns, "lengths": lengths, "outcomes": self.outcomes, "better": self.better, "worse": self.worse}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Kept:
        """The inverse of `to_state`."""
        cuts = np.cumsum(state["lengths"])[:-1]
        parts = zip(*(np.split(np.asarray(state[name]), cuts) for name in ("ids", "step", "logprobs")), strict=True)
        tokens = [Tokens(ids=ids, step=step, logprobs=logprobs) for ids, step, logprobs in parts]
        return cls(tokens, np.asarray(state["outcomes"]), np.asarray(state["better"]), np.asarray(state["worse"]))


class ImplicitModel:
    """A copy of the policy that learns from pairs.

    Args:
        options: of the reward that it belongs to.
    """

    def __init__(self, options: ImplicitProcessReward) -> None:
        self.options = options
        self.policy: Any = options.policy
        self.start: Any = None
        self.model: Any = None
        self.optimizer: torch.optim.Optimizer | None = None
        self.kept: list[Kept] = []
        self.batches = 0
        self.learned = False

    # ---- weights --------------------------------------------------------------------------------------------------------

    def copy_policy(self) -> None:
        """Begin as the policy is now.

        Raises:
            RuntimeError: there is no policy.
        """
        if self.policy is None:
            raise RuntimeError(
                "ImplicitProcessReward has no policy to copy; give policy=, or let a trainer call bind(policy)"
            )
        self.start = copy.deepcopy(self.policy.model)
        self.start.requires_grad_(False)
        self.model, self.optimizer = None, None

    def ready(self) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The model and its optimiser, made when they are first needed."""
        if self.model is None or self.optimizer is None:
            if self.start is None:
                raise RuntimeError("nothing was scored before learning, so no policy was copied; score the batch first")
            options, model = self.options, copy.deepcopy(self.start)
            if options.lora is not None:
                from rewardlab.policies.lora import add_lora

                if hasattr(model, "peft_config"):
                    raise ValueError(
                        "ImplicitProcessReward: the policy has an adapter already, and its copy trains no more than that; "
                        "leave 'lora' out"
                    )
                model = add_lora(model, options.lora)
            else:
                trained = {name for name, weight in self.policy.model.named_parameters() if weight.requires_grad}
                for name, weight in model.named_parameters():
                    weight.requires_grad_(name in trained)
            model.eval()  # dropout would make log-ratios noisy, and not 0 where they should be
            self.model = model
            self.optimizer = torch.optim.AdamW(
                self.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
            )
        return self.model, self.optimizer

    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [weight for weight in self.model.parameters() if weight.requires_grad]

    def fixed(self) -> nn.Module:
        """The model as it started."""
        start: nn.Module = self.start
        return start.eval()

    # ---- what it says ---------------------------------------------------------------------------------------------------

    def log_ratios(self, tokens: Sequence[Tokens]) -> list[NDArray[np.float32]]:
        """For each trajectory float32[token]; zeros while the model is the policy still."""
        if self.model is None or not tokens:
            return [np.zeros(len(row), dtype=np.float32) for row in tokens]
        result: list[NDArray[np.float32]] = [np.zeros(0, dtype=np.float32)] * len(tokens)
        with torch.no_grad():
            for places in micro_batches([len(row) for row in tokens], self.options.micro_batch_tokens):
                found = self._ratios(self.model, [tokens[place] for place in places])
                for line, place in enumerate(places):
                    result[place] = found[line, : len(tokens[place])].cpu().numpy()
        return result

    # ---- learning -------------------------------------------------------------------------------------------------------

    def update(self, kept: Kept) -> dict[str, float]:
        """One step of the optimiser on one batch of pairs."""
        model, optimizer = self.ready()
        options = self.options
        cuts = micro_batches([len(row) for row in kept.tokens], options.micro_batch_tokens)
        with torch.no_grad():
            whole = torch.zeros(len(kept.tokens))
            for places in cuts:
                whole[places] = self._values(model, [kept.tokens[place] for place in places]).cpu()
        if options.reference == "behaviour" and not optimizer.state:
            self._check_start(whole / options.beta)
        # the loss needs all trajectories at once and the model some at a time: its slopes are taken first
        leaf = whole.requires_grad_()
        loss = self._loss(leaf, kept)
        (slopes,) = torch.autograd.grad(loss, leaf)
        optimizer.zero_grad(set_to_none=True)
        for places in cuts:
            values = self._values(model, [kept.tokens[place] for place in places])
            values.backward(slopes[places].to(values))
        norm = float(nn.utils.clip_grad_norm_(self.parameters(), options.max_grad_norm))
        if math.isfinite(norm) and math.isfinite(float(loss.detach())):
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return {"loss": float(loss.detach()), "grad_norm": norm}

    def _check_start(self, apart: Tensor) -> None:
        """The model is the policy still, so that what it says of tokens must be what was stored with them."""
        worst = float(apart.abs().max())
        if worst > 1.0:
            warnings.warn(
                f"the policy itself gives an attempt a log-probability that is {worst:.3g} nats from the one stored with "
                f"it; was it sampled at another temperature than {self.options.temperature:g}, or by another policy?",
                stacklevel=4,
            )

    def _loss(self, values: Tensor, kept: Kept) -> Tensor:
        if self.options.loss == "pair":
            return implicit_pair_loss(values, kept.better, kept.worse)
        outcomes = torch.from_numpy(kept.outcomes).to(values)
        if ((outcomes < 0) | (outcomes > 1)).any():
            raise ValueError('loss="cross_entropy" needs outcomes in [0, 1]; use loss="pair"')
        return binary_cross_entropy_with_logits(values, outcomes)

    def _values(self, model: nn.Module, tokens: Sequence[Tokens]) -> Tensor:
        """float32[trajectory], differentiable: beta times the log-ratios, summed or averaged over steps."""
        ratios = self.options.beta * self._ratios(model, tokens)
        if self.options.per_token or self.options.aggregate == "mean":
            weights = np.zeros(ratios.shape, dtype=np.float32)
            for line, row in enumerate(tokens):
                written = row.step[row.step >= 0]
                counts = np.bincount(written)
                weight = np.ones(written.size) if not self.options.per_token else 1.0 / counts[written]
                steps = np.count_nonzero(counts) if self.options.aggregate == "mean" else 1
                weights[line, : len(row)][row.step >= 0] = weight / steps
            ratios = ratios * torch.from_numpy(weights).to(ratios)
        return ratios.sum(1)

    def _ratios(self, model: nn.Module, tokens: Sequence[Tokens]) -> Tensor:
        """float32[trajectory, token], 0 where the policy did not write."""
        device = next(model.parameters()).device
        batch = collate(tokens, device=device)
        known = getattr(getattr(model, "config", None), "vocab_size", None)
        if known is not None and int(batch.ids.max()) >= known:
            raise ValueError(
                f"a trajectory has the token {int(batch.ids.max())}, but the model knows {known}: it was sampled with "
                "another tokenizer"
            )
        options: dict[str, Any] = {"positions_mask": batch.written, "temperature": self.options.temperature}
        found = token_logprobs(model, batch.ids, batch.attention_mask, **options)
        if self.options.reference == "behaviour":
            return torch.where(batch.written, found - batch.logprobs, 0.0)
        with torch.no_grad():
            fixed = token_logprobs(self.fixed(), batch.ids, batch.attention_mask, **options)
        return torch.where(batch.written, found - fixed, 0.0)

    # ---- going on -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser, the start where that is needed, and the batches that are kept."""
        saved: dict[str, Any] = {
            "batches": self.batches,
            "kept": {str(place): one.to_state() for place, one in enumerate(self.kept)},
        }
        if self.model is not None and self.optimizer is not None:
            saved["model"] = module_state(self.model)
            moments = self.optimizer.state_dict()["state"]
            saved["optimizer"] = {str(place): dict(one) for place, one in moments.items()}
            if self.options.reference == "fixed" or self.options.lora is not None:
                saved["start"] = {name: value.detach() for name, value in self.start.state_dict().items()}
        return saved

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.batches = int(state["batches"])
        self.kept = [Kept.from_state(state["kept"][str(place)]) for place in range(len(state["kept"]))]
        if "model" not in state:
            return
        self.copy_policy()
        if "start" in state:
            self.start.load_state_dict(state["start"])
        model, optimizer = self.ready()
        load_module_state(model, state["model"])
        whole = optimizer.state_dict()
        whole["state"] = {int(place): dict(one) for place, one in state["optimizer"].items()}
        optimizer.load_state_dict(whole)


def missing_tokens(trajectory: Trajectory) -> str | None:
    """Why a trajectory can have no implicit rewards, or None."""
    tokens = trajectory.tokens
    if tokens is None:
        return "it has no tokens, so it has no implicit step rewards; they need a language-model policy's own rollout"
    written = tokens.step >= 0
    if written.any() and not tokens.logprobs[written].any():
        return "its tokens have no log-probabilities of the policy that wrote them, so there is nothing to compare with"
    return None
