"""Trees of an agent: a segment is one turn, and every branch is played again from the start up to where it parts.

An environment answers the same task, seed and actions alike, so playing the shared actions again is as good as a snapshot.
Whether it does is tried before anything is drawn.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rewardlab.environments.base import Environment, Step
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.engines.sampling import derive_seed
from rewardlab.policies.rollout import SpeakingPolicy
from rewardlab.policies.speaking import Conversation, Speaker
from rewardlab.recipes.tree_preferences.sampling import as_task, check_shape
from rewardlab.recipes.tree_preferences.trees import Node, Tree
from rewardlab.types import Message, Task, Tokens, Trajectory


@dataclass(frozen=True, kw_only=True)
class TurnTreeSampler:
    """Draws trees of whole attempts of an agent; the first `depth` turns branch, the rest of each attempt does not.

    Args:
        policy: what acts: a `LanguageModelPolicy` or an `EndpointPolicy`.
        environment: makes an environment.
        depth: turns that branch.
        branching: messages that are drawn at each of them.
        turns: most turns of an attempt.
        sampling: how tokens are drawn.
        seed: of all draws, and of the environment.

    Raises:
        ValueError: an option out of its range.
    """

    policy: SpeakingPolicy
    environment: Callable[[], Environment]
    depth: int = 2
    branching: int = 2
    turns: int = 16
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0

    def __post_init__(self) -> None:
        check_shape(self.depth, self.branching)
        if self.turns < self.depth:
            raise ValueError(f"turns must be at least depth, got {self.turns} and {self.depth}")

    def sample(self, prompt: str | Task) -> Tree:
        """One tree.

        Raises:
            ValueError: the environment does not begin alike twice, or answers the same actions differently.
            TypeError: the environment is no factory.
        """
        task = as_task(prompt, 0)
        if isinstance(self.environment, Environment) or not callable(self.environment):
            raise TypeError("environment must be a factory that makes one for each branch; give the class itself")
        opening, tools = self._opening(task)
        speaker = self.policy.speaker(self.sampling, None, None)
        root = Conversation(seed=0, messages=list(opening), tools=tools)
        speaker.open(root)
        start = _Branch(conversation=root, observations=[list(opening)])
        nodes, trajectories = [Node(parent=-1, depth=0)], {}
        tips: list[tuple[int, _Branch]] = [(0, start)]
        generated = 0
        for turn in range(self.turns):
            count = self.branching if turn < self.depth else 1
            branches = [
                (parent, self._continued(tip, task, turn, parent, number))
                for parent, tip in tips
                for number in range(count)
            ]
            before = [len(branch.conversation.ids) for _, branch in branches]
            self._speak(speaker, [branch for _, branch in branches])
            tips = []
            for (parent, branch), length in zip(branches, before, strict=True):
                generated += sum(one >= 0 for one in branch.conversation.step[length:])
                last = turn + 1 == self.turns
                place = len(nodes)
                nodes.append(branch.node(parent, turn + 1, length, last))
                if branch.over or last:
                    trajectories[place] = branch.trajectory(task, speaker.keeps_tokens)
                else:
                    speaker.hear(branch.conversation, branch.observations[-1])
                    tips.append((place, branch))
            if not tips:
                break
        return Tree(id=f"{task.id}/0", task=task, nodes=nodes, trajectories=trajectories, generated=generated)

    def _opening(self, task: Task) -> tuple[list[Message], Any]:
        """The first messages, which must be the same each time."""
        found = []
        for _ in range(2):
            environment = self.environment()
            found.append((environment.reset(task, self._environment_seed), environment.tools))
            environment.close()
        if found[0][0] != found[1][0]:
            raise ValueError(
                "the environment begins differently with the same task and seed, so that a branch cannot be played again; "
                "use one whose only source of chance is the seed of reset"
            )
        return found[0]

    @property
    def _environment_seed(self) -> int:
        return derive_seed(self.seed, 0) % 2**31

    def _continued(self, tip: _Branch, task: Task, turn: int, parent: int, number: int) -> _Branch:
        """A copy of an attempt so far, in an environment of its own that has been played up to there."""
        environment = self.environment()
        arrived = [environment.reset(task, self._environment_seed)]
        arrived += [environment.step(action).observation for action in tip.actions]
        if arrived != tip.observations:
            environment.close()
            raise ValueError(
                f"the environment answered the same {len(tip.actions)} actions differently the second time, so that a "
                "branch cannot be played again; use one whose only source of chance is the seed of reset"
            )
        conversation = copy.copy(tip.conversation)
        for name in ("messages", "ids", "step", "logprobs"):
            setattr(conversation, name, list(getattr(tip.conversation, name)))
        conversation.seed = derive_seed(self.seed, 1, turn, parent, number)
        return _Branch(
            conversation=conversation,
            observations=list(tip.observations),
            actions=list(tip.actions),
            rewards=list(tip.rewards),
            environment=environment,
        )

    def _speak(self, speaker: Speaker, branches: list[_Branch]) -> None:
        told = speaker.speak([branch.conversation for branch in branches])
        speaker.close([branch.conversation for branch in branches])
        for branch, one in zip(branches, told, strict=True):
            assert branch.environment is not None
            if one.failure is not None:
                raise RuntimeError(f"the policy could not write: {one.failure}")
            branch.said = one.text
            branch.last = branch.environment.step(one.message)
            branch.environment.close()
            branch.actions.append(one.message)
            branch.observations.append(branch.last.observation)
            branch.rewards.append(branch.last.reward)
            branch.over = branch.last.ended or one.cut


@dataclass(slots=True, eq=False, kw_only=True)
class _Branch:
    """An attempt while it grows."""

    conversation: Conversation
    observations: list[list[Message]]
    actions: list[Message] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    environment: Environment | None = None
    last: Step = field(default_factory=Step)
    said: str = ""
    over: bool = False

    def node(self, parent: int, depth: int, before: int, last: bool) -> Node:
        """Its newest turn as a segment."""
        ids = self.conversation.ids[before:]
        return Node(
            parent=parent,
            depth=depth,
            ids=tuple(ids),
            logprobs=tuple(self.conversation.logprobs[before:]),
            text=self.said,
            ended=self.over or last,
        )

    def trajectory(self, task: Task, keeps_tokens: bool) -> Trajectory:
        """The whole attempt."""
        talk = self.conversation
        tokens = Tokens(ids=talk.ids, step=talk.step, logprobs=talk.logprobs) if keeps_tokens else None  # type: ignore[arg-type]
        return Trajectory(
            observations=self.observations,
            actions=self.actions,
            rewards=self.rewards,  # type: ignore[arg-type]
            terminated=self.last.terminated,
            truncated=not self.last.terminated,
            task=task,
            tokens=tokens,
        )
