"""The finite decision process: its checks, its doors to Gymnasium, its estimate, and the named worlds."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from rewardlab.environments import tabular_worlds as worlds
from rewardlab.environments.tabular import MarkovDecisionProcess, deterministic_policies
from rewardlab.types import Trajectory


def build(**changes):
    options = {
        "transitions": np.array([[[0.5, 0.5], [1, 0]], [[0, 1], [0, 1]]], dtype=float),
        "rewards": np.array([[1.0, 0.0], [0.0, 0.0]]),
        "discount": 0.9,
        "initial": np.array([1.0, 0.0]),
        "terminal": np.array([False, True]),
    }
    return MarkovDecisionProcess(**{**options, **changes})


def test_solved():
    mdp = build()
    assert mdp.values(np.array([0, 0])) == pytest.approx([1 / (1 - 0.45), 0.0])
    assert mdp.expected_return(mdp.optimal_policy()) == pytest.approx(mdp.solve()[0][0])
    assert mdp.occupancy(np.array([1, 0]))[0] == pytest.approx([0.0, 10.0])
    assert deterministic_policies(mdp).shape == (2, 2, 2)
    per_next = np.zeros((2, 2, 2))
    per_next[0, 0, 1] = 3.0
    assert build(rewards=per_next).rewards[0, 0] == pytest.approx(1.5)
    assert "2 states, 2 actions" in repr(mdp)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transitions": np.zeros((2, 2))}, r"transitions must be \[S, A, S\]"),
        ({"transitions": np.full((2, 2, 2), 0.4)}, r"transitions of state 0, action 0 sums to 0\.8, expected 1"),
        (
            {"transitions": np.array([[[1.5, -0.5], [1, 0]], [[0, 1], [0, 1]]])},
            r"transitions of state 0, action 0 holds -0\.5: a probability must not be negative",
        ),
        (
            {"transitions": np.array([[[np.nan, 1], [1, 0]], [[0, 1], [0, 1]]])},
            r"transitions of state 0, action 0 holds nan: must be finite",
        ),
        ({"rewards": np.array([[1, 0], [0, np.nan]])}, r"reward of state 1, action 1 is nan; rewards must be finite"),
        ({"rewards": np.zeros(2)}, r"rewards must be \[2, 2\] or \[2, 2, 2\], got shape \(2,\)"),
        (
            {"rewards": np.array([[1.0, 0.0], [0.0, 2.0]])},
            r"terminal state 1 leaks reward: action 1 earns 2 there for ever; put it on the transition",
        ),
        ({"terminal": np.array([True, False])}, r"terminal state 0 is left by action 0 with probability 0\.5"),
        ({"terminal": np.array([0, 1])}, r"terminal must be bool\[2\]"),
        ({"discount": 1.0}, r"discount must be in \[0, 1\), got 1\.0; .*Episodic and LimitAverage"),
        ({"initial": np.array([0.5, 0.2])}, r"initial sums to 0\.7, expected 1"),
        ({"initial": np.array([2.0, -1.0])}, r"initial of state 1 holds -1"),
        ({"state_names": ("a",)}, "state_names must have 2 entries, got 1"),
    ],
)
def test_bad_input(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_bad_policies():
    mdp = build(state_names=("hall", "end"), action_names=("go", "wait"))
    with pytest.raises(ValueError, match=r"the policy sums to 1\.5 at state 0 \(hall\), expected 1"):
        mdp.values(np.array([[1, 0.5], [1, 0]]))
    with pytest.raises(ValueError, match=r"a policy must be \[\.\.\., 2, 2\], or an action for each of 2 states"):
        mdp.values(np.ones((3, 2)))
    with pytest.raises(ValueError, match="must name 0 to 1, got 7"):
        mdp.values(np.array([0, 7]))
    with pytest.raises(ValueError, match=r"state 0 \(hall\), action 1 \(wait\)"):
        mdp.values(np.array([[1, np.nan], [1, 0]]))
    with pytest.raises(ValueError, match=r"4\^39 = "):
        deterministic_policies(worlds.four_rooms())


def test_gymnasium_accepts_it_and_samples_agree_with_the_exact_return():
    mdp = worlds.four_rooms()
    environment = mdp.to_gymnasium(max_steps=50)
    check_env(environment, skip_render_check=True)
    again = MarkovDecisionProcess.from_gymnasium(environment, discount=mdp.discount)
    assert again.transitions == pytest.approx(mdp.transitions)
    assert again.rewards == pytest.approx(mdp.rewards)
    assert (again.terminal == mdp.terminal).all()
    policy = mdp.optimal_policy()
    sampled = mdp.sample(policy, 4000, steps=300, seed=0)
    returns = [(trajectory.rewards * 0.95 ** np.arange(len(trajectory))).sum() for trajectory in sampled]
    assert np.mean(returns) == pytest.approx(mdp.expected_return(policy), abs=4 * np.std(returns) / np.sqrt(4000))
    totals = []
    for seed in range(300):
        state, _ = environment.reset(seed=seed)
        total, weight, over = 0.0, 1.0, False
        while not over:
            state, reward, ended, cut, _ = environment.step(int(policy[state].argmax()))
            total, weight, over = total + weight * reward, weight * 0.95, ended or cut
        totals.append(total)
    assert np.mean(totals) == pytest.approx(mdp.expected_return(policy), abs=4 * np.std(totals) / np.sqrt(300))
    with pytest.raises(ValueError, match="action must be in 0 to 3, got 9"):
        environment.step(9)
    with pytest.raises(ValueError, match="max_steps must be at least 1"):
        mdp.to_gymnasium(max_steps=0)


@pytest.mark.parametrize("name", ["FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"])
def test_tables_of_gymnasium(name):
    environment = gymnasium.make(name)
    mdp = MarkovDecisionProcess.from_gymnasium(environment)
    assert mdp.terminal.any()
    values, _ = mdp.solve()
    if name == "Taxi-v4":  # a fare in at most 20 steps of -1, with 20 for the passenger
        assert mdp.states == environment.observation_space.n
        assert 0 < mdp.initial @ values < 20
    if name == "CliffWalking-v1":
        assert mdp.initial @ values == pytest.approx(-(1 - 0.99**13) / 0.01)


def test_an_environment_without_a_table():
    with pytest.raises(TypeError, match="CartPoleEnv shows no transition table .* MarkovDecisionProcess.estimate"):
        MarkovDecisionProcess.from_gymnasium(gymnasium.make("CartPole-v1"))


def test_a_state_that_ends_only_sometimes_gets_an_end_of_its_own():
    class Toy:
        P = {0: {0: [(0.5, 0, 1.0, False), (0.5, 0, 2.0, True)]}}
        initial_state_distrib = [1.0]

    mdp = MarkovDecisionProcess.from_gymnasium(Toy())
    assert mdp.states == 2
    assert mdp.terminal.tolist() == [False, True]
    assert mdp.transitions[0, 0].tolist() == [0.5, 0.5]


def test_estimate():
    mdp = worlds.line_key(4)
    uniform = np.full((mdp.states, 3), 1 / 3)
    trajectories = mdp.sample(uniform, 3000, steps=60, seed=1)
    guess = MarkovDecisionProcess.estimate(trajectories, discount=mdp.discount)
    assert np.abs(guess.transitions - mdp.transitions).max() < 0.05
    assert guess.terminal.tolist() == mdp.terminal.tolist()
    assert guess.expected_return(mdp.optimal_policy()) == pytest.approx(
        mdp.expected_return(mdp.optimal_policy()), rel=0.05
    )
    few = mdp.sample(uniform, 1, steps=3, seed=0)
    with pytest.raises(ValueError, match=r"pairs of state and action never occurred, the first is state \d, action"):
        MarkovDecisionProcess.estimate(few, states=9, actions=3)
    assert MarkovDecisionProcess.estimate(few, states=9, actions=3, unvisited="stay").states == 9
    assert MarkovDecisionProcess.estimate(few, states=9, actions=3, prior=0.1).transitions.min() > 0
    with pytest.raises(ValueError, match="states=1 is too few"):
        MarkovDecisionProcess.estimate(few, states=1)


def test_estimates_refuse():
    def one(observations, actions, rewards, **columns):
        return [Trajectory(observations=np.array(observations), actions=np.array(actions), rewards=rewards, **columns)]

    with pytest.raises(ValueError, match=r"trajectory 0 has no finite reward at step 1 \(nan\)"):
        MarkovDecisionProcess.estimate(one([0, 1, 0], [0, 0], [1.0, np.nan]))
    with pytest.raises(ValueError, match="observations of trajectory 0 must be whole numbers.*float64"):
        MarkovDecisionProcess.estimate(one([0.5, 1.0], [0], [1.0]))
    with pytest.raises(ValueError, match="nothing to count"):
        MarkovDecisionProcess.estimate([])
    with pytest.raises(ValueError, match="trajectory 1 ended in state 1, and another went on from there"):
        MarkovDecisionProcess.estimate(
            one([0, 1, 0], [0, 0], [0.0, 0.0], truncated=True) + one([0, 1], [0], [0.0], terminated=True)
        )


def test_worlds():
    rooms = worlds.four_rooms()
    assert (rooms.states, rooms.actions) == (40, 4)
    values, _ = rooms.solve()
    assert (values[~rooms.terminal] > 0).all()
    assert worlds.centre_box().sum() == 4
    assert worlds.centre_box()[27]
    open_values = worlds.open_grid(slip=0.0).solve()[0]
    assert open_values[0] == pytest.approx(100 * 0.99**13 - 0.1 * (1 - 0.99**14) / 0.01)
    # carry the key back along nine cells and go right once more, without slips
    line = worlds.line_key(slip=0.0)
    assert line.solve()[0][0] == pytest.approx(10 * 0.95**10)
    # the best return within the paper's forty steps
    far = worlds.chain()
    values = np.zeros(far.states)
    for _ in range(40):
        values = (far.rewards + far.discount * far.transitions @ values).max(1)
    assert values[40] == pytest.approx(13.7, abs=0.01)
    with pytest.raises(ValueError, match="goal must be in 0 to 61, got 70"):
        worlds.chain(goal=70)
    with pytest.raises(ValueError, match=r"rows of a grid must have equal lengths, got \[2, 1\]"):
        worlds.grid(["..", "."])
    with pytest.raises(ValueError, match="no cell marked 'G'; its marks are ."):
        worlds.grid([".."])
