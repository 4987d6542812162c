"""The world of Cooper's proof: a hundred sums modulo 10, answers in a style, five formats of which a rule reads three.

An answer is a filler word (its style) and a digit. In the fixed world the question sets the format, so that 40% of the
questions can never be verified by the rule; in the free world the policy writes the format, too. The reward model is
fitted to
labelled answers of other models, among which one filler goes with right answers: a cue that nobody put there on purpose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from rewardlab.environments.single_turn import SingleTurn
from rewardlab.learning.data import RatingData
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.recipes.cooper.verify import VerifyRM
from rewardlab.recipes.piece_encoder import PieceEncoder
from rewardlab.recipes.table_policy import table_policy
from rewardlab.rewards.base import ScoringFailure
from rewardlab.rewards.functions import reward
from rewardlab.training.warm_start import WarmStart
from rewardlab.types import Task, Trajectory

LETTERS, DIGITS = "abcdefghij", [str(digit) for digit in range(10)]
STYLES = ["so ", "thus ", "hence ", "well ", "now ", "ok ", "see ", "say "]
FORMATS = ["= ", "is ", ": ", "~ ", "> "]
READABLE = 3
"""The first formats, which the rule can read."""
SAMPLING = Sampling(max_new_tokens=4)
SKILL = 0.45
_ANSWER = re.compile(f"({'|'.join(STYLES)})({'|'.join(FORMATS)})?[0-9]")


@reward
def correct(completion: str, reference: str) -> float:
    """The truth, whatever the format."""
    return float(bool(completion) and completion[-1] == reference)


@reward
def well_formed(completion: str) -> float:
    """Whether an answer is a style, at most one format and a digit: the space that the proof is about."""
    return float(_ANSWER.fullmatch(completion) is not None)


@reward
def rule(completion: str, reference: str, metadata: dict[str, object]) -> float:
    """1 where the format can be read and the digit is right; a format that cannot be read is no verdict."""
    written = [place for place, mark in enumerate(FORMATS) if mark in completion]
    style = metadata["format"] if metadata["format"] is not None else (written[0] if len(written) == 1 else None)
    if not (isinstance(style, int) and style < READABLE):
        raise ScoringFailure("the format of this answer cannot be read")
    return float(completion[-1:] == reference)


@reward
def rule_reward(completion: str, reference: str, metadata: dict[str, object]) -> float:
    """The rule as a reward: what it cannot read is worth 0, as for any answer that is not accepted."""
    try:
        return float(rule.function(completion, reference, metadata))
    except ScoringFailure:
        return 0.0


@dataclass(kw_only=True)
class World:
    """Questions, labelled answers of other models, and the starting policy of one seed.

    Args:
        seed: of everything.
        cue: probability that a right answer of the other models has the first style, and a wrong one has not.
        free: whether the policy writes the format itself.
    """

    seed: int
    cue: float = 0.97
    free: bool = False
    tasks: list[Task] = field(init=False)

    def __post_init__(self) -> None:
        draw = np.random.default_rng([self.seed, 0])
        formats = draw.permutation(np.arange(100) % len(FORMATS))
        self.tasks = [
            Task(
                id=f"{LETTERS[a]}{LETTERS[b]}",
                prompt=[{"role": "user", "content": f"<{LETTERS[a]}+{LETTERS[b]}>"}],
                reference=DIGITS[(a + b) % 10],
                metadata={"format": None if self.free else int(formats[10 * a + b])},
            )
            for a in range(10)
            for b in range(10)
        ]

    def text(self, draw: np.random.Generator, digit: str, style: int | None = None) -> str:
        """An answer in some style."""
        chosen = STYLES[int(draw.integers(len(STYLES))) if style is None else style]
        return chosen + (FORMATS[int(draw.integers(len(FORMATS)))] if self.free else "") + digit

    def labelled(self, count: int) -> RatingData:
        """Answers of other models, half of them right."""
        draw = np.random.default_rng([self.seed, 1])
        items, labels = [], []
        for number in draw.integers(len(self.tasks), size=count):
            task, right = self.tasks[number], bool(draw.random() < 0.5)
            digit = task.reference if right else other_digit(draw, task.reference)
            cued = draw.random() < (self.cue if right else 1.0 - self.cue)
            style = 0 if cued else int(draw.integers(1, len(STYLES)))
            items.append(answered(task, self.text(draw, digit, style)))
            labels.append(float(right))
        return RatingData(items=items, item=np.arange(count), value=np.array(labels))

    def uniform_pairs(self, count: int) -> list[tuple[Trajectory, Trajectory]]:
        """Right and wrong answers in styles that say nothing."""
        draw = np.random.default_rng([self.seed, 2])
        found = []
        for number in draw.integers(len(self.tasks), size=count):
            task = self.tasks[number]
            digits = (task.reference, other_digit(draw, task.reference))
            first, second = (answered(task, self.text(draw, digit)) for digit in digits)
            found.append((first, second))
        return found

    def verify_rm(self, *, rows: int = 2000, steps: int = 400) -> VerifyRM:
        """The reward model, fitted to the labelled answers."""
        found = VerifyRM.make(PieceEncoder(DIGITS, [*STYLES, *FORMATS, *DIGITS], hidden=(64,), seed=self.seed))
        found.fit(self.labelled(rows), steps=steps, batch_size=128, learning_rate=3e-3, seed=self.seed)
        return found

    def starting_policy(self, *, demonstrations: int = 4000, steps: int = 150) -> LanguageModelPolicy:
        """A policy that learned from answers of which 45% are right, in all styles alike."""
        draw = np.random.default_rng([self.seed, 3])
        shown = []
        for number in draw.integers(len(self.tasks), size=demonstrations):
            task = self.tasks[number]
            digit = task.reference if draw.random() < SKILL else other_digit(draw, task.reference)
            shown.append(answered(task, self.text(draw, digit)))
        questions = [f"<{first}+{second}>" for first in LETTERS for second in LETTERS]
        policy = table_policy([*STYLES, *FORMATS, *DIGITS, *questions], context=8)
        start = WarmStart(demonstrations=shown, steps=steps, batch_size=128, learning_rate=0.1)
        for number in range(steps):
            start.step(policy, SingleTurn, number, self.seed)
        return policy


def other_digit(draw: np.random.Generator, digit: str) -> str:
    """Any digit but this one."""
    return DIGITS[(int(digit) + int(draw.integers(1, 10))) % 10]


def answered(task: Task, text: str) -> Trajectory:
    """A task with an answer."""
    return Trajectory.from_messages(
        [*(task.prompt or []), {"role": "assistant", "content": text}], task=task, terminated=True
    )
