"""What an attempt at the bench is worth: the score on the hidden rows, with parts that show how it came about."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rewardlab.environments.model_bench.metrics import METRICS, Scale, scaled
from rewardlab.environments.model_bench.pipelines import MARK, STAGES
from rewardlab.rewards.base import ScoringFailure, Verdict, Verifier
from rewardlab.rewards.spec import register
from rewardlab.types import Trajectory


@register("model_bench_score")
@dataclass(frozen=True, kw_only=True)
class ModelBenchScore(Verifier):
    """The submitted predictions' metric on the hidden rows, on a scale where more is better.

    Failed, and never scored: a sandbox that broke. An attempt that ends without a valid submission, or runs out of time, is
    worth `nothing`.

    Parts: `held_out` (the scaled score; abstains without a submission), `validation` (the same of the validation rows,
    where the agent was told one), `submitted`, `in_time` (the budget was kept), `stages` (share of a fit's stages that the
    log shows) and `seconds` (of the whole attempt).

    Args:
        scale: see `rewardlab.environments.model_bench.scaled`; the default is 0 for a prediction that looks at no
            feature, and 1 for a perfect one.
        nothing: the value without a submission. With penalties and milestones on top use `partial_credit`.
    """

    scale: Scale = "relative"
    nothing: float = 0.0

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Read what the environment reported."""
        info = trajectory.info
        status, metric = info.get("status"), info.get("metric")
        if status is None and trajectory.truncated and "log" in info:
            status = "no submission"  # a limit of the rollout ended it
        if status not in ("submitted", "no submission", "timeout", "lost"):
            raise ScoringFailure("the trajectory's info has no status; expected an attempt at the model bench")
        if status == "lost":
            raise ScoringFailure("the sandbox broke, which says nothing about the attempt")
        log = str(info.get("log", ""))
        seconds = info.get("seconds")
        parts: dict[str, float | None] = {
            "held_out": None,
            "validation": None,
            "submitted": float(status == "submitted"),
            "in_time": float(status != "timeout"),
            "stages": sum(f"\n{MARK} {stage}" in f"\n{log}" for stage in STAGES) / len(STAGES),
            "seconds": float(sum(seconds)) if isinstance(seconds, list) else None,
        }
        if status != "submitted":
            return Verdict(self.nothing, f"{status}: {_last_error(log)}".rstrip(": "), parts)
        if metric not in METRICS:
            raise ScoringFailure(f"the trajectory's metric is {metric!r}; expected one of {', '.join(METRICS)}")
        if not isinstance(info.get("score"), (int, float)) or not math.isfinite(info["score"]):
            raise ScoringFailure(f"the trajectory's score is {info.get('score')!r}; expected a finite number")
        value = self._scaled(info["score"], trajectory)
        parts["held_out"] = value
        if isinstance(info.get("validation"), (int, float)):
            parts["validation"] = self._scaled(info["validation"], trajectory)
        return Verdict(value, None, parts)

    def _scaled(self, score: float, trajectory: Trajectory) -> float:
        reference: Any = trajectory.reference
        board = reference.get("leaderboard") if isinstance(reference, dict) else None
        info = trajectory.info
        try:
            return scaled(score, info["metric"], self.scale, dummy=info.get("dummy"), leaderboard=board)
        except ValueError as error:
            raise ScoringFailure(str(error)) from error


def _last_error(log: str) -> str:
    errors = [line for line in log.splitlines() if line.startswith("Error: ")]
    return errors[-1].removeprefix("Error: ")[:160] if errors else ""
