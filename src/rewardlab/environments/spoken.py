"""Actions and observations of array environments as text: what a space looks like in words, and how words become an action.

What cannot be read is answered in words that list what can, so that a policy may try again; it costs an action.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from rewardlab.environments.base import Split
from rewardlab.types import Message, Task, message_text

EMPTY_ACTION = "Error: your reply is empty"
MOST_NUMBERS = 64
"""Arrays with more numbers than this are not written out as text."""

_PREFIX = re.compile(r"^\s*(?:\W*)(?:final\s+)?(?:action|command|answer)\s*(?:\W*):\s*", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def spoken_action(message: Message) -> str:
    """What a message says to do: its last line that is not empty, without `Action:` before it and quotes around it."""
    lines = [line for line in message_text(message).splitlines() if line.strip()]
    line = _PREFIX.sub("", lines[-1]) if lines else ""
    return line.strip().strip("`'\"*.").strip()


def read_choice(text: str, names: Sequence[str]) -> int | None:
    """Which of some names a text is; a number stands for its place unless it is a name itself. None where it is neither."""
    known = {name.casefold(): place for place, name in enumerate(names)}
    place = known.get(" ".join(text.casefold().split()))
    if place is None and text.isdecimal() and text.isascii() and len(text) < 10 and int(text) < len(names):
        place = int(text)
    return place


def read_numbers(text: str, count: int) -> list[float] | None:
    """Exactly so many finite numbers, with spaces, commas and brackets between; None where the text is anything else."""
    inner = text.strip().strip("[]()")
    pieces = [piece for piece in re.split(r"[\s,;]+", inner) if piece]
    if len(pieces) != count or not all(_NUMBER.fullmatch(piece) for piece in pieces):
        return None
    numbers = [float(piece) for piece in pieces]
    return numbers if all(map(math.isfinite, numbers)) else None


def listed(names: Sequence[str], most: int = 40) -> str:
    """Names in a row, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown + (f", and {len(names) - most} more" if len(names) > most else "")


def describe_value(value: Any) -> str:
    """An observation in words: numbers, short arrays, texts, and mappings and tuples of them.

    Raises:
        ValueError: it is too large to be read as text (an image, say).
    """
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "\n".join(f"{name}: {describe_value(entry)}" for name, entry in value.items())
    if isinstance(value, tuple):
        return ", ".join(describe_value(entry) for entry in value)
    array = np.asarray(value)
    if array.size > MOST_NUMBERS:
        raise ValueError(
            f"an observation of {array.size} numbers cannot be read as text; give describe=, a function from the "
            "observation to text"
        )
    if array.dtype.kind in "biu":
        return str(array.tolist())
    return str([float(f"{entry:.4g}") for entry in array.reshape(-1).tolist()] if array.ndim else float(f"{array:.4g}"))


def seed_of(split: Split, start: int, index: int) -> int:
    """The seed of one task: even in one split and odd in the other, so that no task of one is in the other."""
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    place = (start * 7_368_787 + index) % 2**29  # a prime apart, so that other starts begin elsewhere
    return 2 * place + (split == "test")


def task_seed(task: Task, otherwise: int) -> int:
    """The seed that a task carries in its metadata, or the attempt's."""
    seed = task.metadata.get("seed", otherwise)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"metadata['seed'] of task {task.id!r} must be a whole number of at least 0, got {seed!r}")
    return seed
