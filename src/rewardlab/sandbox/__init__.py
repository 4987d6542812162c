"""Runs code that nobody trusts: isolated by bubblewrap where it works, limited everywhere, and killed for real.

`run` is for one program; a `Sandbox` keeps workers for many. `status` says what isolates here and what is not protected.
The room knows nothing of rewards: verifiers, tool execution and generated rewards stand on it.
"""

from __future__ import annotations

from typing import Any

from rewardlab.sandbox.pool import Sandbox, as_program, shared
from rewardlab.sandbox.results import (
    Examination,
    Isolation,
    Limits,
    Program,
    Report,
    Result,
    SandboxUnavailable,
    TestOutcome,
)
from rewardlab.sandbox.state import SandboxStatus, status

__all__ = [
    "Examination",
    "Isolation",
    "Limits",
    "Program",
    "Report",
    "Result",
    "Sandbox",
    "SandboxStatus",
    "SandboxUnavailable",
    "TestOutcome",
    "run",
    "shared",
    "status",
]


def run(
    program: str | list[str] | Program, *, isolation: Isolation = "auto", limits: Limits | None = None, **options: Any
) -> Result:
    """Run one program in the shared sandbox of this process.

    Args:
        program: Python source, an executable with its arguments (a list), or a `Program`.
        isolation: `auto`, `bubblewrap` (refuse to go on without) or `subprocess` (limits only, no isolation).
        limits: what the program may use.
        options: `stdin=` and `files=` of `Program`.

    Returns:
        What became of it; `isolated` says whether anything stood between it and this machine.

    Raises:
        SandboxUnavailable: bubblewrap was demanded and does not work here; the message says why.
    """
    if limits is not None:
        options["limits"] = limits
    return shared(isolation=isolation).run_many([as_program(program, options)])[0]
