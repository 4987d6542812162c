from __future__ import annotations

import numpy as np
import pytest

from rewardlab.functional.tabular import action_values, evaluate_policy, occupancy, optimal_actions, value_iteration
from rewardlab.learning.design import (
    LIRPG,
    SORS,
    AdaptiveDesigner,
    Episodes,
    ExploRS,
    FixedDesign,
    PotentialDesign,
    QLearning,
    Reinforce,
    Run,
    SideBySide,
    adaptive,
    invariant_only,
    policy_table,
    return_within,
)
from tests.learning.design.worlds import corridor, random_world


def uniform(world) -> np.ndarray:
    return np.full(world.rewards.shape, 1 / world.actions)


def test_the_adaptive_objective_is_its_formula() -> None:
    """The sum over states and actions as the paper writes it, for a random reward."""
    world, generator = random_world(1), np.random.default_rng(0)
    designer = adaptive(world, maximum=10.0)
    learner = generator.dirichlet(np.ones(3), size=5)
    table = generator.normal(size=(5, 3))
    teacher = world.optimal_policy()
    values = evaluate_policy(world.transitions, world.rewards, teacher, world.discount)
    advantage = action_values(world.transitions, world.rewards, values, world.discount) - values[:, None]

    def visits(policy: np.ndarray) -> np.ndarray:
        found = occupancy(world.transitions, policy, world.initial, world.discount).sum(1)
        found[-1] = 0.0
        return found / found.sum()

    teacher_visits, learner_visits = visits(0.7 * teacher + 0.1), visits(learner)
    total = 0.0
    for state in range(4):
        for action in range(3):
            ahead = advantage[state, action] - learner[state] @ advantage[state]
            paid = table[state, action] - learner[state] @ table[state]
            weight = teacher_visits[state] * learner_visits[state] * learner[state, action] ** 2
            total += weight * ahead * paid
    assert (designer.objective(learner) * table).sum() == pytest.approx(total)


def test_adaptive_rewards_keep_the_optimal_policies_and_follow_the_learner() -> None:
    world = corridor()
    designer = adaptive(world, every=5, maximum=1.0)
    first = designer(5, uniform(world))
    assert designer(6, uniform(world)) is None
    assert first is not None
    assert first.certificate().holds
    best = optimal_actions(value_iteration(world.transitions, first.array, world.discount)[1], 1e-7)
    assert (best == optimal_actions(value_iteration(world.transitions, world.rewards, world.discount)[1]))[:-1].all()
    later = np.tile([0.02, 0.98], (6, 1))
    objective = designer.objective(uniform(world))
    assert (objective * first.array).sum() >= (objective * designer.design(later).array).sum() - 1e-9
    assert (objective * first.array).sum() > (objective * invariant_only(world, maximum=1.0).array).sum()
    with pytest.raises(ValueError, match=r"must be float\[6, 2\] with rows that sum to 1, got \[3\]"):
        designer.design([0.1, 0.2, 0.7])
    with pytest.raises(ValueError, match="every must be at least 1"):
        adaptive(world, every=0)
    with pytest.raises(ValueError, match="exploring must lie in"):
        AdaptiveDesigner(world, exploring=2.0)
    with pytest.raises(ValueError, match="smallest feasible maximum"):
        adaptive(world, maximum=1e-3)
    with pytest.raises(ValueError, match="smallest feasible maximum"):
        invariant_only(world, maximum=1e-3)


def test_adaptive_design_of_continuous_observations_goes_through_a_table() -> None:
    seen = np.array([[0.1], [0.2], [0.9]])
    table = policy_table(lambda o: np.hstack([o, 1 - o]), seen, lambda o: (o[:, 0] > 0.5).astype(int), states=3)
    assert table == pytest.approx(np.array([[0.15, 0.85], [0.9, 0.1], [0.5, 0.5]]))
    designer = adaptive(corridor())
    with pytest.raises(ValueError, match="needs the learner's policy as a table"):
        designer.update(None, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cells from 0 to 1"):
        policy_table(lambda o: np.hstack([o, 1 - o]), seen, lambda o: np.array([0, 1, 2]), states=2)


def episodes(generator: np.random.Generator, probabilities: np.ndarray, table: np.ndarray) -> Episodes:
    observations = generator.integers(3, size=(4, 6, 1))
    actions = generator.integers(2, size=(4, 6, 1))
    present = np.ones((4, 6, 1), dtype=bool)
    present[0, 3:] = False
    return Episodes(
        observations=observations,
        actions=actions,
        rewards=table[observations, actions],
        probabilities=probabilities[observations],
        present=present,
    )


def test_lirpg_is_the_numerical_meta_gradient() -> None:
    """d/d phi of <outer gradient, inner step(phi)>, by differences."""
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(2), size=3)
    past = episodes(generator, probabilities, generator.normal(size=(3, 2)))
    count = past.present.sum()

    def step(rewards: np.ndarray) -> np.ndarray:
        total = np.zeros((3, 2))
        for episode in range(4):
            for time in range(6):
                if not past.present[episode, time, 0]:
                    continue
                rest = [
                    past.present[episode, k, 0] * 0.9 ** (k - time) * rewards[episode, k, 0] for k in range(time, 6)
                ]
                state, action = past.observations[episode, time, 0], past.actions[episode, time, 0]
                total[state] += sum(rest) * (np.eye(2)[action] - probabilities[state])
        return total

    outer = step(past.rewards) / count
    expected = np.zeros((3, 2))
    for state in range(3):
        for action in range(2):
            bump = ((past.observations == state) & (past.actions == action)).astype(float)
            expected[state, action] = (outer * step(bump)).sum()
    designer = LIRPG(states=3, actions=2, discount=0.9, rate=1.0)
    designer.update(past)
    assert designer.designed[0] == pytest.approx(expected)


def test_sors_learns_to_rank_episodes_and_says_nothing_of_equal_ones() -> None:
    generator = np.random.default_rng(0)
    truth = np.array([[1.0, 0.0], [0.0, -1.0], [0.5, 0.0]])
    past = episodes(generator, np.full((3, 2), 0.5), truth)
    designer = SORS(states=3, actions=2, discount=0.9, rate=0.5, seed=1)
    for _ in range(300):
        designer.update(past)
    learned = (designer.designed[0][past.observations, past.actions] * past.present)[..., 0] @ 0.9 ** np.arange(6)
    assert (np.argsort(learned) == np.argsort(past.returns(0.9)[:, 0, 0])).all()
    still = SORS(states=3, actions=2)
    still.update(episodes(generator, np.full((3, 2), 0.5), np.zeros((3, 2))))
    assert (still.designed == 0).all()


def test_potentials_and_tables_by_hand() -> None:
    world = corridor(discount=0.5)
    potential = PotentialDesign(world)
    arguments = (np.array([3]), np.array([1]), np.array([4]), np.array([False]), np.zeros(1))
    assert potential.shape(*arguments)[0] == pytest.approx(0.5 * 1 - 0.5)  # values 1, .5 ...: no surprise on the way
    ended = (np.array([4]), np.array([1]), np.array([5]), np.array([True]), np.ones(1))
    assert potential.shape(*ended)[0] == pytest.approx(1 - 1)
    assert FixedDesign(world.rewards + 2).shape(*ended)[0] == 3
    assert FixedDesign(world.rewards + 2, adds=True).shape(*ended)[0] == 4
    with pytest.raises(ValueError, match=r"potential must be float\[6\], got the shape \[3\]"):
        PotentialDesign(world, potential=np.zeros(3))
    with pytest.raises(ValueError, match="must be finite"):
        FixedDesign(np.full((2, 2), np.nan))


@pytest.mark.parametrize("kind", ["reinforce", "q"])
def test_learners_learn_repeat_and_share_random_numbers(kind: str) -> None:
    world = corridor(4)

    def run(seed: int) -> Run:
        if kind == "q":
            learner = QLearning(world.states, 2, 2, rate=0.5, discount=0.9, epsilon=0.2)
        else:
            learner = Reinforce(world.states, 2, 2, rate=0.5, discount=0.9)
        designer = ExploRS(states=world.states, actions=2, copies=2, bonus=[0.0, 0.0], rate=0.0)
        return Run(world=world, learner=learner, designer=designer, horizon=12, seed=seed, streams=[0, 0])

    curve, again = run(1).learn(400, every=100), run(1).learn(400, every=100)
    assert curve.episodes.tolist() == [0, 100, 200, 300, 400]
    assert np.array_equal(curve.values, again.values)
    assert np.array_equal(curve.values[:, 0], curve.values[:, 1])  # the same arm with the same numbers
    best = return_within(world, world.optimal_policy(), 12)
    assert curve.values[-1].min() > 0.8 * best
    assert curve.until(0.8 * float(best))[0] < 400
    assert curve.until(9.0).tolist() == [400, 400]


def test_designers_side_by_side_do_what_each_does_alone(tmp_path) -> None:
    world = corridor(4)
    size = {"states": world.states, "actions": 2, "copies": 2}

    def curve(designer) -> np.ndarray:
        learner = Reinforce(world.states, 2, designer.copies, rate=0.5, discount=0.9)
        run = Run(world=world, learner=learner, designer=designer, horizon=8, streams=np.arange(designer.copies) % 2)
        return run.learn(40, every=10).values

    both = SideBySide({"explors": ExploRS(**size), "lirpg": LIRPG(**size)})
    values = curve(both)
    assert np.array_equal(values[:, both.parts["explors"]], curve(ExploRS(**size)))
    assert np.array_equal(values[:, both.parts["lirpg"]], curve(LIRPG(**size)))
    both.save(tmp_path / "both.npz")
    again = SideBySide({"explors": ExploRS(**size), "lirpg": LIRPG(**size)})
    again.load(tmp_path / "both.npz")
    assert np.array_equal(again.designers["lirpg"].designed, both.designers["lirpg"].designed)
    with pytest.raises(ValueError, match="equally often, got {'a': 5, 'b': 3}"):
        SideBySide({"a": ExploRS(**size), "b": LIRPG(**size, every=3)})


def test_returns_within_a_horizon_are_those_of_many_walks() -> None:
    world = random_world(5)
    policy = uniform(world)
    generator = np.random.default_rng(0)
    state = generator.choice(5, p=world.initial, size=20_000)
    total = np.zeros(20_000)
    for time in range(3):
        action = generator.integers(3, size=20_000)
        total += world.discount**time * world.rewards[state, action]
        cumulative = world.transitions[state, action].cumsum(-1)
        state = np.minimum((generator.random((20_000, 1)) > cumulative).sum(-1), 4)
    assert return_within(world, policy, 3) == pytest.approx(total.mean(), abs=4 * total.std() / np.sqrt(20_000))


def test_designer_and_learner_have_as_many_copies() -> None:
    world = corridor()
    with pytest.raises(ValueError, match="designer has 1 copies and the learner 2"):
        Run(world=world, learner=Reinforce(6, 2, 2), designer=FixedDesign(world.rewards))
    with pytest.raises(ValueError, match=r"learner is for \(5, 2\) states and actions, the world has \(6, 2\)"):
        Run(world=world, learner=Reinforce(5, 2))
