from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from rewardlab.learning import as_trajectory
from rewardlab.rewards.models.base import Encoded, NoScalarValue, rows_of
from rewardlab.rewards.models.encoders.arrays import MLPEncoder
from rewardlab.rewards.models.heads.general_preference import GeneralPreferenceHead
from rewardlab.rewards.models.model import RewardModel


def encoded(rows=6, width=5, prompt=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, width, generator=generator)
    return Encoded(response=features, prompt=torch.randn(rows, width, generator=generator) if prompt else None)


def test_the_sign_of_one_block_is_fixed():
    head = GeneralPreferenceHead(2, dim=2)
    head.linear.weight.data = torch.eye(2)
    outputs = head(Encoded(response=torch.tensor([[1.0, 0.0], [0.0, 1.0]])))
    first, second = rows_of(outputs, torch.tensor([0])), rows_of(outputs, torch.tensor([1]))
    assert head.score(first, second).item() == 1.0  # v_i0 v_j1 - v_i1 v_j0
    assert head.score_matrix(outputs).tolist() == [[0.0, 1.0], [-1.0, 0.0]]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.booleans(), st.booleans(), st.integers(0, 1000))
def test_antisymmetry_is_exact_and_the_matrix_agrees_with_pairs(blocks, normalise, gate, seed):
    head = GeneralPreferenceHead(5, dim=2 * blocks, normalise=normalise, gate=gate, tau=0.3, seed=seed)
    outputs = head(encoded(prompt=gate, seed=seed))
    table = head.score_matrix(outputs)
    assert torch.equal(table, -table.T)
    assert torch.equal(table.diagonal(), torch.zeros(6))
    left, right = (place.reshape(-1) for place in torch.meshgrid(torch.arange(6), torch.arange(6), indexing="ij"))
    first, second = rows_of(outputs, left), rows_of(outputs, right)
    assert torch.equal(head.score(first, second), -head.score(second, first))
    assert torch.allclose(head.score(first, second).reshape(6, 6), table, atol=1e-5)
    assert torch.allclose(head.preference(first, second) * 0.3, head.score(first, second), atol=1e-6)
    both = head.probability(first, second) + head.probability(second, first)
    assert torch.allclose(both, torch.ones_like(both), atol=1e-6)
    if normalise:
        assert torch.allclose(outputs["vector"].norm(dim=-1), torch.ones(6), atol=1e-5)


def test_brute_force_over_blocks_with_a_gate():
    head = GeneralPreferenceHead(5, dim=6, gate=True, seed=3)
    outputs = head(encoded(prompt=True))
    vector, gate = outputs["vector"], outputs["gate"]
    assert torch.allclose(gate.sum(-1), torch.full((6,), 3.0))
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    wanted = sum(
        (gate[0, block] + gate[1, block])
        / 2
        * (turn @ vector[0, 2 * block : 2 * block + 2])
        @ vector[1, 2 * block : 2 * block + 2]
        for block in range(3)
    )
    got = head.score(rows_of(outputs, torch.tensor([0])), rows_of(outputs, torch.tensor([1])))
    assert got.item() == pytest.approx(wanted.item(), abs=1e-5)


def test_a_constant_second_number_is_bradley_terry():
    head = GeneralPreferenceHead(2, dim=2)
    head.linear.weight.data = torch.eye(2)
    values = torch.tensor([0.3, -1.0, 2.0])
    table = head.score_matrix(head(Encoded(response=torch.stack([values, torch.ones(3)], 1))))
    assert torch.allclose(table, values[:, None] - values[None, :])


def test_any_skew_symmetric_table_can_be_expressed():
    wanted = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    wanted = wanted - wanted.T
    vectors = torch.zeros(4, 8)  # block k: item k has (1, 0); every other item j has (0, half its score)
    for block in range(4):
        vectors[:, 2 * block + 1] = wanted[block] / 2
        vectors[block, 2 * block] = 1.0
    head = GeneralPreferenceHead(8, dim=8)
    head.linear.weight.data = torch.eye(8)
    assert torch.allclose(head.score_matrix(head(Encoded(response=vectors))), wanted, atol=1e-6)


def test_rank_says_when_nobody_beats_everybody():
    head = GeneralPreferenceHead(2, dim=2)
    head.linear.weight.data = torch.eye(2)
    angles = torch.arange(3) * 2 * torch.pi / 3
    circle = head(Encoded(response=torch.stack([angles.cos(), angles.sin()], 1)))
    ranking = head.rank(circle, "nash")
    assert ranking.condorcet is None
    assert "no response beats every other one" in ranking.note
    assert ranking.values == pytest.approx([1 / 3] * 3, abs=1e-6)


def test_a_tie_of_the_same_response_keeps_the_order():
    head = GeneralPreferenceHead(5, dim=4)
    features = encoded(1).response.repeat(3, 1)
    ranking = head.rank(head(Encoded(response=features)))
    assert ranking.order.tolist() == [0, 1, 2]
    assert ranking.tied.tolist() == [False, True, True]


def test_it_has_no_value():
    head = GeneralPreferenceHead(5)
    with pytest.raises(NoScalarValue, match="gives no value to one alone; PreferenceAgainst"):
        head.value(head(encoded()))


@pytest.mark.parametrize(("dim", "instead"), [(3, 4), (1, 2), (0, 2), (-2, 2)])
def test_odd_or_too_small_dimensions_are_refused(dim, instead):
    with pytest.raises(ValueError, match=f"dim must be even and at least 2.*got {dim}, use {instead}"):
        GeneralPreferenceHead(5, dim=dim)


@pytest.mark.parametrize("tau", [0.0, -1.0, float("nan"), float("inf")])
def test_tau_must_be_positive(tau):
    with pytest.raises(ValueError, match="tau must be positive and finite"):
        GeneralPreferenceHead(5, tau=tau)


def test_a_vector_without_length_ties_with_everything_and_warns():
    head = GeneralPreferenceHead(5, dim=2, normalise=True)
    features = encoded(3).response
    features[1] = 0
    with pytest.warns(UserWarning, match="1 of 3 vectors have length 0"):
        table = head.score_matrix(head(Encoded(response=features)))
    assert torch.equal(table[1], torch.zeros(3))
    assert torch.isfinite(table).all()


def test_a_gate_needs_features_of_prompts():
    with pytest.raises(ValueError, match="gate=True reads the features of prompts.*use gate=False"):
        GeneralPreferenceHead(5, gate=True)(encoded())


def test_a_learned_temperature_gets_a_gradient():
    head = GeneralPreferenceHead(5, tau=0.5, learn_tau=True)
    assert head.tau == pytest.approx(0.5)
    outputs = head(encoded())
    rows = torch.arange(3)
    head.preference(rows_of(outputs, rows), rows_of(outputs, rows + 3)).sum().backward()
    assert head.log_tau.grad is not None
    assert head.log_tau.grad.abs() > 0


@pytest.fixture
def saved(tmp_path):
    head = {"type": "general_preference", "dim": 4, "normalise": True, "tau": 0.1}
    model = RewardModel.make({"type": "mlp", "inputs": 3, "hidden": [8]}, head)
    return model.save(tmp_path / "model")


def items(count=4):
    return [as_trajectory(row) for row in np.random.default_rng(0).normal(size=(count, 3))]


def test_a_saved_model_describes_itself(saved):
    again = RewardModel.load(saved.path)
    assert again.network.head.options() == saved.network.head.options()
    assert np.array_equal(again.log_odds(items(), items()[::-1]), saved.log_odds(items(), items()[::-1]))


@pytest.mark.parametrize("lost", ["normalise", "tau"])
def test_options_that_got_lost_are_noticed(saved, lost):
    from pathlib import Path

    file = Path(saved.path) / "model.json"
    about = json.loads(file.read_text())
    del about["head"][lost]
    file.write_text(json.dumps(about))
    with pytest.raises(
        RuntimeError, match="the weights were saved with .*scores would change, so put the saved options"
    ):
        RewardModel.load(saved.path)


def test_weights_without_their_form_are_refused(saved):
    from pathlib import Path

    file = Path(saved.path) / "head.safetensors"
    weights = load_file(file)
    del weights["form"]
    save_file(weights, file)
    with pytest.raises(RuntimeError, match="the weights do not say normalise, gate and tau"):
        RewardModel.load(saved.path)


def test_contradictory_duplicates_are_legal():
    head = GeneralPreferenceHead(5)
    outputs = head(encoded(2))
    one, other = rows_of(outputs, torch.tensor([0, 1])), rows_of(outputs, torch.tensor([1, 0]))
    loss = -torch.nn.functional.logsigmoid(head.preference(one, other)).mean()
    loss.backward()
    assert torch.isfinite(loss)


def test_an_encoder_of_another_width_is_refused():
    with pytest.raises(ValueError, match="expects features of width 5, the encoder gives 8"):
        RewardModel.make(MLPEncoder(3, [8]), GeneralPreferenceHead(5))
