"""One call of the built-in engine: giving rows their slots, reading prompts, then drawing token after token."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewardlab.policies.engines.base import Completion, Request, Sampling
from rewardlab.policies.engines.forward import Forward
from rewardlab.policies.engines.sampling import draw, uniforms
from rewardlab.policies.engines.store import Span

_SHORTEST_SHARED = 16
_COLUMNS_AHEAD = 128


@dataclass(slots=True)
class Kept:
    """A conversation in the store: its slot, and the tokens whose keys and values stand there."""

    slot: int
    ids: list[int]


class Call:
    """One call of `generate`.

    Args:
        forward: computes logits; its store holds what was read before.
        kept: the conversations in the store; brought up to date.
        requests, limits, sampling: checked requests, the most new tokens of each, how to draw.
        stop: ids of the stop tokens.
        device: where the model is.
        prefill_tokens: how many prompt tokens are read in one pass.
        check_every: after how many steps to look which rows have ended.
    """

    def __init__(
        self,
        forward: Forward,
        kept: dict[Hashable, Kept],
        requests: Sequence[Request],
        limits: list[int],
        sampling: Sampling,
        *,
        stop: frozenset[int],
        device: torch.device,
        prefill_tokens: int,
        check_every: int,
    ) -> None:
        self.forward, self.store, self.kept = forward, forward.store, kept
        self.requests, self.limits, self.sampling = requests, limits, sampling
        self.stop, self.device, self.prefill_tokens, self.check_every = stop, device, prefill_tokens, check_every
        self.ids = [list(map(int, request.ids)) for request in requests]
        self.count = len(requests)

    def run(self) -> list[Completion]:
        """Continue every context."""
        order, done, leaders = self._place()
        for request in self.requests:  # entered again at the end: should this call break off, they are read afresh
            self.kept.pop(request.conversation, None)
        logits = self._read(order, done, leaders)
        return self._draw(order, logits)

    # ---- placing rows -------------------------------------------------------------------------------------------------

    def _place(self) -> tuple[list[int], list[int], dict[int, int]]:
        """Give every request a slot below `count`.

        Returns:
            The request in each slot; how many of its tokens are already in the store, by request; and for each request
            whose prompt equals an earlier new one, that one. Those copies stand in the last slots.
        """
        kept = self.kept
        done = [0] * self.count
        known: dict[int, int] = {}
        first: dict[tuple[int, ...], int] = {}
        leaders: dict[int, int] = {}
        for index, request in enumerate(self.requests):
            entry = kept.get(request.conversation) if request.conversation is not None else None
            if entry is not None:
                known[index] = entry.slot
                # the last token is always read: its logits are what is wanted
                done[index] = min(_shared(entry.ids, self.ids[index]), len(self.ids[index]) - 1)
            else:
                leader = first.setdefault(tuple(self.ids[index]), index)
                if leader != index:
                    leaders[index] = leader
        self._reserve()
        # Known rows come first. Those that stand too far back change places with whoever stands in front.
        holes = sorted(set(range(len(known))) - set(known.values()))
        movers = [index for index, slot in known.items() if slot >= len(known)]
        self.store.swap([known[index] for index in movers], holes, self._stored_width())
        moved = {known[index]: hole for index, hole in zip(movers, holes, strict=True)}
        moved |= {hole: slot for slot, hole in moved.items()}
        for entry in kept.values():
            entry.slot = moved.get(entry.slot, entry.slot)
        known = {index: moved.get(slot, slot) if index in movers else slot for index, slot in known.items()}
        self._clear_the_way(len(known))
        order = sorted(known, key=lambda index: known[index])
        order += [index for index in range(self.count) if index not in known and index not in leaders]
        order += sorted(leaders)
        return order, done, leaders

    def _reserve(self) -> None:
        named = {request.conversation for request in self.requests}
        waiting = sum(name not in named for name in self.kept)
        # what is drawn gets room as it comes: few actions are as long as they may be
        columns = max(len(ids) + min(limit, _COLUMNS_AHEAD) for ids, limit in zip(self.ids, self.limits, strict=True))
        self.store.reserve(self.count + waiting, max(columns, self._stored_width()))

    def _stored_width(self) -> int:
        return max((len(entry.ids) for entry in self.kept.values()), default=0)

    def _clear_the_way(self, known: int) -> None:
        """Move conversations that were not asked for out of the slots that new rows get."""
        named = {request.conversation for request in self.requests}
        idle = [entry for name, entry in self.kept.items() if name not in named]
        taken = {entry.slot for entry in idle}
        inside = [entry for entry in idle if known <= entry.slot < self.count]
        free = [slot for slot in range(self.count, self.store.slots) if slot not in taken][: len(inside)]
        self.store.copy([entry.slot for entry in inside], free, self._stored_width())
        for entry, slot in zip(inside, free, strict=True):
            entry.slot = slot

    # ---- reading prompts ----------------------------------------------------------------------------------------------

    def _read(self, order: list[int], done: list[int], leaders: dict[int, int]) -> Tensor:
        """Bring every row up to its prompt; returns logits float[slot, vocab]."""
        readers = order[: self.count - len(leaders)]
        self._read_shared_start(readers, done)
        pieces = []
        slot = 0
        while slot < len(readers):
            rows = [readers[slot]]
            budget = self.prefill_tokens - self._left(readers[slot], done)
            while slot + len(rows) < len(readers) and self._left(readers[slot + len(rows)], done) <= budget:
                rows.append(readers[slot + len(rows)])
                budget -= self._left(rows[-1], done)
            pieces.append(self._read_rows(slot, rows, done))
            slot += len(rows)
        logits = torch.cat(pieces) if len(pieces) > 1 else pieces[0]
        if leaders:
            place = {index: position for position, index in enumerate(readers)}
            sources = [place[leaders[index]] for index in order[len(readers) :]]
            width = max(len(self.ids[index]) for index in leaders)
            self.store.copy(sources, range(len(readers), self.count), width)
            logits = torch.cat([logits, logits[torch.tensor(sources, device=logits.device)]])
        return logits

    def _left(self, index: int, done: list[int]) -> int:
        return len(self.ids[index]) - done[index]

    def _read_shared_start(self, readers: list[int], done: list[int]) -> None:
        new = [slot for slot, index in enumerate(readers) if done[index] == 0]
        if len(new) < 2:
            return
        prompts = [self.ids[readers[slot]] for slot in new]
        shortest, longest = min(prompts), max(prompts)  # what these two share in the order of lists, all share
        shared = min(_shared(shortest, longest), min(map(len, prompts)) - 1)
        if shared < _SHORTEST_SHARED:
            return
        self._read_rows(new[0], [readers[new[0]]], done, until=shared)
        self.store.copy([new[0]] * (len(new) - 1), new[1:], shared)
        for slot in new:
            done[readers[slot]] = shared

    def _read_rows(self, first: int, rows: list[int], done: list[int], until: int | None = None) -> Tensor:
        """Read the rest of the prompts of neighbouring slots; very long ones in several passes."""
        result: Tensor | None = None
        most = max(1, self.prefill_tokens // len(rows))
        while True:
            ends = [min(until or len(self.ids[index]), done[index] + most) for index in rows]
            counts = [max(end - done[index], 0) for index, end in zip(rows, ends, strict=True)]
            # a row that is through while others are not reads its last token again, which changes nothing
            starts = [done[index] if count else end - 1 for index, end, count in zip(rows, ends, counts, strict=True)]
            counts = [max(count, 1) for count in counts]
            tokens = [self.ids[index][s : s + c] for index, s, c in zip(rows, starts, counts, strict=True)]
            places = [np.arange(s, s + c) for s, c in zip(starts, counts, strict=True)]
            single = max(counts) == 1
            width = max(s + c for s, c in zip(starts, counts, strict=True))
            span = Span(
                first=first,
                rows=len(rows),
                tokens=torch.from_numpy(np.concatenate(tokens).astype(np.int64)).to(self.device),
                positions=torch.from_numpy(np.concatenate(places).astype(np.int64)).to(self.device),
                counts=None if single else counts,
                width=width,
                uniform=single and min(starts) + 1 == width,
                fresh=not any(starts),
            )
            result = self.forward(span)
            for index, end in zip(rows, ends, strict=True):
                done[index] = max(done[index], end)
            if all(done[index] >= (until or len(self.ids[index])) for index in rows):
                return result

    # ---- drawing ------------------------------------------------------------------------------------------------------

    def _draw(self, order: list[int], logits: Tensor) -> list[Completion]:
        device, most = self.device, max(self.limits)
        seeds = [request.seed for request in self.requests]
        chances = torch.from_numpy(uniforms(seeds, [len(ids) for ids in self.ids], most)).to(device)
        tokens = torch.zeros((most, self.count), dtype=torch.long, device=device)
        logprobs = torch.zeros((most, self.count), device=device)
        active = np.array(order)  # the request in each slot
        row = torch.from_numpy(active).to(device)
        lengths = np.array([len(ids) for ids in self.ids])
        positions = torch.from_numpy(lengths[active]).to(device)
        limits = np.array(self.limits)
        finished = np.zeros(self.count, dtype=np.int64)  # how many tokens each request got
        final = np.arange(self.count)  # the slot where each request's row ends up
        final[active] = np.arange(self.count)
        stop = np.array(sorted(self.stop), dtype=np.int64)
        keeps = [request.conversation is not None for request in self.requests]
        every = self.check_every
        checked = 0
        for step in range(most):
            chosen, logprob = draw(logits, self.sampling, chances[step][row])
            tokens[step].index_copy_(0, row, chosen)
            logprobs[step].index_copy_(0, row, logprob)
            if step + 1 - checked >= every or (limits[active] <= step + 1).any():
                # which rows ended since the last look; a row that stopped earlier was computed on in vain until now
                recent = (chosen[None] if every == 1 else tokens[checked : step + 1, row]).cpu().numpy()
                ends = np.isin(recent, stop) if len(stop) != 1 else recent == stop[0]
                ended = ends.any(0)
                over = ended | (limits[active] <= step + 1)
                checked_before, checked = checked, step + 1
                if over.any():
                    amount = np.where(ended, checked_before + ends.argmax(0) + 1, step + 1)
                    finished[active[over]] = amount[over]
                    live = np.flatnonzero(~over)
                    if not len(live):
                        break
                    width = int(lengths[active].max()) + step + 1
                    slots = self._close_ranks(over, active, keeps, width)
                    final[active] = slots
                    moved = np.empty(len(active), dtype=np.int64)
                    moved[slots] = np.arange(len(active))
                    pick = moved[: len(live)]
                    active = active[pick]
                    index = torch.from_numpy(pick).to(device)
                    row, positions, chosen = row[index], positions[index], chosen[index]
            reach = lengths[active] + step + 1
            width = int(reach.max())
            self.store.reserve(self.store.slots, width)
            logits = self.forward(
                Span(
                    first=0,
                    rows=len(active),
                    tokens=chosen,
                    positions=positions,
                    counts=None,
                    width=width,
                    uniform=bool(reach.min() == width),
                )
            )
            positions = positions + 1
        return self._completions(tokens.cpu().numpy(), logprobs.cpu().numpy(), finished, final.tolist())

    def _close_ranks(
        self, over: NDArray[np.bool_], active: NDArray[np.int64], keeps: list[bool], width: int
    ) -> NDArray[np.int64]:
        """Let live rows fill the slots of finished ones. Returns the new slot of the row in each slot."""
        live = int((~over).sum())
        holes = np.flatnonzero(over[:live])
        movers = live + np.flatnonzero(~over[live:])
        slots = np.arange(len(active))
        slots[holes], slots[movers] = movers, holes
        if any(keeps[index] for index in active[holes]):
            self.store.swap(holes.tolist(), movers.tolist(), width)
        else:
            self.store.copy(movers.tolist(), holes.tolist(), width)
        return slots

    def _completions(self, tokens: Any, logprobs: Any, finished: Any, slots: list[int]) -> list[Completion]:
        completions = []
        for index, request in enumerate(self.requests):
            length = int(finished[index])
            ids = tokens[:length, index].tolist()
            values = logprobs[:length, index]
            if request.conversation is not None:
                # the last token was drawn and not read, so its keys and values are not there yet
                self.kept[request.conversation] = Kept(slots[index], self.ids[index] + ids[:-1])
            completions.append(
                Completion(ids=ids, logprobs=values.tolist(), stopped=bool(ids) and ids[-1] in self.stop)
            )
        return completions


def _shared(some: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their start."""
    length = min(len(some), len(other))
    if some[:length] == other[:length]:
        return length
    return next(place for place in range(length) if some[place] != other[place])
