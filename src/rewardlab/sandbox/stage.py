"""Starts bubblewrap as an unprivileged user when we are root, even where only root can reach the interpreter.

A script of its own, because it changes the mount namespace and the user of its process. The interpreter may lie below a
folder that other users cannot enter (a version manager in root's home): its files are therefore first bound, in a private
mount namespace, to a place that anybody can reach.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType


def _kernel() -> ModuleType:
    """`inside/kernel.py`, without importing the package around it."""
    path = Path(__file__).parent / "inside" / "kernel.py"
    specification = importlib.util.spec_from_file_location("kernel", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def main() -> None:
    """Make the mounts, become the other user, become bubblewrap."""
    kernel = _kernel()
    stage = json.loads(sys.argv[1])
    folder = stage["folder"]
    kernel.unshare(kernel.NEW_MOUNTS)
    kernel.mount("none", "/", None, kernel.RECURSIVE | kernel.PRIVATE)
    kernel.mount("tmpfs", folder, "tmpfs", 0, "mode=0755")
    reachable = {}
    for number, (target, source) in enumerate(stage["binds"].items()):
        place = os.path.join(folder, str(number))
        if os.path.isdir(source):
            os.mkdir(place)
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY))
        kernel.mount(source, place, None, kernel.BIND | kernel.RECURSIVE)
        reachable[target] = place
    command = [
        reachable[word[1:-1]] if word.startswith("{") and word.endswith("}") else word for word in stage["command"]
    ]
    os.setgroups([])
    os.setresgid(stage["user"], stage["user"], stage["user"])
    os.setresuid(stage["user"], stage["user"], stage["user"])
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
