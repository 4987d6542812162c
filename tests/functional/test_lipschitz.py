from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from rewardlab import functional


def linear(length: float) -> nn.Linear:
    layer = nn.Linear(3, 1).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, 1.0, 2.0]]) * length / 3)
    return layer


@pytest.mark.parametrize(
    ("length", "one_sided", "penalty"), [(3.0, False, 4.0), (3.0, True, 4.0), (0.5, False, 0.25), (0.5, True, 0.0)]
)
@pytest.mark.parametrize("kind", ["wgan", "dragan", "nagard"])
def test_penalty_of_a_linear_logit_by_hand(length: float, one_sided: bool, penalty: float, kind: str) -> None:
    agent, expert = torch.randn(2, 7, 3, dtype=torch.float64)
    value = functional.gradient_penalty(linear(length), agent, expert, kind, one_sided=one_sided)  # type: ignore[arg-type]
    assert value.item() == pytest.approx(penalty)
    assert 10 * value.item() == pytest.approx(10 * penalty)


def test_the_penalty_can_be_learned_from() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    agent, expert = torch.randn(2, 5, 3, dtype=torch.float64)
    weight = network[0].weight

    def penalty(entries: Tensor) -> Tensor:
        def logit(points: Tensor) -> Tensor:
            return torch.tanh(points @ entries.T + network[0].bias) @ network[2].weight.T

        return functional.gradient_penalty(logit, agent, expert, target=0.1, generator=torch.Generator().manual_seed(3))

    assert torch.autograd.gradcheck(penalty, (weight.detach().clone().requires_grad_(True),))


def test_a_flat_logit_has_no_gradient_and_no_nan() -> None:
    network = nn.Linear(2, 1)
    nn.init.zeros_(network.weight)
    value = functional.gradient_penalty(network, torch.ones(4, 2), torch.zeros(4, 2), one_sided=False)
    value.backward()
    assert value.item() == 1.0
    assert network.weight.grad is not None
    assert torch.isfinite(network.weight.grad).all()
    assert functional.gradient_norms(lambda points: torch.zeros(4), torch.ones(4, 2)).tolist() == [0.0] * 4


def test_segments_lie_between_and_halves_have_places_of_their_own() -> None:
    agent, expert = torch.zeros(50, 4), torch.ones(50, 4)
    points = functional.penalty_points(agent, expert, split=3)
    assert ((points >= 0) & (points <= 1)).all()
    assert torch.equal(points[:, 0], points[:, 2])
    assert not torch.equal(points[:, 0], points[:, 3])
    whole = functional.penalty_points(agent, expert)
    assert torch.equal(whole[:, 0], whole[:, 3])
    around = functional.penalty_points(agent, expert, "dragan", noise=0.0)
    assert torch.equal(around, expert)


def test_copies_side_by_side_have_a_penalty_each() -> None:
    lengths = torch.tensor([3.0, 0.5])
    agent, expert = torch.randn(2, 2, 6, 1)
    value = functional.gradient_penalty(lambda points: points[..., 0] * lengths[:, None], agent, expert)
    assert value.tolist() == [4.0, 0.0]


def test_bounds_by_hand() -> None:
    assert functional.q_lipschitz_bound(1.0, 1.0, 0.0, 0.9) == pytest.approx(10.0)
    assert functional.q_lipschitz_bound(1.0, 1.0, 0.0, 0.9, kind="paper") == pytest.approx(2.294, abs=1e-3)
    assert functional.q_lipschitz_bound(2.0, 1.0, 2.0, 1.0, horizon=3) == pytest.approx(2 * (1 + 2 + 4))
    assert functional.q_lipschitz_bound(1.0, 1.0, 1.0, 0.5, kind="paper", horizon=2) == pytest.approx(math.sqrt(1.25))
    with pytest.raises(ValueError, match="must be below 1"):
        functional.q_lipschitz_bound(1.0, 2.0, 0.0, 0.5)


def test_the_printed_form_is_not_a_bound() -> None:
    """s' = s, r = s: the value s / (1 - discount) has the slope 10, above the printed 2.3."""
    discount = 0.9
    slope = 1 / (1 - discount)
    assert slope > functional.q_lipschitz_bound(1.0, 1.0, 0.0, discount, kind="paper")
    assert slope <= functional.q_lipschitz_bound(1.0, 1.0, 0.0, discount) + 1e-9


def test_pessimism_by_hand() -> None:
    lengths = torch.tensor([0.0, 9.0, 9.5, 9.0 + math.sqrt(10.0)])
    assert functional.pessimism(lengths, target=9.0).tolist() == pytest.approx([1, 1, math.exp(-0.25), 0.7])
    with pytest.raises(ValueError, match="floor must be in"):
        functional.pessimism(lengths, target=9.0, floor=0.0)


def test_n_step_targets_by_hand() -> None:
    rewards, value = torch.ones(4, 3), torch.full((4,), 8.0)
    lengths, ended = torch.tensor([3, 2, 2, 1]), torch.tensor([False, False, True, False])
    assert functional.n_step_targets(rewards[0], value[0], discount=0.5).item() == 2.75
    targets = functional.n_step_targets(rewards, value, discount=0.5, lengths=lengths, ended=ended)
    assert targets.tolist() == [2.75, 1.5 + 2.0, 1.5, 1.0 + 4.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "gan"}, "kind must be one of wgan, dragan, nagard, got 'gan'"),
        ({"split": 3}, "split must lie inside a row of width 3, got 3"),
        ({"kind": "dragan", "noise": -1.0}, "noise must be a standard deviation"),
        ({"expert": torch.zeros(3, 3)}, r"got \(4, 3\) and \(3, 3\)"),
    ],
)
def test_wrong_options_are_named(change: dict[str, object], message: str) -> None:
    options = {"agent": torch.zeros(4, 3), "expert": torch.zeros(4, 3), **change}
    with pytest.raises(ValueError, match=message):
        functional.gradient_penalty(nn.Linear(3, 1), **options)  # type: ignore[arg-type]


def test_half_precision_is_refused() -> None:
    with pytest.raises(TypeError, match="needs full precision"):
        functional.gradient_norms(nn.Linear(3, 1).half(), torch.zeros(4, 3).half())
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(TypeError, match="autocast on"):
        functional.gradient_norms(nn.Linear(3, 1), torch.zeros(4, 3))
    with pytest.raises(ValueError, match="one number for each of 4 rows"):
        functional.gradient_norms(nn.Linear(3, 2), torch.zeros(4, 3))
