from __future__ import annotations

import numpy as np
import pytest

from rewardlab.environments.tabular import MarkovDecisionProcess
from rewardlab.rewards.formal import compile_formula, holds, long_run_probability, trace_probability
from tests.rewards.formal.worlds import line_world

GAMBLE = {"a": [1], "b": [2], "c": [3]}


def gamble(terminal: bool = True) -> MarkovDecisionProcess:
    """From 0: action 0 leads to 1 or 2 by a coin, action 1 to 3 one time in four and else back. 1, 2 and 3 stay."""
    transitions = np.zeros((4, 2, 4))
    transitions[0, 0, [1, 2]] = 0.5
    transitions[0, 1, [3, 0]] = 0.25, 0.75
    for state in (1, 2, 3):
        transitions[state, :, state] = 1.0
    ends = np.array([False, True, True, True]) if terminal else None
    return MarkovDecisionProcess(
        transitions=transitions, rewards=np.zeros((4, 2)), discount=0.9, initial=np.eye(4)[0], terminal=ends
    )


@pytest.mark.parametrize(
    ("formula", "wanted"),
    [("F a", 0.4), ("F (a | c)", 0.6), ("G !b", 0.6), ("F c", 0.2), ("X c", 3 / 8 / 8), ("!a U b", 0.4)],
)
def test_finite_traces_worked_out_by_hand(formula: str, wanted: float) -> None:
    policy = np.full((4, 2), 0.5)  # each try: a 1/4, b 1/4, c 1/8, again 3/8
    found = trace_probability(gamble(), policy, formula, GAMBLE)
    assert found.satisfied == pytest.approx(wanted)
    assert found.satisfied + found.violated == pytest.approx(1.0)


def test_what_is_never_settled_is_open() -> None:
    always_back = gamble()
    transitions = always_back.transitions.copy()
    transitions[0, 1] = [1, 0, 0, 0]
    process = MarkovDecisionProcess(
        transitions=transitions,
        rewards=np.zeros((4, 2)),
        discount=0.9,
        initial=np.eye(4)[0],
        terminal=always_back.terminal,
    )
    found = trace_probability(process, np.ones(4, dtype=int), "G !b", GAMBLE)
    assert (found.satisfied, found.violated, found.open) == (0.0, 0.0, 1.0)
    assert trace_probability(process, np.ones(4, dtype=int), "G !b", GAMBLE, steps=9).satisfied == 1.0


@pytest.mark.parametrize(
    "formula",
    [
        "F (coffee & F office) & G !plant",
        "G (coffee -> X F office) & F plant",
        "F coffee",
        "!plant U coffee",
        "G !plant",
        "F (coffee & X F office)",
        "G F office",
        "X X coffee",
    ],
)
def test_a_number_of_steps_agrees_with_sampling_and_with_all_paths(formula: str) -> None:
    process, labels = line_world(), {"coffee": [3], "plant": [5], "office": [0]}
    policy = np.random.default_rng(0).dirichlet([1.0, 2.0], 6)
    # every path of five steps, with its probability
    paths = np.stack(np.meshgrid(*[np.arange(6)] * 5, indexing="ij"), -1).reshape(-1, 5)
    chain = np.einsum("sa,sat->st", policy, process.transitions)
    full = np.concatenate([np.ones((len(paths), 1), dtype=int), paths], 1)
    weight = chain[full[:, :-1], full[:, 1:]].prod(1)
    wanted = float(weight[holds(formula, {name: np.isin(paths, states) for name, states in labels.items()})].sum())
    assert trace_probability(process, policy, formula, labels, steps=5).satisfied == pytest.approx(wanted)
    walks = process.sample(policy, 1500, steps=5, seed=0)
    seen = np.stack([walk.observations[1:] for walk in walks])
    automaton = compile_formula(formula)
    share = automaton.accepts({name: np.isin(seen, labels[name]) for name in automaton.propositions}).mean()
    assert abs(share - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / 1500) + 1e-9


@pytest.mark.parametrize(
    ("formula", "wanted"),
    [
        ("G F a", 0.4), ("F G (a | b)", 0.8), ("F a", 0.4), ("G !b", 0.6), ("G F a | G F c", 0.6), ("F a & G F b", 0.0),
        ("!(G F a)", 0.6), ("G !b & F c", 0.2), ("X F a | F G c", 0.6), ("G F (a & b)", 0.0), ("F G true", 1.0),
    ],
)  # fmt: skip
def test_endless_words_worked_out_by_hand(formula: str, wanted: float) -> None:
    assert long_run_probability(gamble(terminal=False), np.full((4, 2), 0.5), formula, GAMBLE) == pytest.approx(wanted)


def test_a_recurrent_world_recurs_for_sure_and_settles_nowhere() -> None:
    process, labels = line_world(), {"coffee": [3], "office": [0]}
    policy = np.full((6, 2), 0.5)
    assert long_run_probability(process, policy, "G F coffee & G F office", labels) == pytest.approx(1.0)
    assert long_run_probability(process, policy, "F G !coffee", labels) == 0.0
    assert long_run_probability(process, np.zeros(6, dtype=int), "F G office", labels) == pytest.approx(1.0)
    assert long_run_probability(process, np.zeros(6, dtype=int), "F coffee", labels) == 0.0


def test_what_is_outside_the_fragment_is_named() -> None:
    with pytest.raises(ValueError, match="the part 'G \\(b \\| F a\\)' mixes|the part 'G \\(F a \\| b\\)' mixes"):
        long_run_probability(gamble(), np.zeros(4, dtype=int), "F c & G (b | F a)", GAMBLE)
    with pytest.raises(ValueError, match="unknown proposition 'd'; known: a, b, c"):
        trace_probability(gamble(), np.zeros(4, dtype=int), "F d", GAMBLE)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        trace_probability(gamble(), np.zeros(4, dtype=int), "F a", GAMBLE, steps=0)
    with pytest.raises(ValueError, match="labels say which propositions hold"):
        trace_probability(gamble(), np.zeros(4, dtype=int), "F a", None)
