"""What is computed from machines: on random machines by property, and on small worlds exactly."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.functional.tabular import optimal_actions, value_iteration
from rewardlab.rewards.formal import RewardMachine
from rewardlab.rewards.formal.syntax import evaluate
from rewardlab.rewards.formal.tables import blocks_of, code_columns, cover
from tests.rewards.formal.worlds import line_world, moved, office, position_labels, walk

NAMES = ("p", "q", "r")


@st.composite
def machines(draw: st.DrawFn) -> RewardMachine:
    """Random complete machines over up to three propositions; states that cannot be reached are left out."""
    names = NAMES[: draw(st.integers(1, 3))]
    size = draw(st.integers(1, 6))
    ends = draw(st.booleans())
    codes = 1 << len(names)
    following = np.array(draw(st.lists(st.integers(0, size - 1 + ends), min_size=size * codes, max_size=size * codes)))
    paid = np.array(draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=size * codes, max_size=size * codes)))
    following, paid = following.reshape(size, codes), paid.reshape(size, codes)
    reached, frontier = {0}, [0]
    while frontier:
        for target in following[frontier.pop()]:
            if target not in reached:
                reached.add(int(target))
                frontier += [int(target)] if target < size else []
    edges = []
    for state in sorted(reached - {size}):
        for target, reward in sorted(set(zip(following[state].tolist(), paid[state].tolist(), strict=True))):
            guard = cover((following[state] == target) & (paid[state] == reward), names)
            edges.append((f"u{state}", f"u{target}", str(guard), reward))
    return RewardMachine(transitions=edges, terminal=(f"u{size}",) if size in reached else ())


words = st.lists(st.sets(st.sampled_from(NAMES)), max_size=12)


@given(machines(), st.lists(words, min_size=1, max_size=5))
@settings(max_examples=25)
def test_the_smallest_machine_pays_the_same_and_cannot_be_made_smaller(
    machine: RewardMachine, traces: list[list[set[str]]]
) -> None:
    small = machine.minimised()
    for trace in traces:
        assert small.follow(trace)[1] == machine.follow(trace)[1]
        first, second = small.follow(trace)[0][-1], machine.follow(trace)[0][-1]
        assert (first in small.terminal) == (second in machine.terminal)
    assert len(small.minimised().states) == len(small.states) <= len(machine.states)
    again = RewardMachine.from_text(small.to_text())
    for trace in traces:
        assert again.follow(trace) == small.follow(trace)


@given(machines(), st.integers(0, 2**32 - 1))
@settings(max_examples=15)
def test_no_two_states_of_the_smallest_machine_pay_alike(machine: RewardMachine, seed: int) -> None:
    small = machine.minimised()
    following, edge = small.table.dense()
    paid = np.append([entry.reward for entry in small.transitions], 0.0)[edge]
    # brute force: pairs of states told apart by some word, found by induction on its length
    apart = small.table.terminal[:, None] != small.table.terminal[None, :]
    apart |= (paid[:, None] != paid[None, :]).any(-1)
    for _ in small.states:
        apart |= apart[following[:, None], following[None, :]].any(-1)
    assert (apart | np.eye(len(apart), dtype=bool)).all()


@given(st.lists(st.booleans(), min_size=8, max_size=8))
@settings(max_examples=40)
def test_a_cover_holds_in_just_the_codes_asked_for(marked: list[bool]) -> None:
    assert evaluate(cover(np.array(marked), NAMES), code_columns(NAMES), 8).tolist() == marked


def test_blocks_are_numbered_in_order_of_first_appearance() -> None:
    following = np.array([[1], [2], [1], [3]])
    assert blocks_of(following, np.array([[0], [0], [0], [1]]), np.zeros(4, dtype=int)).tolist() == [0, 0, 0, 1]


def test_the_product_solves_what_no_policy_of_positions_can() -> None:
    process, machine = line_world(), office()
    product = machine.product(process)
    assert (product.states, product.actions) == (6 * 4, 2)
    values = product.solve()[0].reshape(6, 4)
    plan = product.optimal_policy().reshape(6, 4, 2)
    assert plan[1, 0].tolist() == [0, 1]  # without coffee: towards it
    assert plan[1, 1].tolist() == [1, 0]  # with it: towards the office
    assert plan[4, 0].tolist() == [1, 0]
    # two steps to the coffee, three back, each taken with probability 0.9, otherwise tried again
    share = 0.9 * 0.9 / (1 - 0.9 * 0.1)
    assert values[1, 0] == pytest.approx(share**5 / 0.9)
    simulated = machine(product_walks(product, 1000))
    discounted = [
        float((steps * 0.9 ** np.arange(len(steps))).sum()) for steps in simulated.steps or () if steps is not None
    ]
    error = np.std(discounted) / np.sqrt(len(discounted))
    assert abs(np.mean(discounted) - values[1, 0]) < 4 * error


def product_walks(product: object, count: int) -> list[object]:
    from rewardlab.types import Trajectory

    walks = product.sample(product.optimal_policy(), count, steps=60, seed=0)  # type: ignore[attr-defined]
    return [
        Trajectory(observations=walk.observations // 4, actions=walk.actions, terminated=False, truncated=True)
        for walk in walks
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_shaping_by_the_machine_changes_no_optimal_policy(terminal: bool) -> None:
    from dataclasses import replace

    process = line_world()
    if terminal:  # the world itself ends at the plant
        transitions = process.transitions.copy()
        transitions[5] = np.eye(6)[5]
        process = replace(process, transitions=transitions, terminal=np.arange(6) == 5)
    plain, shaped = office().product(process), office().shaped(process.discount).product(process)
    values, actions = plain.solve()
    shaped_values, shaped_actions = shaped.solve()
    assert not np.allclose(plain.rewards, shaped.rewards)
    assert np.array_equal(optimal_actions(actions), optimal_actions(shaped_actions))
    live = ~plain.terminal
    gap = (values - shaped_values).reshape(6, 4)
    potential = np.broadcast_to(office().potential(process.discount), (6, 4))
    assert np.allclose(gap[live.reshape(6, 4)], potential[live.reshape(6, 4)])
    assert potential[0].tolist() == pytest.approx([0.9, 1.0, 0.0, 0.0])


@given(machines(), st.floats(0.0, 0.95))
@settings(max_examples=25)
def test_the_potential_is_the_best_that_any_word_can_earn(machine: RewardMachine, discount: float) -> None:
    following, edge = machine.table.dense()
    paid = np.append([entry.reward for entry in machine.transitions], 0.0)[edge]
    values = np.zeros(len(machine.states))
    for _ in range(600):
        values = np.where(machine.table.terminal, 0.0, (paid + discount * values[following]).max(1))
    assert np.allclose(machine.potential(discount), values, atol=1e-8)


def test_a_potential_needs_numbers_on_edges() -> None:
    machine = RewardMachine(transitions=[("a", "a", "true", moved)])
    with pytest.raises(ValueError, match="the edge a -> a pays moved, which depends on the transition"):
        machine.potential(0.9)


def test_counterfactual_experience_is_what_each_state_would_have_given() -> None:
    machine = office().shaped(0.9)
    generator = np.random.default_rng(1)
    before, after = generator.integers(0, 6, (2, 20))
    action, ended = np.zeros(20), generator.random(20) < 0.2
    experience = machine.counterfactual(before, action, after, ended)
    assert len(experience.row) == 20 * 3  # nothing is to be learned in the terminal state
    for row, state, following, reward, over in zip(
        experience.row, experience.state, experience.next_state, experience.reward, experience.terminated, strict=True
    ):
        part = slice(row, row + 1)
        alone, then = machine.advance(np.array([state]), before[part], action[part], after[part], ended[part])
        assert (alone[0], then[0]) == (reward, following)
        assert over == (ended[row] or machine.states[following] == "3")


def test_drawings_hold_every_state_and_guard() -> None:
    machine = RewardMachine(
        transitions=[("a<b", "b", "p & !q", 1), ("b", "a<b", '"tool called"'), ("b", "b", '!"tool called"', moved)],
        otherwise="stay",
    )
    root = ElementTree.fromstring(machine.to_svg())
    texts = [text for node in root.iter("{http://www.w3.org/2000/svg}text") for text in node.itertext()]
    assert {"a<b", "b", "p & !q / 1", "otherwise", '"tool called"', '!"tool called" / moved'} <= set(texts)
    dot = machine.to_dot()
    assert re.search(r'0 -> 1 \[label="p & !q / 1"\]', dot)
    assert '1 -> 0 [label="\\"tool called\\""]' in dot
    assert "doublecircle" in office().to_dot()


def test_the_world_and_labels_of_these_tests_agree() -> None:
    assert position_labels(np.array([3]))["coffee"].all()
    process = line_world()
    assert value_iteration(process.transitions, process.rewards, 0.5)[0].sum() == 0
    assert office()([walk(1, 2)]).values.tolist() == [0.0]
