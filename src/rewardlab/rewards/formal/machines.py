"""Reward machines: a finite automaton that reads what just became true and says what this step is worth.

A reward machine states tasks with order and memory ("coffee, then the office, never the plant") which no reward of single
transitions can state. It is a `StatefulReward`: its state is one number for each environment, and any number of environments
advance in one look-up. It refuses to guess: a state that does not say what happens in some valuation, two edges that want
different things of the same valuation, and a state that nothing leads to are errors when the machine is built.

Source: Toro Icarte, Klassen, Valenzano and McIlraith 2018 and 2022 (JAIR 73).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.registry import nearest
from rewardlab.rewards.base import Reward, ScoringFailure, Verdict, attempt, scores_from_verdicts
from rewardlab.rewards.formal.edges import OTHERWISE, STAY, TERMINATED, build_table, read_edge
from rewardlab.rewards.formal.labels import as_labels, reward_of
from rewardlab.rewards.formal.syntax import Formula, FormulaError, parse_guard
from rewardlab.rewards.formal.tables import MachineTable
from rewardlab.rewards.spec import register
from rewardlab.rewards.transitions import StatefulReward, transition_columns
from rewardlab.types import Scores, Trajectory
from rewardlab.types.trees import tree_map

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess


@register("reward_machine")
@dataclass(frozen=True, kw_only=True)
class RewardMachine(StatefulReward):
    """A reward machine over propositions of transitions.

    In a terminal state the task is over: nothing is paid any more, until the trajectory ends and the machine starts again.
    That a limit ended a trajectory means nothing to a machine.

    Args:
        transitions: edges `(source, target, guard, reward)`.
        initial: the state at the start; the source of the first edge where not given.
        terminal: states in which the task is over.
        otherwise: what happens in valuations that a state does not mention: "stay", or the name of a state to go to (made
            terminal where nothing else mentions it), in both cases for no reward. None: such a state is an error.
        propositions: the propositions that guards may name; those of the labelling where not given.
        labels: which propositions hold: a function of transitions, proposition -> reward, proposition -> numbers of states,
            or a `Labels`. A machine without can be drawn, minimised and followed by hand, but not score.
        shaping: discount of the shaping that is added (see `potential`), None for none. It changes no optimal policy of an
            agent that discounts by as much.
    """

    transitions: Any
    initial: str | None = None
    terminal: tuple[str, ...] = ()
    otherwise: str | None = None
    propositions: tuple[str, ...] | None = None
    labels: Any = None
    shaping: float | None = None

    def __post_init__(self) -> None:
        edges = tuple(read_edge(entry, number) for number, entry in enumerate(self.transitions))
        if not edges:
            raise ValueError("RewardMachine: option 'transitions' is empty; give at least one edge")
        object.__setattr__(self, "transitions", edges)
        object.__setattr__(self, "terminal", tuple(str(state) for state in self.terminal))
        object.__setattr__(self, "initial", edges[0].source if self.initial is None else str(self.initial))
        object.__setattr__(self, "labels", as_labels(self.labels))
        super().__post_init__()
        if self.shaping is not None and not 0.0 <= self.shaping < 1.0:
            raise ValueError(f"RewardMachine: option 'shaping' is a discount in [0, 1), got {self.shaping}")
        if self.labels is not None and self.labels.chat:
            for edge in edges:
                if isinstance(edge.reward, Reward):
                    raise ValueError(
                        f"the edge {edge.source} -> {edge.target} pays {edge.reward.label}, a reward of array transitions, "
                        "and the labelling is one of chats; give the edge a number"
                    )
        _ = self.table  # so that what is wrong with the machine is said when it is built

    # ---- what it is made of ------------------------------------------------------------------------------------------

    @functools.cached_property
    def states(self) -> tuple[str, ...]:
        """Names of the states, the initial one first, then as edges mention them."""
        assert self.initial is not None  # set when the machine was built
        named = [self.initial]
        for edge in self.transitions:
            named += [edge.source, edge.target]
        named += self.terminal
        if self.otherwise is not None and self.otherwise != STAY:
            named.append(self.otherwise)
        return tuple(dict.fromkeys(named))

    @functools.cached_property
    def _guards(self) -> list[Formula]:
        known: Sequence[str] | None = self.propositions
        if known is None and self.labels is not None:
            known = self.labels.propositions
        if known is not None:
            known = [*known, TERMINATED]
        guards = []
        for edge in self.transitions:
            try:
                guards.append(parse_guard("false" if edge.guard == OTHERWISE else edge.guard, known))
            except FormulaError as error:
                raise ValueError(f"the guard of the edge {edge.source} -> {edge.target}: {error}") from error
        return guards

    @functools.cached_property
    def table(self) -> MachineTable:
        """The machine by numbers, complete and checked.

        Raises:
            ValueError: it is not deterministic, not complete, or has a state that nothing leads to.
        """
        return build_table(self.states, self.transitions, self._guards, self.terminal, self.otherwise)

    def number(self, state: str) -> int:
        """The number of a state.

        Raises:
            ValueError: there is no such state.
        """
        if state not in self.states:
            raise ValueError(f"the machine has no state {state!r}{nearest(state, self.states)}")
        return self.states.index(state)

    @functools.cached_property
    def _constants(self) -> NDArray[np.float64]:
        """What each edge pays, 0 where a reward is asked; one 0 more at the end, for edge -1."""
        paid = [0.0 if isinstance(edge.reward, Reward) else float(edge.reward) for edge in self.transitions]
        return np.array([*paid, 0.0])

    @functools.cached_property
    def _asked(self) -> dict[int, Reward]:
        return {number: edge.reward for number, edge in enumerate(self.transitions) if isinstance(edge.reward, Reward)}

    @functools.cached_property
    def _potential(self) -> NDArray[np.float64]:
        return np.zeros(len(self.states)) if self.shaping is None else self.potential(self.shaping)

    # ---- a reward ----------------------------------------------------------------------------------------------------

    @property
    def reads_info(self) -> bool:  # type: ignore[override]  # what the labelling reads shows on the object alone
        """Whether the labelling reads what the environment reports beside the observation."""
        return self.labels is not None and self.labels.reads_info

    def start(self, count: int) -> NDArray[np.intp]:
        """The state of `count` machines at the start: int[count] of zeros."""
        return np.zeros(count, dtype=np.intp)

    def valuation(
        self,
        observation: Any,
        action: Any,
        next_observation: Any,
        terminated: Any,
        info: Mapping[str, Any] | None = None,
    ) -> NDArray[np.bool_]:
        """Which propositions hold on N transitions: bool[N, proposition], columns as in `table.propositions`."""
        if self.labels is None:
            raise ValueError(f"{self.label} has no labelling, so it cannot read transitions; give it labels=")
        found = self.labels.valuate(observation, action, next_observation, terminated, info)
        given = {**found, TERMINATED: np.asarray(terminated)}
        return self.labels.select(given, self.table.propositions, len(given[TERMINATED]))

    def advance(
        self,
        state: NDArray[np.intp],
        observation: Any,
        action: Any,
        next_observation: Any,
        terminated: NDArray[np.bool_],
        info: Mapping[str, Any] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Rewards of N transitions, and the machines' states after them."""
        valuation = self.valuation(observation, action, next_observation, terminated, info)
        following, edge = self.table.step(state, valuation)
        ended = np.asarray(terminated)
        rewards = self.paid(edge, np.arange(len(ended)), (observation, action, next_observation, ended))
        return rewards + self.shaping_of(state, following, ended), following

    def paid(self, edge: NDArray[np.intp], rows: NDArray[np.intp], columns: tuple[Any, ...]) -> NDArray[np.float64]:
        """What edges pay.

        Args:
            edge: int[M], numbers of edges, -1 for none.
            rows: int[M], on which transition each was taken.
            columns: observation, action, next observation and terminated of the transitions.
        """
        rewards = self._constants[edge]
        for number, reward in self._asked.items():
            taken = edge == number
            if taken.any():
                chosen = rows[taken]
                rewards[taken] = reward_of(reward, *(tree_map(lambda leaf, at=chosen: leaf[at], c) for c in columns))
        return rewards

    def shaping_of(
        self, state: NDArray[np.intp], following: NDArray[np.intp], terminated: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """What the shaping adds to N steps: the discounted potential gained, none being left where the trajectory ends."""
        if self.shaping is None:
            return np.zeros(state.shape)
        left = np.where(terminated, 0.0, self._potential[following])
        return self.shaping * left - self._potential[state]

    def follow(self, steps: Iterable[Iterable[str]]) -> tuple[list[str], list[float]]:
        """Follow the machine by hand.

        Args:
            steps: for each step the propositions that hold.

        Returns:
            The states that it is in, the initial one first, and what each step pays. An edge that asks a reward pays NaN.
        """
        state = self.start(1)
        visited, paid = [self.states[0]], []
        names = self.table.propositions
        for held in steps:
            true = set(held)
            following, edge = self.table.step(state, np.array([[name in true for name in names]], dtype=bool))
            shaped = self.shaping_of(state, following, np.array([TERMINATED in true]))
            asked = int(edge[0]) in self._asked
            paid.append(float("nan") if asked else float((self._constants[edge] + shaped)[0]))
            state = following
            visited.append(self.states[int(state[0])])
        return visited, paid

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        if self.labels is None or not self.labels.chat:
            return super()._score(trajectories, progress)
        return scores_from_verdicts([attempt(self._score_chat, trajectory) for trajectory in trajectories])

    def _score_chat(self, trajectory: Trajectory) -> Verdict:
        valuation, ended = self._read_chat(trajectory)
        state, paid = self.start(1), []
        for row, end in zip(valuation, ended, strict=True):
            following, edge = self.table.step(state, row[None])
            paid.append(float((self._constants[edge] + self.shaping_of(state, following, end[None]))[0]))
            state = following
        return Verdict(sum(paid), note=f"ended in {self.states[int(state[0])]}", steps=paid)

    def _read_chat(self, trajectory: Trajectory) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        if not trajectory.is_chat:
            raise ScoringFailure(f"{self.label} labels chats, and this trajectory holds arrays")
        if not len(trajectory):
            raise ScoringFailure("the trajectory is empty: it has no actions to score")
        ended = np.zeros(len(trajectory), dtype=bool)
        ended[-1] = not trajectory.truncated  # a chat that no limit cut off is over, whether or not somebody marked it
        found = {**self.labels.of_chat(trajectory), TERMINATED: ended}
        return self.labels.select(found, self.table.propositions, len(trajectory)), ended

    def visited(self, trajectory: Trajectory) -> list[str]:
        """The states that the machine is in along a trajectory, the initial one first: T + 1 names.

        Raises:
            ValueError: the labelling cannot read the trajectory.
        """
        if self.labels is not None and self.labels.chat:
            valuation, _ = self._read_chat(trajectory)
        else:
            valuation = self.valuation(**transition_columns([trajectory], reads_info=self.reads_info))
        state, names = self.start(1), [self.states[0]]
        for row in valuation:
            state = self.table.step(state, row[None])[0]
            names.append(self.states[int(state[0])])
        return names

    # ---- what can be made of it; the code stands in the modules named ------------------------------------------------

    def shaped(self, discount: float) -> RewardMachine:
        """The same machine with the shaping of its potential added; no optimal policy changes at this discount."""
        return replace(self, shaping=discount)

    def labelled(self, labels: Any) -> RewardMachine:
        """The same machine with a labelling."""
        return replace(self, labels=as_labels(labels))

    @classmethod
    def from_text(cls, source: Any, **options: Any) -> RewardMachine:
        """Read the public text format of reward machines; see `rewardlab.rewards.formal.machine_text`."""
        from rewardlab.rewards.formal.machine_text import read_machine

        return read_machine(source, **options)

    def to_text(self) -> str:
        """The machine in the public text format."""
        from rewardlab.rewards.formal.machine_text import write_machine

        return write_machine(self)

    def minimised(self) -> RewardMachine:
        """The smallest machine that pays the same; see `rewardlab.rewards.formal.machine_values`."""
        from rewardlab.rewards.formal.machine_values import minimise

        return minimise(self)

    def potential(self, discount: float) -> NDArray[np.float64]:
        """What is to be had from each state, float64[state]; see `rewardlab.rewards.formal.machine_values`."""
        from rewardlab.rewards.formal.machine_values import potential

        return potential(self, discount)

    def counterfactual(
        self, observation: Any, action: Any, next_observation: Any, terminated: Any, info: Any = None
    ) -> Any:
        """What N transitions would have been worth in every state of the machine; see `machine_values.counterfactual`."""
        from rewardlab.rewards.formal.machine_values import counterfactual

        return counterfactual(self, observation, action, next_observation, terminated, info)

    def product(self, process: MarkovDecisionProcess, *, environment_weight: float = 0.0) -> MarkovDecisionProcess:
        """The decision process of environment and machine together; see `machine_values.product`."""
        from rewardlab.rewards.formal.machine_values import product

        return product(self, process, environment_weight=environment_weight)

    def to_dot(self) -> str:
        """The machine as a graph in the DOT language."""
        from rewardlab.rewards.formal.drawing import to_dot

        return to_dot(self)

    def to_svg(self) -> str:
        """The machine drawn, as the text of an SVG file."""
        from rewardlab.rewards.formal.drawing import to_svg

        return to_svg(self)

    def children(self) -> dict[str, Reward]:
        """The rewards on edges, by the edge."""
        return {
            f"{edge.source}-{edge.target}-{number}": edge.reward
            for number, edge in enumerate(self.transitions)
            if isinstance(edge.reward, Reward)
        }
