"""The bi-level loop: returns and gradients against brute force, what is frozen stays, and a bad hint loses its weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardlab.environments.tabular import MarkovDecisionProcess
from rewardlab.functional.hypergradient import (
    conjugate_gradient_inverse,
    flatten,
    hessian_product,
    implicit_gradient,
    neumann_inverse,
    unflatten,
)
from rewardlab.learning.alignment import (
    AlignmentOptions,
    Bilevel,
    Blend,
    CategoricalPolicy,
    EpisodeBuffer,
    Reading,
    TableEpisodes,
    discounted_returns,
)


def small_world() -> MarkovDecisionProcess:
    """Three states in a row; going right to the last ends and earns 1, staying earns nothing."""
    transitions = np.zeros((3, 2, 3))
    transitions[:, 0] = np.eye(3)
    transitions[0, 1, 1] = transitions[1, 1, 2] = transitions[2, 1, 2] = 1.0
    rewards = np.zeros((3, 2))
    rewards[1, 1] = 1.0
    return MarkovDecisionProcess(
        transitions, rewards, 0.9, np.array([1.0, 0, 0]), terminal=np.array([False, False, True])
    )


def learner(copies: int = 2, *, hint: float = 0.5, **options) -> Bilevel:
    world = small_world()
    hints = np.zeros((1, 3, 2))
    hints[0, :2, 0] = hint  # staying is paid: misleading
    source = TableEpisodes(world, hints, copies=copies, horizon=6, seed=3)
    policy = CategoricalPolicy(Reading("table", 3, 2, copies=copies, start=torch.zeros(2)))
    blend = Blend(Reading("table", 3, 3, copies=copies, start=torch.tensor([0.0, 1.0, 1.0])), 0.9)
    chosen = AlignmentOptions(**{"episodes": 30, "warm_up": 6, "warm_up_steps": 5, "buffer": 50, **options})
    return Bilevel(source, policy, blend, chosen)


def test_returns_are_the_discounted_sums_and_carry_the_gradient_of_the_discount() -> None:
    rewards = torch.tensor([[[1.0, 2.0, 4.0]]], dtype=torch.float64)
    discount = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    found = discounted_returns(rewards, discount)
    assert found.tolist() == [[[3.0, 4.0, 4.0]]]
    (slope,) = torch.autograd.grad(found[0, 0, 0], [discount])
    assert float(slope) == pytest.approx(2 + 2 * 0.5 * 4)


@pytest.mark.parametrize("solver", ["conjugate", "neumann"])
def test_the_outer_gradient_is_the_slope_of_the_solved_inner_problem(solver: str) -> None:
    run = learner(entropy=1.0)
    run.policy.double()
    run.blend.double()
    uniform = lambda seen: torch.randint(2, seen.shape, generator=torch.Generator().manual_seed(5))  # noqa: E731
    data, fresh = run.source.collect(uniform, 40), run.source.collect(uniform, 40)
    for batch in (data, fresh):
        batch.primary, batch.auxiliary, batch.present = (
            one.double() for one in (batch.primary, batch.auxiliary, batch.present)
        )
    weights = list(run.policy.parameters())

    def solve() -> None:
        for _ in range(8):  # Newton's method
            gradient = flatten(torch.autograd.grad(run.inner_objective(data).sum(), weights, create_graph=True))
            step = conjugate_gradient_inverse(hessian_product(gradient, weights), gradient.detach(), loops=12)
            with torch.no_grad():
                for weight, move in zip(weights, unflatten(step.solution, weights), strict=True):
                    weight -= move

    solve()
    gradient = flatten(torch.autograd.grad(run.inner_objective(data).sum(), weights, create_graph=True))
    assert float(gradient.detach().abs().max()) < 1e-9
    wanted = flatten(torch.autograd.grad(run.outer_objective(fresh).sum(), weights)).detach()
    product = hessian_product(gradient, weights)
    found = (
        conjugate_gradient_inverse(product, wanted, loops=12, damping=1e-9)
        if solver == "conjugate"
        else neumann_inverse(product, wanted, scale=2.0, loops=1500)
    )
    assert found.found.all()
    table, discount = run.blend.reading.table, run.blend.discount_logit
    slope, of_discount = implicit_gradient(gradient, found.solution, [table, discount])
    kept = [weight.detach().clone() for weight in weights]
    for parameter, index, value in (
        (table, (1, 0, 2), slope[1, 0, 2]),
        (table, (0, 1, 1), slope[0, 1, 1]),
        (discount, (0,), of_discount[0]),
    ):
        ends = []
        for move in (1e-4, -1e-4):
            with torch.no_grad():
                parameter[index] += move
                for weight, old in zip(weights, kept, strict=True):
                    weight.copy_(old)
            solve()
            ends.append(run.outer_objective(fresh).detach()[index[0]])
            with torch.no_grad():
                parameter[index] -= move
        difference = float((ends[0] - ends[1]) / 2e-4)
        assert abs(difference) > 1e-4  # there is something to see
        assert float(value) == pytest.approx(difference, rel=0.05)


def test_copies_that_do_not_learn_keep_their_blend_and_all_others_move() -> None:
    run = learner()
    run = Bilevel(run.source, run.policy, run.blend, run.options, learns=np.array([True, False]))
    before = run.blend.reading.table.detach().clone()
    run.run()
    moved = (run.blend.reading.table.detach() - before).abs().sum((1, 2))
    assert moved[0] > 0
    assert moved[1] == 0
    assert run.history[-1]["discount"][1] == pytest.approx(0.9)
    assert [line["episodes"] for line in run.history] == list(range(3, 31, 3))
    assert set(run.history[-1]) >= {"primary_return", "outer_gradient", "residual", "signal", "concave", "discount"}
    with pytest.raises(ValueError, match="learns must be bool\\[2\\]"):
        Bilevel(run.source, run.policy, run.blend, run.options, learns=np.array([True]))


def test_a_hint_that_pays_for_standing_still_loses_its_weight() -> None:
    options = {
        "episodes": 240,
        "reward_rate": 0.05,
        "policy_rate": 0.02,
        "outer_batch": 40,
        "every": 6,
        "inner_steps": 5,
    }
    run = learner(copies=4, hint=1.0, **options)
    run = Bilevel(run.source, run.policy, run.blend, run.options, learns=np.array([True, True, False, False]))
    run.run()
    returns = np.stack([line["primary_return"] for line in run.history[-10:]]).mean(0)
    assert returns[:2].mean() > returns[2:].mean() + 0.3
    weight = run.blend.reading.table.detach()[:2, :2, 2]
    assert float(weight.mean()) < 0.5


def test_the_same_seed_gives_the_same_numbers_and_another_seed_does_not() -> None:
    def weights(seed: int) -> list[float]:
        run = learner(seed=seed)
        run.run()
        return run.blend.reading.table.detach().flatten().tolist()

    assert weights(0) == weights(0)
    assert weights(0) != weights(1)


def test_a_buffer_gives_the_newest_and_leaves_out_what_is_asked() -> None:
    run = learner(copies=1)
    buffer = EpisodeBuffer(4)
    with pytest.raises(ValueError, match="holds 0 episodes"):
        buffer.draw(1, torch.Generator())
    for number in range(6):
        batch = run.source.collect(lambda seen: torch.zeros(seen.shape, dtype=torch.int64), 1)
        batch.primary[:] = number
        buffer.add(batch)
    drawn = buffer.draw(200, torch.Generator().manual_seed(0), leave_out=1)
    assert set(drawn.primary[0, :, 0].tolist()) == {2.0, 3.0, 4.0}
    assert len(drawn.split(4)) == 4
    with pytest.raises(ValueError, match="newest 4 are left out"):
        buffer.draw(1, torch.Generator(), leave_out=4)


def test_a_discount_that_falls_to_its_bound_is_warned_of() -> None:
    run = learner(discount_rate=1.0, discount_penalty=1e6)
    with pytest.warns(UserWarning, match="lower bound 0.5"):
        run.run()
    assert run.blend.discount.min() >= 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "'every' must be at least 1, got 0"),
        ({"entropy": -1.0}, "'entropy' must not be negative, got -1.0"),
        ({"reward_rate": float("nan")}, "'reward_rate' must not be negative, got nan"),
        ({"primary_discount": 1.5}, "'primary_discount' must be in \\[0, 1\\], got 1.5"),
        ({"buffer": 3}, "must hold more episodes than the newest 'every' \\(3\\)"),
    ],
)
def test_wrong_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AlignmentOptions(**options)


def test_hints_of_another_shape_or_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="auxiliary must be \\[reward, 3, 2\\]"):
        TableEpisodes(small_world(), np.zeros((3, 2)), copies=1, horizon=5, seed=0)
    with pytest.raises(ValueError, match="not finite"):
        TableEpisodes(small_world(), np.full((1, 3, 2), np.nan), copies=1, horizon=5, seed=0)
