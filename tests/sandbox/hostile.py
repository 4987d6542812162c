"""Programs that misbehave, by name. Each must be stopped or contained, and none may harm the next."""

from __future__ import annotations

LOOP = "while True:\n    while True:\n        pass"
ALLOCATE = "block = bytearray(10 * 2**30)"
GROW = "blocks = []\nwhile True:\n    blocks.append(bytearray(2**20))"
FORK_BOMB = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
PRINT = "import sys\nline = 'x' * 2**20\nfor _ in range(1024):\n    sys.stdout.write(line)"
REGULAR_EXPRESSION = "import re\nre.match(r'(a+)+$', 'a' * 64 + 'b')"
POWER_TOWER = "print(9 ** 9 ** 9)"
DEEP = "import sys\nsys.setrecursionlimit(10**9)\ndef f():\n    f()\nf()"
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        open("/proc/self/comm", "w").write(NAME)
        for stream in (0, 1, 2):
            os.close(stream)
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep(0.1)
print("left it behind")
"""
KILL_EVERYTHING = """
import os, signal
for target in (os.getppid(), 1, -1):
    try:
        os.kill(target, signal.SIGKILL)
    except OSError as error:
        print(error)
print("done")
"""
FILL_THE_DISK = "with open('big', 'wb') as file:\n    while True:\n        file.write(bytes(2**20))"
THREADS = "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(60,)).start()"
SLEEP = "import time\ntime.sleep(600)"
IGNORE_SIGNALS = "import signal\nfor n in range(1, 65):\n    try:\n        signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\nwhile True:\n    pass"
CRASH = "import ctypes\nctypes.string_at(0)"
CLOSE_ALL = "import os\nos.closerange(0, 4096)\nwhile True:\n    pass"

STOPPED = {
    "loop": (LOOP, {"timeout"}),
    "allocate": (ALLOCATE, {"memory"}),
    "grow": (GROW, {"memory", "timeout"}),
    "print": (PRINT, {"ok", "timeout"}),
    "regular expression": (REGULAR_EXPRESSION, {"timeout"}),
    "power tower": (POWER_TOWER, {"timeout", "memory"}),
    "deep": (DEEP, {"killed", "memory", "timeout"}),
    "fill the disk": (FILL_THE_DISK, {"error", "killed", "timeout"}),
    "threads": (THREADS, {"timeout", "error", "processes"}),
    "sleep": (SLEEP, {"timeout"}),
    "ignore signals": (IGNORE_SIGNALS, {"timeout"}),
    "crash": (CRASH, {"killed"}),
    "close all": (CLOSE_ALL, {"timeout"}),
}
"""Name -> program, and the ways in which it may end. These are safe to run without isolation too."""

ISOLATED_ONLY = {
    "fork bomb": (FORK_BOMB, {"timeout", "processes", "memory"}),
    "kill everything": (KILL_EVERYTHING, {"ok", "killed"}),
}
"""The same for programs that would harm the machine where nothing isolates."""
