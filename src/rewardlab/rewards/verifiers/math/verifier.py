"""The math answer verifier: the final answer of a completion against the reference, by mathematical equality.

Plain numbers and common LaTeX are decided in this process by exact arithmetic of our own, in microseconds; the rest goes
through sympy in child processes that are stopped at a limit. A comparison that could not be finished is failed, never zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rewardlab.extras import MissingExtra
from rewardlab.rewards.base import Abstention, ScoringFailure, Verdict, Verifier, attempt, scores_from_verdicts
from rewardlab.rewards.spec import register
from rewardlab.rewards.verifiers.math import comparison, symbolic
from rewardlab.rewards.verifiers.math.comparison import Rules
from rewardlab.rewards.verifiers.math.extraction import Extract, extract_answer, last_boxed, last_marked
from rewardlab.rewards.verifiers.math.lexing import MAX_ANSWER, unwrapped
from rewardlab.rewards.verifiers.math.symbolic import ChildFailed
from rewardlab.types import Scores, Status, Trajectory


@dataclass(frozen=True, slots=True)
class _Open:
    """A sample that waits for the symbolic path: these golds may equal this answer."""

    golds: tuple[str, ...]
    answer: str


@register("math_answer")
@dataclass(frozen=True, kw_only=True)
class MathAnswer(Verifier):
    r"""1 where the final answer of the completion equals the reference, else 0.

    The reference is a number, a string, or a list of alternatives of which any is right. A string may be a whole worked
    solution that ends with "#### 18", "A: 18" or `\boxed{18}`. Without a reference, with one that cannot be read, and where
    the comparison was stopped at its limit, the sample is failed.

    Args:
        extract: where the answer stands in the completion; see `extract_answer`.
        missing: what a completion without an answer gets: "zero" or "abstain".
        significant_digits: a decimal with at least so many digits equals every value that it could be rounded or cut from.
        tolerance: relative difference between two numbers that is accepted besides.
        timeout: processor seconds that one symbolic comparison may take, counted from when work on it starts.
        workers: how many child processes may compare beside one another; they are shared by the whole process.
    """

    extract: Extract = "auto"
    missing: Literal["zero", "abstain"] = "zero"
    significant_digits: int = 6
    tolerance: float = 0.0
    timeout: float = 5.0
    workers: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        _check("significant_digits", self.significant_digits, self.significant_digits >= 1, "at least 1")
        _check("tolerance", self.tolerance, 0 <= self.tolerance <= 1, "from 0 to 1")
        _check("timeout", self.timeout, 0.01 <= self.timeout <= 3600, "from 0.01 to 3600 processor seconds")
        _check("workers", self.workers, 1 <= self.workers <= 256, "from 1 to 256")

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Compare the answer of one completion with its reference."""
        found = self._decide(trajectory)
        if isinstance(found, Verdict):
            return found
        outcome = self._settle([found])[0]
        if isinstance(outcome, Verdict):
            return outcome
        raise ScoringFailure(outcome[1])

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        outcomes: list[Any] = [attempt(self._decide, trajectory) for trajectory in trajectories]
        waiting = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, _Open)]
        if waiting:
            for index, outcome in zip(waiting, self._settle([outcomes[index] for index in waiting]), strict=True):
                outcomes[index] = outcome
        return scores_from_verdicts(outcomes)

    def _decide(self, trajectory: Trajectory) -> Verdict | _Open:
        """The verdict of the fast path, or what is left for the symbolic one."""
        golds = gold_answers(trajectory.reference)
        answer = extract_answer(trajectory.completion, self.extract)
        if answer is None:
            if self.missing == "abstain":
                raise Abstention("no answer was found in the completion")
            return Verdict(0.0, "no answer was found in the completion")
        rules = Rules(self.significant_digits, self.tolerance)
        undecided = []
        for gold in golds:
            result = comparison.compare(gold, answer, rules)
            if result:
                return Verdict(1.0)
            if result is None:
                undecided.append(gold)
        if undecided:
            return _Open(tuple(undecided), answer)
        return Verdict(0.0, f"{answer:.80} is not {golds[0]:.80}")

    def _settle(self, samples: Sequence[_Open]) -> list[Verdict | tuple[Status, str]]:
        """Take undecided samples through the symbolic path, all of their pairs together."""
        pairs = [(gold, sample.answer) for sample in samples for gold in sample.golds]
        results = iter(_symbolic(pairs, self.timeout, self.workers))
        outcomes: list[Verdict | tuple[Status, str]] = []
        for sample in samples:
            verdicts = [next(results) for _ in sample.golds]
            if any(verdict.equal for verdict in verdicts):
                outcomes.append(Verdict(1.0))
                continue
            open_reasons = [verdict.reason for verdict in verdicts if verdict.equal is None]
            where = f"comparing {sample.answer:.60} with {sample.golds[0]:.60}"
            if open_reasons:
                outcomes.append((Status.FAILED, f"{where}: {open_reasons[0]}"))
            else:
                reason = verdicts[0].reason or f"{sample.answer:.80} is not {sample.golds[0]:.80}"
                outcomes.append(Verdict(0.0, reason))
        return outcomes


def _check(option: str, value: float, fits: bool, expected: str) -> None:
    if not fits:
        raise ValueError(f"MathAnswer: option {option!r} must be {expected}, got {value!r}")


def answers_equal(
    gold: str | int | float,
    answer: str | int | float,
    *,
    significant_digits: int = 6,
    tolerance: float = 0.0,
    timeout: float = 5.0,
) -> bool:
    r"""Whether an answer equals the gold answer; both are answers alone, such as "1,000", r"\frac{1}{2}" or "x = 5".

    Args:
        gold: the right answer.
        answer: the one to check.
        significant_digits: see `MathAnswer`.
        tolerance: see `MathAnswer`.
        timeout: see `MathAnswer`.

    Raises:
        ScoringFailure: it could not be decided: stopped at the limit, the gold answer cannot be read, or the package that
            compares symbolically is missing.
        TypeError: one is neither a string nor a number.
        ValueError: an option is out of its range.
    """
    options = MathAnswer(significant_digits=significant_digits, tolerance=tolerance, timeout=timeout)
    ours, theirs = _as_text(gold, "gold"), _as_text(answer, "answer")
    result = comparison.compare(ours, theirs, Rules(significant_digits, tolerance))
    if result is None:
        (verdict,) = _symbolic([(ours, theirs)], options.timeout, options.workers)
        if verdict.equal is None:
            raise ScoringFailure(f"comparing {theirs:.60} with {ours:.60}: {verdict.reason}")
        result = verdict.equal
    return result


def gold_answers(reference: Any) -> list[str]:
    r"""The answers that a reference allows.

    Args:
        reference: a number, a string (an answer alone, or a worked solution that ends with "####", "A:" or `\boxed{}`), or a
            list of these.

    Raises:
        ScoringFailure: there is no reference, or none that can be read.
    """
    if reference is None:
        raise ScoringFailure("the task has no reference; expected a number, or a string with the right answer")
    if isinstance(reference, (list, tuple)):
        if not reference:
            raise ScoringFailure("the reference is an empty list; expected at least one right answer")
        return [gold for entry in reference for gold in gold_answers(entry)]
    try:
        text = _as_text(reference, "the reference")
    except TypeError as error:
        raise ScoringFailure(str(error)) from None
    gold = text.strip()
    if not gold.isdigit():
        if "oxed" in gold:
            gold = last_boxed(gold) or gold
        elif "####" in gold or "A:" in gold or ("\n" in gold and "answer" in gold.lower()):
            gold = last_marked(gold) or gold
    if not unwrapped(gold[: MAX_ANSWER + 1]):
        raise ScoringFailure(
            f"the reference {text!r:.80} holds no answer; expected a number, or a string with the right answer"
        )
    if len(gold) > MAX_ANSWER:
        raise ScoringFailure(
            f"the reference has {len(gold)} characters, expected an answer of at most {MAX_ANSWER}; "
            "mark the answer in a worked solution with ####, A: or \\boxed{}"
        )
    return [gold]


def _as_text(value: Any, name: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError(f"{name} must be a finite number or a string, got {value!r:.80}")
    return repr(value)


def _symbolic(pairs: list[tuple[str, str]], seconds: float, workers: int) -> list[symbolic.Verdict]:
    """Verdicts of the symbolic path; where it cannot run at all, every pair says why."""
    cleaned = [(unwrapped(gold), unwrapped(answer)) for gold, answer in pairs]
    try:
        return symbolic.symbolic_pool().compare(cleaned, seconds=seconds, workers=workers)
    except (MissingExtra, ChildFailed) as error:
        return [symbolic.Verdict(None, str(error))] * len(pairs)
