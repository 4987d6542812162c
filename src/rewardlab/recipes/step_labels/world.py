"""Chains of sums and products modulo seven: written solutions with mistakes, and labels of their steps.

A task asks for some operations on a number, one after the other. A written step says which number it starts from, which
operand it takes and what comes out; a mistake is a wrong start, a wrong operand or a wrong result. Behind a mistake the
solution goes on from what it wrote, as people and language models do, so that later steps are sound and the answer is
(almost always) wrong. A product with zero makes an answer right in spite of a mistake before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.data import RankingData, StepLabelData
from rewardlab.types import Task, Trajectory

MODULUS = 7
OPERATIONS = ("+", "x")
INPUTS = 5 * MODULUS + len(OPERATIONS)
"""Numbers that an encoder sees of a step: what was asked, the result before, and what was written, each one-hot."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Solutions:
    """Written solutions of some tasks.

    Args:
        asked: int64[solution, step, 2], operation and operand of each step.
        start: int64[solution], the number that the task begins with.
        written: int64[solution, step, 3], start, operand and result as written.
        mistake: bool[solution, step].
        right: bool[solution], whether the answer is right.
        task: int64[solution], which task it answers.
    """

    asked: Ints
    start: Ints
    written: Ints
    mistake: NDArray[np.bool_]
    right: NDArray[np.bool_]
    task: Ints

    def __len__(self) -> int:
        return len(self.start)

    @property
    def sound(self) -> NDArray[np.bool_]:
        """bool[solution], whether there is no mistake."""
        return np.asarray(~self.mistake.any(1))

    def trajectories(self, name: str) -> list[Trajectory]:
        """The solutions as array trajectories, one action for each step."""
        before = np.concatenate([self.start[:, None], self.written[:, :-1, 2]], axis=1)
        digits = np.stack([self.asked[..., 1], before, *np.moveaxis(self.written, -1, 0)], axis=-1)
        seen = np.concatenate(
            [np.eye(len(OPERATIONS))[self.asked[..., 0]], np.eye(MODULUS)[digits].reshape(*digits.shape[:2], -1)],
            axis=-1,
        ).astype(np.float32)
        steps = seen.shape[1]
        return [
            Trajectory(
                observations=np.concatenate([one, one[-1:]]),
                actions=np.zeros((steps, 0), np.float32),
                task=Task(id=f"{name}/{task}"),
            )
            for one, task in zip(seen, self.task, strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class World:
    """Tasks and solutions of one seed.

    Args:
        seed: of everything.
        steps: of each solution.
        mistakes: how likely each step is to be a mistake.
        labelled: solutions whose steps are labelled.
        held_out: solutions on which models are measured.
        choices: tasks with eight solutions each, of which the best is to be picked.
    """

    seed: int
    steps: int = 6
    mistakes: float = 0.12
    labelled: int = 600
    held_out: int = 1000
    choices: int = 300

    @cached_property
    def training(self) -> Solutions:
        """What the labels are about."""
        return self._solutions("training", np.arange(self.labelled))

    @cached_property
    def more(self) -> Solutions:
        """Five times as many solutions, of which only the answer is known."""
        return self._solutions("more", np.arange(5 * self.labelled))

    @cached_property
    def validation(self) -> StepLabelData:
        """Solutions with the labels of people on which thresholds are chosen: half as many as are labelled."""
        solutions = self._solutions("validation", np.arange(self.labelled // 2))
        return labelled(solutions, people(solutions), "validation")

    @cached_property
    def test(self) -> StepLabelData:
        """Held-out solutions with the labels of people."""
        solutions = self._solutions("test", np.arange(self.held_out))
        return labelled(solutions, people(solutions), "test")

    @cached_property
    def best_of_eight(self) -> RankingData:
        """Tasks with eight solutions; those without a mistake are as good as one another, and so are the others.

        Tasks where all are sound, or none, are left out: there is nothing to pick.
        """
        solutions = self._solutions("choices", np.repeat(np.arange(self.choices), 8))
        groups = np.arange(8 * self.choices).reshape(self.choices, 8)
        sound = solutions.sound
        order = [group[np.argsort(~sound[group], kind="stable")] for group in groups]
        mixed = [group for group in order if 0 < sound[group].sum() < 8]
        return RankingData(
            items=solutions.trajectories("choices"),
            rankings=mixed,
            ties=[sound[group][1:] == sound[group][:-1] for group in mixed],
        )

    def shares(self, solutions: Solutions, *, continuations: int = 8) -> list[NDArray[np.float64]]:
        """Labels without people: of every step, how many of some continuations from there on reach the right answer.

        The continuations make mistakes as often as the solutions do. Source: Wang et al. 2024, "Math-Shepherd"
        (arXiv 2312.08935).
        """
        generator = self._generator("shares")
        truth = _run(solutions.start, solutions.asked)[:, -1]
        labels = np.empty((len(solutions), self.steps))
        for step in range(self.steps):
            hits = np.zeros(len(solutions))
            for _ in range(continuations):
                rest, _ = _write(
                    generator, solutions.written[:, step, 2], solutions.asked[:, step + 1 :], self.mistakes
                )
                end = rest[:, -1, 2] if rest.shape[1] else solutions.written[:, step, 2]
                hits += end == truth
            labels[:, step] = hits / continuations
        return list(labels)

    def careless(self, labels: list[NDArray[np.float64]], share: float = 0.2) -> list[NDArray[np.float64]]:
        """Labels of which some are wrong: a mistake is overlooked, or marked where none is."""
        generator = self._generator("careless")
        spoilt = []
        for one in labels:
            if generator.random() < share:
                changed = np.ones(self.steps)
                if generator.random() < 0.5:  # otherwise everything passes as right
                    place = int(generator.integers(self.steps))
                    changed[place], changed[place + 1 :] = 0.0, np.nan
                spoilt.append(changed)
            else:
                spoilt.append(one)
        return spoilt

    def _solutions(self, name: str, task: Ints) -> Solutions:
        generator = self._generator(name)
        count = int(task.max()) + 1
        asked = np.stack(
            [generator.integers(0, 2, (count, self.steps)), generator.integers(0, MODULUS, (count, self.steps))],
            axis=-1,
        )[task]
        start = generator.integers(0, MODULUS, count)[task]
        written, mistake = _write(generator, start, asked, self.mistakes)
        right = written[:, -1, 2] == _run(start, asked)[:, -1]
        return Solutions(asked=asked, start=start, written=written, mistake=mistake, right=right, task=task)

    def _generator(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *name.encode()])


def people(solutions: Solutions) -> list[NDArray[np.float64]]:
    """Labels as people give them: right up to the first mistake, and nothing behind it. float64[step] of each solution."""
    found = []
    for mistake in solutions.mistake:
        labels = np.ones(len(mistake))
        if mistake.any():
            first = int(mistake.argmax())
            labels[first], labels[first + 1 :] = 0.0, np.nan
        found.append(labels)
    return found


def outcomes(solutions: Solutions) -> list[NDArray[np.float64]]:
    """Labels without people: at every step, whether the answer at the end is right."""
    return [np.full(solutions.mistake.shape[1], float(right)) for right in solutions.right]


def labelled(solutions: Solutions, labels: list[NDArray[np.float64]], name: str) -> StepLabelData:
    """Solutions with labels, as data."""
    return StepLabelData(items=solutions.trajectories(name), item=np.arange(len(solutions)), labels=labels)


def _apply(value: Ints, operation: Ints, operand: Ints) -> Ints:
    return np.where(operation == 0, value + operand, value * operand) % MODULUS


def _run(start: Ints, asked: Ints) -> Ints:
    """The true result of every step, int64[solution, step]."""
    results, value = np.empty(asked.shape[:2], np.int64), start
    for step in range(asked.shape[1]):
        value = _apply(value, asked[:, step, 0], asked[:, step, 1])
        results[:, step] = value
    return results


def _write(generator: np.random.Generator, start: Ints, asked: Ints, mistakes: float) -> tuple[Ints, NDArray[np.bool_]]:
    """Solutions with mistakes of three kinds: int64[solution, step, 3] as written, and bool[solution, step]."""
    count, steps = asked.shape[:2]
    written, mistake = np.empty((count, steps, 3), np.int64), generator.random((count, steps)) < mistakes
    value = start
    for step in range(steps):
        kind = np.where(mistake[:, step], generator.integers(0, 3, count), -1)
        shift = generator.integers(1, MODULUS, count)  # never 0, so that a mistake is one
        begins = (value + shift * (kind == 0)) % MODULUS
        operand = (asked[:, step, 1] + shift * (kind == 1)) % MODULUS
        value = (_apply(begins, asked[:, step, 0], operand) + shift * (kind == 2)) % MODULUS
        written[:, step] = np.stack([begins, operand, value], axis=1)
    return written, mistake
