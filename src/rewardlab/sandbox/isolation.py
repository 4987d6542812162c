"""How a worker is started: the bubblewrap command, what it can see, and the plain process where there is no bubblewrap.

A worker sees its interpreter, the standard library, the shared libraries of the system and nothing else, all of it
read-only. When we are root, bubblewrap is started as an unprivileged user (`stage.py`): for user 0 the kernel does not
enforce a limit on processes, whatever the namespace says.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

INSIDE = Path(__file__).parent / "inside"
GUEST = "/guest"
UNPRIVILEGED = 65534
SYSTEM = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo")
START = "import sys; sys.path.insert(0, {guest!r}); from rewardlab.sandbox.inside.zygote import main; sys.exit(main())"


@dataclass(frozen=True)
class Setting:
    """What the workers of one sandbox are started with.

    Args:
        bubblewrap: use it; False starts a plain process.
        unprivileged: start bubblewrap as another user than root (only where we are root).
        packages: let programs import the packages that are installed beside this interpreter.
        preload: modules that are imported once, before any program.
        binds: further paths that programs can read.
    """

    bubblewrap: bool
    unprivileged: bool
    packages: bool
    preload: tuple[str, ...]
    binds: tuple[str, ...]


def interpreter() -> str:
    """The real interpreter: behind the symlinks of a virtual environment or a version manager."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def package_folders() -> list[str]:
    """The folders of installed packages on our own module path."""
    names = ("site-packages", "dist-packages")
    return [entry for entry in sys.path if os.path.basename(entry.rstrip("/")) in names and os.path.isdir(entry)]


def visible_paths(setting: Setting) -> list[str]:
    """What a worker can read, outermost first; symlinks are kept as symlinks by `bubblewrap_command`."""
    roots = {sys.base_prefix, sys.base_exec_prefix}
    wanted = [*SYSTEM, *(os.path.join(root, folder) for root in sorted(roots) for folder in ("lib", "lib64"))]
    wanted.append(interpreter())
    if setting.packages:
        wanted += package_folders()
    wanted += setting.binds
    kept: list[str] = []
    for path in sorted({os.path.abspath(entry) for entry in wanted if os.path.exists(entry)}):
        if not any(path.startswith(other + "/") and not os.path.islink(other) for other in kept):
            kept.append(path)
    return kept


def bubblewrap_command(setting: Setting) -> tuple[list[str], dict[str, str]]:
    """The bubblewrap arguments in front of the interpreter, and the binds as target -> source.

    `--cap-add` gives the worker's own trusted process the right to make namespaces within its user namespace, and nothing
    outside; every program loses all of it before its first line runs.
    """
    user = UNPRIVILEGED if setting.unprivileged else max(1, os.getuid())
    command = [bubblewrap_path() or "bwrap"]
    command += (
        "--unshare-all --unshare-user --disable-userns --as-pid-1 --die-with-parent --new-session --clearenv "
        f"--uid {user} --gid {user} --hostname sandbox --cap-drop ALL --cap-add CAP_SYS_ADMIN --cap-add CAP_SETPCAP"
    ).split()
    binds: dict[str, str] = {}
    for path in visible_paths(setting):
        if os.path.islink(path) and path in SYSTEM:
            command += ["--symlink", os.readlink(path), path]
        else:
            binds[path] = os.path.realpath(path)
            command += ["--ro-bind", f"{{{path}}}", path]
    target = f"{GUEST}/rewardlab/sandbox/inside"
    binds[target] = str(INSIDE)
    command += ["--ro-bind", f"{{{target}}}", target]
    command += ["--proc", "/proc", "--dev", "/dev", "--dir", "/tmp", "--dir", "/scratch", "--chdir", "/"]
    command += ["--remount-ro", "/dev", "--remount-ro", "/"]
    for name, value in environment().items():
        command += ["--setenv", name, value]
    return command, binds


def environment() -> dict[str, str]:
    """All environment variables that a program has, besides HOME and TMPDIR: one thread each, and a fixed hash seed."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
    return {"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0", "TZ": "UTC", **threads}


def start(
    setting: Setting, scratch: str, errors: IO[bytes], *, python: list[str] | None = None
) -> subprocess.Popen[bytes]:
    """Start one worker process.

    Args:
        setting: how.
        scratch: a folder of ours that it may use for mount points or, without bubblewrap, for scratch folders.
        errors: a file for what it writes to standard error.
        python: another command than a worker's (for measurements).

    Raises:
        OSError: the executable cannot be started.
    """
    base = [interpreter(), "-s", "-S", "-P", "-B", "-c"]
    if not setting.bubblewrap:
        guest = Path(scratch) / "guest"
        package = guest / "rewardlab" / "sandbox"
        package.mkdir(parents=True, exist_ok=True)
        if not (package / "inside").exists():
            (package / "inside").symlink_to(INSIDE)
        return _spawn(python or [*base, START.format(guest=str(guest))], errors)
    command, binds = bubblewrap_command(setting)
    command += ["--", *(python or [*base, START.format(guest=GUEST)])]
    if setting.unprivileged:
        os.chmod(scratch, 0o755)
        stage = {"folder": scratch, "user": UNPRIVILEGED, "command": command, "binds": binds}
        return _spawn([sys.executable, "-I", "-S", str(Path(__file__).parent / "stage.py"), json.dumps(stage)], errors)
    filled = [binds[word[1:-1]] if word.startswith("{") and word.endswith("}") else word for word in command]
    return _spawn(filled, errors)


def _spawn(command: list[str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,  # Ctrl-C at our terminal is for us, and we end our workers
        env=environment(),  # bubblewrap's own process too: our environment must stand nowhere in there
        cwd="/",
    )


def bubblewrap_path() -> str | None:
    """Where bubblewrap is, or None."""
    return shutil.which("bwrap") if sys.platform == "linux" else None


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for one worker, removed with it."""
    return tempfile.TemporaryDirectory(prefix="rewardlab-", ignore_cleanup_errors=True)
