"""A reward that depends on a latent user vector, and the network that reads such a vector off a few comparisons.

Nobody has to be named: the comparisons of one user are a set, the set is encoded as a Gaussian over user vectors, and the
reward is a function of features and vector. A user who answers some questions can be remembered under a name
(`rewardlab.learning.latent_users.remember_users`), and `user=` of the model then asks for that judgement.
Values for different users are on different scales, because each is only known up to its own positive factor; compare users
by `rewardlab.learning.latent_users.scaled_reward`, never by values.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rewardlab.rewards.models.base import Context, Encoded, Head, Outputs

Sets = Literal["set", "attention", "concat"]


class LatentHead(Head):
    """A decoder `r(features, z)` and an encoder of sets of comparisons into a Gaussian over z.

    Source: Poddar et al. 2024, "Personalizing Reinforcement Learning from Human Feedback with Variational Preference
    Learning" (arXiv 2408.10075). A set encoder that ignores order, the linear decoder and the pair's difference are ours.

    Args:
        width: of the features.
        latent: numbers in a user vector.
        hidden: units of every layer.
        layers: of the decoder.
        context: how a set is read: "set", the mean of its encoded comparisons (and how many there are); "attention", the
            same after one layer of self-attention; "concat", one after another, which depends on their order.
        comparisons: in every set, which "concat" has to know.
        pair: what is read of a comparison: "both" sides, or their "difference".
        decoder: "mlp", a network of features and z; or "linear", a linear reward with weights linear in z, for few data.
        steps: whether the reward of a trajectory is the sum of those of its steps, for encoders that give features of steps.
        reward_scaling: what the sum over steps is divided by.
        prior: "normal", or "learned", a Gaussian whose mean and variance are fitted.
        log_variance: lower and upper limit of the posterior's log-variance, which keep it from overflowing.
        users: names of the users that are remembered; `remember` fills it in.
        seed: of the weights.

    Raises:
        ValueError: no latent numbers, or options out of their range.
    """

    kind = "latent"

    def __init__(
        self,
        width: int,
        *,
        latent: int = 8,
        hidden: int = 64,
        layers: int = 2,
        context: Sets = "set",
        comparisons: int | None = None,
        pair: Literal["both", "difference"] = "both",
        decoder: Literal["mlp", "linear"] = "mlp",
        steps: bool = False,
        reward_scaling: float = 1.0,
        prior: Literal["normal", "learned"] = "normal",
        log_variance: tuple[float, float] = (-8.0, 4.0),
        users: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        super().__init__()
        if latent < 1:
            raise ValueError(
                f"a user vector needs at least one number, got latent={latent}; use a scalar head for none"
            )
        for name, value, allowed in (
            ("context", context, ("set", "attention", "concat")),
            ("pair", pair, ("both", "difference")),
            ("decoder", decoder, ("mlp", "linear")),
            ("prior", prior, ("normal", "learned")),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
        if (context == "concat") != (comparisons is not None):
            raise ValueError(
                f'context="concat" needs comparisons= (how many stand in every set), and no other reads it; got '
                f"context={context!r} with comparisons={comparisons}"
            )
        low, high = log_variance
        if not low < high:
            raise ValueError(f"log_variance must be a lower and a higher limit, got {low} and {high}")
        if layers < 1 or hidden < 1:
            raise ValueError(f"layers and hidden must be at least 1, got {layers} and {hidden}")
        if not reward_scaling > 0:
            raise ValueError(f"reward_scaling must be positive, got {reward_scaling}")
        self._options: dict[str, Any] = {
            "width": width,
            "latent": latent,
            "hidden": hidden,
            "layers": layers,
            "context": context,
            "comparisons": comparisons,
            "pair": pair,
            "decoder": decoder,
            "steps": steps,
            "reward_scaling": reward_scaling,
            "prior": prior,
            "log_variance": [low, high],
            "users": list(users),
            "seed": seed,
        }
        self.latent, self.context_kind, self.comparisons, self.pair = latent, context, comparisons, pair
        self.limits = (float(low), float(high))
        self.steps, self.reward_scaling = steps, reward_scaling
        self.needs_steps = steps  # type: ignore[misc]  # only the sum over steps reads them
        self.users = list(users)
        read = 2 * width if pair == "both" else width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if context == "concat":
                assert comparisons is not None
                self.reader: nn.Module = nn.Identity()
                self.summary = _layers(read * comparisons, hidden, 3, 2 * latent)
            else:
                self.reader = nn.Sequential(
                    nn.Linear(read, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, hidden), nn.LeakyReLU(0.2)
                )
                self.summary = _layers(hidden + 1, hidden, 1, 2 * latent)
            self.attention = nn.MultiheadAttention(hidden, 1, batch_first=True) if context == "attention" else None
            last = self.summary[-1]
            assert isinstance(last, nn.Linear)
            with torch.no_grad():  # at first every posterior is about as wide as the prior
                last.weight[latent:].zero_()
                last.bias.zero_()
            if decoder == "linear":
                self.decoder: nn.Module = _LinearInLatent(width, latent)
            else:
                self.decoder = _layers(width + latent, hidden, layers, 1)
            if prior == "learned":
                self.prior_mean = nn.Parameter(torch.zeros(latent))
                self.prior_log_variance = nn.Parameter(torch.zeros(latent))
            else:
                self.register_buffer("prior_mean", torch.zeros(latent))
                self.register_buffer("prior_log_variance", torch.zeros(latent))
        self.register_buffer("user_mean", torch.zeros(len(users), latent))
        self.register_buffer("user_log_variance", torch.zeros(len(users), latent))

    prior_mean: Tensor
    prior_log_variance: Tensor
    user_mean: Tensor
    user_log_variance: Tensor

    def options(self) -> dict[str, Any]:
        """The constructor's arguments, with the users that were remembered since."""
        return {**self._options, "users": list(self.users)}

    # ---- users ----------------------------------------------------------------------------------------------------------

    def user_index(self, name: str) -> int:
        """The place of a remembered user; -1, with a warning, for anybody else."""
        if name not in self.users:
            known = ", ".join(map(repr, self.users[:5])) or "none"
            warnings.warn(
                f"nothing is known of the user {name!r} (known: {known}{', ...' if len(self.users) > 5 else ''}), so the "
                "mean of the prior stands in; remember_users(model, comparisons) learns a user from a few comparisons",
                stacklevel=2,
            )
            return -1
        return self.users.index(name)

    def remember(self, name: str, mean: Tensor, log_variance: Tensor) -> None:
        """Keep the posterior of a user under a name; an earlier one of that name is replaced.

        Args:
            name: not empty.
            mean, log_variance: float[latent].
        """
        if not isinstance(name, str) or not name:
            raise ValueError(f"a user needs a name, got {name!r}; use str(...) for numbers")
        if name not in self.users:
            self.users.append(name)
            self.user_mean = torch.cat([self.user_mean, self.user_mean.new_zeros(1, self.latent)])
            self.user_log_variance = torch.cat([self.user_log_variance, self.user_mean.new_zeros(1, self.latent)])
        place = self.users.index(name)
        self.user_mean[place], self.user_log_variance[place] = mean, log_variance

    # ---- the posterior --------------------------------------------------------------------------------------------------

    def infer(self, chosen: Tensor, rejected: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the Gaussians over user vectors, float[set, latent] each; the prior for empty sets.

        Args:
            chosen, rejected: float[set, comparison, width], features of the two sides.
            mask: bool[set, comparison], where comparisons stand; None where all do.

        Raises:
            ValueError: with context="concat", sets of another size.
        """
        if mask is None:
            mask = torch.ones(chosen.shape[:2], dtype=torch.bool, device=chosen.device)
        counts = mask.sum(1)
        mean, log_variance = (
            one.to(chosen).expand(len(chosen), -1) for one in (self.prior_mean, self.prior_log_variance)
        )
        if not chosen.shape[1] or not bool(counts.any()):
            return mean, log_variance
        read = torch.cat([chosen, rejected], -1) if self.pair == "both" else chosen - rejected
        read = torch.where(mask.unsqueeze(-1), read, 0.0)
        if self.context_kind == "concat":
            wrong = counts[(counts != 0) & (counts != self.comparisons)]
            if len(wrong) or chosen.shape[1] != self.comparisons:
                found = int(wrong[0]) if len(wrong) else chosen.shape[1]
                raise ValueError(
                    f'context="concat" was built for sets of {self.comparisons} comparisons, got one of {found}; build the '
                    'head with context="set" or context="attention", which read sets of any size'
                )
            told = self.summary(read.flatten(1))
        else:
            between = self.reader(read)
            if self.attention is not None:
                hidden = ~mask
                hidden[counts == 0] = False  # softmax over nothing is no number; those rows get the prior below
                between = between + self.attention(
                    between, between, between, key_padding_mask=hidden, need_weights=False
                )[0]  # fmt: skip
            total = torch.where(mask.unsqueeze(-1), between, 0.0).sum(1)
            size = counts.to(total.dtype).unsqueeze(-1)
            told = self.summary(torch.cat([total / size.clamp(min=1), torch.log1p(size)], -1))
        some = (counts > 0).unsqueeze(-1)
        return (
            torch.where(some, told[:, : self.latent], mean),
            torch.where(some, told[:, self.latent :].clamp(*self.limits), log_variance),
        )

    def kl(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """KL divergence of Gaussians from the prior, in nats by dimension, float[set, latent]."""
        gap = log_variance - self.prior_log_variance
        distance = (mean - self.prior_mean).square() * (-self.prior_log_variance).exp()
        return 0.5 * (gap.exp() + distance - 1 - gap)

    # ---- the reward -----------------------------------------------------------------------------------------------------

    def forward(self, encoded: Encoded) -> Outputs:
        """`features` float[trajectory, width], and where steps are summed `steps` and `step_mask`."""
        outputs = {"features": encoded.response}
        if self.steps:
            if encoded.steps is None or encoded.step_mask is None:
                raise ValueError("steps=True needs features of steps, and this encoder gives none; use steps=False")
            outputs |= {"steps": encoded.steps, "step_mask": encoded.step_mask}
        return outputs

    def vectors(self, rows: int, context: Context | None) -> Tensor:
        """The user vector of every row, float[row, latent]: given, remembered, or the mean of the prior."""
        if context is not None and context.latent is not None:
            return context.latent
        if self.training and torch.is_grad_enabled():
            raise ValueError(
                "a latent head is fitted to sets of comparisons by users; use rl.fit, whose loss for it is "
                "evidence_lower_bound"
            )
        prior = self.prior_mean.expand(rows, -1)
        users = None if context is None else context.users
        if users is None or not self.users:
            return prior
        return torch.where((users >= 0).unsqueeze(-1), self.user_mean[users.clamp(min=0)], prior)

    def value(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """The reward for the user's vector, float[row]; values for different vectors do not compare."""
        vectors = self.vectors(len(outputs["features"]), context)
        if not self.steps:
            return self._decode(outputs["features"], vectors)
        told = self.step_values(outputs, vectors)
        assert told is not None
        return torch.where(told[1], told[0], 0.0).sum(-1) / self.reward_scaling

    def step_values(self, outputs: Outputs, vectors: Tensor | None = None) -> tuple[Tensor, Tensor] | None:
        """The reward of every step, where steps are summed; for the mean of the prior, if no vectors are given."""
        if not self.steps:
            return None
        steps = outputs["steps"]
        every = self.prior_mean.expand(len(steps), -1) if vectors is None else vectors
        return self._decode(steps, every.unsqueeze(1).expand(-1, steps.shape[1], -1)), outputs["step_mask"]

    def _decode(self, features: Tensor, vectors: Tensor) -> Tensor:
        value: Tensor = self.decoder(torch.cat([features, vectors.to(features.dtype)], -1))
        return value.squeeze(-1)


class _LinearInLatent(nn.Module):
    """`features . (w + W z)`, from features and z side by side."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.weights = nn.Linear(latent, width)
        self.width = width
        nn.init.normal_(self.weights.weight, std=(latent * (width + 1)) ** -0.5)
        nn.init.normal_(self.weights.bias, std=(width + 1) ** -0.5)

    def forward(self, both: Tensor) -> Tensor:
        features, vectors = both[..., : self.width], both[..., self.width :]
        return (features * self.weights(vectors)).sum(-1, keepdim=True)


def _layers(inputs: int, hidden: int, layers: int, outputs: int) -> nn.Sequential:
    made: list[nn.Module] = []
    for place in range(layers):
        made += [nn.Linear(inputs if place == 0 else hidden, hidden), nn.LeakyReLU(0.2)]
    return nn.Sequential(*made, nn.Linear(hidden, outputs))
