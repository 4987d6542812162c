"""The symbolic path: pairs that the fast path cannot decide go to child processes that can be killed.

A pool of our own, of plain subprocesses: pools built on `multiprocessing` import the caller's main script again in every
child (a script without a `__main__` guard then fails), and cannot be used inside daemonic workers such as those of a data
loader. A child has one pair at a time, so that stopping it loses that pair only. The limit is in processor seconds of the
child and counts from when work on the pair starts: neither a busy machine nor a queue uses it up.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from rewardlab.extras import available

Pair = tuple[str, str]

START_SECONDS = 120.0
"""Wall-clock limit for a child to import sympy; it only guards against a machine on which it never comes up."""
WALL_FACTOR = 20.0
"""How many times its processor limit a pair may take on the wall clock before the child counts as stuck."""
MEMORY_BYTES = 4 << 30
_REMEMBERED = 8192


class Verdict(NamedTuple):
    """What became of one pair.

    Args:
        equal: yes, no, or None where it could not be decided.
        reason: why not, or what stands behind a no.
    """

    equal: bool | None
    reason: str | None = None


class ChildFailed(RuntimeError):
    """A child process did not come up."""


class _Child:
    """One running worker process, with the fork that serves."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("worker.py")), str(MEMORY_BYTES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a group of its own, to be killed as one, and not reached by Ctrl-C
        )
        self.buffer = b""
        try:
            started = self.line(START_SECONDS) == "ready"
        except BaseException:
            self.kill()
            raise
        if not started:
            self.kill()
            raise ChildFailed(
                f"the process that compares answers with sympy did not start (exit status {self.process.returncode}); "
                f"check that \"{sys.executable} -c 'import math_verify'\" works"
            )

    def line(self, seconds: float) -> str | None:
        """The next line the child writes; None when it ended, or wrote none in so many seconds."""
        assert self.process.stdout is not None
        stream = self.process.stdout.fileno()
        end = time.monotonic() + seconds
        poll = select.poll()
        poll.register(stream, select.POLLIN)
        while not self.buffer.endswith(b"\n"):
            if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
                return None
            chunk = os.read(stream, 65536)
            if not chunk:
                return None
            self.buffer += chunk
        line, self.buffer = self.buffer, b""
        word = json.loads(line)
        return word if isinstance(word, str) else None

    def ask(self, pair: Pair, seconds: float) -> Verdict:
        """The verdict of one pair."""
        assert self.process.stdin is not None
        limit = seconds * WALL_FACTOR + 10.0
        try:
            self.process.stdin.write(json.dumps([seconds, *pair]).encode() + b"\n")
            self.process.stdin.flush()
            word = self.line(limit)
        except BrokenPipeError:
            word = None
        if word is None:
            gone = self.process.poll() is not None
            self.kill()
            if gone:
                return Verdict(None, f"the comparing process ended with status {self.process.returncode}")
            return Verdict(None, f"timeout: the comparison gave no answer within {limit:g} s and was stopped")
        return _verdict(word, seconds)

    def forget(self) -> None:
        """Drop what the process has parsed."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(b"null\n")
            self.process.stdin.flush()

    def kill(self) -> None:
        """End the process and its fork, whatever they are doing, and close the pipes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def close(self) -> None:
        """Let the process end by itself, which it does when its pipe is closed; kill it where it does not."""
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1.0)
        self.kill()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None and not self.process.stdin.closed  # type: ignore[union-attr]


def _verdict(word: str, seconds: float) -> Verdict:
    if word in ("equal", "different"):
        return Verdict(word == "equal")
    if word == "answer":
        return Verdict(False, "the answer cannot be read as mathematics")
    if word == "gold":
        return Verdict(None, "the reference cannot be read as mathematics, and the answer is not the same text")
    if word == "memory":
        return Verdict(None, f"the comparison needed more than {MEMORY_BYTES >> 30} GiB of memory and was stopped")
    if word == f"ended {-signal.SIGPROF}":
        return Verdict(None, f"timeout: the comparison took more than {seconds:g} processor seconds and was stopped")
    return Verdict(None, word.removeprefix("error ").replace("ended", "the comparing process ended with status"))


class SymbolicPool:
    """Child processes that compare answers, started when first needed and shared by all threads of a process.

    A child that was stopped replaces itself within milliseconds, so that hung pairs cost their own limit and nothing more;
    one that is gone is started anew when the next pair needs it.
    """

    def __init__(self) -> None:
        self._idle: list[_Child] = []
        self._running = 0
        self._limit = 1
        self._free = threading.Condition()
        self._verdicts: OrderedDict[tuple[Pair, float], Verdict] = OrderedDict()

    def compare(self, pairs: Sequence[Pair], *, seconds: float = 5.0, workers: int = 1) -> list[Verdict]:
        """Compare pairs of (gold, answer).

        Args:
            pairs: answers of at most 2000 characters.
            seconds: processor seconds that one pair may take.
            workers: how many children may run beside one another; the pool grows to the largest number asked for.

        Returns:
            A verdict for each pair.

        Raises:
            MissingExtra: the package math-verify is not installed.
            ChildFailed: no child process can be started.
        """
        if not available("math_verify"):
            from rewardlab.extras import require

            require("math_verify", extra="math", why="comparing these answers symbolically")
        if os.name != "posix":
            raise ChildFailed(
                "comparing answers with sympy needs a POSIX system, whose kernel can stop a comparison at its limit"
            )
        with self._free:
            self._limit = max(self._limit, workers)
            known = {pair: self._verdicts[pair, seconds] for pair in set(pairs) if (pair, seconds) in self._verdicts}
        open_pairs = [pair for pair in dict.fromkeys(pairs) if pair not in known]
        if len(open_pairs) > 1 and workers > 1:
            with ThreadPoolExecutor(min(workers, len(open_pairs))) as threads:
                verdicts = list(threads.map(lambda pair: self._serve(pair, seconds), open_pairs))
        else:
            verdicts = [self._serve(pair, seconds) for pair in open_pairs]
        known.update(zip(open_pairs, verdicts, strict=True))
        self._remember({pair: known[pair] for pair in open_pairs}, seconds)
        return [known[pair] for pair in pairs]

    def _serve(self, pair: Pair, seconds: float) -> Verdict:
        child = self._borrow()
        try:
            return child.ask(pair, seconds)
        except BaseException:
            child.kill()
            raise
        finally:
            self._give_back(child)

    def _borrow(self) -> _Child:
        with self._free:
            while not self._idle and self._running >= self._limit:
                self._free.wait()
            self._running += 1
            child = self._idle.pop() if self._idle else None
        if child is not None and child.alive:
            return child
        try:
            return _Child()
        except BaseException:
            with self._free:
                self._running -= 1
                self._free.notify()
            raise

    def _give_back(self, child: _Child) -> None:
        with self._free:
            self._running -= 1
            if child.alive:
                self._idle.append(child)
            self._free.notify()

    def _remember(self, verdicts: dict[Pair, Verdict], seconds: float) -> None:
        with self._free:
            for pair, verdict in verdicts.items():
                self._verdicts[pair, seconds] = verdict
            while len(self._verdicts) > _REMEMBERED:
                self._verdicts.popitem(last=False)

    def forget(self) -> None:
        """Drop the remembered verdicts, and what the idle children have parsed."""
        with self._free:
            self._verdicts.clear()
            for child in self._idle:
                child.forget()

    def close(self) -> None:
        """End the idle children; the pool can be used again, and starts new ones."""
        with self._free:
            children, self._idle = self._idle, []
        for child in children:
            child.close()

    def processes(self) -> list[int]:
        """Process ids of the idle children, for measuring what they use; each serves through one fork of its own."""
        with self._free:
            return [child.process.pid for child in self._idle]


_pool = SymbolicPool()


def symbolic_pool() -> SymbolicPool:
    """The pool of this process."""
    return _pool


def _after_fork() -> None:
    """A forked process must not write into its parent's pipes: it gets a pool of its own."""
    global _pool
    _pool = SymbolicPool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(lambda: _pool.close())
