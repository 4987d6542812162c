"""Bias of credit, measured exactly: expected updates by enumeration, against the gradient of the expected return.

The world is a small MDP whose policy decides itself when to stop: at each of three turns it may stop, or go on in one of two
ways. All 15 trajectories, and all groups of two or three of them, are enumerated with their probabilities, so the expected
update of a rule is a sum and not an estimate.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from rewardlab.functional import credit
from rewardlab.training.credit import Group, LeaveOneOut, PotentialBased, Redistributed, ReturnToGo, TurnRewards
from rewardlab.types import Scores, Trajectory

STOP, TURNS = 0, 3


def histories(turn=0, past=()):
    """Every trajectory as the tuple of its actions."""
    for action in range(3):
        if action == STOP or turn == TURNS - 1:
            yield (*past, action)
        else:
            yield from histories(turn + 1, (*past, action))


class Stopping:
    """Rewards drawn for each history, or the same 1 at every turn."""

    def __init__(self, seed=None):
        self.trajectories = list(histories())
        draw = np.random.default_rng(seed)
        places = sorted({past[: turn + 1] for past in self.trajectories for turn in range(len(past))})
        self.reward = {place: 1.0 if seed is None else float(draw.normal()) for place in places}
        states = sorted({past[:-1] for past in places}, key=lambda past: (len(past), past))
        self.number = {state: index for index, state in enumerate(states)}
        self.scores = np.zeros((len(states), 3)) if seed is None else draw.normal(size=(len(states), 3))

    def rewards(self, past):
        return [self.reward[past[: turn + 1]] for turn in range(len(past))]

    def log_probabilities(self, parameters):
        """float[trajectory]"""
        table = torch.log_softmax(parameters, dim=1)
        return torch.stack(
            [
                sum(table[self.number[past[:turn]], past[turn]] for turn in range(len(past)))
                for past in self.trajectories
            ]
        )

    def expected_return(self, parameters):
        returns = torch.tensor([sum(self.rewards(past)) for past in self.trajectories], dtype=torch.float64)
        return (self.log_probabilities(parameters).exp() * returns).sum()

    def exact_gradient(self):
        parameters = torch.tensor(self.scores, requires_grad=True)
        (gradient,) = torch.autograd.grad(self.expected_return(parameters), parameters)
        return gradient.numpy()

    def groups_of(self, size):
        """Every group of trajectories, flat: (index of each member, probability of each group)."""
        probability = self.log_probabilities(torch.tensor(self.scores)).exp().numpy()
        members = np.array(list(itertools.product(range(len(self.trajectories)), repeat=size)))
        return members, probability[members].prod(axis=1)

    def expected_update(self, size, advantages_of):
        """Sum over all groups of their probability times the mean over members of `sum_t A_t grad log pi(a_t)`."""
        members, probability = self.groups_of(size)
        chosen = [self.trajectories[index] for index in members.reshape(-1)]
        rewards = np.array([value for past in chosen for value in self.rewards(past)])
        lengths = np.array([len(past) for past in chosen])
        groups = np.repeat(np.arange(len(members)), size)
        advantages = advantages_of(rewards, lengths, groups, chosen)
        weight = np.repeat(np.repeat(probability / size, size), lengths) * advantages
        table = torch.softmax(torch.tensor(self.scores), dim=1).numpy()
        update = np.zeros_like(self.scores)
        states = np.array([self.number[past[:turn]] for past in chosen for turn in range(len(past))])
        actions = np.array([action for past in chosen for action in past])
        np.add.at(update, (states, actions), weight)  # d log pi(a | s) / d score(s, b) = [a = b] - pi(b | s)
        np.subtract.at(update, states, weight[:, None] * table[states])
        return update


def turn_by_turn(rewards, lengths, groups, chosen, **options):
    returns = credit.returns_to_go(rewards, lengths)
    return credit.above(returns, credit.turn_baseline(returns, lengths, groups, **options))


def as_rule(rule, potential=False):
    """The advantages of a rule on real trajectories, flat."""

    def advantages(rewards, lengths, groups, chosen):
        ends = np.cumsum(lengths)
        made = [
            Trajectory(
                observations=np.zeros(length + 1),
                actions=np.zeros(length),
                rewards=rewards[end - length : end],
                group=str(group),
                terminated=True,
                info={"potential": [len(past[:turn]) + sum(past[:turn]) ** 2 for turn in range(length + 1)]},
            )
            for length, end, group, past in zip(lengths, ends, groups, chosen, strict=True)
        ]
        scores = Scores(values=np.array([entry.rewards.sum() for entry in made]))
        return np.concatenate(rule(made, scores).values)

    return advantages


def worst(update, exact):
    return np.abs(update - exact).max()


def turned(update, exact):
    """How far the directions are apart."""
    return np.linalg.norm(update / np.linalg.norm(update) - exact / np.linalg.norm(exact))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("absent", ["all_steps", "zero"])
def test_the_turn_baseline_is_unbiased(seed, absent):
    world = Stopping(seed)
    exact = world.exact_gradient()
    for size in (2, 3):
        got = world.expected_update(size, lambda *batch: turn_by_turn(*batch, absent=absent))
        assert worst(got, exact) < 1e-12


UNBIASED = {
    "turn_rewards": TurnRewards(source="environment"),
    "no baseline": ReturnToGo(source="environment", baseline="none"),
    "leave one out, in groups": ReturnToGo(source="environment", within="group"),
    "outcome": LeaveOneOut(),
    "outcome on the last step": TurnRewards(source="outcome"),
    "residual on the last step": Redistributed(how="residual_last", source="environment", within="group"),
}


@pytest.mark.parametrize("rule", UNBIASED.values(), ids=UNBIASED.keys())
def test_rules_that_are_unbiased(rule):
    world = Stopping(7)
    got = world.expected_update(2, as_rule(rule))
    assert worst(got, world.exact_gradient()) < 1e-12


def test_shares_that_are_paid_before_the_outcome_is_known_bias():
    """What an action adds to the outcome is then partly paid to actions before it, where it no longer counts for it."""
    world = Stopping(7)
    got = world.expected_update(2, as_rule(Redistributed(how="equal", within="group")))
    assert turned(got, world.exact_gradient()) > 0.02


def test_a_group_mean_with_the_own_outcome_in_it_only_shrinks_the_update():
    world = Stopping(7)
    got = world.expected_update(3, as_rule(Group(scale="none")))
    assert worst(got, world.exact_gradient() * 2 / 3) < 1e-12


def test_a_potential_does_not_bias():
    """Shaping shifts returns by what was there before the action, so the expected update stays what it was."""
    world = Stopping(3)
    rule = PotentialBased(source="environment", baseline="none", weight=2.0)
    assert worst(world.expected_update(2, as_rule(rule)), world.exact_gradient()) < 1e-12


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scale", ["none", "std"])
def test_normalising_turn_by_turn_is_biased(seed, scale):
    """In direction, so that no step size makes up for it."""
    world = Stopping(seed)
    exact = world.exact_gradient()
    got = world.expected_update(3, lambda *batch: credit.turn_index_advantages(*batch[:3], scale=scale))
    assert turned(got, exact) > 0.02
    rule = as_rule(TurnRewards(source="environment", baseline="turn_index"))
    assert worst(world.expected_update(2, rule), exact) > 0.01


def test_a_mean_over_all_members_at_the_turn_is_biased():
    """Turns that few members reach are shrunk more, and a turn that one member reaches teaches nothing."""
    world = Stopping(0)
    exact = world.exact_gradient()
    got = world.expected_update(2, as_rule(ReturnToGo(source="environment", baseline="position", within="group")))
    assert turned(got, exact) > 0.05


def test_who_earns_at_every_turn_learns_to_go_on_only_without_the_bias():
    """With a reward of 1 at each turn the return is the length, and the turn-by-turn normalisation sees nothing at all."""
    world = Stopping()
    start = float(world.expected_return(torch.tensor(world.scores)))
    assert np.abs(world.expected_update(2, lambda *batch: credit.turn_index_advantages(*batch[:3]))).max() == 0
    for _ in range(40):
        world.scores = world.scores + 2.0 * world.expected_update(2, turn_by_turn)
    assert start < 2.2
    assert float(world.expected_return(torch.tensor(world.scores))) > 2.85
