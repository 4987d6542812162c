"""Whether a repair passes the hidden tests, with parts that show where it stands. The attempts of a batch run together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewardlab.environments.repair_shop.testing import Outcomes, RunnerName, Test, call_text, runner
from rewardlab.rewards.base import ScoringFailure, Verdict, Verifier, attempt, scores_from_verdicts
from rewardlab.rewards.spec import register
from rewardlab.sandbox import Isolation, Limits
from rewardlab.types import Scores, Trajectory


@register("repair_shop_passed")
@dataclass(frozen=True, kw_only=True)
class RepairShopPassed(Verifier):
    """1 where the program as the attempt left it passes all hidden tests, else 0; with `partial`, the share that it passes.

    Parts: `hidden` and `visible` (shares of tests passed), `changed` (something was edited), `located` (every broken line
    was among those that changed) and `honest` (no edit of the tests was tried). Where hidden tests fail, the note names the
    first; a sandbox that broke leaves the attempt failed, not 0.

    Args:
        partial: give the share of the hidden tests that passed.
        gain: with `partial`, give what the broken program did not pass already, in [0, 1]; damage counts as 0.
        honest: an attempt that tried to edit the tests gets 0.
        runner: `sandbox` or `interpreter`; see `RepairShop`.
        seconds: wall time of the tests of one attempt.
        memory_mb: memory of it.
        isolation: of the sandbox.
        workers: programs at once; None for the number of cores.
    """

    partial: bool = False
    gain: bool = False
    honest: bool = False
    runner: RunnerName = "sandbox"
    seconds: float = 2.0
    memory_mb: int = 256
    isolation: Isolation = "auto"
    workers: int | None = None

    overlaps = True

    def __post_init__(self) -> None:
        super().__post_init__()
        Limits(seconds=self.seconds, memory_mb=self.memory_mb)
        if self.gain and not self.partial:
            raise ValueError("RepairShopPassed: gain=True is a share of tests, so it needs partial=True")

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Run the tests of one attempt."""
        return self._verdict(trajectory, *self._run([_plan(trajectory)])[0])

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        verdicts: list[Any] = [attempt(_plan, trajectory) for trajectory in trajectories]
        places = [place for place, outcome in enumerate(verdicts) if isinstance(outcome, _Plan)]
        for place, outcomes in zip(places, self._run([verdicts[place] for place in places]), strict=True):
            verdicts[place] = attempt(lambda one, found=outcomes: self._verdict(one, *found), trajectories[place])
        return scores_from_verdicts(verdicts)

    def _run(self, plans: Sequence[_Plan]) -> list[tuple[Outcomes, Outcomes, Outcomes | None]]:
        """Outcomes of hidden and visible tests, and of the hidden ones before the attempt where they are asked for."""
        work = runner(
            self.runner,
            seconds=self.seconds,
            memory_mb=self.memory_mb,
            isolation=self.isolation,
            workers=self.workers,
        )
        done = work.run_many(
            [(one.after, one.tests) for one in plans]
            + ([(one.before, one.tests[: one.hidden]) for one in plans] if self.gain else [])
        )
        before: list[Outcomes | None] = [*done[len(plans) :]] if self.gain else [None] * len(plans)
        return [
            (_part(found, 0, one.hidden), _part(found, one.hidden, None), had)
            for one, found, had in zip(plans, done, before, strict=False)
        ]

    def _verdict(self, trajectory: Trajectory, hidden: Outcomes, visible: Outcomes, before: Outcomes | None) -> Verdict:
        for outcomes in (hidden, visible, *([before] if before is not None else [])):
            if outcomes.lost:
                raise ScoringFailure(f"the tests could not be run: {outcomes.lost}")
        share = _share(hidden)
        value = share if self.partial else float(all(hidden.passed))
        if before is not None:
            had = _share(before)
            value = max(0.0, (share - had) / (1.0 - had)) if had < 1.0 else 0.0
        honest = not trajectory.info.get("tampered")
        if self.honest and not honest:
            value = 0.0
        changed = trajectory.info.get("files") or {}
        parts: dict[str, float | None] = {
            "hidden": share,
            "visible": _share(visible),
            "changed": float(bool(changed)),
            "located": float(_located(trajectory, changed)),
            "honest": float(honest),
        }
        return Verdict(value, _note(trajectory, hidden), parts)


@dataclass(frozen=True, slots=True)
class _Plan:
    before: Mapping[str, str]
    after: Mapping[str, str]
    tests: list[Test]
    hidden: int


def _plan(trajectory: Trajectory) -> Any:
    """What is to be run for an attempt."""
    task = trajectory.task
    expected = "expected one of the repair shop, with files, visible and hidden tests"
    if task is None or not isinstance(task.reference, Mapping) or "files" not in task.metadata:
        raise ScoringFailure(f"the trajectory has no task of the shop; {expected}")
    if not task.reference.get("hidden"):
        raise ScoringFailure(f"task {task.id!r} has no hidden tests; {expected}")
    files = task.metadata["files"]
    changed = trajectory.info.get("files") or {}
    unknown = set(changed) - set(files)
    if unknown:
        raise ScoringFailure(f"the attempt changed {sorted(unknown)[0]!r:.60}, which the task does not have")
    after = {**files, **changed}
    hidden = task.reference["hidden"]
    return _Plan(files, after, [*hidden, *task.metadata["visible"]], len(hidden))


def _part(outcomes: Outcomes, first: int, last: int | None) -> Outcomes:
    return Outcomes(outcomes.passed[first:last], outcomes.notes[first:last], outcomes.lost)


def _share(outcomes: Outcomes) -> float:
    return sum(outcomes.passed) / len(outcomes.passed) if outcomes.passed else 0.0


def _located(trajectory: Trajectory, changed: Mapping[str, str]) -> bool:
    """Whether no broken line stands where it stood."""
    for bug in trajectory.reference["bugs"]:
        lines = changed.get(bug["file"], "").split("\n")
        if bug["file"] not in changed or (len(lines) >= bug["line"] and lines[bug["line"] - 1] == bug["broken"]):
            return False
    return True


def _note(trajectory: Trajectory, hidden: Outcomes) -> str | None:
    for test, passed, note in zip(trajectory.reference["hidden"], hidden.passed, hidden.notes, strict=True):
        if not passed:
            failed = len(hidden.passed) - sum(hidden.passed)
            return f"{failed} of {len(hidden.passed)} hidden tests failed; the first: {call_text(test)}: {note}"
    return None
