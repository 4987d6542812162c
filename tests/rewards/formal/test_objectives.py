"""Objectives against hand numbers, samples and one another; their refusals; their rewards against their values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.environments.tabular import MarkovDecisionProcess, deterministic_policies
from rewardlab.rewards.formal.objectives import (
    CMDP,
    CVaR,
    Entropic,
    Episodic,
    InfeasibleConstraints,
    InnerMultiObjective,
    InnerNonlinear,
    Lexicographic,
    LimitAverage,
    Markov,
    MeanVariance,
    NotAReward,
    OccupancyFunction,
    OuterMultiObjective,
    OuterNonlinear,
    PolicyFunction,
    Regularised,
    Satisficing,
    TooManyReturns,
    TrajectoryFunction,
    return_law,
    sampled_law,
)
from rewardlab.rewards.spec import from_spec


def gamble() -> MarkovDecisionProcess:
    """Safe earns 1 and ends; risky earns 4 with probability .4, else 0."""
    transitions = np.zeros((4, 2, 4))
    transitions[0, 0, 1] = 1
    transitions[0, 1, 2:] = 0.4, 0.6
    transitions[1:, :, 1:] = np.eye(3)[:, None, :]
    rewards = np.zeros((4, 2, 4))
    rewards[0, 0, 1], rewards[0, 1, 2] = 1.0, 4.0
    return MarkovDecisionProcess(transitions, rewards, 0.9, np.eye(4)[0], np.array([False, True, True, True]))


def by_next(mdp: MarkovDecisionProcess) -> np.ndarray:
    table = np.zeros((4, 2, 4))
    table[0, 0, 1], table[0, 1, 2] = 1.0, 4.0
    return table


SAFE, RISKY = np.zeros(4, dtype=int), np.ones(4, dtype=int)


def loop() -> MarkovDecisionProcess:
    """Two states; action 0 stays, action 1 changes; being in state 1 earns 1."""
    transitions = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]]], dtype=float)
    return MarkovDecisionProcess(transitions, np.array([[0, 0], [1, 1.0]]), 0.9, np.array([1.0, 0.0]))


def test_the_law_of_a_gamble():
    mdp = gamble()
    law = return_law(mdp, RISKY, [by_next(mdp)], 0.9)
    assert law.returns[:, 0].tolist() == [0.0, 4.0]
    assert law.probabilities == pytest.approx([0.6, 0.4])
    mixed = np.full((4, 2), 0.5)
    assert return_law(mdp, mixed, [by_next(mdp)], 0.9).probabilities == pytest.approx([0.3, 0.5, 0.2])
    sampled = sampled_law(mdp, mixed, [by_next(mdp)], 0.9, samples=20_000, seed=0)
    assert (sampled.returns == 4).mean() == pytest.approx(0.2, abs=0.01)


def test_utilities_and_risk_by_hand():
    mdp = gamble()
    options = {"rewards": by_next(mdp)}
    assert Markov(by_next(mdp)).compare(mdp, RISKY, SAFE) == 1
    assert Satisficing(1.0, **options).evaluate(mdp, RISKY) == pytest.approx(0.4)
    assert Satisficing(1.0, **options).compare(mdp, SAFE, RISKY) == 1
    assert Satisficing(1.0, inner=False, **options).compare(mdp, SAFE, RISKY) == 0
    assert InnerNonlinear(np.sqrt, **options).evaluate(mdp, RISKY) == pytest.approx(0.8)
    assert Entropic(1.0, **options).evaluate(mdp, RISKY) == pytest.approx(-np.log(0.6 + 0.4 * np.exp(-4)))
    assert Entropic(-1.0, **options).compare(mdp, RISKY, SAFE) == 1
    assert CVaR(0.6, **options).evaluate(mdp, RISKY) == pytest.approx(0.0)
    assert CVaR(0.8, **options).evaluate(mdp, RISKY) == pytest.approx(4 * 0.2 / 0.8)
    assert CVaR(0.8, **options).threshold(mdp, RISKY) == 4.0
    assert MeanVariance(0.5, **options).evaluate(mdp, RISKY) == pytest.approx(1.6 - 0.5 * 16 * 0.24)
    assert OuterNonlinear(lambda mean: -((mean - 1.3) ** 2), rewards=by_next(mdp)).compare(mdp, SAFE, RISKY) == 0
    assert Satisficing(1.0, inner=False).formalism == "ONMR"


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_the_mean_of_the_law_is_the_expected_return(seed):
    generator = np.random.default_rng(seed)
    transitions = np.zeros((4, 2, 4))
    for state in range(3):  # states only lead on, so the law is small
        transitions[state, :, state + 1 :] = generator.dirichlet(np.ones(3 - state), size=2)
    transitions[3, :, 3] = 1
    rewards = np.where(np.arange(4)[:, None] < 3, generator.normal(size=(4, 2)), 0.0)
    terminal = np.arange(4) == 3
    mdp = MarkovDecisionProcess(transitions, rewards, 0.8, generator.dirichlet(np.ones(4)), terminal)
    policy = generator.dirichlet(np.ones(2), size=4)
    law = return_law(mdp, policy, [None], 0.8)
    assert law.probabilities @ law.returns[:, 0] == pytest.approx(mdp.expected_return(policy))
    assert Episodic().evaluate(mdp, policy) == pytest.approx(InnerNonlinear(float, discount=1.0).evaluate(mdp, policy))
    whole = TrajectoryFunction(lambda one: float(one.rewards.sum()), steps=4)
    assert whole.evaluate(mdp, policy) == pytest.approx(Episodic().evaluate(mdp, policy))
    worst = [CVaR(level).evaluate(mdp, policy) for level in (0.1, 0.5, 0.999999)]
    assert worst[0] <= worst[1] + 1e-12 <= worst[2] + 2e-12
    assert worst[2] == pytest.approx(mdp.expected_return(policy), abs=1e-4)


def test_limit_averages():
    mdp = loop()
    objective = LimitAverage()
    change = np.array([1, 1])
    assert objective.evaluate(mdp, change) == pytest.approx(0.5)  # periodic: the average over the period
    assert objective.per_start(mdp, np.array([0, 0])).tolist() == [0.0, 1.0]  # multichain: it depends on the start
    go = np.array([1, 0])
    average, values = objective.differential(mdp, go)
    assert average == pytest.approx([1.0, 1.0])
    assert values == pytest.approx([-1.0, 0.0])
    assert objective.compare(mdp, go, np.array([[0.99, 0.01], [1, 0]])) == 0  # how fast does not matter
    sampled = mdp.sample(np.array([[0.7, 0.3], [0.4, 0.6]]), 4, steps=20_000, seed=0)
    assert objective.estimate(sampled) == pytest.approx(
        objective.evaluate(mdp, np.array([[0.7, 0.3], [0.4, 0.6]])), abs=0.01
    )
    # the differential values solve h = r - g + P h
    policy = np.array([[0.7, 0.3], [0.4, 0.6]])
    chain = (policy[:, :, None] * mdp.transitions).sum(1)
    average, values = objective.differential(mdp, policy)
    assert values == pytest.approx(np.array([0, 1.0]) - average + chain @ values)


def test_regularised():
    mdp = loop()
    objective = Regularised(0.5)
    best = objective.solve(mdp)
    for other in (mdp.optimal_policy(), np.full((2, 2), 0.5), *deterministic_policies(mdp)):
        assert objective.compare(mdp, best, other) >= 0
    assert objective.evaluate(mdp, np.full((2, 2), 0.5)) == pytest.approx(
        mdp.expected_return(np.full((2, 2), 0.5)) + 0.5 * np.log(2) * 10
    )
    near = Regularised(100.0, kind="kl", prior=np.array([[0.2, 0.8], [0.5, 0.5]]))
    assert near.solve(mdp) == pytest.approx(np.array([[0.2, 0.8], [0.5, 0.5]]), abs=0.02)
    assert Regularised(1.0, kind="kl", prior=np.array([0, 0])).evaluate(mdp, np.array([1, 0])) == -np.inf
    assert Regularised(0.0).solve(mdp) == pytest.approx(mdp.optimal_policy())


def test_what_is_over_earns_no_bonus():
    mdp = gamble()
    objective = Regularised(0.5)
    once = objective.evaluate(mdp, np.full((4, 2), 0.5))
    assert once == pytest.approx(mdp.expected_return(np.full((4, 2), 0.5)) + 0.5 * np.log(2))
    assert once == objective.evaluate(mdp, np.array([[0.5, 0.5], [1, 0], [0, 1], [0.3, 0.7]]))
    best = objective.solve(mdp)
    values, _ = mdp.solve(temperature=0.5)
    assert values[mdp.terminal] == pytest.approx(0.0)
    assert values[0] == pytest.approx(objective.evaluate(mdp, best))
    assert best[0] == pytest.approx(np.exp(mdp.rewards[0] / 0.5) / np.exp(mdp.rewards[0] / 0.5).sum())


def test_several_returns():
    mdp = loop()
    tables = {"there": np.array([0.0, 1.0]), "still": np.array([[1, 0], [1, 0.0]])}
    go = np.array([1, 0])
    assert OuterMultiObjective(tables).evaluate(mdp, go) == pytest.approx(18.0)
    weighted = OuterMultiObjective(tables, weights={"still": 3.0})
    assert weighted.evaluate(mdp, go) == pytest.approx(36.0)
    assert weighted.formalism == "MR"
    worst = OuterMultiObjective(tables, function=lambda returns: min(returns.values()))
    assert worst.evaluate(mdp, np.array([0, 0])) == pytest.approx(0.0)
    both = InnerMultiObjective(
        {
            "safe": np.eye(4)[1][None, None] * np.ones((4, 2, 1)) * (np.arange(4) == 0)[:, None, None],
            "paid": by_next(mdp),
        },
        lambda returns: returns["safe"] * returns["paid"],
    )
    assert both.evaluate(gamble(), np.full((4, 2), 0.5)) == pytest.approx(0.5)
    assert both.formalism == "IMORL"


def test_lexicographic():
    mdp = loop()
    first, second = np.array([0.0, 1.0]), np.array([[0, 0], [-1.0, 0]])
    order = Lexicographic([("there", first), ("restless", second)])
    fast, slow = np.array([1, 0]), np.array([[0.5, 0.5], [1, 0]])
    assert order.compare(mdp, fast, slow) == 1
    assert order.solve(mdp)[0] == pytest.approx([0.0, 1.0])
    # with enough of the first, the second decides
    satisfied = Lexicographic([("there", first), ("restless", second)], enough={"there": 4.0})
    best = satisfied.solve(mdp)
    assert satisfied.evaluate(mdp, best)[0] == pytest.approx(4.0)
    assert satisfied.compare(mdp, best, fast) == 1
    assert Lexicographic([("a", first), ("b", 10 * second)], slack=0.85).compare(mdp, slow, fast) == 1


def test_constrained():
    mdp = loop()
    cost = np.array([0.0, 1.0])
    objective = CMDP({"there": cost}, {"there": 3.0})
    solution = objective.solve(mdp)
    assert solution.value == pytest.approx(3.0)  # the reward is the cost here
    assert solution.prices["there"] == pytest.approx(1.0)
    assert mdp.expected_return(solution.policy) == pytest.approx(3.0)
    assert objective.compare(mdp, solution.policy, np.array([1, 0])) == 1  # that one exceeds the limit
    assert objective.compare(mdp, solution.policy, np.array([0, 0])) == 1  # that one earns less
    for policy in np.random.default_rng(0).dirichlet(np.ones(2), size=(30, 2)):
        assert objective.compare(mdp, solution.policy, policy) >= 0
    with pytest.raises(
        InfeasibleConstraints, match="there is at most -1, and the least that any policy can reach is 0"
    ):
        CMDP({"there": cost}, {"there": -1.0}).solve(mdp)
    with pytest.raises(InfeasibleConstraints, match="no policy keeps the limits of in and out together"):
        CMDP({"in": cost, "out": 1 - cost, "free": cost}, {"in": 3.0, "out": 3.0, "free": 100.0}).solve(mdp)


def test_visits_and_policies():
    mdp = loop()
    entropy = OccupancyFunction(lambda visits: float(-(visits * np.log(visits + 1e-12)).sum()))
    assert entropy.compare(mdp, np.full((2, 2), 0.5), np.array([0, 0])) == 1
    unseen = PolicyFunction(lambda policy: float(policy[1, 0]))
    assert unseen.compare(mdp, np.array([0, 0]), np.array([0, 1])) == 1  # state 1 is never reached by either


def test_order_has_tiers_and_tolerances_scale():
    mdp = loop()
    policies = [np.array(one) for one in ((0, 0), (0, 1), (1, 0), (1, 1))]
    assert Markov().order(mdp, policies) == [[0, 1], [3], [2]]
    large = mdp.with_rewards(mdp.rewards * 1e9)
    nearly = np.array([[0.0, 1.0], [1 - 1e-13, 1e-13]])
    assert Markov().compare(large, policies[2], nearly) == 0
    assert Markov().compare(mdp.with_rewards(mdp.rewards * 1e-9), policies[2], policies[3]) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: CVaR(0.0),
            "level of CVaR must be strictly between 0 and 1, got 0.0; 1 is the mean .use Markov., and 0 the",
        ),
        (lambda: CVaR(1.0), "level of CVaR must be strictly between 0 and 1, got 1.0"),
        (lambda: Entropic(0.0), "aversion must be finite and not 0"),
        (lambda: Regularised(-1.0), "strength must be at least 0"),
        (lambda: Regularised(1.0, kind="kl"), "a prior policy is needed"),
        (lambda: Lexicographic([("a", None), ("a", None)]), "two priorities have the name 'a'"),
        (lambda: Lexicographic([("a", None)], enough={"b": 1.0}), "enough names 'b'; the rewards are a"),
        (
            lambda: CMDP({"a": None}, {"b": 1.0}),
            "every cost needs a limit and every limit a cost, got costs a and limits b",
        ),
        (lambda: OuterMultiObjective({}), "at least one reward"),
        (
            lambda: Markov(discount=1.0).evaluate(loop(), np.array([0, 0])),
            "discount must be in .0, 1., got 1.0; .*Episodic",
        ),
        (
            lambda: Markov(np.zeros(3)).evaluate(loop(), np.array([0, 0])),
            r"rewards must be \[2\], \[2, 2\] or \[2, 2, 2\]",
        ),
        (
            lambda: Episodic().evaluate(loop(), np.array([0, 0])),
            r"the policy may never end: it keeps to states \[0\]",
        ),
        (
            lambda: InnerNonlinear(lambda value: np.sqrt(value - 1), rewards=by_next(gamble())).evaluate(
                gamble(), RISKY
            ),
            "the utility returned nan at the return 0",
        ),
        (
            lambda: TrajectoryFunction(lambda one: None, steps=2).evaluate(gamble(), SAFE),  # type: ignore[arg-type,return-value]
            r"the function returned None at the trajectory of states \[0, 1\] and actions \[0\]",
        ),
        (lambda: OuterNonlinear(lambda mean: np.inf).evaluate(loop(), np.array([1, 0])), "at the expected return 9"),
        (lambda: return_law(loop(), np.full((2, 2), 0.5), [None], 0.999), "different returns are possible .* samples="),
        (lambda: return_law(loop(), np.array([1, 0]), [None], 1.0), "rewards that cease"),
        (
            lambda: Markov(np.ones(4)).evaluate(gamble(), SAFE),
            "rewards pay in state 1, which is terminal, and so for ever; set them to 0 there",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_too_many_returns_are_sampled():
    mdp = loop()
    policy = np.full((2, 2), 0.5)
    with pytest.raises(TooManyReturns):
        CVaR(0.2, discount=0.99).evaluate(mdp, policy)
    mean = InnerNonlinear(float, discount=0.99, samples=4000).evaluate(mdp, policy)
    assert mean == pytest.approx(mdp.with_rewards(mdp.rewards, discount=0.99).expected_return(policy), rel=0.02)


def test_rewards_agree_with_their_objectives():
    mdp = gamble()
    policy = np.full((4, 2), 0.5)
    trajectories = mdp.sample(policy, 5000, steps=3, seed=0)
    for objective in (
        Markov(),
        Satisficing(1.2),
        InnerNonlinear(np.sqrt),
        Episodic(),
        InnerMultiObjective({"a": mdp.rewards, "b": -mdp.rewards}, lambda returns: returns["a"] ** 2),
        TrajectoryFunction(lambda one: float(one.rewards[0]), steps=3),
        OuterMultiObjective({"a": mdp.rewards}, weights={"a": 2.0}),
    ):
        scores = objective.to_reward(mdp)(trajectories)
        assert scores.values.mean() == pytest.approx(objective.evaluate(mdp, policy), rel=0.05)
    assert CVaR(0.3).to_reward(mdp)(trajectories).values.mean() == pytest.approx(
        CVaR(0.3).evaluate(mdp, policy), rel=0.05
    )
    utilities = Entropic(1.0).to_reward(mdp)(trajectories).values
    assert -np.log(1 - utilities.mean()) == pytest.approx(Entropic(1.0).evaluate(mdp, policy), rel=0.05)
    assert LimitAverage().to_reward(loop())(loop().sample(np.array([1, 1]), 1, steps=100, seed=0)).values[0] == 0.5


@pytest.mark.parametrize(
    "objective",
    [
        Regularised(1.0),
        CMDP({"a": None}, {"a": 1.0}),
        OuterNonlinear(abs),
        MeanVariance(1.0),
        Satisficing(1.0, inner=False),
    ],
)
def test_what_is_no_reward_says_so(objective):
    with pytest.raises(NotAReward, match="no reward of"):
        objective.to_reward(loop())


def test_a_utility_that_fails_fails_its_trajectory_alone():
    mdp = gamble()
    trajectories = [mdp.sample(SAFE, 1, steps=3, seed=0)[0], mdp.sample(RISKY, 1, steps=3, seed=0)[0]]
    scores = InnerNonlinear(lambda value: 1 / (value - 1)).to_reward(mdp)(trajectories)
    assert np.isnan(scores.values[0])
    assert "the utility failed at the return 1: ZeroDivisionError" in scores.note(0)
    assert scores.values[1] == pytest.approx(1 / 0.6)


def test_rewards_of_returns_are_specs():
    tail = CVaR(0.3).to_reward(gamble(), threshold=1.0)
    again = from_spec(tail.to_spec())
    trajectories = gamble().sample(RISKY, 20, steps=3, seed=0)
    assert again(trajectories).values.tolist() == tail(trajectories).values.tolist()
    assert not tail.group_wise
    with pytest.raises(ValueError, match="TailReward: option 'level' must be strictly between 0 and 1, got 1.0"):
        from_spec({**tail.to_spec(), "level": 1.0})
    # the table of state, action and next state keeps what a utility needs; the expected one would not
    enough = Satisficing(1.0, rewards=by_next(gamble()))
    doubled = (2.0 * enough.to_reward(gamble()) + 1.0)(trajectories)
    many = gamble().sample(RISKY, 2000, steps=3, seed=1)
    assert enough.to_reward(gamble())(many).values.mean() == pytest.approx(enough.evaluate(gamble(), RISKY), abs=0.04)
    assert set(np.unique(doubled.values)) == {1.0, 3.0}
