"""Recorded visits as tasks: whole for the cold start, cut before each action for reinforcement.

A session is a list of `(page, action)` or `(page, action, rationale)`: simplified HTML or any text, then what the
person did.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rewardlab.rewards.verifiers.actions import SHOP_ACTIONS
from rewardlab.types import Message, Task, Trajectory

Session = Sequence[Sequence[Any]]

INSTRUCTIONS = """\
You are shopping online. You see the pages that you have visited so far, and what you did on them. Say what you do next.

An action is one of:
- {"type": "click", "name": "..."}: click the element with this name.
- {"type": "type_and_submit", "name": "...", "text": "..."}: type a text into the element with this name, and submit it.
- {"type": "terminate"}: you found nothing that you like, and close the browser.

A page is simplified HTML, in which everything that can be used has a name of its own. The rationale says, in the first
person, why you act so. Reply with one JSON object and nothing else: {"rationale": "...", "action": {...}}."""
"""What opens every prompt: the role, the actions, what a page and a rationale are, and the form of the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Tasks made from sessions, and what was left out on the way.

    Args:
        tasks: one for each action but the first of each session.
        pages_dropped: old pages that did not fit; the actions on them stay.
        left_out: actions that lack a value, or are of no known type.
    """

    tasks: list[Task]
    pages_dropped: int
    left_out: int


def next_action_tasks(
    sessions: Sequence[Session],
    *,
    most: int | None = None,
    length: Callable[[str], int] = len,
    schema: Mapping[str, Sequence[str]] = SHOP_ACTIONS,
    instructions: str = INSTRUCTIONS,
) -> Cut:
    """Pairs of what was seen so far and the next action, with at least one earlier page and action in each.

    Args:
        sessions: recorded visits.
        most: longest prompt, as `length` measures it; the oldest pages are dropped first, and all actions kept.
        length: of a text, in characters or in tokens.
        schema: the actions and their fields; others are left out and counted.
        instructions: the system message.

    Returns:
        Tasks whose reference is the person's action, and whose metadata has the `session` and the `step`.
    """
    tasks, dropped, left_out = [], 0, 0
    for number, session in enumerate(sessions):
        for step in range(1, len(session)):
            action = session[step][1]
            fields = schema.get(str(action.get("type"))) if isinstance(action, Mapping) else None
            if fields is None or any(not str(action.get(name) or "").strip() for name in fields):
                left_out += 1
                continue
            shown = 0
            text = _history(session, step, shown)
            while most is not None and shown < step and length(instructions) + length(text) > most:
                shown += 1
                text = _history(session, step, shown)
            dropped += shown
            tasks.append(
                Task(
                    id=f"session{number}/{step}",
                    prompt=[{"role": "system", "content": instructions}, {"role": "user", "content": text}],
                    reference=dict(action),
                    metadata={"session": number, "step": step, "pages_dropped": shown},
                )
            )
    return Cut(tasks=tasks, pages_dropped=dropped, left_out=left_out)


def whole_sessions(sessions: Sequence[Session], *, instructions: str = INSTRUCTIONS) -> list[Trajectory]:
    """Sessions as conversations for supervised learning: a page arrives, the person acts, and so on to the end.

    Args:
        sessions: recorded visits; a third entry of a step is its rationale, empty where there is none.
        instructions: the system message.
    """
    found = []
    for number, session in enumerate(sessions):
        messages: list[Message] = [{"role": "system", "content": instructions}]
        for page, action, *rationale in session:
            said = {"rationale": rationale[0] if rationale else "", "action": action}
            messages += [
                {"role": "user", "content": page},
                {"role": "assistant", "content": json.dumps(said, ensure_ascii=False)},
            ]
        task = Task(id=f"session{number}", prompt=messages[:2])
        found.append(Trajectory.from_messages(messages, task=task, terminated=True))
    return found


def balanced(
    tasks: Sequence[Task], count: int, *, weights: Mapping[str, float] | None = None, seed: int = 0
) -> list[Task]:
    """Draw tasks so that the types of their actions occur in given proportions, whatever they are in the data.

    Args:
        tasks: with an action as their reference.
        count: how many; a task is drawn again only when all of its type were.
        weights: type -> relative frequency; the paper's when not given, a tenth more of `click` and
            `type_and_submit` than of `terminate`. Types without tasks are left out.
        seed: of the draw.

    Raises:
        ValueError: no task has a type with a positive weight.
    """
    if weights is None:
        weights = {"click": 1.1, "type_and_submit": 1.1, "terminate": 1.0}
    by_type: dict[str, list[Task]] = {}
    for task in tasks:
        kind = task.reference.get("type") if isinstance(task.reference, Mapping) else None
        if weights.get(str(kind), 0.0) > 0:
            by_type.setdefault(str(kind), []).append(task)
    if not by_type:
        raise ValueError(f"no task has an action of the types {', '.join(weights)} as its reference")
    draw = np.random.default_rng(seed)
    kinds = sorted(by_type)
    share = np.array([weights[kind] for kind in kinds])
    exact = count * share / share.sum()
    numbers = {kind: math.floor(part) for kind, part in zip(kinds, exact, strict=True)}
    rest = sorted(kinds, key=lambda kind: numbers[kind] - exact[kinds.index(kind)])
    for kind in rest[: count - sum(numbers.values())]:
        numbers[kind] += 1
    chosen: list[Task] = []
    for kind in kinds:
        pool = by_type[kind]
        rounds = [draw.permutation(len(pool)) for _ in range(-(-numbers[kind] // len(pool)))]
        chosen += [pool[int(place)] for order in rounds for place in order][: numbers[kind]]
    return [chosen[int(place)] for place in draw.permutation(len(chosen))]


def type_shares(tasks: Sequence[Task]) -> dict[str, float]:
    """Type of action -> its share of the references."""
    counts = Counter(str(task.reference["type"]) for task in tasks)
    return {kind: counts[kind] / len(tasks) for kind in sorted(counts)}


def _history(session: Session, step: int, first: int) -> str:
    """The pages from `first` on and all actions up to a step, and the page that is open now."""
    parts = []
    for place in range(step):
        page = session[place][0] if place >= first else "(an earlier page, left out)"
        parts.append(f"<page>\n{page}\n</page>\n<action>{json.dumps(session[place][1], ensure_ascii=False)}</action>")
    return "\n".join([*parts, f"<page>\n{session[step][0]}\n</page>"])
