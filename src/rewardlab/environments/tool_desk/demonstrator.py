"""The scripted agent that solves the desk's tasks, and the slips that make it err on purpose.

Real records of people at work are not free of mistakes, and a policy that imitates them imitates the mistakes. `noise` gives
demonstrations that share: every call in them is real and so is its output, but one step is wrong.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from rewardlab.environments.tool_desk.questions import KINDS
from rewardlab.environments.tool_desk.scripts import Call, Script
from rewardlab.environments.tool_desk.tables import Tables
from rewardlab.environments.tool_desk.units import DIMENSIONS
from rewardlab.types import Message, call_message


def solve(kind: str, slots: dict[str, Any], call: Callable[[str, dict[str, Any]], str]) -> tuple[list[Call], str]:
    """Answer a question by its script.

    Args:
        kind: a name in `KINDS`.
        slots: what the question is about.
        call: calls a tool and returns its output.

    Returns:
        The calls that were made, and the answer.
    """
    script: Script = KINDS[kind].script(**slots)
    made: list[Call] = []
    try:
        wanted = next(script)
        while True:
            made.append(wanted)
            wanted = script.send(call(*wanted))
    except StopIteration as end:
        return made, end.value


@dataclass(frozen=True, slots=True)
class Slip:
    """One mistake in a demonstration.

    Args:
        kind: the agent answers "early" with what it has instead of making a call, gets a call "wrong", or makes every call
            and then answers with the output of the one before the last ("stale").
        position: which call it happens at, counted from 0; the number of calls for a stale answer.
        seed: what goes wrong with a call.
    """

    kind: Literal["early", "wrong", "stale"]
    position: int
    seed: int


Slips = Literal["any", "early", "wrong", "stale"]
"""Which mistakes a careless demonstration makes; "any" is early or wrong, half and half."""


def draw_slip(calls: int, rng: random.Random, slips: Slips = "any") -> Slip:
    """A slip in a demonstration of so many calls."""
    kind: Literal["early", "wrong", "stale"] = ("early" if rng.random() < 0.5 else "wrong") if slips == "any" else slips
    if kind == "stale":
        return Slip(kind, calls, 0)
    return Slip(kind, rng.randrange(1, calls) if kind == "early" else rng.randrange(calls), rng.getrandbits(32))


class Demonstrator:
    """Acts by the script of a question: given the conversation so far, writes the next message.

    Args:
        kind: a name in `KINDS`.
        slots: what the question is about.
        tables: what a wrong call may name instead (only read for a slip).
        slip: a mistake to make, or None.
    """

    def __init__(self, kind: str, slots: dict[str, Any], tables: Tables, slip: Slip | None = None) -> None:
        self._script: Script = KINDS[kind].script(**slots)
        self._last = KINDS[kind].calls - 1
        self._tables = tables
        self._slip = slip
        self._made = 0

    def __call__(self, conversation: list[Message]) -> Message:
        """The next assistant message: one call, or the answer."""
        slip = self._slip
        if slip is not None and slip.kind == "early" and slip.position == self._made:
            return {"role": "assistant", "content": conversation[-1]["content"]}
        try:
            call = self._script.send(conversation[-1]["content"]) if self._made else next(self._script)
        except StopIteration as end:
            answer = end.value
            if slip is not None and slip.kind == "stale":
                answer = [message["content"] for message in conversation if message["role"] == "tool"][-2]
            return {"role": "assistant", "content": answer}
        if slip is not None and slip.position == self._made:
            call = wrong_call(call, self._tables, random.Random(slip.seed), last=self._made == self._last)
        self._made += 1
        return call_message(*call, identity=f"call_{self._made}")


def wrong_call(call: Call, tables: Tables, rng: random.Random, *, last: bool) -> Call:
    """A call with one argument wrong, such that the tool still answers it and a script can go on from there.

    Args:
        call: the right call.
        tables: where other rows and columns are found.
        rng: the source of chance.
        last: whether no later call uses the output, so that it may be of another kind.
    """
    name, arguments = call
    wrong = dict(arguments)
    if name == "look_up":
        rows = tables[arguments["table"]]
        columns = [column for column in rows[arguments["row"]] if column != arguments["column"]]
        if last and columns and rng.random() < 0.5:
            wrong["column"] = rng.choice(columns)
        else:
            wrong["row"] = rng.choice([row for row in rows if row != arguments["row"]])
    elif name == "search":
        cells = [str(row[arguments["column"]]) for row in tables[arguments["table"]].values()]
        wrong["value"] = rng.choice([cell for cell in cells if cell != arguments["value"]])
    elif name == "calculate":
        wrong["expression"] = arguments["expression"].replace("*", rng.choice("+-"))
    elif name == "convert":
        (units,) = [units for units in DIMENSIONS.values() if arguments["to"] in units]
        wrong["to"] = rng.choice([unit for unit in units if unit not in (arguments["to"], arguments["unit"])])
    else:
        wrong["days"] = arguments["days"] + rng.choice((-1, 1, 7))
    return name, wrong
