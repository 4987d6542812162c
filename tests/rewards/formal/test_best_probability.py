from __future__ import annotations

import itertools

import numpy as np
import pytest

from rewardlab.environments.tabular import MarkovDecisionProcess, deterministic_policies
from rewardlab.rewards.formal import (
    best_long_run_probability,
    best_trace_probability,
    holds,
    long_run_probability,
    trace_probability,
)
from tests.rewards.formal.test_probabilities import GAMBLE, gamble
from tests.rewards.formal.worlds import line_world

LINE = {"coffee": [3], "plant": [5], "office": [0]}


def random_process(seed: int, states: int = 4) -> MarkovDecisionProcess:
    generator = np.random.default_rng(seed)
    transitions = generator.dirichlet(np.full(states, 0.4), (states, 2)) * (generator.random((states, 2, states)) < 0.6)
    transitions[..., 0] += 1e-3
    transitions /= transitions.sum(-1, keepdims=True)
    return MarkovDecisionProcess(
        transitions=transitions, rewards=np.zeros((states, 2)), discount=0.9, initial=np.eye(states)[0]
    )


@pytest.mark.parametrize("seed", range(6))
def test_no_memoryless_policy_does_better_and_where_none_is_needed_one_does_as_well(seed: int) -> None:
    process = random_process(seed)
    labels = {"a": [1], "b": [2]}
    policies = deterministic_policies(process)
    for text, memoryless in [("F a", True), ("!b U a", True), ("F a & F b", False)]:
        best = best_trace_probability(process, text, labels)
        found = max(trace_probability(process, policy, text, labels).satisfied for policy in policies)
        assert found <= best + 1e-7
        assert not memoryless or best == pytest.approx(found, abs=1e-7)
    for text, memoryless in [
        ("G F a", True),
        ("F G !b", True),
        ("G F a & F G !b", False),
        ("G F a & G F b", False),
        ("G !b & G F a", True),
    ]:
        best = best_long_run_probability(process, text, labels)
        found = max(long_run_probability(process, policy, text, labels) for policy in policies)
        assert found <= best + 1e-7
        assert not memoryless or best == pytest.approx(found, abs=1e-7)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("F a", 0.5),
        ("F c", 1.0),
        ("F (a | c)", 1.0),
        ("G !b", 1.0),
        ("F b & F a", 0.0),
        ("G F c", 1.0),
        ("F G a & G !c", 0.5),
    ],
)
def test_a_gamble_worked_out_by_hand(text: str, wanted: float) -> None:
    assert best_long_run_probability(gamble(terminal=False), text, GAMBLE) == pytest.approx(wanted)
    if "G F" not in text and "F G" not in text:
        found = best_trace_probability(gamble(), text, GAMBLE)
        assert found == pytest.approx(wanted)


def test_a_number_of_steps_agrees_with_every_plan_of_a_world_without_chance() -> None:
    process = line_world()
    certain = np.where(process.transitions > 0.5, 1.0, 0.0)
    process = MarkovDecisionProcess(transitions=certain, rewards=np.zeros((6, 2)), discount=0.9, initial=np.eye(6)[1])
    for text, steps in itertools.product(
        ["F (coffee & X F office)", "G !plant & F coffee", "X X coffee"], [1, 2, 4, 5, 6]
    ):
        place = dict.fromkeys(itertools.product((-1, 1), repeat=steps), 1)
        found = False
        for plan in place:
            at, trace = 1, []
            for move in plan:
                at = min(max(at + move, 0), 5)
                trace.append({name for name, states in LINE.items() if at in states})
            found = found or bool(holds(text, trace))
        assert best_trace_probability(process, text, LINE, steps=steps) == float(found)


def test_what_is_no_conjunction_is_named() -> None:
    with pytest.raises(ValueError, match="the part 'G F a \\| G F c' is a choice between tasks"):
        best_long_run_probability(gamble(), "G F a | G F c", GAMBLE)
    with pytest.raises(ValueError, match="mixes what a beginning can prove"):
        best_long_run_probability(gamble(), "F c & G (b | F a)", GAMBLE)
