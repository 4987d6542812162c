from __future__ import annotations

import numpy as np
import pytest

from rewardlab.environments.tabular_worlds import grid, grid_cells
from rewardlab.rewards.formal import LTLf, RewardMachine
from rewardlab.training import machine_q_learning

LAYOUT = ["S...M", "..P..", "C...O"]
MARKS = [LAYOUT[row][column] for row, column in grid_cells(LAYOUT)]
LABELS = {
    name: [state for state, mark in enumerate(MARKS) if mark == letter]
    for name, letter in {"coffee": "C", "mail": "M", "office": "O", "plant": "P"}.items()
}
WORLD = grid(LAYOUT, rewards={}, terminal="", discount=0.9)


def task() -> RewardMachine:
    return RewardMachine(
        transitions=[
            ("idle", "carrying", "coffee & !plant"),
            ("idle", "broken", "plant"),
            ("carrying", "both", "mail & !plant"),
            ("carrying", "broken", "plant"),
            ("both", "done", "office & !plant", 1.0),
            ("both", "broken", "plant"),
        ],
        terminal=("done", "broken"),
        otherwise="stay",
        labels=LABELS,
    )


def test_counterfactual_experience_learns_the_same_task_in_fewer_steps() -> None:
    seeds = range(20, 30)
    with_it = machine_q_learning(task(), WORLD, steps=2000, seeds=seeds, points=5)
    without = machine_q_learning(task(), WORLD, steps=2000, seeds=seeds, points=5, counterfactual=False)
    assert (
        with_it.best == without.best == pytest.approx(0.9**9)
    )  # two steps to the coffee, six to the mail, two to the office
    assert with_it.returns[-1].mean() > 0.95 * with_it.best
    difference = with_it.returns.mean(0) - without.returns.mean(0)
    assert difference.mean() > 2 * difference.std(ddof=1) / np.sqrt(len(difference))


def test_learning_comes_to_the_optimum_with_shaping_and_without() -> None:
    for machine in (task(), task().shaped(0.9)):
        learned = machine_q_learning(machine, WORLD, steps=3000, seeds=[0, 1], exploration=0.4)
        assert learned.returns[-1] == pytest.approx(learned.best)
        assert learned.action_values.shape == (2, 15, 5, 4)


def test_a_formula_is_learned_too() -> None:
    learned = machine_q_learning(
        LTLf("F (coffee & F office)", labels=LABELS), WORLD, steps=2000, seeds=[0, 1], exploration=0.4, points=1
    )
    assert learned.returns[-1] == pytest.approx(learned.best)
    assert learned.best == pytest.approx(0.9**5)


def test_the_same_seed_gives_the_same_run_whatever_runs_beside_it() -> None:
    both = machine_q_learning(task(), WORLD, steps=200, seeds=[3, 4])
    alone = machine_q_learning(task(), WORLD, steps=200, seeds=[4])
    assert np.array_equal(both.action_values[1], alone.action_values[0])


def test_numbers_outside_their_range_are_named() -> None:
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        machine_q_learning(task(), WORLD, steps=0, seeds=[0])
    with pytest.raises(ValueError, match="rate must be in \\(0, 1\\] and exploration in \\[0, 1\\], got 2"):
        machine_q_learning(task(), WORLD, steps=1, seeds=[0], rate=2.0)
