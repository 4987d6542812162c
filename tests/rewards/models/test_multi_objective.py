from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardlab.learning import as_trajectory
from rewardlab.rewards.models.base import Encoded
from rewardlab.rewards.models.heads.multi_objective import MultiObjectiveHead
from rewardlab.rewards.models.model import RewardModel

NAMES = ["helpful", "safe"]


def encoded(prompt=True):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(4, 3, generator=generator)
    return Encoded(response=features, prompt=torch.randn(4, 3, generator=generator) if prompt else None)


def test_the_value_is_the_weighted_sum():
    head = MultiObjectiveHead(3, NAMES, gate="fixed", weights=[2.0, -0.5])
    outputs = head(encoded())
    parts = head.parts(outputs)
    assert torch.allclose(head.value(outputs), 2.0 * parts["helpful"] - 0.5 * parts["safe"])


def test_a_gate_starts_even_and_then_depends_on_the_prompt():
    head = MultiObjectiveHead(3, NAMES)
    assert torch.allclose(head(encoded())["weights"], torch.full((4, 2), 0.5))
    torch.nn.init.normal_(head.network[2].weight)
    weights = head.gates(head(encoded()))
    assert torch.allclose(weights["helpful"] + weights["safe"], torch.ones(4))
    assert weights["helpful"].std() > 0


def test_learned_weights_start_where_told():
    head = MultiObjectiveHead(3, NAMES, gate="learned", weights=[0.8, 0.2], temperature=2.0)
    outputs = head(encoded(prompt=False))
    assert torch.allclose(outputs["weights"][0], torch.tensor([0.8, 0.2]))
    head.value(outputs).sum().backward()
    assert head.logits.grad is not None


@pytest.mark.parametrize("gate", ["learned", "fixed"])
def test_a_model_round_trip_keeps_scores_and_parts(tmp_path, gate):
    head = {"type": "multi_objective", "objectives": NAMES, "gate": gate}
    model = RewardModel.make({"type": "mlp", "inputs": 3, "hidden": [4]}, head)
    items = [as_trajectory(row) for row in np.random.default_rng(0).normal(size=(3, 3))]
    before, after = model(items), RewardModel.load(model.save(tmp_path / "model").path)(items)
    assert np.array_equal(before.values, after.values)
    assert list(after.parts) == NAMES


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objectives": []}, "at least one, got"),
        ({"objectives": ["a", "a"]}, "must be different names"),
        ({"objectives": NAMES, "gate": "user"}, "gate must be .* got 'user'"),
        ({"objectives": NAMES, "temperature": 0.0}, "temperature must be positive"),
        ({"objectives": NAMES, "weights": [1.0, 0.0]}, 'gate="prompt" reads them from the prompt'),
        ({"objectives": NAMES, "gate": "fixed", "weights": [1.0]}, "one finite number for each of 2 objectives"),
        ({"objectives": NAMES, "gate": "learned", "weights": [1.0, 0.0]}, "must be positive and add up to 1"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MultiObjectiveHead(3, **options)


def test_a_gate_needs_features_of_prompts():
    with pytest.raises(ValueError, match='gate="prompt" reads the features of prompts.*use gate="learned"'):
        MultiObjectiveHead(3, NAMES)(encoded(prompt=False))
