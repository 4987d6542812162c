from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rewardlab.environments.single_turn import SingleTurn
from rewardlab.learning import PreferenceData, RankingData, as_trajectory
from rewardlab.policies.engines.base import Sampling
from rewardlab.recipes.gpm import RECIPE, PreferenceEmbedding, World, diagnose_intransitivity, self_play
from rewardlab.recipes.gpm.arms import Arms, PairClassifierHead, antisymmetry_error, memorised, play
from rewardlab.recipes.gpm.world import cycle, rock_paper_scissors
from rewardlab.rewards.models.base import NoScalarValue
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Task
from tests.training.worlds import policy, tasks

torch.set_num_threads(1)

PLAIN = {"type": "mlp", "inputs": 3, "hidden": []}


@pytest.fixture(scope="module")
def circle() -> PreferenceEmbedding:
    """A model that knows rock, paper and scissors by heart."""
    model = PreferenceEmbedding(encoder=PLAIN, dim=4, tau=0.5)
    model.fit(cycle(3), steps=150, learning_rate=0.05)
    return model


def test_the_proof_returns_every_claim():
    outcomes = RECIPE.proof(100, pairs=64, tests=50, steps=4, iterations=10, small_steps=5)
    assert set(outcomes) == {claim.name for claim in RECIPE.claims}
    assert all(math.isfinite(one.method) and math.isfinite(one.baseline) for one in outcomes.values())


def test_the_worlds_are_what_their_mix_says():
    vectors = np.random.default_rng(0).normal(size=(12, 8))
    for mix, wanted in ((0.0, 0.0), (1.0, 0.3)):
        world = World(seed=100, mix=mix, pairs=50, tests=30)
        table = world.score(vectors[:, None], vectors[None])
        assert np.allclose(table, -table.T)
        share = diagnose_intransitivity(table).share
        assert share >= wanted if mix else share == pytest.approx(0.0, abs=1e-9)
    assert len(world.test) == 30
    again = World(seed=100, mix=1.0, pairs=50, tests=30)
    assert np.array_equal(again.train.label, world.train.label)
    assert ((world.test.label == 1) | (world.test.label == 0)).all()


def test_rock_beats_scissors_as_often_as_its_log_odds_say():
    data = rock_paper_scissors(2000, 100, sharpness=2.0)
    assert data.label.mean() == pytest.approx(1 / (1 + math.exp(-2.0)), abs=0.04)


def test_a_circle_by_heart():
    general, scalar = memorised(100, steps=80)
    assert general == 1.0
    assert scalar <= 0.75


def test_self_play_on_a_table_with_fitted_scores():
    game = play(100, beta=10.0, iterations=400, descents=2, steps=100)
    assert game.exact < 0.1 < game.last
    assert game.general < game.scalar


def test_a_classifier_of_pairs_is_not_antisymmetric_and_gives_no_value():
    arms = Arms(world=World(seed=100, pairs=64, tests=50), steps=3)
    assert antisymmetry_error(arms.classifier(), arms.world.test) > 1e-4
    assert antisymmetry_error(arms.general(), arms.world.test) < 1e-12
    with pytest.raises(NoScalarValue):
        PairClassifierHead(3).value({})


def test_passes_for_a_ranking(monkeypatch):
    """K responses are encoded K times; every entry of the table comes from their vectors."""
    model = PreferenceEmbedding(encoder=PLAIN, dim=4)
    rows = []
    encoder = type(model.model.network.encoder)
    forward = encoder.forward
    monkeypatch.setattr(
        encoder, "forward", lambda self, batch: (rows.append(len(batch["inputs"])), forward(self, batch))[1]
    )
    model.rank(None, list(np.eye(3)) * 3)
    assert sum(rows) == 9


def test_what_it_says_of_a_circle(circle):
    responses = list(np.eye(3))
    table = circle.score_matrix(None, responses)
    assert np.array_equal(table, -table.T)
    assert circle.embed(None, responses).shape == (3, 4)
    assert circle.prob(None, responses[0], responses[1]) == pytest.approx(1 / (1 + math.exp(-table[0, 1] / 0.5)))
    assert circle.prob(None, responses[0], responses[1]) > 0.9 > 0.1 > circle.prob(None, responses[1], responses[0])
    assert circle.prob(None, responses[0], responses[0]) == 0.5
    ranking = circle.rank(None, responses, "nash")
    assert "there is no Condorcet winner" in ranking.note
    assert ranking.values.min() > 0.1
    reward = circle.as_reward([[0.0, 1.0, 0.0]], measure="wins")
    assert reward([as_trajectory(one) for one in responses]).values.tolist() == [1.0, 0.5, 0.0]


def test_a_saved_one_needs_no_options(circle, tmp_path):
    again = PreferenceEmbedding.load(circle.save(tmp_path / "model").model.path)
    assert (again.dim, again.tau, again.normalise) == (4, 0.5, False)
    responses = list(np.eye(3))
    assert np.array_equal(again.score_matrix(None, responses), circle.score_matrix(None, responses))
    assert again.as_reward(responses).to_spec()["model"]["path"] == str(tmp_path / "model")
    with pytest.raises(TypeError, match="needs a model with a general_preference head, got one with a scalar head"):
        PreferenceEmbedding.around(RewardModel.make(PLAIN))


def test_a_gate_reads_the_prompt_vector():
    model = PreferenceEmbedding(encoder={"type": "prompt_response", "prompt": 4, "response": 4}, dim=4, gate=True)
    answers = np.random.default_rng(0).normal(size=(3, 4))
    one, other = (model.score_matrix(np.full(4, sign), answers) for sign in (1.0, -1.0))
    assert not np.allclose(one, other)
    assert np.array_equal(one, -one.T)


def test_rankings_ties_and_contradictions_are_learned_from():
    items = [as_trajectory(row) for row in np.eye(3)]
    ranked = RankingData(items=items, rankings=[np.array([0, 1, 2])])
    model = PreferenceEmbedding(encoder=PLAIN, dim=2)
    model.fit(ranked, steps=60, learning_rate=0.05)
    assert model.rank(None, list(np.eye(3))).order.tolist() == [0, 1, 2]
    both = PreferenceData(items=items, first=[0, 1, 0], second=[1, 0, 2], label=[1.0, 1.0, 0.5])
    again = PreferenceEmbedding(encoder=PLAIN, dim=2)
    again.fit(both, steps=200, learning_rate=0.05)
    assert again.prob(None, np.eye(3)[0], np.eye(3)[1]) == pytest.approx(0.5, abs=0.05)


def test_margin_and_regression():
    wide, plain = (PreferenceEmbedding(encoder=PLAIN, dim=2, tau=0.5) for _ in range(2))
    options = {"steps": 40, "learning_rate": 0.05}
    wide.fit(cycle(3), margin=2.0, **options)
    plain.fit(cycle(3), **options)
    assert wide.score_matrix(None, np.eye(3))[0, 1] > plain.score_matrix(None, np.eye(3))[0, 1]
    drawn = PreferenceEmbedding(encoder=PLAIN, dim=4, tau=0.5)
    drawn.fit(cycle(3), loss="regression", target=3.0, steps=300, learning_rate=0.05)
    assert drawn.score_matrix(None, np.eye(3))[0, 1] / 0.5 == pytest.approx(3.0, abs=0.2)
    with pytest.raises(ValueError, match='margin=1.0 goes with loss="logistic"'):
        plain.fit(cycle(3), margin=1.0, loss="regression")
    with pytest.raises(ValueError, match='form must be "logistic" or "regression"'):
        plain.fit(cycle(3), loss="elo")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PreferenceEmbedding(encoder=PLAIN, dim=3), "dim must be even .* got 3, use 4"),
        (lambda: PreferenceEmbedding(encoder=PLAIN, tau=0.0), "tau must be positive"),
        (lambda: PreferenceEmbedding(encoder=PLAIN).embed(None, []), "at least one response"),
        (
            lambda: PreferenceEmbedding(encoder=PLAIN).embed("p", "one text"),
            "must be a list with at least one response",
        ),
        (lambda: PreferenceEmbedding(encoder=PLAIN).rank(None, np.eye(3), "elo"), "rule must be .*'elo'"),
        (lambda: PreferenceEmbedding(encoder=PLAIN).as_reward(), "must name at least one response to compare with"),
        (
            lambda: PreferenceEmbedding(encoder=PLAIN).as_reward("rock"),
            r"must be a list, got one text; write \['rock'\]",
        ),
        (lambda: PreferenceEmbedding(encoder=PLAIN, dim=4.0), "dim must be even .* got 4.0, use 4"),
        (lambda: PreferenceEmbedding(encoder=PLAIN, gate=True).embed(None, np.eye(3)), "gate=True reads the features"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_texts_padded_on_either_side_have_the_same_vectors(tmp_path):
    from rewardlab.recipes.pieces import piece_policy
    from rewardlab.rewards.models.encoders.text import TextEncoder

    words = ["rock", "paper scissors", "scissors rock paper"]
    found = []
    for side in ("right", "left"):
        reader = piece_policy(["play", " ", "rock", "paper", "scissors"], hidden=32, seed=1)
        encoder = TextEncoder(model=reader.model, tokenizer=reader.tokenizer, padding=side)
        model = PreferenceEmbedding(encoder=encoder, dim=4, gate=True, normalise=True)
        found.append(model.score_matrix("play", words))
        assert not np.allclose(model.score_matrix("play play play", words), found[-1])  # the gate reads the prompt
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    again = PreferenceEmbedding.load(model.save(tmp_path / "model").model.path)
    assert np.array_equal(again.score_matrix("play", words), found[1])
    assert (again.gate, again.normalise) == (True, True)
    reward = again.as_reward(["rock"], measure="log_odds")
    assert reward([as_trajectory(words[1], prompt="play")]).values[0] == pytest.approx(found[1][1, 0], abs=1e-5)


class ByLength(PreferenceEmbedding):
    """A judge of texts without a network: the answer with fewer letters is preferred."""

    def __init__(self) -> None:
        pass

    def as_reward(self, *_: object, **options: object):
        from tests.training.test_self_play import Shorter

        assert options == {"opponents": "group", "measure": "log_odds"}
        return Shorter()


def test_self_play_goes_through_the_loop():
    result = self_play(
        policy(), ByLength(), SingleTurn, tasks(3), beta=1.0, k=3, iterations=2, objective={"learning_rate": 1e-3},
        sampling=Sampling(max_new_tokens=3), trackers=(),
    )  # fmt: skip
    assert len(result.metrics) == 2
    assert all(abs(row["reward/mean"]) < 1e-9 for row in result.metrics)  # antisymmetric scores add up to 0
    with pytest.raises(ValueError, match="k must be at least 2, got 1"):
        self_play(policy(), ByLength(), SingleTurn, [Task(id="t")], k=1)
