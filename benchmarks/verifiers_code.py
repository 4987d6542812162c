"""How many simple programs a second the sandbox runs with full isolation, and what that is made of.

    python benchmarks/verifiers_code.py [--programs 400] [--workers 2]

A simple program defines a function; it is run alone, and put through three assert statements. Beside the warm workers stand
the ways of doing it without: a fresh interpreter for every program, with bubblewrap and without. Processor time counts this
process and everything it started. Times of a busy machine are not comparable; processor times are, roughly.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from rewardlab.sandbox import Examination, Program, Sandbox, isolation
from rewardlab.sandbox.worker import find_setting

CODE = "def double(xs):\n    return [2 * x for x in xs]\n\nprint(double([1, 2, 3]))\n"
CASES = ("assert double([1]) == [2]", "assert double([]) == []", "assert double([1, 5]) == [2, 10]")


def cpu() -> float:
    """Processor time of this process and of all children that have ended, in seconds."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def measure(name: str, count: int, work: Callable[[int], None], finish: Callable[[], None] = lambda: None) -> float:
    """Run `work(count)`; prints programs per second and processor time per program, which it returns (in ms)."""
    began, before = time.perf_counter(), cpu()
    work(count)
    wall = time.perf_counter() - began
    finish()  # ends the workers, so that their time is counted
    each = (cpu() - before) / count * 1000
    print(f"{name:44s} {count / wall:8.1f} programs/s {each:8.2f} ms of processor time each", flush=True)
    return each


def warm(mechanism: str, workers: int, examine: bool) -> tuple[Callable[[int], None], Callable[[], None]]:
    box = Sandbox(workers, isolation=mechanism)  # type: ignore[arg-type]

    def work(count: int) -> None:
        if examine:
            reports = box.examine_many([Examination(code=CODE, cases=CASES)] * count)
            assert all(report.passed for report in reports)
        else:
            results = box.run_many([Program(code=CODE)] * count)
            assert all(result.stdout == "[2, 4, 6]\n" for result in results)

    work(workers)  # starts them
    return work, box.close


def cold(bubblewrap: bool, workers: int) -> Callable[[int], None]:
    python = [isolation.interpreter(), "-s", "-S", "-P", "-B", "-c", CODE]

    def one(_: int) -> None:
        if bubblewrap:
            setting, _reason = find_setting("bubblewrap")
            with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as errors:
                os.chmod(scratch, 0o755)
                process = isolation.start(setting, scratch, errors, python=python)
                output, _errors = process.communicate()
        else:
            output = subprocess.run(python, capture_output=True, check=True, env=isolation.environment()).stdout
        assert output == b"[2, 4, 6]\n", output

    def work(count: int) -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(one, range(count)))

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=400)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    print(f"{options.workers} workers, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}")
    count, few = options.programs, max(10, options.programs // 8)
    isolated = measure("warm worker, isolated", count, *warm("bubblewrap", options.workers, False))
    tests = measure("warm worker, isolated, with three tests", count, *warm("bubblewrap", options.workers, True))
    plain = measure("warm worker, not isolated", count, *warm("subprocess", options.workers, False))
    fresh = measure("fresh interpreter, not isolated", few, cold(False, options.workers))
    fresh_isolated = measure("fresh interpreter, isolated", few, cold(True, options.workers))
    print(f"\nof the {isolated:.2f} ms of an isolated program in a warm worker")
    print(f"  namespaces, mounts and their end: {isolated - plain:6.2f} ms ({(isolated - plain) / isolated:.0%})")
    print(f"  three forks, pipes, the program:  {plain:6.2f} ms ({plain / isolated:.0%})")
    print(f"tests in a process of their own:    {tests - isolated:6.2f} ms more")
    print(f"starting the interpreter each time: {fresh:6.2f} ms; with bubblewrap {fresh_isolated:.2f} ms")


if __name__ == "__main__":
    main()
