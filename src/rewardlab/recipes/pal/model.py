"""PAL as one object: fit on comparisons by users, score for a user, add users, and export plain rewards."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.data import PreferenceData
from rewardlab.learning.fitting import FitResult, fit
from rewardlab.learning.users import (
    PrototypeReport,
    add_users,
    balanced_users,
    fixed_mixture,
    ideal_head,
    prototype_report,
    user_accuracy,
    user_comparisons,
    user_names,
)
from rewardlab.rewards.models.answers import answers_to
from rewardlab.rewards.models.base import Encoder
from rewardlab.rewards.models.heads.ideal_point import Kind, Mixture, Point, Score
from rewardlab.rewards.models.model import RewardModel

USER_RATE = 10.0
"""Users and prototypes learn this much faster than the projector (the paper's rates differ by 50)."""


@dataclass(frozen=True, slots=True)
class PALUser:
    """One user of a fitted model.

    Args:
        name: of the user.
        model: that knows the user.
    """

    name: str
    model: RewardModel

    @property
    def weights(self) -> NDArray[np.float64]:
        """float64[prototype], which add up to 1."""
        return np.asarray(ideal_head(self.model).user_weights(self.name).double().cpu().numpy())

    def ideal_point(self, prompt: Any = None) -> NDArray[np.float64]:
        """The ideal point, float64[latent].

        Args:
            prompt: what it depends on with kind "prompt": a text, or a vector for encoders of prompt and response.

        Raises:
            ValueError: the point depends on the prompt, and none was given.
        """
        head = ideal_head(self.model)
        if head.ideal == "ideal":
            return np.asarray(head.ideal_point(self.name).double().cpu().numpy())
        if prompt is None:
            raise ValueError(f'with kind="prompt" the point of {self.name!r} depends on the prompt; give one')
        answer = "." if isinstance(prompt, str) else np.zeros(self.model.network.encoder.width)  # any: it plays no part
        outputs = self.model.outputs(answers_to(prompt, [answer]))
        return np.asarray(head.ideal_point(self.name, outputs)[0].double().cpu().numpy())


@dataclass(kw_only=True)
class PAL:
    """A reward model that knows its users (Chen et al. 2024, arXiv 2406.08469).

    Args:
        encoder: an encoder, or its spec; frozen for the paper's "Tiny", trained along for "Large".
        kind: "ideal", one space of ideal points (PAL-A), or "prompt", points that depend on the prompt (PAL-B).
        k: prototypes.
        latent: width of the space.
        hidden: width of the projector's layer; None for the width of the features.
        score_by: "distance" or "angle".
        mixture: "soft" or "partition".
        point: where prototypes of kind "ideal" lie; see `IdealPointHead`.
        fallback: "population", or None to refuse unknown users.
        seed: of the weights.
    """

    encoder: Encoder | Mapping[str, Any]
    kind: Kind = "ideal"
    k: int = 2
    latent: int = 8
    hidden: int | None = None
    score_by: Score = "distance"
    mixture: Mixture = "soft"
    point: Point = "latent"
    fallback: Literal["population"] | None = None
    seed: int = 0
    model: RewardModel | None = field(default=None, init=False)

    def fit(self, records: Any, *, balance_users: bool = False, **options: Any) -> FitResult:
        """Fit projector, prototypes and all users jointly.

        Args:
            records: `PreferenceData` with annotators, or what `user_comparisons` reads.
            balance_users: whether every user counts alike, however many comparisons there are.
            options: of `rewardlab.learning.fit`.

        Raises:
            ValueError: there are fewer users than prototypes, or a comparison names no user.
        """
        data = self._data(records)
        head = {
            "type": "ideal_point", "users": user_names(data), "kind": self.kind, "prototypes": self.k,
            "latent": self.latent, "hidden": self.hidden, "score": self.score_by, "mixture": self.mixture,
            "point": self.point, "fallback": self.fallback, "seed": self.seed,
        }  # fmt: skip
        model = RewardModel.make(self.encoder, head)
        options.setdefault("rates", self._rates())
        result = fit(model, balanced_users(data) if balance_users else data, **options)
        self.model = result.model
        return result

    def add_users(self, records: Any, **options: Any) -> list[PALUser]:
        """Fit the weights of new users; options are those of `rewardlab.learning.users.add_users`.

        Raises:
            ValueError: a user is known already.
        """
        data = self._data(records)
        self.model = add_users(self._fitted(), data, **options)
        return [self.users[name] for name in user_names(data)]

    @property
    def users(self) -> dict[str, PALUser]:
        """All known users by name."""
        model = self._fitted()
        return {name: PALUser(name, model) for name in ideal_head(model).users}

    def score(self, user: str | None, prompt: Any, responses: Sequence[Any]) -> NDArray[np.float64]:
        """Rewards of responses for a user, float64[response]; larger is better.

        Args:
            user: a name; None for the population.
            prompt: a text; a vector, for encoders of prompt and response; or None where responses hold their prompt.
            responses: texts, trajectories, messages or arrays.

        Raises:
            ValueError: the user is unknown, or a response cannot be read.
        """
        scores = self.as_reward(user=user)(answers_to(prompt, responses))
        if not scores.scored.all():
            place = int(np.flatnonzero(~scores.scored)[0])
            reason = None if scores.notes is None else scores.notes[place]
            raise ValueError(f"response {place} could not be scored: {reason}")
        return scores.values

    def save(self, directory: str | Path) -> PAL:
        """Write the fitted model, with all users, to a directory; returns this object."""
        self.model = self._fitted().save(directory)
        return self

    @classmethod
    def load(cls, directory: str | Path) -> PAL:
        """What `save` (or `RewardModel.save`) wrote; its options are read off the model.

        Raises:
            TypeError: the model has another head.
        """
        return cls.around(RewardModel.load(directory))

    @classmethod
    def around(cls, model: RewardModel) -> PAL:
        """A fitted model as a PAL.

        Raises:
            TypeError: it has another head.
        """
        told = ideal_head(model).options()
        made = cls(
            encoder=model.network.encoder, kind=told["kind"], k=told["prototypes"], latent=told["latent"],
            hidden=told["hidden"], score_by=told["score"], mixture=told["mixture"], point=told["point"],
            fallback=told["fallback"], seed=told["seed"],
        )  # fmt: skip
        made.model = model
        return made

    def as_reward(self, *, user: str | None = None, weights: Sequence[float] | None = None) -> RewardModel:
        """A plain scalar reward: of a user, of a fixed mixture that can be saved by itself, or of the population.

        Raises:
            ValueError: both were given, the user is unknown, or the weights do not add up to 1 within 1e-6.
        """
        model = self._fitted()
        if weights is not None:
            if user is not None:
                raise ValueError(f"give user or weights, not both; got user={user!r} and weights={list(weights)}")
            return fixed_mixture(model, weights)
        if user is not None:
            ideal_head(model).user_index(user)
        return model.for_user(user)

    def prototype_report(self, items: Sequence[Any], *, top: int = 3) -> PrototypeReport:
        """What the prototypes prefer, and who holds with them; see `rewardlab.learning.users.prototype_report`."""
        return prototype_report(self._fitted(), items, top=top)

    def select_k(
        self,
        ks: Sequence[int],
        records: Any,
        held_out: Any,
        *,
        comparisons: int = 10,
        adapt: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> dict[int, float]:
        """Try numbers of prototypes on users that were not fitted; `k` becomes the best, and nothing stays fitted.

        Args:
            ks: to try; of equally good ones the smallest is taken.
            records: comparisons of the users to fit on.
            held_out: comparisons of other users: the first few of each are for adding them, the rest judge.
            comparisons: of each held-out user that are for adding them.
            adapt: options of `add_users`.
            options: of the fits.

        Returns:
            Mean accuracy over the held-out users, by k.

        Raises:
            ValueError: a user stands in both parts, or no held-out user has comparisons left to judge by.
        """
        data, other = self._data(records), self._data(held_out)
        both = sorted(set(user_names(data)) & set(user_names(other)))
        if both:
            raise ValueError(
                f"user {both[0]!r} stands in both parts ({len(both)} users do), so k would be judged on users that were "
                "fitted; split_users gives parts without a common user"
            )
        seen: dict[str, int] = {}
        early = []
        for who in other.annotators or ():
            seen[str(who)] = seen.get(str(who), 0) + 1
            early.append(seen[str(who)] <= comparisons)
        support, judge = other.select(np.asarray(early)), other.select(~np.asarray(early))
        if not len(judge):
            raise ValueError(
                f"no held-out user has more than {comparisons} comparisons; give more, or fewer to comparisons="
            )
        found = {}
        for k in ks:
            trial = PAL(
                encoder=copy.deepcopy(self.encoder), kind=self.kind, k=k, latent=self.latent, hidden=self.hidden,
                score_by=self.score_by, mixture=self.mixture, point=self.point, seed=self.seed,
            )  # fmt: skip
            trial.fit(data, **options)
            trial.add_users(support, **(adapt or {}))
            assert trial.model is not None
            found[k] = float(np.nanmean(list(user_accuracy(trial.model, judge).values())))
        self.k = min(found, key=lambda k: (-found[k], k))
        return found

    def _rates(self) -> dict[str, float]:
        rates = {"head.user_logits": USER_RATE}
        return rates | ({"head.points": USER_RATE} if self.kind == "ideal" else {})

    def _data(self, records: Any) -> PreferenceData:
        if isinstance(records, PreferenceData):
            return _without_equal_sides(records)
        if isinstance(records, (str, Path)):
            raise TypeError(
                f"records must be comparisons, got the name {str(records)!r}; rl.read_preferences(path) reads files"
            )
        return user_comparisons(records)

    def _fitted(self) -> RewardModel:
        if self.model is None:
            raise ValueError("this PAL has not been fitted; call fit(records) first")
        return self.model


def _without_equal_sides(data: PreferenceData) -> PreferenceData:
    """The same data without rows that compare an item with itself, which are counted in `problems`."""
    same = np.flatnonzero(data.first == data.second)
    if not same.size:
        return data
    kept = replace(data.select(data.first != data.second), problems=copy.deepcopy(data.problems))
    for row in same:
        kept.problems.add("comparisons", int(row) + 1, "both sides are the same item, so their comparison says nothing")
    return kept
