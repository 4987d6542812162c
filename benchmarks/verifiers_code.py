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
import statistics
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


def own_share(count: int) -> tuple[float, float, float]:
    """Processor time of keeper and program (ms), of the program's process before its first line, and its page faults."""
    code = "import resource\nr = resource.getrusage(resource.RUSAGE_SELF)\nprint(r.ru_utime + r.ru_stime, r.ru_minflt)"
    with Sandbox(1, isolation="bubblewrap") as box:
        results = box.run_many([Program(code=code)] * count)
    lines = [[float(word) for word in result.stdout.split()] for result in results]
    inside = statistics.fmean(result.cpu_seconds for result in results) * 1000
    return inside, statistics.fmean(line[0] for line in lines) * 1000, statistics.fmean(line[1] for line in lines)


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
    inside, itself, faults = own_share(max(50, count // 4))
    print(f"\nof the {isolated:.2f} ms of an isolated program in a warm worker")
    print(
        f"  the program's process, to its first line: {itself:6.2f} ms ({itself / isolated:.0%}), {faults:.0f} page faults"
    )
    print(
        f"  rest of keeper and program, and their end: {inside - itself:6.2f} ms ({(inside - itself) / isolated:.0%})"
    )
    print(f"  watcher, zygote and this process:         {isolated - inside:6.2f} ms ({1 - inside / isolated:.0%})")
    print(f"a process of their own for the tests: {tests - isolated:+.2f} ms")
    print(f"namespaces, beside the fallback's folder on disk and search for orphans: {isolated - plain:+.2f} ms")
    print(f"a fresh interpreter with bubblewrap for every program: {fresh_isolated / isolated:.1f} times as much")
    print(f"  of it bubblewrap: {fresh_isolated - fresh:.2f} ms, the interpreter: {fresh:.2f} ms")


if __name__ == "__main__":
    main()
