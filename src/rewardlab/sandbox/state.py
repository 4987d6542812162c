"""What isolates on this machine, found by trying it: for `doctor` commands, and for people who must decide."""

from __future__ import annotations

import os
from dataclasses import dataclass

from rewardlab.sandbox.isolation import interpreter
from rewardlab.sandbox.pool import Sandbox
from rewardlab.sandbox.results import Isolation, Limits, SandboxUnavailable

_PROBE = """
import os, socket
def refused(action):
    try:
        action()
    except OSError:
        return True
    return False
def connect():
    socket.create_connection(("192.0.2.1", 80), timeout=1)
def read(path):
    open(path, "rb").close()
def write(path):
    open(os.path.join(path, ".rewardlab-probe"), "xb").close()
    os.unlink(os.path.join(path, ".rewardlab-probe"))
status = dict(line.split(":", 1) for line in open("/proc/self/status")) if os.path.exists("/proc/self/status") else {}
print("network", int(refused(connect)))
print("secrets", int(refused(lambda: read("/etc/passwd")) and not any(os.path.exists(path) for path in HIDDEN)))
print("files", int(all(refused(lambda: write(path)) for path in ("/", "/usr/lib", "/dev"))))
print("capabilities", int(status.get("CapEff", "0").strip().strip("0") == ""))
print("filter", int(status.get("Seccomp", "0").strip() == "2"))
print("processes", int(os.getpid() < 10))
"""

WALLS = {
    "network": "no network",
    "secrets": "no view of /etc or of home folders",
    "files": "no writing outside a scratch folder that vanishes",
    "capabilities": "no capabilities",
    "filter": "system calls filtered",
    "processes": "no view of other processes; all of its own are killed with it",
}
LIMITS = "limits on time, memory, processes, file size and output"
NEVER = (
    "bugs in the kernel that a program can reach with ordinary system calls",
    "side channels: timing, caches, load",
    "reading what is bound into the sandbox: the interpreter, system libraries, packages=, binds=",
)


@dataclass(frozen=True, slots=True)
class SandboxStatus:
    """What isolates here.

    Args:
        isolated: whether programs are isolated.
        mechanism: `bubblewrap` or `subprocess`.
        reason: why they are not isolated; empty when they are.
        protected: what was tried from inside, and held.
        unprotected: what does not hold here, and what never does.
    """

    isolated: bool
    mechanism: str
    reason: str
    protected: tuple[str, ...]
    unprotected: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"sandbox: {self.mechanism}, {'isolated' if self.isolated else 'NOT isolated: ' + self.reason}"]
        lines += [f"  + {entry}" for entry in self.protected]
        lines += [f"  - {entry}" for entry in self.unprotected]
        return "\n".join(lines)


def status(isolation: Isolation = "auto") -> SandboxStatus:
    """Start a sandbox, try its walls from inside, and say which hold.

    Raises:
        SandboxUnavailable: bubblewrap was demanded and does not work here.
    """
    home = os.path.realpath(os.path.expanduser("~"))
    entries = [os.path.join(home, name) for name in os.listdir(home)]
    hidden = [entry for entry in entries if not interpreter().startswith(entry + "/")]
    with Sandbox(1, isolation=isolation, limits=Limits(seconds=10)) as sandbox:
        isolated, reason = sandbox.isolated, sandbox.reason
        result = sandbox.run(f"HIDDEN = {hidden!r}\n{_PROBE}")
    if result.status != "ok":
        raise SandboxUnavailable(
            f"the sandbox starts, but a probe in it failed: {result.status} {result.reason} {result.stderr}"
        )
    held = {name for name, value in (line.split() for line in result.stdout.splitlines()) if value == "1"}
    return SandboxStatus(
        isolated=isolated,
        mechanism="bubblewrap" if isolated else "subprocess",
        reason=reason,
        protected=(*(text for name, text in WALLS.items() if name in held), LIMITS),
        unprotected=(*(f"missing: {text}" for name, text in WALLS.items() if name not in held), *NEVER),
    )
