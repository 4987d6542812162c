"""Constraints on how often a behaviour is seen, and the Lagrangian that learns their weights while an agent learns.

A behaviour is stated by an indicator, 1 where it is shown, so a threshold is a share of steps (or of trajectories) and can
be written down before training (direct behaviour specification; Roy et al. 2022, arXiv 2112.12228). `Lagrangian` is a
reward: any learner that maximises it, as it changes, keeps the constraints. On-line its multipliers move after every `every`
transitions, inside the wrapper that pays it; in a loop over finished trajectories they move in `observe`.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional.lagrangian import (
    Floats,
    Multipliers,
    multiplier_step,
    multipliers,
    signed_weights,
    start_multipliers,
    violations_of,
)
from rewardlab.rewards.base import Reward
from rewardlab.rewards.formal.constraint_report import ConstraintReport, report_constraints
from rewardlab.rewards.functions import reward as reward_of
from rewardlab.rewards.spec import register
from rewardlab.rewards.transitions import StatefulReward, transition_columns, unusable
from rewardlab.types import Scores, Status, Trajectory


@register("constraint")
@dataclass(frozen=True, kw_only=True)
class Constraint(Reward):
    """A bound on the rate of a behaviour.

    As a reward, it scores a trajectory by its own rate there: the share of steps, or 1 where the behaviour was shown at all.

    Args:
        indicator: a reward of transitions, or a function of them, that gives 1 where the behaviour is shown, 0 where it is
            not, and NaN where the question has no meaning. Steps with NaN are left out of the rate, and pay nothing.
        at_most: upper bound of the rate, in [0, 1].
        at_least: lower bound; exactly one of the two is given.
        per: whether the rate counts steps, or trajectories in which the behaviour was shown at least once.
        discount: of a critic of this indicator, for learners that have one critic for each.
    """

    indicator: Reward = field(kw_only=False)
    at_most: float | None = None
    at_least: float | None = None
    per: Literal["step", "episode"] = "step"
    discount: float = 0.9

    def __post_init__(self) -> None:
        if callable(self.indicator) and not isinstance(self.indicator, Reward):
            object.__setattr__(self, "indicator", reward_of(per="transition")(self.indicator))
        super().__post_init__()
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError(
                f"constraint {self.label!r} needs one bound, at_most= or at_least=, got "
                f"{'neither' if self.at_most is None else 'both'}; a band is two constraints, one for each bound"
            )
        if not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"constraint {self.label!r}: its threshold is a rate in [0, 1], got {self.threshold}")
        if not 0.0 <= self.discount < 1.0:
            raise ValueError(f"constraint {self.label!r}: discount must be in [0, 1), got {self.discount}")
        if (self.at_most == 0.0) or (self.at_least == 1.0):
            warnings.warn(
                f"constraint {self.label!r} has the threshold {self.threshold:g}, which no rate can be better than: its "
                "multiplier never comes down again; leave a little room",
                stacklevel=3,
            )

    @property
    def label(self) -> str:
        """Its name, or that of the indicator."""
        return self.name or self.indicator.label

    @property
    def threshold(self) -> float:
        """The bound, whichever it is."""
        found = self.at_most if self.at_most is not None else self.at_least
        assert found is not None
        return found

    @property
    def sign(self) -> int:
        """-1 for an upper bound (the behaviour costs), +1 for a lower one (it pays)."""
        return -1 if self.at_most is not None else 1

    def children(self) -> dict[str, Reward]:  # noqa: D102 - documented on Reward
        return {self.indicator.label.replace(".", "_"): self.indicator}

    def combine_transitions(self, values: dict[str, Floats], progress: float | None) -> Floats:
        """On-line it is its indicator."""
        (shown,) = values.values()
        self.check(shown)
        return shown

    def check(self, shown: Floats) -> None:
        """Refuse what is no indicator.

        Raises:
            ValueError: a value is neither 0, 1 nor NaN.
        """
        wrong = ~(np.isnan(shown) | (shown == 0.0) | (shown == 1.0))
        if wrong.any():
            raise ValueError(
                f"the indicator of constraint {self.label!r} gave {shown[wrong][0]}, expected 0 or 1 (or NaN where it has "
                "no meaning); compare with a threshold inside the indicator, such as (speed > 2.0)"
            )

    def shown(self, trajectories: Sequence[Trajectory]) -> list[Floats | None]:
        """The indicator at every step of each trajectory, float64[T]; None for trajectories that cannot be scored."""
        from rewardlab.rewards.online.stepping import _play, _reads_info, node_of

        node = node_of(self.indicator)
        reads_info = any(_reads_info(one.reward) for one in node.walk())
        usable = [
            index
            for index, one in enumerate(trajectories)
            if unusable(one, label=self.label, reads_info=reads_info) is None
        ]
        found: list[Floats | None] = [None] * len(trajectories)
        if usable:
            chosen = [trajectories[index] for index in usable]
            lengths = np.array([len(one) for one in chosen])
            earned = np.concatenate([one.rewards for one in chosen])
            columns = transition_columns(chosen, reads_info=reads_info)
            values = _play(node, columns, earned, lengths, None)[""]
            self.check(values)
            for index, piece in zip(usable, np.split(values, np.cumsum(lengths)[:-1]), strict=True):
                found[index] = piece
        return found

    def count(self, shown: Sequence[Floats | None]) -> tuple[float, int]:
        """How often the behaviour was shown, and of how many: known steps, or trajectories with a known step."""
        known = [piece[np.isfinite(piece)] for piece in shown if piece is not None]
        if self.per == "step":
            return float(sum(piece.sum() for piece in known)), sum(len(piece) for piece in known)
        return float(sum(piece.any() for piece in known if len(piece))), sum(bool(len(piece)) for piece in known)

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        values = np.full(len(trajectories), np.nan)
        status = np.full(len(trajectories), Status.FAILED, dtype=np.int8)
        notes: list[str | None] = [unusable(one, label=self.label) for one in trajectories]
        shown = self.shown(trajectories)
        for index, piece in enumerate(shown):
            if piece is None:
                continue
            times, of = self.count([piece])
            status[index] = Status.SCORED if of else Status.ABSTAINED
            values[index] = times / of if of else np.nan
            if not of:
                notes[index] = f"the indicator of {self.label!r} has no meaning on any step"
        steps = [None if piece is None else np.nan_to_num(piece) for piece in shown]
        return Scores(values=values, status=status, notes=notes if any(notes) else None, steps=steps)


@register("lagrangian")
@dataclass(frozen=True, kw_only=True)
class Lagrangian(StatefulReward):
    """A reward and constraints on behaviour, whose weights are learned: those of broken constraints grow.

    Args:
        reward: what is maximised within the constraints.
        constraints: on rates of behaviour; each has a name of its own.
        normalise: weights are a softmax, so that they sum to 1; else `max(0, z)` beside a reward of weight 1.
        bootstrap: name of a constraint on success that lends its weight to the reward, which then weighs the larger of the
            two: otherwise a success that was never seen takes all weight away from what would lead to it.
        learning_rate: of the multipliers' Adam; the paper has .03, a hundred times that of the policy.
        every: transitions between two updates of the multipliers, over which the rates are taken.
        learn: whether multipliers go on changing.
        logits, first, second: of the multipliers and their Adam (state; written to the spec).
        updates: how many were made (state).
    """

    reward: Reward = field(kw_only=False)
    constraints: tuple[Reward, ...] = field(kw_only=False)
    normalise: bool = True
    bootstrap: str | None = None
    learning_rate: float = 0.03
    every: int = 2000
    learn: bool = True
    logits: tuple[float, ...] = ()
    first: tuple[float, ...] = ()
    second: tuple[float, ...] = ()
    updates: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.constraints:
            raise ValueError(
                "Lagrangian: option 'constraints' is empty; without constraints the reward alone is enough"
            )
        for constraint in self.constraints:
            if not isinstance(constraint, Constraint):
                raise ValueError(
                    f"Lagrangian: option 'constraints' holds a {type(constraint).__name__}; "
                    "write rl.Constraint(indicator, at_most=...)"
                )
        names = self.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or self.reward_name in names:
            raise ValueError(f"Lagrangian: the names {twice or [self.reward_name]} stand twice; give each a name=")
        if self.bootstrap is not None and self.bootstrap not in names:
            raise ValueError(
                f"Lagrangian: bootstrap is {self.bootstrap!r}, which is no constraint; they are {', '.join(names)}"
            )
        if self.bootstrap is not None and self.signs[names.index(self.bootstrap)] < 0:
            raise ValueError(
                f"Lagrangian: the bootstrap constraint {self.bootstrap!r} needs at_least=, it has at_most="
            )
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"Lagrangian: option 'learning_rate' must be positive, got {self.learning_rate}")
        if self.every < 1:
            raise ValueError(f"Lagrangian: option 'every' must be at least 1 transition, got {self.every}")
        for name in ("logits", "first", "second"):
            if getattr(self, name) and len(getattr(self, name)) != 1 + len(names):
                raise ValueError(
                    f"Lagrangian: option {name!r} needs {1 + len(names)} numbers, one for the reward first"
                )
        object.__setattr__(self, "history", [])
        object.__setattr__(self, "reward_size", float("nan"))

    @property
    def names(self) -> list[str]:
        """Names of the constraints."""
        return [constraint.label.replace(".", "_") for constraint in self.constraints]

    @property
    def reward_name(self) -> str:
        """Name of the reward among the parts."""
        return self.reward.label.replace(".", "_")

    @functools.cached_property
    def signs(self) -> NDArray[np.int64]:
        """int[K], -1 for upper bounds."""
        return np.array([constraint.sign for constraint in self.constraints])  # type: ignore[attr-defined]

    @functools.cached_property
    def thresholds(self) -> Floats:
        """float64[K]."""
        return np.array([constraint.threshold for constraint in self.constraints])  # type: ignore[attr-defined]

    def children(self) -> dict[str, Reward]:  # noqa: D102 - documented on Reward
        return {self.reward_name: self.reward, **dict(zip(self.names, self.constraints, strict=True))}

    @property
    def multipliers(self) -> Multipliers:
        """Logits and moments as they stand."""
        if not self.logits:
            return start_multipliers(len(self.constraints))
        zeros = (0.0,) * len(self.logits)
        moments = (np.array(self.first or zeros), np.array(self.second or zeros))
        return Multipliers(np.array(self.logits), *moments, self.updates)

    def weights_of(self, state: Multipliers) -> Floats:
        """float64[1 + K], what reward and indicators are multiplied by."""
        place = None if self.bootstrap is None else self.names.index(self.bootstrap)
        return signed_weights(multipliers(state.logits, normalise=self.normalise), self.signs, bootstrap=place)

    @property
    def weights(self) -> dict[str, float]:
        """What the reward and each indicator weigh now, by name."""
        found = self.weights_of(self.multipliers).tolist()
        return dict(zip([self.reward_name, *self.names], found, strict=True))

    def move(self, state: Multipliers, rates: Floats) -> tuple[Multipliers, dict[str, Any]]:
        """The multipliers after a window with these rates (NaN where not known), and its line of the history."""
        for name, rate in zip(self.names, rates, strict=True):
            if np.isnan(rate):
                warnings.warn(
                    f"constraint {name!r} had no meaning on any step of the last window; its multiplier stays",
                    stacklevel=2,
                )
        violations = violations_of(rates, self.thresholds, self.signs)
        after = multiplier_step(state, violations, learning_rate=self.learning_rate, normalise=self.normalise)
        weights = dict(zip([self.reward_name, *self.names], self.weights_of(after).tolist(), strict=True))
        return after, {"rates": dict(zip(self.names, rates.tolist(), strict=True)), "weights": weights}

    def settle(self, state: Multipliers, lines: Sequence[dict[str, Any]], reward_size: float) -> None:
        """Take over what was learned beside running environments."""
        for name in ("logits", "first", "second"):
            object.__setattr__(self, name, tuple(getattr(state, name).tolist()))
        object.__setattr__(self, "updates", int(state.steps))
        object.__setattr__(self, "reward_size", reward_size)
        self.history.extend(lines)  # type: ignore[attr-defined]
        self.__dict__.pop("spec_hash", None)

    def observe(self, trajectories: Sequence[Trajectory], scores: Scores) -> None:
        """Move the multipliers once, by the rates in these trajectories."""
        super().observe(trajectories, scores)
        if not self.learn:
            return
        counts = [constraint.count(constraint.shown(trajectories)) for constraint in self.constraints]  # type: ignore[attr-defined]
        rates = np.array([times / of if of else np.nan for times, of in counts])
        after, line = self.move(self.multipliers, rates)
        part = scores.parts.get(self.reward_name)
        taken = [piece for piece in (part.steps or []) if piece is not None] if part is not None else []
        size = float(np.mean(np.abs(np.concatenate(taken)))) if taken else float("nan")
        self.settle(after, [line], size)

    def report(self) -> ConstraintReport:
        """Rates against thresholds, weights and their history; call `settle()` of the wrapper first where one pays it."""
        return report_constraints(
            self.names,
            self.thresholds.tolist(),
            self.signs.tolist(),
            self.history,  # type: ignore[attr-defined]
            list(self.weights.values()),
            self.reward_size,  # type: ignore[attr-defined]
        )

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        own = {name: list(getattr(self, name)) for name in ("logits", "first", "second")}
        learned = {**own, "updates": self.updates, "history": list(self.history)}  # type: ignore[attr-defined]
        return {**super().state_dict(), "": learned}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: D102
        own = state.get("")
        if own is not None:
            if len(own["logits"]) not in (0, 1 + len(self.constraints)):
                raise ValueError(
                    f"the state has {len(own['logits'])} logits, and {self.label} with {len(self.constraints)} constraints "
                    f"needs {1 + len(self.constraints)}"
                )
            for name in ("logits", "first", "second"):
                object.__setattr__(self, name, tuple(own[name]))
            object.__setattr__(self, "updates", own["updates"])
            object.__setattr__(self, "history", list(own["history"]))
        super().load_state_dict({name: entry for name, entry in state.items() if name})

    @functools.cached_property
    def _node(self) -> Any:
        from rewardlab.rewards.online.stepping import node_of

        return node_of(self)

    def start(self, count: int) -> Any:  # noqa: D102
        return self._node.start(count)

    def advance(  # noqa: D102
        self,
        state: Any,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
        info: Mapping[str, Any] | None = None,
    ) -> tuple[Floats, Any]:
        from rewardlab.rewards.online.nodes import Transition

        return self._node.advance(state, Transition(observation, action, next_observation, terminated, info))

    def reset(self, state: Any, mask: NDArray[np.bool_]) -> Any:  # noqa: D102
        return self._node.reset(state, mask)

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        from rewardlab.rewards.online.stepping import score_node

        frozen = self if not self.learn else replace(self, learn=False)
        return score_node(frozen._node, trajectories, progress)
