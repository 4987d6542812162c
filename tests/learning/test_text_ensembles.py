"""Ensembles of whole text models, and of adapters on one base: each member becomes what it would be alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rewardlab.learning import fit, fit_ensemble, join, member_values
from rewardlab.rewards.models.encoders.text import TextEncoder
from rewardlab.rewards.models.encoders.text_ensemble import TextEnsembleEncoder
from rewardlab.rewards.models.model import RewardModel
from tests.learning.test_fit_text import pairs
from tests.rewards.models.texts import bare_model, tokenizer_for

OPTIONS: dict[str, Any] = {"steps": 3, "batch_size": 4, "max_grad_norm": 0.1, "learning_rate": 1e-3}


def make(seed: int = 0, kind: str = "llama", **options: Any) -> RewardModel:
    """A small text model of some architecture, all of whose weights come from the seed; with adapters these alone."""
    backbone = bare_model(kind, seed=0 if "lora" in options else seed)
    for part in backbone.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0  # the members draw what they drop together, and one alone by itself
    if "lora" in options:
        options["lora"] = {**options["lora"], "seed": seed}
    encoder = TextEncoder(model=backbone, tokenizer=tokenizer_for(kind), **options)
    return RewardModel.make(encoder, {"type": "scalar", "seed": seed})


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("llama", {}),
        ("llama", {"lora": {"rank": 2, "dropout": 0.0}}),
        ("qwen2", {"share_prompts": False, "padding": "left"}),
        ("gpt2", {"pool": "mean"}),
        ("distilbert", {}),
    ],
)
def test_members_are_what_they_would_be_alone(kind: str, options: dict[str, Any]) -> None:
    data = pairs(7)
    together = fit_ensemble(lambda seed: make(seed, kind, **options), data, 3, **OPTIONS)
    values = member_values(together, data.items)
    assert values.std(axis=1).min() > 1e-3
    for number in range(3):
        alone = fit(make(number, kind, **options), data, normalise=False, **OPTIONS).model(data.items).values
        told = values[:, number]  # up to a constant, whose gradient is rounding alone, which AdamW takes for steps
        np.testing.assert_allclose(told - told.mean(), alone - alone.mean(), atol=2e-4 * alone.std() + 1e-5)


@pytest.mark.parametrize("options", [{}, {"lora": {"rank": 2}}])
def test_they_are_saved_and_loaded_to_the_bit(tmp_path: Path, options: dict[str, Any]) -> None:
    data = pairs(5)
    model = fit_ensemble(lambda seed: make(seed, **options), data, 2, steps=1)
    saved = model.save(tmp_path / "many")
    loaded = RewardModel.load(tmp_path / "many")
    assert np.array_equal(model(data.items).values, loaded(data.items).values)
    assert np.array_equal(member_values(saved, data.items), member_values(loaded, data.items))
    encoder = loaded.network.encoder
    assert isinstance(encoder, TextEnsembleEncoder)
    if options:  # one base, which stands there once
        base = [weight for name, weight in encoder.named_parameters() if "embed_tokens" in name]
        assert [weight.dim() for weight in base] == [2]
        assert all(name.split(".")[-2] in ("lora_A", "lora_B", "default") for name in encoder.weights())


def test_prompts_are_shared_and_the_features_stay() -> None:
    models = [make(seed) for seed in range(2)]
    items = pairs(4).items
    expected = torch.cat([model.network.encode(items).response for model in models], 1)
    plain = [make(seed, share_prompts=False) for seed in range(2)]
    joined = join(models).network
    assert joined.encoder.packs
    assert max(map(len, joined.encoder.groups(joined.encoder.prepare(items)))) == 2
    torch.testing.assert_close(joined.encode(items).response, expected, rtol=1e-4, atol=1e-5)
    apart = join(plain).network
    assert not apart.encoder.packs
    torch.testing.assert_close(apart.encode(items).response, expected, rtol=1e-4, atol=1e-5)


def test_steps_of_texts_are_read_by_every_member() -> None:
    from rewardlab.rewards.models.heads.process import ProcessHead

    items = pairs(3).items
    models = []
    for seed in range(2):
        encoder = make(seed).network.encoder
        models.append(RewardModel.make(encoder, ProcessHead(encoder.width, seed=seed)))
    alone = [model(items).steps for model in models]
    joined = join(models)
    for row, told in enumerate(joined(items).steps or []):
        np.testing.assert_allclose(told, np.mean([one[row] for one in alone], axis=0), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_joined_is_said() -> None:
    with pytest.raises(
        ValueError, match="adapters of an ensemble stand on one base, but .* is not the same in all members"
    ):
        join(
            [
                RewardModel.make(
                    TextEncoder(
                        model=bare_model("llama", seed=seed), tokenizer=tokenizer_for("llama"), lora={"rank": 2}
                    )
                )
                for seed in range(2)
            ],
            share_encoder=False,
        )
    with pytest.raises(ValueError, match="cannot be computed again, which gradient_checkpointing asks for"):
        join([make(seed, gradient_checkpointing=True) for seed in range(2)], share_encoder=False)
    with pytest.raises(ValueError, match="cannot be computed again"):
        fit_ensemble(make, pairs(3), 2, steps=1, gradient_checkpointing=True)
    with pytest.raises(ValueError, match="made of encoders that exist"):
        TextEnsembleEncoder("text", members=3)
