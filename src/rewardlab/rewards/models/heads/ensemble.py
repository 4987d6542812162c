"""Several heads of one kind as one: their mean is the judgement, their disagreement the confidence."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rewardlab.rewards.models.base import HEADS, Context, Encoded, Head, NoScalarValue, Outputs
from rewardlab.rewards.models.heads.scalar import ScalarHead, TwoLayerHead
from rewardlab.rewards.models.stacked import Stacked, stacked_layers, stacked_linear


class EnsembleHead(Head):
    """Heads that differ in their weights alone, computed in one batched pass.

    Every output has the axis of members behind that of rows: `[row, member, ...]`. Comparisons are the mean of the members'
    log-odds, values the mean of their values. The confidence is 1 / (1 + deviation between the members), where a member's
    values count from their own mean over the training items (comparisons leave that open), in units of the deviation of the
    ensemble's values over the training items.

    Args:
        width: of the features.
        head: the members' type and options, without the width.
        members: how many; at least 2.
        shared: whether all read the same features; otherwise the width is cut into equal parts, one for each.
        seed: added to the number of a member, where the heads are drawn by a seed.

    Raises:
        ValueError: fewer than 2 members, or a width that cannot be cut into as many parts.
    """

    kind = "ensemble"
    centre: Tensor
    spread: Tensor

    def __init__(
        self,
        width: int,
        *,
        head: Mapping[str, Any] | str = "scalar",
        members: int = 10,
        shared: bool = True,
        seed: int = 0,
    ) -> None:
        own = _own_width(width, members, shared)
        target, options = HEADS.target(head, given=("width",))
        drawn = "seed" in inspect.signature(target).parameters and "seed" not in options
        seeds = [{"seed": seed + number} if drawn else {} for number in range(members)]
        self._join([target(width=own, **options, **drawn_by) for drawn_by in seeds], width, shared, seed)

    @classmethod
    def of(cls, heads: Sequence[Head], *, width: int, shared: bool) -> EnsembleHead:
        """An ensemble of heads that exist; their weights are copied, the first becomes its frame.

        Args:
            heads: alike but for their weights.
            width: of the features of all together.
            shared: see the class.

        Raises:
            ValueError: heads of different kinds, options or shapes.
        """
        _own_width(width, len(heads), shared)
        for number, head in enumerate(heads):
            different = difference(heads[0], head)
            if different:
                raise ValueError(f"the head of member {number} is not like that of member 0: {different}")
        made = cls.__new__(cls)
        made._join(list(heads), width, shared, 0)
        return made

    def _join(self, heads: list[Head], width: int, shared: bool, seed: int) -> None:
        nn.Module.__init__(self)
        first = heads[0]
        options = {name: value for name, value in first.options().items() if name not in ("width", "seed")}
        self._options = {
            "width": width,
            "head": {"type": type(first).kind, **options},
            "members": len(heads),
            "shared": shared,
            "seed": seed,
        }
        self.members, self.shared = len(heads), shared
        self.needs_prompt, self.needs_steps = first.needs_prompt, first.needs_steps  # type: ignore[misc]
        self.stacked = Stacked(heads)
        self.register_buffer("centre", torch.zeros(len(heads), dtype=torch.float64))
        self.register_buffer("spread", torch.ones((), dtype=torch.float64))

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    @property
    def member(self) -> Head:
        """A head like each of the members; its weights have the axis of members in front."""
        head = self.stacked.frame
        assert isinstance(head, Head)
        return head

    @property
    def users(self) -> list[str]:
        """The users that the members know."""
        return list(getattr(self.member, "users", ()) or ())

    def __getattr__(self, name: str) -> Any:
        if name == "user_index":  # only where the members know users
            return getattr(self.member, name)
        return super().__getattr__(name)

    # ---- outputs --------------------------------------------------------------------------------------------------------

    def forward(self, encoded: Encoded) -> Outputs:
        """What every member says, `[trajectory, member, ...]`."""
        fast = self._fast(encoded)
        if fast is not None:
            return fast
        names = [name for name in ("response", "prompt", "steps") if getattr(encoded, name) is not None]
        columns = {name: self._cut(getattr(encoded, name)) for name in names}
        mask = encoded.step_mask

        def one(head: Head, own: dict[str, Tensor]) -> Outputs:
            outputs: Outputs = head(Encoded(step_mask=mask, **own))
            return outputs

        found = self.stacked.each(one, columns, axes=None if self.shared else -2)
        return {name: column.transpose(0, 1) for name, column in found.items()}

    def _fast(self, encoded: Encoded) -> Outputs | None:
        """The commonest heads, without `vmap`, which takes longer than they do."""
        head, features = self.member, encoded.response
        if not self.plain:
            return None
        if not self.shared:
            features = self._cut(features).transpose(0, 1)
        if isinstance(head, ScalarHead):
            value = stacked_linear(head.linear, features)
        else:
            assert isinstance(head, TwoLayerHead)
            found = stacked_layers(head.layers, features, own_inputs=not self.shared)
            if found is None:
                return None
            value = found
        return {"value": value.squeeze(-1).transpose(0, 1)}

    def _cut(self, features: Tensor) -> Tensor:
        """Each member's part of features, float[..., member, width]; the same where they are shared."""
        return features if self.shared else features.unflatten(-1, (self.members, -1))

    def each(self, call: Callable[[Head, Outputs], Any], outputs: Outputs, *, loop: bool = False) -> Any:
        """Call a function with each member and its outputs.

        Args:
            call: gets a head and outputs without the axis of members; returns a tensor, or a dict or tuple of them.
            outputs: of this head.
            loop: one member after the other, for functions that look at numbers or change the head.

        Returns:
            What the function returns, the axis of members in front.
        """
        return self.stacked.each(call, outputs, axes=1, loop=loop)

    @property
    def plain(self) -> bool:
        """Whether the members' judgements read their outputs alone, and none of their weights."""
        return type(self.member) in (ScalarHead, TwoLayerHead)

    # ---- judgements -----------------------------------------------------------------------------------------------------

    def member_values(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """The value that every member gives every row, float[row, member].

        Raises:
            NoScalarValue: the members only compare.
        """
        found: Tensor = self.each(lambda head, own: head.value(own, context), outputs, loop=True)
        return found.transpose(0, 1)

    def value(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """The mean of the members' values."""
        return self.member_values(outputs, context).mean(1)

    def preference(self, first: Outputs, second: Outputs, context: Context | None = None) -> Tensor:
        """The mean of the members' log-odds."""
        both: Tensor = self.stacked.each(
            lambda head, one, other: head.preference(one, other, context), first, second, axes=1, loop=True
        )
        return both.mean(0)

    def deviation(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """By how much the members disagree about every row, float[row]; 1 is the deviation of values while training."""
        values = self.member_values(outputs, context).double() - self.centre
        return values.std(1, correction=0) / self.spread

    def confidence(self, outputs: Outputs) -> Tensor | None:
        """1 / (1 + deviation); None for members that only compare."""
        try:
            return 1 / (1 + self.deviation(outputs))
        except NoScalarValue:
            return None

    def step_values(self, outputs: Outputs) -> tuple[Tensor, Tensor] | None:
        """The mean of the members' values of steps."""
        if self.member.step_values({name: column[:, 0] for name, column in outputs.items()}) is None:
            return None
        values, mask = self.each(lambda head, own: head.step_values(own), outputs, loop=True)
        return values.mean(0), mask[0]

    def parts(self, outputs: Outputs) -> dict[str, Tensor]:
        """The means of the members' parts, and `disagreement`, the deviation between them."""
        parts = {
            name: column.mean(0)
            for name, column in self.each(lambda head, own: head.parts(own), outputs, loop=True).items()
        }
        try:
            return {**parts, "disagreement": self.deviation(outputs)}
        except NoScalarValue:
            return parts

    @torch.no_grad()
    def settle(self, outputs: Outputs) -> None:
        """Remember the members' means and the ensemble's deviation over the training items; the fitter calls it last."""
        try:
            values = self.member_values(outputs).double()
        except NoScalarValue:
            return
        self.centre.copy_(values.mean(0))
        spread = float(values.mean(1).std(correction=0))
        self.spread.fill_(spread if spread > 1e-12 else 1.0)


def _own_width(width: int, members: int, shared: bool) -> int:
    if members < 2:
        raise ValueError(f"an ensemble needs at least 2 members, got {members}: one member cannot disagree")
    if not shared and width % members:
        raise ValueError(f"features of width {width} cannot be cut into {members} equal parts; give a multiple")
    return width if shared else width // members


def difference(first: Any, other: Any) -> str | None:
    """What tells two encoders or heads apart beside their seeds (those of adapters, too), or None."""
    if type(first) is not type(other):
        return f"one is a {type(first).__name__}, the other a {type(other).__name__}"
    ours, theirs = first.options(), other.options()
    for name in sorted(set(ours) | set(theirs)):
        if name != "seed" and _seedless(ours.get(name)) != _seedless(theirs.get(name)):
            return f"{name} is {ours.get(name)!r} and {theirs.get(name)!r}"
    return None


def _seedless(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _seedless(entry) for name, entry in value.items() if name != "seed"}
    return value
