"""The world of HARMO's proof: 30 questions with one right answer, 30 that are judged, and short answers that are garbled.

An answer is up to five steps of thought (dots) and a digit, bare or between tags, which are pieces of their own: whether to
keep the format and what to answer are two choices. What the policy wrote reaches its reader garbled with probability
`.7 exp(-dots / 1.5)`: the digit is then any other. So thinking longer is better, on every question.
The ten answers of an open question stand on a sphere, and the quality of one is its cosine to the reference, in [0, 1].

The learned reward is fitted to comparisons by judges that see the quality of open answers alone, have favourite digits, and
may like short answers; of what is right among the verifiable ones they know nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rewardlab.environments.single_turn import SingleTurn
from rewardlab.learning.data import PreferenceData
from rewardlab.learning.fitting import fit
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.rollout import rollout
from rewardlab.recipes.piece_encoder import PieceEncoder
from rewardlab.recipes.table_policy import table_policy
from rewardlab.rewards.models.model import RewardModel
from rewardlab.training.warm_start import WarmStart
from rewardlab.types import Task, Trajectory

QUESTIONS, DIGITS, MOST_DOTS = 60, 10, 5
DOT, OPEN, CLOSE = ".", "<answer>", "</answer>"
WRITTEN = [str(digit) for digit in range(DIGITS)]
PIECES = [DOT, OPEN, CLOSE, *WRITTEN]
SAMPLING = Sampling(max_new_tokens=MOST_DOTS + 4)
_ANSWER = re.compile(r"\d")


@dataclass(kw_only=True)
class World:
    """Questions, judges and the starting policy of one seed.

    Args:
        seed: of everything.
        garbling: how often an answer without a thought is garbled.
        patience: how many dots make that e times rarer.
        dimensions: of the sphere.
    """

    seed: int
    garbling: float = 0.7
    patience: float = 1.5
    dimensions: int = 4
    tasks: list[Task] = field(init=False)

    def __post_init__(self) -> None:
        draw = np.random.default_rng([self.seed, 0])
        right = draw.integers(DIGITS, size=QUESTIONS)
        vectors = draw.normal(size=(DIGITS, self.dimensions))
        self.vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self.favourites = draw.normal(size=DIGITS)
        self._noise = draw.normal(size=(QUESTIONS, DIGITS))
        self.tasks = [
            Task(
                id=f"q{number}",
                prompt=[{"role": "user", "content": f"<q{number}>"}],
                reference=str(right[number]),
                metadata={"task_type": "verifiable" if number % 2 == 0 else "open", "number": number},
            )
            for number in range(QUESTIONS)
        ]
        self.verifiable = self.tasks[0::2]
        self.open = self.tasks[1::2]

    # ---- what reaches the reader ----------------------------------------------------------------------------------------

    def rollout(self, *arguments: Any, seed: int = 0, **options: Any) -> list[Trajectory]:
        """`rewardlab.rollout`, with answers as they reach their reader; the tokens stay those that the policy wrote."""
        draw = np.random.default_rng([self.seed, 1, seed % 2**63])
        return [self.received(one, draw) for one in rollout(*arguments, seed=seed, **options)]

    def received(self, trajectory: Trajectory, draw: np.random.Generator) -> Trajectory:
        """An attempt as it reaches its reader."""
        chance, other = draw.random(), str(draw.integers(1, DIGITS))
        if not len(trajectory):
            return trajectory
        text = trajectory.completion
        if chance < self.garbling * np.exp(-text.count(DOT) / self.patience):
            text = _ANSWER.sub(lambda found: str((int(found.group()) + int(other)) % DIGITS), text, count=1)
        return replace(trajectory, actions=[{"role": "assistant", "content": text}])

    # ---- the truth ------------------------------------------------------------------------------------------------------

    def embed(self, texts: list[str]) -> np.ndarray:
        """The embedding surrogate: where the digit of each text stands on the sphere; zeros where there is none."""
        found = [digit_of(text) for text in texts]
        return np.stack([np.zeros(self.dimensions) if digit is None else self.vectors[digit] for digit in found])

    def quality(self, task: Task, text: str) -> float:
        """How good an answer to an open question is, in [0, 1]; 0 without a digit."""
        digit = digit_of(text)
        return 0.0 if digit is None else (1.0 + float(self.vectors[digit] @ self.vectors[int(task.reference)])) / 2.0

    # ---- the learned reward ---------------------------------------------------------------------------------------------

    def judged(self, task: Task, text: str, brevity: float) -> float:
        """What a judge thinks of an answer."""
        digit, number = digit_of(text), task.metadata["number"]
        if digit is None:
            return -3.0
        known = 3.0 * self.quality(task, text) if task.metadata["task_type"] == "open" else 0.0
        return known + 0.5 * self.favourites[digit] + 0.3 * self._noise[number, digit] - brevity * text.count(DOT)

    def comparisons(self, count: int, brevity: float) -> PreferenceData:
        """Comparisons of two answers to one question, by judges who like a dot less by so much."""
        draw = np.random.default_rng([self.seed, 2])
        items, labels = [], []
        for number in draw.integers(QUESTIONS, size=count):
            task = self.tasks[number]
            pair = [random_answer(draw) for _ in range(2)]
            gap = self.judged(task, pair[0], brevity) - self.judged(task, pair[1], brevity)
            labels.append(float(draw.random() < 1.0 / (1.0 + np.exp(-2.0 * gap))))
            items += [answered(task, text) for text in pair]
        rows = np.arange(count)
        return PreferenceData(items=items, first=2 * rows, second=2 * rows + 1, label=np.array(labels))

    def reward_model(self, brevity: float, *, comparisons: int = 6000, steps: int = 600) -> RewardModel:
        """The learned reward."""
        encoder = PieceEncoder([f"<q{number}>" for number in range(QUESTIONS)], PIECES, hidden=(128,))
        model = RewardModel.make(encoder, "scalar", name="model")
        fit(
            model, self.comparisons(comparisons, brevity), steps=steps, batch_size=128, learning_rate=3e-3, seed=self.seed
        )  # fmt: skip
        return model

    # ---- the policy -----------------------------------------------------------------------------------------------------

    def starting_policy(self, *, demonstrations: int = 2048, steps: int = 60) -> LanguageModelPolicy:
        """A policy that knows how answers look, and nothing of which is right."""
        draw = np.random.default_rng([self.seed, 3])
        numbers = draw.integers(QUESTIONS, size=demonstrations)
        shown = [answered(self.tasks[number], random_answer(draw)) for number in numbers]
        policy = table_policy([*PIECES, *(f"<q{number}>" for number in range(QUESTIONS))])
        start = WarmStart(demonstrations=shown, steps=steps, batch_size=64, learning_rate=0.1)
        for number in range(steps):
            start.step(policy, SingleTurn, number, self.seed)
        return policy


def digit_of(text: str) -> int | None:
    """The first digit of an answer."""
    found = _ANSWER.search(text)
    return None if found is None else int(found.group())


def random_answer(draw: np.random.Generator) -> str:
    """An answer as the demonstrations have them: any digit, any number of dots, in tags with probability .45."""
    digit = WRITTEN[int(draw.integers(DIGITS))]
    thought = DOT * int(draw.integers(MOST_DOTS + 1))
    return thought + (OPEN + digit + CLOSE if draw.random() < 0.45 else digit)


def answered(task: Task, text: str) -> Trajectory:
    """A task with an answer."""
    return Trajectory.from_messages(
        [*(task.prompt or []), {"role": "assistant", "content": text}], task=task, terminated=True
    )
