from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rewardlab as rl
from rewardlab.rewards.spec import from_spec, to_spec
from rewardlab.rewards.verifiers import action_report
from rewardlab.rewards.verifiers.similarity import SIMILARITIES, rouge_l
from rewardlab.types import Trajectory


def said(
    action: Any, reference: Any, *, group: str | None = None, metadata: dict[str, Any] | None = None
) -> Trajectory:
    text = action if isinstance(action, str) else json.dumps({"rationale": "so", "action": action})
    task = rl.Task(id="t", prompt=[{"role": "user", "content": "page"}], reference=reference, metadata=metadata or {})
    return Trajectory.from_text("page", text, task=task, group=group)


CLICK = {"type": "click", "name": "add to cart"}
TYPE = {"type": "type_and_submit", "name": "search box", "text": "red running shoes"}
END = {"type": "terminate"}


def paper() -> rl.Reward:
    form = rl.JSONFormat(keys={"rationale": "string", "action": "object"}, weight=0.5)
    return form + rl.HierarchicalAction().gated_by(form, threshold=0.5)


@pytest.mark.parametrize(
    ("action", "reference", "value"),
    [
        ("click the cart", CLICK, 0.0),
        (END, END, 0.8),
        ({"type": "click"}, CLICK, 0.8),
        ({"type": "click", "name": "home"}, CLICK, 1.0),
        (CLICK, CLICK, 1001.0),
        (TYPE, TYPE, 1001.1),
        ({**TYPE, "text": "red mug for tea"}, TYPE, 1.1),
        (END, CLICK, 0.5),
        ({"type": "hover"}, CLICK, 0.5),
        ({"type": "type_and_submit", "name": "", "text": ""}, TYPE, 0.8),
        ('{"action": {"type": "terminate"}}', END, 0.0),
    ],
)
def test_the_reward_of_the_paper_by_hand(action: Any, reference: Any, value: float) -> None:
    assert paper()([said(action, reference)]).values[0] == pytest.approx(value)


def test_each_level_is_a_part() -> None:
    scores = rl.HierarchicalAction()([said({**TYPE, "text": "red shoes"}, TYPE), said(CLICK, CLICK), said(END, CLICK)])
    parts = {name: part.values.tolist() for name, part in scores.parts.items()}
    assert parts["type"] == [0.3, 0.3, 0.0]
    assert parts["presence.type_and_submit.name"][0] == parts["value.type_and_submit.name"][0] == 0.1
    assert parts["value.type_and_submit.text"][0] == pytest.approx(800)  # two words of two and three: F1 .8
    assert parts["exact"] == [0.0, 1.0, 0.0]
    assert math.isnan(parts["hit.click.name"][2])
    assert scores.note(2) == "type 'terminate', expected 'click'"


def test_invented_elements_have_a_part_of_their_own() -> None:
    reward = rl.HierarchicalAction(elements="page", on_page_weight=0.05)
    page = {"page": ["home", "home", "add to cart"]}
    scores = reward([said({"type": "click", "name": name}, CLICK, metadata=page) for name in ("home", "checkout")])
    assert scores.parts["on_page"].values.tolist() == [0.05, 0.0]
    assert scores.values.tolist() == [0.55, 0.5]
    wrong_type = reward([said({"type": "click", "name": "home"}, END, metadata=page)])
    assert wrong_type.values.tolist() == [0.05]


def test_binary_pays_for_the_exact_action_alone() -> None:
    batch = [said(CLICK, CLICK), said({"type": "click", "name": "home"}, CLICK), said(END, CLICK), said(END, END)]
    scores = rl.HierarchicalAction(granularity="binary")(batch)
    assert scores.values.tolist() == [1, 0, 0, 1]
    assert scores.parts["type"].values.tolist() == [0.3, 0.3, 0, 0.3]


def test_lenient_reading_says_what_it_did() -> None:
    fenced = said(f"Sure:\n```json\n{json.dumps({'action': END})}\n``` {{}}", END)
    assert rl.HierarchicalAction()([fenced]).values.tolist() == [0.0]
    scores = rl.HierarchicalAction(mode="lenient")([fenced])
    assert scores.values.tolist() == [0.3]
    assert scores.note(0) == "the first JSON object was taken out of other text"


def test_other_readings_of_actions() -> None:
    bare = rl.HierarchicalAction(key=None, type_key="tool", schema={"tap": ("x",)}, presence={}, scale={"tap.x": 2})
    assert bare([said('{"tool": "tap", "x": 12}', {"tool": "tap", "x": "12"})]).values.tolist() == [2.3]
    nearly = said({"type": "click", "name": "add to carts"}, CLICK)
    for similarity, hit in (("rouge_l", 0), ("characters", 1), ("equal", 0)):
        assert rl.HierarchicalAction(similarity=similarity)([nearly]).parts["hit.click.name"].values.tolist() == [hit]
    assert rl.HierarchicalAction(threshold=0.5)([nearly]).parts["hit.click.name"].values.tolist() == [1]


def test_rare_values_are_worth_more_where_that_is_asked() -> None:
    reward = rl.HierarchicalAction(difficulty="inverse_rate", scale={"click.name": 1.0}, momentum=0.5)
    batch = [said(CLICK, CLICK), *[said({"type": "click", "name": "home"}, CLICK)] * 3, said(END, END)]
    first = reward(batch)
    assert first.values[0] == pytest.approx(1.5)
    reward.observe(batch, first)
    assert reward.rates == {"click.name": 0.25}
    assert reward(batch).values[0] == pytest.approx(0.5 + 4)
    reward.observe(batch[:1], reward(batch[:1]))
    assert reward.rates == {"click.name": 0.625}
    other = from_spec(to_spec(rl.HierarchicalAction(difficulty="inverse_rate", scale={"click.name": 1.0})))
    other.load_state_dict(reward.state_dict())
    assert other(batch).values[0] == reward(batch).values[0]
    assert from_spec(to_spec(reward))(batch).values.tolist() == reward(batch).values.tolist()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"schema": {}}, "needs at least one type"),
        ({"presence": {"click.nam": 1.0}}, "names 'click.nam', which is no field of the schema"),
        ({"scale": {"buy.name": 1.0}}, "names 'buy.name'"),
        ({"threshold": 1.5}, r"'threshold' must be in \[0, 1\]"),
        ({"similarity": "bleu"}, "option 'similarity'"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        rl.HierarchicalAction(**options)


def test_impossible_formats_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        rl.JSONFormat(keys=())
    with pytest.raises(ValueError, match="'filled' names 'b'"):
        rl.JSONFormat(keys=("a",), filled=("b",))


def test_rouge_l_by_hand() -> None:
    assert rl.rouge_l("red running shoes", "red shoes") == pytest.approx(0.8)
    assert rl.rouge_l("Red, SHOES!", "red shoes") == 1
    assert rl.rouge_l("", "") == 1
    assert rl.rouge_l("", "a") == rl.rouge_l("a b", "c d") == 0
    assert rl.rouge_l("a b c d", "d c b a") == pytest.approx(0.25)
    assert rl.rouge_l("x " * 10_000, "y " * 10_000) == 0  # capped, so it ends


@given(st.text(alphabet="abc D", max_size=30), st.text(alphabet="abc D", max_size=30))
def test_likeness_is_a_symmetric_share(first: str, second: str) -> None:
    for name, compare in SIMILARITIES.items():
        assert 0 <= compare(first, second) <= 1
        assert compare(first, first) == 1
        if name != "characters":  # difflib's runs depend on the order
            assert compare(first, second) == compare(second, first)

    def longest(left: list[str], right: list[str]) -> int:
        if not left or not right:
            return 0
        if left[-1] == right[-1]:
            return 1 + longest(left[:-1], right[:-1])
        return max(longest(left[:-1], right), longest(left, right[:-1]))

    left, right = first.casefold().split()[:5], second.casefold().split()[:5]
    if left and right:
        expected = 2 * longest(left, right) / (len(left) + len(right))
        assert rouge_l(" ".join(left), " ".join(right)) == pytest.approx(expected)


def test_a_report_finds_the_collapse_and_the_part_that_swamps() -> None:
    human = [CLICK, TYPE, END, CLICK]
    collapsed = [said(END, wanted, group=str(index)) for index, wanted in enumerate(human)]
    report = action_report(collapsed)
    assert report.predicted == {"terminate": 1.0}
    assert report.human == {"click": 0.5, "terminate": 0.25, "type_and_submit": 0.25}
    assert (report.exact, report.type_accuracy, report.entropy) == (0.25, 0.25, 0)
    assert report.macro_f1 == pytest.approx((2 * 1 / 5) / 3)
    assert report.value_hits == {"click": 0.0, "type_and_submit": 0.0}
    assert report.warnings == ["collapse: 'terminate' is 100% of the predictions, and 25% of what people do"]
    mixed = [said(action, CLICK, group="a") for action in (CLICK, {"type": "click", "name": "x"}, END, "no JSON")]
    broken = said(CLICK, None)
    report = action_report([*mixed, broken], scores=paper()([*mixed, broken]))
    assert report.left_out == 1
    assert report.predicted["(unreadable)"] == 0.25
    assert report.value_hits == {"click": 0.25}
    assert report.variance_shares["value.click.name"] > 0.999
    assert set(report.variance_shares) == {"json_format", "type", "presence.click.name", "value.click.name"}
    assert "'value.click.name' has 100.0% of the variance inside groups" in report.warnings[-1]
    with pytest.raises(ValueError, match="nothing to report"):
        action_report([broken])
