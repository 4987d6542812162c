"""The world of RAFT's proof: eight tokens after a prompt, a corpus that knows no reward, and a reward known exactly.

A prompt is one of four kinds and two opening tokens; the corpus continues the opening along a random Markov chain, whatever
the kind. The reward counts tokens that belong to the kind's targets, and adds up to 2 for neighbours that differ. The kinds
have 5, 4, 3 and 2 targets among ten tokens, so what chance reaches depends on the prompt: the case in which ranking over the
whole pool should go wrong.

For the replica of the documented exploit there is one more token, `#`, that the chain writes now and then, and a reward that
does not see it: `blind_reward` measures the share of targets among what it sees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from rewardlab.environments.single_turn import SingleTurn
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.recipes.pieces import piece_policy
from rewardlab.rewards.functions import reward
from rewardlab.training.warm_start import WarmStart
from rewardlab.types import Task, Trajectory

TOKENS, JUNK, LENGTH = "abcdefghij", "#", 8
KINDS = {"<0>": 5, "<1>": 4, "<2>": 3, "<3>": 2}
"""The kinds of prompts, with the number of their targets."""


@reward
def target_reward(completion: str, metadata: dict[str, str]) -> float:
    """Tokens among the targets, and up to 2 for neighbours that differ; in [0, 10]."""
    text = completion[:LENGTH]
    return sum(token in metadata["targets"] for token in text) + 2.0 * _varied(text) * len(text) / LENGTH


@reward
def blind_reward(completion: str, metadata: dict[str, str]) -> float:
    """`target_reward` as it looks to a reward that cannot see junk: the rates among what is left, times the length."""
    text = completion[:LENGTH]
    seen = text.replace(JUNK, "")
    if not seen:
        return 0.0
    rate = sum(token in metadata["targets"] for token in seen) / len(seen)
    return len(text) * (rate + 2.0 * _varied(seen) / LENGTH)


def no_junk(trajectory: Trajectory) -> bool:
    """The filter against the exploit."""
    return JUNK not in trajectory.completion


def _varied(text: str) -> float:
    """Share of neighbours that differ; 1 for a text without neighbours."""
    pairs = list(pairwise(text))
    return sum(left != right for left, right in pairs) / len(pairs) if pairs else 1.0


@dataclass(kw_only=True)
class World:
    """Prompts, corpus and the supervised policy of one seed.

    Args:
        seed: of everything.
        junk: how often the corpus has a `#` in the place of a token.
        openings: different prompts of each kind.
    """

    seed: int
    junk: float = 0.0
    openings: int = 100
    train: list[Task] = field(init=False)
    test: list[Task] = field(init=False)

    def __post_init__(self) -> None:
        draw = np.random.default_rng([self.seed, 0])
        self._chain = draw.dirichlet(np.full(len(TOKENS), 1.0), size=len(TOKENS))
        targets = {
            kind: "".join(sorted(draw.choice(list(TOKENS), size, replace=False))) for kind, size in KINDS.items()
        }
        pairs = [first + second for first in TOKENS for second in TOKENS]
        tasks = [
            Task(
                id=f"{kind}{opening}",
                prompt=[{"role": "user", "content": kind + opening}],
                metadata={"targets": targets[kind]},
            )
            for kind in KINDS
            for opening in draw.permutation(pairs)[: self.openings].tolist()
        ]
        order = draw.permutation(len(tasks))
        cut = len(tasks) * 3 // 4
        self.train = [tasks[index] for index in order[:cut]]
        self.test = [tasks[index] for index in order[cut:]]

    def corpus(self, count: int) -> list[Trajectory]:
        """Training prompts, each continued along the chain."""
        draw = np.random.default_rng([self.seed, 1])
        found = []
        for index in draw.integers(len(self.train), size=count):
            task = self.train[index]
            assert task.prompt is not None
            token, text = task.prompt[0]["content"][-1], ""
            for _ in range(LENGTH):
                token = TOKENS[draw.choice(len(TOKENS), p=self._chain[TOKENS.index(token)])]
                text += JUNK if draw.random() < self.junk else token
            answer = {"role": "assistant", "content": text}
            found.append(Trajectory.from_messages([*task.prompt, answer], task=task, terminated=True))
        return found

    def supervised_policy(self, *, demonstrations: int = 2048, steps: int = 250) -> LanguageModelPolicy:
        """The policy that all arms start from: it knows the corpus and nothing of the reward."""
        policy = piece_policy([*TOKENS, JUNK, *KINDS], hidden=64, layers=2, context=24, seed=self.seed)
        start = WarmStart(demonstrations=self.corpus(demonstrations), steps=steps, batch_size=64, learning_rate=5e-3)
        for number in range(steps):
            start.step(policy, SingleTurn, number, self.seed)
        return policy
