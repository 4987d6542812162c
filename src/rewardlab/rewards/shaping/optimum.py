"""Whether shaping can change which policies are best: exactly on a finite decision process, by evidence on trajectories.

Shaping keeps every best policy under every task reward exactly where its expected value is `discount * E[phi(s')] -
phi(s)` for some phi that is 0 where the task has ended (Ng, Harada and Russell 1999). On a finite process that is a
linear system, so its residual decides, and the residual itself makes a task that the shaping spoils. On trajectories
the same system is fitted to the transitions seen. It can show that no such phi exists; that one exists for
transitions never seen, it cannot show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.base import Reward
from rewardlab.types import Trajectory

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess

Floats = NDArray[np.float64]
Verdict = Literal["cannot", "could", "does", "unknown"]
TOLERANCE = 1e-7


@dataclass(frozen=True, kw_only=True)
class OptimumCheck:
    """Whether shaping can change which policies are best.

    Args:
        verdict: "cannot" change any best policy under any task reward; "could" under some task reward, and does not under
            the one given (or none was given); "does" under the one given; "unknown" where the evidence decides nothing.
        reason: one sentence.
        residual: largest part of the shaping that no potential explains; NaN where none was fitted.
        potential: float64[state], a potential that gives the shaping, or the nearest to one; None where none was fitted.
        witness: what shows it; see `can_change_optimum`.
    """

    verdict: Verdict
    reason: str
    residual: float = float("nan")
    potential: Floats | None = None
    witness: dict[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether it can, as far as is known: False for "cannot" alone."""
        return self.verdict != "cannot"

    def __str__(self) -> str:
        return (
            f"{self.verdict} change the optimum: {self.reason}"
            if self.verdict != "unknown"
            else f"unknown: {self.reason}"
        )


def can_change_optimum(
    shaping: Reward | Floats,
    where: MarkovDecisionProcess | Sequence[Trajectory] | None = None,
    *,
    discount: float | None = None,
    observations: Floats | None = None,
    features: Callable[[Any], Any] | None = None,
    tolerance: float = TOLERANCE,
) -> OptimumCheck:
    """Whether a shaping term can change which policies are best.

    Args:
        shaping: the term; a reward, or for a finite process float[S, A] or [S, A, S], for trajectories a list of float[T].
        where: a finite decision process, for an exact answer; stored trajectories, for evidence; or None, for what
            the form of the reward says alone.
        discount: of the learner; that of the process where not given. Needed for trajectories.
        observations: [S, ...], what a policy sees in each state of the process; the number of the state where not given.
        features: for trajectories with states that never come twice: observations [N, ...] -> float[N, K]. The potential is
            sought among linear functions of them, on half of the trajectories, and tested on the other half.
        tolerance: residuals up to this share of the largest shaping count as rounding.

    Returns:
        The verdict. On a process, `witness` holds for "does" a `state` with the best actions `before` and `after`,
        and the `loss` of return of a policy that is best after shaping; for "could" a task reward [S, A] whose best
        policy the shaping changes. On trajectories it holds the transition that no potential explains.

    Raises:
        ValueError: shapes that do not fit, or no discount where one is needed.
    """
    if where is None:
        if not isinstance(shaping, Reward):
            raise ValueError(
                "an array says nothing without a process; give the decision process as the second argument"
            )
        return _by_form(shaping, discount)
    if isinstance(where, Sequence):
        if discount is None:
            raise ValueError("trajectories hold no discount; give that of the learner, discount=...")
        from rewardlab.rewards.shaping.optimum_evidence import by_evidence

        return by_evidence(shaping, where, discount, features, tolerance)
    return _on_process(shaping, where, where.discount if discount is None else discount, observations, tolerance)


def _by_form(shaping: Reward, discount: float | None) -> OptimumCheck:
    """What the class and the options of a reward say, without looking at any process."""
    from rewardlab.rewards.algebra import Sum
    from rewardlab.rewards.shaping.action_potentials import ActionPotential, TimePotential
    from rewardlab.rewards.shaping.potentials import Potential

    if isinstance(shaping, Sum):
        found = [
            _by_form(part, discount) for name, part in shaping.parts.items() if shaping.weights.get(name, 1.0) != 0
        ]
        worst = next((one for one in found if one.verdict != "cannot"), None)
        if worst is not None:
            return worst
        if shaping.bias:
            return OptimumCheck(
                verdict="could",
                reason=f"a constant of {shaping.bias:g} at every step changes how long a trajectory should last",
            )
        return OptimumCheck(verdict="cannot", reason="every term is shaping by a potential")
    if not isinstance(shaping, (Potential, TimePotential, ActionPotential)):
        return OptimumCheck(
            verdict="unknown", reason=f"{shaping.label} is not built as a potential; give a process, or trajectories"
        )
    if discount is not None and discount != shaping.discount:
        return OptimumCheck(
            verdict="could",
            reason=f"the potential is discounted by {shaping.discount:g} and the learner by {discount:g}; use one number",
        )
    if isinstance(shaping, Potential) and shaping.negative_slope != 1.0:
        return OptimumCheck(
            verdict="could",
            reason=f"negative_slope={shaping.negative_slope:g} makes going away and coming back pay; leave it at 1",
        )
    if isinstance(shaping, ActionPotential) and shaping.advice == "look_ahead":
        return OptimumCheck(
            verdict="could",
            reason="look-ahead advice keeps the best policy only where Q + phi chooses; see `ActionPotential.pair`",
        )
    return OptimumCheck(verdict="cannot", reason="it is built as a potential, which is 0 where the task has ended")


def _on_process(
    shaping: Reward | Floats,
    process: MarkovDecisionProcess,
    discount: float,
    observations: Floats | None,
    tolerance: float,
) -> OptimumCheck:
    from rewardlab.functional.tabular import evaluate_policy, optimal_actions, value_iteration

    transitions, terminal = process.transitions, process.terminal
    expected = _expected(shaping, process, observations)
    live = np.flatnonzero(~terminal)
    actions = transitions.shape[1]
    # rows: living state and action; columns: phi of living states, since phi of ended ones is 0
    system = discount * transitions[live][:, :, live]
    system = (system - np.eye(len(live))[:, None, :]).reshape(len(live) * actions, len(live))
    wanted = expected[live].reshape(-1)
    found, *_ = np.linalg.lstsq(system, wanted, rcond=None)
    left = wanted - system @ found
    size = max(float(np.abs(wanted).max(initial=0.0)), 1e-300)
    residual = float(np.abs(left).max(initial=0.0))
    phi = np.zeros(len(terminal))
    phi[live] = found
    if residual <= tolerance * size or not size > 1e-12:
        return OptimumCheck(
            verdict="cannot",
            reason="a potential of the states gives exactly this shaping, so every best policy stays best, under any reward",
            residual=residual,
            potential=phi,
        )
    before = value_iteration(transitions, process.rewards, discount)
    after = value_iteration(transitions, process.rewards + expected, discount)
    best, then = optimal_actions(before[1]), optimal_actions(after[1])
    policy = then / then.sum(-1, keepdims=True)
    loss = before[0] - evaluate_policy(transitions, process.rewards, policy, discount)
    scale = max(float(np.abs(before[0]).max()), 1.0)
    worse = (then & ~best).any(-1) & ~terminal & (loss > tolerance * scale)
    if worse.any():
        state = int(np.argmax(np.where(worse, loss, -np.inf)))
        return OptimumCheck(
            verdict="does",
            reason=(
                f"in {_state(process, state)} the best actions were {_actions(process, best[state])} and with the "
                f"shaping are {_actions(process, then[state])}, which loses {loss[state]:.4g} of the return there"
            ),
            residual=residual,
            potential=phi,
            witness={
                "state": state,
                "before": np.flatnonzero(best[state]).tolist(),
                "after": np.flatnonzero(then[state]).tolist(),
                "loss": float(loss[state]),
            },
        )
    spoiled = np.zeros_like(expected)
    spoiled[live] = -0.5 * left.reshape(len(live), actions)  # with the shaping its sign turns round
    return OptimumCheck(
        verdict="could",
        reason=(
            f"no potential gives this shaping (up to {residual:.4g} is left), and the best policies of this task stay best, "
            "but those of the task reward in witness['rewards'] do not"
        ),
        residual=residual,
        potential=phi,
        witness={"rewards": spoiled},
    )


def _expected(shaping: Reward | Floats, process: MarkovDecisionProcess, observations: Floats | None) -> Floats:
    """float64[S, A], the shaping expected over the next state; 0 in terminal states, where nothing is earned any more."""
    transitions, terminal = process.transitions, process.terminal
    states, actions, _ = transitions.shape
    if isinstance(shaping, Reward):
        from rewardlab.rewards.shaping.by_transition import transition_values

        seen = np.arange(states, dtype=np.float64)[:, None] if observations is None else np.asarray(observations)
        if len(seen) != states:
            raise ValueError(f"observations must hold one row for each of {states} states, got {len(seen)}")
        start, action, end = np.nonzero((transitions > 0) & ~terminal[:, None, None])
        values = np.zeros(transitions.shape)
        values[start, action, end] = transition_values(
            shaping, observation=seen[start], action=action, next_observation=seen[end], terminated=terminal[end]
        )
    else:
        values = np.asarray(shaping, dtype=np.float64)
        if values.shape not in ((states, actions), transitions.shape):
            raise ValueError(
                f"shaping must be [{states}, {actions}] or [{states}, {actions}, {states}], got shape {values.shape}"
            )
    found: Floats = values if values.ndim == 2 else (transitions * np.where(transitions > 0, values, 0.0)).sum(-1)
    if not np.isfinite(found).all():
        state, act = np.argwhere(~np.isfinite(found))[0]
        raise ValueError(f"the shaping of state {state}, action {act} is {found[state, act]}; it must be finite")
    return np.where(terminal[:, None], 0.0, found)


def _state(process: Any, state: int) -> str:
    names = process.state_names
    return f"state {state}" if names is None else f"state {names[state]}"


def _actions(process: Any, chosen: NDArray[np.bool_]) -> str:
    names: Mapping[int, str] | Sequence[str] | None = process.action_names
    return ", ".join(str(one) if names is None else str(names[one]) for one in np.flatnonzero(chosen).tolist())
