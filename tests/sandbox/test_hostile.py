"""Programs that hang, swell, fork and kill: each is stopped by its limit, and the workers go on as before."""

from __future__ import annotations

import dataclasses
import os
import uuid
from pathlib import Path

import pytest

from rewardlab.sandbox import Limits, Program, Sandbox, status
from tests.sandbox.hostile import DAEMON, FORK_BOMB, ISOLATED_ONLY, KILL_EVERYTHING, PRINT, STOPPED

pytestmark = pytest.mark.xdist_group("sandbox")

SHORT = Limits(seconds=0.5, memory_mb=256, processes=8, file_mb=8, output_kb=64)


def daemon() -> tuple[str, str]:
    """A program that leaves a process behind, and the name of that process, which no other run on this machine has."""
    name = f"left-{uuid.uuid4().hex[:8]}"
    return DAEMON.replace("NAME", repr(name)), name


def names_of_processes() -> set[str]:
    """What the processes of this machine call themselves."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.add((entry / "comm").read_text().strip())
            except OSError:
                continue
    return found


@pytest.mark.parametrize("name", STOPPED)
def test_is_stopped_and_the_worker_lives(either, name):
    code, statuses = STOPPED[name]
    result = either.run(code, limits=SHORT)
    assert result.status in statuses, result
    assert len(result.stdout) <= 64 * 1024
    workers = either.started
    assert either.run("print('next')").stdout == "next\n"
    assert either.started == workers


def test_a_flood_of_output_is_cut_and_does_not_block(box):
    result = box.run(PRINT, limits=Limits(seconds=20, output_kb=4))
    assert result.status == "ok"
    assert result.truncated
    assert result.stdout == "x" * 4096


def test_a_limit_on_processor_time_alone(either):
    result = either.run("while True: pass", limits=Limits(seconds=30, cpu_seconds=0.5))
    assert (result.status, result.reason) == ("timeout", "processor time")


def test_memory_of_all_processes_together_is_limited(either):
    code = "import os, time\nfor _ in range(6):\n    if os.fork() == 0:\n        block = bytearray(90 * 2**20)\n        time.sleep(20)\ntime.sleep(20)"
    result = either.run(code, limits=Limits(seconds=15, memory_mb=256, processes=8))
    assert result.status == "memory"


def test_limits_cannot_be_raised(box):
    code = (
        "import resource\n"
        "for name in ('AS', 'CPU', 'NPROC', 'FSIZE', 'NOFILE'):\n"
        "    which = getattr(resource, 'RLIMIT_' + name)\n"
        "    soft, hard = resource.getrlimit(which)\n"
        "    try:\n"
        "        resource.setrlimit(which, (hard + 1, hard + 1))\n"
        "        print('raised', name)\n"
        "    except (ValueError, OSError):\n"
        "        pass\n"
    )
    result = box.run(code)
    if box.isolated:
        assert (result.status, result.stdout) == ("ok", "")
    else:
        assert not result.isolated


def test_without_isolation_a_bounded_bomb_is_stopped_and_swept_up(plain):
    name = f"many-{uuid.uuid4().hex[:8]}"
    code = (
        "import os, time\n"
        f"open('/proc/self/comm', 'w').write('{name}')\n"
        "for _ in range(40):\n"
        "    try:\n"
        "        if os.fork() == 0:\n"
        "            os.setsid()\n"
        "            time.sleep(60)\n"
        "            os._exit(0)\n"
        "    except OSError:\n"
        "        pass\n"
        "time.sleep(60)\n"
    )
    result = plain.run(code, limits=Limits(seconds=5, processes=8))
    assert result.status == "processes"
    assert name not in names_of_processes()


def test_without_isolation_a_daemon_is_found_and_killed(plain):
    code, name = daemon()
    result = plain.run(code)
    assert (result.status, result.stdout) == ("ok", "left it behind\n")
    assert name not in names_of_processes()


def test_without_isolation_killing_the_keeper_gains_nothing(plain):
    result = plain.run("import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)")
    assert result.status == "killed"


@pytest.mark.parametrize("name", ISOLATED_ONLY)
def test_is_contained(box, name):
    if not box.isolated:  # these would harm the machine: here we can only be honest about that
        assert status().isolated is False
        assert any("kill" in entry for entry in status().unprotected)
        return
    code, statuses = ISOLATED_ONLY[name]
    assert (
        box.run("print('before')").stdout == "before\n"
    )  # so that a worker has been started, whichever test comes first
    workers = box.started
    result = box.run(code, limits=SHORT)
    assert result.status in statuses, result
    assert box.run("print('next')").stdout == "next\n"
    assert box.started == workers


def test_a_daemon_ends_with_its_program(box):
    if not box.isolated:
        pytest.skip("the same is asked of the fallback above")
    code, name = daemon()
    result = box.run(code)
    assert (result.status, result.stdout) == ("ok", "left it behind\n")
    assert name not in names_of_processes()


def test_a_fork_bomb_gets_no_further_than_its_limit(box):
    code = (
        "import os, time\n"
        "count = 0\n"
        "for _ in range(300):\n"
        "    try:\n"
        "        if os.fork() == 0:\n"
        "            time.sleep(30)\n"
        "            os._exit(0)\n"
        "        count += 1\n"
        "    except OSError:\n"
        "        break\n"
        "print(count, flush=True)\n"
    )
    result = box.run(code, limits=Limits(seconds=10, processes=8))
    if box.isolated and result.status == "ok":
        assert int(result.stdout) == 7  # and the program itself is the eighth
    else:
        assert result.status in ("processes", "ok")


def test_the_pool_recovers_after_fifty_in_a_row():
    hostile = [code for code, _ in STOPPED.values()]
    left_behind, name = daemon()
    with Sandbox(2, limits=Limits(seconds=0.25, memory_mb=256, processes=8, output_kb=16)) as pool:
        if pool.isolated:
            hostile += [FORK_BOMB, KILL_EVERYTHING, left_behind]
        bad = [Program(code=hostile[number % len(hostile)]) for number in range(50)]
        results = pool.run_many(bad)
        assert len(results) == 50
        assert not [result for result in results if result.status == "lost"]
        good = pool.run_many([Program(code=f"print({number})", limits=Limits(seconds=20)) for number in range(20)])
        assert [result.stdout for result in good] == [f"{number}\n" for number in range(20)]
        assert pool.started == 2  # the same two workers
    assert name not in names_of_processes()


def test_workers_end_with_their_sandbox(tmp_path):
    pool = Sandbox(1, isolation="subprocess")
    before = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    pool.run("print(1)")
    started = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()} - before
    children = [process for process in started if _parent(process) == os.getpid()]
    pool.close()
    assert children
    assert not [process for process in children if _parent(process) == os.getpid()]


def _parent(process: int) -> int | None:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()[1])
    except OSError:
        return None


def test_processes_are_counted_where_the_kernel_does_not_limit_them():
    with Sandbox(1) as pool:
        if not (pool.isolated and os.getuid() == 0):
            return  # only user 0 escapes the kernel's own limit
        pool._setting = dataclasses.replace(pool._find_setting(), unprivileged=False)
        code = "import os, time\nfor _ in range(100):\n    if os.fork() == 0:\n        time.sleep(60)\n        os._exit(0)\ntime.sleep(60)"
        assert pool.run(code, limits=Limits(seconds=10, processes=8)).status == "processes"
        assert pool.run("print('next')").stdout == "next\n"
