from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from rewardlab.recipes.proof import Claim, Outcome, Recipe, bootstrap_interval, prove, table


def noisy(seed: int) -> Mapping[str, Outcome]:
    """A method that is better by about 1, and one that is no better."""
    noise = np.random.default_rng(seed).normal(scale=0.1, size=4)
    return {
        "better": Outcome(method=2 + noise[0], baseline=1 + noise[1]),
        "same": Outcome(method=1 + noise[2], baseline=1 + noise[3]),
    }


def recipe(*claims: Claim, proof: object = noisy) -> Recipe:
    return Recipe(title="A work", source="nowhere", claims=claims, proof=proof)  # type: ignore[arg-type]


def test_a_claim_holds_when_the_whole_interval_lies_above_its_margin() -> None:
    claims = (
        Claim(name="better", statement="it is better", margin=0.5),
        Claim(name="same", statement="as good", margin=0.3, gated=False),
    )
    result = prove(recipe(*claims), name="toy", progress_bar=False)
    better, same = result.claims
    assert better.verdict == "holds"
    assert same.verdict != "holds"
    assert result.holds  # the reported claim gates nothing
    assert result.to_json()["claims"][0]["method"] == [noisy(seed)["better"].method for seed in range(5)]
    assert "it is better (gated)" in table([result])


def test_a_gated_claim_that_fails_fails_the_proof() -> None:
    claims = (Claim(name="better", statement="b", margin=1.5), Claim(name="same", statement="s", margin=0.5))
    result = prove(recipe(*claims), name="toy", progress_bar=False)
    assert [entry.verdict for entry in result.claims] == ["does not hold", "does not hold"]
    assert not result.holds


def test_seeds_can_run_in_processes_of_their_own() -> None:
    claims = (Claim(name="better", statement="b"), Claim(name="same", statement="s", gated=False))
    alone = prove(recipe(*claims), name="toy", seeds=3, first_seed=7, progress_bar=False)
    together = prove(recipe(*claims), name="toy", seeds=3, first_seed=7, workers=2, progress_bar=False)
    assert alone.seeds == together.seeds == (7, 8, 9)
    assert alone.to_json()["claims"] == together.to_json()["claims"]


@pytest.mark.parametrize(
    ("proof", "message"),
    [
        (
            lambda seed: {"other": Outcome(method=1, baseline=1)},
            r"returned the claims \['other'\], but the recipe states",
        ),
        (lambda seed: {"better": Outcome(method=float("nan"), baseline=1)}, "at seed 0, expected finite numbers"),
    ],
)
def test_a_proof_that_does_not_say_what_it_should_is_refused(proof: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prove(recipe(Claim(name="better", statement="b"), proof=proof), name="toy", progress_bar=False)


def test_one_seed_gives_no_interval() -> None:
    with pytest.raises(ValueError, match="at least 2 seeds for an interval, got 1"):
        prove(recipe(Claim(name="better", statement="b")), name="toy", seeds=1)


def test_the_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    """Of 200 samples of 30 draws each, the 95% interval holds the true mean in 180 to 200 (binomial, far tails)."""
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        low, high = bootstrap_interval(generator.normal(size=30), resamples=500)
        inside += low <= 0 <= high
    assert 175 <= inside <= 200
    assert inside < 200
