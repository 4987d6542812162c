"""Fits of text models: batches of similar length, shared prompts, less memory, adapters, frozen features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rewardlab.learning import Fit, FitStopped, PreferenceData, fit, fit_ensemble, member_values
from rewardlab.learning.fitting import fit_defaults
from rewardlab.learning.inputs import CachedFeatures, RaggedInputs
from rewardlab.learning.losses import BradleyTerryLoss
from rewardlab.rewards.models.encoders.text import TextEncoder
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory
from tests.rewards.models.texts import bare_model, chat_tokenizer

WORDS = ["the", "sun", "shines", "light", "four", "dog", "cat", "mat", "fox", "sits", "jumps", "lazy"]


def pairs(count: int = 12, seed: int = 0) -> PreferenceData:
    """Two answers of very different length to each question."""
    draw = np.random.default_rng(seed)

    def text(longest: int) -> str:
        return " ".join(draw.choice(WORDS, size=int(draw.integers(1, longest))))

    items = []
    for number in range(count):
        prompt = f"{text(40)} {number}"
        items += [Trajectory.from_text(prompt, f"good {text(12)}"), Trajectory.from_text(prompt, f"bad {text(12)}")]
    first = 2 * np.arange(count)
    return PreferenceData(items=items, first=first, second=first + 1, label=np.ones(count))


def make(seed: int = 0, **options: Any) -> RewardModel:
    """A tiny Llama with a linear head."""
    encoder = TextEncoder(model=bare_model("llama"), tokenizer=chat_tokenizer(), **options)
    return RewardModel.make(encoder, {"type": "scalar", "seed": seed})


def one_batch(model: RewardModel, data: PreferenceData) -> float:
    """The loss over one padded batch."""
    network = model.network
    batch = network.encoder.collate(network.encoder.prepare(data.items))
    logits = network.head.preference(*({"value": network(batch)["value"][rows]} for rows in (data.first, data.second)))
    return float(torch.nn.functional.softplus(-logits).mean().detach())


def gradients(**options: Any) -> tuple[dict[str, torch.Tensor], float]:
    """The gradients of a first step over all rows, and the loss."""
    encoder_options = options.pop("encoder", {})
    fitted = Fit(**fit_defaults({"model": make(**encoder_options), "data": pairs(), "max_grad_norm": None, **options}))
    kept: dict[str, torch.Tensor] = {}

    def keep(rate: float) -> None:
        kept.update(
            {name: weight.grad.clone() for name, weight in fitted.weights.parameters.items() if weight.grad is not None}
        )
        fitted.weights.drop_gradients()

    fitted.weights.step = keep  # type: ignore[method-assign]
    result = fitted.run()
    return kept, result.metrics[0]["loss"]


def test_buckets_and_shared_prompts_give_the_loss_of_one_batch() -> None:
    model = make()
    expected = one_batch(model, pairs())
    result = fit(model, pairs(), steps=1)
    assert result.metrics[0]["loss"] == pytest.approx(expected, abs=1e-6)


def test_texts_are_cut_by_length_and_prompts_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    forward = TextEncoder.forward

    def watch(self: TextEncoder, batch: Any) -> Any:
        if torch.is_grad_enabled():
            seen.append(tuple(batch["ids"].shape))
        return forward(self, batch)

    monkeypatch.setattr(TextEncoder, "forward", watch)

    def work(**options: Any) -> int:
        seen.clear()
        fit(make(**options), pairs(), steps=1)
        return sum(rows * width for rows, width in seen)

    lengths = [len(one) for one in make().network.encoder.prepare(pairs().items)]
    together, apart, padded = work(), work(share_prompts=False), len(lengths) * max(lengths)
    assert sum(lengths) <= apart < 0.8 * padded
    assert together < 0.75 * sum(lengths)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_length": 64},
        {"gradient_checkpointing": True},
        {"encoder": {"share_prompts": False}},
        {"encoder": {"padding": "left", "share_prompts": False}},
    ],
    ids=["chunks", "checkpointing", "alone", "left"],
)
def test_what_saves_time_or_memory_changes_no_gradient(options: dict[str, Any]) -> None:
    (plain, loss), (other, same) = gradients(steps=1), gradients(steps=1, **options)
    assert same == pytest.approx(loss, abs=1e-6)
    assert set(plain) == set(other)
    for name, gradient in plain.items():
        torch.testing.assert_close(other[name], gradient, rtol=1e-3, atol=1e-6)


def test_gradient_checkpointing_is_only_on_while_fitting() -> None:
    model = make()
    fit(model, pairs(4), steps=1, gradient_checkpointing=True)
    assert not model.network.encoder.backbone.is_gradient_checkpointing  # type: ignore[union-attr]


def test_chunks_keep_fewer_activations_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    encode = RaggedInputs.encode
    monkeypatch.setattr(
        RaggedInputs,
        "encode",
        lambda self, items: seen.append(sum(self.lengths[i] for i in items.tolist())) or encode(self, items),
    )
    fit(make(), pairs(), steps=1, batch_length=64, normalise=False)
    assert len(seen) > 3
    longest = max(len(one) for one in make().network.encoder.prepare(pairs().items))
    assert max(seen[1:]) <= max(64, 2 * longest)  # the first is an example


def test_adapters_learn_and_the_base_does_not() -> None:
    model = make(lora={"rank": 2})
    network = model.network
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    result = fit(model, pairs(), steps=25, learning_rate=0.02, schedule="constant")
    assert result.metrics[-1]["loss"] < 0.5 * result.metrics[0]["loss"]
    changed = {name for name, weight in network.named_parameters() if not torch.equal(weight, before[name])}
    assert changed == {name for name in before if "lora_" in name or name.startswith("head.")}


def test_features_of_a_frozen_model_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    forward = TextEncoder.forward
    monkeypatch.setattr(
        TextEncoder, "forward", lambda self, batch: rows.append(len(batch["row"])) or forward(self, batch)
    )
    model, data = make(frozen=True), pairs()
    trial = model.network.encoder.packs  # tries packing out on three texts
    rows.clear()
    fitted = Fit(**fit_defaults({"model": model, "data": data, "steps": 30, "learning_rate": 0.05}))
    result = fitted.run()
    assert trial is True
    assert isinstance(fitted.inputs, CachedFeatures)
    assert sum(rows) == len(data.items)
    assert result.metrics[-1]["loss"] < result.metrics[0]["loss"]


def test_bfloat16_computes_in_it_and_compares_in_float32() -> None:
    data = pairs(4)
    wide, narrow = (fit(make(), data, steps=1, dtype=dtype).metrics[0]["loss"] for dtype in ("float32", "bfloat16"))
    assert narrow != wide
    assert narrow == pytest.approx(wide, abs=0.05)


class Breaks(BradleyTerryLoss):
    """No number for one row of the data, in every batch that has it."""

    def __call__(self, head: Any, outputs: Any, rows: Any) -> torch.Tensor:
        loss = super().__call__(head, outputs, rows)
        return torch.where(rows.strength == 5.0, torch.nan, loss)


@pytest.mark.parametrize("batch_length", [None, 64])
def test_a_loss_that_is_no_number_shows_the_texts(batch_length: int | None) -> None:
    data = pairs()
    data.strength = np.arange(12.0)
    model = make()
    before = {name: weight.detach().clone() for name, weight in model.network.named_parameters()}
    with pytest.raises(FitStopped, match=r"the loss is nan in rows 5 of the training data \('good .*'; 'bad .*'\)"):
        fit(model, data, loss=Breaks(), batch_length=batch_length)
    for name, weight in model.network.named_parameters():
        assert torch.equal(weight, before[name])


def test_an_ensemble_of_heads_over_one_text_model() -> None:
    encoder = make().network.encoder

    def member(seed: int) -> RewardModel:
        return RewardModel.make(encoder, {"type": "scalar", "seed": seed})

    data = pairs()
    model = fit_ensemble(member, data, 3, share_encoder=True, steps=4, learning_rate=1e-3)
    values = member_values(model, data.items)
    assert values.shape == (24, 3)
    assert values.std(axis=1).min() > 0.01
