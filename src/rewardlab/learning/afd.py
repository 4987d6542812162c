"""Alignment from demonstrations: a reward from samples of two policies, or of a policy and demonstrations, told apart.

Which two sides are told apart decides what is learned. Against demonstrations of another kind of writer a discriminator
learns the writer's accent, which the policy cannot produce. Between samples of the start and of the fine-tuned policy both
sides are of one family, so what it learns is the direction in which fine-tuning moved, and best-of-n or training with it
goes further in that direction than fine-tuning did.
"""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from rewardlab.environments.base import Environment
from rewardlab.environments.single_turn import SingleTurn
from rewardlab.functional.discrimination import area_under_curve
from rewardlab.functional.intervals import share_interval
from rewardlab.learning.data import PreferenceData, prompt_key
from rewardlab.learning.fitting import fit
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Task, Trajectory

if TYPE_CHECKING:
    from rewardlab.policies.engines.base import Sampling

Sides = Literal["init-sft", "sft-demo", "init-demo"]
SUSPECT = 0.98
"""Held-out accuracy above which the two sides differ by kind of writer, not by degree."""


class HeterogeneousSides(UserWarning):
    """The two sides are told apart too easily for the difference to be one of quality."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentReward:
    """A reward from demonstrations, with what is to be known before it is used.

    Args:
        reward: the discriminator; its values are log-odds of coming from the positive side.
        data: which sides were told apart.
        accuracy: on held-out responses, the mean of both sides; .5 is chance.
        interval: 95% interval of the accuracy.
        length_auc: how well the length of a response alone tells the sides apart, in [0, 1]; .5 is not at all.
        counts: responses of the positive and of the negative side.
        dropped: negatives that were left out because they equal a demonstration.
        separating: words that tell most, with their log-odds of the positive side; the strongest first.
    """

    reward: RewardModel
    data: Sides
    accuracy: float
    interval: tuple[float, float]
    length_auc: float
    counts: tuple[int, int]
    dropped: int
    separating: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        words = ", ".join(f"{word!r} {weight:+.1f}" for word, weight in self.separating)
        return (
            f"{self.data}: {self.counts[0]} positive and {self.counts[1]} negative responses ({self.dropped} dropped); "
            f"held-out accuracy {self.accuracy:.3f} [{self.interval[0]:.3f}, {self.interval[1]:.3f}], "
            f"by length alone {self.length_auc:.3f} (area under the curve); told apart by {words or 'no word'}"
        )


def afd(
    policy0: Any,
    demonstrations: Sequence[Trajectory],
    data: Sides = "init-sft",
    *,
    sft: Any = None,
    samples: int = 8,
    discriminator: RewardModel | None = None,
    held_out: float = 0.2,
    environment: Callable[[], Environment] = SingleTurn,
    sampling: Sampling | None = None,
    seed: int = 0,
    **options: Any,
) -> AlignmentReward:
    """Learn a reward from demonstrations, by telling two sides apart that answer the same prompts.

    Source: Sun and van der Schaar 2024, "Inverse-RLignment" (arXiv 2405.15624): "init-sft" extrapolates beyond fine-tuning.

    Args:
        policy0: the start: a policy to sample from, or responses of it.
        demonstrations: chats; their prompts are those that policies are asked.
        data: the negative and the positive side: samples of the start and of the fine-tuned policy ("init-sft"), of the
            fine-tuned policy and demonstrations ("sft-demo"), or of the start and demonstrations ("init-demo").
        sft: the policy that was fine-tuned on the demonstrations, or responses of it; "init-demo" does without.
        samples: responses to each prompt, where a policy is sampled; they cost no annotation, so take many.
        discriminator: a new reward model, which is fitted; None for a linear one over hashed words.
        held_out: share of the different responses that the accuracy is measured on, and nothing is fitted to.
        environment: what policies answer in.
        sampling: of the policies.
        seed: of samples, split and fit.
        options: of `fit`.

    Returns:
        The reward and what was measured.

    Raises:
        ValueError: an unknown `data`, a side or prompts missing, or the sides cannot be told apart (the fine-tuned policy is
            the start, so labels are noise).
    """
    if data not in get_args(Sides):
        raise ValueError(f"data must be one of {', '.join(get_args(Sides))}, got {data!r}")
    if not 0 < held_out < 1:
        raise ValueError(
            f"held_out must be between 0 and 1, got {held_out}: the accuracy has to be measured on something"
        )
    if not demonstrations:
        raise ValueError("there are no demonstrations; the prompts that policies are asked are theirs")
    if data != "init-demo" and sft is None:
        raise ValueError(
            f"data={data!r} needs sft, the policy that was fine-tuned on the demonstrations, or its responses"
        )
    if data == "init-sft" and _same_policy(policy0, sft):
        raise ValueError(
            "sft is the same as policy0, so the labels would be noise; fine-tune it on the demonstrations first"
        )
    tasks = _tasks(demonstrations)
    if len(tasks) == 1 and isinstance(samples, int) and samples < 2:
        raise ValueError("one prompt and one sample leave nothing to hold out; give more samples")

    def drawn(side: Any, name: str, shift: int) -> list[Trajectory]:
        if isinstance(side, Sequence):
            return _answers(side, name)
        from rewardlab.policies.rollout import rollout

        found = rollout(side, environment, tasks, group_size=samples, sampling=sampling, seed=seed * 2 + shift)
        return _answers(found, name)

    shown = _answers(demonstrations, "demonstrations")
    negative = drawn(sft, "sft", 1) if data == "sft-demo" else drawn(policy0, "policy0", 0)
    positive = drawn(sft, "sft", 1) if data == "init-sft" else shown
    known = {_key(one) for one in shown}
    kept = [one for one in negative if _key(one) not in known]
    _same_prompts(positive, kept, data)
    learn, test = _split(positive, kept, held_out, seed)
    model = discriminator or _words_model(seed)
    settings: dict[str, Any] = {"epochs": 20.0, "learning_rate": 0.1 if discriminator is None else 1e-3, **options}
    fit(model, _paired(*learn), loss="classifier", normalise=False, seed=seed, **settings)
    # a head without a constant cannot put its threshold at 0, so it is taken between the sides that were fitted to
    middle = float(np.mean([np.median(model(list(side)).values) for side in learn]))
    hits = [(model(list(side)).values - middle) * sign > 0 for side, sign in zip(test, (1, -1), strict=True)]
    accuracy = float(np.mean([side.mean() for side in hits]))
    interval = share_interval(accuracy, sum(map(len, hits)))
    if interval[0] <= 0.5:
        raise ValueError(
            f"the two sides of {data!r} cannot be told apart: held-out accuracy {accuracy:.3f} "
            f"[{interval[0]:.3f}, {interval[1]:.3f}], .5 is chance. If the fine-tuned policy is hardly trained there is no "
            "direction to learn; else give more samples, or a discriminator that sees more"
        )
    both = [*positive, *kept]
    found = AlignmentReward(
        reward=model,
        data=data,
        accuracy=accuracy,
        interval=interval,
        length_auc=area_under_curve([len(one.completion) for one in both], np.arange(len(both)) < len(positive)),
        counts=(len(positive), len(kept)),
        dropped=len(negative) - len(kept),
        separating=_separating(positive, kept),
    )
    if accuracy > SUSPECT:
        warnings.warn(
            f"the sides of {data!r} are told apart with held-out accuracy {accuracy:.3f}: they seem to come from different "
            f"kinds of writers, so that the reward knows an accent rather than quality; data='init-sft' has both sides from "
            f"one family. {found}",
            HeterogeneousSides,
            stacklevel=2,
        )
    return found


def _tasks(demonstrations: Sequence[Trajectory]) -> list[Task]:
    """One task for each prompt."""
    found: dict[str, Task] = {}
    for one in demonstrations:
        key = prompt_key(one)
        if key not in found:
            found[key] = Task(id=key, prompt=list(one.observations[0])) if one.is_chat else Task(id=key)
    return list(found.values())


def _answers(side: Sequence[Trajectory], name: str) -> list[Trajectory]:
    answers = [one for one in side if one.is_chat and len(one) and one.completion.strip()]
    if not answers:
        raise ValueError(f"{name} has no chat with an answer among {len(side)}; responses are compared as texts")
    return answers


def _key(one: Trajectory) -> tuple[str, str]:
    return prompt_key(one), one.completion


def _same_policy(policy0: Any, sft: Any) -> bool:
    if policy0 is sft:
        return True
    models = [getattr(policy, "model", None) for policy in (policy0, sft)]
    if any(model is None for model in models):
        return False
    import torch

    one, other = (model.state_dict() for model in models)  # type: ignore[union-attr]
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _same_prompts(positive: Sequence[Trajectory], negative: Sequence[Trajectory], data: str) -> None:
    one, other = ({prompt_key(answer) for answer in side} for side in (positive, negative))
    if one != other:
        raise ValueError(
            f"the two sides of {data!r} answer different prompts: {len(one - other)} have only positive responses, "
            f"{len(other - one)} only negative ones; prompts would be told apart, not responses. Sample the same prompts"
        )


def _split(
    positive: Sequence[Trajectory], negative: Sequence[Trajectory], share: float, seed: int
) -> tuple[tuple[list[Trajectory], list[Trajectory]], tuple[list[Trajectory], list[Trajectory]]]:
    """What is fitted to and what is held out, of both sides; equal responses are on the same side of the split."""
    keys = sorted({_key(one) for one in (*positive, *negative)})
    draw = np.random.default_rng([seed % 2**63, 5])
    out = {keys[place] for place in draw.permutation(len(keys))[: max(1, round(share * len(keys)))]}
    learn = tuple([one for one in side if _key(one) not in out] for side in (positive, negative))
    test = tuple([one for one in side if _key(one) in out] for side in (positive, negative))
    if not all(map(len, (*learn, *test))):
        raise ValueError(
            f"{len(positive)} positive and {len(negative)} negative responses are too few to hold {share:.0%} of them out; "
            "give more demonstrations or samples"
        )
    return learn, test  # type: ignore[return-value]


def _paired(positive: Sequence[Trajectory], negative: Sequence[Trajectory]) -> PreferenceData:
    """Both sides in pairs with the same prompt; the smaller side of a prompt is gone through again."""
    places: dict[str, tuple[list[int], list[int]]] = {}
    items = [*positive, *negative]
    for place, one in enumerate(items):
        places.setdefault(prompt_key(one), ([], []))[place >= len(positive)].append(place)
    rows = [
        (good[number % len(good)], bad[number % len(bad)])
        for good, bad in places.values()
        if good and bad
        for number in range(max(len(good), len(bad)))
    ]
    if not rows:
        raise ValueError("no prompt has responses of both sides left to fit to; give more samples for each prompt")
    first, second = np.array(rows, np.int64).T
    return PreferenceData(items=items, first=first, second=second, label=np.ones(len(rows)))


def _words_model(seed: int) -> RewardModel:
    from rewardlab.rewards.models.encoders.hashed import HashedTextEncoder

    return RewardModel.make(HashedTextEncoder(places=1024), {"type": "scalar", "bias": True, "seed": seed})


def _separating(
    positive: Sequence[Trajectory], negative: Sequence[Trajectory], most: int = 6
) -> tuple[tuple[str, float], ...]:
    """Words by the log-odds that a response with them is positive, one response of each kind added."""
    counts: list[Mapping[str, int]] = [
        Counter(word for one in side for word in set(re.findall(r"\S+", one.completion)))
        for side in (positive, negative)
    ]
    sizes = len(positive) + 2, len(negative) + 2

    def weight(word: str) -> float:
        shares = [(count.get(word, 0) + 1) / size for count, size in zip(counts, sizes, strict=True)]
        return math.log(shares[0] / (1 - shares[0])) - math.log(shares[1] / (1 - shares[1]))

    weights = {word: weight(word) for word in sorted({*counts[0], *counts[1]})}
    strongest = sorted(weights, key=lambda word: -abs(weights[word]))[:most]
    return tuple((word, weights[word]) for word in strongest)
