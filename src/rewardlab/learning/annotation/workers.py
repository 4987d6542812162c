"""A judge in a process of its own, for judges that compute rather than wait for a server."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any

Answers = Any


class ProcessJudge:
    """Calls a judge in a child process, which is started at the first question and again after it died.

    Args:
        judge: what is called; it must be importable in the child (a function of a module, or an object that can be sent).
    """

    def __init__(self, judge: Callable[[Sequence[Any]], Answers]) -> None:
        self.judge = judge
        self._process: Any = None
        self._pipe: Any = None

    def __call__(self, items: Sequence[Any]) -> Answers:
        """The judge's answers.

        Raises:
            RuntimeError: the judge raised, or its process died.
        """
        if self._process is None or not self._process.is_alive():
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(self.judge, theirs), daemon=True)
            self._process.start()
            theirs.close()
        try:
            self._pipe.send(list(items))
            good, answers = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError(f"the judge's process died: {type(error).__name__}") from error
        if not good:
            raise RuntimeError(answers)
        return answers

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            self._process.terminate()
            self._process.join()
            self._pipe.close()


def _serve(judge: Callable[[Sequence[Any]], Answers], pipe: Any) -> None:
    from rewardlab.rewards.base import attempt

    while True:
        try:
            items = pipe.recv()
        except EOFError:
            return
        answers = attempt(judge, items)
        failed = isinstance(answers, tuple) and len(answers) == 2 and isinstance(answers[1], str)
        pipe.send((not failed, answers[1] if failed else answers))
