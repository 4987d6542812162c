"""What a reward says about the items of some data: values, comparisons, steps, and why it said nothing.

A learned model is asked once for every item. Its comparisons come from the head, before any scaling, so that they are
log-odds; any other reward compares by the difference of its values, which is no probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.base import Reward
from rewardlab.types import Status, Trajectory

if TYPE_CHECKING:
    from rewardlab.rewards.models.model import RewardModel

Floats = NDArray[np.float64]
_PAIRS_AT_ONCE = 65_536


@dataclass(kw_only=True)
class Judged:
    """What a reward says about items.

    Args:
        values: float64[item], NaN where there is none.
        status: int8[item] of `Status`; an item that a model can only compare is scored without a value.
        notes: why an item has no value.
        steps: of each item float64[step]; None for rewards that give none.
        parts: partial scores by name, float64[item] each, NaN where there is none.
        probable: whether differences are log-odds.
        unknown_users: annotators whom the model does not know, so that it answered for nobody in particular.
    """

    values: Floats
    status: NDArray[np.int8]
    notes: list[str | None]
    steps: list[Floats | None] | None = None
    parts: dict[str, Floats] = field(default_factory=dict)
    probable: bool = False
    unknown_users: set[str] = field(default_factory=set)
    rows: dict[int, int] = field(default_factory=dict)
    network: Any = None
    outputs: Any = None
    user: Any = None

    def compare(
        self,
        first: NDArray[np.int64],
        second: NDArray[np.int64],
        users: Sequence[str | None] | None = None,
    ) -> Floats:
        """Log-odds (or the difference of values) that each first item is better; NaN where one of them was not judged.

        Args:
            first, second: int64[row], items.
            users: whose judgement each row is, for heads that know several; None for the model's own user.
        """
        if self.network is None:
            return np.asarray(self.values[first] - self.values[second])
        import torch

        from rewardlab.rewards.models.base import Context, rows_of

        found = np.full(len(first), np.nan)
        scored = self.status == Status.SCORED
        there = np.flatnonzero(scored[first] & scored[second])
        numbers = None if users is None else self._numbers(users)
        device, head = self.network.device, self.network.head
        for start in range(0, len(there), _PAIRS_AT_ONCE):
            rows = there[start : start + _PAIRS_AT_ONCE]
            one, other = (
                torch.tensor([self.rows[int(item)] for item in side[rows]], device=device) for side in (first, second)
            )
            context = self.user(len(rows)) if numbers is None else Context(users=numbers[rows].to(device))
            with torch.no_grad():
                logits = head.preference(rows_of(self.outputs, one), rows_of(self.outputs, other), context)
            found[rows] = logits.double().cpu().numpy()
        return found

    def _numbers(self, users: Sequence[str | None]) -> Any:
        import torch

        known = set(getattr(self.network.head, "users", ()) or ())
        self.unknown_users |= {name for name in users if name is not None and name not in known}
        places = {name: self.network.head.user_index(name) for name in known.intersection(users)}
        return torch.tensor([places.get(name, -1) for name in users], dtype=torch.int64)


def judge(reward: Reward, items: Sequence[Trajectory]) -> Judged:
    """Ask a reward about items, each once."""
    if not isinstance(reward, Reward):
        raise TypeError(
            f"expected a reward (a RewardModel, a verifier, rl.reward around a function), got a {type(reward).__name__}"
        )
    if _is_model(reward):
        return _judge_model(reward, items)  # type: ignore[arg-type]  # just checked
    scores = reward(items)
    parts = {name: np.asarray(part.values) for name, part in scores.flat_parts()}
    return Judged(
        values=np.asarray(scores.values),
        status=scores.status,
        notes=[scores.note(index) for index in range(len(items))],
        steps=scores.steps,
        parts=parts,
    )


def knows_users(reward: Reward) -> bool:
    """Whether a learned model tells users apart."""
    return _is_model(reward) and bool(getattr(reward.network.head, "users", ()))  # type: ignore[attr-defined]


def _is_model(reward: Reward) -> bool:
    return type(reward).short_name == "reward_model"


def _judge_model(model: RewardModel, items: Sequence[Trajectory]) -> Judged:
    import torch

    from rewardlab.rewards.models.base import NoScalarValue

    network, count = model.network, len(items)
    status = np.full(count, Status.FAILED, dtype=np.int8)
    notes: list[str | None] = [None] * count
    prepared, good = _prepared(network.encoder, items, notes)
    judged = Judged(values=np.full(count, np.nan), status=status, notes=notes, probable=True, network=network)
    judged.user = model.context
    if not good:
        return judged
    places = np.asarray(good)
    judged.rows = {item: row for row, item in enumerate(good)}
    with torch.no_grad():
        head = network.head.eval()
        judged.outputs = head(network.encode_prepared(prepared, batch_length=model.batch_length))
        try:
            values = head.value(judged.outputs, model.context(len(good)))
        except NoScalarValue:
            status[places] = Status.SCORED
        else:
            judged.values[places] = values.double().cpu().numpy()
            finite = np.isfinite(judged.values)
            status[places] = np.where(finite[places], Status.SCORED, Status.FAILED)
            for item in places[~finite[places]]:
                notes[item] = f"the model returned {judged.values[item]}, which is not a finite number"
            judged.values[~finite] = np.nan
        judged.parts = {
            name: _placed(column, places, count) for name, column in head.parts(judged.outputs).items()
        }  # fmt: skip
        steps = head.step_values(judged.outputs)
    if steps is not None:
        judged.steps = [None] * count
        for row, item in enumerate(good):
            judged.steps[item] = steps[0][row][steps[1][row]].double().cpu().numpy()
    return judged


def _prepared(encoder: Any, items: Sequence[Trajectory], notes: list[str | None]) -> tuple[list[Any], list[int]]:
    """What the encoder could read, and of which items; the notes of the others say why not."""
    try:
        return list(encoder.prepare(items)), list(range(len(items)))
    except ValueError:  # one of them cannot be read; the others can
        prepared, good = [], []
    for index, one in enumerate(items):
        try:
            prepared.append(encoder.prepare([one])[0])
            good.append(index)
        except ValueError as error:
            notes[index] = str(error)
    return prepared, good


def _placed(column: Any, places: NDArray[np.int64], count: int) -> Floats:
    found = np.full(count, np.nan)
    found[places] = column.double().cpu().numpy()
    return found
