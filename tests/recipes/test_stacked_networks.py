from __future__ import annotations

import pytest
import torch

from rewardlab.recipes.stacked_networks import clip_each, mlp, stacked_mlp


@pytest.mark.parametrize("gain", [None, 0.01])
def test_each_copy_is_the_single_network_of_its_seed(gain: float | None) -> None:
    seeds = [3, 7, 3]
    together = stacked_mlp([4, 8, 2], seeds, output_gain=gain)
    inputs = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    found = together(inputs)
    for number, seed in enumerate(seeds):
        assert torch.allclose(found[number], mlp([4, 8, 2], seed, output_gain=gain)(inputs[number]), atol=1e-6)
    weights = together.weights()["0.weight"]
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[1])
    assert together(inputs[:, None].expand(3, 6, 5, 4)).shape == (3, 6, 5, 2)


def test_training_together_is_training_alone() -> None:
    seeds = [1, 2]
    inputs = torch.randn(2, 16, 3, generator=torch.Generator().manual_seed(0))
    targets = inputs.sum(-1, keepdim=True) * torch.tensor([1.0, 20.0])[:, None, None]
    together = stacked_mlp([3, 8, 1], seeds, activation="relu")
    optimiser = torch.optim.Adam(together.parameters(), lr=1e-2)
    for _ in range(10):
        optimiser.zero_grad()
        (together(inputs) - targets).square().mean((1, 2)).sum().backward()
        clip_each(together.parameters(), 0.5)
        optimiser.step()
    for number, seed in enumerate(seeds):
        alone = mlp([3, 8, 1], seed, activation="relu")
        single = torch.optim.Adam(alone.parameters(), lr=1e-2)
        for _ in range(10):
            single.zero_grad()
            (alone(inputs[number]) - targets[number]).square().mean().backward()
            torch.nn.utils.clip_grad_norm_(alone.parameters(), 0.5)
            single.step()
        assert torch.allclose(alone(inputs[number]), together(inputs)[number], atol=1e-5)


def test_initialisation_leaves_the_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    stacked_mlp([2, 2], [5])
    assert torch.equal(before, torch.random.get_rng_state())


def test_messages() -> None:
    with pytest.raises(ValueError, match="seeds is empty"):
        stacked_mlp([2, 2], [])
    with pytest.raises(ValueError, match="widths of input and output"):
        stacked_mlp([2], [0])
    with pytest.raises(ValueError, match="one of tanh, relu, silu, got 'swish'"):
        stacked_mlp([2, 2], [0], activation="swish")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"one batch for each copy, got \(3, 2\)"):
        stacked_mlp([2, 2], [0, 1])(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="limit must be positive"):
        clip_each([], 0.0)
    with pytest.raises(ValueError, match="call backward first"):
        clip_each(stacked_mlp([2, 2], [0]).parameters(), 1.0)
