"""The child process of the symbolic path: reads pairs of answers as JSON lines, compares them with sympy, writes verdicts.

Started by path, not imported by the library, and it imports nothing of it, so that it is up as soon as sympy is. The text is
parsed by latex2sympy's ANTLR grammar, which evaluates nothing; sympy's own text parser, which runs `eval`, is taken out of
this process before any text is read. Each pair gets a limit of processor seconds that the kernel enforces: SIGPROF ends
the process even while it sits in one long integer operation that no Python signal handler could interrupt. What it ends is
a fork of a process that has sympy loaded, so that the next pair waits for milliseconds and not for an import.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import resource
import signal
import sys
from typing import Any

OUT = 1
"""The pipe to the parent."""

refused: list[str] = []
"""Text that sympy wanted to evaluate while the pair at hand was compared."""

TYPICAL = (
    r"\frac{\sqrt{3}+1}{2}\pi - 2^{x} \cdot 3",
    r"2\sin^{2} x \cos(2x) + \ln 2 - e^{x}",
    r"\left(-\infty, 3\right] \cup [4, 5)",
    r"\{1, 2\}",
    r"\begin{pmatrix} 1 & -2 \\ 3 & 4 \end{pmatrix}",
)
"""Notation that the parser's tables are made ready for before the first pair comes."""

NUMBER = re.compile(r"\s*([-+]?[0-9]+)(\.[0-9]*)?\s*|\s*[-+]?\.[0-9]+\s*")


def number_only(text: object, *arguments: object, **options: object) -> Any:
    """Stands where sympy would evaluate text as Python: reads a number, and refuses anything else.

    The grammar hands the digits that it has recognised to sympy as text, and sympy runs `eval` on text.
    """
    import sympy

    match = NUMBER.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        refused.append(str(text)[:80])
        raise ValueError("text is never evaluated")
    return sympy.Integer(int(match[1])) if match[1] and match[2] is None else sympy.Float(match[0].strip())


def prepare(memory: int) -> None:
    """Take out sympy's evaluation of text, silence logging, and limit memory to so many bytes of address space."""
    import sympy.parsing.sympy_parser as parser
    from sympy import Symbol, cos, exp, integrate, limit, oo, simplify, sin, solve

    # Parts of sympy that it imports on first use read constants of their own as text: they are imported before.
    x = Symbol("x", real=True)
    simplify(sin(x) ** 2 + cos(x) ** 2 - exp(x) + x**0.5)
    solve(x**2 - 2 > 0, [x])
    integrate(x * sin(x), (x, 0, 1))
    limit(1 / x, x, oo)
    parser.eval_expr = number_only  # parse_expr calls it, and so does whatever imported parse_expr earlier
    parser.parse_expr = number_only
    logging.disable(logging.CRITICAL)
    sys.setrecursionlimit(3000)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (memory, hard))


@functools.lru_cache(maxsize=2048)
def parsed(text: str) -> Any:
    """The sympy object that an answer stands for, or None where the grammar does not know it."""
    from latex2sympy2_extended.latex2sympy2 import latex2sympy
    from latex2sympy2_extended.math_normalization import NormalizationConfig, normalize_latex
    from math_verify.grader import should_treat_as_complex

    config = NormalizationConfig(
        basic_latex=True, units=True, malformed_operators=True, nits=True, boxed="all", equations=False
    )
    try:
        latex = normalize_latex(text, config)
        return latex2sympy(
            latex, is_real=not should_treat_as_complex(latex), convert_degrees=False, normalization_config=None
        )
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  # the grammar raises bare Exception for what it does not know
        return None


def compare(gold: str, answer: str) -> str:
    """One of "equal", "different", "gold" (the gold answer cannot be read) and "answer" (the answer cannot be read)."""
    from math_verify.grader import verify

    ours = parsed(gold)
    if ours is None:
        return "gold"
    theirs = parsed(answer)
    if theirs is None:
        return "answer"
    return "equal" if verify(ours, theirs, timeout_seconds=None) else "different"


def serve() -> None:
    """Answer pairs until the parent closes the pipe."""
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        if request is None:  # forget what was parsed
            parsed.cache_clear()
            continue
        seconds, gold, answer = request
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            verdict = compare(gold, answer)
            if refused:
                verdict = f"error sympy wanted to evaluate the text {refused[0]!r}, which is never done"
                refused.clear()
        except MemoryError:
            verdict = "memory"
        except (ArithmeticError, ValueError, TypeError, AttributeError, RecursionError, NotImplementedError) as error:
            verdict = f"error {type(error).__name__}: {error}"[:300]
        signal.setitimer(signal.ITIMER_PROF, 0)
        write(verdict)


def write(verdict: str) -> None:
    """One line to the parent."""
    os.write(OUT, json.dumps(verdict).encode() + b"\n")


def main() -> None:
    """Import once, then serve in a fork; a fork that was stopped is replaced in milliseconds."""
    import math_verify  # noqa: F401  # before the first limit is set: importing takes longer than a comparison

    prepare(int(sys.argv[1]))
    if parsed("1.5") != 1.5:
        sys.exit("latex2sympy does not read the number 1.5")
    for latex in TYPICAL:  # ANTLR works out its tables while it parses: forks inherit them
        parsed(latex)
    parsed.cache_clear()
    write("ready")
    while True:
        child = os.fork()
        if child == 0:
            serve()
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            return
        write(f"ended {status}")


if __name__ == "__main__":
    OUT = os.dup(1)
    os.dup2(2, 1)  # nothing that a library prints may reach the pipe
    main()
