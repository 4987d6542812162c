"""Alignment from demonstrations: with a real (tiny) language model from start to end, and on stored responses."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch

from rewardlab.environments.single_turn import SingleTurn
from rewardlab.learning.afd import AlignmentReward, HeterogeneousSides, afd
from rewardlab.policies.best_of import best_of_n, pick_best
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.rollout import rollout
from rewardlab.rewards.functions import reward
from rewardlab.training.warm_start import WarmStart
from rewardlab.types import Task, Trajectory

WORDS = np.array(["sun", "sea", "hill", "mud", "fog", "rust"])
GOOD = ("sun", "sea", "hill")
PROMPTS = ("name places", "say words")


def written(chances: list[float], count: int, seed: int, *, mark: str = "") -> list[Trajectory]:
    draw = np.random.default_rng(seed)
    texts = [" ".join(draw.choice(WORDS, 6, p=chances)) + mark for _ in range(count)]
    return [Trajectory.from_text(PROMPTS[place % 2], text) for place, text in enumerate(texts)]


START, TUNED, SHOWN = [0.1] * 3 + [0.7 / 3] * 3, [0.2] * 3 + [0.4 / 3] * 3, [0.8 / 3] * 3 + [0.2 / 3] * 3


def quality(trajectories: list[Trajectory]) -> float:
    return float(np.mean([np.mean([word in GOOD for word in one.completion.split()]) for one in trajectories]))


def test_a_tiny_language_model_goes_beyond_its_demonstrations_direction() -> None:
    corpus = [[*one.observations[0], one.actions[0]] for one in written(START, 40, 0) + written(SHOWN, 40, 1)]
    start = LanguageModelPolicy.tiny(corpus, vocabulary_size=300, hidden=32, layers=1, heads=2, seed=0)
    demonstrations = written(SHOWN, 64, 2)

    def tune(policy: LanguageModelPolicy, shown: list[Trajectory], steps: int) -> LanguageModelPolicy:
        own = LanguageModelPolicy(copy.deepcopy(policy.model), policy.tokenizer)
        imitation = WarmStart(demonstrations=shown, steps=steps, batch_size=32, learning_rate=1e-2)
        for number in range(steps):
            imitation.step(own, SingleTurn, number, 0)
        return own

    torch.manual_seed(0)
    start = tune(start, written(START, 256, 3), 25)
    tuned = tune(start, demonstrations, 4)
    sampling = Sampling(max_new_tokens=16)
    found = afd(start, demonstrations, sft=tuned, samples=48, sampling=sampling, seed=1, epochs=10)
    assert isinstance(found, AlignmentReward)
    assert found.counts[0] > 80
    assert 0.5 < found.accuracy < 0.98
    tasks = [Task(id=f"t{number}", prompt=[{"role": "user", "content": PROMPTS[number % 2]}]) for number in range(10)]
    plain = rollout(tuned, SingleTurn, tasks, sampling=sampling, seed=5)
    once = best_of_n(tuned, tasks, found.reward, 1, sampling=sampling, seed=5)
    assert [one.completion for one in once] == [one.completion for one in plain]  # n = 1 is plain sampling
    best = best_of_n(tuned, tasks, found.reward, 8, sampling=sampling, seed=5)
    assert len(best) == len(tasks)
    assert quality(best) > quality(plain) + 0.1
    with pytest.raises(ValueError, match="sft is the same as policy0"):
        afd(start, demonstrations, sft=LanguageModelPolicy(copy.deepcopy(start.model), start.tokenizer))


def test_samples_of_two_policies_say_where_fine_tuning_went_and_an_accent_is_warned_of() -> None:
    start, tuned, shown = written(START, 300, 0), written(TUNED, 300, 1), written(SHOWN, 100, 2, mark=" verily" * 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = afd(start, shown, sft=tuned)
    assert 0.6 < found.accuracy < 0.95
    assert found.interval[0] < found.accuracy < found.interval[1]
    values = found.reward(written([1 / 3] * 3 + [0] * 3, 20, 3) + written([0] * 3 + [1 / 3] * 3, 20, 3)).values
    assert values[:20].min() > values[20:].max()
    assert {word for word, weight in found.separating if weight > 0} == set(GOOD)
    assert "init-sft: 300 positive and 300 negative" in str(found)
    with pytest.warns(HeterogeneousSides, match="different kinds of writers.*verily"):
        accent = afd(start, shown, "init-demo")
    assert accent.accuracy > 0.98
    assert accent.separating[0][0] == "verily"
    assert accent.length_auc > 0.9  # the mark makes answers longer, and that is said


def test_samples_equal_to_a_demonstration_are_no_negatives() -> None:
    shown = written(SHOWN, 100, 2)
    found = afd(written(START, 100, 0) + shown[:7], shown, "init-demo")
    assert found.dropped == 7
    assert found.counts == (100, 100)


def test_what_cannot_be_learned_from_is_refused() -> None:
    start, tuned, shown = written(START, 200, 0), written(TUNED, 200, 1), written(SHOWN, 50, 2)
    with pytest.raises(ValueError, match="data must be one of init-sft, sft-demo, init-demo, got 'demo'"):
        afd(start, shown, "demo")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="data='init-sft' needs sft"):
        afd(start, shown)
    with pytest.raises(ValueError, match="sft is the same as policy0"):
        afd(start, shown, sft=start)
    with pytest.raises(ValueError, match=r"cannot be told apart: held-out accuracy .*\.5 is chance"):
        afd(start, shown, sft=written(START, 200, 9))
    with pytest.raises(ValueError, match="answer different prompts: 1 have only positive responses, 1 only negative"):
        afd([Trajectory.from_text("other", "mud"), *start[::2]], shown, sft=tuned)
    with pytest.raises(ValueError, match="there are no demonstrations"):
        afd(start, [], sft=tuned)
    with pytest.raises(ValueError, match="held_out must be between 0 and 1, got 0"):
        afd(start, shown, sft=tuned, held_out=0)
    with pytest.raises(ValueError, match="too few to hold 20% of them out"):
        afd(start[:2], shown, sft=tuned[:2])
    with pytest.raises(ValueError, match="sft has no chat with an answer among 1"):
        afd(start, shown, sft=[Trajectory.from_text("name places", "")])


def test_of_ties_the_first_is_picked_and_what_cannot_be_scored_never_wins() -> None:
    @reward
    def length(trajectory: Trajectory) -> float | None:
        return None if "?" in trajectory.completion else float(len(trajectory.completion))

    answers = [Trajectory.from_text("q", text, group="q") for text in ("a?????", "bb", "cc", "d")]
    assert [one.completion for one in pick_best(answers, length)] == ["bb"]
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        best_of_n(None, [], length, 0)
