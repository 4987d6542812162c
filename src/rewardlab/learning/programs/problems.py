"""What can be wrong with a generated program: kinds, and one record for each finding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "syntax",
    "signature",
    "unknown attribute",
    "wrong use",
    "missing import",
    "forbidden",
    "shape",
    "error",
    "value",
    "changes",
    "not repeatable",
    "mixes states",
    "time",
    "memory",
    "no code",
    "sandbox",
    "vacuous",
    "constant",
    "dominant",
    "slow",
]
"""The last four are warnings. `wrong use` is an attribute that exists and is used as something that it is not; `forbidden`
is what no reward may do (files, other packages, the inside of Python); `changes` is writing to the environment; `sandbox`
says nothing about the program."""

WARNINGS = ("vacuous", "constant", "dominant", "slow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding.

    Args:
        kind: see `Kind`.
        message: what is wrong, what was expected, and where it helps, the fix.
        line: of the program, from 1; None where it has none.
        state: index of the state at fault, or None.
    """

    kind: Kind
    message: str
    line: int | None = None
    state: int | None = None

    @property
    def is_warning(self) -> bool:
        """Whether a program with this may still be used."""
        return self.kind in WARNINGS

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        return f"{where}{self.message} [{self.kind}]"
