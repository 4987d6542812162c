"""The world of Agent-RLVR's proof: a toy repository. A task names a category and a detail, and wants four decisions.

File and edit follow from the category, function and value from the detail, by random tables; only all four right count. Test
tasks are unseen combinations of known categories and details. The base model knows half of the categories and details a
little, knows nothing of the others, and does what hints say, which is what a model tuned to follow instructions brings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.logprobs import token_logprobs
from rewardlab.recipes.pieces import piece_policy
from rewardlab.training.guidance import Guidance, HintFormat
from rewardlab.types import Scores, Task, Trajectory

CATEGORIES, DETAILS, DECISIONS, OPTIONS = 20, 16, 4, 6
HOW = HintFormat(template="{hint}", headings={}, join="")
"""A hint is its tokens, behind the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What the base model knows.

    Args:
        steps: of pretraining, on 64 sequences each.
        learning_rate: of these.
        easy: share of the categories and details that it knows something of.
        known: how often it saw the right answer of those; else any answer.
        follows: how often it saw a hint followed; 0 for a model that ignores hints.
        hinted: share of the sequences with hints.
    """

    steps: int = 500
    learning_rate: float = 3e-3
    easy: float = 0.5
    known: float = 0.7
    follows: float = 0.85
    hinted: float = 0.5


@dataclass(kw_only=True)
class World:
    """Tables, tasks and the base model of one seed.

    Args:
        seed: of everything.
        base: what the base model knows.
        accuracy: how often each part of the teacher's guidance is right; else it is any option.
        width: of the model.
        train: training tasks; the other combinations are test tasks.
    """

    seed: int
    base: Base = field(default_factory=Base)
    accuracy: float = 0.8
    width: int = 32
    train: int = CATEGORIES * DETAILS // 2
    train_tasks: list[Task] = field(init=False)
    test_tasks: list[Task] = field(init=False)

    def __post_init__(self) -> None:
        draw = np.random.default_rng([self.seed, 0])
        self.by_category = draw.integers(OPTIONS, size=(CATEGORIES, 2))
        self.by_detail = draw.integers(OPTIONS, size=(DETAILS, 2))
        self.easy_category = draw.permutation(CATEGORIES) < self.base.easy * CATEGORIES
        self.easy_detail = draw.permutation(DETAILS) < self.base.easy * DETAILS
        order = draw.permutation(CATEGORIES * DETAILS)
        self.combinations = [divmod(int(number), DETAILS) for number in order]
        tasks = [self._task(*one) for one in self.combinations]
        self.train_tasks, self.test_tasks = tasks[: self.train], tasks[self.train :]

    def right(self, category: int, detail: int) -> list[int]:
        """The four decisions."""
        (file, edit), (function, value) = self.by_category[category], self.by_detail[detail]
        return [int(file), int(function), int(edit), int(value)]

    def pieces(self) -> list[str]:
        """What the tokens stand for."""
        return [
            *(f"<category{number}>" for number in range(CATEGORIES)),
            *(f"<detail{number}>" for number in range(DETAILS)),
            *_all(hint_text),
            *_all(answer_text),
        ]

    def base_policy(self) -> LanguageModelPolicy:
        """The base model, pretrained on training combinations with noisy answers and obeyed random hints."""
        policy = piece_policy(self.pieces(), hidden=self.width, layers=2, context=16, seed=self.seed)
        draw = np.random.default_rng([self.seed, 1])
        optimizer = torch.optim.AdamW(policy.model.parameters(), lr=self.base.learning_rate, weight_decay=0.0)
        policy.model.train()
        for step in range(self.base.steps):
            ids, wanted = self._sequences(policy, draw, 64)
            for group in optimizer.param_groups:
                group["lr"] = self.base.learning_rate * (1.0 - step / self.base.steps)
            logprobs = token_logprobs(policy.model, ids, (ids != policy.pad_id).long(), positions_mask=wanted)
            (-logprobs.sum() / wanted.sum()).backward()
            torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        policy.model.eval()
        return policy

    def teacher(self, *, shuffled: bool = False) -> Teacher:
        """Who writes the guidance; `shuffled` writes that of another task."""
        return Teacher(world=self, shuffled=shuffled)

    def _task(self, category: int, detail: int) -> Task:
        return Task(
            id=f"{category}/{detail}",
            prompt=[{"role": "user", "content": f"<category{category}><detail{detail}>"}],
            reference=answer_of(self.right(category, detail)),
            metadata={"category": category, "detail": detail},
        )

    def _sequences(
        self, policy: LanguageModelPolicy, draw: np.random.Generator, count: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids of noisy demonstrations, and which of them are answers."""
        vocabulary = policy.tokenizer.get_vocab()
        pairs = np.array(self.combinations[: self.train])[draw.integers(self.train, size=count)]
        right = np.concatenate([self.by_category[pairs[:, 0]], self.by_detail[pairs[:, 1]]], axis=1)[:, [0, 2, 1, 3]]
        easy = np.stack([self.easy_category[pairs[:, 0]], self.easy_detail[pairs[:, 1]]] * 2, axis=1)
        shape = (count, DECISIONS)
        known = easy & (draw.random(shape) < self.base.known)
        given = np.where(known, right, draw.integers(OPTIONS, size=shape))
        hinted = (draw.random((count, 1)) < self.base.hinted) & (draw.random(shape) < 0.5)
        hints = draw.integers(OPTIONS, size=shape)
        given = np.where(hinted & (draw.random(shape) < self.base.follows), hints, given)
        places = np.arange(DECISIONS) * OPTIONS
        columns = [
            np.array([vocabulary[f"<category{number}>"] for number in range(CATEGORIES)])[pairs[:, :1]],
            np.array([vocabulary[f"<detail{number}>"] for number in range(DETAILS)])[pairs[:, 1:]],
            np.array([vocabulary[one] for one in _all(hint_text)])[places + hints],
            np.full((count, 1), vocabulary["<|answer|>"]),
            np.array([vocabulary[one] for one in _all(answer_text)])[places + given],
            np.full((count, 1), vocabulary["<|end|>"]),
        ]
        ids = np.concatenate(columns, axis=1)
        there = np.ones(ids.shape, dtype=np.bool_)
        there[:, 2 : 2 + DECISIONS] = hinted
        written = np.zeros(ids.shape, dtype=np.bool_)
        written[:, 3 + DECISIONS :] = True
        order = np.argsort(~there, axis=1, kind="stable")  # what is not there goes to the end, and becomes padding
        ids = np.take_along_axis(np.where(there, ids, policy.pad_id), order, 1)
        return torch.from_numpy(ids), torch.from_numpy(np.take_along_axis(written, order, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """Guidance in three parts: the plan says the edit, the interaction file and function, the feedback the first decision of
    the failed attempt that is wrong, where the other parts do not say it. Each is right with the world's accuracy.
    """

    world: World
    shuffled: bool = False

    def __call__(self, task: Task, trajectory: Trajectory, scores: Scores) -> Guidance:
        """The guidance for one attempt; the same for the same attempt."""
        written = trajectory.completion
        seed = np.frombuffer(f"{task.id}/{written}/{trajectory.group}".encode(), dtype=np.uint8)
        draw = np.random.default_rng([self.world.seed, 2, *seed.tolist(), len(trajectory.tokens or ())])
        category, detail = task.metadata["category"], task.metadata["detail"]
        if self.shuffled:
            other = self.world.train_tasks[int(draw.integers(len(self.world.train_tasks)))].metadata
            category, detail = other["category"], other["detail"]
        right = self.world.right(category, detail)
        said = [one if draw.random() < self.world.accuracy else int(draw.integers(OPTIONS)) for one in right]
        hints = [hint_text(place, option) for place, option in enumerate(said)]
        expected = task.reference.split(">")[:DECISIONS]
        given = written.split(">")[:DECISIONS]
        last_alone = given[:3] == expected[:3]
        return Guidance(plan=hints[2], interaction=hints[0] + hints[1], feedback=hints[3] if last_alone else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a policy does on tasks.

    Args:
        greedy: share of the tasks whose most likely answer is right.
        chance: float64[task], exact probability of the right answer at temperature 1.
    """

    greedy: float
    chance: NDArray[np.float64]

    def pass_at(self, k: int) -> float:
        """Mean probability that one of k samples is right."""
        return float((1.0 - (1.0 - self.chance) ** k).mean())


def measure(policy: LanguageModelPolicy, tasks: Sequence[Task]) -> Measured:
    """Exact numbers from the one right answer of each task: no sampling."""
    vocabulary = policy.tokenizer.get_vocab()
    prompts, answers = [], []
    for task in tasks:
        prompts.append(policy.template.opening(task.prompt or []))
        answers.append([vocabulary[f"{piece}>"] for piece in task.reference.split(">")[:-1]])
    start = len(prompts[0])
    ids = torch.tensor([one + other for one, other in zip(prompts, answers, strict=True)])
    policy.model.eval()
    with torch.no_grad():
        logits = policy.model(input_ids=ids).logits[:, start - 1 : -1].float()
    wanted = ids[:, start:]
    chosen = torch.log_softmax(logits, -1).gather(-1, wanted[..., None])[..., 0].sum(1)
    greedy = (logits.argmax(-1) == wanted).all(1)
    return Measured(greedy=float(greedy.float().mean()), chance=chosen.exp().double().numpy())


def _all(text: Callable[[int, int], str]) -> list[str]:
    return [text(place, option) for place in range(DECISIONS) for option in range(OPTIONS)]


def hint_text(place: int, option: int) -> str:
    """The token that says one decision in a hint."""
    return f"<hint{place}={option}>"


def answer_text(place: int, option: int) -> str:
    """The token that makes one decision."""
    return f"<{('file', 'function', 'edit', 'value')[place]}{option}>"


def answer_of(options: Sequence[int]) -> str:
    """The answer with these decisions."""
    return "".join(answer_text(place, option) for place, option in enumerate(options))
