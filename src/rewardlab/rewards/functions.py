"""Plain functions as rewards: `@rewardlab.reward` gives a function just the arguments that it names.

A function may look at one sample, at a whole group, at a whole batch, or at the transitions of a control task at once; it
may be a coroutine. What it returns is a number, None (it abstains), a `Verdict`, or for a group or batch a list of those.
"""

from __future__ import annotations

import asyncio
import difflib
import functools
import inspect
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, overload

import numpy as np

from rewardlab.rewards.base import EMPTY_TRAJECTORY, Reward, attempt, scores_from_verdicts
from rewardlab.types import Scores, Status, Task, Trajectory, group_indices

Per = Literal["sample", "group", "batch", "transition"]


def _task(trajectory: Trajectory) -> Task:
    if trajectory.task is None:
        raise ValueError("the trajectory has no task")
    return trajectory.task


SAMPLE_ARGUMENTS: dict[str, Callable[[Trajectory], Any]] = {
    "trajectory": lambda trajectory: trajectory,
    "task": _task,
    "prompt": lambda trajectory: _task(trajectory).prompt,
    "reference": lambda trajectory: trajectory.reference,
    "metadata": lambda trajectory: _task(trajectory).metadata,
    "messages": lambda trajectory: trajectory.messages,
    "completion": lambda trajectory: trajectory.completion,
    "tool_calls": lambda trajectory: trajectory.tool_calls,
    "action": lambda trajectory: trajectory.actions[-1],
    "actions": lambda trajectory: trajectory.actions,
    "observations": lambda trajectory: trajectory.observations,
    "rewards": lambda trajectory: trajectory.rewards,
    "terminated": lambda trajectory: trajectory.terminated,
    "truncated": lambda trajectory: trajectory.truncated,
    "tokens": lambda trajectory: trajectory.tokens,
    "seconds": lambda trajectory: trajectory.seconds,
    "info": lambda trajectory: trajectory.info,
}
"""What a function of one sample may ask for, by name."""

TRANSITION_ARGUMENTS = ("observation", "action", "next_observation", "terminated", "info")
SHARED_ARGUMENTS = ("group", "progress", "trajectories")


@dataclass(frozen=True, kw_only=True)
class FunctionReward(Reward):
    """A plain function as a reward; made by `@rewardlab.reward`.

    Args:
        function: the function; its parameters name what it gets.
        per: what one call sees: a sample, a group, a batch, or all transitions.
        options: values for parameters of the function that are not injected.
        repeatable: whether the same input always gives the same score.
        live: whether it looks at a live environment.
        timeout: seconds that one call of a coroutine may take; then its sample is failed. None: no limit.
        concurrency: how many calls of a coroutine run at once.
    """

    function: Callable[..., Any]
    per: Per = "sample"
    options: dict[str, Any] = field(default_factory=dict)
    repeatable: bool = True
    live: bool = False
    timeout: float | None = None
    concurrency: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        parameters = inspect.signature(self.function).parameters
        for name, parameter in parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TypeError(f"{self.label}: *{name} says nothing about what the reward needs; name its arguments")
            if name not in self._injected() and name not in self.options and parameter.default is parameter.empty:
                known = sorted(self._injected())
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise TypeError(
                    f"{self.label} asks for {name!r}, which a reward per {self.per} does not get{hint} It can ask for "
                    f"{', '.join(known)}; any other parameter needs a default, which makes it an option"
                )
        for name in self.options:
            if name not in parameters or name in self._injected():
                choices = [entry for entry in parameters if entry not in self._injected()]
                close = difflib.get_close_matches(name, choices, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else f"; its options are {', '.join(choices) or 'none'}"
                raise TypeError(f"{self.label} has no option {name!r}{hint}")
        if self.timeout is not None and not self.is_async:
            raise ValueError(
                f"{self.label}: a time limit needs `async def`; a plain function cannot be stopped from outside "
                "(run it in rewardlab.sandbox, which kills)"
            )

    def _injected(self) -> set[str]:
        if self.per == "sample":
            return {*SAMPLE_ARGUMENTS, "group", "progress"}
        if self.per == "transition":
            return {*TRANSITION_ARGUMENTS, "progress"}
        return {"group", "progress"} if self.per == "group" else {"trajectories", "progress"}

    @property
    def label(self) -> str:  # noqa: D102 - documented on Reward
        return self.name or self.function.__name__

    @property
    def deterministic(self) -> bool:  # noqa: D102
        return self.repeatable

    @property
    def needs_environment(self) -> bool:  # noqa: D102
        return self.live

    @property
    def group_wise(self) -> bool:  # noqa: D102
        return self.per in ("group", "batch") or "group" in self._arguments()

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return inspect.iscoroutinefunction(self.function)

    @property
    def overlaps(self) -> bool:  # noqa: D102
        return self.is_async

    def with_options(self, **options: Any) -> FunctionReward:
        """The same reward with some of its function's own parameters set."""
        return replace(self, options={**self.options, **options})

    def _arguments(self) -> list[str]:
        return list(self._argument_names)

    @functools.cached_property
    def _argument_names(self) -> tuple[str, ...]:  # read once: on-line, a signature costs more than most rewards
        injected = self._injected()
        return tuple(name for name in inspect.signature(self.function).parameters if name in injected)

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        if self.per == "transition":
            from rewardlab.rewards.transitions import score_transitions

            def vectorised(**columns: Any) -> Any:
                extra = {"progress": progress} if "progress" in names else {}
                wanted = {name: columns[name] for name in names if name in columns}
                return self.function(**wanted, **extra, **self.options)

            names = self._arguments()
            return score_transitions(vectorised, trajectories, label=self.label, reads_info="info" in names)
        if self.per == "batch":
            outcome = self._run([{"trajectories": trajectories}], progress)[0]
            return self._spread(outcome, len(trajectories), strict=True)
        if self.per == "group":
            groups = group_indices(trajectories)
            calls = [{"group": [trajectories[index] for index in indices]} for indices in groups]
            outcomes = self._run(calls, progress)
            pieces = [
                (indices, self._spread(outcome, len(indices), strict=False))
                for indices, outcome in zip(groups, outcomes, strict=True)
            ]
            return Scores.scatter(pieces, len(trajectories))
        return self._per_sample(trajectories, progress)

    def _per_sample(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        names = self._arguments()
        getters = [(name, SAMPLE_ARGUMENTS[name]) for name in names if name in SAMPLE_ARGUMENTS]
        shared: dict[str, Any] = dict(self.options)
        if "progress" in names:
            shared["progress"] = progress
        groups: list[Any] = []
        if "group" in names:
            groups = [None] * len(trajectories)
            for indices in group_indices(trajectories):
                members = [trajectories[index] for index in indices]
                for index in indices:
                    groups[index] = members
        function = self.function
        if self.is_async:
            calls = []
            for index, trajectory in enumerate(trajectories):
                extra = {"group": groups[index]} if groups else {}
                calls.append((trajectory, extra))

            async def one(trajectory: Trajectory, extra: dict[str, Any]) -> Any:
                return await function(**{name: get(trajectory) for name, get in getters}, **extra, **shared)

            outcomes = _gather(
                [
                    (lambda entry=entry: one(*entry)) if len(entry[0].actions) else _empty  # type: ignore[misc]
                    for entry in calls
                ],
                self.timeout,
                self.concurrency,
            )
            return scores_from_verdicts(outcomes)
        outcomes = []
        append = outcomes.append
        for index, trajectory in enumerate(trajectories):
            if not len(trajectory.actions):
                append(EMPTY_TRAJECTORY)
                continue
            try:
                arguments = {name: get(trajectory) for name, get in getters}
                if groups:
                    arguments["group"] = groups[index]
                append(function(**arguments, **shared))
            except Exception as error:  # noqa: BLE001 - raised again inside `attempt`, which keeps the reason
                append(attempt(_raise, error))
        return _columns(outcomes)

    def _run(self, calls: Sequence[dict[str, Any]], progress: float | None) -> list[Any]:
        names = self._arguments()
        extra: dict[str, Any] = {"progress": progress} if "progress" in names else {}
        kept = [{key: value for key, value in call.items() if key in names} for call in calls]
        if self.is_async:
            return _gather(
                [(lambda call=call: self.function(**call, **extra, **self.options)) for call in kept],  # type: ignore[misc]
                self.timeout,
                self.concurrency,
            )
        return [attempt(lambda call=call: self.function(**call, **extra, **self.options)) for call in kept]

    def _spread(self, outcome: Any, count: int, *, strict: bool) -> Scores:
        """Turn what a group or batch function returned into scores of its members."""
        if _is_failure(outcome):
            return Scores.blank(count, outcome[0], outcome[1])
        if isinstance(outcome, Scores):
            entries: Any = outcome
        elif hasattr(outcome, "__len__") and not isinstance(outcome, (str, bytes, dict)):
            entries = outcome
        else:
            return Scores.blank(
                count,
                Status.FAILED,
                f"{self.label} returned {outcome!r:.80}, expected {count} values, one per trajectory",
            )
        if len(entries) != count:
            message = (
                f"{self.label} returned {len(entries)} values for {count} trajectories; return one per trajectory, "
                "None for those that it has nothing to say about"
            )
            if strict:
                raise ValueError(message)
            return Scores.blank(count, Status.FAILED, message)
        if isinstance(entries, Scores):
            return entries
        if hasattr(entries, "detach"):  # a torch tensor, on whatever device
            entries = entries.detach().cpu().numpy()
        if isinstance(entries, np.ndarray) and entries.dtype.kind in "fiub" and entries.ndim == 1:
            return Scores(values=entries.astype(np.float64))
        return _columns(list(entries))


def _is_failure(outcome: Any) -> bool:
    return isinstance(outcome, tuple) and len(outcome) == 2 and isinstance(outcome[0], Status)


_PLAIN = {float, int, bool, np.float64, np.float32, np.bool_}


def _columns(outcomes: list[Any]) -> Scores:
    """The quick way when every outcome is a finite number, the thorough one otherwise."""
    if set(map(type, outcomes)) <= _PLAIN:
        values = np.array(outcomes, dtype=np.float64)
        if np.isfinite(values).all():
            return Scores(values=values, status=np.zeros(len(values), dtype=np.int8))
    return scores_from_verdicts(outcomes)


async def _empty() -> Any:
    return EMPTY_TRAJECTORY


def _gather(
    calls: Sequence[Callable[[], Coroutine[Any, Any, Any]]], timeout: float | None, concurrency: int
) -> list[Any]:
    """Run coroutines together, from whatever thread this is, whether or not an event loop runs in it already."""

    async def all_of_them() -> list[Any]:
        gate = asyncio.Semaphore(concurrency)

        async def one(call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
            async with gate:
                try:
                    # the clock starts here, when the call starts, and not while it waits for its turn
                    outcome = await asyncio.wait_for(call(), timeout)
                except TimeoutError:
                    return Status.FAILED, f"timed out after {timeout:g} s" if timeout else "timed out"
                except Exception as error:  # noqa: BLE001 - raised again inside `attempt`, which sorts it
                    return attempt(_raise, error)
                return outcome

        return list(await asyncio.gather(*(one(call) for call in calls)))

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(all_of_them())
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.extend(asyncio.run(all_of_them()))
        except BaseException as error:  # noqa: BLE001 - carried to the calling thread
            errors.append(error)

    thread = threading.Thread(target=run, name="rewardlab-async-reward")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results


def _raise(error: Exception) -> None:
    raise error


@overload
def reward(function: Callable[..., Any], /) -> FunctionReward: ...
@overload
def reward(
    *,
    name: str | None = None,
    per: Per | None = None,
    deterministic: bool = True,
    needs_environment: bool = False,
    timeout: float | None = None,
    concurrency: int = 64,
) -> Callable[[Callable[..., Any]], FunctionReward]: ...
def reward(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    per: Per | None = None,
    deterministic: bool = True,
    needs_environment: bool = False,
    timeout: float | None = None,
    concurrency: int = 64,
) -> Any:
    """Make a reward of a plain function, which gets just the arguments that it names.

    A function of one sample may name `completion`, `reference`, `messages`, `tool_calls`, `action`, `trajectory`, `task`,
    `prompt`, `metadata`, `info`, `tokens`, `group`, `progress` and the other columns of a trajectory. Naming `trajectories`
    makes it a function of the whole batch; naming `group` and nothing of a single sample, one of a group. Parameters with
    defaults that are none of these are options, which a spec (or `with_options`) can set.

    Args:
        name: what it is called among the parts; the function's own name by default.
        per: "sample", "group", "batch" or "transition" (vectorised over `observation`, `action`, `next_observation`,
            `terminated` and `info`, what the simulator said beside them); found from the arguments when not given.
        deterministic: False where the same input may get another score.
        needs_environment: True where it looks at a live environment, so that stored trajectories cannot be scored again.
        timeout: seconds for one call of an `async def`.
        concurrency: how many calls of an `async def` run at once.

    Raises:
        TypeError: the function asks for something that a reward does not get.
    """

    def make(target: Callable[..., Any]) -> FunctionReward:
        return FunctionReward(
            function=target,
            name=name,
            per=per or _infer(target),
            repeatable=deterministic,
            live=needs_environment,
            timeout=timeout,
            concurrency=concurrency,
        )

    return make(function) if function is not None else make


def _infer(function: Callable[..., Any]) -> Per:
    names = set(inspect.signature(function).parameters)
    if "trajectories" in names:
        return "batch"
    if {"observation", "next_observation"} & names:
        return "transition"
    if "group" in names and not names & set(SAMPLE_ARGUMENTS):
        return "group"
    return "sample"
