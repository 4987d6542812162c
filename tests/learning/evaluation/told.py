"""A reward that says what is written in the trajectory, so that every measure can be counted by hand."""

from __future__ import annotations

from dataclasses import dataclass

from rewardlab.rewards.base import Abstention, ScoringFailure, Verdict, Verifier
from rewardlab.types import Trajectory


@dataclass(frozen=True, kw_only=True)
class Told(Verifier):
    """The value in `info["value"]`, with the steps in `info["steps"]`; None abstains and "broken" fails."""

    def verify(self, trajectory: Trajectory) -> Verdict:
        value = trajectory.info["value"]
        if value is None:
            raise Abstention("nothing to say")
        if value == "broken":
            raise ScoringFailure("it broke")
        return Verdict(value, steps=trajectory.info.get("steps"), parts=trajectory.info.get("parts", {}))


@dataclass(frozen=True, kw_only=True)
class Other(Verifier):
    """The value in `info["other"]`."""

    def verify(self, trajectory: Trajectory) -> Verdict:
        return Verdict(trajectory.info["other"], steps=trajectory.info.get("other_steps"))


def item(value, *, prompt="q", text=None, **info) -> Trajectory:
    """An answer to a prompt, with what a reward is to say of it."""
    return Trajectory.from_text(prompt, f"answer {value}" if text is None else text, info={"value": value, **info})


def solution(steps, *, prompt="q", **info) -> Trajectory:
    """A solution of several steps, with the value of each."""
    opening = [{"role": "user", "content": prompt}]
    messages = [*opening, *({"role": "assistant", "content": f"step {n}"} for n in range(len(steps)))]
    from rewardlab.types import Task

    return Trajectory.from_messages(
        messages, task=Task(id=prompt, prompt=opening), info={"value": 0.0, "steps": list(steps), **info}
    )
