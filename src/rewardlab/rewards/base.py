"""What a reward is: called with trajectories, returns `Scores`; writes itself to a spec and is rebuilt from it.

Rewards are frozen dataclasses: their fields are the options of the spec, and nothing on them changes while they score, so
one reward may be called from many threads. A reward that learns while a loop runs replaces an immutable snapshot in
`observe`, never while scoring.
"""

from __future__ import annotations

import functools
import typing
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewardlab.types import Scores, Status, Trajectory


class ScoringFailure(Exception):
    """Raised by a verifier that could not do its work on one sample: the sample becomes *failed*, never zero."""


class Abstention(Exception):
    """Raised by a reward that has nothing to say about one sample: the sample becomes *abstained*."""


@dataclass(frozen=True, kw_only=True)
class Reward:
    """The scorer. Subclasses are frozen dataclasses that define `_score` (or, for verifiers, `Verifier.verify`).

    Args:
        name: what this reward is called among the parts of a larger one; a short default name when not given.
    """

    name: str | None = field(default=None)

    short_name: ClassVar[str] = ""
    """The `type` of this class in a spec; set by `register`."""
    version: ClassVar[int] = 1
    """Raised when the same options begin to give other scores; part of the content hash."""

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Fields that hold rewards take instances of them, and nothing that merely looks like one."""
        from pydantic_core import core_schema

        return core_schema.is_instance_schema(cls)

    # ---- what subclasses define -------------------------------------------------------------------------------------

    @abstractmethod
    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        """Score a batch; `progress` is the share of training done, in [0, 1], or None outside training."""

    @property
    def deterministic(self) -> bool:
        """Whether the same trajectory always gets the same score; only such rewards may be cached and re-scored."""
        return all(child.deterministic for child in self.children().values())

    @property
    def needs_environment(self) -> bool:
        """Whether scoring looks at a live environment, so that stored trajectories cannot be scored again."""
        return any(child.needs_environment for child in self.children().values())

    @property
    def group_wise(self) -> bool:
        """Whether a sample's score depends on the other members of its group."""
        return any(child.group_wise for child in self.children().values())

    @property
    def overlaps(self) -> bool:
        """Whether scoring waits outside the interpreter (network, child processes), so that siblings may run beside it."""
        return any(child.overlaps for child in self.children().values())

    def children(self) -> dict[str, Reward]:
        """The rewards that this one combines, by name."""
        return {}

    def bind(self, policy: Any) -> None:
        """Get to know the policy that a trainer trains; most rewards only pass this on to their children."""
        for child in self.children().values():
            child.bind(policy)

    def observe(self, trajectories: Sequence[Trajectory], scores: Scores) -> None:
        """Learn from what the loop just scored; most rewards only pass this on to their children."""
        for name, child in self.children().items():
            part = scores.parts.get(name)
            if part is not None:
                child.observe(trajectories, part)

    def state_dict(self) -> dict[str, Any]:
        """What this reward and its children have learned in `observe`, as plain values; empty where nothing is learned."""
        states = {name: child.state_dict() for name, child in self.children().items()}
        return {name: state for name, state in states.items() if state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave.

        Raises:
            ValueError: the state is that of another reward.
        """
        children = self.children()
        for name, child_state in state.items():
            if name not in children:
                raise ValueError(f"{self.label} has no part {name!r}; its parts are {', '.join(children) or 'none'}")
            children[name].load_state_dict(child_state)

    # ---- what users call --------------------------------------------------------------------------------------------

    def __call__(self, trajectories: Sequence[Trajectory] | Trajectory, *, progress: float | None = None) -> Scores:
        """Score trajectories.

        Args:
            trajectories: N of them; members of one group share `Trajectory.group`. A single one is scored as a batch of one.
            progress: share of training done, in [0, 1]; needed by scheduled rewards.

        Returns:
            Scores with N values. A sample that cannot be scored is failed, with the reason in `notes`; nothing is raised
            for it.

        Raises:
            TypeError: something other than trajectories was given.
            ValueError: `progress` is outside [0, 1].
        """
        batch = [trajectories] if isinstance(trajectories, Trajectory) else trajectories
        for index, trajectory in enumerate(batch):
            if not isinstance(trajectory, Trajectory):
                raise TypeError(
                    f"sample {index} is a {type(trajectory).__name__}, expected a Trajectory; "
                    "build one with Trajectory.from_text(prompt, answer) or Trajectory.from_messages(messages)"
                )
        if progress is not None and not 0.0 <= progress <= 1.0:
            raise ValueError(f"progress must be in [0, 1], got {progress}")
        scores = self._score(batch, progress)
        if len(scores) != len(batch):
            raise ValueError(f"{self.label} returned {len(scores)} scores for {len(batch)} trajectories")
        scores.reward_hash = self.spec_hash
        return scores

    @property
    def label(self) -> str:
        """The name by which this reward goes: the one given, or the short name of its class."""
        return self.name or self.short_name or type(self).__name__

    def named(self, name: str) -> typing.Self:
        """The same reward under another name."""
        return replace(self, name=name)

    def to_spec(self) -> dict[str, Any]:
        """This reward as plain values (for YAML), from which `rewardlab.rewards.from_spec` builds an equal one."""
        from rewardlab.rewards.spec import to_spec

        return to_spec(self)

    def to_yaml(self) -> str:
        """The spec as YAML text, in the order in which parts and options stand."""
        import yaml

        return yaml.safe_dump(self.to_spec(), sort_keys=False, allow_unicode=True)

    @functools.cached_property
    def spec_hash(self) -> str | None:
        """Content hash of the spec; None where the reward cannot be written to one (a lambda, a local function)."""
        from rewardlab.rewards.spec import UnwritableReward, spec_hash

        try:
            return spec_hash(self)
        except UnwritableReward:
            return None

    # ---- the algebra; `rewardlab.rewards.algebra` holds the rewards that these build ----------------------------------

    def __add__(self, other: Reward | float) -> Reward:
        return _algebra().add(self, other)

    def __radd__(self, other: float) -> Reward:
        return _algebra().add(self, other)

    def __sub__(self, other: Reward | float) -> Reward:
        return _algebra().add(self, -1.0 * other)

    def __rsub__(self, other: float) -> Reward:
        return _algebra().add(-1.0 * self, other)

    def __neg__(self) -> Reward:
        return -1.0 * self

    def __mul__(self, other: Reward | float) -> Reward:
        return _algebra().multiply(self, other)

    def __rmul__(self, other: float) -> Reward:
        return _algebra().multiply(self, other)

    def __truediv__(self, other: float) -> Reward:
        return _algebra().multiply(self, 1.0 / other)

    def gated_by(self, gate: Reward, *, threshold: float = 1.0, otherwise: float = 0.0) -> Reward:
        """This reward where `gate` reaches the threshold, and `otherwise` where it does not."""
        return _algebra().Gate(reward=self, gate=gate, threshold=threshold, otherwise=otherwise)

    def scheduled(self, schedule: Callable[[float], float] | Any) -> Reward:
        """This reward times a weight that depends on the progress of training (a function of it, or `rl.Linear`)."""
        return _algebra().Scheduled(reward=self, schedule=schedule)

    def clipped(self, low: float | None = None, high: float | None = None) -> Reward:
        """This reward limited to [low, high]."""
        return _algebra().Clip(reward=self, low=low, high=high)

    def normalised(self, by: str = "running", **options: Any) -> Reward:
        """This reward shifted and scaled to zero mean and unit deviation (running, by group, or by batch)."""
        return _algebra().Normalise(reward=self, by=by, **options)

    def cached(self, size: int = 100_000) -> Reward:
        """This reward with its scores remembered; refused where it is not deterministic."""
        return _algebra().Cache(reward=self, size=size)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says about one sample.

    Args:
        value: the score.
        note: why, in a few words, or None.
        parts: partial scores by name; None marks a part that does not apply to this sample.
        confidence: in [0, 1], or None.
        steps: a value for each action, or None.
    """

    value: float
    note: str | None = None
    parts: dict[str, float | None] = field(default_factory=dict)
    confidence: float | None = None
    steps: Sequence[float] | None = None


@dataclass(frozen=True, kw_only=True)
class Verifier(Reward):
    """A reward that checks one trajectory at a time against its reference. Subclasses define `verify`.

    `verify` returns a `Verdict` (or a float), raises `Abstention` where it has nothing to say and `ScoringFailure` where it
    could not do its work. Any other exception is a defect, and is kept as a failure with its type and text.
    """

    @abstractmethod
    def verify(self, trajectory: Trajectory) -> Verdict | float:
        """Check one trajectory."""

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        return scores_from_verdicts(
            [
                attempt(self.verify, trajectory) if len(trajectory.actions) else EMPTY_TRAJECTORY
                for trajectory in trajectories
            ]
        )


Outcome = Verdict | float | None | tuple[Status, str]
"""What `attempt` returns: a verdict, or the status and reason of a sample that has none."""


def attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run one check and turn what it raises into an outcome, so that one sample never takes down a batch.

    Returns:
        What the function returned, or the status and the reason.
    """
    try:
        return function(*arguments)
    except Abstention as reason:
        return Status.ABSTAINED, str(reason)
    except ScoringFailure as reason:
        return Status.FAILED, str(reason)
    except Exception as error:  # noqa: BLE001 - the border to code that is not ours; nothing is hidden, the note keeps it
        return Status.FAILED, f"{type(error).__name__}: {error}"


EMPTY_TRAJECTORY = (Status.FAILED, "the trajectory is empty: it has no actions to score")
"""The outcome of a trajectory without actions."""


def scores_from_verdicts(outcomes: Sequence[Outcome]) -> Scores:
    """Gather the outcomes of single samples into columns; parts are the union of the names that samples have."""
    count = len(outcomes)
    values = np.full(count, np.nan)
    status = np.full(count, Status.SCORED, dtype=np.int8)
    notes: list[str | None] = [None] * count
    confidence: NDArray[np.float64] | None = None
    steps: list[NDArray[np.float64] | None] | None = None
    parts: dict[str, NDArray[np.float64]] = {}
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, tuple):
            status[index], notes[index] = outcome
            continue
        if outcome is None:
            status[index], notes[index] = Status.ABSTAINED, "no value"
            continue
        if isinstance(outcome, Verdict):
            value, notes[index] = outcome.value, outcome.note
            for name, part in outcome.parts.items():
                if name not in parts:
                    parts[name] = np.full(count, np.nan)
                if part is not None:
                    parts[name][index] = part
            if outcome.confidence is not None:
                if confidence is None:
                    confidence = np.full(count, np.nan)
                confidence[index] = outcome.confidence
            if outcome.steps is not None:
                if steps is None:
                    steps = [None] * count
                steps[index] = np.asarray(outcome.steps, dtype=np.float64)
        else:
            value = outcome
        try:
            values[index] = np.nan if isinstance(value, (str, bytes)) else float(value)
        except (TypeError, ValueError):
            values[index] = np.nan
        if np.isnan(values[index]) and not isinstance(value, (float, np.floating)):
            status[index] = Status.FAILED
            notes[index] = f"the reward returned {value!r:.80}, expected a number, or None to abstain"
            continue
        if not np.isfinite(values[index]):
            status[index] = Status.FAILED
            notes[index] = f"the reward returned {values[index]}, which is not a finite number"
    return Scores(
        values=values,
        status=status,
        notes=notes if any(note is not None for note in notes) else None,
        steps=steps,
        confidence=confidence,
        parts={name: _part(column, status) for name, column in parts.items()},
    )


def _part(column: NDArray[np.float64], status: NDArray[np.int8]) -> Scores:
    """A part abstains where it has no value, and fails where the whole sample failed."""
    own = np.where(np.isfinite(column), np.int8(Status.SCORED), np.int8(Status.ABSTAINED))
    own[status == Status.FAILED] = Status.FAILED
    return Scores(values=np.where(own == Status.SCORED, column, np.nan), status=own)


@functools.cache
def _field_checks(owner: type) -> dict[str, tuple[Any, Any]]:
    """A pydantic validator for each field of a reward class, made on first use."""
    from pydantic import ConfigDict, TypeAdapter

    hints = typing.get_type_hints(owner, include_extras=True)
    checks = {}
    for entry in fields(owner):
        hint = hints[entry.name]
        own = isinstance(hint, type) and hasattr(hint, "__get_pydantic_core_schema__")
        config = None if own else ConfigDict(arbitrary_types_allowed=True)
        checks[entry.name] = (hint, TypeAdapter(hint, config=config))
    return checks


def check_fields(reward: Reward) -> None:
    """Check every option of a reward against its annotation, and bring it to that type (a YAML list to a tuple, say).

    Raises:
        ValueError: an option has a value of the wrong type; the message names the class, the option, the value and what
            was expected.
    """
    from pydantic import ValidationError

    checks: dict[str, tuple[Any, Any]] = _field_checks(type(reward))  # type: ignore[arg-type]  # a class is hashable
    for option, (hint, adapter) in checks.items():
        value = getattr(reward, option)
        if isinstance(value, Reward):
            continue
        try:
            checked = adapter.validate_python(value)
        except ValidationError as error:
            expected = getattr(hint, "__name__", None) if isinstance(hint, type) else str(hint).replace("typing.", "")
            reason = error.errors()[0]["msg"]
            raise ValueError(
                f"{type(reward).__name__}: option {option!r} must be {expected}, got {value!r:.120} ({reason})"
            ) from None
        if checked is not value:
            object.__setattr__(reward, option, checked)


def _algebra() -> Any:
    from rewardlab.rewards import algebra

    return algebra
