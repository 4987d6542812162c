from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import yaml

import rewardlab as rl
from rewardlab.rewards.formal import Edge, MachineBuilder, RewardMachine
from rewardlab.rewards.formal.syntax import FormulaError, evaluate, parse_guard
from rewardlab.types import Status
from tests.rewards.formal.worlds import OFFICE, moved, office, position_labels, walk

LABELS = f"{position_labels.__module__}:position_labels"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a & !b | c", lambda a, b, c: (a and not b) or c),
        ("a -> b -> c", lambda a, b, c: not a or not b or c),
        ("!(a <-> b) && ~c", lambda a, b, c: (a != b) and not c),
        ("a | b & c", lambda a, b, c: a or (b and c)),
        ("true & not a or false", lambda a, b, c: not a),
    ],
)
def test_guards_mean_what_boolean_logic_says(text: str, expected: object) -> None:
    codes = np.arange(8)
    columns = {name: (codes >> bit & 1).astype(bool) for bit, name in enumerate("abc")}
    wanted = [bool(expected(*(bool(code >> bit & 1) for bit in range(3)))) for code in codes]  # type: ignore[operator]
    formula = parse_guard(text)
    assert evaluate(formula, columns, 8).tolist() == wanted
    assert evaluate(parse_guard(str(formula)), columns, 8).tolist() == wanted


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("a &", 3, "expected a proposition, '!', '\\(', got the end"),
        ("a b", 2, "expected an operator or the end, got 'b'"),
        ("(a | b", 6, "expected '\\)' for the '\\(' at 0"),
        ("a | ) b", 4, "got '\\)'"),
        ("a)", 1, "'\\)' without '\\('"),
        ("a(os)", 1, "expected an operator or the end, got '\\('"),
        ("f'x'", 1, "is no part of a formula"),
        ("a @ b", 2, "'@' is no part of a formula"),
        ("a & cofee", 4, "unknown proposition 'cofee'; did you mean 'coffee'\\? Known: a, b, coffee"),
        ("zebra", 0, "unknown proposition 'zebra'; known: a, b, coffee"),
        ("", 0, "got the end of the formula"),
    ],
)
def test_a_guard_that_cannot_be_read_says_where_and_what_was_expected(text: str, position: int, message: str) -> None:
    with pytest.raises(FormulaError, match=message) as caught:
        parse_guard(text, ["a", "b", "coffee"])
    assert caught.value.position == position
    assert f"\n  {' ' * position}^" in str(caught.value)


def test_a_machine_in_the_public_text_format_pays_for_coffee_brought_to_the_office() -> None:
    scores = office()([walk(1, 2, 3, 2, 1, 0), walk(1, 0, 1), walk(4, 5, 4, 3, 2, 1, 0), walk(2, 3, 2, 1, 0, 1, 0)])
    assert scores.values.tolist() == [1.0, 0.0, -1.0, 1.0]  # paid once: the task is over then
    assert scores.steps is not None
    assert scores.steps[0].tolist() == [0, 0, 0, 0, 1.0]
    again = RewardMachine.from_text(office().to_text(), labels=position_labels)
    assert np.array_equal(again.table.dense()[0], office().table.dense()[0])


def test_text_builder_and_edges_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "office.txt"
    path.write_text(OFFICE, encoding="utf-8")
    built = (
        MachineBuilder("0")
        .when("0", "coffee & !plant", "1")
        .when("0", "plant", "2", -1.0)
        .otherwise("0", "0")
        .when("1", "office & !plant", "3", 1.0)
        .when("1", "plant", "2", -1)
        .terminal("3")
        .build(otherwise="stay", labels=position_labels)
    )
    steps = [["coffee"], [], ["office"], ["plant"]], [["office"], ["plant", "coffee"], ["office"]]
    for labelled in steps:
        assert RewardMachine.from_text(path).follow(labelled) == built.follow(labelled) == office().follow(labelled)
    assert built.follow(steps[0]) == (["0", "1", "1", "3", "3"], [0.0, 0.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("edges", "options", "message"),
    [
        ([("a", "b", "x", 1), ("b", "b", "true")], {}, "state 'a' has no transition for not x; add an edge"),
        ([("a", "b", "x & y", 1)], {"terminal": ("b",)}, "no transition for not x"),
        (
            [("a", "b", "x"), ("a", "a", "!y"), ("a", "a", "y & !x"), ("b", "b", "true")],
            {},
            "non-deterministic: with x and not y",
        ),
        ([("a", "b", "true"), ("b", "b", "true"), ("c", "b", "true")], {}, "the state 'c' cannot be reached from 'a'"),
        ([("a", "a", "true")], {"terminal": ("gaol",)}, "terminal state 'gaol' cannot be reached .*misspelt"),
        ([("a", "b", "true"), ("b", "a", "true")], {"terminal": ("b",)}, "state 'b' is terminal and has an edge"),
        ([("a", "b", "true")], {}, "state 'b' has no transition for any valuation"),
        (
            [("a", "b", "x & !x"), ("a", "a", "true"), ("b", "b", "true")],
            {},
            "'x & !x' of the edge a -> b can never hold",
        ),
        (
            [("a", "a", "offfice")],
            {"propositions": ("office",)},
            "edge a -> a: unknown proposition 'offfice'; did you mean 'office'",
        ),
        ([("a", "a", "cofee")], {"labels": {"coffee": [3]}}, "unknown proposition 'cofee'.*Known: coffee, terminated"),
        ([("a", "a", "true", float("nan"))], {}, "must pay a finite number"),
        ([("a", "a", "true", rl.EnvironmentReturn())], {}, "must be a reward of single transitions"),
        ([("a", "a")], {}, "edge 0 must be \\(source, target, guard, reward"),
        ([], {}, "'transitions' is empty"),
        ([("stay", "a", "true")], {}, "no state can be called 'stay'"),
        ([("a", "a", "true", 1)], {"shaping": 1.0}, "'shaping' is a discount"),
    ],
)
def test_a_machine_that_is_not_sound_is_refused(edges: list[object], options: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        RewardMachine(transitions=edges, **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\n[1]\n(0,1,x,1)\n", "line 3: expected \\(source,target,'guard',reward\\), got '\\(0,1,x,1\\)'"),
        ("0\n1\n(0,1,'x',1)\n", "line 2: expected the terminal states in brackets"),
        ("0\n[1]\n(0,1,'x',forward())\n", "line 3: the reward 'forward\\(\\)' is no number"),
        ("0\n[1]\n", "got 2 lines"),
    ],
)
def test_a_line_of_text_that_cannot_be_read_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RewardMachine.from_text(text)


def test_a_step_that_no_line_mentions_needs_a_sink_that_is_said() -> None:
    text = "0\n[1]\n(0,1,'goal&!lava',1)\n(0,0,'!goal&!lava',0)\n"  # the public code ends the task on lava in silence
    with pytest.raises(ValueError, match="state '0' has no transition for .*lava"):
        RewardMachine.from_text(text)
    assert RewardMachine.from_text(text, otherwise="dead").follow([["lava"], ["goal"]]) == (
        ["0", "dead", "dead"],
        [0, 0],
    )
    assert RewardMachine.from_text(text, otherwise="stay").follow([["lava"], ["goal"]]) == (["0", "0", "1"], [0, 1])


def test_lines_that_overlap_count_in_their_order_when_asked() -> None:
    text = "0\n[2]\n(0,0,'!a&!f',0)\n(0,1,'a',0)\n(0,2,'f',ConstantRewardFunction(1))\n(0,2,'a&f',5)\n(1,2,'a|f',0)\n(1,1,'!a&!f',0)\n"
    with pytest.raises(
        ValueError, match="state '0' is non-deterministic: with a and f, both 'a' \\(to 1\\) and 'f' \\(to 2\\) hold"
    ):
        RewardMachine.from_text(text)
    machine = RewardMachine.from_text(text, first_match=True)
    assert [edge.guard for edge in machine.transitions[:4]] == ["!a&!f", "a", "!a & f", "a|f"]
    assert machine.follow([["a", "f"], ["f"]]) == (["0", "1", "2"], [0, 0])
    assert machine.follow([[], ["f"]]) == (["0", "0", "2"], [0, 1])


def test_the_hash_of_a_machine_knows_the_source_of_its_labelling() -> None:
    def machine(labels: object) -> RewardMachine:
        return RewardMachine(transitions=[("a", "a", "coffee", 1)], otherwise="stay", labels=labels)

    assert machine(position_labels).spec_hash not in (None, machine({"coffee": [3]}).spec_hash)
    assert machine(position_labels).labels.fingerprint()["function"] is position_labels
    assert machine({"coffee": moved}).spec_hash is not None


def test_edges_may_ask_a_reward_of_transitions() -> None:
    machine = RewardMachine(
        transitions=[("go", "back", "coffee", 5.0), ("go", "go", "!coffee", moved), ("back", "back", "true", -1.0 * 1)],
        labels=position_labels,
    )
    scores = machine([walk(1, 1, 2, 3, 4), walk(0, 0)])
    assert scores.steps is not None
    assert scores.steps[0].tolist() == [0, 1, 5, -1]
    assert list(machine.children()) == ["go-go-1"]
    rebuilt = rl.from_spec(yaml.safe_load(machine.to_yaml()))
    assert rebuilt.spec_hash == machine.spec_hash
    assert rebuilt([walk(1, 1, 2, 3, 4)]).values == scores.values[:1]


def test_a_machine_in_yaml_is_the_one_in_python(tmp_path: Path) -> None:
    spec = tmp_path / "reward.yaml"
    spec.write_text(
        "type: reward_machine\nterminal: [done]\notherwise: stay\ntransitions:\n- [idle, carrying, coffee]\n"
        f"- [carrying, done, office, 1]\nlabels: {{type: '{LABELS}'}}\n",
        encoding="utf-8",
    )
    from rewardlab.rewards.spec import load_reward

    reward = load_reward(spec)
    assert reward([walk(1, 2, 3, 2, 1, 0)]).values.tolist() == [1.0]
    assert rl.from_spec(reward.to_spec()).to_spec() == reward.to_spec()
    spec.write_text(spec.read_text(encoding="utf-8").replace("otherwise: stay\n", ""), encoding="utf-8")
    with pytest.raises(ValueError, match="reward.yaml:1: .*no transition for not coffee"):
        load_reward(spec)


def test_many_machines_advance_at_once_and_reset_alone() -> None:
    machine = office()
    generator = np.random.default_rng(0)
    places = generator.integers(0, 6, (40, 30))
    state = machine.start(30)
    single = [machine.start(1) for _ in range(30)]
    for before, after in itertools.pairwise(places):
        ended = generator.random(30) < 0.1
        rewards, state = machine.advance(state, before, np.zeros(30), after, ended)
        for row in range(30):
            one, single[row] = machine.advance(
                single[row], before[row : row + 1], np.zeros(1), after[row : row + 1], ended[row : row + 1]
            )
            assert one[0] == rewards[row]
            if ended[row]:
                single[row] = machine.start(1)
        state = machine.reset(state, ended)
        assert state.tolist() == [int(entry[0]) for entry in single]


def test_a_machine_may_read_that_the_environment_ended_and_a_limit_is_no_end() -> None:
    machine = RewardMachine(
        transitions=[("run", "over", "terminated & !office", -1), ("run", "over", "terminated & office", 1)],
        terminal=("over",),
        otherwise="stay",
        labels=position_labels,
    )
    scores = machine([walk(2, 1, 0, terminated=True), walk(2, 1, terminated=True), walk(2, 1, 0), walk(2, 1)])
    assert scores.values.tolist() == [1, -1, 0, 0]


def test_more_propositions_than_a_table_holds_are_evaluated_on_the_rows() -> None:
    names = [f"p{number}" for number in range(14)]
    edges = [(str(number), str(number + 1), name, number) for number, name in enumerate(names)]
    machine = RewardMachine(transitions=edges, terminal=("14",), otherwise="stay")
    assert machine.table._dense is None
    assert machine.follow([[name] for name in names])[1] == list(range(14))
    assert machine.follow([names] * 3)[0] == ["0", "1", "2", "3"]


def test_wrong_labels_fail_with_what_was_expected() -> None:
    def short(next_observation: np.ndarray) -> dict[str, np.ndarray]:
        return {"coffee": np.ones(2, dtype=bool)}

    def fail(labels: object, guard: str = "coffee") -> str:
        machine = RewardMachine(transitions=[("a", "a", guard, 1)], otherwise="stay", labels=labels)
        scores = machine([walk(1, 2, 3)])
        assert scores.status.tolist() == [Status.FAILED]
        assert scores.notes is not None
        return str(scores.notes[0])

    assert "'coffee' the shape (2,), expected (1,), one value for each transition" in fail(short)
    assert "'plant' must be true or false (or 1 or 0), got 0.5" in fail(
        lambda next_observation: {"plant": np.full(len(next_observation), 0.5)}, "plant"
    )
    assert "gives no proposition 'ofice'; did you mean 'office'?" in fail(position_labels, "ofice")
    assert "has no labelling" in fail(None)
    with pytest.raises(TypeError, match="asks for 'position'; it can ask for observation, action"):
        RewardMachine(transitions=[("a", "a", "true")], labels=lambda position: position)
    with pytest.raises(TypeError, match="'labels' must be a function"):
        RewardMachine(transitions=[("a", "a", "true")], labels=3)


def test_labels_from_rewards_states_and_info() -> None:
    edges = [Edge("a", "b", "hit", 1.0), Edge("b", "b", "true")]
    by_reward = RewardMachine(transitions=edges, otherwise="stay", labels={"hit": moved})
    assert by_reward([walk(1, 1), walk(1, 2)]).values.tolist() == [0, 1]
    by_state = RewardMachine(transitions=edges, otherwise="stay", labels={"hit": [4, 5]})
    assert by_state([walk(4, 1), walk(1, 2, 5)]).values.tolist() == [0, 1]
    assert by_state([walk(1, 900), walk(1, 3)]).values.tolist() == [0, 0]
    with pytest.raises(ValueError, match="'hit' names state -1; states are numbered from 0"):
        RewardMachine(transitions=edges, otherwise="stay", labels={"hit": [-1]})
    by_info = RewardMachine(transitions=edges, otherwise="stay", labels={"type": "labels_from_info", "names": ["hit"]})
    told = walk(1, 1, 1)
    told.info["steps"] = {"hit": np.array([False, True])}
    assert by_info([told]).values.tolist() == [1]
    assert "reads what the simulator said" in str(by_info([walk(1, 1)]).notes)
    for machine in (by_state, by_info, by_reward):
        assert rl.from_spec(machine.to_spec()).to_spec() == machine.to_spec()
