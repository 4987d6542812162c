"""Temporal logic on finite traces as a reward: `LTLf("F goal & G !lava")`.

A formula becomes the smallest automaton that decides it, and the automaton a reward machine: it pays once, as soon as no
continuation can change the verdict, and else when the environment ends the trajectory. A limit that cuts a trajectory off
decides nothing: what is still open then is no violation, and a stored trajectory of that kind is abstained from.

A step of the trace is a transition: what its labels say after the action. A formula that is true of every trace or of none
is refused, because it says nothing; and so is one that no beginning of a trace ever settles, such as `G F goal`, because on
finite traces it only speaks of the last step, which is rarely what its author means. `at_end=True` takes it at its word.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.formal.automata import Automaton, compile_formula
from rewardlab.rewards.formal.edges import TERMINATED, Edge
from rewardlab.rewards.formal.labels import as_labels
from rewardlab.rewards.formal.machines import RewardMachine
from rewardlab.rewards.formal.syntax import Formula, FormulaError, parse_formula, propositions
from rewardlab.rewards.formal.tables import cover
from rewardlab.rewards.spec import register
from rewardlab.rewards.transitions import StatefulReward
from rewardlab.types import Scores, Status, Trajectory

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess

SATISFIED, VIOLATED = "satisfied", "violated"


@register("ltlf")
@dataclass(frozen=True, kw_only=True)
class LTLf(StatefulReward):
    """A reward for trajectories that satisfy a formula of linear temporal logic on finite traces.

    Args:
        formula: such as `F goal & G !lava`; X, WX, F, G, U, R, W, !, &, |, ->, <-> and propositions.
        labels: which propositions hold, as for `RewardMachine`.
        satisfied: what is paid once the formula is sure to hold, or holds when the environment ends the trajectory.
        violated: what is paid once it is sure to fail, or fails at that end.
        progress: how much is paid, in parts, for coming nearer to a state of the automaton that accepts, counted in edges;
            what takes the trajectory away from it costs as much. A trajectory that satisfies the formula still earns more
            than any that violates it, by at least what `satisfied` is above `violated`.
        truncated: what a stored trajectory is worth that a limit cut off undecided: "abstain", or "as_end", as if it had
            ended there (for tasks that always run to a limit; on-line, no limit is ever an end).
        at_end: take a formula that only the last step decides.
        shaping: discount of the machine's potential-based shaping, which changes no optimal policy; see `RewardMachine`.
    """

    formula: str = field(kw_only=False)
    labels: Any = None
    satisfied: float = 1.0
    violated: float = 0.0
    progress: float = 0.0
    truncated: Literal["abstain", "as_end"] = "abstain"
    at_end: bool = False
    shaping: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", as_labels(self.labels))
        super().__post_init__()
        if not self.progress >= 0:
            raise ValueError(f"LTLf: option 'progress' must be 0 or more, got {self.progress}")
        parsed = self.parsed
        if TERMINATED in propositions(parsed):
            raise ValueError(
                f"the formula names {TERMINATED!r}, which machines use for the end of a trajectory; the last step is where "
                "'!X true' holds"
            )
        decided = self.automaton.decided
        if decided[0] != -1:
            which = "every trace" if decided[0] == 1 else "no trace"
            raise ValueError(
                f"{which} satisfies {self.formula!r}, so as a reward it says nothing; is an operand missing?"
            )
        if not self.at_end and (decided == -1).all():
            raise ValueError(
                f"no beginning of a trace ever settles {self.formula!r}: on finite traces it only speaks of the last step. "
                "Say at_end=True to take it so; for an endless task use long_run_probability, or pay each time in a "
                "RewardMachine"
            )
        _ = self.machine

    @functools.cached_property
    def parsed(self) -> Formula:
        """The formula as a tree."""
        try:
            return parse_formula(self.formula, None if self.labels is None else self.labels.propositions)
        except FormulaError as error:  # with the option named, a reader of a file can name the line
            raise FormulaError(f"option 'formula': {error.reason}", self.formula, error.position) from None

    @functools.cached_property
    def automaton(self) -> Automaton:
        """The smallest automaton of the formula."""
        return compile_formula(self.parsed)

    @functools.cached_property
    def machine(self) -> RewardMachine:
        """The reward machine that pays the same."""
        return formula_machine(
            self.automaton,
            satisfied=self.satisfied,
            violated=self.violated,
            progress=self.progress,
            labels=self.labels,
            shaping=self.shaping,
        )

    def to_machine(self) -> RewardMachine:
        """The reward machine that pays the same, to be drawn, minimised, edited or combined."""
        return self.machine

    def product(self, process: MarkovDecisionProcess) -> MarkovDecisionProcess:
        """The decision process of environment and automaton together; see `RewardMachine.product`."""
        return self.machine.product(process)

    @property
    def reads_info(self) -> bool:  # type: ignore[override]  # what the labelling reads shows on the object alone
        """Whether the labelling reads what the environment reports beside the observation."""
        return self.machine.reads_info

    def start(self, count: int) -> NDArray[np.intp]:  # noqa: D102 - documented on StatefulReward
        return self.machine.start(count)

    def advance(  # noqa: D102
        self,
        state: NDArray[np.intp],
        observation: Any,
        action: Any,
        next_observation: Any,
        terminated: NDArray[np.bool_],
        info: Mapping[str, Any] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        return self.machine.advance(state, observation, action, next_observation, terminated, info)

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        chat = self.labels is not None and self.labels.chat
        given = list(trajectories)
        if self.truncated == "as_end":
            given = [replace(entry, terminated=True, truncated=False) for entry in given]
        scores = self.machine._score(given, progress)
        status, values = scores.status.copy(), scores.values.copy()
        notes: list[str | None] = list(scores.notes) if scores.notes is not None else [None] * len(given)
        for index, trajectory in enumerate(given):
            cut = trajectory.truncated if chat else not trajectory.terminated
            if status[index] == Status.SCORED and cut:
                last = self.machine.visited(trajectory)[-1]
                if last not in (SATISFIED, VIOLATED):
                    status[index], values[index] = Status.ABSTAINED, np.nan
                    notes[index] = (
                        "the trajectory was cut off before the formula was decided, which is no violation; "
                        'truncated="as_end" takes the cut for the end'
                    )
        kept = scores.steps
        if kept is not None:
            kept = [steps if code == Status.SCORED else None for steps, code in zip(kept, status, strict=True)]
        return Scores(values=values, status=status, notes=notes if any(notes) else None, steps=kept)


def formula_machine(
    automaton: Automaton,
    *,
    satisfied: float = 1.0,
    violated: float = 0.0,
    progress: float = 0.0,
    labels: Any = None,
    shaping: float | None = None,
) -> RewardMachine:
    """The reward machine of an automaton: it pays at the end of a trajectory, or as soon as the verdict is sure.

    Its states are those of the automaton that are still open, `q0` first, and `satisfied` and `violated`, both terminal.
    """
    names = (*automaton.propositions, TERMINATED)
    decided = automaton.decided
    finite = automaton.distance[np.isfinite(automaton.distance)]
    near = np.where(np.isfinite(automaton.distance), 1 - automaton.distance / max(finite.max(initial=0.0), 1.0), 0.0)
    codes = len(automaton.propositions)
    half = automaton.transitions.shape[1]
    number = {state: f"q{place}" for place, state in enumerate(np.flatnonzero(decided == -1).tolist())}
    edges: list[Edge] = []
    used = {VIOLATED: False, SATISFIED: False}
    reached, queue = {0}, [0]
    for state in queue:  # grows while it is read
        ways: dict[tuple[str, float], NDArray[np.bool_]] = {}
        for code in range(half << 1):
            following = int(automaton.transitions[state, code % half])
            ended = bool(code >> codes & 1)
            verdict = (
                decided[following] if decided[following] != -1 or not ended else int(automaton.accepting[following])
            )
            moved = progress * float(near[following] - near[state])
            if verdict == -1:
                target, paid = number[following], moved
                if following not in reached:
                    reached.add(following)
                    queue.append(following)
            else:
                target = SATISFIED if verdict else VIOLATED
                paid = (satisfied if verdict else violated) + moved
                used[target] = True
            ways.setdefault((target, paid), np.zeros(half << 1, dtype=bool))[code] = True
        for (target, paid), marked in sorted(ways.items()):
            edges.append(Edge(number[state], target, str(cover(marked, names)), paid))
    terminal = tuple(state for state, seen in used.items() if seen)
    return RewardMachine(transitions=edges, initial="q0", terminal=terminal, labels=labels, shaping=shaping)
