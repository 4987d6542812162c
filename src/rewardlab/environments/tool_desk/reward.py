"""Whether an attempt at a task of the tool desk succeeded, with the parts that show where it went wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rewardlab.environments.tool_desk.answers import reference_answer, same_answer
from rewardlab.rewards.base import ScoringFailure, Verdict, Verifier
from rewardlab.rewards.spec import register
from rewardlab.types import Trajectory, call_arguments, message_text


@register("tool_desk_success")
@dataclass(frozen=True, kw_only=True)
class ToolDeskSuccess(Verifier):
    """1 where the final answer is right, else 0.

    Parts: `correct` (the answer is right), `finished` (an answer was given, and not a limit reached), `calls_ok` (share of
    calls that were answered without an error; abstains where none was made), `progress` (share of the demonstrated calls
    that were made, in their order) and `evidence` (the right answer stood in the output of a tool).

    Args:
        require_evidence: count a right answer only where a tool had given it, so that a lucky guess earns nothing.
    """

    require_evidence: bool = False

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Compare the last message with the reference answer."""
        if trajectory.task is None:
            raise ScoringFailure("the trajectory has no task; expected one of the tool desk, with its reference")
        try:
            expected = reference_answer(trajectory.task)
        except ValueError as error:
            raise ScoringFailure(str(error)) from error
        last = trajectory.actions[-1]
        answer = message_text(last).strip()
        finished = bool(answer) and not last.get("tool_calls")
        correct = finished and same_answer(expected, answer)
        outputs = [message_text(message) for message in trajectory.messages if message.get("role") == "tool"]
        evidence = any(same_answer(expected, output) for output in outputs)
        parts: dict[str, float | None] = {
            "correct": float(correct),
            "finished": float(finished),
            "calls_ok": None if not outputs else sum(not text.startswith("Error: ") for text in outputs) / len(outputs),
            "progress": _progress(trajectory),
            "evidence": float(evidence),
        }
        note = None
        if not finished:
            note = "no answer was given"
        elif not correct:
            note = f"answered {answer!r:.60}, expected {expected!r}"
        elif self.require_evidence and not evidence:
            note = "the answer is right, but no tool had given it"
        return Verdict(float(correct and (evidence or not self.require_evidence)), note, parts)


def _progress(trajectory: Trajectory) -> float | None:
    """Share of the demonstrated calls that were made in their order; None where the reference lists none."""
    wanted = trajectory.reference.get("calls")
    if not isinstance(wanted, list) or not wanted:
        return None
    reached = 0
    for call in trajectory.tool_calls:
        if reached < len(wanted) and _named(call) == (wanted[reached]["name"], wanted[reached]["arguments"]):
            reached += 1
    return reached / len(wanted)


def _named(call: Any) -> tuple[str, Any] | None:
    try:
        return call_arguments(call)
    except (ValueError, AttributeError):  # not a call at all
        return None
