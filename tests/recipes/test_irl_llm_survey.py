"""The survey's worlds: what they promise by construction, exact numbers of a table, and the plumbing of the proof."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rewardlab.recipes.irl_llm_survey import ARMS, RECIPE, Answers, Language, compare
from rewardlab.recipes.irl_llm_survey.discriminators import Discriminators, fit_discriminators
from rewardlab.recipes.irl_llm_survey.language import LENGTH, PROMPTS, TOKENS, log_likelihood
from rewardlab.recipes.irl_llm_survey.noise import across, measure
from rewardlab.recipes.irl_llm_survey.overoptimised import optimise
from rewardlab.recipes.irl_llm_survey.pools import label_pools
from rewardlab.recipes.irl_llm_survey.proof import proof
from rewardlab.recipes.irl_llm_survey.vectors import SIZE, Gold, fit_networks, scores, spearman


def test_the_fine_tuned_policy_lies_between_the_start_and_the_demonstrator() -> None:
    world = Language(seed=100)
    many = np.arange(2000) % PROMPTS
    start, tuned = (world.quality(world.sample(policy, many, 0)).mean() for policy in (world.start, world.tuned))
    assert start < tuned < world.quality(world.shown).mean()
    assert not world.good[:, :4].any()
    assert (world.good.sum(1) == 4).all()
    assert world.tuned.sum(1) == pytest.approx(np.ones(PROMPTS))


def test_the_accent_is_in_the_demonstrations_and_in_nothing_else() -> None:
    world, plain = Language(seed=100), Language(seed=100, accent=False)
    assert world.ascending(world.shown) == 1.0
    assert world.ascending(world.sample(world.tuned, world.shown.prompts, 0)) < 0.7
    assert np.array_equal(np.sort(plain.shown.tokens, 1), world.shown.tokens)  # the same tokens, in another order
    assert np.array_equal(plain.tuned, world.tuned)  # which a policy without memory does not see


def test_a_discriminator_is_what_it_is_said_to_be() -> None:
    module = Discriminators(2, seed=0)
    with torch.no_grad():
        module.token[1] += 0.3
    world = Language(seed=1)
    answers = world.sample(world.start, np.arange(5), 0)
    prompts, tokens = torch.from_numpy(answers.prompts), torch.from_numpy(answers.tokens)
    found = module(prompts.expand(2, -1), tokens.expand(2, -1, -1))
    for arm in range(2):
        weights = {name: value[arm] for name, value in module.named_parameters()}
        token = weights["token"][tokens]
        pair = torch.cat([token, weights["prompt"][prompts][:, None].expand(-1, LENGTH, -1)], -1)
        pooled = torch.relu(pair @ weights["pair"] + weights["pair_bias"]).mean(1)
        near = token[:, :-1] @ weights["left"] + token[:, 1:] @ weights["right"] + weights["neighbour_bias"]
        hidden = torch.relu(
            torch.cat([pooled, torch.relu(near).mean(1)], -1) @ weights["hidden"] + weights["hidden_bias"]
        )
        assert torch.allclose(found[arm], (hidden @ weights["last"] + weights["last_bias"])[:, 0], atol=1e-5)


def test_arms_are_fitted_as_if_they_were_alone() -> None:
    world = Language(seed=2)
    many = np.arange(200) % PROMPTS
    pair = (world.sample(world.tuned, many, 1), world.sample(world.start, many, 2))
    fitted = fit_discriminators([pair, pair[::-1]], steps=40, seed=0)
    assert (fitted.accuracy > 0.6).all()
    one, other = fitted.all_scores(pair[0])
    assert spearman(one, other) < 0  # what is positive here is negative there
    assert np.array_equal(fitted.scores(1, pair[0]), other)


def test_the_table_of_two_policies_by_hand() -> None:
    """The best discriminator is the log-ratio; the policy's mean of minus it is its divergence from the demonstrator."""
    shown, policy = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14)
    one, other = torch.from_numpy(shown), torch.from_numpy(policy)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = -(one * torch.nn.functional.logsigmoid(logits) + other * torch.nn.functional.logsigmoid(-logits)).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    assert logits.detach().numpy() == pytest.approx([0.916291, 0.0, -0.916291], abs=1e-5)
    assert -(policy @ logits.detach().numpy()) == pytest.approx(0.274887, abs=1e-5)
    answers = Answers(np.zeros(1, np.int64), np.array([[0, 2]]))
    assert log_likelihood(policy[None], answers) == pytest.approx([math.log(0.1)])


def test_one_of_one_is_no_choice_and_the_oracle_is_the_best() -> None:
    found = compare(3, free=100, tests=60, n=4, steps=20, accents=(True,))[True]
    assert set(ARMS) <= set(found.quality)
    assert max(found.quality.values()) == found.quality["oracle"]
    plain = compare(3, free=100, tests=60, n=1, steps=2, accents=(True,))[True].quality
    assert plain["init-sft"] == plain["oracle"] == pytest.approx(plain["sft"])


def test_networks_learn_a_true_reward_and_weights_leave_pairs_out() -> None:
    gold, draw = Gold(0), np.random.default_rng(0)
    one, other = draw.standard_normal((2, 1, 300, SIZE))
    labels = (gold(one) > gold(other)).astype(float)
    turned = np.concatenate([labels, 1 - labels])
    sides = np.repeat(one, 2, 0), np.repeat(other, 2, 0)
    tests = draw.standard_normal((1000, SIZE))
    networks = fit_networks(*sides, turned, ["bt", "classifier"], [0, 1], epochs=15)
    ranks = [spearman(said, gold(tests)) for said in scores(networks, tests)]
    assert ranks[0] > 0.4
    assert ranks[1] < -0.4
    assert abs(gold(tests).mean()) < 0.2
    # a wrong half that counts for nothing changes nothing
    mixed = np.concatenate([labels[:, :150], 1 - labels[:, 150:]], 1)
    often = np.concatenate([np.ones((1, 150)), np.zeros((1, 150))], 1)
    right = fit_networks(one, other, mixed, ["bt"], [0], weights=often, epochs=15, held_out=0.0)
    assert spearman(scores(right, tests)[0], gold(tests)) > 0.3
    perfect = measure(gold(tests), gold(tests), n=100)
    assert perfect.ranks == pytest.approx(1.0)
    assert perfect.best > 0.95


def test_small_worlds_say_what_the_large_ones_do() -> None:
    pools = label_pools(100, worlds=4, pairs=400)
    assert pools["d-optimal", True] > pools["random", True] + 0.1
    curves = optimise(100, pairs=200, members=3, worlds=1, sets=3, samples=1024, epochs=20)
    assert all(curve.gap[-1] > curve.gap[1] for curve in curves.values())
    crossed = across(100, pairs=200, worlds=2, epochs=20, offset=5.0)
    assert crossed["within offset"] > crossed["across offset"]


def test_the_proof_gives_every_claim_a_number() -> None:
    found = proof(100, steps=4, free=60, tests=24, worlds=1, epochs=1, sets=1)
    assert set(found) == {claim.name for claim in RECIPE.claims}
    assert all(np.isfinite([one.method, one.baseline]).all() for one in found.values())
    assert TOKENS == 16
