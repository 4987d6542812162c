"""Regular expressions under a hard time limit, and how a bad pattern is refused.

The `regex` package is used since it can stop a search; the standard library's `re` cannot, and one catastrophic
pattern such as `(a+)+$` would hold a whole training run. The limit is CPU time of the process, which is what the
package measures.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import regex

from rewardlab.rewards.base import ScoringFailure


@functools.lru_cache(maxsize=1024)
def compile_pattern(pattern: str, *, owner: str) -> Any:
    """Compile a pattern of the user's.

    Args:
        pattern: in the syntax of the `regex` package, which reads that of `re`.
        owner: whose option it is, for the message ("Format: option 'pattern'").

    Raises:
        ValueError: it does not compile; the message holds the reason and the position.
    """
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"{owner} does not compile: {error}, got {pattern[:200]!r}") from None


_DEADLINE: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """All searches by `search` inside this block share so many seconds of CPU time."""
    token = _DEADLINE.set(time.process_time() + seconds)
    try:
        yield
    finally:
        _DEADLINE.reset(token)


def search(pattern: Any, text: str, *, full: bool = False) -> Any:
    """Search a text (or match all of it) within the time that `time_limit` has left.

    Raises:
        ScoringFailure: the time ran out.
    """
    deadline = _DEADLINE.get()
    left = 1.0 if deadline is None else deadline - time.process_time()
    if left > 0:
        try:
            return pattern.fullmatch(text, timeout=left) if full else pattern.search(text, timeout=left)
        except TimeoutError:
            pass
    raise ScoringFailure(
        f"the pattern {pattern.pattern[:80]!r} ran into the time limit on a text of {len(text)} characters; "
        "avoid repeats inside repeats, such as (a+)+, or raise time_limit"
    )
