"""How long actions take: on a simulated clock, which is the same everywhere, or as really measured."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

ClockKind = Literal["simulated", "measured", "cpu"]
CLOCKS: tuple[str, ...] = get_args(ClockKind)

CALL_SECONDS = 0.1
"""What any call takes on the simulated clock, on top of its work: a mistake is not free."""


@dataclass(kw_only=True)
class Ledger:
    """The seconds of one attempt, action by action.

    Args:
        kind: `simulated` charges what the catalogue says, times chance; `measured` the wall time of the work on a clock that
            never goes back; `cpu` its processor time, which a busy machine changes less.
        jitter: simulated work takes from `1 - jitter` to `1 + jitter` times its cost.
        key: from which chance derives.
    """

    kind: ClockKind
    jitter: float
    key: str
    actions: list[float] = field(default_factory=list)
    cut_off: list[bool] = field(default_factory=list)
    _calls: int = 0
    _began: float = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds of the attempt so far."""
        return sum(self.actions)

    def __enter__(self) -> Ledger:
        self._began = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        if self.kind != "simulated":
            self.actions[-1] += self._now() - self._began
        elif not self.actions[-1]:
            self.actions[-1] = CALL_SECONDS

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What is done inside is not measured: it brings its own seconds, through `charge`."""
        began = self._now()
        yield
        self._began += self._now() - began

    def _now(self) -> float:
        return time.thread_time() if self.kind == "cpu" else time.perf_counter()

    def begin(self) -> None:
        """An action begins."""
        self.actions.append(0.0)
        self.cut_off.append(False)

    def simulated(self, cost: float, what: str) -> float:
        """Seconds that work of a cost takes this time; 0 where the clock is not simulated."""
        if self.kind != "simulated":
            return 0.0
        self._calls += 1
        chance = random.Random(f"{self.key}/{self._calls}/{what}").uniform(1 - self.jitter, 1 + self.jitter)
        return CALL_SECONDS + cost * chance

    def charge(self, seconds: float, *, cut_off: bool = False) -> None:
        """Add seconds to the action that runs; `cut_off` where it would have taken longer.

        What is done inside `with ledger:` is measured already, unless the clock is simulated.
        """
        self.actions[-1] += seconds
        self.cut_off[-1] = self.cut_off[-1] or cut_off
