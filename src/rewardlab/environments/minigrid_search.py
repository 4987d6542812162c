"""The shortest way to the goal of a MiniGrid level, by breadth-first search over what the agent can do."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

_LEFT, _RIGHT, _FORWARD, _PICK_UP, _TOGGLE = 0, 1, 2, 3, 5
_MOVES = ((1, 0), (0, 1), (-1, 0), (0, -1))  # of the directions in MiniGrid's order


class _State(NamedTuple):
    """Where the agent is, the colour of the key it carries, and which things are not as they were."""

    x: int
    y: int
    direction: int
    key: str | None
    changed: frozenset[tuple[int, int]]


def find_way(level: Any) -> list[int]:
    """Actions that lead to the nearest goal tile: turning, walking, taking one key, opening doors.

    Args:
        level: an unwrapped MiniGrid environment.

    Raises:
        ValueError: it has no goal tile that can be reached so.
    """
    things = {
        (x, y): thing
        for x in range(level.grid.width)
        for y in range(level.grid.height)
        if (thing := level.grid.get(x, y)) is not None
    }
    carried = level.carrying
    key = carried.color if carried is not None and carried.type == "key" else None
    x, y = (int(entry) for entry in level.agent_pos)
    start = _State(x, y, int(level.agent_dir), key, frozenset())
    before: dict[_State, tuple[_State, int] | None] = {start: None}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        thing = things.get((state.x, state.y))
        if thing is not None and thing.type == "goal":
            return _actions(before, state)
        for action, after in _after(state, things):
            if after not in before:
                before[after] = (state, action)
                queue.append(after)
    raise ValueError(
        f"{level.spec.id if level.spec else type(level).__name__} has no goal that can be reached by walking, taking a key "
        "and opening doors, so there is no script for it; levels of BabyAI have one"
    )


def _after(state: _State, things: dict[tuple[int, int], Any]) -> list[tuple[int, _State]]:
    """What each action leads to."""
    found = [
        (_LEFT, state._replace(direction=(state.direction - 1) % 4)),
        (_RIGHT, state._replace(direction=(state.direction + 1) % 4)),
    ]
    move = _MOVES[state.direction]
    ahead = (state.x + move[0], state.y + move[1])
    thing: Any = things.get(ahead)
    changed = ahead in state.changed
    kind = "" if thing is None else thing.type
    free = kind in ("", "goal", "floor") or (kind == "key" and changed)
    if kind == "door":
        free = bool(thing.is_open) != changed
        if thing.is_locked and not changed:
            if state.key == thing.color:
                found.append((_TOGGLE, state._replace(changed=state.changed | {ahead})))
        elif not free:
            found.append((_TOGGLE, state._replace(changed=state.changed ^ {ahead})))
    elif kind == "key" and not changed and state.key is None:
        found.append((_PICK_UP, state._replace(key=thing.color, changed=state.changed | {ahead})))
    if free:
        found.append((_FORWARD, state._replace(x=ahead[0], y=ahead[1])))
    return found


def _actions(before: dict[_State, tuple[_State, int] | None], state: _State) -> list[int]:
    actions = []
    while (step := before[state]) is not None:
        state, action = step
        actions.append(action)
    return actions[::-1]
