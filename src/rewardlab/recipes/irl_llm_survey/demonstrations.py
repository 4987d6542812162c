"""The first proof: what one learns from demonstrations depends on which samples are told apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewardlab.recipes.irl_llm_survey.discriminators import fit_discriminators
from rewardlab.recipes.irl_llm_survey.language import PROMPTS, Answers, Language, log_likelihood

ARMS = ("init-sft", "init-sft equal", "sft-demo", "init-demo", "shuffled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What best-of-n chose in one world.

    Args:
        quality: by the name of what chose; "start", "sft" and "demonstrations" are means without any choice.
        accuracy: of each discriminator, on held-out answers.
        ascending: share of neighbours in the demonstrator's order, in what each discriminator chose.
    """

    quality: dict[str, float]
    accuracy: dict[str, float]
    ascending: dict[str, float]


def compare(
    seed: int,
    *,
    free: int = 1600,
    tests: int = 1500,
    n: int = 16,
    steps: int = 600,
    accents: tuple[bool, ...] = (True, False),
) -> dict[bool, Chosen]:
    """All arms of one seed, with the accent and without, in one batch.

    Args:
        seed: of the world.
        free: samples of each policy for "init-sft"; policies can be sampled as often as one likes.
        tests: prompts that best-of-n answers.
        n: samples that it chooses from.
        steps: of the discriminators.
        accents: which worlds.
    """
    worlds = {accent: Language(seed=seed, accent=accent) for accent in accents}
    sides = [pair for world in worlds.values() for pair in _sides(world, free)]
    fitted = fit_discriminators(sides, steps=steps, seed=seed)
    found = {}
    for place, (accent, world) in enumerate(worlds.items()):
        asked = np.random.default_rng([seed, 9]).integers(PROMPTS, size=tests)
        candidates = world.sample(world.tuned, np.repeat(asked, n), 20)
        scores = fitted.all_scores(candidates)[place * len(ARMS) : (place + 1) * len(ARMS)]
        pick = _picker(candidates, n)
        ways: dict[str, NDArray[np.float64]] = dict(zip(ARMS, scores, strict=True))
        ways["likelihood"] = log_likelihood(world.tuned, candidates)
        ways["exact ratio"] = ways["likelihood"] - log_likelihood(world.start, candidates)
        ways["oracle"] = world.quality(candidates)
        chosen = {name: pick(values) for name, values in ways.items()}
        quality = {name: float(world.quality(answers).mean()) for name, answers in chosen.items()}
        quality["start"] = float(world.quality(world.sample(world.start, asked, 21)).mean())
        quality["sft"] = float(world.quality(candidates).mean())
        quality["demonstrations"] = float(world.quality(world.shown).mean())
        own = fitted.accuracy[place * len(ARMS) : (place + 1) * len(ARMS)]
        found[accent] = Chosen(
            quality=quality,
            accuracy=dict(zip(ARMS, own.tolist(), strict=True)),
            ascending={name: world.ascending(chosen[name]) for name in ARMS},
        )
    return found


def _sides(world: Language, free: int) -> list[tuple[Answers, Answers]]:
    """What each arm tells apart: positive and negative answers."""
    many, few = np.arange(free) % PROMPTS, world.shown.prompts
    start, tuned = world.sample(world.start, many, 0), world.sample(world.tuned, many, 1)
    start_few, tuned_few = world.sample(world.start, few, 2), world.sample(world.tuned, few, 3)
    mixed = np.random.default_rng([world.seed, 4]).permutation(2 * free)
    both = Answers(np.concatenate([tuned.prompts, start.prompts]), np.concatenate([tuned.tokens, start.tokens]))
    shuffled = [Answers(both.prompts[rows], both.tokens[rows]) for rows in (mixed[:free], mixed[free:])]
    return [
        (tuned, start),
        (tuned_few, start_few),
        (world.shown, tuned_few),
        (world.shown, start_few),
        (shuffled[0], shuffled[1]),
    ]


def _picker(candidates: Answers, n: int) -> Callable[[NDArray[np.float64]], Answers]:
    """Of every n candidates that with the highest score, the first of equal ones."""

    def pick(scores: NDArray[np.float64]) -> Answers:
        rows = scores.reshape(-1, n).argmax(1) + np.arange(len(candidates) // n) * n
        return Answers(candidates.prompts[rows], candidates.tokens[rows])

    return pick
