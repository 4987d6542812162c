"""The text format of the public reward machine code, and a builder for Python.

```text
0                                              # the initial state
[2]                                            # the terminal states
(0,0,'!coffee',ConstantRewardFunction(0))      # source, target, guard, reward
(0,1,'coffee',0)
(1,2,'office',1)
```

A reward is a number, `ConstantRewardFunction(number)`, or the name of a reward that the reader is given. The public code
lets a step that no line mentions end the task in silence, and takes the first of several lines that hold. Here both are
errors, unless `otherwise` says what happens, and `first_match` that the order of lines counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewardlab.registry import nearest
from rewardlab.rewards.base import Reward
from rewardlab.rewards.formal.edges import OTHERWISE, Edge
from rewardlab.rewards.formal.machines import RewardMachine
from rewardlab.rewards.formal.syntax import conjunction, negation, parse_guard, witness
from rewardlab.rewards.formal.tables import overlap

if TYPE_CHECKING:
    from typing import Self

_LINE = re.compile(r"""\(\s*([^,()'"]+?)\s*,\s*([^,()'"]+?)\s*,\s*(?:'([^']*)'|"([^"]*)")\s*,\s*(.+?)\s*\)""")
_CONSTANT = re.compile(r"ConstantRewardFunction\(\s*([^()]*?)\s*\)")


def read_machine(
    source: str | Path,
    *,
    rewards: Mapping[str, Reward] | None = None,
    first_match: bool = False,
    **options: Any,
) -> RewardMachine:
    """Read a machine from a file, or from text of more than one line.

    Args:
        source: a path, or the text itself.
        rewards: what names in the place of rewards stand for, such as `{"RewardForward()": forward}`.
        first_match: where several lines of a state hold, the first counts, as in the public code; else that is an error.
        options: `otherwise`, `labels`, `propositions` and the other options of `RewardMachine`.

    Raises:
        ValueError: a line cannot be read (its number is given), or the machine is not sound.
        FileNotFoundError: there is no such file.
    """
    text, place = str(source), "line"
    if "\n" not in text:
        text, place = Path(source).read_text(encoding="utf-8"), f"{source}:"
    lines = [(number, line.partition("#")[0].strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line]

    def where(number: int) -> str:
        return f"{place}{number}" if place.endswith(":") else f"{place} {number}"

    if len(lines) < 3:
        raise ValueError(
            f"a machine needs the initial state, the terminal states in brackets, and edges, got {len(lines)} lines"
        )
    (_, initial), (number, ends), *edges = lines
    if not (ends.startswith("[") and ends.endswith("]")):
        raise ValueError(f"{where(number)}: expected the terminal states in brackets, such as [2] or [], got {ends!r}")
    read = []
    for number, line in edges:
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{where(number)}: expected (source,target,'guard',reward), got {line!r}")
        start, target, single, double, reward = match.groups()
        guard = single if single is not None else double
        read.append(Edge(start, target, guard, _reward(reward, rewards or {}, where(number))))
    if first_match:
        read = _in_order(read)
    terminal = tuple(entry.strip().strip("'\"") for entry in ends[1:-1].split(",") if entry.strip())
    return RewardMachine(transitions=read, initial=initial, terminal=terminal, **options)


def _in_order(edges: list[Edge]) -> list[Edge]:
    """Edges whose guards exclude those of the lines before them, where both could hold."""
    result: list[Edge] = []
    for number, edge in enumerate(edges):
        if edge.guard == OTHERWISE:
            result.append(edge)
            continue
        own = parse_guard(edge.guard)
        before = [entry for entry in edges[:number] if entry.source == edge.source and entry.guard != OTHERWISE]
        hidden = [entry.guard for entry in before if overlap(own, parse_guard(entry.guard)) is not None]
        rest = conjunction([own, *(negation(parse_guard(entry)) for entry in hidden)])
        if witness(rest) is not None:  # else lines before it take all of its cases
            result.append(edge._replace(guard=str(rest)) if hidden else edge)
    return result


def _reward(text: str, rewards: Mapping[str, Reward], where: str) -> float | Reward:
    if text in rewards:
        return rewards[text]
    constant = _CONSTANT.fullmatch(text)
    try:
        return float(constant.group(1) if constant else text)
    except ValueError:
        known = [*rewards, "ConstantRewardFunction(number)"]
        raise ValueError(
            f"{where}: the reward {text!r} is no number and none of those given (rewards=){nearest(text, known)}"
        ) from None


def write_machine(machine: RewardMachine) -> str:
    """A machine in the text format, with an edge for everything that `otherwise` implies; rewards go by their label."""
    lines = [f"{machine.initial}  # initial state"]
    table = machine.table
    ends = [state for state, end in zip(table.states, table.terminal, strict=True) if end]
    lines.append(f"[{','.join(ends)}]  # terminal states")
    for arc in table.arcs:
        paid = 0.0 if arc.reward < 0 else machine.transitions[arc.reward].reward
        reward = paid.label if isinstance(paid, Reward) else f"ConstantRewardFunction({paid:.17g})"
        guard = str(arc.guard)
        quote = '"' if "'" in guard else "'"
        lines.append(f"({table.states[arc.source]},{table.states[arc.target]},{quote}{guard}{quote},{reward})")
    return "\n".join(lines) + "\n"


class MachineBuilder:
    """Builds a machine edge by edge.

    ```text
    MachineBuilder("start").when("start", "coffee", "carrying").when("carrying", "office", "done", reward=1.0)
        .terminal("done").build(otherwise="stay", labels=...)
    ```
    """

    def __init__(self, initial: str) -> None:
        self._initial = initial
        self._edges: list[Edge] = []
        self._terminal: list[str] = []

    def when(self, source: str, guard: str, target: str, reward: float | Reward = 0.0) -> Self:
        """In `source`, when `guard` holds, go to `target` for `reward`."""
        self._edges.append(Edge(source, target, guard, reward))
        return self

    def otherwise(self, source: str, target: str, reward: float | Reward = 0.0) -> Self:
        """In `source`, when no other guard holds, go to `target` for `reward`."""
        return self.when(source, OTHERWISE, target, reward)

    def terminal(self, *states: str) -> Self:
        """The task is over in these states."""
        self._terminal += states
        return self

    def build(self, **options: Any) -> RewardMachine:
        """The machine; options are those of `RewardMachine`."""
        return RewardMachine(transitions=self._edges, initial=self._initial, terminal=tuple(self._terminal), **options)
