"""Rollouts with guidance: attempts that failed are tried again with a hint, and learned from as if there had been none.

A guided trajectory was sampled from pi(action | task, hint), and is learned from as an action on the bare task. The ratio
that makes this right is pi(action | task) / pi_old(action | task, hint), so by default its tokens keep the log-probabilities
that they had under the hint: objectives that clip the ratio (GRPO, RLOO, PPO) then weigh what is improbable without the hint
down, or follow it not at all. `logprobs="bare"` computes them under the bare task, which counts the attempt as the policy's
own.
"""

from __future__ import annotations

import logging
import statistics as stats
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from rewardlab.policies.engines.sampling import derive_seed
from rewardlab.rewards.base import attempt
from rewardlab.training.guidance.hints import PARTS, Guidance, Hinted, HintFormat, check_parts, note_seeds
from rewardlab.training.guidance.leaks import LeakCheck, copied_share
from rewardlab.training.guidance.logprobs import bare_logprobs
from rewardlab.training.guidance.teachers import Failure, Teacher
from rewardlab.training.seats import score_batch
from rewardlab.types import Scores, Task, Trajectory

_log = logging.getLogger(__name__)

When = Literal["failed", "unsolved"]
Keep = Literal["all", "successes"]


@dataclass(kw_only=True)
class Guided:
    """A rollout that tries failures again with guidance: `Trainer(rollout=Guided(...))`, or called like `rollout`.

    It gives the unguided trajectories and behind them the guided ones, which belong to the groups of the failures that they
    follow. A guided one has in its `info`: `guided` (True), `hint`, `hint_parts`, `attempt` (1 for the first retry),
    `copied` (share of the hint's words that it wrote), and where they apply `leaked`, `mentions_hint` and `log_ratio` (mean
    over its tokens of the log-probability without the hint, less the one with it).

    Args:
        teacher: writes guidance for a failed attempt; see `Teacher`.
        reward: says which attempts failed. A sample that it could not score is neither failed nor solved, and not retried.
        when: retry every "failed" attempt, or those of tasks that are "unsolved" (no attempt succeeded).
        parts: which parts of the guidance are shown.
        levels: the parts shown at the first retry, at the second, and so on: help that rises until the first success. None
            for one retry with all `parts`.
        how: how hints are shown.
        strip: learn from the bare task; False leaves the hint in the training prompt.
        keep: "all" guided attempts, or only the "successes" (and not those that a check refuses).
        logprobs: after stripping, tokens keep the log-probabilities of the "behaviour", hint included, or get those of the
            "bare" task.
        least_log_ratio: guided successes whose `log_ratio` is below this are refused (copied, and not to be derived from the
            task); None refuses none and does not measure.
        leak_check: for hints and attempts; None checks nothing.
        success_at: lowest score of a success.
        tasks: only these are guided, by id; None guides all. Attempts at temperature 0 are never guided, so that greedy
            evaluations inside a trainer stay free of hints; give `tasks` where you evaluate at another temperature.
        actor: who makes the guided attempts; None for the policy itself. Another one's are marked `info["off_policy"]`.
        base: what makes trajectories; None for `rewardlab.policies.rollout`.

    Raises:
        ValueError: an option has an impossible value; the message says which are possible.
    """

    teacher: Teacher
    reward: Any
    when: When = "failed"
    parts: Sequence[str] = PARTS
    levels: Sequence[Sequence[str]] | None = None
    how: HintFormat = field(default_factory=HintFormat)
    strip: bool = True
    keep: Keep = "all"
    logprobs: Literal["behaviour", "bare"] = "behaviour"
    least_log_ratio: float | None = None
    leak_check: LeakCheck | None = field(default_factory=LeakCheck)
    success_at: float = 1.0
    tasks: Sequence[Task] | None = None
    actor: Any = None
    base: Callable[..., list[Trajectory]] | None = None
    counts: Counter[str] = field(default_factory=Counter, init=False)
    """Since it was made: `unguided`, `failures`, `retried`, `teacher_failed`, `leaked`, `guided`, `successes`, `mentions`,
    `unlikely`."""

    def __post_init__(self) -> None:
        check_parts(self.parts)
        for level in self.levels or ():
            check_parts(level)
        for name, words in (("when", When), ("keep", Keep)):
            if getattr(self, name) not in get_args(words):
                raise ValueError(f"{name} must be one of {', '.join(get_args(words))}, got {getattr(self, name)!r}")
        if self.logprobs not in ("behaviour", "bare"):
            raise ValueError(f"logprobs must be behaviour or bare, got {self.logprobs!r}")
        if not self.strip and (self.logprobs == "bare" or self.least_log_ratio is not None):
            raise ValueError("log-probabilities of the bare task need strip=True")

    def __call__(
        self,
        policy: Any,
        environment: Callable[[], Any],
        tasks: Sequence[Task],
        *,
        group_size: int = 1,
        seed: int = 0,
        sampling: Any = None,
        **options: Any,
    ) -> list[Trajectory]:
        """Attempt tasks, and try failures again with guidance; the options are those of `rewardlab.policies.rollout`."""
        tasks = list(tasks)
        drawn = {} if sampling is None else {"sampling": sampling}
        unguided = self._rollout(policy, environment, tasks, group_size=group_size, seed=seed, **drawn, **options)
        note_seeds(unguided, seed, group_size)
        if getattr(sampling, "temperature", 1.0) == 0.0:
            return unguided
        scores = score_batch(self.reward, unguided)
        guided, _ = self.retry(policy, environment, unguided, scores, seed=seed, **drawn, **options)
        return [*unguided, *guided]

    def retry(
        self,
        policy: Any,
        environment: Callable[[], Any],
        trajectories: Sequence[Trajectory],
        scores: Scores,
        *,
        seed: int = 0,
        **options: Any,
    ) -> tuple[list[Trajectory], Scores]:
        """Try the failures among some attempts again, with guidance.

        Args:
            policy: what acts.
            environment: a factory.
            trajectories: unguided attempts.
            scores: of these.
            seed: of all draws.
            options: of the rollout, such as `sampling`.

        Returns:
            The guided attempts that are kept, and their scores.
        """
        self.counts["unguided"] += len(trajectories)
        waiting = self._failures(trajectories, scores)
        self.counts["failures"] += len(waiting)
        made: list[Trajectory] = []
        pieces: list[Scores] = []
        for number, parts in enumerate(self.levels or [self.parts], 1):
            if not waiting:
                break
            failed = [(trajectory.task, trajectory, one) for trajectory, one in waiting if trajectory.task is not None]
            chosen = self._hints(failed, parts)
            if not chosen:
                continue  # nothing was said at this level; a higher one may show more
            batch = self._attempt(policy, environment, chosen, number, derive_seed(seed, 7, number), options)
            found = score_batch(self.reward, batch)
            self.counts["guided"] += len(batch)
            solved = found.scored & (found.values >= self.success_at)
            accepted = self._accepted(policy, batch, solved, temperature_of(options.get("sampling")))
            self.counts["successes"] += int((solved & accepted).sum())
            kept = np.flatnonzero(accepted & (solved if self.keep == "successes" else True)).tolist()
            made += [batch[index] for index in kept]
            pieces.append(found.select(np.asarray(kept, dtype=np.intp)))
            done = {
                id(trajectory)
                for (_, trajectory, _), won in zip([one[0] for one in chosen], solved, strict=True)
                if won
            }
            waiting = [entry for entry in waiting if id(entry[0]) not in done]
        return made, Scores.concatenate(pieces)

    # ---- the steps of a retry ------------------------------------------------------------------------------------------

    def _failures(self, trajectories: Sequence[Trajectory], scores: Scores) -> list[tuple[Trajectory, Scores]]:
        allowed = None if self.tasks is None else {task.id for task in self.tasks}
        failed = scores.scored & (scores.values < self.success_at)
        solved = {_group(trajectories[index]) for index in np.flatnonzero(scores.scored & ~failed).tolist()}
        found = []
        for index in np.flatnonzero(failed).tolist():
            one = trajectories[index]
            if one.task is None or (allowed is not None and one.task.id not in allowed):
                continue
            if self.when == "unsolved" and _group(one) in solved:
                continue
            found.append((one, scores.select([index])))
        return found

    def _hints(self, failed: Sequence[Failure], parts: Sequence[str]) -> list[tuple[Failure, dict[str, str]]]:
        """The failures that get a hint, with its parts; the others stay as they are."""
        many = getattr(self.teacher, "many", None)
        said = _asked(many, failed) if many is not None else None
        if said is None:
            said = [_asked(self.teacher, *one) for one in failed]
        chosen = []
        for failure, guidance in zip(failed, said, strict=True):
            shown = guidance.parts(parts) if isinstance(guidance, Guidance) else {}
            if not shown:
                self.counts["teacher_failed"] += 1
                continue
            leaked = self.leak_check is not None and self.leak_check.leaks(
                " ".join(shown.values()), failure[0].reference
            )
            self.counts["leaked"] += leaked
            if not (leaked and self.leak_check is not None and self.leak_check.hints == "refuse"):
                chosen.append((failure, shown))
        self.counts["retried"] += len(chosen)
        return chosen

    def _attempt(
        self,
        policy: Any,
        environment: Callable[[], Any],
        chosen: Sequence[tuple[Failure, dict[str, str]]],
        number: int,
        seed: int,
        options: Mapping[str, Any],
    ) -> list[Trajectory]:
        """One guided attempt for each, as it is to be learned from."""
        hints = [self.how.text(shown) for _, shown in chosen]
        seeds = [failure[1].info.get("environment_seed") for failure, _ in chosen]
        hinted = Hinted(environment, [failure[0] for failure, _ in chosen], hints, self.how, seeds)
        actor = policy if self.actor is None else self.actor
        batch = self._rollout(actor, hinted, hinted.tasks, group_size=1, seed=seed, **options)
        made = []
        for ((task, failure, _), shown), hint, trajectory in zip(chosen, hints, batch, strict=True):
            one = hinted.restore(trajectory, actor, strip=self.strip)
            if failure.info.get("environment_seed") is not None:
                one.info["environment_seed"] = failure.info["environment_seed"]
            info = {**one.info, "guided": True, "hint": hint, "hint_parts": list(shown), "attempt": number}
            info["copied"] = copied_share(hint, one)
            if self.actor is not None and self.actor is not policy:
                info["off_policy"] = True
            if self.leak_check is not None and self.leak_check.leaks(" ".join(shown.values()), task.reference):
                info["leaked"] = True
            made.append(replace(one, group=failure.group or task.id, info=info))
        if self.actor is not None and self.actor is not policy:
            temperature = temperature_of(options.get("sampling"))
            tools = [hinted.openings[index][1] if index in hinted.openings else () for index in range(len(made))]
            made = [
                in_tokens_of(policy, one, tools=shown, temperature=temperature)
                for one, shown in zip(made, tools, strict=True)
            ]
        return made

    def _accepted(self, policy: Any, batch: list[Trajectory], solved: Any, temperature: float) -> Any:
        """bool[trajectory]: which guided attempts may be learned from as they are; sets what is known of them."""
        accepted = np.ones(len(batch), dtype=np.bool_)
        if self.leak_check is not None:
            for index in np.flatnonzero(solved).tolist():
                word = self.leak_check.mentioned(batch[index])
                if word is not None:
                    batch[index].info["mentions_hint"] = word
                    self.counts["mentions"] += 1
                    accepted[index] = self.leak_check.mentions != "refuse"
        if self.logprobs == "bare" or self.least_log_ratio is not None:
            for index, column in enumerate(bare_logprobs(policy, batch, temperature=temperature)):
                tokens = batch[index].tokens
                if tokens is None or column is None:
                    continue
                written = tokens.step >= 0
                known = 0.0 if batch[index].info.get("off_policy") else tokens.logprobs  # others' are not known
                ratio = float((column - known)[written].mean()) if written.any() else 0.0
                batch[index].info["log_ratio"] = ratio
                if self.logprobs == "bare":
                    batch[index].tokens = replace(tokens, logprobs=np.where(written, column, 0.0))
                if self.least_log_ratio is not None and ratio < self.least_log_ratio and solved[index]:
                    self.counts["unlikely"] += 1
                    accepted[index] = False
        return accepted

    @property
    def _rollout(self) -> Callable[..., list[Trajectory]]:
        if self.base is None:
            from rewardlab.policies.rollout import rollout

            return rollout
        return self.base


def guidance_metrics(
    trajectories: Sequence[Trajectory], scores: Scores, *, success_at: float = 1.0
) -> dict[str, float]:
    """What guidance did in a batch of guided and unguided trajectories.

    Returns:
        Success rates `unguided` and `guided`; shares of tasks `solved` unguided and `solved_with_guidance` only; mean
        `copied` and `log_ratio` of guided successes; `empty`, the share of attempts without any action. NaN where there is
        nothing to say.
    """
    won = scores.scored & (scores.values >= success_at)
    guided = np.array([bool(one.info.get("guided")) for one in trajectories], dtype=np.bool_)
    names = np.array([one.task.id if one.task is not None else str(index) for index, one in enumerate(trajectories)])
    first, second = set(names[won & ~guided]), set(names[won & guided])
    count = len(set(names)) or 1
    good = [trajectories[index].info for index in np.flatnonzero(won & guided).tolist()]

    def mean(values: Sequence[float]) -> float:
        return stats.fmean(values) if values else float("nan")

    return {
        "unguided": mean(won[scores.scored & ~guided].astype(float).tolist()),
        "guided": mean(won[scores.scored & guided].astype(float).tolist()),
        "solved": len(first) / count,
        "solved_with_guidance": len(second - first) / count,
        "copied": mean([info["copied"] for info in good if info.get("copied") == info.get("copied")]),
        "log_ratio": mean([info["log_ratio"] for info in good if "log_ratio" in info]),
        "empty": mean(
            [float(len(one) == 0 or (not one.completion.strip() and not one.tool_calls)) for one in trajectories]
        ),
    }


def _group(trajectory: Trajectory) -> str:
    """What the attempts at one task have in common."""
    return trajectory.group or (trajectory.task.id if trajectory.task is not None else "")


def _asked(question: Callable[..., Any], *arguments: Any) -> Any:
    """What a teacher said; None where it raised, which is counted and logged and costs only this hint."""
    answer = attempt(question, *arguments)
    if isinstance(answer, tuple):
        _log.warning("the teacher failed: %s", answer[1])
        return None
    return answer


def temperature_of(sampling: Any) -> float:
    """The temperature that log-probabilities are taken at: that of the sampling, and 1 for greedy attempts."""
    return float(getattr(sampling, "temperature", 1.0)) or 1.0


def in_tokens_of(
    policy: Any, trajectory: Trajectory, *, tools: Sequence[Mapping[str, Any]] = (), temperature: float = 1.0
) -> Trajectory:
    """Another's attempt in a policy's own tokens, with the policy's own log-probabilities, so that it can be learned from.

    What probability it had where it was made is not known, so ratios are taken to the policy as it is now.

    Args:
        policy: whose tokens.
        trajectory: somebody else's.
        tools: that the prompt shows; the task's own when there are none.
        temperature: at which the policy samples.
    """
    shown = tools or (trajectory.task.tools if trajectory.task is not None else ())
    tokens = policy.encode_demonstration(trajectory, shown)
    column = bare_logprobs(policy, [replace(trajectory, tokens=tokens)], temperature=temperature)[0]
    if column is not None:
        tokens = replace(tokens, logprobs=np.where(tokens.step >= 0, column, 0.0))
    return replace(trajectory, tokens=tokens, info={**trajectory.info, "off_policy": True})
