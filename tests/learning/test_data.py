"""Judgements in columns: splits that keep prompts apart, what every kind refuses, and one kind made of another."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.learning.data import PreferenceData, RankingData, RatingData, StepLabelData, as_trajectory
from rewardlab.types import Preference, Trajectory


def answers(*texts: str, prompt: str = "q") -> list[Trajectory]:
    return [Trajectory.from_text(prompt, text) for text in texts]


# ---- splits ---------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3), st.integers(0, 3)), min_size=8, max_size=40),
    st.floats(0.05, 0.95),
    st.integers(0, 5),
)
def test_no_prompt_stands_on_both_sides_of_a_split(rows, share, seed) -> None:
    data = PreferenceData.from_preferences(
        Preference(
            chosen=Trajectory.from_text(f"prompt {p}", f"a{a}"), rejected=Trajectory.from_text(f"prompt {p}", f"b{b}")
        )
        for p, a, b in rows
    )
    different = len(set(data.prompts()))
    if not 0 < round(share * different) < different:
        with pytest.raises(ValueError, match="one part would be empty"):
            data.split(share, seed=seed)
        return
    first, second = data.split(share, seed=seed)
    assert len(first) + len(second) == len(data)
    assert not set(first.prompts()) & set(second.prompts())
    told = [{part.items[item].observations[0][0]["content"] for item in part.first_items()} for part in (first, second)]
    assert not told[0] & told[1]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(lambda r: r[0] != r[1]), min_size=4, max_size=20),
    st.booleans(),
)
def test_of_responses_without_a_prompt_no_item_is_in_two_parts(rows, arrays) -> None:
    """Bare texts and vectors: what hangs together through comparisons stays together."""
    things = [[float(n), 1.0] for n in range(13)] if arrays else [f"text {n}" for n in range(13)]
    if arrays:
        data = PreferenceData.from_arrays([things[a] for a, _ in rows], [things[b] for _, b in rows])
    else:
        data = PreferenceData.from_preferences(Preference(chosen=things[a], rejected=things[b]) for a, b in rows)
    if not 0 < round(0.4 * len(set(data.prompts()))) < len(set(data.prompts())):
        with pytest.raises(ValueError, match="one part would be empty"):
            data.split(0.4)
        return
    parts = data.split(0.4)
    held = [
        {
            np.asarray(part.items[i].observations[0]).tobytes() if arrays else part.items[i].completion
            for row in part.row_items()
            for i in row
        }
        for part in parts
    ]
    assert not held[0] & held[1]


def test_a_split_depends_on_the_prompts_and_the_seed_alone() -> None:
    pairs = [
        Preference(chosen=Trajectory.from_text(f"p{n}", "a"), rejected=Trajectory.from_text(f"p{n}", "b"))
        for n in range(30)
    ]
    one = PreferenceData.from_preferences(pairs).split(0.3, seed=4)[1]
    other = PreferenceData.from_preferences(reversed(pairs)).split(0.3, seed=4)[1]
    assert set(one.prompts()) == set(other.prompts())
    assert len(one) == 9
    assert set(one.prompts()) != set(PreferenceData.from_preferences(pairs).split(0.3, seed=5)[1].prompts())


@pytest.mark.parametrize("share", [0.0, 1.0, -1, 2])
def test_a_split_needs_a_share_between_0_and_1(share) -> None:
    with pytest.raises(ValueError, match="share must lie between 0 and 1"):
        PreferenceData.from_arrays(np.eye(4), -np.eye(4)).split(share)


# ---- what is refused ------------------------------------------------------------------------------------------------------


def test_columns_of_comparisons_are_checked() -> None:
    items = answers("a", "b", "c")
    good = {"items": items, "first": [0, 1], "second": [1, 2], "label": [1.0, 0.5]}
    assert len(PreferenceData(**good)) == 2
    for change, message in (
        ({"label": [1.0, 1.5]}, r"label must be in \[0, 1\], got 1.5 in row 1; .* strength is the place for margins"),
        ({"label": [np.nan, 1.0]}, r"label must be in \[0, 1\], got nan in row 0"),
        ({"label": [1.0]}, "one entry per row, got 2, 2 and 1"),
        ({"second": [1, 3]}, "second names item 3 in row 1, there are 3 items"),
        ({"first": [-1, 0]}, "first names item -1 in row 0"),
        ({"annotators": ["x"]}, "annotators must have one entry per row, got 1 for 2 rows"),
        ({"metadata": [{}]}, "metadata must have one entry per row"),
        ({"strength": [1.0]}, "strength must have one entry per row"),
        ({"weight": [1.0, -1.0]}, "weight must be finite and not negative, got -1.0 in row 1"),
    ):
        with pytest.raises(ValueError, match=message):
            PreferenceData(**{**good, **change})


def test_columns_of_rankings_ratings_and_steps_are_checked() -> None:
    items = answers("a", "b", "c")
    with pytest.raises(ValueError, match="ranking 0 must name at least two different items, got \\[1, 1\\]"):
        RankingData(items=items, rankings=[np.array([1, 1])])
    with pytest.raises(ValueError, match="ties of ranking 0 must have 2 entries"):
        RankingData(items=items, rankings=[np.array([0, 1, 2])], ties=[np.array([True])])
    with pytest.raises(ValueError, match="value must be a finite number, got inf in row 1"):
        RatingData(items=items, item=np.array([0, 1]), value=np.array([1.0, np.inf]))
    with pytest.raises(ValueError, match="aspect must have one entry per row"):
        RatingData(items=items, item=np.array([0]), value=np.array([1.0]), aspect=[])
    with pytest.raises(ValueError, match=r"step labels of row 0 must be in \[0, 1\], got 2.0"):
        StepLabelData(items=items, item=np.array([0]), labels=[np.array([1.0, 2.0, np.nan])])


def test_a_thing_that_is_no_response_is_named() -> None:
    with pytest.raises(ValueError, match="expected a trajectory, a text, chat messages or an array, got {'a': 1}"):
        as_trajectory({"a": 1})


# ---- one kind made of another ---------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(4)), st.lists(st.booleans(), min_size=3, max_size=3))
def test_the_pairs_of_a_ranking_say_what_the_ranking_says(order, ties) -> None:
    data = RankingData(items=answers(*"abcd"), rankings=[np.array(order)], ties=[np.array(ties)])
    pairs = data.pairs()
    assert len(pairs) == 6
    assert pairs.weight.sum() == pytest.approx(1.0)
    assert {told["ranking"] for told in pairs.metadata} == {0}
    for one, other, label in zip(pairs.first, pairs.second, pairs.label, strict=True):
        low, high = order.index(one), order.index(other)
        assert low < high
        assert label == (0.5 if all(ties[low:high]) else 1.0)


def test_ratings_become_comparisons_of_one_prompt_by_one_annotator() -> None:
    items = [*answers("a", "b", "c"), *answers("d", prompt="other")]
    data = RatingData(
        items=items,
        item=np.array([0, 1, 2, 3, 0, 1]),
        value=np.array([5.0, 3.0, 3.0, 9.0, 1.0, 4.0]),
        annotators=["x", "x", "x", "x", "y", "y"],
    )
    pairs = data.pairs()
    found = {
        (int(a), int(b), who): (float(label), float(strength), float(weight))
        for a, b, who, label, strength, weight in zip(
            pairs.first, pairs.second, pairs.annotators, pairs.label, pairs.strength, pairs.weight, strict=True
        )
    }
    third = pytest.approx(1 / 3)
    assert found == {
        (0, 1, "x"): (1.0, 2.0, third),
        (0, 2, "x"): (1.0, 2.0, third),
        (1, 2, "x"): (0.5, 0.0, third),
        (0, 1, "y"): (0.0, 3.0, 1.0),
    }
    assert data.pairs(lower_is_better=True).label.tolist() == (1 - pairs.label).tolist()
    assert len(data.pairs(ties=False)) == 3
    with pytest.raises(ValueError, match="the ratings compare nothing"):
        data.select([0, 3]).pairs()


def test_aspects_are_not_compared_with_each_other() -> None:
    data = RatingData(
        items=answers("a", "b"), item=np.array([0, 1, 0]), value=np.array([1.0, 2.0, 3.0]), aspect=["x", "x", "y"]
    )
    pairs = data.pairs()
    assert [told["aspect"] for told in pairs.metadata] == ["x"]


# ---- columns and rows -----------------------------------------------------------------------------------------------------


def test_equal_responses_are_one_item_and_rows_come_back_as_preferences() -> None:
    told = [
        Preference(chosen=answers("a")[0], rejected=answers("b")[0], annotator="x", strength=2.0),
        Preference(chosen=answers("b")[0], rejected=answers("c")[0], label=0.5, weight=0.25),
    ]
    data = PreferenceData.from_preferences(told)
    assert len(data.items) == 3
    again = list(data)
    assert [one.chosen.completion for one in again] == ["a", "b"]
    assert [(one.label, one.annotator, one.strength, one.weight) for one in again] == [
        (1.0, "x", 2.0, 1.0),
        (0.5, None, None, 0.25),
    ]
    turned = data.flipped([0])
    assert turned.label.tolist() == [0.0, 0.5]
    assert next(iter(turned)).chosen.completion == "b"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=10))
def test_dropping_unused_items_changes_no_row(rows) -> None:
    whole = PreferenceData(
        items=answers(*(str(n) for n in range(11))), first=np.arange(10), second=np.arange(1, 11), label=np.ones(10)
    )
    part = whole.select(rows)
    small = part.without_unused_items()
    assert len(small.items) == len({item for row in rows for item in (row, row + 1)})
    for (a, b), (c, d) in zip(part.row_items(), small.row_items(), strict=True):
        assert part.items[a] is small.items[c]
        assert part.items[b] is small.items[d]
    ratings = RatingData(items=whole.items, item=np.asarray(rows), value=np.ones(len(rows)))
    assert [r.completion for r in (ratings.items[i] for i in ratings.item)] == [
        r.completion for r in (ratings.without_unused_items().items[i] for i in ratings.without_unused_items().item)
    ]


def test_rows_are_chosen_by_number_or_by_mask_with_everything_beside_them() -> None:
    data = PreferenceData(
        items=answers("a", "b", "c"),
        first=[0, 1, 0],
        second=[1, 2, 2],
        label=[1.0, 0.0, 0.5],
        strength=[1.0, np.nan, 2.0],
        weight=[1, 2, 3],
        annotators=["x", None, "y"],
        metadata=[{"n": 0}, {"n": 1}, {"n": 2}],
    )
    for chosen in ([2, 0], np.array([True, False, True])):
        part = data.select(chosen)
        order = [2, 0] if isinstance(chosen, list) else [0, 2]
        assert [told["n"] for told in part.metadata] == order
        assert part.weight.tolist() == [[1, 2, 3][n] for n in order]
        assert part.annotators == [["x", None, "y"][n] for n in order]
    assert not len(data.select([]))


def test_prompts_are_told_apart_by_every_message_and_by_images() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    prompts = [
        [{"role": "user", "content": "q"}],
        [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}],
        [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": "q"}]}],
        [{"role": "user", "content": [{"type": "image", "image": image + 1}, {"type": "text", "text": "q"}]}],
    ]
    answer = {"role": "assistant", "content": "a"}
    data = PreferenceData.from_preferences(
        Preference(chosen=[*prompt, answer], rejected=[*prompt, {**answer, "content": "b"}]) for prompt in prompts
    )
    keys = data.prompts()
    assert all(one != other for one, other in itertools.combinations(keys, 2))
