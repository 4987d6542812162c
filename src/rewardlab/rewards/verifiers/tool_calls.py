"""Tool calls checked against the true ones, with partial credit for names, parameter names and parameter values.

The grading is ToolRL's (arXiv 2504.13958). The defaults are for general use: scores in [0, 1], optimal matching, and a task
without a call is scored. `ToolCallMatch.toolrl()` has the paper's settings and its range of -3 to 3.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from rewardlab.parsing.tool_calls import Call, ReadCalls, Syntax, as_call, read_calls
from rewardlab.registry import UnknownName
from rewardlab.rewards.base import (
    EMPTY_TRAJECTORY,
    Abstention,
    ScoringFailure,
    Verdict,
    Verifier,
    attempt,
    scores_from_verdicts,
)
from rewardlab.rewards.spec import register
from rewardlab.rewards.verifiers.tool_matching import Rules, match_calls
from rewardlab.rewards.verifiers.tool_references import ReferenceFormat, TrueCall, read_reference
from rewardlab.rewards.verifiers.tool_values import COMPARISONS
from rewardlab.types import Message, Scores, Trajectory, message_text

_PRESETS: dict[str, tuple[Literal["jaccard", "exact"], Literal["jaccard", "exact"], Literal["count", "all"]]] = {
    "original": ("jaccard", "jaccard", "count"),
    "strict": ("exact", "exact", "count"),
    "call": ("jaccard", "jaccard", "all"),
    "coarse": ("jaccard", "jaccard", "count"),
}


@register("tool_call_match")
@dataclass(frozen=True, kw_only=True)
class ToolCallMatch(Verifier):
    """Tool calls compared with the reference: which tools, which parameters, which values.

    The score is `low + (high - low) * S / S_max` over `scale=(low, high)`. S is the agreement of the tool names (multiset
    Jaccard), plus for every true call, beside the predicted call of the same name that it is matched with, the Jaccard of
    the parameter names and the number of right values; S_max is what the reference itself would get. Order of calls and of
    parameters does not matter. Surplus calls and parameters cost through the Jaccard terms.

    Text whose calls cannot be read, and no call where one is due, score `low` (the note says which); a reference that cannot
    be read is a failure. Parts: `name`, `parameter`, `value` in [0, 1], `exact` (0 or 1), `surplus` (a count of calls).

    Args:
        granularity: `original` as above; `strict`: names agree or not, and so do parameter names of a call, without degrees;
            `call`: each call counts 1 or 0 as a whole; `coarse`: `high` if everything is right, else `low`.
        names: `jaccard` or `exact` (all or nothing); from `granularity` when not given.
        parameters: the same for the parameter names of a call.
        values: `count` right values, or `all`: a call counts 1 or 0 as a whole.
        matching: `optimal` (exact assignment, Hungarian method) or `greedy` (true calls in order, each takes the best left).
        ordered: whether calls and parameters must also stand in the order of the reference; only with `coarse`, `strict`,
            or an `exact` option, since the graded terms are free of order.
        scale: the lowest and the highest score.
        compare: when two values are equal: `json`, `python`, `loose` or `bfcl` (the table at the top of
            `rewardlab.rewards.verifiers.tool_values`), `module:function`, or a function of the given and the true value.
        no_call: what a task whose reference holds no call gives: `score` (`high` for no call, else `low`), `neutral` (the
            middle of the scale whatever was called, the paper's rule) or `abstain`.
        reference_format: `calls`, `bfcl` (possible answers) or `auto`; see
            `rewardlab.rewards.verifiers.tool_references.read_reference`.
        reference_key: key under which the reference stands, in `task.reference` where that is a mapping with the key, else
            in `task.metadata`; all of `task.reference` when not given.
        source: where the predicted calls stand: `message` (OpenAI `tool_calls`), `text`, or `auto`: the message's calls
            where it has any, else its text.
        syntax: how calls are written in text; see `rewardlab.parsing`.
        scope: `last` assistant message, or all calls of the `trajectory`.
    """

    granularity: Literal["original", "strict", "call", "coarse"] = "original"
    names: Literal["jaccard", "exact"] | None = None
    parameters: Literal["jaccard", "exact"] | None = None
    values: Literal["count", "all"] | None = None
    matching: Literal["optimal", "greedy"] = "optimal"
    ordered: bool = False
    scale: tuple[float, float] = (0.0, 1.0)
    compare: Any = "json"
    no_call: Literal["score", "neutral", "abstain"] = "score"
    reference_format: ReferenceFormat = "auto"
    reference_key: str | None = None
    source: Literal["auto", "message", "text"] = "auto"
    syntax: Syntax = "auto"
    scope: Literal["last", "trajectory"] = "last"

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_scale(self.scale, "ToolCallMatch")
        if self.syntax == "none" and self.source != "message":
            raise ValueError(
                "ToolCallMatch: option 'syntax' is 'none', which reads no calls out of text; name a syntax, or 'auto'"
            )
        if self.granularity == "coarse" and (self.names or self.parameters or self.values):
            raise ValueError(
                "ToolCallMatch: granularity 'coarse' is all or nothing, so names, parameters and values mean nothing; "
                "leave them out, or choose another granularity"
            )
        if isinstance(self.compare, str) and ":" in self.compare:
            object.__setattr__(self, "compare", self._resolve(self.compare))
        if not isinstance(self.compare, str) and not callable(self.compare):
            raise ValueError(f"ToolCallMatch: option 'compare' must be a name or a function, got {self.compare!r:.80}")
        rules = self._rules
        if self.ordered and self.granularity != "coarse" and "exact" not in (rules.names, rules.parameters):
            raise ValueError(
                "ToolCallMatch: option 'ordered' needs granularity 'coarse' or 'strict', or names='exact'; "
                "graded agreement does not look at the order"
            )

    @classmethod
    def toolrl(cls, **options: Any) -> ToolCallMatch:
        """The paper's settings: range -3 to 3, greedy matching, Python equality, neutral where no call is due.

        The `strict` and `coarse` granularities of its repository also look at the order of calls and parameter names.
        """
        ordered = options.get("granularity") in ("strict", "coarse")
        paper: dict[str, Any] = {"scale": (-3.0, 3.0), "matching": "greedy", "compare": "python", "no_call": "neutral"}
        return cls(**{**paper, "ordered": ordered, "syntax": "toolrl", **options})

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Check the calls of one trajectory."""
        return self._check(trajectory, {}, {})

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        # members of a group share their task, and often their text: each is read once in a batch
        references: dict[int, tuple[TrueCall, ...]] = {}
        texts: dict[tuple[str, int], ReadCalls] = {}
        check = functools.partial(self._check, references=references, texts=texts)
        return scores_from_verdicts([attempt(check, trajectory) for trajectory in trajectories])

    def _check(
        self,
        trajectory: Trajectory,
        references: dict[int, tuple[TrueCall, ...]],
        texts: dict[tuple[str, int], ReadCalls],
    ) -> Verdict:
        if not len(trajectory.actions):
            raise ScoringFailure(EMPTY_TRAJECTORY[1])
        if not trajectory.is_chat:
            raise ScoringFailure("the trajectory holds arrays; tool calls need a chat trajectory")
        task = trajectory.task
        true = references.get(id(task))
        if true is None:
            tools = task.tools if task is not None else ()
            true = references[id(task)] = read_reference(self._reference(trajectory), self.reference_format, tools)
        messages = trajectory.actions if self.scope == "trajectory" else trajectory.actions[-1:]
        given: list[Call] = []
        error: str | None = None
        for message in messages:
            calls, unreadable = self._calls(message, trajectory, texts)
            given.extend(calls)
            error = error or unreadable
        return self._verdict(true, given, error)

    def _verdict(self, true: tuple[TrueCall, ...], given: list[Call], error: str | None) -> Verdict:
        low, high = self.scale
        if not true:
            if self.no_call == "abstain":
                raise Abstention("the reference holds no call")
            right = not given and error is None
            value = (low + high) / 2 if self.no_call == "neutral" else (high if right else low)
            note = None if right else error or f"{len(given)} calls where none is due"
            return Verdict(value, note, {"exact": float(right), "surplus": float(len(given))})
        if error is not None or not given:
            blank: dict[str, float | None] = dict.fromkeys(("name", "parameter", "value", "exact", "surplus"), 0.0)
            return Verdict(low, f"unreadable calls: {error}" if error is not None else "no tool call", blank)
        match = match_calls(true, given, self._rules)
        share = float(match.exact) if self.granularity == "coarse" else match.share
        parts = {
            "name": match.name,
            "parameter": match.parameter,
            "value": match.value,
            "exact": float(match.exact),
            "surplus": float(match.surplus),
        }
        return Verdict(high if share == 1.0 else low + (high - low) * share, None, parts)

    def _calls(
        self, message: Message, trajectory: Trajectory, texts: dict[tuple[str, int], ReadCalls]
    ) -> tuple[list[Call], str | None]:
        """The calls of one assistant message, and what is wrong with them."""
        structured = message.get("tool_calls") or () if self.source != "text" else ()
        calls: list[Call] = []
        for call in structured:
            try:
                calls.append(as_call(call))
            except (ValueError, AttributeError) as error:
                return [], str(error)
        if self.source == "message" or (structured and "tool_call>" not in message_text(message)):
            return calls, None
        tools = trajectory.task.tools if trajectory.task is not None else []
        key = (message_text(message), id(tools) if tools else 0)
        read = texts.get(key)
        if read is None:
            read = texts[key] = read_calls(key[0], self.syntax, tools=tools)
        # beside structured calls the text only matters for the blocks that could not be read and were left in it
        return calls or read.calls, read.errors[0] if read.errors else None

    def _reference(self, trajectory: Trajectory) -> Any:
        if self.reference_key is None:
            return trajectory.reference
        reference = trajectory.reference
        if isinstance(reference, Mapping) and self.reference_key in reference:
            return reference[self.reference_key]
        metadata = trajectory.task.metadata if trajectory.task is not None else {}
        if self.reference_key not in metadata:
            known = ", ".join(metadata) or "(none)"
            raise ScoringFailure(
                f"neither task.reference nor task.metadata has the key {self.reference_key!r}; the metadata has {known}"
            )
        return metadata[self.reference_key]

    @functools.cached_property
    def _rules(self) -> Rules:
        names, parameters, values = _PRESETS[self.granularity]
        return Rules(
            names=self.names or names,
            parameters=self.parameters or parameters,
            values=self.values or values,
            matching=self.matching,
            ordered=self.ordered,
            equal=self._resolve(self.compare) if isinstance(self.compare, str) else self.compare,
        )

    @staticmethod
    def _resolve(name: str) -> Any:
        try:
            return COMPARISONS.resolve(name)
        except UnknownName as error:
            raise ValueError(f"ToolCallMatch: option 'compare': {error}") from None


def check_scale(scale: tuple[float, float], owner: str) -> None:
    """Refuse a scale that does not rise, or that is not finite."""
    low, high = scale
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"{owner}: option 'scale' must be (lowest, highest) with finite lowest < highest, got {scale}")
