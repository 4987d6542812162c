"""What becomes of the true reward when a proxy is optimised, and rewards that should teach nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rewardlab.audit.controls import Coin, spurious_controls
from rewardlab.audit.overoptimisation import best_of, curves, overoptimisation
from rewardlab.rewards import from_spec, reward
from rewardlab.rewards.verifiers.exact import ExactMatch
from rewardlab.types import Trajectory


def test_the_expected_best_is_that_of_all_subsets() -> None:
    scores, outcome = np.array([1.0, 3.0, 3.0, 0.0, 2.0]), np.array([5.0, 1.0, 2.0, 7.0, 4.0])
    for n in range(1, 6):
        chosen = []
        for subset in itertools.combinations(range(5), n):
            top = max(scores[list(subset)])
            chosen.append(np.mean([outcome[place] for place in subset if scores[place] == top]))
        assert best_of(scores, outcome, n) == pytest.approx(np.mean(chosen))
    assert best_of(scores, outcome, 1) == pytest.approx(outcome.mean())


def test_many_samples_do_not_overflow() -> None:
    scores = np.random.default_rng(0).standard_normal(5000)
    assert best_of(scores, scores, 1024) == pytest.approx(3.2, abs=0.4)


@reward
def proxy(info: dict[str, float]) -> float:
    return info["proxy"]


@reward
def gold(info: dict[str, float]) -> float | None:
    return info["gold"] if info["gold"] > -3 else None


def samples(count: int = 400) -> list[Trajectory]:
    """Beyond a point, more of what the proxy likes is worse."""
    draw = np.random.default_rng(0)
    found = []
    for number in range(count):
        value = draw.standard_normal()
        info = {"proxy": value, "gold": value - 0.8 * max(0.0, value - 0.5) ** 2 * 2}
        found.append(Trajectory.from_text("q", str(number), group=f"g{number % 2}", info=info))
    return found


def test_gold_turns_where_the_proxy_goes_too_far() -> None:
    found = overoptimisation(proxy, gold, samples(), ns=(1, 4, 64, 150, 10_000))
    assert found.ns == (1, 4, 64, 150)  # no group has ten thousand
    assert found.kl[0] == 0
    assert found.proxy[0] == pytest.approx(0.0, abs=0.05)
    assert (np.diff(found.proxy) > 0).all()
    assert found.turn == 4
    assert (np.diff(found.gap) > 0).all()
    assert found.prompts == 2
    assert found.left_out >= 1  # gold had nothing to say
    assert found.to_json()["turn"] == 4
    assert "| 64 | 3.17 |" in found.to_markdown()
    assert curves([[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]], (1, 2)).turn is None


def test_samples_that_cannot_be_chosen_from_are_refused() -> None:
    alone = samples()
    for one in alone:
        one.group = None
    assert overoptimisation(proxy, gold, alone, ns=(1,)).prompts == 1  # samples of one prompt belong together
    with pytest.raises(ValueError, match="the smallest group has 1 samples that both rewards can score"):
        overoptimisation(proxy, gold, samples(2), ns=(4,))
    with pytest.raises(ValueError, match="reward gives all samples the same score"):
        curves([[1.0, 1.0]], [[1.0, 2.0]], (1,))
    with pytest.raises(ValueError, match="n must be between 1 and the 2 samples"):
        curves([[1.0, 0.0]], [[1.0, 2.0]], (3,))
    with pytest.raises(ValueError, match=r"prompt 0 has scores of shapes \(2,\) and \(1,\)"):
        curves([[1.0, 0.0]], [[1.0]], (1,))


def test_controls_know_nothing_of_the_answer_but_what_they_say() -> None:
    answers = [Trajectory.from_text(f"q{number}", str(number % 2), reference="1") for number in range(400)]
    arms = spurious_controls(ExactMatch(), format=Coin(probability=1.0), seed=3)
    assert list(arms) == ["true", "coin", "incorrect", "format"]
    true, coin, wrong = (arms[name](answers).values for name in ("true", "coin", "incorrect"))
    assert (true + wrong == 1).all()
    assert coin.mean() == pytest.approx(0.5, abs=0.08)
    assert abs(np.corrcoef(coin, true)[0, 1]) < 0.12
    assert (arms["coin"](answers).values == coin).all()  # a coin that has fallen stays as it lies
    assert (Coin(seed=4)(answers).values != coin).any()
    assert from_spec(Coin(seed=4).to_spec()) == Coin(seed=4)
    with pytest.raises(ValueError, match="'probability' must be in"):
        Coin(probability=2.0)
