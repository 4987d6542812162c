"""What a reflection was worth: the return of the attempt after it less that of the attempt before it."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rewardlab.rewards.return_difference import ReturnDifference
from rewardlab.training.retrospection.attempts import failure_name, reflection_prompt
from rewardlab.types import Message, Task, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """One reflection with what it was worth.

    Args:
        failure: names the failed attempt; reflections on the same one have the same name.
        prompt: what the writer read.
        reflection: what it wrote.
        value: the return afterwards less that before.
        attempt: which attempt failed, 0 for the first.
    """

    failure: str
    prompt: list[Message]
    reflection: str
    value: float
    attempt: int = 0

    def task(self) -> Task:
        """The writer's task."""
        return Task(id=self.failure, prompt=self.prompt)

    def trajectory(self) -> Trajectory:
        """The reflection as something to imitate or to score; only the reflection is the policy's own."""
        answer = {"role": "assistant", "content": self.reflection}
        return Trajectory(
            observations=[self.prompt, []], actions=[answer], task=self.task(), group=self.failure, terminated=True
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """Rated reflections, and what could not be rated.

    Args:
        rows: the ratings.
        left_out: reason -> how many attempts.
    """

    rows: list[Rating]
    left_out: dict[str, int] = field(default_factory=dict)

    def report(self) -> dict[int, dict[str, float]]:
        """Attempt -> how many ratings, their mean, and the shares above, at and below 0."""
        found = {}
        for attempt in sorted({row.attempt for row in self.rows}):
            values = np.array([row.value for row in self.rows if row.attempt == attempt])
            found[attempt] = {
                "ratings": float(values.size),
                "mean": float(values.mean()),
                "positive": float((values > 0).mean()),
                "zero": float((values == 0).mean()),
                "negative": float((values < 0).mean()),
            }
        return found


def ratings_of(
    attempts: Sequence[Trajectory],
    *,
    difference: ReturnDifference | None = None,
    most: int | None = None,
    length: Callable[[str], int] = len,
) -> Ratings:
    """Ratings of the reflections in linked attempts (those of `Retrospective.run`, say).

    Args:
        attempts: with `group` and `info` as `Retrospective` sets them.
        difference: how a rating is computed.
        most, length: of `reflection_prompt`.

    Raises:
        ValueError: two attempts of a task have the same number.
    """
    scores = (difference or ReturnDifference())(attempts)
    rows: list[Rating] = []
    left_out: Counter[str] = Counter()
    for index, one in enumerate(attempts):
        if not scores.scored[index]:
            left_out[str(scores.note(index))] += 1
            continue
        text = one.info.get("reflection")
        if not text:
            left_out["there was no reflection"] += 1
            continue
        rows.append(
            Rating(
                failure=failure_name(one, str(index)),
                prompt=reflection_prompt(one, one.info["return"], most=most, length=length),
                reflection=text,
                value=float(scores.values[index]),
                attempt=int(one.info["attempt"]),
            )
        )
    return Ratings(rows=rows, left_out=dict(left_out))


def ratings_from_logs(rows: Sequence[Mapping[str, Any]], *, with_reflection: bool = True) -> Ratings:
    """Ratings out of stored logs of several trials, as Reflexion's runs on HotpotQA keep them.

    The return of a trial is the F1 of its answer (the argument of the last `Finish`, else nothing) against the gold
    one. Trials are linked by run and question; the reflection is what was shown before the later one.

    Args:
        rows: `{"run", "trial", "question", "reflections", "steps": [{"thought", "action", "observation"}], "gold"}`.
        with_reflection: rate linked trials with a reflection before the later one; False: those without, which says
            how much returns change by themselves.
    """
    by_task: dict[tuple[str, str], dict[int, Mapping[str, Any]]] = {}
    left_out: Counter[str] = Counter()
    for row in rows:
        trials = by_task.setdefault((str(row["run"]), str(row["question"])), {})
        if int(row["trial"]) in trials:
            raise ValueError(f"trial {row['trial']} of {row['question']!r:.80} in {row['run']!r} is there twice")
        trials[int(row["trial"])] = row
    found: list[Rating] = []
    for (run, question), trials in by_task.items():
        for number, row in sorted(trials.items()):
            later = trials.get(number + 1)
            if later is None:
                left_out["no later trial"] += 1
                continue
            if bool(later.get("reflections")) != with_reflection:
                left_out["without a reflection" if with_reflection else "with a reflection"] += 1
                continue
            attempt = _logged(row)
            before, after = _logged_return(row), _logged_return(later)
            found.append(
                Rating(
                    failure=f"{run}/{question}/{number}",
                    prompt=reflection_prompt(attempt, before),
                    reflection=str(later.get("reflections") or ""),
                    value=after - before,
                    attempt=number - 1,
                )
            )
    return Ratings(rows=found, left_out=dict(left_out))


def answer_f1(answer: str, gold: str) -> float:
    """F1 of the words of two answers in small letters, without punctuation and articles (the measure of SQuAD)."""
    given, wanted = _words(answer), _words(gold)
    if not given or not wanted:
        return float(given == wanted)
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted))


def _words(text: str) -> list[str]:
    plain = "".join(letter for letter in text.casefold() if letter not in string.punctuation)
    return [word for word in plain.split() if word not in ("a", "an", "the")]


def _logged(row: Mapping[str, Any]) -> Trajectory:
    messages: list[Message] = [{"role": "user", "content": str(row["question"])}]
    for step in row["steps"]:
        said = "\n".join(filter(None, [step.get("thought"), step.get("action")]))
        messages.append({"role": "assistant", "content": said})
        if step.get("observation"):
            messages.append({"role": "user", "content": step["observation"]})
    return Trajectory.from_messages(messages)


def _logged_return(row: Mapping[str, Any]) -> float:
    finished = [
        found[1]
        for step in row["steps"]
        if (found := re.match(r"\s*Finish\[(.*)\]\s*$", str(step.get("action") or ""), re.DOTALL))
    ]
    return answer_f1(finished[-1] if finished else "", str(row["gold"]))
