"""A head that knows its users: each prefers the response nearer to an ideal point, a mixture of a few shared prototypes.

A user is only as many numbers as there are prototypes, so a new one needs a few comparisons and no change to anything else
(`rewardlab.learning.users.add_users`). Users stand in a table by name, so a name may hold any characters.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rewardlab.registry import nearest
from rewardlab.rewards.models.base import Context, Encoded, Head, Outputs

Kind = Literal["ideal", "prompt"]
Score = Literal["distance", "angle"]
Mixture = Literal["soft", "partition"]
Point = Literal["latent", "mixed", "projected"]

LARGEST_SCALE = 100.0
"""The most that the cosine of an angle is multiplied by."""


class IdealPointHead(Head):
    """Values by nearness to a user's ideal point: minus the distance, or the scaled cosine of the angle.

    Source: Chen et al. 2024, "PAL: Pluralistic Alignment Framework for Learning from Heterogeneous Preferences" (arXiv
    2406.08469): kind "ideal" is its fixed ideal point, kind "prompt" its ideal point that depends on the prompt.

    Args:
        width: of the features.
        users: names of the users that are fitted; the mean of their weights is the population.
        kind: "ideal" (prototypes are points) or "prompt" (prototypes are networks from the prompt's features to a point).
        prototypes: how many are shared.
        latent: width of the space in which points lie.
        hidden: width of the projector's layer; None for the width of the features.
        score: "distance" or "angle".
        mixture: "soft", or "partition": every user has the one prototype with the largest weight (weights are soft while
            fitting).
        point: where the prototypes of kind "ideal" lie: in the latent space ("latent"), or in that of the features, and are
            then projected before ("projected") or after ("mixed") the mixture.
        temperature: of the softmax that makes weights of a user's numbers.
        fallback: what an unknown user gets: an error, or the judgement of the "population" with a warning.
        weights: a fixed mixture, for a plain scalar reward without users; see `fixed`.
        founders: how many of the first users make up the population; None for all of them.
        seed: of the weights.

    Raises:
        ValueError: fewer users than prototypes, names that are double or empty, or options out of range.
    """

    kind = "ideal_point"

    def __init__(
        self,
        width: int,
        *,
        users: Sequence[str] = (),
        kind: Kind = "ideal",
        prototypes: int = 2,
        latent: int = 8,
        hidden: int | None = None,
        score: Score = "distance",
        mixture: Mixture = "soft",
        point: Point = "latent",
        temperature: float = 1.0,
        fallback: Literal["population"] | None = None,
        weights: Sequence[float] | None = None,
        founders: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, allowed in (
            ("kind", kind, ("ideal", "prompt")),
            ("score", score, ("distance", "angle")),
            ("mixture", mixture, ("soft", "partition")),
            ("point", point, ("latent", "mixed", "projected")),
            ("fallback", fallback, (None, "population")),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
        if prototypes < 1 or latent < 1:
            raise ValueError(f"prototypes and latent must be at least 1, got {prototypes} and {latent}")
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature must be positive and finite, got {temperature}")
        names = check_users(users)
        count = len(names) if founders is None else founders
        if not 0 <= count <= len(names):
            raise ValueError(f"founders must lie between 0 and the number of users, {len(names)}, got {founders}")
        if 0 < count < prototypes:
            raise ValueError(
                f"{prototypes} prototypes cannot be told apart by {count} {'user' if count == 1 else 'users'}; use "
                f"prototypes={count} or fewer, or judgements of more users"
            )
        if weights is not None and names:
            raise ValueError(
                "weights fix one mixture for everybody, so there can be no users beside them; leave users out"
            )
        self.mixture_of_all = None if weights is None else check_mixture(weights, prototypes)
        self._options: dict[str, Any] = {
            "width": width,
            "users": names,
            "kind": kind,
            "prototypes": prototypes,
            "latent": latent,
            "hidden": hidden,
            "score": score,
            "mixture": mixture,
            "point": point,
            "temperature": temperature,
            "fallback": fallback,
            "weights": self.mixture_of_all,
            "founders": founders,
            "seed": seed,
        }
        self.ideal, self.prototypes, self.score, self.mixture, self.point = kind, prototypes, score, mixture, point
        self.temperature, self.fallback, self.founders = temperature, fallback, count
        self.users = names
        self._index = {name: place for place, name in enumerate(names)}
        self.needs_prompt = kind == "prompt"  # type: ignore[misc]  # only these points depend on prompts
        layer = hidden or width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.project = _projector(width, layer, latent)
            if kind == "prompt":
                self.mappers = nn.ModuleList(_projector(width, layer, latent) for _ in range(prototypes))
            else:
                self.points = nn.Parameter(torch.randn(prototypes, latent if point == "latent" else width))
            self.user_logits = nn.Parameter(torch.randn(len(names), prototypes))
            if score == "angle":
                self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def options(self) -> dict[str, Any]:
        """The constructor's arguments, with the users that were added since."""
        return {**self._options, "users": list(self.users), "founders": self.founders if self.users else None}

    # ---- scoring --------------------------------------------------------------------------------------------------------

    def forward(self, encoded: Encoded) -> Outputs:
        """`item` float[trajectory, latent], and with kind "prompt" `points` float[trajectory, prototype, latent].

        Raises:
            ValueError: points depend on the prompt, but the encoder gives no features of prompts.
        """
        outputs = {"item": self.project(encoded.response)}
        if self.ideal == "prompt":
            if encoded.prompt is None:
                raise ValueError(
                    'kind="prompt" reads the features of prompts, but this encoder gives none; use kind="ideal", or an '
                    "encoder that encodes prompts (a text encoder)"
                )
            outputs["points"] = torch.stack([mapper(encoded.prompt) for mapper in self.mappers], 1)
        return outputs

    def value(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """Nearness to the user's ideal point, or to that of the population; float[row]."""
        weights = self.mixtures(len(outputs["item"]), context)
        return self._nearness(outputs["item"], self._ideal_points(weights, outputs))

    def mixtures(self, rows: int, context: Context | None = None) -> Tensor:
        """The weights of prototypes for so many rows, float[row, prototype]; the population where no user is named."""
        population = self.population()
        users = None if context is None else context.users
        if users is None or not len(self.users):
            return population.expand(rows, -1)
        own = (self.user_logits / self.temperature).softmax(-1)
        if self.mixture == "partition" and not self.training:
            own = nn.functional.one_hot(own.argmax(-1), self.prototypes).to(own.dtype)
        return torch.where((users >= 0).unsqueeze(-1), own[users.clamp(min=0)], population)

    def population(self) -> Tensor:
        """The mean weights of the founding users (or the fixed mixture, or equal weights where there is nobody)."""
        if self.mixture_of_all is not None:
            return self.user_logits.new_tensor(self.mixture_of_all)
        if not self.founders:
            return self.user_logits.new_full((self.prototypes,), 1.0 / self.prototypes)
        return (self.user_logits[: self.founders] / self.temperature).softmax(-1).mean(0)

    def prototype_values(self, outputs: Outputs) -> Tensor:
        """Values for users who have one prototype alone, float[row, prototype]."""
        rows = len(outputs["item"])
        alone = torch.eye(self.prototypes, device=outputs["item"].device, dtype=outputs["item"].dtype)
        columns = [self._ideal_points(weights.expand(rows, -1), outputs) for weights in alone]
        return torch.stack([self._nearness(outputs["item"], points) for points in columns], 1)

    def parts(self, outputs: Outputs) -> dict[str, Tensor]:
        """The value for each prototype alone, `prototype_0` and so on."""
        values = self.prototype_values(outputs)
        return {f"prototype_{place}": values[:, place] for place in range(self.prototypes)}

    def _ideal_points(self, weights: Tensor, outputs: Outputs) -> Tensor:
        if self.ideal == "prompt":
            return torch.einsum("rk,rkd->rd", weights, outputs["points"])
        if self.point == "mixed":
            return self.project(weights @ self.points)
        return weights @ (self.points if self.point == "latent" else self.project(self.points))

    def _nearness(self, item: Tensor, point: Tensor) -> Tensor:
        if self.score == "distance":
            return -torch.linalg.vector_norm(item - point, dim=-1)
        scale = self.log_scale.exp().clamp(max=LARGEST_SCALE)
        return scale * nn.functional.cosine_similarity(item, point, dim=-1)

    # ---- users ----------------------------------------------------------------------------------------------------------

    def user_index(self, name: str) -> int:
        """The row of a user; -1, with a warning, for an unknown one where `fallback` is "population".

        Raises:
            ValueError: the user is unknown; the message names the ways out.
        """
        if name in self._index:
            return self._index[name]
        near = nearest(name, self._index) if len(self._index) <= 1000 else ""
        if self.fallback == "population":
            warnings.warn(
                f"user {name!r} is unknown, so the mean of {self.founders} users judges instead", stacklevel=2
            )
            return -1
        raise ValueError(
            f"user {name!r} is unknown{near}; add_users(model, comparisons) fits the weights of new users, and "
            'fallback="population" lets the mean of the known users judge'
        )

    def user_weights(self, name: str) -> Tensor:
        """The weights of a user, float[prototype]; they add up to 1."""
        row = torch.tensor([self.user_index(name)], device=self.user_logits.device)
        return self.mixtures(1, Context(users=row))[0].detach()

    def ideal_point(self, name: str, outputs: Outputs | None = None) -> Tensor:
        """The ideal point of a user, float[latent]; for kind "prompt" float[row, latent], one for each row of outputs.

        Raises:
            ValueError: the points depend on the prompt, and no outputs were given.
        """
        if self.ideal == "prompt" and outputs is None:
            raise ValueError(
                'with kind="prompt" the point depends on the prompt; give the outputs of some trajectories'
            )
        weights = self.user_weights(name)
        with torch.no_grad():
            if outputs is None or self.ideal == "ideal":
                return self._ideal_points(weights[None], {})[0]
            return self._ideal_points(weights.expand(len(outputs["item"]), -1), outputs)

    def add_rows(self, names: Sequence[str]) -> list[int]:
        """Make room for new users, who begin with the judgement of the population.

        Returns:
            Their rows.

        Raises:
            ValueError: a name is known already, or the mixture is fixed.
        """
        if self.mixture_of_all is not None:
            raise ValueError(
                "this head has one fixed mixture and no users; add users to the model that it was exported from"
            )
        new = check_users(names)
        known = [name for name in new if name in self._index]
        if known:
            raise ValueError(
                f"user {known[0]!r} is known already ({len(known)} of {len(new)} are); leave known users out, or give "
                "refit=True to fit their weights anew"
            )
        with torch.no_grad():
            start = self.population().clamp(min=1e-6).log() * self.temperature
            rows = torch.cat([self.user_logits, start.expand(len(new), -1)])
        self.user_logits = nn.Parameter(rows)
        first = len(self.users)
        self.users = [*self.users, *new]
        self._index = {name: place for place, name in enumerate(self.users)}
        return list(range(first, len(self.users)))

    def fixed(self, weights: Sequence[float]) -> IdealPointHead:
        """The same head for one mixture, without users: a plain scalar reward.

        Args:
            weights: of the prototypes; not negative, and their sum is 1 within 1e-6.
        """
        told = check_mixture(weights, self.prototypes)
        options = {**self._options, "users": [], "weights": told, "founders": None}
        head = IdealPointHead(**options)
        own = {name: value for name, value in self.state_dict().items() if name != "user_logits"}
        head.load_state_dict({**own, "user_logits": self.user_logits.new_zeros((0, self.prototypes))})
        return head.to(self.user_logits.device).train(self.training)


def check_users(names: Sequence[str]) -> list[str]:
    """Names of users as a list.

    Raises:
        ValueError: one is empty, no string, or stands twice.
    """
    if isinstance(names, str):
        raise ValueError(f"users must be a list of names, got the string {names!r}; write [{names!r}]")
    told = list(names)
    for place, name in enumerate(told):
        if not isinstance(name, str) or not name:
            raise ValueError(
                f"users must be names, got {name!r} in place {place}; use str(...), and leave out what has none"
            )
    if len(set(told)) < len(told):
        double = next(name for place, name in enumerate(told) if name in told[:place])
        raise ValueError(f"user {double!r} stands twice among the users")
    return told


def check_mixture(weights: Sequence[float], prototypes: int) -> list[float]:
    """Weights of a mixture as plain numbers.

    Raises:
        ValueError: there is not one for each prototype, one is negative, or their sum is not 1 within 1e-6.
    """
    told = [float(one) for one in weights]
    if len(told) != prototypes:
        raise ValueError(f"weights must be one for each of {prototypes} prototypes, got {len(told)}")
    if not all(one >= 0 for one in told) or abs(sum(told) - 1.0) > 1e-6:
        raise ValueError(
            f"weights must not be negative and must add up to 1 within 1e-6, got {told} (sum {sum(told):.8g})"
        )
    return told


def _projector(width: int, hidden: int, latent: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, latent))
