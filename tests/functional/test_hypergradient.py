"""Products with inverse Hessians, against the exact inverse; the implicit gradient, against an optimum solved anew."""

from __future__ import annotations

import pytest
import torch

from rewardlab.functional.hypergradient import (
    conjugate_gradient_inverse,
    flatten,
    hessian_product,
    implicit_gradient,
    neumann_inverse,
    unflatten,
)


def negative_definite(copies: int, size: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    roots = torch.randn(copies, size, size, generator=generator, dtype=torch.float64)
    return -(roots @ roots.mT + torch.eye(size, dtype=torch.float64))


def times(matrices: torch.Tensor):
    return lambda vector: (matrices @ vector[..., None])[..., 0]


@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_both_solvers_give_what_the_exact_inverse_gives(damping: float) -> None:
    matrices = negative_definite(3, 5, seed=0)
    vector = torch.randn(3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    exact = torch.linalg.solve(matrices - damping * torch.eye(5, dtype=torch.float64), vector)
    series = neumann_inverse(times(matrices), vector, scale=0.05, loops=3000, damping=damping)
    steps = conjugate_gradient_inverse(times(matrices), vector, loops=10, damping=damping)
    for found in (series, steps):
        torch.testing.assert_close(found.solution, exact, rtol=1e-5, atol=1e-7)
        assert float(found.residual.max()) < 1e-5


def test_few_terms_of_the_series_are_the_sum_that_the_paper_writes() -> None:
    matrix = torch.tensor([[[-2.0]]], dtype=torch.float64)
    vector = torch.tensor([[3.0]], dtype=torch.float64)
    # q <- v, p <- v; then p <- p + .1 H p = .8 p, q <- q + p, twice: 3 (1 + .8 + .64), times -.1
    found = neumann_inverse(times(matrix), vector, scale=0.1, loops=2)
    assert float(found.solution) == pytest.approx(-0.1 * 3 * 2.44)
    assert float(found.residual) == pytest.approx(abs(-2 * -0.732 - 3) / 3)


def test_a_scale_at_which_the_series_grows_is_halved_for_that_copy_alone() -> None:
    matrices = torch.diag_embed(torch.tensor([[-1.0, -1.0], [-30.0, -1.0]], dtype=torch.float64))
    found = neumann_inverse(times(matrices), torch.ones(2, 2, dtype=torch.float64), scale=0.1, loops=400)
    assert found.scale.tolist() == [0.1, 0.05]
    torch.testing.assert_close(
        found.solution, torch.tensor([[-1.0, -1.0], [-1 / 30, -1.0]], dtype=torch.float64), atol=1e-6, rtol=0
    )


def test_a_direction_of_growth_is_no_solution_for_that_copy_alone() -> None:
    matrices = torch.diag_embed(torch.tensor([[1.0, -1.0], [-1.0, -1.0]]))
    vector = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    for found in (
        neumann_inverse(times(matrices), vector, scale=0.1, loops=300),
        conjugate_gradient_inverse(times(matrices), vector, loops=5),
    ):
        assert found.found.tolist() == [False, True]
        assert found.solution[0].tolist() == [0, 0]
        assert float(found.solution[1, 0]) == pytest.approx(-1.0, abs=1e-4)
    # enough damping makes it concave
    damped = neumann_inverse(times(matrices), vector, scale=0.1, loops=500, damping=3.0)
    assert damped.found.all()
    assert float(damped.solution[0, 0]) == pytest.approx(-0.5, abs=1e-4)


def test_nothing_to_solve_leaves_nothing() -> None:
    matrices = negative_definite(1, 3, seed=2)
    for found in (
        neumann_inverse(times(matrices), torch.zeros(1, 3, dtype=torch.float64), scale=0.01, loops=3),
        conjugate_gradient_inverse(times(matrices), torch.zeros(1, 3, dtype=torch.float64), loops=3),
    ):
        assert found.solution.tolist() == [[0, 0, 0]]
        assert found.residual.tolist() == [0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0.0, "loops": 3}, "scale must be positive, got 0.0"),
        ({"scale": 0.1, "loops": 0}, "loops must be at least 1, got 0"),
        ({"scale": 0.1, "loops": 3, "damping": -1.0}, "damping must not be negative"),
    ],
)
def test_wrong_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        neumann_inverse(times(negative_definite(1, 2, seed=0)), torch.ones(1, 2, dtype=torch.float64), **options)


def test_vectors_go_to_weights_and_back() -> None:
    weights = [torch.arange(6.0).reshape(2, 3), torch.arange(8.0).reshape(2, 2, 2)]
    vector = flatten(weights)
    assert vector.shape == (2, 7)
    for one, other in zip(unflatten(vector, weights), weights, strict=True):
        assert torch.equal(one, other)


def test_the_implicit_gradient_is_the_slope_of_the_solved_problem() -> None:
    """A softmax bandit with entropy: the inner optimum is known, `pi ~ exp(r(phi) / tau)`, and so is its outer value."""
    tau = 0.7
    mixing = torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]], dtype=torch.float64)
    truth = torch.tensor([0.2, 1.0, -0.5], dtype=torch.float64)

    def outer(phi: torch.Tensor) -> torch.Tensor:
        return (torch.softmax(phi @ mixing / tau, -1) * truth).sum()

    phi = torch.tensor([0.3, -0.4], dtype=torch.float64, requires_grad=True)
    theta = (phi.detach() @ mixing / tau)[None].requires_grad_()
    policy = torch.softmax(theta, -1)
    inner = (policy * (phi @ mixing)).sum() - tau * (policy * policy.log()).sum()
    gradient = flatten(torch.autograd.grad(inner, [theta], create_graph=True))
    assert float(gradient.detach().abs().max()) < 1e-12  # it is the optimum
    wanted = flatten(torch.autograd.grad((torch.softmax(theta, -1) * truth).sum(), [theta])).detach()
    # the logits are free up to a constant, so H is singular there; a little damping does not matter
    found = conjugate_gradient_inverse(hessian_product(gradient, [theta]), wanted, loops=10, damping=1e-9)
    (slope,) = implicit_gradient(gradient, found.solution, [phi])
    exact = torch.autograd.functional.jacobian(outer, phi.detach())
    torch.testing.assert_close(slope, exact, rtol=1e-5, atol=1e-8)
    step = 1e-5
    for index in range(2):
        move = torch.zeros(2, dtype=torch.float64)
        move[index] = step
        difference = (outer(phi.detach() + move) - outer(phi.detach() - move)) / (2 * step)
        assert float(slope[index]) == pytest.approx(float(difference), rel=1e-4)
