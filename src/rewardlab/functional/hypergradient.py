"""Gradients through the end of an optimisation: products with an inverse Hessian, and what they say of outer parameters.

A bi-level problem is `max_phi outer(theta*(phi))` where `theta*(phi)` maximises `inner(theta, phi)`. At the inner maximum
the implicit function theorem gives `d theta*/d phi = -H^-1 A` with `H = d^2 inner / d theta^2` and
`A = d^2 inner / d theta d phi`, so that the outer gradient is `-(A^T H^-1 v)` with `v = d outer / d theta`. Only
products with `H` are formed, never `H`.

All vectors are `[copy, parameter]`: independent problems side by side, each with norms and step sizes of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]


class InverseProduct(NamedTuple):
    """What a solver found for `H q = v`.

    Args:
        solution: float[copy, parameter], q.
        residual: float[copy], `|H q - v| / |v|`; 0 where v is 0, and above 1 where nothing was gained.
        scale: float[copy], the step that was used (Neumann), or ones.
        found: bool[copy], False where H is not negative definite along the way, and the solution means nothing.
    """

    solution: Tensor
    residual: Tensor
    scale: Tensor
    found: Tensor


def neumann_inverse(
    product: Product, vector: Tensor, *, scale: float | Tensor, loops: int, halvings: int = 10, damping: float = 0.0
) -> InverseProduct:
    """`H^-1 v` for a negative definite H, by `-scale * sum_k (I + scale (H - damping I))^k v`.

    A scale at which the series grows is halved for that copy and the series begun anew. Where it grows at every scale, H is
    not negative definite there: an entropy bonus or damping makes it so.

    Source: Lorraine, Vicol and Duvenaud 2020, "Optimizing Millions of Hyperparameters by Implicit Differentiation",
    algorithm 3; as used in Gupta et al. 2023 (BARFI), appendix.

    Args:
        product: `H x` for float[copy, parameter].
        vector: float[copy, parameter], v.
        scale: positive, a number or float[copy]; the series converges below 2 over the largest eigenvalue of -H.
        loops: terms after the first, at least 1.
        halvings: how often the scale may be halved before the copy is given up.
        damping: added to -H, not negative.

    Raises:
        ValueError: scale, loops or damping out of range.
    """
    steps = torch.as_tensor(scale, dtype=vector.dtype, device=vector.device).expand(len(vector))[:, None]
    if not (steps > 0).all():
        raise ValueError(f"scale must be positive, got {scale}")
    if loops < 1:
        raise ValueError(f"loops must be at least 1, got {loops}")
    if damping < 0:
        raise ValueError(f"damping must not be negative, got {damping}")
    start = vector.norm(dim=1)
    for halving in range(halvings + 1):
        term, total = vector, vector.clone()
        largest = start
        for _ in range(loops):
            term = term + steps * (product(term) - damping * term)
            total = total + term
            largest = torch.maximum(largest, term.norm(dim=1))
        grew = ~(largest <= start * (1 + 1e-6))  # NaN counts as growth
        if halving == halvings or not grew.any():
            break
        steps = torch.where(grew[:, None], steps / 2, steps)
    solution = torch.where(grew[:, None], torch.zeros(()), -steps * total)
    return InverseProduct(solution, _residual(product, solution, vector, damping), steps[:, 0], ~grew)


def conjugate_gradient_inverse(product: Product, vector: Tensor, *, loops: int, damping: float = 0.0) -> InverseProduct:
    """`H^-1 v` for a negative definite H by conjugate gradients on `-(H - damping I)`.

    A copy stops where a direction of non-negative curvature is met, and keeps what it has.

    Source: Hestenes and Stiefel 1952; for hyper-gradients Pedregosa 2016.

    Args:
        product: `H x` for float[copy, parameter].
        vector: float[copy, parameter], v.
        loops: at most so many products.
        damping: added to -H, not negative.
    """
    if loops < 1:
        raise ValueError(f"loops must be at least 1, got {loops}")
    if damping < 0:
        raise ValueError(f"damping must not be negative, got {damping}")
    solution = torch.zeros_like(vector)
    rest = -vector  # -(H - damping I) q = -v
    direction = rest
    square = rest.square().sum(1)
    going = square > 0
    concave = torch.ones_like(going)
    for _ in range(loops):
        if not going.any():
            break
        moved = damping * direction - product(direction)
        curvature = (direction * moved).sum(1)
        concave = concave & ~(going & (curvature <= 0))
        going = going & (curvature > 0)
        step = torch.where(going, square / curvature.clamp(min=1e-300 if vector.dtype == torch.float64 else 1e-30), 0.0)
        solution = solution + step[:, None] * direction
        rest = rest - step[:, None] * moved
        new = rest.square().sum(1)
        direction = rest + torch.where(going, new / square.clamp(min=1e-30), 0.0)[:, None] * direction
        square = new
        going = going & (square > 1e-20)
    ones = torch.ones(len(vector), dtype=vector.dtype, device=vector.device)
    return InverseProduct(solution, _residual(product, solution, vector, damping), ones, concave)


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors [copy, ...] as one [copy, parameter]."""
    return torch.cat([tensor.reshape(len(tensor), -1) for tensor in tensors], dim=1)


def unflatten(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The inverse of `flatten`."""
    pieces = vector.split([tensor[0].numel() for tensor in like], dim=1)
    return [piece.reshape(tensor.shape) for piece, tensor in zip(pieces, like, strict=True)]


def hessian_product(inner_gradient: Tensor, parameters: Sequence[Tensor]) -> Product:
    """Products with the Hessian of which a gradient, with its graph, is given.

    Args:
        inner_gradient: float[copy, parameter], made with `create_graph=True`.
        parameters: what it was taken with respect to.
    """

    def product(vector: Tensor) -> Tensor:
        dot = (inner_gradient * vector.detach()).sum()
        return flatten(torch.autograd.grad(dot, parameters, retain_graph=True)).detach()

    return product


def implicit_gradient(
    inner_gradient: Tensor, solution: Tensor, outer_parameters: Sequence[Tensor]
) -> list[Tensor | None]:
    """The gradient of the outer objective with respect to the outer parameters: `-(A^T q)`.

    Source: Gupta et al. 2023 (BARFI, arXiv 2310.19007), equations 6 to 9.

    Args:
        inner_gradient: float[copy, parameter], the gradient of the inner objective with its graph.
        solution: float[copy, parameter], `q = H^-1 v`.
        outer_parameters: those that the inner gradient depends on; one that it does not depend on gets None.

    Returns:
        A gradient for each outer parameter, to climb along.
    """
    dot = -(inner_gradient * solution.detach()).sum()
    return list(torch.autograd.grad(dot, list(outer_parameters), allow_unused=True, retain_graph=True))


def _residual(product: Product, solution: Tensor, vector: Tensor, damping: float) -> Tensor:
    off = (product(solution) - damping * solution - vector).norm(dim=1)
    size = vector.norm(dim=1)
    return torch.where(size > 0, off / size.clamp(min=1e-30), torch.zeros_like(size))
