"""Drawing prefix trees: from each end of a segment several continuations, until responses are whole.

A tree costs fewer tokens than as many independent responses, because beginnings are drawn once. `chain_pairs` draws
independent responses through the same code, so that the shape of the data is one argument.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from rewardlab.policies.engines.base import Request, Sampling
from rewardlab.policies.engines.sampling import derive_seed
from rewardlab.recipes.tree_preferences.trees import LeafPair, Node, Tree
from rewardlab.types import Task, Tokens, Trajectory

SegmentKind = Literal["tokens", "sentence", "step"]
CHUNK = 16
"""Tokens that are drawn at once where a segment ends at a sentence or a step; what lies behind its end is thrown away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What was drawn behind one context.

    Args:
        ids: its tokens, the stop token included.
        logprobs: of each.
        stopped: whether the policy ended its response.
    """

    ids: Sequence[int]
    logprobs: Sequence[float]
    stopped: bool


@runtime_checkable
class Writer(Protocol):
    """What a sampler needs of a policy; `LanguageModelWriter` gives it for language models."""

    def open(self, task: Task) -> list[int]:
        """The tokens of the prompt."""

    def extend(self, contexts: Sequence[Sequence[int]], most: Sequence[int], seeds: Sequence[int]) -> list[Segment]:
        """Draw at most so many tokens behind each context."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some tokens."""

    def trajectory(
        self, task: Task, opening: Sequence[int], ids: Sequence[int], logprobs: Sequence[float], stopped: bool
    ) -> Trajectory:
        """A whole response."""


@dataclass(frozen=True, kw_only=True)
class LanguageModelWriter:
    """A language model with its chat template and engine.

    Args:
        policy: a `LanguageModelPolicy`.
        sampling: how tokens are drawn; how many is the tree's own business.
    """

    policy: Any
    sampling: Sampling = field(default_factory=Sampling)

    def open(self, task: Task) -> list[int]:
        """The prompt in the chat template.

        Raises:
            ValueError: the task has no prompt.
        """
        if not task.prompt:
            raise ValueError(f"task {task.id!r} has no prompt to continue; give messages")
        return list(self.policy.template.opening(task.prompt, task.tools))

    def extend(self, contexts: Sequence[Sequence[int]], most: Sequence[int], seeds: Sequence[int]) -> list[Segment]:
        """One batch of the engine."""
        requests = [
            Request(ids=list(ids), seed=seed, max_new_tokens=count)
            for ids, count, seed in zip(contexts, most, seeds, strict=True)
        ]
        most_of_all = Sampling(
            temperature=self.sampling.temperature,
            top_p=self.sampling.top_p,
            top_k=self.sampling.top_k,
            max_new_tokens=max(most),
        )
        found = self.policy.engine.generate(requests, most_of_all)
        return [
            Segment(ids=one.ids, logprobs=one.logprobs or [0.0] * len(one.ids), stopped=one.stopped) for one in found
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """The text, without the stop token."""
        return str(self.policy.template.decode(list(ids)))

    def trajectory(
        self, task: Task, opening: Sequence[int], ids: Sequence[int], logprobs: Sequence[float], stopped: bool
    ) -> Trajectory:
        """A chat with the exact tokens."""
        message = self.policy.read(self.decode(ids), task.tools)
        tokens = Tokens(
            ids=[*opening, *ids],  # type: ignore[arg-type]
            step=[-1] * len(opening) + [0] * len(ids),  # type: ignore[arg-type]
            logprobs=[0.0] * len(opening) + list(logprobs),  # type: ignore[arg-type]
        )
        return Trajectory.from_messages(
            [*(task.prompt or []), message], task=task, tokens=tokens, terminated=stopped, truncated=not stopped
        )


@dataclass(frozen=True, kw_only=True)
class PrefixTreeSampler:
    """Draws trees of responses (algorithm 1 of the paper).

    Args:
        policy: a `LanguageModelPolicy`, or any other `Writer`.
        depth: levels of branching. The last segment of a response runs to its end.
        branching: continuations of each segment; a tree has up to `branching ** depth` leaves.
        segment: where a segment ends: after its share of the tokens (`budget // depth`), of a sentence, or of a step (a
            line). For an agent whose segments are turns, see `TurnTreeSampler`.
        budget: most tokens of a response.
        sampling: how tokens are drawn, where the policy is a language model.
        seed: of all draws.

    Raises:
        ValueError: an option out of its range; depth 1 is the chain.
    """

    policy: Any
    depth: int = 3
    branching: int = 2
    segment: SegmentKind = "tokens"
    budget: int = 256
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0

    def __post_init__(self) -> None:
        check_shape(self.depth, self.branching)
        if self.segment not in ("tokens", "sentence", "step"):
            raise ValueError(f"segment must be 'tokens', 'sentence' or 'step', got {self.segment!r}")
        if self.budget < self.depth:
            raise ValueError(f"budget must be at least one token for each of {self.depth} segments, got {self.budget}")

    @property
    def writer(self) -> Writer:
        """The policy as the sampler sees it."""
        if isinstance(self.policy, Writer):
            return self.policy
        if not hasattr(self.policy, "template") or not hasattr(self.policy, "engine"):
            raise TypeError(f"policy must be a LanguageModelPolicy or a Writer, got {type(self.policy).__name__}")
        self.policy.engine.refresh()  # its weights may have changed since they were last read
        return LanguageModelWriter(policy=self.policy, sampling=self.sampling)

    def sample(self, prompt: str | Task) -> Tree:
        """One tree.

        Args:
            prompt: what to answer, as text or as a task.
        """
        return self.sample_many([prompt])[0]

    def sample_many(self, prompts: Sequence[str | Task]) -> list[Tree]:
        """One tree for each prompt; one that occurs several times gets several. All grow level by level together."""
        writer = self.writer
        growing = []
        occurrences: dict[str, int] = {}
        for place, prompt in enumerate(prompts):
            task = as_task(prompt, place)
            number = occurrences.get(task.id, 0)
            occurrences[task.id] = number + 1
            growing.append(_Growing(f"{task.id}/{number}", task, writer.open(task)))
        for level in range(1, self.depth + 1):
            self._grow(writer, growing, level)
        return [self._finish(writer, one) for one in growing]

    def _grow(self, writer: Writer, growing: Sequence[_Growing], level: int) -> None:
        """Add the segments of one level to every tree."""
        sprouts = [
            _Sprout(tree, parent, derive_seed(self.seed, number, parent, branch))
            for number, tree in enumerate(growing)
            for parent, node in enumerate(tree.nodes)
            if node.depth == level - 1 and not node.ended
            for branch in range(self.branching)
        ]
        last = level == self.depth
        waiting = sprouts
        while waiting:
            most = [self._most(one, last) for one in waiting]
            contexts = [[*one.tree.opening, *one.tree.ids(one.parent), *one.ids] for one in waiting]
            seeds = [derive_seed(one.seed, len(one.ids)) for one in waiting]
            for one, segment in zip(waiting, writer.extend(contexts, most, seeds), strict=True):
                one.ids += segment.ids
                one.logprobs += segment.logprobs
                one.stopped = segment.stopped
                one.tree.generated += len(segment.ids)
                self._close(writer, one, last)
            waiting = [one for one in waiting if not one.done]
        for one in sprouts:
            one.tree.nodes.append(
                Node(
                    parent=one.parent,
                    depth=level,
                    ids=tuple(one.ids),
                    logprobs=tuple(one.logprobs),
                    text=writer.decode(one.ids),
                    ended=last or one.stopped or self._left(one) <= 0,
                )
            )
            one.tree.stopped.append(one.stopped)

    def _most(self, sprout: _Sprout, last: bool) -> int:
        left = self._left(sprout)
        if last:
            return left
        if self.segment == "tokens":
            return min(left, self.budget // self.depth)
        return min(left, CHUNK)

    def _left(self, sprout: _Sprout) -> int:
        return self.budget - len(sprout.tree.ids(sprout.parent)) - len(sprout.ids)

    def _close(self, writer: Writer, sprout: _Sprout, last: bool) -> None:
        """Whether a segment is over, cut where its sentence or step ends."""
        sprout.done = last or sprout.stopped or self.segment == "tokens" or self._left(sprout) <= 0
        if last or self.segment == "tokens":
            return
        end = segment_end(writer, sprout.ids, self.segment)
        if end is not None and end < len(sprout.ids):
            del sprout.ids[end:], sprout.logprobs[end:]
            sprout.stopped = False
        sprout.done = sprout.done or end is not None

    def _finish(self, writer: Writer, tree: _Growing) -> Tree:
        parents = {node.parent for node in tree.nodes}
        trajectories = {}
        for place, node in enumerate(tree.nodes):
            if place in parents:
                continue
            ids = tree.ids(place)
            logprobs = tree.column(place, "logprobs")
            trajectories[place] = writer.trajectory(tree.task, tree.opening, ids, logprobs, tree.stopped[place])
            assert node.ended
        return Tree(id=tree.id, task=tree.task, nodes=tree.nodes, trajectories=trajectories, generated=tree.generated)


def chain_pairs(
    policy: Any,
    prompts: Sequence[str | Task],
    n: int,
    *,
    budget: int = 256,
    sampling: Sampling | None = None,
    seed: int = 0,
) -> list[LeafPair]:
    """Comparisons of independent responses, as trees of depth 1 with two leaves each.

    Args:
        policy: a `LanguageModelPolicy`, or any other `Writer`.
        prompts: are asked in turn until there are enough pairs.
        n: how many pairs.
        budget: most tokens of a response.
        sampling: how tokens are drawn.
        seed: of all draws.

    Raises:
        ValueError: no prompts, no pairs, or two responses that are equal.
    """
    if not prompts or n < 1:
        raise ValueError(f"a chain needs prompts and at least one pair, got {len(prompts)} prompts and n={n}")
    sampler = PrefixTreeSampler(
        policy=policy, depth=1, branching=2, budget=budget, sampling=sampling or Sampling(), seed=seed
    )
    trees = sampler.sample_many([prompts[place % len(prompts)] for place in range(n)])
    return [pair for tree in trees for pair in tree.pairs(1, seed=seed)]


def tree_pairs(
    trees: Sequence[Tree], each: int, strategy: Literal["uniform", "lca", "sibling"] = "uniform", **options: Any
) -> list[LeafPair]:
    """So many comparisons of every tree; options as in `Tree.pairs`."""
    return [pair for tree in trees for pair in tree.pairs(each, strategy, **options)]


def segment_end(writer: Writer, ids: Sequence[int], kind: SegmentKind) -> int | None:
    """How many tokens belong to the first sentence or step; None where it has not ended, as far as can be told.

    A full stop ends a sentence where a space follows (so `3.14` is not cut), which only the next token shows; that token
    belongs to the next sentence.
    """
    found = _ENDS[kind].search(writer.decode(ids))
    if found is None:
        return None
    low, high = 1, len(ids)  # texts only grow with their tokens, so the end can be looked for by halves
    while low < high:
        middle = (low + high) // 2
        if len(writer.decode(ids[:middle])) >= found.end(1):
            high = middle
        else:
            low = middle + 1
    return low


_ENDS: dict[str, re.Pattern[str]] = {
    "sentence": re.compile(r"""(\S.*?[.!?…]["'”’)\]]*(?=\s)|\S[^\n]*\n)""", re.DOTALL),
    "step": re.compile(r"(\S[^\n]*\n)"),
}


def check_shape(depth: int, branching: int) -> None:
    """Refuse trees without pairs.

    Raises:
        ValueError: depth below 1 or branching below 2.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}; 1 draws independent responses")
    if branching < 2:
        raise ValueError(f"branching must be at least 2, got {branching}: one continuation gives no pairs")


def as_task(prompt: str | Task, place: int) -> Task:
    """A prompt as a task.

    Raises:
        TypeError: it is neither text nor a task.
    """
    if isinstance(prompt, Task):
        return prompt
    if not isinstance(prompt, str):
        raise TypeError(f"prompt {place} must be a text or a Task, got {type(prompt).__name__}")
    trajectory = Trajectory.from_text(prompt, "")
    assert trajectory.task is not None
    return trajectory.task


class _Growing:
    """A tree while it grows."""

    def __init__(self, name: str, task: Task, opening: list[int]) -> None:
        self.id, self.task, self.opening = name, task, opening
        self.nodes = [Node(parent=-1, depth=0)]
        self.stopped = [False]
        self.generated = 0

    def ids(self, node: int) -> list[int]:
        return self.column(node, "ids")

    def column(self, node: int, name: str) -> list[Any]:
        """Tokens or their log-probabilities from the prompt (left out) to the end of a node."""
        pieces: list[tuple[Any, ...]] = []
        while node > 0:
            pieces.append(getattr(self.nodes[node], name))
            node = self.nodes[node].parent
        return [one for piece in pieces[::-1] for one in piece]


@dataclass(slots=True, eq=False)
class _Sprout:
    """A segment while it is drawn."""

    tree: _Growing
    parent: int
    seed: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    stopped: bool = False
    done: bool = False
