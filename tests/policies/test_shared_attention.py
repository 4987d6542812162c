from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.policies import shared_attention as pieces
from rewardlab.policies.packing import segment_mask
from rewardlab.policies.shared_attention import NAME, attend, read_lines, shared_attention
from tests.policies.models import make_model


def segments(lines: list[tuple[int, list[int]]]) -> torch.Tensor:
    """Lines of a shared length and the lengths of the rests, padded to the longest and two more."""
    longest = max(shared + sum(rests) for shared, rests in lines) + 2
    made = torch.full((len(lines), longest), -1)
    for row, (shared, rests) in enumerate(lines):
        numbers = [0] * shared + [k for k, size in enumerate(rests, start=1) for _ in range(size)]
        made[row, : len(numbers)] = torch.tensor(numbers)
    return made


def test_lines_by_hand() -> None:
    (line,) = read_lines(torch.tensor([[0, 0, 1, 1, 2, -1]]))
    assert line.shared == 2
    assert [(rest.start, rest.end) for rest in line.rests] == [(2, 4), (4, 5)]
    assert line.rests[0].mask.int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert line.rests[1].mask.int().tolist() == [[1, 1, 1]]
    assert read_lines(torch.tensor([[0, 0, 0]]))[0].rests == ()


@settings(max_examples=30, deadline=None)
@given(
    lines=st.lists(
        st.tuples(st.integers(1, 5), st.lists(st.integers(1, 4), max_size=3)),
        min_size=1,
        max_size=3,
    ),
    key_heads=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 99),
)
def test_pieces_are_attention_under_the_mask(lines, key_heads, seed) -> None:
    segment = segments(lines)
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lines), 4, segment.shape[1], 8)
    query = torch.randn(shape, generator=generator, requires_grad=True)
    key, value = (
        torch.randn((shape[0], key_heads, *shape[2:]), generator=generator, requires_grad=True) for _ in range(2)
    )
    mask = segment_mask(segment, make_model("llama"))
    whole = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask, enable_gqa=True).transpose(1, 2)
    found = attend(query, key, value, read_lines(segment), None)
    real = segment >= 0
    torch.testing.assert_close(found[real], whole[real], atol=1e-5, rtol=1e-5)
    assert not found[~real].any()
    weights = torch.randn(whole[real].shape, generator=generator)
    expected = torch.autograd.grad((whole[real] * weights).sum(), (query, key, value))
    for own, other in zip(
        torch.autograd.grad((found[real] * weights).sum(), (query, key, value)), expected, strict=True
    ):
        torch.testing.assert_close(own, other, atol=1e-4, rtol=1e-4)


def hidden(model, segment: torch.Tensor, monkeypatch) -> tuple[torch.Tensor, int]:
    calls = []
    true = pieces.attend
    monkeypatch.setattr(pieces, "attend", lambda *given: calls.append(1) or true(*given))
    ids = torch.arange(segment.numel()).reshape(segment.shape) % 50
    mask = segment_mask(segment, model)
    positions = torch.arange(segment.shape[1]).expand_as(segment)
    with torch.no_grad(), shared_attention(model, segment):
        found = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
    return found, len(calls)


@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt2"])
def test_a_model_uses_the_pieces_and_is_left_as_it_was(name, monkeypatch) -> None:
    model = make_model(name).eval()
    segment = segments([(3, [2, 3]), (5, [])])
    found, calls = hidden(model, segment, monkeypatch)
    assert calls == model.config.num_hidden_layers
    assert model.config._attn_implementation == "sdpa"
    model.set_attn_implementation("eager")
    plain, calls = hidden(model, segment, monkeypatch)
    assert calls == 0
    torch.testing.assert_close(found[segment >= 0], plain[segment >= 0], atol=1e-4, rtol=1e-4)


def test_activations_that_are_computed_again_keep_the_mask(monkeypatch) -> None:
    model = make_model("llama")
    model.gradient_checkpointing_enable()
    model.train()
    assert hidden(model, segments([(3, [2, 3])]), monkeypatch)[1] == 0


def test_an_error_leaves_no_trace() -> None:
    model = make_model("llama").eval()

    def fail() -> None:
        with shared_attention(model, segments([(2, [1, 1])])):
            assert model.config._attn_implementation == NAME
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert model.config._attn_implementation == "sdpa"
    assert pieces._lines.get() is None
