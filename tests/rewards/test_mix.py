from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rewardlab as rl
from rewardlab.rewards import Component, RewardMix, Route, Squash, TableLog
from rewardlab.types import Status, Task, Trajectory


def answers(*texts: str, group: str | None = None, **task: object) -> list[Trajectory]:
    made = Task(id="q", prompt=[{"role": "user", "content": "?"}], **task)  # type: ignore[arg-type]
    return [Trajectory.from_text("?", text, task=made, group=group) for text in texts]


@rl.reward
def number(completion: str) -> float | None:
    """The number that was answered; nothing for `skip`, an exception for a word."""
    return None if completion == "skip" else float(completion)


def has_reference(task: Task) -> bool:
    return task.reference is not None


@rl.reward
def one(completion: str) -> float:
    return 1.0


@rl.reward
def size(completion: str) -> float:
    return float(len(completion))


# ---- the mix ----------------------------------------------------------------------------------------------------------------


def test_a_missing_component_is_left_out_and_the_weights_are_scaled_up() -> None:
    mix = RewardMix.of(Component(reward=number, weight=3.0), Component(reward=one, weight=1.0))
    scores = mix(answers("2", "skip", "word"))
    assert scores.values.tolist() == [3 * 2 + 1, 4.0, 4.0]
    assert scores.status.tolist() == [Status.SCORED] * 3
    assert scores.parts["number"].status.tolist() == [Status.SCORED, Status.ABSTAINED, Status.FAILED]
    row = mix.table(scores).rows[0]
    assert (row.name, row.masked, row.failed) == ("number", 1, 1)


def test_a_sample_without_any_component_is_failed_with_all_reasons() -> None:
    mix = RewardMix.of(Component(reward=number), Component(reward=size, weight=0.0))
    scores = mix(answers("skip", "1"))
    assert scores.status.tolist() == [Status.FAILED, Status.SCORED]
    assert scores.note(0) == "no component has a value for this sample (number: no value; size: masked)"


def test_scale_clip_and_mask_of_a_component() -> None:
    long = Component(reward=number, scale=0.5, clip=(0.0, 10.0), mask=lambda trajectory: trajectory.completion != "4")
    mix = RewardMix(parts={"number": long, "one": one})
    with pytest.warns(UserWarning, match=r"component 'number': 1 of 3 values lie outside the range \[0, 10\]"):
        scores = mix(answers("2", "4", "20"))
    assert scores.values.tolist() == [1 + 1, 2 * 1, 5 + 1]


def test_weights_that_mean_nothing_or_something_odd(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match=r"the weights of number, one are all 0, so nothing is left to decide"):
        RewardMix.of(Component(reward=number, weight=0.0), Component(reward=one, weight=0.0))
    with caplog.at_level(logging.WARNING):
        RewardMix.of(Component(reward=number, weight=1.0), Component(reward=one, weight=-1.0))
    assert "sum to 0" in caplog.text
    assert "component 'one' of a mix has the weight -1" in caplog.text
    with pytest.raises(ValueError, match=r"option 'clip' must be \(lowest, highest\), got \(1.0, 1.0\)"):
        Component(reward=one, clip=(1.0, 1.0))
    with pytest.raises(ValueError, match="option 'weight' must be a finite number, got inf"):
        Component(reward=one, weight=math.inf)


@given(
    st.lists(
        st.tuples(st.floats(-5, 5), st.floats(-5, 5), st.booleans(), st.booleans()).filter(
            lambda row: row[2] or row[3]
        ),
        min_size=2,
        max_size=12,
    ),
    st.tuples(st.floats(0.1, 3), st.floats(0.1, 3)),
)
def test_values_and_shares_against_plain_counting(
    rows: list[tuple[float, float, bool, bool]], weights: tuple[float, float]
) -> None:
    @rl.reward
    def first(trajectories: Sequence[Trajectory]) -> list[float | None]:
        return [row[0] if row[2] else None for row in rows]

    @rl.reward
    def second(trajectories: Sequence[Trajectory]) -> list[float | None]:
        return [row[1] if row[3] else None for row in rows]

    mix = RewardMix.of(Component(reward=first, weight=weights[0]), Component(reward=second, weight=weights[1]))
    scores = mix(answers(*("x" * len(rows))))
    for value, (a, b, has_a, has_b) in zip(scores.values, rows, strict=True):
        parts = [(w, v) for w, v, has in ((weights[0], a, has_a), (weights[1], b, has_b)) if has]
        expected = sum(w * v for w, v in parts) * sum(weights) / sum(w for w, _ in parts)
        assert value == pytest.approx(expected, abs=1e-9)
    table = mix.table(scores)
    if scores.values.std() > 1e-3:
        assert sum(row.share for row in table.rows) == pytest.approx(1.0)


def test_the_table_names_what_decides_and_is_kept_for_each_step() -> None:
    mix = RewardMix.of(Component(reward=number, weight=1.0), Component(reward=size, weight=0.01))
    scores = mix(answers("1", "2", "10", "5"))
    log = TableLog(mix=mix)
    log(SimpleNamespace(scores=scores))
    (table,) = log.tables
    assert table.dominating() == "number"
    assert table.dominating(share=1.1) is None
    assert "number" in str(table)
    assert table.to_json()[0]["mean"] == 4.5
    with pytest.raises(ValueError, match="these scores have no part 'number'"):
        mix.table(one(answers("1")))


def test_sensitivity_says_what_another_weight_would_have_chosen() -> None:
    @rl.reward
    def other(completion: str) -> float:
        return -2.0 * float(completion) if completion == "3" else 0.0

    mix = RewardMix.of(Component(reward=number), Component(reward=other))
    batch = answers("1", "2", "3", group="g")
    rows = mix.sensitivity(batch, mix(batch), factors=(0.0, 1.0))
    found = {(row["component"], row["factor"]): row for row in rows}
    assert found["number", 1.0]["best_changed"] == 0.0
    assert found["number", 1.0]["correlation"] == pytest.approx(1.0)
    assert found["other", 0.0]["best_changed"] == 1.0  # without the penalty, 3 is best


def test_a_mix_and_a_route_survive_their_spec() -> None:
    rule = Component(reward=rl.ExactMatch(), weight=2.0, clip=(0.0, 1.0))
    mix = RewardMix(parts={"rule": rule, "route": Route(then=rl.ExactMatch(), otherwise=Squash(reward=rl.F1Match()))})
    again = rl.from_spec(mix.to_spec())
    assert again.spec_hash == mix.spec_hash
    batch = answers("a", reference="a", metadata={"task_type": "open"})
    assert again(batch).values == mix(batch).values


# ---- the route --------------------------------------------------------------------------------------------------------------


def test_the_task_decides_which_reward_is_asked() -> None:
    route = Route(then=one, otherwise=size)
    checked = answers("four", metadata={"task_type": "verifiable"})
    judged = answers("four", metadata={"task_type": "open"})
    flagged = answers("four", metadata={"task_type": True})
    scores = route([*checked, *judged, *flagged])
    assert scores.values.tolist() == [1.0, 4.0, 1.0]
    assert scores.parts["otherwise"].abstained.tolist() == [True, False, True]


def test_a_task_that_says_nothing_is_failed_and_nothing_is_guessed() -> None:
    route = Route(then=one, otherwise=size)
    scores = route(
        [
            *answers("x"),
            *answers("x", metadata={"task_type": "verifable"}),
            *answers("x", metadata={"task_type": "open"}),
        ]
    )
    assert scores.status.tolist() == [Status.FAILED, Status.FAILED, Status.SCORED]
    assert "the metadata of task 'q' has no 'task_type', expected one of 'verifiable', 'open'" in str(scores.note(0))
    assert "task 'q' has task_type='verifable', expected one of" in str(scores.note(1))
    by_function = Route(then=one, otherwise=size, when=lambda task: task.reference is not None)
    assert by_function([*answers("abc", reference="x"), *answers("abc")]).values.tolist() == [1.0, 3.0]
    with pytest.raises(ValueError, match="option 'when' must be a key or a function of a task, got 3"):
        Route(then=one, otherwise=size, when=3)
    named = Route(then=rl.ExactMatch(), otherwise=rl.F1Match(), when=has_reference)
    assert rl.from_spec(named.to_spec()).when is has_reference  # type: ignore[attr-defined]
    by_key = rl.from_spec({**Route(then=rl.ExactMatch(), otherwise=rl.F1Match()).to_spec(), "when": "kind"})
    assert by_key(answers("a", reference="a", metadata={"kind": True})).values.tolist() == [1.0]
    with pytest.raises(ValueError, match="'open' stands in 'verifiable' and in 'open_ended'"):
        Route(then=one, otherwise=size, verifiable=("open",))


def test_an_unsure_rule_is_mixed_with_the_model_by_its_confidence() -> None:
    @rl.reward
    def rule(completion: str) -> rl.Verdict:
        if completion == "broken":
            raise rl.ScoringFailure("it broke")
        return rl.Verdict(1.0, confidence=float(completion))

    @rl.reward
    def model(completion: str) -> float:
        return 0.2

    batch = answers("0.9", "0.25", "broken", metadata={"task_type": "verifiable"})
    mixed = Route(then=rule, otherwise=model, confidence=0.5)(batch)
    assert mixed.values.tolist() == pytest.approx([1.0, 0.25 * 1.0 + 0.75 * 0.2, 0.2])
    plain = Route(then=rule, otherwise=model)(batch)
    assert plain.values[:2].tolist() == [1.0, 1.0]
    assert plain.status[2] == Status.FAILED
    assert plain.note(2) == "then: it broke"
    with pytest.raises(ValueError, match=r"option 'confidence' must be in \(0, 1\] or None, got 0.0"):
        Route(then=rule, otherwise=model, confidence=0.0)


# ---- values in [0, 1] -------------------------------------------------------------------------------------------------------


def test_the_three_ways_into_the_unit_interval() -> None:
    batch = answers("-1", "0", "1", "1000", "skip")
    sigmoid = Squash(reward=number)(batch)
    assert sigmoid.values[:4] == pytest.approx([1 / (1 + math.e), 0.5, 1 / (1 + 1 / math.e), 1.0])
    assert sigmoid.status[4] == Status.ABSTAINED
    assert Squash(reward=number, by="cosine")(batch).values[:3].tolist() == [0.0, 0.5, 1.0]
    assert Squash(reward=number, threshold=0.5)(batch).values[:4].tolist() == [0.0, 1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="option 'width' must be positive, got 0.0"):
        Squash(reward=number, width=0.0)


def test_the_running_range_is_learned_when_observing_alone_and_resumes() -> None:
    squash = Squash(reward=number, by="minmax")
    batch = answers("0", "10")
    assert squash(batch).values.tolist() == [0.5, 0.5]
    squash.observe(batch, squash(batch))
    assert squash(answers("5", "20")).values.tolist() == [0.5, 1.0]
    again = Squash(reward=number, by="minmax")
    again.load_state_dict(squash.state_dict())
    assert again(answers("5")).values.tolist() == [0.5]


def test_ranks_share_ties() -> None:
    from rewardlab.rewards.algebra.mix import _ranks

    assert _ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [2.5, 0.0, 2.5, 1.0]


def test_a_value_that_only_rounding_puts_outside_is_clipped_without_a_warning(recwarn) -> None:
    @rl.reward
    def cosine(completion):
        return 1.0 + 2e-16 * len(completion)

    scores = Component(reward=cosine, clip=(0.0, 1.0))([rl.Trajectory.from_text("q", "aa")])
    assert scores.values.tolist() == [1.0]
    assert not recwarn.list
