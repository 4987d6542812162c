"""Labelling functions: which propositions hold on a transition, for many transitions at once.

Machines and formulas speak of propositions; a labelling says what they mean in one environment. A plain function does, or a
reward for each proposition, the states of a discrete environment, what the environment reports in its info, or, for chats,
the tools that were called and what came back. A labelling reads transitions, so the observation that an episode begins with
is seen only as the first transition's `observation`.
"""

from __future__ import annotations

import functools
import inspect
import re as _re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import regex as re
from numpy.typing import NDArray

from rewardlab.registry import Registry, UnknownName, nearest
from rewardlab.rewards.base import Reward, ScoringFailure
from rewardlab.rewards.functions import FunctionReward
from rewardlab.rewards.spec import from_spec, register
from rewardlab.rewards.transitions import StatefulReward, TransitionReward
from rewardlab.types import Message, Trajectory, call_arguments, message_text

LABELS = Registry(
    "labelling",
    {
        "labels_from_function": "rewardlab.rewards.formal.labels:FunctionLabels",
        "labels_from_rewards": "rewardlab.rewards.formal.labels:RewardLabels",
        "labels_from_states": "rewardlab.rewards.formal.labels:StateLabels",
        "labels_from_info": "rewardlab.rewards.formal.labels:InfoLabels",
        "chat_events": "rewardlab.rewards.formal.labels:ChatEvents",
    },
    group="rewardlab.labels",
)
"""Every labelling that a spec can name."""

_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What says which propositions hold. Subclasses define `valuate`, or `of_chat` for chats."""

    short_name: ClassVar[str] = ""
    chat: ClassVar[bool] = False

    @property
    @abstractmethod
    def propositions(self) -> tuple[str, ...] | None:
        """The propositions that there are, or None where that shows only when the labelling is called."""

    @property
    def reads_info(self) -> bool:
        """Whether it looks at what the environment reports beside the observation."""
        return False

    @abstractmethod
    def valuate(
        self, observation: Any, action: Any, next_observation: Any, terminated: Any, info: Mapping[str, Any] | None
    ) -> dict[str, NDArray[np.bool_]]:
        """Proposition -> bool[N] for N transitions; `info` is name -> array[N], or None."""

    def fingerprint(self) -> dict[str, Any]:
        """What the content hash of a reward covers: the options, with the source of functions and of rewards."""
        return {"type": self.short_name, **{entry.name: getattr(self, entry.name) for entry in fields(self)}}

    def of_chat(self, trajectory: Trajectory) -> dict[str, NDArray[np.bool_]]:
        """Proposition -> bool[T] for the T actions of a chat."""
        raise ScoringFailure(f"{type(self).__name__} labels array transitions, and this trajectory is a chat")

    def select(self, found: Mapping[str, Any], names: Sequence[str], count: int) -> NDArray[np.bool_]:
        """The columns that a machine needs, checked: bool[N, proposition]."""
        result = np.zeros((count, len(names)), dtype=bool)
        for position, name in enumerate(names):
            if name not in found:
                raise ValueError(f"the labelling gives no proposition {name!r}{nearest(name, found)}")
            column = np.asarray(found[name])
            if column.shape != (count,):
                raise ValueError(
                    f"the labelling gives proposition {name!r} the shape {column.shape}, expected ({count},), one value "
                    "for each transition"
                )
            if column.dtype != bool and not np.isin(column, (0, 1)).all():
                wrong = column[~np.isin(column, (0, 1))].tolist()[0]
                raise ValueError(f"proposition {name!r} must be true or false (or 1 or 0), got {wrong!r}")
            result[:, position] = column.astype(bool)
        return result


@register("labels_from_function")
@dataclass(frozen=True, kw_only=True)
class FunctionLabels(Labels):
    """A plain vectorised function as labelling.

    Args:
        function: takes what it names of `observation`, `action`, `next_observation`, `terminated` and `info`, and returns
            proposition -> bool[N], or bool[N, proposition] in the order of `names`.
        names: the propositions, where the function returns an array (or to have them checked early).
    """

    function: Callable[..., Any]
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in inspect.signature(self.function).parameters:
            if name not in _GIVEN:
                raise TypeError(f"the labelling function asks for {name!r}; it can ask for {', '.join(_GIVEN)}")
        if self.names is not None:
            object.__setattr__(self, "names", tuple(self.names))

    @property
    def propositions(self) -> tuple[str, ...] | None:  # noqa: D102 - documented on Labels
        return self.names

    @property
    def reads_info(self) -> bool:  # noqa: D102
        return "info" in inspect.signature(self.function).parameters

    def valuate(  # noqa: D102
        self, observation: Any, action: Any, next_observation: Any, terminated: Any, info: Mapping[str, Any] | None
    ) -> dict[str, NDArray[np.bool_]]:
        given = dict(zip(_GIVEN, (observation, action, next_observation, terminated, info), strict=True))
        found = self.function(**{name: given[name] for name in inspect.signature(self.function).parameters})
        if isinstance(found, Mapping):
            return dict(found)
        array = np.asarray(found)
        if self.names is None or array.ndim != 2 or array.shape[1] != len(self.names):
            wanted = "a dict proposition -> bool[N]" if self.names is None else f"bool[N, {len(self.names)}]"
            raise ValueError(f"the labelling function returned shape {array.shape}, expected {wanted}")
        return dict(zip(self.names, array.T, strict=True))


_GIVEN = ("observation", "action", "next_observation", "terminated", "info")


@register("labels_from_rewards")
@dataclass(frozen=True, kw_only=True)
class RewardLabels(Labels):
    """A proposition holds where a transition reward is above a threshold.

    Args:
        rewards: proposition -> reward of transitions (a `TransitionReward`, or `@rewardlab.reward` on transitions).
        threshold: what must be exceeded.
    """

    rewards: dict[str, Reward]
    threshold: float = 0.5

    def __post_init__(self) -> None:
        built = {name: entry if isinstance(entry, Reward) else from_spec(entry) for name, entry in self.rewards.items()}
        for name, reward in built.items():
            check_transition_reward(reward, where=f"proposition {name!r}")
        object.__setattr__(self, "rewards", built)

    @property
    def propositions(self) -> tuple[str, ...]:  # noqa: D102
        return tuple(self.rewards)

    def valuate(  # noqa: D102
        self, observation: Any, action: Any, next_observation: Any, terminated: Any, info: Mapping[str, Any] | None
    ) -> dict[str, NDArray[np.bool_]]:
        return {
            name: reward_of(reward, observation, action, next_observation, terminated) > self.threshold
            for name, reward in self.rewards.items()
        }


@register("labels_from_states")
@dataclass(frozen=True, kw_only=True)
class StateLabels(Labels):
    """Propositions of a discrete environment: the states that, once entered, make them true.

    Args:
        states: proposition -> numbers of the states in which it holds.
    """

    states: dict[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "states", {name: tuple(map(int, entry)) for name, entry in self.states.items()})
        for name, chosen in self.states.items():
            if any(state < 0 for state in chosen):
                raise ValueError(f"proposition {name!r} names state {min(chosen)}; states are numbered from 0")

    @property
    def propositions(self) -> tuple[str, ...]:  # noqa: D102
        return tuple(self.states)

    def valuate(  # noqa: D102
        self, observation: Any, action: Any, next_observation: Any, terminated: Any, info: Mapping[str, Any] | None
    ) -> dict[str, NDArray[np.bool_]]:
        entered = np.asarray(next_observation)
        if entered.ndim == 2 and entered.shape[1] == 1:
            entered = entered[:, 0]
        if entered.ndim != 1 or entered.dtype.kind not in "iu":
            raise ValueError(
                f"labels by state need the number of a state as observation, got {entered.dtype}{list(entered.shape)}; "
                "give a labelling function for other observations"
            )
        last = len(next(iter(self._tables.values()), [False])) - 1
        row = np.where((entered < 0) | (entered > last), last, entered)
        return {name: table[row] for name, table in self._tables.items()}

    @functools.cached_property
    def _tables(self) -> dict[str, NDArray[np.bool_]]:
        """For each proposition, whether it holds in each state; the last entry, false, stands for all other states."""
        size = max((state for chosen in self.states.values() for state in chosen), default=-1) + 1
        tables = {name: np.zeros(size + 1, dtype=bool) for name in self.states}
        for name, chosen in self.states.items():
            tables[name][list(chosen)] = True
        return tables


@register("labels_from_info")
@dataclass(frozen=True, kw_only=True)
class InfoLabels(Labels):
    """Propositions that the environment itself reports in its info, each under its own name.

    Args:
        names: the propositions; each is a boolean entry of the info. One that the info lacks at a step does not hold.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))

    @property
    def propositions(self) -> tuple[str, ...]:  # noqa: D102
        return self.names

    @property
    def reads_info(self) -> bool:  # noqa: D102
        return True

    def valuate(  # noqa: D102
        self, observation: Any, action: Any, next_observation: Any, terminated: Any, info: Mapping[str, Any] | None
    ) -> dict[str, NDArray[np.bool_]]:
        if info is None:
            raise ValueError(
                "labels from the info need one, and these transitions come without; use a function instead"
            )
        count = len(np.asarray(terminated))
        return {name: np.asarray(info.get(name, np.zeros(count)), dtype=bool) for name in self.names}


@register("chat_events")
@dataclass(frozen=True, kw_only=True)
class ChatEvents(Labels):
    """Propositions of a chat: what an action and the messages that answered it show.

    Args:
        events: proposition -> the name of a tool (it was called), or a mapping in which all that is given must hold:
            `tool` (name of a tool that was called), `arguments` (values that the call had), `result` (a regular expression
            found in a tool message that answered, the answer of that call where ids tell), `says` (one found in the text
            of the action itself).
    """

    chat: ClassVar[bool] = True
    events: dict[str, Any]

    def __post_init__(self) -> None:
        read = {}
        for name, entry in self.events.items():
            event = {"tool": entry} if isinstance(entry, str) else dict(entry)
            for key, value in event.items():
                if key not in ("tool", "arguments", "result", "says"):
                    raise ValueError(f"event {name!r} has no key {key!r}; its keys are tool, arguments, result, says")
                if key in ("result", "says"):
                    try:
                        re.compile(value)
                    except (re.error, TypeError, _re.error) as error:
                        raise ValueError(f"event {name!r}: the pattern {value!r} cannot be read: {error}") from error
            if not event:
                raise ValueError(f"event {name!r} says nothing; give it tool, arguments, result or says")
            read[name] = event
        object.__setattr__(self, "events", read)

    @property
    def propositions(self) -> tuple[str, ...]:  # noqa: D102
        return tuple(self.events)

    def valuate(  # noqa: D102
        self, observation: Any, action: Any, next_observation: Any, terminated: Any, info: Mapping[str, Any] | None
    ) -> dict[str, NDArray[np.bool_]]:
        raise ValueError("chat events label chats, and these are array transitions; give a labelling function instead")

    def of_chat(self, trajectory: Trajectory) -> dict[str, NDArray[np.bool_]]:  # noqa: D102
        steps = list(zip(trajectory.actions, trajectory.observations[1:], strict=True))
        return {
            name: np.array([_happened(event, action, arrived) for action, arrived in steps], dtype=bool)
            for name, event in self.events.items()
        }


def _happened(event: Mapping[str, Any], action: Message, arrived: Sequence[Message]) -> bool:
    if "says" in event and not _found(event["says"], message_text(action)):
        return False
    answers = [message for message in arrived if message["role"] == "tool"]
    if "tool" not in event and "arguments" not in event:
        return "result" not in event or any(_found(event["result"], message_text(entry)) for entry in answers)
    for call in action.get("tool_calls") or ():
        try:
            tool, arguments = call_arguments(call)
        except ValueError:
            continue  # a call that cannot be read is no call of this kind
        if event.get("tool", tool) != tool:
            continue
        wanted = event.get("arguments", {})
        if any(not isinstance(arguments, Mapping) or arguments.get(key) != wanted[key] for key in wanted):
            continue
        own = [entry for entry in answers if entry.get("tool_call_id") in (None, call.get("id"))]
        if "result" not in event or any(_found(event["result"], message_text(entry)) for entry in own):
            return True
    return False


def _found(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text, timeout=_SECONDS) is not None
    except TimeoutError as error:
        raise ScoringFailure(f"the pattern {pattern!r} took too long on a message") from error


def check_transition_reward(reward: Reward, *, where: str) -> None:
    """Refuse rewards that cannot score single transitions without a memory."""
    per_transition = isinstance(reward, FunctionReward) and reward.per == "transition"
    if not (per_transition or isinstance(reward, TransitionReward)) or isinstance(reward, StatefulReward):
        raise TypeError(
            f"{where}: {reward.label} must be a reward of single transitions without a memory (a TransitionReward, or "
            "@rewardlab.reward on a function of observation, action, next_observation, terminated)"
        )


def reward_of(
    reward: Reward, observation: Any, action: Any, next_observation: Any, terminated: Any
) -> NDArray[np.float64]:
    """What a reward of single transitions gives to N of them: float64[N]."""
    given = dict(zip(_GIVEN, (observation, action, next_observation, terminated), strict=False))
    if isinstance(reward, TransitionReward):
        values = reward.transition(**given)
    else:
        assert isinstance(reward, FunctionReward)  # `check_transition_reward` lets nothing else through
        names = [name for name in inspect.signature(reward.function).parameters if name in given]
        values = reward.function(**{name: given[name] for name in names}, **reward.options)
    result = np.asarray(values, dtype=np.float64)
    if result.shape != (len(np.asarray(terminated)),):
        raise ValueError(f"{reward.label} returned shape {result.shape}, expected one value for each transition")
    return result


def as_labels(value: Any) -> Labels | None:
    """A labelling from whatever names one.

    Args:
        value: a `Labels`, a function, proposition -> reward, proposition -> state numbers, or a spec.

    Raises:
        TypeError: it is none of these.
    """
    if value is None or isinstance(value, Labels):
        return value
    if isinstance(value, str):
        value = {"type": value}
    if isinstance(value, Mapping) and "type" in value:
        try:
            target = LABELS.resolve(value["type"])
        except UnknownName as error:
            raise ValueError(f"option 'labels': {error}") from error
        options = {key: entry for key, entry in value.items() if key != "type"}
        if not (isinstance(target, type) and issubclass(target, Labels)):
            return FunctionLabels(function=target, **options)
        known = [entry.name for entry in fields(target)]
        for key in options:
            if key not in known:
                raise ValueError(f"option 'labels': {value['type']!r} has no option {key!r}{nearest(key, known)}")
        if isinstance(options.get("function"), str):
            options["function"] = LABELS.resolve(options["function"])
        return target(**options)
    if isinstance(value, Mapping) and value:
        if all(isinstance(entry, (list, tuple, np.ndarray)) for entry in value.values()):
            return StateLabels(states=dict(value))
        return RewardLabels(rewards=dict(value))
    if callable(value) and not isinstance(value, Reward):
        return FunctionLabels(function=value)
    raise TypeError(
        f"option 'labels' must be a function, proposition -> reward, proposition -> states, or a labelling, "
        f"got {value!r:.80}"
    )
