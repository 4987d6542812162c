from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import rewardlab as rl
from rewardlab.rewards.formal import LTLf, RewardMachine, holds
from rewardlab.types import Status, call_message
from tests.rewards.formal.worlds import line_world, position_labels, walk

LABELS = {"goal": [0], "lava": [5]}
SAFE = "F goal & G !lava"


@pytest.mark.parametrize(
    "text",
    ["F goal & G !lava", "F goal", "G !lava", "!goal U lava", "G (goal -> WX lava)", "F (goal & X F lava)", "X goal"],
)
@pytest.mark.parametrize("progress", [0.0, 0.5])
def test_the_reward_is_paid_by_who_satisfies_the_formula_on_every_short_walk(text: str, progress: float) -> None:
    reward = LTLf(text, labels=LABELS, satisfied=2.0, violated=-1.0, progress=progress)
    walks = [
        walk(1, *steps, terminated=True)
        for length in (1, 2, 3, 4)
        for steps in itertools.product((0, 3, 5), repeat=length)
    ]
    scores = reward(walks)
    earned: dict[bool, list[float]] = {True: [], False: []}
    for trajectory, value, steps in zip(walks, scores.values, scores.steps or (), strict=True):
        entered = trajectory.observations[1:]
        wanted = bool(holds(text, {"goal": entered == 0, "lava": entered == 5}))
        base = 2.0 if wanted else -1.0
        assert steps is not None
        assert abs(value - base) <= progress
        assert steps.sum() == pytest.approx(value)
        earned[wanted].append(value)
    assert min(earned[True]) - max(earned[False]) >= 3.0


def test_a_trajectory_that_was_cut_off_undecided_is_no_violation() -> None:
    reward = LTLf(SAFE, labels=LABELS, violated=-1.0)
    open_end, sure, reached = walk(1, 2, 3), walk(1, 5, 3), walk(1, 0)
    scores = reward([open_end, sure, reached])
    assert scores.status.tolist() == [Status.ABSTAINED, Status.SCORED, Status.ABSTAINED]
    assert scores.values[1] == -1.0
    assert "cut off before the formula was decided, which is no violation" in str(scores.notes)
    assert LTLf("F goal", labels=LABELS)([reached]).values.tolist() == [1.0]
    as_end = LTLf(SAFE, labels=LABELS, violated=-1.0, truncated="as_end")
    assert as_end([open_end, sure, reached]).values.tolist() == [-1.0, -1.0, 1.0]


def test_it_pays_once_and_as_soon_as_the_verdict_is_sure() -> None:
    scores = LTLf("F goal", labels=LABELS)([walk(1, 0, 1, 0, terminated=True)])
    assert scores.steps is not None
    assert scores.steps[0].tolist() == [1.0, 0.0, 0.0]
    scores = LTLf(SAFE, labels=LABELS)([walk(1, 0, 1, 0, terminated=True)])
    assert scores.steps is not None
    assert scores.steps[0].tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("goal | !goal", {}, "every trace satisfies 'goal \\| !goal', so as a reward it says nothing"),
        ("F (goal & !goal)", {}, "no trace satisfies"),
        ("G F goal", {}, "no beginning of a trace ever settles 'G F goal': .* Say at_end=True"),
        ("F goal & G", {}, "expected a proposition.* at position 10"),
        ("F gaol", {}, "unknown proposition 'gaol'; did you mean 'goal'"),
        ("F terminated", {"labels": None}, "names 'terminated'"),
        ("F goal", {"progress": -1.0}, "'progress' must be 0 or more"),
        ("F goal", {"truncated": "zero"}, "option 'truncated' must be"),
    ],
)
def test_formulas_that_make_no_reward_are_refused(text: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LTLf(text, **{"labels": LABELS, **options})


def test_a_formula_of_the_last_step_is_taken_at_its_word_when_asked() -> None:
    reward = LTLf("G F goal", labels=LABELS, at_end=True)
    assert reward([walk(1, 0, 1, terminated=True), walk(1, 2, 0, terminated=True)]).values.tolist() == [0.0, 1.0]


def test_spec_and_machine_say_the_same() -> None:
    reward = LTLf(SAFE, labels=LABELS, progress=0.25)
    rebuilt = rl.from_spec(yaml.safe_load(reward.to_yaml()))
    assert rebuilt == reward
    assert rebuilt.spec_hash == reward.spec_hash
    machine = reward.to_machine()
    assert isinstance(machine, RewardMachine)
    assert machine.states == ("q0", "q1", "satisfied", "violated")
    assert len(machine.minimised().states) == 3  # the two ends pay alike: nothing
    walks = [walk(1, 0, 2, terminated=True), walk(1, 2, 5, terminated=True), walk(1, 1, terminated=True)]
    assert machine(walks).values.tolist() == reward(walks).values.tolist()
    assert rl.from_spec({"type": "ltlf", "formula": "F goal", "labels": LABELS})([walk(1, 0)]).values.tolist() == [1.0]


def test_a_syntax_error_in_a_file_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "reward.yaml"
    path.write_text("type: ltlf\nformula: F goal & G\nlabels: {goal: [0]}\n", encoding="utf-8")
    with pytest.raises(
        rl.rewards.SpecError,
        match=r"reward.yaml:2: option 'formula': expected a proposition.* at position 10\n  F goal & G\n {12}\^",
    ):
        rl.load_reward(path)


def test_many_environments_at_once() -> None:
    reward = LTLf("F coffee & G !plant", labels=position_labels, violated=-1.0)
    generator = np.random.default_rng(0)
    walks = [walk(*generator.integers(0, 6, generator.integers(2, 9)), terminated=True) for _ in range(50)]
    together = reward(walks).values
    assert together.tolist() == [reward(one).values[0] for one in walks]
    assert set(together) == {1.0, -1.0}


def test_the_product_finds_the_way_round() -> None:
    product = LTLf("F (far & F home)", labels={"far": [4], "home": [0]}).product(line_world())
    assert product.values(product.optimal_policy())[1 * len(LTLf("F (far & F home)").machine.states)] > 0.3


def chat(*calls: tuple[str, dict[str, object], str], truncated: bool = False) -> rl.Trajectory:
    messages: list[dict[str, object]] = [{"role": "user", "content": "Mend the programme."}]
    for number, (tool, arguments, answer) in enumerate(calls):
        messages.append(call_message(tool, arguments, identity=f"call{number}"))
        messages.append({"role": "tool", "tool_call_id": f"call{number}", "content": answer})
    messages.append({"role": "assistant", "content": "Done."})
    return rl.Trajectory.from_messages(messages, truncated=truncated)


EVENTS = {
    "edited": "edit",
    "tested": {"tool": "run_tests"},
    "passed": {"tool": "run_tests", "result": r"\b0 failed"},
    "finished": {"says": "Done"},
    "deleted": {"arguments": {"path": "tests.py"}, "tool": "delete"},
}


def test_formulas_and_machines_work_on_the_tool_calls_of_a_chat() -> None:
    labels = {"type": "chat_events", "events": EVENTS}
    reward = LTLf("G !deleted & (!edited W tested) & F (edited & X F passed)", labels=labels)
    good = chat(("run_tests", {}, "3 failed"), ("edit", {"line": 3}, "ok"), ("run_tests", {}, "0 failed"))
    hasty = chat(("edit", {}, "ok"), ("run_tests", {}, "0 failed"))
    cheat = chat(
        ("run_tests", {}, "3 failed"),
        ("edit", {}, "ok"),
        ("delete", {"path": "tests.py"}, "ok"),
        ("run_tests", {}, "0 failed"),
    )
    unfinished = chat(("run_tests", {}, "3 failed"), ("edit", {}, "ok"), truncated=True)
    scores = reward([good, hasty, cheat, unfinished, walk(1, 2)])
    assert scores.values[:3].tolist() == [1.0, 0.0, 0.0]
    assert scores.status.tolist() == [Status.SCORED] * 3 + [Status.ABSTAINED, Status.FAILED]
    assert "labels chats, and this trajectory holds arrays" in str(scores.notes)
    machine = RewardMachine(
        transitions=[
            ("broken", "tried", "edited", 0.25),
            ("tried", "whole", "passed", 1),
            ("tried", "broken", "tested & !passed", -0.25),
        ],
        terminal=("whole",),
        otherwise="stay",
        labels=labels,
    )
    again = chat(("edit", {}, "ok"), ("run_tests", {}, "1 failed"), ("edit", {}, "ok"), ("run_tests", {}, "0 failed"))
    scores = machine([good, again])
    assert scores.values.tolist() == [1.25, 1.25]
    assert scores.steps is not None
    assert scores.steps[1].tolist() == [0.25, -0.25, 0.25, 1.0, 0.0]
    assert machine.visited(good) == ["broken", "broken", "tried", "whole", "whole"]
    assert rl.from_spec(json.loads(json.dumps(reward.to_spec()))) == reward


def test_chat_events_that_say_nothing_are_refused() -> None:
    for events, message in (
        ({"a": {"tol": "x"}}, "event 'a' has no key 'tol'"),
        ({"a": {"result": "("}}, "event 'a': the pattern"),
        ({"a": {}}, "event 'a' says nothing"),
    ):
        with pytest.raises(ValueError, match=message):
            LTLf("F a", labels={"type": "chat_events", "events": events})
    with pytest.raises(ValueError, match="unknown labelling 'chat_event'; did you mean 'chat_events'"):
        LTLf("F a", labels={"type": "chat_event", "events": {"a": "x"}})
