from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rewardlab.functional.inverse_q import (
    concave,
    inverse_q_loss,
    marginal_action_values,
    recovered_rewards,
    soft_log_policy,
    soft_values,
    value_differences,
)
from rewardlab.functional.tabular import occupancy, value_iteration

NO = torch.tensor([False])


def test_numbers_worked_out_by_hand() -> None:
    zeros = torch.zeros(3)
    assert float(soft_values(zeros)) == pytest.approx(math.log(3))
    assert float(soft_values(zeros, temperature=0.5)) == pytest.approx(0.5 * math.log(3))  # lambda = 2
    assert float(soft_values(torch.tensor([1.0, float("-inf")]))) == pytest.approx(1.0)
    assert float(soft_values(torch.tensor([1.0, 9.0]), legal=torch.tensor([True, False]))) == pytest.approx(1.0)
    action_values, actions, following = torch.tensor([[2.0, 5.0]]), torch.tensor([0]), torch.tensor([1.0])
    assert float(recovered_rewards(action_values, actions, following, NO, discount=0.9)) == pytest.approx(1.1)
    assert float(recovered_rewards(action_values, actions, following, ~NO, discount=0.9)) == pytest.approx(2.0)
    assert concave(torch.tensor([2.0, 0.0, 4.0])).tolist() == [1.0, 0.0, 0.0]
    assert concave(torch.tensor([-3.0, 0.5, 4.0]), "tv").tolist() == [-3.0, 0.5, 1.0]
    assert float(concave(torch.tensor(-1.0), "kl")) == -1.0
    logs = soft_log_policy(torch.tensor([0.0, 0.0, 7.0]), legal=torch.tensor([True, True, False]))
    assert logs.exp().tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_the_next_value_is_not_detached() -> None:
    """Finite differences of the whole loss by the next state's action values, which a detached target would leave at 0."""
    generator = torch.Generator().manual_seed(0)
    here = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    following = torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    actions, ended = torch.tensor([0, 1, 2, 0]), torch.tensor([False, False, True, False])

    def loss(next_q: torch.Tensor) -> torch.Tensor:
        then = soft_values(next_q)
        rewards = recovered_rewards(here, actions, then, ended, discount=0.9)
        return inverse_q_loss(rewards, value_differences(soft_values(here), then, ended, discount=0.9))

    (gradient,) = torch.autograd.grad(loss(following), following)
    for row, column in ((0, 0), (1, 2), (3, 1)):
        shift = torch.zeros_like(here)
        shift[row, column] = 1e-6
        by_hand = (loss(following.detach() + shift) - loss(following.detach() - shift)) / 2e-6
        assert float(gradient[row, column]) == pytest.approx(float(by_hand), abs=1e-7)
        assert abs(float(by_hand)) > 1e-4
    assert gradient[2].abs().max() == 0  # a terminal state has no value


def test_on_the_demonstrators_states_tv_is_behaviour_cloning() -> None:
    here, then = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1)).mul(0.1)
    actions, ended = torch.tensor([0, 1, 2, 1, 0]), torch.zeros(5, dtype=torch.bool)
    values, next_values = soft_values(here), soft_values(then)
    rewards = recovered_rewards(here, actions, next_values, ended, discount=0.9)
    loss = inverse_q_loss(rewards, value_differences(values, next_values, ended, discount=0.9), phi="tv")
    likelihood = soft_log_policy(here).gather(-1, actions[:, None]).mean()
    assert float(rewards.max()) < 1
    assert float(loss) == pytest.approx(-float(likelihood), abs=1e-6)


def matrix_game() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two states, two agents with two actions: transitions [S, A, B, S], the first agent's reward [S, A, B], policies."""
    draw = np.random.default_rng(3)
    transitions = draw.dirichlet(np.ones(2), size=(2, 2, 2))
    return (
        transitions,
        draw.normal(size=(2, 2, 2)),
        draw.dirichlet(np.ones(2), size=2),
        draw.dirichlet(np.ones(2), size=2),
    )


def optimum(weights: np.ndarray, value_weights: np.ndarray, discount: float, l2: float) -> torch.Tensor:
    """Exact minimum of the loss over tables Q[S, A], for weights of transitions `[S, A, ..., S]`."""
    table = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
    index = torch.from_numpy(np.argwhere(weights > 0))
    share, value_share = (torch.from_numpy(entry[weights > 0]) for entry in (weights, value_weights))
    state, action, following = index[:, 0], index[:, 1], index[:, -1]
    ended = torch.zeros(len(index), dtype=torch.bool)
    optimiser = torch.optim.LBFGS([table], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-15)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        values = soft_values(table)
        rewards = recovered_rewards(table[state], action, values[following], ended, discount=discount)
        gaps = value_differences(values[state], values[following], ended, discount=discount)
        loss = (value_share * gaps).sum() - (share * concave(rewards)).sum() + l2 * table.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return table.detach()


@pytest.mark.parametrize("on_policy_states", [False, True])
def test_the_marginal_optimum_is_that_of_one_agent_in_the_induced_process(on_policy_states: bool) -> None:
    transitions, _, own, other = matrix_game()
    discount, initial = 0.8, np.array([0.5, 0.5])
    induced = np.einsum("sb,sabt->sat", other, transitions)
    visited = occupancy(induced, own, initial, discount) * (1 - discount)
    values_at = (
        occupancy(induced, np.full((2, 2), 0.5), initial, discount) * (1 - discount) if on_policy_states else visited
    )
    joint, joint_at = (
        entry[:, :, None, None] * other[:, None, :, None] * transitions for entry in (visited, values_at)
    )
    alone, alone_at = (entry[:, :, None] * induced for entry in (visited, values_at))
    assert joint.sum() == pytest.approx(1.0)
    marginal = optimum(joint, joint_at, discount, 1e-4)
    single = optimum(alone, alone_at, discount, 1e-4)
    assert float((marginal - single).abs().max()) < 1e-3
    assert float(single.abs().max()) > 0.05  # it moved away from where it began


def test_an_averaged_joint_critic_is_the_marginal_one() -> None:
    transitions, rewards, _, other = matrix_game()
    induced = np.einsum("sb,sabt->sat", other, transitions)
    averaged = np.einsum("sb,sab->sa", other, rewards)
    values, marginal = value_iteration(induced, averaged, 0.8, temperature=1.0)
    joint = rewards + 0.8 * transitions @ values  # soft evaluation of the joint action, [S, A, B]
    found = marginal_action_values(torch.from_numpy(joint), torch.from_numpy(other))
    assert np.allclose(found, marginal, atol=1e-8)
    assert np.allclose(soft_values(found), values, atol=1e-8)


def test_leading_axes_are_separate_problems() -> None:
    rewards, gaps = torch.randn(3, 2, 7), torch.randn(3, 2, 5)
    together = inverse_q_loss(rewards, gaps, policy_rewards=gaps)
    alone = inverse_q_loss(rewards[1, 0], gaps[1, 0], policy_rewards=gaps[1, 0])
    assert together.shape == (3, 2)
    assert float(together[1, 0]) == pytest.approx(float(alone), rel=1e-5)


def test_messages() -> None:
    with pytest.raises(ValueError, match=r"temperature must be positive, got 0"):
        soft_values(torch.zeros(2), temperature=0)
    with pytest.raises(ValueError, match=r"the state at \[1\] has no legal action"):
        soft_values(torch.zeros(2, 2), legal=torch.tensor([[True, True], [False, False]]))
    with pytest.raises(ValueError, match=r"legal must have the shape of the action values, \(2, 2\), got \(2,\)"):
        soft_values(torch.zeros(2, 2), legal=torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"actions must have shape \(1,\), one for each state"):
        recovered_rewards(torch.zeros(1, 2), torch.tensor([0, 1]), torch.zeros(1), NO, discount=0.9)
    with pytest.raises(ValueError, match=r"discount must be in \[0, 1\], got 1.5"):
        value_differences(torch.zeros(1), torch.zeros(1), NO, discount=1.5)
    with pytest.raises(ValueError, match=r"phi must be one of chi2, tv, kl, got 'js'"):
        concave(torch.zeros(1), "js")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"at least one entry in the last"):
        inverse_q_loss(torch.zeros(3), torch.zeros(0))
    with pytest.raises(ValueError, match=r"joint must be \[..., A, B\]"):
        marginal_action_values(torch.zeros(2, 3), torch.zeros(2))
