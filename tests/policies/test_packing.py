from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.policies.logprobs import token_logprobs, token_logprobs_and_entropy
from rewardlab.policies.packing import (
    PackingLimits,
    find_lines,
    line_length,
    pack,
    packing_limits,
    segment_mask,
    shared_length,
)
from tests.policies.models import make_model

ROWS = [np.array(row) for row in ([7, 8, 9, 1, 2, 3], [7, 8, 9, 4], [7, 8, 9, 1, 5], [50, 51], [60, 61, 62])]
SIZES = [3, 1, 1]
WIDE = PackingLimits(width=10_000)


def make(name: str, attention: str = "sdpa"):
    model = make_model(name)
    if attention == "eager":
        model.set_attn_implementation("eager")
    return model


def padded(rows):
    ids = torch.zeros((len(rows), max(map(len, rows))), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for line, row in enumerate(rows):
        ids[line, : len(row)] = torch.as_tensor(row)
        mask[line, : len(row)] = 1
    return ids, mask


def test_a_packing_by_hand() -> None:
    found = pack(ROWS[:3], [3])
    assert shared_length(ROWS[:3]) == 3
    assert found.ids.tolist() == [[7, 8, 9, 1, 2, 3, 4, 1, 5]]
    assert found.segment.tolist() == [[0, 0, 0, 1, 1, 1, 2, 3, 3]]
    assert found.positions.tolist() == [[0, 1, 2, 3, 4, 5, 3, 3, 4]]
    assert found.place.tolist() == [[0, 1, 2, 3, 4, 5], [0, 1, 2, 6, 0, 0], [0, 1, 2, 7, 8, 0]]
    assert found.line.tolist() == [[0] * 6] * 3


@pytest.mark.parametrize(
    ("name", "attention"),
    [("llama", "sdpa"), ("llama", "eager"), ("qwen3", "sdpa"), ("gpt2", "sdpa"), ("gpt2", "eager")],
)
def test_packed_rows_have_the_same_logprobs_and_gradients(name, attention) -> None:
    model = make(name, attention)
    assert packing_limits(model) is not None
    ids, mask = padded(ROWS)
    wanted = mask.bool() & (torch.arange(ids.shape[1]) >= 2)
    gradients = []
    for packing in (None, pack(ROWS, SIZES)):
        model.zero_grad()
        logprobs, entropy = token_logprobs_and_entropy(
            model, ids, mask, positions_mask=wanted, temperature=0.7, packing=packing
        )
        (logprobs * torch.linspace(-1, 1, ids.numel()).view_as(logprobs)).sum().backward()
        gradients.append((logprobs.detach(), entropy, *(weight.grad.clone() for weight in model.parameters())))
    for plain, packed in zip(*gradients, strict=True):
        torch.testing.assert_close(packed, plain, atol=2e-5, rtol=1e-4)


@given(st.lists(st.integers(1, 12), min_size=2, max_size=6), st.integers(1, 9))
@settings(max_examples=15)
def test_any_group_packs(lengths, shared) -> None:
    model = _LLAMA
    start = np.arange(3, 3 + shared)
    rows = [np.concatenate([start, (np.arange(length) * 7 + number) % 80]) for number, length in enumerate(lengths)]
    ids, mask = padded(rows)
    with torch.no_grad():
        torch.testing.assert_close(
            token_logprobs(model, ids, mask, packing=pack(rows, [len(rows)])),
            token_logprobs(model, ids, mask),
            atol=2e-5,
            rtol=1e-4,
        )


_LLAMA = make("llama")


def test_models_with_other_numbers_are_found_out() -> None:
    assert packing_limits(make("mamba")) is None
    assert packing_limits(make("bloom")) is None  # its positions come from the mask
    found = packing_limits(make("mistral_window"))
    assert found is None or found.longest == 7


def test_lines_are_filled_while_that_saves_work() -> None:
    group = [np.concatenate([np.arange(40), [number]]) for number in range(8)]
    alone = [np.array([5, 6, 7])]
    assert find_lines([*group, *alone], [0] * 8 + [1], WIDE, longest=1000) == [list(range(8)), [8]]
    assert find_lines(group, [0] * 8, WIDE, longest=43) == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert find_lines(group, list(range(8)), WIDE, longest=1000) == [[index] for index in range(8)]
    assert line_length(group) == 48
    assert line_length(alone) == 3


def test_what_shares_little_or_reaches_far_stays_alone() -> None:
    little = [np.concatenate([[1], np.full(30, 2 + number)]) for number in range(4)]
    assert find_lines(little, [0] * 4, WIDE, longest=1000) == [[0], [1], [2], [3]]
    narrow = PackingLimits(width=8)  # where attention costs more than the weights
    long = [np.concatenate([np.arange(100), np.full(200, number)]) for number in range(4)]
    assert find_lines(long, [0] * 4, narrow, longest=10_000) == [[0], [1], [2], [3]]
    window = PackingLimits(width=10_000, longest=40)
    rows = [np.concatenate([np.arange(30), np.full(extra, 50 + extra)]) for extra in (20, 5, 6)]
    assert find_lines(rows, [0] * 3, window, longest=1000) == [[0], [2, 1]]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 30)), min_size=1, max_size=20), st.integers(20, 200))
def test_every_row_stands_in_one_line(made, longest) -> None:
    rows = [np.concatenate([np.arange(20) + group, np.full(extra, 90)]) for group, extra in made]
    lines = find_lines(rows, [group for group, _ in made], PackingLimits(width=64), longest=longest)
    assert sorted(index for line in lines for index in line) == list(range(len(rows)))
    for line in lines:
        assert len({made[index][0] for index in line}) == 1
        assert len(line) == 1 or line_length([rows[index] for index in line]) <= longest


def test_segment_masks() -> None:
    segment = torch.tensor([[0, 0, 1, 2, -1]])
    allowed = segment_mask(segment, _LLAMA)[0, 0].int().tolist()
    assert allowed == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 1, 0, 0, 1]]
    added = segment_mask(segment, make("llama", "eager"))[0, 0]
    assert (added == 0).int().tolist() == allowed
